//! When calls are to begin: at once, one after another, or at a rate, whether or not earlier ones are
//! answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// How often calls that are due are let go: finer than a runtime's own timers.
const STEP: Duration = Duration::from_micros(200);

/// For so long after the end calls are made whose time came before it, as where a server that hung is back.
const LATEST: Duration = Duration::from_secs(10);

/// Hands out the beginnings of calls until there are no more.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    end: Option<Instant>,
    requests: u64,
    /// Beginnings asked for, in the end more than there are.
    begun: AtomicU64,
    ended: AtomicBool,
    rate: Option<Rate>,
}

#[derive(Debug)]
struct Rate {
    per_second: u32,
    /// Calls whose time has come.
    due: Semaphore,
}

impl Rate {
    /// When the call number `index` is to begin, after the first.
    fn offset(&self, index: u64) -> Duration {
        Duration::from_secs_f64(index as f64 / f64::from(self.per_second))
    }

    /// How many calls are to have begun this long after the first.
    fn due_after(&self, elapsed: Duration) -> u64 {
        (elapsed.as_secs_f64() * f64::from(self.per_second)) as u64 + 1
    }

    /// How many calls are to begin in so long, which ends before the next is due.
    fn due_within(&self, limit: Duration) -> u64 {
        (limit.as_secs_f64() * f64::from(self.per_second)).ceil() as u64
    }
}

impl Pace {
    /// Begins now: at most `requests` calls, for no longer than `limit`.
    pub(super) fn begin(requests: Option<u64>, limit: Option<Duration>, rate: Option<u32>) -> Arc<Self> {
        let began = Instant::now();
        let rate = rate.map(|per_second| Rate { per_second, due: Semaphore::new(0) });
        // At a rate the limit is one for when calls are due, not for when they are made.
        let due = rate.as_ref().zip(limit).map(|(rate, limit)| rate.due_within(limit));
        let latest = if rate.is_some() { LATEST } else { Duration::ZERO };
        let pace = Arc::new(Self {
            began,
            end: limit.and_then(|limit| began.checked_add(limit)?.checked_add(latest)),
            requests: requests.into_iter().chain(due).min().unwrap_or(u64::MAX),
            begun: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            rate,
        });
        if pace.rate.is_some() {
            let pacer = Arc::clone(&pace);
            drop(thread::spawn(move || pacer.let_go()));
        }
        pace
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Lets no more calls begin.
    pub(super) fn stop(&self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(rate) = &self.rate {
            rate.due.close();
        }
    }

    /// How many calls were due by now, and have not begun.
    pub(super) fn never_begun(&self) -> u64 {
        let Some(rate) = &self.rate else { return 0 };
        let due = rate.due_after(self.began.elapsed()).min(self.requests);
        due.saturating_sub(self.begun.load(Ordering::Relaxed))
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
            || self.begun.load(Ordering::Relaxed) >= self.requests
            || self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// When the next call begins, or was to begin; waits for that. `None` once no more calls begin.
    pub(super) async fn next(&self) -> Option<Instant> {
        if let Some(rate) = &self.rate {
            // It is closed in the end.
            rate.due.acquire().await.ok()?.forget();
        }
        if self.is_over() {
            return None;
        }
        let index = self.begun.fetch_add(1, Ordering::Relaxed);
        if index >= self.requests {
            return None;
        }
        let Some(rate) = &self.rate else { return Some(Instant::now()) };
        if index + 1 == self.requests {
            // It is the last one: tasks that wait for another end.
            rate.due.close();
        }
        Some(self.began + rate.offset(index))
    }

    /// Lets calls go when their time has come.
    fn let_go(&self) {
        let Some(rate) = &self.rate else { return };
        let mut gone = 0;
        while !self.is_over() {
            let due = rate.due_after(self.began.elapsed()).min(self.requests);
            rate.due.add_permits((due - gone) as usize);
            gone = due;
            if gone == self.requests {
                return;
            }
            let next = self.began + rate.offset(gone);
            thread::sleep(next.saturating_duration_since(Instant::now()).max(STEP));
        }
        rate.due.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_due_at_their_rate() {
        let rate = Rate { per_second: 1000, due: Semaphore::new(0) };
        assert_eq!(rate.offset(0), Duration::ZERO);
        assert_eq!(rate.offset(1500), Duration::from_millis(1500));
        assert_eq!(rate.due_after(Duration::from_millis(1500)), 1501);
    }

    #[tokio::test]
    async fn a_call_that_is_late_counts_from_when_it_was_to_begin() {
        let pace = Pace::begin(Some(3), None, Some(100));
        // No task is there for the first ones: they stay due.
        tokio::time::sleep(Duration::from_millis(50)).await;
        for index in 0..3 {
            assert_eq!(pace.next().await, Some(pace.began() + Duration::from_millis(10) * index));
        }
        assert!(pace.is_over());
    }

    #[tokio::test]
    async fn what_was_due_before_the_end_is_made_or_counted() {
        let pace = Pace::begin(None, Some(Duration::from_millis(50)), Some(100));
        // All tasks hang until after the end.
        tokio::time::sleep(Duration::from_millis(80)).await;
        assert_eq!(pace.never_begun(), 5);
        assert_eq!(pace.next().await, Some(pace.began()));
        pace.stop();
        assert_eq!((pace.next().await, pace.never_begun()), (None, 4));
        let pace = Pace::begin(None, Some(Duration::from_millis(50)), Some(100));
        tokio::time::sleep(Duration::from_millis(80)).await;
        for index in 0..5 {
            assert_eq!(pace.next().await, Some(pace.began() + Duration::from_millis(10) * index));
        }
        // A task that waits for one more ends, too.
        assert_eq!((pace.next().await, pace.never_begun()), (None, 0));
    }

    #[tokio::test]
    async fn the_end_is_told_to_all() {
        let pace = Pace::begin(None, Some(Duration::from_millis(20)), Some(10));
        while pace.next().await.is_some() {}
        let pace = Pace::begin(Some(2), None, None);
        assert!(pace.next().await.is_some() && pace.next().await.is_some());
        assert_eq!(pace.next().await, None);
        let pace = Pace::begin(None, None, None);
        pace.stop();
        assert_eq!(pace.next().await, None);
    }
}
