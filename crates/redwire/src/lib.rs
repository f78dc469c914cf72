//! Everything between a program and Redis or Valkey: one client, async on tokio or blocking with no runtime.
//!
//! ```no_run
//! # async fn example() -> redwire::Result<()> {
//! use redwire::prelude::*;
//!
//! let client = redwire::Client::connect("redis://localhost").await?;
//! client.set("greeting", "hello").await?;
//! let text: Option<String> = client.get("greeting").await?;
//! let (n, all): (i64, Vec<String>) = client.pipeline(|p| (p.incr("n"), p.lrange("l", 0, -1))).await?;
//! # Ok(())
//! # }
//! # fn blocking() -> redwire::Result<()> {
//! use redwire::prelude::*;
//!
//! let client = redwire::blocking::Client::connect("redis://localhost")?;
//! let text: Option<String> = client.get("greeting")?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//! - A reply reaches the call that asked for it, or nobody, whatever is dropped, timed out or lost in between.
//! - A command is executed at most once, unless it only reads or its caller allowed more ([`Cmd::idempotent`]).
//!   [`Error::outcome`] tells whether a failed call was executed.
//! - A call ends by its deadline (`timeout`, default 5 s).
//! - Every queue has a limit (`max_queued_commands`, `max_queued_bytes`, `max_connections`).
//!
//! # Features
//! | feature | default | adds |
//! |---|---|---|
//! | `tokio` | yes | the async client; without it no runtime is compiled |
//! | `serde` | no | `Struct`, which reads structs of your own from field-value replies |

pub mod blocking;
pub mod commands;
#[cfg(feature = "tokio")]
mod nonblocking;
pub mod prelude;
mod scanning;
mod setup;
mod socket;

#[cfg(feature = "tokio")]
pub use nonblocking::{Client, Connection, Exchange, OnConnect, Request, Scan};
#[cfg(feature = "serde")]
pub use redwire_core::Struct;
pub use redwire_core::call::{Call, Piped};
pub use redwire_core::handshake::Session;
pub use redwire_core::{
    Arg, Args, AuthenticationFault, Batch, Cmd, ConnectionFault, Error, ErrorKind, Items, Lossy, Options,
    Outcome, Pipeline, Reader, Replies, Reply, Result, Run, Slot, Slots, TrySlot, Value, cmd,
};
pub use redwire_core::{backoff, config, facts, secret};
pub use scanning::ScanOptions;
