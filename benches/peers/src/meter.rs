//! What one child measures: calls, time, CPU, allocations, context switches, memory, latencies.
//! It knows nothing of clients, workloads or how the loops wait.
//!
//! [`Laps`] carries a loop: `while laps.next() { call }`. [`Stage`] and
//! [`Tally`] carry many loops at once.
//! The clock is read here and nowhere else.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::{alloc, usage};

/// How long a loop runs.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// First to warm up, then to measure.
    Time {
        /// Not counted.
        warm_up: Duration,
        /// Counted.
        measure: Duration,
    },
    /// Exactly so many calls, without looking at the clock: for counting instructions.
    Calls(u64),
}

/// The figures of one measurement.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Calls that ended while measuring.
    pub calls: u64,
    /// Seconds measured.
    pub seconds: f64,
    /// Growth of the process's counters meanwhile.
    pub used: usage::Usage,
    /// Allocations meanwhile.
    pub allocs: u64,
    /// Sampled latencies of calls.
    pub latencies: Histogram,
    /// Peak of memory, in KiB.
    pub peak_kib: u64,
    /// How far that is above what the connected client used before the first call, in KiB.
    pub growth_kib: u64,
}

/// A point in time with the counters of the process.
struct Mark {
    at: Instant,
    used: usage::Usage,
    allocs: u64,
}

impl Mark {
    fn now() -> Self {
        let (used, allocs) = (usage::now(), alloc::count());
        Self { at: Instant::now(), used, allocs }
    }

    fn measured(&self, end: Instant, calls: u64, latencies: Histogram, base_kib: u64) -> Measured {
        let peak_kib = usage::peak_kib();
        Measured {
            peak_kib,
            growth_kib: peak_kib.saturating_sub(base_kib),
            calls,
            seconds: (end - self.at).as_secs_f64(),
            used: usage::now() - self.used,
            allocs: alloc::count() - self.allocs,
            latencies,
        }
    }
}

/// Carries one loop through warm-up and measurement; each lap is a call whose latency is taken.
pub struct Laps {
    budget: Budget,
    base_kib: u64,
    started: Mark,
    warm: bool,
    last: Instant,
    calls: u64,
    latencies: Histogram,
}

impl Laps {
    /// Starts now.
    pub fn new(budget: Budget) -> Self {
        let (latencies, base_kib) = (Histogram::new(), usage::reset_peak_kib());
        let started = Mark::now();
        let last = started.at;
        Self { budget, base_kib, started, warm: false, last, calls: 0, latencies }
    }

    /// Ends the lap before and says whether there is to be another.
    pub fn next(&mut self) -> bool {
        let (warm_up, measure) = match self.budget {
            Budget::Calls(0) => return false,
            Budget::Calls(ref mut left) => {
                *left -= 1;
                return true;
            }
            Budget::Time { warm_up, measure } => (warm_up, measure),
        };
        let now = Instant::now();
        let elapsed = now - self.started.at;
        if self.warm {
            self.calls += 1;
            self.latencies.add(now - self.last);
            self.last = now;
            return elapsed < measure;
        }
        if elapsed >= warm_up {
            self.warm = true;
            self.started = Mark::now();
            self.last = self.started.at;
        }
        true
    }

    /// The figures up to the end of the last lap.
    pub fn finish(self) -> Measured {
        self.started.measured(self.last, self.calls, self.latencies, self.base_kib)
    }
}

/// What many loops share: where the measurement stands, and the latencies they sampled.
pub struct Stage {
    now: AtomicU8,
    latencies: Mutex<Histogram>,
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

impl Stage {
    /// Warming up.
    pub fn new() -> Self {
        Self { now: AtomicU8::new(WARMING), latencies: Mutex::new(Histogram::new()) }
    }

    /// Moves through the stages in time. Call it before the loops have made their first call.
    /// The answer lacks the calls, which the loops have counted.
    pub async fn conduct(&self, budget: Budget) -> Measured {
        let base_kib = usage::reset_peak_kib();
        let Budget::Time { warm_up, measure } = budget else {
            return Mark::now().measured(Instant::now(), 0, Histogram::new(), base_kib);
        };
        tokio::time::sleep(warm_up).await;
        let start = Mark::now();
        self.now.store(MEASURING, Relaxed);
        tokio::time::sleep(measure).await;
        self.now.store(OVER, Relaxed);
        let latencies = self.latencies.lock().expect("no loop panics while it adds a sample").clone();
        start.measured(Instant::now(), 0, latencies, base_kib)
    }
}

/// Carries one of many loops: `while tally.next(&stage) { call }`, then [`Tally::calls`].
/// Costs a few instructions per call, and looks at the clock only in every sixteenth if there is
/// more than one loop.
pub struct Tally {
    /// Calls that ended while measuring.
    pub calls: u64,
    left: u64,
    turn: u64,
    every: u64,
    sample: Option<Instant>,
}

impl Tally {
    /// For the `index`-th of `loops`.
    pub fn new(budget: Budget, index: usize, loops: usize) -> Self {
        let (left, every) = match budget {
            Budget::Calls(calls) => (calls / loops as u64, u64::MAX),
            Budget::Time { .. } => (u64::MAX, if loops == 1 { 1 } else { 16 }),
        };
        Self { calls: 0, left, turn: index as u64, every, sample: None }
    }

    /// Ends the call before and says whether there is to be another.
    pub fn next(&mut self, stage: &Stage) -> bool {
        let now = stage.now.load(Relaxed);
        let sample = self.sample.take();
        if now == MEASURING {
            self.calls += 1;
            if let Some(start) = sample {
                let latency = start.elapsed();
                stage.latencies.lock().expect("as in `conduct`").add(latency);
            }
        }
        if self.left == 0 || now == OVER {
            return false;
        }
        self.left -= 1;
        self.turn += 1;
        self.sample = self.turn.is_multiple_of(self.every).then(Instant::now);
        true
    }
}

/// Latencies in buckets of three percent, from nanoseconds to centuries, in 8 KiB.
#[derive(Clone, Debug)]
pub struct Histogram(Vec<u32>);

const STEPS: u32 = 32;
const STEP_BITS: u32 = STEPS.ilog2();

impl Histogram {
    /// No latencies.
    pub fn new() -> Self {
        Self(vec![0; (64 * STEPS) as usize])
    }

    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        let nanos = (latency.as_nanos() as u64).max(u64::from(STEPS));
        let exponent = nanos.ilog2();
        let step = (nanos >> (exponent - STEP_BITS)) as u32 - STEPS;
        self.0[(exponent * STEPS + step) as usize] += 1;
    }

    /// The latency below which `share` of the samples lie, in microseconds; 0 without samples.
    pub fn quantile_us(&self, share: f64) -> f64 {
        let total: u64 = self.0.iter().map(|&n| u64::from(n)).sum();
        let wanted = (total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, &n) in self.0.iter().enumerate() {
            seen += u64::from(n);
            if n > 0 && seen >= wanted {
                let (exponent, step) = (bucket as u32 / STEPS, bucket as u32 % STEPS);
                let nanos = (u64::from(STEPS + step)) << (exponent - STEP_BITS);
                return nanos as f64 / 1e3;
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_within_a_bucket_of_the_sample() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|us| histogram.add(Duration::from_micros(us)));
        for (share, want) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = histogram.quantile_us(share);
            assert!(got <= want && got >= want * 0.96, "{share}: {got}");
        }
    }

    #[test]
    fn a_budget_of_calls_gives_exactly_so_many_laps() {
        let mut laps = Laps::new(Budget::Calls(7));
        let mut calls = 0;
        while laps.next() {
            calls += 1;
        }
        assert_eq!(calls, 7);
    }
}
