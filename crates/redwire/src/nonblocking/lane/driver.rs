//! The task behind a shared connection: it reads, hands out replies, writes what has gathered, and makes the connection anew when
//! it is lost. It only waits; see the parent.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use redwire_core::inbound::{Frames, Inbound};
use redwire_core::keeper::Connect;
use redwire_core::outage::heals;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};

use super::{LONG_QUIET, Phase, Shared, State, release, rotation};
use crate::clock::{Burst, Timer, poll_pause};
use crate::credentials;
use crate::events::EventKind;
use crate::nonblocking::stream::Writer;
use crate::nonblocking::wire::Wire;
use crate::setup;

/// Keeps the connection up until the client is closed.
pub(super) async fn drive(guard: Guard, mut first: Option<Wire>) {
    let shared = &guard.0;
    let mut driver = Driver::new(shared);
    loop {
        let connected = match first.take() {
            Some(wire) => Some(Some(Ok(wire))),
            None if driver.until_turn().await.is_none() => return,
            None => driver.unless_moved(shared.connect()).await,
        };
        match connected {
            None => return,
            Some(None) => {}
            Some(Some(Ok(wire))) => {
                let Some(error) = driver.run(wire).await else { return };
                if shared.lock().phase == Phase::Closed {
                    return;
                }
                // Whoever learns of it and calls again must not meet the lost connection.
                driver.handle_lost(&error);
                shared.target.tell(EventKind::Lost(shared.target.locate(error)));
            }
            Some(Some(Err(error))) => driver.handle_failed(&error),
        }
    }
}

/// Writing waits no longer than this for what came to be read.
const LONGEST_HOLD: Duration = Duration::from_millis(20);

/// Tells callers when the driver ends without being asked to: its runtime was shut down, maybe before it began.
pub(super) struct Guard(pub(super) Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.end(Phase::Undriven, &setup::runtime_ended());
    }
}

/// The task behind a lane: what it holds between two polls.
struct Driver<'a> {
    shared: &'a Arc<Shared>,
    outbox: Outbox,
    woken: Vec<Waker>,
    timer: Timer,
    /// The question, over another connection, whether the server lives.
    asking: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
    yielded: bool,
    /// Since when writing waits for what came to be read.
    held: Option<Instant>,
    /// How many bytes have come in.
    received: u64,
}

impl<'a> Driver<'a> {
    fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            outbox: Outbox::default(),
            woken: Vec::new(),
            timer: Timer::default(),
            asking: None,
            yielded: false,
            held: None,
            received: 0,
        }
    }

    /// Drives `wire` until it is lost; `None` when the client is closed.
    async fn run(&mut self, wire: Wire) -> Option<Error> {
        let Wire { mut reader, writer, mut inbound, mut frames, version, .. } = wire;
        let writer = Arc::new(writer);
        {
            let mut state = self.shared.lock();
            state.writer = Some(Arc::clone(&writer));
            let now = Instant::now();
            state.written = now;
            state.keeper.handle_connected(now, fastrand::u64(..));
            state.link.handle_connected(now);
        }
        if let Some(watch) = &self.shared.watch {
            watch.handle_up();
        }
        // They may have changed since the connection asked for them.
        if version != credentials::version(self.shared.target.config()) && !self.shared.listens() {
            rotation::handle_change(self.shared);
        }
        poll_fn(|cx| {
            let (mut burst, mut pauses) = (Burst::default(), false);
            loop {
                // Room for the next read is made only when there is something to read: by then the replies before
                // it have been decoded, and their memory serves again.
                if !pauses
                    && reader.poll_ready(cx).is_ready()
                    && let Poll::Ready(read) = reader.poll_read(cx, inbound.spare())
                {
                    match self.handle_read(read, &mut inbound, &mut frames) {
                        Ok(()) => {}
                        Err(error) => return Poll::Ready(Some(error)),
                    }
                    let Some(now) = burst.handle_read() else { continue };
                    match self.handle_due(now) {
                        Ok(is_due) => pauses = is_due || burst.is_long(now),
                        Err(error) => return Poll::Ready(Some(error)),
                    }
                    if !pauses {
                        continue;
                    }
                }
                if pauses {
                    let _ = poll_pause::<()>(cx);
                }
                if let Err(error) = ready!(self.poll_write(cx, &writer)) {
                    return Poll::Ready(error);
                }
            }
        })
        .await
    }

    /// Hands out the replies that came, and wakes those who wait for them.
    #[inline]
    fn handle_read(
        &mut self,
        read: io::Result<usize>,
        inbound: &mut Inbound,
        frames: &mut Frames,
    ) -> Result<()> {
        let read = read.map_err(|error| setup::io_error("reading", error))?;
        if read == 0 {
            return Err(Error::closed_by_peer(Outcome::MaybeExecuted));
        }
        self.received += read as u64;
        if inbound.poll_frames(frames)? || frames.has_large_rest() {
            if let Some(watch) = &self.shared.watch {
                // Before replies are handed out: what came ahead of one must count for whoever reads it.
                watch.handle_frames(frames)?;
            }
            let mut state = self.shared.lock();
            // What comes on a connection that was let go is for nobody.
            state.check_connected().map_err(|cause| cause.unwrap_or_else(setup::closed_client))?;
            let result = state.link.handle_frames(frames);
            match &result {
                Ok(()) => state.link.poll_woken(&mut self.woken),
                // Before those who have their replies go on, lest their next calls be written to a bad connection.
                Err(error) => state.interrupt(&self.shared.target.locate(error.clone()), &mut self.woken),
            }
            drop(state);
            self.woken.drain(..).for_each(Waker::wake);
            result?;
        }
        Ok(())
    }

    /// Writes what has gathered, then sleeps. Ready when there is more to do at once, or (`Err`) no more to do at all.
    #[inline]
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        writer: &Writer,
    ) -> Poll<std::result::Result<(), Option<Error>>> {
        loop {
            if self.outbox.is_empty() && !self.take_outgoing(cx, writer)? {
                return self.poll_timer(cx).map(|late| late.map_err(Some));
            }
            if self.held.is_some() {
                return poll_pause(cx);
            }
            if self.outbox.is_empty() {
                // Others are about to ask, too: let them, and write all in one.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut sent = 0;
            let flushed = writer.poll_flush(cx, &mut self.outbox, |written| sent += written);
            let mut state = self.shared.lock();
            state.check_connected()?;
            state.link.handle_sent(sent);
            release(state);
            match flushed {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Some(setup::io_error("writing", error)))),
                Poll::Pending => {
                    self.sleep(cx)?;
                    return self.poll_timer(cx).map(|late| late.map_err(Some));
                }
            }
        }
    }

    /// Takes what waits to be written. Goes to sleep where nothing does; says whether there is anything to do.
    #[inline]
    fn take_outgoing(
        &mut self,
        cx: &Context<'_>,
        writer: &Writer,
    ) -> std::result::Result<bool, Option<Error>> {
        let mut state = self.shared.lock();
        state.check_connected()?;
        if let Some(error) = state.keeper.poll_cut() {
            return Err(Some(error));
        }
        if state.rest.is_empty() && state.link.expects_more() && state.link.wants_transmit() && !self.yielded
        {
            self.yielded = true;
            return Ok(true);
        }
        self.yielded = false;
        if state.rest.is_empty() && state.link.wants_transmit() && state.link.is_quiet() {
            self.look(&mut state, writer).map_err(Some)?;
            if self.held.is_some() {
                return Ok(true);
            }
        }
        if state.rest.is_empty() {
            state.link.poll_transmit(&mut self.outbox);
        } else {
            std::mem::swap(&mut state.rest, &mut self.outbox);
        }
        let writing = !self.outbox.is_empty();
        state.writing = writing;
        if !writing {
            state.register(cx);
        }
        release(state);
        Ok(writing)
    }

    /// Where the connection was quiet for long, looks whether it has ended, or whether anything came: that is read before
    /// anything is written, but does not hold up writing for long.
    fn look(&mut self, state: &mut State, writer: &Writer) -> Result<()> {
        let now = Instant::now();
        if now.saturating_duration_since(state.written) >= LONG_QUIET && !writer.is_silent()? {
            let held = *self.held.get_or_insert(now);
            if now.saturating_duration_since(held) < LONGEST_HOLD {
                return Ok(());
            }
        }
        (self.held, state.written) = (None, now);
        Ok(())
    }

    fn sleep(&self, cx: &Context<'_>) -> std::result::Result<(), Option<Error>> {
        let mut state = self.shared.lock();
        state.register(cx);
        state.check_connected()
    }

    /// Sets the timer to the next deadline, and fails what is late. Ready when something was late; an error when the peer is
    /// dead.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut late = false;
        loop {
            if let Some(asking) = &mut self.asking
                && let Poll::Ready(alive) = asking.as_mut().poll(cx)
            {
                self.asking = None;
                if alive {
                    self.shared.lock().link.handle_alive();
                }
            }
            let mut state = self.shared.lock();
            let next = state.link.poll_timeout();
            // A timer that goes off too early is only set again: it need not be moved for every request.
            if let (Some(next), armed) = (next, state.armed)
                && armed.is_none_or(|armed| next < armed)
            {
                state.armed = Some(next);
            }
            let Some(armed) = state.armed else { break };
            drop(state);
            if self.timer.poll_at(armed, cx).is_pending() {
                break;
            }
            late = true;
            self.handle_timer()?;
        }
        if late { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Fails what is late while bytes come without a pause; says whether anything was.
    #[cold]
    fn handle_due(&mut self, now: Instant) -> Result<bool> {
        let is_due = self.shared.lock().link.poll_timeout().is_some_and(|next| next <= now);
        if is_due {
            self.handle_timer()?;
        }
        Ok(is_due)
    }

    fn handle_timer(&mut self) -> Result<()> {
        let mut state = self.shared.lock();
        let State { link, keeper, armed, .. } = &mut *state;
        *armed = None;
        let verdict = link.handle_timeout(Instant::now(), self.received, keeper.error());
        link.poll_woken(&mut self.woken);
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
        if verdict? {
            self.ask();
        }
        Ok(())
    }

    #[cold]
    fn ask(&mut self) {
        if let Some(interval) = self.shared.target.config().health_check_interval() {
            let health = Arc::clone(&self.shared.health);
            // What is found later is of no use.
            self.asking = Some(Box::pin(async move { health.check(interval / 2).await.is_ok() }));
        }
    }

    /// The connection was lost, and with it what was under way; or it was let go.
    fn handle_lost(&mut self, error: &Error) {
        self.handle_down(error, |state, error, now| {
            let was_up = state.keeper.is_up();
            if was_up {
                let answered = state.link.has_answered();
                state.keeper.handle_lost(error.clone(), answered, now, fastrand::u64(..));
            }
            was_up && state.writer.is_some()
        });
    }

    /// The connection could not be made.
    fn handle_failed(&mut self, error: &Error) {
        self.handle_down(error, |state, error, now| {
            state.keeper.handle_failed(error.clone(), now, fastrand::u64(..));
            false
        });
    }

    /// There is no connection, for now. What is under way fails where `tell` says so, and where waiting will not help.
    fn handle_down(&mut self, error: &Error, tell: impl FnOnce(&mut State, &Error, Instant) -> bool) {
        let error = self.shared.target.locate(error.clone());
        if let Some(watch) = &self.shared.watch {
            watch.handle_down(false, &error);
        }
        let mut state = self.shared.lock();
        let is_lost = tell(&mut state, &error, Instant::now());
        let has_alternatives = self.shared.target.config().has_alternatives();
        if !heals(&error) || (state.keeper.is_down() && has_alternatives) || self.shared.watch.is_some() {
            state.lose(&error, &mut self.woken);
        } else if is_lost {
            state.interrupt(&error, &mut self.woken);
        }
        drop(state);
        self.outbox.clear();
        self.held = None;
        self.asking = None;
        self.woken.drain(..).for_each(Waker::wake);
    }

    /// Waits until a connection may be made; `None` when the client is closed.
    async fn until_turn(&mut self) -> Option<()> {
        let shared = self.shared;
        let mut pause = Timer::default();
        self.meanwhile(poll_fn(|cx| {
            loop {
                let mut state = shared.lock();
                if !state.link.is_idle() {
                    state.keeper.ask();
                }
                let next = match state.keeper.poll_connect(Instant::now(), fastrand::u64(..)) {
                    Connect::Now => return Poll::Ready(()),
                    Connect::At(next) => next,
                    Connect::Asked | Connect::Up | Connect::Done => return Poll::Pending,
                };
                drop(state);
                ready!(pause.poll_at(next, cx));
            }
        }))
        .await
    }

    /// Awaits `future` while deadlines are kept; `None` when the client is closed.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            state.register(cx);
            if state.phase == Phase::Closed {
                return Poll::Ready(None);
            }
            drop(state);
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            while self.poll_timer(cx).is_ready() {}
            Poll::Pending
        })
        .await
    }

    /// Awaits `future` as [`meanwhile`](Self::meanwhile) does; `Some(None)` when connections lead to another server before.
    async fn unless_moved<T>(&mut self, future: impl Future<Output = T>) -> Option<Option<T>> {
        let shared = self.shared;
        let mut future = pin!(future);
        self.meanwhile(poll_fn(|cx| {
            if shared.lock().keeper.is_moved() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        }))
        .await
    }
}

impl State {
    /// Fails where the connection that is driven was let go (`Some`), or there will be none any more.
    #[inline]
    fn check_connected(&self) -> std::result::Result<(), Option<Error>> {
        match (self.phase, &self.writer) {
            (Phase::Closed, _) => Err(None),
            (_, None) => Err(Some(setup::left_master())),
            (_, Some(_)) => Ok(()),
        }
    }

    /// The driver sleeps; whoever has work for it wakes it.
    #[inline]
    fn register(&mut self, cx: &Context<'_>) {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }
}
