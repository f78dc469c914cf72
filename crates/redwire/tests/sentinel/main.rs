//! Services that sentinels watch: whom they are believed, and that clients follow the master (I2, I3, I6,
//! I7). FAULTS 28–31.

#![cfg(feature = "tokio")]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod by_hand;
mod discovery;
mod failover;
mod fake;
mod inner;
mod leaving;
mod replicas;
mod scripts;
mod secured;
