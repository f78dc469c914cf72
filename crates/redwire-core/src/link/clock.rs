//! The times of a link: the deadlines of its requests, and whether its peer still lives.
//!
//! There is one next time for all of them, so that a driver needs one timer. This file must not know clocks.

use std::time::Instant;

use super::overdue::Look;
use super::{Link, RequestSlot, SentRequest, end};
use crate::error::{Error, Outcome};
use crate::liveness::Verdict;

/// The ticks in the time for which a peer may be silent: twice the interval.
pub(super) const TICKS: usize = 4;

impl<W: Clone> Link<W> {
    /// The connection is up: from now on the peer may be asked whether it lives.
    pub fn handle_connected(&mut self, now: Instant) {
        self.answered = false;
        self.liveness.handle_connected(now);
        self.overdue.wake(self.look(0), now);
    }

    fn look(&self, received: u64) -> Look {
        let oldest = self.order.front().map(|entry| entry.end);
        Look { progress: received.wrapping_add(self.unstuck), sent: self.sent, oldest }
    }

    /// Whether the peer is in doubt, where [`handle_timeout`](Self::handle_timeout) has found that out, or
    /// that it is no longer: see [`doubting_after`](Self::doubting_after).
    pub fn poll_silence(&mut self) -> Option<bool> {
        self.overdue.poll_hints()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next: no later than the earliest
    /// deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let sooner = |a: Option<Instant>, b: Option<Instant>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        sooner(self.deadline, sooner(self.liveness.poll_timeout(), self.overdue.poll_timeout()))
    }

    /// When the earliest deadline of a request passes, or before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Fails the requests whose deadline has passed; `cause` is what is known to keep them waiting. Nothing
    /// else: for who keeps deadlines in place of the driver.
    pub fn handle_deadlines(&mut self, now: Instant, cause: Option<&Error>) {
        self.fail_late(now, cause);
    }

    /// Fails the requests whose deadline has passed; `cause` is what is known to keep them waiting.
    /// `received` is how many bytes have come in all, as far as the driver counts them. Says whether it would
    /// help to know from elsewhere that the server lives: see [`handle_alive`](Self::handle_alive).
    ///
    /// # Errors
    /// The connection is dead: the peer has been silent for too long, though it was asked; and no caller
    /// waits that has more time than that, or the server lives and one has waited in vain.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        received: u64,
        cause: Option<&Error>,
    ) -> Result<bool, Error> {
        self.fail_late(now, cause);
        self.overdue.handle_timeout(self.look(received), now);
        if self.liveness.poll_timeout().is_none_or(|tick| now < tick) {
            return Ok(false);
        }
        // A kernel that was full and has taken more has heard from the peer.
        self.unstuck += u64::from(self.stuck.is_some_and(|stuck| self.sent > stuck));
        self.stuck = (self.sent < self.taken).then_some(self.sent);
        let verdict = self.liveness.handle_timeout(now, received.wrapping_add(self.unstuck));
        let ticks = self.ticks;
        self.ticks.rotate_right(1);
        self.ticks[0] = self.queued;
        self.overdue.wake(self.look(received), now);
        match verdict {
            Verdict::Fine => {}
            Verdict::Ask => self.silent = true,
            Verdict::Doubt => {
                self.lives_elsewhere = false;
                return Ok(self.has_waiting());
            }
            // A server that is busy with one long command answers nowhere.
            Verdict::Dead if !self.lives_elsewhere && self.outlasts_silence(now, ticks) => {
                self.liveness.handle_alive();
            }
            Verdict::Dead => return Err(Error::silent_peer(Outcome::MaybeExecuted)),
        }
        Ok(false)
    }

    /// The server was found to live over another connection. While callers wait and none has waited in vain,
    /// what they asked may just take its time: a large request that is still on its way, or one that the
    /// server holds back. Once one has waited in vain, it is this connection that is dead.
    pub fn handle_alive(&mut self) {
        self.lives_elsewhere = true;
        if !self.missed && self.has_waiting() {
            self.liveness.handle_alive();
        }
    }

    /// Whether the peer has said nothing for twice the interval, and was given more time since: what it
    /// should have announced meanwhile may be lost.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.liveness.is_overdue()
    }

    /// Whether a caller waits for a reply on this connection. What was not taken to be written may wait for
    /// the next one, and loses nothing with this one.
    fn has_waiting(&self) -> bool {
        self.taken_requests().any(|entry| self.is_slot_waiting(entry.slot))
    }

    fn taken_requests(&self) -> impl Iterator<Item = &SentRequest> {
        self.order.iter().take_while(|entry| entry.end <= self.taken)
    }

    /// Whether a caller waits that has more time for its reply than a peer may be silent. `ticks` is up to
    /// where requests were queued at the ticks before this one: so a request is known to have waited for some
    /// of them.
    fn outlasts_silence(&self, now: Instant, ticks: [u64; TICKS]) -> bool {
        let Some(tick) = self.liveness.tick() else { return false };
        self.taken_requests().any(|entry| {
            let (RequestSlot::Waiting { deadline: Some(deadline), .. }
            | RequestSlot::Gathering { deadline: Some(deadline), .. }) = &self.slots[entry.slot as usize]
            else {
                return false;
            };
            let waited = ticks.iter().take_while(|queued| entry.end <= **queued).count();
            let left = deadline.saturating_duration_since(now);
            !left.is_zero() && left + tick * waited as u32 > tick * TICKS as u32
        })
    }

    pub(super) fn fail_late(&mut self, now: Instant, cause: Option<&Error>) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        let mut earliest: Option<Instant> = None;
        for entry in &self.order {
            #[cfg(test)]
            (self.looked_at += 1);
            let place = &mut self.slots[entry.slot as usize];
            let (RequestSlot::Waiting { deadline, .. } | RequestSlot::Gathering { deadline, .. }) = place
            else {
                continue;
            };
            let Some(deadline) = *deadline else { continue };
            if deadline > now {
                earliest = Some(earliest.map_or(deadline, |earliest| earliest.min(deadline)));
                continue;
            }
            // Bytes that were taken will still be written if the connection lives; the others are withdrawn.
            let untaken = entry.end > self.taken;
            self.given_up |= untaken;
            self.doubtful |= !untaken;
            self.missed |= !untaken;
            let error = Error::timeout(if untaken { Outcome::NotSent } else { Outcome::MaybeExecuted });
            let error = match cause {
                Some(cause) => error.with_source(cause.clone()),
                None => error,
            };
            let error = end(place, error, &mut self.woken);
            *place = RequestSlot::Late(error);
        }
        if !self.outside.is_empty() {
            let outside = self.fail_late_outside(now, cause);
            earliest = [earliest, outside].into_iter().flatten().min();
        }
        self.deadline = earliest;
    }
}
