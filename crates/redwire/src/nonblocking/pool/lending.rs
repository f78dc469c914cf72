//! How a pool lends: waiting, connecting, and giving back whatever a dropped future held.

use std::future::poll_fn;
use std::panic::Location;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

use redwire_core::pool::{Acquired, Claim, Closing, Grant, Patience, Permit, WhenExhausted};
use redwire_core::{Error, Outcome, Replies, Result};

use super::{Lease, Machine, Pool, State, upkeep};
use crate::events::EventKind;
use crate::grip::Grips;
use crate::nonblocking::connection::{Connection, Readiness};
use crate::nonblocking::{before, renew};
use crate::setup;

impl Pool {
    /// Changes the accounts, and does what follows from that: whoever can go on is woken, and what is not needed any more closed.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        let (mut woken, mut retired) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        let output = change(&mut state.machine);
        state.machine.poll_woken(&mut woken);
        retired.extend(std::iter::from_fn(|| state.machine.poll_retired()));
        drop(state);
        if !retired.is_empty() {
            self.0.changed.notify_waiters();
        }
        for _ in &retired {
            self.target().tell(EventKind::Closed);
        }
        woken.into_iter().for_each(Waker::wake);
        output
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, and every change to the state is whole.
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.process != std::process::id() {
            state.leave_parent();
        }
        state
    }

    pub(super) fn new_connection(&self) -> Connection {
        let mut connection = Connection::to(Arc::clone(self.target()), Arc::clone(&self.0.health));
        if let Some(callback) = &self.0.on_connect {
            connection.on_connect(callback.clone());
        }
        connection
    }

    /// Lends a connection that is as new.
    pub(in crate::nonblocking) async fn lease(
        &self,
        location: Option<&'static Location<'static>>,
        deadline: Option<Instant>,
    ) -> Result<Lease> {
        upkeep::start(self);
        let patience = Patience::new(self.config(), deadline, Instant::now());
        let mut claim = None;
        loop {
            let grant = match claim.take() {
                None => match self.acquire(location, patience.exhausted())? {
                    Acquired::Ready(permit, connection) => Grant::Ready(permit, connection),
                    Acquired::Connect(permit) => Grant::Connect(permit),
                    Acquired::Queued(claim) => self.wait(claim, &patience).await?,
                },
                Some(claim) => self.wait(claim, &patience).await?,
            };
            match grant {
                Grant::Ready(permit, connection) => {
                    let lease = Lease::new(self, permit, connection);
                    if let Some(lease) = self.renew(lease, deadline).await? {
                        return Ok(lease);
                    }
                }
                Grant::Connect(permit) => match self.make(permit, deadline).await? {
                    Made::Lease(lease) => {
                        // One that dies as soon as it is made is a failure to connect: another is for the next try.
                        let died = || self.target().locate(Error::closed_by_peer(Outcome::NotSent));
                        return self.renew(lease, deadline).await?.ok_or_else(died);
                    }
                    Made::Queued(again) => claim = Some(again),
                },
            }
        }
    }

    /// `None` where the connection is of no use any more.
    async fn renew(&self, mut lease: Lease, deadline: Option<Instant>) -> Result<Option<Lease>> {
        match lease.renew(self.0.db.load(Ordering::Relaxed), deadline).await {
            Readiness::Ready => return Ok(Some(lease)),
            Readiness::Lost => lease.close(Closing::Lost),
            Readiness::Dirty => lease.close(Closing::Dirty),
            Readiness::Refused(error) => {
                lease.close(Closing::Dirty);
                return Err(self.target().locate(error));
            }
        }
        Ok(None)
    }

    fn acquire(
        &self,
        location: Option<&'static Location<'static>>,
        exhausted: WhenExhausted,
    ) -> Result<Acquired<Box<Connection>>> {
        let (now, random) = (Instant::now(), fastrand::u64(..));
        // The waker of the waiting task takes its place when the claim is first polled.
        self.with(|machine| machine.acquire(location, exhausted, Waker::noop().clone(), now, random))
    }

    /// Waits until the claim is answered.
    async fn wait(&self, claim: Claim, patience: &Patience) -> Result<Grant<Box<Connection>>> {
        let mut waiting = Waiting { pool: self, claim: Some(claim) };
        loop {
            let turn = self.with(|machine| machine.poll_timeout());
            let until = [patience.until(), turn].into_iter().flatten().min();
            let answer = poll_fn(|cx| waiting.poll(cx.waker()));
            if let Some(answer) = before(until, answer).await {
                return answer;
            }
            let now = Instant::now();
            if patience.is_over(now) {
                return Err(patience.end(self.with(|machine| machine.obstacle(now))));
            }
            self.with(|machine| machine.handle_timeout(now, fastrand::u64(..)));
        }
    }

    /// Makes the connection that `permit` allows.
    pub(super) async fn make(&self, permit: Permit, deadline: Option<Instant>) -> Result<Made> {
        let mut place = Place { pool: self, permit: Some(permit) };
        let mut connection = Box::new(self.new_connection());
        // Also while it is being made, it may be ended.
        self.lock().grips.add(connection.grip());
        let connected = connection.reconnect_by(deadline).await;
        let Some(permit) = place.permit.take() else { return Err(setup::closed_client()) };
        let (now, random) = (Instant::now(), fastrand::u64(..));
        match connected {
            Ok(()) => {
                self.with(|machine| machine.handle_connected(&permit, now, random));
                Ok(Made::Lease(Lease::new(self, permit, connection)))
            }
            Err(error) => {
                let waker = Some(Waker::noop().clone());
                self.with(|machine| machine.handle_connect_failed(permit, error, waker, now, random))
                    .map(Made::Queued)
            }
        }
    }

    /// Runs one request on a connection that it has for itself, as it waits at the server, and for good if it `ends` that. Getting it
    /// takes no longer than `timeout`, however long the reply may.
    pub(in crate::nonblocking) async fn exchange(
        &self,
        commands: &[u8],
        count: u32,
        ends: bool,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        let soon = self.config().timeout().and_then(|limit| Instant::now().checked_add(limit));
        let mut lease = self.lease(None, deadline.or(soon)).await?;
        lease.grip().handle_call(true);
        if ends {
            lease.spoil();
        }
        lease.exchange_packed(commands, count, deadline).await
    }
}

/// What came of the permission to connect.
pub(super) enum Made {
    Lease(Lease),
    /// The server takes no more connections: the next that comes back will do.
    Queued(Claim),
}

/// A place in the queue, given up when dropped.
struct Waiting<'a> {
    pool: &'a Pool,
    claim: Option<Claim>,
}

impl Waiting<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<Result<Grant<Box<Connection>>>> {
        let Some(claim) = self.claim.take() else { return Poll::Ready(Err(setup::closed_client())) };
        let mut former = None;
        let polled = self.pool.with(|machine| {
            machine.poll_claim(claim, Instant::now(), |waiter| former = renew(waiter, waker))
        });
        drop(former);
        match polled {
            Ok(answer) => Poll::Ready(answer),
            Err(claim) => {
                self.claim = Some(claim);
                Poll::Pending
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.pool.with(|machine| machine.give_up(claim, Instant::now(), fastrand::u64(..)));
        }
    }
}

/// The right to connect, given back when dropped.
struct Place<'a> {
    pool: &'a Pool,
    permit: Option<Permit>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            let (now, random) = (Instant::now(), fastrand::u64(..));
            self.pool.with(|machine| machine.discard(permit, Closing::Disconnected, now, random));
        }
    }
}

impl State {
    /// A forked child begins anew, and leaves what it inherited to the parent.
    #[cold]
    fn leave_parent(&mut self) {
        let machine = Machine::new(self.limits);
        std::mem::forget(std::mem::replace(&mut self.machine, machine));
        self.grips = Grips::default();
        (self.process, self.kept) = (std::process::id(), false);
    }
}
