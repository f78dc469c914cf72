//! The async driver, on tokio. It only waits; what to do is decided in `redwire-core`.

mod client;
mod connection;
mod lane;
mod scan;
mod stream;
mod wire;

pub use client::{Client, Request};
pub use connection::{Connection, Exchange, OnConnect};
pub use scan::Scan;
