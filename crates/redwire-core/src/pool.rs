//! The accounting of a pool: who may have a connection, who may make one, and who waits.
//!
//! Promises that there are never more than `max` connections and no place is ever lost, that those who wait are served in
//! the order in which they came and nobody sleeps beside a free place, and that during an outage one at a time tries to
//! connect. This file must not know what a connection is, how one is made, nor clocks: time and chance are arguments.
//!
//! ```text
//!                 Connect                       Ready
//!  acquire ───────▶ (make it) ─ handle_connected ─▶ (use it) ── release ──▶ the oldest waiter, or idle
//!     │                 └─ handle_connect_failed       └─ discard
//!     └ Queued ▶ poll_claim ▶ Grant: Connect or Ready
//! ```

mod figures;
mod limits;
mod patience;
mod places;
mod queue;

use std::panic::Location;
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};
use crate::keeper::jittered;
use crate::outage::{Outage, Turn, heals};

pub use figures::{Closing, Figures, Holder, WaitTimes};
pub use limits::PoolLimits;
pub use patience::Patience;
use places::{closed, queue_full};
pub use queue::Claim;
use queue::{Queue, Waiter};

/// The connections of one pool: `C` is a connection, `W` whoever waits for one.
///
/// Mutators: [`take_idle`](Self::take_idle), [`acquire`](Self::acquire), [`give_up`](Self::give_up), [`release`](Self::release),
/// [`discard`](Self::discard), [`reset`](Self::reset), [`close`](Self::close). What happened: `handle_…`. What now: `poll_…`.
///
/// After every call but `take_idle`, wake whom [`poll_woken`](Self::poll_woken) names and drop what
/// [`poll_retired`](Self::poll_retired) gives. Somebody must call [`handle_timeout`](Self::handle_timeout) when
/// [`poll_timeout`](Self::poll_timeout) says: a task of the pool, or else everybody who waits, before sleeping again; the
/// pool wakes the oldest of them when that moment has changed.
///
/// `random` is uniform over all of `u64`. A `now` that is somewhat old does no harm: such as when the call began.
///
/// ```
/// use std::time::Instant;
///
/// use redwire_core::pool::{Acquired, Grant, Pool, PoolLimits, WhenExhausted};
///
/// let (now, random) = (Instant::now(), 0);
/// let mut pool: Pool<&str, &str> = Pool::new(PoolLimits { max: 1, ..PoolLimits::default() });
/// let Acquired::Connect(permit) = pool.acquire(None, WhenExhausted::Wait, "ann", now, random)? else { panic!() };
/// pool.handle_connected(&permit, now, random);
/// let Acquired::Queued(claim) = pool.acquire(None, WhenExhausted::Wait, "bob", now, random)? else { panic!() };
/// pool.release(permit, "a connection", now, random);
///
/// let mut woken = Vec::new();
/// pool.poll_woken(&mut woken);
/// assert_eq!(woken, ["bob"]);
/// let Ok(Ok(Grant::Ready(permit, connection))) = pool.poll_claim(claim, now, |_| {}) else { panic!() };
/// assert_eq!(connection, "a connection");
/// pool.release(permit, connection, now, random);
/// # Ok::<(), redwire_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Pool<C, W> {
    limits: PoolLimits,
    places: Vec<Place>,
    vacant: Vec<u32>,
    /// The one used last is used first, so that the others may grow old.
    idle: Vec<Idle<C>>,
    /// While anybody waits, nothing is idle.
    queue: Queue<Grant<C>, W>,
    connecting: usize,
    outage: Outage,
    /// When the outage got its last failure.
    failed_at: Option<Instant>,
    /// When those who wait may connect, if that is all they wait for.
    turn: Option<Instant>,
    /// When a connection for `min_idle` may be made, if it had to wait.
    warm_turn: Option<Instant>,
    /// Connections of an earlier epoch are closed when they come back.
    epoch: u64,
    /// Whether whoever comes next is to have a new connection, whatever is idle.
    wants_new: bool,
    closed: bool,
    woken: Vec<W>,
    retired: Vec<C>,
    counts: Figures,
}

/// The right to the place of one connection. It must be given back: by [`Pool::release`], [`Pool::discard`] or
/// [`Pool::handle_connect_failed`].
#[derive(Debug)]
#[must_use = "a permit that is dropped takes a place of the pool with it; discard it"]
pub struct Permit(u32);

/// What a caller got who wants a connection.
#[derive(Debug)]
pub enum Acquired<C> {
    /// A connection.
    Ready(Permit, C),
    /// The right to make one; then tell [`Pool::handle_connected`] or [`Pool::handle_connect_failed`].
    Connect(Permit),
    /// A place in the queue.
    Queued(Claim),
}

/// What a caller got who waited.
#[derive(Debug)]
pub enum Grant<C> {
    /// A connection.
    Ready(Permit, C),
    /// The right to make one, as in [`Acquired::Connect`].
    Connect(Permit),
}

/// What a caller wants who comes while all connections are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenExhausted {
    /// To wait for one.
    Wait,
    /// An error at once. It still waits for its turn where one more connection may be made.
    Fail,
}

#[derive(Debug)]
struct Place {
    state: State,
    /// Who has it, and since when.
    location: Option<&'static Location<'static>>,
    since: Instant,
    expires: Option<Instant>,
    epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Vacant,
    Connecting,
    InUse,
    Idle,
}

#[derive(Debug)]
struct Idle<C> {
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
            closed: false,
            woken: Vec::new(),
            retired: Vec::new(),
            counts: Figures::default(),
        }
    }

    /// The idle connection that was used last, unless there is none or somebody waits already: the short way of
    /// [`acquire`](Self::acquire). `location` is where in the program it is asked for, if that is tracked.
    #[inline]
    pub fn take_idle(
        &mut self,
        location: Option<&'static Location<'static>>,
        now: Instant,
    ) -> Option<(Permit, C)> {
        if self.wants_new || !self.queue.is_empty() {
            return None;
        }
        let (index, connection) = self.pop_idle(now)?;
        let place = &mut self.places[index as usize];
        (place.state, place.location, place.since) = (State::InUse, location, now);
        Some((Permit(index), connection))
    }

    /// A connection, or the right to make one, or else a place in the queue, for `waiter` to be woken.
    ///
    /// # Errors
    /// - [`ErrorKind::PoolExhausted`]: all connections are in use, and the caller does not want to wait.
    /// - [`ErrorKind::QueueFull`]: too many wait already.
    /// - [`ErrorKind::Closed`]: the pool is closed.
    /// - Why the last attempt to connect failed, where one is needed and time alone will not mend it.
    pub fn acquire(
        &mut self,
        location: Option<&'static Location<'static>>,
        exhausted: WhenExhausted,
        waiter: W,
        now: Instant,
        random: u64,
    ) -> Result<Acquired<C>> {
        if self.closed {
            return Err(closed());
        }
        if std::mem::take(&mut self.wants_new) && self.makes_way() {
            return Ok(Acquired::Connect(self.occupy(location, now)));
        }
        if let Some((permit, connection)) = self.take_idle(location, now) {
            return Ok(Acquired::Ready(permit, connection));
        }
        if self.queue.is_empty() && self.may_grow() {
            match self.outage.poll_turn(self.limits.backoff, now, random) {
                Turn::Now => return Ok(Acquired::Connect(self.occupy(location, now))),
                Turn::At(next) => match self.outage.error().filter(|_| self.limits.fail_fast) {
                    Some(error) => return Err(error.clone()),
                    None => self.turn = Some(next),
                },
                Turn::Hopeless(_, error) => return Err(error),
            }
        } else if exhausted == WhenExhausted::Fail && self.is_exhausted() {
            self.counts.exhausted += 1;
            return Err(self.exhausted(now));
        }
        if self.queue.len() >= self.limits.max_waiting {
            return Err(queue_full(self.limits.max_waiting));
        }
        let turn = self.turn;
        Ok(Acquired::Queued(self.queue.push_back(Waiter { waiter, location, since: now, turn })))
    }

    /// What the holder of `claim` was granted, or why it was not, once either is known; until then `update` may renew the
    /// waiter, who then sleeps until woken, or until [`poll_timeout`](Self::poll_timeout).
    ///
    /// # Errors
    /// Gives the claim back while there is nothing yet.
    pub fn poll_claim(
        &mut self,
        claim: Claim,
        now: Instant,
        update: impl FnOnce(&mut W),
    ) -> Result<Result<Grant<C>>, Claim> {
        match self.queue.redeem(claim) {
            Ok((since, answer)) => {
                if answer.is_ok() {
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

    /// The holder of `claim` does not wait any longer. What it was granted already goes to the next, or becomes idle.
    pub fn give_up(&mut self, claim: Claim, now: Instant, random: u64) {
        let granted = self.queue.give_up(claim);
        self.counts.gave_up += u64::from(!matches!(granted, Some(Err(_))));
        match granted {
            Some(Ok(Grant::Ready(permit, connection))) => self.release(permit, connection, now, random),
            Some(Ok(Grant::Connect(permit))) => match self.queue.pop() {
                Some(next) => {
                    self.hold(&permit, State::Connecting, next.waiter.location, now);
                    self.answer(next, Ok(Grant::Connect(permit)));
                    self.tell_time();
                }
                None => self.leave_turn(permit, now),
            },
            Some(Err(_)) => {}
            // Perhaps it was the one to keep the time.
            None if self.turn.is_some() => self.serve(now, random),
            None => {}
        }
    }

    /// A connection comes back in good order. It goes to the oldest waiter, or becomes idle, unless its time is over.
    pub fn release(&mut self, permit: Permit, connection: C, now: Instant, random: u64) {
        let Err((permit, connection)) = self.put_back(permit, connection, now) else { return };
        if self.is_outdated(&permit, now) {
            self.retire_used(permit, connection, now, random);
        } else {
            self.hand_over(permit, connection, now);
        }
    }

    /// The quick part of [`release`](Self::release): makes the connection idle, if nobody waits and its time is not over.
    /// Wakes nobody and retires nothing.
    ///
    /// # Errors
    /// Gives both back for `release`.
    #[inline]
    pub fn put_back(&mut self, permit: Permit, connection: C, now: Instant) -> Result<(), (Permit, C)> {
        if !self.queue.is_empty() || self.is_outdated(&permit, now) {
            return Err((permit, connection));
        }
        let place = &mut self.places[permit.0 as usize];
        debug_assert_eq!(place.state, State::InUse, "handle_connected comes first");
        place.state = State::Idle;
        self.idle.push(Idle { place: permit.0, since: now, connection });
        Ok(())
    }

    #[inline]
    fn is_outdated(&self, permit: &Permit, now: Instant) -> bool {
        let place = &self.places[permit.0 as usize];
        place.epoch != self.epoch || place.expires.is_some_and(|expires| expires <= now)
    }

    /// A connection does not come back, or the attempt to make one was not finished; the place is free again.
    pub fn discard(&mut self, permit: Permit, why: Closing, now: Instant, random: u64) {
        if self.places[permit.0 as usize].state == State::Connecting {
            self.leave_turn(permit, now);
        } else {
            self.counts.closed[why as usize] += 1;
            self.vacate(permit.0);
        }
        self.serve(now, random);
    }

    /// The connection that `permit` allows was made: its lifetime begins, and an outage is over.
    pub fn handle_connected(&mut self, permit: &Permit, now: Instant, random: u64) {
        let place = &mut self.places[permit.0 as usize];
        debug_assert_eq!(place.state, State::Connecting, "it is connected once");
        place.expires = self.limits.lifetime.and_then(|lifetime| now.checked_add(jittered(lifetime, random)));
        place.state = State::InUse;
        self.connecting -= 1;
        self.counts.created += 1;
        self.outage.handle_connected();
        self.serve(now, random);
    }

    /// The connection that `permit` allows could not be made. If time alone will not mend that, all who wait fail, too.
    ///
    /// Where the server has too many clients, and other connections of this pool live, the pool shrinks for a while: `waiter`
    /// gets a place at the head of the queue (beyond `max_waiting`, if need be), to be served with one that comes back.
    /// Pass `None` for one who will not wait.
    ///
    /// # Errors
    /// Gives `error` back for the caller in all other cases.
    pub fn handle_connect_failed(
        &mut self,
        permit: Permit,
        error: Error,
        waiter: Option<W>,
        now: Instant,
        random: u64,
    ) -> Result<Claim> {
        let Place { location, since, .. } = self.places[permit.0 as usize];
        self.vacate(permit.0);
        self.counts.failed += 1;
        // Those who tried at the same time as one who failed learn nothing new, and must not make the pause longer.
        let known = self.outage.error().is_some() && self.failed_at.is_some_and(|at| since <= at);
        let in_a_hurry = error.kind() == ErrorKind::Timeout;
        if in_a_hurry {
            self.outage.handle_unused(now);
        } else if !known || !heals(&error) {
            self.outage.handle_failure(error.clone(), self.limits.backoff, now, random);
            self.failed_at = Some(now);
        }
        let tells_all = self.limits.fail_fast && !in_a_hurry && error.kind() != ErrorKind::MaxClients;
        if !heals(&error) || tells_all {
            self.fail_all(&error);
            return Err(error);
        }
        let lives = self.size() > self.connecting && !self.closed;
        let waiter = waiter.filter(|_| lives && error.kind() == ErrorKind::MaxClients);
        let claim =
            waiter.map(|waiter| self.queue.push_front(Waiter { waiter, location, since: now, turn: None }));
        self.serve(now, random);
        claim.ok_or(error)
    }

    /// Moves those who can go on to `woken`, and the oldest who waits when the time to wait for has changed.
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

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next: for a turn to connect, or an idle connection
    /// that grew too old. Looks at every idle connection.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let oldest = self.idle.iter().filter_map(|idle| {
            let silent = self.limits.idle.and_then(|limit| idle.since.checked_add(limit));
            silent.into_iter().chain(self.places[idle.place as usize].expires).min()
        });
        [self.turn, self.warm_turn, oldest.min()].into_iter().flatten().min()
    }

    /// Closes the idle connections that grew too old, and lets somebody connect whose turn has come.
    pub fn handle_timeout(&mut self, now: Instant, random: u64) {
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
        self.serve(now, random);
    }

    /// The right to make a connection that nobody asked for, where fewer than `min_idle` are idle or being made; when it is
    /// made, release it. Ask at the start, when a connection was made or closed, and after each time-out.
    pub fn poll_warm(&mut self, now: Instant, random: u64) -> Option<Permit> {
        let enough = self.idle.len() + self.connecting >= self.limits.min_idle;
        // A wrong password is not tried again for nobody.
        let hopeless = self.outage.error().is_some_and(|error| !heals(error));
        if self.closed || enough || hopeless || !self.queue.is_empty() || !self.may_grow() {
            return None;
        }
        match self.outage.poll_turn(self.limits.backoff, now, random) {
            Turn::Now => Some(self.occupy(None, now)),
            Turn::At(next) | Turn::Hopeless(next, _) => {
                self.warm_turn = Some(next);
                None
            }
        }
    }

    /// Closes all that are idle now, and counts them by this reason.
    pub fn clear_idle(&mut self, why: Closing) {
        while let Some(idle) = self.idle.pop() {
            self.retire(idle.place, idle.connection, why);
        }
    }

    /// Closes all connections: those in use, and those being made, when they come back.
    pub fn reset(&mut self) {
        self.epoch += 1;
        self.clear_idle(Closing::Disconnected);
    }

    /// Connections lead to another server from now on: all there are are closed as by [`reset`](Self::reset), and what was known of
    /// an outage is known of the former one, so that those who wait may connect at once.
    pub fn handle_moved(&mut self, now: Instant, random: u64) {
        self.reset();
        (self.outage, self.failed_at) = (Outage::default(), None);
        self.serve(now, random);
    }

    /// Has the next who comes make a new connection, whatever is idle, unless an outage or the limits stand against it.
    pub fn prefer_new(&mut self) {
        self.wants_new = true;
    }

    /// Closes the pool for good: nobody gets a connection any more, and all who wait fail. Those in use are closed when they
    /// come back; then the pool [is drained](Self::is_drained).
    pub fn close(&mut self) {
        self.closed = true;
        self.epoch += 1;
        self.clear_idle(Closing::Closed);
        let error = closed();
        for grant in self.queue.revoke(&error) {
            match grant {
                Grant::Ready(permit, connection) => self.retire(permit.0, connection, Closing::Closed),
                Grant::Connect(permit) => self.vacate(permit.0),
            }
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

#[cfg(test)]
mod tests;
