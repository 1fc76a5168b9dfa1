//! The pages, in the order in which a person meets them: the [`door`], the [`computers`], an [`order`] to capture or
//! deploy, the [`sessions`] that come of it, the [`masters`], what this server is ([`about`]), and what
//! another DHCP server needs to know of it ([`dhcp`]).

pub mod about;
pub mod computers;
pub mod dhcp;
pub mod door;
pub mod masters;
pub mod order;
pub mod sessions;
