//! A connection that one thread reads for good, since a cache keeps what comes over it: it lives while there
//! is no call, and hears at any time. Calls write for themselves and sleep until the thread has their reply
//! ([`drive`]). Whose reply has come, whether the peer lives and when to try again is decided in
//! `redwire-core`.

use std::sync::Arc;
use std::time::Instant;

use redwire_core::call::Call;
use redwire_core::config::Endpoint;
use redwire_core::inbound::Frames;
use redwire_core::keeper::{Keeper, WhenToConnect};
use redwire_core::link::{Combiner, CombinerEnd, Link};
use redwire_core::{Error, Outcome, Replies, Result};

use crate::blocking::connection::Connection;
use crate::blocking::drive::{self, Driven, Halves, Machine};
use crate::blocking::pool::Pool;
use crate::shared::service::Follower;
use crate::shared::setup;
use crate::shared::sync::{Mutex, MutexGuard};
use crate::shared::threads::{self, Thread};
use crate::shared::tracking::Watch;

/// What is done on each new connection before it is used, before a deadline.
pub(super) type SetUp = Box<dyn Fn(&mut Connection, Instant) -> Result<()> + Send + Sync>;

/// A connection with its thread. Closed when it is dropped.
pub(super) struct TrackedConn {
    shared: Arc<TrackedShared>,
}

struct TrackedShared {
    pool: Pool,
    set_up: SetUp,
    watch: Watch<TrackedConn>,
    state: Mutex<TrackedState>,
    process: u32,
}

struct TrackedState {
    driven: Driven,
    /// How often anything has come.
    received: u64,
    thread: Option<Thread>,
    /// When the next connection is made, and whether this one is to be given up.
    keeper: Keeper,
}

type Locked<'s> = MutexGuard<'s, TrackedState>;

impl TrackedConn {
    /// A connection beside those of `pool`, not connected yet.
    pub(super) fn new(pool: &Pool, set_up: SetUp, watch: Watch<Self>) -> Self {
        let config = pool.config();
        // One that only listens goes with the one that it listens for.
        let lifetime = config.max_lifetime().filter(|_| !matches!(watch, Watch::Redirect(_)));
        let link = Link::new(setup::queue_limits(config), config.health_check_interval())
            .salted(fastrand::u64(..))
            .marked_every(config.mark_every());
        let state = TrackedState {
            driven: Driven { combiner: Combiner::new(link), halves: None },
            received: 0,
            thread: None,
            keeper: Keeper::new(config.reconnect_backoff(), lifetime),
        };
        let (pool, state, process) = (pool.clone(), Mutex::new(state), std::process::id());
        let shared = Arc::new(TrackedShared { pool, set_up, watch, state, process });
        shared.pool.target().follow(&shared);
        Self { shared }
    }

    /// Connects now, so that the caller gets a failure at once, and from then on whenever the connection is
    /// lost.
    pub(super) fn connect(&self) -> Result<()> {
        self.shared.connect()?;
        self.start()
    }

    /// As [`connect`](Self::connect), while no caller waits for it.
    pub(super) fn connect_beside(&self) {
        // Without a thread nothing is kept.
        let _ = self.start();
    }

    fn start(&self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let started = threads::spawn("redwire-cache", move || shared.drive());
        started.map(drop).inspect_err(|error| self.shared.handle_down(error))
    }

    /// Sends `call` and waits for its replies. It does not wait for a connection.
    pub(super) fn exchange(&self, call: &impl Call, deadline: Option<Instant>) -> Result<Replies> {
        let state = self.shared.lock();
        // One that has just failed tells its calls once what was kept is forgotten.
        if state.driven.halves.is_none() {
            return Err(Error::closed_by_peer(Outcome::NotSent));
        }
        drive::exchange(&self.shared.as_ref(), state, call, deadline)
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
        state.keeper.cut(error.clone());
        state.fail(error);
    }
}

impl Drop for TrackedConn {
    fn drop(&mut self) {
        // What a forked child inherits is the parent's, and its locks may be held by threads that are not
        // there.
        if self.shared.process == std::process::id() {
            let mut state = self.shared.lock();
            state.keeper.close();
            state.fail(setup::closed_client());
            state.unpark();
        }
    }
}

impl TrackedState {
    /// Ends the connection, which the thread that reads it finds out.
    fn fail(&mut self, error: Error) {
        if let Some(halves) = &mut self.driven.halves {
            halves.fail(error);
        }
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

impl TrackedShared {
    fn lock(&self) -> Locked<'_> {
        self.state.lock()
    }

    /// Makes a connection, which calls may use from now on.
    fn connect(&self) -> Result<()> {
        let deadline = threads::now() + self.pool.config().connect_timeout();
        let mut connection = Box::new(self.pool.connection());
        connection.reconnect_by(Some(deadline))?;
        (self.set_up)(&mut connection, deadline)?;
        let wire = connection.wire_mut().ok_or_else(setup::closed_client)?;
        wire.ignore_silence();
        let parts = wire.split()?;
        let (mut state, now) = (self.lock(), threads::now());
        state.driven.halves = Some(Halves::new(connection, parts));
        state.driven.combiner.handle_connected(now);
        state.driven.combiner.handle_resident();
        state.keeper.handle_connected(now, fastrand::u64(..));
        drop(state);
        self.watch.handle_up();
        Ok(())
    }

    /// What the thread does: keeps the connection up until it is closed.
    fn drive(&self) {
        self.lock().thread = Some(threads::current());
        while self.until_turn().is_some() {
            if !self.lock().keeper.is_up()
                && let Err(error) = self.connect()
            {
                self.handle_down(&error);
                continue;
            }
            self.run();
        }
    }

    /// Reads for all until the connection is lost, and lets it go.
    fn run(&self) {
        let (me, mut woken) = (threads::current(), Vec::new());
        let mut state = self.lock();
        let lost = loop {
            if let Some(CombinerEnd::Lost(error)) = state.driven.combiner.poll_end() {
                break error;
            }
            if state.driven.combiner.has_failed() {
                // A caller still writes; it wakes this thread when it has ended.
                state.driven.combiner.poll_woken(&mut woken);
                drop(state);
                drive::wake(&mut woken, Some(&me));
                threads::park();
                state = self.lock();
                continue;
            }
            state = self.turn(state, &mut woken, &me);
        };
        let connection = state.driven.halves.take().and_then(Halves::into_connection);
        let (now, random) = (threads::now(), fastrand::u64(..));
        if state.keeper.is_moved() {
            state.keeper.handle_left();
        } else {
            let (cut, answered) = (state.keeper.poll_cut(), state.driven.combiner.has_answered());
            state.keeper.handle_lost(cut.unwrap_or_else(|| lost.clone()), answered, now, random);
        }
        state.driven.combiner.poll_woken(&mut woken);
        let closed = state.keeper.is_closed();
        drop(state);
        drive::wake(&mut woken, Some(&me));
        if let Some(mut connection) = connection
            && let Some(wire) = connection.wire_mut()
            && !closed
        {
            wire.lose(&lost);
        }
    }

    /// Writes what no caller has written, reads once, and asks whether the peer lives when it is time to.
    fn turn<'s>(&'s self, mut state: Locked<'s>, woken: &mut Vec<Thread>, me: &Thread) -> Locked<'s> {
        // It may have been cut or closed while it was made, when there was nothing to end yet.
        let closed = state.keeper.is_closed().then(setup::closed_client);
        if let Some(error) = closed.or_else(|| state.keeper.poll_cut()) {
            return self.end(state, error);
        }
        if state.driven.combiner.poll_writer() {
            state = drive::write(&self, state, woken, Some(me));
        }
        let tick = state.driven.combiner.poll_timeout();
        let retry = state.driven.halves.as_ref().and_then(Halves::poll_retry);
        let until = tick.into_iter().chain(retry).chain(state.keeper.expires()).min();
        let mut came = false;
        let mut state = drive::read(&self, state, woken, Some(me), |wire| {
            let read = wire.receive_frames(until);
            came = !read.as_ref().is_err_and(Error::is_timeout);
            read
        });
        state.received += u64::from(came);
        let (now, received) = (threads::now(), state.received);
        let combiner = &mut state.driven.combiner;
        if !combiner.has_failed() && combiner.poll_timeout().is_some_and(|tick| tick <= now) {
            let ticked = combiner.handle_tick(now, received);
            let is_overdue = combiner.is_overdue();
            if let Err(error) = ticked {
                state = self.end(state, error);
            } else if is_overdue {
                drop(state);
                self.watch.handle_overdue();
                state = self.lock();
            }
        }
        if !state.driven.combiner.has_failed() && state.keeper.expires().is_some_and(|end| end <= now) {
            // What it was asked, the client asks again.
            state.keeper.handle_moved();
            state = self.end(state, setup::left_master());
        }
        state.driven.combiner.poll_woken(woken);
        state
    }

    /// Gives the connection up, on the thread that reads it.
    fn end<'s>(&'s self, state: Locked<'s>, error: Error) -> Locked<'s> {
        drop(state);
        drive::Shared::handle_failed(&self, &error);
        let mut state = self.lock();
        state.fail(error.clone());
        state.driven.combiner.handle_read(Err(error));
        state
    }

    /// There is no connection, for now.
    fn handle_down(&self, error: &Error) {
        drive::Shared::handle_failed(&self, error);
        let error = self.pool.target().locate(error.clone());
        self.lock().keeper.handle_failed(error, threads::now(), fastrand::u64(..));
    }

    /// Waits until a connection may be made, or is up; `None` once it is closed.
    fn until_turn(&self) -> Option<()> {
        loop {
            let now = threads::now();
            let next = match self.lock().keeper.poll_connect(now, fastrand::u64(..)) {
                WhenToConnect::Now | WhenToConnect::Up => return Some(()),
                WhenToConnect::Done => return None,
                WhenToConnect::At(next) => Some(next),
                WhenToConnect::Asked => None,
            };
            threads::park_until(next);
        }
    }
}

impl<'s> drive::SharedByCalls<'s> for &'s TrackedShared {
    #[inline]
    fn combiner(state: &mut TrackedState) -> &mut Combiner<Thread> {
        &mut state.driven.combiner
    }
}

impl<'s> drive::Shared<'s> for &'s TrackedShared {
    type State = TrackedState;

    fn lock(&self) -> Locked<'s> {
        TrackedShared::lock(self)
    }

    fn parts<'m>(&self, state: &'m mut TrackedState) -> (impl Machine, Option<&'m mut Halves>) {
        (&mut state.driven.combiner, state.driven.halves.as_mut())
    }

    /// Before replies are handed out: what came ahead of one must count for the caller that reads it.
    fn handle_frames(&self, frames: &mut Frames) -> Result<()> {
        self.watch.handle_frames(frames)
    }

    /// A caller that learns of it and calls again must not be told what was kept.
    fn handle_failed(&self, error: &Error) {
        let (error, closed) = (self.pool.target().locate(error.clone()), self.lock().keeper.is_closed());
        self.watch.handle_down(closed, &error);
    }

    fn release_duty(&self, state: Locked<'_>) {
        if state.driven.combiner.has_failed() {
            state.unpark();
        }
    }
}

impl Follower for TrackedShared {
    /// Lets go of the connection. The thread makes the next; what was kept until then is forgotten.
    fn leave_server(self: Arc<Self>, _: Option<&Endpoint>) {
        if self.process == std::process::id() {
            let mut state = self.lock();
            state.keeper.handle_moved();
            state.fail(setup::left_master());
            state.unpark();
        }
    }
}
