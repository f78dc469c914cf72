//! The times of a link: the deadlines of its requests, and whether its peer still lives.
//!
//! There is one next time for all of them, so that a driver needs one timer. This file must not know clocks.

use std::time::Instant;

use super::{Link, Slot, end};
use crate::error::{Error, Outcome};
use crate::liveness::Verdict;

impl<W: Clone> Link<W> {
    /// The connection is up: from now on the peer may be asked whether it lives.
    pub fn handle_connected(&mut self, now: Instant) {
        self.answered = false;
        self.liveness.handle_connected(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next: no later than the earliest deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.deadline, self.liveness.poll_timeout()) {
            (Some(deadline), Some(tick)) => Some(deadline.min(tick)),
            (deadline, tick) => deadline.or(tick),
        }
    }

    /// When the earliest deadline of a request passes, or before.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Fails the requests whose deadline has passed; `cause` is what is known to keep them waiting. Nothing else:
    /// for who keeps deadlines in place of the driver.
    pub fn handle_deadlines(&mut self, now: Instant, cause: Option<&Error>) {
        self.fail_late(now, cause);
    }

    /// Fails the requests whose deadline has passed; `cause` is what is known to keep them waiting. `received` is how many
    /// bytes have come in all, as far as the driver counts them. Says whether it would help to know from elsewhere that the
    /// peer lives: see [`handle_alive`](Self::handle_alive).
    ///
    /// # Errors
    /// The peer has been silent for too long, though it was asked: the connection is dead.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        received: u64,
        cause: Option<&Error>,
    ) -> Result<bool, Error> {
        self.fail_late(now, cause);
        if self.liveness.poll_timeout().is_none_or(|tick| now < tick) {
            return Ok(false);
        }
        // A kernel that was full and has taken more has heard from the peer.
        self.unstuck += u64::from(self.stuck.is_some_and(|stuck| self.sent > stuck));
        self.stuck = (self.sent < self.taken).then_some(self.sent);
        match self.liveness.handle_timeout(now, received.wrapping_add(self.unstuck)) {
            Verdict::Fine => {}
            Verdict::Ask => self.silent = true,
            Verdict::Doubt => return Ok(self.bears_silence()),
            Verdict::Dead => return Err(Error::silent_peer(Outcome::MaybeExecuted)),
        }
        Ok(false)
    }

    /// The peer was found to live by other means, so that what it is asked here may just take its time: a large request that
    /// is still on its way, or one that the server holds back.
    pub fn handle_alive(&mut self) {
        if self.bears_silence() {
            self.liveness.handle_alive();
        }
    }

    /// Whether silence may have a good reason: somebody waits, and nobody has waited in vain. Otherwise a connection that is
    /// cut off while its server lives would be kept for ever.
    fn bears_silence(&self) -> bool {
        !self.missed && (0..self.slots.len() as u32).any(|slot| self.is_slot_waiting(slot))
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
            let (Slot::Waiting { deadline, .. } | Slot::Gathering { deadline, .. }) = place else { continue };
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
            *place = Slot::Late(error);
        }
        if !self.outside.is_empty() {
            let outside = self.fail_late_outside(now, cause);
            earliest = [earliest, outside].into_iter().flatten().min();
        }
        self.deadline = earliest;
    }
}
