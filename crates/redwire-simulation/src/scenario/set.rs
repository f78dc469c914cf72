//! What a number decides beyond that where there are several servers.
//!
//! It is drawn from chance of its own, so that numbers of one server go on meaning what they did.

use std::time::Duration;

use redwire::cluster::{ReadStrategy, Source};
use redwire::config::{ConfigBuilder, Deployment, HostPort};

use super::{Fault, FaultKind, Scenario, Topology, Work, millis, number, pick};

/// Masters of a cluster.
pub(crate) const PRIMARIES: usize = 3;

/// How many there are, and what they call their service.
pub(crate) const SENTINELS: usize = 3;
pub(crate) const SERVICE: &str = "orders";

/// How long a client takes at most to learn how a set of servers is now, once it is asked to.
pub(super) const LEARNT: Duration = Duration::from_secs(3);

/// How long a history of several servers is: a failover takes its time.
const LENGTH: Duration = Duration::from_secs(16);

/// What matters where there are several servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetOptions {
    /// Of each primary.
    pub(crate) replicas: usize,
    /// After which silence a node is doubted by the others.
    pub(crate) node_timeout: Duration,
    /// How long what servers tell each other is on its way.
    pub(crate) distance: Duration,
    /// How many of the servers the client is told of.
    pub(crate) seeds: usize,
    pub(crate) reads: ReadStrategy,
    pub(crate) refresh_interval: Duration,
    pub(crate) refresh_after_moved: u32,
    pub(crate) by_shards: bool,
    pub(crate) min_other_sentinels: u32,
}

impl Default for SetOptions {
    fn default() -> Self {
        Self {
            replicas: 0,
            node_timeout: Duration::from_secs(1),
            distance: Duration::ZERO,
            seeds: 1,
            reads: ReadStrategy::Primary,
            refresh_interval: Duration::from_secs(60),
            refresh_after_moved: 5,
            by_shards: false,
            min_other_sentinels: 0,
        }
    }
}

impl Scenario {
    /// Which server has which address.
    pub(crate) fn address(&self, server: usize) -> (String, u16) {
        match self.topology {
            Topology::Single => (super::SERVER.to_owned(), 6379),
            Topology::Sentinels if self.is_sentinel(server) => (format!("10.0.1.{server}"), 26_379),
            Topology::Sentinels | Topology::Cluster => (format!("10.0.1.{server}"), 6379),
        }
    }

    /// How many servers there are.
    pub(crate) fn servers(&self) -> usize {
        match self.topology {
            Topology::Single => 1,
            Topology::Sentinels => self.data_servers() + SENTINELS,
            Topology::Cluster => PRIMARIES * (1 + self.set.replicas),
        }
    }

    /// How many servers have data: the first ones.
    pub(crate) fn data_servers(&self) -> usize {
        match self.topology {
            Topology::Sentinels => 1 + self.set.replicas,
            _ => self.servers(),
        }
    }

    /// Whether a server is a sentinel.
    pub(crate) fn is_sentinel(&self, server: usize) -> bool {
        server >= self.data_servers()
    }

    /// Turns it into the scenario of a service with sentinels.
    pub(super) fn make_service(&mut self) {
        let random = &mut fastrand::Rng::with_seed(self.seed ^ 0x2545_f491_4f6c_dd1d);
        self.topology = Topology::Sentinels;
        self.length = LENGTH;
        self.set = SetOptions {
            replicas: random.usize(1..=2),
            distance: millis(random, &[0, 1, 5, 30]),
            seeds: random.usize(1..=SENTINELS),
            min_other_sentinels: pick(random, &[0, 0, 1, 2]),
            ..SetOptions::default()
        };
        self.spread_faults(random, &[1, 1, 2, 4]);
    }

    /// Turns it into the scenario of a cluster.
    pub(super) fn make_cluster(&mut self) {
        let random = &mut fastrand::Rng::with_seed(self.seed ^ 0x5bd1_e995_7f4a_7c15);
        self.topology = Topology::Cluster;
        self.length = LENGTH;
        self.keys = pick(random, &[1, 3, 8]);
        let strategies = [
            ReadStrategy::Primary,
            ReadStrategy::Primary,
            ReadStrategy::RoundRobin,
            ReadStrategy::ReplicaPreferred,
        ];
        self.set = SetOptions {
            replicas: pick(random, &[0, 1, 1]),
            node_timeout: millis(random, &[500, 800]),
            distance: millis(random, &[0, 1, 5, 30]),
            seeds: random.usize(1..=PRIMARIES),
            reads: pick(random, &strategies),
            refresh_interval: millis(random, &[1_000, 60_000, 60_000]),
            refresh_after_moved: pick(random, &[0, 1, 5, 5]),
            by_shards: random.u32(..4) == 0,
            ..SetOptions::default()
        };
        for task in &mut self.tasks {
            // A cluster has no pool whose connections lead to one server.
            if task.work == Work::Leases {
                task.work = Work::Pipelines;
            }
        }
        if random.u32(..6) == 0 {
            self.only_move_slots(random);
        } else {
            self.spread_faults(random, &[0, 1, 2, 6]);
        }
    }

    /// Nothing goes wrong, but slots move.
    fn only_move_slots(&mut self, random: &mut fastrand::Rng) {
        let moves = (0..random.usize(1..=6)).map(|_| {
            let (at, lasts) = times(random, 3_000);
            Fault { id: 0, at, lasts, server: 0, kind: FaultKind::draw_move(random) }
        });
        self.faults = moves.collect();
        number(&mut self.faults);
    }

    /// Whether nothing is wrong but that slots move.
    pub(crate) fn only_moves_slots(&self) -> bool {
        self.faults.iter().all(|fault| matches!(fault.kind, FaultKind::Move { .. }))
    }

    /// Has each fault befall one of the servers, and adds some that only several can have.
    fn spread_faults(&mut self, random: &mut fastrand::Rng, most: &[usize]) {
        let servers = self.servers();
        for fault in &mut self.faults {
            fault.server = random.usize(..servers);
        }
        let most = pick(random, most);
        for _ in 0..random.usize(0..=most) {
            let kind = match self.topology {
                Topology::Cluster => FaultKind::draw_of_cluster(random),
                _ => FaultKind::draw_of_service(random),
            };
            // What is to be noticed by the other servers lasts for longer than they are patient.
            let (at, lasts) = times(random, 4_000);
            // The first is a master.
            let server = if random.bool() { 0 } else { random.usize(..servers) };
            self.faults.push(Fault { id: 0, at, lasts, server, kind });
        }
        number(&mut self.faults);
    }

    /// The part of the configuration that names the servers.
    pub(super) fn set_config(&self, config: ConfigBuilder) -> ConfigBuilder {
        let is_cluster = self.topology == Topology::Cluster;
        let first = if is_cluster { 0 } else { self.data_servers() };
        let told = first..first + self.set.seeds;
        let nodes = told.map(|server| HostPort::from(self.address(server))).collect();
        if !is_cluster {
            let service = SERVICE.to_owned();
            return config
                .deployment(Deployment::Sentinel { nodes, service })
                .min_other_sentinels(self.set.min_other_sentinels)
                .sentinel_timeout(self.options.connect_timeout);
        }
        config
            .deployment(Deployment::Cluster { nodes })
            .read_strategy(self.set.reads)
            .refresh_interval(self.set.refresh_interval)
            .refresh_after_moved(self.set.refresh_after_moved)
            .map_source(if self.set.by_shards { Source::Shards } else { Source::Slots })
    }
}

/// When a fault begins, before so many milliseconds, and for how long it lasts.
fn times(random: &mut fastrand::Rng, latest: u64) -> (Duration, Duration) {
    let (at, lasts) = (random.u64(10..latest), random.u64(50..3_000));
    (Duration::from_millis(at), Duration::from_millis(lasts))
}
