use std::time::Duration;

use mimeo_core::{
    failure::{Failure, FailureCause},
    ids::{BootId, ComputerId, VersionNumber},
    manifest::ManifestRoot,
    messages::{Heartbeat, Outcome, Phase, Progress},
    units::SectorSize,
};
use proptest::{
    prelude::{Strategy, any, prop, proptest},
    sample::select,
    test_runner::Config,
};
use sqlx::SqlitePool;

use super::{DeployVersion, SessionError, Sessions};
use crate::{
    clock::Timestamp,
    db,
    events::{Event, Events},
    imaging::session::{
        DiskChoice, State,
        machine::{ATTEMPTS_MAX, Input, LEASE},
        plan::{
            self, Need, Plan,
            tests::{disk, report},
        },
        table::{SessionFilter, TableError},
    },
};

const T0: Timestamp = Timestamp(1_000_000);
const PC: ComputerId = ComputerId(1);
const GB: u64 = 1_000_000_000;

/// A database with computers that have nothing but ids: their table is another domain's.
async fn database(computers: i64) -> SqlitePool {
    let pool = db::open_in_memory().await.expect("a database");
    for id in 1..=computers {
        sqlx::query(
            "INSERT INTO computer (id, name, created_ms, seen_ms, firmware, secure_boot, report) \
             VALUES (?1, 'pc' || ?1, 0, 0, 'bios', 'absent', '')",
        )
        .bind(id)
        .execute(&pool)
        .await
        .expect("a computer");
    }
    // The version that deploys here write.
    sqlx::query("INSERT INTO master (id, name, created_at, last_number) VALUES (1, 'debian', 0, 3)")
        .execute(&pool)
        .await
        .expect("a master");
    sqlx::query("INSERT INTO master_version VALUES (1, 3, ?1, 0, 0, 0, 0, NULL, NULL, '[]')")
        .bind(ManifestRoot([9; 32]).to_string())
        .execute(&pool)
        .await
        .expect("a version");
    pool
}

fn debian(min_bytes: u64) -> DeployVersion {
    DeployVersion {
        master: "debian".parse().expect("a name"),
        version: VersionNumber(3),
        root: ManifestRoot([9; 32]),
        need: Need::Target { min_bytes, sector: SectorSize::B512 },
    }
}

async fn begin(sessions: &Sessions, id: mimeo_core::ids::SessionId, boot: i64, now: Timestamp) {
    let session = sessions.load(id).await.expect("loaded");
    let DiskChoice::Pinned(pin) = session.disk else { panic!("no disk chosen") };
    let input = Input::Begin { boot: BootId(boot), plan: Plan::Pinned(pin) };
    sessions.step(id, input, now).await.expect("begun");
}

#[tokio::test]
async fn what_is_requested_is_kept_and_told() {
    let events = Events::new();
    let mut heard = events.listen();
    let sessions = Sessions::new(database(2).await, events);
    let computer = report(vec![disk("A", 20 * GB), disk("B", 30 * GB)]);
    let rule = Some("B".parse().expect("a rule"));
    let session = sessions.request_deploy(PC, &computer, debian(GB), rule, T0).await.expect("requested");
    assert_eq!(sessions.load(session.id).await.expect("loaded"), session);
    assert_eq!(heard.try_recv(), Ok(Event::SessionRequested { session: session.id, computer: PC }));

    let second = sessions.request_capture(PC, &computer, "x".parse().expect("a name"), None, T0).await;
    assert!(matches!(second, Err(SessionError::Table(TableError::AlreadyOpen(PC)))), "{second:?}");
    let capture = sessions
        .request_capture(ComputerId(2), &computer, "x".parse().expect("a name"), None, T0)
        .await
        .expect("requested");
    assert!(matches!(capture.disk, DiskChoice::Asked(_)));
    assert_eq!(sessions.load(capture.id).await.expect("loaded"), capture);
    assert_eq!(sessions.find_open(PC).await.expect("looked").map(|open| open.id), Some(session.id));
    let of_pc = SessionFilter { computer: Some(PC), open_only: false };
    assert_eq!(sessions.list(of_pc).await.expect("listed").len(), 1);
}

#[tokio::test]
async fn a_request_that_no_disk_can_meet_leaves_nothing_behind() {
    let sessions = Sessions::new(database(1).await, Events::new());
    let small = report(vec![disk("A", GB)]);
    match sessions.request_deploy(PC, &small, debian(2 * GB), None, T0).await {
        Err(SessionError::Impossible(cause)) => {
            assert_eq!(cause, FailureCause::DiskTooSmall { needed_bytes: 2 * GB, actual_bytes: GB });
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(sessions.list(SessionFilter::default()).await.expect("listed"), []);
}

#[tokio::test]
async fn a_question_waits_for_its_answer() {
    let sessions = Sessions::new(database(1).await, Events::new());
    let computer = report(vec![disk("A", 20 * GB), disk("B", 30 * GB)]);
    let session = sessions.request_deploy(PC, &computer, debian(GB), None, T0).await.expect("requested");
    let DiskChoice::Asked(candidates) = session.disk else { panic!("no question") };
    let answered = sessions.answer(session.id, candidates[1].clone(), T0).await.expect("answered");
    assert_eq!(answered.disk, DiskChoice::Pinned(candidates[1].clone()));
    assert_eq!(sessions.load(session.id).await.expect("loaded"), answered);
}

#[tokio::test]
async fn phases_of_every_attempt_are_kept_with_their_times() {
    let sessions = Sessions::new(database(1).await, Events::new());
    let computer = report(vec![disk("A", 20 * GB)]);
    let id = sessions.request_deploy(PC, &computer, debian(GB), None, T0).await.expect("requested").id;
    begin(&sessions, id, 1, T0).await;
    let progress = Progress { done_bytes: 5, written_bytes: 5, ..Progress::default() };
    let heartbeat = Heartbeat { phase: Phase::Write, progress };
    let write_at = T0.plus(Duration::from_secs(4));
    sessions.step(id, Input::Heartbeat { boot: BootId(1), heartbeat }, write_at).await.expect("a heartbeat");
    let lost_at = write_at.plus(LEASE);
    sessions.expire_leases(lost_at).await.expect("expired");
    assert_eq!(sessions.load(id).await.expect("loaded").state, State::Waiting);
    begin(&sessions, id, 2, lost_at).await;
    let outcome = Outcome { progress, failure: None };
    let end = lost_at.plus(Duration::from_secs(9));
    sessions.step(id, Input::Outcome { boot: BootId(2), outcome }, end).await.expect("an outcome");

    let phases = sessions.phases(id).await.expect("phases");
    let seen: Vec<_> = phases.iter().map(|p| (p.attempt, p.phase, p.began, p.ended)).collect();
    assert_eq!(
        seen,
        [
            (1, Phase::Prepare, T0, Some(write_at)),
            (1, Phase::Write, write_at, Some(lost_at)),
            (2, Phase::Prepare, lost_at, Some(end)),
        ]
    );
    assert_eq!(phases[1].progress, Some(progress));
}

#[tokio::test]
async fn failures_in_a_row_count_until_something_else_happened() {
    let sessions = Sessions::new(database(1).await, Events::new());
    let computer = report(vec![disk("A", 20 * GB)]);
    let cause = FailureCause::Tool { name: "e2fsck".into(), detail: "exit status 8".into() };
    for (number, fails) in [true, false, true, true, true].into_iter().enumerate() {
        let id = sessions.request_deploy(PC, &computer, debian(GB), None, T0).await.expect("requested").id;
        begin(&sessions, id, 1, T0).await;
        let failure = fails.then(|| Failure { phase: Phase::Grow, cause: cause.clone() });
        let outcome = Outcome { progress: Progress::default(), failure };
        sessions.step(id, Input::Outcome { boot: BootId(1), outcome }, T0).await.expect("an outcome");
        let expected = [1, 0, 1, 2, 3][number];
        assert_eq!(sessions.failures_in_a_row(PC, 3).await.expect("counted"), expected);
    }
}

#[tokio::test]
async fn a_server_that_was_away_for_an_hour_does_not_lose_its_sessions() {
    let pool = database(1).await;
    let sessions = Sessions::new(pool.clone(), Events::new());
    let computer = report(vec![disk("A", 20 * GB)]);
    let id = sessions.request_deploy(PC, &computer, debian(GB), None, T0).await.expect("requested").id;
    begin(&sessions, id, 1, T0).await;

    let sessions = Sessions::new(pool, Events::new());
    let now = T0.plus(Duration::from_secs(3600));
    sessions.resume_after_start(now).await.expect("resumed");
    sessions.expire_leases(now.plus(LEASE)).await.expect("expired");
    assert_eq!(sessions.load(id).await.expect("loaded").state.name(), "running");
    sessions.expire_leases(now.plus(LEASE * 2)).await.expect("expired");
    assert_eq!(sessions.load(id).await.expect("loaded").state, State::Waiting);
}

/// What people, clients and time do to sessions.
#[derive(Debug, Clone)]
enum Op {
    Request { computer: i64 },
    Begin { computer: i64, boot: i64 },
    Heartbeat { computer: i64, boot: i64 },
    Outcome { computer: i64, boot: i64, fails: bool },
    Cancel { session: i64 },
    Expire,
    Restart,
}

fn any_op() -> impl Strategy<Value = Op> {
    (0..12, 1i64..3, 1i64..6, any::<bool>(), 1i64..9).prop_map(|(kind, computer, boot, fails, session)| {
        match kind {
            0..3 => Op::Request { computer },
            3..6 => Op::Begin { computer, boot },
            6..8 => Op::Heartbeat { computer, boot },
            8 => Op::Outcome { computer, boot, fails },
            9 => Op::Cancel { session },
            10 => Op::Expire,
            _ => Op::Restart,
        }
    })
}

/// Does one thing. What the machine refuses is as good as what it accepts here; the database must never fail.
async fn run(sessions: &Sessions, op: Op, now: Timestamp) {
    let computer_report = report(vec![disk("A", 20 * GB)]);
    let open = async |computer| sessions.find_open(ComputerId(computer)).await.expect("looked");
    let stepped = match op {
        Op::Request { computer } => sessions
            .request_deploy(ComputerId(computer), &computer_report, debian(GB), None, now)
            .await
            .map(|_| ()),
        Op::Begin { computer, boot } => match open(computer).await {
            Some(session) => {
                let plan = plan::plan(&computer_report, session.job.need(), None);
                sessions.step(session.id, Input::Begin { boot: BootId(boot), plan }, now).await.map(|_| ())
            }
            None => Ok(()),
        },
        Op::Heartbeat { computer, boot } => match open(computer).await {
            Some(session) => {
                let heartbeat = Heartbeat { phase: Phase::Write, progress: Progress::default() };
                let input = Input::Heartbeat { boot: BootId(boot), heartbeat };
                sessions.step(session.id, input, now).await.map(|_| ())
            }
            None => Ok(()),
        },
        Op::Outcome { computer, boot, fails } => match open(computer).await {
            Some(session) => {
                let cause = FailureCause::ServerLost { detail: String::new() };
                let failure = fails.then_some(Failure { phase: Phase::Write, cause });
                let outcome = Outcome { progress: Progress::default(), failure };
                sessions
                    .step(session.id, Input::Outcome { boot: BootId(boot), outcome }, now)
                    .await
                    .map(|_| ())
            }
            None => Ok(()),
        },
        Op::Cancel { session } => sessions.cancel(mimeo_core::ids::SessionId(session), now).await.map(|_| ()),
        Op::Expire => sessions.expire_leases(now).await,
        Op::Restart => sessions.resume_after_start(now).await,
    };
    match stepped {
        Ok(())
        | Err(SessionError::Refused(_))
        | Err(SessionError::Table(TableError::AlreadyOpen(_) | TableError::Unknown(_))) => {}
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #![proptest_config(Config::with_cases(48))]

    #[test]
    fn whatever_is_done_each_computer_has_one_open_session_and_the_ended_stay_as_they_are(
        script in prop::collection::vec((any_op(), select(vec![0, 5, 31])), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let sessions = Sessions::new(database(2).await, Events::new());
            let mut now = T0;
            let mut before = Vec::new();
            for (op, seconds) in script {
                now = now.plus(Duration::from_secs(seconds));
                run(&sessions, op, now).await;
                let after = sessions.list(SessionFilter::default()).await.expect("listed");
                for computer in [1, 2].map(ComputerId) {
                    let open = after.iter().filter(|s| s.computer == computer && s.state.is_open()).count();
                    assert!(open <= 1);
                }
                assert!(after.iter().all(|session| session.attempts <= ATTEMPTS_MAX));
                for ended in before.iter().filter(|session: &&super::Session| !session.state.is_open()) {
                    assert!(after.contains(ended), "{ended:?} changed");
                }
                before = after;
            }
        });
    }
}
