//! A Redis and Valkey server in the process, for tests.
//!
//! The model is a server's whole state without sockets, threads and a clock ([`Model`]).

mod acl;
mod client;
mod cluster;
mod commands;
mod conditions;
mod config;
mod context;
mod database;
mod dispatch;
mod glob;
mod host;
mod info;
mod limits;
mod locks;
mod log;
mod memory;
mod model;
mod number;
mod options;
mod pubsub;
mod replication;
mod reply;
mod request;
mod script;
#[cfg(feature = "server")]
mod server;
mod sha256;
mod signals;
mod sorted_set;
mod stream;
mod table;
#[cfg(feature = "tokio")]
mod tasks;
mod tracking;
mod value;

#[cfg(test)]
mod tests;

pub use cluster::{Message, Node};
pub use commands::{Command, Keys, commands};
pub use conditions::Condition;
pub use host::Host;
pub use log::Executed;
pub use memory::MemoryStream;
pub use model::{ClientId, Model};
pub use options::Options;
pub use replication::{Snapshot, Write};
pub use reply::{Refusal, Reply};
pub use script::ScriptCall;
#[cfg(feature = "server")]
pub use server::Server;
#[cfg(feature = "tokio")]
pub use tasks::TaskStream;
