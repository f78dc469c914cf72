//! With what a model begins.
//!
//! This file must not know what the options lead to.

use std::time::Duration;

/// With what a [`Model`](crate::Model) begins.
///
/// ```
/// use redwire_model::{Model, Options};
///
/// let model = Model::new(Options::new().seed(7).version("7.2.4").log(true));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    pub(crate) seed: u64,
    pub(crate) version: String,
    pub(crate) unix_time: Duration,
    pub(crate) databases: usize,
    pub(crate) password: Option<String>,
    pub(crate) port: u16,
    pub(crate) log: bool,
    pub(crate) replicates: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            version: "8.0.2".to_owned(),
            unix_time: Duration::from_secs(1_767_225_600),
            databases: 16,
            password: None,
            port: 6379,
            log: false,
            replicates: false,
        }
    }
}

impl Options {
    /// A server without a password, with 16 databases.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `RANDOMKEY`, `SPOP` and their like, and the ids a server gives itself, come from. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The version of Redis that `INFO` and `HELLO` claim. Default: 8.0.2. It behaves as Redis 8.0, whatever
    /// it claims.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// The time since 1970 when the model's own time is zero. Default: the first of January 2026.
    pub fn unix_time(mut self, unix_time: Duration) -> Self {
        self.unix_time = unix_time;
        self
    }

    /// How many databases there are. Default: 16.
    pub fn databases(mut self, databases: usize) -> Self {
        self.databases = databases.max(1);
        self
    }

    /// The password of the user `default`. Default: none is asked for.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// The port that `INFO` and `CLIENT LIST` tell. Default: 6379.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Whether the commands that were executed are kept for [`Model::take_log`](crate::Model::take_log).
    /// Default: no.
    pub fn log(mut self, log: bool) -> Self {
        self.log = log;
        self
    }

    /// Whether writes are kept for [`Model::take_writes`](crate::Model::take_writes), to be brought to
    /// replicas. Default: no.
    pub fn replicates(mut self, replicates: bool) -> Self {
        self.replicates = replicates;
        self
    }
}
