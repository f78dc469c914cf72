//! One link for many threads, and no thread of its own: the threads that wait do what there is to do, each
//! for all.
//!
//! There are two duties, and each has one holder at most: to write what has gathered, and to read. A thread
//! that waits takes what is vacant, and one that leaves has another called to it, so that none sleeps while
//! none reads. A thread may have the duty to read for good. This file must not know threads.

use std::time::Instant;

use super::{Link, RequestSlot, Ticket};
use crate::error::{Error, Outcome};
use crate::inbound::Frames;
use crate::outbox::Outbox;
use crate::replies::Replies;

/// A [`Link`] whose callers take turns at driving it. Every change is followed by
/// [`poll_woken`](Self::poll_woken).
#[derive(Debug)]
pub struct Combiner<W> {
    link: Link<W>,
    writing: bool,
    reading: bool,
    /// Whether the reader is a thread that reads for good.
    resident: bool,
    /// Whether a thread must be called to a duty that none has.
    vacant: bool,
    /// Why the connection is of no use any more.
    failed: Option<Error>,
    /// How many requests were under way at most since the last end.
    peak: usize,
}

/// What a caller has to do.
#[derive(Debug)]
pub enum Duty {
    /// Go: here are the replies, or the failure. Then [`Combiner::poll_end`].
    Done(Result<Replies, Error>),
    /// Write what [`Combiner::poll_transmit`] gives, then [`Combiner::handle_written`].
    Write(Ticket),
    /// Read once, then [`Combiner::handle_read`].
    Read(Ticket),
    /// There is room by now: [`Combiner::enter`].
    Enter(Ticket),
    /// Sleep until woken, or until the deadline, then [`Combiner::handle_timeout`].
    Wait(Ticket),
}

/// What became of a connection that no thread needs for now.
#[derive(Debug)]
pub enum CombinerEnd {
    /// It is as new. At most this many requests were under way on it at the same time.
    Idle(usize),
    /// Replies may still come that no thread waits for.
    Forsaken,
    /// It was lost.
    Lost(Error),
}

impl<W: Clone> Combiner<W> {
    /// Callers take turns at driving `link`, on which nothing is under way.
    #[must_use]
    pub fn new(link: Link<W>) -> Self {
        Self { link, writing: false, reading: false, resident: false, vacant: false, failed: None, peak: 0 }
    }

    /// The connection is up.
    pub fn handle_connected(&mut self, now: Instant) {
        self.link.handle_connected(now);
    }

    /// From now on, and until the connection is lost, one thread reads for all, whether it waits for a reply
    /// or not.
    pub fn handle_resident(&mut self) {
        (self.resident, self.reading) = (true, true);
    }

    /// Whether the thread that reads is to write now, as no caller does. Such a duty must be done.
    pub fn poll_writer(&mut self) -> bool {
        let wanted = self.wants_writer();
        self.writing |= wanted;
        wanted
    }

    /// As [`Link::has_answered`].
    #[must_use]
    pub fn has_answered(&self) -> bool {
        self.link.has_answered()
    }

    /// When [`handle_tick`](Self::handle_tick) wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.link.poll_timeout()
    }

    /// As [`Link::handle_timeout`], for a thread that sees to it that the peer lives.
    ///
    /// # Errors
    /// The peer has been silent for too long, though it was asked: the connection is dead.
    pub fn handle_tick(&mut self, now: Instant, received: u64) -> Result<bool, Error> {
        self.link.handle_timeout(now, received, None)
    }

    /// As [`Link::is_overdue`].
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.link.is_overdue()
    }

    /// How many requests were submitted in all.
    #[must_use]
    pub fn submitted(&self) -> u64 {
        self.link.submitted()
    }

    /// Whether the connection was lost, so that nothing more may be submitted before
    /// [`poll_end`](Self::poll_end) has said so.
    #[inline]
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// As [`Link::submit_or_wait`].
    ///
    /// # Errors
    /// As [`Link::submit_or_wait`].
    #[inline]
    pub fn submit(
        &mut self,
        count: u32,
        size: usize,
        whole: bool,
        write: impl FnOnce(&mut Outbox),
        waiter: W,
        deadline: Option<Instant>,
    ) -> Result<Ticket, Error> {
        let ticket = self.link.submit_or_wait(count, size, whole, write, waiter, deadline)?;
        self.peak = self.peak.max(self.link.in_flight());
        Ok(ticket)
    }

    /// As [`Link::enter`].
    pub fn enter(
        &mut self,
        ticket: Ticket,
        count: u32,
        size: usize,
        whole: bool,
        write: impl FnOnce(&mut Outbox),
    ) -> Ticket {
        self.link.enter(ticket, count, size, whole, write)
    }

    /// As [`Link::mark_transaction`].
    pub fn mark_transaction(&mut self, ticket: &Ticket, multi: u32) {
        self.link.mark_transaction(ticket, multi);
    }

    /// What the thread that holds `ticket` has to do now. A duty that is given must be done.
    #[inline]
    pub fn poll_duty(&mut self, ticket: Ticket) -> Duty {
        // Who may go writes first, if only the reader is left, who does not hear.
        let unwritten = !self.link.outbox.is_empty() || self.link.sent < self.link.taken;
        let is_last =
            || unwritten && self.wants_writer() && !self.link.is_waiting(&ticket) && !self.has_idle();
        let ticket = if is_last() {
            ticket
        } else {
            match self.link.poll_reply(ticket, |_| {}) {
                Ok(result) => {
                    self.vacant = true;
                    return Duty::Done(result);
                }
                Err(ticket) if ticket.may_enter() => return Duty::Enter(ticket),
                Err(ticket) => ticket,
            }
        };
        if self.wants_writer() {
            self.writing = true;
            Duty::Write(ticket)
        } else if self.wants_reader() {
            self.reading = true;
            Duty::Read(ticket)
        } else {
            Duty::Wait(ticket)
        }
    }

    #[inline]
    fn wants_writer(&self) -> bool {
        let unwritten = self.link.wants_transmit() || self.link.sent < self.link.taken;
        unwritten && !self.writing && self.failed.is_none()
    }

    #[inline]
    fn wants_reader(&self) -> bool {
        !self.reading && self.failed.is_none()
    }

    /// As [`Link::expects_more`].
    #[inline]
    #[must_use]
    pub fn expects_more(&self) -> bool {
        self.link.expects_more()
    }

    /// Gives the writer what there is to write, unless `outbox` still holds what the kernel did not take
    /// before.
    #[inline]
    pub fn poll_transmit(&mut self, outbox: &mut Outbox) {
        if outbox.is_empty() {
            self.link.poll_transmit(outbox);
        }
    }

    /// The writer has stopped: the kernel took `sent` bytes. Without an error, it is to be tried again if
    /// that was not all.
    #[inline]
    pub fn handle_written(&mut self, sent: usize, result: Result<(), Error>) {
        self.writing = false;
        self.link.handle_sent(sent);
        // A thread that could not write all may be held up because none reads.
        self.vacant |= self.link.sent < self.link.taken;
        self.settle(result);
    }

    /// The reader has read once: `frames` came, or nothing did.
    #[inline]
    pub fn handle_read(&mut self, result: Result<Option<&mut Frames>, Error>) {
        let result =
            result.and_then(|frames| frames.map_or(Ok(()), |frames| self.link.handle_frames(frames)));
        self.resident &= result.is_ok();
        self.reading = self.resident;
        self.settle(result);
    }

    /// Fails the requests whose deadline has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.link.fail_late(now, None);
    }

    /// What was sent is known only once the writer has stopped, and what came once the reader has.
    #[inline]
    fn settle(&mut self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
        if let Some(error) = &self.failed
            && !self.reading
            && !self.writing
        {
            self.link.handle_lost(error);
        }
    }

    /// Moves the threads that can go on to `woken`, and with them those that are called to a duty.
    #[inline]
    pub fn poll_woken(&mut self, woken: &mut Vec<W>) {
        self.link.poll_woken(woken);
        if std::mem::take(&mut self.vacant) {
            let vacant = usize::from(self.wants_writer()) + usize::from(self.wants_reader());
            if vacant > 0 {
                // The one that holds the other duty may be among the oldest, and does not hear.
                let busy = usize::from(self.reading) + usize::from(self.writing);
                woken.extend(self.waiting().take(vacant + busy).cloned());
            }
        }
    }

    /// Whether a thread waits that has no duty, and hears when called.
    fn has_idle(&self) -> bool {
        self.waiting().nth(usize::from(self.reading) + usize::from(self.writing)).is_some()
    }

    fn waiting(&self) -> impl Iterator<Item = &W> {
        let under_way =
            self.link.order.iter().filter_map(|entry| match &self.link.slots[entry.slot as usize] {
                RequestSlot::Waiting { waiter, .. } | RequestSlot::Gathering { waiter, .. } => Some(waiter),
                _ => None,
            });
        under_way.chain(self.link.waiting_outside())
    }

    /// Whether no thread needs the connection any longer. Afterwards the next may be used.
    pub fn poll_end(&mut self) -> Option<CombinerEnd> {
        if self.reading || self.writing || (self.failed.is_none() && self.waiting().next().is_some()) {
            return None;
        }
        let end = match self.failed.take() {
            Some(error) => CombinerEnd::Lost(error),
            None if self.link.is_idle() => CombinerEnd::Idle(self.peak),
            None => CombinerEnd::Forsaken,
        };
        self.peak = 0;
        self.link.handle_lost(&Error::closed_by_peer(Outcome::MaybeExecuted));
        Some(end)
    }
}

#[cfg(test)]
mod tests;
