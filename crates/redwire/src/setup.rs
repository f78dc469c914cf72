//! What both drivers need to set up a connection from its configuration, and to say what went wrong with it.

use std::io;
use std::sync::Arc;

use redwire_core::config::{Config, Endpoint, Topology};
use redwire_core::inbound::Inbound;
use redwire_core::link::QueueLimits;
use redwire_core::{ConnectionFault, Error, ErrorKind, Outcome, Result};

pub(crate) fn inbound(config: &Config) -> Inbound {
    Inbound::new(config.read_buffer_size(), config.reply_limits())
}

pub(crate) fn queue_limits(config: &Config) -> QueueLimits {
    QueueLimits { commands: config.max_queued_commands(), bytes: config.max_queued_bytes() }
}

/// The one server that `config` names.
pub(crate) fn endpoint(config: &Config) -> Result<&Endpoint> {
    if config.tls() {
        return Err(Error::usage("TLS (`rediss://`) is not part of this version"));
    }
    match config.topology() {
        Topology::Single(endpoint) => Ok(endpoint),
        Topology::Sentinel { .. } => {
            Err(Error::usage("Sentinel (`redis+sentinel://`) is not part of this version"))
        }
        Topology::Cluster { .. } => {
            Err(Error::usage("Cluster (`redis+cluster://`) is not part of this version"))
        }
    }
}

/// The address as messages show it.
pub(crate) fn address(endpoint: &Endpoint) -> Arc<str> {
    match endpoint {
        Endpoint::Tcp(address) => address.to_string().into(),
        Endpoint::Unix(path) => path.display().to_string().into(),
    }
}

/// Says at which address `error` happened, where there is one.
pub(crate) fn located(error: Error, address: Option<&Arc<str>>) -> Error {
    match address {
        Some(address) => error.with_address(address),
        None => error,
    }
}

/// The connect timeout passed.
pub(crate) fn connect_timeout(config: &Config) -> Error {
    let message = format!("no connection within the connect timeout of {:?}", config.connect_timeout());
    Error::new(ErrorKind::Connection(ConnectionFault::Timeout), Outcome::NotSent, message)
}

/// The deadline of a call passed before there was a connection for it.
pub(crate) fn late(cause: Option<&Error>) -> Error {
    let late = Error::timeout(Outcome::NotSent);
    match cause {
        Some(cause) => late.with_source(cause.clone()),
        None => late,
    }
}

/// There is no connection left for one more call.
pub(crate) fn exhausted(config: &Config) -> Error {
    let message = format!("all {} connections (`max_connections`) are in use", config.max_connections());
    Error::new(ErrorKind::PoolExhausted, Outcome::NotSent, message)
}

pub(crate) fn closed_client() -> Error {
    Error::new(ErrorKind::Closed, Outcome::NotSent, "the client is closed")
}

/// A read or a write failed; what became of the commands under way is for the link to say.
pub(crate) fn io_error(doing: &str, error: io::Error) -> Error {
    Error::from_io(doing, Outcome::MaybeExecuted, error)
}
