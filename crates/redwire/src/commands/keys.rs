//! Keys of any type: existence, expiry, names, copies.

use redwire_core::Run;

pub(crate) mod time;

/// Keys of any type: existence, expiry, names, copies.
pub trait KeyCommands: Run {}

impl<T: Run> KeyCommands for T {}
