//! Whether a silent peer is still there: when it is asked, and when it counts as dead.
//!
//! Promises that a dead peer is found within twice the interval, that one that answers within the interval is
//! not taken for dead, and that a process that was suspended does not drop its connections. This file must
//! not know what the question is, nor clocks: time comes in as an argument.

mod inquiry;

use std::time::{Duration, Instant};

pub use inquiry::{Finding, Inquiry};

/// Watches one connection for silence, by ticks of half the interval.
///
/// ```text
///  tick:  1      2      3      4
///  ───────┼──────┼──────┼──────┼─▶
///   ▲ last byte   Ask   Doubt   Dead
/// ```
///
/// A connection that is idle but alive is asked once per interval: the answer breaks the silence.
/// There is one timer per connection and none per call, and it is not set anew when bytes come.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use redwire_core::liveness::{Liveness, Verdict};
///
/// let mut liveness = Liveness::new(Some(Duration::from_secs(2)));
/// liveness.handle_connected(Instant::now());
/// let mut verdicts = Vec::new();
/// while let Some(tick) = liveness.poll_timeout().filter(|_| verdicts.len() < 4) {
///     verdicts.push(liveness.handle_timeout(tick, 17)); // 17 bytes, and no more
/// }
/// assert_eq!(verdicts, [Verdict::Fine, Verdict::Ask, Verdict::Doubt, Verdict::Dead]);
/// ```
#[derive(Debug)]
pub struct Liveness {
    tick: Option<Duration>,
    /// While connected.
    next: Option<Instant>,
    /// What the progress was at the last tick of this connection.
    progress: Option<u64>,
    /// For how many whole ticks nothing has come, as far as that counts against the peer.
    quiet: u32,
    /// For how many it is in all.
    silent: u32,
}

/// What a tick found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing to do.
    Fine,
    /// Nothing came for a while: send something that must be answered.
    Ask,
    /// Half of the time for the answer is over: what is known of the peer from elsewhere would help. See
    /// [`handle_alive`](Liveness::handle_alive).
    Doubt,
    /// Nothing came in spite of the question: give the connection up.
    Dead,
}

impl Liveness {
    /// Finds a peer dead within twice `interval` of its last byte. `None` or zero: never asks.
    #[must_use]
    pub fn new(interval: Option<Duration>) -> Self {
        let tick = interval.map(|interval| interval / 2).filter(|tick| !tick.is_zero());
        Self { tick, next: None, progress: None, quiet: 0, silent: 0 }
    }

    /// There is a connection, a new one.
    pub fn handle_connected(&mut self, now: Instant) {
        (self.progress, self.quiet, self.silent) = (None, 0, 0);
        self.set_timer(now);
    }

    /// There is no connection any more.
    pub fn handle_lost(&mut self) {
        self.next = None;
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    #[inline]
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Judges by `progress`, a number that differs from the last tick's if anything came from the peer since.
    ///
    /// Called too early, nothing changes. Called late, it counts as one tick, and the next is a whole tick
    /// after `now`. Late by a whole tick or more, it never says [`Dead`](Verdict::Dead): this process stood
    /// still, and what came meanwhile may not have been read yet.
    pub fn handle_timeout(&mut self, now: Instant, progress: u64) -> Verdict {
        let (Some(tick), Some(next)) = (self.tick, self.next) else { return Verdict::Fine };
        if now < next {
            return Verdict::Fine;
        }
        let stood_still = now.duration_since(next) >= tick;
        self.set_timer(now);
        if self.progress.replace(progress) != Some(progress) {
            (self.quiet, self.silent) = (0, 0);
            return Verdict::Fine;
        }
        self.quiet += 1;
        self.silent = self.silent.saturating_add(1);
        match self.quiet {
            1 => Verdict::Ask,
            DEAD_AFTER.. if stood_still => {
                self.quiet = DEAD_AFTER - 1;
                Verdict::Doubt
            }
            DEAD_AFTER.. => Verdict::Dead,
            _ => Verdict::Doubt,
        }
    }

    /// The time between two ticks.
    pub(crate) fn tick(&self) -> Option<Duration> {
        self.tick
    }

    /// The peer may live, though nothing came: the answer to the question gets another interval.
    pub fn handle_alive(&mut self) {
        self.quiet = self.quiet.min(1);
    }

    /// Whether nothing has come for twice the interval, though the peer was given more time since.
    pub(crate) fn is_overdue(&self) -> bool {
        self.silent >= DEAD_AFTER
    }

    fn set_timer(&mut self, now: Instant) {
        self.next = self.tick.and_then(|tick| now.checked_add(tick));
    }
}

/// Quiet ticks: one until the question, then two, which are an interval, for the answer.
const DEAD_AFTER: u32 = 3;

#[cfg(test)]
mod tests;
