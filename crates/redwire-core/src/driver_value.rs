//! Where a configuration keeps what belongs to one driver: its connector, and its callback on connecting.
//!
//! This file must not know what such a value is: connections and streams belong to a driver, and each driver
//! has its own kind. So a configuration keeps what only that driver can read.

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

/// What belongs to a `Driver`, as a configuration keeps it: a `Connector` or an `OnConnect` of the crate
/// `redwire` becomes one. Clones share it; two are equal if they share the same one.
pub struct DriverValue<Driver> {
    value: Arc<dyn Any + Send + Sync>,
    driver: PhantomData<fn() -> Driver>,
}

impl<Driver> DriverValue<Driver> {
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

    /// What a driver goes by, of which its `own` value was made; `None` where neither driver has one.
    ///
    /// # Errors
    /// That it is `missing`: only the `other` driver has one, and it would be left out.
    pub fn choose<'v, T: Any, Other, E>(
        own: Option<&'v Self>,
        other: Option<&DriverValue<Other>>,
        missing: impl Fn() -> E,
    ) -> Result<Option<&'v T>, E> {
        match (own, other) {
            (None, None) => Ok(None),
            (Some(own), _) => own.get().map(Some).ok_or_else(missing),
            (None, Some(_)) => Err(missing()),
        }
    }
}

impl<Driver> Clone for DriverValue<Driver> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), driver: PhantomData }
    }
}

impl<Driver> PartialEq for DriverValue<Driver> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.value, &other.value)
    }
}

impl<Driver> Eq for DriverValue<Driver> {}

impl<Driver> fmt::Debug for DriverValue<Driver> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_are_equal_and_the_driver_gets_it_back() {
        let value = DriverValue::<BlockingDriver>::new(7_u32);
        assert_eq!(value, value.clone());
        assert_ne!(value, DriverValue::new(7_u32));
        assert_eq!((value.get::<u32>(), value.get::<u64>()), (Some(&7), None));
    }

    #[test]
    fn a_driver_goes_by_its_own() {
        let (own, other) =
            (DriverValue::<BlockingDriver>::new(7_u32), DriverValue::<NonblockingDriver>::new(8));
        let choose = |own, other| DriverValue::choose::<u32, NonblockingDriver, _>(own, other, || "missing");
        assert_eq!(choose(None, None), Ok(None));
        assert_eq!(choose(Some(&own), None), Ok(Some(&7)));
        assert_eq!(choose(Some(&own), Some(&other)), Ok(Some(&7)));
        assert_eq!(choose(None, Some(&other)), Err("missing"));
        assert_eq!(choose(Some(&DriverValue::new("no number")), None), Err("missing"));
    }
}
