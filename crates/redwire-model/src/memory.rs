//! A connection in memory for threads: what one writes, the model executes on the spot; a read waits for the
//! reply.
//!
//! No thread serves it: who waits also looks after the server's timeouts. This file must not know the
//! protocol.

use std::io::{self, Read, Write};
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
}

impl MemoryStream {
    pub(crate) fn new(host: Host, id: ClientId) -> Self {
        Self { host, id }
    }

    /// The server's name for this connection.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// Reads some bytes, within a limit. `Ok(0)`: the server has hung up.
    ///
    /// # Errors
    /// The limit has passed.
    pub fn read_within(&self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        let until = limit.map(|limit| Instant::now() + limit);
        let mut inner = self.host.lock();
        loop {
            if inner.until_timeout().is_some_and(|left| left.is_zero()) {
                let now = inner.now();
                inner.model.handle_timeout(now);
                self.host.tell(&mut inner);
            }
            let output = inner.model.output(self.id);
            if !output.is_empty() {
                let count = output.len().min(buffer.len());
                buffer[..count].copy_from_slice(&output[..count]);
                inner.model.sent(self.id, count);
                return Ok(count);
            }
            if inner.model.is_closing(self.id) {
                return Ok(0);
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
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe): the server has hung up.
    pub fn write_within(&self, bytes: &[u8], _limit: Option<Duration>) -> io::Result<usize> {
        let id = self.id;
        self.host.with(|model, now| {
            if model.is_closing(id) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            model.receive(id, bytes, now);
            Ok(bytes.len())
        })
    }

    /// Hangs up: threads that read come back at once with `Ok(0)`.
    pub fn shutdown(&self) {
        let id = self.id;
        self.host.with(|model, now| model.disconnect(id, now));
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
