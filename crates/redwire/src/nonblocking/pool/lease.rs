//! A connection on loan. It goes back when it is dropped, however that comes about.

use std::ops::{Deref, DerefMut};

use redwire_core::pool::{CloseReason, Permit};
use tokio::runtime::Handle;

use super::Pool;
use crate::nonblocking::connection::Connection;
use crate::shared::clock;

/// A [`Connection`] borrowed from a [`Pool`], which gets it back when this is dropped.
///
/// Every command family works on it. State such as the database or a transaction is the borrower's own, and
/// is gone for the next one. A connection that was lost stays so until [`reconnect`](Connection::reconnect);
/// the pool does not lend it again.
#[doc(alias = "acquire")]
#[doc(alias = "release")]
#[derive(Debug)]
#[must_use = "a lease that is not used keeps others waiting"]
pub struct Lease {
    pool: Pool,
    /// There until it is given back.
    held: Option<(Permit, Box<Connection>)>,
    process: u32,
    /// Whether its replies were waited for already.
    swallowed: bool,
}

impl Lease {
    pub(super) fn new(pool: &Pool, permit: Permit, connection: Box<Connection>) -> Self {
        connection.interrupt().handle_call(false);
        let held = Some((permit, connection));
        Self { pool: pool.clone(), held, process: std::process::id(), swallowed: false }
    }

    pub(super) fn is_from(&self, pool: &Pool) -> bool {
        std::sync::Arc::ptr_eq(&self.pool.0, &pool.0)
    }

    /// Closes the connection instead of giving it back.
    pub fn discard(self) {
        self.close(CloseReason::Disconnected);
    }

    /// Takes the connection out of the pool, which may make another in its place.
    #[must_use]
    pub fn detach(mut self) -> Connection {
        let Some((permit, mut connection)) = self.held.take() else { unreachable!("{GIVEN_BACK}") };
        connection.outlive_pool();
        self.part_with(permit, CloseReason::Disconnected);
        *connection
    }

    pub(super) fn close(mut self, why: CloseReason) {
        if let Some((permit, connection)) = self.held.take() {
            self.part_with_connection(permit, connection, why);
        }
    }

    /// Whether the connection works in the runtime that is around.
    pub(super) fn is_at_home(&self) -> bool {
        self.is_of(Handle::try_current().ok().map(|runtime| runtime.id()))
    }

    /// Has the reply to a call that was given up read by a task, which then gives the connection back.
    fn give_back_later(&mut self, runtime: &Handle) {
        let held = self.held.take();
        let mut lease = Self { pool: self.pool.clone(), held, process: self.process, swallowed: true };
        drop(runtime.spawn(async move {
            if let Some((_, connection)) = &mut lease.held {
                connection.swallow().await;
            }
        }));
    }

    fn part_with_connection(&self, permit: Permit, mut connection: Box<Connection>, why: CloseReason) {
        let loss = connection.loss().filter(|_| why == CloseReason::Lost && self.is_own());
        connection.disconnect();
        let Some((error, answered)) = loss else { return self.part_with(permit, why) };
        let (now, random) = (clock::now(), fastrand::u64(..));
        self.pool.with(|machine| machine.handle_lost(permit, answered, error, now, random));
        self.pool.0.changed.notify_waiters();
    }

    fn part_with(&self, permit: Permit, why: CloseReason) {
        if self.is_own() {
            self.pool.with(|machine| machine.discard(permit, why, clock::now()));
            self.pool.0.changed.notify_waiters();
        }
    }

    /// The permit of a parent process means nothing to the accounts of its child.
    fn is_own(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let own = self.is_own();
        let Some((_, connection)) = &self.held else { return };
        if own
            && !self.swallowed
            && !connection.is_clean()
            && connection.owes_a_reply()
            && let Ok(runtime) = Handle::try_current()
        {
            return self.give_back_later(&runtime);
        }
        let Some((permit, mut connection)) = self.held.take() else { return };
        if own && connection.is_clean() {
            connection.clear_on_connect();
            self.pool.with(|machine| machine.release(permit, connection, clock::now()));
            return;
        }
        let why = if connection.is_lost() { CloseReason::Lost } else { CloseReason::Dirty };
        self.part_with_connection(permit, connection, why);
    }
}

/// Only the end of a lease takes its connection away.
const GIVEN_BACK: &str = "a lease has its connection until its end";

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.held {
            Some((_, connection)) => connection,
            None => unreachable!("{GIVEN_BACK}"),
        }
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Connection {
        match &mut self.held {
            Some((_, connection)) => connection,
            None => unreachable!("{GIVEN_BACK}"),
        }
    }
}
