//! One who reads the pages without a script: what they send and what they get.

use reqwest::{Client, StatusCode, header, redirect::Policy};

use crate::api::house::{House, PASSWORD};

pub(super) struct Person {
    client: Client,
    origin: String,
    cookies: Vec<(String, String)>,
    language: &'static str,
}

/// A page, or where to find it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: StatusCode,
    pub(super) location: Option<String>,
    pub(super) headers: header::HeaderMap,
    pub(super) text: String,
}

impl Person {
    /// One who has not logged in, and whose browser asks for this language.
    pub(super) fn new(house: &House, language: &'static str) -> Self {
        let client = Client::builder().tls_certs_only([house.authority.clone()]).redirect(Policy::none());
        Self {
            client: client.build().expect("a client"),
            origin: house.url(""),
            cookies: Vec::new(),
            language,
        }
    }

    /// The administrator, who set up the account through the page.
    pub(super) async fn administrator(house: &House, language: &'static str) -> Self {
        let mut person = Self::new(house, language);
        let code = house.auth.setup_code().await.expect("works").expect("there is no account").to_string();
        let form = [("code", &*code), ("name", "zoe"), ("password", PASSWORD), ("again", PASSWORD)];
        let seen = person.send("/setup", &form).await;
        assert_eq!(
            (seen.status, seen.location.as_deref()),
            (StatusCode::SEE_OTHER, Some("/")),
            "{}",
            seen.text
        );
        person
    }

    pub(super) fn speak(&mut self, language: &'static str) {
        self.language = language;
    }

    pub(super) async fn get(&mut self, path: &str) -> Seen {
        let request = self.client.get(format!("{}{path}", self.origin));
        self.ask(request).await
    }

    /// A page that is there.
    pub(super) async fn read(&mut self, path: &str) -> String {
        let seen = self.get(path).await;
        assert_eq!(seen.status, StatusCode::OK, "{path}: {}", seen.text);
        seen.text
    }

    /// A form, sent from one of our own pages.
    pub(super) async fn send(&mut self, path: &str, form: &[(&str, &str)]) -> Seen {
        let origin = self.origin.clone();
        self.send_from(Some(&origin), path, form).await
    }

    pub(super) async fn send_from(
        &mut self,
        origin: Option<&str>,
        path: &str,
        form: &[(&str, &str)],
    ) -> Seen {
        let body: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let mut request = self
            .client
            .post(format!("{}{path}", self.origin))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.join("&"));
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        self.ask(request).await
    }

    async fn ask(&mut self, request: reqwest::RequestBuilder) -> Seen {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request =
            request.header(header::ACCEPT_LANGUAGE, self.language).header(header::COOKIE, cookies.join("; "));
        let answer = request.send().await.expect("an answer");
        let (status, headers) = (answer.status(), answer.headers().clone());
        for cookie in headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("text").split(';').next().expect("a first part");
            let (name, value) = cookie.split_once('=').expect("a name and a value");
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        let location = headers.get(header::LOCATION).map(|to| to.to_str().expect("text").to_owned());
        Seen { status, location, headers, text: answer.text().await.expect("text") }
    }
}

/// A value as forms carry it.
pub(super) fn encode(value: &str) -> String {
    let encoded = value.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// The value of a hidden field, as a browser would send it.
pub(super) fn field(page: &str, name: &str) -> Option<String> {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\""))?;
    let value = rest.split('"').next()?;
    // The five that are escaped in an attribute.
    let plain = [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
    Some(plain.iter().fold(value.to_owned(), |value, (escaped, plain)| value.replace(escaped, plain)))
}
