//! Failovers of a service, as the sentinels lead them: a replica takes over, each sentinel hears of it at a
//! time of its own, and the former master, which may live on as a master for a while, becomes a replica.
//!
//! The sentinels of the model decide nothing; the world does that here. This file must not know clients.

use std::time::Duration;

use crate::scenario::SERVICE;
use crate::world::{Happening, State};

/// A failover.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    pub(crate) at: Duration,
    pub(crate) former: usize,
    pub(crate) master: usize,
    /// When news of it reached a client, from each sentinel.
    pub(crate) told: Vec<Duration>,
    /// How many servers have still to be told.
    pending: usize,
}

impl State {
    fn master(&self) -> usize {
        self.history.switches.last().map_or(0, |switch| switch.master)
    }

    fn is_switching(&self) -> bool {
        self.history.switches.last().is_some_and(|switch| switch.pending > 0)
    }

    /// The replica with the most data takes over, if there is one that can, and no other is about to.
    pub(crate) fn begin_switch(&mut self, fault: usize, now: Duration) {
        let former = self.master();
        let candidates = (0..self.data_servers).filter(|at| {
            let server = &self.servers[*at];
            !server.is_down && !server.is_frozen && server.followed == Some(former)
        });
        let master = candidates.max_by_key(|at| self.servers[*at].model.offset());
        let Some(master) = master.filter(|_| !self.is_switching()) else { return };
        self.history.note(now, || format!("server {master} takes over from server {former}"));
        self.servers[master].model.follow(None, now);
        let others = (0..self.servers.len()).filter(|at| *at != master);
        for at in others.collect::<Vec<_>>() {
            // Some are late.
            let latest = if self.random.u32(..4) == 0 { 1_500 } else { 100 };
            let hears = now + Duration::from_millis(self.random.u64(1..latest));
            let hears = if at == former { self.faults[fault].until().max(hears) } else { hears };
            self.arrange(hears, Happening::Switched(at));
        }
        let pending = self.servers.len() - 1;
        self.history.switches.push(Switch { at: now, former, master, told: Vec::new(), pending });
    }

    /// A server hears of the new master.
    pub(crate) fn handle_switched(&mut self, at: usize, now: Duration) {
        let master = self.master();
        let (host, port) = self.servers[master].address.clone();
        let model = &mut self.servers[at].model;
        if at < self.data_servers {
            model.follow(Some((&host, port)), now);
        } else {
            model.switch_master(SERVICE, (&host, port), now);
        }
        if let Some(switch) = self.history.switches.last_mut() {
            switch.pending -= 1;
        }
    }

    /// Whether all servers know who is the master, and have its data.
    pub(crate) fn is_service_settled(&self) -> bool {
        let master = self.master();
        !self.is_switching()
            && (0..self.data_servers).all(|at| match self.servers[at].followed {
                None => at == master,
                Some(followed) => followed == master && self.is_synced(at),
            })
    }

    /// Notes that a sentinel's news are on their way to a client.
    pub(crate) fn note_news(&mut self, arrives: Duration) {
        if let Some(switch) = self.history.switches.last_mut() {
            switch.told.push(arrives);
        }
    }
}
