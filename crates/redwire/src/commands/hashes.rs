//! Hashes: fields and values under one key.

use redwire_core::Run;

/// Hashes: fields and values under one key.
pub trait HashCommands: Run {}

impl<T: Run> HashCommands for T {}
