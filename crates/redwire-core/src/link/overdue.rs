//! Whether the peer leaves something unanswered for so long that it is in doubt, long before it counts as
//! dead.
//!
//! A call that waits is itself a question. So nothing is sent: the connection is looked at from time to time
//! while something is under way, and seldom while it is idle. This file must not know clocks, or what doubt
//! leads to.

use std::time::{Duration, Instant};

/// Looks at one connection, `pause` after `pause`.
///
/// ```text
///  look:  1          2            3
///  ───────┼──────────┼────────────┼─▶
///     ▲ request      nothing came: in doubt
/// ```
#[derive(Debug, Default)]
pub(super) struct Overdue {
    /// None: it is never looked at.
    pause: Option<Duration>,
    next: Option<Instant>,
    seen: Look,
    /// Whether the peer is in doubt.
    doubted: bool,
    /// What changed, or holds still, and was not told yet.
    news: Option<bool>,
}

/// A connection at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// A number that differs if anything came from the peer since.
    pub(super) progress: u64,
    /// Up to where requests were sent, and up to where the oldest reaches that waits for a reply.
    pub(super) sent: u64,
    pub(super) oldest: Option<u64>,
}

impl Overdue {
    pub(super) fn new(pause: Option<Duration>) -> Self {
        Self { pause, ..Self::default() }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[inline]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// It is worth looking at the connection from now on: it is new, or something happens on it.
    pub(super) fn wake(&mut self, look: Look, now: Instant) {
        if self.next.is_none() {
            self.look_again(look, now);
        }
    }

    /// There is no connection any more.
    pub(super) fn handle_lost(&mut self) {
        *self = Self::new(self.pause);
    }

    /// Looks, if it is time to. A process that stood still learns nothing by that: what came was not read
    /// yet.
    pub(super) fn handle_timeout(&mut self, look: Look, now: Instant) {
        let (Some(pause), Some(next)) = (self.pause, self.next.filter(|next| *next <= now)) else { return };
        let stood_still = now.duration_since(next) >= pause;
        let is_quiet = look.progress == self.seen.progress;
        // What is the oldest now was sent by the last time.
        let is_overdue = is_quiet && look.oldest.is_some_and(|oldest| oldest <= self.seen.sent);
        if is_overdue && !stood_still {
            (self.doubted, self.news) = (true, Some(true));
        } else if self.doubted && !is_quiet {
            (self.doubted, self.news) = (false, Some(false));
        }
        if is_quiet && look.oldest.is_none() {
            self.next = None;
        } else {
            self.look_again(look, now);
        }
    }

    /// Whether the peer is silent, where that is news: told again after each pause while it is.
    pub(super) fn poll_hints(&mut self) -> Option<bool> {
        self.news.take()
    }

    fn look_again(&mut self, look: Look, now: Instant) {
        self.seen = look;
        self.next = self.pause.and_then(|pause| now.checked_add(pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(200);

    #[test]
    fn what_was_sent_a_look_ago_and_is_unanswered_casts_doubt() {
        let look = |progress, sent, oldest| Look { progress, sent, oldest };
        // The looks of a connection, and what each tells.
        let table: [&[(Look, Option<bool>)]; 5] = [
            // Sent before the first look, and silent from then on; then heard.
            &[
                (look(1, 5, Some(5)), None),
                (look(1, 5, Some(5)), Some(true)),
                (look(1, 9, Some(5)), Some(true)),
                (look(2, 9, None), Some(false)),
                (look(3, 9, None), None),
            ],
            // Always something under way, and always something else.
            &[(look(1, 5, Some(5)), None), (look(2, 9, Some(9)), None), (look(3, 12, Some(10)), None)],
            // Sent since the last look.
            &[(look(1, 5, None), None), (look(1, 9, Some(9)), None), (look(1, 9, Some(9)), Some(true))],
            // Queued, but never sent.
            &[(look(1, 5, Some(9)), None), (look(1, 5, Some(9)), None)],
            // A large reply that comes slowly.
            &[(look(1, 5, Some(5)), None), (look(2, 5, Some(5)), None), (look(3, 5, Some(5)), None)],
        ];
        for looks in table {
            let (mut overdue, start) = (Overdue::new(Some(PAUSE)), Instant::now());
            overdue.wake(Look::default(), start);
            for (nth, (look, news)) in (1..).zip(looks) {
                let next = overdue.poll_timeout().expect("it looks again");
                assert_eq!(next, start + PAUSE * nth);
                overdue.handle_timeout(*look, next);
                assert_eq!(overdue.poll_hints(), *news, "look {nth} of {looks:?}");
            }
        }
    }

    #[test]
    fn an_idle_connection_is_left_alone_until_something_happens() {
        let (mut overdue, start) = (Overdue::new(Some(PAUSE)), Instant::now());
        overdue.wake(Look::default(), start);
        overdue.handle_timeout(Look::default(), start + PAUSE);
        assert_eq!(overdue.poll_timeout(), None);
        overdue.wake(Look::default(), start + PAUSE * 9);
        assert_eq!(overdue.poll_timeout(), Some(start + PAUSE * 10));
    }

    #[test]
    fn a_process_that_stood_still_suspects_no_peer() {
        let (mut overdue, start) = (Overdue::new(Some(PAUSE)), Instant::now());
        let look = Look { progress: 1, sent: 5, oldest: Some(5) };
        overdue.wake(look, start);
        overdue.handle_timeout(look, start + PAUSE * 2);
        assert_eq!(overdue.poll_hints(), None);
        overdue.handle_timeout(look, start + PAUSE * 3);
        assert_eq!(overdue.poll_hints(), Some(true));
        overdue.handle_lost();
        assert_eq!((overdue.poll_timeout(), overdue.poll_hints()), (None, None));
    }

    #[test]
    fn without_a_pause_it_is_never_looked_at() {
        let (mut overdue, now) = (Overdue::new(None), Instant::now());
        overdue.wake(Look::default(), now);
        overdue.handle_timeout(Look { oldest: Some(0), ..Look::default() }, now + PAUSE);
        assert_eq!((overdue.poll_timeout(), overdue.poll_hints()), (None, None));
    }
}
