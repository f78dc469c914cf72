//! The callers that wait for a connection, oldest first.
//!
//! Promises that each is answered at most once, in the order in which they came, that a caller that gave up
//! or is busy making a connection is passed over, and that the memory of those that gave up is used again.
//! This file must not know what they wait for.

use std::collections::VecDeque;
use std::time::Instant;

use super::CallSite;
use super::acquire_limit::AcquireLimit;
use crate::error::{Error, Result};

/// A waiter's place in the queue. It must be redeemed by [`Pool::poll_claim`](super::Pool::poll_claim) or
/// given up by [`Pool::give_up`](super::Pool::give_up).
#[derive(Debug)]
#[must_use = "a claim that is dropped takes what it was granted with it; give it up"]
pub struct QueueClaim(u32);

/// A queue for things of type `T`.
#[derive(Debug)]
pub(super) struct Queue<T, W> {
    order: VecDeque<u32>,
    slots: Vec<QueueSlot<T, W>>,
    free: Vec<u32>,
    /// How many in `order` wait no longer.
    given_up: usize,
    /// How many in `order` are busy making a connection.
    busy: usize,
}

#[derive(Debug)]
enum QueueSlot<T, W> {
    Free,
    Waiting(QueuedCaller<W>),
    GivenUp,
    /// Since when it had stood in line, if it had, and what came of it.
    Answered(Option<Instant>, Result<T>),
}

/// A caller that waits.
#[derive(Debug)]
pub(super) struct QueuedCaller<W> {
    pub(super) waiter: W,
    pub(super) location: CallSite,
    pub(super) since: Instant,
    /// Whether no connection could be made for it when it came.
    pub(super) stands_in_line: bool,
    /// The turn to connect that it knows to keep the time for.
    pub(super) turn: Option<Instant>,
    /// Whether it makes a connection itself, and cannot look at what it is granted.
    pub(super) connects: bool,
    pub(super) limit: AcquireLimit,
}

/// The right to answer a caller that waited.
#[derive(Debug)]
pub(super) struct NextWaiter<W> {
    slot: u32,
    pub(super) waiter: QueuedCaller<W>,
}

impl<T, W> Queue<T, W> {
    pub(super) const fn new() -> Self {
        Self { order: VecDeque::new(), slots: Vec::new(), free: Vec::new(), given_up: 0, busy: 0 }
    }

    /// Whether a waiter would take a connection.
    #[inline]
    pub(super) fn has_free(&self) -> bool {
        self.order.len() > self.given_up + self.busy
    }

    pub(super) fn len(&self) -> usize {
        self.order.len() - self.given_up
    }

    pub(super) fn push_back(&mut self, waiter: QueuedCaller<W>) -> QueueClaim {
        let slot = self.occupy(waiter);
        self.order.push_back(slot);
        QueueClaim(slot)
    }

    fn occupy(&mut self, waiter: QueuedCaller<W>) -> u32 {
        let waiting = QueueSlot::Waiting(waiter);
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = waiting;
            slot
        } else {
            self.slots.push(waiting);
            // The limit of the queue keeps the number of slots far below 2^32.
            self.slots.len() as u32 - 1
        }
    }

    /// The oldest that would take a connection.
    pub(super) fn oldest(&mut self) -> Option<&mut QueuedCaller<W>> {
        let place = self.find_oldest()?;
        self.waiter(&QueueClaim(self.order[place]))
    }

    /// Takes the oldest that would take a connection out of the queue, to be given an answer.
    pub(super) fn pop(&mut self) -> Option<NextWaiter<W>> {
        let place = self.find_oldest()?;
        let slot = self.order.remove(place)?;
        match std::mem::replace(&mut self.slots[slot as usize], QueueSlot::Free) {
            QueueSlot::Waiting(waiter) => Some(NextWaiter { slot, waiter }),
            QueueSlot::Free | QueueSlot::GivenUp | QueueSlot::Answered(..) => None,
        }
    }

    /// Its place in the order. There are few that are busy, so that this takes few steps.
    fn find_oldest(&mut self) -> Option<usize> {
        let mut place = 0;
        while let Some(slot) = self.order.get(place).copied() {
            match &self.slots[slot as usize] {
                QueueSlot::Waiting(waiter) if waiter.connects => place += 1,
                QueueSlot::Waiting(_) => return Some(place),
                QueueSlot::Free | QueueSlot::GivenUp | QueueSlot::Answered(..) => {
                    self.order.remove(place);
                    self.slots[slot as usize] = QueueSlot::Free;
                    self.given_up -= 1;
                    self.free.push(slot);
                }
            }
        }
        None
    }

    /// The oldest of those that wait, but for `n` that came before it.
    pub(super) fn after(&self, n: usize) -> Option<&QueuedCaller<W>> {
        let mut waiting = self.order.iter().filter_map(|slot| match &self.slots[*slot as usize] {
            QueueSlot::Waiting(waiter) => Some(waiter),
            QueueSlot::Free | QueueSlot::GivenUp | QueueSlot::Answered(..) => None,
        });
        waiting.nth(n)
    }

    /// Takes all of which `which` is true out of the queue, oldest first, to be given an answer.
    pub(super) fn take_where(
        &mut self,
        mut which: impl FnMut(&QueuedCaller<W>) -> bool,
    ) -> Vec<NextWaiter<W>> {
        let (slots, busy, mut taken) = (&mut self.slots, &mut self.busy, Vec::new());
        self.order.retain(|&slot| {
            let place = &mut slots[slot as usize];
            if !matches!(place, QueueSlot::Waiting(waiter) if which(waiter)) {
                return true;
            }
            if let QueueSlot::Waiting(waiter) = std::mem::replace(place, QueueSlot::Free) {
                *busy -= usize::from(waiter.connects);
                taken.push(NextWaiter { slot, waiter });
            }
            false
        });
        taken
    }

    /// The waiter with this claim, if it has no answer yet, is busy making a connection, or is so no longer.
    pub(super) fn set_connecting(&mut self, claim: &QueueClaim, connects: bool) {
        let former = self.waiter(claim).map(|waiter| std::mem::replace(&mut waiter.connects, connects));
        match (former, connects) {
            (Some(false), true) => self.busy += 1,
            (Some(true), false) => self.busy -= 1,
            _ => {}
        }
    }

    /// Answers the caller that was taken out of the queue; it is to be woken.
    pub(super) fn answer(&mut self, next: NextWaiter<W>, answer: Result<T>) -> W {
        self.slots[next.slot as usize] =
            QueueSlot::Answered(next.waiter.stands_in_line.then_some(next.waiter.since), answer);
        next.waiter.waiter
    }

    /// Takes the answer, and since when its waiter had stood in line; gives the claim back until there is
    /// one.
    pub(super) fn redeem(&mut self, claim: QueueClaim) -> Result<(Option<Instant>, Result<T>), QueueClaim> {
        let place = &mut self.slots[claim.0 as usize];
        match place {
            QueueSlot::Waiting(_) => Err(claim),
            QueueSlot::Answered(..) => {
                let QueueSlot::Answered(since, answer) = std::mem::replace(place, QueueSlot::Free) else {
                    return Err(claim);
                };
                self.free.push(claim.0);
                Ok((since, answer))
            }
            // A claim holds its slot until it is redeemed or given up, and there is one claim for a slot.
            QueueSlot::Free | QueueSlot::GivenUp => unreachable!("a claim outlived its slot"),
        }
    }

    /// The caller that waits with this claim.
    pub(super) fn waiter(&mut self, claim: &QueueClaim) -> Option<&mut QueuedCaller<W>> {
        match &mut self.slots[claim.0 as usize] {
            QueueSlot::Waiting(waiter) => Some(waiter),
            QueueSlot::Free | QueueSlot::GivenUp | QueueSlot::Answered(..) => None,
        }
    }

    /// The caller that has this claim waits no longer. Gives back what was answered already.
    pub(super) fn give_up(&mut self, claim: QueueClaim) -> Option<Result<T>> {
        let place = &mut self.slots[claim.0 as usize];
        match std::mem::replace(place, QueueSlot::GivenUp) {
            QueueSlot::Answered(_, answer) => {
                *place = QueueSlot::Free;
                self.free.push(claim.0);
                Some(answer)
            }
            former => {
                self.busy -= usize::from(matches!(former, QueueSlot::Waiting(waiter) if waiter.connects));
                self.given_up += 1;
                self.sweep();
                None
            }
        }
    }

    /// Forgets the callers that gave up once they are the most: a step or two for each.
    fn sweep(&mut self) {
        if self.given_up <= self.order.len() / 2 {
            return;
        }
        let (slots, free) = (&mut self.slots, &mut self.free);
        self.order.retain(|slot| {
            let waits = matches!(slots[*slot as usize], QueueSlot::Waiting(_));
            if !waits {
                slots[*slot as usize] = QueueSlot::Free;
                free.push(*slot);
            }
            waits
        });
        self.given_up = 0;
    }

    /// Turns every good answer that was not fetched yet into `error`, and gives back what it was.
    pub(super) fn revoke(&mut self, error: &Error) -> Vec<T> {
        let mut revoked = Vec::new();
        for slot in &mut self.slots {
            if let QueueSlot::Answered(_, answer) = slot
                && answer.is_ok()
            {
                revoked.extend(std::mem::replace(answer, Err(error.clone())));
            }
        }
        revoked
    }
}

#[cfg(test)]
impl<T, W> Queue<T, W> {
    /// How many slots and places in the order there are.
    pub(super) fn memory(&self) -> usize {
        self.slots.len().max(self.order.len())
    }

    pub(super) fn has_failed(&self, claim: &QueueClaim) -> bool {
        matches!(self.slots[claim.0 as usize], QueueSlot::Answered(_, Err(_)))
    }

    pub(super) fn is_waiting(&self, claim: &QueueClaim) -> bool {
        matches!(self.slots[claim.0 as usize], QueueSlot::Waiting(_))
    }
}
