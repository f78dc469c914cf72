//! A connection that goes from one user to the next: whether it may, and what is done about it. What a user
//! left behind is known to the core's `SessionState`. This file must not know pools.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::pool::CloseReason;
use redwire_core::session_state::Cleanup;
use redwire_core::{Cmd, Error, ErrorKind, Outcome, Result, Value};

use super::Connection;
use crate::blocking::stream::CurrentSocket;
use crate::blocking::wire::Wire;
use crate::shared::credentials;
use crate::shared::interrupt::Interrupt;
use crate::shared::setup;
use crate::shared::threads;

/// Why a connection cannot be used again.
#[derive(Debug)]
pub(in crate::blocking) enum Unready {
    /// It was lost while no caller used it, or its last user left it in a state that cannot be mended.
    Gone(CloseReason),
    /// Nor would another be ready: the server refuses what makes it so, or the caller's deadline has passed.
    Failed(Error),
}

impl Connection {
    /// Its wire, for one call of a caller that leaves nothing behind.
    #[inline]
    pub(in crate::blocking) fn wire_mut(&mut self) -> Option<&mut Wire> {
        self.wire.as_mut()
    }

    /// What ends the connection, also while another task or thread uses it.
    #[inline]
    pub(in crate::blocking) fn interrupt(&self) -> &Arc<Interrupt<CurrentSocket>> {
        &self.interrupt
    }

    /// Whether nothing is under way and no user left anything, so that the next user may find it as new. If
    /// not: why.
    #[inline]
    pub(in crate::blocking) fn check_clean(&self) -> Result<(), CloseReason> {
        match &self.wire {
            None => Err(CloseReason::Lost),
            Some(wire) if wire.is_broken() => Err(CloseReason::Lost),
            Some(wire) if wire.is_clean() && self.sent.is_empty() && !self.is_spoilt() => Ok(()),
            Some(_) => Err(CloseReason::Dirty),
        }
    }

    /// Why it was lost, and whether a user was answered on it, or there is nothing that could have answered.
    pub(in crate::blocking) fn loss(&self) -> (Error, bool) {
        let error = self.wire.as_ref().map_or_else(gone, Wire::loss);
        (self.target.locate(error), self.wire.as_ref().is_none_or(Wire::has_served))
    }

    #[inline]
    fn is_spoilt(&self) -> bool {
        self.session_state.cleanup(self.target.config().db()) == Cleanup::Drop
    }

    /// Takes note that it is not in use any longer; says when that is.
    #[inline]
    pub(in crate::blocking) fn handle_idle(&mut self) -> Instant {
        self.wire.as_mut().map_or_else(threads::now, Wire::handle_idle)
    }

    /// It belongs to another process, of which this one is a child: closes this one's hold on it, and says
    /// nothing.
    #[cold]
    pub(in crate::blocking) fn disown(&mut self) {
        if let Some(mut wire) = self.wire.take() {
            wire.disown();
        }
        self.sent.clear();
    }

    /// Whether it is as new for a caller that wants `db`, as far as is known without a round trip.
    pub(in crate::blocking) fn is_ready(&mut self, db: u32, now: Instant) -> bool {
        let Some(idle) = self.wire.as_mut().and_then(|wire| wire.wake(now)) else { return false };
        self.is_as_new(db, idle)
    }

    #[inline]
    fn is_as_new(&self, db: u32, idle: Duration) -> bool {
        let config = self.target.config();
        let unsure = config.health_check_interval().is_some_and(|interval| idle > interval);
        let version = self.wire.as_ref().map(Wire::version);
        self.session_state.cleanup(db) == Cleanup::None
            && !unsure
            && version == Some(credentials::version(config))
    }

    /// Makes it as new for a caller that wants `db`, before `deadline`. Where nothing was left behind and it
    /// was used lately, that takes no round trip.
    #[inline]
    pub(in crate::blocking) fn prepare(
        &mut self,
        db: u32,
        now: Instant,
        deadline: Option<Instant>,
    ) -> Result<(), Unready> {
        let Some(wire) = &mut self.wire else { return Err(Unready::Gone(CloseReason::Lost)) };
        let Some(idle) = wire.wake(now) else {
            wire.give_up();
            return Err(Unready::Gone(CloseReason::Lost));
        };
        if self.is_as_new(db, idle) {
            return Ok(());
        }
        self.mend(self.session_state.cleanup(db), db, deadline)
    }

    #[cold]
    fn mend(&mut self, cleanup: Cleanup, db: u32, deadline: Option<Instant>) -> Result<(), Unready> {
        let now = threads::now();
        let server_limit = setup::renewal_limit(self.target.config(), now);
        let limit = server_limit.into_iter().chain(deadline).min().unwrap_or(now);
        let mended = match cleanup {
            Cleanup::Drop => return Err(Unready::Gone(CloseReason::Dirty)),
            Cleanup::Reset => self.reset(limit),
            Cleanup::None | Cleanup::Select => self.refresh(cleanup, limit),
        };
        let mended = mended.and_then(|()| match self.session_state.cleanup(db) {
            Cleanup::Select => self.choose(db, limit),
            _ => Ok(()),
        });
        mended.map_err(|error| match error.outcome() {
            Outcome::Rejected => Unready::Failed(self.target.locate(error)),
            // That this caller had little time is no attempt of the pool's that failed.
            _ if error.kind() == ErrorKind::Timeout && deadline == Some(limit) => {
                Unready::Failed(self.target.locate(setup::late(None)))
            }
            _ => Unready::Gone(CloseReason::Lost),
        })
    }

    /// Presents credentials that changed, or else finds out whether the server still lives, unless what
    /// follows shows that.
    fn refresh(&mut self, cleanup: Cleanup, limit: Instant) -> Result<()> {
        let Some(wire) = &mut self.wire else { return Err(gone()) };
        if wire.version() != credentials::version(self.target.config()) {
            return wire.renew(Some(limit));
        }
        if cleanup == Cleanup::None { wire.ping(limit) } else { Ok(()) }
    }

    /// `RESET`, and another handshake, in one write.
    fn reset(&mut self, limit: Instant) -> Result<()> {
        let Some(wire) = &mut self.wire else { return Err(gone()) };
        wire.reset(limit).map_err(|error| error.with_outcome(Outcome::NotSent))?;
        self.introduce(Some(limit))
    }

    /// Chooses the database that a user wants.
    fn choose(&mut self, db: u32, limit: Instant) -> Result<()> {
        let Some(wire) = &mut self.wire else { return Err(gone()) };
        wire.exchange(&Cmd::<Value>::new("SELECT").arg(db), Some(limit))?.read::<()>()?;
        self.session_state.handle_selected(db);
        Ok(())
    }
}

fn gone() -> Error {
    Error::closed_by_peer(Outcome::NotSent)
}
