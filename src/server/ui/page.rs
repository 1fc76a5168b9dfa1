//! What every page has: its words, its place in the menu, and who reads it.

use askama::Template;
use axum::response::Html;
use mimeo_core::{
    failure::FailureCause,
    manifest::warning::Warning,
    messages::{DiskPin, Phase},
    text::size,
};

use super::{
    assets,
    refusal::Refusal,
    text::{Moment, Words},
};
use crate::clock::Timestamp;

/// The frame around a page's content. Templates ask it for words.
pub struct Page {
    pub words: Words,
    /// Where the page is, so that switching the language leads back to it.
    pub address: String,
    /// The name of the one who logged in; `None` before that.
    pub account: Option<String>,
    /// The entry of the menu that is marked.
    pub section: &'static str,
}

impl Page {
    pub fn say(&self, key: &str) -> String {
        self.words.say(key)
    }

    pub fn say_of(&self, key: &str, name: &str, value: impl std::fmt::Display) -> String {
        self.words.say_of(key, name, value)
    }

    pub fn bytes(&self, bytes: &u64) -> String {
        self.words.bytes(*bytes)
    }

    /// A number with all of its digits.
    pub fn exact(&self, number: &u64) -> String {
        size::exact(*number)
    }

    pub fn moment(&self, moment: &Timestamp) -> Moment {
        Moment(*moment)
    }

    pub fn phase(&self, phase: &Phase) -> String {
        self.words.phase(*phase)
    }

    pub fn disk(&self, pin: &DiskPin) -> String {
        self.words.disk(pin)
    }

    pub fn failure(&self, cause: &FailureCause) -> String {
        self.words.failure(cause)
    }

    pub fn warning(&self, warning: &Warning) -> String {
        self.words.warning(warning)
    }

    /// A text, or a dash where there is none.
    pub fn or_dash(&self, text: &Option<String>) -> String {
        text.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or("—").to_owned()
    }

    pub fn revision(&self) -> &'static str {
        assets::revision()
    }
}

/// A page as an answer.
pub fn html(template: &impl Template) -> Result<Html<String>, Refusal> {
    template.render().map(Html).map_err(|error| Refusal::internal(&error))
}
