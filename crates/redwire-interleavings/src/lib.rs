//! The threads of the blocking driver, in many orders.
//!
//! The crate `shuttle` runs all threads of a scenario in turns, and chooses at each lock, condition and
//! wake-up which of them goes on. The driver is the real one, with its locks and threads from
//! `redwire/src/shared/explored.rs`; its server is a peer in memory. A thread that is not woken is a
//! deadlock, or is woken by its timeout alone, and both are found.
//!
//! `cargo xtask test` builds it with `--cfg redwire_shuttle`; without that it is empty. This crate must not
//! know how the driver waits.
#![cfg(redwire_shuttle)]

mod explore;
mod peer;

pub use explore::{explore, is_calm, pick};
pub use peer::Peer;
