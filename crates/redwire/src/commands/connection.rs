//! The connection and the clients of a server.

use redwire_core::Run;

/// The connection and the clients of a server.
pub trait ConnectionCommands: Run {}

impl<T: Run> ConnectionCommands for T {}
