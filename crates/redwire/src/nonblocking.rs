//! The async driver, on tokio. It only waits; what to do is decided in `redwire-core`.

mod cache;
mod client;
mod cluster;
mod connection;
pub mod connector;
mod drive;
mod events;
mod health;
mod lock;
mod monitor;
mod on_connect;
mod pool;
mod pubsub;
mod run_all;
mod scan;
mod sentinel;
mod sharing;
mod stream;
mod transaction;
mod wire;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::shared::clock::{before, unless};

pub use cache::{Cache, CacheRequest};
pub use client::{Client, Request};
pub use cluster::Cluster;
pub use connection::{Connection, Exchange};
pub use events::Events;
pub use lock::{Lock, LockGuard};
pub use monitor::Monitor;
pub use on_connect::OnConnect;
pub use pool::{Lease, Pool};
pub use pubsub::{Handler, PubSub, Subscription};
pub use run_all::RunAll;
pub use scan::Scan;
pub use sentinel::Sentinel;
pub use transaction::Transaction;

/// Has `waker` woken in place of `waiter`, which is given back to be dropped without any lock: it may own a
/// task of an executor that is not tokio, and with that a request, which locks.
fn renew(waiter: &mut Waker, waker: &Waker) -> Option<Waker> {
    (!waiter.will_wake(waker)).then(|| std::mem::replace(waiter, waker.clone()))
}

/// A future of which only the output is known.
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is under way at the same time, each future with what it is for.
struct UnderWay<K, T>(Vec<(K, BoxFuture<T>)>);

impl<K, T> UnderWay<K, T> {
    fn begin(&mut self, what: K, work: impl Future<Output = T> + Send + 'static) {
        self.0.push((what, Box::pin(work)));
    }

    /// Waits until something has ended, but no longer than `deadline`; gives all that has.
    async fn ended(&mut self, deadline: Option<Instant>) -> Vec<(K, T)> {
        let ended = poll_fn(|cx| {
            let (mut ended, mut at) = (Vec::new(), 0);
            while let Some((_, work)) = self.0.get_mut(at) {
                match work.as_mut().poll(cx) {
                    Poll::Ready(output) => ended.push((self.0.remove(at).0, output)),
                    Poll::Pending => at += 1,
                }
            }
            if ended.is_empty() { Poll::Pending } else { Poll::Ready(ended) }
        });
        before(deadline, ended).await.unwrap_or_default()
    }
}

impl<K, T> Default for UnderWay<K, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
