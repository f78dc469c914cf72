//! What one process has of a [`PubSub`](super::PubSub): the wishes, the connection, and those who wait.
//!
//! There are three duties, each with one holder at most: to read, to write, and to connect. Whoever waits takes what is vacant, does it
//! for all, and on leaving calls another to it. What is said and heard is decided in the core's `PubSub`. A child of the
//! process never waits for its lock, which a thread may hold that the child has not.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::Poll;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use redwire_core::config::{Config, Protocol};
use redwire_core::pubsub::{self, Connect, LineId};
use redwire_core::{Error, Outcome, Result};

use crate::blocking::connection::{Connection, OnConnect};
use crate::blocking::health::Health;
use crate::blocking::stream::Socket;
use crate::blocking::wire::{Outgoing, fetch};
use crate::credentials::{self, Pass};
use crate::events::EventKind;
use crate::service::Follower;
use crate::setup;
use crate::target::Target;

pub(super) type Machine = pubsub::PubSub<Thread>;

/// What one process has of a [`PubSub`](super::PubSub).
pub(super) struct Process {
    id: u32,
    target: Arc<Target>,
    on_connect: Option<OnConnect>,
    state: Mutex<State>,
    /// What this process has, where the one above is its parent.
    child: OnceLock<Arc<Self>>,
}

struct State {
    machine: Machine,
    link: Option<Link>,
    /// Whether somebody makes a connection.
    connecting: bool,
    /// How many sleep until they are called.
    asleep: usize,
    /// How many reads gave anything.
    received: u64,
}

/// A connection. It is let go when nobody has any part of it.
struct Link {
    socket: Arc<Socket>,
    /// In the hands of whoever reads, else here.
    connection: Option<Box<Connection>>,
    /// In the hands of whoever writes, else here.
    outgoing: Option<Outgoing>,
    /// Why it is of no use any more.
    failed: Option<Error>,
    /// The version of the credentials that were presented, where a live connection takes others.
    version: Option<u64>,
}

/// The longest time that a writer waits for the kernel to take anything.
const STALL: Duration = Duration::from_millis(20);

impl Process {
    pub(super) fn new(target: Arc<Target>, on_connect: Option<OnConnect>) -> Arc<Self> {
        let config = target.config();
        let machine = Machine::new(config.health_check_interval(), config.reconnect_backoff());
        let state = State { machine, link: None, connecting: false, asleep: 0, received: 0 };
        let (id, state) = (std::process::id(), Mutex::new(state));
        let process = Arc::new(Self { id, target, on_connect, state, child: OnceLock::new() });
        if let Some(service) = process.target.service() {
            let follower: Weak<Self> = Arc::downgrade(&process);
            service.follow(follower);
        }
        process
    }

    /// What the process that runs this has, beginning with the process that made the `PubSub`.
    pub(super) fn current(first: &Arc<Self>) -> &Arc<Self> {
        let mut process = first;
        while let Some(child) = process.child.get() {
            process = child;
        }
        if process.is_current() {
            return process;
        }
        process.child.get_or_init(|| Self::new(Arc::clone(&process.target), process.on_connect.clone()))
    }

    /// Whether this is the process that runs.
    pub(super) fn is_current(&self) -> bool {
        self.id == std::process::id()
    }

    pub(super) fn config(&self) -> &Config {
        self.target.config()
    }

    pub(super) fn locate(&self, error: Error) -> Error {
        self.target.locate(error)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, and every change to the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects, if there is no connection.
    pub(super) fn open(&self) -> Result<()> {
        let connection = self.make()?;
        self.handle_connected(connection);
        Ok(())
    }

    /// Changes the wishes, and has the server told.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let mut state = self.lock();
        let output = change(&mut state.machine);
        let state = self.flush(state);
        leave(state);
        output
    }

    /// Ends all subscriptions and the connection.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.machine.close();
        if let Some(link) = &mut state.link {
            link.fail(setup::closed_client());
        }
        state.settle();
        leave(state);
    }

    /// Waits until `poll` is ready, but no longer than `deadline`, and does meanwhile what there is to do. `poll` is told who waits.
    pub(super) fn wait<T>(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        mut poll: impl FnMut(&mut Machine, Option<&Thread>) -> Poll<T>,
    ) -> Option<T> {
        let me = thread::current();
        let mut state = self.lock();
        // Most of what is waited for has come with something else.
        let mut polled = poll(&mut state.machine, None);
        while polled.is_pending() {
            polled = poll(&mut state.machine, Some(&me));
            if polled.is_ready() {
                break;
            }
            // Even without any time, what has come already is read.
            let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
            state = self.work(state, deadline);
            if late {
                // Nobody waits here any longer.
                polled = poll(&mut state.machine, None);
                break;
            }
        }
        if state.machine.wants_transmit(LineId::MAIN) {
            state = self.flush(state);
        }
        leave(state);
        match polled {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Does what there is to do, or sleeps where others do it.
    fn work<'s>(
        self: &'s Arc<Self>,
        mut state: MutexGuard<'s, State>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'s, State> {
        let now = Instant::now();
        state.handle_timeout(now);
        state = self.renew(state, now);
        state = self.flush(state);
        // What the kernel did not take is offered again.
        let stalled = state.link.as_ref().is_some_and(Link::is_stalled).then_some(now + STALL);
        let mut until = deadline.into_iter().chain(stalled).min();
        if state.reads() {
            let tick = state.machine.poll_timeout(LineId::MAIN);
            return self.read(state, until.into_iter().chain(tick).min());
        }
        if state.link.is_none() && !state.connecting {
            match state.machine.poll_connect(LineId::MAIN, now, fastrand::u64(..)) {
                Connect::Idle | Connect::Done => {}
                Connect::Now => state = self.connect(state),
                Connect::At(next) => until = until.into_iter().chain([next]).min(),
            }
        }
        self.sleep(state, until)
    }

    /// Presents credentials that have changed while the connection lives.
    fn renew<'s>(&'s self, mut state: MutexGuard<'s, State>, now: Instant) -> MutexGuard<'s, State> {
        let version = credentials::version(self.config());
        match &mut state.link {
            Some(Link { version: Some(presented), outgoing: Some(_), .. }) if *presented != version => {
                *presented = version;
            }
            _ => return state,
        }
        wake(state);
        let fetched = fetch(&self.target, now + self.config().connect_timeout());
        let mut state = self.lock();
        let State { machine, link, .. } = &mut *state;
        match (fetched, link) {
            (Ok(Pass { credentials: Some(credentials), .. }), Some(link)) => match &mut link.outgoing {
                Some(outgoing) => machine.present(LineId::MAIN, &credentials.auth(), &mut outgoing.outbox),
                // Somebody writes: at the next turn.
                None => link.version = Some(version.wrapping_sub(1)),
            },
            (Ok(_), _) => {}
            (Err(error), _) => self.tell_refused(error),
        }
        state
    }

    fn tell_refused(&self, error: Error) {
        self.target.tell(EventKind::Refused(self.target.locate(error)));
    }

    /// Sleeps until called, or until then.
    fn sleep<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        until: Option<Instant>,
    ) -> MutexGuard<'s, State> {
        state.asleep += 1;
        wake(state);
        match until {
            None => thread::park(),
            Some(until) => thread::park_timeout(until.saturating_duration_since(Instant::now())),
        }
        let mut state = self.lock();
        state.asleep -= 1;
        state
    }

    /// Reads once, for all.
    fn read<'s>(&'s self, mut state: MutexGuard<'s, State>, until: Option<Instant>) -> MutexGuard<'s, State> {
        let Some(mut connection) = state.link.as_mut().and_then(|link| link.connection.take()) else {
            return state;
        };
        wake(state);
        let wire = connection.wire_mut().ok_or_else(setup::closed_client);
        let read = wire.and_then(|wire| wire.listen(until));
        let mut state = self.lock();
        let State { machine, link, received, .. } = &mut *state;
        let handled = read.and_then(|frames| match frames {
            None => Ok(()),
            Some(frames) => {
                *received += 1;
                machine.handle_frames(LineId::MAIN, frames, Instant::now())
            }
        });
        if let Some(error) = machine.poll_refused(LineId::MAIN) {
            self.tell_refused(error);
        }
        if let Some(link) = link {
            link.connection = Some(connection);
            if let Err(error) = handled {
                link.fail(error);
            }
        }
        state.settle();
        state
    }

    /// Writes what the server is to be told, unless somebody does already.
    fn flush<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        loop {
            let State { machine, link: Some(link), .. } = &mut *state else { return state };
            if link.failed.is_some() {
                return state;
            }
            let Some(mut outgoing) = link.outgoing.take() else { return state };
            if outgoing.outbox.is_empty() {
                machine.poll_transmit(LineId::MAIN, &mut outgoing.outbox);
            }
            if outgoing.outbox.is_empty() {
                link.outgoing = Some(outgoing);
                return state;
            }
            wake(state);
            let (_, written) = outgoing.write();
            let is_empty = outgoing.outbox.is_empty();
            state = self.lock();
            if let Some(link) = &mut state.link {
                link.outgoing = Some(outgoing);
                match written {
                    Ok(()) if is_empty => continue,
                    Ok(()) => {}
                    Err(error) => link.fail(error),
                }
            }
            state.settle();
            return state;
        }
    }

    /// Has a thread make a connection: whoever waits may not have the time.
    fn connect<'s>(self: &'s Arc<Self>, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        state.connecting = true;
        let process = Arc::clone(self);
        let connect = move || {
            let turn = Turn(&process);
            let made = turn.0.make();
            std::mem::forget(turn);
            match made {
                Ok(connection) => process.handle_connected(connection),
                Err(error) => process.handle_failed(error),
            }
        };
        if let Err(error) = thread::Builder::new().name("redwire-connect".to_owned()).spawn(connect) {
            state.connecting = false;
            let error = Error::from_io("starting a thread", Outcome::NotSent, error);
            state.machine.handle_failed(LineId::MAIN, error, Instant::now(), fastrand::u64(..));
        }
        state
    }

    fn make(&self) -> Result<Box<Connection>> {
        let health = Arc::new(Health::new(Arc::clone(&self.target)));
        let mut connection =
            Box::new(Connection::to(Arc::clone(&self.target), health, self.on_connect.clone()));
        connection.reconnect()?;
        Ok(connection)
    }

    fn handle_connected(&self, mut connection: Box<Connection>) {
        let parts = connection.wire_mut().ok_or_else(setup::closed_client);
        let parts = parts.and_then(|wire| wire.split(STALL));
        let (outgoing, socket, version) = match parts {
            Ok(parts) => parts,
            Err(error) => return self.handle_failed(error),
        };
        let renews = self.config().credential_provider().is_some()
            && connection.session().is_some_and(|session| session.protocol == Protocol::Resp3);
        let version = renews.then_some(version);
        let mut state = self.lock();
        state.connecting = false;
        if state.machine.is_closed() || state.link.is_some() {
            drop(state);
            return;
        }
        state.machine.handle_connected(LineId::MAIN, Instant::now());
        let (connection, outgoing) = (Some(connection), Some(outgoing));
        state.link = Some(Link { socket, connection, outgoing, failed: None, version });
        let state = self.flush(state);
        leave(state);
    }

    #[cold]
    fn handle_failed(&self, error: Error) {
        let mut state = self.lock();
        state.connecting = false;
        state.machine.handle_failed(LineId::MAIN, error, Instant::now(), fastrand::u64(..));
        leave(state);
    }
}

impl Follower for Process {
    /// Lets go of the connection. Whoever waits makes the next, and is told what may be missing.
    fn leave(self: Arc<Self>) {
        if self.is_current() {
            let mut state = self.lock();
            if let Some(link) = &mut state.link {
                link.fail(setup::left_master());
            }
            state.settle();
            leave(state);
        }
    }

    fn cut(self: Arc<Self>) {}
}

impl State {
    /// Whether there is something to read, and nobody who does.
    fn reads(&self) -> bool {
        let idle = |link: &Link| link.connection.is_some() && link.failed.is_none();
        self.machine.wants_read() && self.link.as_ref().is_some_and(idle)
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.machine.poll_timeout(LineId::MAIN).is_some_and(|due| due <= now)
            && let Err(error) = self.machine.handle_timeout(LineId::MAIN, now, self.received)
            && let Some(link) = &mut self.link
        {
            link.fail(error);
            self.settle();
        }
    }

    /// Lets a connection go that has failed, once nobody has any part of it.
    fn settle(&mut self) {
        let Some(link) = &mut self.link else { return };
        let (Some(error), Some(connection), Some(_)) = (&link.failed, &mut link.connection, &link.outgoing)
        else {
            return;
        };
        if !self.machine.is_closed() {
            self.machine.handle_lost(LineId::MAIN, error.clone(), Instant::now(), fastrand::u64(..));
            if let Some(wire) = connection.wire_mut() {
                wire.lose(error);
            }
        }
        self.link = None;
    }
}

impl Link {
    /// It is of no use any more, which whoever waits on it learns.
    fn fail(&mut self, error: Error) {
        self.socket.shutdown();
        self.failed.get_or_insert(error);
    }

    /// Whether the kernel has not taken all there was to write.
    fn is_stalled(&self) -> bool {
        self.outgoing.as_ref().is_some_and(|outgoing| !outgoing.outbox.is_empty())
    }
}

/// The right to connect. Should a callback panic, it goes to another.
struct Turn<'a>(&'a Process);

impl Drop for Turn<'_> {
    #[cold]
    fn drop(&mut self) {
        self.0.handle_failed(Error::closed_by_peer(Outcome::NotSent));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_current() {
            return;
        }
        // A child drops what its parent goes on with: that is not closed, and nothing is said.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = state.link.as_mut().and_then(|link| link.connection.as_mut()) {
            connection.disown();
        }
    }
}

/// Leaves the duties to another who waits, and wakes those who can go on.
#[inline]
fn leave(mut state: MutexGuard<'_, State>) {
    let vacant = state.asleep > 0 && (state.reads() || (state.link.is_none() && !state.connecting));
    let successor = if vacant { state.machine.poll_successor() } else { None };
    wake(state);
    successor.inspect(Thread::unpark);
}

/// Wakes those who can go on.
#[inline]
fn wake(mut state: MutexGuard<'_, State>) {
    let mut woken = Vec::new();
    state.machine.poll_woken(&mut woken);
    drop(state);
    woken.into_iter().for_each(|thread| thread.unpark());
}
