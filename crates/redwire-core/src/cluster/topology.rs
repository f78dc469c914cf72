//! The map of one client: what it is now, and when it is asked for anew.
//!
//! Promises that at most one refresh is under way, and that one begins at most once in the pause that the
//! options tell, whatever happens. A redirection is served at once all the same: it changes the map by
//! itself. This file must not know which callers wait for what.

use std::sync::Arc;
use std::time::Instant;

use super::promotion_probe::{self, PromotionProbe};
use super::refresh::{FetchedMap, Refresh};
use super::route::TopologyHint;
use super::{ClusterOptions, Map, Shard};
use crate::backoff::jitter_above;
use crate::config::HostPort;
use crate::error::Result;
use crate::reply::Value;

/// The map and when to refresh it. Drivers share one among all callers, and hold a copy of [`map`](Self::map)
/// for those in a hurry.
#[derive(Debug)]
pub struct Topology {
    map: Arc<Map>,
    seeds: Vec<HostPort>,
    options: ClusterOptions,
    tls: bool,
    /// Redirections since the last refresh began.
    moved: u32,
    /// Whether there is a reason to ask.
    wanted: bool,
    under_way: bool,
    lost: PromotionProbe,
    /// No refresh begins before.
    earliest: Instant,
    /// The map is too old then.
    stale: Option<Instant>,
}

impl Topology {
    /// Knows nothing but the `seeds`, which it keeps for ever, and wants to be refreshed at once. `tls` is
    /// whether nodes are spoken to by TLS.
    #[must_use]
    pub fn new(seeds: Vec<HostPort>, options: ClusterOptions, tls: bool, now: Instant) -> Self {
        Self {
            map: Arc::new(Map::default()),
            seeds,
            options,
            tls,
            moved: 0,
            wanted: true,
            under_way: false,
            lost: PromotionProbe::default(),
            earliest: now,
            stale: None,
        }
    }

    /// The map as it is now.
    #[must_use]
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// What holds for the cluster.
    #[must_use]
    pub fn options(&self) -> &ClusterOptions {
        &self.options
    }

    /// Something was learnt from a failed try. Whether that changed the map.
    pub fn handle_hint(&mut self, hint: &TopologyHint) -> bool {
        match hint {
            TopologyHint::Suspect => {
                self.wanted = true;
                false
            }
            TopologyHint::Moved { slot, to } => {
                self.moved = self.moved.saturating_add(1);
                let after = self.options.refresh_after_moved;
                self.wanted |= after > 0 && self.moved >= after;
                let Some(map) = self.map.moved(*slot, to) else { return false };
                self.map = Arc::new(map);
                true
            }
        }
    }

    /// `node` could not be reached, or is silent: it is in doubt.
    pub fn handle_lost(&mut self, node: &HostPort, now: Instant) {
        if self.map.is_primary(node) {
            self.wanted |= self.lost.handle_lost(node, now);
        }
    }

    /// `node` has answered.
    pub fn handle_heard(&mut self, node: &HostPort) {
        self.lost.handle_heard(node);
    }

    /// Whether `node` is a primary in doubt.
    #[must_use]
    pub fn is_lost(&self, node: &HostPort) -> bool {
        self.lost.contains(node)
    }

    /// Whether there are primaries in doubt, of which a replica is to be [asked](Self::poll_probe) whether it
    /// has taken over.
    #[must_use]
    pub fn is_probing(&self) -> bool {
        !self.lost.is_empty()
    }

    /// The replica of a lost primary that is to be asked for its role (`ROLE`) now; `random` is uniform over
    /// all of `u64`.
    pub fn poll_probe(&mut self, now: Instant, random: u64) -> Option<HostPort> {
        self.lost.poll_question(&self.map, now, random)
    }

    /// When [`poll_probe`](Self::poll_probe) has a node to ask again.
    #[must_use]
    pub fn poll_probe_timeout(&self) -> Option<Instant> {
        self.lost.poll_timeout()
    }

    /// The replica has answered. Whether it has taken over, so that there is a new map.
    pub fn handle_probed(&mut self, replica: &HostPort, role: &Value) -> bool {
        let follows = |shard: &Shard| shard.replicas.iter().any(|node| node.address == *replica);
        let served = self.map.ranges().find(|(_, shard)| shard.is_some_and(|shard| follows(shard)));
        let slot = served.map(|(slots, _)| *slots.start()).filter(|_| promotion_probe::is_primary(role));
        let Some(map) = slot.and_then(|slot| self.map.moved(slot, replica)) else { return false };
        self.map = Arc::new(map);
        self.wanted = true;
        true
    }

    /// A caller wants a refresh.
    pub fn handle_wanted(&mut self) {
        self.wanted = true;
    }

    /// The refresh that is to begin now, if there is one; `random` is uniform over all of `u64`. Its end is
    /// to be told.
    pub fn poll_refresh(&mut self, now: Instant, random: u64) -> Option<Refresh> {
        if self.poll_timeout()? > now {
            return None;
        }
        (self.under_way, self.wanted, self.moved, self.stale) = (true, false, 0, None);
        self.earliest = now + jitter_above(self.options.refresh_pause, random);
        let is_lost = |node: &HostPort| self.lost.contains(node);
        Some(Refresh::new(&self.map, &self.seeds, &self.options, self.tls, is_lost, random))
    }

    /// When [`poll_refresh`](Self::poll_refresh) has one, unless something happens before. A time that has
    /// passed is now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.under_way {
            return None;
        }
        if self.wanted { Some(self.earliest) } else { self.stale.map(|stale| stale.max(self.earliest)) }
    }

    /// Whether a refresh has begun and not ended.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Whether there is a reason to ask, now or after the pause.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// When the map is too old, if it ever is, and no caller asks for a new one before.
    #[must_use]
    pub fn stale(&self) -> Option<Instant> {
        self.stale
    }

    /// The refresh has ended, or was given up (then with any error). Whether there is a new map.
    ///
    /// One that failed is made again after the pause.
    pub fn handle_refreshed(&mut self, result: Result<FetchedMap>, now: Instant, random: u64) -> bool {
        self.under_way = false;
        let Ok(found) = result else {
            self.wanted = true;
            return false;
        };
        self.options.source = found.source;
        self.stale = self.options.refresh_interval.map(|interval| now + jitter_above(interval, random));
        // Redirections of the meantime may be newer than the answer: a call that meets the old owner again is
        // sent on again.
        self.map = Arc::new(found.map);
        // The next map may tell which node has taken over.
        self.wanted |= self.map.shards().iter().any(|shard| self.lost.contains(&shard.primary.address));
        true
    }
}
