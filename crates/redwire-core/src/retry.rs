//! Whether a failed call is made again, and when. The one place where that is decided.
//!
//! A command that was certainly not executed may be sent again. One that may have been executed is sent again
//! only if that does no harm: it only reads, or its caller declared it idempotent. This file must not know
//! clocks or sockets; time and chance come in as arguments.

use std::time::{Duration, Instant};

use crate::call::Call;
use crate::config::{Config, Deployment, Endpoint, RetryPolicy};
use crate::dispatch::Dispatch;
use crate::error::{ClusterFault, Error, ErrorKind, Outcome};
use crate::facts::Blocking;
use crate::standing;

/// One call, through all its tries.
#[derive(Clone, Debug)]
pub struct Attempt {
    tries: u32,
    pause: Duration,
    deadline: Option<Instant>,
    /// Whether a try may have been executed.
    doubtful: bool,
    /// Whether the last try timed out.
    timed_out: bool,
    /// Why a try was refused over a connection that is of no use.
    refused: Option<Error>,
}

/// What to do after a failed try.
#[derive(Debug)]
pub enum Decision {
    /// Wait this long, then try again.
    Retry(Duration),
    /// Try again at once: the call was changed to another way of asking.
    Again,
    /// Give the caller this error.
    Fail(Error),
}

impl Attempt {
    /// The first try of a call that must end by `deadline`.
    #[inline]
    #[must_use]
    pub fn new(deadline: Option<Instant>) -> Self {
        Self { tries: 1, pause: Duration::ZERO, deadline, doubtful: false, timed_out: false, refused: None }
    }

    /// When the call must have ended.
    #[inline]
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Whether a try was refused over a connection that is of no use: what the server says of itself decides
    /// when the next is made, too ([`Standing`](standing::Standing)).
    #[inline]
    #[must_use]
    pub fn was_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// Which connection the next try takes, where the call takes that of `dispatch`: one of its own after a
    /// timeout, since on the shared one it would wait behind the try before.
    #[must_use]
    pub fn dispatch(&self, dispatch: Dispatch) -> Dispatch {
        if self.timed_out { Dispatch::Exclusive(Blocking::No) } else { dispatch }
    }

    /// A try of `call` failed with `error`; `random` is uniform over all of `u64`.
    ///
    /// `budget` is asked for the right to one retry ([`RetryBudget`](crate::budget::RetryBudget)), and only
    /// if all else allows it: an answer of `true` is a retry made. A call that is asked in another way is no
    /// retry.
    ///
    /// A call that was refused over a connection that is of no use waits for a better one, as during an
    /// outage: until its deadline, and at the cost of no budget. Without a deadline, or with `retries=0`, it
    /// is told as any other failure.
    ///
    /// The outcome of the error that the caller is given is the worst of all tries:
    /// [`outcome_of_all`](Self::outcome_of_all).
    pub fn handle_failure(
        &mut self,
        error: Error,
        call: &mut impl Call,
        config: &Config,
        now: Instant,
        random: u64,
        budget: impl FnOnce() -> bool,
    ) -> Decision {
        self.handle_outcome(&error);
        if call.revise(&error) {
            return Decision::Again;
        }
        let (policy, retries) = (config.retry(), retries_of(call, config));
        // Of a pipeline, other commands were executed when one was rejected.
        let whole = error.outcome() != Outcome::Rejected || call.is_single();
        let harmless = is_harmless(call, config);
        let moved = matches!(config.deployment(), Deployment::Sentinel { .. }) && may_move(&error, harmless);
        let refused = whole && standing::may_go_on(&error, harmless, config);
        if refused {
            self.refused = Some(error.clone());
        }
        let waits = refused && self.deadline.is_some() && retries > 0;
        let allowed = moved || refused || may_retry(&error, harmless, policy);
        let worthwhile = waits || (whole && self.tries <= retries && allowed);
        let backoff = if waits { config.reconnect_backoff() } else { policy.backoff };
        let pause = backoff.delay(self.tries, self.pause, random);
        let in_time = self.deadline.is_none_or(|deadline| now + pause < deadline);
        let wanted = worthwhile && in_time;
        if wanted && (waits || budget()) {
            self.pause = pause;
            self.tries += 1;
            return Decision::Retry(pause);
        }
        let error =
            if wanted { error.with_context("not tried again, the retry budget is spent") } else { error };
        let error = match &self.refused {
            Some(refused) if error.kind() == ErrorKind::Timeout => {
                error.with_context(&format!("a try before was refused ({})", refused.message()))
            }
            _ => error,
        };
        let error = self.outcome_of_all(advised(error, config), call);
        Decision::Fail(error.or_command(&call.name()).with_tries(self.tries))
    }

    /// Takes note of how a try ended.
    pub fn handle_outcome(&mut self, error: &Error) {
        self.doubtful |= error.outcome() == Outcome::MaybeExecuted;
        self.timed_out = error.kind() == ErrorKind::Timeout;
    }

    /// The error that ends `call`, with the worst outcome of all its tries: what was not sent or rejected at
    /// last may have been executed before. What only reads keeps the last.
    #[must_use]
    pub fn outcome_of_all(&self, error: Error, call: &impl Call) -> Error {
        if self.doubtful && !call.only_reads() { error.after_doubtful_try() } else { error }
    }
}

/// Says which URL follows the cluster, where one server was taken for the only one and is a node of it.
fn advised(error: Error, config: &Config) -> Error {
    match (error.kind(), config.deployment()) {
        (
            ErrorKind::Cluster(ClusterFault::Moved | ClusterFault::Ask),
            Deployment::Single(Endpoint::Tcp(address)),
        ) if !config.has_alternatives() => {
            let tls = if config.tls() { "s" } else { "" };
            error.with_context(&format!(
                "the server is a node of a cluster, which a client of `redis{tls}+cluster://{address}` \
                 follows"
            ))
        }
        _ => error,
    }
}

/// Whether `call` may be executed twice without harm.
pub(crate) fn is_harmless(call: &impl Call, config: &Config) -> bool {
    call.may_repeat() || config.idempotent()
}

/// How often `call` is made again at most.
pub(crate) fn retries_of(call: &impl Call, config: &Config) -> u32 {
    if call.ends_connection() { 0 } else { call.options().retries.unwrap_or_else(|| config.retry().retries) }
}

/// When a try of `call` that begins `now` ends, if the call must have ended by `deadline`: that is earlier
/// where the try is to be made again after a timeout ([`RetryPolicy::on_timeout`]).
#[inline]
#[must_use]
pub fn try_deadline(
    call: &impl Call,
    dispatch: Dispatch,
    config: &Config,
    deadline: Option<Instant>,
    now: Instant,
) -> Option<Instant> {
    if config.retry().on_timeout { share_of(call, dispatch, config, deadline, now) } else { deadline }
}

/// Out of the way of calls that are not made again after a timeout.
#[cold]
fn share_of(
    call: &impl Call,
    dispatch: Dispatch,
    config: &Config,
    deadline: Option<Instant>,
    now: Instant,
) -> Option<Instant> {
    let retries = retries_of(call, config);
    if dispatch.waits() || !is_harmless(call, config) || retries == 0 {
        return deadline;
    }
    let whole = match call.options().timeout {
        Some(Duration::ZERO) => None,
        own => own.or_else(|| config.timeout()),
    };
    let share = || whole.map(|whole| whole / retries.saturating_add(1));
    let limit = config.retry().attempt_timeout.or_else(share);
    limit.and_then(|limit| now.checked_add(limit)).into_iter().chain(deadline).min()
}

/// Whether a call that a replica refused may be made again at its master: what was not executed, or is
/// harmless.
pub(crate) fn may_move(error: &Error, harmless: bool) -> bool {
    let certain = match error.outcome() {
        Outcome::Rejected => true,
        Outcome::MaybeExecuted => harmless,
        Outcome::NotSent | Outcome::Unreadable => false,
    };
    certain && error.is_demotion()
}

/// Whether a call that ended in `error` may be made again at all.
#[must_use]
pub fn may_retry(error: &Error, harmless: bool, policy: &RetryPolicy) -> bool {
    match error.outcome() {
        _ if error.kind() == ErrorKind::Timeout => {
            policy.on_timeout && (harmless || error.outcome() == Outcome::NotSent)
        }
        // Limits are told at once: the caller that meets one decides whether to wait.
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
mod tests;
