//! The one trait that stands between a command and whatever carries it.

use crate::cmd::Cmd;
use crate::reply::Reply;

/// Carries commands: a client, a connection, a pipeline.
///
/// Command families are traits with default bodies of one line, blanket-implemented for every `Run`, so
/// a command is written once and works everywhere. Users add families of their own the same way:
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::{Arg, Cmd, Run};
///
/// trait BloomCommands: Run {
///     fn bf_add(self, key: impl Arg, item: impl Arg) -> Self::Out<bool> {
///         self.run(Cmd::new("BF.ADD").arg(key).arg(item))
///     }
/// }
/// impl<T: Run> BloomCommands for T {}
/// ```
#[doc(alias = "load_external_module")]
pub trait Run: Sized {
    /// What running a command gives: a future, a `Result`, a place in a pipeline.
    type Out<R: Reply>;

    /// Runs `cmd`, or notes it for later, as the implementor does.
    fn run<R: Reply>(self, cmd: Cmd<R>) -> Self::Out<R>;
}
