//! How callers share connections here: each call has one for itself, and leaves it for the next.
//!
//! Knows how many there are and who waits. It must not know what is sent.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redwire_core::config::{Config, Endpoint, Protocol};
use redwire_core::retry::reconnects_unasked;
use redwire_core::{Error, ErrorKind, Outcome, Result};

use super::connection::Wire;
use crate::wire;

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
    idle: Vec<Wire>,
    /// How many there are, idle and in use and being made.
    count: usize,
    waiting: usize,
    /// What the server was found to speak, so that it is not asked again each time.
    protocol: Protocol,
    outage: Option<Outage>,
}

/// Since the last attempt to connect failed, all callers together connect only so often.
#[derive(Debug)]
struct Outage {
    tries: u32,
    pause: Duration,
    /// When the next attempt may be made.
    next: Instant,
    error: Error,
}

impl Lane {
    pub(super) fn new(config: Config) -> Result<Self> {
        let endpoint = wire::endpoint(&config)?.clone();
        let state =
            State { idle: Vec::new(), count: 0, waiting: 0, protocol: config.protocol(), outage: None };
        let address = wire::address(&endpoint);
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
        deadline: Option<Instant>,
        work: impl FnOnce(&mut Wire) -> Result<T>,
    ) -> Result<T> {
        let mut place = Place { lane: self, wire: self.take(deadline)? };
        if place.wire.as_mut().is_some_and(|wire| !wire.is_fresh()) {
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
    fn take(&self, deadline: Option<Instant>) -> Result<Option<Wire>> {
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
        let most = self.config.max_connections();
        let message = format!("all {most} connections (`max_connections`) were in use until the deadline");
        Err(Error::new(ErrorKind::Timeout, Outcome::NotSent, message))
    }

    #[cold]
    fn connect(&self, deadline: Option<Instant>) -> Result<Wire> {
        let protocol = self.take_turn(deadline)?;
        let connected = Wire::connect(&self.endpoint, &self.config, protocol, deadline);
        let mut state = self.lock();
        match &connected {
            Ok(wire) => {
                state.protocol = wire.session().protocol;
                if state.outage.take().is_some() {
                    self.mended.notify_all();
                }
            }
            // A caller in a hurry says nothing about the server: the turn is for the next one.
            Err(error) if error.kind() == ErrorKind::Timeout => {
                if let Some(outage) = &mut state.outage {
                    outage.next = Instant::now();
                    self.mended.notify_all();
                }
            }
            Err(error) => match &mut state.outage {
                Some(outage) => outage.error = error.clone(),
                None => state.outage = Some(Outage::new(error.clone(), &self.config)),
            },
        }
        connected
    }

    /// Waits until one may connect: at once while nothing is wrong, else after the pause, one caller at a time. What time
    /// will not mend is told at once.
    fn take_turn(&self, deadline: Option<Instant>) -> Result<Protocol> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let protocol = state.protocol;
            let Some(outage) = &mut state.outage else { return Ok(protocol) };
            if outage.next <= now {
                outage.postpone(&self.config, now);
                return Ok(protocol);
            }
            if !reconnects_unasked(&outage.error) {
                return Err(outage.error.clone());
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Err(wire::late(outage.error.clone()));
            }
            let until = deadline.map_or(outage.next, |deadline| deadline.min(outage.next));
            state = self.mended.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, and every change to the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outage {
    fn new(error: Error, config: &Config) -> Self {
        let now = Instant::now();
        let mut outage = Self { tries: 0, pause: Duration::ZERO, next: now, error };
        outage.postpone(config, now);
        outage
    }

    fn postpone(&mut self, config: &Config, now: Instant) {
        self.tries += 1;
        self.pause = config.reconnect_backoff().delay(self.tries, self.pause, fastrand::u64(..));
        self.next = now + self.pause;
    }
}

/// The place of one connection among those allowed. Given back however its holder ends.
struct Place<'a> {
    lane: &'a Lane,
    wire: Option<Wire>,
}

impl Drop for Place<'_> {
    #[inline]
    fn drop(&mut self) {
        let mut state = self.lane.lock();
        match self.wire.take().filter(Wire::is_clean) {
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
