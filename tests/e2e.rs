//! Whole-machine tests: real firmware, real boot, real disks. `make e2e-list` names them, `make e2e CASE=name` runs
//! one. They run one after the other: each virtual PC takes both cores that the smallest machine has.

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
