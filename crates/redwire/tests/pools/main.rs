//! Pools: who gets a connection and when, in what state, and that none is ever lost. What is set up by
//! connecting, and what is told of it. Numbers are those of the promises (I1–I7) in the front page of the
//! crate.

#![cfg(feature = "tokio")]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod closing;
mod conserved;
mod crowds;
mod dirty;
mod events;
mod forks;
mod lending;
mod lookups;
mod outages;
mod owners;
mod refused;
mod runtimes;
mod spikes;
mod stats;
mod upkeep;
mod user_code;
