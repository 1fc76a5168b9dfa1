//! A machine that boots from the network, as far as DHCP goes: its firmware, then iPXE where it comes to that, then
//! the client in Linux.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use super::{
    client::{BIOS_PXE, Client, DISCOVER, IPXE, ORDINARY, REQUEST, Said, UEFI_PXE},
    net::{OTHER, US},
};

/// How long firmware collects offers. EDK2 takes 4 s at first, and longer each time; half of that spares the tests
/// time, and is more than any offer takes here.
const WINDOW: Duration = Duration::from_secs(2);
/// DISCOVERs before firmware gives up (PXE 2.1 section 2.2.6 has four).
const DISCOVERS_MAX: usize = 4;

/// Which offer firmware takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taste {
    /// EDK2's: an address with what to boot before an address and a ProxyDHCP offer beside it
    /// (`PxeBcSelectDhcp4Offer`).
    Ranks,
    /// The first address offered, whoever offers it.
    TakesTheFirst,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rom {
    pub(crate) name: &'static str,
    pub(crate) is_uefi: bool,
    pub(crate) secure_boot: bool,
    pub(crate) taste: Taste,
}

/// What firmware has when DHCP is over.
#[derive(Debug)]
struct Loads {
    /// Whom the acknowledgement names, where GRUB loads from.
    next_server: Ipv4Addr,
    file: String,
}

impl Rom {
    /// One power-on: whether it ends in our client with an address of the other server. `Err` says where it ended.
    pub(crate) fn boot(&self, client: &mut Client) -> Result<(), String> {
        let loads = self.firmware(client)?;
        match (self.is_uefi, loads.file.as_str()) {
            (false, "undionly.kpxe") => {}
            (true, "shimx64.efi") if loads.next_server == US => return linux(client),
            (true, "shimx64.efi") => {
                return Err(format!("GRUB asks {} for its configuration", loads.next_server));
            }
            (true, "snponly.efi") if self.secure_boot => return Err("Secure Boot refuses iPXE".into()),
            (true, "snponly.efi") => {}
            _ => return Err(format!("{loads:?} is nothing for this machine")),
        }
        ipxe(client)?;
        linux(client)
    }

    fn class(&self) -> &'static [u8] {
        if self.is_uefi { UEFI_PXE } else { BIOS_PXE }
    }

    fn firmware(&self, client: &mut Client) -> Result<Loads, String> {
        client.begin();
        let mut offers = Vec::new();
        for _ in 0..DISCOVERS_MAX {
            client.broadcast(&client.message(DISCOVER, self.class()));
            offers.extend(client.hear(WINDOW));
            if let Some(chosen) = self.choose(&offers) {
                let chosen = chosen.clone();
                return self.take(client, &chosen, &offers);
            }
        }
        Err(format!("no offer to boot from: {offers:?}"))
    }

    fn choose<'a>(&self, offers: &'a [Said]) -> Option<&'a Said> {
        let mut with_address = offers.iter().filter(|said| said.address != Ipv4Addr::UNSPECIFIED);
        match self.taste {
            Taste::TakesTheFirst => with_address.next(),
            Taste::Ranks => {
                let whole = with_address.clone().find(|said| stands_alone(said));
                whole.or_else(|| with_address.next().filter(|_| proxy(offers).is_some()))
            }
        }
    }

    /// Requests the address; what to boot is in its own offer, in a ProxyDHCP offer, or to be had on port 4011.
    fn take(&self, client: &mut Client, chosen: &Said, offers: &[Said]) -> Result<Loads, String> {
        let ack = client.take(self.class(), chosen);
        assert_eq!((ack.kind, ack.server, ack.address), (5, chosen.server, chosen.address), "{ack:?}");
        let next_server = ack.next_server;
        if stands_alone(chosen) {
            return Ok(Loads { next_server, file: ack.file });
        }
        let Some(proxy) = proxy(offers) else {
            return Err(format!("no boot file: {} has the address, nobody says what to boot", ack.server));
        };
        if proxy.option(43).is_some() {
            return Ok(Loads { next_server, file: proxy.file.clone() });
        }
        let boot_server = SocketAddrV4::new(proxy.server, 4011);
        let said = client.ask_until(REQUEST, self.class(), boot_server, |heard| !heard.is_empty());
        Ok(Loads { next_server, file: said[0].file.clone() })
    }
}

/// Whether an offer with an address also says what to boot, in the words that EDK2 prefers.
fn stands_alone(said: &Said) -> bool {
    said.option(60).is_some_and(|class| class.starts_with(b"PXEClient"))
        && said.option(43).is_some_and(|value| value.starts_with(&[6, 1, 8]))
}

fn proxy(offers: &[Said]) -> Option<&Said> {
    offers.iter().find(|said| {
        said.address == Ipv4Addr::UNSPECIFIED
            && said.option(60).is_some_and(|class| class.starts_with(b"PXEClient"))
    })
}

/// iPXE takes an address from the one who gives them and its script from us.
fn ipxe(client: &mut Client) -> Result<(), String> {
    client.begin();
    let offers = client.discover(IPXE, &[US, OTHER]);
    check_only_the_other_gives(&offers)?;
    let has_script = |said: &&Said| said.server == US && said.file.starts_with("http://10.77.0.1/boot/ipxe/");
    let script = offers.iter().find(has_script);
    script.ok_or_else(|| format!("iPXE is told no script: {offers:?}"))?;
    takes_the_others(client, IPXE, &offers)
}

/// Our client is an ordinary one.
fn linux(client: &mut Client) -> Result<(), String> {
    client.begin();
    let offers = client.discover(ORDINARY, &[OTHER]);
    check_only_the_other_gives(&offers)?;
    takes_the_others(client, ORDINARY, &offers)
}

fn check_only_the_other_gives(offers: &[Said]) -> Result<(), String> {
    match offers.iter().find(|said| said.server == US && said.address != Ipv4Addr::UNSPECIFIED) {
        Some(ours) => Err(format!("no firmware, and was offered an address of ours: {ours:?}")),
        None => Ok(()),
    }
}

fn takes_the_others(client: &mut Client, class: &[u8], offers: &[Said]) -> Result<(), String> {
    let others = offers.iter().find(|said| said.server == OTHER);
    let others = others.ok_or_else(|| format!("no address: {offers:?}"))?.clone();
    let ack = client.take(class, &others);
    match (ack.kind, ack.server) {
        (5, OTHER) => Ok(()),
        _ => Err(format!("the other's address was not granted: {ack:?}")),
    }
}
