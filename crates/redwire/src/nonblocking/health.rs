//! Whether the server of a connection that waits still lives. The connection itself cannot tell: a command that waits holds up
//! the question, too. So it is asked over another one, by one caller for all. What counts as dead is decided here for callers,
//! pools and shared connections: silence, and nothing else.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::config::Endpoint;
use redwire_core::{Error, Outcome, Result};
use tokio::runtime::{self, Handle};
use tokio::sync::{Mutex, Notify};

use super::wire::Wire;
use super::{before, unless};
use crate::service::Follower;
use crate::target::Target;

/// Asks a server whether it lives, over a connection of its own, beyond the limit of a pool; made when somebody first asks.
pub(super) struct Health {
    target: Arc<Target>,
    state: Mutex<State>,
    /// Tells whoever asks that the server was left.
    left: Notify,
}

#[derive(Default)]
struct State {
    /// The connection, and the runtime that reads from it: in another it would seem silent.
    wire: Option<(runtime::Id, Wire)>,
    /// When the server was last known to live.
    alive: Option<Instant>,
}

impl Health {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, state: Mutex::default(), left: Notify::new() }
    }

    /// When the server was last known to live. Fails if it does not answer within `limit`; an answer that is younger than half of
    /// that will do.
    pub(super) async fn check(&self, limit: Duration) -> Result<Instant> {
        let asking = async {
            let mut state = self.state.lock().await;
            if let Some(alive) = state.alive.filter(|alive| alive.elapsed() < limit / 2) {
                return Ok(alive);
            }
            let Some(asked) = unless(self.left.notified(), self.ask(&mut state, limit)).await else {
                // Whoever waits there learns of it by other means.
                return Ok(Instant::now());
            };
            let asked = asked.map(|()| Instant::now());
            state.alive = asked.as_ref().ok().copied();
            asked
        };
        let deadline = Instant::now().checked_add(limit);
        before(deadline, asking).await.unwrap_or_else(|| Err(Error::silent_peer(Outcome::MaybeExecuted)))
    }

    async fn ask(&self, state: &mut State, limit: Duration) -> Result<()> {
        // Taken out: a question that is given up leaves no connection that owes an answer.
        let runtime = Handle::current().id();
        if let Some((_, mut wire)) = state.wire.take().filter(|(of, _)| *of == runtime)
            && wire.ping().await.is_ok()
        {
            state.wire = Some((runtime, wire));
            return Ok(());
        }
        // Shaking hands is proof enough; so is whatever else the server, or its machine, answers.
        match Wire::connect(&self.target, None, Instant::now().checked_add(limit)).await {
            Ok(wire) => state.wire = Some((runtime, wire)),
            Err(error) if error.is_timeout() => return Err(Error::silent_peer(Outcome::MaybeExecuted)),
            Err(_) => {}
        }
        Ok(())
    }
}

impl Follower for Health {
    /// The former master is of no interest any more: what it says, or does not, is no sign of the next.
    fn leave(self: Arc<Self>, _: Option<&Endpoint>) {
        match self.state.try_lock() {
            Ok(mut state) => *state = State::default(),
            Err(_) => self.left.notify_waiters(),
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("target", &self.target).finish_non_exhaustive()
    }
}
