//! A DHCP datagram as values: what a machine asks, and what another server answered it.
//!
//! The options are walked by [`mimeo_core::wire::dhcp_options`]; `dhcproto` then reads the fixed header and the options whose
//! length it is told. Nothing it asserts about lengths is left to it.

use std::net::Ipv4Addr;

use dhcproto::{
    Decodable, Decoder,
    v4::{self, DhcpOption, MessageType, OptionCode},
};
use mimeo_core::{
    ids::MacAddr,
    wire::dhcp_options::{Options, OptionsError, Overload},
};

use super::vendor;
use crate::boot::firmware::{Architecture, Speaker};

/// Bytes before the options: RFC 2131 section 2, with the magic cookie.
const HEADER_BYTES: usize = 240;
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
/// The longest datagram that is read. The longest seen of real firmware is 1,472 bytes (option 57 of EDK2).
pub(super) const DATAGRAM_BYTES_MAX: usize = 4096;
/// What an error or a record repeats of a foreign name.
const NAME_CHARS_MAX: usize = 128;

const VENDOR_OPTIONS: u8 = 43;
const CLIENT_ID: u8 = 61;
const VENDOR_CLASS: u8 = 60;
const BOOT_FILE: u8 = 67;
const USER_CLASS: u8 = 77;
const RELAY_AGENT: u8 = 82;
const ARCHITECTURES: u8 = 93;
const MACHINE_ID: u8 = 97;
const ETHERBOOT: u8 = 175;

/// What a client may say to a server (RFC 2131 section 3.1, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    Discover,
    Request,
    Decline,
    Release,
    Inform,
}

/// A client's datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) ask: Ask,
    pub(super) xid: u32,
    /// The raw flags, which a reply repeats.
    pub(super) flags: u16,
    /// The address that the client already uses, if any.
    pub(super) client_address: Option<Ipv4Addr>,
    /// The DHCP relay agent on whose network the client is.
    pub(super) relay_agent: Option<Ipv4Addr>,
    pub(super) mac: MacAddr,
    /// Option 50.
    pub(super) wanted_address: Option<Ipv4Addr>,
    /// Option 54: the server that the client speaks to.
    pub(super) server: Option<Ipv4Addr>,
    /// Which boot program asks; `None` for everybody who does not boot from the network.
    pub(super) speaker: Option<Speaker>,
    pub(super) architecture: Architecture,
    /// SMBIOS UUID in the usual spelling.
    pub(super) uuid: Option<String>,
    /// Options that a reply repeats as they came: 61 (RFC 6842), 82 (RFC 3046), 97 (RFC 4578).
    pub(super) client_id: Option<Vec<u8>>,
    pub(super) relay_info: Option<Vec<u8>>,
    pub(super) machine_id: Option<Vec<u8>>,
    /// Sub-option 71 of option 43, in what is asked of a PXE boot server.
    pub(super) boot_item: Option<[u8; 4]>,
}

/// A datagram that another DHCP server sent to a client of our network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overheard {
    /// Option 54.
    pub(super) server: Ipv4Addr,
    /// Whom the machine is told to load its boot file from (`siaddr`).
    pub(super) next_server: Option<Ipv4Addr>,
    pub(super) boot_file: Option<String>,
    /// The address that is offered; a ProxyDHCP server offers none.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) machine: MacAddr,
    /// The transaction's number, which the machine chose.
    pub(super) xid: u32,
}

/// Bytes that are no DHCP datagram for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PacketError {
    #[error("{0} bytes, expected {HEADER_BYTES} to {DATAGRAM_BYTES_MAX}")]
    Size(usize),
    #[error("no DHCP magic cookie")]
    NoCookie,
    #[error("header cannot be read")]
    BadHeader,
    #[error("operation {found}, expected {expected}")]
    Operation { found: u8, expected: u8 },
    #[error("hardware address of type {kind} and {length} bytes ({address}) names no Ethernet card")]
    NoEthernet { kind: u8, length: u8, address: MacAddr },
    #[error(transparent)]
    Options(#[from] OptionsError),
    #[error("option {code} of {length} bytes is malformed")]
    BadOption { code: u8, length: usize },
    #[error("message type {0} is none that is read here")]
    MessageType(u8),
    #[error("no message type: plain BOOTP")]
    NoMessageType,
    #[error("client or DHCP relay agent {0} is no host")]
    NoHost(Ipv4Addr),
    #[error("no server identifier")]
    NoServer,
}

impl Request {
    /// Reads what a client sent to port 67 or 4011.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        let raw = Raw::parse(bytes, v4::Opcode::BootRequest)?;
        let ask = match raw.message_type()? {
            MessageType::Discover => Ask::Discover,
            MessageType::Request => Ask::Request,
            MessageType::Decline => Ask::Decline,
            MessageType::Release => Ask::Release,
            MessageType::Inform => Ask::Inform,
            other => return Err(PacketError::MessageType(other.into())),
        };
        let (header, options) = (&raw.header, &raw.options);
        Ok(Self {
            ask,
            xid: header.xid(),
            flags: header.flags().into(),
            client_address: one_hosts(header.ciaddr())?,
            relay_agent: one_hosts(header.giaddr())?,
            mac: raw.mac,
            wanted_address: raw.address(OptionCode::RequestedIpAddress)?.and_then(specified),
            server: raw.address(OptionCode::ServerIdentifier)?.and_then(specified),
            speaker: speaker(options),
            architecture: architecture(options)?,
            uuid: options.get(MACHINE_ID).and_then(uuid),
            client_id: options.get(CLIENT_ID).map(Into::into),
            relay_info: options.get(RELAY_AGENT).map(Into::into),
            machine_id: options.get(MACHINE_ID).map(Into::into),
            boot_item: options
                .get(VENDOR_OPTIONS)
                .and_then(|list| vendor::find(list, vendor::BOOT_ITEM))
                .and_then(|item| item.try_into().ok()),
        })
    }
}

impl Overheard {
    /// Reads what a server broadcast to port 68: offers and acknowledgements, which alone tell how it answers.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        let raw = Raw::parse(bytes, v4::Opcode::BootReply)?;
        match raw.message_type()? {
            MessageType::Offer | MessageType::Ack => {}
            other => return Err(PacketError::MessageType(other.into())),
        }
        let file = match raw.options.get(BOOT_FILE) {
            Some(name) => Some(name),
            None if raw.overload.file => None,
            None => bytes.get(FILE),
        };
        Ok(Self {
            server: raw.address(OptionCode::ServerIdentifier)?.ok_or(PacketError::NoServer)?,
            next_server: specified(raw.header.siaddr()),
            boot_file: file.and_then(name),
            address: specified(raw.header.yiaddr()),
            machine: raw.mac,
            xid: raw.header.xid(),
        })
    }
}

/// A datagram whose header and options are well formed.
struct Raw {
    header: v4::Message,
    mac: MacAddr,
    options: Options,
    overload: Overload,
}

impl Raw {
    fn parse(bytes: &[u8], operation: v4::Opcode) -> Result<Self, PacketError> {
        let (header, options) = match bytes.split_at_checked(HEADER_BYTES) {
            Some(parts) if bytes.len() <= DATAGRAM_BYTES_MAX => parts,
            _ => return Err(PacketError::Size(bytes.len())),
        };
        if !header.ends_with(&v4::MAGIC) {
            return Err(PacketError::NoCookie);
        }
        let (file, sname) = (&header[FILE], &header[SNAME]);
        let header = v4::Message::decode(&mut Decoder::new(header)).map_err(|_| PacketError::BadHeader)?;
        if header.opcode() != operation {
            return Err(PacketError::Operation { found: header.opcode().into(), expected: operation.into() });
        }
        // `Message::chaddr` slices by the datagram's own length byte and panics above 16, so the length is judged first.
        let mac = match (header.htype(), header.hlen()) {
            (v4::HType::Eth, 6) => MacAddr(header.chaddr().try_into().unwrap_or_default()),
            _ => MacAddr([0; 6]),
        };
        if !mac.is_individual() {
            let (kind, length) = (header.htype().into(), header.hlen());
            return Err(PacketError::NoEthernet { kind, length, address: mac });
        }
        let (options, overload) = Options::parse(options, file, sname)?;
        Ok(Self { header, mac, options, overload })
    }

    fn message_type(&self) -> Result<MessageType, PacketError> {
        match self.typed(OptionCode::MessageType, 1)? {
            Some(DhcpOption::MessageType(kind)) => Ok(kind),
            _ => Err(PacketError::NoMessageType),
        }
    }

    fn address(&self, code: OptionCode) -> Result<Option<Ipv4Addr>, PacketError> {
        Ok(match self.typed(code, 4)? {
            Some(DhcpOption::RequestedIpAddress(address) | DhcpOption::ServerIdentifier(address)) => {
                Some(address)
            }
            _ => None,
        })
    }

    /// Has `dhcproto` read an option of fixed length.
    fn typed(&self, code: OptionCode, length: u8) -> Result<Option<DhcpOption>, PacketError> {
        let code_byte = u8::from(code);
        let Some(value) = self.options.get(code_byte) else { return Ok(None) };
        let error = || PacketError::BadOption { code: code_byte, length: value.len() };
        if value.len() != usize::from(length) {
            return Err(error());
        }
        let mut bytes = vec![code_byte, length];
        bytes.extend(value);
        DhcpOption::decode(&mut Decoder::new(&bytes)).map(Some).map_err(|_| error())
    }
}

/// Who asks. iPXE calls itself `PXEClient` as well, so what only it says decides first.
///
/// iPXE sends its user class bare, where RFC 3004 wants a length before it: the word is looked for anywhere.
fn speaker(options: &Options) -> Option<Speaker> {
    let user_class = options.get(USER_CLASS).unwrap_or_default();
    if user_class.windows(4).any(|word| word == b"iPXE") || options.get(ETHERBOOT).is_some() {
        return Some(Speaker::Ipxe);
    }
    match options.get(VENDOR_CLASS)? {
        class if class.starts_with(b"PXEClient") => Some(Speaker::Pxe),
        class if class.starts_with(b"HTTPClient") => Some(Speaker::Http),
        _ => None,
    }
}

/// The first architecture that we know of those in option 93, else the first; a machine that names none is a BIOS,
/// as before RFC 4578.
fn architecture(options: &Options) -> Result<Architecture, PacketError> {
    let Some(list) = options.get(ARCHITECTURES) else { return Ok(Architecture::Bios) };
    let (numbers, rest) = list.as_chunks::<2>();
    if numbers.is_empty() || !rest.is_empty() {
        return Err(PacketError::BadOption { code: ARCHITECTURES, length: list.len() });
    }
    let mut all = numbers.iter().map(|number| Architecture::from(u16::from_be_bytes(*number)));
    let known = all.clone().find(|architecture| !matches!(architecture, Architecture::Other(_)));
    Ok(known.or_else(|| all.next()).unwrap_or(Architecture::Bios))
}

/// The UUID in option 97: a type byte of 0, then the bytes as SMBIOS keeps them, whose first three fields are
/// little-endian (seen of OVMF and of iPXE).
fn uuid(machine_id: &[u8]) -> Option<String> {
    let [0, a, b, c, d, e, f, g, h, rest @ ..] = machine_id else { return None };
    let node: [u8; 8] = rest.try_into().ok()?;
    let first = hex::encode([*d, *c, *b, *a]);
    let (second, third) = (hex::encode([*f, *e]), hex::encode([*h, *g]));
    Some(format!("{first}-{second}-{third}-{}-{}", hex::encode(&node[..2]), hex::encode(&node[2..])))
}

fn specified(address: Ipv4Addr) -> Option<Ipv4Addr> {
    (!address.is_unspecified()).then_some(address)
}

/// An address that replies are sent to: one host's, or none.
fn one_hosts(address: Ipv4Addr) -> Result<Option<Ipv4Addr>, PacketError> {
    match address.is_multicast() || address.is_broadcast() || address.is_loopback() {
        true => Err(PacketError::NoHost(address)),
        false => Ok(specified(address)),
    }
}

/// A file name up to its NUL, made harmless for logs and pages.
fn name(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next().filter(|text| !text.is_empty())?;
    let text = String::from_utf8_lossy(text);
    Some(text.chars().map(|c| if c.is_control() { '?' } else { c }).take(NAME_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests;
