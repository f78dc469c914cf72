//! What the task behind a shared connection hands out and writes, and when it connects. The loop is
//! [`drive`]'s; see the parent.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use redwire_core::inbound::Frames;
use redwire_core::keeper::WhenToConnect;
use redwire_core::liveness::Finding;
use redwire_core::outage::heals;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Result};

use super::renewal::Renewal;
use super::{LONG_QUIET, LONGEST_HOLD, SharingPhase, SharingShared, SharingState, release, rotation};
use crate::nonblocking::BoxFuture;
use crate::nonblocking::drive::{self, DriveEnd, Driven, Reconnecting, Step, WriteNext};
use crate::nonblocking::stream::StreamWriter;
use crate::nonblocking::wire::Wire;
use crate::shared::clock;
use crate::shared::credentials;
use crate::shared::events::EventKind;
use crate::shared::setup;

/// Keeps the connection up until the client is closed.
pub(super) async fn drive(guard: SharingDriverGuard, first: Option<Wire>) {
    drive::keep(&mut SharingDriver::new(&guard.0, guard.1), first).await;
}

/// Tells callers when the driver ends without being asked to: its runtime was shut down, maybe before it
/// began.
pub(super) struct SharingDriverGuard(pub(super) Arc<SharingShared>, pub(super) u64);

impl Drop for SharingDriverGuard {
    fn drop(&mut self) {
        // Where another has taken over, nothing ends.
        let state = self.0.lock();
        let is_over = state.is_over(self.1);
        drop(state);
        if !is_over {
            self.0.end(SharingPhase::Undriven, &setup::runtime_ended());
        }
    }
}

/// The task behind a shared connection: what it holds between two polls.
pub(super) struct SharingDriver<'a> {
    pub(super) shared: &'a Arc<SharingShared>,
    number: u64,
    woken: Vec<Waker>,
    /// The question, over another connection, whether the server lives.
    asking: Option<BoxFuture<bool>>,
    yielded: bool,
    /// Since when writing waits for what came to be read.
    pub(super) held: Option<Instant>,
    pub(super) renewal: Renewal,
}

impl<'a> SharingDriver<'a> {
    fn new(shared: &'a Arc<SharingShared>, number: u64) -> Self {
        Self {
            shared,
            number,
            woken: Vec::new(),
            asking: None,
            yielded: false,
            held: None,
            renewal: Renewal::default(),
        }
    }

    #[inline]
    fn wake(&mut self) {
        self.woken.drain(..).for_each(Waker::wake);
    }

    /// Where the connection was quiet for long, looks whether it has ended, or whether anything came: that is
    /// read before anything is written, but does not hold up writing for long.
    fn look(&mut self, state: &mut SharingState, writer: &StreamWriter) -> Result<()> {
        let now = clock::now();
        if now >= state.quiet_from && !writer.is_silent()? {
            let held = *self.held.get_or_insert(now);
            if now.saturating_duration_since(held) < LONGEST_HOLD {
                return Ok(());
            }
        }
        (self.held, state.quiet_from) = (None, now + LONG_QUIET);
        Ok(())
    }

    #[cold]
    fn ask(&mut self) {
        if let Some(interval) = self.shared.target.config().health_check_interval() {
            let health = Arc::clone(&self.shared.health);
            // What is found later is of no use.
            self.asking =
                Some(Box::pin(async move { matches!(health.check(interval / 2).await, Finding::Alive(_)) }));
        }
    }

    /// There is no connection, for now. What is under way fails where `tell` says so, and where waiting will
    /// not help.
    fn handle_down(&mut self, error: &Error, tell: impl FnOnce(&mut SharingState, &Error, Instant) -> bool) {
        let error = self.shared.target.locate(error.clone());
        if let Some(watch) = &self.shared.watch {
            watch.handle_down(false, &error);
        }
        let mut state = self.shared.lock();
        let is_lost = tell(&mut state, &error, clock::now());
        let has_alternatives = self.shared.target.config().has_alternatives();
        if !heals(&error) || (state.keeper.is_down() && has_alternatives) || self.shared.watch.is_some() {
            state.lose(&error, &mut self.woken);
        } else if is_lost {
            state.interrupt(&error, &mut self.woken);
        }
        drop(state);
        (self.held, self.asking) = (None, None);
        self.wake();
    }
}

impl Driven for SharingDriver<'_> {
    /// Hands out the replies that came, and wakes the callers that wait for them.
    #[inline]
    fn handle_read(&mut self, frames: Option<&mut Frames>) -> Result<()> {
        let Some(frames) = frames else { return Ok(()) };
        if let Some(watch) = &self.shared.watch {
            // Before replies are handed out: what came ahead of one must count for the caller that reads it.
            watch.handle_frames(frames)?;
        }
        let mut state = self.shared.lock();
        // What comes on a connection that was let go is for no caller.
        state.check_connected(self.number).map_err(|cause| cause.unwrap_or_else(setup::closed_client))?;
        let result = state.link.handle_frames(frames);
        match &result {
            Ok(()) => state.link.poll_woken(&mut self.woken),
            // Before callers that have their replies go on, or their next calls would be written to a bad
            // connection.
            Err(error) => state.interrupt(&self.shared.target.locate(error.clone()), &mut self.woken),
        }
        drop(state);
        self.wake();
        result
    }

    #[inline]
    fn poll_beside(&mut self, cx: &mut Context<'_>, _: &mut Outbox) {
        if let Some(asking) = &mut self.asking
            && let Poll::Ready(alive) = asking.as_mut().poll(cx)
        {
            self.asking = None;
            if alive {
                self.shared.lock().link.handle_alive();
            }
        }
        self.renewal.poll(cx);
    }

    #[inline]
    fn poll_outgoing(
        &mut self,
        cx: &Context<'_>,
        writer: &StreamWriter,
        outbox: &mut Outbox,
    ) -> Step<WriteNext> {
        let mut state = self.shared.lock();
        state.check_connected(self.number)?;
        if let Some(error) = state.keeper.poll_cut() {
            return Err(Some(error));
        }
        if state.renew {
            state.renew = false;
            self.renewal.start(self.shared);
            return Ok(WriteNext::Read);
        }
        if self.renewal.is_ready() {
            return self.take_rest(state, cx, outbox);
        }
        if state.rest.is_empty() && state.link.expects_more() && state.link.wants_transmit() && !self.yielded
        {
            // Others are about to ask, too: let them, and write all in one.
            self.yielded = true;
            return Ok(WriteNext::Soon);
        }
        self.yielded = false;
        if state.rest.is_empty() && state.link.wants_transmit() && state.link.is_quiet() {
            self.look(&mut state, writer).map_err(Some)?;
            if self.held.is_some() {
                return Ok(WriteNext::AfterReading);
            }
        }
        if state.rest.is_empty() {
            state.link.poll_transmit(outbox);
        } else {
            std::mem::swap(&mut state.rest, outbox);
        }
        state.writing = !outbox.is_empty();
        if state.writing {
            release(state);
            return Ok(WriteNext::Write);
        }
        state.register(cx);
        let next = state.poll_timeout(&self.renewal);
        release(state);
        Ok(WriteNext::Nothing(next))
    }

    #[inline]
    fn handle_sent(&mut self, n: usize) -> Step {
        let mut state = self.shared.lock();
        state.check_connected(self.number)?;
        state.link.handle_sent(n);
        release(state);
        Ok(())
    }

    fn poll_stalled(&mut self, cx: &Context<'_>) -> Step<bool> {
        let mut state = self.shared.lock();
        state.register(cx);
        state.check_connected(self.number).map(|()| false)
    }

    #[inline]
    fn poll_timeout(&mut self) -> Option<Instant> {
        self.shared.lock().poll_timeout(&self.renewal)
    }

    fn handle_timeout(&mut self, now: Instant, received: u64) -> Result<()> {
        let mut state = self.shared.lock();
        let SharingState { link, keeper, armed, .. } = &mut *state;
        *armed = None;
        let verdict = link.handle_timeout(now, received, keeper.error());
        let silence = link.poll_silence();
        link.poll_woken(&mut self.woken);
        let is_overdue = link.is_overdue();
        drop(state);
        if let Some(watch) = self.shared.watch.as_ref().filter(|_| is_overdue) {
            watch.handle_overdue();
        }
        self.wake();
        if let Some(silent) = silence {
            self.shared.target.handle_silence(silent);
        }
        if verdict? {
            self.ask();
        }
        if self.renewal.is_due(now) {
            self.renew_for_age();
        }
        Ok(())
    }
}

impl<'a> Reconnecting for SharingDriver<'a> {
    fn register(&mut self, cx: &Context<'_>) -> bool {
        let mut state = self.shared.lock();
        if state.is_over(self.number) {
            return false;
        }
        state.register(cx);
        true
    }

    fn poll_connect(&mut self) -> WhenToConnect {
        let mut state = self.shared.lock();
        if !state.link.is_idle() {
            state.keeper.ask();
        }
        state.keeper.poll_connect(clock::now(), fastrand::u64(..))
    }

    fn connect(&self) -> impl Future<Output = Result<Wire>> + Send + use<'a> {
        let shared = self.shared;
        async move { shared.connect().await }
    }

    fn is_moved(&self) -> bool {
        self.shared.lock().keeper.is_moved()
    }

    fn handle_connected(&mut self, wire: &Wire) -> bool {
        {
            let mut state = self.shared.lock();
            if state.is_over(self.number) {
                return false;
            }
            state.writer = Some(Arc::clone(&wire.writer));
            let now = clock::now();
            // It may have been made, and have ended, long before this task had its first turn.
            (state.armed, state.quiet_from) = (None, now);
            state.keeper.handle_connected(now, fastrand::u64(..));
            state.link.handle_connected(now);
            state.renew = false;
            // One that only listens goes with the one that it listens for.
            self.renewal = Renewal::due(state.keeper.expires().filter(|_| !self.shared.listens()));
        }
        if let Some(watch) = &self.shared.watch {
            watch.handle_up();
        }
        // They may have changed since the connection asked for them.
        if wire.version != credentials::version(self.shared.target.config()) && !self.shared.listens() {
            rotation::handle_change(self.shared);
        }
        true
    }

    fn take_next(&mut self) -> Option<Wire> {
        self.poll_renewed()
    }

    fn handle_failed(&mut self, error: Error) {
        self.handle_down(&error, |state, error, now| {
            state.keeper.handle_failed(error.clone(), now, fastrand::u64(..));
            false
        });
    }

    /// What was under way on the connection is lost with it; or it was let go.
    fn handle_lost(&mut self, error: Error) {
        if self.shared.lock().is_over(self.number) {
            return;
        }
        // A caller that learns of it and calls again must not meet the lost connection.
        self.handle_down(&error, |state, error, now| {
            let was_up = state.keeper.is_up();
            if was_up {
                let answered = state.link.has_answered();
                state.keeper.handle_lost(error.clone(), answered, now, fastrand::u64(..));
            }
            was_up && state.writer.is_some()
        });
        self.shared.target.tell(EventKind::Lost(self.shared.target.locate(error)));
    }
}

impl SharingState {
    /// Fails where the connection that is driven was let go (`Some`), or there will be none any more.
    #[inline]
    fn check_connected(&self, number: u64) -> Step {
        // What ends it for a driver takes its writer, too, or gives it another number.
        if self.writer.is_some() && self.number == number {
            return Ok(());
        }
        Err(self.why_disconnected(number))
    }

    #[cold]
    fn why_disconnected(&self, number: u64) -> DriveEnd {
        if self.is_over(number) { None } else { Some(setup::left_master()) }
    }

    /// Whether the driver of this number has nothing to do any more: the client is closed, or another has
    /// taken over.
    #[inline]
    fn is_over(&self, number: u64) -> bool {
        self.phase == SharingPhase::Closed || self.number != number
    }

    /// When the driver's timer is to go off. One that goes off too early is only set again: it need not be
    /// moved for every request.
    #[inline]
    pub(super) fn poll_timeout(&mut self, renewal: &Renewal) -> Option<Instant> {
        let next = self.link.poll_timeout();
        match (self.armed, next) {
            (Some(armed), Some(next)) if next < armed => self.armed = Some(next),
            (Some(_), _) => {}
            (None, next) => self.armed = next.into_iter().chain(renewal.poll_timeout()).min(),
        }
        self.armed
    }

    /// The driver sleeps; a caller that has work for it wakes it.
    #[inline]
    pub(super) fn register(&mut self, cx: &Context<'_>) {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }
}
