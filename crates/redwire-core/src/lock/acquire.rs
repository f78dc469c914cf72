//! Getting a lock: ask, wait to be woken or for the next turn, ask again, until it is acquired or time is up.
//!
//! An attempt keeps one token throughout: a lock that was had without knowing, since the reply was lost, is
//! recognised at the next question. This file must not know clocks or connections.

use std::time::{Duration, Instant};

use super::{Claim, Hold, LockOptions, failure};
use crate::cmd::Cmd;
use crate::error::{Error, LockFault, Outcome, Result};
use crate::outage;
use crate::reply::Value;

/// What the server answers to the question for a lock: whether it is ours; the fencing number, or how long
/// another holder's lasts.
pub type AcquireAnswer = (bool, i64);

/// One attempt to get a lock.
///
/// Do what [`poll_step`](Self::poll_step) says, tell what came of it, and so on.
#[derive(Debug)]
pub struct Acquire {
    claim: Claim,
    ttl: Duration,
    auto_extend: bool,
    retry_interval: Duration,
    /// The longest a call may take.
    timeout: Option<Duration>,
    /// When another holder need not be waited for any longer.
    until: Option<Instant>,
    /// When no call may go on any longer: the last question, asked when the wait is over, has its time like
    /// any other.
    limit: Option<Instant>,
    next: NextAttempt,
    /// When the question was asked that is under way.
    sent: Instant,
    /// Whether a question may have been answered by the lock, unheard by the caller.
    doubtful: bool,
}

#[derive(Clone, Copy, Debug)]
enum NextAttempt {
    Ask,
    /// The answer to a question is awaited.
    Answer,
    /// Another holder has it, for so long if that is known.
    LockWait(Option<Duration>),
    /// No wake-up can be heard, or the server not be reached.
    Pause,
    /// A wake-up is awaited; then the next question.
    Listen,
    /// All is said.
    Done,
}

/// What to do next.
#[derive(Debug)]
pub enum AcquireStep {
    /// Run this and tell [`handle_answer`](Acquire::handle_answer).
    Ask(Cmd<AcquireAnswer>),
    /// Run this, which waits, and tell [`handle_heard`](Acquire::handle_heard) whether that went well.
    Listen(Cmd<Value>),
    /// Sleep, then go on.
    Pause(Duration),
}

impl Acquire {
    /// An attempt that begins `now`, with its `claim` to the lock. A call may take `timeout`.
    #[must_use]
    pub fn new(options: &LockOptions, claim: Claim, timeout: Option<Duration>, now: Instant) -> Self {
        let until = options.patience().and_then(|wait| now.checked_add(wait));
        Self {
            claim,
            ttl: options.ttl,
            auto_extend: options.auto_extend,
            retry_interval: options.retry_interval.clamp(LEAST, MOST),
            timeout,
            until,
            limit: until.zip(timeout).and_then(|(until, timeout)| until.checked_add(timeout)),
            next: NextAttempt::Ask,
            sent: now,
            doubtful: false,
        }
    }

    /// What is claimed.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Whether the attempt, given up as it is now, may leave a lock behind, or have taken a wake-up that is
    /// another holder's: then [`Claim::abandon`] is due.
    #[must_use]
    pub fn leaves_traces(&self) -> bool {
        self.doubtful || matches!(self.next, NextAttempt::Answer | NextAttempt::Listen)
    }

    /// What to do now. `may_listen`: whether there is a connection to be woken over; `random` is uniform over
    /// all of `u64`.
    pub fn poll_step(&mut self, now: Instant, random: u64, may_listen: bool) -> AcquireStep {
        match self.next {
            NextAttempt::LockWait(left) => {
                let limit = self.turn(left, now);
                if may_listen {
                    self.next = NextAttempt::Listen;
                    return AcquireStep::Listen(self.timed(self.claim.listen(limit), now));
                }
                self.next = NextAttempt::Ask;
                AcquireStep::Pause(between_half_and_all(limit.min(DEAF), random))
            }
            NextAttempt::Pause => {
                self.next = NextAttempt::Ask;
                AcquireStep::Pause(between_half_and_all(self.turn(None, now).min(DEAF), random))
            }
            NextAttempt::Ask | NextAttempt::Answer | NextAttempt::Listen | NextAttempt::Done => {
                (self.next, self.sent) = (NextAttempt::Answer, now);
                AcquireStep::Ask(self.timed(self.claim.acquire(self.ttl), now))
            }
        }
    }

    /// The question was answered, or not. `Some` when the lock is acquired: its fencing number, and what
    /// keeps it.
    ///
    /// # Errors
    /// [`LockFault::NotAcquired`] when time is up; a failure that time will not mend, or has not.
    pub fn handle_answer(
        &mut self,
        answer: Result<AcquireAnswer>,
        now: Instant,
    ) -> Result<Option<(u64, Hold)>> {
        self.next = NextAttempt::Done;
        match answer {
            Ok((true, fence)) => {
                let claim = self.claim.clone();
                let mut hold = Hold::new(claim, self.ttl, self.auto_extend, self.sent, Some(self.ttl));
                self.doubtful = hold.is_lost(now);
                if !self.doubtful {
                    return Ok(Some((fence.unsigned_abs(), hold)));
                }
                // The answer took longer than the lock lasts: no caller can be said to hold it.
                self.next = NextAttempt::Pause;
                if self.is_over(now) {
                    return Err(failure(LockFault::NotAcquired));
                }
            }
            Ok((false, _)) if self.is_over(now) => return Err(failure(LockFault::NotAcquired)),
            // Below zero: without end, or gone by now.
            Ok((false, left)) => {
                self.next = NextAttempt::LockWait(u64::try_from(left).ok().map(Duration::from_millis));
            }
            Err(error) => self.handle_failure(error, now)?,
        }
        Ok(None)
    }

    fn handle_failure(&mut self, error: Error, now: Instant) -> Result<()> {
        self.doubtful |= !matches!(error.outcome(), Outcome::NotSent | Outcome::Rejected);
        let next = now + self.retry_interval.min(DEAF);
        let in_time = self.until.is_none_or(|until| next < until);
        if !in_time || !outage::heals(&error) {
            return Err(error);
        }
        self.next = NextAttempt::Pause;
        Ok(())
    }

    /// Listening has ended: a wake-up or nothing came (`true`), or it could not be done.
    pub fn handle_heard(&mut self, well: bool) {
        self.next = if well { NextAttempt::Ask } else { NextAttempt::Pause };
    }

    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// How long to wait until the next question: not past the end of the other's lock, nor the end of our
    /// time.
    fn turn(&self, left: Option<Duration>, now: Instant) -> Duration {
        let ours = self.until.map(|until| until.saturating_duration_since(now));
        // A lock lasts to the end of its last millisecond.
        let turn = [ours, left.map(|left| left + LEAST)].into_iter().flatten().min();
        turn.map_or(self.retry_interval, |turn| turn.clamp(LEAST, self.retry_interval))
    }

    /// A command with the time that it may take.
    fn timed<R>(&self, cmd: Cmd<R>, now: Instant) -> Cmd<R> {
        let left = self.limit.map(|limit| limit.saturating_duration_since(now).max(LEAST));
        match self.timeout {
            Some(timeout) => cmd.timeout(left.map_or(timeout, |left| left.min(timeout))),
            None => cmd,
        }
    }
}

/// The least time to wait: 0 would be for ever to the server, and a storm to us.
const LEAST: Duration = Duration::from_millis(1);

/// The most, while no wake-up can be heard.
const DEAF: Duration = Duration::from_secs(1);

/// The most: a caller that waits for longer has other things to do.
const MOST: Duration = Duration::from_secs(3_600);

/// Callers that wait do not ask all at once.
fn between_half_and_all(limit: Duration, random: u64) -> Duration {
    limit.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
}
