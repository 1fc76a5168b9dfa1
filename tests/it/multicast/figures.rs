//! The scenarios of the issue in virtual time. The ceilings there are what udpcast's packets would reach; ours are of 1,408
//! bytes in frames of 1,488, which makes 23.66 MB/s of 200 Mbit/s, 11.83 of 100 and 47.31 of 400.

use super::{
    line::Line,
    pc::Pc,
    world::{Setup, run},
};

fn classroom(n: usize, mbit: f64, loss: f64) -> Vec<Pc> {
    vec![Pc::of(Line::of(mbit).losing(loss)); n]
}

fn check_speed(mib: u64, pcs: Vec<Pc>, least: f64) {
    let n = pcs.len();
    let outcome = run(&Setup::of_mib(mib, pcs));
    let speed = outcome.speed(mib, 0..n);
    assert!(speed >= least, "{speed:.2} MB/s of {least}, cost {:.4}: {:?}", outcome.cost(), outcome.done);
}

#[test]
fn eight_at_200_mbit() {
    for (loss, least) in [(0.0, 23.0), (0.01, 22.6), (0.05, 21.2)] {
        check_speed(128, classroom(8, 200.0, loss), least);
    }
}

#[test]
fn sixteen_at_100_mbit() {
    for (loss, least) in [(0.0, 11.6), (0.01, 11.4), (0.05, 10.8)] {
        check_speed(64, classroom(16, 100.0, loss), least);
    }
}

#[test]
fn bursts_of_45_lost_together() {
    let bursts = Line { burst: (0.02, 45), ..Line::of(200.0) };
    check_speed(128, vec![Pc::of(bursts); 8], 21.0);
}

#[test]
fn overhead_at_one_percent_and_reports_of_many() {
    for n in [30, 200] {
        let outcome = run(&Setup::of_mib(64, classroom(n, 100.0, 0.01)));
        assert!(outcome.cost() <= 1.05, "{n}: {}", outcome.cost());
        let a_second = outcome.report_bytes as f64 / outcome.seconds * 100.0 / n as f64;
        assert!(a_second <= 200_000.0, "{n}: {a_second} bytes per second of a hundred");
    }
}

/// One of four has a quarter of the line, and nobody knows before. Unicast has a line of its own here.
#[test]
fn one_of_four_is_slow() {
    let mut pcs = classroom(4, 400.0, 0.0);
    pcs[3] = Pc { link_mbit: Some(400), ..Pc::of(Line::of(100.0)) };
    let outcome = run(&Setup::of_mib(128, pcs));
    let (others, own) = (outcome.speed(128, 0..3), outcome.speed(128, 3..4));
    assert!(others >= 44.0 && own >= 10.5, "the others {others:.2}, itself {own:.2} MB/s");
}

#[test]
fn one_of_four_is_killed() {
    let base = run(&Setup::of_mib(128, classroom(4, 200.0, 0.0))).seconds;
    let mut pcs = classroom(4, 200.0, 0.0);
    pcs[1].crash_ms = Some((base * 500.0) as u64);
    let outcome = run(&Setup::of_mib(128, pcs));
    assert_eq!(outcome.done[1], None);
    assert!(outcome.seconds <= 1.02 * base, "{} of {base} s", outcome.seconds);
}

#[test]
fn one_joins_in_the_middle() {
    let base = run(&Setup::of_mib(128, classroom(4, 200.0, 0.0))).seconds;
    let mut pcs = classroom(4, 200.0, 0.0);
    pcs[3].joins_ms = (base * 500.0) as u64;
    let outcome = run(&Setup::of_mib(128, pcs));
    let others = outcome.done[..3].iter().flatten().copied().fold(0.0, f64::max);
    assert!(outcome.seconds <= 1.6 * base && others <= 1.02 * base, "{:?} of {base} s", outcome.done);
}

#[test]
fn fifty_sessions_of_sixteen_with_losses_everywhere_none_hangs() {
    for seed in 0..50 {
        let mut setup = Setup::of_mib(4, classroom(16, 100.0, 0.01));
        (setup.control_loss, setup.seed) = (0.01, seed);
        let outcome = run(&setup);
        assert!(outcome.seconds < 3.0, "seed {seed}: {:?}", outcome.done);
    }
}

#[test]
fn three_who_are_slow_get_a_channel_of_their_own() {
    let mut pcs = classroom(15, 200.0, 0.0);
    (12..15).for_each(|n| pcs[n] = Pc { link_mbit: Some(200), ..Pc::of(Line::of(50.0)) });
    let outcome = run(&Setup::of_mib(64, pcs));
    assert_eq!(outcome.channels, 2);
    let (others, slow) = (outcome.speed(64, 0..12), outcome.speed(64, 12..15));
    assert!(others >= 22.0 && slow >= 4.5, "the others {others:.2}, the slow {slow:.2} MB/s");
    let fetched: u64 = outcome.fetched_symbols[12..].iter().sum();
    assert!(fetched < 3 * 5000, "{fetched} symbols by unicast");
}

#[test]
fn who_hears_no_multicast_takes_unicast_after_a_second() {
    let mut pcs = classroom(4, 100.0, 0.0);
    pcs[2].deaf = true;
    let outcome = run(&Setup::of_mib(32, pcs));
    assert_eq!(outcome.left_group, [false, false, true, false]);
    let others = outcome.speed(32, 0..2);
    assert!(others >= 11.4, "{others:.2} MB/s");
    assert!(outcome.done[2].unwrap() < 1.2 + 32.0 * 1.048_576 / 11.6, "{:?}", outcome.done);
}

#[test]
fn disks_that_hold_half_halve_the_way() {
    let pcs = classroom(4, 200.0, 0.0).into_iter().map(|pc| Pc { holds_every: Some(2), ..pc }).collect();
    let outcome = run(&Setup::of_mib(128, pcs));
    assert!(outcome.cost() < 0.7, "{} of the symbols were sent", outcome.cost());
}

#[test]
fn a_slow_disk_costs_the_others_nothing() {
    let mut pcs = classroom(5, 400.0, 0.0);
    // 8 MB/s beside 47, with room for 16 MB.
    pcs[4] = Pc { disk: 5600.0, room: 11_800, ..pcs[4] };
    let outcome = run(&Setup::of_mib(128, pcs));
    let (others, own) = (outcome.speed(128, 0..4), outcome.speed(128, 4..5));
    assert!(others >= 44.0 && own >= 7.5, "the others {others:.2}, itself {own:.2} MB/s");
}
