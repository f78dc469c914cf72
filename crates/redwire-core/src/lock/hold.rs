//! Keeping a lock: until when it is certainly held, when to extend it, and when it is lost.
//!
//! By the holder's own clock a lock lasts from *before* its request was sent, so it ends here no later than
//! at the server. Once told that a lock is lost, its holder is told so for ever. This file must not know
//! clocks or connections.

use std::time::{Duration, Instant};

use super::{Claim, FoundLock, LockOptions, check_ttl, failure};
use crate::cmd::Cmd;
use crate::error::{Error, LockFault, Result};

/// A lock that is held, or was.
#[derive(Debug)]
pub struct Hold {
    claim: Claim,
    ttl: Duration,
    auto_extend: bool,
    /// Until then it is certain; `None`: without end.
    until: Option<Instant>,
    /// When the next extension is due.
    extend_at: Option<Instant>,
    /// Why it is not held any more.
    lost: Option<LockFault>,
    /// Whether its holder has no more interest.
    ended: bool,
}

/// What the task or thread that keeps a lock has to do.
#[derive(Debug)]
pub enum HoldStep {
    /// Run this and tell [`Hold::handle_extended`].
    Extend(Cmd<bool>, Extension),
    /// Nothing before then, or before something changes.
    LockWait(Option<Instant>),
    /// Nothing any more: it is lost, or was released.
    Stop,
}

/// An extension that is under way.
#[derive(Clone, Copy, Debug)]
#[must_use = "the hold has to be told what came of it"]
pub struct Extension {
    sent: Instant,
    ttl: Duration,
}

impl Hold {
    /// A lock that `lasts` so long from the moment when its request was `sent`, or without end.
    #[must_use]
    pub fn new(
        claim: Claim,
        ttl: Duration,
        auto_extend: bool,
        sent: Instant,
        lasts: Option<Duration>,
    ) -> Self {
        let until = lasts.and_then(|lasts| sent.checked_add(lasts));
        let mut hold = Self { claim, ttl, auto_extend, until, extend_at: None, lost: None, ended: false };
        hold.schedule();
        hold
    }

    /// A lock that was `found`, when that was asked at `sent`, with its fencing number.
    ///
    /// # Errors
    /// [`LockFault::NotOwned`].
    pub fn found(
        options: &LockOptions,
        claim: Claim,
        found: FoundLock,
        sent: Instant,
    ) -> Result<(u64, Self)> {
        let (fence, left) = found.ok_or_else(|| failure(LockFault::NotOwned))?;
        let lasts = u64::try_from(left).ok().map(Duration::from_millis);
        Ok((fence, Self::new(claim, options.ttl, options.auto_extend, sent, lasts)))
    }

    /// What is claimed.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// How long it lasts when it is extended without another time being given.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Until when it is certainly held, as far as is known; `None`: without end.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether the lock must be taken for lost.
    pub fn is_lost(&mut self, now: Instant) -> bool {
        if self.lost.is_none() && self.until.is_some_and(|until| until <= now) {
            self.lost = Some(LockFault::Lost);
        }
        self.lost.is_some()
    }

    /// Whether there is nothing more to wait for: it is lost, or was released.
    pub fn is_over(&mut self, now: Instant) -> bool {
        self.is_lost(now) || self.ended
    }

    /// What to do now.
    pub fn poll_keep(&mut self, now: Instant, timeout: Option<Duration>) -> HoldStep {
        if self.is_over(now) {
            return HoldStep::Stop;
        }
        match self.extend_at {
            Some(at) if at <= now => {
                // One that is not answered leaves time for another.
                let left = self.until.map(|until| until - now);
                let limit = [timeout, left, Some(self.ttl / THIRD)].into_iter().flatten().min();
                let cmd = self.claim.extend(self.ttl);
                let cmd = match limit {
                    Some(limit) => cmd.timeout(limit.max(Duration::from_millis(1))),
                    None => cmd,
                };
                // No other task or thread sends one meanwhile.
                self.extend_at = None;
                HoldStep::Extend(cmd, Extension { sent: now, ttl: self.ttl })
            }
            at => HoldStep::LockWait([at, self.until].into_iter().flatten().min()),
        }
    }

    /// Asks for `ttl` from now on.
    ///
    /// # Errors
    /// The lock is lost.
    pub fn extend(&mut self, ttl: Duration, now: Instant) -> Result<(Cmd<bool>, Extension)> {
        check_ttl(ttl)?;
        self.check(now)?;
        Ok((self.claim.extend(ttl), Extension { sent: now, ttl }))
    }

    /// An extension was answered, with whether the lock was still ours, or failed.
    ///
    /// # Errors
    /// The failure; the lock is lost.
    pub fn handle_extended(
        &mut self,
        extension: Extension,
        answer: Result<bool>,
        now: Instant,
    ) -> Result<()> {
        match answer {
            Ok(true) => {
                let until = extension.sent.checked_add(extension.ttl);
                if self.lost.is_none() && self.until.is_some() {
                    self.until = until.map(|until| self.until.map_or(until, |before| before.max(until)));
                }
                self.schedule();
                self.check(now)
            }
            Ok(false) => Err(self.handle_gone()),
            Err(error) => {
                if self.auto_extend {
                    self.extend_at = now.checked_add(self.ttl / TWELFTH);
                }
                Err(error)
            }
        }
    }

    /// The server was asked whether the lock is ours.
    pub fn handle_found(&mut self, owned: bool) {
        if !owned {
            let _ = self.handle_gone();
        }
    }

    /// The holder has no more interest: it is being released, or left to another.
    pub fn handle_ended(&mut self) {
        self.ended = true;
    }

    fn handle_gone(&mut self) -> Error {
        self.lost.get_or_insert(LockFault::NotOwned);
        failure(LockFault::NotOwned)
    }

    fn check(&mut self, now: Instant) -> Result<()> {
        self.is_lost(now);
        self.lost.map_or(Ok(()), |fault| Err(failure(fault)))
    }

    /// The next extension is due when a third of the time is gone.
    fn schedule(&mut self) {
        let before = self.ttl - self.ttl / THIRD;
        self.extend_at = match self.until {
            Some(until) if self.auto_extend => Some(until.checked_sub(before).unwrap_or(until)),
            _ => None,
        };
    }
}

/// The part of its time after which a lock is extended.
const THIRD: u32 = 3;

/// The part of its time after which a failed extension is tried again.
const TWELFTH: u32 = 12;
