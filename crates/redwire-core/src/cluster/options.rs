//! How a cluster is asked and followed. Promises plain data with production defaults.

use std::time::Duration;

use super::{ReadStrategy, Remap, Source};

/// What holds for a cluster as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// Where nodes are reached that announce another address. Default: where they say.
    pub remap: Remap,
    /// Which command tells the map. Default [`Source::Slots`], which all servers have.
    pub source: Source,
    /// Whether slots without a node matter as they do to the nodes. Default true: a map with such slots is
    /// refused while its node does not serve because of them, and used where it serves the others all the
    /// same (`cluster-require-full-coverage no`). When false, it is used in either case. Commands for those
    /// slots wait for a node until their deadline, and fail with
    /// [`NotCovered`](crate::ClusterFault::NotCovered) or [`Down`](crate::ClusterFault::Down); all others go
    /// on. A scan of the whole cluster gives out the keys of the others and then ends in that error, unless
    /// this is false.
    pub require_full_coverage: bool,
    /// Whether the nodes that a map names are asked for the next one, too. Default true: they and the seeds
    /// (the nodes that the configuration names) in turn. When false, only the seeds are: where others must
    /// not be asked, or a name of many addresses leads to the right ones. With few seeds, which may be down
    /// together, nothing is learnt until one is back.
    pub dynamic_startup_nodes: bool,
    /// Redirections after which the map is asked for anew. Default 5. At 1 each does so, as often as
    /// [`refresh_pause`](Self::refresh_pause) allows; at 0 none does, and slots that moved are learnt one by
    /// one.
    pub refresh_after_moved: u32,
    /// The least time from one refresh to the next; up to a quarter of it is added at random. Default 1 s.
    /// Too short, and many clients together keep a cluster busy that has trouble already; too long, and a
    /// replica that took over is found late.
    pub refresh_pause: Duration,
    /// How old the map may become without a reason to refresh it; up to a quarter of it is added at random.
    /// Default 60 s. `None`: as old as it likes, and nodes that were added are met only by redirection.
    pub refresh_interval: Option<Duration>,
    /// How many redirections one command follows. Default 16; from the fourth on with pauses. At 0 every slot
    /// that moved is an error; at a huge value only the deadline ends a command that nodes send to and fro.
    pub max_redirects: u32,
    /// Which nodes answer commands that only read. Default [`ReadStrategy::Primary`].
    pub read_strategy: ReadStrategy,
    /// The zone of this client, for [`ReadStrategy::SameZone`]. Default: none.
    pub zone: Option<String>,
    /// The most connections to all nodes together. Default: none; then each node has its own limit alone.
    pub max_connections: Option<usize>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            remap: Remap::default(),
            source: Source::Slots,
            require_full_coverage: true,
            dynamic_startup_nodes: true,
            refresh_after_moved: 5,
            refresh_pause: Duration::from_secs(1),
            refresh_interval: Some(Duration::from_secs(60)),
            max_redirects: 16,
            read_strategy: ReadStrategy::Primary,
            zone: None,
            max_connections: None,
        }
    }
}
