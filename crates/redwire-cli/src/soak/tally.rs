//! What the calls of a drill came to: how many, how they ended, how long they took, and when no call was
//! served.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use redwire::{Error, Outcome};

use super::ledger::Findings;
use super::stalls::Stalls;

/// What a call may take past its deadline.
const GRACE: Duration = Duration::from_millis(50);

/// A longer time without an answer to any call is a gap.
pub(super) const GAP: Duration = Duration::from_millis(200);

/// What all tasks share while the drill runs.
#[derive(Debug)]
pub(super) struct Drill {
    pub(super) stalls: Stalls,
    stopped: AtomicBool,
    over: AtomicBool,
    acknowledged: AtomicU64,
    errors: AtomicU64,
    service: Mutex<Service>,
}

/// When calls were served.
#[derive(Clone, Debug)]
pub(super) struct Service {
    last: Instant,
    pub(super) longest: Duration,
    pub(super) gaps: Vec<(Instant, Instant)>,
}

impl Service {
    pub(super) fn new(began: Instant) -> Self {
        Self { last: began, longest: Duration::ZERO, gaps: Vec::new() }
    }

    /// A call was served at `now`, or the drill ended.
    pub(super) fn note(&mut self, now: Instant) {
        let gap = now.saturating_duration_since(self.last);
        self.longest = self.longest.max(gap);
        if gap > GAP {
            self.gaps.push((self.last, now));
        }
        self.last = self.last.max(now);
    }
}

impl Drill {
    pub(super) fn begin() -> Self {
        Self {
            stalls: Stalls::watch(),
            stopped: AtomicBool::new(false),
            over: AtomicBool::new(false),
            acknowledged: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            service: Mutex::new(Service::new(Instant::now())),
        }
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Nothing is published any more, and what is to be heard was heard.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// How many calls were acknowledged so far, and how many failed.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.acknowledged.load(Ordering::Relaxed), self.errors.load(Ordering::Relaxed))
    }

    pub(super) fn service(&self) -> MutexGuard<'_, Service> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calls of one task; in the end, of all.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) calls: u64,
    pub(super) acknowledged: u64,
    pub(super) errors: BTreeMap<String, u64>,
    pub(super) maybe_executed: u64,
    pub(super) overrun: u64,
    pub(super) findings: Findings,
    /// Of the calls that were acknowledged and did not wait at the server, in microseconds.
    pub(super) latency: Histogram<u64>,
    /// Calls that took too long, unless the machine is to blame.
    late: Vec<Late>,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) deadline: Duration,
    /// What the server is asked to wait, on top.
    pub(super) wait: Duration,
}

impl Limit {
    /// Of a call whose server does not wait.
    pub(super) fn of(deadline: Duration) -> Self {
        Self { deadline, wait: Duration::ZERO }
    }
}

/// A call that ended after its time.
#[derive(Clone, Copy, Debug)]
struct Late {
    from: Instant,
    to: Instant,
    limit: Duration,
}

impl Late {
    fn overruns(&self, stalled: Duration) -> bool {
        (self.to - self.from).saturating_sub(stalled) > self.limit + GRACE
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            calls: 0,
            acknowledged: 0,
            errors: BTreeMap::new(),
            maybe_executed: 0,
            overrun: 0,
            findings: Findings::default(),
            latency: histogram(),
            late: Vec::new(),
        }
    }

    /// A call that `began` then has ended just now.
    pub(super) fn note(&mut self, drill: &Drill, began: Instant, limit: Limit, error: Option<&Error>) {
        let now = Instant::now();
        self.calls += 1;
        let late = Late { from: began, to: now, limit: limit.deadline + limit.wait };
        if late.overruns(Duration::ZERO) {
            self.late.push(late);
        }
        match error {
            None => {
                self.acknowledged += 1;
                if limit.wait.is_zero() {
                    self.latency.saturating_record(micros(now - began));
                }
                drill.acknowledged.fetch_add(1, Ordering::Relaxed);
                drill.service().note(now);
            }
            Some(error) => {
                *self.errors.entry(format!("{:?}", error.kind())).or_default() += 1;
                self.maybe_executed += u64::from(error.outcome() == Outcome::MaybeExecuted);
                self.findings.mismatched += u64::from(error.outcome() == Outcome::Unreadable);
                drill.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(until) = now.checked_sub(Stalls::LAG) {
            self.judge(drill, Some(until));
        }
    }

    /// Decides on all late calls.
    pub(super) async fn judge_all(&mut self, drill: &Drill) {
        if !self.late.is_empty() {
            // The last ones are told from stalls only once those are known.
            tokio::time::sleep(Stalls::LAG).await;
        }
        self.judge(drill, None);
    }

    /// Decides on the late calls that ended before `until`; on all where there is no such time.
    fn judge(&mut self, drill: &Drill, until: Option<Instant>) {
        let due = |late: &Late| until.is_none_or(|until| late.to < until);
        let overruns = |late: &Late| late.overruns(drill.stalls.within(late.from, late.to));
        self.overrun += self.late.iter().filter(|late| due(late) && overruns(late)).count() as u64;
        self.late.retain(|late| !due(late));
    }

    pub(super) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.acknowledged += other.acknowledged;
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        self.maybe_executed += other.maybe_executed;
        self.overrun += other.overrun;
        self.findings.add(other.findings);
        // Both count the same range.
        let _ = self.latency.add(other.latency);
    }
}

/// Microseconds up to ten minutes, three digits exact.
fn histogram() -> Histogram<u64> {
    let bounded = Histogram::new_with_bounds(1, 600_000_000, 3);
    // These bounds are good ones; growing by itself does as well.
    bounded.unwrap_or_else(|_| unreachable!("the bounds are constant and valid"))
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_call_overruns_when_it_takes_longer_than_its_limit_the_grace_and_the_stalls() {
        let from = Instant::now();
        let late = |ms| Late { from, to: from + ms * MS, limit: 500 * MS };
        assert!(!late(550).overruns(Duration::ZERO));
        assert!(late(551).overruns(Duration::ZERO));
        assert!(!late(700).overruns(150 * MS));
        assert!(late(700).overruns(149 * MS));
    }

    #[test]
    fn late_calls_are_counted_once_and_only_if_the_machine_is_not_to_blame() {
        let drill = Drill::begin();
        let mut tally = Tally::new();
        // A second ago nothing was watched, so nothing is discounted.
        let Some(began) = Instant::now().checked_sub(1000 * MS) else { return };
        tally.note(&drill, began, Limit::of(500 * MS), None);
        tally.note(&drill, began, Limit::of(990 * MS), None);
        tally.judge(&drill, None);
        tally.judge(&drill, None);
        assert_eq!((tally.calls, tally.overrun), (2, 1));
    }

    #[test]
    fn gaps_lie_between_calls_that_were_served() {
        let began = Instant::now();
        let mut service = Service::new(began);
        [50, 90, 300, 310, 405, 610].into_iter().for_each(|ms| service.note(began + ms * MS));
        service.note(began + 590 * MS);
        let gaps: Vec<_> = service.gaps.iter().map(|(from, to)| (*from - began, *to - began)).collect();
        assert_eq!(gaps, [(90 * MS, 300 * MS), (405 * MS, 610 * MS)]);
        assert_eq!(service.longest, 210 * MS);
    }

    #[test]
    fn what_failed_is_told_apart() {
        let drill = Drill::begin();
        let (mut tally, mut all) = (Tally::new(), Tally::new());
        let began = Instant::now();
        tally.note(&drill, began, Limit::of(500 * MS), Some(&Error::timeout(Outcome::MaybeExecuted)));
        tally.note(&drill, began, Limit::of(500 * MS), Some(&Error::timeout(Outcome::NotSent)));
        tally.note(&drill, began, Limit::of(500 * MS), None);
        all.add(tally);
        assert_eq!((all.calls, all.acknowledged, all.maybe_executed), (3, 1, 1));
        assert_eq!(all.errors, BTreeMap::from([("Timeout".to_owned(), 2)]));
        assert_eq!((all.latency.len(), drill.progress()), (1, (1, 2)));
    }
}
