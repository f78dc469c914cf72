//! The setters of Cluster. Promises the same as its parent: each option is documented with default, unit and
//! what breaks at both extremes. Must not know how nodes are asked.
//!
//! All of them ask for a Cluster to go with them: an option that would do nothing is an error.

use std::time::Duration;

use crate::cluster::{ReadStrategy, Remap, Source};
use crate::config::ConfigBuilder;

use super::non_empty;

impl ConfigBuilder {
    /// Where servers are reached that announce another address: behind NAT, a proxy, or in a container.
    /// Default: where they say. It is applied to every address that a cluster or sentinels tell (of nodes,
    /// masters, replicas and other sentinels), and not to those that are configured.
    #[doc(alias = "host_port_remap")]
    pub fn remap(mut self, remap: impl Into<Remap>) -> Self {
        self.config.cluster.remap = remap.into();
        self.config.sentinel.remap = self.config.cluster.remap.clone();
        self
    }

    /// Which command tells the map. Default [`Source::Slots`], which every server has; [`Source::Shards`]
    /// (Redis 7.0) also tells which replicas are down or load their data.
    pub fn map_source(mut self, source: Source) -> Self {
        self.config.cluster.source = source;
        self
    }

    /// Whether slots without a node matter as they do to the nodes. Default true: a map with such slots is
    /// refused while its node does not serve because of them, and used where it serves the others all the
    /// same (`cluster-require-full-coverage no`). When false, it is used in either case. Commands for those
    /// slots wait for a node until their deadline, and fail with
    /// [`NotCovered`](crate::ClusterFault::NotCovered) or [`Down`](crate::ClusterFault::Down); all others go
    /// on. A scan of the whole cluster gives out the keys of the others and then ends in that error, unless
    /// this is false.
    #[doc(alias = "skip_full_coverage_check")]
    pub fn require_full_coverage(mut self, on: bool) -> Self {
        self.config.cluster.require_full_coverage = on;
        self
    }

    /// Redirections after which the map is asked for anew. Default 5. At 1 each does so, as often as
    /// [`refresh_pause`](Self::refresh_pause) allows; at 0 none does, and slots that moved are learnt one by
    /// one.
    #[doc(alias = "reinitialize_steps")]
    pub fn refresh_after_moved(mut self, redirections: u32) -> Self {
        self.config.cluster.refresh_after_moved = redirections;
        self
    }

    /// The least time from one refresh of the map to the next, from 10 ms; up to a quarter of it is added at
    /// random. Default 1 s. Too short, and many clients together keep a cluster busy that has trouble
    /// already; too long, and a replica that took over is found late.
    pub fn refresh_pause(mut self, pause: Duration) -> Self {
        self.config.cluster.refresh_pause = pause;
        self
    }

    /// [`ClusterOptions::dynamic_startup_nodes`](crate::cluster::ClusterOptions): whether the nodes that a
    /// map names are asked for the next one, too, or the nodes of the configuration alone. Default true.
    #[doc(alias = "nodemanager_follow_cluster")]
    pub fn dynamic_startup_nodes(mut self, on: bool) -> Self {
        self.config.cluster.dynamic_startup_nodes = on;
        self
    }

    /// How old the map may become without a reason to ask anew; up to a quarter of it is added at random.
    /// Default 60 s. Zero: as old as it likes, and nodes that were added are met only by redirection.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.config.cluster.refresh_interval = Some(interval).filter(|interval| !interval.is_zero());
        self
    }

    /// How many redirections one command follows. Default 16; from the fourth on with pauses. At 0 every slot
    /// that moved is an error; at a huge value only the deadline ends a command that nodes send to and fro.
    #[doc(alias = "allow_redirections")]
    pub fn max_redirects(mut self, redirections: u32) -> Self {
        self.config.cluster.max_redirects = redirections;
        self
    }

    /// Which nodes answer commands that only read. Default [`ReadStrategy::Primary`]. With any other, reads
    /// may miss what was just written, and `READONLY` is sent on every connection. It wins over
    /// [`read_only`](Self::read_only), and over the word `read_from_replicas` of a URL, which alone is
    /// [`ReadStrategy::RoundRobin`].
    #[doc(alias = "read_from_replicas")]
    #[doc(alias = "load_balancing_strategy")]
    #[doc(alias = "read_command")]
    pub fn read_strategy(mut self, strategy: ReadStrategy) -> Self {
        self.config.cluster.read_strategy = strategy;
        self
    }

    /// The most connections of a client to all nodes of a cluster together, beside
    /// [`max_connections`](Self::max_connections), which holds for each. Default: none; at least 1.
    ///
    /// It counts what calls and leases use, in use or idle or being made, and for an async client the
    /// connection to each node that its calls share. That one is there whatever this limit says: of 20
    /// connections in a cluster of 3 nodes the others are 17, and one is always left for a command that waits
    /// (`BLPOP`), a transaction or a lease. Subscriptions, monitors, caches, connections by hand, those over
    /// which the map is asked for, and one that asks whether a server lives are not counted.
    ///
    /// A caller for whom there is no place is given that of a connection to another node that is idle, which
    /// is closed for it; or else it waits as where all of its node are in use
    /// ([`pool_timeout`](Self::pool_timeout)). Callers of all nodes get their places in the order in which
    /// they came. What [`min_idle_connections`](Self::min_idle_connections) keeps ready takes only places
    /// that are free.
    ///
    /// Few, and calls to one node close connections to another, so that many pay for a connect; many, and
    /// the servers' `maxclients` is shared by fewer processes.
    pub fn max_cluster_connections(mut self, most: usize) -> Self {
        self.config.cluster.max_connections = Some(most);
        self
    }

    /// The zone of this client (`availability-zone` of the nodes), for [`ReadStrategy::SameZone`]. Default:
    /// none. Empty is none.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.config.cluster.zone = non_empty(zone.into());
        self
    }
}
