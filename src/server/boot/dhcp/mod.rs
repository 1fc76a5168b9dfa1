//! DHCP for network boot: beside another DHCP server ([`settings::Mode::Proxy`], [`settings::Mode::Pxe`]) or as the
//! network's own ([`settings::Mode::Full`]).
//!
//! Bytes become values in [`options`], [`vendor`] and [`packet`] and leave through [`reply`]. [`decide`] is the
//! machine that takes them and the time: [`proxy`] says what to boot, [`addresses`] gives addresses out of [`pool`],
//! [`choices`] remembers which firmware does not want them, [`observe`] draws conclusions from other servers (of what
//! is in [`transactions`]), [`told`] keeps the journal short. None of these does I/O. [`socket`] does, with [`arp`] and
//! [`ears`] on top of [`link`], and [`lease`] and a [`keeper`] for what must survive a restart. [`snippets`] is for those who would
//! rather configure the DHCP server they have.

mod addresses;
mod arp;
mod choices;
mod decide;
pub mod ears;
mod fuzz;
pub mod keeper;
mod lease;
mod link;
pub mod observe;
mod packet;
mod pool;
mod proxy;
mod reply;
pub mod sentences;
pub mod settings;
pub mod snippets;
pub mod socket;
mod told;
mod transactions;
mod vendor;

/// What a fuzzer calls: reads the bytes both ways and, where they are a request, has every mode answer it.
///
/// Panics where an answer is one that no client may ever get.
pub fn fuzz(bytes: &[u8]) {
    fuzz::dhcp(bytes);
}
