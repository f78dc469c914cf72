//! Futures of locks that are dropped, or outlive their guard: only the async client has those.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use redwire_testkit::{Server, eventually};

use super::{LONG, MS, blocked, say};
use crate::common::{Client, Driver, GRACE, LIMIT, Setup, runtime, stood_still_since};

fn tokio(server: &Server, options: &str) -> redwire::Client {
    let setup = Setup { driver: Driver::Tokio, protocol: 3 };
    match setup.client(&server.url(), options) {
        Client::Tokio(client) => client,
        Client::Blocking(_) => panic!("the async client was asked for"),
    }
}

/// An attempt that is dropped while it waits leaves neither a lock nor a waiter.
#[test]
fn an_attempt_that_is_dropped_leaves_nothing() {
    let server = Server::start();
    let client = tokio(&server, "");
    let lock = client.lock("l").ttl(LONG).retry_interval(LONG);
    for _ in 0..10 {
        let guard = runtime().block_on(lock.acquire()).unwrap();
        let waiting = runtime().spawn({
            let lock = lock.clone();
            async move { lock.acquire().await }
        });
        eventually("it waits", LIMIT, || blocked(&server) == 1);
        waiting.abort();
        let dropped = Instant::now();
        eventually("no waiter is left", LIMIT, || blocked(&server) == 0);
        let (took, slack) = (dropped.elapsed(), GRACE + stood_still_since(dropped));
        assert!(took < 100 * MS + slack, "{took:?}");
        assert!(runtime().block_on(guard.owned()).unwrap(), "whose it is keeps it");
        runtime().block_on(guard.release()).unwrap();
    }
    assert_eq!(say(&server, "EXISTS l"), "0");
}

/// Attempts that are dropped at any moment, the one in which they are answered included: the lock is free
/// soon after.
#[test]
fn attempts_that_are_dropped_at_random_give_back_what_they_got() {
    let server = Server::start();
    let client = tokio(&server, "");
    let mut rng = fastrand::Rng::with_seed(45);
    let mut had = 0;
    for _ in 0..300 {
        // After so many steps, which is not a matter of how fast the machine is.
        let mut steps = rng.u32(..6);
        let lock = client.lock("l").ttl(LONG);
        let got = runtime().block_on(async {
            let mut acquiring = pin!(lock.acquire());
            poll_fn(|cx| match steps.checked_sub(1) {
                None => Poll::Ready(None),
                Some(left) => {
                    steps = left;
                    acquiring.as_mut().poll(cx).map(Some)
                }
            })
            .await
        });
        if let Some(guard) = got {
            had += 1;
            runtime().block_on(guard.unwrap().release()).unwrap();
        }
        eventually("it is free", LIMIT, || say(&server, "EXISTS l") == "0");
    }
    assert!((1..300).contains(&had), "some were dropped, and some were not: {had}");
    let stats = client.pool().stats();
    assert_eq!((stats.in_use, stats.waiting), (0, 0), "{stats:?}");
}

/// The future of the loss belongs to the task that has it, and ends with the guard.
#[test]
fn a_loss_can_be_awaited_elsewhere() {
    let server = Server::start();
    let client = tokio(&server, "");
    runtime().block_on(async {
        let guard = client.lock("l").ttl(200 * MS).acquire().await.unwrap();
        let watching = tokio::spawn(guard.lost());
        watching.await.unwrap();
        assert!(guard.is_lost());
        drop(guard);
        let guard = client.lock("l").acquire().await.unwrap();
        let watching = tokio::spawn(guard.lost());
        guard.release().await.unwrap();
        tokio::time::timeout(LIMIT, watching).await.expect("there is nothing more to lose").unwrap();
    });
}

/// The last holder's release, or what an attempt leaves that was given up, is under way when the same token
/// acquires the lock.
#[test]
fn what_is_dropped_frees_nothing_that_its_token_holds_anew() {
    let server = Server::start();
    let several = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for runtime in [one, several] {
        runtime.block_on(async {
            let client = redwire::Client::connect(&server.url()).await.unwrap();
            let lock = client.lock("l").token("mine").ttl(LONG);
            let mut fence = 0;
            for round in 0..200 {
                let next = if round % 2 == 0 {
                    lock.clone()
                } else {
                    client.clone().lock("l").token("mine").ttl(LONG)
                };
                match round % 5 {
                    0 | 1 => drop(lock.acquire().await.unwrap()),
                    2 => given_up(lock.acquire().await.unwrap().release()).await,
                    3 => given_up(lock.acquire()).await,
                    _ => {
                        let token = lock.acquire().await.unwrap().detach();
                        drop(lock.reattach(&token).await.unwrap());
                    }
                }
                let guard = next.acquire().await.unwrap();
                assert!(guard.fence() > fence, "round {round}");
                fence = guard.fence();
                // Time for whatever is late.
                tokio::time::sleep(2 * MS).await;
                let other = client.lock("l").try_acquire().await.unwrap();
                assert!(other.is_none() && guard.owned().await.unwrap(), "round {round}: it is not held");
                guard.release().await.unwrap();
                assert!(!lock.locked().await.unwrap(), "round {round}: it is not released");
            }
        });
    }
}

/// Begins, and goes no further.
async fn given_up(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await;
}
