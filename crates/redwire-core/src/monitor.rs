//! What `MONITOR` tells: each line as time, database, client and words, exactly as that client sent them.
//!
//! Promises that no line is dropped in silence: one that cannot be read is an error that shows it, and the
//! next is read all the same. Must not know sockets and clocks, nor who listens.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::cmd::Cmd;
use crate::error::{Error, Outcome, Result};
use crate::inbound::Frames;
use crate::liveness::{Liveness, Verdict};
use crate::reply::decode_error;
use crate::standing::forgotten;

mod line;

/// One command that the server executed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MonitorEntry {
    /// When, by the server's clock: the time since 1970, to the microsecond. Added to `UNIX_EPOCH` it is a
    /// `SystemTime`.
    pub time: Duration,
    /// In which database.
    pub db: u32,
    /// The client that sent it.
    pub client: MonitorClient,
    /// The command's words, its name first, as they were sent. Where the server hides secrets, it says
    /// `(redacted)`.
    pub command: Vec<Vec<u8>>,
}

/// The client that sent a command which a monitor shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MonitorClient {
    /// A client at this address.
    Tcp(SocketAddr),
    /// A client that uses the server's Unix socket at this path.
    Unix(String),
    /// A script or a function.
    Lua,
    /// Whatever else the server says.
    Unknown(String),
}

/// A connection that listens to `MONITOR`: what it sends, what it heard, and whether the server still lives.
///
/// A server that has nothing to tell is asked with a `PING`, which is in no entry, though other monitors see
/// it.
///
/// ```
/// use redwire_core::inbound::{Frames, Inbound};
/// use redwire_core::monitor::{MonitorStream, MonitorClient};
///
/// let mut stream = MonitorStream::new(None, 17);
/// assert_eq!(stream.poll_transmit().unwrap(), b"*1\r\n$7\r\nMONITOR\r\n");
/// let (mut inbound, mut frames) = (Inbound::new(1024, Default::default()), Frames::default());
/// inbound.spare().extend_from_slice(b"+OK\r\n+1339518083.107412 [0 lua] \"GET\" \"\\x00\"\r\n");
/// inbound.poll_frames(&mut frames)?;
/// stream.handle_frames(&frames)?;
/// let entry = stream.poll_entry().unwrap()?;
/// assert_eq!(entry.client, MonitorClient::Lua);
/// assert_eq!(entry.command, [&b"GET"[..], b"\0"]);
/// # Ok::<(), redwire_core::Error>(())
/// ```
#[derive(Debug)]
pub struct MonitorStream {
    phase: MonitorPhase,
    /// What was heard and not asked for yet: no more than one read holds.
    entries: VecDeque<Result<MonitorEntry>>,
    liveness: Liveness,
    /// How many frames came.
    heard: u64,
    /// The word of its own questions, which no other client's has.
    mark: String,
    asks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MonitorPhase {
    New,
    Sent,
    Listening,
}

impl MonitorStream {
    /// Of a server that is asked whether it lives once it has been silent for half of `interval`; `None`:
    /// never. `random` is what makes its questions its own.
    #[must_use]
    pub fn new(interval: Option<Duration>, random: u64) -> Self {
        Self {
            phase: MonitorPhase::New,
            entries: VecDeque::new(),
            liveness: Liveness::new(interval),
            heard: 0,
            mark: format!("redwire:monitor:{random:016x}"),
            asks: false,
        }
    }

    /// The connection is up.
    pub fn handle_connected(&mut self, now: Instant) {
        self.liveness.handle_connected(now);
    }

    /// What is to be sent next.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        if self.phase == MonitorPhase::New {
            self.phase = MonitorPhase::Sent;
            return Some(Cmd::<()>::new("MONITOR").to_bytes());
        }
        let asks = std::mem::take(&mut self.asks);
        asks.then(|| Cmd::<()>::new("PING").arg(&self.mark).to_bytes())
    }

    /// Whole frames came.
    ///
    /// # Errors
    /// The server does not let this user listen.
    pub fn handle_frames(&mut self, frames: &Frames) -> Result<()> {
        for frame in frames.replies() {
            self.heard = self.heard.wrapping_add(1);
            if self.phase == MonitorPhase::Listening {
                self.handle_line(frame)?;
            } else if let Some(error) = frame.strip_prefix(b"-") {
                return Err(Error::from_server(error.trim_ascii_end()).with_command("MONITOR"));
            } else {
                self.phase = MonitorPhase::Listening;
            }
        }
        Ok(())
    }

    /// A line is a status; what else comes answers a question, and that it came is all there is to know.
    /// Except one: that the server has forgotten the user of this connection.
    fn handle_line(&mut self, frame: &[u8]) -> Result<()> {
        let Some(line) = frame.strip_prefix(b"+").and_then(|line| line.strip_suffix(b"\r\n")) else {
            let error = frame.strip_prefix(b"-").map(|line| Error::from_server(line.trim_ascii_end()));
            return error.filter(Error::wants_password).map_or(Ok(()), |error| Err(forgotten(&error)));
        };
        match line::parse(line) {
            Some(entry) if self.is_own(&entry) => {}
            Some(entry) => self.entries.push_back(Ok(entry)),
            None => self.entries.push_back(Err(unreadable(line))),
        }
        Ok(())
    }

    fn is_own(&self, entry: &MonitorEntry) -> bool {
        matches!(&entry.command[..], [name, word] if name == b"PING" && *word == self.mark.as_bytes())
    }

    /// Whether the server has said that it will tell.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.phase == MonitorPhase::Listening
    }

    /// The next entry, or why a line is none. Read on when there is none left.
    pub fn poll_entry(&mut self) -> Option<Result<MonitorEntry>> {
        self.entries.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.liveness.poll_timeout()
    }

    /// The time has come, after all that could be read was read.
    ///
    /// # Errors
    /// The server has been silent for too long, though it was asked: the connection is dead.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<()> {
        match self.liveness.handle_timeout(now, self.heard) {
            Verdict::Dead => return Err(Error::silent_peer(Outcome::MaybeExecuted)),
            Verdict::Ask => self.asks = true,
            Verdict::Fine | Verdict::Doubt => {}
        }
        Ok(())
    }
}

/// As much of a line as an error shows.
const SHOWN: usize = 200;

#[cold]
fn unreadable(line: &[u8]) -> Error {
    let shown = line[..line.len().min(SHOWN)].escape_ascii();
    let rest = if line.len() > SHOWN { " …" } else { "" };
    decode_error(&format!("expected a line of MONITOR, got {shown}{rest}")).with_command("MONITOR")
}

#[cfg(test)]
mod tests;
