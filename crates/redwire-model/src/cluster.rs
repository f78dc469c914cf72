//! What one node of a cluster knows of the others, and which slots it believes are whose.
//!
//! Each node has its own belief, which may be old. This file must not know how nodes hear of each other
//! (`bus.rs`), nor what a client is told (`redirect.rs`).

mod bus;
mod election;
mod migrate;
mod redirect;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

pub use bus::Message;
pub(crate) use migrate::{Migration, Wanted, send};

use crate::model::Model;

/// How many slots there are.
pub(crate) const SLOTS: u16 = 16_384;

/// A node of a cluster, as a test names it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its 40 hexadecimal characters.
    pub id: String,
    /// Where clients reach it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The id of its master, if it is a replica.
    pub master: Option<String>,
}

impl Node {
    /// A master.
    pub fn new(id: impl Into<String>, host: impl Into<String>, port: u16) -> Self {
        Self { id: id.into(), host: host.into(), port, master: None }
    }

    /// A replica of the node with this id.
    #[must_use]
    pub fn replica_of(mut self, master: impl Into<String>) -> Self {
        self.master = Some(master.into());
        self
    }
}

/// A node as another knows it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) node: Node,
    /// Of the slots it has.
    pub(crate) epoch: u64,
    /// When it was last heard.
    pub(crate) heard: Duration,
    /// A majority of masters says that it is down.
    pub(crate) failed: bool,
    /// Who says that it may be down, and since when.
    pub(crate) doubts: BTreeMap<usize, Duration>,
    pub(crate) offset: u64,
    /// Its last claim that changed nothing, so that it need not be looked at again.
    pub(crate) told: Option<Told>,
}

/// The version of the belief that a claim changed nothing of, its epoch and its slots.
type Told = (u64, u64, Vec<(u16, u16)>);

/// What follows from who has which slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    voters: Vec<usize>,
    ranges: Vec<Vec<(u16, u16)>>,
    complete: bool,
    pub(crate) version: u64,
}

/// The belief of one node.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    /// All nodes; the first is the node itself.
    pub(crate) nodes: Vec<Known>,
    /// Whose each slot is.
    pub(crate) owners: Vec<Option<usize>>,
    pub(crate) shape: Shape,
    pub(crate) epoch: u64,
    /// Slots on their way to another node, and from one.
    pub(crate) migrating: BTreeMap<u16, usize>,
    pub(crate) importing: BTreeMap<u16, usize>,
    /// Slots that an owner does not claim any more, which is still known as such: any other that claims one
    /// has it, however old its epoch.
    pub(crate) unclaimed: BTreeMap<u16, usize>,
    pub(crate) node_timeout: Duration,
    pub(crate) next_tick: Duration,
    pub(crate) voted: u64,
    pub(crate) election: Option<election::Election>,
    pub(crate) messages: Vec<(String, Message)>,
    pub(crate) migration: Option<Migration>,
}

impl Known {
    fn new(node: Node, epoch: u64, now: Duration) -> Self {
        let (failed, doubts, offset, told) = (false, BTreeMap::new(), 0, None);
        Self { node, epoch, heard: now, failed, doubts, offset, told }
    }
}

impl Cluster {
    pub(crate) fn me(&self) -> &Known {
        &self.nodes[0]
    }

    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.nodes.iter().position(|known| known.node.id == id)
    }

    /// Whose slots a node serves: its own, or its master's.
    pub(crate) fn master_of(&self, at: usize) -> usize {
        self.nodes[at].node.master.as_ref().and_then(|id| self.find(id)).unwrap_or(at)
    }

    /// The slots of a node, as ranges.
    pub(crate) fn ranges(&self, at: usize) -> Vec<(u16, u16)> {
        self.shape.ranges.get(at).cloned().unwrap_or_default()
    }

    /// The masters that have slots.
    pub(crate) fn voters(&self) -> &[usize] {
        &self.shape.voters
    }

    /// Slots have another owner: what is known of all of them is worked out anew.
    pub(crate) fn owners_changed(&mut self) {
        let mut ranges: Vec<Vec<(u16, u16)>> = vec![Vec::new(); self.nodes.len()];
        for (slot, owner) in (0..SLOTS).zip(&self.owners) {
            let Some(ranges) = owner.and_then(|at| ranges.get_mut(at)) else { continue };
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        let voters = (0..ranges.len()).filter(|at| !ranges[*at].is_empty()).collect();
        let complete = self.owners.iter().all(Option::is_some);
        self.shape = Shape { voters, ranges, complete, version: self.shape.version + 1 };
    }

    /// Whether all slots are served, by nodes that are up, and a majority of masters is seen.
    pub(crate) fn is_ok(&self, now: Duration) -> bool {
        let voters = self.voters();
        let served = self.shape.complete && !voters.iter().any(|at| self.nodes[*at].failed);
        let seen = voters.iter().filter(|at| self.is_seen(**at, now)).count();
        served && seen * 2 > voters.len()
    }

    /// Whether a node was heard lately.
    pub(crate) fn is_seen(&self, at: usize, now: Duration) -> bool {
        at == 0 || now.saturating_sub(self.nodes[at].heard) <= self.node_timeout
    }

    /// Takes an epoch that is higher than all it knows, so that all believe what it says of its slots.
    pub(crate) fn bump_epoch(&mut self) {
        self.epoch += 1;
        self.nodes[0].epoch = self.epoch;
    }

    pub(crate) fn send(&mut self, to: usize, message: Message) {
        self.messages.push((self.nodes[to].node.id.clone(), message));
    }

    /// The replicas of a node, as this one knows them.
    pub(crate) fn replicas(&self, of: usize) -> Vec<usize> {
        let id = Some(&self.nodes[of].node.id);
        (0..self.nodes.len()).filter(|at| self.nodes[*at].node.master.as_ref() == id).collect()
    }
}

impl Model {
    /// Makes it a node of a cluster, the first of `nodes`. `slots` says which node has which slots, by id;
    /// the epoch of each master is its place among the nodes. `node_timeout` is after which silence a node is
    /// doubted.
    ///
    /// From now on it has messages for the others ([`take_messages`](Self::take_messages)), and wants to be
    /// called in time ([`next_timeout`](Self::next_timeout)).
    pub fn join_cluster(
        &mut self,
        nodes: &[Node],
        slots: &[(&str, u16, u16)],
        node_timeout: Duration,
        now: Duration,
    ) {
        let mut ids: Vec<&String> = nodes.iter().map(|node| &node.id).collect();
        ids.sort();
        let place = |id: &String| ids.iter().position(|other| *other == id).unwrap_or(0);
        let epoch = |node: &Node| u64::try_from(place(&node.id) + 1).unwrap_or(1);
        let known = nodes.iter().map(|node| Known::new(node.clone(), epoch(node), now));
        let mut cluster = Cluster {
            nodes: known.collect(),
            owners: vec![None; usize::from(SLOTS)],
            shape: Shape::default(),
            epoch: u64::try_from(nodes.len()).unwrap_or(1),
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
            unclaimed: BTreeMap::new(),
            node_timeout,
            next_tick: now,
            voted: 0,
            election: None,
            messages: Vec::new(),
            migration: None,
        };
        for (id, first, last) in slots {
            let owner = cluster.find(id);
            for slot in *first..=(*last).min(SLOTS - 1) {
                cluster.owners[usize::from(slot)] = owner;
            }
        }
        cluster.owners_changed();
        self.cluster = Some(cluster);
        self.follow_own_master();
        self.handle_timeout(now);
    }

    /// Lets replication go where the cluster says.
    pub(crate) fn follow_own_master(&mut self) {
        let Some(cluster) = &self.cluster else { return };
        let master = cluster.master_of(0);
        let address = (master != 0).then(|| {
            let node = &cluster.nodes[master].node;
            (node.host.clone(), node.port)
        });
        if self.replication.master != address {
            self.turn_to(address.as_ref().map(|(host, port)| (host.as_str(), *port)));
        }
    }
}

/// The slot of a key: of what stands in braces, if there is something.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    let open = key.iter().position(|byte| *byte == b'{');
    let tag = open.and_then(|open| {
        let len = key[open + 1..].iter().position(|byte| *byte == b'}')?;
        (len > 0).then(|| &key[open + 1..open + 1 + len])
    });
    let mut crc = 0_u16;
    for byte in tag.unwrap_or(key) {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
    }
    crc % SLOTS
}
