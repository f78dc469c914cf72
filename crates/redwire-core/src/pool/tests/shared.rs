//! Pools that share a limit, each by its rule, and all together under operations of every order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Several pools of numbered connections with one limit.
struct Pools {
    limit: SharedLimit,
    pools: Vec<Scene>,
    woken: Vec<(usize, u32)>,
}

impl Pools {
    fn new(max: usize, beside: &[usize]) -> Self {
        let mut limit = SharedLimit::new(max);
        let now = Instant::now();
        let pools = beside.iter().map(|beside| {
            limit.join(*beside, now);
            Scene { now, ..Scene::new(PoolLimits { max_together: Some(max), ..LIMITS }) }
        });
        let pools = pools.collect();
        Self { limit, pools, woken: Vec::new() }
    }

    /// What a driver does after each change of a pool.
    fn settle(&mut self, which: usize) {
        let mut next = Some(which);
        while let Some(which) = next {
            let scene = &mut self.pools[which];
            loop {
                let allowance = self.limit.update(which, scene.pool.demand(scene.now));
                if !scene.pool.handle_allowance(allowance, scene.now) {
                    break;
                }
            }
            self.woken.extend(scene.woken().into_iter().map(|waiter| (which, waiter)));
            next = self.limit.poll_changed();
        }
    }

    fn change<T>(&mut self, which: usize, change: impl FnOnce(&mut Scene) -> T) -> T {
        let output = change(&mut self.pools[which]);
        self.settle(which);
        output
    }

    fn wait(&mut self, millis: u64) {
        for which in 0..self.pools.len() {
            self.change(which, |scene| scene.later(Duration::from_millis(millis)));
        }
    }

    /// A connection in use: an idle one, or one made for a caller that had to be given a place at once.
    fn lent(&mut self, which: usize) -> (Permit, u32) {
        let claim = match self.change(which, |scene| scene.acquire(0)).expect("the pool is open") {
            Acquired::Ready(permit, connection) => return (permit, connection),
            Acquired::Queued(claim) => claim,
        };
        let permit = self.change(which, |scene| scene.may_connect()).expect("a place");
        self.change(which, |scene| scene.connect(permit));
        self.change(which, |scene| scene.poll(claim))
            .unwrap_or_else(|_| panic!("an answer"))
            .expect("a connection")
    }

    fn size(&self) -> usize {
        self.pools.iter().map(|scene| scene.pool.stats().size).sum()
    }
}

#[test]
fn an_idle_connection_elsewhere_leaves_its_place() {
    let mut pools = Pools::new(2, &[0, 0]);
    for (permit, connection) in [pools.lent(0), pools.lent(0)] {
        pools.change(0, |scene| scene.pool.release(permit, connection, scene.now));
    }
    let (held, (permit, connection)) = (pools.lent(0), pools.lent(1));
    assert_eq!((pools.size(), pools.pools[0].closed(CloseReason::Displaced)), (2, 1));
    pools.change(1, |scene| scene.pool.release(permit, connection, scene.now));
    let again = pools.lent(0);
    assert_eq!(pools.pools[1].closed(CloseReason::Displaced), 1);
    pools.change(0, |scene| scene.pool.release(again.0, again.1, scene.now));
    pools.change(0, |scene| scene.pool.release(held.0, held.1, scene.now));
    assert_eq!(pools.size(), 2);
}

#[test]
fn a_place_goes_to_the_caller_that_came_first_of_whichever_pool() {
    let mut pools = Pools::new(1, &[0, 0, 0]);
    let (permit, connection) = pools.lent(0);
    let claims: Vec<_> = [1, 0, 2, 1]
        .iter()
        .map(|which| {
            pools.wait(1);
            (*which, pools.change(*which, |scene| scene.queued(7)))
        })
        .collect();
    pools.woken.clear();
    let mut held = (0, permit, connection);
    for (which, claim) in claims {
        let (from, permit, connection) = held;
        pools.change(from, |scene| scene.pool.release(permit, connection, scene.now));
        assert_eq!(std::mem::take(&mut pools.woken), [(which, 7)]);
        let permit = pools.change(which, |scene| scene.may_connect()).expect("the place");
        assert!((0..3).all(|other| pools.change(other, |scene| scene.may_connect()).is_none()));
        pools.change(which, |scene| scene.connect(permit));
        let (permit, connection) = pools.change(which, |scene| scene.poll(claim)).ok().unwrap().unwrap();
        held = (which, permit, connection);
        pools.woken.clear();
    }
}

#[test]
fn a_caller_that_will_not_wait_is_refused_once_nothing_is_idle_anywhere() {
    let mut pools = Pools::new(1, &[0, 0]);
    let (permit, connection) = pools.lent(0);
    let refused = pools.change(1, |scene| scene.acquire_as(impatient(), 9));
    let Ok(Acquired::Queued(claim)) = refused else { panic!("it may yet be served") };
    let answer = pools.change(1, |scene| scene.poll(claim)).unwrap_or_else(|_| panic!("an answer"));
    let error = answer.expect_err("no place");
    assert_eq!(error.kind(), ErrorKind::PoolExhausted);
    assert!(
        error.message().starts_with(
            "all 1 connections to the nodes of the cluster (`max_cluster_connections`) are in use"
        )
    );
    assert_eq!(pools.pools[1].pool.stats().exhausted, 1);
    assert!(!pools.pools[0].pool.is_sought() && !pools.pools[1].pool.is_sought());

    // The quick way back tells nothing to the limit.
    let now = pools.pools[0].now;
    pools.pools[0].pool.put_back(permit, connection, now).expect("idle");
    let claim = pools.change(1, |scene| scene.acquire_as(impatient(), 9));
    let Ok(Acquired::Queued(claim)) = claim else { panic!("it is served") };
    assert!(pools.change(1, |scene| scene.poll(claim)).is_err());
    assert!(pools.change(1, |scene| scene.may_connect()).is_some());
    assert_eq!(pools.pools[0].closed(CloseReason::Displaced), 1);
}

#[test]
fn what_is_beside_a_pool_takes_its_place() {
    let mut pools = Pools::new(3, &[1, 1]);
    let (permit, connection) = pools.lent(0);
    let claim = pools.change(1, |scene| scene.queued(4));
    assert!(pools.change(1, |scene| scene.may_connect()).is_none());
    pools.change(1, |scene| scene.pool.give_up(claim, scene.now));
    // A node is met, whose connection beside its pool is made without asking.
    pools.wait(1);
    let now = pools.pools[0].now;
    assert_eq!(pools.limit.join(1, now), 2);
    let scene = Scene { now, ..Scene::new(PoolLimits { max_together: Some(3), ..LIMITS }) };
    pools.pools.push(scene);
    pools.settle(2);
    assert!(!pools.pools[0].pool.is_sought(), "one is always left");
    pools.change(0, |scene| scene.pool.release(permit, connection, scene.now));
    assert_eq!(pools.size(), 1);

    let mut pools = Pools::new(3, &[1, 0]);
    let lent = [pools.lent(0), pools.lent(1)];
    pools.wait(1);
    let number = pools.limit.join(1, pools.pools[0].now);
    pools.pools.push(Scene::new(PoolLimits { max_together: Some(3), ..LIMITS }));
    pools.settle(number);
    assert!(pools.pools[0].pool.is_sought());
    for (which, (permit, connection)) in lent.into_iter().enumerate() {
        pools.change(which, |scene| scene.pool.release(permit, connection, scene.now));
    }
    assert_eq!(pools.size(), 1);
    pools.limit.leave(number);
    pools.settle(0);
    let _held = pools.lent(0);
    assert_eq!(pools.size(), 2);
}

#[test]
fn what_is_kept_warm_takes_free_places_only() {
    let mut pools = Pools::new(1, &[0, 0]);
    pools.pools[0].pool.limits.min_idle = 1;
    pools.settle(0);
    let now = pools.pools[0].now;
    let permit = pools.change(0, |scene| scene.pool.poll_warm(now, 0)).expect("a free place");
    pools.change(0, |scene| scene.connect(permit));
    let (permit, connection) = pools.lent(1);
    assert!(pools.change(0, |scene| scene.pool.poll_warm(now, 0)).is_none());
    pools.change(1, |scene| scene.pool.discard(permit, CloseReason::Lost, now));
    assert_eq!(connection, 1);
    pools.settle(0);
    assert!(pools.change(0, |scene| scene.pool.poll_warm(now, 0)).is_some());
}

#[derive(Clone, Debug)]
enum Step {
    Acquire {
        patient: bool,
    },
    Poll(usize),
    GiveUp(usize),
    Release(usize),
    /// The quick way, which tells nothing to the limit.
    PutBack(usize),
    Discard(usize),
    Connect,
    Connected(usize),
    Failed(usize),
    Wait(u64),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let any = 0..8_usize;
    prop_oneof![
        8 => prop::bool::weighted(0.8).prop_map(|patient| Step::Acquire { patient }),
        4 => any.clone().prop_map(Step::Poll),
        2 => any.clone().prop_map(Step::GiveUp),
        4 => any.clone().prop_map(Step::Release),
        4 => any.clone().prop_map(Step::PutBack),
        2 => any.clone().prop_map(Step::Discard),
        8 => Just(Step::Connect),
        6 => any.clone().prop_map(Step::Connected),
        1 => any.prop_map(Step::Failed),
        3 => (1..150_u64).prop_map(Step::Wait),
        1 => Just(Step::Reset),
    ]
}

/// What the callers of one pool have.
#[derive(Default)]
struct Callers {
    waiting: Vec<QueueClaim>,
    using: Vec<(Permit, u32)>,
    connecting: Vec<Permit>,
}

fn take<T>(from: &mut Vec<T>, which: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.remove(which % from.len()))
}

impl Pools {
    fn step(&mut self, which: usize, callers: &mut Callers, step: Step) {
        match step {
            Step::Acquire { patient } => {
                let limit = if patient { AcquireLimit::default() } else { impatient() };
                match self.change(which, |scene| scene.acquire_as(limit, 0)) {
                    Ok(Acquired::Ready(permit, connection)) => callers.using.push((permit, connection)),
                    Ok(Acquired::Queued(claim)) => callers.waiting.push(claim),
                    Err(error) => assert!(error.kind() == ErrorKind::PoolExhausted && !patient),
                }
            }
            Step::Poll(nth) => {
                let Some(claim) = take(&mut callers.waiting, nth) else { return };
                match self.change(which, |scene| scene.poll(claim)) {
                    Ok(Ok(granted)) => callers.using.push(granted),
                    Ok(Err(error)) => assert_eq!(error.kind(), ErrorKind::PoolExhausted),
                    Err(claim) => callers.waiting.push(claim),
                }
            }
            Step::GiveUp(nth) => {
                let Some(claim) = take(&mut callers.waiting, nth) else { return };
                self.change(which, |scene| scene.pool.give_up(claim, scene.now));
            }
            Step::Release(nth) => {
                let Some((permit, connection)) = take(&mut callers.using, nth) else { return };
                self.change(which, |scene| scene.pool.release(permit, connection, scene.now));
            }
            Step::PutBack(nth) => {
                let Some((permit, connection)) = take(&mut callers.using, nth) else { return };
                let scene = &mut self.pools[which];
                if let Err((permit, connection)) = scene.pool.put_back(permit, connection, scene.now) {
                    self.change(which, |scene| scene.pool.release(permit, connection, scene.now));
                }
            }
            Step::Discard(nth) => {
                let Some((permit, _)) = take(&mut callers.using, nth) else { return };
                self.change(which, |scene| scene.pool.discard(permit, CloseReason::Dirty, scene.now));
            }
            Step::Connect => callers.connecting.extend(self.change(which, |scene| scene.may_connect())),
            Step::Connected(nth) => {
                let Some(permit) = take(&mut callers.connecting, nth) else { return };
                self.change(which, |scene| scene.connect(permit));
            }
            Step::Failed(nth) => {
                let Some(permit) = take(&mut callers.connecting, nth) else { return };
                let error = failure(ErrorKind::Connection(ConnectionFault::Refused));
                self.change(which, |scene| scene.pool.handle_connect_failed(permit, error, scene.now, 0));
            }
            Step::Wait(millis) => self.wait(millis),
            Step::Reset => self.change(which, |scene| scene.pool.reset()),
        }
    }

    /// What must hold after every step.
    fn check(&mut self, max: usize) {
        assert!(self.size() <= max, "{} of {max}", self.size());
        let demands: Vec<_> = self.pools.iter().map(|scene| scene.pool.demand(scene.now)).collect();
        let waits = |(scene, demand): (&Scene, &Demand)| demand.wants.is_some() && !scene.pool.has_place();
        let some_wait = self.pools.iter().zip(&demands).any(waits);
        for (scene, demand) in self.pools.iter().zip(&demands) {
            assert_eq!(scene.pool.is_sought(), some_wait);
            assert!(!some_wait || demand.idle == 0, "a caller sleeps beside an idle connection");
        }
        let allowed: usize = self.pools.iter().map(|scene| scene.pool.allowed).sum();
        assert!(
            allowed <= max && (allowed == max || !some_wait),
            "{allowed} of {max} places, and callers wait"
        );
        assert_eq!(self.limit.poll_changed(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn no_place_is_lost_and_no_caller_sleeps_beside_one(
        max in 1..6_usize,
        steps in vec((0..3_usize, step()), 0..150),
    ) {
        let mut pools = Pools::new(max, &[0, 0, 0]);
        let mut callers: [Callers; 3] = Default::default();
        for (which, step) in steps {
            pools.step(which, &mut callers[which], step);
            pools.check(max);
        }
        // All leave, and then one pool can have everything.
        for (which, callers) in callers.iter_mut().enumerate() {
            while let Some(permit) = callers.connecting.pop() {
                pools.change(which, |scene| scene.connect(permit));
            }
            while let Some(claim) = callers.waiting.pop() {
                pools.change(which, |scene| scene.pool.give_up(claim, scene.now));
            }
            while let Some((permit, connection)) = callers.using.pop() {
                pools.change(which, |scene| scene.pool.release(permit, connection, scene.now));
            }
        }
        pools.wait(1000);
        pools.pools[0].pool.limits.max = max;
        pools.change(0, |scene| scene.pool.reset());
        for _ in 0..max {
            let _held = pools.lent(0);
        }
        prop_assert_eq!(pools.size(), max);
    }
}
