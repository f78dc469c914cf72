//! The limits of what waits for a subscriber.

use std::time::Duration;

use super::super::item::{Kind, Message};
use super::*;

fn message(number: u64) -> Item {
    let payload = number.to_string().into();
    Item::Message(Message { kind: Kind::Channel, channel: "c".into(), pattern: None, payload })
}

fn inbox(overflow: Overflow, messages: usize, bytes: usize) -> Inbox {
    let options = SubscribeOptions::new().buffer_messages(messages).buffer_bytes(bytes);
    Inbox::new(options.overflow(overflow))
}

/// All that waits, in short.
fn drain(inbox: &mut Inbox) -> String {
    let items = std::iter::from_fn(|| inbox.pop()).map(|item| match item {
        Item::Message(message) => message.text().unwrap().to_owned(),
        Item::Lagged(count) => format!("-{count}"),
        Item::Reconnected => "r".to_owned(),
        Item::Gap { .. } => "g".to_owned(),
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
        let mut inbox = inbox(overflow, 3, 1000);
        (0..6).for_each(|number| inbox.push(message(number), 1));
        assert_eq!(drain(&mut inbox), expected, "{overflow:?}");
        assert!(inbox.is_empty() && inbox.bytes == 0);
    }
}

#[test]
fn what_is_dropped_later_is_told_later() {
    let mut inbox = inbox(Overflow::DropNewest, 2, 1000);
    (0..4).for_each(|number| inbox.push(message(number), 1));
    assert!(matches!(inbox.pop(), Some(Item::Message(_))));
    (4..6).for_each(|number| inbox.push(message(number), 1));
    assert_eq!(drain(&mut inbox), "1 -2 4 -1");
}

#[test]
fn bytes_count_as_well_and_a_large_one_passes_alone() {
    let mut oldest = inbox(Overflow::DropOldest, 100, 10);
    oldest.push(message(0), 6);
    oldest.push(message(1), 4);
    oldest.push(message(2), 1);
    oldest.push(message(3), 50);
    assert_eq!(drain(&mut oldest), "-3 3");
    let mut newest = inbox(Overflow::DropNewest, 100, 10);
    newest.push(message(0), 50);
    newest.push(message(1), 1);
    assert_eq!(drain(&mut newest), "0 -1");
}

#[test]
fn one_who_wants_all_holds_until_half_is_free() {
    let mut inbox = inbox(Overflow::Wait, 4, 1000);
    (0..3).for_each(|number| inbox.push(message(number), 1));
    assert!(!inbox.holds());
    (3..6).for_each(|number| inbox.push(message(number), 1));
    assert!(inbox.holds());
    (0..3).for_each(|_| drop(inbox.pop()));
    assert!(inbox.holds(), "three of four wait still");
    drop(inbox.pop());
    assert!(!inbox.holds());
}

#[test]
fn what_happens_while_nobody_listens_is_told_once() {
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let mut inbox = inbox(Overflow::DropOldest, 2, 1000);
    inbox.push(message(0), 1);
    for round in 1..100 {
        inbox.handle_reconnected();
        inbox.handle_gap(at(round), at(round + 1));
    }
    assert!(matches!(inbox.pop(), Some(Item::Message(_))));
    assert!(matches!(inbox.pop(), Some(Item::Reconnected)));
    assert!(matches!(inbox.pop(), Some(Item::Gap { from, to }) if from == at(1) && to == at(100)));
    assert!(inbox.is_empty());

    inbox.push(message(1), 1);
    for round in 1..100 {
        inbox.handle_gap(at(round), at(round + 1));
        inbox.push(message(round + 1), 1);
    }
    assert_eq!(drain(&mut inbox), "-98 g 99 g 100", "memory is bounded, and every hole is told");
}
