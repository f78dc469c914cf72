//! Transactions: `MULTI`, commands and `EXEC` in one write, and how often an optimistic one is tried.
//!
//! What a transaction came to is read here, straight from the reply to `EXEC`. This file must not know
//! connections, and is given the time and chance.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::call::Call;
use crate::callbacks::ResponseCallbacks;
use crate::cluster::Spread;
use crate::cmd::{Cmd, CmdOptions};
use crate::config::Config;
use crate::dispatch::{self, Dispatch};
use crate::error::{ClusterFault, Error, ErrorKind, Outcome, Result};
use crate::facts::{self, SessionEffect};
use crate::outbox::Outbox;
use crate::pipeline::{Batch, Pipeline, Slots};
use crate::replies::Replies;
use crate::retry::{self, Decision};
use crate::session_state::SessionState;
use crate::standing;

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// A pipeline that is executed whole or not at all, ready to be sent, with the slots its caller built.
#[derive(Debug)]
pub struct Atomic<S> {
    batch: Batch,
    slots: Option<S>,
    /// Whether keys are watched, so that even without a command there is something to find out.
    watched: bool,
    /// Whether the server refused it whole.
    refused: bool,
    error_about_server: Option<Error>,
}

impl<S: Slots> Atomic<S> {
    /// Lets `build` queue commands.
    pub fn record(build: impl FnOnce(&Pipeline) -> S) -> Self {
        let (batch, slots) = Pipeline::record(build);
        Self { batch, slots: Some(slots), watched: false, refused: false, error_about_server: None }
    }

    /// As [`record`](Self::record), for a connection that watches keys.
    pub fn record_watched(build: impl FnOnce(&Pipeline) -> S) -> Self {
        Self { watched: true, ..Self::record(build) }
    }

    /// Finds the replies to the commands in the reply to `EXEC`.
    fn open(&mut self, replies: &mut Replies) -> Result<Replies> {
        // A try before may have been.
        self.refused = false;
        let last = self.count() - 1;
        if let Some((index, error)) = replies.errors().next() {
            let error = error.without(&self.batch.secrets());
            return Err(match index {
                0 if replies.errors().count() == replies.len() => self.refuse(error.with_command("MULTI")),
                0 => unguarded(error),
                _ if index == last => {
                    self.refuse(error.with_context("EXEC was refused, nothing was executed"))
                }
                _ => {
                    let error = self.batch.numbered("transaction", index - 1, error);
                    self.refuse(error.with_context("nothing was executed"))
                }
            });
        }
        let Some(executed) = replies.open_at(last)? else { return Err(self.refuse(changed())) };
        if executed.len() == self.batch.len() {
            return Ok(executed);
        }
        let message =
            format!("expected {} replies in that to EXEC, got {}", self.batch.len(), executed.len());
        Err(Error::new(ErrorKind::Protocol, Outcome::Unreadable, message))
    }

    /// What the replies to the commands say.
    fn finish(&mut self, executed: Replies) -> Result<S::Out> {
        // A call is read once, except one that was refused whole.
        let slots = self.slots.take();
        let slots = slots.ok_or_else(|| Error::usage("the replies of a transaction are read once"))?;
        self.error_about_server = self.batch.error_about_server(&executed);
        self.batch.finish_as("transaction", executed, slots)
    }

    fn refuse(&mut self, error: Error) -> Error {
        self.refused = true;
        error
    }
}

/// The watched keys were changed.
fn changed() -> Error {
    Error::new(
        ErrorKind::Aborted,
        Outcome::Rejected,
        "aborted, a watched key was changed: nothing was executed",
    )
}

/// `MULTI` was refused, and the commands behind it were on their way already.
#[cold]
fn unguarded(error: Error) -> Error {
    let doing = "MULTI was refused, so that commands behind it were executed one by one";
    error.with_context(doing).with_outcome(Outcome::MaybeExecuted).with_command("MULTI")
}

impl<S: Slots> crate::call::Sealed for Atomic<S> {}

impl<S: Slots> Call for Atomic<S> {
    type Output = S::Out;

    fn dispatch(&self) -> Result<Dispatch> {
        self.batch.check().map(|()| Dispatch::Shared)
    }

    fn count(&self) -> u32 {
        if self.batch.is_empty() && !self.watched { 0 } else { self.batch.len() as u32 + 2 }
    }

    fn size(&self) -> usize {
        MULTI.len() + self.batch.outbox().len() + EXEC.len()
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn multi(&self) -> u32 {
        1
    }

    fn write(&self, outbox: &mut Outbox) {
        outbox.copy(MULTI);
        outbox.append(self.batch.outbox());
        outbox.copy(EXEC);
    }

    fn read(&mut self, mut replies: Replies) -> Result<S::Out> {
        let executed = if replies.is_empty() { replies } else { self.open(&mut replies)? };
        self.finish(executed)
    }

    fn read_through(&mut self, callbacks: &ResponseCallbacks, mut replies: Replies) -> Result<S::Out> {
        let executed = if replies.is_empty() { replies } else { self.open(&mut replies)? };
        let executed = callbacks.apply(&self.batch.names(), executed)?;
        self.finish(executed)
    }

    fn may_repeat(&self) -> bool {
        self.batch.may_repeat()
    }

    fn only_reads(&self) -> bool {
        self.batch.only_reads()
    }

    fn is_single(&self) -> bool {
        self.refused
    }

    fn error_about_server(&self) -> Option<&Error> {
        self.error_about_server.as_ref()
    }

    fn options(&self) -> CmdOptions {
        self.batch.options()
    }

    fn spread(&self) -> Result<Spread> {
        Spread::of_whole(&self.batch)
    }

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("transaction")
    }
}

/// Takes note in `session_state` of what a transaction that was answered by `replies` has left of its
/// connection: no watched keys and no open transaction, if `EXEC` was answered.
pub fn handle_replies(session_state: &mut SessionState, replies: &Replies) {
    let last = replies.len().saturating_sub(1) as u32;
    if replies.errors().any(|(index, error)| index == last && leaves_open(&error)) {
        session_state.handle_command(&facts::MULTI);
    }
    let exec = session_state.handle_command(&facts::EXEC);
    session_state.handle_reply(exec, replies);
}

/// Whether a transaction that was opened may still be open after `EXEC` was answered by `error`. One that was
/// discarded is not, nor one that the server knows nothing of.
pub(crate) fn leaves_open(error: &Error) -> bool {
    !error.is_aborted_exec() && !error.message().contains("EXEC without MULTI")
}

/// Whether a connection may begin a transaction, one that `watched` keys for it or not.
///
/// # Errors
/// [`ErrorKind::Usage`]: one is open already. [`ErrorKind::Aborted`]: it is not the connection that watches,
/// since that was lost.
pub fn check_start(session_state: &SessionState, watched: bool) -> Result<()> {
    if session_state.in_transaction() {
        return Err(Error::usage("a transaction is open on this connection already (MULTI)"));
    }
    if watched && !session_state.is_bound() {
        let message = "aborted, the connection that watched the keys is gone";
        return Err(Error::new(ErrorKind::Aborted, Outcome::NotSent, message));
    }
    Ok(())
}

/// Whether `cmd` can be run between watching keys and committing.
///
/// # Errors
/// [`ErrorKind::Usage`]: it would change what the connection watches, or the connection itself; or it [lacks
/// a value](Cmd::check).
pub fn check_command<R>(cmd: &Cmd<R>) -> Result<()> {
    cmd.check()?;
    if cmd.facts().session == SessionEffect::None {
        return Ok(());
    }
    dispatch::check_send(cmd)?;
    let message = "a transaction cannot run it: keys are watched by `watch`, `commit` executes, and the \
                   connection stays as it is";
    Err(Error::usage(message).with_command(&cmd.name()))
}

/// When a call that must end by `own` has to have ended in a transaction that must by `whole`.
///
/// # Errors
/// That was before `now`, so that it is not sent.
pub fn deadline(own: Option<Instant>, whole: Option<Instant>, now: Instant) -> Result<Option<Instant>> {
    if whole.is_some_and(|deadline| deadline <= now) {
        return Err(Error::timeout(Outcome::NotSent));
    }
    Ok([own, whole].into_iter().flatten().min())
}

/// What a failure before or in `EXEC` means to a transaction: an abort where it may begin again without harm,
/// else itself.
///
/// `call` is what failed.
#[must_use]
pub fn interrupted(error: Error, call: &impl Call, config: &Config) -> Error {
    let lost = matches!(error.kind(), ErrorKind::Connection(_));
    if !lost || !retry::may_retry(&error, retry::is_harmless(call, config), config.retry()) {
        return error;
    }
    let message = format!("aborted, the connection was lost: {}", error.message());
    let outcome = if call.only_reads() { Outcome::NotSent } else { error.outcome() };
    Error::new(ErrorKind::Aborted, outcome, message).with_source(error)
}

/// `error`, which ended a try, as an abort where the server refused a command over a connection that is of no
/// use: the next try has another one.
#[must_use]
pub fn refused(error: Error, config: &Config) -> Error {
    if !standing::may_go_on(&error, false, config) {
        return error;
    }
    let message = format!("aborted, {}", error.message());
    Error::new(ErrorKind::Aborted, Outcome::Rejected, message).with_source(error)
}

/// Whether `call` may run in a transaction on keys of `home`; `None`: wherever it is.
///
/// # Errors
/// [`ClusterFault::CrossSlot`]: its keys have another slot, or several.
pub fn check_slot(call: &impl Call, home: Option<u16>) -> Result<()> {
    let Some(home) = home else { return Ok(()) };
    let Spread::One(Some(slot)) = call.spread()? else { return Ok(()) };
    if slot == home {
        return Ok(());
    }
    let message = format!("its keys are in slot {slot}, and the transaction watches keys of slot {home}");
    let fault = ErrorKind::Cluster(ClusterFault::CrossSlot);
    Err(Error::new(fault, Outcome::NotSent, message).with_command(&call.name()))
}

/// Whether `error`, of a try that executed nothing, says that the node of a cluster does not serve the keys,
/// or not now: the next try may go elsewhere.
#[must_use]
pub fn is_misplaced(error: &Error) -> bool {
    let elsewhere = matches!(
        error.kind(),
        ErrorKind::Cluster(
            ClusterFault::Moved | ClusterFault::Ask | ClusterFault::TryAgain | ClusterFault::Down
        )
    );
    error.outcome() == Outcome::Rejected && (elsewhere || error.is_demotion())
}

/// How often an optimistic transaction is tried, and for how long.
///
/// ```
/// # use redwire_core as redwire;
/// use std::time::Duration;
///
/// use redwire::TransactionOptions;
/// use redwire::backoff::Backoff;
///
/// let options = TransactionOptions::new().tries(5).backoff(Backoff::constant(Duration::from_millis(10)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TransactionOptions {
    tries: Option<u32>,
    backoff: Backoff,
    timeout: Option<Duration>,
}

impl TransactionOptions {
    /// As many tries as there is time for, which is the client's `timeout`.
    #[must_use]
    pub fn new() -> Self {
        let backoff = Backoff::full_jitter(Duration::from_millis(1), Duration::from_millis(50));
        Self { tries: None, backoff, timeout: None }
    }

    /// How often it is tried at most, the first time included; default: until the deadline. With 1, the first
    /// change by another client is told; where there is much contention, a small number fails often.
    #[must_use]
    pub fn tries(mut self, tries: u32) -> Self {
        self.tries = Some(tries);
        self
    }

    /// The pauses between tries; default: full jitter, from 1 ms to 50 ms. Without any, contenders get in
    /// each other's way; with long ones, the deadline comes sooner than success.
    #[doc(alias = "watch_delay")]
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// The deadline of all tries together; default: the client's `timeout`. Zero means none. It ends calls
    /// and tries, not the closure's own work.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl Default for TransactionOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// An optimistic transaction, through all its tries.
#[derive(Clone, Debug)]
pub struct Tries {
    options: TransactionOptions,
    deadline: Option<Instant>,
    made: u32,
    pause: Duration,
    /// Whether a try may have been executed, and was followed by another.
    doubtful: bool,
}

impl Tries {
    /// The first try of a transaction that begins `now`.
    #[must_use]
    pub fn new(options: TransactionOptions, config: &Config, now: Instant) -> Self {
        let limit = options.timeout.or_else(|| config.timeout()).filter(|limit| !limit.is_zero());
        let deadline = limit.and_then(|limit| now.checked_add(limit));
        Self { options, deadline, made: 1, pause: Duration::ZERO, doubtful: false }
    }

    /// When the last try must have ended.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// A try ended with `error`; `random` is uniform over all of `u64`. Only aborts are tried again.
    ///
    /// `budget` is asked for the right to one retry where a connection was lost: contention alone is no
    /// reason to hold back.
    pub fn handle_end(
        &mut self,
        error: Error,
        now: Instant,
        random: u64,
        budget: impl FnOnce() -> bool,
    ) -> Decision {
        if error.kind() != ErrorKind::Aborted {
            return Decision::Fail(self.outcome_of_all(error));
        }
        let pause = self.options.backoff.delay(self.made, self.pause, random);
        let reason = if self.options.tries.is_some_and(|tries| self.made >= tries) {
            Some("too many tries")
        } else if self
            .deadline
            .is_some_and(|deadline| now.checked_add(pause).is_none_or(|next| next >= deadline))
        {
            Some("no time for another try")
        } else if error.outcome() != Outcome::Rejected && !budget() {
            Some("not tried again, the retry budget is spent")
        } else {
            None
        };
        if let Some(reason) = reason {
            let error = self.outcome_of_all(error.with_context(reason));
            return Decision::Fail(error.with_tries(self.made));
        }
        (self.made, self.pause) = (self.made + 1, pause);
        self.doubtful |= error.outcome() == Outcome::MaybeExecuted;
        Decision::Retry(pause)
    }

    /// The error that ends it all: its outcome is the worst of all tries.
    #[must_use]
    pub fn outcome_of_all(&self, error: Error) -> Error {
        if self.doubtful { error.after_doubtful_try() } else { error }
    }
}

#[cfg(test)]
mod tests;
