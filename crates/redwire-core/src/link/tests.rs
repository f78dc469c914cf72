//! The order of requests and replies, under everything that can happen between them.

use std::time::Duration;

use redwire_resp::Limits;

use super::*;
use crate::inbound::Inbound;

fn link() -> Link<u32> {
    Link::new(QueueLimits { commands: 1000, bytes: 1 << 20 }, None)
}

fn submit(link: &mut Link<u32>, waiter: u32, count: u32) -> Ticket {
    link.submit(count, 10, count == 1, |outbox| outbox.copy(b"0123456789"), waiter, None).unwrap()
}

fn receive(link: &mut Link<u32>, bytes: &[u8]) -> Result<Vec<u32>, Error> {
    let mut inbound = Inbound::new(64, Limits::default());
    let mut frames = Frames::default();
    inbound.spare().extend_from_slice(bytes);
    assert!(inbound.poll_frames(&mut frames).unwrap() && inbound.is_empty());
    link.handle_frames(&mut frames)?;
    let mut woken = Vec::new();
    link.poll_woken(&mut woken);
    Ok(woken)
}

fn redeem(link: &mut Link<u32>, ticket: Ticket) -> Result<Replies, Error> {
    link.poll_reply(ticket, |_| {}).unwrap_or_else(|ticket| panic!("{ticket:?} still waits"))
}

fn send_all(link: &mut Link<u32>) {
    let mut outbox = Outbox::default();
    if link.poll_transmit(&mut outbox) {
        link.handle_sent(outbox.len());
    }
}

#[test]
fn replies_go_to_their_requests_in_order() {
    let mut link = link();
    let (a, b, c) = (submit(&mut link, 1, 1), submit(&mut link, 2, 3), submit(&mut link, 3, 1));
    assert_eq!(receive(&mut link, b":1\r\n:2\r\n>1\r\n+push\r\n").unwrap(), [1]);
    assert_eq!(receive(&mut link, b":3\r\n:4\r\n:5\r\n").unwrap(), [2, 3]);
    assert_eq!(redeem(&mut link, c).unwrap().read::<i64>().unwrap(), 5);
    let mut three = redeem(&mut link, b).unwrap();
    assert_eq!(
        [three.read::<i64>().unwrap(), three.read_at(2).unwrap(), three.read_at(0).unwrap()],
        [2, 4, 2]
    );
    assert_eq!(redeem(&mut link, a).unwrap().read::<i64>().unwrap(), 1);
    assert!(link.is_idle());
}

#[test]
fn the_reply_of_a_caller_that_left_goes_to_no_other() {
    let mut link = link();
    let (a, b) = (submit(&mut link, 1, 2), submit(&mut link, 2, 1));
    link.abandon(a);
    let c = submit(&mut link, 3, 1);
    assert_eq!(receive(&mut link, b":1\r\n:2\r\n:3\r\n:4\r\n").unwrap(), [2, 3]);
    assert_eq!(redeem(&mut link, b).unwrap().read::<i64>().unwrap(), 3);
    assert_eq!(redeem(&mut link, c).unwrap().read::<i64>().unwrap(), 4);
}

#[test]
fn a_reply_that_was_not_asked_for_breaks_the_connection() {
    let mut link = link();
    let a = submit(&mut link, 1, 1);
    let error = receive(&mut link, b":1\r\n+more\r\n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("+more"), "{error}");
    assert_eq!(redeem(&mut link, a).unwrap().read::<i64>().unwrap(), 1);
}

/// Requests from before are told their replies; what else comes is kept in its order, also when the
/// connection is lost.
#[test]
fn what_no_request_is_owed_is_kept_where_it_is_listened_to() {
    let mut link = link();
    assert!(receive(&mut link, b">1\r\n+before\r\n").unwrap().is_empty());
    let (a, b) = (submit(&mut link, 1, 1), submit(&mut link, 2, 2));
    send_all(&mut link);
    link.abandon(a);
    link.listen();
    link.say(3, |outbox| outbox.copy(b"SUB")).unwrap();
    send_all(&mut link);
    assert!(!link.has_unasked() && link.poll_unasked().is_none());
    assert_eq!(receive(&mut link, b":1\r\n:2\r\n>1\r\n+push\r\n:3\r\n:4\r\n-ERR x\r\n").unwrap(), [2]);
    let mut two = redeem(&mut link, b).unwrap();
    assert_eq!((two.read::<i64>().unwrap(), two.read::<i64>().unwrap()), (2, 3));
    link.handle_lost(&Error::closed_by_peer(Outcome::MaybeExecuted));
    for frame in [&b">1\r\n+push\r\n"[..], b":4\r\n", b"-ERR x\r\n"] {
        assert!(link.has_unasked());
        assert_eq!(link.poll_unasked().as_deref(), Some(frame));
    }
    assert!(!link.has_unasked());
    link.stop_listening();
    receive(&mut link, b":5\r\n").unwrap_err();
}

#[test]
fn each_request_learns_whether_the_server_may_have_seen_it() {
    let mut link = link();
    let all: Vec<_> = [1, 1, 2, 1].into_iter().map(|count| submit(&mut link, 0, count)).collect();
    let mut outbox = Outbox::default();
    assert!(link.poll_transmit(&mut outbox));
    // All of the first, half of the second: a command cut in half cannot run.
    link.handle_sent(15);
    link.handle_lost(&Error::closed_by_peer(Outcome::MaybeExecuted));
    let outcomes: Vec<_> =
        all.into_iter().map(|ticket| redeem(&mut link, ticket).unwrap_err().outcome()).collect();
    assert_eq!(outcomes, [Outcome::MaybeExecuted, Outcome::NotSent, Outcome::NotSent, Outcome::NotSent]);

    // Of a pipeline the first command may have run as soon as a byte is out.
    let pipeline = submit(&mut link, 0, 2);
    link.poll_transmit(&mut Outbox::default());
    link.handle_sent(1);
    link.handle_lost(&Error::closed_by_peer(Outcome::MaybeExecuted));
    assert_eq!(redeem(&mut link, pipeline).unwrap_err().outcome(), Outcome::MaybeExecuted);
}

#[test]
fn a_deadline_fails_one_and_keeps_the_order_of_the_rest() {
    let mut link = link();
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let at = |link: &mut Link<u32>, waiter, deadline| {
        link.submit(1, 1, true, |outbox| outbox.copy(b"x"), waiter, Some(deadline)).unwrap()
    };
    let (late, soon) = (at(&mut link, 1, now + 2 * second), at(&mut link, 2, now + second));
    assert_eq!(link.poll_timeout(), Some(now + second));
    send_all(&mut link);
    link.handle_timeout(now + second, 0, None).unwrap();
    assert_eq!(link.poll_timeout(), Some(now + 2 * second));
    let mut woken = Vec::new();
    link.poll_woken(&mut woken);
    assert_eq!(woken, [2]);
    let error = redeem(&mut link, soon).unwrap_err();
    assert!(error.is_timeout() && error.outcome() == Outcome::MaybeExecuted);
    assert_eq!(receive(&mut link, b":1\r\n:2\r\n").unwrap(), [1]);
    assert_eq!(redeem(&mut link, late).unwrap().read::<i64>().unwrap(), 1);
    assert!(link.is_idle());
}

#[test]
fn what_is_given_up_before_it_was_taken_is_never_sent() {
    let mut link: Link<u32> = Link::new(QueueLimits { commands: 5, bytes: 1 << 20 }, None);
    let now = Instant::now();
    let at = |link: &mut Link<u32>, bytes: &[u8], deadline| {
        link.submit(1, bytes.len(), true, |outbox| outbox.copy(bytes), 1, deadline).unwrap()
    };
    let taken = at(&mut link, b"taken", Some(now));
    let mut outbox = Outbox::default();
    link.poll_transmit(&mut outbox);
    link.handle_sent(2);
    let late = at(&mut link, b"late", Some(now));
    let first = at(&mut link, b"first", None);
    let left = at(&mut link, b"left", None);
    let second = at(&mut link, b"second", None);
    link.handle_timeout(now, 0, None).unwrap();
    link.abandon(left);
    // What lies in a writer's hands is written yet; what lies here is not.
    assert_eq!(redeem(&mut link, taken).unwrap_err().outcome(), Outcome::MaybeExecuted);
    assert_eq!(redeem(&mut link, late).unwrap_err().outcome(), Outcome::NotSent);
    // Those given up make room.
    let third = at(&mut link, b"third", None);
    assert_eq!(link.in_flight(), 4);
    link.handle_sent(3);
    outbox.clear();
    link.poll_transmit(&mut outbox);
    // Behind them goes the question whether the connection is in step, since one is late.
    assert!(outbox.to_bytes().starts_with(b"firstsecondthird*2\r\n$4\r\nPING"));
    link.handle_sent(b"firstsecond".len());
    receive(&mut link, b":0\r\n:1\r\n").unwrap();
    assert_eq!(redeem(&mut link, first).unwrap().read::<i64>().unwrap(), 1);
    link.handle_lost(&Error::closed_by_peer(Outcome::MaybeExecuted));
    assert_eq!(redeem(&mut link, second).unwrap_err().outcome(), Outcome::MaybeExecuted);
    assert_eq!(redeem(&mut link, third).unwrap_err().outcome(), Outcome::NotSent);
    assert_eq!(link.free.len(), link.slots.len());
}

#[test]
fn a_reply_that_never_comes_is_found_out() {
    for (replies, in_step) in [
        (":1\r\n:2\r\nPROBE", true),
        (":2\r\nPROBE", false),
        ("PROBE", false),
        (":1\r\n:2\r\n-NOPERM no\r\n", true),
        (":1\r\n:2\r\n-ERR unknown command `PING`, with args beginning with: \r\n", true),
        (":2\r\n:3\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", false),
        (":2\r\n:3\r\n:4\r\n", false),
    ] {
        let mut link = link();
        let now = Instant::now();
        let late = link.submit(1, 1, true, |outbox| outbox.copy(b"x"), 1, Some(now)).unwrap();
        let other = link.submit(1, 1, true, |outbox| outbox.copy(b"y"), 2, None).unwrap();
        send_all(&mut link);
        assert!(!link.wants_transmit());
        link.handle_timeout(now, 0, None).unwrap();
        assert!(redeem(&mut link, late).unwrap_err().is_timeout());
        assert!(link.wants_transmit());
        let mut outbox = Outbox::default();
        link.poll_transmit(&mut outbox);
        link.handle_sent(outbox.len());
        let asked = String::from_utf8(outbox.to_bytes()).unwrap();
        let answer = asked.strip_prefix("*2\r\n$4\r\nPING\r\n").unwrap();
        let received = receive(&mut link, replies.replace("PROBE", answer).as_bytes());
        assert_eq!(received.is_ok(), in_step, "{replies:?}");
        if in_step {
            assert_eq!(redeem(&mut link, other).unwrap().read::<i64>().unwrap(), 2);
            assert!(link.is_idle() && !link.wants_transmit());
        } else {
            link.handle_lost(&received.unwrap_err());
            // The one in between may have got its neighbour's reply: that is not known before the probe is
            // back.
            let _ = redeem(&mut link, other);
        }
        assert_eq!(link.free.len(), link.slots.len());
    }
}

#[test]
fn queues_have_limits() {
    let mut link: Link<u32> = Link::new(QueueLimits { commands: 3, bytes: 15 }, None);
    let first = submit(&mut link, 1, 1);
    let full = |link: &mut Link<u32>| link.submit(1, 10, true, |_| {}, 2, None).unwrap_err().kind();
    assert_eq!(full(&mut link), ErrorKind::QueueFull);
    send_all(&mut link);
    let more = [submit(&mut link, 2, 1)];
    send_all(&mut link);
    let last = submit(&mut link, 3, 1);
    send_all(&mut link);
    assert_eq!(full(&mut link), ErrorKind::QueueFull);
    assert_eq!(receive(&mut link, b":1\r\n:2\r\n:3\r\n").unwrap(), [1, 2, 3]);
    for ticket in [first, last].into_iter().chain(more) {
        redeem(&mut link, ticket).unwrap();
    }
}

/// Whatever is submitted, abandoned, cut and answered in whatever order: a reply reaches its own request,
/// slots are neither lost nor mixed up.
#[test]
fn random_histories_never_mix_replies_up() {
    proptest::proptest!(|(steps in proptest::collection::vec((0_u8..6, proptest::num::u16::ANY), 1..200))| {
        let mut link = link();
        let mut held: Vec<(Ticket, i64)> = Vec::new();
        let mut owed: VecDeque<i64> = VecDeque::new();
        let mut number = 0;
        for (step, random) in steps {
            let random = usize::from(random);
            match step {
                0 | 1 => {
                    held.push((submit(&mut link, 0, 1), number));
                    owed.push_back(number);
                    number += 1;
                }
                2 if !held.is_empty() => drop(link.abandon(held.swap_remove(random % held.len()).0)),
                3 | 4 => if let Some(number) = owed.pop_front() {
                    receive(&mut link, format!(":{number}\r\n").as_bytes()).unwrap();
                },
                5 if !held.is_empty() => {
                    let (ticket, number) = held.swap_remove(random % held.len());
                    match link.poll_reply(ticket, |_| {}) {
                        Ok(replies) => assert_eq!(replies.unwrap().read::<i64>().unwrap(), number),
                        Err(ticket) => held.push((ticket, number)),
                    }
                }
                _ => {}
            }
        }
        while let Some(number) = owed.pop_front() {
            receive(&mut link, format!(":{number}\r\n").as_bytes()).unwrap();
        }
        for (ticket, number) in held {
            assert_eq!(redeem(&mut link, ticket).unwrap().read::<i64>().unwrap(), number);
        }
        assert!(link.is_idle() && link.free.len() == link.slots.len());
    });
}

/// Whatever is given up, and whenever bytes are taken: what goes out is what was still wanted when it was
/// taken, in order.
#[test]
fn random_histories_send_only_what_is_wanted() {
    proptest::proptest!(|(steps in proptest::collection::vec((0_u8..5, proptest::num::u16::ANY), 1..200))| {
        let mut link = link();
        let (mut held, mut wanted): (Vec<(Ticket, String)>, Vec<String>) = (Vec::new(), Vec::new());
        let mut sent = 0;
        for (number, (step, random)) in steps.into_iter().enumerate() {
            let random = usize::from(random);
            if step < 3 {
                let len = if random < 100 { 70_000 } else { random % 50 };
                let bytes = format!("<{number}:{}>", "x".repeat(len));
                let write = |outbox: &mut Outbox| outbox.share(Bytes::from(bytes.clone()));
                held.push((link.submit(1, bytes.len(), true, write, 0, None).unwrap(), bytes.clone()));
                wanted.push(bytes);
            } else if step == 3 && !held.is_empty() {
                let (ticket, bytes) = held.swap_remove(random % held.len());
                link.abandon(ticket);
                wanted.retain(|wanted| *wanted != bytes);
            } else {
                let mut outbox = Outbox::default();
                link.poll_transmit(&mut outbox);
                assert!(outbox.to_bytes() == wanted.concat().into_bytes());
                link.handle_sent(outbox.len());
                sent += wanted.drain(..).count();
            }
        }
        let mut outbox = Outbox::default();
        link.poll_transmit(&mut outbox);
        sent += wanted.len();
        if sent > 0 {
            receive(&mut link, ":1\r\n".repeat(sent).as_bytes()).unwrap();
        }
        for (ticket, _) in held {
            redeem(&mut link, ticket).unwrap();
        }
        assert!(link.is_idle() && link.free.len() == link.slots.len());
    });
}

const TICK: Duration = Duration::from_secs(1);

/// A connected link whose peer is asked after two ticks of silence at the latest, and what it has to send
/// now.
fn watched(now: Instant) -> Link<u32> {
    let mut link = Link::new(QueueLimits { commands: 99, bytes: 1 << 20 }, Some(2 * TICK));
    assert_eq!(link.poll_timeout(), None, "nothing is watched before it is connected");
    link.handle_connected(now);
    link
}

fn sent(link: &mut Link<u32>) -> Vec<u8> {
    let mut outbox = Outbox::default();
    link.poll_transmit(&mut outbox);
    link.handle_sent(outbox.len());
    outbox.to_bytes()
}

#[test]
fn a_silent_peer_is_asked_and_given_up_when_it_does_not_answer() {
    let start = Instant::now();
    let mut link = watched(start);
    let asked = submit(&mut link, 1, 1);
    sent(&mut link);
    link.handle_timeout(start + TICK, 0, None).unwrap();
    assert!(sent(&mut link).is_empty(), "it has just connected");
    link.handle_timeout(start + 2 * TICK, 0, None).unwrap();
    assert!(sent(&mut link).starts_with(b"*2\r\n$4\r\nPING\r\n$"), "asked once");
    link.handle_timeout(start + 3 * TICK, 0, None).unwrap();
    assert!(sent(&mut link).is_empty(), "and not again");
    let error = link.handle_timeout(start + 4 * TICK, 0, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Silent));
    link.handle_lost(&error);
    assert_eq!(redeem(&mut link, asked).unwrap_err().outcome(), Outcome::MaybeExecuted);
    assert_eq!(link.poll_timeout(), None, "a connection that is gone is not watched");
}

/// As long as a caller waits that has not waited in vain.
#[test]
fn silence_is_borne_while_the_peer_is_known_to_live_and_there_is_hope() {
    let start = Instant::now();
    let mut link = watched(start);
    let deadline = Some(start + 12 * TICK);
    let ticket = link.submit(1, 1, true, |outbox| outbox.copy(b"x"), 1, deadline).unwrap();
    sent(&mut link);
    let mut doubts = 0;
    let dead = (1..).find(|n| match link.handle_timeout(start + *n * TICK, 0, None) {
        Ok(doubt) => {
            doubts += u32::from(doubt);
            if doubt {
                link.handle_alive();
            }
            sent(&mut link);
            false
        }
        Err(_) => true,
    });
    // Asked at every tick from the third on, until the deadline has passed; from then on there is no hope.
    assert_eq!((doubts, dead), (9, Some(13)));
    link.abandon(ticket);
    // No caller waits at all.
    let mut link = watched(start);
    for n in 1..4 {
        assert!(!link.handle_timeout(start + n * TICK, 0, None).unwrap());
        link.handle_alive();
    }
    link.handle_timeout(start + 4 * TICK, 0, None).unwrap_err();
}

/// At which tick a silent connection is given up on which one call waits from the beginning for so many
/// ticks, and from each tick on another for as many as an ordinary one; the server is found to live elsewhere
/// from a tick on.
fn given_up(long: Option<u32>, ordinary: Option<u32>, lives_from: u32) -> (u32, usize) {
    let start = Instant::now();
    let mut link = watched(start);
    let submit = |link: &mut Link<u32>, from: u32, ticks: Option<u32>| {
        let deadline = ticks.map(|ticks| start + (from + ticks) * TICK);
        link.submit(1, 1, true, |outbox| outbox.copy(b"x"), from, deadline).unwrap()
    };
    let mut tickets = Vec::from_iter(long.map(|ticks| submit(&mut link, 0, Some(ticks))));
    for n in 1.. {
        if ordinary.is_some() {
            tickets.push(submit(&mut link, n - 1, ordinary));
        }
        sent(&mut link);
        match link.handle_timeout(start + n * TICK, 0, None) {
            Ok(true) if n >= lives_from => link.handle_alive(),
            Ok(_) => {}
            Err(error) => {
                link.handle_lost(&error);
                let failed = tickets.into_iter().map(|ticket| redeem(&mut link, ticket).unwrap_err());
                return (n, failed.filter(|error| error.is_timeout()).count());
            }
        }
    }
    unreachable!("it is given up some day")
}

/// A silent connection of a server that is silent elsewhere, too: it may be busy, or dead.
#[test]
fn silence_is_borne_while_a_call_has_more_time_than_that() {
    const NEVER: u32 = u32::MAX;
    let table = [
        // Ordinary calls have as much time as a peer may be silent, and more of them come all the time.
        ((None, Some(4), NEVER), 4),
        ((None, Some(2), NEVER), 4),
        // Those without a deadline would wait for ever.
        ((None, None, NEVER), 4),
        ((Some(12), Some(4), NEVER), 12),
        ((Some(12), None, NEVER), 12),
        // The others wait in vain from the fourth tick on. That the server lives shows it is this connection.
        ((Some(12), Some(4), 7), 8),
        ((Some(12), Some(4), 3), 5),
    ];
    for ((long, ordinary, lives_from), expected) in table {
        let (given_up, _) = given_up(long, ordinary, lives_from);
        assert_eq!(given_up, expected, "{long:?} {ordinary:?} {lives_from}");
    }
    // Each call has ended by its own deadline: nine ordinary ones, and the long one.
    assert_eq!(given_up(Some(12), Some(4), NEVER), (12, 10));
}

/// They wait for the next connection, which is made already: to wait for this one helps none of them.
#[test]
fn callers_whose_requests_were_not_taken_keep_no_silent_connection() {
    let start = Instant::now();
    for lives in [false, true] {
        let mut link = watched(start);
        // The link's own question is under way, and is never answered.
        link.handle_timeout(start + TICK, 0, None).unwrap();
        link.handle_timeout(start + 2 * TICK, 0, None).unwrap();
        sent(&mut link);
        let deadline = Some(start + 40 * TICK);
        let ticket = link.submit(1, 1, true, |outbox| outbox.copy(b"x"), 1, deadline).unwrap();
        let dead = (3..20).find(|n| match link.handle_timeout(start + *n * TICK, 0, None) {
            Ok(_) => {
                if lives {
                    link.handle_alive();
                }
                false
            }
            Err(_) => true,
        });
        assert_eq!(dead, Some(4), "{lives}");
        link.handle_interrupted(&Error::silent_peer(Outcome::MaybeExecuted));
        assert!(link.is_waiting(&ticket), "it goes on the next connection");
        link.abandon(ticket);
    }
}

/// A peer that answers `PING` by itself, with an attribute or without, and what it answers in place of words.
const FRONT_ENDS: [&str; 6] = [
    "+PONG\r\n",
    "$4\r\nPONG\r\n",
    "+redwire\r\n",
    "|1\r\n+ttl\r\n:3\r\n+PONG\r\n",
    "-ERR what\r\n",
    "|1\r\n+ttl\r\n:3\r\n-ERR what\r\n",
];

#[test]
fn any_answer_to_an_idle_question_is_a_sign_of_life() {
    for answer in FRONT_ENDS {
        let start = Instant::now();
        let mut link = watched(start);
        let mut received = 0;
        for n in 1..20 {
            link.handle_timeout(start + n * TICK, received, None).unwrap();
            if !sent(&mut link).is_empty() {
                receive(&mut link, answer.as_bytes()).unwrap();
                received += 1;
            }
            assert!(link.is_idle());
        }
        assert!(received > 5, "{answer:?}");
    }
}

/// What such a peer answers is known from the first idle question on, and shows the same as the words.
#[test]
fn a_lost_reply_is_found_out_behind_a_front_end_too() {
    for (answer, learnt) in FRONT_ENDS.into_iter().zip([true, true, true, true, false, false]) {
        for (replies, in_step) in [(":1\r\n:2\r\nPROBE", learnt), (":2\r\nPROBE", false), ("PROBE", false)] {
            let start = Instant::now();
            let mut link = watched(start);
            for n in 1..3 {
                link.handle_timeout(start + n * TICK, 0, None).unwrap();
            }
            assert!(!sent(&mut link).is_empty());
            receive(&mut link, answer.as_bytes()).unwrap();
            let deadline = start + 2 * TICK;
            let late = link.submit(1, 1, true, |outbox| outbox.copy(b"x"), 1, Some(deadline)).unwrap();
            let other = submit(&mut link, 2, 1);
            sent(&mut link);
            link.handle_timeout(deadline, 1, None).unwrap();
            assert!(redeem(&mut link, late).unwrap_err().is_timeout());
            assert!(!sent(&mut link).is_empty(), "it is asked");
            let received = receive(&mut link, replies.replace("PROBE", answer).as_bytes());
            if learnt || replies.starts_with(":1") {
                assert_eq!(received.is_ok(), in_step, "{answer:?}: {replies:?}");
            }
            link.handle_lost(&Error::closed_by_peer(Outcome::MaybeExecuted));
            let _ = redeem(&mut link, other);
        }
    }
}

#[test]
fn a_peer_that_sends_or_takes_anything_lives() {
    let start = Instant::now();
    let mut link = watched(start);
    for n in 1..9 {
        link.handle_timeout(start + n * TICK, u64::from(n), None).unwrap();
        assert!(sent(&mut link).is_empty());
    }
    // Ten bytes that the kernel takes one by one: it was full each time, so the peer has read.
    let slow = submit(&mut link, 1, 1);
    let mut outbox = Outbox::default();
    link.poll_transmit(&mut outbox);
    for n in 9..18 {
        link.handle_timeout(start + n * TICK, 8, None).unwrap();
        link.handle_sent(1);
    }
    link.abandon(slow);
}

#[test]
fn an_idle_peer_answers_and_is_asked_again_later() {
    let start = Instant::now();
    let mut link = watched(start);
    let mut received = 0;
    for n in 1..20 {
        link.handle_timeout(start + n * TICK, received, None).unwrap();
        let question = sent(&mut link);
        if let Some(words) = question.strip_prefix(b"*2\r\n$4\r\nPING\r\n") {
            receive(&mut link, words).unwrap();
            received += words.len() as u64;
        }
        assert!(link.is_idle());
    }
    assert!(received > 0);
}

#[test]
fn a_request_of_several_keeps_the_replies_that_came_before_a_failure() {
    let now = Instant::now();
    for late in [false, true] {
        let mut link = link();
        let write = |outbox: &mut Outbox| outbox.copy(b"0123456789");
        let deadline = now + Duration::from_secs(1);
        let first = link.submit(3, 10, false, write, 1, Some(deadline)).unwrap();
        let second = submit(&mut link, 2, 2);
        send_all(&mut link);
        assert!(receive(&mut link, b":1\r\n-ERR no\r\n").unwrap().is_empty());
        match late {
            true => drop(link.handle_timeout(deadline, 0, None)),
            false => link.handle_lost(&Error::closed_by_peer(Outcome::MaybeExecuted)),
        }
        let mut error = redeem(&mut link, first).unwrap_err();
        assert_eq!((error.is_timeout(), error.outcome()), (late, Outcome::MaybeExecuted));
        let mut answered = error.clone().with_context("on the way").take_answered();
        assert_eq!((answered.len(), answered.read::<i64>().unwrap()), (2, 1));
        assert_eq!(error.take_answered().errors().count(), 1);
        assert!(error.take_answered().is_empty(), "they are taken once");
        if late {
            // The third goes to no caller, and those behind it to the callers that asked.
            assert_eq!(receive(&mut link, b":3\r\n:4\r\n:5\r\n").unwrap(), [1, 2]);
            assert_eq!(redeem(&mut link, second).unwrap().len(), 2);
        } else {
            assert!(redeem(&mut link, second).unwrap_err().take_answered().is_empty());
        }
    }
}

#[test]
fn what_was_not_taken_when_a_connection_ends_goes_on_the_next() {
    let mut link = link().marked_every(1);
    let (sent, gone) = (submit(&mut link, 1, 1), submit(&mut link, 2, 1));
    send_all(&mut link);
    assert!(!link.is_quiet());
    let (a, left, b) = (submit(&mut link, 3, 1), submit(&mut link, 4, 1), submit(&mut link, 5, 2));
    link.abandon(left);
    link.abandon(gone);
    link.handle_interrupted(&Error::closed_by_peer(Outcome::MaybeExecuted));
    assert_eq!(redeem(&mut link, sent).unwrap_err().outcome(), Outcome::MaybeExecuted);
    assert!(link.is_quiet() && link.wants_transmit());
    link.handle_connected(Instant::now());
    let mut outbox = Outbox::default();
    link.poll_transmit(&mut outbox);
    // No question of the former connection, and nothing of callers that left.
    assert_eq!(outbox.to_bytes(), b"01234567890123456789");
    link.handle_sent(outbox.len());
    assert_eq!(receive(&mut link, b":1\r\n:2\r\n:3\r\n").unwrap(), [1, 3, 5]);
    assert_eq!(redeem(&mut link, a).unwrap().read::<i64>().unwrap(), 1);
    assert_eq!(redeem(&mut link, b).unwrap().read_at::<i64>(1).unwrap(), 3);
    assert!(link.is_idle() && !link.wants_transmit());
}

#[test]
fn whether_anything_was_answered_is_known_of_each_connection() {
    let mut link = link();
    for (reply, answered) in [(&b"-ERR no\r\n"[..], false), (b"+OK\r\n", true), (b">1\r\n+push\r\n", false)] {
        link.handle_connected(Instant::now());
        let ticket = submit(&mut link, 1, 1);
        send_all(&mut link);
        receive(&mut link, reply).unwrap();
        assert_eq!(link.has_answered(), answered, "{}", reply.escape_ascii());
        link.abandon(ticket);
        link.handle_lost(&Error::closed_by_peer(Outcome::MaybeExecuted));
    }
}

#[test]
fn what_is_queued_goes_over_the_next_connection_once_all_before_is_answered() {
    let mut link = link();
    assert!(link.is_quiet());
    let (a, b) = (submit(&mut link, 1, 1), submit(&mut link, 2, 2));
    assert!(link.is_quiet(), "nothing was taken to be written");
    send_all(&mut link);
    let (c, d) = (submit(&mut link, 3, 1), submit(&mut link, 4, 1));
    link.abandon(c);
    assert!(!link.is_quiet());
    assert_eq!(receive(&mut link, b":1\r\n:2\r\n").unwrap(), [1]);
    assert!(!link.is_quiet(), "one has half of its replies");
    assert_eq!(receive(&mut link, b":3\r\n").unwrap(), [2]);
    assert!(link.is_quiet());
    link.handle_interrupted(&Error::closed_by_peer(Outcome::MaybeExecuted));
    let mut woken = Vec::new();
    link.poll_woken(&mut woken);
    assert!(woken.is_empty(), "no request fails");
    link.handle_connected(Instant::now());
    let mut outbox = Outbox::default();
    assert!(link.poll_transmit(&mut outbox));
    assert_eq!(outbox.to_bytes(), b"0123456789", "the one that was given up is not sent");
    link.handle_sent(outbox.len());
    assert_eq!(receive(&mut link, b":5\r\n").unwrap(), [4]);
    assert_eq!(redeem(&mut link, d).unwrap().read::<i64>().unwrap(), 5);
    assert_eq!(redeem(&mut link, a).unwrap().read::<i64>().unwrap(), 1);
    assert_eq!(redeem(&mut link, b).unwrap().read_at::<i64>(1).unwrap(), 3);
    assert!(link.is_idle());
}
