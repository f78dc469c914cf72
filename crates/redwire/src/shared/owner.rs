//! What belongs to one process. A forked child has the memory of its parent, but not its threads and
//! connections: it leaves alone what is its parent's. This file must not know what is owned.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::shared::clock;
use crate::shared::sync::OnceLock;

/// What each process has of something. A forked child begins with its own.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    process: u32,
    own: T,
    /// What a child of the process has.
    child: OnceLock<Box<Self>>,
}

impl<T> PerProcess<T> {
    /// `own` is what this process has.
    pub(crate) fn new(own: T) -> Self {
        Self { process: std::process::id(), own, child: OnceLock::new() }
    }

    /// What this process has. A child that has nothing yet begins with what `fork` makes of its parent's.
    #[inline]
    pub(crate) fn current(&self, fork: impl FnOnce(&T) -> T) -> &T {
        let newest = self.newest();
        if newest.process == std::process::id() { &newest.own } else { newest.fork(fork) }
    }

    /// What this process has; `None` in a child that has nothing yet.
    pub(crate) fn existing(&self) -> Option<&T> {
        let newest = self.newest();
        (newest.process == std::process::id()).then_some(&newest.own)
    }

    /// What the process has that made this: for what is the same in all.
    pub(crate) fn first(&self) -> &T {
        &self.own
    }

    #[inline]
    fn newest(&self) -> &Self {
        let mut newest = self;
        while let Some(child) = newest.child.get() {
            newest = child;
        }
        newest
    }

    #[cold]
    fn fork(&self, fork: impl FnOnce(&T) -> T) -> &T {
        &self.child.get_or_init(|| Box::new(Self::new(fork(&self.own)))).own
    }
}

/// So long an answer holds for callers that must not lose time.
const RECENT: Duration = Duration::from_millis(1);

/// The process that made something, told without a system call each time.
#[derive(Debug)]
pub(crate) struct OwnerProcess {
    process: u32,
    begin: Instant,
    /// When it was last asked, in nanoseconds since the beginning.
    asked: AtomicU64,
}

impl OwnerProcess {
    pub(crate) fn new() -> Self {
        Self { process: std::process::id(), begin: clock::now(), asked: AtomicU64::new(0) }
    }

    /// Whether this process is another.
    pub(crate) fn is_other(&self) -> bool {
        self.process != std::process::id()
    }

    /// As [`is_other`](Self::is_other), but a child may find out a millisecond late.
    #[inline]
    pub(crate) fn is_other_at(&self, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.begin).as_nanos() as u64;
        if now.saturating_sub(self.asked.load(Ordering::Relaxed)) < RECENT.as_nanos() as u64 {
            return false;
        }
        if self.is_other() {
            return true;
        }
        self.asked.store(now, Ordering::Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_found_out_within_a_millisecond() {
        let now = Instant::now();
        let owner = OwnerProcess { process: 0, begin: now, asked: AtomicU64::new(0) };
        assert!(owner.is_other());
        assert!(!owner.is_other_at(now));
        assert!(owner.is_other_at(now + RECENT) && owner.is_other_at(now + RECENT));
        let own = OwnerProcess::new();
        assert!(!own.is_other() && !own.is_other_at(now + 2 * RECENT));
    }

    #[test]
    fn each_process_has_its_own() {
        let own = PerProcess::new(1);
        assert_eq!((own.existing(), own.current(|_| 0)), (Some(&1), &1));
        let of_another = |own, child| PerProcess { process: 0, own, child };
        let inherited = of_another(1, OnceLock::from(Box::new(of_another(2, OnceLock::new()))));
        assert!(inherited.existing().is_none());
        assert_eq!(inherited.current(|parent| parent + 1), &3);
        assert_eq!((inherited.existing(), inherited.current(|_| 0), inherited.first()), (Some(&3), &3, &1));
    }
}
