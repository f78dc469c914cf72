//! The clients: the table of them, and which of their types measures which workload. Nothing here knows how a
//! call is timed.
//!
//! To add a client: write `clients/<name>.rs` with types that implement those of the `traits` that it
//! can, and a table `RUNNERS` of them; add it to the `mod` lines and one line to [`ALL`].

mod door;
mod fred;
mod limit;
mod muxfloor;
mod redis;
mod redis2;
mod redwire;
mod rustis;
mod traits;

pub use traits::*;

use crate::Fallible;
use crate::child::Job;
use crate::meter::Measured;
use crate::workload::{Kind, Mode};

/// What a client is measured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// No client: the byte-counting loop.
    Limit,
    /// No client: the least multiplexer. It has no more than GETs by tasks, from one server or a cluster.
    MuxFloor,
    /// Another client.
    Peer,
    /// Another client, redis-rs in one of its versions.
    RedisRs,
    /// The client all this is for.
    Redwire,
}

impl Role {
    /// Whether it is another client.
    pub const fn is_peer(self) -> bool {
        matches!(self, Self::Peer | Self::RedisRs)
    }
}

/// Measures a job in this process.
pub type Runner = fn(&Job) -> Fallible<Measured>;

/// Which runner measures what; `None` for what a client does not have.
pub struct Runners {
    /// One call after another on one connection.
    pub calls: [Option<Runner>; 2],
    /// Tasks that share a client.
    pub tasks: Option<Runner>,
    /// Threads that share a blocking client.
    pub threads: Option<Runner>,
    /// Tasks that share a client of a cluster.
    pub cluster: Option<Runner>,
    /// GETs one at a time from a cluster, blocking.
    pub cluster_blocking: Option<Runner>,
    /// Pipelines over a cluster.
    pub cluster_pipelines: [Option<Runner>; 2],
    /// Tasks that lease connections.
    pub leases: Option<Runner>,
    /// Connections for one PING.
    pub visits: [Option<Runner>; 2],
    /// Optimistic transactions.
    pub watches: [Option<Runner>; 2],
    /// Client-side caches.
    pub caches: [Option<Runner>; 2],
}

impl Runners {
    /// Has nothing.
    pub const NONE: Self = Self {
        calls: [None; 2],
        tasks: None,
        threads: None,
        cluster: None,
        cluster_blocking: None,
        cluster_pipelines: [None; 2],
        leases: None,
        visits: [None; 2],
        watches: [None; 2],
        caches: [None; 2],
    };
}

/// An entry of the table of clients.
pub struct Client {
    /// As typed on the command line and printed.
    pub name: &'static str,
    /// What it is measured for.
    pub role: Role,
    runners: Runners,
}

impl Client {
    /// How to measure it, if it has this workload in this mode.
    pub fn runner(&self, kind: Kind, mode: Mode) -> Option<Runner> {
        if !kind.modes().contains(&mode) {
            return None;
        }
        let either = |[blocking, on_tokio]: [Option<Runner>; 2]| match mode {
            Mode::Blocking => blocking,
            Mode::Async => on_tokio,
        };
        let runners = &self.runners;
        match kind {
            Kind::Tasks { .. } => runners.tasks,
            Kind::Threads(_) => runners.threads,
            Kind::Cluster { .. } => either([runners.cluster_blocking, runners.cluster]),
            Kind::ClusterPipeline(_) => either(runners.cluster_pipelines),
            Kind::Leases { .. } => runners.leases,
            Kind::Connect(_) => either(runners.visits),
            Kind::Watch => either(runners.watches),
            Kind::CacheHit | Kind::CacheMiss => either(runners.caches),
            _ => either(runners.calls),
        }
    }
}

/// The client of this name.
pub fn find(name: &str) -> Option<&'static Client> {
    ALL.iter().find(|client| client.name == name)
}

const fn client(name: &'static str, role: Role, runners: Runners) -> Client {
    Client { name, role, runners }
}

/// All clients, in the order of the report.
pub const ALL: &[Client] = &[
    client("limit", Role::Limit, limit::RUNNERS),
    client("muxfloor", Role::MuxFloor, muxfloor::RUNNERS),
    client("redwire", Role::Redwire, redwire::RUNNERS),
    client("redis", Role::RedisRs, redis::RUNNERS),
    client("redis2", Role::RedisRs, redis2::RUNNERS),
    client("fred", Role::Peer, fred::RUNNERS),
    client("rustis", Role::Peer, rustis::RUNNERS),
];
