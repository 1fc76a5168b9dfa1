//! Network boot: from a machine's first broadcast to the moment our client, or its own disk, takes over.
//!
//! The story in the order in which it happens: [`dhcp`] (and port 4011) tells the machine what to load,
//! [`firmware`] is the table of what fits which machine, [`tftp`] and [`http`] hand the boot files out, [`files`] knows
//! what they are ([`artefacts`], a rendered [`menu`], or the [`disk_image`] of UEFI HTTP boot), and [`target`] is where
//! the rest of the house says what a machine should boot. [`notices`] is what keeps machines from it.
//!
//! This domain does not know what a master is.

pub mod artefacts;
pub mod content;
pub mod dhcp;
pub mod disk_image;
mod fat;
pub mod files;
pub mod firmware;
pub mod http;
pub mod machines;
pub mod menu;
pub mod notices;
pub mod target;
pub mod tftp;
