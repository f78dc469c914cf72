//! A call to a node that does not own the slot yet: `ASKING` before it, in the same write.
//!
//! A server lets the next command in, or the next transaction whole. This file must not know when that is to
//! be done.

use std::borrow::Cow;

use super::Spread;
use crate::call::Call;
use crate::cmd::CmdOptions;
use crate::dispatch::Dispatch;
use crate::error::{Error, Result};
use crate::outbox::Outbox;
use crate::replies::Replies;

pub(super) const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// A single command or a transaction, with `ASKING` before it.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire_core::call::Call;
/// use redwire_core::cluster::Asking;
/// use redwire_core::outbox::Outbox;
/// use redwire::{Cmd, Value};
///
/// let mut cmd = Cmd::<Value>::new("GET").arg("k");
/// let asking = Asking(&mut cmd);
/// let mut outbox = Outbox::default();
/// asking.write(&mut outbox);
/// assert_eq!(outbox.to_bytes(), b"*1\r\n$6\r\nASKING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
/// assert_eq!(asking.count(), 2);
/// ```
#[derive(Debug)]
pub struct Asking<'a, C>(pub &'a mut C);

impl<C: Call> crate::call::Sealed for Asking<'_, C> {}

impl<C: Call> Call for Asking<'_, C> {
    type Output = C::Output;

    fn dispatch(&self) -> Result<Dispatch> {
        self.0.dispatch()
    }

    fn count(&self) -> u32 {
        self.0.count() + 1
    }

    fn size(&self) -> usize {
        ASKING.len() + self.0.size()
    }

    fn is_whole(&self) -> bool {
        self.0.is_whole()
    }

    fn multi(&self) -> u32 {
        match self.0.multi() {
            0 => 0,
            multi => multi + 1,
        }
    }

    fn write(&self, outbox: &mut Outbox) {
        outbox.copy(ASKING);
        self.0.write(outbox);
    }

    /// What the node says to `ASKING` itself does not matter: if it refuses, it says so again.
    fn read(&mut self, replies: Replies) -> Result<C::Output> {
        self.0.read(replies.without_first())
    }

    fn may_repeat(&self) -> bool {
        self.0.may_repeat()
    }

    fn only_reads(&self) -> bool {
        self.0.only_reads()
    }

    fn is_single(&self) -> bool {
        self.0.is_single()
    }

    fn error_about_server(&self) -> Option<&Error> {
        self.0.error_about_server()
    }

    fn options(&self) -> CmdOptions {
        self.0.options()
    }

    fn revise(&mut self, error: &Error) -> bool {
        self.0.revise(error)
    }

    fn spread(&self) -> Result<Spread> {
        self.0.spread()
    }

    fn name(&self) -> Cow<'static, str> {
        self.0.name()
    }

    fn commands(&self) -> Vec<Cow<'static, str>> {
        std::iter::once(Cow::Borrowed("ASKING")).chain(self.0.commands()).collect()
    }
}
