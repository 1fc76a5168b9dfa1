//! What an administrator decides about DHCP, checked once.

use std::{collections::HashMap, net::Ipv4Addr, ops::RangeInclusive, time::Duration};

use mimeo_core::ids::MacAddr;
use serde::{Deserialize, Serialize};

use crate::boot::firmware::BootHttp;

/// Addresses that a pool may hold: four times the largest site we think of. What is kept of each is small, but a
/// search for a free one walks them all.
pub const POOL_ADDRESSES_MAX: u32 = 16_384;
/// Reservations that may be made; each is a line that a person wrote.
pub const RESERVATIONS_MAX: usize = 16_384;
/// Name servers that a reply carries: resolvers ask three at most, and a reply has to fit 576 bytes.
pub const DNS_SERVERS_MAX: usize = 4;
/// RFC 1035 section 2.3.4 allows 255; a reply has to fit 576 bytes.
pub const DOMAIN_BYTES_MAX: usize = 64;
/// A lease of an ordinary client: a school day.
pub const LEASE_DEFAULT: Duration = Duration::from_secs(8 * 3600);
/// A lease of the boot pool: firmware never renews, and the slowest loader (GRUB over TFTP) was seen to need
/// less than two minutes.
pub const BOOT_LEASE_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// No lease is shorter: clients renew at half of it.
pub const LEASE_MIN: Duration = Duration::from_secs(60);
/// No lease is longer.
pub const LEASE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// How much of DHCP we do on the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// ProxyDHCP: tells machines what to boot, gives no addresses, works beside any DHCP server.
    Proxy,
    /// As `Proxy`, and gives the PXE firmware of booting machines, nobody else, addresses from a small boot pool.
    ///
    /// GRUB takes its server from the DHCP acknowledgement and ignores ProxyDHCP, so this is how Secure Boot works
    /// beside a DHCP server that nobody may touch.
    Pxe,
    /// The network's DHCP server.
    Full,
    /// Silent.
    Off,
}

/// Everything that the DHCP service has to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub mode: Mode,
    /// The network interface, by its name: nothing is heard or sent on another.
    pub interface: String,
    /// Our address on that interface, which is also the boot server's.
    pub address: Ipv4Addr,
    /// Bits of the network's prefix.
    pub prefix: u8,
    pub http_port: u16,
    /// Addresses to give: the boot pool of `Pxe`, the pool of `Full`.
    pub pool: Option<RangeInclusive<Ipv4Addr>>,
    pub router: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    pub domain: Option<String>,
    /// Addresses that belong to one card each, in or beside the pool. They count in `Full`.
    pub reservations: HashMap<MacAddr, Ipv4Addr>,
    pub lease: Duration,
    pub boot_lease: Duration,
}

/// Settings that contradict themselves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error("network prefix of {0} bits, expected 8 to 30")]
    Prefix(u8),
    #[error("address {0} names no host of its network")]
    Address(Ipv4Addr),
    #[error("this mode gives addresses and needs a pool")]
    NoPool,
    #[error("pool {first} to {last} does not lie in the network of {address}/{prefix}")]
    PoolOutside { first: Ipv4Addr, last: Ipv4Addr, address: Ipv4Addr, prefix: u8 },
    #[error("pool holds {found} addresses, expected 1 to {POOL_ADDRESSES_MAX}")]
    PoolSize { found: u32 },
    #[error(
        "reserved address {address} for {mac} does not lie in our network, or is ours, or is reserved twice"
    )]
    Reservation { mac: MacAddr, address: Ipv4Addr },
    #[error("{found} reservations, expected at most {RESERVATIONS_MAX}")]
    Reservations { found: usize },
    #[error("router {0} does not lie in our network")]
    Router(Ipv4Addr),
    #[error("{found} name servers, expected at most {DNS_SERVERS_MAX}")]
    Dns { found: usize },
    #[error("domain {0:?} is no domain name of at most {DOMAIN_BYTES_MAX} bytes")]
    Domain(String),
    #[error("lease of {found:?}, expected {LEASE_MIN:?} to {LEASE_MAX:?}")]
    Lease { found: Duration },
}

impl Settings {
    /// ProxyDHCP on an interface, with the defaults.
    pub fn proxy(interface: &str, address: Ipv4Addr, prefix: u8) -> Self {
        Self {
            mode: Mode::Proxy,
            interface: interface.to_owned(),
            address,
            prefix,
            http_port: 80,
            pool: None,
            router: None,
            dns: Vec::new(),
            domain: None,
            reservations: HashMap::new(),
            lease: LEASE_DEFAULT,
            boot_lease: BOOT_LEASE_DEFAULT,
        }
    }

    /// Refuses what contradicts itself, naming it.
    pub fn check(&self) -> Result<(), SettingsError> {
        if !(8..=30).contains(&self.prefix) {
            return Err(SettingsError::Prefix(self.prefix));
        }
        if !self.is_host(self.address) {
            return Err(SettingsError::Address(self.address));
        }
        self.check_pool()?;
        self.check_reservations()?;
        if let Some(router) = self.router.filter(|router| !self.is_host(*router)) {
            return Err(SettingsError::Router(router));
        }
        if self.dns.len() > DNS_SERVERS_MAX {
            return Err(SettingsError::Dns { found: self.dns.len() });
        }
        if let Some(domain) = self.domain.as_ref().filter(|domain| !is_domain(domain)) {
            return Err(SettingsError::Domain(domain.clone()));
        }
        for found in [self.lease, self.boot_lease] {
            if !(LEASE_MIN..=LEASE_MAX).contains(&found) {
                return Err(SettingsError::Lease { found });
            }
        }
        Ok(())
    }

    fn check_pool(&self) -> Result<(), SettingsError> {
        let gives_addresses = matches!(self.mode, Mode::Pxe | Mode::Full);
        let Some(pool) = &self.pool else {
            return if gives_addresses { Err(SettingsError::NoPool) } else { Ok(()) };
        };
        let (first, last) = (*pool.start(), *pool.end());
        let found = u32::from(last).checked_sub(first.into()).map_or(0, |span| span.saturating_add(1));
        if !(1..=POOL_ADDRESSES_MAX).contains(&found) {
            return Err(SettingsError::PoolSize { found });
        }
        if !self.is_ours(first) || !self.is_ours(last) {
            let (address, prefix) = (self.address, self.prefix);
            return Err(SettingsError::PoolOutside { first, last, address, prefix });
        }
        Ok(())
    }

    fn check_reservations(&self) -> Result<(), SettingsError> {
        if self.reservations.len() > RESERVATIONS_MAX {
            return Err(SettingsError::Reservations { found: self.reservations.len() });
        }
        let mut seen = std::collections::HashSet::new();
        for (&mac, &address) in &self.reservations {
            if !self.is_host(address) || address == self.address || !seen.insert(address) {
                return Err(SettingsError::Reservation { mac, address });
            }
        }
        Ok(())
    }

    pub(super) fn http(&self) -> BootHttp {
        BootHttp { address: self.address, port: self.http_port }
    }

    pub(super) fn mask(&self) -> Ipv4Addr {
        let host_bits = 32_u32.saturating_sub(u32::from(self.prefix));
        Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0))
    }

    pub(super) fn broadcast(&self) -> Ipv4Addr {
        self.address | !self.mask()
    }

    /// Whether the address lies in our network.
    pub(super) fn is_ours(&self, address: Ipv4Addr) -> bool {
        address & self.mask() == self.address & self.mask()
    }

    /// Whether the address can be one host's in our network: neither the network's own nor the broadcast address.
    pub(super) fn is_host(&self, address: Ipv4Addr) -> bool {
        self.is_ours(address) && address != self.address & self.mask() && address != self.broadcast()
    }
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use mimeo_core::ids::MacAddr;

    use super::{Mode, Settings, SettingsError};

    fn settings() -> Settings {
        Settings {
            mode: Mode::Full,
            pool: Some([10, 0, 0, 100].into()..=[10, 0, 0, 120].into()),
            router: Some([10, 0, 0, 254].into()),
            domain: Some("school.example".into()),
            ..Settings::proxy("eth1", [10, 0, 0, 1].into(), 24)
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused_by_name() {
        assert_eq!(settings().check(), Ok(()));
        let [inside, outside] = [Ipv4Addr::new(10, 0, 0, 9), Ipv4Addr::new(10, 0, 1, 9)];
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let table: Vec<(&str, Settings)> = vec![
            ("network prefix of 31", Settings { prefix: 31, ..settings() }),
            ("names no host", Settings { address: [10, 0, 0, 255].into(), ..settings() }),
            ("needs a pool", Settings { pool: None, ..settings() }),
            ("does not lie in the network", Settings { pool: Some(inside..=outside), ..settings() }),
            ("pool holds 0 addresses", Settings { pool: Some(outside..=inside), ..settings() }),
            ("reserved address 10.0.1.9", Settings { reservations: [(mac, outside)].into(), ..settings() }),
            (
                "reserved address 10.0.0.1 ",
                Settings { reservations: [(mac, [10, 0, 0, 1].into())].into(), ..settings() },
            ),
            ("router 10.0.1.9", Settings { router: Some(outside), ..settings() }),
            ("5 name servers", Settings { dns: vec![inside; 5], ..settings() }),
            ("is no domain name", Settings { domain: Some("a b".into()), ..settings() }),
            ("lease of 1s", Settings { lease: Duration::from_secs(1), ..settings() }),
        ];
        for (expect, settings) in table {
            let error = settings.check().expect_err(expect).to_string();
            assert!(error.contains(expect), "{error:?} lacks {expect:?}");
        }
    }

    #[test]
    fn a_mode_without_addresses_needs_no_pool() {
        assert_eq!(Settings { mode: Mode::Proxy, pool: None, ..settings() }.check(), Ok(()));
        let huge =
            Settings { prefix: 8, pool: Some([10, 0, 0, 2].into()..=[10, 200, 0, 1].into()), ..settings() };
        assert!(matches!(huge.check(), Err(SettingsError::PoolSize { .. })));
    }
}
