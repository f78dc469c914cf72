//! A Redis and Valkey server in the process, for tests.
//!
//! ```
//! use std::time::Duration;
//! use redwire_model::{Host, Options};
//!
//! let host = Host::stopped(Options::new());
//! assert_eq!(host.command(&["SET", "session", "ada", "EX", "1800"]), "+OK\r\n");
//! host.advance(Duration::from_secs(1800));
//! assert_eq!(host.command(&["GET", "session"]), "$-1\r\n");
//! ```
//!
//! # Which to take
//! | | |
//! |---|---|
//! | `Server` | a free loopback port or a Unix socket, for any client (feature `server`, on by default) |
//! | [`Host::connect`] | a stream in memory for threads, without a thread of its own |
//! | `Host::connect_task` | a stream in memory for tasks (feature `tokio`), also under a paused clock |
//! | [`Model`] | the server's state alone, without sockets, threads and a clock: for a simulation |
//!
//! A [`Host`] goes by the system's clock, by the runtime's, or stands still; [`Host::advance`] turns it
//! forward, and what is due happens at once. What may befall a server happens by [`Host::set`]
//! ([`Condition`]), [`Host::kill_clients`], [`Model::restart`], [`Model::set_delay`].
//!
//! # What it does
//! It speaks RESP2 and RESP3, and behaves as Redis 8.0, whichever version it claims
//! ([`Options::version`]). [`commands`] lists the commands that it knows, `COMMANDS.md` too; of any other it
//! says that it does not know it. A test tells it and real servers the same random lines, and compares the
//! replies byte by byte.
//!
//! It differs from a server in this: keys end at their millisecond, and not some time later; keys, fields
//! and members without an order come in one that looks random and is always the same; chance comes from
//! [`Options::seed`]; scripts are not read, but a test says what is run in place of one
//! ([`Model::register_script`]; those of redwire's locks are known).
//!
//! Several models make a master with replicas ([`Model::take_writes`]), a service with sentinels
//! ([`Model::watch_service`]) or a cluster ([`Model::join_cluster`]). The test carries what they tell each
//! other, as late as it likes.

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
mod sentinel;
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
pub use sentinel::{Address, Service};
#[cfg(feature = "server")]
pub use server::Server;
#[cfg(feature = "tokio")]
pub use tasks::TaskStream;
