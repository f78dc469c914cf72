//! Where a configuration keeps what makes connections in place of the driver's own sockets.
//!
//! This file must not know what such a connection is: streams belong to a driver, and each driver has its own
//! kind. So a configuration keeps what only that driver can read.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The async driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonblockingDriver {}

/// The blocking driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockingDriver {}

/// What makes the connections of a `Driver`, as a configuration keeps it: a `Connector` of the crate
/// `redwire` becomes one. Clones share it; two are equal if they share the same one.
pub struct Connector<Driver> {
    value: Arc<dyn Any + Send + Sync>,
    driver: PhantomData<fn() -> Driver>,
}

impl<Driver> Connector<Driver> {
    /// Takes `value`, which the driver gets back by [`get`](Self::get).
    #[must_use]
    pub fn new(value: impl Any + Send + Sync) -> Self {
        Self { value: Arc::new(value), driver: PhantomData }
    }

    /// What it was made of, if that is a `T`.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }
}

impl<Driver> Clone for Connector<Driver> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), driver: PhantomData }
    }
}

impl<Driver> PartialEq for Connector<Driver> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value)
    }
}

impl<Driver> Eq for Connector<Driver> {}

impl<Driver> fmt::Debug for Connector<Driver> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_equal_and_the_driver_gets_it_back() {
        let connector = Connector::<BlockingDriver>::new(7_u32);
        assert_eq!(connector, connector.clone());
        assert_ne!(connector, Connector::new(7_u32));
        assert_eq!((connector.get::<u32>(), connector.get::<u64>()), (Some(&7), None));
    }
}
