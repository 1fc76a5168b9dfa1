//! The store's life after capture: what its content is made of, whether it is sound, and what of it can go.
//!
//! [`collect`](mod@collect) frees what no version needs, [`census`] counts, [`audit`] reads everything back and names the versions that
//! lack something. [`jobs`] runs them for people, [`background`] for nobody in particular: slowly, again and again.

pub mod audit;
pub mod background;
pub mod census;
pub mod collect;
pub mod jobs;
pub mod retention;
mod setting;
mod steady;
