//! What the makers of several servers at once have in common: starting them together, and waiting until
//! nothing is missing.
//!
//! It knows neither sentinels nor clusters.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that servers do among themselves, on a machine under load.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// How often they are asked meanwhile.
pub(crate) const PERIOD: Duration = Duration::from_millis(20);

/// Starts all at once. If one doesn't, none is left.
pub(crate) fn all<T: Send>(
    starts: impl Iterator<Item = impl FnOnce() -> Result<T, String> + Send>,
) -> Result<Vec<T>, String> {
    thread::scope(|scope| {
        let threads: Vec<_> = starts.map(|start| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a start doesn't panic")).collect()
    })
}

/// Asks until nothing is missing; what is, is in the error.
#[track_caller]
pub(crate) fn wait_settled(settled: impl Fn() -> Result<(), String>) {
    wait_every(PERIOD, settled);
}

/// As [`wait_settled`], asking so often.
#[track_caller]
pub(crate) fn wait_every(period: Duration, settled: impl Fn() -> Result<(), String>) {
    let end = Instant::now() + LIMIT;
    while let Err(reason) = settled() {
        assert!(Instant::now() < end, "not settled within {LIMIT:?}: {reason}");
        thread::sleep(period);
    }
}
