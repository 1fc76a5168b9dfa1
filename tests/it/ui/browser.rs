//! The pages in a real browser: `tests/browser/pages.mjs` drives Debian's Chromium, and this side plays the machines.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use mimeo_core::{
    disk::filesystem::FileSystem,
    failure::{Failure, FailureCause, UncleanReason},
    ids::{MacAddr, SessionId},
    messages::{Orders, Phase},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use super::machine::{GIB, MAC, Machine, disk, publish, workstation};
use crate::api::house::House;

/// The whole walk takes half a minute on two quiet cores.
const DEADLINE: Duration = Duration::from_secs(240);

const OTHER_MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 0xb]);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

/// Puts what the walk needs beside it, in the version that `package-lock.json` names by its hash.
async fn install() {
    if folder().join("node_modules/playwright-core/package.json").exists() {
        return;
    }
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder())
        .stdout(Stdio::null())
        .status()
        .await
        .expect("npm is installed (Debian package npm)");
    assert!(npm.success(), "`npm ci` in tests/browser failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_logs_in_deploys_through_the_confirmation_and_sees_the_bar_move() {
    install().await;
    let house = House::start().await;
    publish(&house, "debian-12").await;
    let machine =
        Machine::boot(&house, MAC, workstation(MAC, "4XK2LM3", vec![disk(Some("S649NX0R"), 512 * GIB)]))
            .await;
    let disks = vec![disk(Some("FIRST"), 512 * GIB), disk(Some("SECOND"), 256 * GIB)];
    let mut report = workstation(OTHER_MAC, "two-disks", disks);
    report.identity.system_uuid = None;
    let other = Machine::boot(&house, OTHER_MAC, report).await;

    let code = house.auth.setup_code().await.expect("works").expect("there is no account");
    let mut walk = Command::new("node")
        .arg("pages.mjs")
        .current_dir(folder())
        .env("MIMEO_URL", house.url(""))
        .env("MIMEO_SETUP_CODE", code.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node is installed (Debian package nodejs)");
    let mut lines = BufReader::new(walk.stdout.take().expect("piped")).lines();
    let ended = tokio::time::timeout(DEADLINE, async {
        while let Some(line) = lines.next_line().await.expect("lines") {
            obey(&house, &machine, &other, &line).await;
        }
        walk.wait().await.expect("it ends")
    });
    let ended = ended.await.expect("the walk ends in time");
    assert!(
        ended.success(),
        "the walk through the pages ended with {ended}: what it says of it stands above"
    );
}

/// Does what a line asks of a machine.
async fn obey(house: &House, machine: &Machine, other: &Machine, line: &str) {
    let first = SessionId(1);
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["machine", "begin"] => {
            let orders = machine.orders(house).await;
            assert!(matches!(orders, Orders::Deploy(_)), "{orders:?}");
        }
        ["machine", "heartbeat", percent] => {
            let percent = percent.parse().expect("a number");
            machine.heartbeat(house, first, Phase::Write, percent).await;
        }
        ["machine", "succeed"] => machine.succeed(house, first).await,
        ["machine", "fail-capture"] => {
            let orders = other.orders(house).await;
            let Orders::Capture(order) = orders else { panic!("a capture waits: {orders:?}") };
            let reason = UncleanReason::Hibernated;
            let cause = FailureCause::SourceUnclean {
                partition: 3,
                filesystem: FileSystem::Ntfs,
                volume: None,
                reason,
            };
            other.fail(house, order.session, Failure { phase: Phase::Prepare, cause }).await;
        }
        _ => panic!("the walk said {line:?}"),
    }
}
