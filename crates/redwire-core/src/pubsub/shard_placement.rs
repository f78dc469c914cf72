//! Shard channels in a cluster: which node each is to be heard from, and how it follows its slot.
//!
//! Every shard channel that a subscriber wants belongs to one node: it is heard over the connection to the
//! primary of its slot, by the map. What is told on a connection obeys the same rules as everywhere; here is
//! only what moves a name from one connection to another.
//! - The connection is lost. Then no subscriber hears the name, a gap is open for those that want it, and it
//!   goes to where the map leads.
//! - The server leaves the name out by itself. If the slot has moved, it is asked once more, and says who has
//!   it. But if a replica has taken over, the node accepts the name as the replica that it is now, and does
//!   not hear what is published before the new primary knows of it: the name is left again at once, and waits
//!   for a map that was asked for anew.
//! - The node redirects. A `MOVED` goes to the map, and the name where that leads then: a few times at once,
//!   then with growing pauses, since nodes contradict each other. An `ASK` is not followed: a node that takes
//!   a slot over does not hear what is published in it before it has it. It counts as one more reason to ask
//!   again later, as `CLUSTERDOWN`, `LOADING` and their like.
//! - A new map has another primary for the slot, as when a primary was cut off from the rest and does not
//!   know it. What is heard from it is left, and then wanted there.
//!
//! A name is on one connection at a time, and asked for on the next when the last can tell nothing more of
//! it: so no message comes twice or late. This file must not know connections.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::conn::{ConnId, PubSubConn};
use super::wire::{CommandBatch, NameState};
use super::{ChannelKind, PubSub};
use crate::backoff::Backoff;
use crate::cluster::{AT_ONCE, Map, Redirect, RedirectKind, Remap, TopologyHint, slot};
use crate::config::HostPort;
use crate::error::Error;
use crate::outage::heals;

#[derive(Debug)]
pub(super) struct ShardPlacement {
    map: Arc<Map>,
    remap: Remap,
    conns: HashMap<HostPort, ConnId>,
    last: u32,
    /// Connections that no task or thread drives yet.
    begun: Vec<(ConnId, HostPort)>,
    /// What was learnt about the cluster, and not told yet.
    hints: Vec<TopologyHint>,
    /// Names that a subscriber wants and that are on no connection.
    waiting: BTreeMap<Bytes, PlacementWait>,
    /// Why the last of them was sent away.
    error: Option<Error>,
}

/// What a name waits for.
#[derive(Clone, Copy, Debug)]
enum PlacementWait {
    /// A map that has a node for it, or that was asked for anew.
    Map,
    /// The map, which is told at this moment where it is.
    Told,
    /// The end of a pause, once that has begun.
    Pause(Option<Instant>),
}

impl ShardPlacement {
    pub(super) fn suspect_map(&mut self) {
        if !self.hints.contains(&TopologyHint::Suspect) {
            self.hints.push(TopologyHint::Suspect);
        }
    }

    pub(super) fn handle_ended(&mut self, node: &HostPort) {
        self.conns.remove(node);
        self.begun.retain(|(_, begun)| begun != node);
    }

    pub(super) fn forget(&mut self, text: &Bytes) {
        self.waiting.remove(text);
    }

    pub(super) fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// The node to hear `text` from.
    fn node_of(&self, text: &[u8]) -> Option<&HostPort> {
        self.map.primary(slot(text))
    }
}

impl<W> PubSub<W> {
    /// As [`new`](Self::new), for a cluster with this remap: shard channels are heard from the nodes that
    /// serve them.
    ///
    /// [`ConnId::MAIN`] leads to any node, and serves all other names. Whenever something has changed,
    /// [`poll_conn`](Self::poll_conn) tells of new connections, each of which is driven as the first is until
    /// [`WhenToConnect::Done`](crate::keeper::WhenToConnect::Done); [`poll_hints`](Self::poll_hints) of what
    /// there is to know about the cluster. Every new map is told by [`handle_map`](Self::handle_map), and the
    /// same once more at [`poll_placement_timeout`](Self::poll_placement_timeout).
    #[must_use]
    pub fn in_cluster(mut self, remap: Remap) -> Self {
        self.shard_placement = Some(ShardPlacement {
            map: Arc::default(),
            remap,
            conns: HashMap::new(),
            last: ConnId::MAIN.0,
            begun: Vec::new(),
            hints: Vec::new(),
            waiting: BTreeMap::new(),
            error: None,
        });
        self
    }

    /// A connection that is to be driven from now on, and the node it leads to.
    pub fn poll_conn(&mut self) -> Option<(ConnId, HostPort)> {
        self.shard_placement.as_mut()?.begun.pop()
    }

    /// Moves what was learnt about the cluster to `hints`.
    pub fn poll_hints(&mut self, hints: &mut Vec<TopologyHint>) {
        if let Some(shard_placement) = &mut self.shard_placement {
            hints.append(&mut shard_placement.hints);
        }
    }

    /// Whether [`poll_conn`](Self::poll_conn), [`poll_hints`](Self::poll_hints) or
    /// [`handle_map`](Self::handle_map) have something to do.
    #[inline]
    #[must_use]
    pub fn wants_placement(&self) -> bool {
        let fresh = |wait: &PlacementWait| matches!(wait, PlacementWait::Told | PlacementWait::Pause(None));
        self.shard_placement.as_ref().is_some_and(|shard_placement| {
            !shard_placement.begun.is_empty()
                || !shard_placement.hints.is_empty()
                || shard_placement.waiting.values().any(fresh)
        })
    }

    /// When [`handle_map`](Self::handle_map) wants to be called next, even with the same map.
    #[must_use]
    pub fn poll_placement_timeout(&self) -> Option<Instant> {
        let waits = self.shard_placement.as_ref()?.waiting.values();
        let ends = waits.filter_map(|wait| match wait {
            PlacementWait::Pause(end) => *end,
            PlacementWait::Map | PlacementWait::Told => None,
        });
        ends.min()
    }

    /// This is who serves what: names go where it leads.
    pub fn handle_map(&mut self, map: &Arc<Map>, now: Instant, random: u64) {
        let backoff = self.backoff;
        let Some(shard_placement) = &mut self.shard_placement else { return };
        let is_new = !Arc::ptr_eq(&shard_placement.map, map);
        let before = std::mem::replace(&mut shard_placement.map, Arc::clone(map));
        let mut due = Vec::new();
        for (text, wait) in &mut shard_placement.waiting {
            let strikes = self.names[ChannelKind::Shard as usize].get(text).map_or(0, |name| name.strikes);
            // A redirection changes the map; of other slots it tells nothing.
            let shards = (before.shard(slot(text)), map.shard(slot(text)));
            let is_told = match shards {
                (Some(before), Some(after)) => !Arc::ptr_eq(before, after),
                _ => is_new,
            };
            if wait.is_over(is_told, strikes, backoff, now, random) {
                due.push(text.clone());
            }
        }
        due.iter().for_each(|text| self.assign(text));
        if is_new {
            self.reassign();
        }
    }

    /// A new map: names that were on their way are sent elsewhere, and those that are heard from a node that
    /// does not serve them any more are left there.
    fn reassign(&mut self) {
        let (Some(shard_placement), table) =
            (&self.shard_placement, &mut self.names[ChannelKind::Shard as usize])
        else {
            return;
        };
        let mut moving = Vec::new();
        for (text, name) in table {
            let (Some(conn), Some(home)) = (name.conn, shard_placement.node_of(text)) else { continue };
            if shard_placement.conns.get(home) == Some(&conn) {
                name.leaves = false;
                continue;
            }
            match name.wire {
                NameState::Absent => moving.push(text.clone()),
                NameState::Up => {
                    name.leaves = true;
                    if let Some(conn) = self.conns.get_mut(&conn) {
                        conn.handle_changed(ChannelKind::Shard, text.clone());
                    }
                }
                // The answer tells.
                NameState::Asked | NameState::Leaving => {}
            }
        }
        moving.iter().for_each(|text| self.assign(text));
    }

    /// Puts a name that the server does not know on the connection it belongs to, to be asked for there.
    pub(super) fn assign(&mut self, text: &Bytes) {
        let Some(shard_placement) = &mut self.shard_placement else { return };
        let Some(name) = self.names[ChannelKind::Shard as usize].get_mut(text) else { return };
        let key = (ChannelKind::Shard, text.clone());
        if let Some(conn) = name.conn.take().and_then(|conn| self.conns.get_mut(&conn)) {
            conn.changed.remove(&key);
        }
        let Some(home) = shard_placement.node_of(text).cloned() else {
            shard_placement.waiting.insert(text.clone(), PlacementWait::Map);
            return shard_placement.suspect_map();
        };
        shard_placement.waiting.remove(text);
        let conn = *shard_placement.conns.entry(home.clone()).or_insert_with(|| {
            // Each takes a connection, long before there are 2^32.
            shard_placement.last += 1;
            let conn = ConnId(shard_placement.last);
            shard_placement.begun.push((conn, home.clone()));
            self.conns.insert(conn, PubSubConn::new(Some(home), self.interval, self.backoff));
            conn
        });
        name.conn = Some(conn);
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.handle_changed(key.0, key.1);
        }
    }

    /// A server has left a name out that is wanted: by itself, unless it is an answer. Whether the name has
    /// nowhere to go for now.
    pub(super) fn handle_left(
        &mut self,
        conn: ConnId,
        kind: ChannelKind,
        text: &Bytes,
        is_answer: bool,
    ) -> bool {
        let (Some(shard_placement), ChannelKind::Shard) = (&mut self.shard_placement, kind) else {
            return false;
        };
        let Some(name) = self.names[kind as usize].get_mut(text) else { return false };
        let is_over = name.left_by.take() == Some(conn);
        if !is_answer {
            shard_placement.suspect_map();
            name.left_by = Some(conn);
            return false;
        }
        if is_over {
            name.conn = None;
            shard_placement.waiting.insert(text.clone(), PlacementWait::Map);
        }
        is_over
    }

    /// Whether a node accepts what it has left out by itself just now: so it is a replica by now, and the
    /// name is left again.
    pub(super) fn is_replica_now(&mut self, conn: ConnId, kind: ChannelKind, text: &[u8]) -> bool {
        let table = &mut self.names[kind as usize];
        let Some((key, name)) = table.get_key_value(text) else { return false };
        if name.left_by != Some(conn) || name.wanted_by.is_empty() {
            return false;
        }
        let (key, wanted_by) = (key.clone(), name.wanted_by.clone());
        if let Some(name) = table.get_mut(text) {
            (name.wire, name.leaves) = (NameState::Up, true);
        }
        // They miss it again as soon as it is left; meanwhile their gap stays open.
        for id in wanted_by {
            if let Some(subscriber) = self.subscribers.get(id) {
                subscriber.missing -= 1;
            }
        }
        self.handle_changed(kind, key);
        true
    }

    /// Whether a shard channel waits for a connection, so that there is none to find.
    pub(super) fn is_waiting(&self, kind: ChannelKind, text: &[u8]) -> bool {
        kind == ChannelKind::Shard
            && self
                .shard_placement
                .as_ref()
                .is_some_and(|shard_placement| shard_placement.waiting.contains_key(text))
    }

    /// The slot that `name` has, where that matters.
    pub(super) fn slot_of(&self, kind: ChannelKind, name: &[u8]) -> Option<u16> {
        (kind == ChannelKind::Shard && self.shard_placement.is_some()).then(|| slot(name))
    }

    /// The redirection that `error` is.
    pub(super) fn redirection(&self, conn: ConnId, error: &Error) -> Option<Redirect> {
        let shard_placement = self.shard_placement.as_ref()?;
        let node = self.conns.get(&conn)?.node.as_ref()?;
        Redirect::parse(error, node, &shard_placement.remap)
    }

    /// The node did not take these names, for a reason that says something of the cluster, and nothing of the
    /// names: they go where they belong. False where it is another reason.
    pub(super) fn handle_turned_away(
        &mut self,
        conn: ConnId,
        batch: CommandBatch,
        names: &[Bytes],
        error: &Error,
    ) -> bool {
        let redirect = self.redirection(conn, error);
        let passes = heals(error) || error.is_demotion();
        let Some(shard_placement) =
            self.shard_placement.as_mut().filter(|_| batch.kind == ChannelKind::Shard && passes)
        else {
            return false;
        };
        let moved = match redirect {
            Some(Redirect { kind: RedirectKind::Moved, slot, to: Some(to) }) => {
                shard_placement.hints.push(TopologyHint::Moved { slot, to });
                true
            }
            _ => {
                shard_placement.suspect_map();
                false
            }
        };
        shard_placement.error = Some(error.clone());
        let table = &mut self.names[ChannelKind::Shard as usize];
        for text in names {
            let Some(name) = table.get_mut(text) else { continue };
            (name.wire, name.conn) = (NameState::Absent, None);
            if name.wanted_by.is_empty() {
                table.remove(text);
                continue;
            }
            name.strikes += 1;
            let wait = if moved && name.strikes <= AT_ONCE {
                PlacementWait::Told
            } else {
                PlacementWait::Pause(None)
            };
            shard_placement.waiting.insert(text.clone(), wait);
        }
        true
    }
}

impl PlacementWait {
    /// Whether it is over; a pause begins when this is first asked.
    fn is_over(&mut self, is_told: bool, strikes: u32, backoff: Backoff, now: Instant, random: u64) -> bool {
        match self {
            Self::Map => is_told,
            Self::Told => true,
            Self::Pause(Some(end)) => *end <= now,
            Self::Pause(end) => {
                let pause = backoff.delay(strikes, Duration::ZERO, random);
                *end = Some(now + pause);
                pause.is_zero()
            }
        }
    }
}
