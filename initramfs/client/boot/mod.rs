//! From a bare kernel to a usable machine: PID 1 with its file systems, kernel command line, drivers, the second part
//! of the initramfs, and the way out.

pub mod clock;
pub mod cmdline;
pub mod init;
pub mod modalias;
pub mod modules;
pub mod mounts;
pub mod payload;
pub mod power;
