//! Ready-made configuration for those who would rather have the DHCP server they run tell machines about us.
//!
//! Each says the same: BIOS gets iPXE, UEFI the signed chain, iPXE its script, and the next-server is us, which is
//! what lets signed GRUB find us. UEFI's HTTP boot is left to our own modes: its URL names the machine, and of these
//! servers none can write that.

use std::net::Ipv4Addr;

use super::settings::Settings;
use crate::boot::firmware::{IPXE_BIOS, SHIM_ARM64, SHIM_X64};

/// What a foreign server is to say: by architecture (option 93), and to iPXE whatever its architecture.
struct Sayings {
    us: Ipv4Addr,
    script: String,
}

/// Firmware in words, option 93 and boot file.
const FIRMWARE: [(&str, &[u16], &str); 3] =
    [("bios", &[0], IPXE_BIOS), ("uefi-x64", &[7, 9], SHIM_X64), ("uefi-arm64", &[11], SHIM_ARM64)];

impl Sayings {
    /// iPXE puts the card's address into the URL itself: it expands settings in a file name.
    fn new(settings: &Settings) -> Self {
        let script = format!("{}/boot/ipxe/${{netX/mac:hexhyp}}", settings.http());
        Self { us: settings.address, script }
    }
}

/// For ISC dhcpd: global statements of `dhcpd.conf`.
pub fn isc_dhcpd(settings: &Settings) -> String {
    let Sayings { us, script } = Sayings::new(settings);
    let mut text = format!(
        "# Network boot from Mimeo, for dhcpd.conf outside any subnet.\n\
         option mimeo-architecture code 93 = unsigned integer 16;\n\
         next-server {us};\n\
         if option user-class = \"iPXE\" {{\n    filename \"{script}\";\n}}"
    );
    for (_, numbers, file) in FIRMWARE {
        // dhcpd writes a number's bytes as 00:07; ours all fit the second.
        let test = numbers.iter().map(|number| format!("option mimeo-architecture = 00:{number:02x}"));
        let test = test.collect::<Vec<_>>().join(" or ");
        text += &format!(" elsif {test} {{\n    filename \"{file}\";\n}}");
    }
    text + "\n"
}

/// For Kea: an object to be merged into `Dhcp4` of `kea-dhcp4.conf`.
pub fn kea(settings: &Settings) -> String {
    let Sayings { us, script } = Sayings::new(settings);
    let us = us.to_string();
    let class = |name: &str, test: String, file: &str| serde_json::json!({ "name": name, "test": test, "next-server": us, "boot-file-name": file });
    let mut classes = vec![class("mimeo-ipxe", "option[77].hex == 'iPXE'".into(), &script)];
    for (name, numbers, file) in FIRMWARE {
        let any = numbers.iter().map(|number| format!("option[93].hex == 0x{number:04x}"));
        let any = any.collect::<Vec<_>>().join(" or ");
        let test = format!("not member('mimeo-ipxe') and ({any})");
        classes.push(class(&format!("mimeo-{name}"), test, file));
    }
    // The alternate form keeps what a person pastes readable.
    format!("{:#}\n", serde_json::json!({ "Dhcp4": { "client-classes": classes } }))
}

/// For dnsmasq: lines of `dnsmasq.conf`.
pub fn dnsmasq(settings: &Settings) -> String {
    let Sayings { us, script } = Sayings::new(settings);
    let mut text = String::from("# Network boot from Mimeo.\ndhcp-match=set:mimeo-ipxe,175\n");
    for (name, numbers, _) in FIRMWARE {
        for number in numbers {
            text += &format!("dhcp-match=set:mimeo-{name},option:client-arch,{number}\n");
        }
    }
    text += &format!("dhcp-boot=tag:mimeo-ipxe,{script},,{us}\n");
    for (name, _, file) in FIRMWARE {
        text += &format!("dhcp-boot=tag:mimeo-{name},tag:!mimeo-ipxe,{file},,{us}\n");
    }
    text
}

/// For Windows Server: PowerShell, to be run once by an administrator of the DHCP server.
///
/// A policy per firmware on the vendor class that it sends, one on the user class for iPXE, processed first.
pub fn windows(settings: &Settings) -> String {
    let Sayings { us, script } = Sayings::new(settings);
    let mut text = String::from(
        "# Network boot from Mimeo, for PowerShell on the DHCP server.\n\
         Add-DhcpServerv4Class -Name 'Mimeo iPXE' -Type User -Data 'iPXE'\n\
         Add-DhcpServerv4Policy -Name 'Mimeo iPXE' -Condition OR -UserClass EQ,'Mimeo iPXE' -ProcessingOrder 1\n",
    );
    text += &windows_options("Mimeo iPXE", us, &script);
    for (name, numbers, file) in FIRMWARE {
        let policy = format!("Mimeo {name}");
        let mut classes = String::new();
        for number in numbers {
            let class = format!("{policy} {number}");
            text += &format!(
                "Add-DhcpServerv4Class -Name '{class}' -Type Vendor -Data 'PXEClient:Arch:{number:05}'\n"
            );
            classes += &format!(",'{class}*'");
        }
        text += &format!("Add-DhcpServerv4Policy -Name '{policy}' -Condition OR -VendorClass EQ{classes}\n");
        text += &windows_options(&policy, us, file);
    }
    text
}

fn windows_options(policy: &str, us: Ipv4Addr, file: &str) -> String {
    format!(
        "Set-DhcpServerv4OptionValue -PolicyName '{policy}' -OptionId 66 -Value '{us}'\n\
         Set-DhcpServerv4OptionValue -PolicyName '{policy}' -OptionId 67 -Value '{file}'\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{dnsmasq, isc_dhcpd, kea, windows};
    use crate::boot::dhcp::settings::Settings;

    #[test]
    fn every_snippet_names_us_every_boot_file_and_the_script() {
        let settings = Settings { http_port: 8080, ..Settings::proxy("eth1", [10, 0, 0, 1].into(), 24) };
        for text in [isc_dhcpd(&settings), kea(&settings), dnsmasq(&settings), windows(&settings)] {
            let script = "http://10.0.0.1:8080/boot/ipxe/${netX/mac:hexhyp}";
            for word in ["10.0.0.1", "undionly.kpxe", "shimx64.efi", "shimaa64.efi", script] {
                assert!(text.contains(word), "{word} is missing in\n{text}");
            }
        }
    }
}
