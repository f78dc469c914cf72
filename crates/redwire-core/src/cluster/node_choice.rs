//! Nodes of one's own choice. This file must not know what is sent to them.

use super::route::pick;
use super::{Map, slot};
use crate::config::HostPort;

/// Which nodes of a cluster are meant.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::cluster::{Map, NodeChoice};
///
/// assert!(NodeChoice::All.among(&Map::default(), 0).is_empty());
/// ```
#[doc(alias = "target_nodes")]
#[doc(alias = "NODE_FLAGS")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeChoice {
    /// Every node.
    #[doc(alias = "ALL_NODES")]
    All,
    /// Those that take writes.
    Primaries,
    /// Those that follow one that does.
    Replicas,
    /// Any one.
    Random,
    /// The primary of this slot.
    Slot(u16),
    /// The primary of this key.
    Key(Vec<u8>),
    /// The one that the cluster calls by this name, 40 letters.
    Named(String),
    /// These, whether the map names them or not.
    At(Vec<HostPort>),
}

impl NodeChoice {
    /// The addresses of those that are meant, by `map`; none where there are none. `random` is uniform over
    /// all of `u64`.
    #[must_use]
    pub fn among(&self, map: &Map, random: u64) -> Vec<HostPort> {
        let primary = |slot: u16| map.primary(slot).cloned().into_iter().collect();
        match self {
            Self::All => map.nodes().map(|node| node.address.clone()).collect(),
            Self::Primaries => map.shards().iter().map(|shard| shard.primary.address.clone()).collect(),
            Self::Replicas => map
                .shards()
                .iter()
                .flat_map(|shard| &shard.replicas)
                .map(|node| node.address.clone())
                .collect(),
            Self::Random => {
                let nodes: Vec<_> = map.nodes().filter(|node| node.is_online()).collect();
                pick(nodes.into_iter(), random).map(|node| node.address.clone()).into_iter().collect()
            }
            Self::Slot(slot) => primary(*slot),
            Self::Key(key) => primary(slot(key)),
            Self::Named(id) => {
                map.nodes().filter(|node| node.id == *id).map(|node| node.address.clone()).collect()
            }
            Self::At(addresses) => addresses.clone(),
        }
    }
}
