//! The blocking driver's threads, in many orders: each call ends, each reply goes to its caller, each place
//! comes back.
//!
//! Where no timeout is set, a thread that is not woken is a deadlock, which the explorer tells. Where one is,
//! a calm execution lets time pass only when all threads wait, so that none may fail by its timeout.
#![cfg(redwire_shuttle)]

mod pools;
mod sharing;
mod subscriptions;

use std::time::Duration;

use redwire::blocking::{Client, Pool};
use redwire::config::{Config, ConfigBuilder};
use redwire::explored::{Builder, JoinHandle, now, sleep};
use redwire::pool::PoolStats;
use redwire::{Result, cmd};
use redwire_interleavings::Peer;

/// Without a timeout, and with no questions whether the server lives: a wait without an end is one.
fn config(peer: &Peer) -> ConfigBuilder {
    let config = Config::builder().host("peer").blocking_connector(peer.connector());
    config.timeout(Duration::ZERO).health_check_interval(Duration::ZERO)
}

fn client(config: ConfigBuilder) -> Client {
    Client::lazy(config.build().expect("the options fit")).expect("no connection is needed")
}

fn pool(config: ConfigBuilder) -> Pool {
    Pool::lazy(config.build().expect("the options fit")).expect("no connection is needed")
}

fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().spawn(work).expect("there are threads")
}

/// A thread for each of `items`, which has its item and a clone of `shared`.
fn spawn_each<S, I, T>(
    shared: &S,
    items: impl IntoIterator<Item = I>,
    work: impl Fn(S, I) -> T + Copy + Send + 'static,
) -> Vec<JoinHandle<T>>
where
    S: Clone + Send + 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    let start = |item| {
        let shared = shared.clone();
        spawn(move || work(shared, item))
    };
    items.into_iter().map(start).collect()
}

fn join<T>(threads: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<T> {
    threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
}

/// Says a word and hears it.
fn echo(client: &Client, word: &str) -> Result<()> {
    let heard: String = client.execute(cmd("ECHO").arg(word))?;
    assert_eq!(heard, word, "the reply is another's");
    Ok(())
}

/// All places come back, and no caller waits. An attempt to connect may outlast the caller that it was made
/// for.
fn check_idle(stats: impl Fn() -> PoolStats) {
    let end = now() + Duration::from_secs(10);
    while stats().connecting > 0 && now() < end {
        sleep(Duration::from_millis(1));
    }
    let stats = stats();
    assert_eq!((stats.in_use, stats.connecting, stats.waiting), (0, 0, 0), "{stats:?}");
}
