//! A client of either driver, and tasks or threads that call it: what `soak` and `bench` are written in.
//!
//! The work of a caller is `async` for both. With the blocking driver nothing in it waits for a future: it
//! has a thread to itself, and its calls block that.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use redwire::config::Config;
use redwire::pubsub::SubscriptionEvent;
use redwire::{Cmd, EventKind, Pipeline, Reply, Result, Slots, Subscription, blocking};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::clusters;
use crate::connect::Client;
use crate::output::Failure;

#[derive(Clone, Debug)]
pub(crate) struct Caller(Client);

/// A subscription of either driver.
#[derive(Debug)]
pub(crate) enum AnySubscription {
    Tokio(Subscription),
    Blocking(blocking::Subscription),
}

impl AnySubscription {
    /// The next item, if one comes within `limit`.
    pub(crate) async fn next_within(&mut self, limit: Duration) -> Option<SubscriptionEvent> {
        match self {
            Self::Tokio(subscription) => subscription.next_within(limit).await,
            Self::Blocking(subscription) => subscription.next_within(limit),
        }
    }
}

/// The result of work that was spawned.
pub(crate) type Spawned<T> = oneshot::Receiver<T>;

impl Caller {
    /// A caller that connects when it calls first.
    pub(crate) async fn lazy(config: Config, blocking: bool) -> Result<Self> {
        Client::lazy(config, blocking).await.map(Self)
    }

    /// Whether its calls go to the nodes of a cluster.
    pub(crate) fn is_of_cluster(&self) -> bool {
        clusters::seeds(self.0.config()).is_some()
    }

    pub(crate) async fn execute<R: Reply>(&self, cmd: Cmd<R>) -> Result<R> {
        match &self.0 {
            Client::Tokio(client) => client.execute(cmd).await,
            Client::Blocking(client) => client.execute(cmd),
        }
    }

    pub(crate) async fn pipeline<S: Slots>(&self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        match &self.0 {
            Client::Tokio(client) => client.pipeline(build).await,
            Client::Blocking(client) => client.pipeline(build),
        }
    }

    /// As a pipeline, but all of it or none.
    pub(crate) async fn atomic<S: Slots>(&self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        match &self.0 {
            Client::Tokio(client) => client.atomic(build).await,
            Client::Blocking(client) => client.atomic(build),
        }
    }

    /// Hears what is published on `channel`.
    pub(crate) async fn subscribe(&self, channel: &str) -> Result<AnySubscription> {
        match &self.0 {
            Client::Tokio(client) => client.subscribe(channel).await.map(AnySubscription::Tokio),
            Client::Blocking(client) => client.subscribe(channel).map(AnySubscription::Blocking),
        }
    }

    /// Runs `work`, as a task or on a thread, as the driver wants it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Spawned<T> {
        let (done, spawned) = oneshot::channel();
        // The receiver is gone if the result is not waited for any longer.
        let work = async move { drop(done.send(work.await)) };
        let handle = Handle::current();
        match &self.0 {
            Client::Tokio(_) => drop(handle.spawn(work)),
            Client::Blocking(_) => drop(thread::spawn(move || handle.block_on(work))),
        }
        spawned
    }

    /// Counts the connections that are made from now on.
    pub(crate) fn count_connects(&self) -> Arc<AtomicU64> {
        let connects = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&connects);
        let count = move |kind: &EventKind| {
            if matches!(kind, EventKind::Ready(_)) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        match &self.0 {
            Client::Tokio(client) => {
                let mut events = client.events();
                drop(tokio::spawn(async move {
                    while let Some(event) = events.next().await {
                        count(&event.kind);
                    }
                }));
            }
            Client::Blocking(client) => {
                let events = client.events();
                drop(thread::spawn(move || events.for_each(|event| count(&event.kind))));
            }
        }
        connects
    }
}

/// What spawned work gives, once it is done.
pub(crate) async fn joined<T>(spawned: Spawned<T>) -> Result<T, Failure> {
    spawned.await.map_err(|_| Failure::new("a task", "it stopped by a bug in this program; please report it"))
}
