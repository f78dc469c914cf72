//! Publishing messages, and asking who listens.

use redwire_core::Run;

/// Publishing messages, and asking who listens.
pub trait PublishCommands: Run {}

impl<T: Run> PublishCommands for T {}
