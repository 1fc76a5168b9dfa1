//! Every file that a booting machine can ask for, whichever way it asks: artefacts, and what is rendered for it.

use std::{net::Ipv4Addr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use mimeo_core::ids::MacAddr;

use super::{
    artefacts::Artefacts,
    content::Content,
    disk_image::{DiskImage, DiskImageError},
    firmware::Architecture,
    machines::Machines,
    menu::{
        Settings,
        grub::{self, Origin},
        ipxe,
    },
    target::{BootSource, BootTarget, Machine},
    tftp::{Files, packet::FileName},
};
use crate::events::{Event, Events};

/// What boot files are made of.
pub struct BootFiles {
    artefacts: Arc<Artefacts>,
    image: DiskImage,
    source: Arc<dyn BootSource>,
    machines: Machines,
    events: Events,
    settings: Settings,
}

impl BootFiles {
    /// Builds the disk image of UEFI HTTP boot from the artefacts, which takes a moment.
    pub fn new(
        artefacts: Arc<Artefacts>,
        source: Arc<dyn BootSource>,
        machines: Machines,
        events: Events,
        settings: Settings,
    ) -> Result<Self, DiskImageError> {
        let image = DiskImage::build(&artefacts)?;
        Ok(Self { artefacts, image, source, machines, events, settings })
    }

    /// A file that is the same for all machines.
    pub fn artefact(&self, name: &str) -> Option<Bytes> {
        self.artefacts.get(name)
    }

    /// The boot script of a machine that iPXE runs on.
    pub async fn ipxe_script(&self, said: &Machine) -> String {
        let machine = self.known(said);
        let target = self.target(&machine).await;
        ipxe::render(&target, &machine, &self.settings)
    }

    /// The configuration of a machine that GRUB runs on.
    pub async fn grub_config(&self, said: &Machine, origin: Origin) -> String {
        let machine = self.known(said);
        let target = self.target(&machine).await;
        grub::render(&target, &machine, &self.settings, origin)
    }

    /// The disk that a machine boots from by UEFI HTTP boot.
    pub async fn disk_image(&self, said: &Machine) -> Result<Content, DiskImageError> {
        self.image.with_config(&self.grub_config(said, Origin::RamDisk).await)
    }

    /// How long every machine's disk image is.
    pub fn disk_image_bytes(&self) -> u64 {
        self.image.length_bytes()
    }

    /// What is known of the machine, with what it says of itself now.
    fn known(&self, said: &Machine) -> Machine {
        let Some(known) = self.machines.by_mac(said.mac) else { return said.clone() };
        let uuid = said.uuid.clone().or(known.uuid);
        Machine { uuid, address: said.address.or(known.address), ..known }
    }

    async fn target(&self, machine: &Machine) -> BootTarget {
        let target = self.source.boot_target(machine).await;
        let name = match target {
            BootTarget::Client { .. } => "client",
            BootTarget::Menu(_) => "menu",
            BootTarget::LocalDisk => "local_disk",
        };
        self.events.emit(Event::MachineBooted { mac: machine.mac, target: name.into() });
        target
    }

    /// GRUB's configuration for the machine with this hardware address, or else for the one behind `peer`.
    async fn grub_config_for(&self, mac: Option<MacAddr>, peer: Ipv4Addr) -> Option<Bytes> {
        let said = match mac {
            Some(mac) => {
                Machine { mac, uuid: None, architecture: Architecture::UefiX64, address: Some(peer) }
            }
            None => self.machines.by_address(peer)?,
        };
        Some(self.grub_config(&said, Origin::Network).await.into())
    }
}

#[async_trait]
impl Files for BootFiles {
    async fn open(&self, name: &FileName, peer: Ipv4Addr) -> Option<Bytes> {
        match name.as_str() {
            "grub/grub.cfg" => Some(grub::first_config().into()),
            "autoexec.ipxe" => Some(ipxe::chain_script(&self.settings).into()),
            name => match grub::machine_of(name) {
                Some(mac) => self.grub_config_for(mac, peer).await,
                None => self.artefact(name),
            },
        }
    }
}

impl std::fmt::Debug for BootFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BootFiles").field("settings", &self.settings).finish_non_exhaustive()
    }
}
