//! What the task behind a connection of a [`PubSub`](super::PubSub) hands out and tells the server, and when
//! it connects. The loop is [`drive`]'s; see the parent.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use redwire_core::inbound::Frames;
use redwire_core::keeper::WhenToConnect;
use redwire_core::outbox::Outbox;
use redwire_core::pubsub::ConnId;
use redwire_core::{Error, Result};

use super::{PubSubShared, PubSubState};
use crate::nonblocking::BoxFuture;
use crate::nonblocking::drive::{self, Driven, Reconnecting, Step, WriteNext};
use crate::nonblocking::stream::StreamWriter;
use crate::nonblocking::wire::Wire;
use crate::shared::clock;
use crate::shared::credentials::{self, VersionedCredentials};
use crate::shared::events::EventKind;
use crate::shared::setup;
use crate::shared::target::Target;

/// Keeps the connection up while a subscriber wants to hear something, until all is closed.
pub(super) async fn drive(guard: PubSubDriverGuard, first: Option<Wire>) {
    // Looks at them when it is woken.
    let _listener = credentials::listen(guard.target.config(), &guard.shared, |shared| {
        if shared.is_current() {
            shared.with(|_| {});
        }
    });
    drive::keep(&mut PubSubDriver::new(&guard), first).await;
}

/// Tells subscribers when the driver ends without being asked to: its runtime was shut down, maybe before it
/// began.
pub(super) struct PubSubDriverGuard {
    pub(super) shared: Arc<PubSubShared>,
    pub(super) conn: ConnId,
    pub(super) number: u64,
    pub(super) target: Arc<Target>,
}

impl Drop for PubSubDriverGuard {
    fn drop(&mut self) {
        if !self.shared.is_current() {
            return;
        }
        let error = setup::runtime_ended();
        let mut woken = Vec::new();
        let mut state = self.shared.lock();
        let slot = state.slots.iter().position(|slot| slot.number == self.number);
        // Where another has taken over, nothing ends.
        let Some(slot) = slot else { return };
        state.slots.swap_remove(slot);
        state.machine.handle_undriven(self.conn, &error);
        state.poll_woken(&mut woken);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// What the task holds between two polls.
struct PubSubDriver<'a> {
    shared: &'a PubSubShared,
    conn: ConnId,
    number: u64,
    target: &'a Arc<Target>,
    woken: Vec<Waker>,
    /// Whether the connection is to be read.
    reads: bool,
    /// When it looked last for something to read.
    looked: Instant,
    /// When it began to read what it reads now; what came before that it has read once there is no more.
    began: Option<Instant>,
    /// The version of the credentials that were presented, where a live connection takes others.
    version: Option<u64>,
    renewal: Option<BoxFuture<Result<VersionedCredentials>>>,
}

impl<'a> PubSubDriver<'a> {
    fn new(guard: &'a PubSubDriverGuard) -> Self {
        Self {
            shared: &guard.shared,
            conn: guard.conn,
            number: guard.number,
            target: &guard.target,
            woken: Vec::new(),
            reads: true,
            looked: clock::now(),
            began: None,
            version: None,
            renewal: None,
        }
    }

    fn tell_refused(&self, error: Error) {
        self.target.tell(EventKind::Refused(self.target.locate(error)));
    }

    /// Has the task woken for each change, after a look at what has changed; fills the outbox where it is
    /// empty. Says whether there is something to read again.
    #[inline]
    fn turn(&mut self, cx: &Context<'_>, outbox: Option<&mut Outbox>) -> Step<bool> {
        let mut state = self.shared.lock();
        if state.is_over(self.number) {
            return Err(None);
        }
        if let Some(error) = state.machine.poll_cut(self.conn) {
            return Err(Some(error));
        }
        if let (true, Some(began)) = (self.reads, self.began.take()) {
            state.machine.handle_quiet(self.conn, began);
        }
        if let Some(outbox) = outbox {
            state.machine.poll_transmit(self.conn, outbox);
        }
        let again = !self.reads && state.machine.wants_read();
        self.reads |= again;
        if let Some(slot) = state.slot(self.conn) {
            slot.reads = self.reads;
        }
        state.register(self.conn, cx);
        Ok(again)
    }
}

impl Driven for PubSubDriver<'_> {
    #[inline]
    fn reads(&mut self) -> bool {
        self.looked = clock::now();
        self.reads
    }

    /// Hands out what came, and wakes the subscribers that wait for it.
    #[inline]
    fn handle_read(&mut self, frames: Option<&mut Frames>) -> Result<()> {
        self.began.get_or_insert(self.looked);
        let Some(frames) = frames else { return Ok(()) };
        let mut state = self.shared.lock();
        if state.is_replaced(self.number) {
            return Err(setup::closed_client());
        }
        let result = state.machine.handle_frames(self.conn, frames, clock::now());
        self.reads = state.machine.wants_read();
        let refused = state.machine.poll_refused(self.conn);
        state.poll_woken(&mut self.woken);
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
        if let Some(error) = refused {
            self.tell_refused(error);
        }
        result
    }

    /// Presents credentials that have changed while the connection lives.
    #[inline]
    fn poll_beside(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) {
        let Some(presented) = self.version else { return };
        let target = self.target;
        let version = credentials::version(target.config());
        if self.renewal.is_none() && version != presented {
            self.version = Some(version);
            let target = Arc::clone(target);
            self.renewal = Some(Box::pin(async move { VersionedCredentials::fetch(target.config()).await }));
        }
        let Some(renewal) = &mut self.renewal else { return };
        let Poll::Ready(pass) = renewal.as_mut().poll(cx) else { return };
        self.renewal = None;
        match pass {
            Ok(VersionedCredentials { credentials: Some(credentials), .. }) => {
                let mut state = self.shared.lock();
                if !state.is_replaced(self.number) {
                    state.machine.present(self.conn, &credentials.auth(), outbox);
                }
            }
            Ok(_) => {}
            Err(error) => self.tell_refused(error),
        }
    }

    #[inline]
    fn poll_outgoing(&mut self, cx: &Context<'_>, _: &StreamWriter, outbox: &mut Outbox) -> Step<WriteNext> {
        let again = self.turn(cx, Some(outbox))?;
        Ok(match (outbox.is_empty(), again) {
            (false, _) => WriteNext::Write,
            (true, true) => WriteNext::Read,
            (true, false) => WriteNext::Nothing(self.poll_timeout()),
        })
    }

    fn poll_stalled(&mut self, cx: &Context<'_>) -> Step<bool> {
        self.turn(cx, None)
    }

    #[inline]
    fn poll_timeout(&mut self) -> Option<Instant> {
        self.shared.lock().machine.poll_timeout(self.conn)
    }

    fn handle_timeout(&mut self, now: Instant, received: u64) -> Result<()> {
        let mut state = self.shared.lock();
        if state.is_replaced(self.number) {
            return Err(setup::closed_client());
        }
        state.machine.handle_timeout(self.conn, now, received)
    }
}

impl<'a> Reconnecting for PubSubDriver<'a> {
    fn register(&mut self, cx: &Context<'_>) -> bool {
        let mut state = self.shared.lock();
        if state.is_over(self.number) {
            return false;
        }
        state.register(self.conn, cx);
        true
    }

    fn poll_connect(&mut self) -> WhenToConnect {
        let mut state = self.shared.lock();
        if state.is_replaced(self.number) {
            return WhenToConnect::Done;
        }
        let connect = state.machine.poll_connect(self.conn, clock::now(), fastrand::u64(..));
        state.poll_woken(&mut self.woken);
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
        connect
    }

    fn connect(&self) -> impl Future<Output = Result<Wire>> + Send + use<'a> {
        let (shared, target) = (self.shared, self.target);
        async move { shared.connect(target).await }
    }

    fn is_moved(&self) -> bool {
        self.shared.lock().machine.is_moved(self.conn)
    }

    fn handle_connected(&mut self, wire: &Wire) -> bool {
        self.version = setup::renewed_version(self.target.config(), &wire.session, wire.version);
        (self.renewal, self.began) = (None, None);
        let mut state = self.shared.lock();
        if state.is_over(self.number) {
            return false;
        }
        state.machine.handle_connected(self.conn, clock::now());
        self.reads = state.machine.wants_read();
        state.poll_woken(&mut self.woken);
        drop(state);
        self.woken.drain(..).for_each(Waker::wake);
        true
    }

    fn handle_failed(&mut self, error: Error) {
        if self.shared.lock().is_replaced(self.number) {
            return;
        }
        let (conn, error) = (self.conn, self.target.locate(error));
        self.shared.with(|machine| machine.handle_failed(conn, error, clock::now(), fastrand::u64(..)));
    }

    fn handle_lost(&mut self, error: Error) {
        if self.shared.lock().is_replaced(self.number) {
            return;
        }
        let (conn, error) = (self.conn, self.target.locate(error));
        self.target.tell(EventKind::Lost(error.clone()));
        self.shared.with(|machine| machine.handle_lost(conn, error, clock::now(), fastrand::u64(..)));
    }

    fn handle_closed(&mut self) {
        if self.conn != ConnId::MAIN {
            self.target.tell(EventKind::Closed);
        }
    }
}

impl PubSubState {
    /// The driver sleeps; a change that gives it work wakes it.
    #[inline]
    fn register(&mut self, conn: ConnId, cx: &Context<'_>) {
        if let Some(slot) = self.slot(conn)
            && !slot.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker()))
        {
            slot.driver = Some(cx.waker().clone());
        }
    }
}
