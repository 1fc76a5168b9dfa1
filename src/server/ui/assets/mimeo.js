// What a page does beyond HTML: times in the browser's zone, and live parts. Without this script a page is whole, and
// shows what was true when it was asked for.

/** Waits this long after an event before it looks, so that a classroom's events cost one request. */
const GATHER_MS = 400;

/** Looks again after this long where looking failed. */
const RETRY_MS = 5000;

/** Events after which a page may say something else. `reload`: the server could not tell all of them. */
const EVENTS = [
  "computer_registered", "computer_booted", "version_published", "version_removed", "session_requested", "session_asked",
  "session_answered", "session_started", "session_progressed", "session_succeeded", "session_failed",
  "session_cancelled", "reload",
];

function localiseTimes(root) {
  // The page's language as it is written where the reader lives: British hours go to 24.
  const { lang } = document.documentElement;
  const locale = navigator.languages.find((known) => known.split("-")[0] === lang) ?? lang;
  const format = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = format.format(new Date(time.dateTime));
  }
}

/** A choice that is sent as soon as it is made needs no button. */
function submitChoices() {
  for (const choice of document.querySelectorAll("select[data-submit]")) {
    choice.addEventListener("change", () => choice.form.requestSubmit());
    choice.form.querySelector("[data-submitted]").hidden = true;
  }
}

/** Puts new content in place; who was on the third link with the keyboard is on the third link afterwards. */
function replaceKeepingFocus(part, now) {
  const stops = () => [...part.querySelectorAll("a, button, input, select, summary")];
  const place = stops().indexOf(document.activeElement);
  part.replaceChildren(...now.childNodes);
  localiseTimes(part);
  stops()[place]?.focus({ preventScroll: true });
}

/** Keeps the live parts of the page as the server would render them now. */
class LiveParts {
  constructor(parts) {
    // As the server wrote it: what is on the page differs by the times.
    this.written = new Map([...parts].map((part) => [part.id, part.innerHTML]));
    this.session = document.querySelector("[data-session]")?.dataset.session;
    this.timer = null;
    this.looking = false;
    this.again = false;
    this.wasLost = false;
  }

  listen() {
    this.connect();
    addEventListener("pagehide", () => this.source.close());
    // A page that comes back from the browser's cache has a closed stream and an old state.
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  }

  connect() {
    const source = new EventSource("/api/v1/events");
    this.source = source;
    source.addEventListener("error", () => {
      this.wasLost = true;
      // Browsers try again by themselves after a broken line, and never after a refusal.
      if (source.readyState !== EventSource.CLOSED) return;
      this.soon();
      setTimeout(() => this.connect(), RETRY_MS);
    });
    source.addEventListener("open", () => {
      // Nobody told us what happened meanwhile.
      if (this.wasLost) this.soon();
      this.wasLost = false;
    });
    for (const name of EVENTS) {
      source.addEventListener(name, (event) => { if (this.concerns(event)) this.soon(); });
    }
  }

  concerns(event) {
    const { session } = JSON.parse(event.data);
    return !this.session || session === undefined || String(session) === this.session;
  }

  soon(wait = GATHER_MS) {
    this.timer ??= setTimeout(() => { this.timer = null; this.look(); }, wait);
  }

  async look() {
    if (this.looking) {
      this.again = true;
      return;
    }
    this.looking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      // The login has ended: the server leads to the door.
      if (answer.redirected) return location.reload();
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      this.put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch {
      this.soon(RETRY_MS);
    } finally {
      this.looking = false;
      if (this.again) this.soon();
      this.again = false;
    }
  }

  put(fresh) {
    for (const [id, before] of this.written) {
      const now = fresh.getElementById(id);
      const part = document.getElementById(id);
      if (!now || !part || now.innerHTML === before) continue;
      this.written.set(id, now.innerHTML);
      if (!this.moveBars(part, now)) replaceKeepingFocus(part, now);
    }
  }

  /** Where nothing but the bars has moved they move in place, so that they glide and a screen reader keeps its place. */
  moveBars(part, now) {
    const bars = [part, now].map((root) => [...root.querySelectorAll(".progress")]);
    if (bars[0].length === 0 || bars[0].length !== bars[1].length) return false;
    const bare = (root) => {
      const copy = root.cloneNode(true);
      for (const element of copy.querySelectorAll(".progress, time")) element.replaceChildren();
      for (const time of copy.querySelectorAll("time")) time.removeAttribute("title");
      return copy.innerHTML;
    };
    if (bare(part) !== bare(now)) return false;
    bars[0].forEach((bar, index) => {
      const moved = bars[1][index];
      bar.querySelector("progress").value = moved.querySelector("progress").value;
      bar.querySelector("span").textContent = moved.querySelector("span").textContent;
    });
    return true;
  }
}

localiseTimes(document);
submitChoices();
const parts = document.querySelectorAll("[data-live]");
if (parts.length > 0) new LiveParts(parts).listen();
