//! Which node serves which slot: a snapshot that never changes.
//!
//! What is learnt makes another snapshot, which takes this one's place whole; shards and nodes that stayed
//! are shared by both. This file must not know how a map is told.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::SLOTS;
use crate::config::HostPort;

/// The slots of a cluster and the shards that serve them.
#[derive(Clone, Debug)]
pub struct Map {
    shards: Vec<Arc<Shard>>,
    /// For every slot the place of its shard, or [`NO_SHARD`].
    owners: Vec<u16>,
    epoch: u64,
}

const NO_SHARD: u16 = u16::MAX;

/// Nodes that hold the same slots: one that is written to, and those that follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shard {
    /// The node that takes writes.
    pub primary: Arc<Node>,
    /// The nodes that repeat what it does, those that are down included where the cluster tells of them.
    pub replicas: Vec<Arc<Node>>,
}

/// One server of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Its name in the cluster, 40 letters; empty where only a redirection told of it.
    pub id: String,
    /// Where it is reached, after the remap.
    pub address: HostPort,
    /// The host name it announces, if it does.
    pub host_name: Option<String>,
    /// Where it stands (`availability-zone`), if the cluster tells.
    pub zone: Option<String>,
    /// How it is.
    pub health: NodeHealth,
}

/// How a node is, by the word of the one that was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NodeHealth {
    /// It serves. Assumed where nothing is told: `CLUSTER SLOTS` leaves replicas out that are down.
    #[default]
    Online,
    /// It loads its data.
    Loading,
    /// It is down.
    Failed,
}

impl Node {
    pub(super) fn at(address: HostPort) -> Self {
        Self { id: String::new(), address, host_name: None, zone: None, health: NodeHealth::Online }
    }

    /// Whether it serves.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.health == NodeHealth::Online
    }
}

impl Shard {
    /// The primary first.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        std::iter::once(&self.primary).chain(&self.replicas)
    }

    fn has(&self, address: &HostPort) -> bool {
        self.nodes().any(|node| node.address == *address)
    }
}

impl Default for Map {
    /// No node serves anything.
    fn default() -> Self {
        Self { shards: Vec::new(), owners: vec![NO_SHARD; usize::from(SLOTS)], epoch: 0 }
    }
}

impl Map {
    /// Of shards, each with ranges of its slots. A slot that is told twice is the first one's, unless only
    /// the other is online.
    pub(super) fn of(told: impl IntoIterator<Item = (Shard, Vec<RangeInclusive<u16>>)>) -> Self {
        let mut map = Self::default();
        for (shard, ranges) in told {
            let place = map.join(shard);
            for slot in ranges.into_iter().flatten() {
                let owner = map.owners[usize::from(slot)];
                let online = |place: u16| map.shards[usize::from(place)].primary.is_online();
                if owner == NO_SHARD || (!online(owner) && online(place)) {
                    map.owners[usize::from(slot)] = place;
                }
            }
        }
        map
    }

    /// The place of `shard`, which may be told once for each of its ranges.
    fn join(&mut self, shard: Shard) -> u16 {
        let known = self.shards.iter().position(|known| known.primary.address == shard.primary.address);
        let place = known.unwrap_or(self.shards.len());
        match known {
            Some(place) => {
                let known = Arc::make_mut(&mut self.shards[place]);
                let news = shard.replicas.into_iter();
                let news: Vec<_> = news.filter(|node| !known.has(&node.address)).collect();
                known.replicas.extend(news);
            }
            None => self.shards.push(Arc::new(shard)),
        }
        // There are no more shards than nodes, and a cluster has a thousand of those at most.
        place as u16
    }

    pub(super) fn with_epoch(mut self, epoch: u64) -> Self {
        self.epoch = epoch;
        self
    }

    /// The number of the configuration, as the node knew it that told; 0 where none did.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// All shards, also those without a slot.
    #[must_use]
    pub fn shards(&self) -> &[Arc<Shard>] {
        &self.shards
    }

    /// The place among the [`shards`](Self::shards) of the one that serves `slot`.
    #[inline]
    #[must_use]
    pub fn place(&self, slot: u16) -> Option<usize> {
        self.owners
            .get(usize::from(slot))
            .filter(|owner| **owner != NO_SHARD)
            .map(|owner| usize::from(*owner))
    }

    /// The shard that serves `slot`.
    #[inline]
    #[must_use]
    pub fn shard(&self, slot: u16) -> Option<&Arc<Shard>> {
        self.shards.get(self.place(slot)?)
    }

    /// Where `slot` is written.
    #[doc(alias = "get_master_node_by_slot")]
    #[inline]
    #[must_use]
    pub fn primary(&self, slot: u16) -> Option<&HostPort> {
        self.shard(slot).map(|shard| &shard.primary.address)
    }

    /// Every node, shard by shard, its primary first.
    #[doc(alias = "all_nodes")]
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.shards.iter().flat_map(|shard| shard.nodes())
    }

    /// The node at `address`.
    #[must_use]
    pub fn node(&self, address: &HostPort) -> Option<&Arc<Node>> {
        self.nodes().find(|node| node.address == *address)
    }

    /// Whether the node at `address` is a primary.
    #[doc(alias = "server_type")]
    #[must_use]
    pub fn is_primary(&self, address: &HostPort) -> bool {
        self.shards.iter().any(|shard| shard.primary.address == *address)
    }

    /// The slots in ranges, in order, each with the shard that serves it, or `None` where none does.
    pub fn ranges(&self) -> impl Iterator<Item = (RangeInclusive<u16>, Option<&Arc<Shard>>)> {
        let mut start = 0;
        self.owners.chunk_by(|one, other| one == other).map(move |run| {
            // A run is never empty, and all runs together have as many slots as a cluster.
            let first = start;
            start += run.len() as u16;
            (first..=start - 1, self.shards.get(usize::from(run[0])))
        })
    }

    /// The first slot of every shard that has slots.
    pub(super) fn first_slots(&self) -> impl Iterator<Item = u16> {
        (0..self.shards.len())
            .filter_map(|shard| self.owners.iter().position(|owner| usize::from(*owner) == shard))
            .map(|slot| slot as u16)
    }

    /// The slots that no node serves.
    pub fn missing(&self) -> impl Iterator<Item = RangeInclusive<u16>> {
        self.ranges().filter(|(_, shard)| shard.is_none()).map(|(range, _)| range)
    }

    /// Whether every slot is served.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.owners.contains(&NO_SHARD)
    }

    /// How many slots are served.
    #[must_use]
    pub fn covered(&self) -> usize {
        self.owners.iter().filter(|owner| **owner != NO_SHARD).count()
    }

    /// Whether both have the same primary for every slot.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let mut last = None;
        self.owners.iter().zip(&other.owners).all(|(one, two)| {
            // Slots lie in runs: each pair of owners is compared once for its run.
            last.replace((one, two)) == Some((one, two)) || self.address_of(*one) == other.address_of(*two)
        })
    }

    /// The primaries that serve a slot by this map, and not by `next`.
    #[must_use]
    pub fn losers<'m>(&'m self, next: &Self) -> Vec<&'m HostPort> {
        let (mut losers, mut last) = (Vec::new(), None);
        for (one, two) in self.owners.iter().zip(&next.owners) {
            // As above.
            if last.replace((one, two)) == Some((one, two)) {
                continue;
            }
            let (before, after) = (self.address_of(*one), next.address_of(*two));
            losers.extend(before.filter(|_| before != after).filter(|loser| !losers.contains(loser)));
        }
        losers
    }

    fn address_of(&self, owner: u16) -> Option<&HostPort> {
        self.shards.get(usize::from(owner)).map(|shard| &shard.primary.address)
    }

    /// Whether both tell of the same cluster: at least one node is in both, by its name or its address.
    pub(super) fn is_related(&self, other: &Self) -> bool {
        self.nodes().any(|one| {
            other.nodes().any(|two| match one.id.is_empty() || two.id.is_empty() {
                true => one.address == two.address,
                false => one.id == two.id,
            })
        })
    }

    /// The map after a node has said that `slot` is served by the one at `to`; `None` if this map says so
    /// already.
    ///
    /// One slot changes its owner; but where `to` was a replica of the slot's shard, it has taken over, and
    /// the whole shard is its.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire::cluster::Map;
    /// use redwire::config::HostPort;
    ///
    /// let map = Map::default().moved(42, &HostPort::new("10.0.0.1", 6379)).expect("a change");
    /// assert_eq!(map.primary(42).map(ToString::to_string).as_deref(), Some("10.0.0.1:6379"));
    /// assert_eq!(map.covered(), 1);
    /// ```
    #[must_use]
    pub fn moved(&self, slot: u16, to: &HostPort) -> Option<Self> {
        if slot >= SLOTS || self.primary(slot) == Some(to) {
            return None;
        }
        let mut map = self.clone();
        let owner = usize::from(self.owners[usize::from(slot)]);
        let replica = |shard: &Shard| shard.replicas.iter().position(|node| node.address == *to);
        if let Some(shard) = map.shards.get_mut(owner)
            && let Some(place) = replica(shard)
        {
            let shard = Arc::make_mut(shard);
            std::mem::swap(&mut shard.primary, &mut shard.replicas[place]);
            return Some(map);
        }
        let known = map.shards.iter().position(|shard| shard.primary.address == *to);
        let place = known.unwrap_or_else(|| {
            let node = self.node(to).cloned().unwrap_or_else(|| Arc::new(Node::at(to.clone())));
            // A replica that has slots of another shard has left its own.
            for shard in &mut map.shards {
                if let Some(place) = replica(shard) {
                    Arc::make_mut(shard).replicas.remove(place);
                }
            }
            map.shards.push(Arc::new(Shard { primary: node, replicas: Vec::new() }));
            map.shards.len() - 1
        });
        map.owners[usize::from(slot)] = place as u16;
        Some(map)
    }
}
