//! What a handler asks of a request before it runs: who sends it, and a body that could be read.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, FromRequest, FromRequestParts},
    http::{
        HeaderMap, Method, Uri,
        header::{AUTHORIZATION, COOKIE, HOST, ORIGIN},
        request::Parts,
    },
};
use mimeo_core::ids::Secret;

use super::{error::ApiError, login::COOKIE_NAME};
use crate::{
    app::App,
    auth::{Actor, Peer},
    clock::Timestamp,
};

/// A JSON body.
#[derive(Debug, FromRequest)]
#[from_request(via(axum::Json), rejection(ApiError))]
pub struct Body<T>(pub T);

/// The variable parts of a path.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct InPath<T>(pub T);

/// The part of an address after the question mark.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct InQuery<T>(pub T);

/// Marks every request of the local socket. Only the listener of that socket puts it there.
#[derive(Debug, Clone, Copy)]
pub struct ThroughLocalSocket;

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        if parts.extensions.get::<ThroughLocalSocket>().is_some() {
            return Ok(Self::Local);
        }
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let address =
            address.ok_or_else(|| ApiError::forbidden("no_address", "this request comes from nowhere"))?;
        Ok(Self::Network(address.0.ip().to_canonical()))
    }
}

/// One who may administer the appliance: a handler that asks for this runs for nobody else.
#[derive(Debug, Clone)]
pub struct Administrator {
    pub actor: Actor,
    pub peer: Peer,
}

impl FromRequestParts<App> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let peer = Peer::from_request_parts(parts, app).await?;
        let refuse = |reason: &'static str, message: &'static str| {
            let reason = format!("{reason} for {} {}", parts.method, parts.uri.path());
            app.auth.refuse(peer, &reason, ApiError::unauthorized("unauthenticated", message))
        };
        if peer == Peer::Local {
            return Ok(Self { actor: Actor::Local, peer });
        }
        let found = match (bearer(&parts.headers), cookie(&parts.headers)) {
            (Some(Some(secret)), _) => app.auth.find_token(&secret).await?,
            (None, Some(secret)) => {
                require_own_page(parts, peer, app)?;
                app.auth.find_login(&secret, Timestamp::now()).await?
            }
            (Some(None), _) => None,
            (None, None) => return Err(refuse("no credentials", "log in, or send an API token")),
        };
        match found {
            Some(actor) => Ok(Self { actor, peer }),
            None => Err(refuse("unknown credentials", "the login has ended or the API token is unknown")),
        }
    }
}

/// Refuses a change that a browser sends on behalf of another site's page.
///
/// `SameSite=Strict` keeps the cookie from such requests already; other names under the same registrable domain
/// count as the same site, though, and this does not let them in.
pub fn require_own_page(parts: &Parts, peer: Peer, app: &App) -> Result<(), ApiError> {
    let harmless = matches!(parts.method, Method::GET | Method::HEAD);
    if harmless || comes_from_own_page(&parts.headers, &parts.uri) {
        return Ok(());
    }
    let refusal = ApiError::forbidden("foreign_page", "this request was made by a page of another site");
    Err(app.auth.refuse(peer, "request from a foreign page", refusal))
}

/// What browsers say of where a request was made. They send `Origin` with every one that may change something.
fn comes_from_own_page(headers: &HeaderMap, uri: &Uri) -> bool {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    // HTTP/2 has no Host header: there it is part of the address.
    let host = uri.authority().map(|authority| authority.as_str()).or_else(|| text(HOST));
    match (text(ORIGIN).and_then(|origin| origin.strip_prefix("https://")), host) {
        (Some(origin), Some(host)) => origin.eq_ignore_ascii_case(host),
        _ => false,
    }
}

/// The token of an `Authorization: Bearer` header: `None` without the header, `Some(None)` where it is malformed.
fn bearer(headers: &HeaderMap) -> Option<Option<Secret>> {
    let header = headers.get(AUTHORIZATION)?;
    let token = header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
    Some(token.and_then(|token| token.trim().parse().ok()))
}

/// The secret in our cookie.
pub fn cookie(headers: &HeaderMap) -> Option<Secret> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|header| header.to_str().ok());
    cookies
        .flat_map(|header| header.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .and_then(|(_, value)| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, Uri, header};

    use super::{bearer, comes_from_own_page, cookie};

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_page_is_our_own_if_its_origin_is_the_host_it_asks() {
        let http2 = Uri::from_static("https://10.0.0.1/api/v1/login");
        let http1 = Uri::from_static("/api/v1/login");
        for (uri, origin, host, expect) in [
            (&http1, Some("https://10.0.0.1"), Some("10.0.0.1"), true),
            (&http1, Some("https://10.0.0.1:8443"), Some("10.0.0.1:8443"), true),
            (&http2, Some("https://10.0.0.1"), None, true),
            (&http1, Some("https://10.0.0.1:8443"), Some("10.0.0.1"), false),
            (&http1, Some("http://10.0.0.1"), Some("10.0.0.1"), false),
            (&http1, Some("https://evil.example"), Some("10.0.0.1"), false),
            (&http2, Some("https://evil.example"), Some("evil.example"), false),
            (&http1, Some("null"), Some("10.0.0.1"), false),
            (&http1, None, Some("10.0.0.1"), false),
        ] {
            let mut pairs = Vec::new();
            pairs.extend(origin.map(|origin| (header::ORIGIN, origin)));
            pairs.extend(host.map(|host| (header::HOST, host)));
            assert_eq!(comes_from_own_page(&headers(&pairs), uri), expect, "{uri} {origin:?} {host:?}");
        }
    }

    #[test]
    fn credentials_are_found_among_others_and_malformed_ones_are_none() {
        const SECRET: &str = "0707070707070707070707070707070707070707070707070707070707070707";
        let ours = "a=b; __Host-mimeo_login=0707070707070707070707070707070707070707070707070707070707070707";
        let found = cookie(&headers(&[(header::COOKIE, ours)])).expect("is there");
        assert_eq!(found.reveal(), SECRET);
        assert_eq!(cookie(&headers(&[(header::COOKIE, "__Host-mimeo_login=07")])), None);
        assert_eq!(cookie(&HeaderMap::new()), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
        assert_eq!(bearer(&headers(&[(header::AUTHORIZATION, "Basic abc")])), Some(None));
        let bearing = headers(&[(
            header::AUTHORIZATION,
            "Bearer 0707070707070707070707070707070707070707070707070707070707070707",
        )]);
        assert_eq!(bearer(&bearing).flatten().map(|secret| secret.reveal()).as_deref(), Some(SECRET));
    }
}
