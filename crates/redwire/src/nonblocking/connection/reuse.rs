//! A connection that goes from one user to the next: whether it may, and what is done about it. What a user
//! left behind is known to the core's `SessionState`. This file must not know pools.

use std::time::{Duration, Instant};

use redwire_core::call::PackedCall;
use redwire_core::handshake::Handshake;
use redwire_core::session_state::{Cleanup, SessionState};
use redwire_core::{Cmd, Error, Outcome, Result, Value};

use tokio::runtime;

use super::Connection;
use crate::nonblocking::before;
use crate::shared::clock;
use crate::shared::credentials::{self, VersionedCredentials};
use crate::shared::setup;

/// For so long the reply to a call that was given up is waited for. Without it, each call that is given up
/// would cost a connection; and with more, a server that has fallen silent would keep the places of a pool
/// taken.
const SWALLOW: Duration = Duration::from_millis(50);

/// Whether a connection can be used again.
#[derive(Debug)]
pub(in crate::nonblocking) enum Readiness {
    Ready,
    /// It was lost while no caller used it.
    Lost,
    /// Its last user left it in a state that could not be mended.
    Dirty,
    /// Nor would another be ready: the server refuses what makes it so, or the caller's deadline has passed.
    Failed(Error),
}

impl Connection {
    /// Whether nothing is under way and no user left anything, so that the next user may find it as new.
    pub(in crate::nonblocking) fn is_clean(&self) -> bool {
        let quiet = self.sent.is_empty() && self.waiting.is_none() && self.drive.outbox().is_empty();
        quiet
            && self.link.is_idle()
            && !self.link.wants_transmit()
            && self.lost.is_none()
            && self.wire.as_ref().is_some_and(|wire| wire.inbound.is_empty())
            && self.session_state.cleanup(self.target.config().db()) != Cleanup::Drop
    }

    /// Whether the reply to a call that was given up is all that keeps it from being clean, and is to be
    /// expected soon.
    pub(in crate::nonblocking) fn owes_a_reply(&self) -> bool {
        let only_that = self.sent.is_empty() && self.lost.is_none() && self.wire.is_some();
        only_that
            && !self.interrupt.waits()
            && self.session_state.cleanup(self.target.config().db()) != Cleanup::Drop
    }

    /// Waits for that reply, for the time that another connection would take to be made, and says whether it
    /// is clean now.
    pub(in crate::nonblocking) async fn swallow(&mut self) -> bool {
        if let Some(ticket) = self.waiting.take() {
            self.link.abandon(ticket);
        }
        let swallowed =
            async { while !self.is_clean() && self.receive().await.is_ok() && !self.is_lost() {} };
        before(clock::now().checked_add(SWALLOW), swallowed).await;
        self.is_clean()
    }

    /// Whether it was lost.
    pub(in crate::nonblocking) fn is_lost(&self) -> bool {
        self.wire.is_none()
    }

    /// Why it was lost, if it was, and whether a user was answered on it.
    pub(in crate::nonblocking) fn loss(&self) -> Option<(Error, bool)> {
        let error = self.lost.as_ref()?;
        Some((error.clone().with_outcome(Outcome::NotSent), self.link.has_answered()))
    }

    /// Whether it works in `runtime`.
    pub(in crate::nonblocking) fn is_of(&self, runtime: Option<runtime::Id>) -> bool {
        runtime.is_none() || self.runtime == runtime
    }

    /// Makes it as new for a caller that wants `db`, before `deadline`. Where nothing was left behind and it
    /// was used lately, that takes no round trip.
    pub(in crate::nonblocking) async fn renew(&mut self, db: u32, deadline: Option<Instant>) -> Readiness {
        let server_limit = setup::renewal_limit(self.target.config(), clock::now());
        let limit = [server_limit, deadline].into_iter().flatten().min();
        let mended = before(limit, self.mend(db)).await;
        let is_late = mended.is_none() && deadline == limit;
        match mended.unwrap_or_else(|| Err(Error::silent_peer(Outcome::NotSent))) {
            Ok(true) => Readiness::Ready,
            Ok(false) => Readiness::Dirty,
            Err(error) if error.outcome() == Outcome::Rejected => Readiness::Failed(error),
            Err(error) => {
                // What a call met with is told already.
                if self.lost.is_none() {
                    self.lose(error);
                }
                // That this caller had little time is no attempt of the pool's that failed.
                if is_late { Readiness::Failed(setup::late(None)) } else { Readiness::Lost }
            }
        }
    }

    /// Says whether it could be mended; an error where it was lost.
    async fn mend(&mut self, db: u32) -> Result<bool> {
        let config = self.target.config();
        let idle = clock::since(self.heard);
        // While it is looked at it lies here: one that was left in the middle of that is lost.
        let Some(mut wire) = self.wire.take() else { return Err(lost()) };
        if !wire.is_silent().await? {
            return Ok(false);
        }
        let outdated = wire.version != credentials::version(config);
        let cleanup = self.session_state.cleanup(db);
        let unsure = config.health_check_interval().is_some_and(|interval| idle > interval);
        if cleanup == Cleanup::None && !outdated && unsure {
            wire.ping().await?;
        }
        self.wire = Some(wire);
        match cleanup {
            Cleanup::Drop => return Ok(false),
            Cleanup::Reset => self.reset().await?,
            Cleanup::None | Cleanup::Select if outdated => self.authenticate(None).await?,
            Cleanup::None | Cleanup::Select => {}
        }
        if self.session_state.cleanup(db) == Cleanup::Select {
            self.choose(db).await?;
        }
        self.heard = clock::now();
        Ok(true)
    }

    /// Chooses the database that a user wants.
    async fn choose(&mut self, db: u32) -> Result<()> {
        let select = Cmd::<Value>::new("SELECT").arg(db);
        self.exchange_packed(&PackedCall::of(&select), None).await?.read::<()>()?;
        self.session_state.handle_selected(db);
        Ok(())
    }

    /// `RESET`, and another handshake, in one write.
    async fn reset(&mut self) -> Result<()> {
        let pass = VersionedCredentials::fetch(self.target.config()).await?;
        let mut again =
            Handshake::again(self.target.config(), pass.credentials.as_ref(), self.target.protocol());
        let Some(wire) = self.wire.take() else { return Err(lost()) };
        // Where it cannot be reset, another can still be made.
        let mut wire =
            wire.shake_hands(&mut again).await.map_err(|error| error.with_outcome(Outcome::NotSent))?;
        wire.version = pass.version;
        self.wire = Some(wire);
        self.session_state = SessionState::new(self.target.config().db());
        self.introduce_by(None).await
    }
}

fn lost() -> Error {
    Error::closed_by_peer(Outcome::NotSent)
}
