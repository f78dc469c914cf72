//! How callers share a connection here: all write to one, and one task drives it.
//!
//! Callers encode straight into the connection's buffer under a short lock; a caller who is alone writes to the
//! socket itself. The driver task reads, hands out replies, writes what has gathered, and makes the connection anew when it
//! is lost. What is written when, whose reply has come and when to try again is decided in `redwire-core`.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use redwire_core::call::Call;
use redwire_core::config::{Config, Endpoint, Protocol};
use redwire_core::inbound::{Frames, Inbound};
use redwire_core::link::{Link, Ticket};
use redwire_core::outage::{Outage, Turn, heals};
use redwire_core::outbox::Outbox;
use redwire_core::{Error, ErrorKind, Outcome, Replies, Result};
use tokio::runtime::Handle;
use tokio::time::Sleep;

use super::stream::Writer;
use super::wire::Wire;
use crate::setup;

/// The shared connection of a client. Closed when the last handle is dropped.
#[derive(Debug)]
pub(super) struct Lane(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    endpoint: Endpoint,
    address: Arc<str>,
    state: Mutex<State>,
    /// How many calls have a connection of their own now.
    apart: AtomicUsize,
}

#[derive(Debug)]
struct State {
    link: Link<Waker>,
    /// Bytes taken from the link that a caller could not write whole.
    rest: Outbox,
    /// There while connected.
    writer: Option<Arc<Writer>>,
    /// Whether the driver has bytes in its hands that it has not written yet.
    writing: bool,
    /// The driver, while it sleeps, and when its timer will wake it.
    driver: Option<Waker>,
    armed: Option<Instant>,
    phase: Phase,
    /// Why there is no connection at the moment.
    cause: Option<Error>,
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No task drives the connection: it was not used yet, or its runtime has ended.
    Undriven,
    Driven,
    Closed,
}

impl Lane {
    pub(super) fn new(config: Config) -> Result<Self> {
        let endpoint = setup::endpoint(&config)?.clone();
        let state = State {
            link: Link::new(setup::queue_limits(&config)),
            rest: Outbox::default(),
            writer: None,
            writing: false,
            driver: None,
            armed: None,
            phase: Phase::Undriven,
            cause: None,
            protocol: config.protocol(),
        };
        let address = setup::address(&endpoint);
        Ok(Self(Arc::new(Shared {
            config,
            endpoint,
            address,
            state: Mutex::new(state),
            apart: AtomicUsize::new(0),
        })))
    }

    #[inline]
    pub(super) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(super) fn address(&self) -> &Arc<str> {
        &self.0.address
    }

    /// Connects now, so that a failure is told at once.
    pub(super) async fn connect(&self) -> Result<()> {
        let wire = self.0.connect().await?;
        self.0.lock().phase = Phase::Driven;
        tokio::spawn(drive(Arc::clone(&self.0), Some(wire)));
        Ok(())
    }

    /// Queues `call` for the connection, or writes it at once.
    #[inline]
    pub(super) fn submit(
        &self,
        call: &impl Call,
        waker: &Waker,
        deadline: Option<Instant>,
    ) -> Result<Ticket> {
        let mut state = self.0.lock();
        if state.phase != Phase::Driven {
            self.start_driving(&mut state)?;
        }
        let write = |outbox: &mut Outbox| call.write(outbox);
        let ticket = state.link.submit(call.count(), call.size(), write, waker.clone(), deadline)?;
        let driver = if state.write_at_once(deadline) { None } else { state.driver.take() };
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        Ok(ticket)
    }

    #[cold]
    fn start_driving(&self, state: &mut State) -> Result<()> {
        if state.phase == Phase::Closed {
            return Err(setup::closed_client());
        }
        let runtime = Handle::try_current().map_err(|error| {
            Error::usage("the async client needs a tokio runtime around it").with_source(error)
        })?;
        state.phase = Phase::Driven;
        runtime.spawn(drive(Arc::clone(&self.0), None));
        Ok(())
    }

    /// The replies to what was submitted, once they are there.
    #[inline]
    pub(super) fn poll_reply(
        &self,
        ticket: Ticket,
        waker: &Waker,
    ) -> std::result::Result<Result<Replies>, Ticket> {
        self.0.lock().link.poll_reply(ticket, |waiter| waiter.clone_from(waker))
    }

    /// The right to one more connection beside the shared one.
    pub(super) fn place(&self) -> Result<Place> {
        let place = Place(Arc::clone(&self.0));
        // The shared connection counts as one. What is taken beyond the limit is given back by the drop of `place`.
        let taken = self.0.apart.fetch_add(1, Ordering::Relaxed);
        if taken + 1 < self.0.config.max_connections() {
            Ok(place)
        } else {
            Err(setup::exhausted(self.config()))
        }
    }

    /// Gives up waiting; the reply will go to nobody.
    pub(super) fn abandon(&self, ticket: Ticket) {
        self.0.lock().link.abandon(ticket);
    }
}

/// The right to a connection beside the shared one; given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.apart.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.end(Phase::Closed, &setup::closed_client());
    }
}

impl State {
    /// Writes what was just submitted, if that is best and possible; else the driver must be woken.
    #[inline]
    fn write_at_once(&mut self, deadline: Option<Instant>) -> bool {
        if self.writing || !self.link.writes_at_once() {
            return false;
        }
        let Some(writer) = &self.writer else { return false };
        self.link.poll_transmit(&mut self.rest);
        // A broken socket is found and reported by the driver, which reads from it.
        if let Ok(written) = writer.try_write(&self.rest) {
            self.rest.advance(written);
            self.link.handle_sent(written);
        }
        let in_time = deadline.is_none_or(|deadline| self.armed.is_some_and(|armed| armed <= deadline));
        self.rest.is_empty() && in_time
    }
}

impl Shared {
    #[inline]
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, and every change to the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Wire> {
        let protocol = self.lock().protocol;
        let wire = Wire::connect(&self.endpoint, &self.config, protocol).await?;
        self.lock().protocol = wire.session.protocol;
        Ok(wire)
    }

    /// Fails all that is under way and goes to `phase`.
    fn end(&self, phase: Phase, error: &Error) {
        let mut woken = Vec::new();
        let mut state = self.lock();
        if state.phase == Phase::Closed {
            return;
        }
        state.phase = phase;
        state.lose(error, &mut woken);
        woken.extend(state.driver.take());
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

impl State {
    /// The connection is gone, and with it all that was under way.
    fn lose(&mut self, error: &Error, woken: &mut Vec<Waker>) {
        self.link.handle_lost(error);
        self.link.poll_woken(woken);
        self.writer = None;
        self.writing = false;
        self.rest.clear();
        self.cause = Some(error.clone());
    }
}

/// Keeps the connection up until the client is closed.
async fn drive(shared: Arc<Shared>, mut first: Option<Wire>) {
    let _guard = Guard(&shared);
    let mut driver = Driver::new(&shared);
    let backoff = shared.config.reconnect_backoff();
    let mut outage = Outage::default();
    loop {
        let connected = match first.take() {
            Some(wire) => Some(Ok(wire)),
            None => driver.meanwhile(shared.connect()).await,
        };
        let error = match connected {
            None => return,
            Some(Ok(wire)) => {
                outage.handle_connected();
                match driver.run(wire).await {
                    None => return,
                    Some(error) => error,
                }
            }
            Some(Err(error)) => error,
        };
        driver.handle_down(&error);
        outage.handle_failure(error, backoff, Instant::now(), fastrand::u64(..));
        if driver.until_turn(&mut outage).await.is_none() {
            return;
        }
    }
}

/// Tells callers when the driver ends without being asked to: its runtime was shut down.
struct Guard<'a>(&'a Shared);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let message = "the runtime that drove the connection has ended";
        self.0.end(Phase::Undriven, &Error::new(ErrorKind::Closed, Outcome::NotSent, message));
    }
}

/// The task behind a lane: what it holds between two polls.
struct Driver<'a> {
    shared: &'a Shared,
    outbox: Outbox,
    woken: Vec<Waker>,
    timer: Pin<Box<Sleep>>,
    yielded: bool,
}

impl<'a> Driver<'a> {
    fn new(shared: &'a Shared) -> Self {
        let timer = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self { shared, outbox: Outbox::default(), woken: Vec::new(), timer, yielded: false }
    }

    /// Drives `wire` until it is lost; `None` when the client is closed.
    async fn run(&mut self, wire: Wire) -> Option<Error> {
        let Wire { mut reader, writer, mut inbound, mut frames, .. } = wire;
        let writer = Arc::new(writer);
        {
            let mut state = self.shared.lock();
            state.writer = Some(Arc::clone(&writer));
            state.cause = None;
        }
        poll_fn(|cx| {
            loop {
                // Room for the next read is made only when there is something to read: by then the replies before
                // it have been decoded, and their memory serves again.
                if reader.poll_ready(cx).is_ready()
                    && let Poll::Ready(read) = reader.poll_read(cx, inbound.spare())
                {
                    match self.handle_read(read, &mut inbound, &mut frames) {
                        Ok(()) => continue,
                        Err(error) => return Poll::Ready(Some(error)),
                    }
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
        if read.map_err(|error| setup::io_error("reading", error))? == 0 {
            return Err(Error::closed_by_peer(Outcome::MaybeExecuted));
        }
        if inbound.poll_frames(frames)? {
            let mut state = self.shared.lock();
            let result = state.link.handle_frames(frames);
            match &result {
                Ok(()) => state.link.poll_woken(&mut self.woken),
                // Before those who have their replies go on, lest their next calls be written to a bad connection.
                Err(error) => state.lose(&error.clone().with_address(&self.shared.address), &mut self.woken),
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
            if self.outbox.is_empty() && !self.take_outgoing(cx)? {
                return self.poll_timer(cx).map(Ok);
            }
            if self.outbox.is_empty() {
                // Others are about to ask, too: let them, and write all in one.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut sent = 0;
            let flushed = writer.poll_flush(cx, &mut self.outbox, |written| sent += written);
            self.shared.lock().link.handle_sent(sent);
            match flushed {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Some(setup::io_error("writing", error)))),
                Poll::Pending => {
                    self.sleep(cx)?;
                    return self.poll_timer(cx).map(Ok);
                }
            }
        }
    }

    /// Takes what waits to be written. Goes to sleep where nothing does; says whether there is anything to do.
    #[inline]
    fn take_outgoing(&mut self, cx: &Context<'_>) -> std::result::Result<bool, Option<Error>> {
        let mut state = self.shared.lock();
        if state.phase == Phase::Closed {
            return Err(None);
        }
        if state.rest.is_empty() && state.link.expects_more() && state.link.wants_transmit() && !self.yielded
        {
            self.yielded = true;
            return Ok(true);
        }
        self.yielded = false;
        if state.rest.is_empty() {
            state.link.poll_transmit(&mut self.outbox);
        } else {
            std::mem::swap(&mut state.rest, &mut self.outbox);
        }
        state.writing = !self.outbox.is_empty();
        if !state.writing {
            state.register(cx);
        }
        Ok(state.writing)
    }

    fn sleep(&self, cx: &Context<'_>) -> std::result::Result<(), Option<Error>> {
        let mut state = self.shared.lock();
        state.register(cx);
        if state.phase == Phase::Closed { Err(None) } else { Ok(()) }
    }

    /// Sets the timer to the next deadline, and fails what is late. Ready when something was late.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut late = false;
        loop {
            let mut state = self.shared.lock();
            let next = state.link.poll_timeout();
            // A timer that goes off too early is only set again: it need not be moved for every request.
            if let (Some(next), armed) = (next, state.armed)
                && armed.is_none_or(|armed| next < armed)
            {
                state.armed = Some(next);
                drop(state);
                self.timer.as_mut().reset(next.into());
                state = self.shared.lock();
            }
            if state.armed.is_none() {
                break;
            }
            drop(state);
            if self.timer.as_mut().poll(cx).is_pending() {
                break;
            }
            late = true;
            self.handle_timer();
        }
        if late { Poll::Ready(()) } else { Poll::Pending }
    }

    fn handle_timer(&mut self) {
        let mut state = self.shared.lock();
        let State { link, cause, armed, .. } = &mut *state;
        *armed = None;
        link.handle_timeout(Instant::now(), cause.as_ref());
        link.poll_woken(&mut self.woken);
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
    }

    /// There is no connection, for now. Where waiting will not help, those who wait are told so.
    fn handle_down(&mut self, error: &Error) {
        let error = error.clone().with_address(&self.shared.address);
        let mut state = self.shared.lock();
        if state.writer.is_some() || !heals(&error) {
            state.lose(&error, &mut self.woken);
        } else {
            state.cause = Some(error);
        }
        drop(state);
        self.outbox.clear();
        self.woken.drain(..).for_each(Waker::wake);
    }

    /// Waits until the connection may be tried again, and where waiting alone is no use, until somebody asks for it;
    /// `None` when the client is closed.
    async fn until_turn(&mut self, outage: &mut Outage) -> Option<()> {
        let mut hopeless = false;
        loop {
            let backoff = self.shared.config.reconnect_backoff();
            match outage.poll_turn(backoff, Instant::now(), fastrand::u64(..)) {
                Turn::Now => break,
                Turn::At(next) => self.meanwhile(tokio::time::sleep_until(next.into())).await?,
                Turn::Hopeless(next, _) => {
                    hopeless = true;
                    self.meanwhile(tokio::time::sleep_until(next.into())).await?;
                }
            }
        }
        if hopeless { self.until_asked().await } else { Some(()) }
    }

    /// Awaits `future` while deadlines are kept; `None` when the client is closed.
    async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if self.sleep(cx).is_err() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            while self.poll_timer(cx).is_ready() {}
            Poll::Pending
        })
        .await
    }

    /// Waits until somebody submits something; `None` when the client is closed.
    async fn until_asked(&mut self) -> Option<()> {
        let shared = self.shared;
        self.meanwhile(poll_fn(
            |_| if shared.lock().link.is_idle() { Poll::Pending } else { Poll::Ready(()) },
        ))
        .await
    }
}

impl State {
    /// The driver sleeps; whoever has work for it wakes it.
    #[inline]
    fn register(&mut self, cx: &Context<'_>) {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            self.driver = Some(cx.waker().clone());
        }
    }
}
