//! The appliance.
//!
//! Reading order: the base ([`config`] … [`events`]) knows no domain; [`boot`], [`imaging`] and [`inventory`]
//! are domains that never import each other; [`wiring`] is the one place that sees two of them; [`api`] and
//! [`ui`] are the surface. `tests/it/tidy.rs` enforces this direction.

pub mod auth;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod db;
pub mod events;
pub mod folder_lock;
pub mod listener;
pub mod room;
pub mod seats;
pub mod tls;

pub mod boot;
pub mod imaging;
pub mod inventory;

pub mod wiring;

pub mod app;

pub mod api;
pub mod ui;

pub mod cli;
pub mod doctor;
pub mod serve;
