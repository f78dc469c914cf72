//! What may go wrong, and how the world is while it does.
//!
//! A fault lasts for a time; some only strike when they begin. How the world is at a moment follows from the
//! faults that last then, so faults of a kind may overlap. This file must not know why which fault comes.

use std::time::Duration;

use redwire_model::Condition;

use crate::connection::{ConnectionId, Phase};
use crate::link::{End, Way};
use crate::server::Door;
use crate::world::State;

/// One fault of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Its number stays when others are left out.
    pub(crate) id: usize,
    pub(crate) at: Duration,
    pub(crate) lasts: Duration,
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
    /// The password changes. The server goes on knowing the former one for as long as this lasts.
    Rotate,
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

    fn lasts_at(&self, now: Duration) -> bool {
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
        self.history.note(now, || format!("fault {number} begins: {:?}", fault.kind));
        match fault.kind {
            FaultKind::HangUp => {
                self.servers[0].model.kill_clients(now);
                self.servers[0].revive(now);
            }
            FaultKind::Reset { all } => {
                for (at, id) in self.open().into_iter().enumerate() {
                    if all || at % 2 == 0 {
                        self.break_off(id, End::Reset, now);
                    }
                }
            }
            FaultKind::CutUp { pick, bytes, end } => {
                if let Some(connection) = self.picked(pick) {
                    connection.up.cut_after(bytes, end);
                }
            }
            FaultKind::CutDown { pick, bytes, end } => {
                if let Some(connection) = self.picked(pick) {
                    connection.down.cut_after(bytes, end);
                }
            }
            FaultKind::HalfOpen => {
                for id in self.open() {
                    if let Some(connection) = self.connections.get_mut(&id) {
                        connection.up.is_dead = true;
                        connection.down.is_dead = true;
                    }
                }
            }
            FaultKind::Restart { .. } => {
                for id in self.open() {
                    self.break_off(id, End::Reset, now);
                }
                self.servers[0].model.kill_clients(now);
            }
            FaultKind::MaxClients(most) => {
                self.servers[0].command(&format!("CONFIG SET maxclients {}", most + 1), now);
            }
            // A server that pauses all would hold back what pauses it again.
            FaultKind::Pause { writes_only } if !self.is_paused(number, now) => {
                let what = if writes_only { "WRITE" } else { "ALL" };
                self.servers[0].command(&format!("CLIENT PAUSE {} {what}", fault.lasts.as_millis()), now);
            }
            FaultKind::ScriptFlush => self.servers[0].command("SCRIPT FLUSH", now),
            FaultKind::Rotate if self.servers[0].password.is_some() => {
                let password = self.servers[0].change_password(now);
                self.rotated = Some(password);
            }
            _ => {}
        }
        self.follow_faults(now);
    }

    pub(crate) fn end_fault(&mut self, number: usize, now: Duration) {
        let fault = self.faults[number];
        self.history.note(now, || format!("fault {number} ends"));
        match fault.kind {
            FaultKind::Restart { data_lost } => {
                self.servers[0].model.restart(data_lost, now);
                self.servers[0].forget_passwords(now);
                if data_lost {
                    let executed = self.servers[0].model.take_log();
                    self.history.executed.extend(executed);
                    self.history.losses.push((self.history.executed.len(), now));
                }
            }
            FaultKind::Rotate => self.servers[0].forget_passwords(now),
            FaultKind::MaxClients(_) => self.servers[0].command("CONFIG SET maxclients 10000", now),
            FaultKind::CutUp { .. } | FaultKind::CutDown { .. } | FaultKind::CloseAfter(_) => {
                for connection in self.connections.values_mut() {
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
        let lasting: Vec<FaultKind> =
            self.faults.iter().filter(|fault| fault.lasts_at(now)).map(|fault| fault.kind).collect();
        self.way = lasting.iter().fold(self.base_way, |way, kind| way_under(way, *kind));
        let server = &mut self.servers[0];
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
        let were_held = server.holds_up || server.holds_down;
        server.holds_up = lasting.iter().any(|kind| matches!(kind, FaultKind::Hold { up: true, .. }));
        server.holds_down = lasting.iter().any(|kind| matches!(kind, FaultKind::Hold { down: true, .. }));
        let is_frozen = lasting.contains(&FaultKind::Freeze);
        let was_frozen = std::mem::replace(&mut server.is_frozen, is_frozen);
        if was_frozen != is_frozen {
            server.model.set(Condition::Frozen, is_frozen, now);
        }
        if was_frozen && !is_frozen {
            self.read_unread();
        }
        if were_held {
            for what in std::mem::take(&mut self.held) {
                self.happen(what, now);
            }
        }
    }

    /// The server has read what arrived while it stood still.
    fn read_unread(&mut self) {
        for connection in self.connections.values_mut() {
            connection.up.handle_taken(std::mem::take(&mut connection.unread));
            self.to_wake.extend(connection.wakers.write.take());
        }
    }

    /// Whether another pause lasts.
    fn is_paused(&self, but: usize, now: Duration) -> bool {
        let others = self.faults.iter().enumerate().filter(|(at, fault)| *at != but && fault.lasts_at(now));
        others.map(|(_, fault)| fault.kind).any(|kind| matches!(kind, FaultKind::Pause { .. }))
    }

    fn open(&self) -> Vec<ConnectionId> {
        let open = self.connections.iter().filter(|(_, connection)| {
            connection.phase == Phase::Open && connection.client.is_some() && !connection.is_dropped
        });
        open.map(|(id, _)| *id).collect()
    }

    fn picked(&mut self, pick: u64) -> Option<&mut crate::connection::Connection> {
        let open = self.open();
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
        FaultKind::Narrow(bandwidth) => Way { bandwidth, ..way },
        FaultKind::Pieces(piece) => Way { piece, ..way },
        FaultKind::Window(window) => Way { window, ..way },
        _ => way,
    }
}
