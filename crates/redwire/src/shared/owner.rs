//! Which process something belongs to, told without a system call each time. A forked child has the memory of
//! its parent, but not its threads and connections. This file must not know what is owned.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::shared::clock;

/// So long an answer holds for callers that must not lose time.
const RECENT: Duration = Duration::from_millis(1);

/// The process that made something.
#[derive(Debug)]
pub(crate) struct Owner {
    process: u32,
    begin: Instant,
    /// When it was last asked, in nanoseconds since the beginning.
    asked: AtomicU64,
}

impl Owner {
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
        let owner = Owner { process: 0, begin: now, asked: AtomicU64::new(0) };
        assert!(owner.is_other());
        assert!(!owner.is_other_at(now));
        assert!(owner.is_other_at(now + RECENT) && owner.is_other_at(now + RECENT));
        let own = Owner::new();
        assert!(!own.is_other() && !own.is_other_at(now + 2 * RECENT));
    }
}
