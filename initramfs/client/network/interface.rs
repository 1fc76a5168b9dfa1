//! The network cards, by the kernel's `/sys` and its netlink.

use std::{
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use futures_util::TryStreamExt;
use mimeo_core::{causes::causes, ids::MacAddr};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder, packet_route::route::RouteScope};

use super::dhcp::{Lease, Route};
use mimeo_engine::sysfs;

const SYS_NET: &str = "/sys/class/net";

/// Ethernet among the kernel's kinds of links (`if_arp.h`).
const ARPHRD_ETHER: u16 = 1;

/// A wired network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub index: u32,
    pub mac: MacAddr,
}

/// The kernel refused to set up the network.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("talking to the kernel's network")]
    Netlink(#[from] io::Error),
    #[error("{what} of {interface}")]
    Refused { what: &'static str, interface: String, source: rtnetlink::Error },
}

/// Every wired card, in the kernel's order. Wireless ones are left out: nothing boots through them.
pub fn wired() -> Vec<Interface> {
    let names = fs::read_dir(SYS_NET).into_iter().flatten().flatten();
    let mut interfaces: Vec<_> = names.filter_map(|entry| read(&entry.path())).collect();
    interfaces.sort_by_key(|interface| interface.index);
    interfaces
}

fn read(folder: &Path) -> Option<Interface> {
    // Bridges, tunnels and the loopback have no device behind them.
    if !folder.join("device").exists()
        || folder.join("wireless").exists()
        || sysfs::number(&folder.join("type")) != Some(ARPHRD_ETHER)
    {
        return None;
    }
    let mac: MacAddr = sysfs::word(&folder.join("address"))?.parse().ok()?;
    let name = folder.file_name()?.to_str()?.to_owned();
    let index = sysfs::number(&folder.join("ifindex"))?;
    mac.is_individual().then_some(Interface { name, index, mac })
}

impl Interface {
    /// Whether a cable with something alive at its other end is plugged in. Says no while the card is down.
    pub fn has_link(&self) -> bool {
        sysfs::number(&self.folder().join("carrier")) == Some(1_u8)
    }

    /// Speed of the link in megabits per second, where the driver knows.
    pub fn speed_mbps(&self) -> Option<u32> {
        sysfs::number(&self.folder().join("speed"))
    }

    /// Whether the card hangs on USB: an adapter or a dock, which somebody carries to the next machine.
    pub fn on_usb(&self) -> bool {
        let device = fs::canonicalize(self.folder().join("device"));
        device.is_ok_and(|path| path.iter().any(|part| part.to_string_lossy().starts_with("usb")))
    }

    /// The driver's name.
    pub fn driver(&self) -> Option<String> {
        let link = fs::read_link(self.folder().join("device/driver")).ok()?;
        Some(link.file_name()?.to_str()?.to_owned())
    }

    fn folder(&self) -> PathBuf {
        Path::new(SYS_NET).join(&self.name)
    }
}

/// A line to the kernel's network. rtnetlink speaks async, the client does not: each call runs to its end.
pub struct Setup {
    runtime: tokio::runtime::Runtime,
    handle: Handle,
}

impl Setup {
    pub fn new() -> Result<Self, SetupError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = {
            let _context = runtime.enter();
            let (connection, handle, _messages) = rtnetlink::new_connection()?;
            drop(runtime.spawn(connection));
            handle
        };
        Ok(Self { runtime, handle })
    }

    /// Switches a card on; it begins to look for a link.
    pub fn up(&self, interface: &Interface) -> Result<(), SetupError> {
        let message = LinkUnspec::new_with_index(interface.index).up().build();
        self.run("switching on the card", interface, self.handle.link().set(message).execute())
    }

    /// Gives a card its address, and what else the lease names: the ways to other networks, the longest packet.
    pub fn configure(&self, interface: &Interface, lease: &Lease) -> Result<(), SetupError> {
        let address = self.handle.address().add(interface.index, lease.address.into(), lease.prefix_length);
        self.run("setting the address", interface, address.replace().execute())?;
        if let Some(mtu) = lease.mtu {
            let message = LinkUnspec::new_with_index(interface.index).mtu(mtu.into()).build();
            self.run("setting the MTU", interface, self.handle.link().set(message).execute())?;
        }
        for route in &lease.routes {
            // One that leads nowhere must not cost the card the others; whether the server is reached is tried anyway.
            if let Err(error) = self.add_route(interface, *route) {
                tracing::warn!(
                    interface = interface.name,
                    ?route,
                    error = causes(&error),
                    "a route is refused"
                );
            }
        }
        Ok(())
    }

    fn add_route(&self, interface: &Interface, route: Route) -> Result<(), SetupError> {
        let message = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(route.destination, route.prefix_length)
            .output_interface(interface.index);
        let message = match route.gateway {
            Some(gateway) => message.gateway(gateway),
            None => message.scope(RouteScope::Link),
        };
        self.run("setting a route", interface, self.handle.route().add(message.build()).replace().execute())
    }

    /// Takes the card's addresses away again; the routes go with them.
    pub fn deconfigure(&self, interface: &Interface) -> Result<(), SetupError> {
        let remove = async {
            let mut addresses = self.handle.address().get().set_link_index_filter(interface.index).execute();
            while let Some(address) = addresses.try_next().await? {
                self.handle.address().del(address).execute().await?;
            }
            Ok(())
        };
        self.run("taking the address away", interface, remove)
    }

    fn run(
        &self,
        what: &'static str,
        interface: &Interface,
        request: impl Future<Output = Result<(), rtnetlink::Error>>,
    ) -> Result<(), SetupError> {
        let refused = |source| SetupError::Refused { what, interface: interface.name.clone(), source };
        self.runtime.block_on(request).map_err(refused)
    }
}
