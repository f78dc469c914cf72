//! How a replica takes the place of its master that is down: by the votes of most masters.
//!
//! This file must not know clients.

use std::time::Duration;

use super::bus::{Kind, Message};
use crate::model::Model;

/// A replica asks for votes.
#[derive(Clone, Debug)]
pub(super) struct Candidacy {
    epoch: u64,
    /// Of the master's slots, as the replica knows it.
    slots_epoch: u64,
    master: String,
}

/// A replica's own try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Election {
    /// When votes are asked for, so that the replica with most of the data is first.
    pub(crate) starts: Duration,
    epoch: Option<u64>,
    votes: usize,
}

impl Model {
    /// If its master is down, a replica waits a little, and asks for votes.
    pub(super) fn stand_for_election(&mut self, now: Duration) {
        let offset = self.replication.offset;
        let jitter = Duration::from_millis(self.random.u64(..500));
        let Some(cluster) = &mut self.cluster else { return };
        let master = cluster.master_of(0);
        if master == 0 || !cluster.nodes[master].failed {
            cluster.election = None;
            return;
        }
        let Some(election) = cluster.election else {
            let rank = cluster
                .replicas(master)
                .into_iter()
                .filter(|at| *at != 0 && cluster.nodes[*at].offset > offset);
            let rank = u32::try_from(rank.count()).unwrap_or(u32::MAX);
            let starts = now + Duration::from_millis(500) + jitter + Duration::from_secs(1) * rank;
            cluster.election = Some(Election { starts, epoch: None, votes: 0 });
            return;
        };
        if election.starts > now {
            return;
        }
        // Votes that have not come in time do not count; a new try has another epoch.
        cluster.epoch += 1;
        let again = now + cluster.node_timeout * 4;
        cluster.election = Some(Election { starts: again, epoch: Some(cluster.epoch), votes: 0 });
        let (slots_epoch, id) = (cluster.nodes[master].epoch, cluster.nodes[master].node.id.clone());
        let candidacy = Candidacy { epoch: cluster.epoch, slots_epoch, master: id };
        for to in 1..cluster.nodes.len() {
            cluster.send(to, Message(Kind::Candidacy(candidacy.clone())));
        }
    }

    /// A master votes once in an epoch, for a replica whose master is down as it knows too.
    pub(super) fn handle_candidacy(&mut self, from: &str, candidacy: &Candidacy) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.epoch = cluster.epoch.max(candidacy.epoch);
        let (Some(from), Some(master)) = (cluster.find(from), cluster.find(&candidacy.master)) else {
            return;
        };
        let may_vote = cluster.voters().contains(&0)
            && candidacy.epoch > cluster.voted
            && cluster.nodes[master].failed
            && candidacy.slots_epoch >= cluster.nodes[master].epoch;
        if may_vote {
            cluster.voted = candidacy.epoch;
            cluster.send(from, Message(Kind::Vote(candidacy.epoch)));
        }
    }

    pub(super) fn handle_vote(&mut self, epoch: u64, now: Duration) {
        let Some(cluster) = &mut self.cluster else { return };
        let needed = cluster.voters().len() / 2 + 1;
        let Some(election) = cluster.election.as_mut().filter(|election| election.epoch == Some(epoch))
        else {
            return;
        };
        election.votes += 1;
        if election.votes >= needed {
            self.take_over(epoch, now);
        }
    }

    /// Takes the slots of its master, which all are told at once. Writes that it has not got are lost.
    pub(crate) fn take_over(&mut self, epoch: u64, now: Duration) {
        let offset = self.replication.offset;
        let Some(cluster) = &mut self.cluster else { return };
        let master = cluster.master_of(0);
        for owner in &mut cluster.owners {
            if *owner == Some(master) {
                *owner = Some(0);
            }
        }
        cluster.owners_changed();
        cluster.epoch = cluster.epoch.max(epoch);
        cluster.nodes[0].epoch = epoch;
        cluster.nodes[0].node.master = None;
        cluster.election = None;
        cluster.gossip(offset, now);
        self.follow_own_master();
    }
}
