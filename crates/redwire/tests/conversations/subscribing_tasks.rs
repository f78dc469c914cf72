//! Subscriptions of tasks, which can do what threads cannot: be dropped at any moment, and lose their
//! runtime. And of a process that forks.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use fork::{Fork, fork, waitpid};
use futures_core::Stream;
use redwire::config::Protocol;
use redwire::credentials::{Credentials, RotatingCredentials};
use redwire::prelude::*;
use redwire::pubsub::SubscriptionEvent;
use redwire::{Client, ErrorKind, PubSub, Subscription};
use redwire_testkit::{Server, eventually};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::common::{LIMIT, client_line};

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn channels(server: &Server) -> String {
    server.command(&["PUBSUB", "CHANNELS"]).unwrap()
}

/// The next item, which must come soon and be a message.
async fn text(subscription: &mut Subscription) -> String {
    match timeout(LIMIT, subscription.next()).await.expect("nothing comes") {
        Some(SubscriptionEvent::Message(message)) => message.text().unwrap().to_owned(),
        other => panic!("expected a message; got {other:?}"),
    }
}

/// What `future` gives if it is ready after so many turns.
async fn within<T>(mut turns: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if turns == 0 => Poll::Ready(None),
        Poll::Pending => {
            turns -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

#[test]
fn a_subscription_is_a_stream_that_may_go_anywhere() {
    fn check<T: Stream<Item = SubscriptionEvent> + Send + Sync + Unpin + 'static>() {}
    check::<Subscription>();
}

/// Whenever a task stops waiting, nothing is left of it, and others are not disturbed.
#[test]
fn a_task_that_stops_waiting_leaves_nothing() {
    for protocol in [2, 3] {
        let server = Server::start();
        let url = format!("{}?protocol={protocol}", server.url());
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let pubsub = PubSub::connect(&url).await.unwrap();
            let mut keeper = pubsub.subscribe("kept").await.unwrap();
            let mut left = 0;
            for round in 0..500_u64 {
                left += u32::from(within(round, pubsub.subscribe([round, 1000])).await.is_none());
                left += u32::from(within(round, keeper.add(round)).await.is_none());
                keeper.remove(round);
            }
            assert!(left > 0, "no task was in a hurry");
            eventually("all names are left but one", LIMIT, || channels(&server).trim() == "kept");
            let client = Client::connect(&url).await.unwrap();
            assert_eq!(client.publish("kept", "still there").await.unwrap(), 1);
            assert_eq!(text(&mut keeper).await, "still there");
        });
    }
}

#[test]
fn names_that_were_being_added_are_taken_back() {
    let server = Server::start();
    one_thread().block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let mut subscription = client.subscribe("one").await.unwrap();
        {
            let mut adding = pin!(subscription.add(["one", "two"]));
            // The task behind it cannot run meanwhile.
            assert!(adding.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        // What comes later is confirmed later.
        drop(client.subscribe("three").await.unwrap());
        assert_eq!(client.publish("two", "x").await.unwrap(), 0);
        client.publish("one", "y").await.unwrap();
        assert_eq!(text(&mut subscription).await, "y");
    });
}

#[test]
fn a_runtime_that_ends_is_told_and_another_may_take_over() {
    let server = Server::start();
    let first = one_thread();
    let (pubsub, mut subscription) = first.block_on(async {
        let pubsub = PubSub::connect(&server.url()).await.unwrap();
        let subscription = pubsub.subscribe("news").await.unwrap();
        (pubsub, subscription)
    });
    drop(first);
    one_thread().block_on(async {
        let failed = subscription.next().await;
        assert!(
            matches!(failed, Some(SubscriptionEvent::Failed(error)) if error.kind() == ErrorKind::Closed)
        );
        assert!(subscription.next().await.is_none());
        let mut again = pubsub.subscribe("news").await.unwrap();
        let client = Client::connect(&server.url()).await.unwrap();
        assert_eq!(client.publish("news", "good").await.unwrap(), 1);
        assert_eq!(text(&mut again).await, "good");
    });
    // Without any runtime, it is told which is missing.
    let error = pin!(pubsub.subscribe("more")).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(error, Poll::Ready(Err(error)) if error.kind() == ErrorKind::Usage));
}

/// A subscribed connection takes a new user in RESP3, and loses nothing by it; in RESP2 it stays who it was.
#[test]
fn new_credentials_are_presented_on_the_connection_that_lives() {
    let server = Server::start();
    for name in ["ann", "bob"] {
        server.command(&["ACL", "SETUSER", name, "on", ">secret", "~*", "&*", "+@all"]).unwrap();
    }
    for (protocol, expected) in [(Protocol::Resp3, "bob"), (Protocol::Resp2, "ann")] {
        let credentials = RotatingCredentials::new(Credentials::new("ann", "secret"));
        let config = Client::builder().url(&format!("{}?client_name=listener", server.url()));
        let config = config.protocol(protocol).credential_provider(credentials.clone());
        one_thread().block_on(async {
            let pubsub = PubSub::open(config.build().unwrap()).await.unwrap();
            let mut subscription = pubsub.subscribe("news").await.unwrap();
            credentials.rotate(Credentials::new("bob", "secret"));
            credentials.rotate(Credentials::new("bob", "wrong"));
            credentials.rotate(Credentials::new("bob", "secret"));
            let (begin, mut names) = (Instant::now(), 0);
            let is_known = || client_line(&server, "listener").unwrap().contains(&format!("user={expected}"));
            while names < 20 || !is_known() {
                subscription.add(names).await.unwrap();
                names += 1;
                assert!(begin.elapsed() < LIMIT, "it is another user");
            }
            assert!(is_known());
            server.command(&["PUBLISH", "news", "still there"]).unwrap();
            assert_eq!(text(&mut subscription).await, "still there");
        });
        eventually("it has gone", LIMIT, || client_line(&server, "listener").is_none());
    }
}

/// A task that never lets go of what comes would keep others of its thread from running.
#[test]
fn a_flood_keeps_no_task_from_running() {
    let server = Server::start();
    one_thread().block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let subscription = client.subscribe("flood").await.unwrap();
        let mut subscription = pin!(subscription);
        let publisher = client.clone();
        let flood = tokio::spawn(async move {
            for _ in 0..200 {
                publisher
                    .pipeline(|p| (0..100).map(|n| p.publish("flood", n)).collect::<Vec<_>>())
                    .await
                    .unwrap();
            }
        });
        let (mut heard, begin) = (0, Instant::now());
        while heard < 20_000 {
            let item = timeout(LIMIT, poll_fn(|cx| subscription.as_mut().poll_next(cx))).await;
            assert!(matches!(item, Ok(Some(SubscriptionEvent::Message(_)))), "{item:?}");
            heard += 1;
            assert!(begin.elapsed() < 6 * LIMIT);
        }
        flood.await.unwrap();
    });
}

/// The child leaves the parent's connection alone, is told that the subscription is not its own, and may have
/// another.
#[test]
fn a_child_has_a_connection_of_its_own() {
    let server = Server::start();
    let runtime = one_thread();
    let (client, mut subscription) = runtime.block_on(async {
        let client = Client::connect(&server.url()).await.unwrap();
        let subscription = client.subscribe("news").await.unwrap();
        (client, subscription)
    });
    match fork().unwrap() {
        Fork::Child => {
            let works = one_thread().block_on(async {
                let inherited = subscription.next().await;
                let failed = |error: &redwire::Error| error.kind() == ErrorKind::Usage;
                let told = matches!(&inherited, Some(SubscriptionEvent::Failed(error)) if failed(error));
                drop(subscription);
                let mut own = client.subscribe("child").await.unwrap();
                let heard = client.publish("child", "mine").await.unwrap();
                told && heard == 1 && text(&mut own).await == "mine"
            });
            std::process::exit(i32::from(!works));
        }
        Fork::Parent(child) => assert_eq!(waitpid(child).unwrap(), 0),
    }
    runtime.block_on(async {
        assert_eq!(client.publish("news", "of the parent").await.unwrap(), 1);
        assert_eq!(text(&mut subscription).await, "of the parent");
    });
}
