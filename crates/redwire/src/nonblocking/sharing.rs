//! How callers share a connection here: all write to one, and one task drives it.
//!
//! Callers encode straight into the connection's buffer under a short lock; a caller that is alone writes to
//! the socket itself. The rest is done by the task in [`driver`]. What is written when, whose reply has come
//! and when to try again is decided in `redwire-core`.

mod attendant;
mod driver;
mod renewal;
mod rotation;

use std::future::poll_fn;
use std::sync::{Arc, MutexGuard};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use redwire_core::call::Call;
use redwire_core::config::Endpoint;
use redwire_core::keeper::Keeper;
use redwire_core::link::{Link, Ticket};
use redwire_core::outbox::Outbox;
use redwire_core::pool::PoolStats;
use redwire_core::standing::Replace;
use redwire_core::{Cmd, Error, ErrorKind, Outcome, Replies, Result, Value};
use tokio::runtime::Handle;

use super::before;
use super::cache::Watch;
use super::connection::Connection;
use super::health::Health;
use super::on_connect::OnConnect;
use super::pool::Pool;
use super::renew;
use super::stream::StreamWriter;
use super::wire::Wire;
use crate::shared::clock::{self, runtime};
use crate::shared::credentials::{self, Listener};
use crate::shared::events::EventKind;
use crate::shared::runtimes::{self, Attendants};
use crate::shared::service::Follower;
use crate::shared::setup;
use crate::shared::sync::Mutex;
use crate::shared::target::Target;

/// The shared connection of a client. Closed when the last handle is dropped.
pub(super) struct SharedConnection {
    shared: Arc<SharingShared>,
    /// Kept for as long as new credentials are of interest.
    _rotation: Option<Listener>,
}

struct SharingShared {
    target: Arc<Target>,
    health: Arc<Health>,
    /// After the configuration's.
    on_connect: Option<OnConnect>,
    /// The client-side cache that hears what the server says unasked, and whether the connection is up.
    watch: Option<Watch>,
    state: Mutex<SharingState>,
    /// Where else it is used than in the driver's runtime.
    attendants: Attendants,
}

#[derive(Debug)]
struct SharingState {
    link: Link<Waker>,
    /// Bytes taken from the link that a caller could not write whole.
    rest: Outbox,
    /// There while connected.
    writer: Option<Arc<StreamWriter>>,
    /// From then on the connection counts as quiet for long, if nothing is written where nothing is under
    /// way.
    quiet_from: Instant,
    /// Whether the driver has bytes in its hands that it has not written yet.
    writing: bool,
    /// The driver, while it sleeps, and when its timer will wake it.
    driver: Option<Waker>,
    armed: Option<Instant>,
    phase: SharingPhase,
    /// When the next connection is made, and whether this one is to be given up.
    keeper: Keeper,
    /// Whether another connection is to take the place of the one there is.
    renew: bool,
    /// Where the driver runs, and the process that is.
    runtime: Option<Handle>,
    process: u32,
    /// Which driver it is, so that one that was replaced knows.
    number: u64,
    /// The waker and the thread that were looked at last, whether that was in another runtime than the
    /// driver, and until when it counts for others.
    asker: (usize, usize),
    asked_until: Instant,
    foreign: bool,
}

/// Where nothing was written for so long, the runtime may not have run either, so that it is not known
/// whether the connection still lives.
pub(super) const LONG_QUIET: Duration = Duration::from_millis(2);

/// Writing waits no longer than this for what came to be read.
pub(super) const LONGEST_HOLD: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SharingPhase {
    /// No task drives the connection: it was not used yet, or its runtime has ended.
    Undriven,
    Driven,
    /// Driven until the calls under way are answered, and closed to new ones.
    Closing,
    Closed,
}

impl SharedConnection {
    /// As what `pool` has, beside it.
    pub(super) fn new(pool: &Pool) -> Self {
        Self::watched(pool, None, None)
    }

    /// As [`new`](Self::new); `on_connect` comes after the configuration's, and `watch` hears what the server
    /// says unasked.
    pub(super) fn watched(pool: &Pool, on_connect: Option<OnConnect>, watch: Option<Watch>) -> Self {
        let (target, health) = pool.parts();
        let config = target.config();
        let link = Link::new(setup::queue_limits(config), config.health_check_interval());
        let state = SharingState {
            link: link
                .salted(fastrand::u64(..))
                .marked_every(config.mark_every())
                .doubting_after(target.suspected_after()),
            rest: Outbox::default(),
            writer: None,
            quiet_from: clock::now(),
            writing: false,
            driver: None,
            armed: None,
            phase: SharingPhase::Undriven,
            keeper: Keeper::new(config.reconnect_backoff(), config.max_lifetime()),
            renew: false,
            runtime: None,
            process: std::process::id(),
            number: 0,
            asker: (0, 0),
            asked_until: clock::now(),
            foreign: false,
        };
        let (state, attendants) = (Mutex::new(state), Attendants::default());
        let shared = Arc::new(SharingShared { target, health, on_connect, watch, state, attendants });
        shared.target.follow(&shared);
        // Once it listens, a connection can do nothing else.
        let _rotation = match shared.listens() {
            true => None,
            false => credentials::listen(shared.target.config(), &shared, rotation::handle_change),
        };
        Self { shared, _rotation }
    }

    /// Connects now, so that the caller gets a failure at once.
    pub(super) async fn connect(&self) -> Result<()> {
        let wire = self.shared.connect().await?;
        self.shared.drive(self.shared.lock(), Some(wire)).map(drop)
    }

    /// Has the connection tried again, if there is none and nothing is being done about it.
    pub(super) fn ask(&self) {
        let mut state = self.shared.lock();
        if state.phase != SharingPhase::Driven || state.is_inherited() {
            // Without a runtime, or once closed, there is nothing to be done.
            drop(self.shared.drive(state, None));
        } else if state.keeper.ask() {
            let driver = state.driver.take();
            drop(state);
            driver.into_iter().for_each(Waker::wake);
        }
    }

    /// Has the connection given up because of `error`, and made anew.
    pub(super) fn give_up(&self, error: Error) {
        let mut state = self.shared.lock();
        state.keeper.cut(error);
        let driver = state.driver.take();
        drop(state);
        driver.into_iter().for_each(Waker::wake);
    }

    /// Whether calls are taken.
    ///
    /// # Errors
    /// The client is closed.
    pub(super) fn check(&self) -> Result<()> {
        match self.shared.lock().phase {
            SharingPhase::Undriven | SharingPhase::Driven => Ok(()),
            SharingPhase::Closing | SharingPhase::Closed => Err(setup::closed_client()),
        }
    }

    /// Lets go of the connection, and of what is under way on it.
    pub(super) fn leave_server(&self) {
        Follower::leave_server(Arc::clone(&self.shared), None);
    }

    /// Lets go of the connection if nothing is under way on it: the next call has another made. Says whether
    /// there is none now.
    pub(super) fn rest(&self) -> bool {
        let mut state = self.shared.lock();
        if state.phase != SharingPhase::Driven || state.is_inherited() {
            return true;
        }
        let is_unused = state.writer.is_some() && state.link.is_idle();
        if is_unused {
            // The driver has nothing to do any more.
            state.number += 1;
            self.shared.end_now(state, SharingPhase::Undriven, &setup::left_master());
        }
        is_unused
    }

    /// These figures of a pool, and with them this connection's.
    pub(super) fn count(&self, mut stats: PoolStats) -> PoolStats {
        let state = self.shared.lock();
        let (is_up, is_idle) = (state.keeper.is_up(), state.link.is_idle());
        stats.size += usize::from(is_up);
        stats.idle += usize::from(is_up && is_idle);
        stats.in_use += usize::from(is_up && !is_idle);
        stats.created += state.keeper.made();
        stats.failed += state.keeper.failures();
        stats
    }

    /// How many calls were submitted in all.
    pub(super) fn calls(&self) -> u64 {
        self.shared.lock().link.submitted()
    }

    /// Queues `call` for the connection, or writes it at once.
    #[inline]
    pub(super) fn submit(
        &self,
        call: &impl Call,
        waker: &Waker,
        deadline: Option<Instant>,
    ) -> Result<Ticket> {
        self.shared.submit(call, waker, deadline, clock::now(), false)
    }

    /// As [`submit`](Self::submit); but where there is no room for its bytes it waits for that, until its
    /// ticket may [enter](Self::enter).
    #[inline]
    pub(super) fn submit_or_wait(
        &self,
        call: &impl Call,
        waker: &Waker,
        deadline: Option<Instant>,
        now: Instant,
    ) -> Result<Ticket> {
        self.shared.submit(call, waker, deadline, now, true)
    }

    /// Queues `call` if it has waited for room, and its turn has come.
    pub(super) fn enter(&self, ticket: Ticket, call: &impl Call) -> Ticket {
        self.shared.enter(ticket, call)
    }

    /// The replies to what was submitted, once they are there.
    #[inline]
    pub(super) fn poll_reply(
        &self,
        ticket: Ticket,
        waker: &Waker,
    ) -> std::result::Result<Result<Replies>, Ticket> {
        self.shared.poll_reply(ticket, waker)
    }

    /// Submits `call` and waits for its replies.
    pub(super) async fn exchange(&self, call: &impl Call, deadline: Option<Instant>) -> Result<Replies> {
        self.shared.exchange(call, deadline).await
    }

    /// Waits for the replies to what was submitted. If the future is dropped, they will go to no caller.
    pub(super) async fn wait(&self, ticket: Ticket, call: &impl Call) -> Result<Replies> {
        self.shared.wait(ticket, call).await
    }

    /// Gives up waiting; the reply will go to no caller.
    pub(super) fn abandon(&self, ticket: Ticket) {
        self.shared.abandon(ticket);
    }

    /// Takes no more calls, waits until those under way are answered, but no longer than `deadline`, and
    /// closes.
    pub(super) async fn close(&self, deadline: Option<Instant>) {
        if let Some((ping, last)) = self.shared.submit_last(deadline) {
            let _ = before(deadline, self.shared.wait(last, &ping)).await;
        }
        self.shared.end(SharingPhase::Closed, &setup::closed_client());
    }
}

impl Drop for SharedConnection {
    fn drop(&mut self) {
        self.shared.end(SharingPhase::Closed, &setup::closed_client());
    }
}

impl SharingShared {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, SharingState> {
        self.state.lock()
    }

    #[inline]
    fn submit(
        self: &Arc<Self>,
        call: &impl Call,
        waker: &Waker,
        deadline: Option<Instant>,
        now: Instant,
        may_wait: bool,
    ) -> Result<Ticket> {
        let mut state = self.lock();
        // Asking for the process is a system call: once for all that is written together is enough.
        if state.phase != SharingPhase::Driven || (!state.link.wants_transmit() && state.is_inherited()) {
            state = self.drive(state, None)?;
        }
        if state.keeper.is_down() && self.target.config().has_alternatives() {
            return Err(state.refuse());
        }
        self.queue(state, call, waker, deadline, now, may_wait)
    }

    /// Closes the connection to new calls. The last, where others are under way: replies come in order, so
    /// when this one is there, all are.
    fn submit_last(self: &Arc<Self>, deadline: Option<Instant>) -> Option<(Cmd<Value>, Ticket)> {
        let mut state = self.lock();
        let is_driven = matches!(state.phase, SharingPhase::Driven | SharingPhase::Closing);
        if !is_driven || state.is_inherited() || state.link.is_idle() {
            return None;
        }
        state.phase = SharingPhase::Closing;
        let ping = Cmd::new("PING");
        let last = self.queue(state, &ping, Waker::noop(), deadline, clock::now(), true).ok()?;
        Some((ping, last))
    }

    /// Queues `call` on a connection that is driven.
    #[inline]
    fn queue(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, SharingState>,
        call: &impl Call,
        waker: &Waker,
        deadline: Option<Instant>,
        now: Instant,
        may_wait: bool,
    ) -> Result<Ticket> {
        let foreign = state.is_foreign(waker, now);
        let write = |outbox: &mut Outbox| call.write(outbox);
        let (count, size, whole, waker) = (call.count(), call.size(), call.is_whole(), waker.clone());
        let submitted = match may_wait {
            true => state.link.submit_or_wait(count, size, whole, write, waker, deadline),
            false => state.link.submit(count, size, whole, write, waker, deadline),
        };
        let Ok(ticket) = &submitted else {
            release(state);
            return submitted;
        };
        state.link.mark_transaction(ticket, call.multi());
        let written = !foreign && state.write_at_once(deadline, now);
        let driver = if written { None } else { state.driver.take() };
        release(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        if foreign {
            runtimes::attend_once(self, |shared| &shared.attendants);
        }
        submitted
    }

    /// Submits `call` and waits for its replies.
    async fn exchange(self: &Arc<Self>, call: &impl Call, deadline: Option<Instant>) -> Result<Replies> {
        let ticket = self.submit(call, Waker::noop(), deadline, clock::now(), true)?;
        self.wait(ticket, call).await
    }

    /// Queues `call` if it has waited for room, and its turn has come.
    #[cold]
    fn enter(&self, ticket: Ticket, call: &impl Call) -> Ticket {
        let mut state = self.lock();
        let write = |outbox: &mut Outbox| call.write(outbox);
        let ticket = state.link.enter(ticket, call.count(), call.size(), call.is_whole(), write);
        state.link.mark_transaction(&ticket, call.multi());
        let driver = state.driver.take();
        release(state);
        driver.into_iter().for_each(Waker::wake);
        ticket
    }

    #[inline]
    fn poll_reply(&self, ticket: Ticket, waker: &Waker) -> std::result::Result<Result<Replies>, Ticket> {
        let mut former = None;
        let polled = self.lock().link.poll_reply(ticket, |waiter| former = renew(waiter, waker));
        drop(former);
        polled
    }

    fn abandon(&self, ticket: Ticket) {
        let mut state = self.lock();
        let waiter = state.link.abandon(ticket);
        release(state);
        // Not under the lock; see `renew`.
        drop(waiter);
    }

    /// Whether the connection does nothing but hear messages.
    fn listens(&self) -> bool {
        matches!(self.watch, Some(Watch::Redirect(_)))
    }

    /// Waits for the replies to what was submitted. If the future is dropped, they will go to no caller.
    async fn wait(&self, ticket: Ticket, call: &impl Call) -> Result<Replies> {
        let mut waiting = ReplyWaiter { shared: self, ticket: Some(ticket), call };
        poll_fn(|cx| waiting.poll(cx.waker())).await
    }

    /// Has the connection driven by a task of the runtime that is around; `first` is a wire that is connected
    /// already.
    ///
    /// # Errors
    /// There is no runtime, or it has ended; the client is closed.
    #[cold]
    fn drive<'s>(
        self: &'s Arc<Self>,
        mut state: MutexGuard<'s, SharingState>,
        first: Option<Wire>,
    ) -> Result<MutexGuard<'s, SharingState>> {
        if matches!(state.phase, SharingPhase::Closing | SharingPhase::Closed) {
            return Err(setup::closed_client());
        }
        if state.is_inherited() {
            state.disinherit();
        }
        let runtime = runtime()?;
        state.phase = SharingPhase::Driven;
        state.runtime = Some(runtime.clone());
        (state.asker, state.asked_until) = ((0, 0), clock::now());
        state.number += 1;
        let number = state.number;
        // A runtime that has ended drops the task, and so the guard, at once.
        drop(state);
        runtime.spawn(driver::drive(driver::SharingDriverGuard(Arc::clone(self), number), first));
        let state = self.lock();
        match state.phase {
            SharingPhase::Driven => Ok(state),
            SharingPhase::Undriven => Err(setup::runtime_ended()),
            SharingPhase::Closing | SharingPhase::Closed => Err(setup::closed_client()),
        }
    }

    async fn connect(&self) -> Result<Wire> {
        Connection::introduced(&self.target, self.on_connect.as_ref(), None).await
    }

    /// Fails all that is under way and goes to `phase`.
    fn end(&self, phase: SharingPhase, error: &Error) {
        self.end_now(self.lock(), phase, error);
    }

    fn end_now(&self, mut state: MutexGuard<'_, SharingState>, phase: SharingPhase, error: &Error) {
        let mut woken = Vec::new();
        if state.phase == SharingPhase::Closed || state.is_inherited() {
            return;
        }
        let was_connected = state.writer.is_some();
        state.phase = phase;
        state.lose(error, &mut woken);
        if was_connected {
            state.keeper.handle_left();
        }
        woken.extend(state.driver.take());
        drop(state);
        if let Some(watch) = &self.watch {
            watch.handle_down(phase == SharingPhase::Closed, error);
        }
        woken.into_iter().for_each(Waker::wake);
        if was_connected {
            self.target.tell(EventKind::Closed);
        }
    }
}

impl Follower for SharingShared {
    /// Has another connection made, which takes the place of the one there is once that has answered all it
    /// was asked. What a cache has kept is forgotten with the connection that announces changes: there it is
    /// made anew.
    fn replace(self: Arc<Self>, these: Replace) {
        match (&self.watch, these) {
            (Some(_), Replace::One) | (None, Replace::Others) => return,
            (Some(_), _) => return self.leave_server(None),
            (None, _) => {}
        }
        let mut state = self.lock();
        if state.is_inherited() || state.writer.is_none() {
            return;
        }
        state.renew = true;
        let driver = state.driver.take();
        drop(state);
        driver.into_iter().for_each(Waker::wake);
    }

    /// Lets go of the connection. The driver makes the next.
    fn leave_server(self: Arc<Self>, _: Option<&Endpoint>) {
        let mut woken = Vec::new();
        let mut state = self.lock();
        if !state.is_inherited() {
            let is_connected = state.writer.is_some();
            let error = self.target.locate(setup::left_master());
            // What waits for a connection to a node goes elsewhere.
            if self.target.config().has_alternatives() {
                state.lose(&error, &mut woken);
            } else if is_connected {
                state.interrupt(&error, &mut woken);
            }
            if is_connected {
                state.keeper.handle_left();
            } else {
                state.keeper.handle_moved();
            }
            woken.extend(state.driver.take());
        }
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// A caller that waits for the replies to what was submitted.
struct ReplyWaiter<'a, C: Call> {
    shared: &'a SharingShared,
    ticket: Option<Ticket>,
    call: &'a C,
}

impl<C: Call> ReplyWaiter<'_, C> {
    fn poll(&mut self, waker: &Waker) -> Poll<Result<Replies>> {
        match self.ticket.take().map(|ticket| self.shared.poll_reply(ticket, waker)) {
            Some(Ok(result)) => Poll::Ready(result),
            Some(Err(ticket)) => {
                let may_enter = ticket.may_enter();
                self.ticket = Some(if may_enter { self.shared.enter(ticket, self.call) } else { ticket });
                Poll::Pending
            }
            None => Poll::Ready(Err(setup::closed_client())),
        }
    }
}

impl<C: Call> Drop for ReplyWaiter<'_, C> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.abandon(ticket);
        }
    }
}

/// Lets go of the state, and wakes the callers that were called to enter by what was done with it.
#[inline]
fn release(state: MutexGuard<'_, SharingState>) {
    if state.link.has_woken() {
        wake_called(state);
    }
}

#[cold]
fn wake_called(mut state: MutexGuard<'_, SharingState>) {
    let mut woken = Vec::new();
    state.link.poll_woken(&mut woken);
    drop(state);
    woken.into_iter().for_each(Waker::wake);
}

impl SharingState {
    /// Whether this process is a child of the one that opened the connection.
    #[inline]
    fn is_inherited(&self) -> bool {
        self.process != std::process::id()
    }

    /// Leaves to the parent what is the parent's. Nothing of it may be dropped: that would end the stream
    /// both have, or tell the parent's runtime to forget it.
    #[cold]
    fn disinherit(&mut self) {
        let mut woken = Vec::new();
        std::mem::forget(self.writer.take());
        std::mem::forget(self.driver.take());
        std::mem::forget(self.runtime.take());
        let message = "the call was made by the process that this one was forked from";
        self.lose(&Error::new(ErrorKind::Closed, Outcome::NotSent, message), &mut woken);
        std::mem::forget(woken);
        self.keeper.handle_left();
        (self.phase, self.process, self.armed) = (SharingPhase::Undriven, std::process::id(), None);
    }

    /// Writes what was just submitted, if that is best and possible; else the driver must be woken.
    #[inline]
    fn write_at_once(&mut self, deadline: Option<Instant>, now: Instant) -> bool {
        if self.writing || !self.link.writes_at_once() {
            return false;
        }
        let Some(writer) = &self.writer else { return false };
        // What came meanwhile is for the driver: if it is the end of the connection, the request goes on the
        // next one.
        if now >= self.quiet_from && !matches!(writer.is_silent(), Ok(true)) {
            return false;
        }
        self.quiet_from = now + LONG_QUIET;
        self.link.poll_transmit(&mut self.rest);
        // A broken socket is found and reported by the driver, which reads from it.
        if let Ok(written) = writer.try_write(&self.rest) {
            self.rest.advance(written);
            self.link.handle_sent(written);
        }
        let in_time = deadline.is_none_or(|deadline| self.armed.is_some_and(|armed| armed <= deadline));
        self.rest.is_empty() && in_time
    }

    /// No call waits for this server: says why not, and has it tried again.
    #[cold]
    fn refuse(&mut self) -> Error {
        if self.keeper.ask() {
            self.driver.take().into_iter().for_each(Waker::wake);
        }
        self.keeper.error().cloned().unwrap_or_else(setup::left_master).with_outcome(Outcome::NotSent)
    }

    /// The connection is gone, and with it what was under way on it. What was not, goes on the next.
    fn interrupt(&mut self, error: &Error, woken: &mut Vec<Waker>) {
        self.link.handle_interrupted(error);
        self.link.poll_woken(woken);
        self.writer = None;
        self.writing = false;
        self.rest.clear();
    }

    /// The connection is gone, and with it all that was under way, or waited to be.
    fn lose(&mut self, error: &Error, woken: &mut Vec<Waker>) {
        self.link.handle_lost(error);
        self.interrupt(error, woken);
    }
}
