//! What servers tell each other: the messages of a cluster, and writes on their way to replicas.
//!
//! It takes its time, and what is sent to or from a server that the others do not reach is lost. This file
//! must not know what the messages say, nor who becomes a master when.

use std::collections::BTreeMap;
use std::time::Duration;

use redwire_model::{Message, Snapshot, Write};

use crate::world::{Happening, State};

/// So many writes may be on their way to a replica that has all others, since callers go on writing.
const UNDER_WAY: u64 = 64;

/// What is on its way from one server to another.
#[derive(Debug)]
pub(crate) enum Cargo {
    Message(Message),
    Write(Write),
    Snapshot(Snapshot),
}

/// The ways between servers.
#[derive(Debug)]
pub(crate) struct Between {
    pub(crate) distance: Duration,
    /// Until then all hear of the last change to the slots.
    pub(crate) quiet_until: Duration,
    /// What is sent later on a way never overtakes this.
    arrivals: BTreeMap<(usize, usize), Duration>,
}

impl Between {
    pub(crate) fn new(distance: Duration) -> Self {
        Self { distance, quiet_until: Duration::ZERO, arrivals: BTreeMap::new() }
    }
}

/// The name of a node, as the others know it.
pub(crate) fn node_id(server: usize) -> String {
    format!("{server:040x}")
}

impl State {
    /// Sends what the servers have to tell each other.
    pub(crate) fn carry(&mut self, now: Duration) {
        if self.servers.len() == 1 {
            return;
        }
        for from in 0..self.servers.len() {
            self.follow_master(from, now);
            for (to, message) in self.servers[from].model.take_messages() {
                if let Ok(to) = usize::from_str_radix(&to, 16) {
                    self.send(from, to, Cargo::Message(message), now);
                }
            }
            for write in self.servers[from].model.take_writes() {
                for to in 0..self.servers.len() {
                    if self.servers[to].followed == Some(from) {
                        self.send(from, to, Cargo::Write(write.clone()), now);
                    }
                }
            }
        }
    }

    /// Notes whose replica a server is now, and has it get all data if it needs that.
    fn follow_master(&mut self, at: usize, now: Duration) {
        let master = self.servers[at].model.master();
        let master = master.and_then(|(host, port)| self.server_at(host, port));
        let server = &mut self.servers[at];
        if server.followed != master {
            if server.followed.is_some() && master.is_none() {
                self.history.replaced.push(now);
            }
            server.followed = master;
            server.needs_sync = master.is_some();
            self.history.note(now, || format!("server {at} follows {master:?}"));
        }
        if let Some(master) = master
            && self.servers[at].needs_sync
            && self.is_way_free(master, at)
            && !self.servers[master].is_frozen
            && !self.servers[at].is_frozen
        {
            self.servers[at].needs_sync = false;
            let snapshot = self.servers[master].model.snapshot();
            self.send(master, at, Cargo::Snapshot(snapshot), now);
        }
    }

    /// Whether a server has its master's data, if it has a master.
    pub(crate) fn is_synced(&self, at: usize) -> bool {
        let offset = |server: usize| self.servers[server].model.offset();
        let server = &self.servers[at];
        !server.needs_sync && server.followed.is_none_or(|master| offset(master) <= offset(at) + UNDER_WAY)
    }

    fn is_way_free(&self, from: usize, to: usize) -> bool {
        self.servers[from].is_reached() && self.servers[to].is_reached()
    }

    fn send(&mut self, from: usize, to: usize, cargo: Cargo, now: Duration) {
        if !self.is_way_free(from, to) {
            self.handle_lost(to, &cargo);
            return;
        }
        let distance = u64::try_from(self.between.distance.as_millis()).unwrap_or(0);
        let takes = Duration::from_millis(if distance == 0 { 0 } else { self.random.u64(1..=distance) });
        let arrival = self.between.arrivals.entry((from, to)).or_default();
        *arrival = (*arrival).max(now + takes);
        let at = *arrival;
        self.arrange(at, Happening::Between(from, to, cargo));
    }

    /// A replica that misses writes asks for all data when it can.
    fn handle_lost(&mut self, to: usize, cargo: &Cargo) {
        if !matches!(cargo, Cargo::Message(_)) {
            self.servers[to].needs_sync = true;
        }
    }

    pub(crate) fn handle_cargo(&mut self, from: usize, to: usize, cargo: Cargo, now: Duration) {
        if !self.is_way_free(from, to) {
            self.handle_lost(to, &cargo);
            return;
        }
        let server = &mut self.servers[to];
        match cargo {
            // One that stands still reads it afterwards.
            Cargo::Message(message) => server.model.handle_message(&node_id(from), message, now),
            _ if server.followed != Some(from) => {}
            _ if server.is_frozen => server.needs_sync = true,
            Cargo::Write(write) => server.needs_sync |= !server.model.apply(&write, now),
            Cargo::Snapshot(snapshot) => server.model.restore(&snapshot, now),
        }
    }
}
