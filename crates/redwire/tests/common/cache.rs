//! A client-side cache of either driver, by one face.

use redwire::cache::{CacheOptions, CacheStats};
use redwire::{Cmd, Reply, Result};

use super::{Client, runtime, words};

/// A cache of either driver.
#[derive(Clone, Debug)]
pub(crate) enum Cache {
    Tokio(redwire::Cache),
    Blocking(redwire::blocking::Cache),
}

/// The same call on either.
macro_rules! either {
    ($self:ident, $cache:ident => $call:expr) => {
        match $self {
            Self::Tokio($cache) => $call,
            Self::Blocking($cache) => $call,
        }
    };
}

impl Cache {
    pub(crate) fn connect(client: &Client, options: CacheOptions) -> Result<Self> {
        match client {
            Client::Tokio(client) => runtime().block_on(client.cached(options)).map(Self::Tokio),
            Client::Blocking(client) => client.cached(options).map(Self::Blocking),
        }
    }

    #[track_caller]
    pub(crate) fn new(client: &Client, options: CacheOptions) -> Self {
        Self::connect(client, options).unwrap_or_else(|error| panic!("{client:?}: {error}"))
    }

    pub(crate) fn execute<R: Reply>(&self, cmd: Cmd<R>) -> Result<R> {
        match self {
            Self::Tokio(cache) => runtime().block_on(cache.execute(cmd)),
            Self::Blocking(cache) => cache.execute(cmd),
        }
    }

    /// Runs a command given as `WORD WORD …`.
    pub(crate) fn run<R: Reply>(&self, line: &str) -> Result<R> {
        self.execute(words(line))
    }

    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Option<u64> {
        self.run(&format!("GET {key}")).unwrap()
    }

    pub(crate) fn sync(&self) -> Result<()> {
        match self {
            Self::Tokio(cache) => runtime().block_on(cache.sync()),
            Self::Blocking(cache) => cache.sync(),
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        either!(self, cache => cache.stats())
    }

    pub(crate) fn is_tracking(&self) -> bool {
        either!(self, cache => cache.is_tracking())
    }

    pub(crate) fn opted_in(&self) -> Self {
        match self {
            Self::Tokio(cache) => Self::Tokio(cache.opted_in()),
            Self::Blocking(cache) => Self::Blocking(cache.opted_in()),
        }
    }
}
