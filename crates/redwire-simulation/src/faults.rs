//! What may go wrong, and how the world is while it does.
//!
//! A fault lasts for a time; some only strike when they begin. How the world is at a moment follows from the
//! faults that last then, so faults of a kind may overlap. This file must not know why which fault comes.

use std::time::Duration;

use redwire_model::Condition;

use crate::connection::{ConnectionId, Phase};
use crate::history::Loss;
use crate::link::{End, Way};
use crate::scenario::PRIMARIES;
use crate::server::Door;
use crate::world::State;

/// One fault of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its number stays when others are left out.
    pub(crate) id: usize,
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
    /// Which server it befalls; 0 where that means nothing.
    pub(crate) server: usize,
    pub(crate) kind: FaultKind,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The server hangs up on all clients.
    HangUp,
    /// Every connection is broken off, or every second.
    Reset { all: bool },
    /// One connection ends after so many more bytes of the client's.
    CutUp { pick: u64, bytes: u64, end: End },
    /// One connection ends after so many more bytes of the server's.
    CutDown { pick: u64, bytes: u64, end: End },
    /// Whatever goes over the connections that there are is lost, and no one is told.
    HalfOpen,
    /// Nothing passes in these directions.
    Hold { up: bool, down: bool },
    /// No one listens.
    Refuse,
    /// Wishes to connect are not answered.
    Silent,
    /// Connections are closed after so many bytes of the server's.
    CloseAfter(u64),
    /// Handshakes are answered, and connections are closed at the first command after them.
    HandshakesOnly,
    /// The server's process stands still.
    Freeze,
    /// The server refuses what it is asked.
    Refusal(Condition),
    /// The server ends, and comes back at the end of the fault.
    Restart { data_lost: bool },
    /// Bytes travel for longer.
    Slow { latency: u64, jitter: u64 },
    /// So many bytes pass in a millisecond.
    Narrow(usize),
    /// Bytes arrive in pieces of at most this size.
    Pieces(usize),
    /// So many bytes may be under way.
    Window(usize),
    /// The server takes so many clients.
    MaxClients(usize),
    /// `CLIENT PAUSE`.
    Pause { writes_only: bool },
    /// The server forgets its scripts.
    ScriptFlush,
    /// The password changes. The servers go on knowing the former one for as long as this lasts.
    Rotate,
    /// The other servers neither hear the server nor are heard by it; clients reach it.
    Isolate,
    /// A replica, the server itself or the first one of it, takes over without being asked for.
    TakeOver,
    /// The sentinels have a replica take over. The former master is told at the end of the fault only.
    Switch,
    /// The slot of one of the keys goes to another primary of a cluster, key by key.
    Move { pick: u64, to: usize },
}

/// The refusals that a fault can bring about.
pub(crate) const REFUSALS: [Condition; 7] = [
    Condition::Loading,
    Condition::ReadOnly,
    Condition::OutOfMemory,
    Condition::Busy,
    Condition::MasterDown,
    Condition::CannotSave,
    Condition::TooFewReplicas,
];

impl Fault {
    pub(crate) fn until(&self) -> Duration {
        self.at + self.lasts
    }

    pub(crate) fn lasts_at(&self, now: Duration) -> bool {
        self.at <= now && now < self.until()
    }
}

impl FaultKind {
    /// One of any kind, as chance will have it.
    pub(crate) fn draw(random: &mut fastrand::Rng, kind: usize) -> Self {
        let end = if random.bool() { End::Closed } else { End::Reset };
        let bytes = match random.u32(..3) {
            0 => random.u64(..40),
            1 => random.u64(..400),
            _ => random.u64(..4000),
        };
        match kind {
            0 => Self::HangUp,
            1 => Self::Reset { all: random.bool() },
            2 => Self::CutUp { pick: random.u64(..64), bytes, end },
            3 => Self::CutDown { pick: random.u64(..64), bytes, end },
            4 => Self::HalfOpen,
            5 => match random.u32(..3) {
                0 => Self::Hold { up: true, down: false },
                1 => Self::Hold { up: false, down: true },
                _ => Self::Hold { up: true, down: true },
            },
            6 => Self::Refuse,
            7 => Self::Silent,
            8 => Self::CloseAfter(bytes),
            9 => Self::Freeze,
            10 => Self::Refusal(REFUSALS[random.usize(..REFUSALS.len())]),
            11 => Self::Restart { data_lost: random.bool() },
            12 => Self::Slow { latency: random.u64(..60), jitter: random.u64(..60) },
            13 => Self::Narrow(random.usize(1..50)),
            14 => Self::Pieces(if random.bool() { 1 } else { random.usize(1..8) }),
            15 => Self::Window(random.usize(8..200)),
            16 => Self::MaxClients(random.usize(1..6)),
            17 => Self::Pause { writes_only: random.bool() },
            18 => Self::HandshakesOnly,
            19 => Self::Rotate,
            _ => Self::ScriptFlush,
        }
    }

    /// One of those that a cluster can have, and no server that is alone.
    pub(crate) fn draw_of_cluster(random: &mut fastrand::Rng) -> Self {
        match random.u32(..8) {
            0 => Self::Restart { data_lost: random.u32(..4) == 0 },
            1 => Self::Freeze,
            2 | 3 => Self::Isolate,
            4 => Self::TakeOver,
            _ => Self::draw_move(random),
        }
    }

    pub(crate) fn draw_move(random: &mut fastrand::Rng) -> Self {
        Self::Move { pick: random.u64(..64), to: random.usize(..PRIMARIES) }
    }

    /// One of those that a service with sentinels can have, and no server that is alone.
    pub(crate) fn draw_of_service(random: &mut fastrand::Rng) -> Self {
        match random.u32(..8) {
            0 => Self::Restart { data_lost: random.u32(..4) == 0 },
            1 => Self::Freeze,
            2 => Self::Isolate,
            _ => Self::Switch,
        }
    }

    /// Whether it strikes at some time after it has begun.
    pub(crate) fn lies_in_wait(self) -> bool {
        matches!(self, Self::CutUp { .. } | Self::CutDown { .. })
    }

    /// Whether no connection can be had while it lasts.
    pub(crate) fn is_outage(self) -> bool {
        match self {
            Self::Refuse | Self::Silent | Self::HandshakesOnly | Self::Restart { .. } => true,
            // Less than any handshake.
            Self::CloseAfter(bytes) => bytes < 10,
            _ => false,
        }
    }

    /// How many kinds there are.
    pub(crate) const KINDS: usize = 21;
}

impl State {
    pub(crate) fn begin_fault(&mut self, number: usize, now: Duration) {
        let fault = self.faults[number];
        let at = fault.server;
        self.history.note(now, || format!("fault {number} begins at server {at}: {:?}", fault.kind));
        match fault.kind {
            FaultKind::HangUp => {
                self.servers[at].model.kill_clients(now);
                self.servers[at].revive(now);
            }
            FaultKind::Reset { all } => {
                for (nth, id) in self.open(at).into_iter().enumerate() {
                    if all || nth % 2 == 0 {
                        self.break_off(id, End::Reset, now);
                    }
                }
            }
            FaultKind::CutUp { pick, bytes, end } => {
                if let Some(connection) = self.picked(at, pick) {
                    connection.up.cut_after(bytes, end);
                }
            }
            FaultKind::CutDown { pick, bytes, end } => {
                if let Some(connection) = self.picked(at, pick) {
                    connection.down.cut_after(bytes, end);
                }
            }
            FaultKind::HalfOpen => {
                for id in self.open(at) {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.up.is_dead = true;
                        connection.down.is_dead = true;
                    }
                }
            }
            FaultKind::Restart { .. } => {
                for id in self.open(at) {
                    self.break_off(id, End::Reset, now);
                }
                self.servers[at].model.kill_clients(now);
            }
            FaultKind::MaxClients(most) => {
                self.servers[at].command(&format!("CONFIG SET maxclients {}", most + 1), now);
            }
            // A server that pauses all would hold back what pauses it again.
            FaultKind::Pause { writes_only } if !self.is_paused(number, now) => {
                let what = if writes_only { "WRITE" } else { "ALL" };
                self.servers[at].command(&format!("CLIENT PAUSE {} {what}", fault.lasts.as_millis()), now);
            }
            FaultKind::ScriptFlush => self.servers[at].command("SCRIPT FLUSH", now),
            FaultKind::Rotate => {
                for server in self.servers.iter_mut().filter(|server| server.password.is_some()) {
                    self.rotated = Some(server.change_password(now));
                }
            }
            FaultKind::TakeOver => self.take_over(at, now),
            FaultKind::Switch => self.begin_switch(number, now),
            FaultKind::Move { pick, to } => self.begin_move(pick, to, fault.until(), now),
            _ => {}
        }
        self.follow_faults(now);
    }

    pub(crate) fn end_fault(&mut self, number: usize, now: Duration) {
        let fault = self.faults[number];
        let at = fault.server;
        self.history.note(now, || format!("fault {number} ends"));
        match fault.kind {
            FaultKind::Restart { data_lost } => {
                self.servers[at].model.restart(data_lost, now);
                self.servers[at].forget_passwords(now);
                self.servers[at].needs_sync = self.servers[at].followed.is_some();
                if data_lost {
                    self.drain_log(at);
                    self.history.losses.push(Loss {
                        place: self.history.executed.len(),
                        server: at,
                        at: now,
                    });
                }
            }
            FaultKind::Rotate => {
                for server in &mut self.servers {
                    server.forget_passwords(now);
                }
            }
            // What it was told meanwhile may have been lost with the connection.
            FaultKind::Pause { .. } if !self.is_rotating(now) => self.servers[at].forget_passwords(now),
            FaultKind::MaxClients(_) => {
                self.let_administrator_in(at, now);
                self.servers[at].command("CONFIG SET maxclients 10000", now);
            }
            FaultKind::CutUp { .. } | FaultKind::CutDown { .. } | FaultKind::CloseAfter(_) => {
                for connection in self.connections.values_mut().filter(|one| one.server == at) {
                    connection.up.spare();
                    connection.down.spare();
                }
            }
            _ => {}
        }
        self.follow_faults(now);
    }

    /// Has the world be as the faults that last say.
    fn follow_faults(&mut self, now: Duration) {
        let lasting: Vec<Fault> = self.faults.iter().filter(|fault| fault.lasts_at(now)).copied().collect();
        self.way = lasting.iter().fold(self.base_way, |way, fault| way_under(way, fault.kind));
        let is_rotating = self.is_rotating(now);
        let mut were_held = false;
        for at in 0..self.servers.len() {
            let was_frozen = self.servers[at].is_frozen;
            let kinds = lasting.iter().filter(|fault| fault.server == at).map(|fault| fault.kind).collect();
            were_held |= self.servers[at].holds_up || self.servers[at].holds_down;
            self.follow_faults_of(at, kinds, now);
            if was_frozen && !self.servers[at].is_frozen {
                self.read_unread(at);
                // What it was told meanwhile may have been lost with the connection.
                if !is_rotating {
                    self.servers[at].forget_passwords(now);
                }
            }
        }
        if were_held {
            for what in std::mem::take(&mut self.held) {
                self.happen(what, now);
            }
        }
    }

    fn follow_faults_of(&mut self, at: usize, lasting: Vec<FaultKind>, now: Duration) {
        let is_alone = self.servers.len() == 1;
        let server = &mut self.servers[at];
        let doors = lasting.iter().filter_map(|kind| match kind {
            FaultKind::Refuse | FaultKind::Restart { .. } => Some(Door::Refuses),
            FaultKind::Silent => Some(Door::Silent),
            FaultKind::CloseAfter(bytes) => Some(Door::ClosesAfter(*bytes)),
            FaultKind::HandshakesOnly => Some(Door::HandshakesOnly),
            _ => None,
        });
        // Of several the one that lets the least pass.
        server.door = doors.min().unwrap_or_default();
        for condition in REFUSALS {
            let is = lasting.contains(&FaultKind::Refusal(condition));
            server.model.set(condition, is, now);
        }
        server.holds_up = lasting.iter().any(|kind| matches!(kind, FaultKind::Hold { up: true, .. }));
        server.holds_down = lasting.iter().any(|kind| matches!(kind, FaultKind::Hold { down: true, .. }));
        server.is_cut_off = lasting.contains(&FaultKind::Isolate);
        server.is_down = lasting.iter().any(|kind| matches!(kind, FaultKind::Restart { .. }));
        // What is down does nothing by itself, and in particular tells the others nothing.
        let is_frozen = lasting.contains(&FaultKind::Freeze) || server.is_down && !is_alone;
        let was_frozen = std::mem::replace(&mut server.is_frozen, is_frozen);
        if was_frozen != is_frozen {
            server.model.set(Condition::Frozen, is_frozen, now);
        }
    }

    /// A server has read what arrived while it stood still.
    fn read_unread(&mut self, at: usize) {
        for connection in self.connections.values_mut().filter(|connection| connection.server == at) {
            connection.up.handle_taken(std::mem::take(&mut connection.unread));
            self.to_wake.extend(connection.wakers.write.take());
        }
    }

    /// Hangs up on clients of a full server until its administrator can connect again.
    fn let_administrator_in(&mut self, at: usize, now: Duration) {
        self.servers[at].revive(now);
        while self.servers[at].is_locked_out()
            && let Some(id) = self.open(at).first().copied()
        {
            self.hang_up(id, End::Closed, now);
            self.servers[at].revive(now);
        }
    }

    fn is_rotating(&self, now: Duration) -> bool {
        self.faults.iter().any(|fault| fault.kind == FaultKind::Rotate && fault.lasts_at(now))
    }

    /// Whether another pause lasts at the same server.
    fn is_paused(&self, but: usize, now: Duration) -> bool {
        let server = self.faults[but].server;
        let others = self.faults.iter().enumerate().filter(|(at, fault)| *at != but && fault.lasts_at(now));
        others
            .filter(|(_, fault)| fault.server == server)
            .any(|(_, fault)| matches!(fault.kind, FaultKind::Pause { .. }))
    }

    fn open(&self, server: usize) -> Vec<ConnectionId> {
        let open = self.connections.iter().filter(|(_, connection)| {
            connection.phase == Phase::Open
                && connection.client.is_some()
                && !connection.is_dropped
                && connection.server == server
        });
        open.map(|(id, _)| *id).collect()
    }

    fn picked(&mut self, server: usize, pick: u64) -> Option<&mut crate::connection::Connection> {
        let open = self.open(server);
        let at = usize::try_from(pick).unwrap_or(0).checked_rem(open.len())?;
        self.connections.get_mut(&open[at])
    }
}

/// The way while a fault lasts.
fn way_under(way: Way, kind: FaultKind) -> Way {
    match kind {
        FaultKind::Slow { latency, jitter } => Way {
            latency: way.latency + Duration::from_millis(latency),
            jitter: way.jitter + Duration::from_millis(jitter),
            ..way
        },
        // What is on its way then arrives within a second; the rest waits at its sender.
        FaultKind::Narrow(bandwidth) => Way { bandwidth, window: way.window.min(bandwidth * 1000), ..way },
        FaultKind::Pieces(piece) => Way { piece, ..way },
        FaultKind::Window(window) => Way { window, ..way },
        _ => way,
    }
}
