//! What one process has of a pool: the accounts, the connections, and the threads that wait for one.
//!
//! A child inherits the accounts of its parent, and perhaps the lock around them in the hands of a thread
//! that it has not. So it never waits for that lock, and has accounts of its own. This file must not know
//! what connections are used for.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use redwire_core::Result;
use redwire_core::pool::{self, AcquireLimit, Acquired, CallSite, CloseReason, Permit, QueueClaim};

use super::PoolShared;
use super::multiplex::{CONTENDED, Multiplex};
use super::upkeep::Upkeep;
use crate::blocking::connection::Connection;
use crate::blocking::health::Health;
use crate::blocking::stream::CurrentSocket;
use crate::shared::connection_limit::{ConnectionLimit, LimitShare};
use crate::shared::interrupt::Interrupts;
use crate::shared::setup;
use crate::shared::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use crate::shared::target::Target;
use crate::shared::threads::{self, Thread};

/// The core's accounting, of boxed connections and sleeping threads.
type PoolMachine = pool::Pool<Box<Connection>, Thread>;

/// What one process has of a pool.
pub(in crate::blocking) struct PoolProcess {
    /// For so long an attempt to connect may last.
    connect_timeout: Duration,
    health: Arc<Health>,
    pub(super) multiplex: Multiplex,
    state: Mutex<PoolState>,
    /// Tells the threads that close the pool that all connections are back.
    drained: Condvar,
    upkeep: OnceLock<Option<Upkeep>>,
}

pub(super) struct PoolState {
    pub(super) machine: PoolMachine,
    /// How many calls and leases there were.
    calls: u64,
    /// The connections that may be in use.
    pub(super) interrupts: Interrupts<CurrentSocket>,
    /// The part in the limit of a cluster.
    share: Option<LimitShare>,
}

impl PoolProcess {
    pub(super) fn new(target: &Arc<Target>, pool: &Weak<PoolShared>) -> Self {
        let machine = PoolMachine::new(setup::pool_limits(target));
        let pool: Weak<PoolShared> = Weak::clone(pool);
        let share = target.join_limit(false, pool);
        let health = Arc::new(Health::new(Arc::clone(target)));
        target.follow(&health);
        Self {
            connect_timeout: target.config().connect_timeout(),
            health,
            multiplex: Multiplex::new(setup::queue_limits(target.config()), target.config().mark_every()),
            state: Mutex::new(PoolState { machine, calls: 0, interrupts: Interrupts::default(), share }),
            drained: Condvar::new(),
            upkeep: OnceLock::new(),
        }
    }

    /// What a child of the process begins with. Its hold on what belongs to its parent is closed, as far as
    /// no thread has it in hand.
    pub(super) fn fork(&self, target: &Arc<Target>, pool: &Weak<PoolShared>) -> Self {
        self.health.disown();
        if let Some(mut state) = self.state.try_lock() {
            state.machine.reset();
            while let Some(mut connection) = state.machine.poll_retired() {
                connection.disown();
            }
        }
        Self::new(target, pool)
    }

    pub(super) fn health(&self) -> Arc<Health> {
        Arc::clone(&self.health)
    }

    pub(super) fn calls(&self) -> u64 {
        self.lock().calls + self.multiplex.submitted()
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock()
    }

    /// Changes the accounts, and does what follows from that: threads that can go on are woken, and what is
    /// not needed any more closed.
    #[inline]
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut PoolState) -> T) -> T {
        let (output, limit) = self.settle(change);
        limit.into_iter().for_each(|limit| limit.tell());
        output
    }

    /// As [`change`](Self::change); gives the limit by which other pools are to be told.
    #[inline]
    pub(super) fn settle<T>(
        &self,
        change: impl FnOnce(&mut PoolState) -> T,
    ) -> (T, Option<Arc<ConnectionLimit>>) {
        let (mut woken, mut retired) = (Vec::new(), Vec::new());
        let mut state = self.lock();
        if state.machine.is_sought() {
            // What comes back goes by what holds now.
            state.settle();
        }
        let output = change(&mut state);
        let limit = state.settle();
        if state.machine.is_sought() {
            self.multiplex.want();
        }
        state.machine.poll_woken(&mut woken);
        while let Some(connection) = state.machine.poll_retired() {
            retired.push(connection);
        }
        let drained = state.machine.is_drained();
        drop(state);
        if drained {
            self.drained.notify_all();
        }
        woken.into_iter().for_each(|thread| thread.unpark());
        (output, limit)
    }

    /// The connection that was used last, if no other waits before this caller.
    #[inline]
    pub(super) fn take_idle(&self, location: CallSite, now: Instant) -> Option<(Permit, Box<Connection>)> {
        let mut state = self.lock();
        state.calls += 1;
        if state.machine.is_contended(CONTENDED) {
            self.multiplex.want();
        }
        state.machine.take_idle(location, now)
    }

    /// Fails once `limit` is over.
    pub(super) fn check(&self, limit: &AcquireLimit) -> Result<()> {
        let now = threads::now();
        if limit.is_over(now) { Err(limit.end(self.lock().machine.obstacle(now))) } else { Ok(()) }
    }

    /// A connection, as soon as there is one.
    pub(super) fn acquire(
        &self,
        shared: &PoolShared,
        location: CallSite,
        limit: &AcquireLimit,
    ) -> Result<(Permit, Box<Connection>)> {
        let (now, thread) = (threads::now(), threads::current());
        match self.change(|state| state.machine.acquire(location, limit, thread, |_| true, now))? {
            Acquired::Ready(permit, connection) => Ok((permit, connection)),
            Acquired::Queued(claim) => {
                Waiting { process: self, claim: Some(claim), alone: false }.wait(shared, limit)
            }
        }
    }

    /// Takes back a connection, which goes to the next in good order or not at all.
    #[inline]
    pub(super) fn give_back(&self, permit: Permit, mut connection: Box<Connection>) {
        match connection.check_clean() {
            Ok(()) => {
                let now = connection.handle_idle();
                let put_back = self.lock().machine.put_back(permit, connection, now);
                if let Err((permit, connection)) = put_back {
                    self.release(permit, connection, now);
                }
            }
            Err(why) => self.part_with(permit, connection, why),
        }
    }

    /// Takes back the place of a connection that is of no use to others.
    #[cold]
    pub(super) fn part_with(&self, permit: Permit, connection: Box<Connection>, why: CloseReason) {
        if why != CloseReason::Lost {
            drop(connection);
            return self.discard(permit, why);
        }
        let (error, served) = connection.loss();
        drop(connection);
        let (now, random) = (threads::now(), fastrand::u64(..));
        self.change(|state| state.machine.handle_lost(permit, served, error, now, random));
        self.wake_upkeep();
    }

    #[cold]
    fn release(&self, permit: Permit, connection: Box<Connection>, now: Instant) {
        self.change(|state| state.machine.release(permit, connection, now));
    }

    /// Takes back a place alone.
    #[cold]
    pub(super) fn discard(&self, permit: Permit, why: CloseReason) {
        self.change(|state| state.machine.discard(permit, why, threads::now()));
        self.wake_upkeep();
    }

    fn wake_upkeep(&self) {
        if let Some(Some(upkeep)) = self.upkeep.get() {
            upkeep.wake();
        }
    }

    /// From the first connection on, a thread looks after the pool, if there is anything to do.
    pub(super) fn look_after(&self, shared: &PoolShared) {
        self.upkeep.get_or_init(|| Upkeep::start(shared));
    }

    /// Waits until all connections are back, in a pool that was closed.
    pub(super) fn drain(&self, deadline: Option<Instant>) {
        let mut state = self.lock();
        while !state.machine.is_drained() {
            if threads::is_over(deadline) {
                return;
            }
            state = self.drained.wait_until(state, deadline);
        }
    }

    /// Ends the connections that are in use; says how many that are.
    pub(super) fn cut(&self) -> usize {
        let state = self.lock();
        state.interrupts.end();
        state.machine.stats().in_use
    }
}

impl PoolState {
    /// Tells the limit that is shared with other pools, if one is, what this one has and wants.
    fn settle(&mut self) -> Option<Arc<ConnectionLimit>> {
        let share = self.share.as_ref()?;
        Some(share.settle(&mut self.machine, threads::now()))
    }
}

/// A thread that waits for a connection. Its place in the queue is given up when this is dropped.
struct Waiting<'p> {
    process: &'p PoolProcess,
    claim: Option<QueueClaim>,
    /// Whether no other thread could be had, so that this one makes connections within its own time.
    alone: bool,
}

/// What a thread that waits does next.
enum Next {
    Return(Result<(Permit, Box<Connection>)>),
    /// Make a connection.
    Connect(Permit),
    /// Have one made.
    Spawn(Permit),
    Sleep(Option<Instant>),
}

impl Waiting<'_> {
    /// Waits until the claim is answered. A caller that waits also keeps the time for all that do, and
    /// connects for them.
    fn wait(mut self, shared: &PoolShared, limit: &AcquireLimit) -> Result<(Permit, Box<Connection>)> {
        loop {
            let now = threads::now();
            match self.step(limit, self.may_connect(limit, now), now) {
                Next::Return(answer) => return answer,
                Next::Connect(permit) => {
                    let until = limit.until().filter(|_| self.alone);
                    shared.attempt(permit).run(until, self.claim.as_ref());
                }
                Next::Spawn(permit) => self.alone = !shared.attempt(permit).spawn(),
                Next::Sleep(until) => threads::park_until(until),
            }
        }
    }

    /// Whether there is the time for a whole attempt.
    fn may_connect(&self, limit: &AcquireLimit, now: Instant) -> bool {
        let left = limit.until().map(|until| until.saturating_duration_since(now));
        self.alone || left.is_none_or(|left| left >= self.process.connect_timeout)
    }

    fn step(&mut self, limit: &AcquireLimit, may_connect: bool, now: Instant) -> Next {
        self.process.change(|PoolState { machine, .. }| {
            if machine.poll_timeout().is_some_and(|due| due <= now) {
                machine.handle_timeout(now);
            }
            let Some(claim) = self.claim.take() else { return Next::Return(Err(setup::closed_client())) };
            let claim = match machine.poll_claim(claim, now, |_| {}) {
                Ok(answer) => return Next::Return(answer),
                Err(claim) => claim,
            };
            if limit.is_over(now) {
                let error = limit.end(machine.obstacle(now));
                machine.give_up(claim, now);
                return Next::Return(Err(error));
            }
            let permit = machine.poll_connect(may_connect.then_some(&claim), now, fastrand::u64(..));
            self.claim = Some(claim);
            match permit {
                Some(permit) if may_connect => Next::Connect(permit),
                Some(permit) => Next::Spawn(permit),
                None => Next::Sleep(limit.until().into_iter().chain(machine.poll_timeout()).min()),
            }
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.process.change(|state| state.machine.give_up(claim, threads::now()));
        }
    }
}
