//! Whether a failed call is made again, and when. The one place where that is decided.
//!
//! A command that was certainly not executed may be sent again. One that may have been executed is sent again only
//! if that does no harm: it only reads, or its caller declared it idempotent. This file must not know clocks
//! or sockets; time and chance come in as arguments.

use std::time::{Duration, Instant};

use crate::call::Call;
use crate::config::{Config, RetryPolicy};
use crate::error::{Error, ErrorKind, Outcome};

/// One call, through all its tries.
#[derive(Clone, Debug)]
pub struct Attempt {
    tries: u32,
    pause: Duration,
    deadline: Option<Instant>,
}

/// What to do after a failed try.
#[derive(Debug)]
pub enum Decision {
    /// Wait this long, then try again.
    Retry(Duration),
    /// Give the caller this error.
    Fail(Error),
}

impl Attempt {
    /// The first try of a call that must end by `deadline`.
    #[inline]
    #[must_use]
    pub fn new(deadline: Option<Instant>) -> Self {
        Self { tries: 1, pause: Duration::ZERO, deadline }
    }

    /// When the call must have ended.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// A try of `call` failed with `error`; `random` is uniform over all of `u64`.
    pub fn handle_failure(
        &mut self,
        error: Error,
        call: &impl Call,
        config: &Config,
        now: Instant,
        random: u64,
    ) -> Decision {
        let options = call.options();
        let policy = config.retry();
        let retries = options.retries.unwrap_or(policy.retries);
        // Of a pipeline, other commands were executed when one was rejected.
        let whole = error.outcome() != Outcome::Rejected || call.is_single();
        let worthwhile = whole && self.tries <= retries && may_retry(&error, call.may_repeat(), policy);
        let pause = policy.backoff.delay(self.tries, self.pause, random);
        let in_time = self.deadline.is_none_or(|deadline| now + pause < deadline);
        if worthwhile && in_time {
            self.pause = pause;
            self.tries += 1;
            return Decision::Retry(pause);
        }
        let error = if error.command().is_some() { error } else { error.with_command(&call.name()) };
        Decision::Fail(error.with_tries(self.tries))
    }
}

/// Whether a call that ended in `error` may be made again at all.
#[must_use]
pub fn may_retry(error: &Error, harmless: bool, policy: &RetryPolicy) -> bool {
    match error.outcome() {
        _ if error.kind() == ErrorKind::Timeout => {
            policy.on_timeout && (harmless || error.outcome() == Outcome::NotSent)
        }
        // Limits are told at once: who meets one decides whether to wait.
        Outcome::NotSent => {
            error.is_retryable() && !matches!(error.kind(), ErrorKind::QueueFull | ErrorKind::PoolExhausted)
        }
        Outcome::Rejected if error.kind() == ErrorKind::MaxClients => policy.covers(RetryPolicy::MAX_CLIENTS),
        Outcome::Rejected => error.code().is_some_and(|code| policy.covers(code)),
        Outcome::MaybeExecuted => harmless && matches!(error.kind(), ErrorKind::Connection(_)),
        Outcome::Unreadable => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::Cmd;
    use crate::error::ConnectionFault;
    use crate::reply::Value;

    fn lost(outcome: Outcome) -> Error {
        Error::new(ErrorKind::Connection(ConnectionFault::Reset), outcome, "reset")
    }

    #[test]
    fn what_may_have_run_is_repeated_only_when_harmless() {
        let table = [
            (lost(Outcome::NotSent), true, true),
            (lost(Outcome::MaybeExecuted), false, true),
            (Error::from_server(b"LOADING"), true, true),
            (Error::from_server(b"ERR max number of clients reached"), true, true),
            (Error::from_server(b"WRONGTYPE"), false, false),
            (Error::timeout(Outcome::NotSent), false, false),
            (Error::usage("no"), false, false),
            (lost(Outcome::Unreadable), false, false),
        ];
        for (error, as_write, as_read) in table {
            let policy = RetryPolicy::default();
            assert_eq!(may_retry(&error, false, &policy), as_write, "{error} of a write");
            assert_eq!(may_retry(&error, true, &policy), as_read, "{error} of a read");
        }
    }

    #[test]
    fn tries_and_the_deadline_are_limits() {
        let config = Config::from_url("redis://h/?retries=2").unwrap();
        let incr = Cmd::<Value>::new("INCR").arg("n");
        let now = Instant::now();
        let mut attempt = Attempt::new(Some(now + Duration::from_secs(60)));
        for _ in 0..2 {
            let decision = attempt.handle_failure(lost(Outcome::NotSent), &incr, &config, now, 7);
            assert!(matches!(decision, Decision::Retry(_)));
        }
        let Decision::Fail(error) = attempt.handle_failure(lost(Outcome::NotSent), &incr, &config, now, 7)
        else {
            panic!("a third retry");
        };
        assert_eq!((error.tries(), error.command()), (3, Some("INCR")));
        let mut late = Attempt::new(Some(now));
        assert!(matches!(
            late.handle_failure(lost(Outcome::NotSent), &incr, &config, now, 7),
            Decision::Fail(_)
        ));
    }

    #[test]
    fn a_caller_may_declare_a_write_harmless() {
        let config = Config::builder().build().unwrap();
        let set = Cmd::<Value>::new("SET").arg("k").arg("v");
        let now = Instant::now();
        let decide = |cmd: Cmd<Value>| {
            Attempt::new(None).handle_failure(lost(Outcome::MaybeExecuted), &cmd, &config, now, 7)
        };
        assert!(matches!(decide(set.clone()), Decision::Fail(_)));
        assert!(matches!(decide(set.clone().idempotent()), Decision::Retry(_)));
        assert!(matches!(decide(set.idempotent().retries(0)), Decision::Fail(_)));
    }
}
