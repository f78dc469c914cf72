//! The place of a connection: no history makes more attempts than the pauses allow, and none leaves it
//! without a way out.

use proptest::prelude::*;

use super::*;
use crate::error::{AuthenticationFault, ConnectionFault, ErrorKind, Outcome};

const MS: Duration = Duration::from_millis(1);
const BACKOFF: Backoff = Backoff::equal_jitter(Duration::from_millis(10), Duration::from_secs(1));

fn refused() -> Error {
    Error::new(ErrorKind::Connection(ConnectionFault::Refused), Outcome::NotSent, "no")
}

fn wrong_password() -> Error {
    Error::new(ErrorKind::Authentication(AuthenticationFault::WrongPassword), Outcome::NotSent, "no")
}

#[derive(Clone, Copy, Debug)]
enum Attempt {
    /// Refused after so long.
    Fails(u64),
    /// Connected after so long, and hung up so long after that without an answer.
    HangsUp(u64, u64),
}

fn attempts() -> impl Strategy<Value = Vec<(Attempt, u64)>> {
    let attempt = prop_oneof![
        (0_u64..20).prop_map(Attempt::Fails),
        (0_u64..20, 0_u64..900).prop_map(|(connecting, up)| Attempt::HangsUp(connecting, up)),
    ];
    prop::collection::vec((attempt, any::<u64>()), 100)
}

proptest! {
    #[test]
    fn whatever_the_server_does_pauses_grow_until_it_serves(history in attempts()) {
        let mut keeper = Keeper::new(BACKOFF, None);
        let begin = Instant::now();
        let (mut now, mut times) = (begin, Vec::new());
        for (attempt, random) in history {
            match keeper.poll_connect(now, random) {
                WhenToConnect::Now => {}
                WhenToConnect::At(next) => {
                    prop_assert!(next > now && next <= now + Duration::from_secs(1));
                    now = next;
                    prop_assert!(matches!(keeper.poll_connect(now, random), WhenToConnect::Now));
                }
                other => prop_assert!(false, "{other:?}"),
            }
            times.push(now - begin);
            match attempt {
                Attempt::Fails(after) => {
                    now += MS * after as u32;
                    keeper.handle_failed(refused(), now, random);
                }
                Attempt::HangsUp(connecting, up) => {
                    now += MS * connecting as u32;
                    keeper.handle_connected(now, random);
                    now += MS * up as u32;
                    keeper.handle_lost(refused(), false, now, random);
                }
            }
        }
        // Half of the cap at least lies between two of them once the pauses have grown.
        for pair in times[8..].windows(2) {
            prop_assert!(pair[1] - pair[0] >= Duration::from_millis(500), "{:?}", &times[..12]);
        }
    }
}

#[test]
fn an_answer_ends_an_outage_and_so_does_a_long_life() {
    for (answered, lived, pause) in [(true, 0, 10), (false, 1000, 10), (false, 999, 40), (false, 0, 40)] {
        let mut keeper = Keeper::new(Backoff::exponential(10 * MS, 1000 * MS), None);
        let mut now = Instant::now();
        for _ in 0..2 {
            let _ = keeper.poll_connect(now, 0);
            keeper.handle_failed(refused(), now, 0);
            now += Duration::from_secs(1);
        }
        assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::Now));
        keeper.handle_connected(now, 0);
        now += MS * lived;
        keeper.handle_lost(refused(), answered, now, 0);
        assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::At(next) if next == now + MS * pause));
    }
}

#[test]
fn what_time_will_not_mend_is_tried_again_once_it_is_asked_for() {
    let (mut keeper, now) = (Keeper::new(BACKOFF, None), Instant::now());
    let _ = keeper.poll_connect(now, 0);
    keeper.handle_failed(wrong_password(), now, 0);
    let WhenToConnect::At(next) = keeper.poll_connect(now, 0) else { panic!("a pause comes first") };
    assert!(matches!(keeper.poll_connect(next, 0), WhenToConnect::Asked));
    assert!(keeper.ask() && !keeper.ask());
    assert!(matches!(keeper.poll_connect(next, 0), WhenToConnect::Now));
}

#[test]
fn another_server_is_tried_at_once() {
    let (mut keeper, now) = (Keeper::new(BACKOFF, None), Instant::now());
    let _ = keeper.poll_connect(now, 0);
    keeper.handle_failed(wrong_password(), now, 0);
    keeper.handle_moved();
    assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::Now));
    keeper.handle_connected(now, 0);
    keeper.handle_left();
    assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::Now));
}

#[test]
fn what_a_connection_is_cut_for_is_met_with_pauses_too() {
    let mut keeper = Keeper::new(Backoff::exponential(10 * MS, 1000 * MS), None);
    let mut now = Instant::now();
    for pause in [10, 20, 40] {
        assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::Now));
        keeper.handle_connected(now, 0);
        keeper.cut(refused());
        assert!(keeper.poll_cut().is_some() && keeper.poll_cut().is_none());
        keeper.handle_lost(refused(), true, now, 0);
        assert!(keeper.is_down());
        assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::At(next) if next == now + MS * pause));
        now += MS * pause;
    }
}

#[test]
fn it_is_down_once_an_attempt_has_failed() {
    let (mut keeper, now) = (Keeper::new(BACKOFF, None), Instant::now());
    assert!(!keeper.is_down());
    for served in [true, false] {
        let _ = keeper.poll_connect(now, 0);
        keeper.handle_connected(now, 0);
        assert!(!keeper.is_down() && keeper.error().is_none());
        keeper.handle_lost(refused(), served, now, 0);
        assert!(keeper.is_down() != served && keeper.error().is_some());
    }
    keeper.handle_left();
    assert!(!keeper.is_down() && keeper.error().is_none());
    keeper.handle_failed(refused(), now, 0);
    assert!(keeper.is_down());
    keeper.handle_moved();
    assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::Now) && !keeper.is_down());
}

#[test]
fn a_connection_goes_when_it_is_cut_or_too_old() {
    let (mut keeper, now) = (Keeper::new(BACKOFF, Some(Duration::from_secs(10))), Instant::now());
    let _ = keeper.poll_connect(now, 0);
    keeper.handle_connected(now, 0);
    assert_eq!(keeper.expires(), Some(now + Duration::from_secs(9)));
    assert!(keeper.poll_cut().is_none());
    keeper.cut(refused());
    assert!(keeper.poll_cut().is_some() && keeper.poll_cut().is_none());
    keeper.close();
    keeper.handle_left();
    assert!(matches!(keeper.poll_connect(now, 0), WhenToConnect::Done));
}
