//! Conversations of more than one request and its reply: publish/subscribe, transactions, scripts, locks,
//! monitors, streams and caching, against real servers and under faults. FAULTS 10–14, 41, 43–45, 54.

#![cfg(feature = "tokio")]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod cache;
mod callbacks;
mod extension;
mod locks;
mod million;
mod monitor;
mod pubsub;
mod pubsub_faults;
mod pubsub_forks;
mod pubsub_late;
mod pubsub_limits;
mod refusals;
mod scripts;
mod streams;
mod subscribing_tasks;
mod subscribing_threads;
mod transactions;
mod watched;
