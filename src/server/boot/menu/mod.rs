//! What a machine's boot loader shows and does: one [`BootTarget`], rendered for iPXE ([`ipxe`]) or GRUB ([`grub`]).
//!
//! Rendering is pure. Whatever comes from outside passes through a type that leaves nothing for a loader's language
//! to interpret: [`Label`] for names of computers, [`KernelOptions`] for configured options; addresses, tokens and
//! hardware addresses have types of their own already.

use std::{fmt, net::SocketAddrV4};

use mimeo_core::{ids::Secret, messages::Language};

use crate::config::kernel_options::KernelOptions;

pub mod grub;
pub mod ipxe;
mod words;

/// Longest name of a computer that is shown: with the title around it, it fits a line of 80 columns.
const LABEL_CHARS_MAX: usize = 48;

/// What every menu of this appliance has in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where boot files are fetched over HTTP.
    pub boot_http: SocketAddrV4,
    /// Where the client finds the server's API.
    pub api: SocketAddrV4,
    /// What the kernel is told beside what the client needs.
    pub kernel_options: KernelOptions,
    /// What messages are in where a target names no language.
    pub language: Language,
}

/// A name as both loaders can show it: printable ASCII without anything that either gives a meaning to.
///
/// iPXE and GRUB's UEFI console have no letters beyond ASCII that can be relied on, so accents are dropped, and what
/// is left over becomes a question mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    pub fn new(name: &str) -> Self {
        let shown = name.trim().chars().take(LABEL_CHARS_MAX).map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '.' | '_' | '-' => c,
            other => words::without_accent(other).unwrap_or('?'),
        });
        Self(shown.collect())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the client's kernel is told: where the server is, and the token that proves that it booted from it.
fn kernel_arguments(settings: &Settings, token: &Secret) -> String {
    let mut arguments = format!("mimeo.server={} mimeo.token={}", settings.api, token.reveal());
    for word in settings.kernel_options.words() {
        arguments.push(' ');
        arguments.push_str(word);
    }
    arguments
}

#[cfg(test)]
mod tests;
