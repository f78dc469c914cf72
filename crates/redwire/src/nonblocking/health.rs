//! Asks whether the server of a connection that waits still lives, over another connection, by one caller for
//! all. What the answer means is decided in the core ([`Inquiry`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redwire_core::config::Endpoint;
use redwire_core::liveness::{Finding, Inquiry};
use redwire_core::{Error, Outcome, Result};
use tokio::runtime::{self, Handle};
use tokio::sync::{Mutex, Notify};

use super::wire::Wire;
use super::{before, unless};
use crate::shared::clock;
use crate::shared::service::Follower;
use crate::shared::target::Target;

/// Asks a server whether it lives, over a connection of its own, beyond the limit of a pool; made when
/// a caller first asks.
pub(super) struct Health {
    target: Arc<Target>,
    state: Mutex<HealthState>,
    /// Tells the caller that asks that the server was left, and how often that was.
    left: Notify,
    leaves: AtomicU64,
}

#[derive(Default)]
struct HealthState {
    /// The connection, and the runtime that reads from it: in another it would seem silent.
    wire: Option<(runtime::Id, Wire)>,
    inquiry: Inquiry,
}

impl Health {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, state: Mutex::default(), left: Notify::new(), leaves: AtomicU64::new(0) }
    }

    /// Asks whether the server lives, for no longer than `limit`.
    pub(super) async fn check(&self, limit: Duration) -> Finding {
        let begin = clock::now();
        let (deadline, leaves) = (begin.checked_add(limit), self.leaves.load(Ordering::Relaxed));
        let Some(mut state) = before(deadline, self.state.lock()).await else { return Finding::Silent };
        // Callers that wait at a server that was left learn of it by other means.
        if self.leaves.load(Ordering::Relaxed) != leaves {
            return Finding::Alive(clock::now());
        }
        if let Some(finding) = state.inquiry.recent(begin, limit) {
            return finding;
        }
        let asked = before(deadline, unless(self.left.notified(), self.ask(&mut state, deadline))).await;
        let interval = self.target.config().health_check_interval();
        let late = || Err(Error::timeout(Outcome::NotSent));
        match asked {
            Some(None) => Finding::Alive(clock::now()),
            asked => {
                let failure = asked.flatten().unwrap_or_else(late).err();
                state.inquiry.handle_asked(failure.as_ref(), limit, interval, clock::now())
            }
        }
    }

    async fn ask(&self, state: &mut HealthState, deadline: Option<Instant>) -> Result<()> {
        // Taken out: a question that is given up leaves no connection that owes an answer.
        let runtime = Handle::current().id();
        if let Some((_, mut wire)) = state.wire.take().filter(|(of, _)| *of == runtime)
            && wire.ping().await.is_ok()
        {
            state.wire = Some((runtime, wire));
            return Ok(());
        }
        // Shaking hands is proof enough.
        state.wire = Some((runtime, Wire::connect(&self.target, None, deadline).await?));
        Ok(())
    }
}

impl Follower for Health {
    /// The former master is of no interest any more: what it says, or does not, is no sign of the next.
    fn leave_server(self: Arc<Self>, _: Option<&Endpoint>) {
        self.leaves.fetch_add(1, Ordering::Relaxed);
        match self.state.try_lock() {
            Ok(mut state) => *state = HealthState::default(),
            Err(_) => self.left.notify_waiters(),
        }
    }
}
