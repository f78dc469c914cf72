//! Operations in any order against a model that knows only who holds what and who came first.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Acquire { patient: bool },
    Poll(usize),
    GiveUp(usize),
    Release(usize),
    Discard(usize),
    Connected(usize),
    ConnectFailed(usize, ErrorKind),
    Warm,
    Wait(u64),
    Reset,
    ClearIdle,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let kinds = [
        ErrorKind::Connection(ConnectionFault::Refused),
        ErrorKind::MaxClients,
        ErrorKind::Timeout,
        WRONG_PASSWORD,
    ];
    let any = 0..8_usize;
    prop_oneof![
        8 => prop::bool::weighted(0.8).prop_map(|patient| Step::Acquire { patient }),
        4 => any.clone().prop_map(Step::Poll),
        3 => any.clone().prop_map(Step::GiveUp),
        6 => any.clone().prop_map(Step::Release),
        2 => any.clone().prop_map(Step::Discard),
        6 => any.clone().prop_map(Step::Connected),
        3 => (any, prop::sample::select(kinds.to_vec())).prop_map(|(which, kind)| Step::ConnectFailed(which, kind)),
        1 => Just(Step::Warm),
        3 => (0..200_u64).prop_map(Step::Wait),
        1 => prop::bool::weighted(0.5).prop_map(|all| if all { Step::Reset } else { Step::ClearIdle }),
        1 => prop::bool::weighted(0.05).prop_map(|end| if end { Step::Close } else { Step::Warm }),
    ]
}

/// What the callers know.
struct Model {
    scene: Scene,
    /// Those who wait, oldest first; the newest numbers are at the end but for those put at the head.
    queue: Vec<(u32, Claim)>,
    using: Vec<(Permit, u32)>,
    connecting: Vec<Permit>,
    /// Connections made and neither retired nor discarded.
    alive: BTreeSet<u32>,
    /// Who was woken since it last looked.
    woken: BTreeSet<u32>,
    waiters: u32,
    random: u64,
}

impl Model {
    fn new(limits: PoolLimits) -> Self {
        Self {
            scene: Scene::new(limits),
            queue: Vec::new(),
            using: Vec::new(),
            connecting: Vec::new(),
            alive: BTreeSet::new(),
            woken: BTreeSet::new(),
            waiters: 0,
            random: 1,
        }
    }

    fn take(&mut self, permit: Permit, connection: u32) {
        assert!(self.alive.contains(&connection), "{connection} was closed");
        assert!(self.using.iter().all(|(_, other)| *other != connection), "{connection} was granted twice");
        self.using.push((permit, connection));
    }

    /// A step; `which` of several is taken modulo their number, and without any the step is none.
    fn step(&mut self, step: Step) {
        self.random = self.random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        let (now, random) = (self.scene.now, self.random);
        match step {
            Step::Acquire { patient } => self.acquire(patient),
            Step::Poll(which) if !self.queue.is_empty() => {
                let which = which % self.queue.len();
                self.poll(which);
            }
            Step::GiveUp(which) if !self.queue.is_empty() => {
                let (waiter, claim) = self.queue.remove(which % self.queue.len());
                self.woken.remove(&waiter);
                self.scene.pool.give_up(claim, now, random);
            }
            Step::Release(which) if !self.using.is_empty() => {
                let (permit, connection) = self.using.swap_remove(which % self.using.len());
                self.scene.pool.release(permit, connection, now, random);
            }
            Step::Discard(which) if which % 2 == 0 && !self.using.is_empty() => {
                let (permit, connection) = self.using.swap_remove(which % self.using.len());
                self.alive.remove(&connection);
                self.scene.pool.discard(permit, Closing::Lost, now, random);
            }
            Step::Discard(which) if !self.connecting.is_empty() => {
                let permit = self.connecting.swap_remove(which % self.connecting.len());
                self.scene.pool.discard(permit, Closing::Lost, now, random);
            }
            Step::Connected(which) if !self.connecting.is_empty() => {
                let permit = self.connecting.swap_remove(which % self.connecting.len());
                self.scene.pool.handle_connected(&permit, now, random);
                self.scene.made += 1;
                self.alive.insert(self.scene.made);
                self.using.push((permit, self.scene.made));
            }
            Step::ConnectFailed(which, kind) if !self.connecting.is_empty() => {
                let permit = self.connecting.swap_remove(which % self.connecting.len());
                self.waiters += 1;
                let waiter = Some(self.waiters).filter(|waiter| waiter % 3 > 0);
                let failed =
                    self.scene.pool.handle_connect_failed(permit, failure(kind), waiter, now, random);
                match failed {
                    Ok(claim) => {
                        let first = self.queue.iter().position(|(_, claim)| self.is_waiting(claim));
                        let head = first.unwrap_or(self.queue.len());
                        self.queue.insert(head, (self.waiters, claim));
                    }
                    Err(error) => assert_eq!(error.kind(), kind),
                }
            }
            Step::Warm => self.connecting.extend(self.scene.pool.poll_warm(now, random)),
            Step::Wait(millis) => {
                self.scene.now += Duration::from_millis(millis);
                // Timers go off late, too.
                if millis % 2 == 0 {
                    self.scene.pool.handle_timeout(self.scene.now, random);
                }
            }
            Step::Reset => self.scene.pool.reset(),
            Step::ClearIdle => self.scene.pool.clear_idle(Closing::Disconnected),
            Step::Close => self.scene.pool.close(),
            _ => {}
        }
    }

    fn acquire(&mut self, patient: bool) {
        self.waiters += 1;
        let exhausted = if patient { WhenExhausted::Wait } else { WhenExhausted::Fail };
        let somebody_waits = self.scene.counts()[4] > 0;
        let (waiter, now, random) = (self.waiters, self.scene.now, self.random);
        let acquired = self.scene.pool.acquire(None, exhausted, waiter, now, random);
        let at_once = matches!(acquired, Ok(Acquired::Ready(..) | Acquired::Connect(_)));
        assert!(!(at_once && somebody_waits), "{waiter} overtook");
        match acquired {
            Ok(Acquired::Ready(permit, connection)) => self.take(permit, connection),
            Ok(Acquired::Connect(permit)) => self.connecting.push(permit),
            Ok(Acquired::Queued(claim)) => self.queue.push((waiter, claim)),
            Err(error) if error.kind() == ErrorKind::PoolExhausted => assert!(!patient),
            Err(error) if error.kind() == ErrorKind::QueueFull => {
                assert!(self.scene.counts()[4] >= self.scene.pool.limits.max_waiting);
            }
            Err(error) => assert!(matches!(error.kind(), WRONG_PASSWORD | ErrorKind::Closed), "{error}"),
        }
    }

    fn poll(&mut self, which: usize) {
        let (waiter, claim) = self.queue.remove(which);
        let was_woken = self.woken.remove(&waiter);
        match self.scene.poll(claim) {
            Err(claim) => self.queue.insert(which, (waiter, claim)),
            Ok(answer) => {
                assert!(was_woken, "{waiter} was answered and not woken");
                match answer {
                    Ok(Grant::Ready(permit, connection)) => self.take(permit, connection),
                    Ok(Grant::Connect(permit)) => self.connecting.push(permit),
                    Err(error) => assert!(matches!(error.kind(), WRONG_PASSWORD | ErrorKind::Closed)),
                }
            }
        }
    }

    fn is_waiting(&self, claim: &Claim) -> bool {
        self.scene.pool.queue.is_waiting(claim)
    }

    /// What must hold after every step.
    fn check(&mut self) {
        self.woken.extend(self.scene.woken());
        for connection in self.scene.retired() {
            assert!(self.alive.remove(&connection), "{connection} was retired twice");
            assert!(self.using.iter().all(|(_, other)| *other != connection), "{connection} is in use");
        }
        let pool = &self.scene.pool;
        let [size, idle, in_use, connecting, waiting] = self.scene.counts();
        let limits = &pool.limits;
        assert!(
            size <= limits.max
                && connecting <= limits.max_connecting
                && waiting <= limits.max_waiting + limits.max
        );
        assert_eq!(idle + in_use + connecting, size);
        assert_eq!(idle + in_use, self.alive.len(), "a connection is lost");
        assert!(in_use >= self.using.len() && connecting >= self.connecting.len());
        assert_eq!(pool.holders().count(), in_use);

        let still: Vec<_> = self.queue.iter().map(|(_, claim)| self.is_waiting(claim)).collect();
        assert!(still.is_sorted(), "one who waits was overtaken: {still:?}");
        assert_eq!(still.iter().filter(|still| **still).count(), waiting);
        let unfetched = still.len() - waiting;
        assert!(size - idle - self.using.len() - self.connecting.len() <= unfetched, "a grant for nobody");
        if waiting == 0 {
            return;
        }
        assert_eq!(idle, 0, "one sleeps beside an idle connection");
        let blocked = size == limits.max || connecting == limits.max_connecting;
        let its_turn_comes = pool.turn.is_some() && pool.outage.error().is_some_and(heals);
        assert!(blocked || its_turn_comes, "one sleeps beside a free place");
        assert!(!pool.closed);
        if let Some(turn) = self.scene.pool.turn {
            assert!(self.scene.pool.poll_timeout().is_some_and(|timeout| timeout <= turn));
            let oldest = self.scene.pool.queue.oldest().expect("somebody waits");
            assert_eq!(oldest.turn, Some(turn), "the oldest does not know the time");
        }
    }

    /// All leave; then everything must be idle, and the pool give all it may.
    fn finish(mut self) {
        while !self.queue.is_empty() || !self.using.is_empty() || !self.connecting.is_empty() {
            for step in [Step::GiveUp(1), Step::Release(1), Step::Discard(1)] {
                self.step(step);
                self.check();
            }
        }
        let [size, idle, ..] = self.scene.counts();
        assert_eq!((size, idle), (self.alive.len(), self.alive.len()));
        if self.scene.pool.closed {
            assert!(self.scene.pool.is_drained());
            return;
        }
        self.step(Step::Wait(1000));
        for _ in 0..self.scene.pool.limits.max {
            self.acquire(true);
            self.step(Step::Connected(0));
            self.check();
        }
        assert_eq!(self.using.len(), self.scene.pool.limits.max);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn nothing_is_lost_nobody_is_overtaken_and_nobody_sleeps_for_ever(
        max in 1..5_usize,
        max_connecting in 1..4_usize,
        (min_idle, max_waiting) in (0..3_usize, 1..6_usize),
        (idle, lifetime) in (prop::option::of(50..500_u64), prop::option::of(50..500_u64)),
        steps in vec(step(), 0..150),
    ) {
        let (idle, lifetime) = (idle.map(Duration::from_millis), lifetime.map(Duration::from_millis));
        let limits = PoolLimits { max, max_connecting, min_idle, max_waiting, idle, lifetime, ..LIMITS };
        let mut model = Model::new(limits);
        for step in steps {
            model.step(step);
            model.check();
        }
        model.finish();
    }
}
