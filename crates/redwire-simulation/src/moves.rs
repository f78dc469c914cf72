//! What is done to a cluster from outside: slots that move, replicas that take over; and whether its nodes
//! agree.
//!
//! This file must not know how nodes come to believe something.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::between::node_id;
use crate::scenario::PRIMARIES;
use crate::world::{Happening, State};

/// A slot on its way to another shard.
#[derive(Debug)]
pub(crate) struct Move {
    slot: u16,
    /// The server that is the first of the shard.
    to: usize,
    /// Until then it is in no hurry.
    until: Duration,
    is_done: bool,
}

/// What a node says of the cluster.
#[derive(Debug, Default, PartialEq, Eq)]
struct View {
    is_primary: bool,
    epoch: u64,
    /// The highest of which it has heard.
    highest_epoch: u64,
    /// The slots of each primary, as ranges.
    slots: BTreeMap<String, Vec<String>>,
    is_ok: bool,
}

impl View {
    fn has(&self, server: usize, slot: u16) -> bool {
        let ranges = self.slots.get(&node_id(server));
        ranges.into_iter().flatten().any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse().is_ok_and(|first: u16| first <= slot)
                && last.parse().is_ok_and(|last: u16| slot <= last)
        })
    }
}

impl State {
    /// What a node says, if it answers.
    fn view(&mut self, server: usize, now: Duration) -> Option<View> {
        let nodes = self.servers[server].ask("CLUSTER NODES", now)?;
        let info = self.servers[server].ask("CLUSTER INFO", now)?;
        let highest = info.lines().find_map(|line| line.strip_prefix("cluster_current_epoch:"));
        let highest_epoch = highest.and_then(|epoch| epoch.trim().parse().ok()).unwrap_or(0);
        let mut view = View { highest_epoch, is_ok: info.contains("cluster_state:ok"), ..View::default() };
        for line in nodes.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, _, flags, _, _, _, epoch, _, slots @ ..] = words.as_slice() else { continue };
            let is_primary = flags.contains("master");
            view.is_ok &= !flags.contains("fail");
            if flags.contains("myself") {
                view.is_primary = is_primary;
                view.epoch = epoch.parse().unwrap_or(0);
            }
            let slots: Vec<String> =
                slots.iter().filter(|slot| !slot.starts_with('[')).map(|slot| (*slot).to_owned()).collect();
            if is_primary && !slots.is_empty() {
                view.slots.insert((*id).to_owned(), slots);
            }
        }
        Some(view)
    }

    fn views(&mut self, now: Duration) -> Vec<Option<View>> {
        (0..self.servers.len()).map(|server| self.view(server, now)).collect()
    }

    /// A replica of the shard that `server` is in takes over.
    pub(crate) fn take_over(&mut self, server: usize, now: Duration) {
        for member in [server % PRIMARIES, server % PRIMARIES + PRIMARIES] {
            let Some(member) = self.servers.get_mut(member) else { return };
            // It is refused by a primary.
            if member.ask("CLUSTER FAILOVER TAKEOVER", now).is_some() {
                return;
            }
        }
    }

    /// The slot of one of the keys begins to move.
    pub(crate) fn begin_move(&mut self, pick: u64, to: usize, until: Duration, now: Duration) {
        let key = pick % self.keys.max(1);
        let asked = format!("CLUSTER KEYSLOT {key}");
        let slot = self.servers.iter_mut().find_map(|server| server.ask(&asked, now));
        let slot = slot.and_then(|slot| slot.trim_start_matches(':').trim().parse().ok());
        let Some(slot) = slot else { return };
        if self.moves.iter().any(|other| other.slot == slot && !other.is_done) {
            return;
        }
        self.moves.push(Move { slot, to, until, is_done: false });
        self.arrange(now, Happening::MoveStep(self.moves.len() - 1));
    }

    /// Does the next thing to be done for a slot to move. Whatever fails is tried again.
    pub(crate) fn step_move(&mut self, number: usize, now: Duration) {
        let Move { slot, to, until, .. } = self.moves[number];
        let pause = if now < until { (until - now) / 6 } else { Duration::ZERO };
        self.moves[number].is_done = self.try_step(slot, to, now).unwrap_or(false);
        if self.moves[number].is_done {
            self.history.note(now, || format!("slot {slot} has moved to the shard of server {to}"));
        } else {
            self.arrange(now + pause.max(Duration::from_millis(10)), Happening::MoveStep(number));
        }
    }

    /// `None`: it cannot be done now. Otherwise whether nothing is left to do.
    fn try_step(&mut self, slot: u16, to: usize, now: Duration) -> Option<bool> {
        let views = self.views(now);
        let answered = views.iter().enumerate().filter_map(|(server, view)| Some((server, view.as_ref()?)));
        let primaries: BTreeMap<usize, &View> =
            answered.filter(|(_, view)| view.is_primary && view.is_ok).collect();
        let target = [to, to + PRIMARIES].into_iter().find(|server| primaries.contains_key(server))?;
        let owners = primaries.iter().filter(|(server, view)| view.has(**server, slot));
        let (source, _) =
            owners.map(|(server, view)| (*server, view.epoch)).max_by_key(|(_, epoch)| *epoch)?;
        if source == target {
            return Some(true);
        }
        let (from_id, to_id) = (node_id(source), node_id(target));
        self.servers[target].ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"), now)?;
        self.servers[source].ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"), now)?;
        let keys = self.servers[source].ask(&format!("CLUSTER GETKEYSINSLOT {slot} 1"), now)?;
        // `*1`, its length, the key.
        if let Some(key) = keys.lines().nth(2) {
            let (host, port) = self.servers[target].address.clone();
            self.servers[source].tell(&format!("MIGRATE {host} {port} {key} 0 300 REPLACE"), now);
            return Some(false);
        }
        // Two nodes that change at the same time might choose the same epoch. So might a node that was out of
        // touch when another took the epoch that it would choose.
        let highest = views.iter().flatten().map(|view| view.highest_epoch).max();
        let has_heard = highest == Some(primaries[&target].highest_epoch);
        if now < self.between.quiet_until || !has_heard {
            return Some(false);
        }
        self.between.quiet_until = now + self.between.distance * 4 + Duration::from_millis(50);
        let done = format!("CLUSTER SETSLOT {slot} NODE {to_id}");
        for server in [target, source] {
            self.servers[server].ask(&done, now)?;
        }
        // The others as well, since one of the two may have an older epoch than they know.
        for server in primaries.into_keys().filter(|at| ![source, target].contains(at)) {
            self.servers[server].tell(&done, now);
        }
        Some(true)
    }

    /// Why the servers do not agree, or have not what they should have; `None` where all is well.
    fn discord(&mut self, now: Duration) -> Option<String> {
        if self.data_servers < self.servers.len() {
            return (!self.is_service_settled()).then(|| "not all follow the master".to_owned());
        }
        let views = self.views(now);
        for (server, view) in views.iter().enumerate() {
            match view {
                None => return Some(format!("server {server} does not answer")),
                Some(view) if !view.is_ok => return Some(format!("all is not well to server {server}")),
                _ if view.as_ref().map(|view| &view.slots) != views[0].as_ref().map(|view| &view.slots) => {
                    return Some(format!("server {server} knows {view:?}, and server 0 {:?}", views[0]));
                }
                Some(_) => {}
            }
        }
        let behind = (0..self.servers.len()).find(|at| !self.is_synced(*at));
        let moving = self.moves.iter().find(|one| !one.is_done);
        let behind = behind.map(|server| format!("server {server} has not all that its primary has"));
        behind.or_else(|| moving.map(|one| format!("{one:?}")))
    }

    /// Looks whether the servers have found together again, once all faults are over.
    pub(crate) fn look(&mut self, now: Duration) {
        self.history.discord = self.discord(now);
        if self.history.discord.is_none() {
            self.history.note(now, || "all servers agree".to_owned());
            self.history.settled = Some(now);
        } else {
            self.arrange(now + Duration::from_millis(50), Happening::Look);
        }
    }
}
