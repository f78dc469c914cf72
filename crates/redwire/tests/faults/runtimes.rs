//! A client outlives the runtimes in which it is used: those that end, even before a task of theirs has
//! begun, those that stand still, and one after the other (I3, I6). FAULTS 96–98.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use redwire::cache::CacheOptions;
use redwire::pubsub::SubscriptionEvent;
use redwire::{Result, Value, cmd};
use redwire_testkit::Server;
use tokio::runtime::Runtime;

use crate::common::rude::{RudePeer, Then};

const OPTIONS: &str = "timeout=3s&retries=0&reconnect_backoff=constant:1ms";
/// Below the timeout.
const SOON: Duration = Duration::from_secs(2);

fn new_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn client(url: &str) -> redwire::Client {
    redwire::Client::connect_lazy(&format!("{url}?{OPTIONS}")).unwrap()
}

async fn get(client: &redwire::Client) -> Result<Value> {
    client.execute(cmd::<Value>("GET").arg("k")).await
}

/// Has `first` polled so often in a runtime that ends then, so that its tasks have not begun, or not come
/// far; and in one that has ended.
fn give_up<T>(polls: usize, first: impl AsyncFn() -> T) {
    new_runtime().block_on(async {
        let mut first = pin!(first());
        for _ in 0..polls {
            let begun = std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await;
            if begun && polls > 1 {
                tokio::task::yield_now().await;
            }
        }
    });
    let ended = new_runtime();
    let handle = ended.handle().clone();
    drop(ended);
    let _inside = handle.enter();
    // Whatever comes of it, at once or later.
    let _ = pin!(first()).poll(&mut Context::from_waker(Waker::noop()));
}

/// Runs in another runtime, soon and well.
#[track_caller]
fn check<T>(then: impl Future<Output = Result<T>>) -> T {
    let begin = Instant::now();
    let result = new_runtime().block_on(then);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    result.unwrap_or_else(|error| panic!("after {:?}: {error}", begin.elapsed()))
}

#[test]
fn a_shared_connection_whose_driver_never_began_is_driven_anew() {
    let server = Server::start();
    for polls in 1..4 {
        let client = client(&server.url());
        give_up(polls, async || get(&client).await);
        check(get(&client));
    }
}

#[test]
fn so_are_subscriptions() {
    let server = Server::start();
    for polls in 1..4 {
        let client = client(&server.url());
        give_up(polls, async || client.subscribe("c").await);
        drop(check(client.subscribe("c")));
    }
}

#[test]
fn so_is_a_cache() {
    let server = Server::start();
    for polls in 1..4 {
        let client = client(&server.url());
        give_up(polls, async || client.cached(CacheOptions::default()).await);
        let cache = check(client.cached(CacheOptions::default()));
        check(cache.execute(cmd::<Value>("GET").arg("k")));
    }
}

#[test]
fn the_map_of_a_cluster_is_asked_for_anew() {
    let peer = RudePeer::start(Then::Serve);
    for polls in [1, 3] {
        let client = client(&peer.cluster_url());
        give_up(polls, async || get(&client).await);
        check(get(&client));
    }
}

#[test]
fn shard_channels_are_placed_anew() {
    let peer = RudePeer::start(Then::Serve);
    for polls in [1, 4] {
        let client = client(&peer.cluster_url());
        give_up(polls, async || client.ssubscribe("c").await);
        drop(check(client.ssubscribe("c")));
    }
}

#[test]
fn runtimes_come_one_after_the_other() {
    let (server, peer) = (Server::start(), RudePeer::start(Then::Serve));
    let (client, cluster) = (client(&server.url()), client(&peer.cluster_url()));
    let cache = check(client.cached(CacheOptions::default()));
    for _ in 0..20 {
        check(async {
            get(&client).await?;
            get(&cluster).await?;
            let mut subscription = client.subscribe("c").await?;
            drop(cluster.ssubscribe("c").await?);
            cache.execute(cmd::<Value>("GET").arg("k")).await?;
            client.execute(cmd::<Value>("PUBLISH").arg("c").arg("m")).await?;
            let item = subscription.next_within(SOON).await;
            assert!(matches!(item, Some(SubscriptionEvent::Message(_))), "{item:?}");
            Ok(())
        });
    }
}

/// Two runtimes that live, of which only one runs at a time, on one thread: each call is served soon,
/// whichever runs.
#[test]
fn two_runtimes_take_turns() {
    let server = Server::start();
    let client = client(&server.url());
    let runtimes = [new_runtime(), new_runtime()];
    for round in 1..=6 {
        for runtime in &runtimes {
            let begin = Instant::now();
            let incr = || client.execute(cmd::<u64>("INCR").arg("n"));
            let (a, b) = runtime.block_on(async { tokio::join!(incr(), incr()) });
            assert_eq!(a.unwrap().max(b.unwrap()), count(&server), "round {round}");
            assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        }
    }
}

/// As above, for subscriptions: the connection is driven by the runtime that runs, what was missed in between
/// is told as a gap, and messages come in order.
#[test]
fn subscriptions_are_heard_in_the_runtime_that_runs() {
    let server = Server::start();
    let client = client(&server.url());
    let runtimes = [new_runtime(), new_runtime()];
    let mut subscription = runtimes[0].block_on(client.subscribe("c")).unwrap();
    for round in 1..=2 {
        for (index, runtime) in runtimes.iter().enumerate() {
            let begin = Instant::now();
            let (first, published) = (round == 1 && index == 0, format!("{round}.{index}"));
            let is_heard = async |subscription: &mut redwire::Subscription| {
                let item = subscription.next_within(SOON).await;
                let Some(SubscriptionEvent::Message(message)) = &item else { return false };
                message.text().unwrap() == published
            };
            runtime.block_on(async {
                if !first {
                    let item = subscription.next_within(SOON).await;
                    assert!(matches!(item, Some(SubscriptionEvent::Reconnected)), "{item:?} in {published}");
                    let gap = subscription.next_within(SOON).await;
                    assert!(matches!(gap, Some(SubscriptionEvent::Gap { .. })), "{gap:?} in {published}");
                }
                let other = client.subscribe("d").await.unwrap();
                server.command(&["PUBLISH", "c", &published]).unwrap();
                assert!(is_heard(&mut subscription).await, "{published}");
                drop(other);
            });
            assert!(begin.elapsed() < 2 * SOON, "{:?}", begin.elapsed());
        }
    }
}

/// A runtime that stands still is not waited for by who subscribes in another; nor is one that runs replaced.
#[test]
fn only_a_runtime_that_stands_still_loses_its_subscriptions() {
    let server = Server::start();
    let client = client(&server.url());
    let multi = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut subscription = multi.block_on(client.subscribe("c")).unwrap();
    let (waiting, blocked) = (new_runtime(), std::sync::Arc::new(std::sync::Barrier::new(2)));
    waiting.block_on(async {
        let item = subscription.next_within(Duration::from_millis(500)).await;
        assert!(item.is_none(), "{item:?}");
        server.command(&["PUBLISH", "c", "m"]).unwrap();
        let item = subscription.next_within(SOON).await;
        assert!(matches!(item, Some(SubscriptionEvent::Message(_))), "{item:?}");
    });
    let until = std::sync::Arc::clone(&blocked);
    multi.spawn(async move { until.wait() });
    drop(check(client.subscribe("d")));
    blocked.wait();
}

/// The map of a cluster is asked for, and shard channels are placed, in the runtime that runs.
#[test]
fn a_cluster_is_followed_in_the_runtime_that_runs() {
    let peer = RudePeer::start(Then::Serve);
    let (client, idle) = (client(&peer.cluster_url()), new_runtime());
    idle.block_on(async {
        let mut first = pin!(async { tokio::join!(get(&client), client.ssubscribe("c")) });
        for _ in 0..3 {
            std::future::poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await;
            tokio::task::yield_now().await;
        }
    });
    // From here on `idle` stands still.
    check(get(&client));
    drop(check(client.ssubscribe("c")));
    check(async { client.cluster().unwrap().refresh().await });
}

fn count(server: &Server) -> u64 {
    server.command(&["GET", "n"]).unwrap().parse().unwrap()
}

/// A call whose connection is driven by a runtime that is blocked keeps its deadline, and the next ones are
/// served.
#[test]
fn a_runtime_that_is_blocked_holds_up_no_other() {
    let peer = RudePeer::start(Then::Flood("", "+a\r\n"));
    let server = Server::start();
    for (url, limit) in [(peer.url(), Duration::from_millis(200)), (server.url(), SOON)] {
        let (client, blocked) = (client(&url), new_runtime());
        let _ = blocked.block_on(client.execute(cmd::<Value>("PING").timeout(Duration::from_millis(100))));
        // From here on `blocked` stands still, with a call under way.
        blocked.block_on(async {
            let mut call = pin!(get(&client));
            std::future::poll_fn(|cx| {
                let _ = call.as_mut().poll(cx);
                Poll::Ready(())
            })
            .await;
            let other = client.clone();
            std::thread::spawn(move || {
                let begin = Instant::now();
                let get = other.execute(cmd::<Value>("GET").arg("k").timeout(limit));
                let _ = new_runtime().block_on(get);
                assert!(begin.elapsed() < limit + SOON / 2, "{:?}", begin.elapsed());
            })
            .join()
            .unwrap();
        });
    }
}
