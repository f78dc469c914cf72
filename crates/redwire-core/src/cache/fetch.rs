//! A read that is to be kept, as it goes over the tracked connection. It must not know what becomes of the
//! reply.

use std::borrow::Cow;

use super::{CacheMode, CacheOptions};
use crate::call::Call;
use crate::cmd::{Cmd, CmdOptions};
use crate::config::Config;
use crate::dispatch::Dispatch;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::outbox::Outbox;
use crate::replies::Replies;
use crate::retry::may_retry;
use crate::standing::may_go_on;

/// `CLIENT CACHING YES`, which holds for the next command only.
const CACHING: &[u8] = b"*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$3\r\nYES\r\n";

/// One command, with the word that it is to be tracked where that is not understood. As a [`Call`] it answers
/// with the one reply to the command, undecoded.
#[derive(Debug)]
pub struct Fetch<'a, R> {
    cmd: &'a Cmd<R>,
    opt_in: bool,
}

impl<'a, R> Fetch<'a, R> {
    /// The request for `cmd`.
    #[must_use]
    pub fn new(cmd: &'a Cmd<R>, options: &CacheOptions) -> Self {
        Self { cmd, opt_in: options.mode == CacheMode::OptIn }
    }
}

impl<R> crate::call::Sealed for Fetch<'_, R> where Cmd<R>: Call {}

impl<R> Call for Fetch<'_, R>
where
    Cmd<R>: Call,
{
    type Output = Replies;

    fn dispatch(&self) -> Result<Dispatch> {
        self.cmd.dispatch()
    }

    fn count(&self) -> u32 {
        1 + u32::from(self.opt_in)
    }

    fn size(&self) -> usize {
        self.cmd.size() + if self.opt_in { CACHING.len() } else { 0 }
    }

    /// The word that it is to be tracked does nothing alone.
    fn is_whole(&self) -> bool {
        true
    }

    fn write(&self, outbox: &mut Outbox) {
        if self.opt_in {
            outbox.copy(CACHING);
        }
        self.cmd.write(outbox);
    }

    /// Only the reply to the command; a refusal to track it is an error.
    fn read(&mut self, mut replies: Replies) -> Result<Replies> {
        if self.opt_in {
            // It was read all the same, but the server would announce no change of it.
            replies.read::<()>().map_err(|error| error.with_outcome(Outcome::NotSent))?;
        }
        let frame = replies.each().nth(self.count() as usize - 1);
        let frame = frame.ok_or_else(|| Error::usage("a reply was read before it was there"))?;
        Ok(Replies::single(frame, true))
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn is_single(&self) -> bool {
        true
    }

    fn options(&self) -> CmdOptions {
        self.cmd.options()
    }

    fn name(&self) -> Cow<'static, str> {
        Call::name(self.cmd)
    }
}

/// Whether a read over the tracked connection that ended in `error` is for the client to ask again, as if
/// there were no cache.
#[must_use]
pub fn is_for_client(error: &Error, config: &Config) -> bool {
    match error.outcome() {
        Outcome::NotSent | Outcome::MaybeExecuted => !error.is_timeout(),
        // A node of a cluster that does not serve the key: the client finds the one that does.
        Outcome::Rejected if matches!(error.kind(), ErrorKind::Cluster(_)) => true,
        Outcome::Rejected | Outcome::Unreadable => {
            may_retry(error, true, config.retry()) || may_go_on(error, true, config)
        }
    }
}
