//! When to try to connect again while a server is away.
//!
//! From the first failed attempt on, all who want the connection together make one attempt per pause, and the pauses grow.
//! This file must not know clocks or chance: both come in as arguments.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::error::{ClusterFault, Error, ErrorKind, SentinelFault};

/// What is known of the attempts to connect since the last that worked.
#[derive(Debug, Default)]
pub struct Outage {
    last: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    tries: u32,
    pause: Duration,
    next: Instant,
    error: Error,
}

/// Whether somebody who wants to connect may try now.
#[derive(Debug)]
pub enum Turn {
    /// Try.
    Now,
    /// Not before then.
    At(Instant),
    /// Not before then, and no use waiting: time alone will not mend it.
    Hopeless(Instant, Error),
}

impl Outage {
    /// An attempt failed; `random` is uniform over all of `u64`.
    pub fn handle_failure(&mut self, error: Error, backoff: Backoff, now: Instant, random: u64) {
        let (tries, pause) =
            self.last.as_ref().map_or((1, Duration::ZERO), |last| (last.tries.saturating_add(1), last.pause));
        let pause = backoff.delay(tries, pause, random);
        self.last = Some(Failure { tries, pause, next: now + pause, error });
    }

    /// The right to try was not used: it is for the next who asks.
    pub fn handle_unused(&mut self, now: Instant) {
        if let Some(last) = &mut self.last {
            last.next = now;
        }
    }

    /// An attempt worked; says whether that ended an outage.
    pub fn handle_connected(&mut self) -> bool {
        self.last.take().is_some()
    }

    /// When the next attempt may be made, while there is an outage.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.last.as_ref().map(|last| last.next)
    }

    /// Why the last attempt failed, while none has worked since.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.last.as_ref().map(|last| &last.error)
    }

    /// Asks for the right to try. Whoever gets it keeps all others waiting for a pause.
    pub fn poll_turn(&mut self, backoff: Backoff, now: Instant, random: u64) -> Turn {
        let Some(last) = &mut self.last else { return Turn::Now };
        if last.next <= now {
            last.next = now + backoff.delay(last.tries + 1, last.pause, random);
            return Turn::Now;
        }
        if heals(&last.error) { Turn::At(last.next) } else { Turn::Hopeless(last.next, last.error.clone()) }
    }
}

/// Whether time alone may mend what went wrong: not a wrong password, nor a database that is not there.
#[must_use]
pub fn heals(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Connection(_) | ErrorKind::Busy | ErrorKind::MaxClients | ErrorKind::Timeout => true,
        ErrorKind::Sentinel(fault) => fault != SentinelFault::UnknownService,
        // Why nobody tells the map is told by the first who did not.
        ErrorKind::Cluster(ClusterFault::Unreachable | ClusterFault::NoMap) => {
            let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<Error>());
            cause.is_none_or(heals)
        }
        ErrorKind::Cluster(fault) => fault != ClusterFault::NotACluster,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{AuthenticationFault, ConnectionFault, Outcome};

    const BACKOFF: Backoff = Backoff::constant(Duration::from_millis(100));

    fn failed(kind: ErrorKind) -> (Outage, Instant) {
        let (mut outage, now) = (Outage::default(), Instant::now());
        assert!(matches!(outage.poll_turn(BACKOFF, now, 0), Turn::Now));
        outage.handle_failure(Error::new(kind, Outcome::NotSent, "no"), BACKOFF, now, 0);
        (outage, now)
    }

    #[test]
    fn all_callers_together_try_once_a_pause() {
        let (mut outage, now) = failed(ErrorKind::Connection(ConnectionFault::Refused));
        let later = now + Duration::from_millis(100);
        assert!(matches!(outage.poll_turn(BACKOFF, now, 0), Turn::At(at) if at == later));
        assert!(matches!(outage.poll_turn(BACKOFF, later, 0), Turn::Now));
        assert!(matches!(outage.poll_turn(BACKOFF, later, 0), Turn::At(_)));
        assert!(outage.handle_connected() && !outage.handle_connected());
        assert!(matches!(outage.poll_turn(BACKOFF, later, 0), Turn::Now));
    }

    #[test]
    fn a_turn_that_was_not_used_is_for_the_next() {
        let (mut outage, now) = failed(ErrorKind::Connection(ConnectionFault::Refused));
        let later = now + Duration::from_millis(100);
        assert!(matches!(outage.poll_turn(BACKOFF, later, 0), Turn::Now));
        outage.handle_unused(later);
        assert!(matches!(outage.poll_turn(BACKOFF, later, 0), Turn::Now));
    }

    #[test]
    fn what_time_will_not_mend_is_told_at_once() {
        let wrong = ErrorKind::Authentication(AuthenticationFault::WrongPassword);
        let (mut outage, now) = failed(wrong);
        assert!(
            matches!(outage.poll_turn(BACKOFF, now, 0), Turn::Hopeless(_, error) if error.kind() == wrong)
        );
        assert!(matches!(outage.poll_turn(BACKOFF, now + Duration::from_secs(1), 0), Turn::Now));
    }
}
