//! Lives that nobody thought of: random classrooms, lines, disks, accidents. [`super::world`] checks at every step that no
//! receiver exceeds its room and that no sender is idle while somebody is known to lack what is not under way; that
//! everybody alive ends with everything on the disk is how a run ends at all.

use mimeo_core::multicast::block::SourceCount;
use proptest::{collection::vec, option, prelude::*};

use super::{
    line::Line,
    pc::{Pc, ROOM},
    world::{FULL, Setup, run},
};

/// No classroom costs more packets than these for each symbol, and these on top, however it is made up: of tiny channels,
/// whose every block everybody needs again who joins, reboots, or does not hear for a second that nobody hears him.
const COST_MOST: u64 = 25;
const COST_BESIDE: u64 = 3000;

fn line() -> impl Strategy<Value = Line> {
    let faults =
        (0.0..0.12_f64, option::weighted(0.3, (0.0..0.05_f64, 2..60_u32)), 0.0..0.05_f64, 0.0..0.05_f64);
    (5.0..100.0_f64, 16.0..300.0_f64, faults, 0..30_000_u64, 0..4_000_u64).prop_map(
        |(mbit, queue, (loss, burst, doubled, overtaken), late_us, jitter_us)| {
            let burst = burst.unwrap_or((0.0, 1));
            Line { mbit, queue, loss, burst, doubled, overtaken, late_us, jitter_us }
        },
    )
}

fn life() -> impl Strategy<Value = (u64, Option<u64>, Option<u64>)> {
    let crash = option::weighted(0.2, 100..2000_u64);
    let back = option::weighted(0.7, 100..8000_u64);
    (prop_oneof![3 => Just(0), 1 => 0..2000_u64], crash, back)
        .prop_map(|(joins, crash, back)| (joins, crash.map(|crash| joins + crash), back))
}

fn pc() -> impl Strategy<Value = Pc> {
    let hardware = (line(), option::weighted(0.7, 0.8..4.0_f64), 300.0..50_000.0_f64, 4000..12_000_u32);
    let oddities =
        (option::weighted(0.2, 1..5_u32), prop::bool::weighted(0.05), option::weighted(0.1, 0.0..0.2_f64));
    (hardware, life(), oddities).prop_map(|((line, link, disk, room), (joins_ms, crash_ms, back), odd)| Pc {
        line,
        link_mbit: link.map(|factor| (line.mbit * factor).max(1.0) as u32),
        disk,
        room,
        joins_ms,
        crash_ms,
        back_after_ms: back,
        holds_every: odd.0,
        deaf: odd.1,
        wrong: odd.2.unwrap_or(0.0),
    })
}

fn sources() -> impl Strategy<Value = Vec<u16>> {
    prop_oneof![3 => vec(1..30_u16, 4..40), 1 => vec(prop_oneof![Just(FULL), 1..FULL, Just(SourceCount::MOST)], 4..12)]
}

fn setup() -> impl Strategy<Value = Setup> {
    let control = ((0..30_u64, 0..150_u64), option::weighted(0.5, 0.0..0.15_f64));
    (sources(), 1..4_u32, vec(pc(), 1..7), option::weighted(0.3, 10.0..200.0_f64), control, any::<u64>())
        .prop_map(|(sources, table, pcs, own_mbit, ((least, more), loss), seed)| Setup {
            sources,
            table,
            pcs,
            own_mbit,
            control_ms: (least, least + more),
            control_loss: loss.unwrap_or(0.0),
            joins_at_once: false,
            seed,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn everybody_alive_ends_with_everything(setup in setup()) {
        let outcome = run(&setup);
        for (done, pc) in outcome.done.iter().zip(&setup.pcs) {
            prop_assert!(done.is_some() || (pc.crash_ms.is_some() && pc.back_after_ms.is_none()));
        }
        prop_assert!(outcome.sent <= COST_MOST * setup.symbols() + COST_BESIDE, "{} sent", outcome.sent);
        let wrong: f64 = setup.pcs.iter().map(|pc| pc.wrong).sum();
        prop_assert!(outcome.incidents == 0 || wrong > 0.0);
        // Five seconds of what the fastest line carries.
        prop_assert!(outcome.remembered_most <= 5 * 100_000);
    }

    /// Where nothing is lost and everybody is there from the beginning, each symbol goes out once, however late and out of
    /// order packets and words come.
    #[test]
    fn nothing_is_sent_twice_where_nothing_is_lost(
        sources in sources(),
        pcs in vec((20.0..100.0_f64, 0..3000_u64, 0.0..0.1_f64), 1..6),
        control in (0..20_u64, 0..100_u64),
        seed in any::<u64>(),
    ) {
        let slowest = pcs.iter().map(|(mbit, ..)| *mbit).fold(f64::INFINITY, f64::min) as u32;
        let pcs = pcs.into_iter().map(|(mbit, jitter_us, overtaken)| Pc {
            link_mbit: Some(slowest),
            room: ROOM,
            ..Pc::of(Line { jitter_us, overtaken, late_us: 4000, doubled: 0.05, ..Line::of(mbit) })
        });
        let setup = Setup {
            sources,
            table: 1,
            pcs: pcs.collect(),
            own_mbit: None,
            control_ms: (control.0, control.0 + control.1),
            control_loss: 0.0,
            joins_at_once: true,
            seed,
        };
        prop_assert_eq!(run(&setup).cost(), 1.0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Coded repair costs what the one of `n` who lost most of a block lost of it, and a part of that again.
    #[test]
    fn what_loss_costs_is_what_the_model_says(n in 1..30_usize, loss in 0.0..0.08_f64, seed in any::<u64>()) {
        let outcome = run(&Setup { seed, ..Setup::of_mib(8, vec![Pc::of(Line::of(100.0).losing(loss)); n]) });
        let worst = (2.0 * (n as f64 + 1.0).ln()).sqrt() + 1.0;
        let bound = 1.0 / (1.0 - loss) + worst * (loss / f64::from(FULL)).sqrt() + 0.02;
        prop_assert!(outcome.cost() <= bound, "{} of {}", outcome.cost(), bound);
    }
}
