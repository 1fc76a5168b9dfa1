//! Captures and deploys while versions are removed and the store is collected.

use mimeo_core::{
    chunk::ChunkId,
    messages::{Orders, VersionReply, records},
};

use super::house::{CHUNK_BYTES, Client, House, MAC_A, MAC_B, disk_content, manifest_of, plain_chunks};
use crate::imaging::{
    master::MasterName,
    session::State,
    store::{
        collect::{Collected, Sweep},
        pace::Pace,
    },
    upkeep::collect::collect,
};

impl House {
    async fn collect(&self) -> Collected {
        let sweep = Sweep { dry_run: false, recompress: false, pace: Pace::UNLIMITED };
        let collected = collect(&self.services.store, &self.services.pool, sweep, &|_progress| {}).await;
        collected.expect("collected")
    }

    async fn remove(&self, wanted: &str) {
        let wanted = wanted.parse().expect("a reference");
        self.services.remove_master(&wanted, None).await.expect("removed");
    }
}

fn ids_of(content: &[u8]) -> Vec<ChunkId> {
    plain_chunks(content).into_iter().map(ChunkId::of).collect()
}

/// A computer with an earlier version of its disk in the store, which then is removed, and a capture that relied on it.
async fn capture_that_relies_on_what_is_removed(house: &House) -> (Client, mimeo_core::ids::SessionId) {
    let client = house.boot(MAC_A).await;
    house.capture(&client, 1).await;
    let client = house.boot(MAC_A).await;
    let name: MasterName = "other".parse().expect("a name");
    let now = crate::clock::Timestamp::now();
    let requested = house.services.request_capture(client.computer, name, None, None, now).await;
    let session = requested.expect("requested").id;
    client.orders().await;
    assert_eq!(client.missing(session, &ids_of(&disk_content(1))).await, [], "everything is there");
    house.remove("debian").await;
    (client, session)
}

#[tokio::test]
async fn a_capture_that_was_told_that_nothing_is_missing_is_published_whatever_is_removed() {
    let house = House::new().await;
    let (client, session) = capture_that_relies_on_what_is_removed(&house).await;
    assert_eq!(house.collect().await.removed_packs, 0);
    let reply = client.hand_in(session, &manifest_of(&disk_content(1)).encode()).await;
    assert!(matches!(reply, VersionReply::Published { .. }), "{reply:?}");
    client.outcome(session, None).await;
    house.services.tidy_sessions(crate::clock::Timestamp::now()).await.expect("tidied");
    assert_eq!(house.collect().await, Collected::default());

    let target = house.boot(MAC_B).await;
    let deploy = house.request_deploy(target.computer, "other").await.expect("requested");
    assert!(matches!(target.orders().await, Orders::Deploy(_)));
    let fetched = target.fetch(deploy, &ids_of(&disk_content(1))).await;
    let chunks = records::parse_all(&fetched.body).expect("records");
    let plain: Vec<_> = chunks.iter().map(|chunk| mimeo_core::chunk::open(chunk).expect("sound")).collect();
    assert_eq!(plain.concat(), disk_content(1));
}

#[tokio::test]
async fn a_capture_that_is_cancelled_relies_on_nothing_any_more() {
    let house = House::new().await;
    let (_client, session) = capture_that_relies_on_what_is_removed(&house).await;
    let now = crate::clock::Timestamp::now();
    house.services.sessions.cancel(session, now).await.expect("cancelled");
    house.services.tidy_sessions(now).await.expect("tidied");
    let collected = house.collect().await;
    assert_eq!((collected.removed_packs, collected.removed_manifests), (1, 1));
    assert_eq!(house.services.store.stats().await.expect("stats").chunks, 0);
}

#[tokio::test]
async fn what_was_collected_between_two_servers_is_asked_for_when_the_manifest_comes() {
    let house = House::new().await;
    let (client, session) = capture_that_relies_on_what_is_removed(&house).await;
    let (house, client) = house.restart(client).await;
    // The client has not said a word to this server, which promised it nothing.
    assert_eq!(house.collect().await.removed_packs, 1);
    let content = disk_content(1);
    let manifest = manifest_of(&content).encode();
    let VersionReply::Missing(list) = client.hand_in(session, &manifest).await else { panic!("it is gone") };
    assert_eq!(list.ids, ids_of(&content));
    client.upload(session, &content[..CHUNK_BYTES * 2]).await;
    house.collect().await;
    client.upload(session, &content[CHUNK_BYTES * 2..]).await;
    let reply = client.hand_in(session, &manifest).await;
    assert!(matches!(reply, VersionReply::Published { .. }), "{reply:?}");
    client.outcome(session, None).await;
    assert_eq!(house.state(session).await, State::Succeeded);
    house.collect().await;
    let lost = house.services.store.verify(&ids_of(&content), &|_| ()).await.expect("verified");
    assert_eq!((lost.proved_chunks, lost.damaged.len(), lost.missing.len()), (4, 0, 0));
}
