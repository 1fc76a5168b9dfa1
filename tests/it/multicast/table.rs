//! What loss costs, by the number of receivers: the golden table, `docs/multicast.md`.

use std::{fmt::Write as _, fs, path::Path};

use super::{
    line::Line,
    pc::Pc,
    world::{Setup, run},
};

const RECEIVERS: [usize; 7] = [1, 4, 8, 16, 30, 100, 200];
const LOSSES: [f64; 5] = [0.0, 0.001, 0.01, 0.02, 0.05];

const HEAD: &str = "\
# What loss costs a multicast channel

Useful symbols of those sent, in percent, where each receiver loses packets for itself: 16 MiB at 100 Mbit/s, from the first
join to the last receiver's last block, in virtual time. Beside it what repeating the lost packets would reach at best, which
is what udpcast and Frisbee do (calculated: of a packet that `n` receivers want, 1 + Σ (1 − (1 − lossᵗ)ⁿ) are sent).

`MIMEO_WRITE_MULTICAST=1 cargo test --locked --workspace --test it -- multicast::table` writes this page by running the
sender and the receivers themselves; without the variable the same test fails where the page is not what they do.

";

/// Packets sent for one that `n` want, where the lost ones are repeated.
fn repeating(n: usize, loss: f64) -> f64 {
    let again = |round: i32| 1.0 - (1.0 - loss.powi(round)).powi(n as i32);
    1.0 + (1..60).map(again).sum::<f64>()
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    let cells =
        |cell: &dyn Fn(f64) -> String| LOSSES.iter().map(|loss| cell(*loss)).collect::<Vec<_>>().join(" | ");
    let _ = writeln!(page, "| receivers | {} |", cells(&|loss| format!("{} %", loss * 100.0)));
    let _ = writeln!(page, "|---|{}", "---|".repeat(LOSSES.len()));
    for n in RECEIVERS {
        let row = cells(&|loss| {
            let outcome = run(&Setup::of_mib(16, vec![Pc::of(Line::of(100.0).losing(loss)); n]));
            format!("**{:.1}** ({:.1})", 100.0 / outcome.cost(), 100.0 / repeating(n, loss))
        });
        let _ = writeln!(page, "| {n} | {row} |");
    }
    page
}

#[test]
fn the_page_is_what_the_machines_do() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/multicast.md");
    let page = page();
    if std::env::var_os("MIMEO_WRITE_MULTICAST").is_some() {
        fs::write(&path, &page).expect("docs/multicast.md can be written");
    }
    let kept = fs::read_to_string(&path).expect("docs/multicast.md");
    assert!(kept == page, "docs/multicast.md is not what the machines do; they do:\n{page}");
}
