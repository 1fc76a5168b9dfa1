//! Who asks for a page, and in which language.

use axum::{
    extract::{FromRequest, FromRequestParts},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{ACCEPT_LANGUAGE, COOKIE},
        request::Parts,
    },
};
use mimeo_core::messages::Language;

use super::{
    page::Page,
    refusal::Refusal,
    text::{Words, code_of},
};
use crate::{
    api::extract::{Administrator, cookie, require_own_page},
    app::App,
    auth::Peer,
};

/// Which language somebody chose. No secret, and of use to no other site.
const LANGUAGE_COOKIE: &str = "__Host-mimeo_language";

const YEAR_SECONDS: u32 = 365 * 24 * 3600;

/// Spoken to those whose browser asks for none that we know.
const FALLBACK: Language = Language::En;

/// One who has not logged in, or need not have. Forms from pages of other sites are refused.
pub struct Guest {
    pub words: Words,
    pub peer: Peer,
    address: String,
}

/// One who logged in. A form from a page of another site is refused; whoever did not log in is led to the door.
pub struct Visitor {
    words: Words,
    address: String,
    account: Option<String>,
}

/// A form that could be read.
#[derive(FromRequest)]
#[from_request(via(axum::Form), rejection(Refusal))]
pub struct Filled<T>(pub T);

/// The variable parts of an address.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Refusal))]
pub struct InAddress<T>(pub T);

/// What follows the question mark.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Refusal))]
pub struct Asked<T>(pub T);

impl Guest {
    pub fn page(&self) -> Page {
        Page { words: self.words, address: self.address.clone(), account: None, section: "" }
    }
}

impl Visitor {
    pub fn page(&self, section: &'static str) -> Page {
        Page { words: self.words, address: self.address.clone(), account: self.account.clone(), section }
    }
}

impl FromRequestParts<App> for Guest {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let peer = Peer::from_request_parts(parts, app).await.map_err(|_| Refusal::ForeignPage)?;
        require_own_page(parts, peer, app).map_err(|_| Refusal::ForeignPage)?;
        Ok(Self { words: Words::new(language_of(&parts.headers)), peer, address: address_of(parts) })
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        let address = address_of(parts);
        // A person who opens the page for the first time attacks nobody: that is no refusal, and no event.
        if cookie(&parts.headers).is_none() {
            return Err(Refusal::NotLoggedIn { address });
        }
        let administrator = match Administrator::from_request_parts(parts, app).await {
            Ok(administrator) => administrator,
            Err(error) if error.status() == StatusCode::UNAUTHORIZED => {
                return Err(Refusal::NotLoggedIn { address });
            }
            Err(error) if error.status() == StatusCode::FORBIDDEN => return Err(Refusal::ForeignPage),
            Err(_) => return Err(Refusal::Failed),
        };
        let words = Words::new(language_of(&parts.headers));
        Ok(Self { words, address, account: administrator.actor.into_name() })
    }
}

/// The page's own address. An address to which a form was sent is none that one can go back to.
fn address_of(parts: &Parts) -> String {
    let address = parts.uri.path_and_query().map_or("/", |address| address.as_str());
    if parts.method == Method::GET { own_address(address) } else { "/".into() }
}

/// An address on this server that somebody named, or else the first page: `//host` and `/\host` lead elsewhere.
pub fn own_address(address: &str) -> String {
    let own = address.starts_with('/')
        && !address[1..].starts_with(['/', '\\'])
        && address.bytes().all(|byte| byte.is_ascii_graphic());
    if own { address.to_owned() } else { "/".into() }
}

/// The language that was chosen, else the one that the browser prefers.
pub fn language_of(headers: &HeaderMap) -> Language {
    let text = |header: &HeaderValue| header.to_str().map(str::to_owned).ok();
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(text);
    let chosen = cookies.flat_map(|cookies| cookies.split(';').map(str::to_owned).collect::<Vec<_>>());
    let chosen = chosen
        .filter_map(|cookie| {
            cookie.trim().split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        })
        .find(|(name, _)| name == LANGUAGE_COOKIE)
        .and_then(|(_, value)| language_from(&value));
    let preferred = || headers.get(ACCEPT_LANGUAGE).and_then(text).and_then(|list| preferred(&list));
    chosen.or_else(preferred).unwrap_or(FALLBACK)
}

/// The `Set-Cookie` header that keeps a choice.
pub fn language_cookie(language: Language) -> String {
    let code = code_of(language);
    format!("{LANGUAGE_COOKIE}={code}; Path=/; Max-Age={YEAR_SECONDS}; HttpOnly; Secure; SameSite=Lax")
}

/// A language by its code, whatever the country behind it.
pub fn language_from(tag: &str) -> Option<Language> {
    let code = tag.trim().split('-').next()?;
    [Language::Fr, Language::En].into_iter().find(|language| code.eq_ignore_ascii_case(code_of(*language)))
}

/// The language of the greatest weight, the first of equals (RFC 9110 section 12.5.4).
fn preferred(list: &str) -> Option<Language> {
    let mut best: Option<(f32, Language)> = None;
    for entry in list.split(',') {
        let (tag, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let weight = match parameters.trim().strip_prefix("q=") {
            Some(weight) => weight.parse().unwrap_or(0.0),
            None => 1.0,
        };
        if let Some(language) = language_from(tag)
            && weight > best.map_or(0.0, |(weight, _)| weight)
        {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

#[cfg(test)]
mod tests {
    use axum::http::{
        HeaderMap, HeaderValue,
        header::{ACCEPT_LANGUAGE, COOKIE},
    };
    use mimeo_core::messages::Language;

    use super::{language_of, own_address};

    #[test]
    fn the_chosen_language_comes_before_the_preferred_and_english_after_both() {
        for (cookie, accepted, expect) in [
            (None, Some("fr-FR,fr;q=0.9,en;q=0.8"), Language::Fr),
            (None, Some("de, en;q=0.5, fr;q=0.7"), Language::Fr),
            (None, Some("en-GB,fr"), Language::En),
            (None, Some("fr;q=0,en;q=0.1"), Language::En),
            (None, Some("fr;q=nonsense"), Language::En),
            (None, Some("de"), Language::En),
            (None, None, Language::En),
            (Some("a=b; __Host-mimeo_language=fr"), Some("en"), Language::Fr),
            (Some("__Host-mimeo_language=xx"), Some("fr"), Language::Fr),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accepted) = accepted {
                headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(accepted));
            }
            if let Some(cookie) = cookie {
                headers.insert(COOKIE, HeaderValue::from_static(cookie));
            }
            assert_eq!(language_of(&headers), expect, "{cookie:?} {accepted:?}");
        }
    }

    #[test]
    fn nobody_is_sent_to_another_server() {
        for own in ["/", "/computers/3?x=y"] {
            assert_eq!(own_address(own), own);
        }
        for foreign in
            ["", "computers", "//evil.example", "/\\evil.example", "https://evil.example", "/a b", "/é"]
        {
            assert_eq!(own_address(foreign), "/", "{foreign}");
        }
    }
}
