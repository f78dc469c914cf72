//! A connection of one caller as transactions and very many commands use it: what is sent together, and what
//! is left of the connection afterwards. What that is, is known to the core.

use std::time::Instant;

use redwire_core::call::Call;
use redwire_core::link::Ticket;
use redwire_core::{Cmd, Error, Outcome, Replies, Result, transaction};

use super::Connection;

impl Connection {
    /// Sends `call` and waits for its replies.
    pub(in crate::blocking) fn exchange(
        &mut self,
        call: &impl Call,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        self.ready(deadline)?;
        self.wire()?.exchange(call, deadline)
    }

    /// As [`exchange`](Self::exchange), of a command that may change the connection.
    pub(in crate::blocking) fn exchange_noted<R>(
        &mut self,
        cmd: &Cmd<R>,
        deadline: Option<Instant>,
    ) -> Result<Replies>
    where
        Cmd<R>: Call,
    {
        self.ready(deadline)?;
        let sent = self.session_state.handle_command(cmd.facts());
        let replies = self.wire()?.exchange(cmd, deadline)?;
        self.session_state.handle_reply(sent, &replies);
        Ok(replies)
    }

    /// As [`exchange`](Self::exchange), of a transaction, for which keys are `watched` or not.
    pub(in crate::blocking) fn exchange_atomic(
        &mut self,
        call: &impl Call,
        watched: bool,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        self.ready(deadline)?;
        transaction::check_start(&self.session_state, watched)?;
        let replies = self.wire()?.exchange(call, deadline)?;
        transaction::handle_replies(&mut self.session_state, &replies);
        Ok(replies)
    }

    /// As [`exchange`](Self::exchange), with `first` in the same write, which must succeed.
    pub(in crate::blocking) fn exchange_after(
        &mut self,
        first: Option<&Cmd<()>>,
        call: &impl Call,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        let Some(first) = first else { return self.exchange(call, deadline) };
        self.ready(deadline)?;
        self.session_state.handle_command(first.facts());
        let wire = self.wire()?;
        let ticket = wire.submit(first, deadline)?;
        let replies = wire.exchange(call, deadline);
        if replies.is_err() {
            // A call that was refused for its size has sent nothing, not even what came first. A wire that
            // broke says so below.
            wire.send(deadline).ok();
        }
        let first = wire.wait(ticket, deadline).and_then(|mut replies| replies.read::<()>());
        let replies = replies?;
        first.map(|()| replies)
    }

    /// Queues `call`, which may be the first of a wave; [`send_queued`](Self::send_queued) sends it, and
    /// [`take`](Self::take) waits for it.
    pub(in crate::blocking) fn queue(&mut self, call: &impl Call, first: bool) -> Result<Ticket> {
        if first {
            self.ready(self.deadline())?;
        }
        // What it may take counts from when the caller waits for it.
        self.wire()?.submit(call, None)
    }

    /// Sends what is queued. If that fails, each request that waits for it gets the error.
    pub(in crate::blocking) fn send_queued(&mut self) {
        let deadline = self.deadline();
        if let Some(wire) = &mut self.wire {
            wire.send(deadline).ok();
        }
    }

    /// Waits for the replies to what was sent. Where they do not come in time, the connection is lost.
    pub(in crate::blocking) fn take(&mut self, ticket: Ticket, deadline: Option<Instant>) -> Result<Replies> {
        let wire = self.wire()?;
        if let Ok(false) = wire.wait_until(&ticket, deadline) {
            wire.lose(&Error::timeout(Outcome::MaybeExecuted));
        }
        wire.wait(ticket, deadline)
    }
}
