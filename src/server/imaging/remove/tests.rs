use mimeo_core::{
    ids::{ComputerId, SessionId, VersionNumber},
    manifest::ManifestRoot,
    units::SectorSize,
};
use sqlx::SqlitePool;

use super::{Chosen, RemoveError, remove, remove_chosen};
use crate::{
    clock::Timestamp,
    db,
    events::Events,
    imaging::{
        master::{self, MasterError, MasterRef, NewVersion, insert_version},
        session::{
            Published,
            machine::Input,
            plan::{
                Need,
                tests::{disk, report},
            },
            requests::{DeployVersion, SessionError, Sessions},
        },
    },
};

const T0: Timestamp = Timestamp(1_000);
const GB: u64 = 1_000_000_000;

async fn database() -> SqlitePool {
    let pool = db::open_in_memory().await.expect("a database");
    for id in 1..=2 {
        sqlx::query(
            "INSERT INTO computer (id, name, created_ms, seen_ms, firmware, secure_boot, report) \
             VALUES (?1, 'pc' || ?1, 0, 0, 'bios', 'absent', '')",
        )
        .bind(id)
        .execute(&pool)
        .await
        .expect("a computer");
    }
    pool
}

fn root(number: u8) -> ManifestRoot {
    ManifestRoot([number; 32])
}

async fn publish(db: &SqlitePool, master: &str, number: u8, session: Option<SessionId>) -> u32 {
    let new = NewVersion {
        master: master.parse().expect("a name"),
        description: "for lessons".into(),
        manifest_root: root(number),
        disk_bytes: GB,
        carried_bytes: GB,
        stored_bytes: GB,
        unread_bytes: 0,
        unread_sectors: 0,
        computer: None,
        session,
        provenance: None,
        warnings: vec![],
    };
    insert_version(db, &new, T0).await.expect("inserted").number.0
}

async fn listed(db: &SqlitePool) -> Vec<String> {
    let all = master::list_all_versions(db).await.expect("listed");
    all.iter().map(|listed| listed.reference().to_string()).collect()
}

async fn remove_named(db: &SqlitePool, wanted: &str) -> Result<Vec<u32>, RemoveError> {
    let removed = remove(db, &wanted.parse().expect("a reference"), None).await?;
    Ok(removed.versions.iter().map(|version| version.0).collect())
}

fn deploy(version: u32, root_number: u8) -> DeployVersion {
    DeployVersion {
        master: "debian".parse().expect("a name"),
        version: VersionNumber(version),
        root: root(root_number),
        need: Need::Target { min_bytes: GB, sector: SectorSize::B512 },
        verify: true,
    }
}

#[tokio::test]
async fn a_number_is_never_given_twice_whatever_was_removed() {
    let db = database().await;
    for number in 1..=3 {
        assert_eq!(publish(&db, "debian", number, None).await, u32::from(number));
    }
    assert_eq!(remove_named(&db, "Debian@3").await.expect("removed"), [3]);
    assert_eq!(listed(&db).await, ["debian@1", "debian@2"]);
    let latest = master::load_version(&db, &"debian".parse().expect("a name")).await.expect("there").1;
    assert_eq!(latest.number.0, 2, "the latest is the newest there is");
    assert_eq!(publish(&db, "debian", 4, None).await, 4);

    assert_eq!(remove_named(&db, "debian").await.expect("removed"), [1, 2, 4]);
    assert_eq!(listed(&db).await, [""; 0]);
    assert_eq!(master::list(&db).await.expect("listed"), []);
    let error = remove_named(&db, "debian").await.expect_err("nothing is left");
    assert!(matches!(error, RemoveError::Master(MasterError::Unknown { .. })), "{error}");
    assert_eq!(publish(&db, "DEBIAN", 5, None).await, 5, "also under a name that had nothing left");
    assert_eq!(master::list(&db).await.expect("listed")[0].description, "");
}

#[tokio::test]
async fn what_is_not_there_cannot_be_removed_and_other_versions_than_were_shown_are_not() {
    let db = database().await;
    publish(&db, "debian", 1, None).await;
    publish(&db, "debian", 2, None).await;
    let error = remove_named(&db, "debian@7").await.expect_err("there is no seventh");
    assert_eq!(error.to_string(), "master debian has no version 7, its latest is 2");
    let whole: MasterRef = "debian".parse().expect("a name");
    let shown = [VersionNumber(1)];
    let error = remove(&db, &whole, Some(&shown)).await.expect_err("the second came after");
    assert!(matches!(error, RemoveError::Changed { .. }), "{error}");
    assert_eq!(listed(&db).await, ["debian@1", "debian@2"]);
    remove(&db, &whole, Some(&[VersionNumber(1), VersionNumber(2)])).await.expect("as shown");
    assert_eq!(listed(&db).await, [""; 0]);
}

#[tokio::test]
async fn what_a_session_uses_stays_and_the_session_is_named() {
    let db = database().await;
    let sessions = Sessions::new(db.clone(), Events::new());
    let machine = report(vec![disk("S1", 2 * GB)]);
    for number in 1..=3 {
        publish(&db, "debian", number, None).await;
    }
    let request = sessions.request_deploy(ComputerId(1), &machine, deploy(2, 2), None, T0).await;
    let deploying = request.expect("requested").id;
    for wanted in ["debian@2", "debian"] {
        match remove_named(&db, wanted).await {
            Err(RemoveError::InUse { session, sessions: 1, .. }) => assert_eq!(session, deploying),
            other => panic!("{wanted}: {other:?}"),
        }
    }
    assert_eq!(remove_named(&db, "debian@1").await.expect("nobody uses it"), [1]);
    sessions.cancel(deploying, T0).await.expect("cancelled");
    assert_eq!(remove_named(&db, "debian@2").await.expect("nobody uses it any more"), [2]);

    // A deploy that was thought of before the removal comes too late.
    let late = sessions.request_deploy(ComputerId(1), &machine, deploy(2, 2), None, T0).await;
    let Err(SessionError::Master(MasterError::Removed { wanted })) = late else { panic!("{late:?}") };
    assert_eq!(wanted.to_string(), "debian@2");
}

#[tokio::test]
async fn a_capture_keeps_its_master_and_the_version_that_it_became() {
    let db = database().await;
    let sessions = Sessions::new(db.clone(), Events::new());
    let machine = report(vec![disk("S1", 2 * GB)]);
    publish(&db, "debian", 1, None).await;
    let name: master::MasterName = "debian".parse().expect("a name");
    let request = sessions.request_capture(ComputerId(2), &machine, name, None, T0).await;
    let capturing = request.expect("requested").id;
    let error = remove_named(&db, "debian").await.expect_err("a capture is to come");
    assert!(matches!(error, RemoveError::InUse { session, .. } if session == capturing), "{error}");
    assert_eq!(remove_named(&db, "debian@1").await.expect("it does not need the old one"), [1]);

    let session = sessions.load(capturing).await.expect("loaded");
    let crate::imaging::session::DiskChoice::Pinned(pin) = session.disk else { panic!("no disk") };
    let plan = crate::imaging::session::plan::Plan::Pinned(pin);
    let boot = mimeo_core::ids::BootId(1);
    sessions.step(capturing, Input::Begin { boot, plan }, T0).await.expect("begun");
    let version = VersionNumber(publish(&db, "debian", 2, Some(capturing)).await);
    let published = Published { version, root: root(2) };
    sessions.step(capturing, Input::Published(published), T0).await.expect("published");
    let error = remove_named(&db, "debian@2").await.expect_err("its client has not heard of it yet");
    assert!(matches!(error, RemoveError::InUse { session, .. } if session == capturing), "{error}");
}

#[tokio::test]
async fn a_rule_never_takes_the_latest_nor_what_is_gone_nor_what_a_session_uses() {
    let db = database().await;
    let sessions = Sessions::new(db.clone(), Events::new());
    let name: master::MasterName = "Debian".parse().expect("a name");
    let numbers = |some: &[u32]| some.iter().map(|&number| VersionNumber(number)).collect::<Vec<_>>();
    assert_eq!(remove_chosen(&db, &name, |_| numbers(&[1])).await.expect("nothing to do"), Chosen::default());
    for number in 1..=4 {
        publish(&db, "debian", number, None).await;
    }
    // The rule thought that 2 may go because of 3 and 4; by now a person has removed those, and 1.
    for gone in ["debian@1", "debian@3", "debian@4"] {
        remove_named(&db, gone).await.expect("removed");
    }
    let all = numbers(&[1, 2, 3, 4]);
    let chosen = remove_chosen(&db, &name, |seen| {
        assert_eq!(seen.iter().map(|version| version.number).collect::<Vec<_>>(), numbers(&[2]));
        all.clone()
    });
    assert_eq!(chosen.await.expect("nothing to do"), Chosen::default());
    assert_eq!(listed(&db).await, ["debian@2"]);

    publish(&db, "debian", 5, None).await;
    publish(&db, "debian", 6, None).await;
    let machine = report(vec![disk("S1", 2 * GB)]);
    let request = sessions.request_deploy(ComputerId(1), &machine, deploy(2, 2), None, T0).await;
    let deploying = request.expect("requested").id;
    let chosen = remove_chosen(&db, &name, |_| numbers(&[2, 5, 6])).await.expect("chosen");
    assert_eq!(
        chosen,
        Chosen { removed: numbers(&[5]), in_use: vec![(VersionNumber(2), deploying)] },
        "6 is the latest"
    );
    assert_eq!(listed(&db).await, ["debian@2", "debian@6"]);
}
