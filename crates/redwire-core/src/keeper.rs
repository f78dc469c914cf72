//! The place of one connection, through all the connections that it has one after the other: when the next is
//! made, and when the one there is must be given up.
//!
//! ```text
//!            first use                 connected
//!   Idle ──────────────▶ Now ─────────────────────────▶ Up
//!                         ▲ │ failed                      │ lost
//!               its time  │ ▼                             ▼
//!                         At(next) ◀──────── a pause that grows, or none where
//!                         │                  the server was left for another
//!                         │ time alone will not mend it
//!                         ▼
//!                        Asked ── a caller asks ──▶ Now           close: Done
//! ```
//!
//! An outage ends when a connection has served: with the first answer on it after the handshake, or when it
//! has lived for as long as the longest pause. One that is lost before that is a failed attempt, whatever its
//! handshake said, so that a server that shakes hands and hangs up is met with the same pauses as one that
//! refuses.
//!
//! This file must not know clocks or chance: both come in as arguments.

use std::time::{Duration, Instant};

use crate::backoff::{Backoff, jitter_around};
use crate::error::Error;
use crate::outage::{Outage, heals};

/// The place of one connection.
///
/// What a driver does: asks [`poll_connect`](Self::poll_connect) what to do about a connection. When it is
/// told [`Now`](WhenToConnect::Now) it connects, and tells [`handle_connected`](Self::handle_connected) or
/// [`handle_failed`](Self::handle_failed); when the connection ends, [`handle_lost`](Self::handle_lost) or
/// [`handle_left`](Self::handle_left). While there is one, [`poll_cut`](Self::poll_cut) and
/// [`expires`](Self::expires) say whether it must go.
///
/// `random` is uniform over all of `u64`.
///
/// ```
/// # use redwire_core as redwire;
/// use std::time::{Duration, Instant};
///
/// use redwire::backoff::Backoff;
/// use redwire_core::keeper::{WhenToConnect, Keeper};
///
/// let mut keeper = Keeper::new(Backoff::constant(Duration::from_millis(10)), None);
/// let now = Instant::now();
/// assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::Now));
/// keeper.handle_connected(now, 0);
/// assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::Up));
/// let error = redwire_core::Error::closed_by_peer(redwire_core::Outcome::NotSent);
/// keeper.handle_lost(error, true, now, 0);
/// let next = now + Duration::from_millis(10);
/// assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::At(at) if at == next));
/// ```
#[derive(Debug)]
pub struct Keeper {
    backoff: Backoff,
    lifetime: Option<Duration>,
    outage: Outage,
    /// How many connections were made so far, and how many attempts failed.
    made: u64,
    failures: u64,
    up: Option<Up>,
    /// Whether a caller would use the connection if it were up.
    asked: bool,
    /// Whether the next connection leads to another server than the one that is being tried.
    moved: bool,
    /// Why the connection is to be given up.
    cut: Option<Error>,
    /// Whether the last attempt has failed: it led to no connection, or to one that never served.
    failed: bool,
    closed: bool,
}

/// The connection there is.
#[derive(Debug)]
struct Up {
    since: Instant,
    expires: Option<Instant>,
    /// Whether it is being given up because of what [`Keeper::cut`] was told.
    is_cut: bool,
}

/// What is to be done about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum WhenToConnect {
    /// There is one.
    Up,
    /// Make one now.
    Now,
    /// Make one then, not before.
    At(Instant),
    /// Make one when a caller asks for it: time alone will not mend what kept the last attempt from working.
    Asked,
    /// Never again.
    Done,
}

impl Keeper {
    /// No connection yet. Each lives for `lifetime`, a tenth more or less.
    #[must_use]
    pub fn new(backoff: Backoff, lifetime: Option<Duration>) -> Self {
        Self {
            backoff,
            lifetime,
            made: 0,
            failures: 0,
            outage: Outage::default(),
            up: None,
            asked: false,
            moved: false,
            cut: None,
            failed: false,
            closed: false,
        }
    }

    /// What to do about the connection. The driver that gets [`WhenToConnect::Now`] makes it.
    pub fn poll_connect(&mut self, now: Instant, random: u64) -> WhenToConnect {
        if self.closed {
            return WhenToConnect::Done;
        }
        if self.up.is_some() {
            return WhenToConnect::Up;
        }
        if std::mem::take(&mut self.moved) {
            (self.outage, self.failed) = (Outage::default(), false);
        }
        if let Some(next) = self.outage.next().filter(|next| now < *next) {
            return WhenToConnect::At(next);
        }
        if !self.asked && self.outage.error().is_some_and(|error| !heals(error)) {
            return WhenToConnect::Asked;
        }
        let _ = self.outage.poll_turn(self.backoff, now, random);
        (self.asked, self.cut) = (false, None);
        WhenToConnect::Now
    }

    /// There is a connection.
    pub fn handle_connected(&mut self, now: Instant, random: u64) {
        let lifetime = self.lifetime.map(|lifetime| jitter_around(lifetime, random));
        let expires = lifetime.and_then(|lifetime| now.checked_add(lifetime));
        self.up = Some(Up { since: now, expires, is_cut: false });
        self.made += 1;
        (self.moved, self.asked, self.failed) = (false, false, false);
    }

    /// The connection could not be made.
    pub fn handle_failed(&mut self, error: Error, now: Instant, random: u64) {
        self.failed = true;
        self.failures += 1;
        self.outage.handle_failure(error, self.backoff, now, random);
    }

    /// The connection was lost because of `error`; `answered` is whether anything was answered on it after
    /// its handshake. One that was [cut](Self::cut) has not served by an answer alone: what it was cut for
    /// comes again with the next one.
    pub fn handle_lost(&mut self, error: Error, answered: bool, now: Instant, random: u64) {
        let served = self.up.take().is_some_and(|up| {
            (answered && !up.is_cut) || now.saturating_duration_since(up.since) >= self.backoff.cap()
        });
        if served {
            self.outage = Outage::default();
        }
        (self.cut, self.moved, self.failed) = (None, false, !served);
        self.outage.handle_failure(error, self.backoff, now, random);
    }

    /// The connection was given up for another server, or for its age: the next may be made at once.
    pub fn handle_left(&mut self) {
        (self.up, self.cut, self.moved, self.failed) = (None, None, false, false);
        self.outage = Outage::default();
    }

    /// A caller would use the connection if it were up. Says whether that is news.
    pub fn ask(&mut self) -> bool {
        self.up.is_none() && !std::mem::replace(&mut self.asked, true)
    }

    /// Has the connection given up because of `error`, and made anew.
    pub fn cut(&mut self, error: Error) {
        self.cut = Some(error);
    }

    /// Connections lead to another server from now on. An attempt that is under way is of no use: see
    /// [`is_moved`](Self::is_moved).
    pub fn handle_moved(&mut self) {
        self.moved = true;
    }

    /// Whether an attempt that is under way leads to a server of which nothing is wanted any more.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        self.moved
    }

    /// There will be no connection any more.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether there will be none.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many connections were made so far.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made
    }

    /// How many attempts to connect failed so far.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Whether the last attempt has failed, so that a caller that has other servers had better ask those.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.failed
    }

    /// Why there is no connection.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.outage.error().filter(|_| self.up.is_none())
    }

    /// When the connection there is will be too old.
    #[must_use]
    pub fn expires(&self) -> Option<Instant> {
        self.up.as_ref().and_then(|up| up.expires)
    }

    /// Why the connection there is must go at once, if it must.
    #[inline]
    pub fn poll_cut(&mut self) -> Option<Error> {
        if self.cut.is_none() { None } else { self.take_cut() }
    }

    #[cold]
    fn take_cut(&mut self) -> Option<Error> {
        if let Some(up) = &mut self.up {
            up.is_cut = true;
        }
        self.cut.take()
    }
}

#[cfg(test)]
mod tests;
