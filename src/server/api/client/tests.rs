//! The whole conversation, played over the router by a client that has no disk.

use std::time::Duration;

use axum::http::{StatusCode, header::RETRY_AFTER};
use mimeo_core::{
    chunk::ChunkId,
    failure::{Failure, FailureCause},
    messages::{
        CHUNK_LIST_MAX, ChunkList, DiskUse, HeartbeatReply, Hello, Language, Orders, PROTOCOL_VERSION, Phase,
        VersionReply, Welcome, paths, records,
    },
    text::{failure::sentence, texts},
};

use self::house::{House, MAC_A, MAC_B, disk_content, machine, manifest_of, plain_chunks};
use super::answers::AnswerRoom;
use crate::{
    clock::Timestamp,
    events::Event,
    imaging::session::State,
    inventory::boot_token::{Purpose, mint, new_secret},
};

mod collect;
mod house;

const ALL_SESSION_PATHS: [&str; 8] = [
    paths::HEARTBEAT,
    paths::OUTCOME,
    paths::CHUNKS_MISSING,
    paths::CHUNKS_UPLOAD,
    paths::CHUNKS_FETCH,
    paths::VERSION,
    paths::VERSION_ASK,
    paths::MANIFEST,
];

#[tokio::test]
async fn a_token_is_good_for_one_hello_and_every_refusal_is_told() {
    let house = House::new().await;
    let mut heard = house.services.events.listen();
    let token = mint(&house.services.pool, MAC_A, Purpose::Register, Timestamp::now()).await.expect("minted");
    let stale = mint(&house.services.pool, MAC_A, Purpose::Register, Timestamp(0)).await.expect("minted");
    let hello = |token: &mimeo_core::ids::Secret, mac| Hello {
        protocol: PROTOCOL_VERSION,
        token: token.clone(),
        report: machine(mac),
    };
    let knock = async |hello| house.post_json(None, paths::HELLO, &hello).await.status;

    assert_eq!(knock(hello(&token, MAC_B)).await, StatusCode::FORBIDDEN, "another machine's token");
    assert_eq!(knock(hello(&new_secret(), MAC_A)).await, StatusCode::UNAUTHORIZED, "an invented token");
    assert_eq!(knock(hello(&stale, MAC_A)).await, StatusCode::UNAUTHORIZED, "an expired token");
    let old = Hello { protocol: PROTOCOL_VERSION + 1, ..hello(&token, MAC_A) };
    assert_eq!(knock(old).await, StatusCode::BAD_REQUEST, "another protocol");
    for tokenless in [&b"{}"[..], b"", br#"{"protocol":1,"token":"00"}"#] {
        let answer = house.send(None, paths::HELLO, tokenless.to_vec()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "no token");
    }
    assert_eq!(knock(hello(&token, MAC_A)).await, StatusCode::OK);
    assert_eq!(knock(hello(&token, MAC_A)).await, StatusCode::UNAUTHORIZED, "a used token");

    let mut refusals = 0;
    while let Ok(event) = heard.try_recv() {
        if let Event::CredentialRefused { address, .. } = event {
            assert_eq!(address, house::ADDRESS.ip().to_string());
            refusals += 1;
        }
    }
    assert_eq!(refusals, 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_show_one_token_at_once_one_is_let_in() {
    let house = House::new().await;
    for _ in 0..8 {
        let token =
            mint(&house.services.pool, MAC_A, Purpose::Register, Timestamp::now()).await.expect("minted");
        let hello = Hello { protocol: PROTOCOL_VERSION, token, report: machine(MAC_A) };
        let body = serde_json::to_vec(&hello).expect("json");
        let knocks = (0..6).map(|_| house.send(None, paths::HELLO, body.clone()));
        let answers = futures_util::future::join_all(knocks).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(StatusCode::OK), count(StatusCode::UNAUTHORIZED)), (1, 5));
    }
}

#[tokio::test]
async fn nothing_is_answered_without_the_credential_of_this_boot() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    client.orders().await;
    let former = client.credential.clone();
    let again = house.boot(MAC_A).await;
    sqlx::query("UPDATE client_boot SET expires_ms = 1")
        .execute(&house.services.pool)
        .await
        .expect("expired");
    let mut heard = house.services.events.listen();
    let mut all_paths = ALL_SESSION_PATHS.map(|path| paths::of_session(path, session)).to_vec();
    all_paths.extend([paths::ORDERS.to_owned(), paths::LOG.to_owned()]);
    for path in all_paths {
        for credential in [None, Some(new_secret()), Some(former.clone()), Some(again.credential.clone())] {
            let answer = house.send(credential.as_ref(), &path, b"{}".to_vec()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert!(matches!(heard.try_recv(), Ok(Event::CredentialRefused { .. })), "{path}");
        }
    }
    let payload = house.get(None, paths::PAYLOAD).await;
    assert_eq!((payload.status, payload.body.as_slice()), (StatusCode::OK, house::PAYLOAD));
}

#[tokio::test]
async fn a_session_answers_only_to_its_own_computer() {
    let house = House::new().await;
    let owner = house.boot(MAC_A).await;
    let thief = house.boot(MAC_B).await;
    assert_ne!(owner.computer, thief.computer);
    let session = house.request_capture(owner.computer).await;
    owner.orders().await;
    let mut heard = house.services.events.listen();
    for path in ALL_SESSION_PATHS {
        let path = paths::of_session(path, session);
        let answer = house.send(Some(&thief.credential), &path, b"{}".to_vec()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(matches!(heard.try_recv(), Ok(Event::CredentialRefused { .. })), "{path}");
    }
    let nowhere = paths::HEARTBEAT.replace("{session}", "999");
    assert_eq!(house.send(Some(&thief.credential), &nowhere, vec![]).await.status, StatusCode::NOT_FOUND);
    let nothing = paths::HEARTBEAT.replace("{session}", "-1");
    assert_eq!(house.send(Some(&thief.credential), &nothing, vec![]).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn one_who_guesses_is_slowed_down_and_others_are_not() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    let mut last = StatusCode::OK;
    for _ in 0..100 {
        last = house.send(Some(&new_secret()), paths::LOG, vec![]).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
    // The same address with a good credential: a classroom behind one router.
    assert_eq!(
        house.send(Some(&client.credential), paths::LOG, b"line\n".to_vec()).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_disk_is_captured_and_deployed_to_another_computer() {
    let house = House::new().await;
    let source = house.boot(MAC_A).await;
    let capture = house.request_capture(source.computer).await;
    let Orders::Capture(order) = source.orders().await else { panic!("no capture") };
    assert_eq!((order.session, order.master_name.as_str()), (capture, "debian"));
    assert_eq!(order.source.size_bytes, house::DISK_BYTES);
    assert_eq!(source.heartbeat(capture, Phase::Read).await, HeartbeatReply::GoOn);

    // What the server has never seen is missing; handing the manifest in too early says so.
    let manifest = manifest_of(&disk_content(1)).encode();
    let ids: Vec<ChunkId> = plain_chunks(&disk_content(1)).iter().map(|chunk| ChunkId::of(chunk)).collect();
    assert_eq!(source.missing(capture, &ids).await, ids);
    assert_eq!(
        source.hand_in(capture, &manifest).await,
        VersionReply::Missing(ChunkList { ids: ids.clone() })
    );
    source.upload(capture, &disk_content(1)).await;
    assert_eq!(source.missing(capture, &ids).await, []);
    let VersionReply::Published { version, root } = source.hand_in(capture, &manifest).await else {
        panic!("not published")
    };
    assert_eq!(version.0, 1);
    // The answer was lost on the way: the same question has the same answer, and there is still one version.
    assert_eq!(source.hand_in(capture, &manifest).await, VersionReply::Published { version, root });
    let other = manifest_of(&disk_content(2)).encode();
    let refused = source.post(capture, paths::VERSION, other).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(source.outcome(capture, None).await, Orders::Reboot);
    assert_eq!(house.state(capture).await, State::Succeeded);
    assert_eq!(source.heartbeat(capture, Phase::Finish).await, HeartbeatReply::Stop);

    let target = house.boot(MAC_B).await;
    let deploy = house.request_deploy(target.computer, "debian@1").await.expect("requested");
    let Orders::Deploy(order) = target.orders().await else { panic!("no deploy") };
    assert_eq!((order.version, order.manifest_root), (version, root));
    let signed = target.manifest(deploy).await;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&order.manifest_key).expect("a key");
    let opened = signed.open(root, &key).expect("signed by this appliance");
    assert_eq!(opened.encode(), manifest);
    let fetched = target.fetch(deploy, &ids).await;
    let chunks = records::parse_all(&fetched.body).expect("records");
    let plain: Vec<_> = chunks.iter().map(|chunk| mimeo_core::chunk::open(chunk).expect("sound")).collect();
    assert_eq!(plain.concat(), disk_content(1));
    // What the version does not name is none of this session's business, even where the store has it.
    let mut heard = house.services.events.listen();
    let foreign = target.fetch(deploy, &[ChunkId::of(b"another master's")]).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert!(matches!(heard.try_recv(), Ok(Event::CredentialRefused { .. })));
    assert_eq!(target.outcome(deploy, None).await, Orders::Reboot);
    assert_eq!(house.state(deploy).await, State::Succeeded);
}

#[tokio::test]
async fn a_capture_goes_on_after_the_server_was_killed() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    client.orders().await;
    client.upload(session, &disk_content(1)[..house::CHUNK_BYTES * 2]).await;

    let (house, client) = house.restart(client).await;
    let content = disk_content(1);
    let ids: Vec<ChunkId> = plain_chunks(&content).iter().map(|chunk| ChunkId::of(chunk)).collect();
    // Nothing was durable yet, so everything is asked for again, and no half version is listed.
    assert_eq!(client.heartbeat(session, Phase::Read).await, HeartbeatReply::GoOn);
    assert_eq!(client.missing(session, &ids).await, ids);
    assert!(house.request_deploy(client.computer, "debian").await.is_err());
    client.upload(session, &content).await;
    let manifest = manifest_of(&content).encode();
    assert!(matches!(client.hand_in(session, &manifest).await, VersionReply::Published { .. }));

    // Killed again between the version and the outcome.
    let (house, client) = house.restart(client).await;
    assert!(matches!(client.hand_in(session, &manifest).await, VersionReply::Published { .. }));
    client.outcome(session, None).await;
    assert_eq!(house.state(session).await, State::Succeeded);
    let versions: i64 = sqlx::query_scalar("SELECT count(*) FROM master_version")
        .fetch_one(&house.services.pool)
        .await
        .expect("counted");
    assert_eq!(versions, 1);
}

#[tokio::test]
async fn a_manifest_is_handed_in_once_and_then_asked_about_by_its_name() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    client.orders().await;
    let manifest = manifest_of(&disk_content(1)).encode();
    assert_eq!(client.ask_version(session, &manifest).await, VersionReply::ManifestWanted);
    assert!(matches!(client.hand_in(session, &manifest).await, VersionReply::Missing(_)));
    // It asks before it brought them, as after an answer that was lost.
    assert!(matches!(client.ask_version(session, &manifest).await, VersionReply::Missing(_)));

    let (house, client) = house.restart(client).await;
    assert_eq!(client.ask_version(session, &manifest).await, VersionReply::ManifestWanted);
    assert!(matches!(client.hand_in(session, &manifest).await, VersionReply::Missing(_)));
    client.upload(session, &disk_content(1)).await;
    let other = manifest_of(&disk_content(2)).encode();
    assert_eq!(client.ask_version(session, &other).await, VersionReply::ManifestWanted);
    let published = client.ask_version(session, &manifest).await;
    assert!(matches!(published, VersionReply::Published { .. }), "{published:?}");
    let (house, client) = house.restart(client).await;
    assert_eq!(client.ask_version(session, &manifest).await, published);
    client.outcome(session, None).await;
    assert_eq!(house.state(session).await, State::Succeeded);
}

#[tokio::test]
async fn a_manifest_of_another_disk_is_refused() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    client.orders().await;
    client.upload(session, &disk_content(1)).await;
    let mut manifest = manifest_of(&disk_content(1));
    manifest.disk.size_bytes += 512;
    for body in [manifest.encode(), b"no manifest".to_vec()] {
        let answer = client.post(session, paths::VERSION, body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(matches!(answer.json::<FailureCause>(), FailureCause::ManifestRefused { .. }));
    }
}

#[tokio::test]
async fn a_full_disk_of_the_server_is_a_cause_that_the_client_can_report() {
    let house = House::with_reserve(u64::MAX / 2).await;
    let client = house.boot(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    client.orders().await;
    client.upload(session, &disk_content(1)).await;
    let answer = client.post(session, paths::VERSION, manifest_of(&disk_content(1)).encode()).await;
    assert_eq!(answer.status, StatusCode::INSUFFICIENT_STORAGE);
    let cause = answer.json::<FailureCause>();
    assert!(matches!(cause, FailureCause::StoreFull { .. }), "{cause:?}");
    client.outcome(session, Some(Failure { phase: Phase::Read, cause })).await;
    assert_eq!(house.state(session).await.name(), "failed");
}

#[tokio::test]
async fn a_damaged_chunk_fails_its_deploy_by_name() {
    let house = House::new().await;
    let source = house.boot(MAC_A).await;
    house.capture(&source, 1).await;
    house.damage_packs();
    let target = house.boot(MAC_B).await;
    let deploy = house.request_deploy(target.computer, "debian").await.expect("requested");
    target.orders().await;
    let chunk = ChunkId::of(&disk_content(1)[..house::CHUNK_BYTES]);
    // The store sends the record as it lies there; the client opens it and finds the damage.
    let fetched = target.fetch(deploy, &[chunk]).await;
    let sealed = records::parse_all(&fetched.body).expect("records");
    let detail = mimeo_core::chunk::open(&sealed[0]).expect_err("damaged").to_string();

    let mut heard = house.services.events.listen();
    let cause = FailureCause::ChunkDamaged { chunk, detail: detail.clone() };
    target.outcome(deploy, Some(Failure { phase: Phase::Write, cause })).await;
    let named = format!("debian@1: {detail}");
    assert_eq!(heard.try_recv(), Ok(Event::ChunkFoundDamaged { chunk, detail: named.clone() }));
    let failed = Failure { phase: Phase::Write, cause: FailureCause::ChunkDamaged { chunk, detail: named } };
    for language in [Language::Fr, Language::En] {
        let said = sentence(texts(language), &failed.cause);
        assert!(said.contains("debian@1") && said.contains(&chunk.to_string()), "{said}");
    }
    assert_eq!(house.state(deploy).await, State::Failed(failed));
    // The store looked at the chunk too, so the next capture brings it again and the next deploy is told at once.
    assert_eq!(house.services.store.missing(&[chunk]), [chunk]);
    let next = house.request_deploy(target.computer, "debian").await.expect("requested");
    let target = house.boot(MAC_B).await;
    let answer = target.fetch(next, &[chunk]).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(matches!(answer.json(), FailureCause::ChunkDamaged { chunk: named, .. } if named == chunk));
}

#[tokio::test]
async fn chunks_that_clients_do_not_take_leave_the_others_waiting_and_not_the_memory_full() {
    let room_bytes = 2 * (house::CHUNK_BYTES + 1024);
    let house = House::with_answers(AnswerRoom::with(room_bytes, Duration::from_millis(50))).await;
    let source = house.boot(MAC_A).await;
    house.capture(&source, 1).await;
    let target = house.boot(MAC_B).await;
    let deploy = house.request_deploy(target.computer, "debian").await.expect("requested");
    target.orders().await;
    let chunk = ChunkId::of(&disk_content(1)[..house::CHUNK_BYTES]);
    let untaken = target.fetch_untaken(deploy, &[chunk]).await;
    assert_eq!(untaken.status(), StatusCode::OK);
    let refused = target.fetch_untaken(deploy, &[chunk]).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(RETRY_AFTER), "it is told from a server that fails");
    drop(untaken);
    assert_eq!(target.fetch(deploy, &[chunk]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_waiting_client_hears_of_its_session_at_once() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    let waiting = tokio::spawn({
        let (client, deadline) = (client.clone(), std::time::Duration::from_secs(10));
        async move { tokio::time::timeout(deadline, client.orders()).await }
    });
    let session = house.request_capture(client.computer).await;
    match waiting.await.expect("no panic").expect("within the deadline") {
        Orders::Capture(order) => assert_eq!(order.session, session),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_question_is_shown_and_its_answer_starts_the_work() {
    let house = House::new().await;
    let client = house.boot_with_two_disks(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    let Orders::Question(question) = client.orders().await else { panic!("no question") };
    assert_eq!(question.candidates.len(), 2);
    let wanted_for = DiskUse::Capture { master_name: "debian".into() };
    assert_eq!((question.session, &question.wanted_for), (session, &wanted_for));
    let chosen = question.candidates[1].clone();
    let sessions = &house.services.sessions;
    sessions.answer(session, chosen.clone(), Timestamp::now()).await.expect("answered");
    match client.orders().await {
        Orders::Capture(order) => assert_eq!(order.source, chosen),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cancelled_session_stops_its_client() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    client.orders().await;
    client.upload(session, &disk_content(1)).await;
    house.services.sessions.cancel(session, Timestamp::now()).await.expect("cancelled");
    assert_eq!(client.heartbeat(session, Phase::Read).await, HeartbeatReply::Stop);
    let manifest = manifest_of(&disk_content(1)).encode();
    assert_eq!(client.post(session, paths::VERSION, manifest).await.status, StatusCode::CONFLICT);
    // It is sent home, and not left before a screen that says to wait.
    assert_eq!(client.orders().await, Orders::Reboot);
    assert_eq!(client.outcome(session, None).await, Orders::Reboot);
    assert_eq!(house.state(session).await, State::Cancelled);
    // Unless somebody has something else for it to do.
    let next = house.request_capture(client.computer).await;
    assert!(matches!(client.orders().await, Orders::Capture(order) if order.session == next));
}

#[tokio::test]
async fn a_question_that_is_taken_back_sends_the_client_home() {
    let house = House::new().await;
    let client = house.boot_with_two_disks(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    assert!(matches!(client.orders().await, Orders::Question(_)));
    house.services.sessions.cancel(session, Timestamp::now()).await.expect("cancelled");
    assert_eq!(client.orders().await, Orders::Reboot);
}

#[tokio::test]
async fn a_client_that_was_sent_for_a_session_which_ended_meanwhile_goes_home() {
    let house = House::new().await;
    let came_by_itself = house.boot(MAC_A).await;
    assert_eq!(came_by_itself.welcomed, Orders::Wait, "it is there to be given something to do");
    let token = mint(&house.services.pool, MAC_A, Purpose::Session, Timestamp::now()).await.expect("minted");
    let hello = Hello { protocol: PROTOCOL_VERSION, token, report: machine(MAC_A) };
    let welcome: Welcome = house.post_json(None, paths::HELLO, &hello).await.json();
    assert_eq!(welcome.orders, Orders::Reboot);
}

#[tokio::test]
async fn a_version_that_a_killed_server_listed_without_telling_its_session_is_not_lost() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    client.orders().await;
    client.upload(session, &disk_content(1)).await;
    let listed = client.hand_in(session, &manifest_of(&disk_content(1)).encode()).await;
    sqlx::query("UPDATE session SET version = NULL, manifest_root = NULL")
        .execute(&house.services.pool)
        .await
        .expect("the session never learned of it");
    // The computer lost its power as well, and its disk was used meanwhile.
    let (house, _) = house.restart(client).await;
    let client = house.boot(MAC_A).await;
    assert!(matches!(client.welcomed, Orders::Capture(_)));
    client.upload(session, &disk_content(2)).await;
    assert_eq!(client.hand_in(session, &manifest_of(&disk_content(2)).encode()).await, listed);
    client.outcome(session, None).await;
    assert_eq!(house.state(session).await, State::Succeeded);
}

#[tokio::test]
async fn a_disk_that_is_gone_when_the_computer_boots_is_refused_before_anything_happens() {
    let house = House::new().await;
    let source = house.boot(MAC_A).await;
    house.capture(&source, 1).await;
    let target = house.boot(MAC_B).await;
    let session = house.request_deploy(target.computer, "debian").await.expect("requested");
    let mut report = machine(MAC_B);
    report.disks[0].facts.serial = Some("ANOTHER".into());
    let again = house.boot_as(MAC_B, report).await;
    let State::Failed(failure) = house.state(session).await else { panic!("not failed") };
    assert!(matches!(failure.cause, FailureCause::DiskMissing { .. }), "{failure:?}");
    assert_eq!(again.welcomed, Orders::Refused(failure), "whoever stands before it reads why");
    assert_eq!(again.orders().await, Orders::Reboot);
}

#[tokio::test]
async fn requests_have_limits() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    client.orders().await;
    let too_many = ChunkList { ids: vec![ChunkId([1; 32]); CHUNK_LIST_MAX + 1] };
    let body = serde_json::to_vec(&too_many).expect("json");
    assert_eq!(client.post(session, paths::CHUNKS_MISSING, body).await.status, StatusCode::BAD_REQUEST);
    let huge = vec![b' '; super::JSON_BYTES_MAX + 1];
    assert_eq!(client.post(session, paths::HEARTBEAT, huge).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let huge = vec![b'x'; mimeo_core::messages::LOG_BYTES_MAX + 1];
    assert_eq!(
        house.send(Some(&client.credential), paths::LOG, huge).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let long = vec![0; super::UPLOAD_BYTES_MAX + 1];
    assert_eq!(client.post(session, paths::CHUNKS_UPLOAD, long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let long = vec![0; mimeo_core::manifest::BYTES_MAX + 1];
    let answer = client.post(session, paths::VERSION, long).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(matches!(answer.json(), FailureCause::ManifestRefused { .. }));
    assert_eq!(
        client.post(session, paths::CHUNKS_UPLOAD, b"no records".to_vec()).await.status,
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_capture_cannot_fill_the_store_with_more_than_its_disk_holds() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    let session = house.request_capture(client.computer).await;
    client.orders().await;
    let upload_bytes = (house::CHUNK_BYTES * 4) as u64;
    for seed in 0..=(2 * house::DISK_BYTES / upload_bytes) as u8 {
        client.upload(session, &disk_content(seed)).await;
    }
    let mut one_more = Vec::new();
    records::append(&mimeo_core::chunk::seal(b"one more"), &mut one_more);
    let answer = client.post(session, paths::CHUNKS_UPLOAD, one_more).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_sessions_log_has_a_file_of_its_own() {
    let house = House::new().await;
    let client = house.boot(MAC_A).await;
    house.send(Some(&client.credential), paths::LOG, b"before\n".to_vec()).await;
    let session = house.request_capture(client.computer).await;
    client.orders().await;
    house.send(Some(&client.credential), paths::LOG, b"reading\n".to_vec()).await;
    client.outcome(session, None).await;
    house.send(Some(&client.credential), paths::LOG, b"the end\n".to_vec()).await;
    assert_eq!(house.log(&format!("computer-{}.log", client.computer)), "before\n");
    assert_eq!(house.log(&format!("session-{session}.log")), "reading\nthe end\n");
}
