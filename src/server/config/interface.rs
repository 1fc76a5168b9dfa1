//! Which network card the server serves, and under which address.

use std::net::Ipv4Addr;

use nix::{ifaddrs::InterfaceAddress, net::if_::InterfaceFlags};

use super::NetworkConfig;

/// An interface as the kernel shows it: one entry per IPv4 address, one without address where it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenInterface {
    pub name: String,
    pub up: bool,
    pub loopback: bool,
    pub address: Option<(Ipv4Addr, Ipv4Addr)>,
}

/// The interface to serve on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedInterface {
    pub name: String,
    pub address: Ipv4Addr,
    pub netmask: Ipv4Addr,
}

impl ServedInterface {
    /// Whether an address belongs to the interface's own network.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let mask = self.netmask.to_bits();
        self.address.to_bits() & mask == address.to_bits() & mask
    }
}

/// Asks the kernel for its interfaces and chooses.
pub fn find(config: &NetworkConfig) -> Result<ServedInterface, InterfaceError> {
    choose(config, &seen()?)
}

/// What the kernel shows now.
pub fn seen() -> Result<Vec<SeenInterface>, InterfaceError> {
    let entries = nix::ifaddrs::getifaddrs().map_err(|errno| InterfaceError::Unlisted(errno.into()))?;
    let mut seen: Vec<SeenInterface> = Vec::new();
    for entry in entries {
        let entry = from_kernel(&entry);
        // Every card has an entry of its link layer beside those of its addresses.
        if entry.address.is_some() || !seen.iter().any(|before| before.name == entry.name) {
            seen.retain(|before| before.name != entry.name || before.address.is_some());
            seen.push(entry);
        }
    }
    Ok(seen)
}

fn from_kernel(entry: &InterfaceAddress) -> SeenInterface {
    let ipv4 = |address: &Option<nix::sys::socket::SockaddrStorage>| {
        address.as_ref().and_then(|address| address.as_sockaddr_in()).map(nix::sys::socket::SockaddrIn::ip)
    };
    SeenInterface {
        name: entry.interface_name.clone(),
        up: entry.flags.contains(InterfaceFlags::IFF_UP),
        loopback: entry.flags.contains(InterfaceFlags::IFF_LOOPBACK),
        address: ipv4(&entry.address).zip(ipv4(&entry.netmask)),
    }
}

/// Chooses the interface that was named, or the only one that could be meant.
pub fn choose(config: &NetworkConfig, seen: &[SeenInterface]) -> Result<ServedInterface, InterfaceError> {
    let name = match &config.interface {
        Some(name) => name.clone(),
        None => the_only_one(seen)?,
    };
    let mut entries = seen.iter().filter(|entry| entry.name == name).peekable();
    let Some(first) = entries.peek() else {
        return Err(InterfaceError::Missing { name, there_are: names(seen.iter()) });
    };
    if !first.up {
        return Err(InterfaceError::Down { name });
    }
    let mut addresses = entries.filter_map(|entry| entry.address).peekable();
    if addresses.peek().is_none() {
        return Err(InterfaceError::NoAddress { name });
    }
    let wanted = addresses.find(|(address, _)| config.address.is_none_or(|wanted| wanted == *address));
    match (wanted, config.address) {
        (Some((address, netmask)), _) => Ok(ServedInterface { name, address, netmask }),
        (None, Some(address)) => Err(InterfaceError::OtherAddress { name, address }),
        (None, None) => Err(InterfaceError::NoAddress { name }),
    }
}

fn the_only_one(seen: &[SeenInterface]) -> Result<String, InterfaceError> {
    let mut usable: Vec<&SeenInterface> =
        seen.iter().filter(|entry| entry.up && !entry.loopback && entry.address.is_some()).collect();
    usable.dedup_by(|a, b| a.name == b.name);
    match usable[..] {
        [only] => Ok(only.name.clone()),
        [] => Err(InterfaceError::NoneUsable),
        _ => Err(InterfaceError::Several { names: names(usable.into_iter()) }),
    }
}

fn names<'a>(entries: impl Iterator<Item = &'a SeenInterface>) -> String {
    let mut names: Vec<&str> = entries.map(|entry| entry.name.as_str()).collect();
    names.dedup();
    names.join(", ")
}

/// No interface to serve on. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum InterfaceError {
    #[error("listing network interfaces")]
    Unlisted(#[source] std::io::Error),
    #[error("there is no network interface {name}, there are: {there_are}")]
    Missing { name: String, there_are: String },
    #[error("network interface {name} is down, bring it up with: ip link set {name} up")]
    Down { name: String },
    #[error(
        "network interface {name} has no IPv4 address, give it one, e.g.: ip address add 192.168.77.1/24 dev {name}"
    )]
    NoAddress { name: String },
    #[error("network interface {name} has no address {address}, correct [network] address")]
    OtherAddress { name: String, address: Ipv4Addr },
    #[error(
        "no network interface is up with an IPv4 address, name one as [network] interface and give it an address"
    )]
    NoneUsable,
    #[error(
        "several network interfaces could be meant ({names}), name one as [network] interface or with --interface"
    )]
    Several { names: String },
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{SeenInterface, choose};
    use crate::config::NetworkConfig;

    fn seen(name: &str, up: bool, address: Option<[u8; 4]>) -> SeenInterface {
        let mask = Ipv4Addr::new(255, 255, 255, 0);
        SeenInterface {
            name: name.into(),
            up,
            loopback: name == "lo",
            address: address.map(|address| (address.into(), mask)),
        }
    }

    fn check(interface: Option<&str>, address: Option<[u8; 4]>, entries: &[SeenInterface], expect: &str) {
        let config =
            NetworkConfig { interface: interface.map(str::to_owned), address: address.map(Into::into) };
        let found = match choose(&config, entries) {
            Ok(served) => format!("{} {}", served.name, served.address),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(expect), "{found:?} does not say {expect:?}");
    }

    #[test]
    fn the_interface_is_the_named_one_or_the_only_one() {
        let lo = seen("lo", true, Some([127, 0, 0, 1]));
        let eth0 = seen("eth0", true, Some([10, 0, 0, 1]));
        let eth0_second = seen("eth0", true, Some([10, 0, 0, 2]));
        let eth1 = seen("eth1", true, Some([10, 1, 0, 1]));
        let down = seen("eth2", false, None);
        let bare = seen("eth3", true, None);
        let all = [lo.clone(), eth0.clone(), eth0_second.clone(), eth1, down.clone(), bare];
        check(None, None, &[lo.clone(), eth0.clone(), eth0_second, down], "eth0 10.0.0.1");
        check(Some("eth0"), Some([10, 0, 0, 2]), &all, "eth0 10.0.0.2");
        check(Some("lo"), None, &all, "lo 127.0.0.1");
        check(None, None, &all, "several network interfaces could be meant (eth0, eth1)");
        check(None, None, &[lo], "no network interface is up");
        check(Some("eth0"), Some([10, 9, 9, 9]), &all, "eth0 has no address 10.9.9.9");
        check(Some("eth2"), None, &all, "eth2 is down");
        check(Some("eth3"), None, &all, "eth3 has no IPv4 address");
        check(Some("wlan0"), None, &[eth0], "there is no network interface wlan0, there are: eth0");
    }

    #[test]
    fn the_loopback_interface_is_seen_with_its_address() {
        let seen = super::seen().expect("interfaces are listed");
        let lo = seen.iter().find(|entry| entry.name == "lo").expect("lo is there");
        assert!(lo.loopback);
    }
}
