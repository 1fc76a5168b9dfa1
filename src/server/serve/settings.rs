//! The configuration in the words of each domain.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::{
    boot::{
        dhcp::settings::{BOOT_LEASE_DEFAULT, Mode, Settings as DhcpSettings},
        menu::Settings as MenuSettings,
    },
    config::{Config, DhcpMode, interface::ServedInterface},
    wiring::boot_source::BootPolicy,
};

pub(super) fn boot_policy(config: &Config) -> BootPolicy {
    BootPolicy {
        unknown: config.boot.unknown,
        menu_timeout_seconds: config.boot.menu_timeout_seconds,
        language: config.server.language,
    }
}

pub(super) fn menu(config: &Config, served: &ServedInterface) -> MenuSettings {
    MenuSettings {
        boot_http: SocketAddrV4::new(served.address, config.http.port),
        api: SocketAddrV4::new(served.address, config.https.port),
        kernel_options: config.boot.kernel_options.clone(),
        language: config.server.language,
    }
}

pub(super) fn dhcp(config: &Config, served: &ServedInterface) -> DhcpSettings {
    let dhcp = &config.dhcp;
    DhcpSettings {
        mode: mode(dhcp.mode),
        interface: served.name.clone(),
        address: served.address,
        prefix: prefix_bits(served.netmask),
        http_port: config.http.port,
        pool: dhcp.pool.map(|pool| pool.first..=pool.last),
        router: dhcp.router,
        dns: dhcp.dns.clone(),
        domain: dhcp.domain.clone(),
        reservations: dhcp.reservations.iter().map(|(mac, address)| (*mac, *address)).collect(),
        lease: dhcp.lease,
        boot_lease: BOOT_LEASE_DEFAULT,
    }
}

pub(crate) fn mode(mode: DhcpMode) -> Mode {
    match mode {
        DhcpMode::Proxy => Mode::Proxy,
        DhcpMode::Pxe => Mode::Pxe,
        DhcpMode::Full => Mode::Full,
        DhcpMode::Off => Mode::Off,
    }
}

/// The kernel makes masks from prefixes, so the set bits come first.
fn prefix_bits(netmask: Ipv4Addr) -> u8 {
    u8::try_from(netmask.to_bits().leading_ones()).unwrap_or(32)
}

#[cfg(test)]
mod tests {
    use super::prefix_bits;

    #[test]
    fn a_netmask_is_a_prefix() {
        for (mask, bits) in
            [([255, 255, 255, 0], 24), ([255, 255, 252, 0], 22), ([0, 0, 0, 0], 0), ([255; 4], 32)]
        {
            assert_eq!(prefix_bits(mask.into()), bits);
        }
    }
}
