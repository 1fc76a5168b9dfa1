//! The laboratory: virtual networks and PCs, for the whole-machine tests, the demonstration and the benches.

pub mod store_bench;
