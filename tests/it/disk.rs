//! Disks as real programs make them: partition tables by sgdisk and sfdisk, file systems by mkfs, filled and aged
//! through real drivers, judged by their own checkers and by partclone.

#[path = "disk/btrfs.rs"]
mod btrfs;
#[path = "disk/btrfs_refusals.rs"]
mod btrfs_refusals;
#[path = "disk/everywhere.rs"]
mod everywhere;
#[path = "disk/exfat.rs"]
mod exfat;
#[path = "disk/ext.rs"]
mod ext;
#[path = "disk/f2fs.rs"]
mod f2fs;
#[path = "disk/fat.rs"]
mod fat;
#[path = "disk/image.rs"]
mod image;
#[path = "disk/lvm.rs"]
mod lvm;
#[path = "disk/lvm_tools.rs"]
pub(crate) mod lvm_tools;
#[path = "disk/matrix.rs"]
mod matrix;
#[path = "disk/ntfs.rs"]
mod ntfs;
#[path = "disk/oracle.rs"]
mod oracle;
#[path = "disk/page_files.rs"]
mod page_files;
#[path = "disk/swap.rs"]
mod swap;
#[path = "disk/tables.rs"]
mod tables;
#[path = "disk/xfs.rs"]
mod xfs;
