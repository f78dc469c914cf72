//! The task behind a connection of a [`PubSub`](super::PubSub): it reads for all subscriptions, tells the server what they want, and makes the
//! connection anew when it is lost. It only waits; see the parent.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use redwire_core::config::Protocol;
use redwire_core::inbound::{Frames, Inbound};
use redwire_core::outbox::Outbox;
use redwire_core::pubsub::{Connect, LineId};
use redwire_core::{Error, Outcome, Result};

use super::{Shared, State};
use crate::clock::{Burst, Timer, poll_pause};
use crate::credentials::{self, Pass};
use crate::events::EventKind;
use crate::nonblocking::stream::Writer;
use crate::nonblocking::wire::Wire;
use crate::setup;
use crate::target::Target;

/// Keeps the connection up while somebody wants to hear something, until all is closed.
pub(super) async fn drive(guard: Guard, target: Arc<Target>, mut first: Option<Wire>) {
    let Guard(shared, line) = &guard;
    let line = *line;
    let _listener = listen(shared);
    let mut driver = Driver::new(shared, line, &target);
    loop {
        let connected = match first.take() {
            Some(wire) => Some(Ok(wire)),
            None if driver.until_wanted().await.is_none() => return,
            None => match unless_left(shared, line, shared.connect(&target)).await {
                Some(None) => continue,
                connected => connected.flatten(),
            },
        };
        let now = Instant::now();
        match connected {
            None => return,
            Some(Ok(wire)) => {
                let Some(error) = driver.run(wire).await else {
                    if line != LineId::MAIN {
                        target.tell(EventKind::Closed);
                    }
                    return;
                };
                let error = target.locate(error);
                target.tell(EventKind::Lost(error.clone()));
                driver.outbox.clear();
                shared.with(|machine| machine.handle_lost(line, error, Instant::now(), fastrand::u64(..)));
            }
            Some(Err(error)) => {
                let error = target.locate(error);
                shared.with(|machine| machine.handle_failed(line, error, now, fastrand::u64(..)));
            }
        }
    }
}

/// Awaits `future`; `None` when all is closed before, `Some(None)` when connections lead to another server.
async fn unless_left<T>(shared: &Shared, line: LineId, future: impl Future<Output = T>) -> Option<Option<T>> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let mut state = shared.lock();
        if state.machine.is_closed() {
            return Poll::Ready(None);
        }
        if state.machine.is_moved(line) {
            return Poll::Ready(Some(None));
        }
        state.register(line, cx);
        drop(state);
        future.as_mut().poll(cx).map(|output| Some(Some(output)))
    })
    .await
}

/// Tells subscribers when the driver ends without being asked to: its runtime was shut down, maybe before it began.
pub(super) struct Guard(pub(super) Arc<Shared>, pub(super) LineId);

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.0.is_current() {
            return;
        }
        let error = setup::runtime_ended();
        let mut woken = Vec::new();
        let mut state = self.0.lock();
        state.seats.retain(|seat| seat.line != self.1);
        state.machine.handle_undriven(self.1, &error);
        state.poll_woken(&mut woken);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Wakes the driver when there are new credentials, for as long as what it gives is kept.
fn listen(shared: &Arc<Shared>) -> Option<Arc<dyn Fn() + Send + Sync>> {
    let provider = shared.target.config().credential_provider()?;
    let shared = Arc::downgrade(shared);
    let listener: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        if let Some(shared) = shared.upgrade().filter(|shared| shared.is_current()) {
            shared.with(|_| {});
        }
    });
    provider.on_change(Arc::downgrade(&listener));
    Some(listener)
}

/// What the task holds between two polls.
struct Driver<'a> {
    shared: &'a Shared,
    line: LineId,
    target: &'a Arc<Target>,
    outbox: Outbox,
    woken: Vec<Waker>,
    timer: Timer,
    /// Whether the connection is to be read.
    reads: bool,
    /// When it began to read what it reads now; what came before that it has read once there is no more.
    began: Option<Instant>,
    /// How many bytes have come in.
    received: u64,
    /// The version of the credentials that were presented, where a live connection takes others.
    version: Option<u64>,
    renewal: Option<Pin<Box<dyn Future<Output = Result<Pass>> + Send>>>,
}

impl<'a> Driver<'a> {
    fn new(shared: &'a Shared, line: LineId, target: &'a Arc<Target>) -> Self {
        Self {
            shared,
            line,
            target,
            outbox: Outbox::default(),
            woken: Vec::new(),
            timer: Timer::default(),
            reads: true,
            began: None,
            received: 0,
            version: None,
            renewal: None,
        }
    }

    /// Waits until a connection is to be made; `None` when all is closed, or none will be needed any more.
    async fn until_wanted(&mut self) -> Option<()> {
        poll_fn(|cx| {
            loop {
                let mut state = self.shared.lock();
                if state.machine.is_closed() {
                    return Poll::Ready(None);
                }
                let next = match state.machine.poll_connect(self.line, Instant::now(), fastrand::u64(..)) {
                    Connect::Now => return Poll::Ready(Some(())),
                    Connect::At(next) => Some(next),
                    Connect::Idle => None,
                    Connect::Done => return Poll::Ready(None),
                };
                state.poll_woken(&mut self.woken);
                state.register(self.line, cx);
                drop(state);
                self.woken.drain(..).for_each(Waker::wake);
                if self.poll_timer(cx, next).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Drives `wire` until it is lost; `None` when all is closed.
    async fn run(&mut self, wire: Wire) -> Option<Error> {
        let Wire { mut reader, writer, mut inbound, mut frames, session, version } = wire;
        let renews = self.target.config().credential_provider().is_some();
        self.version = (renews && session.protocol == Protocol::Resp3).then_some(version);
        (self.renewal, self.began) = (None, None);
        {
            let mut state = self.shared.lock();
            if state.machine.is_closed() {
                return None;
            }
            state.machine.handle_connected(self.line, Instant::now());
            self.reads = state.machine.wants_read();
            state.poll_woken(&mut self.woken);
        }
        self.woken.drain(..).for_each(Waker::wake);
        poll_fn(|cx| {
            let (mut burst, mut pauses) = (Burst::default(), false);
            loop {
                let now = Instant::now();
                if self.reads
                    && !pauses
                    && reader.poll_ready(cx).is_ready()
                    && let Poll::Ready(read) = reader.poll_read(cx, inbound.spare())
                {
                    self.began.get_or_insert(now);
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
                self.poll_renewal(cx);
                match self.poll_write(cx, &writer) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(error),
                }
            }
        })
        .await
    }

    /// Hands out what came, and wakes those who wait for it.
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
        if !inbound.poll_frames(frames)? && !frames.has_large_rest() {
            return Ok(());
        }
        let mut state = self.shared.lock();
        let result = state.machine.handle_frames(self.line, frames, Instant::now());
        self.reads = state.machine.wants_read();
        let refused = state.machine.poll_refused(self.line);
        state.poll_woken(&mut self.woken);
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
        if let Some(error) = refused {
            self.tell_refused(error);
        }
        result
    }

    /// Does what is due while bytes come without a pause; says whether anything was.
    #[cold]
    fn handle_due(&mut self, now: Instant) -> Result<bool> {
        let mut state = self.shared.lock();
        let is_due = state.machine.poll_timeout(self.line).is_some_and(|next| next <= now);
        if is_due {
            state.machine.handle_timeout(self.line, now, self.received)?;
        }
        Ok(is_due)
    }

    /// Presents credentials that have changed while the connection lives.
    #[inline]
    fn poll_renewal(&mut self, cx: &mut Context<'_>) {
        let Some(presented) = self.version else { return };
        let target = self.target;
        let version = credentials::version(target.config());
        if self.renewal.is_none() && version != presented {
            self.version = Some(version);
            let target = Arc::clone(target);
            self.renewal = Some(Box::pin(async move { Pass::fetch(target.config()).await }));
        }
        let Some(renewal) = &mut self.renewal else { return };
        let Poll::Ready(pass) = renewal.as_mut().poll(cx) else { return };
        self.renewal = None;
        match pass {
            Ok(Pass { credentials: Some(credentials), .. }) => {
                self.shared.lock().machine.present(self.line, &credentials.auth(), &mut self.outbox);
            }
            Ok(_) => {}
            Err(error) => self.tell_refused(error),
        }
    }

    fn tell_refused(&self, error: Error) {
        let target = self.target;
        target.tell(EventKind::Refused(target.locate(error)));
    }

    /// Writes what the server is to be told, then sleeps. Ready when there is more to do at once, or (`Err`) no more to do at all.
    #[inline]
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        writer: &Writer,
    ) -> Poll<std::result::Result<(), Option<Error>>> {
        loop {
            let mut state = self.shared.lock();
            if state.machine.is_closed() {
                return Poll::Ready(Err(None));
            }
            if let Some(error) = state.machine.poll_cut(self.line) {
                return Poll::Ready(Err(Some(error)));
            }
            if let (true, Some(began)) = (self.reads, self.began.take()) {
                state.machine.handle_quiet(self.line, began);
            }
            if self.outbox.is_empty() {
                state.machine.poll_transmit(self.line, &mut self.outbox);
            }
            let idle = self.outbox.is_empty();
            if !self.reads && state.machine.wants_read() {
                self.reads = true;
                return Poll::Ready(Ok(()));
            }
            if let Some(seat) = state.seat(self.line) {
                seat.reads = self.reads;
            }
            state.register(self.line, cx);
            let next = state.machine.poll_timeout(self.line);
            drop(state);
            if !idle {
                match writer.poll_flush(cx, &mut self.outbox, |_| {}) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(Some(setup::io_error("writing", error))));
                    }
                    Poll::Pending => {}
                }
            }
            if self.poll_timer(cx, next).is_pending() {
                return Poll::Pending;
            }
            let handled = self.shared.lock().machine.handle_timeout(self.line, Instant::now(), self.received);
            return Poll::Ready(handled.map_err(Some));
        }
    }

    /// Ready at `next`.
    fn poll_timer(&mut self, cx: &mut Context<'_>, next: Option<Instant>) -> Poll<()> {
        next.map_or(Poll::Pending, |next| self.timer.poll_at(next, cx))
    }
}

impl State {
    /// The driver sleeps; whoever has work for it wakes it.
    #[inline]
    fn register(&mut self, line: LineId, cx: &Context<'_>) {
        if let Some(seat) = self.seat(line)
            && !seat.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker()))
        {
            seat.driver = Some(cx.waker().clone());
        }
    }
}
