//! Getting in: the first set-up, login and logout, tokens for programs.

use axum::{
    Json, Router,
    extract::{FromRequestParts, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ORIGIN, SET_COOKIE},
        request::Parts,
    },
    response::{IntoResponse, Response},
    routing::{delete, get, post},
};
use serde::{Deserialize, Serialize};

use super::{
    error::ApiError,
    extract::{Administrator, Body, InPath, cookie, require_own_page},
};
use crate::{
    app::App,
    auth::{Actor, Peer, login::NewLogin},
    clock::Timestamp,
};

/// The browser's cookie. `__Host-` makes browsers insist on HTTPS, on this very host and on the whole site.
pub const COOKIE_NAME: &str = "__Host-mimeo_login";

pub fn router() -> Router<App> {
    Router::new()
        .route("/setup", get(is_setup_needed).post(set_up))
        .route("/setup-code", get(show_setup_code).post(renew_setup_code))
        .route("/login", get(who_am_i).post(log_in))
        .route("/logout", post(log_out))
        .route("/tokens", get(list_tokens).post(create_token))
        .route("/tokens/{name}", delete(delete_token))
}

/// Whether somebody has to set the administrator's name and password first.
#[derive(Debug, Serialize, Deserialize)]
pub struct SetupState {
    pub needed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SetupRequest {
    pub code: String,
    pub name: String,
    pub password: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct SetupCodeView {
    /// `null` where there is an account and no code waits.
    pub code: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct LoginRequest {
    pub name: String,
    pub password: String,
}

/// Who one is to this server.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorView {
    /// `account`, `token` or `local`.
    pub kind: String,
    pub name: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct TokenRequest {
    pub name: String,
}

/// A token that was just made: the only time that its secret is shown.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewToken {
    pub name: String,
    pub token: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct TokenView {
    pub name: String,
    pub created: Timestamp,
}

impl From<Actor> for ActorView {
    fn from(actor: Actor) -> Self {
        match actor {
            Actor::Local => Self { kind: "local".into(), name: None },
            Actor::Account { name } => Self { kind: "account".into(), name: Some(name) },
            Actor::Token { name } => Self { kind: "token".into(), name: Some(name) },
        }
    }
}

/// One who has nothing to show yet. A browser that is made to log in by another site's page is refused.
struct Newcomer(Peer);

impl FromRequestParts<App> for Newcomer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let peer = Peer::from_request_parts(parts, app).await?;
        if parts.headers.contains_key(ORIGIN) {
            require_own_page(parts, peer, app)?;
        }
        Ok(Self(peer))
    }
}

async fn is_setup_needed(State(app): State<App>) -> Result<Json<SetupState>, ApiError> {
    Ok(Json(SetupState { needed: app.auth.awaits_setup().await? }))
}

async fn set_up(
    State(app): State<App>,
    Newcomer(peer): Newcomer,
    Body(request): Body<SetupRequest>,
) -> Result<Response, ApiError> {
    let SetupRequest { code, name, password } = request;
    let login = app.auth.set_up(peer, &code, &name, &password, Timestamp::now()).await?;
    Ok(logged_in(login))
}

async fn log_in(
    State(app): State<App>,
    Newcomer(peer): Newcomer,
    Body(LoginRequest { name, password }): Body<LoginRequest>,
) -> Result<Response, ApiError> {
    Ok(logged_in(app.auth.log_in(peer, &name, &password, Timestamp::now()).await?))
}

async fn who_am_i(administrator: Administrator) -> Json<ActorView> {
    Json(administrator.actor.into())
}

async fn log_out(State(app): State<App>, _: Administrator, headers: HeaderMap) -> Result<Response, ApiError> {
    if let Some(secret) = cookie(&headers) {
        app.auth.log_out(&secret).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, expired_cookie())]).into_response())
}

async fn show_setup_code(
    State(app): State<App>,
    administrator: Administrator,
) -> Result<Json<SetupCodeView>, ApiError> {
    require_local(&administrator)?;
    Ok(Json(SetupCodeView { code: app.auth.setup_code().await?.map(|code| code.to_string()) }))
}

async fn renew_setup_code(
    State(app): State<App>,
    administrator: Administrator,
) -> Result<Json<SetupCodeView>, ApiError> {
    require_local(&administrator)?;
    Ok(Json(SetupCodeView { code: Some(app.auth.renew_setup_code().await?.to_string()) }))
}

/// A stolen token or login must not be able to set the password anew.
fn require_local(administrator: &Administrator) -> Result<(), ApiError> {
    match administrator.peer {
        Peer::Local => Ok(()),
        Peer::Network(_) => {
            let message = "setup codes are shown on the server only: run `mimeo setup-code` there, as root";
            Err(ApiError::forbidden("local_only", message))
        }
    }
}

async fn list_tokens(State(app): State<App>, _: Administrator) -> Result<Json<Vec<TokenView>>, ApiError> {
    let tokens = app.auth.tokens().await?;
    let view = |token: crate::auth::token::Token| TokenView {
        name: token.name,
        created: Timestamp(token.created_at),
    };
    Ok(Json(tokens.into_iter().map(view).collect()))
}

async fn create_token(
    State(app): State<App>,
    _: Administrator,
    Body(request): Body<TokenRequest>,
) -> Result<(StatusCode, Json<NewToken>), ApiError> {
    let (name, secret) = app.auth.create_token(&request.name, Timestamp::now()).await?;
    let token = NewToken { name: name.as_str().to_owned(), token: secret.reveal() };
    Ok((StatusCode::CREATED, Json(token)))
}

async fn delete_token(
    State(app): State<App>,
    _: Administrator,
    InPath(name): InPath<String>,
) -> Result<StatusCode, ApiError> {
    app.auth.delete_token(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn logged_in(login: NewLogin) -> Response {
    let cookie = login_cookie(&login);
    let account = ActorView { kind: "account".into(), name: Some(login.account) };
    ([(SET_COOKIE, cookie)], Json(account)).into_response()
}

/// The `Set-Cookie` header of a login.
pub fn login_cookie(login: &NewLogin) -> HeaderValue {
    cookie_header(&login.secret.reveal(), login.lasts.as_secs())
}

/// The `Set-Cookie` header that makes a browser forget its login.
pub fn expired_cookie() -> HeaderValue {
    cookie_header("", 0)
}

fn cookie_header(value: &str, seconds: u64) -> HeaderValue {
    let cookie =
        format!("{COOKIE_NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Strict");
    HeaderValue::try_from(cookie).expect("a cookie of hexadecimal digits is a header")
}
