//! Why a computer cannot go on, as a sentence that says what to do next.

use std::{error::Error, net::SocketAddr};

use mimeo_core::{
    causes::causes,
    failure::FailureCause,
    text::{Texts, failure},
};

use crate::network::NetworkError;
use mimeo_engine::link::ServerError;

/// Why the client ends without an order of the server to do so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The kernel was not started by our boot script, or not with the appliance's initramfs.
    NotOurBoot {
        detail: String,
    },
    NoCard,
    NoLink {
        cards: String,
    },
    NoAddress {
        attempts: String,
    },
    ServerSilent {
        server: String,
        detail: String,
    },
    /// The second part of the initramfs is not what the server announced.
    Payload {
        detail: String,
    },
    /// The server knows this computer and has a reason.
    Refused(FailureCause),
    /// The server does not let this computer in.
    NotLetIn {
        detail: String,
    },
    Defect {
        detail: String,
    },
}

impl Trouble {
    pub fn network(error: &NetworkError) -> Self {
        match error {
            NetworkError::NoCard => Self::NoCard,
            NetworkError::NoLink { cards } => Self::NoLink { cards: cards.clone() },
            NetworkError::NoAddress { attempts } => Self::NoAddress { attempts: attempts.clone() },
            NetworkError::Unreachable { server, attempts } => {
                Self::ServerSilent { server: server.to_string(), detail: attempts.clone() }
            }
            NetworkError::Setup(_) => Self::defect(error),
        }
    }

    pub fn server(server: SocketAddr, error: ServerError) -> Self {
        match error {
            ServerError::Unreachable(detail) | ServerError::Busy(detail) => {
                Self::ServerSilent { server: server.to_string(), detail }
            }
            ServerError::Refused(FailureCause::Internal { detail }) => Self::NotLetIn { detail },
            ServerError::Refused(cause) => Self::Refused(cause),
            ServerError::Malformed(detail) => Self::Defect { detail },
        }
    }

    pub fn defect(error: &(dyn Error + 'static)) -> Self {
        Self::Defect { detail: causes(error) }
    }
}

/// What happened and what to do.
pub fn sentence(texts: &Texts, trouble: &Trouble) -> String {
    match trouble {
        Trouble::NotOurBoot { detail } => texts.say_with("trouble-not-our-boot", &[("detail", detail)]),
        Trouble::NoCard => texts.say("trouble-no-card"),
        Trouble::NoLink { cards } => texts.say_with("trouble-no-link", &[("cards", cards)]),
        Trouble::NoAddress { attempts } => texts.say_with("trouble-no-address", &[("attempts", attempts)]),
        Trouble::ServerSilent { server, detail } => {
            texts.say_with("trouble-server-silent", &[("server", server), ("detail", detail)])
        }
        Trouble::Payload { detail } => texts.say_with("trouble-payload", &[("detail", detail)]),
        Trouble::Refused(cause) => failure::sentence(texts, cause),
        Trouble::NotLetIn { detail } => texts.say_with("trouble-not-let-in", &[("detail", detail)]),
        Trouble::Defect { detail } => texts.say_with("trouble-defect", &[("detail", detail)]),
    }
}
