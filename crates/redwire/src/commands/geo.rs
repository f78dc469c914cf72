//! Places by longitude and latitude.

use redwire_core::Run;

/// Places by longitude and latitude.
pub trait GeoCommands: Run {}

impl<T: Run> GeoCommands for T {}
