//! Subscribers that are slower than what they subscribed to: what waits is limited, by each policy, and what
//! was dropped is told in its place, here or by the server (I4, I5). FAULTS 12.

use std::time::Duration;

use redwire::pubsub::{Overflow, SubscribeOptions, SubscriptionEvent};
use redwire::{blocking, cmd};
use redwire_testkit::{Server, eventually};

use crate::common::pubsub::{PubSub, Subscription};
use crate::common::{LIMIT, Setup};
use crate::pubsub_faults::Account;

both!(
    a_server_that_drops_a_slow_subscriber_is_told_of,
    the_oldest_are_dropped_and_counted,
    the_newest_are_dropped_and_counted,
    a_queue_that_waits_for_its_consumer_loses_nothing,
    bytes_are_limited_too,
);

fn a_server_that_drops_a_slow_subscriber_is_told_of(setup: Setup) {
    let server = Server::builder().arg("client-output-buffer-limit", "pubsub 256kb 256kb 0").start();
    let pubsub = setup.pubsub(&server.url(), "client_name=slow");
    let mut subscription = pubsub.subscribe_with(&["count"], SubscribeOptions::default().buffer_messages(8));
    let client = blocking::Client::connect(&server.unix_url()).unwrap();
    let padding = "0".repeat(64 * 1024);
    let publish = |number: u64| -> i64 {
        client.execute(cmd("PUBLISH").arg("count").arg(format!("{padding}{number}"))).unwrap()
    };
    // The consumer sleeps, and what the kernel holds for it is soon full.
    let mut sent = 0;
    while publish(sent) == 1 {
        sent += 1;
        assert!(sent < 5000, "the server does not drop it");
    }
    let mut account = Account::default();
    while !account.gap {
        account.take(&subscription.next().unwrap());
    }
    assert!(account.heard > 0 && account.heard <= sent, "{account:?}");
    eventually("it is subscribed again", LIMIT, || {
        let heard = publish(sent + 1) == 1;
        sent += 1;
        while let Some(item) = subscription.next_within(Duration::from_millis(1)) {
            account.take(&item);
        }
        heard && account.last == Some(sent)
    });
    assert!(account.missing > 0 && account.gaps == 1, "{account:?}");
}

/// A subscription whose policy is tried, and another on the same connection, which is read to the end of all
/// that is published.
fn flood(setup: Setup, options: SubscribeOptions, count: u64) -> (Server, PubSub, Subscription) {
    let server = Server::start();
    let pubsub = setup.pubsub(&server.url(), "");
    let subscription = pubsub.subscribe_with(&["count"], options);
    let mut marks = pubsub.subscribe(&["mark"]);
    let client = blocking::Client::connect(&server.unix_url()).unwrap();
    for number in 0..count {
        client.execute(cmd::<i64>("PUBLISH").arg("count").arg(number)).unwrap();
    }
    client.execute(cmd::<i64>("PUBLISH").arg("mark").arg("all")).unwrap();
    assert_eq!(marks.text(), "all");
    (server, pubsub, subscription)
}

fn the_oldest_are_dropped_and_counted(setup: Setup) {
    let options = SubscribeOptions::default().buffer_messages(10).overflow(Overflow::DropOldest);
    let (_server, _pubsub, mut subscription) = flood(setup, options, 1000);
    match subscription.next() {
        Some(SubscriptionEvent::Lagged(dropped)) => assert_eq!(dropped, 990),
        other => panic!("expected to be told of the dropped; got {other:?}"),
    }
    for number in 990..1000 {
        assert_eq!(subscription.text(), number.to_string());
    }
    assert!(subscription.next_within(Duration::from_millis(20)).is_none());
}

fn the_newest_are_dropped_and_counted(setup: Setup) {
    let options = SubscribeOptions::default().buffer_messages(10).overflow(Overflow::DropNewest);
    let (server, _pubsub, mut subscription) = flood(setup, options, 1000);
    for number in 0..10 {
        assert_eq!(subscription.text(), number.to_string());
    }
    match subscription.next() {
        Some(SubscriptionEvent::Lagged(dropped)) => assert_eq!(dropped, 990),
        other => panic!("expected to be told of the dropped; got {other:?}"),
    }
    server.command(&["PUBLISH", "count", "1000"]).unwrap();
    assert_eq!(subscription.text(), "1000");
}

fn a_queue_that_waits_for_its_consumer_loses_nothing(setup: Setup) {
    let server = Server::start();
    let pubsub = setup.pubsub(&server.url(), "health_check_interval=100ms&client_name=waits");
    let mut slow = pubsub.subscribe_with(&["count"], SubscribeOptions::default().buffer_messages(10));
    let mut marks = pubsub.subscribe(&["mark"]);
    let client = blocking::Client::connect(&server.unix_url()).unwrap();
    // More than one read brings.
    for number in 0..4000 {
        client.execute(cmd::<i64>("PUBLISH").arg("count").arg(number)).unwrap();
    }
    client.execute(cmd::<i64>("PUBLISH").arg("mark").arg("all")).unwrap();
    // Nothing is read while one is full; nor is the silence that this causes taken for the server's death.
    assert!(marks.next_within(Duration::from_millis(500)).is_none());
    let mut account = Account::default();
    for _ in 0..4000 {
        account.take(&slow.next().unwrap());
    }
    assert_eq!((account.heard, account.missing, account.gaps), (4000, 0, 0));
    assert_eq!(marks.text(), "all");
}

fn bytes_are_limited_too(setup: Setup) {
    let options = SubscribeOptions::default().buffer_bytes(100).overflow(Overflow::DropOldest);
    let (_server, _pubsub, mut subscription) = flood(setup, options, 1000);
    let Some(SubscriptionEvent::Lagged(dropped)) = subscription.next() else { panic!("nothing was dropped") };
    assert!((900..1000).contains(&dropped), "{dropped}");
    for number in dropped..1000 {
        assert_eq!(subscription.text(), number.to_string());
    }
}
