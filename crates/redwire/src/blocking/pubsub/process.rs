//! What one process has of a [`PubSub`](super::PubSub): the wishes, the connection, and the threads that
//! wait.
//!
//! There are three duties, each with one holder at most: to read, to write, and to connect. A thread that
//! waits takes what is vacant, does it for all (see [`drive`]), and on leaving calls another to it. In a
//! cluster each connection has a thread that has its duties for good ([`shard_channels`]). What is said and
//! heard is decided in the core's `PubSub`. A child of the process never waits for its lock, which a thread
//! may hold that the child has not.

use std::cell::Cell;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use redwire_core::config::{Config, Endpoint};
use redwire_core::inbound::Frames;
use redwire_core::keeper::WhenToConnect;
use redwire_core::outbox::Outbox;
use redwire_core::pubsub::{self, ConnId};
use redwire_core::{Error, Outcome, Result};

use crate::blocking::cluster::Nodes;
use crate::blocking::connection::Connection;
use crate::blocking::drive::{self, DutyGuard, Halves, Machine};
use crate::blocking::health::Health;
use crate::blocking::wire::fetch;
use crate::shared::credentials::{self, VersionedCredentials};
use crate::shared::events::EventKind;
use crate::shared::service::Follower;
use crate::shared::setup;
use crate::shared::sync::{Mutex, MutexGuard};
use crate::shared::target::Target;
use crate::shared::threads::{self, Thread};

pub(super) type PubSubMachine = pubsub::PubSub<Thread>;

/// What one process has of a [`PubSub`](super::PubSub).
pub(super) struct PubSubProcess {
    id: u32,
    pub(super) target: Arc<Target>,
    /// The cluster, where it is one.
    pub(super) nodes: Option<Nodes>,
    state: Mutex<PubSubState>,
}

pub(super) struct PubSubState {
    pub(super) machine: PubSubMachine,
    slots: Vec<DriverSlot>,
    /// How many sleep until they are called.
    asleep: usize,
    /// Whether there is a thread that decides where shard channels are heard from; and the thread, while it
    /// sleeps.
    pub(super) has_router: bool,
    pub(super) router: Option<Thread>,
}

/// The state, which threads hand on while they do what there is to do.
pub(super) type Locked<'s> = MutexGuard<'s, PubSubState>;

/// Where the duties of one connection lie.
struct DriverSlot {
    conn: ConnId,
    target: Arc<Target>,
    link: Option<OpenConn>,
    /// Whether a thread makes a connection.
    connecting: bool,
    heard: Heard,
    /// Whether there is a thread that has all duties for good; and the thread, while it sleeps.
    has_worker: bool,
    worker: Option<Thread>,
}

/// A connection. It is let go once it has failed and no thread has any part of it.
struct OpenConn {
    halves: Halves,
    /// The version of the credentials that were presented, where a live connection takes others.
    version: Option<u64>,
}

/// What came over the connections of a slot.
#[derive(Default)]
struct Heard {
    /// How many reads gave anything.
    received: u64,
    /// When something came for which a thread waited, until there is no more to be read. What was there
    /// before a thread looked for it may have come at any time.
    came: Option<Instant>,
}

impl PubSubProcess {
    pub(super) fn new(target: Arc<Target>, nodes: Option<Nodes>) -> Arc<Self> {
        let machine = setup::subscriptions(target.config());
        let slots = vec![DriverSlot::new(ConnId::MAIN, Arc::clone(&target))];
        let state = PubSubState { machine, slots, asleep: 0, has_router: false, router: None };
        let (id, state) = (std::process::id(), Mutex::new(state));
        let process = Arc::new(Self { id, target, nodes, state });
        process.target.follow(&process);
        process
    }

    /// What a child of the process begins with.
    pub(super) fn fork(&self) -> Arc<Self> {
        Self::new(Arc::clone(&self.target), self.nodes.clone())
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

    pub(super) fn lock(&self) -> Locked<'_> {
        self.state.lock()
    }

    /// Connects, if there is no connection.
    pub(super) fn open(&self) -> Result<()> {
        let connection = self.make(&self.target)?;
        self.handle_connected(ConnId::MAIN, connection);
        Ok(())
    }

    /// As [`change`](Self::change), where a thread is to be there that carries it out.
    pub(super) fn demand<T>(self: &Arc<Self>, change: impl FnOnce(&mut PubSubMachine) -> T) -> T {
        let output = self.change(change);
        if self.nodes.is_some() {
            self.spawn_router();
        }
        output
    }

    /// Changes the wishes, and has the servers told.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut PubSubMachine) -> T) -> T {
        let mut state = self.lock();
        let output = change(&mut state.machine);
        release_duties(self.flush_all(state));
        output
    }

    /// Ends all subscriptions and the connections.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.machine.close();
        for link in state.slots.iter_mut().filter_map(|slot| slot.link.as_mut()) {
            link.halves.fail(setup::closed_client());
        }
        state.take_failed();
        release_duties(state);
    }

    /// No subscription needs it any more: where there are threads, they end.
    pub(super) fn wake_worker(&self) {
        if self.nodes.is_some() {
            self.close();
        }
    }

    /// Waits until `poll` is ready, but no longer than `deadline`, and does meanwhile what there is to do.
    /// `poll` gets the thread that waits.
    pub(super) fn wait<T>(
        self: &Arc<Self>,
        deadline: Option<Instant>,
        mut poll: impl FnMut(&mut PubSubMachine, Option<&Thread>) -> Poll<T>,
    ) -> Option<T> {
        let me = threads::current();
        let mut state = self.lock();
        // Most of what is waited for has come with something else.
        let mut polled = poll(&mut state.machine, None);
        while polled.is_pending() {
            polled = poll(&mut state.machine, Some(&me));
            if polled.is_ready() {
                break;
            }
            // Even without any time, what has come already is read.
            let late = threads::is_over(deadline);
            state = match self.nodes {
                None => self.work(state, ConnId::MAIN, deadline),
                Some(_) => self.sleep(state, None, deadline),
            };
            if late {
                // No thread waits here any longer.
                polled = poll(&mut state.machine, None);
                break;
            }
        }
        release_duties(self.flush_all(state));
        match polled {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Does what there is to do for a connection, or sleeps where others do it.
    pub(super) fn work<'s>(
        self: &'s Arc<Self>,
        mut state: Locked<'s>,
        conn: ConnId,
        deadline: Option<Instant>,
    ) -> Locked<'s> {
        let now = threads::now();
        state.handle_timeout(conn, now);
        state = self.renew(state, conn, now);
        state = self.flush(state, conn);
        let Some(slot) = state.slot(conn) else { return state };
        let retry = slot.link.as_ref().and_then(|link| link.halves.poll_retry());
        let (has_worker, is_vacant) = (slot.has_worker, slot.is_vacant());
        let mut until = deadline.into_iter().chain(retry).min();
        if state.reads(conn) {
            let tick = state.machine.poll_timeout(conn);
            return self.read(state, conn, until.into_iter().chain(tick).min());
        }
        if is_vacant {
            match state.machine.poll_connect(conn, now, fastrand::u64(..)) {
                WhenToConnect::Up | WhenToConnect::Asked => {}
                WhenToConnect::Now if has_worker => return self.connect_here(state, conn),
                WhenToConnect::Now => state = self.connect(state, conn),
                WhenToConnect::At(next) => until = until.into_iter().chain([next]).min(),
                WhenToConnect::Done => {
                    state.slots.retain(|slot| slot.conn != conn);
                    return state;
                }
            }
        }
        self.sleep(state, has_worker.then_some(conn), until)
    }

    /// Presents credentials that have changed while the connection lives.
    fn renew<'s>(&'s self, mut state: Locked<'s>, conn: ConnId, now: Instant) -> Locked<'s> {
        let version = credentials::version(self.config());
        match state.link(conn) {
            Some(OpenConn { version: Some(presented), halves, .. })
                if *presented != version && halves.may_write() =>
            {
                *presented = version;
            }
            _ => return state,
        }
        wake(state);
        let fetched = fetch(&self.target, now + self.config().connect_timeout());
        let mut state = self.lock();
        let PubSubState { machine, slots, .. } = &mut *state;
        match (fetched, link_of(slots, conn)) {
            (Ok(VersionedCredentials { credentials: Some(credentials), .. }), Some(link)) => {
                match link.halves.writer() {
                    Some(outgoing) => machine.present(conn, &credentials.auth(), &mut outgoing.outbox),
                    // Another thread writes: at the next turn.
                    None => link.version = Some(version.wrapping_sub(1)),
                }
            }
            (Ok(_), _) => {}
            (Err(error), _) => self.tell_refused(error),
        }
        state
    }

    fn tell_refused(&self, error: Error) {
        self.target.tell(EventKind::Refused(self.target.locate(error)));
    }

    /// Sleeps until called, or until then; as the worker of the connection `slot`, if it is one.
    fn sleep<'s>(
        &'s self,
        mut state: Locked<'s>,
        slot: Option<ConnId>,
        until: Option<Instant>,
    ) -> Locked<'s> {
        state.asleep += 1;
        if let Some(slot) = slot.and_then(|conn| state.slot(conn)) {
            slot.worker = Some(threads::current());
        }
        wake(state);
        threads::park_until(until);
        let mut state = self.lock();
        state.asleep -= 1;
        if let Some(slot) = slot.and_then(|conn| state.slot(conn)) {
            slot.worker = None;
        }
        state
    }

    /// Reads once, for all.
    fn read<'s>(&'s self, mut state: Locked<'s>, conn: ConnId, until: Option<Instant>) -> Locked<'s> {
        let driven = DrivenConn { process: self, conn, waited: Cell::default() };
        let mut woken = state.poll_woken();
        let mut state = drive::read(&driven, state, &mut woken, None, |wire| {
            let waits = !wire.has_unread()?;
            let read = wire.listen(until);
            driven.waited.set(waits.then(threads::now));
            read
        });
        if let Some(error) = state.machine.poll_refused(conn) {
            self.tell_refused(error);
        }
        state.take_failed();
        state
    }

    /// Writes what any server is to be told.
    fn flush_all<'s>(&'s self, mut state: Locked<'s>) -> Locked<'s> {
        for at in 0.. {
            let Some(conn) = state.slots.get(at).map(|slot| slot.conn) else { break };
            if state.machine.wants_transmit(conn) {
                state = self.flush(state, conn);
            }
        }
        state
    }

    /// Writes what the server is to be told, unless a thread does already.
    fn flush<'s>(&'s self, mut state: Locked<'s>, conn: ConnId) -> Locked<'s> {
        let driven = DrivenConn { process: self, conn, waited: Cell::default() };
        while state.wants_writer(conn) {
            let mut woken = state.poll_woken();
            state = drive::write(&driven, state, &mut woken, None);
            if state.link(conn).is_some_and(|link| link.halves.is_stalled()) {
                break;
            }
        }
        state.take_failed();
        state
    }

    /// Has a thread make a connection: the caller that waits may not have the time.
    fn connect<'s>(self: &'s Arc<Self>, mut state: Locked<'s>, conn: ConnId) -> Locked<'s> {
        let Some(target) = state.begin_connecting(conn) else { return state };
        let process = Arc::clone(self);
        let connect = move || process.attempt(conn, &target);
        if let Err(error) = threads::spawn("redwire-connect", connect) {
            if let Some(slot) = state.slot(conn) {
                slot.connecting = false;
            }
            state.machine.handle_failed(conn, error, threads::now(), fastrand::u64(..));
        }
        state
    }

    /// Makes a connection on the thread that serves it.
    fn connect_here<'s>(&'s self, mut state: Locked<'s>, conn: ConnId) -> Locked<'s> {
        let Some(target) = state.begin_connecting(conn) else { return state };
        wake(state);
        self.attempt(conn, &target);
        self.lock()
    }

    fn attempt(&self, conn: ConnId, target: &Arc<Target>) {
        // Should a callback panic, another thread may connect.
        let turn = DutyGuard(|| self.handle_failed(conn, Error::closed_by_peer(Outcome::NotSent)));
        let made = self.make(target);
        std::mem::forget(turn);
        match made {
            Ok(connection) => self.handle_connected(conn, connection),
            Err(error) => self.handle_failed(conn, error),
        }
    }

    fn make(&self, target: &Arc<Target>) -> Result<Box<Connection>> {
        let health = Arc::new(Health::new(Arc::clone(target)));
        let mut connection = Box::new(Connection::to(Arc::clone(target), health));
        connection.reconnect()?;
        Ok(connection)
    }

    fn handle_connected(&self, conn: ConnId, mut connection: Box<Connection>) {
        let wire = connection.wire_mut().ok_or_else(setup::closed_client);
        let split = wire.and_then(|wire| {
            let version = setup::renewed_version(self.config(), wire.session(), wire.version());
            Ok((wire.split()?, version))
        });
        let (parts, version) = match split {
            Ok(split) => split,
            Err(error) => return self.handle_failed(conn, error),
        };
        let mut state = self.lock();
        let PubSubState { machine, slots, .. } = &mut *state;
        let Some(slot) = slots.iter_mut().find(|slot| slot.conn == conn) else { return };
        slot.connecting = false;
        if machine.is_closed() || slot.link.is_some() {
            drop(state);
            return;
        }
        machine.handle_connected(conn, threads::now());
        slot.heard.came = None;
        slot.link = Some(OpenConn { halves: Halves::new(connection, parts), version });
        let state = self.flush(state, conn);
        release_duties(state);
    }

    #[cold]
    fn handle_failed(&self, conn: ConnId, error: Error) {
        let mut state = self.lock();
        let Some(slot) = state.slot(conn) else { return };
        slot.connecting = false;
        let error = slot.target.locate(error);
        state.machine.handle_failed(conn, error, threads::now(), fastrand::u64(..));
        release_duties(state);
    }
}

/// One connection, as a thread drives it.
struct DrivenConn<'p> {
    process: &'p PubSubProcess,
    conn: ConnId,
    /// When something came, or the time was over, if the thread waited for that.
    waited: Cell<Option<Instant>>,
}

impl<'p> drive::Shared<'p> for DrivenConn<'p> {
    type State = PubSubState;

    fn lock(&self) -> Locked<'p> {
        self.process.lock()
    }

    fn parts<'m>(&self, state: &'m mut PubSubState) -> (impl Machine, Option<&'m mut Halves>) {
        let (conn, waited) = (self.conn, self.waited.get());
        let (heard, link) = match state.slots.iter_mut().find(|slot| slot.conn == conn) {
            Some(slot) => (Some(&mut slot.heard), slot.link.as_mut()),
            None => (None, None),
        };
        let machine = ConnMachine { machine: &mut state.machine, conn, heard, waited };
        (machine, link.map(|link| &mut link.halves))
    }

    fn release_duty(&self, mut state: Locked<'p>) {
        state.take_failed();
        release_duties(state);
    }
}

/// What is heard and said on one connection.
struct ConnMachine<'s> {
    machine: &'s mut PubSubMachine,
    conn: ConnId,
    heard: Option<&'s mut Heard>,
    waited: Option<Instant>,
}

impl Machine for ConnMachine<'_> {
    fn poll_transmit(&mut self, outbox: &mut Outbox) {
        if outbox.is_empty() {
            self.machine.poll_transmit(self.conn, outbox);
        }
    }

    fn handle_written(&mut self, _: usize, _: Result<()>) {}

    fn handle_read(&mut self, read: Result<Option<&mut Frames>>) -> Result<()> {
        let Some(heard) = &mut self.heard else { return read.map(drop) };
        if let Some(came) = heard.came.take_if(|_| self.waited.is_some()) {
            self.machine.handle_quiet(self.conn, came);
        }
        let Some(frames) = read? else { return Ok(()) };
        heard.received += 1;
        heard.came = self.waited.or(heard.came);
        self.machine.handle_frames(self.conn, frames, threads::now())
    }

    fn poll_woken(&mut self, woken: &mut Vec<Thread>) {
        self.machine.poll_woken(woken);
    }
}

impl Follower for PubSubProcess {
    /// Lets go of the connection. A thread that waits makes the next, and hears what may be missing.
    fn leave_server(self: Arc<Self>, _: Option<&Endpoint>) {
        if self.is_current() {
            let mut state = self.lock();
            match state.link(ConnId::MAIN) {
                Some(link) => link.halves.fail(setup::left_master()),
                None => state.machine.leave_server(ConnId::MAIN, setup::left_master()),
            }
            state.take_failed();
            release_duties(state);
        }
    }
}

impl DriverSlot {
    fn new(conn: ConnId, target: Arc<Target>) -> Self {
        let heard = Heard::default();
        Self { conn, target, link: None, connecting: false, heard, has_worker: false, worker: None }
    }

    /// Whether there is something to read, and no thread that does.
    fn is_unread(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.halves.is_unread())
    }

    /// Whether there is no connection, and no thread that makes one.
    fn is_vacant(&self) -> bool {
        self.link.is_none() && !self.connecting
    }

    /// Lets a connection go that has failed, once no thread has any part of it.
    fn take_failed(&mut self, machine: &mut PubSubMachine) {
        let Some(error) = self.link.as_ref().and_then(|link| link.halves.failure()).cloned() else { return };
        let link = self.link.take();
        if machine.is_closed() {
            return;
        }
        machine.handle_lost(self.conn, error.clone(), threads::now(), fastrand::u64(..));
        if let Some(mut connection) = link.and_then(|link| link.halves.into_connection())
            && let Some(wire) = connection.wire_mut()
        {
            wire.lose(&error);
        }
    }
}

impl PubSubState {
    fn slot(&mut self, conn: ConnId) -> Option<&mut DriverSlot> {
        self.slots.iter_mut().find(|slot| slot.conn == conn)
    }

    /// A connection is being made from now on; to where.
    fn begin_connecting(&mut self, conn: ConnId) -> Option<Arc<Target>> {
        let slot = self.slot(conn)?;
        slot.connecting = true;
        Some(Arc::clone(&slot.target))
    }

    fn link(&mut self, conn: ConnId) -> Option<&mut OpenConn> {
        link_of(&mut self.slots, conn)
    }

    /// From now on a thread has all duties of this connection; `target` is where it leads, if it is a new
    /// one. False if one has.
    pub(super) fn spawn_worker(&mut self, conn: ConnId, target: Option<Arc<Target>>) -> bool {
        self.slots.extend(target.map(|target| DriverSlot::new(conn, target)));
        self.slot(conn).is_some_and(|slot| !std::mem::replace(&mut slot.has_worker, true))
    }

    /// Whether the connection still has a slot.
    pub(super) fn has_slot(&self, conn: ConnId) -> bool {
        self.slots.iter().any(|slot| slot.conn == conn)
    }

    /// Whether the connection to any node is wanted, and has no thread.
    pub(super) fn wants_worker(&self) -> bool {
        self.slots.iter().any(|slot| slot.conn == ConnId::MAIN && !slot.has_worker)
            && self.machine.is_wanted(ConnId::MAIN)
    }

    /// Whether there is something to write, and no thread that does.
    fn wants_writer(&mut self, conn: ConnId) -> bool {
        let Some(link) = link_of(&mut self.slots, conn) else { return false };
        link.halves.may_write() && (link.halves.is_stalled() || self.machine.wants_transmit(conn))
    }

    /// Whether there is something to read, and no thread that does.
    fn reads(&self, conn: ConnId) -> bool {
        self.machine.wants_read() && self.slots.iter().any(|slot| slot.conn == conn && slot.is_unread())
    }

    fn handle_timeout(&mut self, conn: ConnId, now: Instant) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.conn == conn) else { return };
        if self.machine.poll_timeout(conn).is_some_and(|due| due <= now)
            && let Err(error) = self.machine.handle_timeout(conn, now, slot.heard.received)
            && let Some(link) = &mut slot.link
        {
            link.halves.fail(error);
            self.take_failed();
        }
    }

    /// Lets connections go that have failed, once no thread has any part of them.
    fn take_failed(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.take_failed(&mut self.machine));
    }

    /// The threads that can go on: those that wait, and those that drive or place, sleep, and have to do
    /// something about what has changed.
    fn poll_woken(&mut self) -> Vec<Thread> {
        let mut woken = Vec::new();
        let Self { machine, slots, .. } = self;
        machine.poll_woken(&mut woken);
        let closed = machine.is_closed();
        for slot in slots.iter_mut().filter(|slot| slot.worker.is_some()) {
            if machine.poll_touched(slot.conn) || (machine.wants_read() && slot.is_unread()) || closed {
                woken.extend(slot.worker.take());
            }
        }
        if self.router.is_some() && (closed || self.machine.wants_placement() || self.wants_worker()) {
            woken.extend(self.router.take());
        }
        woken
    }
}

fn link_of(slots: &mut [DriverSlot], conn: ConnId) -> Option<&mut OpenConn> {
    slots.iter_mut().find(|slot| slot.conn == conn)?.link.as_mut()
}

impl Drop for PubSubProcess {
    fn drop(&mut self) {
        if self.is_current() {
            return;
        }
        // A child drops what its parent goes on with: that is not closed, and nothing is said.
        let state = self.state.get_mut();
        for link in state.slots.iter_mut().filter_map(|slot| slot.link.as_mut()) {
            if let Some(mut connection) = link.halves.take_reader() {
                connection.disown();
            }
        }
    }
}

/// Leaves the duties to another thread that waits, and wakes the threads that can go on.
#[inline]
pub(super) fn release_duties(mut state: Locked<'_>) {
    let vacant = |slot: &DriverSlot| slot.conn == ConnId::MAIN && !slot.has_worker && slot.is_vacant();
    let vacant = state.asleep > 0 && (state.reads(ConnId::MAIN) || state.slots.iter().any(vacant));
    let successor = if vacant { state.machine.poll_successor() } else { None };
    wake(state);
    successor.inspect(Thread::unpark);
}

/// Wakes the threads that can go on.
#[inline]
pub(super) fn wake(mut state: Locked<'_>) {
    let woken = state.poll_woken();
    drop(state);
    woken.into_iter().for_each(|thread| thread.unpark());
}
