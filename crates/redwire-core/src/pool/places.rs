//! The steps behind the pool's decisions: places taken and left, connections handed over and given up, and
//! what is told of it.
//!
//! Promises that each step leaves the counts right. This file must not know when a step is taken.

use std::time::Instant;

use super::queue::NextWaiter;
use super::{
    AcquireLimit, Borrower, CallSite, CloseReason, IdleConnection, Permit, Place, PlaceState, Pool,
    PoolStats, WhenExhausted,
};
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::outage::heals;

impl<C, W: Clone> Pool<C, W> {
    /// Everything worth knowing at this moment.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        let (size, idle) = (self.size(), self.idle.len());
        PoolStats {
            size,
            idle,
            in_use: size - idle - self.connecting,
            connecting: self.connecting,
            waiting: self.queue.len().saturating_sub(self.connecting),
            ..self.counts.clone()
        }
    }

    /// Whether at least `many` connections are in use, or else as many as there may be.
    #[inline]
    #[must_use]
    pub fn is_contended(&self, many: usize) -> bool {
        self.size() - self.idle.len() - self.connecting >= many.min(self.limits.max)
    }

    /// Which callers have the connections in use: the report about those that never come back.
    pub fn borrowers(&self) -> impl Iterator<Item = Borrower> + '_ {
        let in_use = self.places.iter().filter(|place| place.state == PlaceState::InUse);
        in_use.map(|place| Borrower { location: place.location, since: place.since })
    }

    /// What keeps callers waiting: why the last attempt to connect failed, or else the limit. For one whose
    /// deadline passed.
    #[must_use]
    pub fn obstacle(&self, now: Instant) -> Error {
        self.outage.error().cloned().unwrap_or_else(|| self.exhausted(now))
    }

    #[cold]
    pub(super) fn exhausted(&self, now: Instant) -> Error {
        let max = self.limits.max;
        let mut message = match self.limits.max_together.filter(|_| self.is_sought()) {
            _ if self.is_exhausted() => format!("all {max} connections (`max_connections`) are in use"),
            Some(max) => {
                format!(
                    "all {max} connections to the nodes of the cluster (`max_cluster_connections`) are in use"
                )
            }
            None => format!("{} of {max} connections (`max_connections`) are being made", self.connecting),
        };
        let oldest = self
            .borrowers()
            .filter(|borrower| borrower.location.is_some())
            .min_by_key(|borrower| borrower.since);
        if let Some(Borrower { location: Some(location), since }) = oldest {
            let held = now.saturating_duration_since(since);
            message.push_str(&format!("; one has been held for {held:.1?} by {location}"));
        }
        Error::new(ErrorKind::PoolExhausted, Outcome::NotSent, message)
    }

    pub(super) fn size(&self) -> usize {
        self.places.len() - self.vacant.len()
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.size() >= self.limits.max
    }

    /// Whether the pool's own limits allow for one more connection to be made now.
    pub(super) fn may_grow(&self) -> bool {
        !self.is_exhausted() && self.connecting < self.limits.max_connecting
    }

    /// Whether the limit that is shared with other pools, if one is, allows for one more connection.
    pub(super) fn has_place(&self) -> bool {
        self.limits.max_together.is_none() || self.size() < self.allowed
    }

    /// Whether a connection is to be kept warm that is not there yet.
    pub(super) fn wants_warm(&self) -> bool {
        let enough = self.idle.len() + self.connecting >= self.limits.min_idle;
        // A wrong password is not tried again where no caller asks for it.
        let permanent = self.outage.error().is_some_and(|error| !heals(error));
        !(self.closed || enough || permanent || self.queue.len() > 0) && self.may_grow()
    }

    /// Whether a connection may be made now that is not needed; the oldest that is idle makes way for it.
    #[cold]
    pub(super) fn makes_way(&mut self) -> bool {
        if self.outage.next().is_some() || self.queue.len() > 0 {
            return false;
        }
        let is_full = self.is_exhausted() || !self.has_place();
        if is_full && self.connecting < self.limits.max_connecting && !self.idle.is_empty() {
            let idle = self.idle.remove(0);
            self.retire(idle.place, idle.connection, CloseReason::Disconnected);
        }
        self.may_grow()
    }

    /// Takes a place for a connection to be made.
    pub(super) fn occupy(&mut self, location: CallSite, now: Instant) -> Permit {
        self.connecting += 1;
        let (state, epoch) = (PlaceState::Connecting, self.epoch);
        let place = Place { state, location, since: now, made: now, expires: None, epoch };
        if let Some(index) = self.vacant.pop() {
            self.places[index as usize] = place;
            Permit(index)
        } else {
            self.places.push(place);
            // No pool has as many as 2^32 connections.
            Permit(self.places.len() as u32 - 1)
        }
    }

    pub(super) fn vacate(&mut self, index: u32) {
        let state = std::mem::replace(&mut self.places[index as usize].state, PlaceState::Vacant);
        debug_assert_ne!(state, PlaceState::Vacant, "a place is left once");
        self.connecting -= usize::from(state == PlaceState::Connecting);
        self.vacant.push(index);
        // Whose it is now is for the limit to say that is shared with others.
        self.allowed = self.allowed.saturating_sub(1);
    }

    #[inline]
    pub(super) fn hold(&mut self, permit: &Permit, location: CallSite, now: Instant) {
        let place = &mut self.places[permit.0 as usize];
        (place.state, place.location, place.since) = (PlaceState::InUse, location, now);
    }

    /// Whether one more connection is wanted by a waiter, and the pool's own limits allow for it.
    pub(super) fn is_wanted(&self) -> bool {
        self.queue.len() > self.connecting && self.may_grow() && self.may_try()
    }

    /// Whether one more attempt may be under way. While it is not sure that an outage is over, one is.
    fn may_try(&self) -> bool {
        self.connecting == 0 || !self.outage.is_proving()
    }

    /// Why a caller that needs a new connection is refused: there will be none before the next turn, and
    /// either waiting is of no use, or others are to be asked.
    pub(super) fn refusal(&self, now: Instant) -> Option<Error> {
        self.outage.next().filter(|next| now < *next)?;
        self.outage.error().filter(|error| self.limits.fail_fast || !heals(error)).cloned()
    }

    /// Whether what began at `begun` is news: what began before the last failure was known says nothing about
    /// the time since.
    pub(super) fn is_newer_than_failure(&self, begun: Instant) -> bool {
        self.failed_at.is_none_or(|at| at < begun)
    }

    /// An attempt that began at `begun` failed.
    pub(super) fn fail(&mut self, begun: Instant, error: Error, now: Instant, random: u64) {
        // Those that failed together make the pause longer once.
        let known = self.outage.is_on() && !self.is_newer_than_failure(begun);
        if !known || !heals(&error) {
            self.outage.handle_failure(error.clone(), self.limits.backoff, now, random);
            self.failed_at = Some(now);
        }
        // Then there are connections that come back.
        let is_full = error.kind() == ErrorKind::MaxClients && self.size() > self.connecting && !self.closed;
        if !heals(&error) || (self.limits.fail_fast && !is_full) {
            self.fail_all(&error);
        } else {
            let will_not_wait = |limit: &AcquireLimit| {
                limit.is_told() || (is_full && limit.exhausted() == WhenExhausted::Fail)
            };
            self.fail_where(will_not_wait, &error);
        }
        self.serve(now);
    }

    /// Wakes the oldest waiter to connect, where that is wanted and allowed; or else to keep the time until
    /// it is, unless it does.
    pub(super) fn serve(&mut self, now: Instant) {
        self.turn = None;
        if !self.is_wanted() {
            return;
        }
        let refusal = self.refusal(now).filter(|error| !heals(error));
        // An attempt that is under way may yet work.
        if let Some(error) = refusal.filter(|_| self.connecting == 0) {
            return self.fail_all(&error);
        }
        self.turn = self.outage.next().filter(|next| now < *next);
        if self.turn.is_none() && !self.has_place() {
            return;
        }
        let Some(oldest) = self.queue.oldest() else { return };
        if self.turn.is_none() || oldest.turn != self.turn {
            oldest.turn = self.turn;
            let waiter = oldest.waiter.clone();
            self.woken.push(waiter);
        }
    }

    #[cold]
    pub(super) fn hand_over(&mut self, permit: Permit, connection: C, now: Instant) {
        if self.yields() {
            return self.retire(permit.0, connection, CloseReason::Displaced);
        }
        match self.queue.pop() {
            Some(next) => {
                self.hold(&permit, next.waiter.location, now);
                self.answer(next, Ok((permit, connection)));
                self.serve(now);
            }
            None => {
                self.places[permit.0 as usize].state = PlaceState::Idle;
                self.idle.push(IdleConnection { place: permit.0, since: now, connection });
            }
        }
    }

    pub(super) fn answer(&mut self, next: NextWaiter<W>, answer: Result<(Permit, C)>) {
        let waiter = self.queue.answer(next, answer);
        self.woken.push(waiter);
    }

    pub(super) fn fail_all(&mut self, error: &Error) {
        self.fail_where(|_| true, error);
        self.turn = None;
    }

    fn fail_where(&mut self, which: impl Fn(&AcquireLimit) -> bool, error: &Error) {
        for next in self.queue.take_where(|waiter| which(&waiter.limit)) {
            self.answer(next, Err(error.clone()));
        }
    }

    /// The idle connection that was used last, if it is not too old.
    #[inline]
    pub(super) fn pop_idle(&mut self, now: Instant) -> Option<(u32, C)> {
        loop {
            let idle = self.idle.pop()?;
            match self.is_over(&idle, now) {
                None => return Some((idle.place, idle.connection)),
                Some(why) => self.retire(idle.place, idle.connection, why),
            }
        }
    }

    #[inline]
    pub(super) fn is_over(&self, idle: &IdleConnection<C>, now: Instant) -> Option<CloseReason> {
        if self.limits.idle.is_some_and(|limit| now.saturating_duration_since(idle.since) >= limit) {
            return Some(CloseReason::Idle);
        }
        let expires = self.places[idle.place as usize].expires;
        expires.is_some_and(|expires| expires <= now).then_some(CloseReason::Lifetime)
    }

    #[cold]
    pub(super) fn retire(&mut self, index: u32, connection: C, why: CloseReason) {
        self.counts.closed[why as usize] += 1;
        self.vacate(index);
        self.retired.push(connection);
    }

    /// Parts with a connection that came back, for a place that others may wait for.
    #[cold]
    pub(super) fn retire_used(&mut self, permit: Permit, connection: C, now: Instant) {
        let why = match &self.places[permit.0 as usize] {
            _ if self.closed => CloseReason::Closed,
            place if place.epoch != self.epoch => CloseReason::Disconnected,
            _ => CloseReason::Lifetime,
        };
        self.retire(permit.0, connection, why);
        self.serve(now);
    }
}

pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, Outcome::NotSent, "the pool is closed")
}

#[cold]
pub(super) fn queue_full(limit: usize) -> Error {
    let message = format!("the queue is full: {limit} callers wait for a connection, more may not");
    Error::new(ErrorKind::QueueFull, Outcome::NotSent, message)
}
