//! MONITOR, for a task that listens. It only waits; what a line says, and whether the server still lives, is
//! decided in `redwire-core`.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_core::Stream;
use redwire_core::config::Config;
use redwire_core::inbound::Frames;
use redwire_core::monitor::{MonitorEntry, MonitorStream};
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};

use super::before;
use super::connection::Connection;
use super::drive::{Drive, Driven, Step, WriteNext};
use super::stream::StreamWriter;
use super::wire::Wire;
use crate::shared::clock;
use crate::shared::events::EventKind;
use crate::shared::setup;
use crate::shared::target::Target;

/// Every command that a server executes, as a stream of entries, over a connection of its own.
///
/// A line that cannot be read is an error of the kind [`Decode`](crate::ErrorKind::Decode) that shows it, and
/// the next entry comes all the same. Any other error ends the stream: the connection is lost, or the server
/// has been silent for twice [`health_check_interval`](crate::config::ConfigBuilder::health_check_interval),
/// though it was asked. It is not made anew, since what was missed meanwhile could not be known; a program
/// that wants to go on begins again. Dropping it closes the connection.
///
/// **It costs the server a lot**: all it does is written to each listener, and kept in its memory for one
/// that does not read. Commands of administrators, and those that would show a secret, are not shown or say
/// `(redacted)`. Valkey 8 does not mark the quotes and backslashes in words: lines with such are errors
/// there, or have other words.
///
/// ```no_run
/// # async fn example(client: redwire::Client) -> redwire::Result<()> {
/// let mut monitor = client.monitor().await?;
/// while let Some(entry) = monitor.next().await {
///     let entry = entry?;
///     println!("{:?} in {}: {}", entry.client, entry.db, entry.command[0].escape_ascii());
/// }
/// # Ok(())
/// # }
/// ```
pub struct Monitor {
    target: Arc<Target>,
    wire: Option<Box<Wire>>,
    drive: Drive,
    heard: Heard,
    /// The process that connected.
    process: u32,
}

impl Monitor {
    /// Listens to the server that `url` names.
    ///
    /// # Errors
    /// A bad URL, a connection that cannot be made, or no answer in time; the server's error, if this user
    /// may not listen.
    pub async fn connect(url: &str) -> Result<Self> {
        Self::open(Config::from_url(url)?).await
    }

    /// Listens as `config` says.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn open(config: Config) -> Result<Self> {
        Self::to(Target::new(config)?).await
    }

    pub(super) async fn to(target: Arc<Target>) -> Result<Self> {
        let config = target.config();
        let deadline = config.timeout().and_then(|limit| clock::now().checked_add(limit));
        let wire = Box::new(Connection::introduced(&target, None, deadline).await?);
        let mut stream = MonitorStream::new(config.health_check_interval(), fastrand::u64(..));
        stream.handle_connected(clock::now());
        let process = std::process::id();
        let mut monitor =
            Self { target, wire: Some(wire), drive: Drive::default(), heard: Heard(stream), process };
        let listening = before(deadline, poll_fn(|cx| monitor.poll_listening(cx))).await;
        match listening.unwrap_or_else(|| Err(Error::timeout(Outcome::MaybeExecuted))) {
            Ok(()) => Ok(monitor),
            Err(error) => Err(monitor.target.locate(error).with_command("MONITOR")),
        }
    }

    /// The next entry; `None` after the connection was lost. Loses nothing when dropped.
    #[doc(alias = "next_command")]
    pub async fn next(&mut self) -> Option<Result<MonitorEntry>> {
        poll_fn(|cx| self.poll_entry(cx)).await
    }

    /// The next entry, if one comes within `limit`.
    #[doc(alias = "get_message")]
    pub async fn next_within(&mut self, limit: Duration) -> Option<Result<MonitorEntry>> {
        before(clock::now().checked_add(limit), self.next()).await.flatten()
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<MonitorEntry>>> {
        self.leave_parent();
        self.drive.begin();
        loop {
            if let Some(entry) = self.heard.0.poll_entry() {
                return Poll::Ready(Some(entry.map_err(|error| self.target.locate(error))));
            }
            let Some(wire) = &mut self.wire else { return Poll::Ready(None) };
            if let Err(end) = ready!(self.drive.poll_step(cx, &mut self.heard, wire)) {
                let error = self.target.locate(end.unwrap_or_else(setup::closed_client));
                self.wire = None;
                self.target.tell(EventKind::Lost(error.clone()));
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// Ready once the server has agreed.
    fn poll_listening(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.drive.begin();
        while !self.heard.0.is_listening() {
            let Some(wire) = &mut self.wire else { return Poll::Ready(Err(setup::closed_client())) };
            let step = ready!(self.drive.poll_step(cx, &mut self.heard, wire));
            step.map_err(|end| end.unwrap_or_else(setup::closed_client))?;
        }
        Poll::Ready(Ok(()))
    }

    /// What a forked child inherits is the parent's: dropping it would end the stream for both.
    fn leave_parent(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.wire.take());
        }
    }
}

/// What a monitor hears: it is read until there is an entry.
#[derive(Debug)]
struct Heard(MonitorStream);

impl Driven for Heard {
    fn handle_read(&mut self, frames: Option<&mut Frames>) -> Result<()> {
        frames.map_or(Ok(()), |frames| self.0.handle_frames(frames))
    }

    fn poll_outgoing(&mut self, _: &Context<'_>, _: &StreamWriter, outbox: &mut Outbox) -> Step<WriteNext> {
        while let Some(bytes) = self.0.poll_transmit() {
            outbox.copy(&bytes);
        }
        Ok(if outbox.is_empty() { WriteNext::Nothing(self.poll_timeout()) } else { WriteNext::Write })
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant, _: u64) -> Result<()> {
        self.0.handle_timeout(now)
    }
}

impl Stream for Monitor {
    type Item = Result<MonitorEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_entry(cx)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.leave_parent();
        if self.wire.take().is_some() {
            self.target.tell(EventKind::Closed);
        }
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("wire", &self.wire).finish_non_exhaustive()
    }
}
