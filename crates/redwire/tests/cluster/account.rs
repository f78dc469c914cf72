//! Callers who count up, and the account of what they were told: no count may be executed twice (I2). It must
//! not know what happens to the cluster meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redwire::{Error, Outcome, Result, cmd};

use crate::common::Client;

/// Says that it is over, also when the test fails: the test does not wait for callers that never end.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counters, each the affair of one caller.
pub(crate) struct Account {
    counters: Vec<Counter>,
    stop: AtomicBool,
    done: AtomicI64,
    /// What failed, by kind and outcome, with one message of each.
    failures: Mutex<BTreeMap<String, (usize, String)>>,
}

struct Counter {
    key: String,
    acknowledged: AtomicI64,
    maybe: AtomicI64,
}

impl Account {
    pub(crate) fn new(keys: impl IntoIterator<Item = String>) -> Self {
        let counter = |key| Counter { key, acknowledged: AtomicI64::new(0), maybe: AtomicI64::new(0) };
        Self {
            counters: keys.into_iter().map(counter).collect(),
            stop: AtomicBool::new(false),
            done: AtomicI64::new(0),
            failures: Mutex::default(),
        }
    }

    /// Does `work` while callers share out the counters and count, each with a pause after each call.
    pub(crate) fn during<T>(
        &self,
        client: &Client,
        callers: usize,
        pause: Duration,
        work: impl FnOnce() -> T,
    ) -> T {
        thread::scope(|scope| {
            let _stop = Stop(&self.stop);
            for caller in 0..callers {
                scope.spawn(move || {
                    for counter in self.counters.iter().skip(caller).step_by(callers).cycle() {
                        if self.stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let result = client.execute(cmd::<i64>("INCR").arg(&counter.key));
                        self.enter(counter, result);
                        thread::sleep(pause);
                    }
                });
            }
            work()
        })
    }

    fn enter(&self, counter: &Counter, result: Result<i64>) {
        match result {
            Ok(count) => {
                let acknowledged = counter.acknowledged.fetch_add(1, Ordering::Relaxed) + 1;
                let most = acknowledged + counter.maybe.load(Ordering::Relaxed);
                assert!(count <= most, "{}: the server counts {count} of {most}", counter.key);
                self.done.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                if error.outcome() == Outcome::MaybeExecuted {
                    counter.maybe.fetch_add(1, Ordering::Relaxed);
                }
                self.note(&error);
            }
        }
    }

    fn note(&self, error: &Error) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let class = format!("{:?}, {:?}", error.kind(), error.outcome());
        failures.entry(class).or_insert_with(|| (0, error.to_string())).0 += 1;
    }

    /// How many calls were acknowledged.
    pub(crate) fn done(&self) -> i64 {
        self.done.load(Ordering::Relaxed)
    }

    /// How many failed, and a list of them.
    pub(crate) fn failed(&self) -> (usize, String) {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let list =
            failures.iter().map(|(class, (count, one))| format!("{count} × {class}: {one}\n")).collect();
        (failures.values().map(|(count, _)| count).sum(), list)
    }

    /// Waits until every counter was counted up once more, from now on.
    #[track_caller]
    pub(crate) fn wait_for_all(&self, limit: Duration) -> Duration {
        let count = |counter: &Counter| counter.acknowledged.load(Ordering::Relaxed);
        let (begin, before) = (Instant::now(), self.counters.iter().map(count).collect::<Vec<_>>());
        loop {
            let waiting = self.counters.iter().zip(&before).filter(|(now, before)| count(now) == **before);
            let keys: Vec<_> = waiting.map(|(counter, _)| &counter.key).collect();
            if keys.is_empty() {
                return begin.elapsed();
            }
            assert!(begin.elapsed() < limit, "not counted within {limit:?}: {keys:?}\n{}", self.failed().1);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Compares with the servers. `lossless` is whether they kept what they acknowledged: replicas follow
    /// after the fact.
    #[track_caller]
    pub(crate) fn check(&self, client: &Client, lossless: bool) {
        for Counter { key, acknowledged, maybe } in &self.counters {
            let counted = client.execute(cmd::<Option<i64>>("GET").arg(key)).unwrap().unwrap_or_default();
            let (least, maybe) = (acknowledged.load(Ordering::Relaxed), maybe.load(Ordering::Relaxed));
            assert!(counted <= least + maybe, "{key}: {counted} of {least}, maybe {maybe} more");
            assert!(!lossless || counted >= least, "{key}: {counted} of {least}, maybe {maybe} more");
        }
    }
}
