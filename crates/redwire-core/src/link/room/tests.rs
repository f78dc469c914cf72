//! Who waits for room enters in order, and is neither forgotten nor refused; and what a full queue costs.

use std::collections::VecDeque;
use std::time::Duration;

use super::*;
use crate::error::ErrorKind;
use crate::inbound::{Frames, Inbound};
use crate::link::QueueLimits;

const BYTES: usize = 100;
const NO_CALLER: [u32; 0] = [];

fn link(commands: usize) -> Link<u32> {
    Link::new(QueueLimits { commands, bytes: BYTES }, None)
}

fn write(size: usize) -> impl FnOnce(&mut Outbox) {
    move |outbox| outbox.copy(&vec![b'x'; size])
}

fn submit(link: &mut Link<u32>, waiter: u32, size: usize, deadline: Option<Instant>) -> Ticket {
    link.submit_or_wait(1, size, true, write(size), waiter, deadline).unwrap()
}

fn woken(link: &mut Link<u32>) -> Vec<u32> {
    let mut woken = Vec::new();
    link.poll_woken(&mut woken);
    woken
}

/// A caller that was called comes and enters, if it is still possible.
fn enter(link: &mut Link<u32>, ticket: Ticket, size: usize) -> Ticket {
    let ticket = link.poll_reply(ticket, |_| {}).unwrap_err();
    assert!(ticket.may_enter(), "it was called");
    link.enter(ticket, 1, size, true, write(size))
}

fn is_outside(link: &Link<u32>, ticket: &Ticket) -> bool {
    link.outside.contains(&ticket.slot)
}

fn send(link: &mut Link<u32>, outbox: &mut Outbox, most: usize) {
    if outbox.is_empty() {
        link.poll_transmit(outbox);
    }
    let sent = outbox.len().min(most);
    outbox.advance(sent);
    link.handle_sent(sent);
}

fn answer(link: &mut Link<u32>, count: usize) {
    let (mut inbound, mut frames) = (Inbound::new(64, redwire_resp::Limits::default()), Frames::default());
    inbound.spare().extend_from_slice(&b":1\r\n".repeat(count));
    assert!(inbound.poll_frames(&mut frames).unwrap());
    link.handle_frames(&mut frames).unwrap();
}

#[test]
fn they_enter_in_the_order_in_which_they_came() {
    let (mut link, mut outbox) = (link(9), Outbox::default());
    let first = submit(&mut link, 1, 60, None);
    let (second, third, fourth) =
        (submit(&mut link, 2, 60, None), submit(&mut link, 3, 5, None), submit(&mut link, 4, 50, None));
    assert!(!is_outside(&link, &first) && is_outside(&link, &second), "60 and 60 are more than 100");
    assert!(is_outside(&link, &third), "there would be room, but no caller overtakes");
    let refused = link.submit(1, 5, true, |_| {}, 5, None).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::QueueFull, "{refused}");
    send(&mut link, &mut outbox, 10);
    assert_eq!(woken(&mut link), NO_CALLER, "50 and 60 still are");
    send(&mut link, &mut outbox, 10);
    assert_eq!(woken(&mut link), [2]);
    send(&mut link, &mut outbox, 10);
    assert_eq!(woken(&mut link), NO_CALLER, "it is called once");
    let third = link.poll_reply(third, |waiter| *waiter = 33).unwrap_err();
    assert!(!third.may_enter(), "another one was called");
    let second = enter(&mut link, second, 60);
    assert_eq!(woken(&mut link), [33], "30 and 60 leave 10");
    let third = enter(&mut link, third, 5);
    send(&mut link, &mut outbox, 30);
    assert_eq!(woken(&mut link), NO_CALLER);
    send(&mut link, &mut outbox, 20);
    assert_eq!(woken(&mut link), [4], "45 and 50");
    let fourth = enter(&mut link, fourth, 50);
    send(&mut link, &mut outbox, 1000);
    send(&mut link, &mut outbox, 1000);
    answer(&mut link, 4);
    assert_eq!(woken(&mut link), [1, 2, 33, 4]);
    for ticket in [first, second, third, fourth] {
        assert!(link.poll_reply(ticket, |_| {}).unwrap().is_ok());
    }
    assert!(link.is_idle() && link.outside.is_empty() && link.free.len() == link.slots.len());
}

#[test]
fn one_that_is_larger_than_the_limit_enters_alone() {
    let (mut link, mut outbox) = (link(9), Outbox::default());
    let first = submit(&mut link, 1, 10, None);
    let large = submit(&mut link, 2, 1000, None);
    assert!(is_outside(&link, &large));
    send(&mut link, &mut outbox, 9);
    assert_eq!(woken(&mut link), NO_CALLER);
    send(&mut link, &mut outbox, 1);
    assert_eq!(woken(&mut link), [2]);
    let large = enter(&mut link, large, 1000);
    let next = submit(&mut link, 3, 1, None);
    assert!(is_outside(&link, &next));
    for ticket in [first, large, next] {
        link.abandon(ticket);
    }
}

#[test]
fn a_caller_that_leaves_lets_the_next_one_in() {
    let (mut link, mut outbox) = (link(9), Outbox::default());
    let first = submit(&mut link, 1, 100, None);
    let [second, third, fourth, fifth] = [2, 3, 4, 5].map(|waiter| submit(&mut link, waiter, 60, None));
    link.abandon(third);
    send(&mut link, &mut outbox, 100);
    assert_eq!(woken(&mut link), [2]);
    // Called, but gone before it came.
    link.abandon(second);
    assert_eq!(woken(&mut link), [4], "the third left before");
    let fourth = enter(&mut link, fourth, 60);
    // What was given up before it was taken is never sent, and makes room.
    link.abandon(fourth);
    assert_eq!(woken(&mut link), NO_CALLER);
    link.poll_transmit(&mut outbox);
    assert_eq!(woken(&mut link), [5]);
    let fifth = enter(&mut link, fifth, 60);
    link.abandon(fifth);
    link.abandon(first);
    send(&mut link, &mut outbox, 1000);
    answer(&mut link, 1);
    assert!(link.is_idle() && link.left == 0 && link.free.len() == link.slots.len(), "{link:?}");
}

#[test]
fn the_number_of_callers_that_wait_has_a_limit() {
    let mut link = link(3);
    let first = submit(&mut link, 1, 100, None);
    let (second, third) = (submit(&mut link, 2, 10, None), submit(&mut link, 3, 10, None));
    let full = |link: &mut Link<u32>| {
        link.submit_or_wait(1, 10, true, write(10), 4, None).map_err(|error| error.kind())
    };
    assert_eq!(full(&mut link).unwrap_err(), ErrorKind::QueueFull);
    link.abandon(third);
    let fourth = full(&mut link).unwrap();
    assert_eq!(full(&mut link).unwrap_err(), ErrorKind::QueueFull);
    link.handle_lost(&Error::closed_by_peer(Outcome::MaybeExecuted));
    assert_eq!(woken(&mut link), [1, 2, 4]);
    for ticket in [first, second, fourth] {
        let error = link.poll_reply(ticket, |_| {}).unwrap().unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent);
    }
    assert!(link.outside.is_empty() && link.free.len() == link.slots.len());
}

#[test]
fn a_deadline_outside_says_what_it_waited_for() {
    let (mut link, now) = (link(9), Instant::now());
    let (soon, later) = (now + Duration::from_secs(1), now + Duration::from_secs(2));
    let first = submit(&mut link, 1, 100, None);
    let (second, third) = (submit(&mut link, 2, 100, Some(soon)), submit(&mut link, 3, 100, Some(later)));
    assert_eq!(link.poll_timeout(), Some(soon));
    assert!(!link.handle_timeout(soon, 0, None).unwrap());
    assert_eq!((woken(&mut link), link.poll_timeout()), (vec![2], Some(later)));
    let error = link.poll_reply(second, |_| {}).unwrap().unwrap_err();
    assert!(error.is_timeout() && error.outcome() == Outcome::NotSent, "{error}");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert!(cause.contains("the queue is full"), "{cause}");
    send(&mut link, &mut Outbox::default(), 100);
    assert_eq!(woken(&mut link), [3]);
    for ticket in [first, third] {
        link.abandon(ticket);
    }
}

/// Whatever happens in whatever order: the limits hold, and a caller that comes only when woken has entered
/// or left in the end.
#[test]
fn random_histories_forget_no_caller() {
    proptest::proptest!(|(steps in proptest::collection::vec((0_u8..6, 1_usize..150), 1..200))| {
        let (mut link, mut outbox) = (link(40), Outbox::default());
        let mut held: Vec<(Ticket, usize, u32)> = Vec::new();
        let (mut called, mut number) = (Vec::new(), 0);
        let settling = (0..600).map(|i| (2 + (i % 4) as u8, 148));
        for (step, random) in steps.into_iter().chain(settling) {
            match step {
                0 | 1 => {
                    number += 1;
                    held.extend(link
                        .submit_or_wait(1, random, true, write(random), number, None)
                        .map(|ticket| (ticket, random, number)));
                }
                2 => send(&mut link, &mut outbox, random),
                3 if link.order.front().is_some_and(|entry| entry.end <= link.sent) => answer(&mut link, 1),
                4 if random == 149 && !held.is_empty() => drop(link.abandon(held.remove(0).0)),
                4 if random < 10 && !held.is_empty() => {
                    let _ = link.abandon(held.swap_remove(random % held.len()).0);
                }
                _ => {
                    called.append(&mut woken(&mut link));
                    for (ticket, size, waiter) in std::mem::take(&mut held) {
                        if !called.contains(&waiter) {
                            held.push((ticket, size, waiter));
                            continue;
                        }
                        match link.poll_reply(ticket, |_| {}) {
                            Ok(result) => assert!(result.is_ok()),
                            Err(ticket) if ticket.may_enter() => {
                                let ticket = link.enter(ticket, 1, size, true, write(size));
                                held.push((ticket, size, waiter));
                            }
                            Err(ticket) => held.push((ticket, size, waiter)),
                        }
                    }
                    called.clear();
                }
            }
            let waiting = (link.queued - link.sent) as usize;
            assert!(waiting <= BYTES.max(150) && link.order.len() + link.outside.len() <= 40);
        }
        assert!(held.is_empty() && link.outside.is_empty() && link.is_idle(), "{held:?} {link:?}");
        assert_eq!(link.free.len(), link.slots.len());
    });
}

/// Counts the requests that are looked at, not the time that takes.
#[test]
fn what_is_late_or_refused_costs_the_same_however_many_wait() {
    let (now, many) = (Instant::now(), 5_000);
    let mut link = Link::new(QueueLimits { commands: many, bytes: 1 << 20 }, None);
    let mut tickets: VecDeque<Ticket> =
        (0..many as u32).map(|waiter| submit(&mut link, waiter, 10, Some(now))).collect();
    for _ in 0..many {
        let error = link.submit_or_wait(1, 10, true, write(10), 0, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QueueFull);
    }
    assert_eq!(link.looked_at, 0);
    // One that was given up is looked for once, and its place is free then.
    link.abandon(tickets.pop_back().unwrap());
    tickets.push_back(submit(&mut link, 0, 10, Some(now)));
    link.submit_or_wait(1, 10, true, write(10), 0, None).unwrap_err();
    assert_eq!(link.looked_at, many);
    link.poll_transmit(&mut Outbox::default());
    link.handle_timeout(now, 0, None).unwrap();
    assert_eq!(link.looked_at, 2 * many);
    for ticket in tickets {
        assert!(link.poll_reply(ticket, |_| {}).unwrap().unwrap_err().is_timeout());
    }
    assert_eq!(link.looked_at, 2 * many, "the replies that each still expects are not searched for");
    answer(&mut link, many);
    assert!(link.is_idle() && link.free.len() == link.slots.len());
}
