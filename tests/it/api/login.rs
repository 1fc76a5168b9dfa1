//! Getting in: first set-up, login, tokens, and who is kept out.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::house::{As, House, PASSWORD};

impl House {
    /// The administrator's browser.
    async fn browser(&self) -> As {
        let code = self.auth.setup_code().await.expect("works").expect("there is no account");
        let body = json!({ "code": code.to_string(), "name": "zoe", "password": PASSWORD });
        let answer = self.post("/setup", &As::default(), body).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        As { cookie: answer.cookie(), origin: self.own_page(), ..As::default() }
    }
}

#[tokio::test]
async fn the_first_login_takes_the_code_from_the_terminal_and_takes_it_once() {
    let house = House::start().await;
    let nobody = As::default();
    assert_eq!(house.get("/setup", &nobody).await.body, json!({ "needed": true }));
    let code = house.auth.setup_code().await.expect("works").expect("there is no account").to_string();
    for (code, password, status, error) in [
        ("0000-0000-0000", PASSWORD, StatusCode::UNAUTHORIZED, "wrong_setup_code"),
        (code.as_str(), "elevenchars", StatusCode::BAD_REQUEST, "password_refused"),
    ] {
        let body = json!({ "code": code, "name": "zoe", "password": password });
        let answer = house.post("/setup", &nobody, body).await;
        assert_eq!((answer.status, answer.error()), (status, error));
    }
    let body = json!({ "code": code, "name": "zoe", "password": PASSWORD });
    let answer = house.post("/setup", &nobody, body.clone()).await;
    assert_eq!((answer.status, &answer.body["name"]), (StatusCode::OK, &json!("zoe")));
    assert_eq!(house.get("/setup", &nobody).await.body, json!({ "needed": false }));
    let again = house.post("/setup", &nobody, body).await;
    assert_eq!((again.status, again.error()), (StatusCode::UNAUTHORIZED, "wrong_setup_code"));
}

#[tokio::test]
async fn a_login_gives_a_cookie_that_no_script_and_no_other_site_can_use() {
    let house = House::start().await;
    house.browser().await;
    let wrong = json!({ "name": "zoe", "password": "wrong horse battery" });
    let answer = house.post("/login", &As::default(), wrong).await;
    assert_eq!(
        (answer.status, answer.error(), answer.cookie()),
        (StatusCode::UNAUTHORIZED, "wrong_credentials", None)
    );
    let right = json!({ "name": "zoe", "password": PASSWORD });
    let answer = house.post("/login", &As::default(), right).await;
    let header = answer.headers["set-cookie"].to_str().expect("text");
    for attribute in ["__Host-", "HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=3600"] {
        assert!(header.contains(attribute), "{header}");
    }
    let browser = As { cookie: answer.cookie(), origin: house.own_page(), ..As::default() };
    assert_eq!(house.get("/login", &browser).await.body, json!({ "kind": "account", "name": "zoe" }));
    let out = house.post("/logout", &browser, json!({})).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get("/login", &browser).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_with_the_administrators_cookie() {
    let house = House::start().await;
    let browser = house.browser().await;
    let make = json!({ "name": "evil" });
    for origin in [None, Some("https://evil.example".to_owned()), Some("null".to_owned())] {
        let tricked = As { origin, ..browser.clone() };
        let answer = house.post("/tokens", &tricked, make.clone()).await;
        assert_eq!((answer.status, answer.error()), (StatusCode::FORBIDDEN, "foreign_page"), "{tricked:?}");
    }
    let login = json!({ "name": "zoe", "password": PASSWORD });
    let foreign = As { origin: Some("https://evil.example".into()), ..As::default() };
    assert_eq!(house.post("/login", &foreign, login).await.error(), "foreign_page");
    assert_eq!(house.get("/tokens", &browser).await.body, json!([]), "no token was made");
    assert_eq!(house.post("/tokens", &browser, make).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_token_opens_everything_but_the_setup_code_until_it_is_deleted() {
    let house = House::start().await;
    let browser = house.browser().await;
    let made = house.post("/tokens", &browser, json!({ "name": "backup" })).await.body;
    let program = As { token: made["token"].as_str().map(str::to_owned), ..As::default() };
    let who = house.get("/login", &program).await.body;
    assert_eq!(who, json!({ "kind": "token", "name": "backup" }));
    let listed = house.get("/tokens", &program).await.body;
    assert_eq!((&listed[0]["name"], &listed[0]["token"]), (&json!("backup"), &json!(null)));
    for method in [Method::GET, Method::POST] {
        let answer = house.ask(method, "/setup-code", &program, Some(json!({}))).await;
        assert_eq!((answer.status, answer.error()), (StatusCode::FORBIDDEN, "local_only"));
    }
    let deleted = house.ask(Method::DELETE, "/tokens/backup", &program, None).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    assert_eq!(house.get("/login", &program).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_told_for_how_long() {
    let house = House::start().await;
    house.browser().await;
    let guess = json!({ "name": "zoe", "password": "a guess" });
    let mut refused = 0;
    let answer = loop {
        let answer = house.post("/login", &As::default(), guess.clone()).await;
        match answer.status {
            StatusCode::UNAUTHORIZED => refused += 1,
            _ => break answer,
        }
        assert!(refused < 50, "nobody stops this");
    };
    assert_eq!((answer.status, answer.error()), (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"));
    let seconds: u64 =
        answer.headers["retry-after"].to_str().ok().and_then(|text| text.parse().ok()).expect("seconds");
    assert!((1..=31).contains(&seconds), "{seconds}");
    // The machine may be slow, so a guess or two may have come back meanwhile.
    assert!(refused >= 10, "{refused}");
}
