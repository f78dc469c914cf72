//! How long a caller waits for a connection, and what is said when that is over. It must not know clocks.

use std::time::Instant;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Outcome};

/// How long one caller waits for a connection: until the deadline of its call, or less if `pool_timeout` says
/// so.
///
/// By default it is without end.
#[derive(Clone, Copy, Debug, Default)]
pub struct AcquireLimit {
    until: Option<Instant>,
    /// Whether it ends with the call's deadline, or before.
    with_deadline: bool,
    exhausted: WhenExhausted,
    /// Whether it wants to be told of the next attempt that fails.
    told: bool,
}

/// What a caller wants that comes while all connections are in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenExhausted {
    /// To wait for one.
    #[default]
    Wait,
    /// An error at once. It still waits where one more connection may be made.
    Fail,
}

impl AcquireLimit {
    /// Of a caller that comes `now`, and whose call must have ended by `deadline`.
    #[must_use]
    pub fn new(config: &Config, deadline: Option<Instant>, now: Instant) -> Self {
        match config.pool_timeout() {
            // With a limit of zero the pool refuses at once; a caller that waits then waits for the server,
            // until the deadline.
            Some(limit) if limit.is_zero() => {
                Self { until: deadline, with_deadline: true, exhausted: WhenExhausted::Fail, told: false }
            }
            limit => {
                let own = limit.and_then(|limit| now.checked_add(limit));
                let until = own.into_iter().chain(deadline).min();
                Self { until, with_deadline: until == deadline, exhausted: WhenExhausted::Wait, told: false }
            }
        }
    }

    /// As this, of a caller that is told why the next attempt to connect failed, instead of waiting until one
    /// works: such as one that opens the pool.
    #[must_use]
    pub fn told(self) -> Self {
        Self { told: true, ..self }
    }

    /// Whether it ends with the next attempt to connect that fails.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// When it ends; `None`: never.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// What the pool does for this caller when all connections are in use.
    #[must_use]
    pub fn exhausted(&self) -> WhenExhausted {
        self.exhausted
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// The error for a caller whose limit has passed; `obstacle` is what held it up.
    #[must_use]
    pub fn end(&self, obstacle: Error) -> Error {
        if !self.with_deadline {
            return obstacle;
        }
        let message = format!("no connection within the deadline: {}", obstacle.message());
        Error::new(ErrorKind::Timeout, Outcome::NotSent, message).with_source(obstacle)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_pools_own_limit_or_the_deadline_ends_it_whichever_is_first() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let obstacle = || Error::new(ErrorKind::PoolExhausted, Outcome::NotSent, "all in use");
        for (options, until, exhausted, told) in [
            ("", 5, WhenExhausted::Wait, ErrorKind::Timeout),
            ("pool_timeout=2", 2, WhenExhausted::Wait, ErrorKind::PoolExhausted),
            ("pool_timeout=9", 5, WhenExhausted::Wait, ErrorKind::Timeout),
            ("pool_timeout=0", 5, WhenExhausted::Fail, ErrorKind::Timeout),
        ] {
            let config = Config::from_url(&format!("redis://h?{options}")).unwrap();
            let limit = AcquireLimit::new(&config, Some(now + 5 * second), now);
            assert_eq!(limit.until(), Some(now + until * second), "{options}");
            assert_eq!(limit.exhausted(), exhausted, "{options}");
            assert_eq!(limit.end(obstacle()).kind(), told, "{options}");
            assert!(!limit.is_over(now) && limit.is_over(now + until * second));
        }
        let config = Config::from_url("redis://h").unwrap();
        assert!(!AcquireLimit::new(&config, None, now).is_over(now + 1000 * second));
    }
}
