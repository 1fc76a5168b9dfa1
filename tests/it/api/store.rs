//! Masters are removed, and the store is counted, verified and collected, over the API.

use std::time::Duration;

use mimeo_core::{
    chunk::ChunkSize,
    chunk::{ChunkId, seal},
    disk::table::{PartitionTable, Scheme},
    ids::MacAddr,
    manifest::{Content, DiskGeometry, Manifest, Region, RegionKind, Run},
    units::{Extent, SectorSize},
};
use mimeo_server::{
    clock::Timestamp,
    events::Event,
    imaging::{
        keys::load_signing_key,
        publish::{Origin, Publication, publish_version},
    },
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::house::{As, House};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 0xa]);
const CHUNK_BYTES: usize = 128 << 10;

pub(super) fn content(number: u8) -> Vec<u8> {
    let mut bytes = vec![0; CHUNK_BYTES];
    blake3::Hasher::new().update(&[number]).finalize_xof().fill(&mut bytes);
    bytes
}

/// Lists a version with these chunks.
pub(super) async fn publish(house: &House, master: &str, numbers: &[u8]) {
    let services = &house.services;
    let length_bytes = (numbers.len() * CHUNK_BYTES) as u64;
    let ids = numbers.iter().map(|&number| ChunkId::of(&content(number))).collect();
    let manifest = Manifest {
        disk: DiskGeometry {
            size_bytes: 64 << 20,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B512,
        },
        chunk_size: ChunkSize::DEFAULT,
        table: PartitionTable { scheme: Scheme::Mbr { disk_signature: 7 }, partitions: Vec::new() },
        regions: vec![Region {
            place: Extent { start_bytes: 0, length_bytes },
            kind: RegionKind::BootArea,
            content: Content::Raw { found: None },
            runs: vec![Run::Chunks(ids)],
        }],
        unread: vec![],
    };
    let intake = services.store.intake();
    intake.put(numbers.iter().map(|&number| seal(&content(number))).collect()).await.expect("taken");
    let stored_bytes = intake.finish().await.expect("finished").bytes;
    let origin = Origin {
        master: master.parse().expect("a name"),
        description: String::new(),
        computer: None,
        session: None,
        stored_bytes,
        provenance: None,
    };
    let key = load_signing_key(&services.pool).await.expect("a key");
    let now = Timestamp::now();
    let published =
        publish_version(&services.store, &services.pool, &key, &manifest, &origin, now, &|_| ()).await;
    assert!(matches!(published, Ok(Publication::Published(_))), "{published:?}");
}

/// Waits for the end of the job that was begun last.
pub(super) async fn end_of_job(house: &House, who: &As) -> Value {
    let wait = async {
        loop {
            let job = house.get("/store/job", who).await.body;
            if !job["ended"].is_null() {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the job ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_removed_by_name_unless_a_session_uses_it() {
    let house = House::start().await;
    let program = house.program().await;
    let computer = house.register(MAC, &["AAA"]).await;
    for numbers in [[1, 2], [2, 3], [3, 4]] {
        publish(&house, "debian", &numbers).await;
    }
    let deploy = json!({ "do": "deploy", "computer": computer.to_string(), "master": "debian@2" });
    let session = house.post("/sessions", &program, deploy).await.body["id"].clone();
    for path in ["/masters/debian@2", "/masters/debian%402", "/masters/debian"] {
        let refused = house.ask(Method::DELETE, path, &program, None).await;
        assert_eq!((refused.status, refused.error()), (StatusCode::CONFLICT, "in_use"));
        assert_eq!(refused.body["details"]["session"], session);
        assert!(
            refused.body["message"].as_str().is_some_and(|text| text.contains(&format!("session {session}")))
        );
    }
    let mut events = house.services.events.listen();
    let removed = house.ask(Method::DELETE, "/masters/DEBIAN@3", &program, None).await;
    assert_eq!(
        (removed.status, removed.body),
        (StatusCode::OK, json!({ "name": "debian", "versions": [3] }))
    );
    let told = events.recv().await.expect("told");
    assert!(
        matches!(told, Event::VersionRemoved { ref name, version } if name == "debian" && version.0 == 3)
    );

    house.post(&format!("/sessions/{session}/cancel"), &program, json!({})).await;
    let other = house.ask(Method::DELETE, "/masters/debian?versions=1,2,3", &program, None).await;
    assert_eq!((other.status, other.error()), (StatusCode::CONFLICT, "versions_changed"));
    let removed = house.ask(Method::DELETE, "/masters/debian?versions=1,2", &program, None).await;
    assert_eq!(removed.body["versions"], json!([1, 2]));
    assert_eq!(house.get("/masters", &program).await.body, json!([]));
    publish(&house, "debian", &[7]).await;
    let versions = house.get("/masters/debian", &program).await.body["versions"].clone();
    assert_eq!((versions.as_array().map(Vec::len), &versions[0]["version"]), (Some(1), &json!(4)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_says_what_each_version_takes_and_frees_what_none_needs() {
    let house = House::start().await;
    let program = house.program().await;
    publish(&house, "debian", &[1, 2, 3]).await;
    publish(&house, "debian", &[2, 3, 4, 4]).await;
    let record = CHUNK_BYTES + 48;
    let store = house.get("/store", &program).await.body;
    let figures = |version: usize, figure: &str| store["versions"][version][figure].clone();
    assert_eq!(figures(0, "new_bytes"), json!(3 * record));
    assert_eq!(figures(0, "own_bytes"), json!(record));
    assert_eq!(figures(1, "content_bytes"), json!(4 * CHUNK_BYTES));
    assert_eq!((figures(1, "new_bytes"), figures(1, "shared_bytes")), (json!(record), json!(2 * record)));
    assert_eq!((figures(1, "own_bytes"), figures(1, "lost_chunks")), (json!(record), json!(0)));
    assert_eq!(store["needed_bytes"], json!(4 * record));
    assert_eq!(store["content_bytes"], json!(7 * CHUNK_BYTES));
    assert!(store["ratio"].as_f64().is_some_and(|ratio| (1.74..1.76).contains(&ratio)), "{store}");
    assert!(store["free_bytes"].is_u64());

    house.ask(Method::DELETE, "/masters/debian@1", &program, None).await;
    let begun = house.post("/store/gc", &program, json!({ "dry_run": true })).await;
    assert_eq!((begun.status, &begun.body["kind"]), (StatusCode::ACCEPTED, &json!("gc")));
    let planned = end_of_job(&house, &program).await["collected"].clone();
    assert_eq!(house.get("/store", &program).await.body["chunks"], json!(4), "nothing has changed");
    house.post("/store/gc", &program, json!({})).await;
    let job = end_of_job(&house, &program).await;
    // Who followed the first may ask for its end when the next has been begun.
    let first = house.get(&format!("/store/job?id={}", begun.body["id"]), &program).await.body;
    assert_eq!((&first["began"], &first["collected"]), (&begun.body["began"], &planned));
    assert_eq!(house.get("/store/job?id=77", &program).await.status, StatusCode::NOT_FOUND);
    let collected = &job["collected"];
    assert_eq!(
        (&collected["rewritten_packs"], &collected["removed_manifests"]),
        (&json!(1), &json!(1)),
        "{job}"
    );
    assert_eq!(collected["freed_bytes"], planned["freed_bytes"]);
    assert_eq!(collected["freed_bytes"], json!(record + 44));
    assert_eq!(job["done_bytes"], job["total_bytes"]);
    assert_eq!(house.get("/store", &program).await.body["chunks"], json!(3));
    house.post("/store/verify", &program, json!({})).await;
    let found = end_of_job(&house, &program).await["found"].clone();
    assert_eq!((&found["proved_chunks"], &found["broken"]), (&json!(3), &json!([])), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_found_and_named_with_its_master_version_and_chunk() {
    let house = House::start().await;
    let program = house.program().await;
    publish(&house, "debian", &[1, 2]).await;
    publish(&house, "windows", &[2, 3]).await;
    publish(&house, "lost", &[1]).await;
    let store = house.folder.path().join("store");
    let broken = ChunkId::of(&content(1)).to_string();
    for pack in std::fs::read_dir(store.join("packs")).expect("a folder") {
        let path = pack.expect("an entry").path();
        let mut bytes = std::fs::read(&path).expect("a pack");
        if bytes[48..].starts_with(&content(1)) {
            bytes[1000] ^= 1;
            std::fs::write(&path, bytes).expect("damaged");
        }
    }
    let lost = house.get("/masters/lost", &program).await.body["versions"][0]["manifest"].clone();
    std::fs::remove_file(store.join(format!("manifests/{}.manifest", lost.as_str().expect("a root"))))
        .expect("removed");
    let mut events = house.services.events.listen();
    house.post("/store/verify", &program, json!({})).await;
    let found = end_of_job(&house, &program).await["found"].clone();
    assert_eq!((&found["damaged_chunks"], &found["damaged"][0]["chunk"]), (&json!(1), &json!(broken)));
    let expect = json!([
        { "master": "debian", "version": 1, "lost_chunks": 1, "first_lost": broken, "without_manifest": false },
        { "master": "lost", "version": 1, "lost_chunks": 0, "first_lost": null, "without_manifest": true },
    ]);
    assert_eq!(found["broken"], expect);
    assert!(matches!(events.recv().await, Ok(Event::ChunkFoundDamaged { .. })));
    for version in ["debian@1", "lost@1"] {
        let told = events.recv().await.expect("told");
        assert!(
            matches!(&told, Event::VersionFoundBroken { version: named, .. } if named == version),
            "{told:?}"
        );
    }
    // Nobody knows what the version without a manifest needs.
    house.post("/store/gc", &program, json!({})).await;
    let job = end_of_job(&house, &program).await;
    let refused = job["error"].as_str().expect("a reason");
    assert!(refused.contains("lost@1") && refused.contains("remove that version"), "{refused}");
    house.ask(Method::DELETE, "/masters/lost", &program, None).await;
    house.post("/store/gc", &program, json!({})).await;
    let collected = end_of_job(&house, &program).await["collected"].clone();
    assert_eq!(collected["lost_chunks"], json!(1), "{collected}");
    // The next capture that has it mends the version.
    publish(&house, "mended", &[1]).await;
    house.post("/store/verify", &program, json!({})).await;
    assert_eq!(end_of_job(&house, &program).await["found"]["broken"], json!([]));
}
