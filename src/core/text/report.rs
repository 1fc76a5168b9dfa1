//! What a session did, once it is over.

use std::{collections::BTreeMap, time::Duration};

use super::{Texts, size};
use crate::messages::Phase;

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

    use super::verification;
    use crate::{
        messages::{Language, Phase, PhaseTime, phase_seconds},
        text::texts,
    };

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
