//! What a pool does while no caller asks: it keeps some connections warm, and closes those that are too old
//! or idle for too long. Only pools with an option for any of that have a thread for it.

use std::sync::Weak;
use std::time::{Duration, Instant};

use super::PoolShared;
use crate::shared::owner::PerProcess;
use crate::shared::setup;
use crate::shared::threads::{self, Thread};

/// The thread that looks after a pool. It ends with the pool.
pub(super) struct Upkeep(PerProcess<Thread>);

/// At least this often is looked, since what is due may come to be so at any time.
const LOOK: Duration = Duration::from_millis(100);

impl Upkeep {
    /// Looks after the pool from now on, if its options have it do anything by itself.
    pub(super) fn start(shared: &PoolShared) -> Option<Self> {
        if !setup::wants_upkeep(shared.target.config()) {
            return None;
        }
        let pool = shared.this.clone();
        // Without it the pool works all the same, and is less tidy.
        let started = threads::spawn("redwire-pool", move || look_after(&pool)).ok()?;
        Some(Self(PerProcess::new(started.thread().clone())))
    }

    /// Something changed that may be for the thread to see to.
    pub(super) fn wake(&self) {
        // A child process has not inherited the thread.
        self.0.existing().inspect(|thread| thread.unpark());
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.wake();
    }
}

fn look_after(pool: &Weak<PoolShared>) {
    while let Some(shared) = pool.upgrade() {
        let Some(next) = shared.tidy_up() else { return };
        drop(shared);
        let look = threads::now() + LOOK;
        threads::park_until(Some(next.map_or(look, |next| next.min(look))));
    }
}

impl PoolShared {
    /// Does what is due. Says when to look again, if that is known; `None` when the pool is closed.
    fn tidy_up(&self) -> Option<Option<Instant>> {
        let process = self.process();
        loop {
            let (now, random) = (threads::now(), fastrand::u64(..));
            let (permit, next, closed) = process.change(|state| {
                state.machine.handle_timeout(now);
                let permit = state.machine.poll_warm(now, random);
                (permit, state.machine.poll_timeout(), state.machine.is_closed())
            });
            match permit {
                _ if closed => return None,
                None => return Some(next),
                // The accounts tell of one that fails, and say when to try again.
                Some(permit) => self.attempt(permit).run(None, None),
            }
        }
    }
}
