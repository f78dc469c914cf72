//! What networks and servers do to a client, and that its promises hold then. Numbers are those of the
//! promises (I1–I7) in the front page of the crate.

#![cfg(feature = "tokio")]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod attempts;
mod cancelling;
mod closing;
mod combining;
mod endless;
mod flooding;
mod hanging_up;
mod hostile;
mod large;
mod leases;
mod lines;
mod liveness;
mod lost;
mod marks;
mod outage;
mod outcomes;
mod pause;
mod pieces;
mod questions;
mod repeating;
mod runtimes;
mod shutdown;
mod signals;
mod silence;
mod standing;
mod step;
mod stuck;
mod transcript;
mod unseen;
mod waiting;
