//! Lists, the blocking ones included.

use redwire_core::Run;

/// Lists, the blocking ones included.
pub trait ListCommands: Run {}

impl<T: Run> ListCommands for T {}
