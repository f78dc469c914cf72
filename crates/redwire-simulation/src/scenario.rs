//! What a number decides: the client's options, who does what, what the network is like, and which faults
//! come how densely.
//!
//! Not every scenario has everything: some are quiet and some wild, so that what only shows where something
//! else is absent is found as well. This file must not know how a scenario is carried out.

mod set;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use redwire::config::{Config, ConfigBuilder, Protocol};

use crate::faults::{Fault, FaultKind};
use crate::link::Way;

pub(crate) use set::{PRIMARIES, SERVICE, SetOptions};

/// Which servers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One server.
    Single,
    /// A master with one or two replicas, and three sentinels.
    Sentinels,
    /// Three primaries that share the slots, with or without a replica each.
    Cluster,
}

impl Topology {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Single, Self::Sentinels, Self::Cluster];

    /// The one that a number has where no other is asked for.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let count = Self::ALL.len() as u64;
        Self::ALL[usize::try_from(seed % count).unwrap_or(0)]
    }

    /// The word for it on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Sentinels => "sentinels",
            Self::Cluster => "cluster",
        }
    }
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|topology| topology.name() == name);
        let names = Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| format!("there is no scenario {name:?}; there are: {names}"))
    }
}

/// What a task does for the length of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// `SET`, `GET`, `ECHO`.
    Strings,
    /// `INCRBY`, by a script, too.
    Counters,
    /// `RPUSH`, `LPOP`, `BLPOP`.
    Lists,
    /// All of them, many at a time.
    Pipelines,
    /// `MULTI` … `EXEC`.
    Transactions,
    /// Changes of watched keys.
    Watches,
    Publishes,
    Subscribes,
    Locks,
    Reads,
    /// Connections that are lent, used in ways that leave something behind.
    Leases,
    /// Clients that are opened, used and closed.
    Clients,
    /// All fields of a hash, or all keys of a cluster, page by page.
    Scans,
}

impl Work {
    const ALL: [Self; 13] = [
        Self::Strings,
        Self::Counters,
        Self::Lists,
        Self::Pipelines,
        Self::Transactions,
        Self::Watches,
        Self::Publishes,
        Self::Subscribes,
        Self::Locks,
        Self::Reads,
        Self::Leases,
        Self::Clients,
        Self::Scans,
    ];
}

/// One task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    /// Its number stays when others are left out.
    pub(crate) id: usize,
    pub(crate) work: Work,
    /// It pauses between calls for up to so many milliseconds.
    pub(crate) pause: u64,
    /// One of so many calls is given up half-way; 0: none.
    pub(crate) drops: u32,
}

/// The options of the client that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) resp2: bool,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) health: Duration,
    pub(crate) connections: usize,
    pub(crate) connecting: usize,
    pub(crate) min_idle: usize,
    pub(crate) max_lifetime: Duration,
    pub(crate) retries: u32,
    pub(crate) mark_every: u32,
    /// Whether there is a password, which changes when faults say so.
    pub(crate) has_password: bool,
}

/// All that a number decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) topology: Topology,
    /// What matters where there are several servers.
    pub(crate) set: SetOptions,
    /// How long tasks go on.
    pub(crate) length: Duration,
    pub(crate) options: Options,
    pub(crate) way: Way,
    /// How many keys of each kind there are.
    pub(crate) keys: u64,
    pub(crate) tasks: Vec<Task>,
    pub(crate) faults: Vec<Fault>,
}

/// How long a history is, unless it is shrunk.
const LENGTH: Duration = Duration::from_secs(10);
/// No fault lasts beyond this part of it.
const CALM: u32 = 2;

fn pick<T: Copy>(random: &mut fastrand::Rng, from: &[T]) -> T {
    from[random.usize(..from.len())]
}

fn millis(random: &mut fastrand::Rng, from: &[u64]) -> Duration {
    Duration::from_millis(pick(random, from))
}

impl Scenario {
    /// What `seed` decides.
    pub(crate) fn draw(topology: Topology, seed: u64) -> Self {
        let mut scenario = Self::draw_single(seed);
        match topology {
            Topology::Single => {}
            Topology::Sentinels => scenario.make_service(),
            Topology::Cluster => scenario.make_cluster(),
        }
        scenario
    }

    fn draw_single(seed: u64) -> Self {
        let random = &mut fastrand::Rng::with_seed(seed ^ 0x9e37_79b9_7f4a_7c15);
        let options = Options {
            resp2: random.u32(..3) == 0,
            timeout: millis(random, &[200, 500, 1_000, 2_000]),
            connect_timeout: millis(random, &[100, 300, 800]),
            health: millis(random, &[200, 400, 800]),
            connections: pick(random, &[1, 2, 4, 8]),
            connecting: pick(random, &[1, 2, 4]),
            min_idle: pick(random, &[0, 0, 0, 1]),
            max_lifetime: millis(random, &[1_000, 3_600_000, 3_600_000, 3_600_000]),
            retries: pick(random, &[0, 1, 3, 3, 3]),
            mark_every: pick(random, &[0, 0, 0, 1, 16]),
            has_password: random.u32(..3) == 0,
        };
        let way = Way {
            latency: millis(random, &[0, 0, 1, 1, 2, 5]),
            jitter: millis(random, &[0, 0, 1, 3]),
            bandwidth: pick(random, &[0, 0, 0, 2_000]),
            piece: pick(random, &[0, 0, 0, 64, 7]),
            window: pick(random, &[65_536, 65_536, 1_024]),
        };
        let works: Vec<Work> = Work::ALL.into_iter().filter(|_| random.u32(..5) < 2).collect();
        let works = if works.is_empty() { vec![pick(random, &Work::ALL)] } else { works };
        let pause = pick(random, &[50, 100, 200, 400]);
        let drops = pick(random, &[0, 0, 10, 4]);
        let tasks = (0..random.usize(1..=6))
            .map(|id| Task { id, work: pick(random, &works), pause, drops })
            .collect();
        Self {
            seed,
            topology: Topology::Single,
            set: SetOptions::default(),
            length: LENGTH,
            options,
            way,
            keys: pick(random, &[1, 2, 5]),
            tasks,
            faults: Self::draw_faults(random),
        }
    }

    fn draw_faults(random: &mut fastrand::Rng) -> Vec<Fault> {
        let share = pick(random, &[1, 2, 4, 8]);
        let kinds: Vec<usize> = (0..FaultKind::KINDS).filter(|_| random.u32(..10) < share).collect();
        if kinds.is_empty() {
            return Vec::new();
        }
        let most = pick(random, &[1, 3, 8, 20]);
        let last = u64::try_from((LENGTH / CALM).as_millis()).unwrap_or(u64::MAX);
        let lengths = pick(random, &[[1, 10, 100], [10, 100, 1_000], [300, 1_000, 3_000]]);
        let mut faults: Vec<Fault> = (0..random.usize(..=most))
            .map(|_| {
                let at = random.u64(10..last);
                let most = pick(random, &lengths);
                let lasts = random.u64(1..=most).min(last - at);
                let kind = pick(random, &kinds);
                let kind = FaultKind::draw(random, kind);
                let lasts = if kind.lies_in_wait() { last - at } else { lasts };
                Fault {
                    id: 0,
                    at: Duration::from_millis(at),
                    lasts: Duration::from_millis(lasts),
                    server: 0,
                    kind,
                }
            })
            .collect();
        number(&mut faults);
        faults
    }

    /// The configuration of a client in it.
    pub(crate) fn config(&self) -> ConfigBuilder {
        let options = &self.options;
        let config = Config::builder()
            .host(SERVER)
            .seed(self.seed)
            .protocol(if options.resp2 { Protocol::Resp2 } else { Protocol::Resp3 })
            .timeout(options.timeout)
            .connect_timeout(options.connect_timeout)
            .health_check_interval(options.health)
            .max_connections(options.connections)
            .max_connecting(options.connecting)
            .min_idle_connections(options.min_idle.min(options.connections))
            .max_lifetime(options.max_lifetime)
            .retries(options.retries)
            .mark_every(options.mark_every);
        if self.topology == Topology::Single { config } else { self.set_config(config) }
    }

    /// When the last fault is over.
    pub(crate) fn calm(&self) -> Duration {
        self.faults.iter().map(Fault::until).max().unwrap_or_default()
    }

    /// How long after the last fault everything must be well again, once the servers are.
    pub(crate) fn recovery(&self) -> Duration {
        let options = &self.options;
        // A silent peer is found by then, or by the longest deadline of those who wait for it.
        let found = (options.health * 2).max(options.timeout).max(LONGEST);
        // An attempt that hangs has to end, and the pause after it.
        let tried = options.connect_timeout + Duration::from_secs(1);
        let learnt = if self.topology == Topology::Single { Duration::ZERO } else { set::LEARNT };
        found + tried + learnt + self.slack()
    }

    /// How long what passes the network takes at most, when there are no faults.
    pub(crate) fn slack(&self) -> Duration {
        let slack = (self.way.latency + self.way.jitter) * 20 + Duration::from_millis(100);
        // With redirections.
        if self.topology == Topology::Single { slack } else { slack * 2 }
    }

    /// How long a byte is on its way at most, while nothing is held.
    pub(crate) fn travel(&self) -> Duration {
        self.faults.iter().fold(self.way.latency + self.way.jitter, |travel, fault| match fault.kind {
            FaultKind::Slow { latency, jitter } => travel + Duration::from_millis(latency + jitter),
            FaultKind::Narrow(_) | FaultKind::Window(_) => travel + Duration::from_secs(1),
            _ => travel,
        })
    }

    /// Whether one of the tasks has this work.
    pub(crate) fn has(&self, work: Work) -> bool {
        self.tasks.iter().any(|task| task.work == work)
    }

    /// Whether there are connections for all who need one of their own.
    pub(crate) fn has_room(&self) -> bool {
        let alone = |work| matches!(work, Work::Lists | Work::Watches | Work::Locks | Work::Leases);
        self.tasks.iter().filter(|task| alone(task.work)).count() < self.options.connections
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {:?}, {:?}, {} keys of a kind", self.topology, self.length, self.keys)?;
        if self.topology != Topology::Single {
            writeln!(f, "  {:?}", self.set)?;
        }
        writeln!(f, "  {:?}", self.options)?;
        writeln!(f, "  {:?}", self.way)?;
        for task in &self.tasks {
            let Task { id, work, pause, drops } = task;
            writeln!(f, "  task {id}: {work:?}, pauses up to {pause} ms, drops one of {drops}")?;
        }
        for Fault { id, at, lasts, server, kind } in &self.faults {
            writeln!(f, "  fault {id}: at {at:?} for {lasts:?}, server {server}: {kind:?}")?;
        }
        write!(f, "  all is calm from {:?} on, and well {:?} later", self.calm(), self.recovery())
    }
}

/// The name of a server that is alone.
pub(crate) const SERVER: &str = "server";

/// Puts faults into the order of their time, and numbers them.
fn number(faults: &mut [Fault]) {
    faults.sort_by_key(|fault| fault.at);
    for (id, fault) in faults.iter_mut().enumerate() {
        fault.id = id;
    }
}

/// The longest deadline that a call has of its own.
pub(crate) const LONGEST: Duration = Duration::from_secs(2);
