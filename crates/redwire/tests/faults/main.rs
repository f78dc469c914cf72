//! What networks and servers do to a client, and that its promises hold then. Numbers are those of the promises (I1–I7)
//! in the front page of the crate.

#![cfg(feature = "tokio")]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod cancelling;
mod hostile;
mod lost;
mod outage;
mod pieces;
mod silence;
mod step;
mod transcript;
