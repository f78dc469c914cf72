//! One pool in several runtimes, one after the other or at the same time: leases work in each, connections of
//! one are not lent in another, and no task that a runtime drops leaves anything undone (I3, I6). FAULTS 96,
//! 97, 98.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use redwire::config::Config;
use redwire::{Pool, Run, cmd};
use redwire_testkit::{Server, eventually};
use tokio::runtime::{Builder, Runtime};

use crate::common::LIMIT;

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn pool(server: &Server, protocol: u8, options: &str) -> Pool {
    let url = format!("{}?protocol={protocol}&timeout=5s{options}", server.url());
    Pool::lazy(Config::from_url(&url).unwrap()).unwrap()
}

async fn ping(pool: &Pool) {
    let mut lease = pool.get().await.unwrap();
    assert_eq!(lease.run(cmd::<String>("PING")).await.unwrap(), "PONG");
}

/// Polls once, and drops it.
async fn begin(work: impl Future) {
    let mut work = pin!(work);
    poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx).is_ready())).await;
}

#[test]
fn twenty_runtimes_one_after_the_other_have_leases_and_warm_connections() {
    let server = Server::start();
    for (protocol, runtimes) in [(3, 20), (2, 5)] {
        let (plain, warm) = (pool(&server, protocol, ""), pool(&server, protocol, "&min_idle_connections=2"));
        for number in 0..runtimes {
            current_thread().block_on(async {
                // The first lease of each.
                ping(&plain).await;
                ping(&warm).await;
                while warm.stats().idle < 2 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            assert!(warm.stats().size <= 4, "in runtime {number}: {:?}", warm.stats());
        }
        assert!(plain.stats().created <= runtimes);
    }
}

#[test]
fn connections_of_one_runtime_are_not_lent_in_another() {
    let server = Server::start();
    for protocol in [3, 2] {
        let pool = pool(&server, protocol, "&max_connections=2");
        let (first, second, third) = (current_thread(), current_thread(), current_thread());
        first.block_on(ping(&pool));
        // While the first stands still.
        second.block_on(ping(&pool));
        assert_eq!(pool.stats().created, 2);
        first.block_on(ping(&pool));
        second.block_on(ping(&pool));
        assert_eq!((pool.stats().created, pool.stats().idle), (2, 2), "each has its own");
        // Where there is no place, one of the others' goes.
        third.block_on(ping(&pool));
        assert_eq!((pool.stats().created, pool.stats().size), (3, 2));
        // One that is given back elsewhere still belongs to its runtime.
        let lease = third.block_on(pool.get()).unwrap();
        second.block_on(async { drop(lease) });
        third.block_on(ping(&pool));
        assert_eq!(pool.stats().created, 3);
    }
}

#[test]
fn what_a_runtime_drops_unpolled_is_done_in_the_next() {
    let server = Server::start();
    for protocol in [3, 2] {
        let pool = pool(&server, protocol, "&min_idle_connections=2&max_connections=3");
        for _ in 0..5 {
            // The task that connects, and the one that keeps the pool warm, are spawned and never polled.
            current_thread().block_on(begin(pool.get()));
            assert_eq!((pool.stats().connecting, pool.stats().waiting), (0, 0));
        }
        let runtime = current_thread();
        runtime.block_on(async {
            ping(&pool).await;
            while pool.stats().idle < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}

#[test]
fn a_runtime_that_has_ended_is_told_of() {
    let server = Server::start();
    let pool = pool(&server, 3, "");
    let ended = current_thread();
    let handle = ended.handle().clone();
    drop(ended);
    let entered = handle.enter();
    let error = block_on(pool.get()).unwrap_err();
    drop(entered);
    assert!(error.to_string().contains("shut down"), "{error}");
    eventually("nothing is left", LIMIT, || pool.stats().size == 0 && pool.stats().waiting == 0);
    current_thread().block_on(ping(&pool));
}

/// Without a runtime of its own.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let Poll::Ready(output) = work.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
