//! When to try to connect again while a server is away.
//!
//! From the first failed attempt on, all callers that want the connection together make one attempt per
//! pause, and the pauses grow. A connection opens the way for others; but until it has served, it is not
//! known whether the outage is over, and the next failure makes the pause longer, as if there had been no
//! connection. This file must not know clocks or chance: both come in as arguments.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::error::{ClusterFault, Error, ErrorKind, SentinelFault};

/// What is known of the attempts to connect since the last that worked.
#[derive(Debug, Default)]
pub struct Outage {
    last: Option<Failure>,
    /// Since when there is a connection that has not served yet.
    up: Option<Instant>,
}

#[derive(Debug)]
struct Failure {
    tries: u32,
    pause: Duration,
    next: Instant,
    error: Error,
}

/// Whether a task or thread that wants to connect may try now.
#[derive(Debug)]
pub enum Turn {
    /// Try.
    Now,
    /// Not before then.
    At(Instant),
    /// Not before then, and no use waiting: time alone will not mend it.
    Permanent(Instant, Error),
}

impl Outage {
    /// An attempt failed; `random` is uniform over all of `u64`.
    pub fn handle_failure(&mut self, error: Error, backoff: Backoff, now: Instant, random: u64) {
        let (tries, pause) =
            self.last.as_ref().map_or((1, Duration::ZERO), |last| (last.tries.saturating_add(1), last.pause));
        let pause = backoff.delay(tries, pause, random);
        self.last = Some(Failure { tries, pause, next: now + pause, error });
        self.up = None;
    }

    /// The right to try was not used: it is for the next that asks.
    pub fn handle_unused(&mut self, now: Instant) {
        if let Some(last) = &mut self.last {
            last.next = now;
        }
    }

    /// An attempt worked; says whether that ended an outage.
    pub fn handle_connected(&mut self) -> bool {
        self.up = None;
        self.last.take().is_some()
    }

    /// An attempt worked, and it will be seen whether the connection serves: that ends the outage once it has
    /// lived for as long as the longest pause, or by [`handle_connected`](Self::handle_connected).
    pub fn handle_up(&mut self, now: Instant) {
        self.up = self.up.or(Some(now));
    }

    /// Whether an attempt failed, and no connection has served since.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.last.is_some()
    }

    /// How many attempts failed since a connection has served.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.last.as_ref().map_or(0, |last| last.tries)
    }

    /// Whether there is a connection of which it is not known yet whether it ends the outage.
    #[must_use]
    pub fn is_proving(&self) -> bool {
        self.is_on() && self.up.is_some()
    }

    /// When the next attempt may be made, while there is no connection.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.last().map(|last| last.next)
    }

    /// Why the last attempt failed, while none has worked since.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.last().map(|last| &last.error)
    }

    fn last(&self) -> Option<&Failure> {
        self.last.as_ref().filter(|_| self.up.is_none())
    }

    /// Asks for the right to try. The one that gets it keeps all others waiting for a pause.
    pub fn poll_turn(&mut self, backoff: Backoff, now: Instant, random: u64) -> Turn {
        if self.up.is_some_and(|up| backoff.cap() <= now.saturating_duration_since(up)) {
            self.handle_connected();
        }
        let Some(last) = self.last.as_mut().filter(|_| self.up.is_none()) else { return Turn::Now };
        if last.next <= now {
            last.next = now + backoff.delay(last.tries + 1, last.pause, random);
            return Turn::Now;
        }
        if heals(&last.error) { Turn::At(last.next) } else { Turn::Permanent(last.next, last.error.clone()) }
    }
}

/// Whether time alone may mend what went wrong: not a wrong password, nor a database that is not there.
#[must_use]
pub fn heals(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Connection(_) | ErrorKind::Busy | ErrorKind::MaxClients | ErrorKind::Timeout => true,
        ErrorKind::Sentinel(fault) => fault != SentinelFault::UnknownService,
        // Why no node tells the map is known from the first that did not.
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
            matches!(outage.poll_turn(BACKOFF, now, 0), Turn::Permanent(_, error) if error.kind() == wrong)
        );
        assert!(matches!(outage.poll_turn(BACKOFF, now + Duration::from_secs(1), 0), Turn::Now));
    }
}
