use mimeo_core::{
    bad_sectors::BadSectorLimit,
    failure::{Failure, FailureCause},
    ids::{BootId, ComputerId, SessionId, VersionNumber},
    manifest::ManifestRoot,
    messages::{DiskPin, Heartbeat, Outcome, Phase, Progress},
    units::SectorSize,
};
use proptest::{
    prelude::{Just, Strategy, prop, prop_oneof, proptest},
    sample::select,
};

use super::{ATTEMPTS_MAX, BOOT_SPAN, Effect, Input, LEASE, Refused, START_GRACE, UNHEARD_BOOTS_MAX, step};
use crate::{
    clock::Timestamp,
    events::Event,
    imaging::session::{
        DiskChoice, Job, Published, Session, State,
        plan::{Need, Plan},
    },
};

const T0: Timestamp = Timestamp(1_000_000);
const BOOT: BootId = BootId(1);
const NEXT_BOOT: BootId = BootId(2);
const PUBLISHED: Published = Published { version: VersionNumber(1), root: ManifestRoot([1; 32]) };

fn pin(serial: &str) -> DiskPin {
    DiskPin {
        model: None,
        serial: Some(serial.into()),
        wwn: None,
        size_bytes: 1 << 30,
        logical_sector: SectorSize::B512,
    }
}

/// A deploy that waits for its computer.
pub(crate) fn waiting() -> Session {
    Session {
        id: SessionId(7),
        computer: ComputerId(3),
        job: Job::Deploy {
            master: "debian".parse().expect("a name"),
            version: VersionNumber(2),
            root: ManifestRoot([2; 32]),
            need: Need::Target { min_bytes: 1 << 20, sector: SectorSize::B512 },
            verify: true,
        },
        rule: None,
        disk: DiskChoice::Pinned(pin("A")),
        state: State::Waiting,
        phase: None,
        progress: Progress::default(),
        phase_times: Vec::new(),
        attempts: 0,
        boot: None,
        unheard_boots: 0,
        boot_offered: None,
        requested: T0,
        started: None,
        ended: None,
    }
}

fn capture() -> Session {
    let master = "debian".parse().expect("a name");
    let job = Job::Capture { master, tolerate_bad_sectors: BadSectorLimit::NONE, published: None };
    Session { job, ..waiting() }
}

fn asked() -> Session {
    Session { disk: DiskChoice::Asked(vec![pin("A"), pin("B")]), ..waiting() }
}

fn begin(boot: BootId) -> Input {
    Input::Begin { boot, plan: Plan::Pinned(pin("A")) }
}

fn heartbeat(boot: BootId, phase: Phase) -> Input {
    Input::Heartbeat { boot, heartbeat: Heartbeat { phase, progress: Progress::default() } }
}

fn outcome(boot: BootId, failure: Option<Failure>) -> Input {
    Input::Outcome { boot, outcome: Outcome { progress: Progress::default(), phases: Vec::new(), failure } }
}

fn failure() -> Failure {
    Failure {
        phase: Phase::Write,
        cause: FailureCause::WriteFailed { offset_bytes: 512, detail: "EIO".into() },
    }
}

/// The session after a script of inputs, each of which must be accepted.
#[track_caller]
fn after(session: Session, script: impl IntoIterator<Item = (Input, Timestamp)>) -> Session {
    script.into_iter().fold(session, |session, (input, now)| {
        let shown = format!("{input:?}");
        step(session, input, now).unwrap_or_else(|refused| panic!("{shown}: {refused}")).0
    })
}

fn told(effects: &[Effect]) -> Vec<&Event> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Tell(event) => Some(event),
            _ => None,
        })
        .collect()
}

fn running() -> Session {
    after(waiting(), [(begin(BOOT), T0)])
}

#[test]
fn every_input_in_every_state_does_what_the_diagram_says() {
    let ended = |state: State| Session { state, ended: Some(T0), ..running() };
    let states = [
        waiting(),
        running(),
        ended(State::Succeeded),
        ended(State::Failed(failure())),
        ended(State::Cancelled),
    ];
    // The name of the state that follows, `-` where the input is refused. In the order of `states`.
    let late = T0.plus(LEASE);
    let table: [(Input, [&str; 5]); 13] = [
        (Input::BootOffered, ["waiting", "running", "-", "-", "-"]),
        (begin(BOOT), ["running", "running", "-", "-", "-"]),
        (begin(NEXT_BOOT), ["running", "running", "-", "-", "-"]),
        (
            Input::Begin { boot: NEXT_BOOT, plan: Plan::Ask(vec![pin("A")]) },
            ["waiting", "waiting", "-", "-", "-"],
        ),
        (
            Input::Begin {
                boot: NEXT_BOOT,
                plan: Plan::Impossible(FailureCause::DiskMissing { wanted: pin("A") }),
            },
            ["failed", "failed", "-", "-", "-"],
        ),
        (heartbeat(BOOT, Phase::Write), ["-", "running", "-", "-", "-"]),
        (heartbeat(NEXT_BOOT, Phase::Write), ["-", "-", "-", "-", "-"]),
        (Input::Alive { boot: BOOT }, ["-", "running", "-", "-", "-"]),
        (outcome(BOOT, None), ["-", "succeeded", "-", "-", "-"]),
        (outcome(BOOT, Some(failure())), ["-", "failed", "-", "-", "-"]),
        (Input::Cancel, ["cancelled", "cancelled", "-", "-", "-"]),
        (Input::Tick, ["waiting", "waiting", "succeeded", "failed", "cancelled"]),
        (Input::ServerStarted, ["waiting", "running", "succeeded", "failed", "cancelled"]),
    ];
    for (input, expected) in table {
        for (before, expect) in states.iter().zip(expected) {
            let result = step(before.clone(), input.clone(), late);
            let actual = result.as_ref().map_or("-", |(session, _)| session.state.name());
            assert_eq!(actual, expect, "{} with {input:?}", before.state.name());
        }
    }
}

#[test]
fn a_lease_ends_thirty_seconds_after_the_last_heartbeat() {
    let beaten = after(running(), [(heartbeat(BOOT, Phase::Write), T0.plus(LEASE / 2))]);
    let end = T0.plus(LEASE / 2).plus(LEASE);
    assert_eq!(beaten.state, State::Running { lease_until: end });
    let just_before = after(beaten.clone(), [(Input::Tick, Timestamp(end.0 - 1))]);
    assert_eq!(just_before.state.name(), "running");
    assert_eq!(after(beaten, [(Input::Tick, end)]).state, State::Waiting);
}

#[test]
fn a_computer_that_loses_power_is_deployed_when_it_comes_back() {
    let later = T0.plus(LEASE);
    let done = after(
        waiting(),
        [
            (begin(BOOT), T0),
            (heartbeat(BOOT, Phase::Write), T0),
            (Input::Tick, later),
            (begin(NEXT_BOOT), later),
            (heartbeat(NEXT_BOOT, Phase::Finish), later),
            (outcome(NEXT_BOOT, None), later),
        ],
    );
    assert_eq!((done.state, done.attempts, done.started), (State::Succeeded, 2, Some(T0)));
}

#[test]
fn a_session_that_is_begun_too_often_fails_and_says_so() {
    let mut session = waiting();
    let mut now = T0;
    for attempt in 1..=ATTEMPTS_MAX {
        session = after(session, [(begin(BootId(i64::from(attempt))), now)]);
        assert_eq!(session.attempts, attempt);
        now = now.plus(LEASE);
        session = after(session, [(Input::Tick, now)]);
    }
    let lost = FailureCause::ClientLost { attempts: ATTEMPTS_MAX };
    assert_eq!(session.state, State::Failed(Failure { phase: Phase::Prepare, cause: lost.clone() }));

    // The same where the computer crashes and boots faster than its lease ends.
    let crashing = (1..=4).map(|boot| (begin(BootId(boot)), T0));
    assert_eq!(
        after(waiting(), crashing).state,
        State::Failed(Failure { phase: Phase::Prepare, cause: lost })
    );
}

#[test]
fn asking_for_orders_twice_in_one_boot_is_one_attempt() {
    let session = after(running(), [(begin(BOOT), T0), (begin(BOOT), T0)]);
    assert_eq!(session.attempts, 1);
}

#[test]
fn a_client_that_was_silent_goes_on_in_the_same_boot() {
    let later = T0.plus(LEASE);
    let silent = after(running(), [(Input::Tick, later)]);
    let back = after(silent, [(heartbeat(BOOT, Phase::Write), later)]);
    assert_eq!((back.state.name(), back.attempts), ("running", 1));
}

#[test]
fn an_older_boot_cannot_disturb_the_newer_one() {
    let newer = after(running(), [(begin(NEXT_BOOT), T0)]);
    assert_eq!(step(newer.clone(), outcome(BOOT, None), T0), Err(Refused::OtherBoot));
    assert_eq!(step(newer, heartbeat(BOOT, Phase::Write), T0), Err(Refused::OtherBoot));
}

#[test]
fn what_an_older_boot_asked_for_late_is_no_new_attempt() {
    let newer = after(running(), [(begin(NEXT_BOOT), T0)]);
    assert_eq!(step(newer, begin(BOOT), T0), Err(Refused::OtherBoot));
}

#[test]
fn a_boot_that_asks_about_the_disk_ends_what_the_boot_before_it_did() {
    let ask = Input::Begin { boot: NEXT_BOOT, plan: Plan::Ask(vec![pin("A"), pin("B")]) };
    let asked = after(running(), [(ask, T0)]);
    assert_eq!(asked.state, State::Waiting);
    assert_eq!(step(asked.clone(), heartbeat(BOOT, Phase::Write), T0), Err(Refused::NotRunning));
    assert_eq!(step(asked, outcome(BOOT, None), T0), Err(Refused::NotRunning));
}

#[test]
fn a_computer_whose_client_never_says_a_word_is_not_sent_into_it_for_ever() {
    let mut session = waiting();
    let mut now = T0;
    for boots in 1..=UNHEARD_BOOTS_MAX {
        // One boot asks for its script under several names.
        let soon = now.plus(BOOT_SPAN / 2);
        session = after(session, [(Input::BootOffered, now), (Input::BootOffered, soon)]);
        assert_eq!((session.state.name(), session.unheard_boots), ("waiting", boots));
        now = now.plus(BOOT_SPAN);
    }
    let heard = after(session.clone(), [(begin(BOOT), now), (Input::BootOffered, now)]);
    assert_eq!((heard.state.name(), heard.unheard_boots), ("running", 1));
    let asked = Input::Begin { boot: BOOT, plan: Plan::Ask(vec![pin("A"), pin("B")]) };
    assert_eq!(after(session.clone(), [(asked, now)]).unheard_boots, 0, "one that waits for an answer lives");
    let (failed, effects) = step(session, Input::BootOffered, now).expect("the limit");
    let cause = FailureCause::ClientSilent { boots: UNHEARD_BOOTS_MAX };
    let failure = Failure { phase: Phase::Prepare, cause };
    assert_eq!(failed.state, State::Failed(failure.clone()));
    assert_eq!(told(&effects), [&Event::SessionFailed { session: failed.id, failure }]);
}

#[test]
fn a_client_that_lives_is_not_taken_for_silent_whoever_asks_for_its_boot_script() {
    let mut session = running();
    for minute in 1..20 {
        let now = T0.plus(BOOT_SPAN * minute);
        session = after(session, [(Input::BootOffered, now), (heartbeat(BOOT, Phase::Write), now)]);
    }
    assert_eq!((session.state.name(), session.unheard_boots), ("running", 0));
}

#[test]
fn a_clock_that_is_set_back_does_not_hide_boots() {
    let offered = after(waiting(), [(Input::BootOffered, T0.plus(LEASE * 1000)), (Input::BootOffered, T0)]);
    assert_eq!(offered.unheard_boots, 2);
}

#[test]
fn a_capture_whose_version_is_listed_has_succeeded_whatever_becomes_of_its_client() {
    let listed = || after(capture(), [(begin(BOOT), T0), (Input::Published(PUBLISHED), T0)]);
    let late = T0.plus(LEASE);
    assert_eq!(after(listed(), [(Input::Tick, late)]).state, State::Succeeded, "its power was cut");
    assert_eq!(after(listed(), [(begin(NEXT_BOOT), T0)]).state, State::Succeeded, "it was started anew");
    let lost = Failure { phase: Phase::Verify, cause: FailureCause::ServerLost { detail: String::new() } };
    assert_eq!(after(listed(), [(outcome(BOOT, Some(lost)), T0)]).state, State::Succeeded);
    let away =
        after(capture(), [(begin(BOOT), T0), (Input::Tick, late), (Input::Published(PUBLISHED), late)]);
    assert_eq!(away.state, State::Succeeded, "its lease ended while its chunks were read back");
}

#[test]
fn a_server_that_starts_again_gives_running_sessions_a_grace() {
    let much_later = T0.plus(LEASE * 100);
    let graced = after(running(), [(Input::ServerStarted, much_later)]);
    assert_eq!(graced.state, State::Running { lease_until: much_later.plus(START_GRACE) });
    let normal_again = after(graced, [(heartbeat(BOOT, Phase::Write), much_later)]);
    assert_eq!(normal_again.state, State::Running { lease_until: much_later.plus(LEASE) });
}

#[test]
fn a_question_is_answered_with_one_of_its_candidates() {
    let question = asked();
    assert_eq!(step(question.clone(), Input::Answer(pin("C")), T0), Err(Refused::NotACandidate));
    assert_eq!(step(waiting(), Input::Answer(pin("A")), T0), Err(Refused::NotAsked));
    let answered = after(question, [(Input::Answer(pin("B")), T0)]);
    assert_eq!(answered.disk, DiskChoice::Pinned(pin("B")));
}

#[test]
fn a_capture_succeeds_only_with_a_version() {
    let reading = after(capture(), [(begin(BOOT), T0)]);
    let empty_handed = after(reading.clone(), [(outcome(BOOT, None), T0)]);
    assert!(matches!(
        empty_handed.state,
        State::Failed(Failure { cause: FailureCause::Internal { .. }, .. })
    ));
    let published = after(reading, [(Input::Published(PUBLISHED), T0), (Input::Published(PUBLISHED), T0)]);
    let other = Published { version: VersionNumber(2), ..PUBLISHED };
    assert_eq!(
        step(published.clone(), Input::Published(other), T0),
        Err(Refused::PublishedOtherwise(VersionNumber(1)))
    );
    assert_eq!(after(published, [(outcome(BOOT, None), T0)]).state, State::Succeeded);
    assert_eq!(step(running(), Input::Published(PUBLISHED), T0), Err(Refused::NotACapture));
}

#[test]
fn each_phase_is_told_once_when_it_begins_and_ends() {
    let (session, effects) = step(waiting(), begin(BOOT), T0).expect("begun");
    assert_eq!(effects[0], Effect::PhaseBegan(Phase::Prepare));
    assert_eq!(told(&effects), [&Event::SessionStarted { session: session.id }]);
    let (session, effects) = step(session, heartbeat(BOOT, Phase::Write), T0).expect("a heartbeat");
    let progress = Progress::default();
    assert_eq!(
        effects[..2],
        [Effect::PhaseEnded(Phase::Prepare, progress), Effect::PhaseBegan(Phase::Write)]
    );
    let (session, effects) = step(session, heartbeat(BOOT, Phase::Write), T0).expect("a heartbeat");
    assert!(matches!(effects[..], [Effect::Tell(Event::SessionProgressed { .. })]));
    let (session, effects) = step(session, outcome(BOOT, None), T0).expect("an outcome");
    assert_eq!(effects[0], Effect::PhaseEnded(Phase::Write, progress));
    assert_eq!((session.phase, session.ended), (Some(Phase::Write), Some(T0)));
}

#[test]
fn a_damaged_chunk_is_named_with_its_version() {
    let chunk = mimeo_core::chunk::ChunkId([7; 32]);
    let missing = Failure { phase: Phase::Write, cause: FailureCause::ChunkMissing { chunk } };
    let (_, effects) = step(running(), outcome(BOOT, Some(missing)), T0).expect("an outcome");
    assert!(
        matches!(told(&effects)[..], [Event::ChunkFoundDamaged { detail, .. }, _] if detail.starts_with("debian@2: "))
    );
    let cause = |detail: &str| FailureCause::ChunkDamaged { chunk, detail: detail.into() };
    let failure = Failure { phase: Phase::Write, cause: cause("wrong content") };
    let (session, effects) = step(running(), outcome(BOOT, Some(failure)), T0).expect("an outcome");
    let named = Failure { phase: Phase::Write, cause: cause("debian@2: wrong content") };
    assert_eq!(session.state, State::Failed(named.clone()));
    let damaged = Event::ChunkFoundDamaged { chunk, detail: "debian@2: wrong content".into() };
    assert_eq!(told(&effects), [&damaged, &Event::SessionFailed { session: session.id, failure: named }]);
}

fn any_input() -> impl Strategy<Value = Input> {
    let boot = || (1i64..6).prop_map(BootId);
    let phase = select(vec![Phase::Prepare, Phase::Read, Phase::Write, Phase::Finish]);
    let plan = select(vec![
        Plan::Pinned(pin("A")),
        Plan::Pinned(pin("A")),
        Plan::Pinned(pin("A")),
        Plan::Ask(vec![pin("A"), pin("B")]),
        Plan::Impossible(FailureCause::DiskMissing { wanted: pin("A") }),
    ]);
    prop_oneof![
        4 => (boot(), plan).prop_map(|(boot, plan)| Input::Begin { boot, plan }),
        4 => (boot(), phase).prop_map(|(boot, phase)| heartbeat(boot, phase)),
        1 => boot().prop_map(|boot| Input::Alive { boot }),
        1 => Just(Input::Published(PUBLISHED)),
        1 => (boot(), select(vec![None, Some(failure())])).prop_map(|(boot, failure)| outcome(boot, failure)),
        1 => select(vec![pin("A"), pin("C")]).prop_map(Input::Answer),
        1 => Just(Input::Cancel),
        3 => Just(Input::Tick),
        1 => Just(Input::ServerStarted),
        2 => Just(Input::BootOffered),
        1 => Just(Input::Fail(FailureCause::StoreFull { detail: String::new() })),
    ]
}

fn any_message() -> impl Strategy<Value = fn(BootId) -> Input> {
    let messages: [fn(BootId) -> Input; 6] = [
        begin,
        |boot| heartbeat(boot, Phase::Prepare),
        |boot| heartbeat(boot, Phase::Finish),
        |boot| Input::Alive { boot },
        |boot| outcome(boot, None),
        |boot| outcome(boot, Some(failure())),
    ];
    select(messages.to_vec())
}

proptest! {
    #[test]
    fn whatever_happens_the_rules_hold(
        start in select(vec![waiting(), capture(), asked()]),
        script in prop::collection::vec((any_input(), 0u64..80), 0..60),
    ) {
        let mut session = start;
        let mut now = T0;
        let mut open_phases = 0;
        for (input, seconds) in script {
            now = now.plus(std::time::Duration::from_secs(seconds));
            let before = session.clone();
            let Ok((after, effects)) = step(session.clone(), input, now) else { continue };
            for effect in &effects {
                match effect {
                    Effect::PhaseBegan(_) => open_phases += 1,
                    Effect::PhaseEnded(..) => open_phases -= 1,
                    Effect::Tell(_) => {}
                }
                assert!((0..=1).contains(&open_phases));
            }
            assert!(before.state.is_open() || after == before, "what has ended changed");
            assert_eq!(after.ended.is_some(), !after.state.is_open());
            assert!(after.state.is_open() || open_phases == 0);
            assert!(after.attempts <= ATTEMPTS_MAX && after.attempts >= before.attempts);
            assert_eq!(after.boot.is_some(), after.attempts > 0);
            assert!(after.started.is_some() == (after.attempts > 0));
            assert!(after.unheard_boots <= UNHEARD_BOOTS_MAX);
            assert!(after.boot >= before.boot, "an older boot took over");
            if let State::Running { lease_until } = after.state {
                assert!(lease_until <= now.plus(START_GRACE));
                assert!(matches!(after.disk, DiskChoice::Pinned(_)), "somebody works on no disk");
            }
            session = after;
        }
    }

    /// A computer dies and boots again; what its former boots sent arrives late, twice, and in any order.
    #[test]
    fn late_and_repeated_messages_of_former_boots_change_nothing(
        late in prop::collection::vec((1i64..3, any_message()), 0..30),
        fails in prop::bool::ANY,
    ) {
        let last_boot = BootId(3);
        let mut session = after(waiting(), (1..=3).map(|boot| (begin(BootId(boot)), T0)));
        let alive = session.clone();
        for (boot, message) in late {
            let input = message(BootId(boot));
            let again = step(session.clone(), input.clone(), T0);
            assert_eq!(again, Err(Refused::OtherBoot), "{input:?}");
        }
        assert_eq!(session, alive);
        // The same word of the last boot twice has the effect of one.
        for message in [begin, |boot| heartbeat(boot, Phase::Write), |boot| Input::Alive { boot }] {
            let once = after(session, [(message(last_boot), T0)]);
            session = after(once.clone(), [(message(last_boot), T0)]);
            assert_eq!(session, once);
        }
        let end = outcome(last_boot, fails.then(failure));
        let ended = after(session, [(end.clone(), T0)]);
        assert_eq!(ended.state, if fails { State::Failed(failure()) } else { State::Succeeded });
        assert!(matches!(step(ended, end, T0), Err(Refused::Ended { .. })));
    }
}
