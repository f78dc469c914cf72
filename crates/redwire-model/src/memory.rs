//! A connection in memory for threads: what one writes, the model executes on the spot; a read waits for the
//! reply.
//!
//! No thread serves it: who waits also looks after the server's timeouts. This file must not know the
//! protocol.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::{ClientId, Host};

/// A connection to a [`Host`] in the same process.
///
/// Reads and writes take a limit, after which they fail with [`TimedOut`](io::ErrorKind::TimedOut): so it
/// does all that a stream of redwire's blocking client has to. [`Read`] and [`Write`] wait as long as it
/// takes. Dropping it hangs up.
///
/// ```
/// use std::io::{Read, Write};
/// use redwire_model::{Host, Options};
///
/// let mut stream = Host::new(Options::new()).connect();
/// stream.write_all(b"PING\r\n")?;
/// let mut reply = [0; 7];
/// stream.read_exact(&mut reply)?;
/// assert_eq!(&reply, b"+PONG\r\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryStream {
    host: Host,
    id: ClientId,
    /// Whether this end has hung up, of which a server that is frozen or slow does not hear yet.
    ended: AtomicBool,
}

impl MemoryStream {
    pub(crate) fn new(host: Host, id: ClientId) -> Self {
        Self { host, id, ended: AtomicBool::new(false) }
    }

    /// The server's name for this connection.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// Reads some bytes, within a limit. `Ok(0)`: the server has hung up, or this end has.
    ///
    /// # Errors
    /// The limit has passed.
    pub fn read_within(&self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut inner = self.host.lock();
        loop {
            if inner.until_timeout().is_some_and(|left| left.is_zero()) {
                self.host.handle_timeout(&mut inner);
            }
            if self.has_ended() {
                return Ok(0);
            }
            if let Some(count) = inner.take_output(self.id, buffer) {
                return Ok(count);
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let timeout = inner.until_timeout();
            let limit = left.into_iter().chain(timeout).min();
            inner = self.host.wait(inner, limit);
        }
    }

    /// Hands bytes to the server, which takes all of them at once.
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe): the server has hung up, or this end has.
    pub fn write_within(&self, bytes: &[u8], _limit: Option<Duration>) -> io::Result<usize> {
        if self.has_ended() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.host.receive(self.id, bytes)
    }

    /// Hangs up: threads that read come back at once with `Ok(0)`.
    pub fn shutdown(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.host.disconnect(self.id);
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Read for MemoryStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_within(buffer, None)
    }
}

impl Write for MemoryStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_within(bytes, None)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
