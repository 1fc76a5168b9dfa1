// Drives a real browser through the pages. tests/it/ui/browser.rs starts it, with a server that it may set up:
//
//   MIMEO_URL          where the server is
//   MIMEO_SETUP_CODE   the code for the first login
//   MIMEO_SHOTS        a folder for pictures of each page; none are taken without it
//
// What the machine in the room does, the other side does: a line "machine heartbeat 40" on the standard output asks for it.
// Ends with 0 if everything was as it should be.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const { MIMEO_URL: url, MIMEO_SETUP_CODE: code, MIMEO_SHOTS: shots } = process.env;
const password = "correct horse battery";

/** Longest wait for anything: a busy machine with two cores needs seconds for what takes milliseconds. */
const DEADLINE_MS = 30_000;

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const context = await browser.newContext({
  // The authority is new with every server.
  ignoreHTTPSErrors: true,
  locale: "en-GB",
  timezoneId: "Asia/Tokyo",
  viewport: { width: 1280, height: 800 },
});
context.setDefaultTimeout(DEADLINE_MS);
const page = await context.newPage();

/** Whatever the browser complains of: a refused style, a script that failed, an asset that is missing. */
const complaints = [];
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("console", (message) => {
  // The browser tells of our own refusals as well.
  const expected = message.text().includes("the server responded with a status of 401");
  if (["error", "warning"].includes(message.type()) && !expected) complaints.push(message.text());
});

const machine = (order) => process.stdout.write(`machine ${order}\n`);

async function shot(name) {
  if (!shots) return;
  await page.screenshot({ path: `${shots}/${name}.png`, fullPage: true });
}

async function shotNarrow(name) {
  if (!shots) return;
  await page.setViewportSize({ width: 390, height: 844 });
  await page.screenshot({ path: `${shots}/${name}-390.png`, fullPage: true });
  const { scroll, client } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    client: document.documentElement.clientWidth,
  }));
  assert.ok(scroll <= client, `${name} is ${scroll} pixels wide on a screen of ${client}`);
  await page.setViewportSize({ width: 1280, height: 800 });
}

async function shotDark(name) {
  if (!shots) return;
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: `${shots}/${name}-dark.png`, fullPage: true });
  await page.emulateMedia({ colorScheme: "light" });
}

async function setUpAndLogIn() {
  await page.goto(`${url}/computers`);
  await page.waitForURL(`${url}/setup`);
  await shot("setup");
  await page.getByLabel("Setup code").fill(code.toLowerCase());
  await page.getByLabel("Name").fill("zoe");
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByLabel("The password once more").fill(password);
  await page.getByRole("button", { name: "Make the account" }).click();
  await page.waitForURL(`${url}/computers`);
  await page.getByRole("button", { name: "Log out" }).click();
  await page.waitForURL(`${url}/login`);
  await page.getByLabel("Name").fill("zoe");
  await page.getByLabel("Password").fill("wrong horse battery");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").getByText("The name or the password is wrong.").waitFor();
  await shot("login-refused");
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.waitForURL(`${url}/computers`);
}

async function switchLanguage() {
  await page.getByLabel("Language").selectOption("fr");
  await page.getByRole("heading", { name: "Ordinateurs" }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "fr");
  await page.getByLabel("Langue").selectOption("en");
  await page.getByRole("heading", { name: "Computers" }).waitFor();
}

/** Through the confirmation, with the keyboard alone from the choice of the master on. */
async function deploy() {
  await page.getByRole("link", { name: "4xk2lm3" }).click();
  await page.getByRole("heading", { name: "4xk2lm3" }).waitFor();
  await shot("computer");
  await shotNarrow("computer");
  await page.getByRole("link", { name: "Deploy a master" }).click();
  await page.getByRole("radio", { name: /debian-12@1/ }).focus();
  await shot("order-deploy");
  await page.keyboard.press("Space");
  await page.keyboard.press("Enter");
  await page.getByText("Everything on this disk will be erased.").waitFor();
  for (const fact of ["4XK2LM3", "S649NX0R", "Basic data partition", "NTFS"]) {
    await page.getByText(fact).first().waitFor();
  }
  await shot("confirm-deploy");
  await shotNarrow("confirm-deploy");
  await shotDark("confirm-deploy");
  const button = page.getByRole("button", { name: "Erase this disk and deploy debian-12@1" });
  await button.focus();
  await page.keyboard.press("Enter");
  await page.waitForURL(`${url}/sessions/1`);
  await page.getByText("Start 4xk2lm3 from the network").waitFor();
  await shot("session-waiting");
}

async function barStandsAt(percent) {
  await page.waitForFunction(
    (percent) => document.querySelector("progress")?.value === percent,
    percent,
    { timeout: DEADLINE_MS },
  );
  await page.getByText(`${percent}%, `).first().waitFor();
}

/** The page is loaded once; everything else comes by itself. */
async function watch() {
  await page.evaluate(() => { globalThis.loadedOnce = true; });
  machine("begin");
  machine("heartbeat 10");
  await barStandsAt(10);
  // A person who reads on keeps their place: nothing but the bar has moved.
  await page.evaluate(() => { globalThis.bar = document.querySelector("progress"); });
  machine("heartbeat 63");
  await barStandsAt(63);
  assert.ok(await page.evaluate(() => globalThis.bar.isConnected), "the bar was moved, not replaced");
  assert.ok(await page.evaluate(() => globalThis.loadedOnce), "the page was not loaded again");
  await shot("session-running");
  await shotNarrow("session-running");
  await shotDark("session-running");
  await page.goto(`${url}/sessions`);
  await barStandsAt(63);
  machine("heartbeat 64");
  await barStandsAt(64);
  await shot("sessions");
  // Whoever was cut off looks again once the line is back.
  await context.setOffline(true);
  await context.setOffline(false);
  machine("heartbeat 81");
  await barStandsAt(81);
  machine("succeed");
  await page.getByText("No session waits or runs.").waitFor();
  await page.getByText("succeeded").first().waitFor();
  await shot("sessions-ended");
  await shotNarrow("sessions-ended");
}

/** Seconds since 1970 are told where the reader is. */
async function timesAreLocal() {
  const time = page.locator("time").first();
  const moment = new Date(await time.getAttribute("datetime"));
  const format = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "Asia/Tokyo" });
  assert.equal(await time.textContent(), format.format(moment));
}

async function failAndAsk() {
  await page.goto(`${url}/computers`);
  await page.getByRole("link", { name: "two-disks" }).click();
  await page.getByRole("link", { name: "Capture" }).click();
  await shot("order-capture");
  await page.getByLabel("Name of the master").fill("windows-11");
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByRole("heading", { name: "Which disk?" }).waitFor();
  await shot("confirm-several");
  await page.getByRole("button", { name: "Start the session and choose the disk there" }).click();
  await page.getByRole("radio").first().check();
  await shot("session-question");
  await page.getByRole("button", { name: "Read this disk and make windows-11" }).click();
  await page.getByText("from the network: the session begins").waitFor();
  machine("fail-capture");
  await page.getByText("Failed in phase").waitFor();
  await shot("session-failed");
}

async function lookAround() {
  for (const [path, name] of [["/computers", "computers"], ["/masters", "masters"], ["/about", "about"], ["/nothing", "refused"]]) {
    await page.goto(`${url}${path}`);
    await shot(name);
    await shotNarrow(name);
  }
  complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes("status of 404")));
  await page.goto(`${url}/computers`);
  await shotDark("computers");
  await page.getByLabel("Language").selectOption("fr");
  await page.getByRole("heading", { name: "Ordinateurs" }).waitFor();
  await shot("computers-fr");
}

try {
  await setUpAndLogIn();
  await switchLanguage();
  await deploy();
  await watch();
  await timesAreLocal();
  await failAndAsk();
  await lookAround();
  assert.deepEqual(complaints, []);
} catch (error) {
  await shot("failed").catch(() => {});
  console.error(`${page.url()}\n${await page.locator("body").innerText().catch(() => "")}`);
  console.error(complaints);
  throw error;
} finally {
  await browser.close();
}
