//! One who calls, on either driver: what `soak` and `bench` are written in.
//!
//! The work of a caller is `async` for both. With the blocking driver nothing in it waits for a future: it has a thread to itself, and
//! its calls block that.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::config::Config;
use redwire::{Cmd, Error, EventKind, Outcome, Pipeline, Reply, Result, Run, Slots, cmd};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::connect::Client;
use crate::output::Failure;

#[derive(Clone, Debug)]
pub(crate) struct Caller(Client);

/// The result of work that was spawned.
pub(crate) type Spawned<T> = oneshot::Receiver<T>;

impl Caller {
    /// A caller that connects when it calls first.
    pub(crate) async fn lazy(config: Config, blocking: bool) -> Result<Self> {
        Client::lazy(config, blocking).await.map(Self)
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

    /// Runs `commands` in a MULTI on a connection of its own, all of it within `limit`. `None` where the server ran nothing of it.
    pub(crate) async fn transaction<R: Reply>(
        &self,
        commands: Vec<Cmd<()>>,
        limit: Duration,
    ) -> Result<Option<R>> {
        let end = Instant::now() + limit;
        let queued = [cmd("MULTI")].into_iter().chain(commands);
        // What fails before EXEC was not executed, whatever became of the words.
        let unsent = |error: Error| error.with_outcome(Outcome::NotSent);
        match &self.0 {
            Client::Tokio(client) => {
                let mut lease = client.pool().get_within(left(end).map_err(unsent)?).await?;
                for cmd in queued {
                    (&mut *lease).run(cmd.timeout(left(end).map_err(unsent)?)).await.map_err(unsent)?;
                }
                (&mut *lease).run(cmd("EXEC").timeout(left(end).map_err(unsent)?)).await
            }
            Client::Blocking(client) => {
                let mut lease = client.pool().get_within(left(end).map_err(unsent)?)?;
                for cmd in queued {
                    (&mut *lease).run(cmd.timeout(left(end).map_err(unsent)?)).map_err(unsent)?;
                }
                (&mut *lease).run(cmd("EXEC").timeout(left(end).map_err(unsent)?))
            }
        }
    }

    /// Runs `work`, as a task or on a thread, as the driver wants it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Spawned<T> {
        let (done, spawned) = oneshot::channel();
        // Whoever no longer waits for the result does not miss it.
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

/// The time until `end`; never zero, which would stand for no limit.
fn left(end: Instant) -> Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Error::timeout(Outcome::NotSent)) } else { Ok(left) }
}
