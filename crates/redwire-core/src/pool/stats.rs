//! What a pool can tell of itself: how many, how long, and why they were closed.
//!
//! Promises counters that only grow and a histogram of fixed size. This file must not know what is counted.

use std::panic::Location;
use std::time::{Duration, Instant};

/// A pool at one moment. `idle + in_use + connecting` is `size`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections there are, and those being made.
    pub size: usize,
    /// Connections that no caller uses.
    #[doc(alias = "freesize")]
    pub idle: usize,
    /// Connections that a caller has, or was granted.
    pub in_use: usize,
    /// Connections that are being made.
    pub connecting: usize,
    /// Callers that wait, without those for whom a connection is being made.
    pub waiting: usize,
    /// Connections that were made so far.
    #[doc(alias = "created_connections")]
    pub created: u64,
    /// Attempts to connect that failed so far. A connection that was lost before it served is not among them.
    pub failed: u64,
    /// Calls that were refused so far, since `max_connections` were in use, or in a cluster
    /// `max_cluster_connections`.
    pub exhausted: u64,
    /// Callers that gave up waiting so far.
    pub gave_up: u64,
    /// How long callers waited that had to, and were served.
    pub waits: WaitTimes,
    pub(super) closed: [u64; CloseReason::COUNT],
}

impl PoolStats {
    /// How many connections were closed so far for this reason.
    #[must_use]
    pub fn closed(&self, why: CloseReason) -> u64 {
        self.closed[why as usize]
    }

    /// What was counted so far, of a pool that is there no longer.
    #[doc(hidden)]
    #[must_use]
    pub fn past(self) -> Self {
        Self { size: 0, idle: 0, in_use: 0, connecting: 0, waiting: 0, ..self }
    }

    /// Both pools together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.size += other.size;
        self.idle += other.idle;
        self.in_use += other.in_use;
        self.connecting += other.connecting;
        self.waiting += other.waiting;
        self.created += other.created;
        self.failed += other.failed;
        self.exhausted += other.exhausted;
        self.gave_up += other.gave_up;
        self.waits.add(&other.waits);
        self.closed.iter_mut().zip(other.closed).for_each(|(sum, closed)| *sum += closed);
        self
    }
}

/// Why a pool parts with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// It was idle for longer than the limit.
    Idle,
    /// It lived for longer than the limit.
    Lifetime,
    /// It came back in a state that could not be mended, or not before the deadline of its next user.
    Dirty,
    /// It was lost, or found dead.
    Lost,
    /// The owner of the pool asked for it.
    Disconnected,
    /// The pool was closed.
    Closed,
    /// A caller of another node of the cluster waited for its place (`max_cluster_connections`).
    Displaced,
}

impl CloseReason {
    /// Every reason, in the order of their declaration.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Idle,
        Self::Lifetime,
        Self::Dirty,
        Self::Lost,
        Self::Disconnected,
        Self::Closed,
        Self::Displaced,
    ];

    const COUNT: usize = 7;
}

/// A caller that has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Borrower {
    /// Where in the program it was asked for; `None` for a call of a client, and for one that is kept warm.
    pub location: Option<&'static Location<'static>>,
    /// Since when.
    pub since: Instant,
}

/// How long callers waited, in buckets that double: exact to a factor of two, and of a fixed size.
///
/// ```
/// # use redwire_core as redwire;
/// use std::time::Duration;
///
/// use redwire::pool::WaitTimes;
///
/// let mut waits = WaitTimes::default();
/// for millis in [1, 1, 1, 20] {
///     waits.record(Duration::from_millis(millis));
/// }
/// assert_eq!(waits.quantile(0.5), Duration::from_micros(1024));
/// assert_eq!(waits.quantile(1.0), Duration::from_millis(20));
/// ```
#[derive(Clone, Debug, Default)]
pub struct WaitTimes {
    /// Bucket 0 is below a microsecond, bucket n from 2ⁿ⁻¹ to 2ⁿ of them; the last takes all that is longer.
    buckets: [u64; BUCKETS],
    longest: Duration,
}

/// The last bucket begins at 2³⁰ µs, some 18 minutes.
const BUCKETS: usize = 32;

impl WaitTimes {
    /// A caller waited for so long.
    pub fn record(&mut self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.longest = self.longest.max(wait);
    }

    fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, count)| *sum += count);
        self.longest = self.longest.max(other.longest);
    }

    /// How many waited.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The longest wait; zero if no caller waited.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// No more than this waited the share `q` of all (0 to 1, so 0.99 for all but a hundredth); at most twice
    /// the exact value. Zero if no caller waited.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Duration {
        // Up to 2^53 waits this is exact, and above that close enough.
        let rank = ((self.count() as f64 * q.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate().take(BUCKETS - 1) {
            seen += count;
            if seen >= rank {
                return Duration::from_micros(1 << bucket).min(self.longest);
            }
        }
        self.longest
    }

    /// How many waited, by the time below which they did; the last bucket has none.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        self.buckets.iter().enumerate().map(|(bucket, count)| {
            let below = (bucket < BUCKETS - 1).then(|| Duration::from_micros(1 << bucket));
            (below, *count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_several_pools_add_up() {
        let mut one = PoolStats { size: 2, idle: 1, in_use: 1, created: 5, failed: 1, ..Default::default() };
        one.waits.record(Duration::from_millis(1));
        one.closed[CloseReason::Lost as usize] = 3;
        let sum = one.clone().past().plus(&one);
        assert_eq!((sum.size, sum.idle, sum.in_use, sum.created, sum.failed), (2, 1, 1, 10, 2));
        assert_eq!((sum.closed(CloseReason::Lost), sum.waits.count()), (6, 2));
    }
}
