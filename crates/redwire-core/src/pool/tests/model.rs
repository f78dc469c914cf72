//! Operations in any order against a model that knows only who holds what and who came first.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Acquire {
        patient: bool,
    },
    Poll(usize),
    GiveUp(usize),
    Release(usize),
    Discard(usize),
    Lose(usize, bool),
    /// A waiter asks whether a connection is to be made, and makes it itself, or has it made.
    Connect {
        waiter: usize,
        itself: bool,
    },
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
    let connect =
        (any.clone(), prop::bool::ANY).prop_map(|(waiter, itself)| Step::Connect { waiter, itself });
    prop_oneof![
        8 => prop::bool::weighted(0.8).prop_map(|patient| Step::Acquire { patient }),
        4 => any.clone().prop_map(Step::Poll),
        3 => any.clone().prop_map(Step::GiveUp),
        6 => any.clone().prop_map(Step::Release),
        2 => any.clone().prop_map(Step::Discard),
        2 => (any.clone(), prop::bool::ANY).prop_map(|(which, answered)| Step::Lose(which, answered)),
        8 => connect,
        6 => any.clone().prop_map(Step::Connected),
        3 => (any, prop::sample::select(kinds.to_vec()))
            .prop_map(|(which, kind)| Step::ConnectFailed(which, kind)),
        1 => Just(Step::Warm),
        3 => (0..200_u64).prop_map(Step::Wait),
        1 => prop::bool::weighted(0.5).prop_map(|all| if all { Step::Reset } else { Step::ClearIdle }),
        1 => prop::bool::weighted(0.05).prop_map(|end| if end { Step::Close } else { Step::Warm }),
    ]
}

/// What the callers know.
struct Model {
    scene: Scene,
    /// Callers that wait, oldest first; the newest numbers are at the end but for those put at the head.
    queue: Vec<(u32, QueueClaim)>,
    using: Vec<(Permit, u32)>,
    /// Attempts, and the waiter that makes each itself.
    connecting: Vec<(Permit, Option<u32>)>,
    /// Connections made and neither retired nor discarded.
    alive: BTreeSet<u32>,
    /// Who was woken since it last looked.
    woken: BTreeSet<u32>,
    /// Those that made a connection themselves, and let others pass meanwhile.
    passed: BTreeSet<u32>,
    waiters: u32,
    random: u64,
    /// The turns that were taken while no connection was known to be had.
    turns: Vec<Instant>,
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
            passed: BTreeSet::new(),
            waiters: 0,
            random: 1,
            turns: Vec::new(),
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
                for (_, by) in self.connecting.iter_mut().filter(|(_, by)| *by == Some(waiter)) {
                    *by = None;
                }
                self.scene.pool.give_up(claim, now);
            }
            Step::Release(which) if !self.using.is_empty() => {
                let (permit, connection) = self.using.swap_remove(which % self.using.len());
                self.scene.pool.release(permit, connection, now);
            }
            Step::Discard(which) if which % 2 == 0 && !self.using.is_empty() => {
                let (permit, connection) = self.using.swap_remove(which % self.using.len());
                self.alive.remove(&connection);
                self.scene.pool.discard(permit, CloseReason::Dirty, now);
            }
            Step::Lose(which, answered) if !self.using.is_empty() => {
                let (permit, connection) = self.using.swap_remove(which % self.using.len());
                self.alive.remove(&connection);
                self.scene.pool.handle_lost(permit, answered, lost(), now, random);
            }
            Step::Discard(which) if !self.connecting.is_empty() => {
                let permit = self.end_attempt(which);
                self.scene.pool.discard(permit, CloseReason::Lost, now);
                self.turns.pop();
            }
            Step::Connect { waiter, itself } if !self.queue.is_empty() => {
                let which = waiter % self.queue.len();
                let (waiter, claim) = &self.queue[which];
                let is_free = self.connecting.iter().all(|(_, by)| *by != Some(*waiter));
                self.connect(which, itself && is_free && self.is_waiting(claim));
            }
            Step::Connected(which) if !self.connecting.is_empty() => {
                let permit = self.end_attempt(which);
                self.scene.made += 1;
                self.alive.insert(self.scene.made);
                self.scene.pool.handle_connected(permit, self.scene.made, now, random);
            }
            Step::ConnectFailed(which, kind) if !self.connecting.is_empty() => {
                let permit = self.end_attempt(which);
                self.scene.pool.handle_connect_failed(permit, failure(kind), now, random);
            }
            Step::Warm => {
                let warm = self.scene.pool.poll_warm(now, random);
                self.connecting.extend(warm.map(|permit| (permit, None)));
            }
            Step::Wait(millis) => {
                self.scene.now += Duration::from_millis(millis);
                // Timers go off late, too.
                if millis % 2 == 0 {
                    self.scene.pool.handle_timeout(self.scene.now);
                }
            }
            Step::Reset => self.scene.pool.reset(),
            Step::ClearIdle => self.scene.pool.clear_idle(CloseReason::Disconnected),
            Step::Close => self.scene.pool.close(),
            _ => {}
        }
    }

    /// A waiter asks whether a connection is to be made, and has it made, or makes it itself.
    fn connect(&mut self, which: usize, itself: bool) {
        let (waiter, claim) = &self.queue[which];
        let is_down = self.scene.pool.outage.error().is_some();
        let by = itself.then_some(claim);
        if let Some(permit) = self.scene.pool.poll_connect(by, self.scene.now, self.random) {
            self.connecting.push((permit, itself.then_some(*waiter)));
            self.passed.extend(itself.then_some(*waiter));
            self.turns.extend(is_down.then_some(self.scene.now));
        }
    }

    /// An attempt ends; a waiter that made it itself looks again.
    fn end_attempt(&mut self, which: usize) -> Permit {
        let (permit, by) = self.connecting.swap_remove(which % self.connecting.len());
        if let Some((_, claim)) = self.queue.iter().find(|(waiter, _)| Some(*waiter) == by) {
            self.scene.pool.resume(claim, self.scene.now);
        }
        permit
    }

    fn acquire(&mut self, patient: bool) {
        self.waiters += 1;
        let somebody_waits = self.scene.pool.queue.has_free();
        let (waiter, now) = (self.waiters, self.scene.now);
        let limit = if patient { AcquireLimit::default() } else { impatient() };
        match self.scene.pool.acquire(None, &limit, waiter, |_| true, now) {
            Ok(Acquired::Ready(permit, connection)) => {
                assert!(!somebody_waits, "{waiter} overtook");
                self.take(permit, connection);
            }
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
        let is_busy = self.connecting.iter().any(|(_, by)| *by == Some(waiter));
        let was_woken = self.woken.remove(&waiter);
        match self.scene.poll(claim) {
            Err(claim) => {
                self.queue.insert(which, (waiter, claim));
                self.connect(which, false);
            }
            Ok(answer) => {
                assert!(was_woken, "{waiter} was answered and not woken");
                for (_, by) in self.connecting.iter_mut().filter(|(_, by)| *by == Some(waiter)) {
                    *by = None;
                }
                match answer {
                    Ok((permit, connection)) => {
                        assert!(!is_busy, "{waiter} was granted what it could not look at");
                        self.take(permit, connection);
                    }
                    Err(error) => assert!(matches!(
                        error.kind(),
                        WRONG_PASSWORD | ErrorKind::Closed | ErrorKind::MaxClients
                    )),
                }
            }
        }
    }

    fn is_waiting(&self, claim: &QueueClaim) -> bool {
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
        assert!(size <= limits.max && connecting <= limits.max_connecting && waiting <= limits.max_waiting);
        assert_eq!(idle + in_use + connecting, size);
        assert_eq!(idle + in_use, self.alive.len(), "a connection is lost");
        assert!(in_use >= self.using.len());
        assert_eq!(connecting, self.connecting.len());
        assert_eq!(pool.borrowers().count(), in_use);
        // Each pause is as long, so that this is one attempt a pause, and those whose turn was given back.
        let mut turns = self.turns.windows(2);
        assert!(turns.all(|turns| turns[0] + PAUSE <= turns[1]), "two in a pause: {:?}", self.turns);

        let still: Vec<_> = self.queue.iter().map(|(_, claim)| self.is_waiting(claim)).collect();
        // But for those that make a connection themselves, and those that would not wait.
        let queue = self.queue.iter().zip(&still);
        let unserved = queue
            .filter(|((waiter, claim), _)| !self.passed.contains(waiter) && !pool.queue.has_failed(claim));
        let unserved: Vec<_> = unserved.map(|(_, still)| *still).collect();
        assert!(unserved.is_sorted(), "a waiter was overtaken: {unserved:?}");
        assert_eq!(still.iter().filter(|still| **still).count(), waiting);
        let unfetched = still.len() - waiting;
        assert!(size - idle - self.using.len() - self.connecting.len() <= unfetched, "a grant for no caller");
        if pool.queue.has_free() {
            assert_eq!(idle, 0, "a waiter sleeps beside an idle connection");
        }
        let may_grow = size < limits.max && connecting < limits.max_connecting.min(waiting);
        let proves = pool.outage.is_proving() && connecting > 0;
        let Some(oldest) = self.scene.pool.queue.oldest().map(|oldest| (oldest.waiter, oldest.turn)) else {
            return;
        };
        let pool = &self.scene.pool;
        if may_grow && !proves {
            let called = self.woken.contains(&oldest.0);
            assert!(pool.turn.is_some() || called, "{oldest:?} sleeps beside a free place");
        }
        assert!(!pool.closed);
        if let Some(turn) = pool.turn {
            assert!(pool.poll_timeout().is_some_and(|timeout| timeout <= turn));
            assert_eq!(oldest.1, Some(turn), "the oldest does not know the time");
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
            self.step(Step::Connect { waiter: 0, itself: false });
            self.step(Step::Connected(0));
            self.check();
            if !self.queue.is_empty() {
                self.poll(0);
            }
        }
        assert_eq!(self.using.len(), self.scene.pool.limits.max);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) })]

    #[test]
    fn nothing_is_lost_and_no_caller_is_overtaken_or_sleeps_for_ever(
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
