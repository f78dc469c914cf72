//! Requests that wait for room. What is to be written has a limit in bytes, and large values meet it while
//! those before them are on their way: they wait outside, within their deadlines, and are called in the order
//! in which they came.
//!
//! Their bytes stay with their callers, so waiting costs no memory but a place. This file must not know what
//! is written.

use std::time::Instant;

use super::{Link, RequestSlot, Ticket};
use crate::error::{Error, Outcome};
use crate::outbox::Outbox;

impl Ticket {
    /// Whether there is room now for a request that waited for it: see [`Link::enter`].
    #[inline]
    #[must_use]
    pub fn may_enter(&self) -> bool {
        self.may_enter
    }
}

impl<W: Clone> Link<W> {
    /// As [`submit`](Self::submit); but where there is only no room for its bytes, the request waits for
    /// that, and its ticket [may enter](Ticket::may_enter) when it is polled after its waiter was woken.
    /// No other request overtakes those that wait so.
    ///
    /// # Errors
    /// [`QueueFull`](crate::ErrorKind::QueueFull): too many requests wait already, for a reply or for room.
    #[inline]
    pub fn submit_or_wait(
        &mut self,
        count: u32,
        size: usize,
        whole: bool,
        write: impl FnOnce(&mut Outbox),
        waiter: W,
        deadline: Option<Instant>,
    ) -> Result<Ticket, Error> {
        if !self.finds_room(size) {
            return self.wait_outside(count, size, waiter, deadline);
        }
        let slot = self.occupy(RequestSlot::Waiting { waiter, deadline });
        Ok(self.queue(slot, count, size, whole, write, deadline))
    }

    #[cold]
    fn wait_outside(
        &mut self,
        count: u32,
        size: usize,
        waiter: W,
        deadline: Option<Instant>,
    ) -> Result<Ticket, Error> {
        if !self.has_place() && self.left > 0 {
            let left = |slot: &u32| matches!(self.slots[*slot as usize], RequestSlot::Abandoned);
            let (gone, outside) = self.outside.drain(..).partition(left);
            (self.outside, self.left) = (outside, 0);
            gone.into_iter().for_each(|slot: u32| self.release(slot));
        }
        if !self.has_place() {
            return Err(self.queue_full(count));
        }
        let slot = self.occupy(RequestSlot::Outside { waiter, deadline, size, called: false });
        self.outside.push_back(slot);
        self.expect_by(deadline);
        Ok(Ticket { slot, may_enter: false })
    }

    /// Queues the bytes of a request whose turn has come; where it has not, nothing happens. Its replies, or
    /// its failure, are for the same waiter.
    pub fn enter(
        &mut self,
        ticket: Ticket,
        count: u32,
        size: usize,
        whole: bool,
        write: impl FnOnce(&mut Outbox),
    ) -> Ticket {
        let place = &mut self.slots[ticket.slot as usize];
        let is_first = self.outside.front() == Some(&ticket.slot);
        let waiting = std::mem::replace(place, RequestSlot::Abandoned);
        let (waiter, deadline) = match waiting {
            RequestSlot::Outside { waiter, deadline, .. } if is_first && self.fits(size) => {
                (waiter, deadline)
            }
            other => {
                self.slots[ticket.slot as usize] = other;
                return Ticket { may_enter: false, ..ticket };
            }
        };
        self.slots[ticket.slot as usize] = RequestSlot::Waiting { waiter, deadline };
        self.outside.pop_front();
        let ticket = self.queue(ticket.slot, count, size, whole, write, deadline);
        self.call_next();
        ticket
    }

    /// Whether a request is called, its caller to be woken: see [`poll_woken`](Self::poll_woken).
    #[inline]
    #[must_use]
    pub fn has_woken(&self) -> bool {
        !self.woken.is_empty()
    }

    /// Whether the bytes find room once all before them have entered.
    #[inline]
    pub(super) fn fits(&self, size: usize) -> bool {
        let waiting = (self.queued - self.sent) as usize;
        let has_room = waiting + size <= self.limits.bytes || waiting == 0 || size == 0;
        self.order.len() < self.limits.commands && has_room
    }

    /// Calls the request that waits outside longest, if there is room by now.
    #[cold]
    pub(super) fn call_next(&mut self) {
        while let Some(&slot) = self.outside.front() {
            let RequestSlot::Outside { size, .. } = self.slots[slot as usize] else {
                self.outside.pop_front();
                self.left -= 1;
                self.release(slot);
                continue;
            };
            let has_room = self.fits(size);
            if let RequestSlot::Outside { waiter, called, .. } = &mut self.slots[slot as usize]
                && has_room
                && !std::mem::replace(called, true)
            {
                self.woken.push(waiter.clone());
            }
            return;
        }
    }

    /// Fails those outside whose deadline has passed; says which deadline is next.
    #[cold]
    pub(super) fn fail_late_outside(&mut self, now: Instant, cause: Option<&Error>) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        let mut full = self.queue_full(1);
        if let Some(cause) = cause {
            full = full.with_source(cause.clone());
        }
        let Self { outside, slots, woken, .. } = self;
        outside.retain(|&slot| {
            let place = &mut slots[slot as usize];
            let RequestSlot::Outside { deadline: Some(deadline), .. } = *place else { return true };
            if deadline > now {
                earliest = Some(earliest.map_or(deadline, |earliest| earliest.min(deadline)));
                return true;
            }
            super::fail(place, Error::timeout(Outcome::NotSent).with_source(full.clone()), woken);
            false
        });
        self.call_next();
        earliest
    }

    /// The requests that wait outside, oldest first.
    pub(super) fn waiting_outside(&self) -> impl Iterator<Item = &W> {
        self.outside.iter().filter_map(|slot| match &self.slots[*slot as usize] {
            RequestSlot::Outside { waiter, .. } => Some(waiter),
            _ => None,
        })
    }

    /// Whether one more request may wait, for a reply or for room.
    #[inline]
    pub(super) fn has_place(&self) -> bool {
        self.order.len() + self.outside.len() < self.limits.commands
    }
}

#[cfg(test)]
mod tests;
