//! How callers share connections here: each call has one for itself, and leaves it for the next.
//!
//! Knows how many there are and who waits. It must not know what is sent.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use redwire_core::Result;
use redwire_core::config::{Config, Endpoint, Protocol};
use redwire_core::outage::{Outage, Turn};

use super::wire::Wire;
use crate::setup;

/// Connections to one server, at most `max_connections` of them.
#[derive(Debug)]
pub(super) struct Lane {
    config: Config,
    endpoint: Endpoint,
    address: Arc<str>,
    state: Mutex<State>,
    freed: Condvar,
    /// Tells those who wait for their turn to connect that an outage is over.
    mended: Condvar,
}

#[derive(Debug)]
struct State {
    /// Idle connections; the one used last is used first, so that the others may grow old.
    #[allow(clippy::vec_box, reason = "each moves in and out with every call, and it is large")]
    idle: Vec<Box<Wire>>,
    /// How many there are, idle and in use and being made.
    count: usize,
    waiting: usize,
    /// What the server was found to speak, so that it is not asked again each time.
    protocol: Protocol,
    outage: Outage,
}

impl Lane {
    pub(super) fn new(config: Config) -> Result<Self> {
        let endpoint = setup::endpoint(&config)?.clone();
        let state = State {
            idle: Vec::new(),
            count: 0,
            waiting: 0,
            protocol: config.protocol(),
            outage: Outage::default(),
        };
        let address = setup::address(&endpoint);
        Ok(Self {
            config,
            endpoint,
            address,
            state: Mutex::new(state),
            freed: Condvar::new(),
            mended: Condvar::new(),
        })
    }

    pub(super) fn address(&self) -> &Arc<str> {
        &self.address
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Lets `work` use a connection: an idle one, a new one, or the next that comes free before `deadline`.
    #[inline]
    pub(super) fn with<T>(
        &self,
        now: Instant,
        deadline: Option<Instant>,
        work: impl FnOnce(&mut Wire) -> Result<T>,
    ) -> Result<T> {
        let mut place = Place { lane: self, wire: self.take(deadline)? };
        if place.wire.as_mut().is_some_and(|wire| !wire.is_fresh(now)) {
            place.wire = None;
        }
        let wire = match &mut place.wire {
            Some(wire) => wire,
            empty => empty.insert(self.connect(deadline)?),
        };
        let output = work(wire);
        wire.rest();
        output
    }

    /// An idle connection, or the right to make one.
    #[inline]
    fn take(&self, deadline: Option<Instant>) -> Result<Option<Box<Wire>>> {
        let mut state = self.lock();
        loop {
            if let Some(wire) = state.idle.pop() {
                return Ok(Some(wire));
            }
            if state.count < self.config.max_connections() {
                state.count += 1;
                return Ok(None);
            }
            state.waiting += 1;
            state = self.wait(state, deadline)?;
        }
    }

    #[cold]
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        deadline: Option<Instant>,
    ) -> Result<MutexGuard<'a, State>> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut state = match left {
            None => self.freed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(left) => self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.waiting -= 1;
        if left.is_none_or(|left| !left.is_zero()) {
            return Ok(state);
        }
        Err(setup::late(Some(&setup::exhausted(&self.config))))
    }

    #[cold]
    fn connect(&self, deadline: Option<Instant>) -> Result<Box<Wire>> {
        let protocol = self.take_turn(deadline)?;
        let connected = Wire::connect(&self.endpoint, &self.config, protocol, deadline).map(Box::new);
        let mut state = self.lock();
        match &connected {
            Ok(wire) => {
                state.protocol = wire.session().protocol;
                if state.outage.handle_connected() {
                    self.mended.notify_all();
                }
            }
            Err(error) => {
                let backoff = self.config.reconnect_backoff();
                state.outage.handle_failure(error.clone(), backoff, Instant::now(), fastrand::u64(..));
                self.mended.notify_all();
            }
        }
        connected
    }

    /// Waits until it is this caller's turn to connect.
    fn take_turn(&self, deadline: Option<Instant>) -> Result<Protocol> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let turn = state.outage.poll_turn(self.config.reconnect_backoff(), now, fastrand::u64(..));
            let next = match turn {
                Turn::Now => return Ok(state.protocol),
                Turn::Hopeless(_, error) => return Err(error),
                Turn::At(next) => next,
            };
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Err(setup::late(state.outage.error()));
            }
            let until = deadline.map_or(next, |deadline| deadline.min(next));
            state = self.mended.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, and every change to the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one connection among those allowed. Given back however its holder ends.
struct Place<'a> {
    lane: &'a Lane,
    wire: Option<Box<Wire>>,
}

impl Drop for Place<'_> {
    #[inline]
    fn drop(&mut self) {
        let mut state = self.lane.lock();
        match self.wire.take().filter(|wire| wire.is_clean()) {
            Some(wire) => state.idle.push(wire),
            None => state.count -= 1,
        }
        let somebody_waits = state.waiting > 0;
        drop(state);
        // Each notification costs a system call.
        if somebody_waits {
            self.lane.freed.notify_one();
        }
    }
}
