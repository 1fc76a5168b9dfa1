//! What a session did, once it is over.

use std::{collections::BTreeMap, time::Duration};

use super::{Texts, size};
use crate::messages::{Phase, Progress};

/// What a deploy took over of what the disk held, and what it fetched and wrote; `None` where nobody counted it.
pub fn taken_over(texts: &Texts, progress: &Progress) -> Option<String> {
    let Progress { carried_bytes, compared_bytes, kept_bytes, received_bytes, written_bytes, .. } = *progress;
    let key = match (kept_bytes, compared_bytes) {
        _ if carried_bytes == 0 => return None,
        (0, _) => "report-in-full",
        // Otherwise it was given up on the way.
        (_, compared) if compared < carried_bytes / 2 => "report-partly-compared",
        _ => "report-taken-over",
    };
    let bytes = |count| size::bytes(texts.language(), count);
    let values = [
        ("kept", &*bytes(kept_bytes)),
        ("carried", &bytes(carried_bytes)),
        ("received", &bytes(received_bytes)),
        ("written", &bytes(written_bytes)),
    ];
    Some(texts.say_with(key, &values))
}

/// What reading back cost, or that it was left out; `None` where nobody measured it.
pub fn verification(texts: &Texts, verify: bool, seconds: &BTreeMap<Phase, f64>) -> Option<String> {
    if !verify {
        return Some(texts.say("report-not-verified"));
    }
    let verified = *seconds.get(&Phase::Verify)?;
    let all: f64 = seconds.values().sum();
    let percent = if all > 0.0 { verified / all * 100.0 } else { 0.0 };
    let time = size::short_duration(texts.language(), Duration::from_secs_f64(verified));
    Some(texts.say_with("report-verified", &[("time", &time), ("percent", &format!("{percent:.0}"))]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{taken_over, verification};
    use crate::{
        messages::{Language, Phase, PhaseTime, Progress, phase_seconds},
        text::texts,
    };

    #[test]
    fn what_was_taken_over_is_told_with_what_was_fetched_and_written() {
        const GB: u64 = 1_000_000_000;
        let progress = |compared, kept| Progress {
            carried_bytes: 4 * GB,
            compared_bytes: compared,
            kept_bytes: kept,
            received_bytes: 12_000_000,
            written_bytes: 14_000_000,
            ..Progress::default()
        };
        let say = |language, progress| taken_over(texts(language), &progress);
        let said = say(Language::En, progress(4 * GB, 3_900_000_000)).expect("it was counted");
        for part in ["3.9\u{a0}GB of 4\u{a0}GB", "12\u{a0}MB", "14\u{a0}MB"] {
            assert!(said.contains(part), "{said}");
        }
        let partly = say(Language::En, progress(GB, GB / 2)).expect("it was counted");
        assert!(partly.contains("500\u{a0}MB of 4\u{a0}GB") && partly != said, "{partly}");
        let in_full = say(Language::Fr, progress(GB, 0)).expect("it was counted");
        assert!(in_full.contains("4\u{a0}Go") && in_full.contains("12\u{a0}Mo"), "{in_full}");
        assert_eq!(say(Language::En, Progress::default()), None, "of an earlier version");
    }

    #[test]
    fn what_reading_back_cost_is_told_with_its_share_and_so_is_that_it_was_left_out() {
        let time = |phase, ms| PhaseTime { phase, ms };
        let times = [time(Phase::Write, 6_600), time(Phase::Verify, 3_400)];
        let seconds = phase_seconds(&times);
        for (language, parts) in
            [(Language::En, ["3.4\u{a0}s", "34\u{a0}%"]), (Language::Fr, ["3,4\u{a0}s", "34\u{a0}%"])]
        {
            let said = verification(texts(language), true, &seconds).expect("it was measured");
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
            let skipped = verification(texts(language), false, &seconds).expect("it was left out");
            assert!(!skipped.contains("34") && !skipped.starts_with("report-"), "{skipped}");
        }
        assert_eq!(verification(texts(Language::En), true, &BTreeMap::new()), None);
    }
}
