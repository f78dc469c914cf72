//! Commands as methods, in families: each works on every [`Run`](crate::Run), that is on clients, connections
//! and pipelines of both drivers.
//!
//! The [`prelude`](crate::prelude) brings all of them into scope. Methods bear the commands' names; where the
//! server fixes the type of a reply so does the method, and where the user's data decide the caller names the
//! type. [`table`] has all commands of the servers, each with its method or what takes its place.
//!
//! # Order of arguments
//! Arguments stand in the order of the server's own words: `BLPOP key … timeout` is `blpop(keys, wait)`,
//! `BLMPOP timeout numkeys key …` is `blmpop(wait, keys, …)`. Options stand where the server has the first of
//! them. Words that are always the same (`STREAMS`, `FIELDS`), and numbers that count what follows, are not
//! asked for.
//!
//! # Empty lists
//! Where the server asks for one key, field, member or value at least, an empty list, or `None` in its place,
//! is refused before anything is sent ([`ErrorKind::Usage`](crate::ErrorKind::Usage)).
//!
//! ```no_run
//! use redwire::prelude::*;
//!
//! let client = redwire::blocking::Client::connect("redis://localhost")?;
//! client.set("n", 41)?;
//! assert_eq!(client.incr("n")?, 42);
//! let n: Option<u32> = client.get("n")?;
//! # Ok::<(), redwire::Error>(())
//! ```

mod arrays;
mod bloom;
mod cluster;
mod connection;
mod count_min_sketch;
mod cuckoo;
mod diagnostics;
mod geo;
mod hashes;
mod hyperloglog;
mod info;
mod json;
mod keys;
mod lists;
mod publish;
mod scripting;
mod search;
mod sentinel;
mod server;
mod sets;
mod sorted_sets;
mod streams;
mod strings;
mod t_digest;
mod time_series;
mod top_k;
mod vector_sets;

#[cfg(all(doc, feature = "tokio"))]
#[doc = include_str!("../docs/commands.md")]
pub mod table {}

// Each family's trait, and the options of its commands.
pub use arrays::*;
pub use bloom::*;
pub use cluster::*;
pub use connection::*;
pub use count_min_sketch::*;
pub use cuckoo::*;
pub use diagnostics::*;
pub use geo::*;
pub use hashes::*;
pub use hyperloglog::*;
pub use json::*;
pub use keys::*;
pub use lists::*;
pub use publish::*;
pub use scripting::*;
pub use search::*;
pub use sentinel::*;
pub use server::*;
pub use sets::*;
pub use sorted_sets::*;
pub use streams::*;
pub use strings::*;
pub use t_digest::*;
pub use time_series::*;
pub use top_k::*;
pub use vector_sets::*;
