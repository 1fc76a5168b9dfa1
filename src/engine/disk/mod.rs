//! The disks of this computer: which ones there are, which one is meant, and the right to write to it.
//!
//! A disk is never chosen by its name. [`probe`] lists what the kernel found, a pin of the server's plan says
//! which one is meant, and only the single disk that agrees with every fact of the pin can be opened:
//! [`exclusive::SourceDisk`] to read it, [`exclusive::ExclusiveDisk`] to write to it. Everything that writes asks
//! for a `&mut ExclusiveDisk`, so there is no way to write to a disk that nobody named.

pub mod buffer;
pub mod device;
pub mod exclusive;
mod ioctl;
pub mod path;
pub mod probe;
