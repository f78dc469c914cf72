//! The setters of the pool. Promises the same as its parent: each option is documented with default, unit
//! and what breaks at both extremes. Must not know how connections are counted.

use std::time::Duration;

use super::non_zero;
use crate::config::ConfigBuilder;

impl ConfigBuilder {
    /// The most connections of a client or pool. Default 50, at least 1. The async client's shared connection
    /// counts as one, but one is always left for commands that wait (`BLPOP`). Another one is made beyond the
    /// limit while a call waits for long, to ask whether the server lives. Few, and calls wait for one
    /// another (see [`pool_timeout`](Self::pool_timeout)); many, and the server's `maxclients` (10 000) is
    /// shared by fewer processes. In a cluster it is the limit of each node: of `n` nodes there are at most
    /// `n` times as many, unless [`max_cluster_connections`](Self::max_cluster_connections) says otherwise.
    #[doc(alias = "maxsize")]
    #[doc(alias = "max_connections_per_node")]
    pub fn max_connections(mut self, most: usize) -> Self {
        self.config.max_connections = most;
        self
    }

    /// How long a call waits for a connection when all are in use. Default: as long as its deadline allows.
    /// Zero fails at once ([`PoolExhausted`](crate::ErrorKind::PoolExhausted)), so that every burst above
    /// the limit reaches the callers. The deadline of the call ends the wait, too: to wait for 20 s, set both
    /// this and [`timeout`](Self::timeout), or ask for a connection by `get_within`.
    pub fn pool_timeout(mut self, limit: Duration) -> Self {
        self.config.pool_timeout = Some(limit);
        self
    }

    /// Idle connections kept ready. Default 0, at most `max_connections`. At 0 the first call after a quiet
    /// time pays for the connect; many are unused sockets and memory of the server.
    #[doc(alias = "minsize")]
    pub fn min_idle_connections(mut self, least: usize) -> Self {
        self.config.min_idle_connections = least;
        self
    }

    /// How long a connection may lie idle before it is closed. Default: for ever; zero is for ever; at
    /// least 10 ms. Stay below the server's own `timeout`, or it closes them first. Short, and most calls
    /// pay for a connect; for ever, and the connections of the busiest minute stay.
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.config.idle_timeout = non_zero(limit);
        self
    }

    /// The age at which a connection is replaced; each has its own, by up to 10 % more or less, so that they
    /// do not all go at once. Default: none; zero is none; at least 10 ms. Short, and connecting never ends;
    /// none, and a change of DNS or of a balancer is noticed only when the old server goes or says that it is
    /// a replica.
    ///
    /// - Of a pool: once it is idle, or comes back.
    /// - The connection that the calls of an async client share: the next one is made beside it; then nothing
    ///   more is sent over the old one, and when that has answered all it was asked, what has gathered goes
    ///   over the next. No call fails, and calls wait for one round trip at most. If the next one cannot be
    ///   made, the old one goes on, and that is tried again after a second.
    /// - Of a client-side cache: what was kept is forgotten, as whenever its connection is made anew.
    /// - Not of subscriptions and monitors: nothing says when all that was published over one connection has
    ///   come, so another in its place would mean a gap each time. Nor connections by hand.
    pub fn max_lifetime(mut self, limit: Duration) -> Self {
        self.config.max_lifetime = non_zero(limit);
        self
    }

    /// The most connections of a pool that are being made at once. Default 4, at least 1. Few, and a client
    /// is slow to spread over many connections, or stuck behind connects that time out; many, and a server
    /// that comes back is met by all at once.
    pub fn max_connecting(mut self, most: usize) -> Self {
        self.config.max_connecting = most;
        self
    }
}
