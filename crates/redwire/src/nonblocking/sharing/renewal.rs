//! Another connection in the place of one that works: for its age (`max_lifetime`), or since the server says
//! that it is of no use. The next one is made beside it; then nothing more is sent over the former, and when
//! that has answered all it was asked, what has gathered goes over the next. So no call fails, and calls wait
//! for a round trip at most.

use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use redwire_core::Result;
use redwire_core::outbox::Outbox;
use redwire_core::standing::Replace;

use super::driver::SharingDriver;
use super::{SharingShared, SharingState, release};
use crate::nonblocking::BoxFuture;
use crate::nonblocking::drive::{Step, WriteNext};
use crate::nonblocking::wire::Wire;
use crate::shared::clock;
use crate::shared::events::EventKind;
use crate::shared::service::Follower;
use crate::shared::setup;

/// The next connection, and when there is to be one.
#[derive(Default)]
pub(super) struct Renewal {
    next: Next,
    /// When the connection there is will be too old.
    due: Option<Instant>,
}

#[derive(Default)]
enum Next {
    #[default]
    None,
    Connecting(BoxFuture<Result<Wire>>),
    Ready {
        wire: Box<Wire>,
        /// Whether the former has answered all it was asked.
        drained: bool,
    },
}

impl Renewal {
    /// Of a new connection, which will be too old then.
    pub(super) fn due(expires: Option<Instant>) -> Self {
        Self { next: Next::None, due: expires }
    }

    /// Begins to make the next connection, unless that is being done.
    #[cold]
    pub(super) fn start(&mut self, shared: &Arc<SharingShared>) {
        if matches!(self.next, Next::None) {
            let shared = Arc::clone(shared);
            self.next = Next::Connecting(Box::pin(async move { shared.connect().await }));
        }
    }

    /// Goes on making it. If that fails, the connection there is goes on.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        if let Next::Connecting(connecting) = &mut self.next
            && let Poll::Ready(connected) = connecting.as_mut().poll(cx)
        {
            self.next = match connected {
                Ok(wire) => Next::Ready { wire: Box::new(wire), drained: false },
                Err(_) => Next::None,
            };
        }
    }

    /// Whether there is a next one.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.next, Next::Ready { .. })
    }

    /// The former has answered all that it was asked.
    fn handle_drained(&mut self) {
        if let Next::Ready { drained, .. } = &mut self.next {
            *drained = true;
        }
    }

    /// When the connection there is will be too old.
    #[inline]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

impl SharingDriver<'_> {
    /// The connection is too old.
    #[cold]
    pub(super) fn renew_for_age(&mut self) {
        // If the next one cannot be made, that is tried again after a while.
        let again = self.shared.target.config().reconnect_backoff().cap().max(AGAIN);
        self.renewal.due = clock::now().checked_add(again);
        Follower::replace(Arc::clone(self.shared), Replace::All);
    }

    /// There is a next connection: over the former, only what was taken to be written still goes.
    ///
    /// # Errors
    /// All was answered: the former is done with.
    #[cold]
    pub(super) fn take_rest(
        &mut self,
        mut state: MutexGuard<'_, SharingState>,
        cx: &Context<'_>,
        outbox: &mut Outbox,
    ) -> Step<WriteNext> {
        self.held = None;
        std::mem::swap(&mut state.rest, outbox);
        // No caller writes by itself any more.
        state.writing = true;
        if outbox.is_empty() && state.link.is_quiet() {
            self.renewal.handle_drained();
            return Err(Some(setup::left_master()));
        }
        state.register(cx);
        let next = state.poll_timeout(&self.renewal);
        release(state);
        Ok(if outbox.is_empty() { WriteNext::Nothing(next) } else { WriteNext::Write })
    }

    /// The next connection, where the former has answered all.
    pub(super) fn poll_renewed(&mut self) -> Option<Wire> {
        self.renewal.due = None;
        match std::mem::take(&mut self.renewal.next) {
            Next::Ready { wire, drained: true, .. } => {
                let (mut state, mut woken) = (self.shared.lock(), Vec::new());
                // Nothing is under way; what has gathered goes on the next.
                state.interrupt(&setup::left_master(), &mut woken);
                state.keeper.handle_left();
                drop(state);
                woken.into_iter().for_each(Waker::wake);
                self.shared.target.tell(EventKind::Closed);
                Some(*wire)
            }
            _ => None,
        }
    }
}

/// The least time between two attempts to replace a connection for its age.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);
