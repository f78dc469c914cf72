//! Attempts to connect. Each is the pool's, and lasts for as long as an attempt may, whichever caller waits
//! for it. The accounts are told what comes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redwire_core::pool::{CloseReason, Permit};
use redwire_core::{Error, Result};
use tokio::runtime::Handle;

use super::Pool;
use crate::shared::clock;

/// The right to make one connection, given back when this is dropped.
pub(super) struct ConnectAttempt {
    pool: Pool,
    /// There until the attempt has ended.
    permit: Option<Permit>,
}

impl ConnectAttempt {
    pub(super) fn new(pool: &Pool, permit: Permit) -> Self {
        Self { pool: pool.clone(), permit: Some(permit) }
    }

    /// Makes the connection.
    pub(super) async fn run(mut self) {
        let mut connection = Box::new(self.pool.new_connection());
        // Also while it is being made, it may be ended.
        self.pool.lock().interrupts.add(connection.interrupt());
        let must_answer = || self.pool.with(|machine| machine.must_answer());
        let connected = connection.connect_pooled(must_answer).await;
        let Some(permit) = self.permit.take() else { return };
        let (now, random) = (clock::now(), fastrand::u64(..));
        self.pool.with(|machine| match connected {
            Ok(()) => machine.handle_connected(permit, connection, now, random),
            Err(error) => machine.handle_connect_failed(permit, error, now, random),
        });
        self.pool.0.changed.notify_waiters();
    }

    /// Has a task of `runtime` do it.
    ///
    /// # Errors
    /// The runtime has ended, and takes no more tasks.
    pub(super) fn spawn(self, runtime: &Handle) -> Result<()> {
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let task = runtime.spawn(async move {
            begins.store(true, Ordering::Relaxed);
            self.run().await;
        });
        if task.is_finished() && !begun.load(Ordering::Relaxed) {
            return Err(Error::usage("the tokio runtime around the client has been shut down"));
        }
        Ok(())
    }
}

impl Drop for ConnectAttempt {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.pool.with(|machine| machine.discard(permit, CloseReason::Disconnected, clock::now()));
            self.pool.0.changed.notify_waiters();
        }
    }
}
