//! Attempts to connect. Each is the pool's, and lasts for as long as an attempt may, whichever caller waits
//! for it. The accounts are told what comes of it.

use std::sync::Arc;
use std::time::Instant;

use redwire_core::pool::{CloseReason, Permit, QueueClaim};

use super::PoolShared;
use super::process::PoolState;
use crate::shared::threads;

/// The right to make one connection, given back when this is dropped.
pub(super) struct ConnectAttempt {
    shared: Arc<PoolShared>,
    /// There until the attempt has ended.
    permit: Option<Permit>,
}

impl PoolShared {
    /// The attempt that `permit` allows.
    pub(super) fn attempt(&self, permit: Permit) -> ConnectAttempt {
        // A caller that asks has the pool.
        let Some(shared) = self.this.upgrade() else { unreachable!("a pool is there while it is used") };
        ConnectAttempt { shared, permit: Some(permit) }
    }
}

impl ConnectAttempt {
    /// Makes the connection, before `until` if that comes before the connect timeout; `waiter` is the one
    /// that does so itself.
    pub(super) fn run(mut self, until: Option<Instant>, waiter: Option<&QueueClaim>) {
        let process = self.shared.process();
        process.look_after(&self.shared);
        let mut connection = Box::new(self.shared.new_connection(process));
        // Also while it is being made, it may be ended.
        process.change(|state| state.interrupts.add(connection.interrupt()));
        let must_answer = || process.change(|state| state.machine.must_answer());
        let connected = connection.connect_pooled(until, must_answer);
        let Some(permit) = self.permit.take() else { return };
        let (now, random) = (connection.handle_idle(), fastrand::u64(..));
        process.change(|PoolState { machine, .. }| {
            if let Some(claim) = waiter {
                machine.resume(claim, now);
            }
            match connected {
                Ok(()) => machine.handle_connected(permit, connection, now, random),
                Err(error) => machine.handle_connect_failed(permit, error, now, random),
            }
        });
    }

    /// Has a thread do it. Says whether there is one.
    pub(super) fn spawn(self) -> bool {
        threads::spawn("redwire-connect", move || self.run(None, None)).is_ok()
    }
}

impl Drop for ConnectAttempt {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.shared.process().discard(permit, CloseReason::Disconnected);
        }
    }
}
