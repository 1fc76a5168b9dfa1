use std::time::Duration;

use mimeo_core::ids::Secret;

use super::{Actor, Auth, AuthError, Peer};
use crate::{
    clock::Timestamp,
    db,
    events::{Event, Events},
};

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const PASSWORD: &str = "correct horse battery";

fn peer(last: u8) -> Peer {
    Peer::Network([10, 0, 0, last].into())
}

async fn auth() -> Auth {
    let db = db::open_in_memory().await.expect("a database");
    Auth::new(db, Events::new(), HOUR)
}

async fn with_account() -> Auth {
    let auth = auth().await;
    let code = auth.setup_code().await.expect("works").expect("there is no account");
    auth.set_up(peer(1), &code.to_string(), "zoe", PASSWORD, NOW).await.expect("sets up");
    auth
}

#[tokio::test]
async fn the_setup_code_stays_the_same_until_it_is_used_and_works_once() {
    let auth = auth().await;
    let code = auth.setup_code().await.expect("works").expect("there is no account");
    assert_eq!(auth.setup_code().await.expect("works"), Some(code.clone()));
    let short = auth.set_up(peer(1), &code.to_string(), "zoe", "short", NOW).await;
    assert!(matches!(short, Err(AuthError::PasswordRefused(_))), "{short:?}");
    let login = auth.set_up(peer(1), &code.to_string(), "zoe", PASSWORD, NOW).await.expect("sets up");
    assert_eq!(login.account, "zoe");
    assert_eq!(auth.setup_code().await.expect("works"), None);
    let again = auth.set_up(peer(1), &code.to_string(), "eve", PASSWORD, NOW).await;
    assert!(matches!(again, Err(AuthError::WrongSetupCode)), "{again:?}");
}

#[tokio::test]
async fn of_two_first_logins_at_once_one_sets_the_password() {
    let auth = auth().await;
    let code = auth.setup_code().await.expect("works").expect("there is no account").to_string();
    let (zoe, eve) = tokio::join!(
        auth.set_up(peer(1), &code, "zoe", PASSWORD, NOW),
        auth.set_up(peer(2), &code, "eve", PASSWORD, NOW),
    );
    let (first, second) = if zoe.is_ok() { (zoe, eve) } else { (eve, zoe) };
    assert!(matches!(second, Err(AuthError::WrongSetupCode)), "{second:?}");
    let login = first.expect("one of them comes in");
    let actor = auth.find_login(&login.secret, NOW).await.expect("works");
    assert_eq!(actor, Some(Actor::Account { name: login.account }));
}

#[tokio::test]
async fn asking_whether_the_first_login_is_open_changes_nothing() {
    let auth = auth().await;
    assert!(auth.awaits_setup().await.expect("works"));
    let settings: i64 =
        sqlx::query_scalar("SELECT count(*) FROM setting").fetch_one(&auth.db).await.expect("reads");
    assert_eq!(settings, 0, "strangers write nothing");
    let auth = with_account().await;
    assert!(!auth.awaits_setup().await.expect("works"));
    auth.renew_setup_code().await.expect("renews");
    assert!(auth.awaits_setup().await.expect("works"));
}

#[tokio::test]
async fn many_guessers_together_do_not_lock_out_an_address_from_which_the_password_came() {
    let auth = with_account().await;
    auth.log_in(peer(1), "zoe", PASSWORD, NOW).await.expect("logs in");
    {
        let mut guesses = auth.guesses.lock().expect("nobody panicked");
        while guesses.by_account.take(&"zoe".to_owned(), NOW).is_ok() {}
    }
    let elsewhere = auth.log_in(peer(2), "zoe", PASSWORD, NOW).await;
    assert!(matches!(elsewhere, Err(AuthError::TooManyAttempts { .. })), "{elsewhere:?}");
    assert!(auth.log_in(peer(1), "zoe", PASSWORD, NOW).await.is_ok());
    for _ in 0..10 {
        let wrong = auth.log_in(peer(1), "zoe", "a guess", NOW).await;
        assert!(matches!(wrong, Err(AuthError::WrongCredentials)), "{wrong:?}");
    }
    let held = auth.log_in(peer(1), "zoe", PASSWORD, NOW).await;
    assert!(matches!(held, Err(AuthError::TooManyAttempts { .. })), "its own limit holds: {held:?}");
}

#[tokio::test]
async fn what_strangers_send_is_told_in_few_words() {
    let auth = auth().await;
    let mut heard = auth.events.listen();
    auth.refuse(peer(1), &"x".repeat(60_000), ());
    let event = heard.recv().await.expect("an event");
    assert!(matches!(event, Event::CredentialRefused { ref reason, .. } if reason.len() == 160), "{event:?}");
}

#[tokio::test]
async fn a_wrong_setup_code_is_refused_and_leaves_the_right_one_in_place() {
    let auth = auth().await;
    let code = auth.setup_code().await.expect("works").expect("there is no account");
    for wrong in ["0000-0000-0000", "nonsense"] {
        let refused = auth.set_up(peer(1), wrong, "eve", PASSWORD, NOW).await;
        assert!(matches!(refused, Err(AuthError::WrongSetupCode)), "{refused:?}");
    }
    assert!(auth.set_up(peer(1), &code.to_string(), "zoe", PASSWORD, NOW).await.is_ok());
}

#[tokio::test]
async fn a_renewed_setup_code_replaces_the_account_and_ends_its_logins() {
    let auth = with_account().await;
    let old = auth.log_in(peer(1), "zoe", PASSWORD, NOW).await.expect("logs in");
    let code = auth.renew_setup_code().await.expect("renews");
    auth.set_up(peer(1), &code.to_string(), "ada", "another horse battery", NOW).await.expect("sets up");
    assert_eq!(auth.find_login(&old.secret, NOW).await.expect("works"), None);
    assert!(matches!(auth.log_in(peer(1), "zoe", PASSWORD, NOW).await, Err(AuthError::WrongCredentials)));
}

#[tokio::test]
async fn a_login_lasts_as_long_as_configured_and_ends_when_told() {
    let auth = with_account().await;
    let login = auth.log_in(peer(1), " zoe ", PASSWORD, NOW).await.expect("logs in");
    let at = async |now| auth.find_login(&login.secret, now).await.expect("works");
    assert_eq!(at(NOW).await, Some(Actor::Account { name: "zoe".into() }));
    assert!(at(Timestamp(NOW.plus(HOUR).0 - 1)).await.is_some());
    assert_eq!(at(NOW.plus(HOUR)).await, None);
    auth.log_out(&login.secret).await.expect("works");
    assert_eq!(at(NOW).await, None);
}

#[tokio::test]
async fn wrong_names_and_passwords_are_refused_alike_and_told_to_everybody_who_listens() {
    let auth = with_account().await;
    let mut heard = auth.events.listen();
    for (name, password) in [("zoe", "wrong"), ("eve", PASSWORD), ("", "")] {
        let refused = auth.log_in(peer(1), name, password, NOW).await;
        assert!(matches!(refused, Err(AuthError::WrongCredentials)), "{refused:?}");
        let event = heard.recv().await.expect("an event");
        assert!(
            matches!(event, Event::CredentialRefused { ref address, .. } if address == "10.0.0.1"),
            "{event:?}"
        );
    }
}

#[tokio::test]
async fn a_guesser_is_slowed_down_and_the_administrator_elsewhere_is_not() {
    let auth = with_account().await;
    let mut tries = 0;
    let wait = loop {
        match auth.log_in(peer(66), "zoe", "a guess", NOW).await {
            Err(AuthError::WrongCredentials) => tries += 1,
            Err(AuthError::TooManyAttempts { wait }) => break wait,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((tries, wait), (10, Duration::from_secs(30)));
    let right = auth.log_in(peer(66), "zoe", PASSWORD, NOW).await;
    assert!(
        matches!(right, Err(AuthError::TooManyAttempts { .. })),
        "the right password is not tried either"
    );
    assert!(auth.log_in(peer(1), "zoe", PASSWORD, NOW).await.is_ok());
    assert!(auth.log_in(peer(66), "zoe", PASSWORD, NOW.plus(wait)).await.is_ok());
}

#[tokio::test]
async fn a_token_is_found_by_its_secret_until_it_is_deleted() {
    let auth = auth().await;
    let (_, secret) = auth.create_token("backup script", NOW).await.expect("creates");
    assert!(matches!(auth.create_token("backup script", NOW).await, Err(AuthError::TokenExists { .. })));
    let found = auth.find_token(&secret).await.expect("works");
    assert_eq!(found, Some(Actor::Token { name: "backup script".into() }));
    assert_eq!(auth.find_token(&Secret::from_random([1; 32])).await.expect("works"), None);
    auth.delete_token("backup script").await.expect("deletes");
    assert_eq!(auth.find_token(&secret).await.expect("works"), None);
    assert!(matches!(auth.delete_token("backup script").await, Err(AuthError::NoSuchToken { .. })));
}

#[tokio::test]
async fn no_secret_is_kept_as_it_is() {
    let auth = with_account().await;
    let login = auth.log_in(peer(1), "zoe", PASSWORD, NOW).await.expect("logs in");
    let (_, token) = auth.create_token("t", NOW).await.expect("creates");
    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT fingerprint FROM login UNION ALL SELECT fingerprint FROM api_token")
            .fetch_all(&auth.db)
            .await
            .expect("reads");
    assert_eq!(kept.len(), 3, "set-up, login and token");
    for secret in [login.secret, token] {
        let plain = hex::decode(secret.reveal()).expect("hexadecimal");
        assert!(kept.contains(&secret.fingerprint().to_vec()) && !kept.contains(&plain));
    }
}
