//! Whole-machine tests: real firmware, real boot, real disks. `make e2e-list` names them, `make e2e CASE=name` runs
//! one. As many run at once as there are cores (`RUST_TEST_THREADS` says otherwise): firmware keeps one core busy, and a
//! classroom has a switch, an appliance and PCs of its own.

#[path = "e2e/boot.rs"]
mod boot;
#[path = "e2e/faults.rs"]
mod faults;
#[path = "e2e/main_job.rs"]
mod main_job;
#[path = "e2e/menu.rs"]
mod menu;
#[path = "e2e/refusals.rs"]
mod refusals;
#[path = "e2e/store.rs"]
mod store;
#[path = "e2e/support.rs"]
mod support;
