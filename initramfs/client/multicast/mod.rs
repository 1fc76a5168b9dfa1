//! The receiver of a multicast channel, as far as it decides: what is kept, what is given up, what is said to the sender.
//!
//! Everything here is pure, as the sender is: what happens comes in as a [`machine::Event`] with the time, what is to be
//! done goes out as [`machine::Action`]s. A symbol is a number; its bytes stay with whoever calls.
//!
//! ```text
//!   Symbol ──▶ open: which symbols of which blocks are here ── as many as its sources ──▶ Restore
//!                │ no room: the block is left for the next lap                              │
//!                ▼                                                             Written, Wrong
//!   Tick ────▶ Report: how far it heard, what it lacks, what it has ◀───────────────────────┘
//!   Answer ──▶ stays, or fetches the rest by unicast, or joins another channel
//! ```
//!
//! Reading order: [`machine`] ties the parts together, [`open`] keeps blocks that are begun, [`progress`] what became of
//! each block and what the sender knows of that, [`arrivals`] how packets come.

pub mod arrivals;
pub mod machine;
pub mod open;
pub mod progress;
