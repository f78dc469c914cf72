//! What a bench has measured.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use redwire::Error;
use rustix::time::{ClockId, clock_gettime};

use super::workload::Moved;

/// The calls of one task; in the end, of all.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) calls: u64,
    pub(super) errors: BTreeMap<String, u64>,
    /// Of the calls that were answered, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    pub(super) written: u64,
    pub(super) read: u64,
}

impl Figures {
    pub(super) fn new() -> Self {
        let bounded = Histogram::new_with_bounds(1, 600_000_000_000, 3);
        Self {
            calls: 0,
            errors: BTreeMap::new(),
            latency: bounded.unwrap_or_else(|_| unreachable!("the bounds are constant and valid")),
            written: 0,
            read: 0,
        }
    }

    /// A call has ended after so long.
    pub(super) fn note(&mut self, latency: Duration, result: Result<Moved, Error>) {
        self.calls += 1;
        match result {
            Ok(moved) => {
                self.latency.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
                self.written += moved.written;
                self.read += moved.read;
            }
            Err(error) => *self.errors.entry(format!("{:?}", error.kind())).or_default() += 1,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        // Both count the same range.
        let _ = self.latency.add(other.latency);
        self.written += other.written;
        self.read += other.read;
    }

    /// The latency below which this part of the calls lies.
    pub(super) fn at(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.latency.value_at_quantile(quantile))
    }
}

/// The processor time of this process so far, all its threads together.
pub(super) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
