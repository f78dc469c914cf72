//! A stream that a user's connector made.
//!
//! It is asked with limits in place of timeouts that stay. What a look at it brings is kept for the next
//! read. Code of the user's runs here: its panic is an error, and an attempt that hangs holds up a thread of
//! its own, of which there is a limited number.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::config::Endpoint;
use redwire_core::{Error, Outcome, Result};

use crate::blocking::connector::{BoundedConnect, Stream};
use crate::shared::lookups::catch;
use crate::shared::sync::atomic::Ordering;
use crate::shared::sync::{Mutex, mpsc};
use crate::shared::threads;

/// A look at the stream takes this much at most.
const LOOK: usize = 4 * 1024;

/// So many attempts of a connector may be late at a time.
const LATE: usize = 16;

/// A user's stream as a socket.
pub(in crate::blocking) struct Custom {
    stream: Box<dyn Stream>,
    /// What a look at the stream brought.
    ahead: Mutex<Vec<u8>>,
    read_limit: Mutex<Option<Duration>>,
    write_limit: Mutex<Option<Duration>>,
}

/// What `connect` gives for `endpoint` before `deadline`.
pub(super) fn connect(
    connect: &Arc<BoundedConnect>,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<Custom> {
    if connect.late.load(Ordering::Relaxed) >= LATE {
        let message = format!("it hangs: {LATE} attempts have not ended by their deadlines");
        return Err(failed(io::Error::other(message)));
    }
    let (own, endpoint) = (Arc::clone(connect), endpoint.clone());
    let (sender, receiver) = mpsc::sync_channel(0);
    let attempt = move || {
        let stream = match deadline.saturating_duration_since(threads::now()) {
            Duration::ZERO => Ok(Err(io::ErrorKind::TimedOut.into())),
            limit => catch("the connector", || own.connect.connect(&endpoint, limit)),
        };
        if sender.send(stream).is_err() {
            own.late.fetch_sub(1, Ordering::Relaxed);
        }
    };
    threads::spawn("redwire-connect", attempt)?;
    let answer = receiver.recv_timeout(deadline.saturating_duration_since(threads::now()));
    let Ok(answer) = answer else {
        // Before the channel closes, by which the attempt learns that it is late.
        connect.late.fetch_add(1, Ordering::Relaxed);
        return Err(failed(io::ErrorKind::TimedOut.into()));
    };
    let stream = answer?.map_err(failed)?;
    Ok(Custom {
        stream,
        ahead: Mutex::default(),
        read_limit: Mutex::default(),
        write_limit: Mutex::default(),
    })
}

/// The connector failed with `error`.
#[cold]
fn failed(error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error.with_outcome(Outcome::NotSent),
        Err(error) => Error::from_io("connecting by the connector", Outcome::NotSent, error),
    }
}

impl Custom {
    #[cold]
    pub(super) fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        *self.read_limit.lock() = limit;
        Ok(())
    }

    #[cold]
    pub(super) fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        *self.write_limit.lock() = limit;
        Ok(())
    }

    #[cold]
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut ahead = self.ahead.lock();
        if ahead.is_empty() {
            drop(ahead);
            let limit = *self.read_limit.lock();
            return run(|| self.stream.read(buffer, limit));
        }
        let taken = ahead.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&ahead[..taken]);
        ahead.drain(..taken);
        Ok(taken)
    }

    /// How many bytes are there to be read, without waiting; `Ok(0)`: the peer has closed it. The user's
    /// code runs under a lock here; `run` catches its panic.
    #[cold]
    pub(super) fn peek(&self) -> io::Result<usize> {
        let mut ahead = self.ahead.lock();
        if ahead.is_empty() {
            let mut buffer = vec![0; LOOK];
            let read = run(|| self.stream.read(&mut buffer, Some(Duration::ZERO)))?;
            buffer.truncate(read);
            *ahead = buffer;
        }
        Ok(ahead.len())
    }

    #[cold]
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let limit = *self.write_limit.lock();
        run(|| self.stream.write(bytes, limit))
    }

    #[cold]
    pub(super) fn shutdown(&self) -> io::Result<()> {
        run(|| {
            self.stream.shutdown();
            Ok(0)
        })
        .map(drop)
    }
}

/// Runs code of the user's. The end of its limit is told as sockets tell it.
fn run(code: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Err(io::ErrorKind::WouldBlock.into()),
        Ok(result) => result,
        Err(_) => Err(io::Error::other("the connector's stream panicked")),
    }
}

impl std::fmt::Debug for Custom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Custom(..)")
    }
}
