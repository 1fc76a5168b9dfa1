//! The sender of a multicast channel, as far as it decides: which symbol goes out next, how fast, and who takes part.
//!
//! Everything here is pure: what happens comes in as an [`machine::Event`] with the time, what is to be done goes out as
//! [`machine::Action`]s. No socket, no clock, no bytes: a block is a number and a count of symbols.
//!
//! ```text
//!   Join, Report, Gone ──▶ roster: who takes part, what each needs        ──▶ Answer
//!                            │ need counts        │ lacks        │ loss, speed, queue
//!                            ▼                    ▼              ▼
//!                        carousel: sweeps     repairs: new    rate: symbols per second
//!                        in disk order        parity          outliers: who is demoted
//!                            └────────┬───────────┘              │
//!   Tick ──▶ pace: a token for each packet ◀─────────────────────┘
//!                                     ▼
//!                                   Send
//! ```
//!
//! Reading order: [`machine`] ties the parts together, [`roster`] keeps the receivers, [`carousel`] and [`repairs`] choose
//! symbols, [`rate`] and [`pace`] say when, [`outliers`] says who leaves, [`end_game`] what unicast does sooner.

pub mod carousel;
pub mod end_game;
pub mod machine;
pub mod need;
pub mod outliers;
pub mod pace;
pub mod rate;
pub mod repairs;
pub mod roster;
