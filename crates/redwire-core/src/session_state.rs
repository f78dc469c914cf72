//! What the holder of a connection has done to it that the next must not find, and whether calls can still be
//! told their replies.
//!
//! A command counts from when it is sent, whatever the server answers. What ends a state (`EXEC`, `UNWATCH`,
//! …) counts only once the server has said that it did. So this errs on the careful side. It must not know
//! how a connection is mended.

use crate::error::Error;
use crate::facts::{self, Facts, SessionEffect};
use crate::replies::Replies;

/// The state of one connection, as far as commands can change it.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire_core::session_state::{SessionState, Cleanup};
/// use redwire::{Replies, facts};
///
/// let mut session_state = SessionState::new(0);
/// session_state.handle_command(&facts::MULTI);
/// let discard = session_state.handle_command(&facts::DISCARD);
/// assert_eq!(session_state.cleanup(0), Cleanup::Reset);
/// session_state.handle_reply(discard, &Replies::from_frame("+OK\r\n".into()));
/// assert_eq!((session_state.cleanup(0), session_state.cleanup(5)), (Cleanup::None, Cleanup::Select));
/// ```
#[derive(Clone, Debug)]
pub struct SessionState {
    /// The database, while it is certain.
    db: Option<u32>,
    transaction: bool,
    watching: bool,
    /// How many commands were sent that open a transaction or watch keys.
    bindings: u32,
    /// What `RESET` and another handshake undo.
    changed: bool,
    /// What `RESET` leaves as it is.
    lasting: bool,
    spoilt: bool,
    stream: Option<ReplyStream>,
}

/// From some command on, the frames that come are not one for each command.
#[derive(Clone, Copy, Debug)]
struct ReplyStream {
    /// What began it.
    since: &'static str,
    /// How often `RESET` was sent and not answered yet, and whether nothing was sent since.
    resets: u32,
    ends: bool,
}

/// A command that was sent: its reply may [settle](SessionState::handle_reply) something.
#[derive(Clone, Copy, Debug)]
pub struct SentCommand {
    facts: &'static Facts,
    bindings: u32,
}

/// What a connection needs before another caller may use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Nothing.
    None,
    /// `SELECT` of the database that is wanted.
    Select,
    /// `RESET` and another handshake.
    Reset,
    /// It cannot be mended for sure: close it.
    Drop,
}

impl SessionState {
    /// A connection that has just shaken hands and uses `db`.
    #[must_use]
    pub fn new(db: u32) -> Self {
        Self {
            db: Some(db),
            transaction: false,
            watching: false,
            bindings: 0,
            changed: false,
            lasting: false,
            spoilt: false,
            stream: None,
        }
    }

    /// The database that is in use, while that is certain.
    #[must_use]
    pub fn db(&self) -> Option<u32> {
        self.db
    }

    /// A command is sent.
    #[inline]
    pub fn handle_command(&mut self, facts: &'static Facts) -> SentCommand {
        if facts.session != SessionEffect::None || self.stream.is_some() {
            self.note(facts);
        }
        SentCommand { facts, bindings: self.bindings }
    }

    #[cold]
    fn note(&mut self, facts: &'static Facts) {
        if let Some(stream) = &mut self.stream {
            stream.ends = facts.session == SessionEffect::Resets;
            stream.resets += u32::from(stream.ends);
        }
        match facts.session {
            SessionEffect::None | SessionEffect::Empty => {}
            SessionEffect::Selects => self.db = None,
            SessionEffect::Transaction if std::ptr::eq(facts, &facts::MULTI) => {
                (self.transaction, self.bindings) = (true, self.bindings.wrapping_add(1));
            }
            // They settle something once they are answered.
            SessionEffect::Transaction | SessionEffect::Unwatches => {}
            SessionEffect::Watches => (self.watching, self.bindings) = (true, self.bindings.wrapping_add(1)),
            SessionEffect::Authenticates
            | SessionEffect::Greets
            | SessionEffect::Tracks
            | SessionEffect::Describes
            | SessionEffect::Asks
            | SessionEffect::Reads => self.changed = true,
            SessionEffect::Resets => (self.changed, self.db) = (true, None),
            SessionEffect::Lasts => self.lasting = true,
            SessionEffect::Ends => self.spoilt = true,
            // The number of answers is not that of the commands any more, or there will be none.
            SessionEffect::Subscribes
            | SessionEffect::Monitors
            | SessionEffect::Replies
            | SessionEffect::Quits
            | SessionEffect::Replicates
            | SessionEffect::Debugs => self.begin_stream(facts.name),
        }
    }

    fn begin_stream(&mut self, since: &'static str) {
        self.spoilt = true;
        self.stream.get_or_insert(ReplyStream { since, resets: 0, ends: false }).ends = false;
    }

    /// Bytes are sent that `count` replies are to answer, and that are these `commands`, where that can be
    /// told. Where the numbers differ, or it cannot be told, it is not known which reply is whose.
    pub fn handle_packed(&mut self, commands: Option<&[&'static Facts]>, count: u32) -> Vec<SentCommand> {
        self.spoilt = true;
        let sent: Vec<SentCommand> =
            commands.unwrap_or_default().iter().map(|facts| self.handle_command(facts)).collect();
        if commands.is_none() || (self.stream.is_none() && sent.len() != count as usize) {
            self.begin_stream("bytes that were sent by hand");
        }
        sent
    }

    /// No other caller is to use the connection.
    pub fn forbid_reuse(&mut self) {
        self.spoilt = true;
    }

    /// The reply to what was sent has come. Only one that says that it was done settles anything.
    #[inline]
    pub fn handle_reply(&mut self, sent: SentCommand, replies: &Replies) {
        if matches!(
            sent.facts.session,
            SessionEffect::Transaction | SessionEffect::Unwatches | SessionEffect::Resets
        ) && let Some(frame) = replies.each().last()
        {
            self.adopt_reply(sent, &frame);
        }
    }

    #[cold]
    fn adopt_reply(&mut self, sent: SentCommand, frame: &[u8]) {
        let is = |facts: &'static Facts| std::ptr::eq(sent.facts, facts);
        let settles = if is(&facts::EXEC) {
            // What was executed, or nil: a watched key was changed.
            matches!(frame.first(), Some(b'*' | b'_')) || frame.starts_with(b"$-1") || is_aborted(frame)
        } else if is(&facts::RESET) {
            frame == RESET_DONE
        } else {
            // In a transaction UNWATCH is only queued.
            !is(&facts::MULTI) && frame == b"+OK\r\n"
        };
        // What was begun after it was sent goes on.
        if settles && sent.bindings == self.bindings {
            self.watching = false;
            self.transaction &= sent.facts.session == SessionEffect::Unwatches;
        }
    }

    /// A frame of a [stream](Self::check_calls) was read. What `RESET` answers ends the stream, if nothing
    /// was sent after it.
    pub fn handle_frame(&mut self, frame: &[u8]) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.resets > 0 && frame == RESET_DONE)
        else {
            return;
        };
        stream.resets -= 1;
        if stream.resets == 0 && stream.ends {
            (self.stream, self.transaction, self.watching) = (None, false, false);
        }
    }

    /// Whether frames come as they like, and are read by hand.
    #[inline]
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether a call can be told its reply.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage): messages, or fewer or more replies than commands, come
    /// on this connection.
    #[inline]
    pub fn check_calls(&self) -> Result<(), Error> {
        self.stream.as_ref().map_or(Ok(()), |stream| Err(stream.refusal()))
    }

    /// What was done so far is how the connection is meant to be for all its users, unless it holds for one
    /// of them only, or cannot be mended.
    pub fn adopt(&mut self) {
        if !self.spoilt && !self.is_bound() {
            (self.lasting, self.changed) = (false, false);
        }
    }

    /// `SELECT` of `db` was answered. In a transaction it was only queued.
    pub fn handle_selected(&mut self, db: u32) {
        if !self.transaction {
            self.db = Some(db);
        }
    }

    /// Whether a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.transaction
    }

    /// Whether a transaction is open, or keys are watched: what it says holds for this connection only.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.transaction || self.watching
    }

    /// What the next caller, which wants `db`, must have done first.
    #[must_use]
    pub fn cleanup(&self, db: u32) -> Cleanup {
        if self.spoilt || self.lasting {
            Cleanup::Drop
        } else if self.transaction || self.watching || self.changed {
            Cleanup::Reset
        } else if self.db != Some(db) {
            Cleanup::Select
        } else {
            Cleanup::None
        }
    }
}

impl ReplyStream {
    #[cold]
    fn refusal(&self) -> Error {
        Error::usage(format!(
            "since {}, what comes on this connection is read by hand (`can_read`, `read_reply`), as no call \
             could be told its reply: run `RESET`, or `reconnect`",
            self.since
        ))
    }
}

/// What the server says to `RESET`.
const RESET_DONE: &[u8] = b"+RESET\r\n";

/// Whether `frame` says that a transaction was discarded in place of being executed.
fn is_aborted(frame: &[u8]) -> bool {
    let line = frame.strip_prefix(b"-").and_then(|line| line.strip_suffix(b"\r\n"));
    line.is_some_and(|line| Error::from_server(line).is_aborted_exec())
}

#[cfg(test)]
mod tests;
