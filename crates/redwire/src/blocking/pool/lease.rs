//! A connection on loan. It goes back when it is dropped, however that comes about.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use redwire_core::pool::{CloseReason, Permit};

use super::Pool;
use crate::blocking::connection::Connection;

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
}

impl Lease {
    pub(super) fn new(pool: &Pool, permit: Permit, mut connection: Box<Connection>) -> Self {
        if let Some(wire) = connection.wire_mut() {
            wire.forget_time();
        }
        connection.interrupt().handle_call(false);
        Self { pool: pool.clone(), held: Some((permit, connection)), process: std::process::id() }
    }

    pub(super) fn is_from(&self, pool: &Pool) -> bool {
        Arc::ptr_eq(&self.pool.0, &pool.0)
    }

    /// Closes the connection instead of giving it back.
    pub fn discard(mut self) {
        if let Some((permit, mut connection)) = self.held.take() {
            connection.disconnect();
            self.part_with(permit, &connection);
        }
    }

    /// Takes the connection out of the pool, which may make another in its place.
    #[must_use]
    pub fn detach(mut self) -> Connection {
        let Some((permit, connection)) = self.held.take() else { unreachable!("{GIVEN_BACK}") };
        self.part_with(permit, &connection);
        *connection
    }

    fn part_with(&self, permit: Permit, connection: &Connection) {
        let process = self.pool.0.process();
        // The permit of a parent process means nothing to the accounts of its child.
        if self.process == std::process::id() {
            process.change(|state| state.interrupts.forget(connection.interrupt()));
            process.discard(permit, CloseReason::Disconnected);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((permit, mut connection)) = self.held.take() else { return };
        let process = self.pool.0.process();
        if self.process == std::process::id() {
            connection.clear_on_connect();
            process.give_back(permit, connection);
        } else {
            connection.leave_parent();
        }
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
