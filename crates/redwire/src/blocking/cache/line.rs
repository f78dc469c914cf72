//! A connection that one thread reads, for whoever keeps what comes over it: it lives while nobody calls, and hears at any time. Callers
//! write for themselves and sleep until the thread has their reply. Whose reply has come, whether the peer lives and when to try
//! again is decided in `redwire-core`.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use redwire_core::call::Call;
use redwire_core::config::Endpoint;
use redwire_core::keeper::{Connect, Keeper};
use redwire_core::link::{Link, Ticket};
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Replies, Result};

use crate::blocking::connection::Connection;
use crate::blocking::pool::Pool;
use crate::blocking::stream::Socket;
use crate::blocking::wire::Outgoing;
use crate::service::Follower;
use crate::setup;
use crate::tracking::Watch;

/// What is done on each new connection before it is used, before a deadline.
pub(super) type SetUp = Box<dyn Fn(&mut Connection, Instant) -> Result<()> + Send + Sync>;

/// The longest time that a writer waits for the kernel to take anything, before it leaves the rest to the thread.
const STALL: Duration = Duration::from_millis(20);

/// A connection with its thread. Closed when it is dropped.
#[derive(Debug)]
pub(super) struct Line {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    set_up: SetUp,
    watch: Watch<Line>,
    state: Mutex<State>,
    process: u32,
}

struct State {
    link: Link<Thread>,
    /// There while connected; the writing side is away while somebody writes.
    socket: Option<Arc<Socket>>,
    outgoing: Option<Outgoing>,
    /// Which connection it is, so that the writing side comes back to its own.
    number: u64,
    /// How often anything has come.
    received: u64,
    thread: Option<Thread>,
    /// When the next connection is made, and whether this one is to be given up.
    keeper: Keeper,
}

impl Line {
    /// A connection beside those of `pool`, not connected yet.
    pub(super) fn new(pool: &Pool, set_up: SetUp, watch: Watch<Self>) -> Self {
        let config = pool.config();
        let state = State {
            link: Link::new(setup::queue_limits(config), config.health_check_interval())
                .salted(fastrand::u64(..))
                .marked_every(config.mark_every()),
            socket: None,
            outgoing: None,
            number: 0,
            received: 0,
            thread: None,
            keeper: Keeper::new(config.reconnect_backoff(), None),
        };
        let (pool, state, process) = (pool.clone(), Mutex::new(state), std::process::id());
        let shared = Arc::new(Shared { pool, set_up, watch, state, process });
        shared.pool.target().follow(&shared);
        Self { shared }
    }

    /// Connects now, so that a failure is told at once, and from then on whenever the connection is lost.
    pub(super) fn connect(&self) -> Result<()> {
        let mut first = self.shared.connect()?;
        self.shared.adopt(&mut first)?;
        self.start(Some(first))
    }

    /// As [`connect`](Self::connect), while nobody waits for it.
    pub(super) fn connect_beside(&self) {
        // Without a thread nothing is kept.
        let _ = self.start(None);
    }

    fn start(&self, first: Option<Connection>) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let spawned = thread::Builder::new().name("redwire-cache".into()).spawn(move || shared.drive(first));
        spawned.map(drop).map_err(|error| {
            let error = Error::from_io("starting a thread", Outcome::NotSent, error);
            self.shared.handle_down(&error);
            error
        })
    }

    /// Sends `call` and waits for its replies. It does not wait for a connection.
    pub(super) fn exchange(&self, call: &impl Call, deadline: Option<Instant>) -> Result<Replies> {
        let shared = &*self.shared;
        let mut state = shared.lock();
        if state.socket.is_none() {
            return Err(Error::closed_by_peer(Outcome::NotSent));
        }
        let write = |outbox: &mut Outbox| call.write(outbox);
        let ticket = state.link.submit(
            call.count(),
            call.size(),
            call.is_whole(),
            write,
            thread::current(),
            deadline,
        )?;
        shared.flush(state);
        shared.wait(ticket, deadline)
    }

    /// Has the connection tried again, if there is none and nothing is being done about it.
    pub(super) fn ask(&self) {
        let mut state = self.shared.lock();
        if state.keeper.ask() {
            state.unpark();
        }
    }

    /// Has the connection given up because of `error`, and made anew.
    pub(super) fn give_up(&self, error: Error) {
        let mut state = self.shared.lock();
        state.keeper.cut(error);
        state.shutdown();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // What a forked child inherits is the parent's, and its locks may be held by threads that are not there.
        if self.shared.process == std::process::id() {
            let mut state = self.shared.lock();
            state.keeper.close();
            state.shutdown();
            state.unpark();
        }
    }
}

impl State {
    fn shutdown(&self) {
        if let Some(socket) = &self.socket {
            socket.shutdown();
        }
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, and every change to the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self) -> Result<Connection> {
        let deadline = Instant::now() + self.pool.config().connect_timeout();
        let mut connection = self.pool.connection();
        connection.reconnect_by(Some(deadline))?;
        (self.set_up)(&mut connection, deadline)?;
        Ok(connection)
    }

    /// What the thread does: keeps the connection up until it is closed; `first` is up already.
    fn drive(&self, mut first: Option<Connection>) {
        self.lock().thread = Some(thread::current());
        loop {
            let connected = match first.take() {
                Some(first) => Ok(first),
                None if self.until_turn().is_none() => return,
                None => self.connect().and_then(|mut up| self.adopt(&mut up).map(|()| up)),
            };
            match connected {
                Ok(mut connection) => {
                    let error = self.run(&mut connection);
                    // Whoever learns of it and calls again must not meet the lost connection.
                    self.handle_down(&error);
                    if let Some(wire) = connection.wire_mut()
                        && !self.lock().keeper.is_closed()
                    {
                        wire.lose(&error);
                    }
                }
                Err(error) => self.handle_down(&error),
            }
        }
    }

    /// Lets callers use `connection` from now on.
    fn adopt(&self, connection: &mut Connection) -> Result<()> {
        let wire = connection.wire_mut().ok_or_else(setup::closed_client)?;
        wire.bear_silence();
        let (outgoing, socket, _) = wire.split(STALL)?;
        let mut state = self.lock();
        let now = Instant::now();
        state.number += 1;
        (state.outgoing, state.socket) = (Some(outgoing), Some(socket));
        state.keeper.handle_connected(now, fastrand::u64(..));
        state.link.handle_connected(now);
        drop(state);
        self.watch.handle_up();
        Ok(())
    }

    /// Reads, and hands out what comes, until the connection is lost; says why.
    fn run(&self, connection: &mut Connection) -> Error {
        let Some(wire) = connection.wire_mut() else { return setup::closed_client() };
        loop {
            let mut state = self.lock();
            if state.keeper.is_closed() {
                return setup::closed_client();
            }
            if let Some(error) = state.keeper.poll_cut() {
                return error;
            }
            let tick = state.link.poll_timeout();
            // What the kernel did not take is offered again.
            let again = if self.flush(state) { None } else { Some(Instant::now() + STALL) };
            let deadline = tick.into_iter().chain(again).min();
            let read = match wire.receive_frames(deadline) {
                Err(error) if !error.is_timeout() => Err(error),
                Err(_) => {
                    self.change(|state| state.link.handle_timeout(Instant::now(), state.received, None))
                }
                Ok(None) => self.change(|state| {
                    state.received += 1;
                    Ok(false)
                }),
                Ok(Some(frames)) => {
                    // Before replies are handed out: what came ahead of one must count for whoever reads it.
                    self.watch.handle_frames(frames).and_then(|()| {
                        self.change(|state| {
                            state.received += 1;
                            state.link.handle_frames(frames).map(|()| false)
                        })
                    })
                }
            };
            if let Err(error) = read {
                return error;
            }
        }
    }

    /// Changes the state, and wakes those who can go on.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (mut state, mut woken) = (self.lock(), Vec::new());
        let output = change(&mut state);
        state.link.poll_woken(&mut woken);
        drop(state);
        woken.into_iter().for_each(|thread| thread.unpark());
        output
    }

    /// Writes what waits to be written, unless another thread is at it, which will see it. False where the
    /// kernel took only a part.
    fn flush<'s>(&'s self, mut state: MutexGuard<'s, State>) -> bool {
        while let Some(mut outgoing) = state.outgoing.take() {
            let number = state.number;
            if outgoing.outbox.is_empty() {
                state.link.poll_transmit(&mut outgoing.outbox);
            }
            if outgoing.outbox.is_empty() {
                state.outgoing = Some(outgoing);
                return true;
            }
            drop(state);
            let (sent, result) = outgoing.write();
            state = self.lock();
            if state.number != number || state.socket.is_none() {
                return true;
            }
            state.link.handle_sent(sent);
            let stalled = !outgoing.outbox.is_empty();
            state.outgoing = Some(outgoing);
            if result.is_err() {
                // The thread finds out.
                state.shutdown();
            }
            if result.is_err() || stalled {
                return !stalled;
            }
        }
        true
    }

    fn wait(&self, mut ticket: Ticket, deadline: Option<Instant>) -> Result<Replies> {
        loop {
            let now = Instant::now();
            let polled = self.change(|state| {
                if deadline.is_some_and(|deadline| deadline <= now)
                    && state.link.handle_timeout(now, state.received, None).is_err()
                {
                    state.shutdown();
                }
                state.link.poll_reply(ticket, |_| {})
            });
            match polled {
                Ok(result) => return result,
                Err(waiting) => ticket = waiting,
            }
            match deadline {
                None => thread::park(),
                Some(deadline) => thread::park_timeout(deadline.saturating_duration_since(now)),
            }
        }
    }

    /// There is no connection, for now.
    fn handle_down(&self, error: &Error) {
        let (error, closed) = (self.pool.target().locate(error.clone()), self.lock().keeper.is_closed());
        self.watch.handle_down(closed, &error);
        self.change(|state| {
            let (now, random) = (Instant::now(), fastrand::u64(..));
            if state.keeper.is_up() {
                let answered = state.link.has_answered();
                state.keeper.handle_lost(error.clone(), answered, now, random);
            } else {
                state.keeper.handle_failed(error.clone(), now, random);
            }
            state.link.handle_lost(&error);
            (state.socket, state.outgoing) = (None, None);
        });
    }

    /// Waits until a connection may be made; `None` once it is closed.
    fn until_turn(&self) -> Option<()> {
        loop {
            let now = Instant::now();
            let next = match self.lock().keeper.poll_connect(now, fastrand::u64(..)) {
                Connect::Now => return Some(()),
                Connect::Done => return None,
                Connect::At(next) => Some(next),
                Connect::Asked | Connect::Up => None,
            };
            match next {
                None => thread::park(),
                Some(next) => thread::park_timeout(next.saturating_duration_since(now)),
            }
        }
    }
}

impl Follower for Shared {
    /// Lets go of the connection. The thread makes the next; what was kept until then is forgotten.
    fn leave(self: Arc<Self>, _: Option<&Endpoint>) {
        if self.process == std::process::id() {
            let mut state = self.lock();
            if state.keeper.is_up() {
                state.keeper.cut(setup::left_master());
            } else {
                state.keeper.handle_moved();
            }
            state.shutdown();
            state.unpark();
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("pool", &self.pool).finish_non_exhaustive()
    }
}
