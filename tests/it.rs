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
#[path = "fuzz/fuzz_dhcp.rs"]
mod fuzz_dhcp;
#[path = "fuzz/fuzz_ext.rs"]
mod fuzz_ext;
#[path = "fuzz/fuzz_fat.rs"]
mod fuzz_fat;
#[path = "fuzz/fuzz_gpt.rs"]
mod fuzz_gpt;
#[path = "fuzz/fuzz_mbr.rs"]
mod fuzz_mbr;
#[path = "fuzz/fuzz_ntfs.rs"]
mod fuzz_ntfs;
#[path = "fuzz/fuzz_pack.rs"]
mod fuzz_pack;
#[path = "fuzz/fuzz_tftp.rs"]
mod fuzz_tftp;
#[path = "it/listener.rs"]
mod listener;
#[path = "it/sessions.rs"]
mod sessions;
#[path = "it/store.rs"]
mod store;
#[path = "it/tftp.rs"]
mod tftp;
#[path = "it/tidy.rs"]
mod tidy;
#[path = "it/ui.rs"]
mod ui;
