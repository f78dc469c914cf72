//! What a driver carries out: one command, or a pipeline of them. Both take the same road.
//!
//! This file must not know how the road looks.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::callbacks::ResponseCallbacks;
use crate::cluster::{Map, Scatter, Spread};
use crate::cmd::{Cmd, CmdOptions};
use crate::config::Config;
use crate::dispatch::{self, Dispatch};
use crate::error::{ConnectionFault, Error, ErrorKind, Outcome, Result};
use crate::facts::{Blocking, SessionEffect};
use crate::outbox::Outbox;
use crate::pipeline::{self, Batch, Pipeline, Slots};
use crate::replies::Replies;
use crate::reply::Reply;

/// Only the core says what a call is.
pub trait Sealed {}

/// Something that is sent as one request and answered by a known number of replies: a command, a pipeline, a
/// transaction. Only redwire implements it.
pub trait Call: Sealed {
    /// What the caller gets.
    type Output;

    /// Which connection it takes.
    ///
    /// # Errors
    /// It cannot be run on a client.
    #[doc(hidden)]
    fn dispatch(&self) -> Result<Dispatch>;

    /// How many replies answer it. With 0 nothing is sent.
    #[doc(hidden)]
    fn count(&self) -> u32;

    /// How many bytes [`write`](Self::write) will write.
    #[doc(hidden)]
    fn size(&self) -> usize;

    /// Whether nothing of it is executed before all of it is sent.
    #[doc(hidden)]
    fn is_whole(&self) -> bool;

    /// Which of its replies is that to the `MULTI` that it begins with, counted from 1; 0 where it is no
    /// transaction.
    #[doc(hidden)]
    fn multi(&self) -> u32 {
        0
    }

    /// Appends its bytes.
    #[doc(hidden)]
    fn write(&self, outbox: &mut Outbox);

    /// Turns the replies into what the caller gets.
    ///
    /// # Errors
    /// The server's error, or a reply of another type than expected.
    #[doc(hidden)]
    fn read(&mut self, replies: Replies) -> Result<Self::Output>;

    /// Why it is to be made again, where `replies` say that the server executed nothing of it, or only what
    /// changes nothing, and that by what it says of itself another connection may be better.
    #[inline]
    #[doc(hidden)]
    fn refusal(&mut self, replies: &Replies, config: &Config) -> Option<Error> {
        let _ = (replies, config);
        None
    }

    /// Whether it may be repeated after its reply was lost.
    #[doc(hidden)]
    fn may_repeat(&self) -> bool;

    /// Whether it changes nothing, so that the caller need not know whether it was executed.
    #[doc(hidden)]
    fn only_reads(&self) -> bool {
        false
    }

    /// Whether an error reply means that nothing of it was executed.
    #[doc(hidden)]
    fn is_single(&self) -> bool;

    /// An error that it keeps for its caller as a value, and that says something about the server:
    /// [`Error::is_about_server`].
    #[inline]
    #[doc(hidden)]
    fn error_about_server(&self) -> Option<&Error> {
        None
    }

    /// What the caller said about it.
    #[doc(hidden)]
    fn options(&self) -> CmdOptions;

    /// It failed with `error`: whether it can be asked in another way, and is changed to that. What the
    /// server has may not run a second time.
    #[doc(hidden)]
    fn revise(&mut self, error: &Error) -> bool {
        let _ = error;
        false
    }

    /// Whether the end of the connection is what answers it if it succeeds, so that it is never sent again.
    #[doc(hidden)]
    fn ends_connection(&self) -> bool {
        false
    }

    /// How many nodes of a cluster it concerns.
    ///
    /// # Errors
    /// Its keys have several slots, and it cannot be taken apart.
    #[doc(hidden)]
    fn spread(&self) -> Result<Spread> {
        Ok(Spread::One(None))
    }

    /// In parts, where it may concern several. Its replies are to be [read](Self::read) as if one node had
    /// given them.
    ///
    /// # Errors
    /// As [`Scatter::of_batch`].
    #[doc(hidden)]
    fn scatter(&self, map: &Map, deadline: Option<Instant>) -> Result<Scatter> {
        let _ = (map, deadline);
        Err(Error::usage("it goes to one node only"))
    }

    /// Whether a replica may answer it.
    #[doc(hidden)]
    fn is_read_only(&self) -> bool {
        false
    }

    /// Its name in messages.
    #[doc(hidden)]
    fn name(&self) -> Cow<'static, str>;

    /// It failed with `error` for good: the replies there are, to be [read](Self::read), where it can do
    /// without the others.
    ///
    /// # Errors
    /// It cannot.
    #[doc(hidden)]
    fn replies_despite(&self, error: Error) -> Result<Replies> {
        Err(error)
    }

    /// As [`read`](Self::read), of what `callbacks` make of the replies.
    ///
    /// # Errors
    /// As [`read`](Self::read); also what a callback returns.
    #[doc(hidden)]
    fn read_through(&mut self, callbacks: &ResponseCallbacks, replies: Replies) -> Result<Self::Output> {
        let replies = callbacks.apply(&self.commands(), replies)?;
        self.read(replies)
    }

    /// The names of its commands, one for each reply.
    #[doc(hidden)]
    fn commands(&self) -> Vec<Cow<'static, str>> {
        vec![self.name()]
    }
}

impl<R: Reply> Sealed for Cmd<R> {}

impl<R: Reply> Call for Cmd<R> {
    type Output = R;

    #[inline]
    fn dispatch(&self) -> Result<Dispatch> {
        dispatch::of(self)
    }

    #[inline]
    fn count(&self) -> u32 {
        1
    }

    #[inline]
    fn size(&self) -> usize {
        header_size(self.args().len()) + self.args().size()
    }

    #[inline]
    fn is_whole(&self) -> bool {
        true
    }

    #[inline]
    fn write(&self, outbox: &mut Outbox) {
        outbox.command(self.args());
    }

    #[inline]
    fn read(&mut self, mut replies: Replies) -> Result<R> {
        replies.read().map_err(|error| self.judge(error))
    }

    fn may_repeat(&self) -> bool {
        Self::may_repeat(self)
    }

    fn only_reads(&self) -> bool {
        self.facts().is_repeatable()
    }

    fn is_single(&self) -> bool {
        true
    }

    #[inline]
    fn options(&self) -> CmdOptions {
        Self::options(self)
    }

    fn revise(&mut self, error: &Error) -> bool {
        error.is_missing_script() && self.spell_out_script()
    }

    fn ends_connection(&self) -> bool {
        // What calls it off is answered.
        self.facts().session == SessionEffect::Ends && dispatch::on_connection(self) != Dispatch::Shared
    }

    #[inline]
    fn spread(&self) -> Result<Spread> {
        Spread::of(self)
    }

    fn scatter(&self, map: &Map, deadline: Option<Instant>) -> Result<Scatter> {
        Scatter::of_command(self, map, deadline)
    }

    #[inline]
    fn is_read_only(&self) -> bool {
        self.facts().is_read_only()
    }

    fn name(&self) -> Cow<'static, str> {
        Self::name(self)
    }
}

/// The size of `*<words>\r\n`.
#[inline]
fn header_size(words: usize) -> usize {
    if words < 10 {
        return 4;
    }
    words.ilog10() as usize + 4
}

/// A pipeline, ready to be sent, with the slots its caller built.
#[derive(Debug)]
pub struct Piped<S> {
    batch: Batch,
    slots: Option<S>,
    error_about_server: Option<Error>,
    /// Whether the server refused it whole.
    refused: bool,
}

impl<S: Slots> Piped<S> {
    /// Lets `build` queue commands.
    pub fn record(build: impl FnOnce(&Pipeline) -> S) -> Self {
        let (batch, slots) = Pipeline::record(build);
        Self { batch, slots: Some(slots), error_about_server: None, refused: false }
    }
}

impl<S: Slots> Sealed for Piped<S> {}

impl<S: Slots> Call for Piped<S> {
    type Output = S::Out;

    fn dispatch(&self) -> Result<Dispatch> {
        self.batch.check().map(|()| Dispatch::Shared)
    }

    fn count(&self) -> u32 {
        self.batch.len() as u32
    }

    fn size(&self) -> usize {
        self.batch.outbox().len()
    }

    fn is_whole(&self) -> bool {
        self.batch.len() == 1
    }

    fn write(&self, outbox: &mut Outbox) {
        outbox.append(self.batch.outbox());
    }

    fn read(&mut self, replies: Replies) -> Result<S::Out> {
        // A call is read once: after an error of a single command it is not tried again (`is_single`).
        let slots =
            self.slots.take().ok_or_else(|| Error::usage("the replies of a pipeline are read once"))?;
        self.error_about_server = self.batch.error_about_server(&replies);
        self.batch.finish(replies, slots)
    }

    fn error_about_server(&self) -> Option<&Error> {
        self.error_about_server.as_ref()
    }

    fn refusal(&mut self, replies: &Replies, config: &Config) -> Option<Error> {
        let refused = self.batch.refusal(replies, config);
        self.refused = refused.is_some();
        refused
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

    fn options(&self) -> CmdOptions {
        self.batch.options()
    }

    fn spread(&self) -> Result<Spread> {
        Ok(Spread::Several)
    }

    fn scatter(&self, map: &Map, deadline: Option<Instant>) -> Result<Scatter> {
        Scatter::of_batch(&self.batch, map, deadline)
    }

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("pipeline")
    }

    fn replies_despite(&self, mut error: Error) -> Result<Replies> {
        let mut replies = error.take_answered();
        // What cannot be sent, or was read already, has failed as a whole.
        let Some(slots) = self.slots.as_ref().filter(|_| self.batch.check().is_ok()) else {
            return Err(error);
        };
        let attempted = pipeline::attempted(slots);
        let answered = replies.len();
        if self.refused && attempted.is_empty() {
            return Err(error);
        }
        if (answered..self.batch.len()).any(|index| attempted.binary_search(&(index as u32)).is_err()) {
            return Err(error);
        }
        for name in &self.batch.names()[answered..] {
            replies.push_missing(error.clone().with_command(name));
        }
        Ok(replies)
    }

    fn commands(&self) -> Vec<Cow<'static, str>> {
        self.batch.names()
    }
}

/// What a call sends, for a future that outlives the call.
#[derive(Debug)]
pub struct PackedCall {
    /// Its commands.
    pub bytes: Vec<u8>,
    /// [`Call::count`].
    pub count: u32,
    /// [`Call::is_whole`].
    pub is_whole: bool,
    /// [`Call::multi`].
    pub multi: u32,
    /// [`Call::ends_connection`].
    pub ends_connection: bool,
}

impl PackedCall {
    /// What `call` sends.
    pub fn of(call: &impl Call) -> Self {
        let mut outbox = Outbox::default();
        call.write(&mut outbox);
        Self {
            bytes: outbox.to_bytes(),
            count: call.count(),
            is_whole: call.is_whole(),
            multi: call.multi(),
            ends_connection: call.ends_connection(),
        }
    }
}

/// The replies to `call` where `error`, the loss of its connection, is the only answer it has: a server that
/// goes down says nothing.
///
/// # Errors
/// `error` itself, where it is none.
#[cold]
pub fn ended(call: &impl Call, error: Error) -> Result<Replies> {
    use ConnectionFault::{Closed, LeftMaster, Reset};
    let lost = matches!(error.kind(), ErrorKind::Connection(Closed | Reset | LeftMaster));
    if lost && error.outcome() == Outcome::MaybeExecuted && call.ends_connection() {
        return Ok(Replies::single(Bytes::from_static(b"+OK\r\n"), false));
    }
    Err(error)
}

/// Turns the replies into what the caller of `call` gets, by way of the callbacks that `config` has for its
/// commands.
///
/// # Errors
/// As [`Call::read`]; also what a callback returns.
#[inline]
pub fn read<C: Call>(call: &mut C, replies: Replies, config: &Config) -> Result<C::Output> {
    if let Some(error) = call.refusal(&replies, config) {
        return Err(error.with_answered(replies));
    }
    read_all(call, replies, config)
}

/// What the caller of `call` gets, even if it was refused.
#[inline]
fn read_all<C: Call>(call: &mut C, replies: Replies, config: &Config) -> Result<C::Output> {
    let callbacks = config.response_callbacks();
    if callbacks.is_empty() { call.read(replies) } else { read_through(call, callbacks, replies) }
}

/// What the caller of `call` gets, which failed with `error` for good: where it can do without some replies,
/// those there are.
///
/// # Errors
/// As [`read`]; else `error`.
#[cold]
pub fn fail<C: Call>(call: &mut C, error: Error, config: &Config) -> Result<C::Output> {
    let replies = call.replies_despite(error)?;
    read_all(call, replies, config)
}

/// Out of the way of calls that have no callbacks.
#[cold]
#[inline(never)]
fn read_through<C: Call>(call: &mut C, callbacks: &ResponseCallbacks, replies: Replies) -> Result<C::Output> {
    call.read_through(callbacks, replies)
}

/// When a call that starts `now` must have ended. What the server is asked to wait counts on top; where it is
/// to wait for ever, the `default` limit does not apply, and one of the call's own does.
#[inline]
#[must_use]
pub fn deadline(
    dispatch: Dispatch,
    options: CmdOptions,
    default: Option<Duration>,
    now: Instant,
) -> Option<Instant> {
    let limit = match (options.timeout, dispatch) {
        (Some(Duration::ZERO), _) | (None, Dispatch::Exclusive(Blocking::Forever)) => return None,
        (Some(own), _) => own,
        (None, _) => default?,
    };
    match dispatch {
        Dispatch::Exclusive(Blocking::Upto(wait)) => now.checked_add(limit)?.checked_add(wait),
        Dispatch::Shared | Dispatch::Exclusive(Blocking::No | Blocking::Forever) => now.checked_add(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arg::SHARED_FROM;
    use crate::reply::Value;
    use crate::run::Run;

    #[test]
    fn the_announced_size_is_the_size() {
        let large = Bytes::from(vec![0; SHARED_FROM]);
        for words in [0, 1, 8, 9, 98, 99, 998, 1000] {
            let cmd: Cmd<()> = Cmd::new("MSET").arg(vec!["x"; words]).arg(&large);
            assert_eq!(cmd.size(), cmd.to_bytes().len(), "{words} words");
        }
    }

    #[test]
    fn a_loss_answers_what_ends_the_connection_and_nothing_else() {
        let lost = |fault| Error::new(ErrorKind::Connection(fault), Outcome::MaybeExecuted, "lost");
        let cmd = |line: &str| line.split(' ').fold(Cmd::<Value>::new(""), Cmd::arg);
        for (line, ends) in [
            ("SHUTDOWN", true),
            ("shutdown nosave", true),
            ("SHUTDOWN SAVE NOW FORCE", true),
            ("SHUTDOWN ABORT", false),
            ("GET SHUTDOWN", false),
            ("INCR n", false),
        ] {
            for fault in [ConnectionFault::Closed, ConnectionFault::Reset] {
                let result = ended(&cmd(line), lost(fault));
                assert_eq!(result.is_ok(), ends, "{line}");
                if let Ok(mut replies) = result {
                    replies.read::<()>().unwrap();
                }
            }
            // Not sent, or unsure whether it is gone.
            assert!(ended(&cmd(line), lost(ConnectionFault::Closed).with_outcome(Outcome::NotSent)).is_err());
            assert!(ended(&cmd(line), lost(ConnectionFault::Silent)).is_err());
            assert!(ended(&cmd(line), Error::timeout(Outcome::MaybeExecuted)).is_err());
            assert!(
                ended(&cmd(line), Error::from_server(b"ERR Errors trying to SHUTDOWN. Check logs.")).is_err()
            );
        }
        assert!(Pipeline::record(|p| p.run(cmd("SHUTDOWN"))).0.check().is_err());
    }

    #[test]
    fn what_the_server_waits_comes_on_top() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let of = |dispatch, timeout| {
            deadline(dispatch, CmdOptions { timeout, ..CmdOptions::default() }, Some(second), now)
        };
        assert_eq!(of(Dispatch::Shared, None), Some(now + second));
        assert_eq!(of(Dispatch::Shared, Some(2 * second)), Some(now + 2 * second));
        assert_eq!(of(Dispatch::Shared, Some(Duration::ZERO)), None);
        assert_eq!(of(Dispatch::Exclusive(Blocking::Upto(second)), None), Some(now + 2 * second));
        assert_eq!(of(Dispatch::Exclusive(Blocking::Upto(second)), Some(2 * second)), Some(now + 3 * second));
        assert_eq!(of(Dispatch::Exclusive(Blocking::Forever), None), None);
        assert_eq!(of(Dispatch::Exclusive(Blocking::Forever), Some(second)), Some(now + second));
        assert_eq!(of(Dispatch::Exclusive(Blocking::Forever), Some(Duration::ZERO)), None);
        assert_eq!(of(Dispatch::Shared, Some(Duration::MAX)), None);
        assert_eq!(of(Dispatch::Exclusive(Blocking::Upto(second)), Some(Duration::MAX)), None);
    }
}
