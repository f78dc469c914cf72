//! Dialing: the order of the addresses, the delays between them, and what is told when all fail.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const A: &str = "10.0.0.1:6379";
const B: &str = "10.0.0.2:6379";
const C: &str = "10.0.0.3:6379";
const V6: &str = "[2001:db8::1]:6379";
const W6: &str = "[2001:db8::2]:6379";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn dial(addresses: &[&str]) -> (Dial, Instant) {
    (Dial::new(addresses.iter().map(|text| address(text)).collect()), Instant::now())
}

fn failure(fault: ConnectionFault, message: &str) -> Error {
    Error::new(ErrorKind::Connection(fault), Outcome::NotSent, message)
}

fn refused() -> Error {
    failure(ConnectionFault::Refused, "refused")
}

/// All addresses in the order of their starts, each as soon as its time has come.
fn order(dial: &mut Dial, mut now: Instant) -> Vec<SocketAddr> {
    let mut started = Vec::new();
    loop {
        started.extend(dial.poll_start(now));
        match dial.poll_timeout() {
            Some(later) => now = later,
            None => return started,
        }
    }
}

#[test]
fn families_take_turns_and_the_first_begins() {
    let table: [(&[&str], &[&str]); 6] = [
        (&[], &[]),
        (&[A], &[A]),
        (&[A, B, V6, W6], &[A, V6, B, W6]),
        (&[V6, W6, A, B, C], &[V6, A, W6, B, C]),
        (&[V6, A, B, C], &[V6, A, B, C]),
        (&[A, V6, A, V6, B, A], &[A, V6, B]),
    ];
    for (given, expected) in table {
        let (mut dial, now) = dial(given);
        let expected: Vec<_> = expected.iter().map(|text| address(text)).collect();
        assert_eq!(order(&mut dial, now), expected, "{given:?}");
    }
}

#[test]
fn a_silent_address_costs_one_delay() {
    let (mut dial, now) = dial(&[A, B, C]);
    assert_eq!(dial.poll_start(now), Some(address(A)));
    assert_eq!(dial.poll_timeout(), Some(now + Dial::DELAY));
    assert_eq!(dial.poll_start(now + Dial::DELAY - Duration::from_nanos(1)), None);
    // A little late: the next delay begins with the start, not with when it was due.
    let late = now + Dial::DELAY + Duration::from_millis(7);
    assert_eq!(dial.poll_start(late), Some(address(B)));
    assert_eq!(dial.poll_start(late), None);
    assert_eq!(dial.poll_timeout(), Some(late + Dial::DELAY));
    assert_eq!(dial.poll_start(late + Dial::DELAY), Some(address(C)));
    assert_eq!(dial.poll_timeout(), None, "there is nothing more to start");
    assert!(dial.poll_failed().is_none(), "all three are under way");
}

#[test]
fn the_next_starts_at_once_when_nothing_is_under_way() {
    let (mut dial, start) = dial(&[A, B, C]);
    let now = start + Duration::from_millis(10);
    assert_eq!(dial.poll_start(start), Some(address(A)));
    dial.handle_failure(address(A), refused(), now);
    assert_eq!(dial.poll_timeout(), Some(now));
    assert_eq!(dial.poll_start(now), Some(address(B)));
    assert_eq!(dial.poll_start(now), None, "one at a time");
    let later = now + Dial::DELAY;
    assert_eq!(dial.poll_start(later), Some(address(C)));
    dial.handle_failure(address(C), refused(), later);
    assert!(dial.poll_failed().is_none(), "one is still under way");
    dial.handle_failure(address(B), refused(), later);
    assert!(dial.poll_failed().is_some());
}

#[test]
fn while_another_is_under_way_the_delay_holds() {
    let (mut dial, start) = dial(&[A, B, C]);
    let now = start + Dial::DELAY;
    assert_eq!((dial.poll_start(start), dial.poll_start(now)), (Some(address(A)), Some(address(B))));
    dial.handle_failure(address(B), refused(), now);
    assert_eq!(dial.poll_start(now), None);
    assert_eq!(dial.poll_timeout(), Some(now + Dial::DELAY));
}

#[test]
fn a_failure_counts_once_and_only_of_what_was_started() {
    let (mut dial, now) = dial(&[A, B]);
    assert_eq!(dial.poll_start(now), Some(address(A)));
    dial.handle_failure(address(B), refused(), now);
    assert_eq!(dial.poll_start(now), None);
    dial.handle_failure(address(A), failure(ConnectionFault::Reset, "reset"), now);
    dial.handle_failure(address(A), refused(), now);
    assert_eq!(dial.poll_start(now), Some(address(B)));
    dial.handle_failure(address(B), failure(ConnectionFault::Reset, "reset"), now);
    let error = dial.poll_failed().expect("all failed");
    assert_eq!(
        error.message(),
        "none of 2 addresses can be reached: 10.0.0.1:6379 (reset); 10.0.0.2:6379 (reset)"
    );
}

/// What is told when each of `failures` is of an address of its own.
fn told(failures: &[Error]) -> Error {
    let (mut dial, now) = dial(&[A, B, C][..failures.len()]);
    for failure in failures {
        assert!(dial.poll_failed().is_none());
        let address = dial.poll_start(now).expect("the next starts at once");
        dial.handle_failure(address, failure.clone(), now);
    }
    dial.poll_failed().expect("all failed")
}

#[test]
fn the_most_telling_failure_gives_its_kind() {
    use ConnectionFault::{Io, Refused, Reset, Timeout};
    let table: [(&[ConnectionFault], ConnectionFault); 7] = [
        (&[Timeout, Refused], Refused),
        (&[Refused, Timeout], Refused),
        (&[Io, Refused], Refused),
        (&[Io, Timeout], Timeout),
        (&[Io, Timeout, Reset], Reset),
        (&[Reset, Refused], Reset),
        (&[Io, Io], Io),
    ];
    for (faults, expected) in table {
        let failures: Vec<_> = faults.iter().map(|fault| failure(*fault, "no")).collect();
        assert_eq!(told(&failures).kind(), ErrorKind::Connection(expected), "{faults:?}");
    }
}

#[test]
fn every_address_is_named_and_the_cause_is_chained() {
    let error = told(&[failure(ConnectionFault::Io, "no route"), refused()]);
    assert_eq!(
        error.to_string(),
        "none of 2 addresses can be reached: 10.0.0.1:6379 (no route); 10.0.0.2:6379 (refused) (not sent)"
    );
    let source = std::error::Error::source(&error).expect("a source");
    assert_eq!(source.to_string(), refused().to_string());
}

#[test]
fn one_address_needs_no_list() {
    let error = told(&[failure(ConnectionFault::Timeout, "too late")]);
    assert_eq!(
        (error.message(), error.kind()),
        ("too late", ErrorKind::Connection(ConnectionFault::Timeout))
    );
}

#[test]
fn no_address_is_a_failure_of_the_name() {
    let (mut dial, now) = dial(&[]);
    assert_eq!((dial.poll_start(now), dial.poll_timeout()), (None, None));
    let error = dial.poll_failed().expect("nothing to try");
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Dns));
    assert_eq!(error.outcome(), Outcome::NotSent);
}

proptest! {
    /// Every address is tried exactly once, and within a family in the order given.
    #[test]
    fn nothing_is_left_out(hosts in prop::collection::vec((any::<bool>(), 0..6_u16), 0..12)) {
        let given: Vec<SocketAddr> = hosts
            .iter()
            .map(|(ipv4, host)| match ipv4 {
                true => SocketAddr::from(([10, 0, 0, *host as u8], 1)),
                false => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, *host], 1)),
            })
            .collect();
        let started = order(&mut Dial::new(given.clone()), Instant::now());
        let mut seen = HashSet::new();
        let unique: Vec<_> = given.into_iter().filter(|address| seen.insert(*address)).collect();
        for ipv4 in [true, false] {
            let family = |all: &[SocketAddr]| -> Vec<SocketAddr> {
                all.iter().copied().filter(|address| address.is_ipv4() == ipv4).collect()
            };
            prop_assert_eq!(family(&started), family(&unique));
        }
        let turns = started.windows(2).take_while(|pair| pair[0].is_ipv4() != pair[1].is_ipv4()).count();
        let fewer = started.iter().filter(|address| address.is_ipv4()).count();
        let fewer = fewer.min(started.len() - fewer);
        prop_assert!(turns + 1 >= 2 * fewer, "the families do not take turns: {started:?}");
    }
}
