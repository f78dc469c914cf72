//! Keys of any type: existence, expiry, names, copies.

use redwire_core::Run;

mod expiring;
pub(crate) mod time;

pub use expiring::{ExpireCondition, ExpireTime, Ttl};

/// Keys of any type: existence, expiry, names, copies.
pub trait KeyCommands: Run {}

impl<T: Run> KeyCommands for T {}
