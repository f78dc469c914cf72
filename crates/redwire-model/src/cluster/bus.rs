//! What nodes tell each other, and what a node makes of it.
//!
//! The caller carries the messages, and may delay or lose them. This file must not know clients.

use std::time::Duration;

use super::election::Candidacy;
use super::migrate::Parcel;
use super::{Cluster, Known, SLOTS};
use crate::model::Model;

/// What one node tells another. It is carried by the caller.
#[derive(Clone, Debug)]
pub struct Message(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Gossip(Gossip),
    /// What is known of a node that believes older things of itself.
    Update(Claim),
    Failed(String),
    Candidacy(Candidacy),
    Vote(u64),
    Parcel(Parcel),
    Received(u64, Result<(), String>),
    /// A channel, and what was published there.
    Published(Vec<u8>, Vec<u8>),
}

/// What a node says of itself, and whom it does not hear.
#[derive(Clone, Debug)]
pub(super) struct Gossip {
    claim: Claim,
    current_epoch: u64,
    offset: u64,
    doubted: Vec<String>,
}

/// Who has which slots since which epoch.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    node: super::Node,
    epoch: u64,
    ranges: Vec<(u16, u16)>,
}

impl Cluster {
    fn claim(&self, at: usize) -> Claim {
        let known = &self.nodes[at];
        Claim { node: known.node.clone(), epoch: known.epoch, ranges: self.ranges(at) }
    }

    /// Tells all others of this node.
    pub(crate) fn gossip(&mut self, offset: u64, now: Duration) {
        let doubted: Vec<String> = (1..self.nodes.len())
            .filter(|at| !self.is_seen(*at, now))
            .map(|at| self.nodes[at].node.id.clone())
            .collect();
        let gossip = Gossip { claim: self.claim(0), current_epoch: self.epoch, offset, doubted };
        for to in 1..self.nodes.len() {
            self.send(to, Message(Kind::Gossip(gossip.clone())));
        }
    }

    /// Believes a claim as far as it is newer than what is known. What is known better is returned.
    ///
    /// A node whose master, or which itself, loses its last slot by that becomes a replica of the one that
    /// has it now.
    fn believe(&mut self, claim: &Claim, now: Duration) -> Option<usize> {
        let own = self.master_of(0);
        let had_slots = !self.ranges(own).is_empty();
        let better = self.believe_slots(claim, now);
        if had_slots && self.ranges(own).is_empty() {
            self.nodes[0].node.master = Some(claim.node.id.clone());
            // A replica moves no slots.
            self.migrating.clear();
            self.importing.clear();
        }
        better
    }

    fn believe_slots(&mut self, claim: &Claim, now: Duration) -> Option<usize> {
        let from = self.find(&claim.node.id).unwrap_or_else(|| {
            self.nodes.push(Known::new(claim.node.clone(), claim.epoch, now));
            self.owners_changed();
            self.nodes.len() - 1
        });
        let mut better = None;
        if from != 0 {
            self.nodes[from].node = claim.node.clone();
            self.nodes[from].epoch = self.nodes[from].epoch.max(claim.epoch);
        }
        if claim.node.master.is_some() {
            return None;
        }
        let told = (self.shape.version, claim.epoch, claim.ranges.clone());
        if self.nodes[from].told.as_ref() == Some(&told) {
            return None;
        }
        let mut changed = false;
        for slot in claim.ranges.iter().flat_map(|(first, last)| *first..=*last).filter(|slot| *slot < SLOTS)
        {
            let owner = self.owners[usize::from(slot)];
            match owner {
                Some(owner) if owner == from => {
                    self.unclaimed.remove(&slot);
                }
                Some(owner)
                    if self.nodes[owner].epoch >= claim.epoch
                        && self.unclaimed.get(&slot) != Some(&owner)
                        || self.importing.contains_key(&slot) =>
                {
                    better = Some(owner);
                }
                _ => {
                    self.owners[usize::from(slot)] = Some(from);
                    self.migrating.remove(&slot);
                    changed = true;
                }
            }
        }
        if from != 0 {
            let is_claimed =
                |slot: u16| claim.ranges.iter().any(|(first, last)| (*first..=*last).contains(&slot));
            let known = self.ranges(from).into_iter().flat_map(|(first, last)| first..=last);
            self.unclaimed.extend(known.filter(|slot| !is_claimed(*slot)).map(|slot| (slot, from)));
        }
        if changed {
            self.owners_changed();
        }
        self.nodes[from].told = better.is_none().then_some((self.shape.version, told.1, told.2));
        better
    }

    /// Notes who is not heard by whom; a node that a majority does not hear is down.
    fn doubt(&mut self, from: usize, doubted: &[String], now: Duration) -> Vec<usize> {
        let mut down = Vec::new();
        let voters = self.voters().to_vec();
        for at in 1..self.nodes.len() {
            let is_doubted = doubted.contains(&self.nodes[at].node.id);
            if is_doubted && voters.contains(&from) {
                self.nodes[at].doubts.insert(from, now);
            } else {
                self.nodes[at].doubts.remove(&from);
            }
            if !self.is_seen(at, now) && voters.contains(&0) {
                self.nodes[at].doubts.insert(0, now);
            } else {
                self.nodes[at].doubts.remove(&0);
            }
            let known = &self.nodes[at];
            if !known.failed && known.doubts.len() * 2 > voters.len() && !self.is_seen(at, now) {
                down.push(at);
            }
        }
        down
    }
}

impl Model {
    /// The messages for other nodes since this was last called, each with the id of the node it is for.
    pub fn take_messages(&mut self) -> Vec<(String, Message)> {
        self.cluster.as_mut().map(|cluster| std::mem::take(&mut cluster.messages)).unwrap_or_default()
    }

    /// A message has come from the node of this id.
    pub fn handle_message(&mut self, from: &str, message: Message, now: Duration) {
        self.handle_timeout(now);
        let now = self.now;
        if self.is(crate::Condition::Frozen) {
            // It waits in the process's sockets.
            self.held_messages.push((from.to_owned(), message));
            return;
        }
        let Some(cluster) = &mut self.cluster else { return };
        let sender = cluster.find(from);
        if let Some(at) = sender {
            cluster.nodes[at].heard = now;
            cluster.nodes[at].doubts.clear();
        }
        match message.0 {
            Kind::Gossip(gossip) => self.handle_gossip(&gossip, now),
            Kind::Update(claim) => {
                cluster.believe(&claim, now);
                self.follow_own_master();
            }
            Kind::Failed(id) => {
                if let Some(at) = cluster.find(&id).filter(|at| *at != 0) {
                    cluster.nodes[at].failed = true;
                }
            }
            Kind::Candidacy(candidacy) => self.handle_candidacy(from, &candidacy),
            Kind::Vote(epoch) => self.handle_vote(epoch, now),
            Kind::Parcel(parcel) => self.handle_parcel(from, parcel, now),
            Kind::Received(number, result) => self.handle_received(number, result, now),
            Kind::Published(channel, message) => {
                self.publish(&channel, &message, crate::pubsub::Kind::Channel);
            }
        }
        self.handle_timeout(now);
    }

    /// Tells the other nodes what was published, for their subscribers.
    pub(crate) fn publish_to_nodes(&mut self, channel: &[u8], message: &[u8]) {
        let Some(cluster) = &mut self.cluster else { return };
        for to in 1..cluster.nodes.len() {
            cluster.send(to, Message(Kind::Published(channel.to_vec(), message.to_vec())));
        }
    }

    fn handle_gossip(&mut self, gossip: &Gossip, now: Duration) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.epoch = cluster.epoch.max(gossip.current_epoch);
        let better = cluster.believe(&gossip.claim, now);
        let Some(from) = cluster.find(&gossip.claim.node.id) else { return };
        if let Some(better) = better {
            let claim = cluster.claim(better);
            cluster.send(from, Message(Kind::Update(claim)));
        }
        cluster.nodes[from].heard = now;
        cluster.nodes[from].offset = gossip.offset;
        let are_primaries = gossip.claim.node.master.is_none() && cluster.me().node.master.is_none();
        if are_primaries
            && gossip.claim.epoch == cluster.me().epoch
            && cluster.me().node.id < gossip.claim.node.id
        {
            // Of two that chose the same epoch at the same time, one takes another.
            cluster.bump_epoch();
        }
        // A node that is heard again is up, if it is a replica or nothing took its place.
        cluster.nodes[from].failed = false;
        for at in cluster.doubt(from, &gossip.doubted, now) {
            cluster.nodes[at].failed = true;
            let id = cluster.nodes[at].node.id.clone();
            for to in (1..cluster.nodes.len()).filter(|to| *to != at) {
                cluster.send(to, Message(Kind::Failed(id.clone())));
            }
        }
        self.follow_own_master();
    }

    /// Tells others of itself, and looks who is not heard.
    pub(crate) fn tick_cluster(&mut self) {
        let (now, offset) = (self.now, self.replication.offset);
        let Some(cluster) = &mut self.cluster else { return };
        if cluster.next_tick > now {
            return;
        }
        cluster.next_tick = now + cluster.node_timeout / 4;
        cluster.nodes[0].heard = now;
        cluster.nodes[0].offset = offset;
        cluster.gossip(offset, now);
        self.stand_for_election(now);
    }
}
