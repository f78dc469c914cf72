//! What a pool may do. This file must not know how it is kept.

use std::time::Duration;

use crate::backoff::Backoff;

/// The limits of a [`Pool`](super::Pool).
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// The most connections there are at a time, idle and in use and being made. Default 50; 0 counts as 1.
    /// Too few: callers wait or fail. Too many: the server runs into its `maxclients`.
    pub max: usize,
    /// The most connections there are at a time in all pools that share this limit
    /// ([`SharedLimit`](super::SharedLimit)), with those beside them. Default `None`: there is no such limit.
    pub max_together: Option<usize>,
    /// How many are kept idle for callers to come. Default 0: connections are made when asked for. Many: the
    /// server bears connections that no caller uses.
    pub min_idle: usize,
    /// The most connections that are being made at a time. Default 4; 0 counts as 1. Few: a burst of callers
    /// on an empty pool waits for its connections. Many: the burst hits a server that just came back, in its
    /// accept queue.
    pub max_connecting: usize,
    /// The most callers that wait at a time. Default 65 536. Few: bursts fail. Many: each takes memory until
    /// its deadline.
    pub max_waiting: usize,
    /// A connection is closed when no caller has used it for so long. Default `None`: never. Should be below
    /// what the server (`timeout`) and firewalls allow; if it is very short, connections are made for each
    /// call.
    pub idle: Option<Duration>,
    /// A connection is closed when it is so old, give or take a tenth, so that those made together do not end
    /// together. Default `None`: never. Short: connections are made all the time. Long: those of a server
    /// behind a balancer stay where they are.
    pub lifetime: Option<Duration>,
    /// The pause before each attempt to connect while the server is away, for all callers together.
    pub backoff: Backoff,
    /// Whether no caller waits for a server that cannot be reached: one that needs a new connection fails at
    /// once why the last attempt failed, as for a node of a cluster, where others may know more. Default
    /// false: they wait for their deadline.
    pub fail_fast: bool,
}

impl PoolLimits {
    /// A pool that may have no connection, or make none, would let all callers wait for ever.
    pub(super) fn checked(mut self) -> Self {
        (self.max, self.max_connecting) = (self.max.max(1), self.max_connecting.max(1));
        self
    }
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            max: 50,
            max_together: None,
            min_idle: 0,
            max_connecting: 4,
            max_waiting: 65_536,
            idle: None,
            lifetime: None,
            backoff: Backoff::full_jitter(Duration::from_millis(10), Duration::from_secs(1)),
            fail_fast: false,
        }
    }
}
