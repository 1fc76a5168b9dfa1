//! A sender and its receivers on a network that only a program knows: no packet is sent, no clock runs.
//!
//! [`chance`] and [`line`] are what happens to packets, [`pc`] is a receiver with its disk and its line, [`world`] runs them
//! all. [`figures`] are the scenarios, [`schedules`] what nobody thought of, [`table`] is the efficiency that the
//! repository keeps.

#[path = "multicast/chance.rs"]
mod chance;
#[path = "multicast/figures.rs"]
mod figures;
#[path = "multicast/line.rs"]
mod line;
#[path = "multicast/pc.rs"]
mod pc;
#[path = "multicast/schedules.rs"]
mod schedules;
#[path = "multicast/table.rs"]
mod table;
#[path = "multicast/world.rs"]
mod world;
