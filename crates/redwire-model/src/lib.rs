//! A Redis and Valkey server in the process, for tests.
//!
//! The model is a server's whole state without sockets, threads and a clock ([`Model`]).

mod acl;
mod client;
mod commands;
mod conditions;
mod config;
mod context;
mod database;
mod dispatch;
mod glob;
mod info;
mod limits;
mod locks;
mod log;
mod model;
mod number;
mod options;
mod pubsub;
mod reply;
mod request;
mod script;
mod sha256;
mod sorted_set;
mod stream;
mod table;
mod tracking;
mod value;

#[cfg(test)]
mod tests;

pub use commands::{Command, Keys, commands};
pub use conditions::Condition;
pub use log::Executed;
pub use model::{ClientId, Model};
pub use options::Options;
pub use reply::{Refusal, Reply};
pub use script::ScriptCall;
