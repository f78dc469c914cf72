//! The blocking driver: threads that wait on sockets of the standard library, and no runtime.
//!
//! Same names as at the crate's root, without `.await`. It only waits; what to do is decided in
//! `redwire-core`.

mod cache;
mod client;
mod cluster;
mod connection;
pub mod connector;
mod drive;
mod events;
mod health;
mod lock;
mod monitor;
mod on_connect;
mod pool;
mod pubsub;
mod run_all;
mod scan;
mod sentinel;
mod sharing;
mod stream;
mod transaction;
mod wire;

pub use cache::Cache;
pub use client::Client;
pub use cluster::Cluster;
pub use connection::Connection;
pub use events::Events;
pub use lock::{Lock, LockGuard};
pub use monitor::Monitor;
pub use on_connect::OnConnect;
pub use pool::{Lease, Pool};
pub use pubsub::{Handler, PubSub, Subscription};
pub use run_all::RunAll;
pub use scan::Scan;
pub use sentinel::Sentinel;
pub use transaction::Transaction;
