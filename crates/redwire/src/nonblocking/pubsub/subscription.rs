//! What one subscriber hears, as a stream. This file must not know how it comes.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use redwire_core::pubsub::{SubscriptionEvent, SubscriptionId};
use redwire_core::{Arg, Error, Result};
use tokio::runtime::Handle;

use super::handler::Handler;
use super::{PubSub, PubSubShared};
use crate::nonblocking::before;
use crate::shared::clock;
use crate::shared::runtimes::Attendant;

/// A subscriber takes so many items at a time: fewer turns at the lock, while few wait where no limit counts
/// them.
const TAKEN_AT_ONCE: usize = 64;

/// What one subscriber hears, as a stream that ends when its [`PubSub`] or client is closed, or with an
/// [`SubscriptionEvent::Failed`]; a lost connection does not end it.
///
/// A `Stream`; [`next`](Self::next) serves where no stream library is at hand. Dropping it unsubscribes from
/// what no other subscription wants.
#[must_use = "a subscription that is dropped hears nothing"]
pub struct Subscription {
    shared: Arc<PubSubShared>,
    /// Until it was told that it belongs to another process.
    id: Option<SubscriptionId>,
    /// Taken from those that wait, and not given yet.
    taken: VecDeque<SubscriptionEvent>,
    /// While it waits in another runtime than its connections are driven in.
    attendant: Option<Attendant>,
    _owner: PubSub,
}

impl Subscription {
    /// One that the server has confirmed.
    pub(super) async fn confirmed(
        owner: PubSub,
        shared: Arc<PubSubShared>,
        id: SubscriptionId,
    ) -> Result<Self> {
        let subscription =
            Self { shared, id: Some(id), taken: VecDeque::new(), attendant: None, _owner: owner };
        subscription.confirm().await?;
        Ok(subscription)
    }

    /// The next item; `None` at the end. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<SubscriptionEvent> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The next item, if one comes within `limit`. `None` also at the end.
    #[doc(alias = "get_message")]
    pub async fn next_within(&mut self, limit: Duration) -> Option<SubscriptionEvent> {
        before(clock::now().checked_add(limit), self.next()).await.flatten()
    }

    /// Hears of these names, too: channels or patterns, as what was subscribed to before. Ready once the
    /// server has confirmed them. If the future is dropped, those that are not confirmed are taken back.
    ///
    /// # Errors
    /// As [`PubSub::subscribe`]; the subscription is then as it was before.
    pub async fn add(&mut self, names: impl Arg) -> Result<()> {
        let Some(id) = self.id() else { return Err(inherited()) };
        self.shared.demand(|machine| machine.add(id, names))?;
        self.confirm().await
    }

    /// Does not hear of these names any more. What has come already stays.
    pub fn remove(&mut self, names: impl Arg) {
        if let Some(id) = self.id() {
            self.shared.with(|machine| machine.remove(id, names));
        }
    }

    /// Starts a task that calls `handler` for each item, until the subscription ends or the [`Handler`] is
    /// dropped.
    ///
    /// # Errors
    /// There is no tokio runtime around.
    #[doc(alias = "run_in_thread")]
    pub fn each(self, handler: impl FnMut(SubscriptionEvent) + Send + 'static) -> Result<Handler> {
        Handler::start(self, handler)
    }

    /// Waits until what was asked for last is confirmed.
    async fn confirm(&self) -> Result<()> {
        let Some(id) = self.id() else { return Err(inherited()) };
        let limit = self.shared.target.config().timeout();
        let deadline = limit.and_then(|limit| clock::now().checked_add(limit));
        let pending = Unconfirmed { shared: &self.shared, id };
        let here = Handle::try_current().ok();
        let here = here.filter(|here| self.shared.lock().is_foreign(here.id()));
        let _attendant = here.map(|here| Attendant::start(&self.shared, &here));
        let confirmed =
            poll_fn(|cx| self.shared.lock().machine.poll_confirmed(id, |waiter| register(waiter, cx)));
        let confirmed = match before(deadline, confirmed).await {
            Some(confirmed) => confirmed,
            None => Err(self.shared.with(|machine| machine.give_up(id))),
        };
        drop(pending);
        confirmed.map_err(|error| self.shared.target.locate(error))
    }

    #[inline]
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<SubscriptionEvent>> {
        if let Some(item) = self.taken.pop_front() {
            return Poll::Ready(Some(item));
        }
        let id = match &self.id {
            Some(id) if self.shared.is_current() => id,
            _ => return Poll::Ready(self.id.take().map(|_| SubscriptionEvent::Failed(inherited()))),
        };
        let mut state = self.shared.lock();
        let first = state.machine.poll_item(id, |waiter| register(waiter, cx));
        if let Poll::Ready(Some(SubscriptionEvent::Message(_))) = first {
            while self.taken.len() + 1 < TAKEN_AT_ONCE
                && let Poll::Ready(Some(item)) = state.machine.poll_item(id, |_| {})
            {
                self.taken.push_back(item);
            }
        }
        let mut woken = Vec::new();
        state.poll_woken(&mut woken);
        let here = if first.is_pending() { Handle::try_current().ok() } else { None };
        let foreign = here.filter(|here| state.is_foreign(here.id()));
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        if let Some(here) = foreign
            && !self.attendant.as_ref().is_some_and(|attendant| attendant.is_of(here.id()))
        {
            self.attendant = Some(Attendant::start(&self.shared, &here));
        }
        first
    }

    /// What it is known by, in the process that made it.
    fn id(&self) -> Option<&SubscriptionId> {
        self.id.as_ref().filter(|_| self.shared.is_current())
    }
}

/// Names that a caller waits for: one that stops waiting does not want them.
struct Unconfirmed<'s> {
    shared: &'s PubSubShared,
    id: &'s SubscriptionId,
}

impl Drop for Unconfirmed<'_> {
    fn drop(&mut self) {
        // Does nothing to what is confirmed.
        self.shared.with(|machine| machine.give_up(self.id));
    }
}

#[inline]
fn register(waiter: &mut Option<Waker>, cx: &Context<'_>) {
    match waiter {
        Some(waiter) => waiter.clone_from(cx.waker()),
        None => *waiter = Some(cx.waker().clone()),
    }
}

fn inherited() -> Error {
    Error::usage("the subscription belongs to the parent of this process; subscribe in this one")
}

impl Stream for Subscription {
    type Item = SubscriptionEvent;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<SubscriptionEvent>> {
        self.get_mut().poll(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if !self.shared.is_current() {
            // Of the runtime of the parent process.
            std::mem::forget(self.attendant.take());
        }
        if self.id().is_some()
            && let Some(id) = self.id.take()
        {
            self.shared.with(|machine| machine.unsubscribe(id));
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).finish_non_exhaustive()
    }
}
