//! The async driver, on tokio. It only waits; what to do is decided in `redwire-core`.

mod client;
mod connection;
mod events;
mod health;
mod lane;
mod pool;
mod scan;
mod stream;
mod wire;

pub use client::{Client, Request};
pub use connection::{Connection, Exchange, OnConnect};
pub use events::Events;
pub use pool::{Lease, Pool};
pub use scan::Scan;
