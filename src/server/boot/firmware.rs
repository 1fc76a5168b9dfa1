//! What a machine's firmware is, from what it says of itself (DHCP option 93, RFC 4578 section 2.1).

/// A client system architecture. The numbers are IANA's "Processor Architecture Types".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// 0: x86 with a BIOS.
    Bios,
    /// 7: x86-64 UEFI, what such firmware sends; 9 means the same and is seen too.
    UefiX64,
    /// 16: x86-64 UEFI booting over HTTP.
    UefiX64Http,
    /// 11: ARM 64-bit UEFI.
    UefiArm64,
    /// 19: ARM 64-bit UEFI booting over HTTP.
    UefiArm64Http,
    /// Anything else, by its number.
    Other(u16),
}

impl From<u16> for Architecture {
    fn from(number: u16) -> Self {
        match number {
            0 => Self::Bios,
            7 | 9 => Self::UefiX64,
            11 => Self::UefiArm64,
            16 => Self::UefiX64Http,
            19 => Self::UefiArm64Http,
            other => Self::Other(other),
        }
    }
}
