//! Which nodes to ask for the map, and which to believe.
//!
//! A client that has a map believes one node that tells of the same cluster, as complete and as new as what
//! was seen before; nodes and seeds are asked in turn until one does. A client without a map asks several at
//! once, and believes two that agree. Where no node is beyond doubt, the larger party decides which cluster
//! it is, and in it one that thinks the cluster works and has seen the newest configuration. This file must
//! not know sockets, names or clocks: time and chance come in as arguments.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use super::slots_reply::{SlotsReply, Source, info_field};
use super::{ClusterOptions, Map, SLOTS};
use crate::cmd::Cmd;
use crate::config::HostPort;
use crate::error::{AuthenticationFault, ClusterFault, Error, ErrorKind, Outcome, Result};
use crate::pipeline::{Pipeline, Slot, TrySlot};
use crate::reply::Value;
use crate::{Run, facts};

/// What one node answers to a [`question`].
#[derive(Clone, Debug)]
pub struct NodeAnswer {
    /// The map.
    pub map: Value,
    /// `CLUSTER INFO`; empty where it is not permitted.
    pub info: String,
}

/// The places of an [`NodeAnswer`]'s parts.
pub type MapQuestion = (Slot<Value>, TrySlot<String>);

/// What each node is asked, in one write.
pub fn question(p: &Pipeline, source: Source) -> MapQuestion {
    let map = match source {
        Source::Slots => &facts::CLUSTER_SLOTS,
        Source::Shards => &facts::CLUSTER_SHARDS,
    };
    (p.run(Cmd::of(map)), p.run(Cmd::of(&facts::CLUSTER_INFO)).attempt())
}

impl From<(Value, Result<String>)> for NodeAnswer {
    fn from((map, info): (Value, Result<String>)) -> Self {
        Self { map, info: info.unwrap_or_default() }
    }
}

/// A node to ask, and by which command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which node.
    pub node: HostPort,
    /// What.
    pub source: Source,
}

/// What a refresh has found.
#[derive(Clone, Debug)]
pub struct FetchedMap {
    /// The map.
    pub map: Map,
    /// The node that told it.
    pub told_by: HostPort,
    /// The command that it answered.
    pub source: Source,
}

/// One round of asking.
///
/// Ask the nodes that [`poll_ask`](Self::poll_ask) gives, hand over what came of it, until
/// [`poll_found`](Self::poll_found) has an answer; then drop this, and the questions under way with it.
#[derive(Debug)]
pub struct Refresh {
    known: Map,
    options: ClusterOptions,
    tls: bool,
    waiting: VecDeque<Ask>,
    under_way: Vec<Ask>,
    refused: Vec<(HostPort, MapRefusal)>,
    heard: Vec<MapCandidate>,
    /// When the next may be asked; at once if there is no such time.
    next: Option<Instant>,
    /// When no more is waited for those that have not answered yet.
    grace: Option<Instant>,
}

/// A map that can be used, and what speaks for it.
#[derive(Debug)]
struct MapCandidate {
    found: FetchedMap,
    /// Whether it thinks that the cluster works.
    works: bool,
}

/// Why a node is not believed.
#[derive(Debug)]
enum MapRefusal {
    Failed(Error),
    Incomplete(String),
}

impl Refresh {
    /// How long a node is alone before the next one is asked beside it, and how long slow ones are waited for
    /// once one has answered.
    pub const DELAY: Duration = Duration::from_millis(200);

    /// How many a client without a map asks at once; and after so many answers it is decided which to
    /// believe.
    pub const ANSWERS: usize = 3;

    /// Asks for what has become of `known`, the nodes in it and the `seeds` in turn, or the seeds alone
    /// ([`dynamic_startup_nodes`](ClusterOptions::dynamic_startup_nodes)), in an order by `random`, which is
    /// uniform over all of `u64`; those that are `lost` at the end.
    #[must_use]
    pub fn new(
        known: &Map,
        seeds: &[HostPort],
        options: &ClusterOptions,
        tls: bool,
        lost: impl Fn(&HostPort) -> bool,
        random: u64,
    ) -> Self {
        let asks_nodes = options.dynamic_startup_nodes;
        let nodes =
            known.nodes().filter(|node| asks_nodes && node.is_online()).map(|node| node.address.clone());
        let (nodes, seeds) = (shuffled(nodes.collect(), random), shuffled(seeds.to_vec(), random));
        let mut refresh = Self::of(known, &nodes, &seeds, options, tls);
        // Stable: the others stay in their order.
        refresh.waiting.make_contiguous().sort_by_key(|ask| lost(&ask.node));
        refresh
    }

    /// As [`new`](Self::new), in this order.
    fn of(known: &Map, nodes: &[HostPort], seeds: &[HostPort], options: &ClusterOptions, tls: bool) -> Self {
        let mut order = Vec::new();
        let longer = nodes.len().max(seeds.len());
        // A seed soon, and for ever: when all addresses have changed, its name still leads to one of them.
        for (nth, place) in [nodes, seeds].into_iter().cycle().zip((0..longer).flat_map(|n| [n, n])) {
            if let Some(node) = nth.get(place).filter(|node| !order.contains(*node)) {
                order.push(node.clone());
            }
        }
        let source = options.source;
        Self {
            known: known.clone(),
            options: options.clone(),
            tls,
            waiting: order.into_iter().map(|node| Ask { node, source }).collect(),
            under_way: Vec::new(),
            refused: Vec::new(),
            heard: Vec::new(),
            next: None,
            grace: None,
        }
    }

    /// The next node to ask, if it is time to.
    pub fn poll_ask(&mut self, now: Instant) -> Option<Ask> {
        if self.is_decided(now) || self.next.is_some_and(|next| now < next) {
            return None;
        }
        let ask = self.waiting.pop_front()?;
        self.under_way.push(ask.clone());
        if !self.heard.is_empty() {
            self.grace = Some(now + Self::DELAY);
        }
        // Without a map several are asked at once.
        let at_once =
            self.is_first() && self.under_way.len() + self.refused.len() + self.heard.len() < Self::ANSWERS;
        self.next = (!at_once).then_some(now + Self::DELAY);
        Some(ask)
    }

    /// When [`poll_ask`](Self::poll_ask) or [`poll_found`](Self::poll_found) has something, if no answer
    /// comes before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let next = self.next.filter(|_| !self.waiting.is_empty());
        let grace = self.grace.filter(|_| self.is_first() || self.waiting.is_empty());
        next.into_iter().chain(grace).min()
    }

    /// What became of asking.
    pub fn handle_answer(&mut self, ask: &Ask, answer: Result<NodeAnswer>, now: Instant) {
        let Some(place) = self.under_way.iter().position(|other| other == ask) else { return };
        let Ask { node, source } = self.under_way.remove(place);
        match self.judge(&node, source, answer) {
            Ok(candidate) => {
                self.heard.push(candidate);
                self.grace.get_or_insert(now + Self::DELAY);
            }
            Err(MapRefusal::Failed(error)) if source == Source::Shards && is_refused(&error) => {
                self.waiting.push_front(Ask { node, source: Source::Slots });
                self.next = None;
            }
            Err(refusal) => self.refused.push((node, refusal)),
        }
        if self.under_way.is_empty() {
            self.next = None;
        }
    }

    fn judge(
        &self,
        node: &HostPort,
        source: Source,
        answer: Result<NodeAnswer>,
    ) -> Result<MapCandidate, MapRefusal> {
        let answer = answer.map_err(MapRefusal::Failed)?;
        let hearing = SlotsReply { asked: node, tls: self.tls, remap: &self.options.remap };
        let map = hearing.read(source, &answer.map).map_err(MapRefusal::Failed)?;
        let info = |name| info_field(&answer.info, name);
        let state = info("cluster_state");
        let assigned = info("cluster_slots_assigned").and_then(|slots| slots.parse::<u16>().ok());
        // A node that misses slots itself says "ok" only if it serves the others all the same
        // (`cluster-require-full-coverage no`).
        let serves_others = state == Some("ok") && assigned.is_some_and(|assigned| assigned < SLOTS);
        let is_enough = map.is_complete() || !self.options.require_full_coverage || serves_others;
        if map.covered() == 0 || !is_enough {
            return Err(MapRefusal::Incomplete(missing(&map)));
        }
        let epoch = info("cluster_current_epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default();
        let works = state.is_none_or(|state| state == "ok");
        Ok(MapCandidate {
            found: FetchedMap { map: map.with_epoch(epoch), told_by: node.clone(), source },
            works,
        })
    }

    fn is_first(&self) -> bool {
        self.known.shards().is_empty()
    }

    /// Whether this one needs no other beside it.
    fn is_enough_alone(&self, candidate: &MapCandidate) -> bool {
        let map = &candidate.found.map;
        candidate.works && map.epoch() >= self.known.epoch() && map.is_related(&self.known)
    }

    /// Whether it is certain by now which node is believed.
    fn is_decided(&self, now: Instant) -> bool {
        let agreed = |candidate: &MapCandidate| {
            let same = self.heard.iter().filter(|other| other.found.map.agrees(&candidate.found.map));
            candidate.works && same.count() >= 2
        };
        let sound = |candidate: &MapCandidate| match self.is_first() {
            true => agreed(candidate),
            false => self.is_enough_alone(candidate),
        };
        let exhausted = self.waiting.is_empty() && self.under_way.is_empty();
        let late =
            self.grace.is_some_and(|grace| grace <= now) && (self.is_first() || self.waiting.is_empty());
        self.heard.len() >= Self::ANSWERS || exhausted || late || self.heard.iter().any(sound)
    }

    /// The map, or why no node tells one, once that is certain.
    ///
    /// # Errors
    /// - [`ClusterFault::NotACluster`]: every server that answered is none.
    /// - [`ClusterFault::Unreachable`]: none answered.
    /// - [`ClusterFault::NoMap`]: none told a map that can be used.
    /// - [`ErrorKind::Authentication`]: all refused for the same reason.
    pub fn poll_found(&mut self, now: Instant) -> Option<Result<FetchedMap>> {
        if !self.is_decided(now) {
            return None;
        }
        let best = (0..self.heard.len()).max_by_key(|place| {
            // Of equals the first that answered.
            (self.weight(&self.heard[*place]), std::cmp::Reverse(*place))
        });
        Some(best.map_or_else(|| Err(self.failure()), |place| Ok(self.heard[place].found.clone())))
    }

    /// What speaks for a witness, the strongest first.
    fn weight(&self, candidate: &MapCandidate) -> (bool, usize, bool, bool, u64, usize, usize) {
        let map = &candidate.found.map;
        let party = self.heard.iter().filter(|other| other.found.map.is_related(map)).count();
        let agreed = self.heard.iter().filter(|other| other.found.map.agrees(map)).count();
        let related = map.is_related(&self.known);
        (self.is_enough_alone(candidate), party, related, candidate.works, map.epoch(), agreed, map.covered())
    }

    #[cold]
    fn failure(&self) -> Error {
        let failed = || self.refused.iter().filter_map(|(_, refusal)| refusal.error());
        let none_is =
            |kind: ClusterFault| failed().filter(|error| error.kind() == ErrorKind::Cluster(kind)).count();
        let answered = |error: &Error| matches!(error.outcome(), Outcome::Rejected | Outcome::Unreadable);
        let answers = self.refused.len() - failed().filter(|error| !answered(error)).count();
        let (fault, told) = match answers {
            0 => (ClusterFault::Unreachable, "can be asked for the map of the cluster"),
            all if all == none_is(ClusterFault::NotACluster) => {
                (ClusterFault::NotACluster, "is part of a cluster")
            }
            _ => (ClusterFault::NoMap, "tells a map of the cluster that can be used"),
        };
        let mut message = format!("none of {} nodes {told}", self.refused.len());
        for (n, (node, refusal)) in self.refused.iter().enumerate() {
            let between = if n == 0 { ": " } else { "; " };
            // Writing to a string cannot fail.
            let _ = write!(message, "{between}{node} ({refusal})");
        }
        // Where all say that they do not know this user, that is what is wrong.
        let kind = match failed().next().map(Error::kind) {
            Some(kind @ ErrorKind::Authentication(_))
                if failed().filter(|error| error.kind() == kind).count() == self.refused.len() =>
            {
                kind
            }
            _ => ErrorKind::Cluster(fault),
        };
        let error = Error::new(kind, Outcome::NotSent, message);
        match failed().next() {
            Some(cause) => error.with_source(cause.clone()),
            None => error,
        }
    }
}

impl MapRefusal {
    fn error(&self) -> Option<&Error> {
        if let Self::Failed(error) = self { Some(error) } else { None }
    }
}

impl fmt::Display for MapRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => f.write_str(error.message()),
            Self::Incomplete(missing) => write!(f, "knows no node for the slots {missing}"),
        }
    }
}

/// Whether the server said, in whatever words, that it has no such command, or not for this user.
fn is_refused(error: &Error) -> bool {
    let unfit = matches!(
        error.kind(),
        ErrorKind::Response | ErrorKind::Authentication(AuthenticationFault::NoPermission)
    );
    error.outcome() == Outcome::Rejected && unfit
}

/// The slots without a node, for people.
fn missing(map: &Map) -> String {
    let mut ranges: Vec<_> =
        map.missing().map(|range| format!("{}-{}", range.start(), range.end())).collect();
    if ranges.len() > 4 {
        let more = ranges.len() - 4;
        ranges.truncate(4);
        ranges.push(format!("and {more} more ranges"));
    }
    ranges.join(", ")
}

/// In an order by chance: Fisher and Yates, with numbers by xorshift.
fn shuffled(mut nodes: Vec<HostPort>, random: u64) -> Vec<HostPort> {
    let mut state = random | 1;
    for last in (1..nodes.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        nodes.swap(last, (state % (last as u64 + 1)) as usize);
    }
    nodes
}

#[cfg(test)]
mod tests;
