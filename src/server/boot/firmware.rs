//! What a machine's firmware is, and what each gets to boot: one table.

use std::{fmt, net::Ipv4Addr};

use mimeo_core::ids::MacAddr;

use super::target::LoaderChoice;

/// iPXE as a network boot program for BIOS; it goes on using the card's own driver.
pub const IPXE_BIOS: &str = "undionly.kpxe";
/// iPXE for x86-64 UEFI, going on with the firmware's own network driver. Secure Boot refuses it.
pub const IPXE_UEFI_X64: &str = "snponly.efi";
/// The shim that Microsoft signed, for x86-64. It fetches `grubx64.efi` from beside itself.
pub const SHIM_X64: &str = "shimx64.efi";
/// The same for 64-bit ARM.
pub const SHIM_ARM64: &str = "shimaa64.efi";

/// A client system architecture (DHCP option 93, RFC 4578 section 2.1). The numbers are IANA's "Processor
/// Architecture Types".
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

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bios => f.write_str("BIOS"),
            Self::UefiX64 => f.write_str("UEFI x64"),
            Self::UefiX64Http => f.write_str("UEFI x64 HTTP"),
            Self::UefiArm64 => f.write_str("UEFI arm64"),
            Self::UefiArm64Http => f.write_str("UEFI arm64 HTTP"),
            Self::Other(number) => write!(f, "architecture {number}"),
        }
    }
}

/// Which program asks. One boot asks two or three times, each time as another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The machine's own PXE firmware (option 60 `PXEClient`).
    Pxe,
    /// The machine's own HTTP boot (option 60 `HTTPClient`).
    Http,
    /// iPXE, from us or from the card's ROM (option 77 `iPXE` or option 175).
    Ipxe,
}

/// What a machine is to load next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootFile {
    /// A file of our TFTP server, by its name there.
    Tftp(&'static str),
    /// Something of our HTTP server.
    Url(String),
}

impl fmt::Display for BootFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tftp(name) => f.write_str(name),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// Where our HTTP server for boot files listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootHttp {
    pub address: Ipv4Addr,
    pub port: u16,
}

impl BootHttp {
    /// The boot script that iPXE runs on this machine.
    pub fn ipxe_script(self, mac: MacAddr) -> String {
        format!("{self}/boot/ipxe/{}", hyphenated(mac))
    }

    /// A boot file that is the same for all machines.
    pub fn file(self, name: &str) -> String {
        format!("{self}/boot/files/{name}")
    }

    /// The RAM disk that UEFI's HTTP boot boots on this machine. Firmware takes it for a disk image by its suffix.
    pub fn uefi_image(self, mac: MacAddr) -> String {
        format!("{self}/boot/uefi/{}.img", hyphenated(mac))
    }
}

impl fmt::Display for BootHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            80 => write!(f, "http://{}", self.address),
            port => write!(f, "http://{}:{port}", self.address),
        }
    }
}

/// The table: what `speaker` on a machine of this architecture loads next, or `None` where we have nothing for it.
///
/// Only firmware is told by its architecture: iPXE reads the same script wherever it runs.
pub fn boot_file(
    speaker: Speaker,
    architecture: Architecture,
    loader: LoaderChoice,
    mac: MacAddr,
    http: BootHttp,
) -> Option<BootFile> {
    use Architecture::{Bios, Other, UefiArm64, UefiArm64Http, UefiX64, UefiX64Http};
    match (speaker, architecture, loader) {
        (_, Other(_), _) => None,
        (Speaker::Ipxe, _, _) => Some(BootFile::Url(http.ipxe_script(mac))),
        (Speaker::Pxe, Bios, _) => Some(BootFile::Tftp(IPXE_BIOS)),
        (Speaker::Pxe, UefiX64, LoaderChoice::Signed) => Some(BootFile::Tftp(SHIM_X64)),
        (Speaker::Pxe, UefiX64, LoaderChoice::Ipxe) => Some(BootFile::Tftp(IPXE_UEFI_X64)),
        // Debian has no snponly for ARM, so the signed chain is all there is.
        (Speaker::Pxe, UefiArm64, _) => Some(BootFile::Tftp(SHIM_ARM64)),
        (Speaker::Http, UefiX64Http, LoaderChoice::Ipxe) => Some(BootFile::Url(http.file(IPXE_UEFI_X64))),
        (Speaker::Http, UefiX64Http | UefiArm64Http, _) => Some(BootFile::Url(http.uefi_image(mac))),
        (Speaker::Pxe, UefiX64Http | UefiArm64Http, _) | (Speaker::Http, Bios | UefiX64 | UefiArm64, _) => {
            None
        }
    }
}

/// A hardware address as a path segment: hyphens, because a colon is not welcome in every firmware's URL parser.
fn hyphenated(mac: MacAddr) -> String {
    mac.to_string().replace(':', "-")
}

#[cfg(test)]
mod tests {
    use mimeo_core::ids::MacAddr;

    use super::{BootFile, BootHttp, Speaker, boot_file};
    use crate::boot::target::LoaderChoice::{Ipxe, Signed};

    #[test]
    fn every_machine_gets_what_fits_it() {
        let mac = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
        let http = BootHttp { address: [10, 0, 0, 1].into(), port: 8080 };
        let script = "http://10.0.0.1:8080/boot/ipxe/52-54-00-12-34-56";
        let image = "http://10.0.0.1:8080/boot/uefi/52-54-00-12-34-56.img";
        let ipxe = "http://10.0.0.1:8080/boot/files/snponly.efi";
        let table = [
            (Speaker::Pxe, 0, Signed, Some("undionly.kpxe")),
            (Speaker::Pxe, 0, Ipxe, Some("undionly.kpxe")),
            (Speaker::Pxe, 7, Signed, Some("shimx64.efi")),
            (Speaker::Pxe, 9, Signed, Some("shimx64.efi")),
            (Speaker::Pxe, 7, Ipxe, Some("snponly.efi")),
            (Speaker::Pxe, 11, Signed, Some("shimaa64.efi")),
            (Speaker::Pxe, 6, Signed, None),
            (Speaker::Pxe, 16, Signed, None),
            (Speaker::Ipxe, 0, Signed, Some(script)),
            (Speaker::Ipxe, 7, Signed, Some(script)),
            (Speaker::Ipxe, 11, Ipxe, Some(script)),
            (Speaker::Http, 16, Signed, Some(image)),
            (Speaker::Http, 16, Ipxe, Some(ipxe)),
            (Speaker::Http, 19, Signed, Some(image)),
            (Speaker::Http, 19, Ipxe, Some(image)),
            (Speaker::Http, 7, Signed, None),
            (Speaker::Http, 15, Signed, None),
        ];
        for (speaker, architecture, loader, expect) in table {
            let got = boot_file(speaker, architecture.into(), loader, mac, http);
            let case = format!("{speaker:?} {architecture} {loader:?}");
            assert_eq!(got.map(|file| file.to_string()).as_deref(), expect, "{case}");
        }
    }

    #[test]
    fn port_80_is_left_out_of_urls() {
        let http = BootHttp { address: [10, 0, 0, 1].into(), port: 80 };
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        assert_eq!(http.ipxe_script(mac), "http://10.0.0.1/boot/ipxe/02-00-00-00-00-01");
        let file = boot_file(Speaker::Ipxe, 0.into(), Signed, mac, http);
        assert_eq!(file, Some(BootFile::Url(http.ipxe_script(mac))));
    }
}
