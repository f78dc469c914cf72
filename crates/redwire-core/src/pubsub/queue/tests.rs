//! The limits of what waits for a subscriber.

use std::time::Duration;

use super::super::event::{ChannelKind, Message};
use super::*;

fn message(number: u64) -> SubscriptionEvent {
    let payload = number.to_string().into();
    SubscriptionEvent::Message(Message {
        kind: ChannelKind::Channel,
        channel: "c".into(),
        pattern: None,
        payload,
    })
}

fn queue(overflow: Overflow, messages: usize, bytes: usize) -> SubscriberQueue {
    let options = SubscribeOptions::new().buffer_messages(messages).buffer_bytes(bytes);
    SubscriberQueue::new(options.overflow(overflow))
}

/// All that waits, in short.
fn drain(queue: &mut SubscriberQueue) -> String {
    let items = std::iter::from_fn(|| queue.pop()).map(|event| match event {
        SubscriptionEvent::Message(message) => message.text().unwrap().to_owned(),
        SubscriptionEvent::Lagged(count) => format!("-{count}"),
        SubscriptionEvent::Reconnected => "r".to_owned(),
        SubscriptionEvent::Gap { .. } => "g".to_owned(),
        other => format!("{other:?}"),
    });
    items.collect::<Vec<_>>().join(" ")
}

#[test]
fn each_policy_drops_what_it_says_and_tells_where() {
    for (overflow, expected) in [
        (Overflow::Wait, "0 1 2 3 4 5"),
        (Overflow::DropOldest, "-3 3 4 5"),
        (Overflow::DropNewest, "0 1 2 -3"),
    ] {
        let mut queue = queue(overflow, 3, 1000);
        (0..6).for_each(|number| queue.push(message(number), 1));
        assert_eq!(drain(&mut queue), expected, "{overflow:?}");
        assert!(queue.is_empty() && queue.bytes == 0);
    }
}

#[test]
fn what_is_dropped_later_is_told_later() {
    let mut queue = queue(Overflow::DropNewest, 2, 1000);
    (0..4).for_each(|number| queue.push(message(number), 1));
    assert!(matches!(queue.pop(), Some(SubscriptionEvent::Message(_))));
    (4..6).for_each(|number| queue.push(message(number), 1));
    assert_eq!(drain(&mut queue), "1 -2 4 -1");
}

#[test]
fn bytes_count_as_well_and_a_large_one_passes_alone() {
    let mut oldest = queue(Overflow::DropOldest, 100, 10);
    oldest.push(message(0), 6);
    oldest.push(message(1), 4);
    oldest.push(message(2), 1);
    oldest.push(message(3), 50);
    assert_eq!(drain(&mut oldest), "-3 3");
    let mut newest = queue(Overflow::DropNewest, 100, 10);
    newest.push(message(0), 50);
    newest.push(message(1), 1);
    assert_eq!(drain(&mut newest), "0 -1");
}

#[test]
fn a_subscriber_that_wants_all_holds_until_half_is_free() {
    let mut queue = queue(Overflow::Wait, 4, 1000);
    (0..3).for_each(|number| queue.push(message(number), 1));
    assert!(!queue.holds());
    (3..6).for_each(|number| queue.push(message(number), 1));
    assert!(queue.holds());
    (0..3).for_each(|_| drop(queue.pop()));
    assert!(queue.holds(), "three of four wait still");
    drop(queue.pop());
    assert!(!queue.holds());
}

#[test]
fn what_happens_without_a_listener_is_told_once() {
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let mut queue = queue(Overflow::DropOldest, 2, 1000);
    queue.push(message(0), 1);
    for round in 1..100 {
        queue.handle_reconnected();
        queue.handle_gap(at(round), at(round + 1));
    }
    assert!(matches!(queue.pop(), Some(SubscriptionEvent::Message(_))));
    assert!(matches!(queue.pop(), Some(SubscriptionEvent::Reconnected)));
    assert!(
        matches!(queue.pop(), Some(SubscriptionEvent::Gap { from, to }) if from == at(1) && to == at(100))
    );
    assert!(queue.is_empty());

    queue.push(message(1), 1);
    for round in 1..100 {
        queue.handle_gap(at(round), at(round + 1));
        queue.push(message(round + 1), 1);
    }
    assert_eq!(drain(&mut queue), "-98 g 99 g 100", "memory is bounded, and every hole is told");
}
