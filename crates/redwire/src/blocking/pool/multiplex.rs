//! One connection for many calls: what the calls of clients use while there are more of them than connections pay for.
//!
//! It is borrowed from the pool like any other, for as long as calls ride on it, and goes back when the last has left. It has no
//! thread: those who wait write and read for all. Who does which is decided in the core's `Combiner`. This file must not know what is
//! sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use redwire_core::call::Call;
use redwire_core::link::{Combiner, Duty, End, QueueLimits};
use redwire_core::outbox::Outbox;
use redwire_core::pool::{Closing, Permit};
use redwire_core::{Error, Outcome, Replies, Result};

use super::place::Place;
use super::process::Process;
use crate::blocking::connection::Connection;
use crate::blocking::stream::Socket;
use crate::blocking::wire::Outgoing;
use crate::setup;

/// From so many connections in use on, calls share one. Below that one for each is as fast, and keeps calls out of each other's
/// way; measured with 1 to 64 threads.
pub(super) const CONTENDED: usize = 6;

/// Calls stop sharing once so many times in a row few wanted to.
const QUIET: u32 = 16;

/// After so long nobody else may ride, so that the connection comes back: to be given to others, renewed, or closed.
const RIDE: Duration = Duration::from_millis(100);

/// The longest time that a writer waits for the kernel to take anything, before it looks again at its deadline and for replies.
const STALL: Duration = Duration::from_millis(20);

/// What the calls of one process share.
pub(super) struct Multiplex {
    /// Whether there are so many calls that sharing pays.
    wanted: AtomicBool,
    state: Mutex<State>,
}

struct State {
    combiner: Combiner<Thread>,
    session: Option<Session>,
    quiet: u32,
}

/// A connection that is shared now.
struct Session {
    permit: Permit,
    socket: Arc<Socket>,
    /// In the hands of whoever reads, or writes, else here.
    connection: Option<Box<Connection>>,
    outgoing: Option<Outgoing>,
    /// Until then others may join.
    until: Instant,
    /// The version of the credentials it authenticated with.
    version: u64,
}

impl Multiplex {
    /// Marked after so many replies: see [`Combiner::marked_every`].
    pub(super) fn new(limits: QueueLimits, mark_every: u32) -> Self {
        let combiner = Combiner::new(limits).salted(fastrand::u64(..)).marked_every(mark_every);
        let state = State { combiner, session: None, quiet: 0 };
        Self { wanted: AtomicBool::new(false), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, and every change to the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// There are as many calls as makes sharing pay.
    #[inline]
    pub(super) fn want(&self) {
        if !self.is_wanted() {
            self.wanted.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn submitted(&self) -> u64 {
        self.lock().combiner.submitted()
    }

    /// Nobody else may join those who share a connection now.
    pub(super) fn retire(&self) {
        if let Some(session) = &mut self.lock().session {
            session.until = Instant::now();
        }
    }

    /// Runs `call` on the connection that is shared now; `None` where there is none.
    pub(super) fn join(
        &self,
        process: &Process,
        call: &impl Call,
        version: u64,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Option<Result<Replies>> {
        let state = self.lock();
        let session = state.session.as_ref()?;
        if state.combiner.has_failed() || session.until <= now || session.version != version {
            return None;
        }
        Some(self.ride(process, state, call, deadline))
    }

    /// Runs `call` on the connection of `place`, which others may share from now on. Gives the place back where another is shared.
    pub(super) fn open<'p>(
        &self,
        process: &Process,
        mut place: Place<'p>,
        call: &impl Call,
        deadline: Option<Instant>,
    ) -> std::result::Result<Result<Replies>, Place<'p>> {
        let mut state = self.lock();
        if state.session.is_some() {
            return Err(place);
        }
        let opened = place.wire().and_then(|wire| wire.split(STALL));
        let opened = opened.and_then(|(outgoing, socket, version)| {
            let (permit, connection) = place.keep()?;
            let until = Instant::now() + RIDE;
            Ok(Session {
                permit,
                socket,
                connection: Some(connection),
                outgoing: Some(outgoing),
                until,
                version,
            })
        });
        Ok(opened.and_then(|session| {
            state.session = Some(session);
            self.ride(process, state, call, deadline)
        }))
    }

    /// Submits `call`, and does what there is to do until it is answered.
    fn ride<'s>(
        &'s self,
        process: &Process,
        mut state: MutexGuard<'s, State>,
        call: &impl Call,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        let me = thread::current();
        let write = |outbox: &mut Outbox| call.write(outbox);
        let submitted =
            state.combiner.submit(call.count(), call.size(), call.is_whole(), write, me.clone(), deadline);
        let mut ticket = match submitted {
            Ok(ticket) => {
                state.combiner.mark_transaction(&ticket, call.multi());
                ticket
            }
            Err(error) => {
                self.leave(process, state);
                return Err(error);
            }
        };
        let mut woken = Vec::new();
        loop {
            let duty = state.combiner.poll_duty(ticket);
            state.combiner.poll_woken(&mut woken);
            match duty {
                Duty::Done(result) => {
                    self.leave(process, state);
                    wake(&mut woken, &me);
                    return result;
                }
                Duty::Write(waiting) => {
                    let turn = Turn { multiplex: self, process, reads: false };
                    state = self.write(state, &mut woken, &me);
                    (ticket, _) = (waiting, std::mem::forget(turn));
                }
                Duty::Read(waiting) => {
                    let turn = Turn { multiplex: self, process, reads: true };
                    state = self.read(state, &mut woken, &me, deadline);
                    (ticket, _) = (waiting, std::mem::forget(turn));
                }
                Duty::Enter(waiting) => {
                    let write = |outbox: &mut Outbox| call.write(outbox);
                    ticket = state.combiner.enter(waiting, call.count(), call.size(), call.is_whole(), write);
                    state.combiner.mark_transaction(&ticket, call.multi());
                }
                Duty::Wait(waiting) => {
                    ticket = waiting;
                    drop(state);
                    wake(&mut woken, &me);
                    match deadline {
                        None => thread::park(),
                        Some(deadline) => {
                            thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
                        }
                    }
                    state = self.lock();
                }
            }
            if deadline.is_some() {
                state.combiner.handle_timeout(Instant::now());
            }
        }
    }

    /// Writes what gathered.
    fn write<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        woken: &mut Vec<Thread>,
        me: &Thread,
    ) -> MutexGuard<'s, State> {
        if state.combiner.expects_more() {
            drop(state);
            wake(woken, me);
            // Others are about to ask, too: let them, and write all in one.
            thread::yield_now();
            state = self.lock();
        }
        let State { combiner, session, .. } = &mut *state;
        let outgoing = session.as_mut().and_then(|session| session.outgoing.take());
        let Some(mut outgoing) = outgoing else {
            combiner.handle_written(0, Err(setup::closed_client()));
            return state;
        };
        combiner.poll_transmit(&mut outgoing.outbox);
        drop(state);
        wake(woken, me);
        let (sent, result) = outgoing.write();
        let mut state = self.lock();
        let State { combiner, session, .. } = &mut *state;
        if let Some(session) = session {
            if result.is_err() {
                session.socket.shutdown();
            }
            session.outgoing = Some(outgoing);
        }
        combiner.handle_written(sent, result);
        state
    }

    /// Reads once.
    fn read<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        woken: &mut Vec<Thread>,
        me: &Thread,
        deadline: Option<Instant>,
    ) -> MutexGuard<'s, State> {
        let connection = state.session.as_mut().and_then(|session| session.connection.take());
        drop(state);
        wake(woken, me);
        let Some(mut connection) = connection else {
            let mut state = self.lock();
            state.combiner.handle_read(Err(setup::closed_client()));
            return state;
        };
        let read = connection.wire_mut().ok_or_else(setup::closed_client);
        let read = read.and_then(|wire| match wire.receive_frames(deadline) {
            Err(error) if error.is_timeout() => Ok(None),
            read => read,
        });
        let mut state = self.lock();
        let State { combiner, session, .. } = &mut *state;
        if read.is_err()
            && let Some(session) = session
        {
            session.socket.shutdown();
        }
        combiner.handle_read(read);
        if let Some(session) = session {
            session.connection = Some(connection);
        }
        state
    }

    /// Gives the connection back if nobody needs it any longer.
    fn leave(&self, process: &Process, mut state: MutexGuard<'_, State>) {
        let Some(end) = state.combiner.poll_end() else { return };
        let Some(session) = state.session.take() else { return };
        if let End::Idle(most) = end {
            state.quiet = if most < CONTENDED / 2 { state.quiet + 1 } else { 0 };
            if state.quiet >= QUIET {
                state.quiet = 0;
                self.wanted.store(false, Ordering::Relaxed);
            }
        }
        drop(state);
        let Session { permit, connection, .. } = session;
        match (connection, end) {
            (Some(connection), End::Idle(_)) => process.give_back(permit, connection),
            (Some(mut connection), End::Lost(error)) => {
                if let Some(wire) = connection.wire_mut() {
                    wire.lose(&error);
                }
                process.give_back(permit, connection);
            }
            (connection, _) => {
                drop(connection);
                process.discard(permit, Closing::Dirty);
            }
        }
    }
}

/// A duty that is being done. Should it end by a panic, nobody may wait for it: the connection is lost.
struct Turn<'a> {
    multiplex: &'a Multiplex,
    process: &'a Process,
    reads: bool,
}

impl Drop for Turn<'_> {
    #[cold]
    fn drop(&mut self) {
        let error = Error::closed_by_peer(Outcome::MaybeExecuted);
        let (mut woken, mut state) = (Vec::new(), self.multiplex.lock());
        if let Some(session) = &state.session {
            session.socket.shutdown();
        }
        if self.reads {
            state.combiner.handle_read(Err(error));
        } else {
            state.combiner.handle_written(0, Err(error));
        }
        state.combiner.poll_woken(&mut woken);
        self.multiplex.leave(self.process, state);
        woken.iter().for_each(Thread::unpark);
    }
}

/// Wakes those who can go on, but not the caller.
#[inline]
fn wake(woken: &mut Vec<Thread>, me: &Thread) {
    woken.drain(..).filter(|thread| thread.id() != me.id()).for_each(|thread| thread.unpark());
}
