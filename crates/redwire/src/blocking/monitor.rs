//! MONITOR, for a thread that listens. It only waits; what a line says, and whether the server still lives,
//! is decided in `redwire-core`.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::config::Config;
use redwire_core::monitor::{MonitorEntry, MonitorStream};
use redwire_core::{Error, Outcome, Result};

use super::connection::Connection;
use super::wire::Wire;
use crate::shared::target::Target;
use crate::shared::threads;

/// Every command that a server executes, as an iterator that waits for the next one, over a connection of its
/// own.
///
/// A line that cannot be read is an error of the kind [`Decode`](crate::ErrorKind::Decode) that shows it, and
/// the next entry comes all the same. Any other error ends the iterator: the connection is lost, or the
/// server has been silent for twice
/// [`health_check_interval`](crate::config::ConfigBuilder::health_check_interval), though it was asked. It is
/// not made anew, since what was missed meanwhile could not be known; a program that wants to go on begins
/// again. Dropping it closes the connection.
///
/// **It costs the server a lot**: all it does is written to each listener, and kept in its memory for one
/// that does not read. Commands of administrators, and those that would show a secret, are not shown or say
/// `(redacted)`. Valkey 8 does not mark the quotes and backslashes in words: lines with such are errors
/// there, or have other words.
///
/// ```no_run
/// # let client = redwire::blocking::Client::connect("redis://localhost")?;
/// for entry in client.monitor()? {
///     let entry = entry?;
///     println!("{:?} in {}: {}", entry.client, entry.db, entry.command[0].escape_ascii());
/// }
/// # Ok::<(), redwire::Error>(())
/// ```
pub struct Monitor {
    target: Arc<Target>,
    wire: Option<Box<Wire>>,
    stream: MonitorStream,
    /// The process that connected.
    process: u32,
}

impl Monitor {
    /// Listens to the server that `url` names.
    ///
    /// # Errors
    /// A bad URL, a connection that cannot be made, or no answer in time; the server's error, if this user
    /// may not listen.
    pub fn connect(url: &str) -> Result<Self> {
        Self::open(Config::from_url(url)?)
    }

    /// Listens as `config` says.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn open(config: Config) -> Result<Self> {
        Self::to(Target::new(config)?)
    }

    pub(super) fn to(target: Arc<Target>) -> Result<Self> {
        let config = target.config();
        let deadline = config.timeout().and_then(|limit| threads::now().checked_add(limit));
        let wire = Box::new(Connection::introduced(&target, deadline)?);
        let mut stream = MonitorStream::new(config.health_check_interval(), fastrand::u64(..));
        stream.handle_connected(threads::now());
        let mut monitor = Self { target, wire: Some(wire), stream, process: std::process::id() };
        while !monitor.stream.is_listening() {
            let received = monitor.receive(deadline).and_then(|()| {
                // What came may be no answer.
                let is_late = !monitor.stream.is_listening() && threads::is_over(deadline);
                if is_late { Err(Error::timeout(Outcome::MaybeExecuted)) } else { Ok(()) }
            });
            received.map_err(|error| monitor.lose(error).with_command("MONITOR"))?;
        }
        Ok(monitor)
    }

    /// The next entry, if one comes within `limit`.
    #[doc(alias = "get_message")]
    pub fn next_within(&mut self, limit: Duration) -> Option<Result<MonitorEntry>> {
        self.next_by(threads::now().checked_add(limit))
    }

    fn next_by(&mut self, deadline: Option<Instant>) -> Option<Result<MonitorEntry>> {
        self.leave_parent();
        let mut has_tried = false;
        loop {
            if let Some(entry) = self.stream.poll_entry() {
                return Some(entry.map_err(|error| self.target.locate(error)));
            }
            self.wire.as_ref()?;
            if std::mem::replace(&mut has_tried, true) && threads::is_over(deadline) {
                return None;
            }
            if let Err(error) = self.receive(deadline) {
                return Some(Err(self.lose(error)));
            }
        }
    }

    /// Writes what is to be written, and reads once, until `deadline` or the time for a question.
    fn receive(&mut self, deadline: Option<Instant>) -> Result<()> {
        let Some(wire) = &mut self.wire else { return Ok(()) };
        let tick = self.stream.poll_timeout();
        while let Some(bytes) = self.stream.poll_transmit() {
            wire.say(&bytes, tick.or(deadline))?;
        }
        // What has come already is taken even by callers that would not wait, or come late.
        match wire.listen(deadline.into_iter().chain(tick).min())? {
            Some(frames) => self.stream.handle_frames(frames),
            None => self.stream.handle_timeout(threads::now()),
        }
    }

    fn lose(&mut self, error: Error) -> Error {
        if let Some(mut wire) = self.wire.take() {
            wire.lose(&error);
        }
        self.target.locate(error)
    }

    /// What a forked child inherits is the parent's: it is dropped, and nothing is said.
    fn leave_parent(&mut self) {
        if self.process != std::process::id()
            && let Some(mut wire) = self.wire.take()
        {
            wire.disown();
        }
    }
}

impl Iterator for Monitor {
    type Item = Result<MonitorEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_by(None)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.leave_parent();
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("wire", &self.wire).finish_non_exhaustive()
    }
}
