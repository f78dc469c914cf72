//! The network and the servers at it, driven by the paused clock of the runtime.
//!
//! Everything that is to happen stands in one list, in order of its time; what happens at the same time goes
//! in the order in which it was arranged. This file must not know which faults there are, nor who calls.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use redwire::credentials::{Credentials, RotatingCredentials};
use redwire_model::ClientId;
use tokio::time::{Instant, sleep};

use crate::between::{Between, Cargo};
use crate::connection::{Connection, ConnectionId, Phase};
use crate::faults::Fault;
use crate::history::History;
use crate::link::{End, Way};
use crate::moves::Move;
use crate::scenario::{Scenario, Topology};
use crate::server::{Door, Server, contains};

/// What is to happen.
#[derive(Debug)]
pub(crate) enum Happening {
    /// The wish to connect reaches the server.
    Asked(ConnectionId),
    /// Its answer reaches the client.
    Accepted(ConnectionId, bool),
    /// Bytes reach the server.
    Up(ConnectionId, Vec<u8>),
    UpEnd(ConnectionId),
    /// Bytes reach the client.
    Down(ConnectionId, Vec<u8>),
    DownEnd(ConnectionId, End),
    FaultBegins(usize),
    FaultEnds(usize),
    /// Something reaches a server from another one.
    Between(usize, usize, Cargo),
    /// A slot moves on.
    MoveStep(usize),
    /// A server hears that a service has another master.
    Switched(usize),
    /// It is looked whether the servers agree.
    Look,
}

/// The simulated world, which streams and tasks share.
#[derive(Debug)]
pub(crate) struct World {
    begun: Instant,
    /// What clients say who they are.
    pub(crate) credentials: RotatingCredentials,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) random: fastrand::Rng,
    /// The way as it is without faults.
    pub(crate) base_way: Way,
    pub(crate) way: Way,
    pub(crate) servers: Vec<Server>,
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    /// Which connection a server knows by which number.
    owners: BTreeMap<(usize, ClientId), ConnectionId>,
    happenings: BTreeMap<(Duration, u64), Happening>,
    /// What waits until the way to its server is free again.
    pub(crate) held: Vec<Happening>,
    pub(crate) faults: Vec<Fault>,
    /// How many of the servers have data; the others are sentinels.
    pub(crate) data_servers: usize,
    /// The ways between servers.
    pub(crate) between: Between,
    /// The slots that have been sent to other nodes.
    pub(crate) moves: Vec<Move>,
    /// How many keys of a kind there are.
    pub(crate) keys: u64,
    pub(crate) history: History,
    arranged: u64,
    next_connection: ConnectionId,
    driver: Option<Waker>,
    pub(crate) to_wake: Vec<Waker>,
    /// The password that clients are to be told.
    pub(crate) rotated: Option<String>,
}

impl World {
    pub(crate) fn new(servers: Vec<Server>, scenario: &Scenario, history: History) -> Self {
        let mut state = State {
            random: fastrand::Rng::with_seed(scenario.seed),
            base_way: scenario.way,
            way: scenario.way,
            servers,
            connections: BTreeMap::new(),
            owners: BTreeMap::new(),
            happenings: BTreeMap::new(),
            held: Vec::new(),
            faults: scenario.faults.clone(),
            data_servers: scenario.data_servers(),
            between: Between::new(scenario.set.distance),
            moves: Vec::new(),
            keys: scenario.keys,
            history,
            arranged: 0,
            next_connection: 1,
            driver: None,
            to_wake: Vec::new(),
            rotated: None,
        };
        for number in 0..state.faults.len() {
            let (from, until) = (state.faults[number].at, state.faults[number].until());
            state.arrange(from, Happening::FaultBegins(number));
            state.arrange(until, Happening::FaultEnds(number));
        }
        if scenario.topology != Topology::Single {
            state.arrange(scenario.calm(), Happening::Look);
        }
        let credentials = RotatingCredentials::new(Credentials::default_user(Server::password(0)));
        Self { begun: Instant::now(), credentials, state: Mutex::new(state) }
    }

    /// The time since the world began.
    pub(crate) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// When it is so late.
    pub(crate) fn moment(&self, time: Duration) -> Instant {
        self.begun + time
    }

    /// What a moment of the client's clock is since the world began.
    pub(crate) fn since(&self, moment: std::time::Instant) -> Duration {
        moment.saturating_duration_since(self.begun.into_std())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` on the world, and wakes those whom it concerns afterwards.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State, Duration) -> T) -> T {
        let now = self.now();
        let mut state = self.lock();
        let output = work(&mut state, now);
        let woken = std::mem::take(&mut state.to_wake);
        let rotated = state.rotated.take();
        drop(state);
        if let Some(password) = rotated {
            self.credentials.rotate(Credentials::default_user(password));
        }
        woken.into_iter().for_each(Waker::wake);
        output
    }

    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        self.with(|state, now| state.history.note(now, what));
    }

    /// Notes that a promise was broken, where it is seen at once.
    pub(crate) fn wrong(&self, promise: &'static str, what: String) {
        self.with(|state, _| state.history.wrongs.push((promise, what)));
    }

    /// Lets everything happen at its time. It never ends.
    pub(crate) async fn drive(self: Arc<Self>) {
        let mut timer = pin!(sleep(Duration::ZERO));
        poll_fn(|cx: &mut Context<'_>| {
            loop {
                let next = self.with(|state, now| {
                    state.run(now);
                    state.driver = Some(cx.waker().clone());
                    state.next()
                });
                let Some(next) = next else { return Poll::<()>::Pending };
                timer.as_mut().reset(self.begun + next);
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
}

impl State {
    /// Has something happen at a time.
    pub(crate) fn arrange(&mut self, at: Duration, what: Happening) {
        self.arranged += 1;
        self.happenings.insert((at, self.arranged), what);
        self.to_wake.extend(self.driver.take());
    }

    /// When something happens next.
    fn next(&self) -> Option<Duration> {
        let timeouts = self.servers.iter().filter_map(Server::next_timeout);
        let arranged = self.happenings.first_key_value().map(|((at, _), _)| *at);
        arranged.into_iter().chain(timeouts).min()
    }

    /// Lets everything happen that is due.
    fn run(&mut self, now: Duration) {
        // It looks at what is arranged meanwhile.
        self.driver = None;
        loop {
            for number in 0..self.servers.len() {
                self.serve(number, now);
            }
            self.carry(now);
            let due = self.happenings.first_entry().filter(|entry| entry.key().0 <= now);
            if let Some(entry) = due {
                let what = entry.remove();
                self.happen(what, now);
                continue;
            }
            let mut is_late = false;
            for server in &mut self.servers {
                is_late |= server.handle_timeout(now);
            }
            if !is_late {
                return;
            }
        }
    }

    pub(crate) fn happen(&mut self, what: Happening, now: Duration) {
        if self.is_held(&what) {
            self.held.push(what);
            return;
        }
        match what {
            Happening::Asked(id) => self.handle_asked(id, now),
            Happening::Accepted(id, accepted) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.phase = if accepted { Phase::Open } else { Phase::Refused };
                    self.to_wake.extend(connection.wakers.connect.take());
                }
            }
            Happening::Up(id, bytes) => self.handle_up(id, &bytes, now),
            Happening::UpEnd(id) => self.handle_gone(id, now),
            Happening::Down(id, bytes) => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    let woken = connection.handle_arrived(&bytes);
                    self.to_wake.extend(woken);
                }
            }
            Happening::DownEnd(id, end) => {
                self.history.note(now, || format!("connection {id} ends at the client: {end:?}"));
                if let Some(connection) = self.connections.get_mut(&id) {
                    let woken = connection.handle_end(end);
                    self.to_wake.extend(woken.into_iter().flatten());
                }
            }
            Happening::FaultBegins(number) => self.begin_fault(number, now),
            Happening::FaultEnds(number) => self.end_fault(number, now),
            Happening::Between(from, to, cargo) => self.handle_cargo(from, to, cargo, now),
            Happening::MoveStep(number) => self.step_move(number, now),
            Happening::Switched(server) => self.handle_switched(server, now),
            Happening::Look => self.look(now),
        }
    }

    /// Whether something is on a way that lets nothing pass.
    fn is_held(&self, what: &Happening) -> bool {
        let (id, up) = match what {
            Happening::Asked(id) | Happening::Up(id, _) | Happening::UpEnd(id) => (id, true),
            Happening::Accepted(id, _) | Happening::Down(id, _) | Happening::DownEnd(id, _) => (id, false),
            _ => return false,
        };
        let Some(connection) = self.connections.get(id) else { return false };
        let server = &self.servers[connection.server];
        if up { server.holds_up } else { server.holds_down }
    }

    /// The server that has this address.
    pub(crate) fn server_at(&self, host: &str, port: u16) -> Option<usize> {
        self.servers.iter().position(|server| server.is_at(host, port))
    }

    /// A client wants to connect.
    pub(crate) fn connect(&mut self, server: usize, now: Duration) -> ConnectionId {
        let id = self.next_connection;
        self.next_connection += 1;
        self.history.connects.push((now, server));
        self.history.note(now, || format!("connection {id} to server {server} is asked for"));
        let mut connection = Connection::new(server);
        let at = connection.up.arrival(now, &self.way, &mut self.random);
        self.connections.insert(id, connection);
        self.arrange(at, Happening::Asked(id));
        id
    }

    fn handle_asked(&mut self, id: ConnectionId, now: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let server = &mut self.servers[connection.server];
        let accepted = match server.door {
            Door::Silent => return,
            Door::Refuses => false,
            Door::Open | Door::HandshakesOnly => true,
            Door::ClosesAfter(bytes) => {
                connection.down.cut_after(bytes, End::Closed);
                true
            }
        };
        let at = connection.down.arrival(now, &self.way, &mut self.random);
        if accepted {
            let client = server.model.connect(&format!("10.0.0.1:{}", 10_000 + id), now);
            connection.client = Some(client);
            self.owners.insert((connection.server, client), id);
            self.history.note(now, || format!("connection {id} is accepted as client {client}"));
        } else {
            self.history.note(now, || format!("connection {id} is refused"));
        }
        self.arrange(at, Happening::Accepted(id, accepted));
    }

    fn handle_up(&mut self, id: ConnectionId, bytes: &[u8], now: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let server = &mut self.servers[connection.server];
        let Some(client) = connection.client else {
            // It was closed: what still comes is answered so.
            self.end_down(id, End::Reset, now);
            return;
        };
        if server.door.closes_at(bytes) {
            self.hang_up(id, End::Closed, now);
            return;
        }
        server.model.receive(client, bytes, now);
        if server.is_frozen {
            connection.unread += bytes.len();
        } else {
            connection.up.handle_taken(bytes.len());
            self.to_wake.extend(connection.wakers.write.take());
        }
    }

    /// The server hears that a client has gone.
    fn handle_gone(&mut self, id: ConnectionId, now: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some(client) = connection.client.take() {
            let server = connection.server;
            self.servers[server].model.disconnect(client, now);
            self.owners.remove(&(server, client));
        }
        if connection.is_dropped {
            self.connections.remove(&id);
        }
    }

    /// Sends all that a server has to say, as far as there is room.
    fn serve(&mut self, number: usize, now: Duration) {
        while let Some(client) = self.servers[number].model.poll_ready() {
            match self.owners.get(&(number, client)) {
                Some(id) => self.pump(*id, now),
                None if self.servers[number].is_admin(client) => {}
                None => self.servers[number].model.disconnect(client, now),
            }
        }
        self.drain_log(number);
    }

    /// Takes over what a server has executed.
    pub(crate) fn drain_log(&mut self, number: usize) {
        let executed = self.servers[number].model.take_log();
        if self.history.trace.is_some() {
            for done in &executed {
                let words: Vec<_> = done.words.iter().map(|word| String::from_utf8_lossy(word)).collect();
                let words = words.iter().take(6).map(|word| shortened(word)).collect::<Vec<_>>().join(" ");
                let error = done.error.as_deref().unwrap_or("done");
                let client = done.client;
                self.history.note(done.at, || format!("server {number}, client {client}: {words}: {error}"));
            }
        }
        self.history.executed.extend(executed.into_iter().map(|done| (number, done)));
    }

    /// Sends what the server has for a client, as far as there is room.
    pub(crate) fn pump(&mut self, id: ConnectionId, now: Duration) {
        // Even if nothing is to be sent: the order of tasks, and so what a number means, depends on it.
        self.to_wake.extend(self.driver.take());
        loop {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            let Some(client) = connection.client else { return };
            let server = &mut self.servers[connection.server];
            if server.is_frozen {
                return;
            }
            let output = server.model.output(client);
            let taken = output.len().min(connection.down.room(&self.way));
            if taken == 0 {
                if output.is_empty() && server.model.is_closing(client) {
                    self.hang_up(id, End::Closed, now);
                }
                return;
            }
            let output = &output[..taken];
            if contains(output, MOVED) {
                self.history.redirections.push(now);
            }
            let is_news = connection.server >= self.data_servers && contains(output, NEWS);
            let (pieces, end) = connection.down.send(output, now, &self.way, &mut self.random);
            server.model.sent(client, taken);
            if let Some(last) = pieces.last().filter(|_| is_news) {
                self.note_news(last.at);
            }
            for piece in pieces {
                self.arrange(piece.at, Happening::Down(id, piece.bytes));
            }
            if let Some(end) = end {
                self.hang_up(id, end, now);
                return;
            }
        }
    }

    /// The server ends a connection.
    pub(crate) fn hang_up(&mut self, id: ConnectionId, end: End, now: Duration) {
        self.end_down(id, end, now);
        self.handle_gone(id, now);
    }

    /// The client will hear that a connection has ended.
    pub(crate) fn end_down(&mut self, id: ConnectionId, end: End, now: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !connection.down.is_dead {
            let at = connection.down.arrival(now, &self.way, &mut self.random);
            self.arrange(at, Happening::DownEnd(id, end));
        }
    }

    /// The client has written some of `bytes`; says how much.
    pub(crate) fn write(&mut self, id: ConnectionId, bytes: &[u8], now: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (pieces, end) = connection.up.send(bytes, now, &self.way, &mut self.random);
        for piece in pieces {
            self.arrange(piece.at, Happening::Up(id, piece.bytes));
        }
        if let Some(end) = end {
            self.break_off(id, end, now);
        }
    }

    /// Both sides will hear that a connection is broken.
    pub(crate) fn break_off(&mut self, id: ConnectionId, end: End, now: Duration) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let at = connection.up.arrival(now, &self.way, &mut self.random);
        self.arrange(at, Happening::UpEnd(id));
        self.end_down(id, end, now);
    }

    /// The client has let go of a connection.
    pub(crate) fn close(&mut self, id: ConnectionId, now: Duration) {
        self.history.note(now, || format!("connection {id} is left by the client"));
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.is_dropped = true;
        if !connection.up.is_dead {
            let at = connection.up.arrival(now, &self.way, &mut self.random);
            self.arrange(at, Happening::UpEnd(id));
        }
    }
}

/// How a node begins to say that another has the slot.
const MOVED: &[u8] = b"-MOVED ";

/// What stands in a sentinel's message about another master, and in no answer.
const NEWS: &[u8] = b"+switch-master\r\n$";

/// A word as the trace shows it.
fn shortened(word: &str) -> String {
    let line = word.replace(['\r', '\n'], " ");
    if line.chars().count() > 40 { format!("{}…", line.chars().take(39).collect::<String>()) } else { line }
}
