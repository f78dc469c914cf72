//! What the workloads are made of: what one call does, on which cores, in which unit it is told, and what
//! redwire can be asked to reach. The rows themselves are in `rows`. It knows neither clients nor how a call
//! is made.

mod rows;

pub use rows::ALL;

/// One row of the plan.
#[derive(Debug)]
pub struct Workload {
    /// As typed on the command line.
    pub name: &'static str,
    /// As printed above its table.
    pub title: &'static str,
    /// What a call does.
    pub kind: Kind,
    /// Where client and server run, unless the command line says otherwise.
    pub cores: Cores,
    /// What redwire is to reach there.
    pub targets: &'static [Target],
}

/// Which cores server and client run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cores {
    /// Both on core 0.
    One,
    /// The server on core 0, the client on core 1.
    Two,
    /// Wherever the kernel puts them.
    Free,
}

/// What a value is read into or written from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Read into a `Vec<u8>`, written from a `&[u8]`.
    Owned,
    /// Read into and written from `Bytes`.
    Shared,
}

/// How a connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Without TLS.
    Plain,
    /// With a whole TLS handshake each time.
    Tls,
    /// With TLS, resuming the session before, by clients that can.
    Resumed,
}

/// What one call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// GET of an ordinary value.
    Get,
    /// SET of an ordinary value.
    Set,
    /// GET by many tasks on one client.
    Tasks {
        /// How many tasks.
        tasks: usize,
        /// Worker threads; 0 is the current-thread runtime.
        workers: usize,
    },
    /// GET by so many threads on one blocking client.
    Threads(usize),
    /// So many GETs in one pipeline.
    Pipeline(usize),
    /// LRANGE of the whole list.
    Range(Form),
    /// HGETALL of the whole hash.
    Hash,
    /// GET of a large value.
    Read {
        /// Its bytes.
        len: usize,
        /// What it is read into.
        form: Form,
    },
    /// SET of a large value.
    Write {
        /// Its bytes.
        len: usize,
        /// What it is written from.
        form: Form,
    },
    /// Hearing a batch of messages.
    Messages,
    /// GET by many tasks on one client of a cluster, on the current-thread runtime; by one, also blocking.
    Cluster {
        /// How many tasks.
        tasks: usize,
    },
    /// So many GETs in one pipeline over all slots of a cluster.
    ClusterPipeline(usize),
    /// GET by many tasks, each on a connection that it has leased for that call.
    Leases {
        /// Worker threads; 0 is the current-thread runtime.
        workers: usize,
    },
    /// Connect, authenticate, PING, close.
    Connect(Security),
    /// A transaction of GETs.
    Multi,
    /// WATCH, GET, and a transaction of one SET.
    Watch,
    /// A batch of GETs that a client-side cache has.
    CacheHit,
    /// GET that a client-side cache has not.
    CacheMiss,
}

/// Tasks that share the leases.
pub const LEASING_TASKS: usize = 256;
/// Connections that can be leased.
pub const LEASES: usize = 8;
/// GETs in one transaction.
pub const MULTI_LEN: usize = 10;
/// GETs in one batch that a cache answers: one takes less time than reading the clock.
pub const HITS: usize = 100;

/// How a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On the calling thread, without a runtime.
    Blocking,
    /// On tokio.
    Async,
}

impl Mode {
    /// As typed on the command line and printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::Async => "async",
        }
    }
}

/// Something that redwire is to reach.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// What.
    pub goal: Goal,
    /// In which mode only, if not in both.
    pub mode: Option<Mode>,
}

/// What there is to reach.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// At least so many times the rate of something else.
    Rate(Base, f64),
    /// At most so many allocations per operation.
    Allocs(f64),
    /// At the peak, beside the value itself, at most so many times its size above what was in use before.
    Memory(f64),
}

/// What a ratio is taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The loop that only counts bytes.
    Limit,
    /// The least code that shares a connection.
    MuxFloor,
    /// The fastest of the other clients.
    BestPeer,
    /// The faster of the two versions of redis-rs.
    RedisRs,
    /// redwire itself in the other mode.
    OtherMode,
}

impl Kind {
    /// The ways of waiting it is measured in.
    pub const fn modes(self) -> &'static [Mode] {
        match self {
            Self::Get | Self::Set | Self::Threads(_) => &[Mode::Blocking],
            Self::Cluster { tasks: 1 } => &[Mode::Blocking, Mode::Async],
            Self::Tasks { .. } | Self::Cluster { .. } | Self::Leases { .. } => &[Mode::Async],
            _ => &[Mode::Blocking, Mode::Async],
        }
    }

    /// Operations in one call; rates and costs are told per operation.
    pub const fn ops_per_call(self) -> u64 {
        match self {
            Self::Pipeline(gets) | Self::ClusterPipeline(gets) => gets as u64,
            Self::Messages => crate::feed::BATCH as u64,
            Self::CacheHit => HITS as u64,
            _ => 1,
        }
    }

    /// Bytes of the large value, if there is one.
    pub const fn value_len(self) -> Option<usize> {
        match self {
            Self::Read { len, .. } | Self::Write { len, .. } => Some(len),
            _ => None,
        }
    }

    /// The unit of rates, and what to multiply operations per second with to get it.
    pub fn unit(self) -> (&'static str, f64) {
        match (self, self.value_len()) {
            (_, Some(len)) => ("MB/s", len as f64 / 1e6),
            (Self::Range(_), _) => ("ops/s", 1.0),
            _ => ("k ops/s", 1e-3),
        }
    }

    /// Worker threads of the runtime; 0 is the current-thread runtime.
    pub const fn workers(self) -> usize {
        match self {
            Self::Tasks { workers, .. } | Self::Leases { workers } => workers,
            _ => 0,
        }
    }

    /// Whether it needs a cluster.
    pub const fn is_clustered(self) -> bool {
        matches!(self, Self::Cluster { .. } | Self::ClusterPipeline(_))
    }
}

/// The workload of this name.
pub fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}
