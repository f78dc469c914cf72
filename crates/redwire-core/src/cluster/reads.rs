//! Which node of a shard answers a command that only reads.
//!
//! Promises a node of the shard in any case, the primary if there is no better. This file must not know
//! connections; figures and time are told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::promotion_probe::is_unheard;
use super::slots_reply::info_field;
use super::{Node, Shard};
use crate::config::HostPort;
use crate::error::{Error, ErrorKind, Outcome};

/// Which node is asked for what only reads. A replica may be behind its primary: what was just written may
/// not be there yet.
#[doc(alias = "LoadBalancingStrategy")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadStrategy {
    /// The primary.
    #[default]
    Primary,
    /// The primary and its replicas in turn.
    RoundRobin,
    /// The replicas in turn, and the primary while there is none.
    ReplicaPreferred,
    /// The one that answered fastest of late; each in turn while its latency is not known.
    LowestLatency,
    /// Those in the zone of this client in turn, replicas or primary; where there are none, as
    /// [`ReplicaPreferred`](Self::ReplicaPreferred).
    SameZone,
}

/// The nodes that answer reads, and what is known of them. Connections to replicas must have been told
/// `READONLY`.
///
/// A node that could not answer is left out for [`PASSED_OVER`](Self::PASSED_OVER).
#[derive(Debug, Default)]
pub struct Readers {
    strategy: ReadStrategy,
    /// Where this client is.
    zone: Option<String>,
    turn: usize,
    latencies: HashMap<HostPort, Duration>,
    zones: HashMap<HostPort, String>,
    passed_over: HashMap<HostPort, Instant>,
}

/// Whether `error`, which ended a call, says that its server cannot answer now: it was not heard, loads its
/// data, or has lost its primary. What a script makes up says nothing about its server.
#[must_use]
pub fn cannot_answer(error: &Error) -> bool {
    is_unheard(error)
        || (matches!(error.kind(), ErrorKind::Busy | ErrorKind::Cluster(_))
            && error.outcome() != Outcome::MaybeExecuted)
}

impl Readers {
    /// How long a node is left out that could not answer.
    pub const PASSED_OVER: Duration = Duration::from_secs(1);

    /// By `strategy`, for a client in `zone`, which only [`ReadStrategy::SameZone`] looks at.
    #[must_use]
    pub fn new(strategy: ReadStrategy, zone: Option<String>) -> Self {
        Self { strategy, zone, ..Self::default() }
    }

    /// The node answered after this time. What counts is a mean in which the newest weighs an eighth.
    pub fn handle_latency(&mut self, node: &HostPort, latency: Duration) {
        self.passed_over.remove(node);
        let mean = self.latencies.entry(node.clone()).or_insert(latency);
        *mean = (*mean * 7 + latency) / 8;
    }

    /// Whether the node is to be asked (`INFO server`) for its zone, which neither the map nor itself has
    /// told yet.
    #[must_use]
    pub fn wants_zone(&self, node: &Node) -> bool {
        self.strategy == ReadStrategy::SameZone
            && node.zone.is_none()
            && !self.zones.contains_key(&node.address)
    }

    /// The node answered `INFO server`. Where it tells no zone, it has none.
    pub fn handle_info(&mut self, node: &HostPort, info: &str) {
        let zone = info_field(info, "availability_zone").unwrap_or_default();
        self.zones.insert(node.clone(), zone.to_owned());
    }

    /// The node could not be reached, or has no data to answer from.
    pub fn handle_failure(&mut self, node: &HostPort, now: Instant) {
        self.passed_over.insert(node.clone(), now + Self::PASSED_OVER);
    }

    /// Forgets all about nodes that `is_known` does not hold for: those that have left the map.
    pub fn retain(&mut self, is_known: impl Fn(&HostPort) -> bool) {
        self.latencies.retain(|node, _| is_known(node));
        self.zones.retain(|node, _| is_known(node));
        self.passed_over.retain(|node, _| is_known(node));
    }

    /// The node of `shard` that is to answer now.
    pub fn choose<'a>(&mut self, shard: &'a Shard, now: Instant) -> &'a HostPort {
        let primary = &shard.primary.address;
        if self.strategy == ReadStrategy::Primary {
            return primary;
        }
        let is_passed_over =
            |node: &Node| self.passed_over.get(&node.address).is_some_and(|until| now < *until);
        let all: Vec<&Node> = shard
            .nodes()
            .map(|node| &**node)
            .filter(|node| node.is_online() && !is_passed_over(node))
            .collect();
        let replicas = || all.iter().copied().filter(|node| node.address != *primary).collect::<Vec<_>>();
        let eligible = match self.strategy {
            ReadStrategy::Primary | ReadStrategy::RoundRobin => all,
            ReadStrategy::ReplicaPreferred => replicas(),
            ReadStrategy::LowestLatency => self.fastest(&all),
            ReadStrategy::SameZone => {
                let near = all.iter().copied().filter(|node| self.is_near(node)).collect::<Vec<_>>();
                if near.is_empty() { replicas() } else { near }
            }
        };
        self.turn = self.turn.wrapping_add(1);
        match eligible.len() {
            0 => primary,
            count => &eligible[self.turn % count].address,
        }
    }

    /// Those whose latency is not known, else the one with the lowest.
    fn fastest<'a>(&self, all: &[&'a Node]) -> Vec<&'a Node> {
        let new: Vec<_> =
            all.iter().copied().filter(|node| !self.latencies.contains_key(&node.address)).collect();
        if !new.is_empty() {
            return new;
        }
        all.iter().copied().min_by_key(|node| self.latencies.get(&node.address)).into_iter().collect()
    }

    fn is_near(&self, node: &Node) -> bool {
        let zone = node.zone.as_ref().or_else(|| self.zones.get(&node.address));
        zone.is_some() && zone == self.zone.as_ref()
    }
}
