//! The accounting of a pool: which caller has a connection, when one is made, and which callers wait.
//!
//! Promises that there are never more than `max` connections and no place is ever lost, that waiters are
//! served in the order in which they came and none sleeps beside a free place, and that during an outage all
//! of them together make one attempt to connect in each pause. This file must not know what a connection is,
//! how one is made, nor clocks: time and chance are arguments.
//!
//! ```text
//!  acquire ── Ready ──────────────────────────▶ (use it) ── release ──▶ the oldest waiter, or idle
//!     └ Queued ── poll_claim ─────────────────────▲ └─ discard, handle_lost
//!
//!  poll_connect, poll_warm ──▶ (make it) ── handle_connected ──▶ the oldest waiter, or idle
//!                                  └─ handle_connect_failed ──▶ waiters stay for the next turn
//! ```
//!
//! An attempt to connect is the pool's: it is made because a caller waits, and what comes of it is for the
//! oldest waiter of that time, whichever caller it was made for. So a caller that gives up does not cut it
//! short.

mod acquire_limit;
mod allowance;
mod limits;
mod places;
mod queue;
mod shared_limit;
mod stats;

use std::panic::Location;
use std::time::Instant;

use crate::backoff::jitter_around;
use crate::error::{ConnectionFault, Error, ErrorKind, Outcome, Result};
use crate::outage::{self, Outage, Turn};

pub use acquire_limit::{AcquireLimit, WhenExhausted};
pub use limits::PoolLimits;
use places::{closed, queue_full};
pub use queue::QueueClaim;
use queue::{Queue, QueuedCaller};
pub use shared_limit::{Allowance, Demand, SharedLimit};
pub use stats::{Borrower, CloseReason, PoolStats, WaitTimes};

/// Where in the user's program a connection was asked for, if that is known.
pub type CallSite = Option<&'static Location<'static>>;

/// The connections of one pool: `C` is a connection, `W` what wakes a waiter.
///
/// Mutators: [`take_idle`](Self::take_idle), [`acquire`](Self::acquire), [`give_up`](Self::give_up),
/// [`release`](Self::release), [`discard`](Self::discard), [`reset`](Self::reset), [`close`](Self::close).
/// What happened: `handle_…`. What now: `poll_…`.
///
/// After every call but `take_idle`, wake the waiters that [`poll_woken`](Self::poll_woken) names and drop
/// what [`poll_retired`](Self::poll_retired) gives. A waiter that wakes asks
/// [`poll_claim`](Self::poll_claim), and while it has no answer, [`poll_connect`](Self::poll_connect) whether
/// a connection is to be made; then it sleeps again until [`poll_timeout`](Self::poll_timeout), when it calls
/// [`handle_timeout`](Self::handle_timeout). The pool wakes the oldest waiter when that moment has changed,
/// or when a connection may be made.
///
/// A pool that [shares a limit](PoolLimits::max_together) with others makes no connection before it is
/// [allowed](Self::handle_allowance) to: after each change its [`demand`](Self::demand) is told.
///
/// `random` is uniform over all of `u64`. A `now` that is somewhat old does no harm: such as when the call
/// began.
///
/// ```
/// use std::time::Instant;
///
/// use redwire_core::pool::{Acquired, AcquireLimit, Pool, PoolLimits};
///
/// let (now, random, limit) = (Instant::now(), 0, AcquireLimit::default());
/// let mut pool: Pool<&str, &str> = Pool::new(PoolLimits { max: 1, ..PoolLimits::default() });
/// let Acquired::Queued(ann) = pool.acquire(None, &limit, "ann", |_| true, now)? else { panic!() };
/// let Acquired::Queued(bob) = pool.acquire(None, &limit, "bob", |_| true, now)? else { panic!() };
///
/// let Some(permit) = pool.poll_connect(None, now, random) else { panic!() };
/// assert!(pool.poll_connect(None, now, random).is_none());
/// pool.handle_connected(permit, "a connection", now, random);
/// let Ok(Ok((permit, connection))) = pool.poll_claim(ann, now, |_| {}) else { panic!() };
///
/// let mut woken = Vec::new();
/// pool.poll_woken(&mut woken);
/// woken.clear();
/// pool.release(permit, connection, now);
/// pool.poll_woken(&mut woken);
/// assert_eq!(woken, ["bob"]);
/// let Ok(Ok((permit, connection))) = pool.poll_claim(bob, now, |_| {}) else { panic!() };
/// assert_eq!(connection, "a connection");
/// pool.release(permit, connection, now);
/// # Ok::<(), redwire_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Pool<C, W> {
    limits: PoolLimits,
    places: Vec<Place>,
    vacant: Vec<u32>,
    /// The one used last is used first, so that the others may grow old.
    idle: Vec<IdleConnection<C>>,
    /// While a waiter would take what is idle, nothing is idle.
    queue: Queue<(Permit, C), W>,
    connecting: usize,
    outage: Outage,
    /// When the outage got its last failure.
    failed_at: Option<Instant>,
    /// When a connection may be made for a waiter, if that is all it waits for.
    turn: Option<Instant>,
    /// When a connection for `min_idle` may be made, if it had to wait.
    warm_turn: Option<Instant>,
    /// Connections of an earlier epoch are closed when they come back.
    epoch: u64,
    /// Whether the next caller is to have a new connection, whatever is idle.
    wants_new: bool,
    /// So many connections there may be by the limit that is shared with others, if one is.
    allowed: usize,
    /// Since when a caller of any of those pools waits for whom there is no place.
    sought: Option<Instant>,
    closed: bool,
    woken: Vec<W>,
    retired: Vec<C>,
    counts: PoolStats,
}

/// So many failures in a row may be chance: a connection is believed to work once it has shaken hands.
const TRUSTED: u32 = 4;

/// The right to the place of one connection. It must be given back: by [`Pool::release`], [`Pool::discard`],
/// [`Pool::handle_lost`], [`Pool::handle_connected`] or [`Pool::handle_connect_failed`].
#[derive(Debug)]
#[must_use = "a permit that is dropped takes a place of the pool with it; discard it"]
pub struct Permit(u32);

/// What a caller got that wants a connection.
#[derive(Debug)]
pub enum Acquired<C> {
    /// A connection.
    Ready(Permit, C),
    /// A place in the queue.
    Queued(QueueClaim),
}

#[derive(Debug)]
struct Place {
    state: PlaceState,
    /// Where in the program it was asked for, and since when it is in use, or being made.
    location: CallSite,
    since: Instant,
    /// When it was made.
    made: Instant,
    expires: Option<Instant>,
    epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlaceState {
    Vacant,
    Connecting,
    InUse,
    Idle,
}

#[derive(Debug)]
struct IdleConnection<C> {
    place: u32,
    since: Instant,
    connection: C,
}

impl<C, W: Clone> Pool<C, W> {
    /// A pool without connections.
    #[must_use]
    pub fn new(limits: PoolLimits) -> Self {
        Self {
            limits: limits.checked(),
            places: Vec::new(),
            vacant: Vec::new(),
            idle: Vec::new(),
            queue: Queue::new(),
            connecting: 0,
            outage: Outage::default(),
            failed_at: None,
            turn: None,
            warm_turn: None,
            epoch: 0,
            wants_new: false,
            allowed: 0,
            sought: None,
            closed: false,
            woken: Vec::new(),
            retired: Vec::new(),
            counts: PoolStats::default(),
        }
    }

    /// The idle connection that was used last, if there is one: the short way of [`acquire`](Self::acquire).
    /// `location` is where in the program it is asked for, if that is tracked.
    #[inline]
    pub fn take_idle(&mut self, location: CallSite, now: Instant) -> Option<(Permit, C)> {
        if self.wants_new {
            return None;
        }
        let (index, connection) = self.pop_idle(now)?;
        let permit = Permit(index);
        self.hold(&permit, location, now);
        Some((permit, connection))
    }

    /// The idle connection that was used last of those that `fit` the caller, or else a place in the queue,
    /// for `waiter` to be woken.
    ///
    /// # Errors
    /// - [`PoolExhausted`](crate::error::ErrorKind::PoolExhausted): all connections are in use, and the
    ///   caller does not want to wait.
    /// - [`QueueFull`](crate::error::ErrorKind::QueueFull): too many wait already.
    /// - [`Closed`](crate::error::ErrorKind::Closed): the pool is closed.
    /// - Why the last attempt to connect failed, where one is needed and time alone will not mend it, or the
    ///   pool [fails fast](PoolLimits::fail_fast).
    pub fn acquire(
        &mut self,
        location: CallSite,
        limit: &AcquireLimit,
        waiter: W,
        fit: impl Fn(&C) -> bool,
        now: Instant,
    ) -> Result<Acquired<C>> {
        if self.closed {
            return Err(closed());
        }
        let wants_new = std::mem::take(&mut self.wants_new) && self.makes_way();
        while let Some(last) = self.idle.iter().rposition(|idle| !wants_new && fit(&idle.connection)) {
            let idle = self.idle.remove(last);
            if let Some(why) = self.is_over(&idle, now) {
                self.retire(idle.place, idle.connection, why);
                continue;
            }
            let permit = Permit(idle.place);
            self.hold(&permit, location, now);
            return Ok(Acquired::Ready(permit, idle.connection));
        }
        if self.is_exhausted() && !self.idle.is_empty() {
            // One that fits others leaves its place to this caller.
            let IdleConnection { place, connection, .. } = self.idle.remove(0);
            self.retire(place, connection, CloseReason::Lost);
        }
        if self.is_exhausted() {
            if limit.exhausted() == WhenExhausted::Fail {
                self.counts.exhausted += 1;
                return Err(self.exhausted(now));
            }
        } else if let Some(error) = self.refusal(now) {
            return Err(error);
        }
        if self.queue.len() >= self.limits.max_waiting {
            return Err(queue_full(self.limits.max_waiting));
        }
        let (limit, stands_in_line) = (*limit, true);
        let waiter =
            QueuedCaller { waiter, location, since: now, stands_in_line, turn: None, connects: false, limit };
        let claim = self.queue.push_back(waiter);
        self.serve(now);
        let stands_in_line = self.turn.is_some() || !self.is_wanted() || self.is_sought();
        if let Some(waiter) = self.queue.waiter(&claim) {
            (waiter.turn, waiter.stands_in_line) = (self.turn, stands_in_line);
        }
        Ok(Acquired::Queued(claim))
    }

    /// The connection that the holder of `claim` was granted, or why it was not, once either is known; until
    /// then `update` may renew the waiter.
    ///
    /// # Errors
    /// Gives the claim back while there is nothing yet.
    pub fn poll_claim(
        &mut self,
        claim: QueueClaim,
        now: Instant,
        update: impl FnOnce(&mut W),
    ) -> Result<Result<(Permit, C)>, QueueClaim> {
        match self.queue.redeem(claim) {
            Ok((since, answer)) => {
                if let Some(since) = since.filter(|_| answer.is_ok()) {
                    self.counts.waits.record(now.saturating_duration_since(since));
                }
                Ok(answer)
            }
            Err(claim) => {
                if let Some(waiter) = self.queue.waiter(&claim) {
                    waiter.turn = self.turn;
                    update(&mut waiter.waiter);
                }
                Err(claim)
            }
        }
    }

    /// The right to make a connection now, where a waiter has none under way that could be for it. The
    /// driver that asks makes the connection, and tells [`handle_connected`](Self::handle_connected) or
    /// [`handle_connect_failed`](Self::handle_connect_failed).
    ///
    /// A waiter that makes it itself, so that it cannot look at what it is granted meanwhile, names its
    /// claim: it is granted nothing before it [resumes](Self::resume).
    pub fn poll_connect(&mut self, by: Option<&QueueClaim>, now: Instant, random: u64) -> Option<Permit> {
        if !self.is_wanted() || !self.has_place() {
            return None;
        }
        if let Turn::Now = self.outage.poll_turn(self.limits.backoff, now, random) {
            let permit = self.occupy(None, now);
            if let Some(claim) = by {
                self.queue.set_connecting(claim, true);
            }
            self.serve(now);
            return Some(permit);
        }
        None
    }

    /// The holder of `claim` can look at what it is granted again, after it has made a connection itself.
    pub fn resume(&mut self, claim: &QueueClaim, now: Instant) {
        self.queue.set_connecting(claim, false);
        while self.queue.has_free() {
            let Some((index, connection)) = self.pop_idle(now) else { break };
            self.hand_over(Permit(index), connection, now);
        }
        self.serve(now);
    }

    /// The holder of `claim` does not wait any longer. A connection that it was granted already goes to the
    /// next, or becomes idle. One that is being made for it goes on being made.
    pub fn give_up(&mut self, claim: QueueClaim, now: Instant) {
        let granted = self.queue.give_up(claim);
        self.counts.gave_up += u64::from(!matches!(granted, Some(Err(_))));
        match granted {
            Some(Ok((permit, connection))) => self.release(permit, connection, now),
            Some(Err(_)) => {}
            // Perhaps it was the one to keep the time, or was called to connect.
            None => self.serve(now),
        }
    }

    /// A connection comes back in good order. It goes to the oldest waiter, or becomes idle, unless its time
    /// is over.
    pub fn release(&mut self, permit: Permit, connection: C, now: Instant) {
        let Err((permit, connection)) = self.put_back(permit, connection, now) else { return };
        if self.is_outdated(&permit, now) {
            self.retire_used(permit, connection, now);
        } else {
            self.hand_over(permit, connection, now);
        }
    }

    /// The quick part of [`release`](Self::release): makes the connection idle, if no caller waits and its
    /// time is not over. Wakes no caller and retires nothing.
    ///
    /// # Errors
    /// Gives both back for `release`.
    #[inline]
    pub fn put_back(&mut self, permit: Permit, connection: C, now: Instant) -> Result<(), (Permit, C)> {
        if self.queue.has_free() || self.is_sought() || self.is_outdated(&permit, now) {
            return Err((permit, connection));
        }
        let place = &mut self.places[permit.0 as usize];
        debug_assert_eq!(place.state, PlaceState::InUse, "it is connected first");
        place.state = PlaceState::Idle;
        self.idle.push(IdleConnection { place: permit.0, since: now, connection });
        Ok(())
    }

    #[inline]
    fn is_outdated(&self, permit: &Permit, now: Instant) -> bool {
        let place = &self.places[permit.0 as usize];
        place.epoch != self.epoch || place.expires.is_some_and(|expires| expires <= now)
    }

    /// A connection does not come back, or the attempt to make one was not finished; the place is free again.
    pub fn discard(&mut self, permit: Permit, why: CloseReason, now: Instant) {
        if self.places[permit.0 as usize].state == PlaceState::Connecting {
            self.vacate(permit.0);
            self.outage.handle_unused(now);
        } else {
            self.counts.closed[why as usize] += 1;
            self.vacate(permit.0);
        }
        self.serve(now);
    }

    /// A connection was lost because of `error`. `answered` is whether anything was answered on it since it
    /// was made: one that is lost before that, and before it lived for as long as the longest pause, was no
    /// connection, but one more failed attempt.
    pub fn handle_lost(&mut self, permit: Permit, answered: bool, error: Error, now: Instant, random: u64) {
        let Place { made, epoch, .. } = self.places[permit.0 as usize];
        self.counts.closed[CloseReason::Lost as usize] += 1;
        self.vacate(permit.0);
        let lived = now.saturating_duration_since(made);
        if epoch != self.epoch {
            // The server was left.
        } else if !answered && lived < self.limits.backoff.cap() {
            // It was connected. What its first user heard of it does not say that no other can be had.
            let error = if outage::heals(&error) { error } else { given_up(error) };
            return self.fail(made, error, now, random);
        } else if self.is_newer_than_failure(made) {
            self.outage.handle_connected();
        }
        self.serve(now);
    }

    /// The connection that `permit` allows was made: its lifetime begins, and it is for the oldest waiter, or
    /// idle.
    ///
    /// Where it [must answer](Self::must_answer), it has answered something after its handshake. Then others
    /// may connect, too; but the outage is over only when the connection has lived for as long as the longest
    /// pause, or is lost after it served.
    pub fn handle_connected(&mut self, permit: Permit, connection: C, now: Instant, random: u64) {
        let place = &mut self.places[permit.0 as usize];
        debug_assert_eq!(place.state, PlaceState::Connecting, "it is connected once");
        let begun = std::mem::replace(&mut place.since, now);
        place.made = now;
        place.expires =
            self.limits.lifetime.and_then(|lifetime| now.checked_add(jitter_around(lifetime, random)));
        place.state = PlaceState::InUse;
        self.connecting -= 1;
        self.counts.created += 1;
        if self.is_newer_than_failure(begun) {
            self.outage.handle_up(now);
        }
        self.release(permit, connection, now);
        self.serve(now);
    }

    /// Whether a new connection must answer a `PING` before it counts, so that no caller's command is lost on
    /// one that shakes hands and hangs up: several in a row could not be made, or were lost before they
    /// served. A few may have been lost by chance, and then a round trip is saved.
    #[must_use]
    pub fn must_answer(&self) -> bool {
        self.outage.tries() > TRUSTED
    }

    /// The connection that `permit` allows could not be made. If time alone will not mend that, or the pool
    /// [fails fast](PoolLimits::fail_fast), all waiters fail; otherwise they wait for the next turn, except
    /// those that want to be [told](AcquireLimit::told).
    ///
    /// Where the server has too many clients, and other connections of this pool live, the pool shrinks for a
    /// while: waiters are served with one that comes back, as where all are in use.
    pub fn handle_connect_failed(&mut self, permit: Permit, error: Error, now: Instant, random: u64) {
        let begun = self.places[permit.0 as usize].since;
        self.vacate(permit.0);
        self.counts.failed += 1;
        self.fail(begun, error, now, random);
    }

    /// Moves the waiters that can go on to `woken`, and the oldest one when it is to connect, or to sleep
    /// until another moment.
    #[inline]
    pub fn poll_woken(&mut self, woken: &mut Vec<W>) {
        if woken.is_empty() {
            std::mem::swap(&mut self.woken, woken);
        } else {
            woken.append(&mut self.woken);
        }
    }

    /// A connection to be closed; it has left the accounts already.
    #[inline]
    pub fn poll_retired(&mut self) -> Option<C> {
        self.retired.pop()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next: for a turn to connect, or an
    /// idle connection that grew too old. Looks at every idle connection.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.idle.iter().filter_map(|idle| {
            let silent = self.limits.idle.and_then(|limit| idle.since.checked_add(limit));
            silent.into_iter().chain(self.places[idle.place as usize].expires).min()
        });
        [self.turn, self.warm_turn, oldest.min()].into_iter().flatten().min()
    }

    /// Closes the idle connections that grew too old, and calls a waiter to connect when its turn has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.warm_turn = self.warm_turn.filter(|turn| now < *turn);
        let mut index = 0;
        while let Some(idle) = self.idle.get(index) {
            match self.is_over(idle, now) {
                Some(why) => {
                    let idle = self.idle.remove(index);
                    self.retire(idle.place, idle.connection, why);
                }
                None => index += 1,
            }
        }
        self.serve(now);
    }

    /// As [`poll_connect`](Self::poll_connect), for a connection that no caller asked for, where fewer than
    /// `min_idle` are idle or being made. Ask at the start, when a connection was made or closed, and after
    /// each time-out.
    pub fn poll_warm(&mut self, now: Instant, random: u64) -> Option<Permit> {
        if !self.wants_warm() || !self.has_place() {
            return None;
        }
        match self.outage.poll_turn(self.limits.backoff, now, random) {
            Turn::Now => Some(self.occupy(None, now)),
            Turn::At(next) | Turn::Permanent(next, _) => {
                self.warm_turn = Some(next);
                None
            }
        }
    }

    /// Closes those that are idle now and of which `which` is true, and counts them by this reason.
    pub fn clear_idle_of(&mut self, why: CloseReason, which: impl Fn(&C) -> bool) {
        let (cleared, kept) =
            std::mem::take(&mut self.idle).into_iter().partition::<Vec<_>, _>(|idle| which(&idle.connection));
        self.idle = kept;
        cleared.into_iter().for_each(|idle| self.retire(idle.place, idle.connection, why));
    }

    /// Closes all that are idle now, and counts them by this reason.
    pub fn clear_idle(&mut self, why: CloseReason) {
        while let Some(idle) = self.idle.pop() {
            self.retire(idle.place, idle.connection, why);
        }
    }

    /// Closes all connections: those in use, and those being made, when they come back.
    pub fn reset(&mut self) {
        self.epoch += 1;
        self.clear_idle(CloseReason::Disconnected);
    }

    /// Connections lead to another server from now on: all there are are closed as by [`reset`](Self::reset),
    /// and what was known of an outage is known of the former one, so that waiters may connect at
    /// once.
    pub fn handle_moved(&mut self, now: Instant) {
        self.reset();
        (self.outage, self.failed_at) = (Outage::default(), None);
        self.serve(now);
    }

    /// Has the next caller make a new connection, whatever is idle, unless an outage or the limits stand
    /// against it.
    pub fn prefer_new(&mut self) {
        self.wants_new = true;
    }

    /// Closes the pool for good: no caller gets a connection any more, and all waiters fail. Those in use are
    /// closed when they come back; then the pool [is drained](Self::is_drained).
    pub fn close(&mut self) {
        self.closed = true;
        self.epoch += 1;
        self.clear_idle(CloseReason::Closed);
        let error = closed();
        for (permit, connection) in self.queue.revoke(&error) {
            self.retire(permit.0, connection, CloseReason::Closed);
        }
        self.fail_all(&error);
    }

    /// Whether the pool was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the pool was closed and every connection is back.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.closed && self.size() == 0
    }
}

/// What is told of a connection that was given up because of `error`.
#[cold]
fn given_up(error: Error) -> Error {
    let message = "the connection before was given up";
    Error::new(ErrorKind::Connection(ConnectionFault::Reset), Outcome::NotSent, message).with_source(error)
}

#[cfg(test)]
mod tests;
