//! Inventory: the computers, and how one is told from another.
//!
//! The story in the order in which it happens: a boot script carries a [`boot_token`]; the client that shows it is
//! let in by [`admission`], which asks [`identity`] whose machine this is, registers it under a [`name`] where
//! nobody knows it, and gives it the credential of this [`client_boot`]. [`computer`] is what is known of each.

pub mod admission;
pub mod boot_token;
pub mod client_boot;
pub mod computer;
pub mod identity;
pub mod name;
