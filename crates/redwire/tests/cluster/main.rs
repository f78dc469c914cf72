//! Clusters of real servers.

#![cfg(feature = "tokio")]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod pubsub;
