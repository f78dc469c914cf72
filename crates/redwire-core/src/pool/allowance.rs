//! A pool's part in a limit that it shares with others ([`SharedLimit`](super::SharedLimit)).
//!
//! Promises that it makes no connection without a place, and parts with one for a caller elsewhere that came
//! before its own. This file must not know who the others are.

use std::time::Instant;

use super::shared_limit::{Allowance, Demand};
use super::{CloseReason, Pool, WhenExhausted};

impl<C, W: Clone> Pool<C, W> {
    /// What the pool has, and what it wants of the limit that it shares with others.
    #[must_use]
    pub fn demand(&self, now: Instant) -> Demand {
        let is_due = self.outage.next().is_none_or(|next| next <= now);
        let wants = (is_due && self.is_wanted()).then(|| self.queue.after(self.connecting)).flatten();
        let wants = wants.map(|oldest| oldest.since);
        Demand { size: self.size(), idle: self.idle.len(), wants, warm: self.wants_warm() }
    }

    /// What the limit that it shares with others allows the pool from now on. Says whether the pool has
    /// another [demand](Self::demand) now, which is to be told then.
    pub fn handle_allowance(&mut self, allowance: Allowance, now: Instant) -> bool {
        let Allowance { places, sought, exhausted } = allowance;
        let (before, was_sought) = (std::mem::replace(&mut self.allowed, places), self.is_sought());
        self.sought = sought;
        if places > before {
            self.serve(now);
        }
        if sought.is_some() && !self.idle.is_empty() {
            let idle = self.idle.remove(0);
            self.retire(idle.place, idle.connection, CloseReason::Displaced);
            return true;
        }
        (exhausted && self.refuse_the_hasty(now)) || self.is_sought() != was_sought
    }

    /// Whether a caller of any pool waits for whom there is no place: what comes back may be for that one.
    #[must_use]
    pub fn is_sought(&self) -> bool {
        self.sought.is_some()
    }

    /// Whether a connection that came back leaves its place to a caller of another pool, who came before all
    /// of this one's.
    pub(super) fn yields(&mut self) -> bool {
        let Some(sought) = self.sought else { return false };
        self.queue.oldest().is_none_or(|oldest| sought < oldest.since)
    }

    /// There is no place for callers who would not wait for one, nor is a connection being made that could be
    /// for them. Says whether there were any.
    #[cold]
    fn refuse_the_hasty(&mut self, now: Instant) -> bool {
        let (connecting, mut before) = (self.connecting, 0);
        let refused = self.queue.take_where(|waiter| {
            before += 1;
            before > connecting && waiter.limit.exhausted() == WhenExhausted::Fail
        });
        if refused.is_empty() {
            return false;
        }
        self.counts.exhausted += refused.len() as u64;
        let error = self.exhausted(now);
        refused.into_iter().for_each(|next| self.answer(next, Err(error.clone())));
        true
    }
}
