//! The limit of connections to all nodes of a cluster, which the pools of one client share. Who gets a place,
//! and whose connection is closed for that, is decided in `redwire-core`; this file must not know how either
//! driver waits.
//!
//! Its lock is taken under that of a pool, and never the other way round: pools that are allowed something
//! else are [told](ConnectionLimit::tell) with no lock in hand.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use redwire_core::pool::{Pool, SharedLimit};

use crate::shared::owner::PerProcess;
use crate::shared::sync::{Mutex, MutexGuard};

/// A limit, with the pools that share it.
pub(crate) struct ConnectionLimit {
    max: usize,
    state: Mutex<LimitState>,
}

struct LimitState {
    machine: SharedLimit,
    /// By their numbers.
    pools: Vec<Weak<dyn LimitedPool>>,
}

/// A pool that shares a limit with others.
pub(crate) trait LimitedPool: Send + Sync {
    /// It may be allowed something else now: asks, and does what follows from that.
    fn handle_limit(self: Arc<Self>);
}

/// The part of one pool in a limit.
pub(crate) struct LimitShare {
    limit: Arc<ConnectionLimit>,
    number: usize,
    #[cfg(feature = "tokio")]
    pool: Weak<dyn LimitedPool>,
    process: u32,
}

impl ConnectionLimit {
    /// Of so many connections in each process.
    pub(crate) fn new(max: usize) -> Arc<PerProcess<Arc<Self>>> {
        Arc::new(PerProcess::new(Self::of_process(max)))
    }

    fn of_process(max: usize) -> Arc<Self> {
        let state = LimitState { machine: SharedLimit::new(max), pools: Vec::new() };
        Arc::new(Self { max, state: Mutex::new(state) })
    }

    /// What this process has.
    pub(crate) fn current(limit: &PerProcess<Arc<Self>>) -> &Arc<Self> {
        limit.current(|parent| Self::of_process(parent.max))
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// `pool` shares the limit from `now` on, with so many connections `beside` it.
    pub(crate) fn join(
        self: &Arc<Self>,
        beside: usize,
        pool: Weak<dyn LimitedPool>,
        now: Instant,
    ) -> LimitShare {
        let mut state = self.lock();
        let number = state.machine.join(beside, now);
        match state.pools.get_mut(number) {
            Some(vacant) => *vacant = pool.clone(),
            None => state.pools.push(pool.clone()),
        }
        drop(state);
        LimitShare {
            limit: Arc::clone(self),
            number,
            #[cfg(feature = "tokio")]
            pool,
            process: std::process::id(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, LimitState> {
        self.state.lock()
    }

    /// Tells the pools that are allowed something else. No lock may be held.
    pub(crate) fn tell(&self) {
        while let Some(pool) = self.poll_changed() {
            pool.upgrade().into_iter().for_each(LimitedPool::handle_limit);
        }
    }

    fn poll_changed(&self) -> Option<Weak<dyn LimitedPool>> {
        let mut state = self.lock();
        let number = state.machine.poll_changed()?;
        Some(Weak::clone(&state.pools[number]))
    }
}

impl LimitShare {
    /// The same pool has this part in `limit`, which is that of another process.
    #[cfg(feature = "tokio")]
    pub(crate) fn in_process(&self, limit: &Arc<ConnectionLimit>, beside: usize, now: Instant) -> Self {
        limit.join(beside, Weak::clone(&self.pool), now)
    }

    /// Tells the limit what the `pool` has and wants, until that is all it wants. Then others are to be
    /// [told](ConnectionLimit::tell) by the limit that this gives.
    pub(crate) fn settle<C, W: Clone>(&self, pool: &mut Pool<C, W>, now: Instant) -> Arc<ConnectionLimit> {
        loop {
            let allowance = self.limit.lock().machine.update(self.number, pool.demand(now));
            if !pool.handle_allowance(allowance, now) {
                return Arc::clone(&self.limit);
            }
        }
    }
}

impl Drop for LimitShare {
    fn drop(&mut self) {
        // The lock of a parent process may be in the hands of a thread that its child has not.
        if self.process == std::process::id() {
            self.limit.lock().machine.leave(self.number);
            self.limit.tell();
        }
    }
}

impl fmt::Debug for ConnectionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionLimit").field("max", &self.max).finish_non_exhaustive()
    }
}
