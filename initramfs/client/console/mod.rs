//! What a person in front of the machine sees.
//!
//! [`journal`] collects what the program says of itself, [`screen`] is what there is to show, [`question`] the
//! one thing that it asks, [`trouble`] why the computer cannot go on, [`draw`] puts it on the terminal, [`terminal`] is the machine's own screen.

pub mod draw;
pub mod journal;
pub mod question;
pub mod screen;
pub mod terminal;
pub mod trouble;
