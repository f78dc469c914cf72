//! When connections are made: limits, outages, servers with too many clients, and connections kept warm.

use super::*;

#[test]
fn so_many_connect_at_a_time_and_no_more() {
    let mut scene = Scene::new(PoolLimits { max: 4, max_connecting: 2, ..LIMITS });
    let ((_, a), (second, b)) = (scene.connecting(1), scene.connecting(2));
    let Ok(Acquired::Queued(third)) = scene.acquire_as(impatient(), 3) else {
        panic!("it waits where the limit is not reached");
    };
    let _fourth = scene.queued(4);
    assert!(scene.may_connect().is_none());
    scene.woken();
    scene.connect(a);
    assert_eq!((scene.woken(), scene.counts()), (vec![1, 2], [2, 0, 1, 1, 3]));
    let c = scene.may_connect().unwrap();
    assert!(scene.may_connect().is_none());
    scene.refuse(b);
    assert_eq!(scene.counts(), [2, 0, 1, 1, 3], "an outage: no other before the pause is over");
    assert!(scene.may_connect().is_none());
    scene.connect(c);
    let _second = scene.granted(second);
    assert!(scene.may_connect().is_none(), "this one began before the failure was known");
    scene.later(PAUSE);
    assert!(scene.may_connect().is_some());
    let _third = scene.waits(third);
}

#[test]
fn during_an_outage_one_connects_a_pause_and_the_oldest_keeps_the_time() {
    let mut scene = Scene::new(LIMITS);
    let (first, permit) = scene.connecting(1);
    let (second, third) = (scene.queued(2), scene.queued(3));
    scene.woken();
    assert_eq!(scene.pool.poll_timeout(), None);
    scene.refuse(permit);
    assert_eq!(scene.woken(), [1], "it does not know of the turn yet");
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE));
    let first = scene.waits(first);
    scene.give_up(first);
    assert_eq!(scene.woken(), [2], "now it is the one to keep the time");
    scene.later(PAUSE / 2);
    assert!(scene.woken().is_empty() && scene.may_connect().is_none());
    scene.later(PAUSE / 2);
    assert_eq!(scene.woken(), [2]);
    let permit = scene.may_connect().unwrap();
    assert!(scene.may_connect().is_none(), "one in a pause");
    scene.refuse(permit);
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE));
    scene.later(PAUSE);
    let permit = scene.may_connect().unwrap();
    scene.connect(permit);
    let _second = scene.granted(second);
    let _third = scene.waits(third);
    assert_eq!(scene.pool.stats().failed, 2);
}

#[test]
fn one_that_comes_at_the_turn_does_not_take_it_from_one_that_waits() {
    let mut scene = Scene::new(LIMITS);
    let (first, permit) = scene.connecting(1);
    scene.refuse(permit);
    scene.now += PAUSE;
    let second = scene.queued(2);
    let permit = scene.may_connect().unwrap();
    scene.connect(permit);
    let _first = scene.granted(first);
    scene.give_up(second);
}

#[test]
fn when_the_one_that_keeps_the_time_is_served_the_next_keeps_it() {
    let mut scene = Scene::new(PoolLimits { max_connecting: 1, ..LIMITS });
    let a = scene.connected();
    let (first, permit) = scene.connecting(1);
    let _second = scene.queued(2);
    scene.woken();
    scene.refuse(permit);
    assert_eq!(scene.woken(), [1]);
    scene.release(a);
    assert_eq!(scene.woken(), [1, 2]);
    let _a = scene.granted(first);
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE));
    scene.later(PAUSE);
    assert_eq!(scene.woken(), [2]);
    assert!(scene.may_connect().is_some());
}

/// Down, with one attempt under way at the turn, and two more callers that wait.
fn at_the_turn() -> (Scene, [QueueClaim; 3], Permit) {
    let backoff = Backoff::exponential(PAUSE, PAUSE * 8);
    let mut scene = Scene::new(PoolLimits { max: 9, backoff, ..LIMITS });
    let (first, permit) = scene.connecting(1);
    scene.refuse(permit);
    let (second, third) = (scene.queued(2), scene.queued(3));
    scene.later(PAUSE);
    let permit = scene.may_connect().unwrap();
    assert!(scene.may_connect().is_none());
    (scene, [first, second, third], permit)
}

#[test]
fn a_connection_lets_others_connect_one_at_a_time_until_it_has_proved_itself() {
    let (mut scene, [first, second, _], permit) = at_the_turn();
    assert!(scene.pool.outage.is_on());
    scene.connect(permit);
    let first = scene.granted(first);
    let permit = scene.may_connect().expect("at once");
    assert!(scene.may_connect().is_none());
    scene.connect(permit);
    let _second = scene.granted(second);
    assert!(scene.pool.outage.is_on(), "no connection has served yet");
    scene.lose(first.0, true);
    assert!(!scene.pool.outage.is_on(), "it had served");
    let _fourth = scene.queued(4);
    assert!(scene.may_connect().is_some() && scene.may_connect().is_some(), "as many as are wanted");
}

#[test]
fn a_connection_that_lives_for_long_ends_the_outage() {
    let (mut scene, [first, ..], permit) = at_the_turn();
    scene.connect(permit);
    let _first = scene.granted(first);
    scene.later(PAUSE * 8);
    assert!(scene.may_connect().is_some());
    assert!(!scene.pool.outage.is_on());
    assert!(scene.may_connect().is_some());
}

#[test]
fn a_connection_that_is_lost_before_it_served_is_one_more_failure() {
    let (mut scene, [first, ..], permit) = at_the_turn();
    scene.connect(permit);
    let first = scene.granted(first);
    scene.later(PAUSE);
    scene.lose(first.0, false);
    assert!(scene.may_connect().is_none());
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE * 2), "the second pause");
    assert_eq!((scene.pool.stats().failed, scene.closed(CloseReason::Lost)), (1, 1));
}

#[test]
fn what_the_first_user_of_a_connection_heard_does_not_turn_others_away() {
    let mut scene = Scene::new(LIMITS);
    let (permit, _) = scene.connected();
    let nonsense = Error::new(ErrorKind::Protocol, Outcome::MaybeExecuted, "expected a length");
    scene.pool.handle_lost(permit, false, nonsense, scene.now, 0);
    // It is one failure, so the next attempt comes after a pause; a caller waits for it.
    let claim = scene.queued(1);
    assert!(scene.may_connect().is_none());
    scene.later(PAUSE);
    let permit = scene.may_connect().expect("the right to connect");
    scene.connect(permit);
    let _served = scene.granted(claim);
}

#[test]
fn each_that_is_lost_before_it_served_makes_the_pause_longer() {
    let backoff = Backoff::exponential(PAUSE, PAUSE * 8);
    let mut scene = Scene::new(PoolLimits { backoff, ..LIMITS });
    for (pause, must_answer) in [(1, false), (2, false), (4, false), (8, false), (8, false), (8, true)] {
        assert_eq!(scene.pool.must_answer(), must_answer);
        let (permit, _) = scene.connected();
        scene.lose(permit, false);
        let claim = scene.queued(1);
        assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE * pause));
        scene.give_up(claim);
        scene.later(PAUSE * pause);
    }
    // What served, or lived for long, was a connection.
    for (lives, answered) in [(0, true), (8, false)] {
        let (permit, _) = scene.connected();
        scene.now += PAUSE * lives;
        scene.lose(permit, answered);
        let (claim, permit) = scene.connecting(1);
        scene.connect(permit);
        let again = scene.granted(claim);
        scene.discard(again.0, CloseReason::Disconnected);
    }
}

#[test]
fn a_loss_of_long_ago_says_nothing_about_an_outage() {
    let mut scene = Scene::new(LIMITS);
    let (a, b) = (scene.connected(), scene.connected());
    scene.later(PAUSE * 9);
    let (_claim, permit) = scene.connecting(1);
    scene.refuse(permit);
    scene.lose(a.0, true);
    assert!(scene.pool.outage.is_on() && scene.may_connect().is_none(), "it served before the outage");
    scene.pool.handle_moved(scene.now);
    assert!(!scene.pool.outage.is_on());
    scene.lose(b.0, false);
    assert!(!scene.pool.outage.is_on(), "it led to another server");
}

#[test]
fn those_that_fail_together_make_the_pause_longer_once() {
    let backoff = Backoff::exponential(PAUSE, PAUSE * 100);
    let mut scene = Scene::new(PoolLimits { backoff, ..LIMITS });
    let attempts = [scene.connecting(1), scene.connecting(2), scene.connecting(3)];
    scene.later(PAUSE);
    attempts.into_iter().for_each(|(_, permit)| scene.refuse(permit));
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE));
    scene.later(PAUSE);
    let permit = scene.may_connect().unwrap();
    scene.refuse(permit);
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE * 2));
}

#[test]
fn a_turn_that_was_not_used_is_for_the_next() {
    let mut scene = Scene::new(LIMITS);
    let (_first, permit) = scene.connecting(1);
    scene.refuse(permit);
    scene.later(PAUSE);
    let permit = scene.may_connect().unwrap();
    scene.woken();
    scene.discard(permit, CloseReason::Lost);
    assert_eq!(scene.woken(), [1]);
    assert!(scene.may_connect().is_some());
    assert_eq!(scene.counts(), [1, 0, 0, 1, 1]);
}

#[test]
fn a_waiter_that_connects_itself_is_granted_nothing_meanwhile() {
    let mut scene = Scene::new(LIMITS);
    let a = scene.connected();
    let (first, second) = (scene.queued(1), scene.queued(2));
    let own = scene.pool.poll_connect(Some(&first), scene.now, 0).unwrap();
    scene.woken();
    scene.release(a);
    assert_eq!(scene.woken(), [2], "the first would not look");
    let second = scene.granted(second);
    scene.release(second);
    assert_eq!(scene.counts(), [2, 1, 0, 1, 1]);
    let third = scene.ready();
    scene.release(third);
    scene.refuse(own);
    let first = scene.waits(first);
    scene.pool.resume(&first, scene.now);
    assert_eq!(scene.granted(first).1, 1, "idle meanwhile");
    let first = scene.queued(4);
    assert!(scene.pool.poll_connect(Some(&first), scene.now, 0).is_none());
    scene.later(PAUSE);
    assert!(scene.pool.poll_connect(Some(&first), scene.now, 0).is_some());
    scene.give_up(first);
    assert!(!scene.pool.queue.has_free());
}

#[test]
fn one_that_wants_to_be_told_is_told_of_the_first_failure() {
    let mut scene = Scene::new(LIMITS);
    let (first, permit) = scene.connecting(1);
    let Ok(Acquired::Queued(second)) = scene.acquire_as(AcquireLimit::default().told(), 2) else {
        panic!("it waits")
    };
    scene.refuse(permit);
    let _first = scene.waits(first);
    assert_eq!(scene.refused(second).kind(), refused().kind());
    assert_eq!(scene.counts()[4], 1);
}

#[test]
fn a_pool_that_fails_fast_tells_all_and_refuses_newcomers_until_the_turn() {
    let mut scene = Scene::new(PoolLimits { fail_fast: true, ..LIMITS });
    let (first, permit) = scene.connecting(1);
    let second = scene.queued(2);
    scene.refuse(permit);
    assert_eq!(scene.refused(first).kind(), refused().kind());
    assert_eq!(scene.refused(second).kind(), refused().kind());
    assert_eq!(scene.acquire(3).unwrap_err().kind(), refused().kind());
    scene.later(PAUSE);
    let (fourth, permit) = scene.connecting(4);
    assert_eq!(scene.acquire(5).unwrap_err().kind(), refused().kind(), "the turn is taken");
    scene.connect(permit);
    let (fourth, _) = scene.granted(fourth);
    let (_sixth, _permit) = scene.connecting(6);
    scene.lose(fourth, false);
    assert_eq!(scene.acquire(7).unwrap_err().kind(), lost().kind());
}

#[test]
fn what_time_will_not_mend_fails_all_and_refuses_newcomers_until_the_turn() {
    let mut scene = Scene::new(PoolLimits { max_connecting: 1, ..LIMITS });
    let a = scene.connected();
    let (first, permit) = scene.connecting(1);
    let second = scene.queued(2);
    scene.woken();
    scene.fail(permit, failure(WRONG_PASSWORD));
    assert_eq!(scene.woken(), [1, 2]);
    assert_eq!(scene.refused(first).kind(), WRONG_PASSWORD);
    assert_eq!(scene.refused(second).kind(), WRONG_PASSWORD);
    assert_eq!(scene.acquire(3).unwrap_err().kind(), WRONG_PASSWORD);
    scene.release(a);
    assert_eq!(scene.ready().1, 1, "one that need not connect is served");
    scene.later(PAUSE);
    let (fourth, _permit) = scene.connecting(4);
    assert_eq!(scene.acquire(5).unwrap_err().kind(), WRONG_PASSWORD);
    assert_eq!(scene.counts(), [2, 0, 1, 1, 1]);
    let _fourth = scene.waits(fourth);
}

#[test]
fn with_too_many_clients_the_pool_shrinks_and_waiters_are_served_by_what_lives() {
    for fail_fast in [false, true] {
        let mut scene = Scene::new(PoolLimits { fail_fast, ..LIMITS });
        let a = scene.connected();
        let (first, permit) = scene.connecting(1);
        let Ok(Acquired::Queued(second)) = scene.acquire_as(impatient(), 2) else { panic!("it waits") };
        let third = scene.queued(3);
        scene.fail(permit, failure(ErrorKind::MaxClients));
        assert_eq!(scene.counts(), [1, 0, 1, 0, 2]);
        assert_eq!(scene.refused(second).kind(), ErrorKind::MaxClients, "it does not wait for others");
        scene.release(a);
        let a = scene.granted(first);
        scene.release(a);
        let a = scene.granted(third);
        scene.discard(a.0, CloseReason::Lost);
        scene.later(PAUSE);
        let (fourth, permit) = scene.connecting(4);
        scene.fail(permit, failure(ErrorKind::MaxClients));
        // Nothing lives that could serve it: the server has to.
        assert_eq!(scene.poll(fourth).is_ok(), fail_fast);
        assert_eq!(scene.counts()[..4], [0; 4]);
    }
}

#[test]
fn what_does_not_fit_stays_for_others_until_its_place_is_needed() {
    let mut scene = Scene::new(PoolLimits { max: 2, ..LIMITS });
    let (a, b) = (scene.connected(), scene.connected());
    scene.release(a);
    scene.release(b);
    let first = scene.pool.acquire(None, &AcquireLimit::default(), 1, |number| *number == 1, scene.now);
    let Ok(Acquired::Ready(permit, 1)) = first else { panic!("{first:?}") };
    let second = scene.pool.acquire(None, &AcquireLimit::default(), 2, |number| *number == 1, scene.now);
    let Ok(Acquired::Queued(claim)) = second else { panic!("{second:?}") };
    assert_eq!(scene.retired(), [2]);
    let own = scene.may_connect().unwrap();
    scene.connect(own);
    assert_eq!(scene.granted(claim).1, 3);
    scene.release((permit, 1));
}

#[test]
fn so_many_are_kept_warm() {
    let mut scene = Scene::new(PoolLimits { min_idle: 2, idle: Some(PAUSE * 10), ..LIMITS });
    let a = scene.pool.poll_warm(scene.now, 0).expect("the first");
    let b = scene.pool.poll_warm(scene.now, 0).expect("the second");
    assert!(scene.pool.poll_warm(scene.now, 0).is_none());
    scene.connect(a);
    scene.refuse(b);
    assert!(scene.pool.poll_warm(scene.now, 0).is_none(), "during an outage it waits for its turn");
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE));
    scene.later(PAUSE);
    let b = scene.pool.poll_warm(scene.now, 0).expect("its turn");
    scene.fail(b, failure(WRONG_PASSWORD));
    scene.later(PAUSE);
    assert!(scene.pool.poll_warm(scene.now, 0).is_none(), "what is hopeless is not tried without a caller");
    let taken = scene.ready();
    let made = scene.connected();
    scene.release(taken);
    scene.release(made);
    assert_eq!(scene.counts(), [2, 2, 0, 0, 0]);
    assert!(scene.pool.poll_warm(scene.now, 0).is_none());
    scene.later(PAUSE * 10);
    assert_eq!(scene.retired().len(), 2);
    assert!(scene.pool.poll_warm(scene.now, 0).is_some(), "they are made anew");
}
