//! The targets, in the order in which a computer meets their parsers.

mod boot_http;
mod chunk_records;
mod client_dhcp;
mod cmdline;
mod config;
mod dhcp;
mod lvm_image;
mod manifest;
mod messages;
mod modalias;
mod multicast_packet;
mod multicast_report;
mod multicast_table;
mod pack;
mod partition_table;
mod tftp;
mod volume;
mod volume_images;

use crate::Target;

/// Every target.
pub static ALL: [Target; 24] = [
    dhcp::TARGET,
    tftp::TARGET,
    boot_http::TARGET,
    cmdline::TARGET,
    client_dhcp::TARGET,
    modalias::TARGET,
    messages::TARGET,
    partition_table::GPT,
    partition_table::MBR,
    volume::BTRFS,
    volume::EXT,
    volume::FAT,
    volume::EXFAT,
    volume::F2FS,
    volume::LVM,
    volume::NTFS,
    volume::XFS,
    chunk_records::TARGET,
    manifest::TARGET,
    multicast_packet::TARGET,
    multicast_table::TARGET,
    multicast_report::TARGET,
    pack::TARGET,
    config::TARGET,
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}
