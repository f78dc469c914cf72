//! The workloads as data: name, what one call does, in which unit it is told, and what redwire is to
//! reach. It knows neither clients nor how a call is made.

/// One row of the plan.
#[derive(Debug)]
pub struct Workload {
    /// As typed on the command line.
    pub name: &'static str,
    /// As printed above its table.
    pub title: &'static str,
    /// What a call does.
    pub kind: Kind,
    /// What redwire is to reach with client and server on one core (for W3m: free).
    pub targets: &'static [Target],
    /// The same on two cores, where it differs.
    pub targets_two: &'static [Target],
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
    /// GET by many tasks on one client of a cluster, on the current-thread runtime.
    Cluster {
        /// How many tasks.
        tasks: usize,
    },
    /// So many GETs in one pipeline.
    Pipeline(usize),
    /// LRANGE of the whole list.
    Range,
    /// HGETALL of the whole hash.
    Hash,
    /// GET of the large value.
    BigGet,
    /// SET of the large value.
    BigSet,
    /// Hearing a batch of messages.
    Messages,
}

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

/// What redwire is to reach: at least `ratio` times the rate of `of`.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Compared with what.
    pub of: Base,
    /// How many times its rate.
    pub ratio: f64,
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
}

impl Kind {
    /// The ways of waiting it is measured in.
    pub const fn modes(self) -> &'static [Mode] {
        match self {
            Self::Get | Self::Set => &[Mode::Blocking],
            Self::Tasks { .. } | Self::Cluster { .. } => &[Mode::Async],
            _ => &[Mode::Blocking, Mode::Async],
        }
    }

    /// Operations in one call; rates and costs are told per operation.
    pub const fn ops_per_call(self) -> u64 {
        match self {
            Self::Pipeline(gets) => gets as u64,
            Self::Messages => crate::feed::BATCH as u64,
            _ => 1,
        }
    }

    /// The unit of rates, and what to multiply operations per second with to get it.
    pub const fn unit(self) -> (&'static str, f64) {
        match self {
            Self::Range => ("ops/s", 1.0),
            Self::BigGet | Self::BigSet => ("MB/s", crate::data::BIG_LEN as f64 / 1e6),
            _ => ("k ops/s", 1e-3),
        }
    }

    /// Worker threads of the runtime; 0 is the current-thread runtime.
    pub const fn workers(self) -> usize {
        match self {
            Self::Tasks { workers, .. } => workers,
            _ => 0,
        }
    }
}

/// The workload of this name.
pub fn find(name: &str) -> Option<&'static Workload> {
    ALL.iter().find(|workload| workload.name == name)
}

const fn limit(ratio: f64) -> Target {
    Target { of: Base::Limit, ratio }
}

const fn best(ratio: f64) -> Target {
    Target { of: Base::BestPeer, ratio }
}

const fn floor(ratio: f64) -> Target {
    Target { of: Base::MuxFloor, ratio }
}

const fn row(
    name: &'static str,
    title: &'static str,
    kind: Kind,
    targets: &'static [Target],
    targets_two: &'static [Target],
) -> Workload {
    Workload { name, title, kind, targets, targets_two }
}

const fn shared(tasks: usize) -> Kind {
    Kind::Tasks { tasks, workers: 0 }
}

const fn spread(tasks: usize) -> Kind {
    Kind::Tasks { tasks, workers: 2 }
}

/// All workloads, in the order of the report.
pub const ALL: &[Workload] = &[
    row("W1", "GET, depth 1", Kind::Get, &[limit(0.97)], &[]),
    row("W2", "SET, depth 1", Kind::Set, &[limit(0.97)], &[]),
    row("W3.1", "GET, 1 task", shared(1), &[best(1.15), limit(0.85)], &[]),
    row("W3.16", "GET, 16 tasks, one client", shared(16), &[best(1.6)], &[]),
    row("W3.64", "GET, 64 tasks, one client", shared(64), &[best(2.0)], &[best(1.3)]),
    row("W3.256", "GET, 256 tasks, one client", shared(256), &[best(2.2), floor(0.95)], &[best(1.2)]),
    row("W3.1024", "GET, 1024 tasks, one client", shared(1024), &[best(2.2)], &[best(1.8)]),
    row("W3m.64", "GET, 64 tasks, 2 workers", spread(64), &[best(1.4)], &[]),
    row("W3m.256", "GET, 256 tasks, 2 workers", spread(256), &[best(2.0)], &[]),
    row("W3m.1024", "GET, 1024 tasks, 2 workers", spread(1024), &[best(2.0)], &[]),
    row("W4.100", "pipeline of 100 GETs, per GET", Kind::Pipeline(100), &[best(1.4)], &[]),
    row("W4.10k", "pipeline of 10 000 GETs, per GET", Kind::Pipeline(10_000), &[best(1.8)], &[]),
    row("W5.l", "LRANGE of 10 000 x 100 B into Vec<Vec<u8>>", Kind::Range, &[best(2.5)], &[]),
    row("W5.h", "HGETALL of 1 000 fields into a HashMap", Kind::Hash, &[best(2.0)], &[]),
    row("W6.g", "GET of 1 MiB", Kind::BigGet, &[limit(0.9)], &[]),
    row("W6.s", "SET of 1 MiB", Kind::BigSet, &[limit(0.9)], &[]),
    row("W7.1", "GET from a cluster of three, 1 task", Kind::Cluster { tasks: 1 }, &[], &[]),
    row("W7.64", "GET from a cluster of three, 64 tasks, one client", Kind::Cluster { tasks: 64 }, &[], &[]),
    row(
        "W7.256",
        "GET from a cluster of three, 256 tasks, one client",
        Kind::Cluster { tasks: 256 },
        &[best(3.0)],
        &[best(1.8)],
    ),
    row("W8.p", "one subscriber, per message of 100 B", Kind::Messages, &[best(3.0)], &[]),
];
