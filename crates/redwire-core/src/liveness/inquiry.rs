//! What a question over another connection finds out about a server, and what follows for a caller that
//! waits.
//!
//! A connection that waits for one caller cannot tell whether its server lives: the command holds up a
//! question behind it, too. So the server is asked over another connection, by one caller for all. Promises
//! that silence, and nothing else, counts as dead. This file must not know connections or clocks.

use std::time::{Duration, Instant};

use crate::error::Error;

/// What was found out last about one server.
#[derive(Debug, Default)]
pub struct Inquiry {
    last: Option<(Instant, Finding)>,
}

/// What a question has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The server lived at this time.
    Alive(Instant),
    /// It answers neither an old connection nor a new one: it is busy, frozen, or cannot be reached.
    Silent,
}

impl Inquiry {
    /// What is known already to a caller that would begin at `begin` to wait `limit` for an answer: what was
    /// found less than half of that before, or since.
    #[must_use]
    pub fn recent(&self, begin: Instant, limit: Duration) -> Option<Finding> {
        let (at, finding) = self.last?;
        (begin.saturating_duration_since(at) < limit / 2).then_some(finding)
    }

    /// The server was asked, for as long as `limit`; `failure` is why there was no answer. A server that
    /// refuses, closes or answers with an error is there.
    ///
    /// What a caller in a hurry did not hear, within less than `interval`, proves nothing to others.
    pub fn handle_asked(
        &mut self,
        failure: Option<&Error>,
        limit: Duration,
        interval: Option<Duration>,
        now: Instant,
    ) -> Finding {
        let is_silent = failure.is_some_and(|error| error.is_timeout());
        let finding = if is_silent { Finding::Silent } else { Finding::Alive(now) };
        self.last = (!is_silent || interval <= Some(limit)).then_some((now, finding));
        finding
    }
}

impl Finding {
    /// From when on silence counts for a caller that must have its reply by `deadline`, and has `waited` for
    /// it on a connection of its own; `None` where that is given up. `interval` is the health check interval.
    ///
    /// A server that is busy with one long command answers nowhere. So a caller with more time than twice the
    /// interval has waited for a busy server or for a dead one when its deadline passes, and nothing before
    /// tells which. A caller without a deadline would wait for a dead server for ever.
    #[must_use]
    pub fn silent_since(
        self,
        deadline: Option<Instant>,
        waited: Duration,
        interval: Duration,
        now: Instant,
    ) -> Option<Instant> {
        let outlasts_silence =
            |deadline: &Instant| deadline.saturating_duration_since(now) + waited > 2 * interval;
        match self {
            // An answer to another caller may be older than this silence is to seem.
            Self::Alive(at) => Some(at),
            Self::Silent => deadline.filter(outlasts_silence).map(|_| now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Finding::{Alive, Silent};
    use super::*;
    use crate::error::{ConnectionFault, ErrorKind, Outcome};

    const INTERVAL: Duration = Duration::from_secs(2);

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, Outcome::NotSent, "for the test")
    }

    #[test]
    fn silence_and_nothing_else_counts_as_dead() {
        let now = Instant::now();
        let answers = [
            (None, Alive(now)),
            (Some(ErrorKind::Timeout), Silent),
            (Some(ErrorKind::Connection(ConnectionFault::Timeout)), Silent),
            (Some(ErrorKind::Connection(ConnectionFault::Refused)), Alive(now)),
            (Some(ErrorKind::Connection(ConnectionFault::Reset)), Alive(now)),
            (Some(ErrorKind::Connection(ConnectionFault::Closed)), Alive(now)),
            (Some(ErrorKind::MaxClients), Alive(now)),
            (Some(ErrorKind::Busy), Alive(now)),
        ];
        for (failure, expected) in answers {
            let failure = failure.map(error);
            let found = Inquiry::default().handle_asked(failure.as_ref(), INTERVAL, Some(INTERVAL), now);
            assert_eq!(found, expected, "{failure:?}");
        }
    }

    #[test]
    fn a_finding_serves_others_for_half_of_the_time_that_they_would_wait() {
        let start = Instant::now();
        let silence = error(ErrorKind::Timeout);
        // What was found, in how long a question; and how much later it is known to callers with an interval.
        let known = [(None, INTERVAL), (None, INTERVAL / 4), (Some(&silence), INTERVAL)];
        for (failure, limit) in known {
            let mut inquiry = Inquiry::default();
            assert_eq!(inquiry.recent(start, INTERVAL), None);
            let finding = inquiry.handle_asked(failure, limit, Some(INTERVAL), start);
            let recent = |after: Duration, limit| inquiry.recent(start + after, limit);
            assert_eq!(recent(Duration::ZERO, INTERVAL), Some(finding));
            assert_eq!(recent(INTERVAL / 2 - Duration::from_millis(1), INTERVAL), Some(finding));
            assert_eq!(recent(INTERVAL / 2, INTERVAL), None);
            assert_eq!(recent(INTERVAL / 4, INTERVAL / 2), None);
        }
        let mut inquiry = Inquiry::default();
        let hurried = inquiry.handle_asked(Some(&silence), INTERVAL / 2, Some(INTERVAL), start);
        assert_eq!((hurried, inquiry.recent(start, INTERVAL)), (Silent, None));
    }

    #[test]
    fn silence_is_borne_until_the_deadline_and_without_one_not_at_all() {
        let now = Instant::now();
        let (before, deadline) = (now - INTERVAL, Some(now + INTERVAL));
        let soon = Some(now + INTERVAL / 4);
        let (short, long) = (INTERVAL * 7 / 4, 6 * INTERVAL);
        let table = [
            (Alive(before), None, long, Some(before)),
            (Alive(before), deadline, short, Some(before)),
            (Silent, deadline, short, Some(now)),
            (Silent, soon, long, Some(now)),
            // No more time than a peer may be silent: another server may still answer before the deadline.
            (Silent, soon, short, None),
            (Silent, None, long, None),
        ];
        for (finding, deadline, waited, expected) in table {
            let since = finding.silent_since(deadline, waited, INTERVAL, now);
            assert_eq!(since, expected, "{finding:?} {deadline:?} {waited:?}");
        }
    }
}
