//! Asks whether the server of a connection that waits still lives, over another connection, by one caller for
//! all. What the answer means is decided in the core ([`Inquiry`]).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::Result;
use redwire_core::config::Endpoint;
use redwire_core::liveness::{Finding, Inquiry};

use super::stream::CurrentSocket;
use super::wire::Wire;
use crate::shared::interrupt::{Interrupt, Kill};
use crate::shared::service::Follower;
use crate::shared::sync::{Condvar, Mutex, MutexGuard};
use crate::shared::target::Target;
use crate::shared::threads;

/// Asks a server whether it lives, over a connection of its own, beyond the limit of a pool; made when
/// a caller first asks.
pub(super) struct Health {
    target: Arc<Target>,
    interrupt: Arc<Interrupt<CurrentSocket>>,
    state: Mutex<HealthState>,
    /// Tells threads that wait for an answer that none asks any longer.
    asked: Condvar,
}

#[derive(Default)]
struct HealthState {
    wire: Option<Wire>,
    asking: bool,
    /// How often servers were left.
    left: u64,
    inquiry: Inquiry,
}

impl Health {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, interrupt: Arc::default(), state: Mutex::default(), asked: Condvar::new() }
    }

    /// Asks whether the server lives, for no longer than `limit`.
    pub(super) fn check(&self, limit: Duration) -> Finding {
        let begin = threads::now();
        let deadline = begin + limit;
        let mut state = self.lock();
        let before = state.left;
        while state.asking {
            if threads::is_over(Some(deadline)) {
                return Finding::Silent;
            }
            state = self.asked.wait_until(state, Some(deadline));
        }
        // Callers that wait at a server that was left learn of it by other means.
        if state.left != before {
            return Finding::Alive(threads::now());
        }
        if let Some(finding) = state.inquiry.recent(begin, limit) {
            return finding;
        }
        state.asking = true;
        let wire = state.wire.take();
        drop(state);
        let asked = self.ask(wire, deadline);
        let (now, interval) = (threads::now(), self.target.config().health_check_interval());
        let mut state = self.lock();
        state.asking = false;
        let finding = if state.left == before {
            let finding = state.inquiry.handle_asked(asked.as_ref().err(), limit, interval, now);
            state.wire = asked.ok();
            finding
        } else {
            Finding::Alive(now)
        };
        drop(state);
        self.asked.notify_all();
        finding
    }

    fn ask(&self, wire: Option<Wire>, deadline: Instant) -> Result<Wire> {
        if let Some(mut wire) = wire
            && wire.is_fresh(threads::now())
        {
            match wire.ping(deadline) {
                Ok(()) => {
                    wire.handle_idle();
                    return Ok(wire);
                }
                Err(error) if error.is_timeout() => return Err(error),
                Err(_) => {}
            }
        }
        // Shaking hands is proof enough.
        Wire::connect(&self.target, None, Some(&self.interrupt), Some(deadline))
    }

    /// Forgets the connection of a process of which this one is a child, if it can be had without waiting for
    /// a thread that does not exist here.
    pub(super) fn disown(&self) {
        if let Some(mut state) = self.state.try_lock()
            && let Some(mut wire) = state.wire.take()
        {
            wire.disown();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock()
    }
}

impl Follower for Health {
    /// The former master is of no interest any more: what it says, or does not, is no sign of the next.
    fn leave_server(self: Arc<Self>, _: Option<&Endpoint>) {
        // Held for moments only, but in a child by a thread that is not there.
        if let Some(mut state) = self.state.try_lock() {
            (state.wire, state.inquiry) = (None, Inquiry::default());
            state.left += 1;
            self.interrupt.handle().kill();
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("target", &self.target).finish_non_exhaustive()
    }
}
