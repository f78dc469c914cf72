//! The accounting of a pool: each rule by its name, and all together under operations of every order.

use std::time::Duration;

use super::*;
use crate::backoff::Backoff;
use crate::error::AuthenticationFault;

mod connecting;
mod model;
mod shared;

const PAUSE: Duration = Duration::from_millis(100);
const LIMITS: PoolLimits = PoolLimits {
    fail_fast: false,
    max: 3,
    max_together: None,
    min_idle: 0,
    max_connecting: 3,
    max_waiting: 1000,
    idle: None,
    lifetime: None,
    backoff: Backoff::constant(PAUSE),
};

/// A pool of numbered connections, and a clock.
struct Scene {
    pool: Pool<u32, u32>,
    now: Instant,
    made: u32,
}

impl Scene {
    fn new(limits: PoolLimits) -> Self {
        Self { pool: Pool::new(limits), now: Instant::now(), made: 0 }
    }

    fn later(&mut self, time: Duration) {
        self.now += time;
        self.pool.handle_timeout(self.now);
    }

    fn acquire(&mut self, waiter: u32) -> Result<Acquired<u32>> {
        self.acquire_as(AcquireLimit::default(), waiter)
    }

    fn acquire_as(&mut self, limit: AcquireLimit, waiter: u32) -> Result<Acquired<u32>> {
        self.pool.acquire(Some(Location::caller()), &limit, waiter, |_| true, self.now)
    }

    fn ready(&mut self) -> (Permit, u32) {
        match self.acquire(0) {
            Ok(Acquired::Ready(permit, connection)) => (permit, connection),
            other => panic!("{other:?} in place of a connection"),
        }
    }

    fn queued(&mut self, waiter: u32) -> QueueClaim {
        match self.acquire(waiter) {
            Ok(Acquired::Queued(claim)) => claim,
            other => panic!("{other:?} in place of the queue"),
        }
    }

    fn may_connect(&mut self) -> Option<Permit> {
        self.pool.poll_connect(None, self.now, 0)
    }

    /// A caller that waits, and the attempt that is made for it.
    fn connecting(&mut self, waiter: u32) -> (QueueClaim, Permit) {
        let claim = self.queued(waiter);
        (claim, self.may_connect().expect("the right to connect"))
    }

    /// The attempt worked; what it made.
    fn connect(&mut self, permit: Permit) -> u32 {
        self.made += 1;
        self.pool.handle_connected(permit, self.made, self.now, 0);
        self.made
    }

    /// A new connection, in use.
    fn connected(&mut self) -> (Permit, u32) {
        let (claim, permit) = self.connecting(0);
        self.connect(permit);
        self.woken();
        self.granted(claim)
    }

    fn release(&mut self, (permit, connection): (Permit, u32)) {
        self.pool.release(permit, connection, self.now);
    }

    fn discard(&mut self, permit: Permit, why: CloseReason) {
        self.pool.discard(permit, why, self.now);
    }

    fn fail(&mut self, permit: Permit, error: Error) {
        self.pool.handle_connect_failed(permit, error, self.now, 0);
    }

    fn refuse(&mut self, permit: Permit) {
        self.fail(permit, refused());
    }

    fn lose(&mut self, permit: Permit, answered: bool) {
        self.pool.handle_lost(permit, answered, lost(), self.now, 0);
    }

    fn give_up(&mut self, claim: QueueClaim) {
        self.pool.give_up(claim, self.now);
    }

    fn poll(&mut self, claim: QueueClaim) -> Result<Result<(Permit, u32)>, QueueClaim> {
        self.pool.poll_claim(claim, self.now, |_| {})
    }

    fn granted(&mut self, claim: QueueClaim) -> (Permit, u32) {
        match self.poll(claim) {
            Ok(Ok(granted)) => granted,
            other => panic!("{other:?} in place of a connection"),
        }
    }

    fn refused(&mut self, claim: QueueClaim) -> Error {
        match self.poll(claim) {
            Ok(Err(error)) => error,
            other => panic!("{other:?} in place of an error"),
        }
    }

    fn waits(&mut self, claim: QueueClaim) -> QueueClaim {
        self.poll(claim).expect_err("it waits")
    }

    fn woken(&mut self) -> Vec<u32> {
        let mut woken = Vec::new();
        self.pool.poll_woken(&mut woken);
        woken.dedup();
        woken
    }

    fn retired(&mut self) -> Vec<u32> {
        let mut retired: Vec<_> = std::iter::from_fn(|| self.pool.poll_retired()).collect();
        retired.sort_unstable();
        retired
    }

    /// Size, idle, in use, connecting, waiting.
    fn counts(&self) -> [usize; 5] {
        let stats = self.pool.stats();
        [stats.size, stats.idle, stats.in_use, stats.connecting, self.pool.queue.len()]
    }

    fn closed(&self, why: CloseReason) -> u64 {
        self.pool.stats().closed(why)
    }
}

fn failure(kind: ErrorKind) -> Error {
    Error::new(kind, Outcome::NotSent, "no")
}

fn refused() -> Error {
    failure(ErrorKind::Connection(ConnectionFault::Refused))
}

fn lost() -> Error {
    failure(ErrorKind::Connection(ConnectionFault::Closed))
}

/// Of a caller that does not wait while all are in use.
fn impatient() -> AcquireLimit {
    let config = crate::config::Config::from_url("redis://h?pool_timeout=0").unwrap();
    AcquireLimit::new(&config, None, Instant::now())
}

const WRONG_PASSWORD: ErrorKind = ErrorKind::Authentication(AuthenticationFault::WrongPassword);

#[test]
fn the_connection_used_last_is_used_first() {
    let mut scene = Scene::new(LIMITS);
    let (a, b) = (scene.connected(), scene.connected());
    scene.release(a);
    scene.release(b);
    assert_eq!(scene.counts(), [2, 2, 0, 0, 0]);
    let b = scene.ready();
    let a = scene.ready();
    assert_eq!((b.1, a.1), (2, 1));
    assert_eq!(scene.counts(), [2, 0, 2, 0, 0]);
    scene.release(b);
    let (permit, connection) = scene.pool.take_idle(None, scene.now).unwrap();
    assert_eq!(connection, 2);
    assert!(scene.pool.take_idle(None, scene.now).is_none());
    scene.release((permit, connection));
}

#[test]
fn callers_that_wait_are_served_in_order_and_not_overtaken() {
    let mut scene = Scene::new(PoolLimits { max: 2, ..LIMITS });
    let (a, b) = (scene.connected(), scene.connected());
    let (first, second, third) = (scene.queued(1), scene.queued(2), scene.queued(3));
    let second = scene.waits(second);
    scene.release(a);
    assert!(scene.pool.take_idle(None, scene.now).is_none(), "a newcomer");
    let fourth = scene.queued(4);
    scene.release(b);
    assert_eq!(scene.woken(), [1, 2]);
    let third = scene.waits(third);
    let (second, first) = (scene.granted(second), scene.granted(first));
    assert_eq!((first.1, second.1), (1, 2));
    scene.discard(first.0, CloseReason::Lost);
    assert_eq!(scene.woken(), [3], "it is to have another made");
    let permit = scene.may_connect().unwrap();
    scene.release(second);
    assert_eq!(scene.granted(third).1, 2);
    assert_eq!(scene.counts(), [2, 0, 1, 1, 1]);
    scene.connect(permit);
    assert_eq!(scene.woken(), [3, 4]);
    assert_eq!(scene.granted(fourth).1, 3);
}

#[test]
fn what_was_granted_to_a_caller_that_left_goes_to_the_next_or_becomes_idle() {
    let mut scene = Scene::new(PoolLimits { max: 1, ..LIMITS });
    let a = scene.connected();
    let (first, second, third) = (scene.queued(1), scene.queued(2), scene.queued(3));
    scene.give_up(second);
    scene.release(a);
    scene.give_up(first);
    assert_eq!(scene.woken(), [1, 3]);
    scene.give_up(third);
    assert_eq!(scene.counts(), [1, 1, 0, 0, 0]);
    assert_eq!(scene.pool.stats().gave_up, 3);
}

#[test]
fn an_attempt_outlives_whom_it_was_made_for() {
    let mut scene = Scene::new(PoolLimits { max: 1, ..LIMITS });
    let (first, permit) = scene.connecting(1);
    let second = scene.queued(2);
    scene.give_up(first);
    assert!(scene.may_connect().is_none());
    scene.connect(permit);
    let a = scene.granted(second);
    scene.discard(a.0, CloseReason::Dirty);
    let (third, permit) = scene.connecting(3);
    scene.give_up(third);
    assert_eq!(scene.counts(), [1, 0, 0, 1, 0]);
    scene.connect(permit);
    assert_eq!(scene.counts(), [1, 1, 0, 0, 0]);
    assert_eq!((scene.closed(CloseReason::Dirty), scene.closed(CloseReason::Lost)), (1, 0));
}

#[test]
fn callers_that_give_up_leave_no_memory_behind() {
    let mut scene = Scene::new(PoolLimits { max: 1, ..LIMITS });
    let a = scene.connected();
    let patient = scene.queued(0);
    for waiter in 1..10_000 {
        let claim = scene.queued(waiter);
        scene.give_up(claim);
    }
    assert_eq!(scene.counts()[4], 1);
    assert!(scene.pool.queue.memory() < 8, "{} slots", scene.pool.queue.memory());
    scene.release(a);
    assert_eq!(scene.granted(patient).1, 1);
}

#[test]
fn the_queue_has_a_limit() {
    let mut scene = Scene::new(PoolLimits { max: 1, max_waiting: 2, ..LIMITS });
    let _a = scene.connected();
    let (first, _second) = (scene.queued(1), scene.queued(2));
    assert_eq!(scene.acquire(3).unwrap_err().kind(), ErrorKind::QueueFull);
    scene.give_up(first);
    let _third = scene.queued(3);
}

#[test]
fn a_caller_that_will_not_wait_is_told_the_limit_and_the_longest_borrower() {
    let mut scene = Scene::new(PoolLimits { max: 2, ..LIMITS });
    let _a = scene.connecting(1);
    let error = scene.pool.obstacle(scene.now);
    assert_eq!(error.message(), "1 of 2 connections (`max_connections`) are being made");
    let mut scene = Scene::new(PoolLimits { max: 2, ..LIMITS });
    let location = Location::caller();
    for location in [None, Some(location)] {
        let Ok(Acquired::Queued(claim)) = scene.pool.acquire(location, &impatient(), 0, |_| true, scene.now)
        else {
            panic!("it waits where one can be made");
        };
        let permit = scene.may_connect().unwrap();
        scene.connect(permit);
        let _ = scene.granted(claim);
        scene.later(Duration::from_secs(2));
    }
    let error = scene.acquire_as(impatient(), 0).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::PoolExhausted, Outcome::NotSent));
    let expected =
        format!("all 2 connections (`max_connections`) are in use; one has been held for 2.0s by {location}");
    assert_eq!(error.message(), expected);
    assert_eq!(scene.pool.stats().exhausted, 1);
    let borrowers: Vec<_> = scene.pool.borrowers().map(|borrower| borrower.location).collect();
    assert_eq!(borrowers, [None, Some(location)]);
}

#[test]
fn no_caller_gets_what_was_idle_for_too_long() {
    let idle = Duration::from_secs(10);
    let mut scene = Scene::new(PoolLimits { idle: Some(idle), ..LIMITS });
    let (a, b) = (scene.connected(), scene.connected());
    scene.release(a);
    scene.now += idle / 2;
    scene.release(b);
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + idle / 2));
    scene.later(idle / 2);
    assert_eq!((scene.retired(), scene.counts()), (vec![1], [1, 1, 0, 0, 0]));
    scene.now += idle / 2;
    assert!(scene.pool.take_idle(None, scene.now).is_none(), "though no timer went off");
    assert_eq!((scene.retired(), scene.closed(CloseReason::Idle)), (vec![2], 2));
    assert_eq!(scene.pool.poll_timeout(), None);
}

#[test]
fn a_life_ends_when_it_is_over_give_or_take_a_tenth() {
    let lifetime = Duration::from_secs(100);
    for (random, millis) in [(0, 90_000), (u64::MAX / 2, 100_000), (u64::MAX, 110_000)] {
        let exact = jitter_around(lifetime, random).as_millis() as i64;
        assert!((exact - millis).abs() <= 1, "{random}: {exact} ms");
    }
    assert!(jitter_around(Duration::MAX, u64::MAX) > Duration::MAX / 2);
    let mut scene = Scene::new(PoolLimits { lifetime: Some(lifetime), ..LIMITS });
    let (a, b) = (scene.connected(), scene.connected());
    scene.release(a);
    assert_eq!(scene.pool.poll_timeout(), Some(scene.now + lifetime * 9 / 10));
    scene.later(lifetime * 9 / 10);
    assert_eq!(scene.retired(), [1]);
    scene.release(b);
    assert_eq!((scene.retired(), scene.closed(CloseReason::Lifetime)), (vec![2], 2));
    assert_eq!(scene.counts(), [0; 5]);
}

#[test]
fn the_place_of_one_whose_life_is_over_is_for_callers_that_wait() {
    let mut scene = Scene::new(PoolLimits { max: 1, lifetime: Some(PAUSE), ..LIMITS });
    let a = scene.connected();
    let claim = scene.queued(1);
    scene.later(PAUSE);
    scene.release(a);
    assert_eq!((scene.woken(), scene.retired()), (vec![1], vec![1]));
    assert!(scene.may_connect().is_some());
    let _claim = scene.waits(claim);
}

#[test]
fn a_reset_closes_the_idle_at_once_and_the_others_when_they_come_back() {
    let mut scene = Scene::new(LIMITS);
    let (a, b) = (scene.connected(), scene.connected());
    let (claim, permit) = scene.connecting(1);
    scene.give_up(claim);
    scene.release(a);
    scene.pool.reset();
    assert_eq!((scene.retired(), scene.counts()), (vec![1], [2, 0, 1, 1, 0]));
    scene.connect(permit);
    scene.release(b);
    assert_eq!((scene.retired(), scene.closed(CloseReason::Disconnected)), (vec![2, 3], 3));
    let d = scene.connected();
    scene.release(d);
    assert_eq!(scene.counts(), [1, 1, 0, 0, 0]);
    scene.pool.clear_idle(CloseReason::Dirty);
    assert_eq!((scene.retired().len(), scene.closed(CloseReason::Dirty)), (1, 1));
}

#[test]
fn a_closed_pool_fails_all_that_wait_and_drains() {
    let mut scene = Scene::new(PoolLimits { max: 4, ..LIMITS });
    let all = [scene.connected(), scene.connected(), scene.connected(), scene.connected()];
    let (first, second, third) = (scene.queued(1), scene.queued(2), scene.queued(3));
    let [a, b, c, d] = all;
    scene.release(a);
    scene.discard(b.0, CloseReason::Lost);
    scene.pool.close();
    assert_eq!(scene.woken(), [1, 2, 3]);
    for claim in [first, second, third] {
        assert_eq!(scene.refused(claim).kind(), ErrorKind::Closed);
    }
    assert_eq!((scene.retired(), scene.counts()), (vec![1], [2, 0, 2, 0, 0]));
    assert_eq!(scene.acquire(4).unwrap_err().kind(), ErrorKind::Closed);
    assert!(scene.pool.is_closed() && !scene.pool.is_drained());
    scene.release(c);
    scene.discard(d.0, CloseReason::Lost);
    assert!(scene.pool.is_drained() && scene.pool.poll_warm(scene.now, 0).is_none());
    assert_eq!((scene.closed(CloseReason::Closed), scene.closed(CloseReason::Lost)), (2, 2));
}

#[test]
fn waits_are_measured_until_the_waiter_goes_on() {
    let mut scene = Scene::new(PoolLimits { max: 1, ..LIMITS });
    let a = scene.connected();
    let claim = scene.queued(1);
    let late = scene.queued(2);
    scene.release(a);
    scene.now += Duration::from_millis(3);
    let a = scene.granted(claim);
    scene.release(a);
    scene.now += Duration::from_millis(6);
    let _late = scene.granted(late);
    let waits = scene.pool.stats().waits;
    assert_eq!((waits.count(), waits.longest()), (2, Duration::from_millis(9)));
    assert_eq!(waits.quantile(0.5), Duration::from_micros(4096));
    assert_eq!(waits.quantile(0.99), Duration::from_millis(9));
}

#[test]
fn the_histogram_takes_every_wait() {
    let mut waits = WaitTimes::default();
    assert_eq!(waits.quantile(0.5), Duration::ZERO);
    waits.record(Duration::ZERO);
    waits.record(Duration::MAX);
    assert_eq!(waits.quantile(0.0), Duration::from_micros(1));
    assert_eq!(waits.quantile(1.0), Duration::MAX);
    let buckets: Vec<_> = waits.buckets().collect();
    assert_eq!((buckets[0], buckets[31]), ((Some(Duration::from_micros(1)), 1), (None, 1)));
    assert_eq!(CloseReason::ALL.map(|why| why as usize), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_new_connection_is_made_beside_those_that_are_idle_if_there_is_a_place() {
    let mut scene = Scene::new(LIMITS);
    let all = [scene.connected(), scene.connected(), scene.connected()];
    let first = all[0].1;
    for held in all {
        scene.release(held);
    }
    scene.pool.prefer_new();
    assert!(scene.pool.take_idle(None, scene.now).is_none());
    let new = scene.connected();
    assert_eq!(scene.pool.poll_retired(), Some(first), "the oldest makes way");
    let (held, other) = (scene.ready(), scene.ready());
    scene.pool.prefer_new();
    let claim = scene.queued(7);
    scene.release(new);
    let Ok(Ok((permit, connection))) = scene.pool.poll_claim(claim, scene.now, |_| {}) else {
        panic!("a caller that comes while all are in use waits as ever")
    };
    for held in [held, other, (permit, connection)] {
        scene.release(held);
    }
    assert_eq!(scene.pool.stats().idle, 3);
}
