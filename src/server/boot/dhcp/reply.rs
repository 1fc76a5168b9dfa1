//! What we answer, and its bytes.

use std::{net::Ipv4Addr, time::Duration};

use dhcproto::{
    Encodable,
    v4::{self, DhcpOption, MessageType, OptionCode, UnknownOption},
};

use super::{packet::Request, settings::Settings, vendor};
use crate::boot::firmware::{Architecture, BootFile, Speaker};

/// BOOTP's minimum: old PXE ROMs drop what is shorter (RFC 1542 section 2.1).
const REPLY_BYTES_MIN: usize = v4::MIN_PACKET_SIZE;
/// The header's `file`, with its NUL.
const FILE_BYTES: usize = 128;

/// A reply to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// What the machine is to boot, where it is to be told.
    pub(super) boot: Option<BootFile>,
}

/// What kind of answer, and what it says of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// An address to take, and for how long.
    Offer { address: Ipv4Addr, lease: Duration },
    /// The address is the client's for so long.
    Grant { address: Ipv4Addr, lease: Duration },
    /// Configuration without an address, for a client that has one (RFC 2131 section 4.3.5).
    Inform,
    /// The client must stop using the address it named.
    Refusal,
    /// A ProxyDHCP offer: what to boot, no address (PXE 2.1 section 2.2.3).
    ProxyOffer,
    /// The boot server's acknowledgement.
    ProxyAck,
}

impl Reply {
    /// The datagram that answers `request`. Fails only where the client's own options, repeated, do not fit.
    pub(super) fn emit(&self, request: &Request, settings: &Settings) -> Result<Vec<u8>, v4::EncodeError> {
        let (kind, address) = match self.answer {
            Answer::Offer { address, .. } => (MessageType::Offer, Some(address)),
            Answer::Grant { address, .. } => (MessageType::Ack, Some(address)),
            Answer::Inform | Answer::ProxyAck => (MessageType::Ack, None),
            Answer::ProxyOffer => (MessageType::Offer, None),
            Answer::Refusal => (MessageType::Nak, None),
        };
        let mut message = v4::Message::default();
        message
            .set_opcode(v4::Opcode::BootReply)
            .set_xid(request.xid)
            .set_flags(request.flags.into())
            .set_giaddr(request.relay_agent.unwrap_or(Ipv4Addr::UNSPECIFIED))
            .set_yiaddr(address.unwrap_or(Ipv4Addr::UNSPECIFIED))
            .set_chaddr(&request.mac.0);
        if kind == MessageType::Ack {
            message.set_ciaddr(request.client_address.unwrap_or(Ipv4Addr::UNSPECIFIED));
        }
        let options = message.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ServerIdentifier(settings.address));
        repeat_options(request, options);
        match self.answer {
            Answer::Offer { lease, .. } | Answer::Grant { lease, .. } => {
                put_lease(lease, options);
                put_network(settings, options);
            }
            Answer::Inform => put_network(settings, options),
            Answer::Refusal | Answer::ProxyOffer | Answer::ProxyAck => {}
        }
        if let Some((file, speaker)) = self.boot.as_ref().zip(request.speaker) {
            put_boot(file, speaker, request, address.is_some(), options);
            message.set_siaddr(settings.address);
            let name = file.to_string();
            if name.len() < FILE_BYTES {
                message.set_fname_str(&name);
            }
        }
        let mut bytes = message.to_vec()?;
        put_relay_info(request, &mut bytes);
        bytes.resize(bytes.len().max(REPLY_BYTES_MIN), 0);
        Ok(bytes)
    }
}

/// What a reply repeats as it came. Unknown to `dhcproto` on purpose: what it would parse it might refuse or change.
fn repeat_options(request: &Request, options: &mut v4::DhcpOptions) {
    let repeated = [
        (OptionCode::ClientIdentifier, &request.client_id),
        (OptionCode::ClientMachineIdentifier, &request.machine_id),
    ];
    for (code, value) in repeated {
        if let Some(value) = value {
            options.insert(DhcpOption::Unknown(UnknownOption::new(code, value.clone())));
        }
    }
}

/// Repeats option 82 as the last before the end mark (RFC 3046 section 2.1), in pieces where it is long (RFC 3396).
/// `dhcproto` would parse it, and writes it twice where it is told not to.
fn put_relay_info(request: &Request, bytes: &mut Vec<u8>) {
    let Some(info) = &request.relay_info else { return };
    let end = bytes.pop();
    for piece in info.chunks(usize::from(u8::MAX)) {
        bytes.extend([OptionCode::RelayAgentInformation.into(), piece.len() as u8]);
        bytes.extend(piece);
    }
    bytes.extend(end);
}

fn put_lease(lease: Duration, options: &mut v4::DhcpOptions) {
    let seconds = u32::try_from(lease.as_secs()).unwrap_or(u32::MAX);
    options.insert(DhcpOption::AddressLeaseTime(seconds));
    // RFC 2131 section 4.4.5: renew at a half, rebind at seven eighths.
    options.insert(DhcpOption::Renewal(seconds / 2));
    options.insert(DhcpOption::Rebinding(seconds - seconds / 8));
}

fn put_network(settings: &Settings, options: &mut v4::DhcpOptions) {
    options.insert(DhcpOption::SubnetMask(settings.mask()));
    options.insert(DhcpOption::BroadcastAddr(settings.broadcast()));
    if let Some(router) = settings.router {
        options.insert(DhcpOption::Router(vec![router]));
    }
    if !settings.dns.is_empty() {
        options.insert(DhcpOption::DomainNameServer(settings.dns.clone()));
    }
    if let Some(domain) = &settings.domain {
        options.insert(DhcpOption::DomainName(domain.clone()));
    }
}

/// The boot file, in the words that the speaker understands.
fn put_boot(
    file: &BootFile,
    speaker: Speaker,
    request: &Request,
    has_address: bool,
    options: &mut v4::DhcpOptions,
) {
    options.insert(DhcpOption::BootfileName(file.to_string().into_bytes()));
    let class = match speaker {
        Speaker::Pxe | Speaker::Ipxe => "PXEClient",
        Speaker::Http => "HTTPClient",
    };
    options.insert(DhcpOption::ClassIdentifier(class.into()));
    match speaker {
        // UEFI takes an offer without option 43 to port 4011, where it is answered again: with it, several
        // vendors' firmware shows a menu of nothing. An offer that has an address needs it to be preferred.
        Speaker::Pxe
            if request.architecture == Architecture::Bios || has_address || request.boot_item.is_some() =>
        {
            let control = vendor::discovery_control(request.boot_item);
            options.insert(DhcpOption::VendorExtensions(control));
        }
        Speaker::Ipxe if has_address => {
            let value = vendor::ipxe_no_proxy();
            options.insert(DhcpOption::Unknown(UnknownOption::new(175.into(), value)));
        }
        Speaker::Pxe | Speaker::Ipxe | Speaker::Http => {}
    }
}

#[cfg(test)]
mod tests;
