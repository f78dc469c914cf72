//! When this process wanted to run and the machine did not let it: time that no client can be blamed for.
//!
//! A thread sleeps a little, again and again, and looks two ways at what was lost meanwhile: by how much it
//! slept too long, and how long any thread of the process waited for a processor (Linux tells, in
//! `schedstat`). The larger counts. This file must not know calls.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long it sleeps: shorter than what is to be told apart.
const NAP: Duration = Duration::from_millis(10);

/// Less than this is the way of the world.
const LEAST: Duration = Duration::from_millis(2);

/// So many stalls are remembered, the newest: more than ten minutes of nothing else.
const KEPT: usize = 65_536;

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Stalls(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    log: Mutex<VecDeque<Stall>>,
    ended: AtomicBool,
}

/// Somewhere between two moments the process did not run for `length`.
#[derive(Clone, Copy, Debug)]
struct Stall {
    from: Instant,
    to: Instant,
    length: Duration,
}

impl Stalls {
    pub(super) fn watch() -> Self {
        let shared = Arc::new(Shared::default());
        let watcher = Arc::clone(&shared);
        drop(thread::spawn(move || watcher.run()));
        Self(shared)
    }

    /// Up to when it knows everything.
    pub(super) const LAG: Duration = Duration::from_millis(200);

    /// How long the process did not run between these two moments.
    pub(super) fn within(&self, from: Instant, to: Instant) -> Duration {
        self.0.log().iter().map(|stall| stall.within(from, to)).sum()
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }
}

impl Stall {
    /// How much of it can lie between these two moments.
    fn within(&self, from: Instant, to: Instant) -> Duration {
        self.length.min(self.to.min(to).saturating_duration_since(self.from.max(from)))
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, VecDeque<Stall>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut waits = waits();
        let mut from = Instant::now();
        while !self.ended.load(Ordering::Relaxed) {
            thread::sleep(NAP);
            let (to, now) = (Instant::now(), self::waits());
            let overslept = (to - from).saturating_sub(NAP);
            let length = overslept.max(longest(&waits, &now));
            if length >= LEAST {
                let mut log = self.log();
                if log.len() == KEPT {
                    log.pop_front();
                }
                log.push_back(Stall { from, to, length });
            }
            (from, waits) = (to, now);
        }
    }
}

/// How long each thread has waited for a processor so far, by its directory. Empty where the system does not
/// tell.
fn waits() -> HashMap<Box<Path>, Duration> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return HashMap::new() };
    let wait = |path: &Path| {
        let text = fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
    };
    let paths = threads.filter_map(|thread| thread.ok().map(|thread| thread.path().into_boxed_path()));
    paths.filter_map(|path| wait(&path).map(|wait| (path, wait))).collect()
}

/// The longest that any thread waited in between.
fn longest(before: &HashMap<Box<Path>, Duration>, now: &HashMap<Box<Path>, Duration>) -> Duration {
    let since =
        now.iter().map(|(path, wait)| wait.saturating_sub(before.get(path).copied().unwrap_or_default()));
    since.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_counts_as_far_as_it_can_lie_within() {
        let (from, ms) = (Instant::now(), Duration::from_millis);
        let stall = Stall { from, to: from + ms(100), length: ms(60) };
        assert_eq!(stall.within(from, from + ms(200)), ms(60));
        assert_eq!(stall.within(from + ms(80), from + ms(200)), ms(20));
        assert_eq!(stall.within(from + ms(100), from + ms(200)), ms(0));
    }

    #[test]
    fn the_longest_wait_of_any_thread_counts() {
        let waits = |waits: &[(&str, u64)]| {
            let each = |(path, ms): &(&str, u64)| (Path::new(path).into(), Duration::from_millis(*ms));
            waits.iter().map(each).collect::<HashMap<_, _>>()
        };
        let (before, now) = (waits(&[("a", 5), ("b", 100)]), waits(&[("a", 12), ("b", 101), ("c", 3)]));
        assert_eq!(longest(&before, &now), Duration::from_millis(7));
    }
}
