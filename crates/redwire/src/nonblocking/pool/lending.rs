//! How a pool lends: waiting, and giving back whatever a dropped future held. Connections are made in
//! [`attempt`](super::attempt).

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use redwire_core::call::PackedCall;
use redwire_core::pool::{AcquireLimit, Acquired, CallSite, CloseReason, Permit, QueueClaim};
use redwire_core::{Replies, Result};
use tokio::runtime::Handle;

use super::attempt::ConnectAttempt;
use super::{Lease, Pool, PoolMachine, PoolShared, PoolState, upkeep};
use crate::nonblocking::connection::{Connection, Readiness};
use crate::nonblocking::renew;
use crate::shared::clock::{self, Timer, runtime};
use crate::shared::connection_limit::ConnectionLimit;
use crate::shared::events::EventKind;
use crate::shared::interrupt::Interrupts;
use crate::shared::setup;

impl Pool {
    /// Changes the accounts, and does what follows from that: callers that can go on are woken, and what is
    /// not needed any more closed.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut PoolMachine) -> T) -> T {
        let (output, limit) = self.settle(change);
        limit.into_iter().for_each(|limit| limit.tell());
        output
    }

    /// As [`with`](Self::with); gives the limit by which other pools are to be told.
    pub(super) fn settle<T>(
        &self,
        change: impl FnOnce(&mut PoolMachine) -> T,
    ) -> (T, Option<Arc<ConnectionLimit>>) {
        let (mut woken, mut retired) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        if state.machine.is_sought() {
            // What comes back goes by what holds now.
            state.settle();
        }
        let output = change(&mut state.machine);
        let limit = state.settle();
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
        (output, limit)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, PoolState> {
        let mut state = self.0.state.lock();
        if state.process != std::process::id() {
            state.leave_parent(&self.0);
        }
        state
    }

    pub(super) fn new_connection(&self) -> Connection {
        Connection::to(Arc::clone(self.target()), Arc::clone(&self.0.health))
    }

    /// Lends a connection that is as new.
    pub(in crate::nonblocking) async fn lease(
        &self,
        location: CallSite,
        deadline: Option<Instant>,
    ) -> Result<Lease> {
        let limit = AcquireLimit::new(self.config(), deadline, clock::now());
        self.lend(location, limit, deadline).await.map_err(|error| self.target().locate(error))
    }

    /// Has a connection made, if there is none. The caller gets at once what keeps the first attempt from
    /// working.
    pub(super) async fn warm(&self) -> Result<()> {
        let now = clock::now();
        let deadline = self.config().timeout().and_then(|limit| now.checked_add(limit));
        let limit = AcquireLimit::new(self.config(), deadline, now).told();
        self.lend(None, limit, deadline).await.map(drop)
    }

    async fn lend(
        &self,
        location: CallSite,
        limit: AcquireLimit,
        deadline: Option<Instant>,
    ) -> Result<Lease> {
        upkeep::start(self);
        loop {
            let (permit, connection) = match self.acquire(location, &limit)? {
                Acquired::Ready(permit, connection) => (permit, connection),
                Acquired::Queued(claim) => {
                    let mut waiting = QueuePlace { pool: self, claim: Some(claim), timer: Timer::default() };
                    poll_fn(|cx| waiting.poll(&limit, cx)).await?
                }
            };
            let lease = Lease::new(self, permit, connection);
            if let Some(lease) = self.renew(lease, deadline).await? {
                return Ok(lease);
            }
        }
    }

    /// `None` where the connection is of no use any more.
    async fn renew(&self, mut lease: Lease, deadline: Option<Instant>) -> Result<Option<Lease>> {
        if !lease.is_at_home() {
            lease.close(CloseReason::Lost);
            return Ok(None);
        }
        match lease.renew(self.0.db.load(Ordering::Relaxed), deadline).await {
            Readiness::Ready => return Ok(Some(lease)),
            Readiness::Lost => lease.close(CloseReason::Lost),
            Readiness::Dirty => lease.close(CloseReason::Dirty),
            Readiness::Failed(error) => {
                lease.close(CloseReason::Dirty);
                return Err(self.target().locate(error));
            }
        }
        Ok(None)
    }

    fn acquire(&self, location: CallSite, limit: &AcquireLimit) -> Result<Acquired<Box<Connection>>> {
        let here = Handle::try_current().ok().map(|runtime| runtime.id());
        // The waker of the waiting task takes its place when the claim is first polled.
        let waker = Waker::noop().clone();
        self.with(|machine| {
            machine.acquire(location, limit, waker, |connection| connection.is_of(here), clock::now())
        })
    }

    /// Runs `call` on a connection that it has for itself, and for good if it ends that; `waits`: the server
    /// may hold the reply back. Getting the connection takes no longer than `timeout`, however long the reply
    /// may.
    pub(in crate::nonblocking) async fn exchange(
        &self,
        call: &PackedCall,
        waits: bool,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        let soon = self.config().timeout().and_then(|limit| clock::now().checked_add(limit));
        let mut lease = self.lease(None, deadline.or(soon)).await?;
        lease.interrupt().handle_call(waits);
        if call.ends_connection {
            lease.forbid_reuse();
        }
        lease.exchange_packed(call, deadline).await
    }
}

/// A place in the queue, given up when dropped.
struct QueuePlace<'a> {
    pool: &'a Pool,
    claim: Option<QueueClaim>,
    timer: Timer,
}

impl QueuePlace<'_> {
    /// Ready once the claim is answered. A caller that waits also keeps the time for all that do, and has
    /// connections made.
    fn poll(
        &mut self,
        limit: &AcquireLimit,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Permit, Box<Connection>)>> {
        loop {
            let Some(claim) = self.claim.take() else { return Poll::Ready(Err(setup::closed_client())) };
            let (mut former, now, random) = (None, clock::now(), fastrand::u64(..));
            let (polled, permit, turn) = self.pool.with(|machine| {
                if machine.poll_timeout().is_some_and(|due| due <= now) {
                    machine.handle_timeout(now);
                }
                let polled = machine.poll_claim(claim, now, |waiter| former = renew(waiter, cx.waker()));
                let permit = polled.is_err().then(|| machine.poll_connect(None, now, random)).flatten();
                (polled, permit, machine.poll_timeout())
            });
            drop(former);
            match polled {
                Ok(answer) => return Poll::Ready(answer),
                Err(claim) => self.claim = Some(claim),
            }
            if let Some(permit) = permit {
                ConnectAttempt::new(self.pool, permit).spawn(&runtime()?)?;
                continue;
            }
            if limit.is_over(now) {
                return Poll::Ready(Err(limit.end(self.pool.with(|machine| machine.obstacle(now)))));
            }
            match limit.until().into_iter().chain(turn).min() {
                None => return Poll::Pending,
                Some(until) => ready!(self.timer.poll_at(until, cx)),
            }
        }
    }
}

impl Drop for QueuePlace<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.pool.with(|machine| machine.give_up(claim, clock::now()));
        }
    }
}

impl PoolState {
    /// A forked child begins anew, and leaves what it inherited to the parent.
    #[cold]
    fn leave_parent(&mut self, shared: &PoolShared) {
        let machine = PoolMachine::new(self.limits);
        std::mem::forget(std::mem::replace(&mut self.machine, machine));
        self.interrupts = Interrupts::default();
        (self.process, self.kept) = (std::process::id(), false);
        if let Some((limit, share)) = shared.target.connection_limit().zip(self.share.take()) {
            self.share = Some(share.in_process(limit, usize::from(shared.is_beside), clock::now()));
        }
    }

    /// Tells the limit that is shared with other pools, if one is, what this one has and wants.
    fn settle(&mut self) -> Option<Arc<ConnectionLimit>> {
        let share = self.share.as_ref()?;
        Some(share.settle(&mut self.machine, clock::now()))
    }
}
