//! The client and the connection against real and scripted servers, with both drivers and both protocols.

#![cfg(feature = "tokio")]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod by_hand;
mod calls;
mod connecting;
mod connections;
mod durations;
mod nameless;
mod on_connect;
mod pipelines;
mod runtimes;
mod scanning;
mod sharing;
mod strangers;
mod values;
