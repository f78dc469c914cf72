//! The server: information, configuration, persistence, access rights.

use redwire_core::Run;

/// The server: information, configuration, persistence, access rights.
pub trait ServerCommands: Run {}

impl<T: Run> ServerCommands for T {}
