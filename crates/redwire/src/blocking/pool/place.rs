//! The place of one connection among those allowed. It is given back however its holder ends, also by a
//! panic.

use std::time::Instant;

use redwire_core::call::Call;
use redwire_core::link::Ticket;
use redwire_core::pool::{CloseReason, Permit};
use redwire_core::{Replies, Result};

use super::process::PoolProcess;
use crate::blocking::connection::{Connection, Unready};
use crate::blocking::wire::Wire;
use crate::shared::setup;

/// A permit of the pool with the connection it stands for.
pub(in crate::blocking) struct PoolPlace<'p> {
    process: &'p PoolProcess,
    /// There until it is given back.
    permit: Option<Permit>,
    connection: Option<Box<Connection>>,
}

impl<'p> PoolPlace<'p> {
    #[inline]
    pub(super) fn new(process: &'p PoolProcess, permit: Permit, connection: Box<Connection>) -> Self {
        Self { process, permit: Some(permit), connection: Some(connection) }
    }

    /// What a call of a client uses.
    #[inline]
    pub(in crate::blocking) fn wire(&mut self) -> Result<&mut Wire> {
        self.connection.as_mut().and_then(|connection| connection.wire_mut()).ok_or_else(setup::closed_client)
    }

    /// Whether the connection is as new for a caller that wants `db`, as far as is known without a round
    /// trip.
    pub(super) fn is_ready(&mut self, db: u32, now: Instant) -> bool {
        self.connection.as_mut().is_some_and(|connection| connection.is_ready(db, now))
    }

    /// Sends `call`, for whose replies the caller [waits](Self::wait) later. If it cannot be sent, they are
    /// told.
    pub(in crate::blocking) fn send(
        &mut self,
        call: &impl Call,
        deadline: Option<Instant>,
    ) -> Result<Ticket> {
        self.handle_call(false);
        let wire = self.wire()?;
        let ticket = wire.submit(call, deadline)?;
        wire.send(deadline).ok();
        Ok(ticket)
    }

    /// Whether the replies to what was sent, or its failure, are there by `limit`.
    pub(in crate::blocking) fn is_answered(&mut self, ticket: &Ticket, limit: Instant) -> bool {
        let Ok(wire) = self.wire() else { return true };
        wire.forget_time();
        !matches!(wire.wait_until(ticket, Some(limit)), Ok(false))
    }

    /// Waits for the replies to what was sent, and gives the connection back.
    pub(in crate::blocking) fn wait(mut self, ticket: Ticket, deadline: Option<Instant>) -> Result<Replies> {
        let wire = self.wire()?;
        wire.forget_time();
        wire.wait(ticket, deadline)
    }

    /// A call begins, which may wait at the server or not.
    #[inline]
    pub(super) fn handle_call(&self, waits: bool) {
        if let Some(connection) = &self.connection {
            connection.interrupt().handle_call(waits);
        }
    }

    /// No other caller is to use the connection.
    #[cold]
    pub(super) fn forbid_reuse(&mut self) {
        self.connection.iter_mut().for_each(|connection| connection.forbid_reuse());
    }

    /// Makes the connection as new for a caller that wants `db`.
    #[inline]
    pub(super) fn prepare(
        &mut self,
        db: u32,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<(), Unready> {
        match &mut self.connection {
            Some(connection) => connection.prepare(db, now, deadline),
            None => Err(Unready::Gone(CloseReason::Lost)),
        }
    }

    /// Gives back the place, and closes the connection.
    pub(super) fn close(mut self, why: CloseReason) {
        if let Some((permit, connection)) = self.permit.take().zip(self.connection.take()) {
            self.process.part_with(permit, connection, why);
        }
    }

    /// Permit and connection, for a caller that keeps them.
    pub(super) fn keep(mut self) -> Result<(Permit, Box<Connection>)> {
        self.permit.take().zip(self.connection.take()).ok_or_else(setup::closed_client)
    }
}

impl Drop for PoolPlace<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some((permit, connection)) = self.permit.take().zip(self.connection.take()) {
            self.process.give_back(permit, connection);
        }
    }
}
