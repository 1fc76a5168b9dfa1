use mimeo_core::{
    ids::{ComputerId, SessionId, VersionNumber},
    manifest::{
        ManifestRoot,
        warning::{Opaque, Warning},
    },
};
use sqlx::SqlitePool;

use super::{
    BadMasterRef, MasterError, MasterName, MasterRef, NewVersion, find, find_by_name, insert_version, list,
    list_versions, load_version, update_description,
};
use crate::{clock::Timestamp, db};

fn name(text: &str) -> MasterName {
    text.parse().expect("a valid name")
}

fn new(master: &str, root: u8, session: Option<i64>) -> NewVersion {
    NewVersion {
        master: name(master),
        description: format!("the first {master}"),
        manifest_root: ManifestRoot([root; 32]),
        disk_bytes: 1 << 40,
        carried_bytes: 5000,
        stored_bytes: 4000,
        unread_bytes: 1024,
        unread_sectors: 2,
        computer: Some(ComputerId(7)),
        session: session.map(SessionId),
        provenance: None,
        warnings: vec![
            Warning {
                what: Opaque::Luks,
                partition: 2,
                volume: Some(String::from("vg/home").try_into().expect("a name")),
            },
            Warning { what: Opaque::RaidMember, partition: 3, volume: None },
        ],
    }
}

async fn database() -> SqlitePool {
    db::open_in_memory().await.expect("database opens")
}

async fn insert(db: &SqlitePool, new: &NewVersion, now: i64) -> u32 {
    insert_version(db, new, Timestamp(now)).await.expect("version is inserted").number.0
}

async fn load(db: &SqlitePool, text: &str) -> Result<(String, u32), MasterError> {
    let wanted = text.parse().expect("a valid reference");
    let (master, version) = load_version(db, &wanted).await?;
    Ok((master.name.to_string(), version.number.0))
}

#[test]
fn names_are_short_and_safe_on_a_command_line_and_in_a_path() {
    let longest = "a".repeat(64);
    for good in ["debian-12", "W11_23H2.fr", "7", &longest] {
        assert_eq!(good.parse::<MasterName>().map(|name| name.to_string()).as_deref(), Ok(good));
    }
    let too_long = "a".repeat(65);
    for bad in ["", "-x", ".", "..", "_", "a b", "a/b", "é", "a@1", "a\0", "a\n", &too_long] {
        assert!(matches!(bad.parse::<MasterName>(), Err(BadMasterRef::Name { .. })), "{bad:?}");
    }
}

#[test]
fn a_reference_is_a_name_and_perhaps_a_version() {
    let version = |text: &str| text.parse::<MasterRef>().map(|wanted| wanted.version);
    assert_eq!(version("debian"), Ok(None));
    assert_eq!(version("debian@12"), Ok(Some(VersionNumber(12))));
    assert_eq!("debian@12".parse::<MasterRef>().map(|wanted| wanted.to_string()).as_deref(), Ok("debian@12"));
    for bad in
        ["debian@", "debian@0", "debian@+1", "debian@01", "debian@-1", "debian@1@2", "debian@4294967296"]
    {
        assert!(matches!(version(bad), Err(BadMasterRef::Version { .. })), "{bad}");
    }
    assert!(matches!(version("@1"), Err(BadMasterRef::Name { .. })));
}

#[tokio::test]
async fn versions_count_from_one_in_each_master() {
    let db = database().await;
    assert_eq!(list(&db).await.expect("list"), []);
    assert_eq!(insert(&db, &new("debian", 1, Some(1)), 100).await, 1);
    assert_eq!(insert(&db, &new("windows", 2, Some(2)), 200).await, 1);
    assert_eq!(insert(&db, &new("debian", 3, Some(3)), 300).await, 2);
    // Imports have no session, and there may be many.
    assert_eq!(insert(&db, &new("windows", 4, None), 400).await, 2);
    assert_eq!(insert(&db, &new("windows", 4, None), 400).await, 3);

    let masters = list(&db).await.expect("list");
    let shown: Vec<_> = masters.iter().map(|master| (master.name.as_str(), master.latest.0)).collect();
    assert_eq!(shown, [("debian", 2), ("windows", 3)]);
    assert_eq!(masters[0].description, "the first debian");
    assert_eq!(masters[0].created_at, Timestamp(100));
    assert_eq!(find(&db, masters[1].id).await.expect("find"), Some(masters[1].clone()));

    let versions = list_versions(&db, masters[0].id).await.expect("versions");
    assert_eq!(versions.iter().map(|version| version.number.0).collect::<Vec<_>>(), [2, 1]);
    let NewVersion {
        manifest_root,
        disk_bytes,
        carried_bytes,
        stored_bytes,
        computer,
        session,
        warnings,
        ..
    } = new("debian", 3, Some(3));
    assert_eq!(versions[0].warnings, warnings);
    assert_eq!(versions[0].manifest_root, manifest_root);
    assert_eq!((versions[0].computer, versions[0].session), (computer, session));
    assert_eq!(
        (versions[0].disk_bytes, versions[0].carried_bytes, versions[0].stored_bytes),
        (disk_bytes, carried_bytes, stored_bytes)
    );
    assert_eq!((versions[0].unread_bytes, versions[0].unread_sectors), (1024, 2));
}

#[tokio::test]
async fn a_reference_finds_the_latest_version_or_the_one_it_names() {
    let db = database().await;
    for root in 1..=3 {
        insert(&db, &new("Debian-12", root, None), 1).await;
    }
    assert_eq!(load(&db, "Debian-12").await.expect("latest"), ("Debian-12".into(), 3));
    assert_eq!(load(&db, "debian-12@2").await.expect("second"), ("Debian-12".into(), 2));
    let error = load(&db, "debian-12@4").await.expect_err("there is no fourth");
    assert_eq!(error.to_string(), "master Debian-12 has no version 4, its latest is 3");
    let error = load(&db, "fedora@1").await.expect_err("there is no such master");
    assert_eq!(error.to_string(), "there is no master fedora@1");
}

#[tokio::test]
async fn names_that_differ_in_capitals_are_one_master() {
    let db = database().await;
    assert_eq!(insert(&db, &new("Debian", 1, None), 1).await, 1);
    assert_eq!(insert(&db, &new("DEBIAN", 2, None), 2).await, 2);
    let found = find_by_name(&db, &name("debian")).await.expect("find").expect("it exists");
    assert_eq!(found.name.as_str(), "Debian");
    assert_eq!(list(&db).await.expect("list").len(), 1);
}

#[tokio::test]
async fn a_session_makes_one_version_however_often_it_asks() {
    let db = database().await;
    let first = insert_version(&db, &new("debian", 1, Some(5)), Timestamp(1)).await.expect("inserted");
    let again = insert_version(&db, &new("debian", 1, Some(5)), Timestamp(9)).await.expect("given again");
    assert_eq!(again, first);
    for other in [new("debian", 2, Some(5)), new("windows", 1, Some(5))] {
        let error = insert_version(&db, &other, Timestamp(2)).await.expect_err("another version");
        assert!(matches!(error, MasterError::SessionHasVersion { session: SessionId(5), .. }), "{error}");
    }
    // The refused request left no master behind either.
    assert_eq!(list(&db).await.expect("list").len(), 1);
}

#[tokio::test]
async fn a_version_never_changes() {
    let db = database().await;
    insert(&db, &new("debian", 1, None), 1).await;
    let change = sqlx::query("UPDATE master_version SET stored_bytes = 0").execute(&db).await;
    assert!(change.is_err_and(|error| error.to_string().contains("a version never changes")));
    let master = list(&db).await.expect("list").remove(0);
    update_description(&db, master.id, "lecture rooms").await.expect("description may change");
    assert_eq!(list(&db).await.expect("list")[0].description, "lecture rooms");
}

#[tokio::test]
async fn captures_that_end_at_once_get_different_numbers() {
    let folder = tempfile::tempdir().expect("folder");
    let db = db::open(&folder.path().join("mimeo.db")).await.expect("database opens");
    let inserts = (1..=12).map(|session| {
        let db = db.clone();
        tokio::spawn(async move { insert(&db, &new("debian", 1, Some(session)), 1).await })
    });
    let mut numbers = Vec::new();
    for task in inserts.collect::<Vec<_>>() {
        numbers.push(task.await.expect("task ends"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
}
