//! Sorted sets: members with scores.

use redwire_core::Run;

/// Sorted sets: members with scores.
pub trait SortedSetCommands: Run {}

impl<T: Run> SortedSetCommands for T {}
