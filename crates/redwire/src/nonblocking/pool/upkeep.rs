//! What a pool does while no caller asks: it keeps some connections warm, and closes those that are too old
//! or idle for too long. Only pools with an option for any of that have a task for it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redwire_core::pool::CloseReason;
use tokio::runtime::{self, Handle};

use super::attempt::ConnectAttempt;
use super::{Pool, PoolShared};
use crate::shared::clock::{self, Timer};
use crate::shared::setup;

/// Looks after `pool`, unless a task does already.
pub(super) fn start(pool: &Pool) {
    if !setup::wants_upkeep(pool.config()) {
        return;
    }
    let Ok(runtime) = Handle::try_current() else { return };
    if std::mem::replace(&mut pool.lock().kept, true) {
        return;
    }
    // Made before the task, which may be dropped before it is ever polled.
    let upkeep = Upkeep { shared: Arc::downgrade(&pool.0), runtime: runtime.id() };
    drop(runtime.spawn(upkeep.keep()));
}

/// The one that looks after a pool, until this is dropped.
struct Upkeep {
    shared: Weak<PoolShared>,
    runtime: runtime::Id,
}

/// At least this often is looked, since what is due may come to be so at any time.
const LOOK: Duration = Duration::from_millis(100);

impl Upkeep {
    async fn keep(self) {
        while let Some(shared) = self.shared.upgrade() {
            let pool = Pool(shared);
            let (permit, next, closed) = pool.with(|machine| {
                let now = clock::now();
                machine.handle_timeout(now);
                (machine.poll_warm(now, fastrand::u64(..)), machine.poll_timeout(), machine.is_closed())
            });
            if closed {
                return;
            }
            if let Some(permit) = permit {
                // The accounts tell of one that fails, and say when to try again.
                ConnectAttempt::new(&pool, permit).run().await;
                continue;
            }
            let left = next.map_or(LOOK, |next| next.saturating_duration_since(clock::now()).min(LOOK));
            drop(pool);
            Timer::after(left.max(Duration::from_millis(1))).await;
        }
    }
}

impl Drop for Upkeep {
    /// The runtime ends, and with it the connections that it made: the next is to have others kept warm.
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            let pool = Pool(shared);
            pool.lock().kept = false;
            let here = Some(self.runtime);
            pool.with(|machine| {
                machine.clear_idle_of(CloseReason::Lost, |connection| connection.is_of(here))
            });
        }
    }
}
