//! The door: first set-up, login, logout, and the choice of a language.

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, header::SET_COOKIE},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;

use crate::{
    api::{
        extract::cookie,
        login::{expired_cookie, login_cookie},
    },
    app::App,
    auth::{account, login::NewLogin, password::CHARS_MIN},
    clock::Timestamp,
    ui::{
        page::{Page, html},
        refusal::Refusal,
        visitor::{Asked, Filled, Guest, Visitor, language_cookie, language_from, own_address},
    },
};

pub fn router() -> Router<App> {
    Router::new()
        .route("/", get(async |_: Visitor| Redirect::to("/computers")))
        .route("/setup", get(show_setup).post(set_up))
        .route("/login", get(show_login).post(log_in))
        .route("/logout", post(log_out))
        .route("/language", post(switch_language))
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage {
    page: Page,
    name: String,
    chars_min: usize,
    refused: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    page: Page,
    name: String,
    /// Where to go once the password was right.
    next: String,
    refused: Option<String>,
}

#[derive(Deserialize)]
struct SetupForm {
    code: String,
    name: String,
    password: String,
    again: String,
}

#[derive(Deserialize)]
struct LoginForm {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct LoginQuery {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct LanguageForm {
    language: String,
    back: String,
}

async fn show_setup(State(app): State<App>, guest: Guest) -> Result<Response, Refusal> {
    if !app.auth.awaits_setup().await? {
        return Ok(Redirect::to("/login").into_response());
    }
    Ok(setup_page(&guest, String::new(), None)?.into_response())
}

async fn set_up(
    State(app): State<App>,
    guest: Guest,
    Filled(form): Filled<SetupForm>,
) -> Result<Response, Refusal> {
    let SetupForm { code, name, password, again } = form;
    let done = if password == again {
        let login = app.auth.set_up(guest.peer, &code, &name, &password, Timestamp::now()).await;
        login.map_err(Refusal::from)
    } else {
        Err(Refusal::PasswordsDiffer)
    };
    match done {
        Ok(login) => Ok(enter(&login, "/")),
        Err(refusal) => Ok((refusal.status(), setup_page(&guest, name, Some(&refusal))?).into_response()),
    }
}

async fn show_login(
    State(app): State<App>,
    guest: Guest,
    visitor: Result<Visitor, Refusal>,
    Asked(query): Asked<LoginQuery>,
) -> Result<Response, Refusal> {
    if visitor.is_ok() {
        return Ok(Redirect::to(&own_address(&query.next)).into_response());
    }
    // A code that waits beside an account is for one who forgot the password: others still log in.
    let exists = account::exists(&app.services.pool).await.map_err(|error| Refusal::internal(&error))?;
    if !exists {
        return Ok(Redirect::to("/setup").into_response());
    }
    Ok(login_page(&guest, String::new(), &query.next, None)?.into_response())
}

async fn log_in(
    State(app): State<App>,
    guest: Guest,
    Filled(form): Filled<LoginForm>,
) -> Result<Response, Refusal> {
    let LoginForm { name, password, next } = form;
    match app.auth.log_in(guest.peer, &name, &password, Timestamp::now()).await.map_err(Refusal::from) {
        Ok(login) => Ok(enter(&login, &next)),
        Err(refusal) => {
            Ok((refusal.status(), login_page(&guest, name, &next, Some(&refusal))?).into_response())
        }
    }
}

async fn log_out(State(app): State<App>, _: Visitor, headers: HeaderMap) -> Result<Response, Refusal> {
    if let Some(secret) = cookie(&headers) {
        app.auth.log_out(&secret).await?;
    }
    Ok(([(SET_COOKIE, expired_cookie())], Redirect::to("/login")).into_response())
}

async fn switch_language(_: Guest, Filled(form): Filled<LanguageForm>) -> Result<Response, Refusal> {
    let language = language_from(&form.language).ok_or(Refusal::BadForm)?;
    let back = Redirect::to(&own_address(&form.back));
    Ok(([(SET_COOKIE, language_cookie(language))], back).into_response())
}

fn enter(login: &NewLogin, next: &str) -> Response {
    ([(SET_COOKIE, login_cookie(login))], Redirect::to(&own_address(next))).into_response()
}

fn setup_page(guest: &Guest, name: String, refusal: Option<&Refusal>) -> Result<Html<String>, Refusal> {
    let refused = refusal.map(|refusal| refusal.sentence(&guest.words));
    html(&SetupPage { page: guest.page(), name, chars_min: CHARS_MIN, refused })
}

fn login_page(
    guest: &Guest,
    name: String,
    next: &str,
    refusal: Option<&Refusal>,
) -> Result<Html<String>, Refusal> {
    let refused = refusal.map(|refusal| refusal.sentence(&guest.words));
    html(&LoginPage { page: guest.page(), name, next: own_address(next), refused })
}
