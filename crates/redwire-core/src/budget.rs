//! How many retries a client may make: so few that they do not double the load of servers that are down
//! already.
//!
//! Promises that in any span of time no more retries are allowed than were saved up, plus a share of the
//! calls, plus a few for each second. This file must not know what is tried again, nor clocks: time comes in
//! as an argument.

use std::time::{Duration, Instant};

/// A token bucket for the retries of one client.
///
/// Every call earns a share of a retry, every second earns [`PER_SECOND`](Self::PER_SECOND), and at most
/// [`SAVED_AT_MOST`](Self::SAVED_AT_MOST) are saved up. It starts full, so a client that has just begun may
/// retry.
///
/// A server that fails each call would otherwise get each call several times, just when it can bear that
/// least. With a budget a lasting outage is retried for a while, then the share is all that is added to the
/// load.
///
/// ```
/// use std::time::Instant;
///
/// use redwire_core::budget::RetryBudget;
///
/// let now = Instant::now();
/// let mut budget = RetryBudget::new(20);
/// let allowed = (0..10_000).filter(|_| budget.poll_retry(0, now)).count();
/// assert_eq!(allowed, RetryBudget::SAVED_AT_MOST as usize);
/// // 100 calls later a fifth of them may be tried again.
/// let allowed = (0..100).filter(|_| budget.poll_retry(100, now)).count();
/// assert_eq!(allowed, 20);
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget {
    /// What is saved up, as the time in which it would be earned: so seconds count as they are, without
    /// rounding.
    saved: Duration,
    per_call: Duration,
    /// The calls and the time up to which everything earned is in `saved`.
    calls: u64,
    at: Option<Instant>,
}

impl RetryBudget {
    /// So many retries are earned in a second, however few the calls: a client that makes one call a minute
    /// may retry it.
    pub const PER_SECOND: u32 = 10;

    /// So many retries can be saved up; a full bucket lasts for a short outage under load.
    pub const SAVED_AT_MOST: u32 = 5_000;

    /// A full bucket, to which each call adds `percent` hundredths of a retry.
    ///
    /// With 0, only the seconds earn. With 100 or more, every call of an outage may be made twice or more.
    #[must_use]
    pub fn new(percent: u32) -> Self {
        let per_call = PER_RETRY.saturating_mul(percent) / 100;
        Self { saved: FULL, per_call, calls: 0, at: None }
    }

    /// Asks for the right to one retry, and takes it from what is saved.
    ///
    /// `calls` is how many calls this client has made so far, retries not counted. Callers that race may
    /// bring `calls` and `now` out of order: nothing is earned twice.
    pub fn poll_retry(&mut self, calls: u64, now: Instant) -> bool {
        self.earn(calls, now);
        match self.saved.checked_sub(PER_RETRY) {
            Some(rest) => {
                self.saved = rest;
                true
            }
            None => false,
        }
    }

    fn earn(&mut self, calls: u64, now: Instant) {
        let at = self.at.unwrap_or(now);
        let more = u32::try_from(calls.saturating_sub(self.calls)).unwrap_or(u32::MAX);
        let by_calls = self.per_call.saturating_mul(more);
        let by_time = now.saturating_duration_since(at);
        self.saved = self.saved.saturating_add(by_calls).saturating_add(by_time).min(FULL);
        self.calls = self.calls.max(calls);
        self.at = Some(at.max(now));
    }
}

/// The time that earns one retry.
const PER_RETRY: Duration = Duration::from_millis(1_000 / RetryBudget::PER_SECOND as u64);

const FULL: Duration =
    Duration::from_millis((1_000 / RetryBudget::PER_SECOND as u64) * RetryBudget::SAVED_AT_MOST as u64);

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `asked` retries are allowed.
    fn allowed(budget: &mut RetryBudget, asked: usize, calls: u64, now: Instant) -> usize {
        (0..asked).filter(|_| budget.poll_retry(calls, now)).count()
    }

    /// A budget from which all was taken at `now`, after `calls` calls.
    fn spent(percent: u32, calls: u64, now: Instant) -> RetryBudget {
        let mut budget = RetryBudget::new(percent);
        assert_eq!(allowed(&mut budget, 6_000, calls, now), 5_000);
        budget
    }

    #[test]
    fn calls_and_seconds_earn_retries() {
        let now = Instant::now();
        let table = [
            // percent, calls, milliseconds, retries
            (20, 0, 0, 0),
            (20, 4, 0, 0),
            (20, 5, 0, 1),
            (20, 1_000, 0, 200),
            (20, 0, 99, 0),
            (20, 0, 100, 1),
            (20, 0, 1_000, 10),
            (20, 1_000, 1_000, 210),
            (0, 1_000_000, 0, 0),
            (0, 1_000_000, 2_000, 20),
            (100, 1_000, 0, 1_000),
            (20, 1_000_000, 0, 5_000),
            (20, 0, 86_400_000, 5_000),
            (u32::MAX, u64::MAX, 1_000, 5_000),
        ];
        for (percent, calls, millis, retries) in table {
            let mut budget = spent(percent, 0, now);
            let later = now + Duration::from_millis(millis);
            assert_eq!(
                allowed(&mut budget, 6_000, calls, later),
                retries,
                "{percent} %, {calls} calls, {millis} ms"
            );
        }
    }

    #[test]
    fn small_earnings_add_up() {
        let now = Instant::now();
        let mut budget = spent(20, 0, now);
        let asked_often =
            (1..=1_000).filter(|n| budget.poll_retry(*n, now + Duration::from_micros(*n * 100))).count();
        assert_eq!(asked_often, 201, "a fifth of 1 000 calls, and one for 100 ms");
    }

    #[test]
    fn nothing_is_earned_twice() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut budget = spent(20, 100, later);
        assert_eq!(allowed(&mut budget, 10, 50, now), 0);
        assert_eq!(allowed(&mut budget, 10, 100, later), 0);
        assert_eq!(allowed(&mut budget, 10, 110, later), 2);
    }

    #[test]
    fn an_outage_is_not_amplified() {
        let now = Instant::now();
        let mut budget = RetryBudget::new(20);
        // 10 000 calls a second for a minute, each of which wants three retries.
        let retries: usize = (0..60_000_u64)
            .map(|ms| allowed(&mut budget, 30, ms * 10, now + Duration::from_millis(ms)))
            .sum();
        let calls = 600_000;
        assert!(retries <= calls / 5 + 5_000 + 600, "{retries} retries of {calls} calls");
        assert!(retries >= calls / 5, "{retries} retries of {calls} calls");
    }
}
