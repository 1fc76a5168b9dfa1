use super::*;

/// Rounds of 200 ms over a line that carries `line` symbols a second and loses `random` of what it carries.
fn run(rate: &mut Rate, line: f64, random: f64, rounds: u32, now: &mut Duration) -> Vec<f64> {
    let mut rates = Vec::new();
    for _ in 0..rounds {
        let sent = rate.now();
        let carried = sent.min(line) * (1.0 - random);
        *now += Duration::from_millis(200);
        rate.sent += 100;
        rate.round(
            Round { loss: 1.0 - carried / sent, queue_percent: 0, arriving: Some(carried), from: rate.sent },
            *now,
        );
        rates.push(rate.now());
    }
    rates
}

fn mean(rates: &[f64]) -> f64 {
    rates.iter().sum::<f64>() / rates.len() as f64
}

fn of(mbit: u32) -> (Rate, f64) {
    let mut rate = Rate::new(None, Duration::ZERO);
    rate.links_are(Some(mbit));
    (rate, of_link(mbit, FRAME_BYTES))
}

#[test]
fn a_line_that_loses_at_any_rate_is_used_all_the_same() {
    for random in [0.0, 0.01, 0.05, 0.1] {
        let (mut rate, line) = of(200);
        let mut now = Duration::ZERO;
        let rates = run(&mut rate, line, random, 30, &mut now);
        assert!(mean(&rates) > 0.98 * line, "{random}: {} of {line}", mean(&rates));
        assert!((rate.granted() - random).abs() < 0.006, "{random}: {}", rate.granted());
    }
}

#[test]
fn a_line_slower_than_its_links_is_found_and_not_overrun() {
    for (link, line) in [(1000, 20_000.0), (10_000, 16_600.0), (200, 15_000.0)] {
        let (mut rate, _) = of(link);
        let mut now = Duration::ZERO;
        run(&mut rate, line, 0.0, 15, &mut now);
        let rates = run(&mut rate, line, 0.0, 100, &mut now);
        assert!(
            mean(&rates) > 0.85 * line && mean(&rates) < 1.05 * line,
            "{link}: {} of {line}",
            mean(&rates)
        );
    }
}

#[test]
fn a_line_that_others_begin_to_use_is_left_to_them_and_taken_back() {
    let (mut rate, line) = of(1000);
    let mut now = Duration::ZERO;
    run(&mut rate, line, 0.0, 10, &mut now);
    run(&mut rate, line / 2.0, 0.01, 20, &mut now);
    assert!(rate.now() < 0.6 * line, "{} of {line}", rate.now());
    run(&mut rate, line, 0.01, 100, &mut now);
    assert!(rate.now() > 0.9 * line, "{} of {line}", rate.now());
}

#[test]
fn disks_that_fill_up_slow_the_channel_down() {
    let (mut rate, line) = of(1000);
    let mut now = Duration::ZERO;
    run(&mut rate, line, 0.0, 2, &mut now);
    for _ in 0..5 {
        now += Duration::from_millis(200);
        rate.round(Round { loss: 0.0, queue_percent: 90, arriving: None, from: 0 }, now);
    }
    assert!(rate.now() < 0.5 * line);
}

#[test]
fn the_cap_holds_from_the_first_packet_on() {
    let mut rate = Rate::new(Some(5000.0), Duration::ZERO);
    rate.links_are(Some(1000));
    assert_eq!(rate.now(), 5000.0);
    let mut now = Duration::ZERO;
    assert!(run(&mut rate, 80_000.0, 0.0, 20, &mut now).iter().all(|rate| *rate <= 5000.0));
}

#[test]
fn before_the_first_reports_a_train_goes_out_and_then_little() {
    let (mut rate, line) = of(1000);
    assert!(rate.now() > 0.95 * line);
    (0..TRAIN).for_each(|_| rate.sent(Duration::from_millis(1)));
    assert!(rate.now() < 0.2 * line);
    rate.tick(Duration::from_millis(2));
    assert!(rate.begins());
    rate.tick(Duration::from_secs(1));
    assert!(!rate.begins() && rate.now() > 0.95 * line);
}
