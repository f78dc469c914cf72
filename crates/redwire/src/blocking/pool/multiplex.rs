//! One connection for many calls: what the calls of clients use while there are more of them than connections
//! pay for.
//!
//! It is borrowed from the pool like any other, for as long as calls use it, and goes back when the last
//! has left. It has no thread: the calls that wait write and read for all ([`drive`]). This file must not
//! know what is sent.

use std::time::{Duration, Instant};

use redwire_core::call::Call;
use redwire_core::link::{Combiner, CombinerEnd, Link, QueueLimits};
use redwire_core::pool::{CloseReason, Permit};
use redwire_core::{Replies, Result};

use super::place::PoolPlace;
use super::process::PoolProcess;
use crate::blocking::drive::{self, Driven, Halves, Machine};
use crate::shared::sync::atomic::{AtomicBool, Ordering};
use crate::shared::sync::{Mutex, MutexGuard};
use crate::shared::threads::{self, Thread};

/// From so many connections in use on, calls share one. Below that one for each is as fast, and keeps calls
/// out of each other's way; measured with 1 to 64 threads.
pub(super) const CONTENDED: usize = 6;

/// Calls stop sharing once so many times in a row few wanted to.
const QUIET: u32 = 16;

/// After so long no other call may join, so that the connection comes back: to be given to others, renewed,
/// or closed.
const SHARED_FOR: Duration = Duration::from_millis(100);

/// What the calls of one process share.
pub(super) struct Multiplex {
    /// Whether there are so many calls that sharing pays.
    wanted: AtomicBool,
    state: Mutex<MultiplexState>,
}

struct MultiplexState {
    driven: Driven,
    session: Option<MultiplexedConn>,
    quiet: u32,
}

/// A connection that is shared now.
struct MultiplexedConn {
    permit: Permit,
    /// Until then others may join.
    until: Instant,
    /// The version of the credentials it authenticated with.
    version: u64,
}

impl Multiplex {
    /// Marked after so many replies: see [`Link::marked_every`].
    pub(super) fn new(limits: QueueLimits, mark_every: u32) -> Self {
        let link = Link::new(limits, None).salted(fastrand::u64(..)).marked_every(mark_every);
        let driven = Driven { combiner: Combiner::new(link), halves: None };
        let state = MultiplexState { driven, session: None, quiet: 0 };
        Self { wanted: AtomicBool::new(false), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, MultiplexState> {
        self.state.lock()
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
        self.lock().driven.combiner.submitted()
    }

    /// No other call may join those that share a connection now.
    pub(super) fn retire(&self) {
        if let Some(session) = &mut self.lock().session {
            session.until = threads::now();
        }
    }

    /// Runs `call` on the connection that is shared now; `None` where there is none.
    pub(super) fn join(
        &self,
        process: &PoolProcess,
        call: &impl Call,
        version: u64,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Option<Result<Replies>> {
        let state = self.lock();
        let session = state.session.as_ref()?;
        if state.driven.combiner.has_failed() || session.until <= now || session.version != version {
            return None;
        }
        Some(drive::exchange(&SharedCalls { multiplex: self, process }, state, call, deadline))
    }

    /// Runs `call` on the connection of `place`, which others may share from now on. Gives the place back
    /// where another is shared.
    pub(super) fn open<'p>(
        &self,
        process: &PoolProcess,
        mut place: PoolPlace<'p>,
        call: &impl Call,
        deadline: Option<Instant>,
    ) -> std::result::Result<Result<Replies>, PoolPlace<'p>> {
        let mut state = self.lock();
        if state.session.is_some() {
            return Err(place);
        }
        let opened = place.wire().and_then(|wire| Ok((wire.split()?, wire.version())));
        let opened = opened.and_then(|(parts, version)| Ok((parts, version, place.keep()?)));
        Ok(opened.and_then(|(parts, version, (permit, connection))| {
            let until = threads::now() + SHARED_FOR;
            state.session = Some(MultiplexedConn { permit, until, version });
            state.driven.halves = Some(Halves::new(connection, parts));
            state.driven.combiner.handle_connected(threads::now());
            drive::exchange(&SharedCalls { multiplex: self, process }, state, call, deadline)
        }))
    }

    /// Gives the connection back if no call needs it any longer.
    fn release_duty(&self, process: &PoolProcess, mut state: MutexGuard<'_, MultiplexState>) {
        let Some(end) = state.driven.combiner.poll_end() else { return };
        let Some(MultiplexedConn { permit, .. }) = state.session.take() else { return };
        let answered = state.driven.combiner.has_answered();
        let connection = state.driven.halves.take().and_then(Halves::into_connection);
        if let CombinerEnd::Idle(most) = end {
            state.quiet = if most < CONTENDED / 2 { state.quiet + 1 } else { 0 };
            if state.quiet >= QUIET {
                state.quiet = 0;
                self.wanted.store(false, Ordering::Relaxed);
            }
        }
        drop(state);
        match (connection, end) {
            (Some(connection), CombinerEnd::Idle(_)) => process.give_back(permit, connection),
            (Some(mut connection), CombinerEnd::Lost(error)) => {
                if let Some(wire) = connection.wire_mut() {
                    wire.lose(&error);
                    if answered {
                        wire.handle_served();
                    }
                }
                process.give_back(permit, connection);
            }
            (connection, _) => {
                drop(connection);
                process.discard(permit, CloseReason::Dirty);
            }
        }
    }
}

/// The calls of one process on the connection that they share.
struct SharedCalls<'a> {
    multiplex: &'a Multiplex,
    process: &'a PoolProcess,
}

impl<'a> drive::Shared<'a> for SharedCalls<'a> {
    type State = MultiplexState;

    #[inline]
    fn lock(&self) -> MutexGuard<'a, MultiplexState> {
        self.multiplex.lock()
    }

    #[inline]
    fn parts<'m>(&self, state: &'m mut MultiplexState) -> (impl Machine, Option<&'m mut Halves>) {
        (&mut state.driven.combiner, state.driven.halves.as_mut())
    }

    fn release_duty(&self, state: MutexGuard<'a, MultiplexState>) {
        self.multiplex.release_duty(self.process, state);
    }
}

impl<'a> drive::SharedByCalls<'a> for SharedCalls<'a> {
    #[inline]
    fn combiner(state: &mut MultiplexState) -> &mut Combiner<Thread> {
        &mut state.driven.combiner
    }
}
