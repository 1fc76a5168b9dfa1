//! The integration tests: one binary, whose folders mirror the server's.

#[path = "it/api.rs"]
mod api;
#[path = "it/artefacts.rs"]
mod artefacts;
#[path = "it/background.rs"]
mod background;
#[path = "it/boot_http.rs"]
mod boot_http;
#[path = "it/dhcp.rs"]
mod dhcp;
#[path = "it/disk.rs"]
mod disk;
#[path = "it/engine.rs"]
mod engine;
#[path = "it/fuzz.rs"]
mod fuzz;
#[path = "it/image.rs"]
mod image;
#[path = "it/listener.rs"]
mod listener;
#[path = "it/multicast.rs"]
mod multicast;
#[path = "it/sessions.rs"]
mod sessions;
#[path = "it/store.rs"]
mod store;
#[path = "it/texts.rs"]
mod texts;
#[path = "it/tftp.rs"]
mod tftp;
#[path = "it/tidy.rs"]
mod tidy;
#[path = "it/ui.rs"]
mod ui;
