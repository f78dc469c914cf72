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
use std::pin::pin;
use std::task::{Poll, Waker};

use crate::shared::clock::before;

pub use cache::{Cache, CacheRequest};
pub use client::{Client, Request};
pub use cluster::Cluster;
pub use connection::{Connection, Exchange, OnConnect};
pub use events::Events;
pub use lock::{Lock, LockGuard};
pub use monitor::Monitor;
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

/// What `work` gives, or `None` if `end` is ready first.
async fn unless<T>(end: impl Future<Output = ()>, work: impl Future<Output = T>) -> Option<T> {
    let (mut end, mut work) = (pin!(end), pin!(work));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}
