//! TFTP packets: bytes to values and back.
//!
//! What arrives is parsed once, here, into values that cannot be wrong: a [`FileName`] has no tricks in it, an
//! option is in its RFC's range or absent. What is wrong in a way that the RFC lets a server overlook (an unknown
//! option, a value out of range) is dropped, because RFC 2347 section 4 has the server answer only what it accepts.

use std::{fmt, time::Duration};

/// The longest request that is looked at. RFC 2347 section 2 allows 512 octets.
pub const REQUEST_BYTES_MAX: usize = 512;

/// The longest packet of a client that is looked at during a transfer: an error with a long text.
pub const REPLY_BYTES_MAX: usize = 512;

/// RFC 1350's block size, where no other was agreed.
pub const BLOCK_BYTES_DEFAULT: u16 = 512;

/// Opcode and block number before each block of data.
pub const DATA_HEADER_BYTES: usize = 4;

/// How much of a client's own error text is kept for the log.
const ERROR_TEXT_BYTES_MAX: usize = 128;

const OPCODE_READ: u16 = 1;
const OPCODE_WRITE: u16 = 2;
const OPCODE_DATA: u16 = 3;
const OPCODE_ACK: u16 = 4;
const OPCODE_ERROR: u16 = 5;
const OPCODE_OPTIONS_ACK: u16 = 6;

/// What a client asks to read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReadRequest {
    pub name: FileName,
    pub options: Options,
}

/// A file's name: relative, apart by single slashes, of printable ASCII, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileName(String);

/// What a client offers to agree on. Absent means not offered, or offered with a value that nobody can accept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// `blksize`, RFC 2348: 8 to 65464 octets.
    pub block_bytes: Option<u16>,
    /// `timeout`, RFC 2349: 1 to 255 seconds.
    pub timeout_seconds: Option<u8>,
    /// `tsize`, RFC 2349: the client wants to know how long the file is.
    pub wants_size: bool,
    /// `windowsize`, RFC 7440: 1 to 65535 blocks.
    pub window_blocks: Option<u16>,
}

/// What a client says during a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It has this block and all before it. Zero acknowledges the options too.
    Ack(u16),
    /// It wants no more. Never answered (RFC 1350 section 7).
    Error { code: u16, text: String },
}

/// Why a request is answered with an error, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    #[error("a request of {found} bytes, expected 4 to {REQUEST_BYTES_MAX}")]
    Length { found: usize },
    #[error("a request to write, which nobody may")]
    Write,
    #[error("opcode {0} where a request was expected")]
    Opcode(u16),
    #[error("a request whose text does not end")]
    Unterminated,
    #[error("transfer mode {0:?}, expected \"octet\"")]
    Mode(String),
    #[error("a file name that names no file: {0:?}")]
    Name(String),
}

/// RFC 1350's error codes, as far as a read-only server sends them, and RFC 2347's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    Undefined = 0,
    NotFound = 1,
    AccessViolation = 2,
    IllegalOperation = 4,
}

/// Parses what arrives on port 69.
pub fn parse_request(packet: &[u8]) -> Result<ReadRequest, RequestError> {
    if packet.len() > REQUEST_BYTES_MAX {
        return Err(RequestError::Length { found: packet.len() });
    }
    let Some((opcode, rest)) = split_u16(packet) else {
        return Err(RequestError::Length { found: packet.len() });
    };
    match opcode {
        OPCODE_READ => {}
        OPCODE_WRITE => return Err(RequestError::Write),
        other => return Err(RequestError::Opcode(other)),
    }
    let (name, rest) = split_text(rest).ok_or(RequestError::Unterminated)?;
    let (mode, rest) = split_text(rest).ok_or(RequestError::Unterminated)?;
    // Boot loaders that still say netascii want the bytes as they are: translating line ends would break every
    // binary, so it is served as octet, as atftpd and async-tftp do. "mail" is a write in disguise.
    if !mode.eq_ignore_ascii_case(b"octet") && !mode.eq_ignore_ascii_case(b"netascii") {
        return Err(RequestError::Mode(for_log(mode)));
    }
    Ok(ReadRequest { name: FileName::parse(name)?, options: Options::parse(rest) })
}

/// Parses what arrives on a transfer's own port; `None` for anything that is neither acknowledgement nor error.
pub fn parse_reply(packet: &[u8]) -> Option<Reply> {
    let (opcode, rest) = split_u16(packet)?;
    let (number, rest) = split_u16(rest)?;
    match opcode {
        OPCODE_ACK => Some(Reply::Ack(number)),
        OPCODE_ERROR => {
            let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            Some(Reply::Error { code: number, text: for_log(text) })
        }
        _ => None,
    }
}

/// The four bytes before a block's content.
pub fn emit_data_header(number: u16) -> [u8; DATA_HEADER_BYTES] {
    let [a, b] = OPCODE_DATA.to_be_bytes();
    let [c, d] = number.to_be_bytes();
    [a, b, c, d]
}

pub fn emit_error(code: ErrorCode, text: &str) -> Vec<u8> {
    let mut packet = Vec::with_capacity(5 + text.len());
    packet.extend_from_slice(&OPCODE_ERROR.to_be_bytes());
    packet.extend_from_slice(&(code as u16).to_be_bytes());
    packet.extend_from_slice(text.as_bytes());
    packet.push(0);
    packet
}

/// An option acknowledgement (RFC 2347 section 3): the options that were agreed, `size` where it was asked for.
pub fn emit_options_ack(agreed: &Options, size_bytes: u64) -> Vec<u8> {
    let mut packet = OPCODE_OPTIONS_ACK.to_be_bytes().to_vec();
    let mut option = |name: &str, value: u64| {
        packet.extend_from_slice(name.as_bytes());
        packet.push(0);
        packet.extend_from_slice(value.to_string().as_bytes());
        packet.push(0);
    };
    if let Some(bytes) = agreed.block_bytes {
        option("blksize", bytes.into());
    }
    if let Some(seconds) = agreed.timeout_seconds {
        option("timeout", seconds.into());
    }
    if agreed.wants_size {
        option("tsize", size_bytes);
    }
    if let Some(blocks) = agreed.window_blocks {
        option("windowsize", blocks.into());
    }
    packet
}

impl RequestError {
    /// What the client is told; `None` where an answer would only feed a reflection attack or a loop of errors.
    pub fn answer(&self) -> Option<(ErrorCode, &'static str)> {
        match self {
            Self::Length { .. } | Self::Opcode(_) | Self::Unterminated => None,
            Self::Write => Some((ErrorCode::AccessViolation, "this server is read-only")),
            Self::Mode(_) => Some((ErrorCode::IllegalOperation, "only octet mode is served")),
            Self::Name(_) => Some((ErrorCode::NotFound, "file not found")),
        }
    }
}

impl FileName {
    /// Normalises a name: Windows writes backslashes, GRUB leading slashes, firmware sometimes both twice.
    pub fn parse(name: &[u8]) -> Result<Self, RequestError> {
        let error = || RequestError::Name(for_log(name));
        if !name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            return Err(error());
        }
        let mut normal = String::with_capacity(name.len());
        for part in name.split(|byte| matches!(byte, b'/' | b'\\')).filter(|part| !part.is_empty()) {
            if matches!(part, b"." | b"..") {
                return Err(error());
            }
            if !normal.is_empty() {
                normal.push('/');
            }
            normal.extend(part.iter().map(|byte| char::from(*byte)));
        }
        if normal.is_empty() { Err(error()) } else { Ok(Self(normal)) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Options {
    /// Reads pairs of name and value until the text ends or breaks off. Of an option named twice the last counts.
    fn parse(mut rest: &[u8]) -> Self {
        let mut options = Self::default();
        while let Some((name, value, after)) = split_option(rest) {
            rest = after;
            match name.to_ascii_lowercase().as_slice() {
                b"blksize" => options.block_bytes = number(value).filter(|bytes| (8..=65464).contains(bytes)),
                b"timeout" => options.timeout_seconds = number(value).filter(|seconds| *seconds >= 1),
                b"tsize" => options.wants_size = true,
                b"windowsize" => options.window_blocks = number(value).filter(|blocks| *blocks >= 1),
                _ => {}
            }
        }
        options
    }

    /// Whether there is anything to acknowledge: without it, the first answer is data (RFC 2347 section 3).
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

fn split_option(rest: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = split_text(rest)?;
    let (value, rest) = split_text(rest)?;
    Some((name, value, rest))
}

fn split_u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head), rest))
}

/// Splits off a text that ends with a zero byte.
fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// A decimal number without sign: `str::parse` would take "+5".
fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Foreign bytes as they may stand in a log: bounded and printable.
fn for_log(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(ERROR_TEXT_BYTES_MAX)];
    bytes
        .iter()
        .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::{FileName, Options, Reply, RequestError, emit_options_ack, parse_reply, parse_request};

    fn request(fields: &[&str]) -> Vec<u8> {
        let mut packet = vec![0, 1];
        for field in fields {
            packet.extend_from_slice(field.as_bytes());
            packet.push(0);
        }
        packet
    }

    #[test]
    fn names_are_normalised_and_tricks_are_no_names() {
        let check = |name: &str, expect: Option<&str>| {
            let found = FileName::parse(name.as_bytes()).ok();
            assert_eq!(found.as_ref().map(FileName::as_str), expect, "{name:?}");
        };
        check("undionly.kpxe", Some("undionly.kpxe"));
        check("//grub/grub.cfg", Some("grub/grub.cfg"));
        check("\\Boot\\x64\\wdsnbp.com", Some("Boot/x64/wdsnbp.com"));
        check("/grub//x86_64-efi/command.lst", Some("grub/x86_64-efi/command.lst"));
        check("..hidden", Some("..hidden"));
        for trick in
            ["", "/", "..", "../etc/passwd", "a/../../b", "..\\..\\x", "/./x", "a\nb", "é", "a\u{7f}"]
        {
            check(trick, None);
        }
    }

    #[test]
    fn options_out_of_range_or_unknown_are_as_if_absent() {
        let check = |fields: &[&str], expect: Options| {
            let mut all = vec!["f", "octet"];
            all.extend_from_slice(fields);
            assert_eq!(
                parse_request(&request(&all)).map(|request| request.options),
                Ok(expect),
                "{fields:?}"
            );
        };
        let none = Options::default();
        check(&[], none);
        check(
            &["blksize", "1468", "tsize", "0"],
            Options { block_bytes: Some(1468), wants_size: true, ..none },
        );
        check(&["BLKSIZE", "8"], Options { block_bytes: Some(8), ..none });
        check(&["windowsize", "65535"], Options { window_blocks: Some(65535), ..none });
        check(&["timeout", "255"], Options { timeout_seconds: Some(255), ..none });
        for (name, value) in [
            ("blksize", "7"),
            ("blksize", "65465"),
            ("blksize", "+512"),
            ("blksize", ""),
            ("blksize", "99999999999999999999999"),
            ("timeout", "0"),
            ("timeout", "256"),
            ("windowsize", "0"),
            ("windowsize", "70000"),
            ("msftwindow", "31416"),
        ] {
            check(&[name, value], none);
        }
        // A name without a value breaks off the list; what came before it counts.
        check(&["blksize", "512", "windowsize"], Options { block_bytes: Some(512), ..none });
    }

    #[test]
    fn only_reads_in_octet_are_served() {
        assert_eq!(parse_request(&[0, 2, b'f', 0, b'o', 0]), Err(RequestError::Write));
        assert_eq!(parse_request(&request(&["f", "mail"])), Err(RequestError::Mode("mail".into())));
        assert!(parse_request(&request(&["f", "NetASCII"])).is_ok());
        assert_eq!(parse_request(&[0, 4, 0, 1]), Err(RequestError::Opcode(4)));
        assert_eq!(parse_request(&[0, 1, b'f', 0, b'o']), Err(RequestError::Unterminated));
        assert_eq!(parse_request(&[0]), Err(RequestError::Length { found: 1 }));
        assert_eq!(parse_request(&[0; 513]), Err(RequestError::Length { found: 513 }));
    }

    #[test]
    fn nothing_malformed_is_answered() {
        for error in [RequestError::Length { found: 0 }, RequestError::Opcode(5), RequestError::Unterminated]
        {
            assert_eq!(error.answer(), None, "{error}");
        }
        assert!(RequestError::Write.answer().is_some());
    }

    #[test]
    fn an_options_ack_repeats_exactly_what_was_agreed() {
        let agreed = Options {
            block_bytes: Some(1468),
            wants_size: true,
            window_blocks: Some(8),
            timeout_seconds: None,
        };
        assert_eq!(
            emit_options_ack(&agreed, 70000),
            b"\0\x06blksize\x001468\0tsize\x0070000\0windowsize\x008\0"
        );
    }

    #[test]
    fn replies_are_acks_and_errors() {
        assert_eq!(parse_reply(&[0, 4, 1, 2]), Some(Reply::Ack(0x102)));
        assert_eq!(parse_reply(&[0, 4, 1, 2, 9]), Some(Reply::Ack(0x102)));
        let aborted = Reply::Error { code: 8, text: "User aborted".into() };
        assert_eq!(parse_reply(b"\0\x05\0\x08User aborted\0"), Some(aborted));
        assert_eq!(parse_reply(b"\0\x05\0\x08"), Some(Reply::Error { code: 8, text: String::new() }));
        for other in [&[][..], &[0, 4], &[0, 4, 1], &[0, 3, 0, 1, 7], &[0, 6, 0, 0]] {
            assert_eq!(parse_reply(other), None, "{other:?}");
        }
    }

    fn field() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            Just(b"octet".to_vec()),
            Just(b"blksize".to_vec()),
            Just(b"windowsize".to_vec()),
            Just(b"timeout".to_vec()),
            any::<u32>().prop_map(|number| number.to_string().into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..40),
        ]
    }

    proptest! {
        /// Whatever parses keeps the promises of its types.
        #[test]
        fn a_parsed_request_keeps_its_promises(fields in proptest::collection::vec(field(), 0..8), cut in 0usize..64) {
            let mut packet = vec![0, 1];
            for field in &fields {
                packet.extend_from_slice(field);
                packet.push(0);
            }
            packet.truncate(packet.len().saturating_sub(cut % 8));
            if let Ok(request) = parse_request(&packet) {
                let name = request.name.as_str();
                prop_assert!(!name.is_empty() && !name.starts_with('/') && name.is_ascii());
                prop_assert!(name.split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
                prop_assert!(request.options.block_bytes.is_none_or(|bytes| (8..=65464).contains(&bytes)));
                prop_assert!(request.options.window_blocks != Some(0) && request.options.timeout_seconds != Some(0));
                // A normal name is its own normal form.
                prop_assert_eq!(FileName::parse(name.as_bytes()), Ok(request.name));
            }
        }

        #[test]
        fn any_bytes_are_parsed_without_panic(packet in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _request = parse_request(&packet);
            let _reply = parse_reply(&packet);
        }
    }
}
