//! Pools, leases and events of either driver. Nothing here checks anything.

use std::time::Duration;

use redwire::config::{Config, ConfigBuilder};
use redwire::pool::{Borrower, PoolStats};
use redwire::{Cmd, Event, Pipeline, Reply, Result, Run, Slots, Value};

use super::{Client, Connection, Driver, Setup, runtime, words};

/// A pool of either driver.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    Tokio(redwire::Pool),
    Blocking(redwire::blocking::Pool),
}

impl Setup {
    /// A pool that connects when it is used first.
    #[track_caller]
    pub(crate) fn pool(self, url: &str, options: &str) -> Pool {
        let config = Config::from_url(&self.url(url, options)).map_err(Into::into);
        let config = config.and_then(|config| self.pool_of(config));
        config.unwrap_or_else(|error| panic!("{self:?} to {url}: {error}"))
    }

    /// As [`pool`](Self::pool), with options that no URL can have.
    pub(crate) fn lazy_pool(self, options: ConfigBuilder) -> Result<Pool> {
        self.pool_of(options.protocol(self.protocol()).build()?)
    }

    /// A pool with a connection.
    pub(crate) fn open_pool(self, url: &str, options: &str) -> Result<Pool> {
        let config = Config::from_url(&self.url(url, options))?;
        match self.driver {
            Driver::Tokio => runtime().block_on(redwire::Pool::open(config)).map(Pool::Tokio),
            Driver::Blocking => redwire::blocking::Pool::open(config).map(Pool::Blocking),
        }
    }

    fn pool_of(self, config: Config) -> Result<Pool> {
        match self.driver {
            Driver::Tokio => redwire::Pool::lazy(config).map(Pool::Tokio),
            Driver::Blocking => redwire::blocking::Pool::lazy(config).map(Pool::Blocking),
        }
    }
}

/// The same expression on either.
macro_rules! same {
    ($self:ident, $inner:ident => $call:expr) => {
        match $self {
            Self::Tokio($inner) => $call,
            Self::Blocking($inner) => $call,
        }
    };
}

impl Pool {
    /// The one inside `client`.
    pub(crate) fn of(client: &Client) -> Self {
        match client {
            Client::Tokio(client) => Self::Tokio(client.pool().clone()),
            Client::Blocking(client) => Self::Blocking(client.pool().clone()),
        }
    }

    /// What the connections of `client` do, and did so far.
    pub(crate) fn stats_of(client: &Client) -> PoolStats {
        match client {
            Client::Tokio(client) => client.stats(),
            Client::Blocking(client) => client.stats(),
        }
    }

    /// A client that borrows here.
    pub(crate) fn client(&self) -> Client {
        match self {
            Self::Tokio(pool) => Client::Tokio(redwire::Client::on_pool(pool)),
            Self::Blocking(pool) => Client::Blocking(redwire::blocking::Client::on_pool(pool)),
        }
    }

    #[track_caller]
    pub(crate) fn get(&self) -> Result<Lease> {
        match self {
            Self::Tokio(pool) => {
                let lease = pool.get();
                runtime().block_on(lease).map(Lease::Tokio)
            }
            Self::Blocking(pool) => pool.get().map(Lease::Blocking),
        }
    }

    #[track_caller]
    pub(crate) fn get_within(&self, limit: Duration) -> Result<Lease> {
        match self {
            Self::Tokio(pool) => {
                let lease = pool.get_within(limit);
                runtime().block_on(lease).map(Lease::Tokio)
            }
            Self::Blocking(pool) => pool.get_within(limit).map(Lease::Blocking),
        }
    }

    /// Borrows, runs `line` and gives back.
    #[track_caller]
    pub(crate) fn run<R: Reply>(&self, line: &str) -> Result<R> {
        self.get()?.run(line)
    }

    pub(crate) fn connection(&self) -> Connection {
        match self {
            Self::Tokio(pool) => Connection::Tokio(pool.connection()),
            Self::Blocking(pool) => Connection::Blocking(pool.connection()),
        }
    }

    pub(crate) fn owns(&self, lease: &Lease) -> bool {
        match (self, lease) {
            (Self::Tokio(pool), Lease::Tokio(lease)) => pool.owns(lease),
            (Self::Blocking(pool), Lease::Blocking(lease)) => pool.owns(lease),
            _ => false,
        }
    }

    pub(crate) fn select(&self, db: u32) {
        same!(self, pool => pool.select(db));
    }

    pub(crate) fn disconnect(&self) {
        same!(self, pool => pool.disconnect());
    }

    pub(crate) fn disconnect_now(&self) {
        same!(self, pool => pool.disconnect_now());
    }

    pub(crate) fn disconnect_idle(&self) {
        same!(self, pool => pool.disconnect_idle());
    }

    pub(crate) fn stats(&self) -> PoolStats {
        same!(self, pool => pool.stats())
    }

    pub(crate) fn borrowers(&self) -> Vec<Borrower> {
        same!(self, pool => pool.borrowers())
    }

    pub(crate) fn events(&self) -> Events {
        match self {
            Self::Tokio(pool) => Events::Tokio(pool.events()),
            Self::Blocking(pool) => Events::Blocking(pool.events()),
        }
    }

    pub(crate) fn close(&self, limit: Duration) -> usize {
        either!(self, pool => pool.close(limit))
    }

    pub(crate) fn close_now(&self) {
        same!(self, pool => pool.close_now());
    }

    pub(crate) fn is_closed(&self) -> bool {
        same!(self, pool => pool.is_closed())
    }
}

/// A lease of either driver.
#[derive(Debug)]
pub(crate) enum Lease {
    Tokio(redwire::Lease),
    Blocking(redwire::blocking::Lease),
}

impl Lease {
    pub(crate) fn run<R: Reply>(&mut self, line: &str) -> Result<R> {
        self.execute(words(line))
    }

    pub(crate) fn execute<R: Reply>(&mut self, cmd: Cmd<R>) -> Result<R> {
        either!(self, lease => lease.run(cmd))
    }

    /// By which the server knows the connection.
    #[track_caller]
    pub(crate) fn id(&mut self) -> u64 {
        self.run("CLIENT ID").unwrap()
    }

    pub(crate) fn pipeline<S: Slots + Send>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        either!(self, lease => lease.pipeline(build))
    }

    pub(crate) fn send(&mut self, line: &str) -> Result<()> {
        either!(self, lease => lease.send(&words::<Value>(line)))
    }

    pub(crate) fn send_packed(&mut self, commands: &[u8], count: u32) -> Result<()> {
        either!(self, lease => lease.send_packed(commands, count))
    }

    pub(crate) fn read_reply<R: Reply>(&mut self) -> Result<R> {
        either!(self, lease => lease.read_reply())
    }

    pub(crate) fn select(&mut self, db: u32) -> Result<()> {
        either!(self, lease => lease.select(db))
    }

    pub(crate) fn reconnect(&mut self) -> Result<()> {
        either!(self, lease => lease.reconnect())
    }

    pub(crate) fn is_connected(&self) -> bool {
        same!(self, lease => lease.is_connected())
    }

    pub(crate) fn discard(self) {
        same!(self, lease => lease.discard());
    }

    pub(crate) fn detach(self) -> Connection {
        match self {
            Self::Tokio(lease) => Connection::Tokio(lease.detach()),
            Self::Blocking(lease) => Connection::Blocking(lease.detach()),
        }
    }
}

impl Client {
    pub(crate) fn events(&self) -> Events {
        Pool::of(self).events()
    }
}

/// The events of either driver.
#[derive(Debug)]
pub(crate) enum Events {
    Tokio(redwire::Events),
    Blocking(redwire::blocking::Events),
}

impl Events {
    /// The next one, if it comes within `limit`.
    pub(crate) fn next_within(&mut self, limit: Duration) -> Option<Event> {
        match self {
            Self::Tokio(events) => {
                let next = async { tokio::time::timeout(limit, events.next()).await };
                runtime().block_on(next).ok().flatten()
            }
            Self::Blocking(events) => events.next_within(limit),
        }
    }
}
