//! What a user has done on each new connection of the blocking driver.

use std::fmt;
use std::sync::Arc;

use redwire_core::config::Config;
use redwire_core::driver_value::{BlockingDriver, DriverValue};
use redwire_core::{Error, Result};

use super::connection::Connection;

type Callback = dyn Fn(&mut Connection) -> Result<()> + Send + Sync;

/// What is done on each new connection, after the handshake and before any caller uses it: set for all
/// connections of a configuration by
/// [`ConfigBuilder::blocking_on_connect`](crate::config::ConfigBuilder::blocking_on_connect), and for one by
/// [`Connection::on_connect`]. What it runs on the connection ends by the deadline of the connect; one that
/// panics is a connect that failed. Clones share it.
///
/// ```
/// use redwire::blocking::OnConnect;
/// use redwire::config::Config;
/// use redwire::{Run, cmd};
///
/// let no_evict = OnConnect::new(|connection| connection.run::<()>(cmd("CLIENT NO-EVICT").arg("ON")));
/// let config = Config::builder().host("db.internal").blocking_on_connect(no_evict).build()?;
/// # Ok::<(), redwire::Error>(())
/// ```
#[derive(Clone)]
pub struct OnConnect(Arc<Callback>);

impl OnConnect {
    /// Takes `callback` to be run on each new connection.
    #[must_use]
    pub fn new(callback: impl Fn(&mut Connection) -> Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(callback))
    }

    pub(super) fn call(&self, connection: &mut Connection) -> Result<()> {
        (self.0)(connection)
    }

    /// What `config` wants to be done on each connection.
    ///
    /// # Errors
    /// It is the async driver's, and would be left out.
    pub(super) fn of(config: &Config) -> Result<Option<&Self>> {
        DriverValue::choose(config.blocking_on_connect(), config.on_connect(), missing)
    }
}

#[cold]
fn missing() -> Error {
    Error::usage("the blocking client needs a `blocking_on_connect` where there is an `on_connect`")
}

impl From<OnConnect> for DriverValue<BlockingDriver> {
    fn from(callback: OnConnect) -> Self {
        Self::new(callback)
    }
}

impl fmt::Debug for OnConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnConnect(..)")
    }
}
