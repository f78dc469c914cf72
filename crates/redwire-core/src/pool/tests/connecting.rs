//! Who may connect, and when: limits, outages, servers with too many clients, and connections kept warm.

use super::*;

#[test]
fn so_many_connect_at_a_time_and_no_more() {
    let mut scene = Scene::new(PoolLimits { max: 4, max_connecting: 2, ..LIMITS });
    let (a, b) = (scene.may_connect(), scene.may_connect());
    let fail = WhenExhausted::Fail;
    let Ok(Acquired::Queued(third)) = scene.pool.acquire(None, fail, 3, scene.now, 0) else {
        panic!("it waits where the limit is not reached");
    };
    let fourth = scene.queued(4);
    scene.pool.handle_connected(&a, scene.now, 0);
    assert_eq!((scene.woken(), scene.counts()), (vec![3], [3, 0, 1, 2, 1]));
    scene.refuse(b);
    assert_eq!(scene.counts(), [2, 0, 1, 1, 1], "an outage: one at a time");
    let third = scene.granted_connect(third);
    scene.pool.handle_connected(&third, scene.now, 0);
    assert_eq!(scene.counts(), [3, 0, 2, 1, 0]);
    let _fourth = scene.granted_connect(fourth);
}

#[test]
fn during_an_outage_one_connects_a_pause_and_the_oldest_keeps_the_time() {
    let mut scene = Scene::new(LIMITS);
    let permit = scene.may_connect();
    let (first, second, third);
    {
        let _others = (scene.may_connect(), scene.may_connect());
        (first, second, third) = (scene.queued(1), scene.queued(2), scene.queued(3));
        assert_eq!(scene.pool.poll_timeout(), None);
        scene.refuse(permit);
        assert_eq!(scene.woken(), [1], "it does not know of the turn yet");
        assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE));
        let first = scene.waits(first);
        scene.give_up(first);
        assert_eq!(scene.woken(), [2], "now it is the one to keep the time");
        scene.later(PAUSE / 2);
        assert!(scene.woken().is_empty());
        scene.later(PAUSE / 2);
        assert_eq!(scene.woken(), [2]);
    }
    let permit = scene.granted_connect(second);
    scene.refuse(permit);
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE));
    scene.later(PAUSE);
    let permit = scene.granted_connect(third);
    scene.pool.handle_connected(&permit, scene.now, 0);
    assert_eq!(scene.pool.figures().failed, 2);
}

#[test]
fn a_newcomer_does_not_take_the_turn_of_one_who_waits() {
    let mut scene = Scene::new(LIMITS);
    let permit = scene.may_connect();
    scene.refuse(permit);
    let first = scene.queued(1);
    scene.now += PAUSE;
    let second = scene.queued(2);
    scene.later(Duration::ZERO);
    let _permit = scene.granted_connect(first);
    scene.give_up(second);
}

#[test]
fn when_the_one_who_keeps_the_time_is_served_the_next_keeps_it() {
    let mut scene = Scene::new(PoolLimits { max_connecting: 1, ..LIMITS });
    let a = scene.connected();
    let permit = scene.may_connect();
    let (first, second) = (scene.queued(1), scene.queued(2));
    scene.refuse(permit);
    assert_eq!(scene.woken(), [1]);
    scene.release(a);
    assert_eq!(scene.woken(), [1, 2]);
    let _a = scene.granted(first);
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE));
    scene.later(PAUSE);
    let _permit = scene.granted_connect(second);
}

#[test]
fn when_an_outage_ends_all_connect_at_once() {
    let mut scene = Scene::new(LIMITS);
    let permit = scene.may_connect();
    scene.refuse(permit);
    let (first, second, third) = (scene.queued(1), scene.queued(2), scene.queued(3));
    scene.later(PAUSE);
    let permit = scene.granted_connect(first);
    assert_eq!(scene.counts(), [1, 0, 0, 1, 2]);
    scene.woken();
    scene.pool.handle_connected(&permit, scene.now, 0);
    assert_eq!((scene.woken(), scene.counts()), (vec![2, 3], [3, 0, 1, 2, 0]));
    let _both = (scene.granted_connect(second), scene.granted_connect(third));
}

#[test]
fn those_who_fail_together_make_the_pause_longer_once() {
    let backoff = Backoff::exponential(PAUSE, PAUSE * 100);
    let mut scene = Scene::new(PoolLimits { backoff, ..LIMITS });
    let permits = [scene.may_connect(), scene.may_connect(), scene.may_connect()];
    scene.later(PAUSE);
    permits.into_iter().for_each(|permit| scene.refuse(permit));
    let claim = scene.queued(1);
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE));
    scene.later(PAUSE);
    let permit = scene.granted_connect(claim);
    scene.refuse(permit);
    let _claim = scene.queued(2);
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE * 2));
}

#[test]
fn a_turn_that_was_not_used_is_for_the_next() {
    let mut scene = Scene::new(LIMITS);
    let permit = scene.may_connect();
    scene.refuse(permit);
    let (first, second, third) = (scene.queued(1), scene.queued(2), scene.queued(3));
    scene.later(PAUSE);
    let permit = scene.granted_connect(first);
    scene.discard(permit, Closing::Lost);
    let permit = scene.granted_connect(second);
    assert!(scene.fail(permit, Error::timeout(Outcome::NotSent)).is_err());
    scene.give_up(third);
    let _permit = scene.may_connect();
    assert_eq!(scene.counts(), [1, 0, 0, 1, 0]);
}

#[test]
fn what_time_will_not_mend_fails_all_and_refuses_newcomers_until_the_turn() {
    let mut scene = Scene::new(PoolLimits { max_connecting: 1, ..LIMITS });
    let a = scene.connected();
    let permit = scene.may_connect();
    let (first, second) = (scene.queued(1), scene.queued(2));
    assert!(scene.fail(permit, failure(WRONG_PASSWORD)).is_err());
    assert_eq!(scene.woken(), [1, 2]);
    assert_eq!(scene.refused(first).kind(), WRONG_PASSWORD);
    assert_eq!(scene.refused(second).kind(), WRONG_PASSWORD);
    assert_eq!(scene.acquire(3).unwrap_err().kind(), WRONG_PASSWORD);
    scene.release(a);
    assert_eq!(scene.ready().1, 1, "who need not connect is served");
    scene.later(PAUSE);
    let _permit = scene.may_connect();
    assert_eq!(scene.counts(), [2, 0, 1, 1, 0]);
}

#[test]
fn with_too_many_clients_the_pool_shrinks_and_waiters_are_served_by_what_lives() {
    let mut scene = Scene::new(LIMITS);
    let a = scene.connected();
    let permit = scene.may_connect();
    let other = scene.may_connect();
    let second = scene.queued(2);
    let too_many = || failure(ErrorKind::MaxClients);
    let first = scene.fail(permit, too_many()).expect("it goes on waiting");
    assert_eq!(scene.counts(), [2, 0, 1, 1, 2]);
    let nobody = scene.pool.handle_connect_failed(other, too_many(), None, scene.now, 0);
    assert_eq!(nobody.unwrap_err().kind(), ErrorKind::MaxClients);
    scene.release(a);
    let a = scene.granted(first);
    scene.release(a);
    let a = scene.granted(second);
    scene.discard(a.0, Closing::Lost);
    scene.later(PAUSE);
    let permit = scene.may_connect();
    assert!(scene.fail(permit, too_many()).is_err(), "nothing lives that could serve it");
    assert_eq!(scene.counts(), [0; 5]);
}

#[test]
fn one_who_may_not_connect_takes_what_became_idle_meanwhile() {
    let mut scene = Scene::new(LIMITS);
    let (a, permit) = (scene.connected(), scene.may_connect());
    scene.release(a);
    let claim = scene.fail(permit, failure(ErrorKind::MaxClients)).expect("it goes on waiting");
    assert_eq!(scene.granted(claim).1, 1);
}

#[test]
fn so_many_are_kept_warm() {
    let mut scene = Scene::new(PoolLimits { min_idle: 2, idle: Some(PAUSE * 10), ..LIMITS });
    let a = scene.pool.poll_warm(scene.now, 0).expect("the first");
    let b = scene.pool.poll_warm(scene.now, 0).expect("the second");
    assert!(scene.pool.poll_warm(scene.now, 0).is_none());
    scene.pool.handle_connected(&a, scene.now, 0);
    scene.release((a, 1));
    assert!(scene.pool.handle_connect_failed(b, refused(), None, scene.now, 0).is_err());
    assert!(scene.pool.poll_warm(scene.now, 0).is_none(), "during an outage it waits for its turn");
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + PAUSE));
    scene.later(PAUSE);
    let b = scene.pool.poll_warm(scene.now, 0).expect("its turn");
    assert!(scene.pool.handle_connect_failed(b, failure(WRONG_PASSWORD), None, scene.now, 0).is_err());
    scene.later(PAUSE);
    assert!(scene.pool.poll_warm(scene.now, 0).is_none(), "what is hopeless is not tried for nobody");
    let b = scene.connected_beside(1);
    scene.release(b);
    assert_eq!(scene.counts(), [2, 2, 0, 0, 0]);
    assert!(scene.pool.poll_warm(scene.now, 0).is_none());
    scene.later(PAUSE * 10);
    assert_eq!(scene.retired().len(), 2);
    assert!(scene.pool.poll_warm(scene.now, 0).is_some(), "they are made anew");
}

impl Scene {
    /// A new connection, made while `idle` others are idle.
    fn connected_beside(&mut self, idle: usize) -> (Permit, u32) {
        let taken: Vec<_> = (0..idle).map(|_| self.ready()).collect();
        let made = self.connected();
        taken.into_iter().for_each(|taken| self.release(taken));
        (made.0, made.1 + 100)
    }
}
