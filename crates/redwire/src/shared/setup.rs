//! What both drivers need to set up a connection from its configuration, and to say what went wrong with it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use redwire_core::config::{Config, Deployment, Endpoint, Protocol};
use redwire_core::handshake::Session;
use redwire_core::inbound::Inbound;
use redwire_core::link::QueueLimits;
use redwire_core::pool::PoolLimits;
use redwire_core::pubsub::PubSub;
use redwire_core::{ConnectionFault, Error, ErrorKind, Outcome, Result};

use crate::shared::target::Target;

pub(crate) fn inbound(config: &Config) -> Inbound {
    Inbound::new(config.read_buffer_size(), config.reply_limits())
}

pub(crate) fn queue_limits(config: &Config) -> QueueLimits {
    QueueLimits { commands: config.max_queued_commands(), bytes: config.max_queued_bytes() }
}

pub(crate) fn pool_limits(target: &Target) -> PoolLimits {
    let config = target.config();
    PoolLimits {
        max: config.max_connections(),
        max_together: target.connection_limit().map(|limit| limit.max()),
        min_idle: config.min_idle_connections(),
        max_connecting: config.max_connecting(),
        max_waiting: config.max_queued_commands(),
        idle: config.idle_timeout(),
        lifetime: config.max_lifetime(),
        backoff: config.reconnect_backoff(),
        fail_fast: config.has_alternatives(),
    }
}

/// The `version` of the credentials that a connection of subscriptions presented, if it presents others while
/// it lives: there is a provider, and the server takes an `AUTH` from a subscribed connection (RESP3).
pub(crate) fn renewed_version(config: &Config, session: &Session, version: u64) -> Option<u64> {
    let renews = config.credential_provider().is_some() && session.protocol == Protocol::Resp3;
    renews.then_some(version)
}

/// Whether a pool is to be looked after while no caller uses it.
pub(crate) fn wants_upkeep(config: &Config) -> bool {
    config.min_idle_connections() > 0 || config.idle_timeout().is_some() || config.max_lifetime().is_some()
}

/// Whether this program was built with all that `config` asks for.
pub(crate) fn check_features(config: &Config) -> Result<()> {
    if cfg!(not(feature = "tls")) && config.tls() {
        return Err(Error::usage(
            "TLS (`rediss://`) needs the feature `tls`, which this program was built without",
        ));
    }
    Ok(())
}

/// The host whose certificate is expected at first, where there is TLS.
#[cfg(feature = "tls")]
pub(crate) fn tls_host(config: &Config) -> Option<&str> {
    match config.deployment() {
        _ if !config.tls() => None,
        Deployment::Single(Endpoint::Tcp(address)) => Some(&address.host),
        Deployment::Sentinel { nodes, .. } | Deployment::Cluster { nodes } => {
            nodes.first().map(|node| node.host.as_str())
        }
        _ => None,
    }
}

/// The address as messages show it.
pub(crate) fn address(endpoint: &Endpoint) -> Arc<str> {
    endpoint.to_string().into()
}

/// Connecting took too long: for the call that wanted it, or by the connect timeout.
pub(crate) fn too_slow(config: &Config, for_the_call: bool) -> Error {
    // A server that speaks no TLS waits for the rest of a command.
    let (by_tls, hint) = match config.tls() {
        true => (" by TLS", " (does the server speak TLS at this port?)"),
        false => ("", ""),
    };
    let limit = config.connect_timeout();
    let message = format!("no connection{by_tls} within the connect timeout of {limit:?}{hint}");
    let error = Error::new(ErrorKind::Connection(ConnectionFault::Timeout), Outcome::NotSent, message);
    if for_the_call { late(Some(&error)) } else { error }
}

/// The deadline of a call passed before there was a connection for it.
pub(crate) fn late(cause: Option<&Error>) -> Error {
    let late = Error::timeout(Outcome::NotSent);
    match cause {
        Some(cause) => late.with_source(cause.clone()),
        None => late,
    }
}

/// Until when a connection that is looked at, or made as new, for the next user may take for that: without a
/// limit, a server that fell silent would hold up a caller without a deadline for ever.
pub(crate) fn renewal_limit(config: &Config, now: Instant) -> Option<Instant> {
    let limit = config.health_check_interval().unwrap_or_else(|| config.connect_timeout());
    now.checked_add(limit)
}

pub(crate) fn closed_client() -> Error {
    Error::new(ErrorKind::Closed, Outcome::NotSent, "the client is closed")
}

/// A cluster is wanted, and there is none.
pub(crate) fn no_cluster() -> Error {
    Error::usage("a cluster was expected (`redis+cluster://host,…`)")
}

/// Whether `config` leads to one server at a time, as a pool or a connection by hand does.
///
/// # Errors
/// It leads to a cluster.
pub(crate) fn check_one_server(config: &Config) -> Result<()> {
    match config.deployment() {
        Deployment::Cluster { .. } => Err(Error::usage(
            "one server was expected, got a cluster, whose keys are on several: a `Client` finds their \
             nodes, and `client.cluster()` has `node(address)` and `nodes(choice)`, each with a `pool()`",
        )),
        _ => Ok(()),
    }
}

/// A callback on connecting has left a connection that no other caller can use.
pub(crate) fn left_dirty() -> Error {
    Error::usage("a callback run on connecting must read all replies, end its transaction, and leave it up")
}

/// Sentinels are wanted, and there are none.
pub(crate) fn no_service() -> Error {
    Error::usage("a service that sentinels watch was expected (`redis+sentinel://host,…/service`)")
}

/// The task that drove a connection is gone with its runtime.
#[cfg(feature = "tokio")]
#[cold]
pub(crate) fn runtime_ended() -> Error {
    let message = "the runtime that drove the connection has ended";
    Error::new(ErrorKind::Closed, Outcome::NotSent, message)
}

/// The connection was let go because its server is master no longer, or serves this client no longer.
pub(crate) fn left_master() -> Error {
    let message = "the connection was given up, since there is another master, its server says that it is of \
                   no use, or all connections were to be closed";
    Error::new(ErrorKind::Connection(ConnectionFault::LeftMaster), Outcome::MaybeExecuted, message)
}

/// A host name could not be looked up.
pub(crate) fn unresolved(host: &str, error: io::Error) -> Error {
    let message = format!("the host name {host:?} has no address: {error}");
    Error::new(ErrorKind::Connection(ConnectionFault::Dns), Outcome::NotSent, message).with_source(error)
}

/// A read or a write failed; what became of the commands under way is for the link to say.
pub(crate) fn io_error(doing: &str, error: io::Error) -> Error {
    // TLS reports its failures through the same door, with more to say.
    match error.downcast::<Error>() {
        Ok(error) => error.with_outcome(Outcome::MaybeExecuted),
        Err(error) => Error::from_io(doing, Outcome::MaybeExecuted, error),
    }
}

/// No subscription yet, by the options of `config`.
pub(crate) fn subscriptions<W>(config: &Config) -> PubSub<W> {
    let machine = PubSub::new(config.health_check_interval(), config.reconnect_backoff());
    match config.deployment() {
        Deployment::Cluster { .. } => machine.in_cluster(config.cluster_options().remap.clone()),
        _ => machine,
    }
}

/// A callback left the connection in a state that holds for one caller only.
#[cold]
pub(crate) fn bound_by_callback() -> Error {
    Error::usage("a callback run on connecting must not leave a transaction open, or keys watched")
}
