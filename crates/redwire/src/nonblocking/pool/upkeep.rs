//! What a pool does while nobody asks: it keeps some connections warm, and closes those that are too old or idle for too long. Only
//! pools that are told to do any of that have a task for it.

use std::sync::{PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::lending::Made;
use super::{Pool, Shared};
use crate::clock::Timer;

/// Looks after `pool`, unless somebody does already.
pub(super) fn start(pool: &Pool) {
    let config = pool.config();
    let wanted = config.min_idle_connections() > 0
        || config.idle_timeout().is_some()
        || config.max_lifetime().is_some();
    if !wanted {
        return;
    }
    let mut state = pool.0.state.lock().unwrap_or_else(PoisonError::into_inner);
    if !state.kept
        && let Ok(runtime) = Handle::try_current()
    {
        state.kept = true;
        runtime.spawn(keep(std::sync::Arc::downgrade(&pool.0)));
    }
}

/// At least this often is looked, since what is due may come to be so at any time.
const LOOK: Duration = Duration::from_millis(100);

async fn keep(shared: Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let pool = Pool(shared);
        let random = fastrand::u64(..);
        let (permit, next) = pool.with(|machine| {
            let now = Instant::now();
            machine.handle_timeout(now, random);
            (machine.poll_warm(now, random), machine.poll_timeout())
        });
        if pool.is_closed() {
            return;
        }
        if let Some(permit) = permit {
            let deadline = Instant::now().checked_add(pool.config().connect_timeout());
            // Who fails is told by the pool's accounts, and tried again when they say so.
            if let Ok(Made::Queued(claim)) = pool.make(permit, deadline).await {
                pool.with(|machine| machine.give_up(claim, Instant::now(), random));
            }
            continue;
        }
        let left = next.map_or(LOOK, |next| next.saturating_duration_since(Instant::now()).min(LOOK));
        drop(pool);
        Timer::after(left.max(Duration::from_millis(1))).await;
    }
}
