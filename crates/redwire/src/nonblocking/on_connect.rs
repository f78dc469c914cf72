//! What a user has done on each new connection of the async driver.

use std::fmt;
use std::sync::Arc;

use redwire_core::config::Config;
use redwire_core::driver_value::{DriverValue, NonblockingDriver};
use redwire_core::{Error, Result};

use super::connection::{Connection, Pending};

type Callback = dyn for<'c> Fn(&'c mut Connection) -> Pending<'c, ()> + Send + Sync;

/// What is done on each new connection, after the handshake and before any caller uses it: set for all
/// connections of a configuration by [`ConfigBuilder::on_connect`](crate::config::ConfigBuilder::on_connect),
/// and for one by [`Connection::on_connect`]. It may take as long as a connect may; one that takes longer, or
/// panics, is a connect that failed. Clones share it.
///
/// ```
/// use redwire::config::Config;
/// use redwire::{OnConnect, Run, cmd};
///
/// let no_evict = OnConnect::new(|connection| {
///     Box::pin(connection.run::<()>(cmd("CLIENT NO-EVICT").arg("ON")))
/// });
/// let config = Config::builder().host("db.internal").on_connect(no_evict).build()?;
/// # Ok::<(), redwire::Error>(())
/// ```
#[derive(Clone)]
pub struct OnConnect(Arc<Callback>);

impl OnConnect {
    /// Takes `callback` to be run on each new connection.
    #[must_use]
    pub fn new(
        callback: impl for<'c> Fn(&'c mut Connection) -> Pending<'c, ()> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(callback))
    }

    pub(super) fn call<'c>(&self, connection: &'c mut Connection) -> Pending<'c, ()> {
        (self.0)(connection)
    }

    /// What `config` wants to be done on each connection.
    ///
    /// # Errors
    /// It is the blocking driver's, and would be left out.
    pub(super) fn of(config: &Config) -> Result<Option<&Self>> {
        DriverValue::choose(config.on_connect(), config.blocking_on_connect(), missing)
    }
}

#[cold]
fn missing() -> Error {
    Error::usage("the async client needs an `on_connect` where there is a `blocking_on_connect`")
}

impl From<OnConnect> for DriverValue<NonblockingDriver> {
    fn from(callback: OnConnect) -> Self {
        Self::new(callback)
    }
}

impl fmt::Debug for OnConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnConnect(..)")
    }
}
