//! Whether the server of a connection that waits still lives. The connection itself cannot tell: a command that waits holds up
//! the question, too. So it is asked over another one, by one caller for all. What counts as dead is decided here for both
//! callers and pools: silence, and nothing else.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redwire_core::config::Endpoint;
use redwire_core::{Error, Outcome, Result};

use super::stream::Plug;
use super::wire::Wire;
use crate::grip::{End, Grip};
use crate::service::Follower;
use crate::target::Target;

/// Asks a server whether it lives, over a connection of its own, beyond the limit of a pool; made when somebody first asks.
pub(super) struct Health {
    target: Arc<Target>,
    grip: Arc<Grip<Plug>>,
    state: Mutex<State>,
    /// Tells those who wait for an answer that nobody asks any longer.
    asked: Condvar,
}

#[derive(Default)]
struct State {
    wire: Option<Wire>,
    asking: bool,
    /// Whether the server that is asked was left meanwhile.
    left: bool,
    /// What was found last, and when.
    found: Option<(Instant, Result<()>)>,
}

impl Health {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, grip: Arc::default(), state: Mutex::default(), asked: Condvar::new() }
    }

    /// When the server was last known to live. Fails if it does not answer within `limit`; an answer that is younger than half of
    /// that will do.
    pub(super) fn check(&self, limit: Duration) -> Result<Instant> {
        let begin = Instant::now();
        let deadline = begin + limit;
        let mut state = self.lock();
        while state.asking {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(silence());
            }
            state = self.asked.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some((at, found)) = &state.found
            && begin.saturating_duration_since(*at) < limit / 2
        {
            return found.clone().map(|()| *at);
        }
        state.asking = true;
        let wire = state.wire.take();
        drop(state);
        let (wire, found) = self.ask(wire, deadline);
        let mut state = self.lock();
        // One in a hurry proves nothing to those who have more time.
        let proven = found.is_ok() || self.target.config().health_check_interval() <= Some(limit);
        let now = Instant::now();
        state.found = proven.then(|| (now, found.clone()));
        (state.wire, state.asking) = (wire, false);
        if std::mem::take(&mut state.left) {
            (state.wire, state.found) = (None, None);
        }
        drop(state);
        self.asked.notify_all();
        found.map(|()| now)
    }

    fn ask(&self, wire: Option<Wire>, deadline: Instant) -> (Option<Wire>, Result<()>) {
        if let Some(mut wire) = wire
            && wire.is_fresh(Instant::now())
        {
            match wire.ping(deadline) {
                Ok(()) => {
                    wire.rest();
                    return (Some(wire), Ok(()));
                }
                Err(error) if error.is_timeout() => return (None, Err(silence())),
                Err(_) => {}
            }
        }
        // Shaking hands is proof enough; so is whatever else the server, or its machine, answers.
        match Wire::connect(&self.target, None, Some(&self.grip), Some(deadline)) {
            Ok(wire) => (Some(wire), Ok(())),
            Err(error) if error.is_timeout() => (None, Err(silence())),
            Err(_) => (None, Ok(())),
        }
    }

    /// Forgets the connection of a process of which this one is a child, if it can be had without waiting for a thread that
    /// does not exist here.
    pub(super) fn disown(&self) {
        if let Ok(mut state) = self.state.try_lock()
            && let Some(mut wire) = state.wire.take()
        {
            wire.disown();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, and every change to the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower for Health {
    /// The former master is of no interest any more: what it says, or does not, is no sign of the next.
    fn leave(self: Arc<Self>, _: Option<&Endpoint>) {
        // Held for moments only, but in a child by a thread that is not there.
        if let Ok(mut state) = self.state.try_lock() {
            (state.wire, state.found, state.left) = (None, None, state.asking);
            // Whoever waits there learns of it by other means.
            self.grip.means().end();
        }
    }
}

#[cold]
fn silence() -> Error {
    Error::silent_peer(Outcome::MaybeExecuted)
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("target", &self.target).finish_non_exhaustive()
    }
}
