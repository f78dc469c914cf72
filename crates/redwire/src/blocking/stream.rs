//! Sockets of the blocking driver: TCP, Unix, and streams of the user's own, in the clear or with TLS, with
//! timeouts. Knows nothing of what goes through them.

mod custom;
mod dial;
#[cfg(feature = "ocsp")]
mod ocsp;
#[cfg(feature = "tls")]
mod secure;

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use custom::Custom;
use redwire_core::Result;
use redwire_core::config::Endpoint;
use redwire_core::outbox::Outbox;

#[cfg(feature = "tls")]
use secure::Secure;

use crate::shared::interrupt::Kill;
#[cfg(feature = "tls")]
use crate::shared::setup;
use crate::shared::socket;
use crate::shared::sync::{Mutex, MutexGuard};
use crate::shared::target::Target;
use crate::shared::threads;

/// A connected socket. Reading and writing may go on at the same time, from two threads.
#[derive(Debug)]
pub(super) struct WireStream {
    socket: Arc<Socket>,
    #[cfg(feature = "tls")]
    secure: Option<Secure>,
    /// The timeouts that are set, so that they are not set again.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

/// The writing side of a [`WireStream`], for a thread of its own.
#[derive(Debug)]
pub(super) struct StreamWriter {
    socket: Arc<Socket>,
    #[cfg(feature = "tls")]
    secure: Option<Secure>,
}

/// The socket itself, with nothing but bytes going through.
#[derive(Debug)]
pub(super) enum Socket {
    System(SystemSocket),
    /// A user's stream.
    Custom(Box<Custom>),
}

/// A socket of the system's. Apart from other streams, so that the same code serves both of its kinds.
#[derive(Debug)]
pub(super) enum SystemSocket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// What ends a connection: the socket that it has now.
#[derive(Debug, Default)]
pub(super) struct CurrentSocket(Mutex<Weak<Socket>>);

impl CurrentSocket {
    fn set(&self, socket: &Arc<Socket>) {
        *self.lock() = Arc::downgrade(socket);
    }

    fn lock(&self) -> MutexGuard<'_, Weak<Socket>> {
        self.0.lock()
    }
}

impl Kill for CurrentSocket {
    fn kill(&self) {
        let socket = self.lock().upgrade();
        socket.inspect(|socket| socket.shutdown());
    }
}

/// A timeout is set anew only when it would be off by more than this: each setting costs a system call.
const SLACK: Duration = Duration::from_millis(20);

impl WireStream {
    /// Connects to `endpoint` before `deadline`, TLS included, from the first byte on to be ended by
    /// `current_socket`. What the server says along with the end of the TLS handshake is appended to `plain`.
    #[cfg_attr(not(feature = "tls"), allow(clippy::needless_pass_by_ref_mut, reason = "TLS does"))]
    pub(super) fn connect(
        target: &Target,
        endpoint: &Endpoint,
        current_socket: Option<&CurrentSocket>,
        deadline: Instant,
        plain: &mut BytesMut,
    ) -> Result<Self> {
        let stream = Self::connect_plain(target, endpoint, deadline)?;
        if let Some(current_socket) = current_socket {
            current_socket.set(&stream.socket);
        }
        #[cfg(feature = "tls")]
        if let Endpoint::Tcp(address) = endpoint
            && let Some(session) = target.tls_session(&address.host)?
        {
            let stream = secure::shake_hands(stream, session, deadline, plain)?;
            #[cfg(feature = "ocsp")]
            if let Some(secure) = &stream.secure {
                ocsp::check(secure.session(), target, deadline)?;
            }
            return Ok(stream);
        }
        let _ = (plain, target);
        Ok(stream)
    }

    /// Connects to `endpoint` before `deadline`, by the user's connector where there is one.
    fn connect_plain(target: &Target, endpoint: &Endpoint, deadline: Instant) -> Result<Self> {
        Ok(Self {
            socket: Arc::new(dial::connect(endpoint, target, deadline)?),
            #[cfg(feature = "tls")]
            secure: None,
            read_timeout: None,
            write_timeout: None,
        })
    }

    /// The socket, for a thread that may want to end it.
    pub(super) fn socket(&self) -> &Arc<Socket> {
        &self.socket
    }

    /// Whether what comes from the socket is the peer's words as they are, and not their ciphertext.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.secure.is_none();
        #[cfg(not(feature = "tls"))]
        true
    }

    /// Reads some bytes from the socket within `limit`, which counts from `begin` on. `Ok(0)`: the peer has
    /// closed.
    // Always: the compiler would leave it a call of its own.
    #[inline(always)]
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        limit: Option<Duration>,
        begin: Instant,
    ) -> io::Result<usize> {
        if differs(self.read_timeout, limit) {
            self.set_read_timeout(limit)?;
        }
        let read = match &*self.socket {
            Socket::System(socket) => socket.read(buffer),
            // Apart, so that the code for sockets knows that their errors own nothing.
            Socket::Custom(socket) => match socket.read(buffer) {
                Ok(read) => return Ok(read),
                Err(error) => return self.read_on(buffer, limit, begin, timed_out(error)),
            },
        };
        match read {
            Ok(read) => Ok(read),
            Err(error) => self.read_on(buffer, limit, begin, timed_out(error)),
        }
    }

    /// Goes on where nothing came at first, but `error`.
    #[cold]
    fn read_on(
        &mut self,
        buffer: &mut [u8],
        limit: Option<Duration>,
        begin: Instant,
        error: io::Error,
    ) -> io::Result<usize> {
        let mut result = Err(error);
        while result.as_ref().is_err_and(is_early) {
            self.set_read_timeout(remaining(limit, begin)?)?;
            result = self.socket.read(buffer).map_err(timed_out);
        }
        result
    }

    fn set_read_timeout(&mut self, wait: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(wait.map(early))?;
        self.read_timeout = wait;
        Ok(())
    }

    /// Reads what is there already. `WouldBlock`: nothing is.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.has_unread()? {
            true => self.socket.read(buffer),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Whether something is there to be read, the end of the stream included. One system call.
    #[inline]
    pub(super) fn has_unread(&self) -> io::Result<bool> {
        let peeked = match &*self.socket {
            Socket::System(SystemSocket::Tcp(socket)) => socket::peek_at_once(socket),
            #[cfg(unix)]
            Socket::System(SystemSocket::Unix(socket)) => socket::peek_at_once(socket),
            Socket::Custom(socket) => return has_some(socket.peek()),
        };
        has_some(peeked)
    }

    /// Appends to `plain` what the peer said by `bytes`, which were read from the socket.
    #[inline]
    pub(super) fn decode(&self, bytes: &[u8], plain: &mut BytesMut) -> Result<()> {
        #[cfg(feature = "tls")]
        if let Some(secure) = &self.secure {
            return secure.decrypt(bytes, plain);
        }
        plain.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes some of what waits in `outbox` within `limit`, which counts from `begin` on; says how much was
    /// handed over.
    #[inline]
    pub(super) fn write(
        &mut self,
        outbox: &Outbox,
        limit: Option<Duration>,
        begin: Instant,
    ) -> io::Result<usize> {
        if differs(self.write_timeout, limit) {
            self.set_write_timeout(limit)?;
        }
        let result = match &*self.socket {
            Socket::System(socket) if self.is_plain() => socket.write(outbox),
            // Apart, so that the code for sockets knows that their errors own nothing.
            _ => match self.write_once(outbox) {
                Ok(written) if written > 0 => return Ok(written),
                result => return self.write_on(outbox, limit, begin, result),
            },
        };
        match result {
            Ok(written) if written > 0 => Ok(written),
            result => self.write_on(outbox, limit, begin, written(result)),
        }
    }

    /// Goes on where nothing went at first: a signal came, or not yet a whole record of TLS went.
    #[cold]
    fn write_on(
        &mut self,
        outbox: &Outbox,
        limit: Option<Duration>,
        begin: Instant,
        mut result: io::Result<usize>,
    ) -> io::Result<usize> {
        while matches!(result, Ok(0)) || result.as_ref().is_err_and(is_early) {
            self.set_write_timeout(remaining(limit, begin)?)?;
            result = self.write_once(outbox);
        }
        result
    }

    fn set_write_timeout(&mut self, wait: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(wait.map(early))?;
        self.write_timeout = wait;
        Ok(())
    }

    #[inline]
    #[cfg_attr(not(feature = "tls"), allow(clippy::needless_pass_by_ref_mut, reason = "TLS does"))]
    fn write_once(&mut self, outbox: &Outbox) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(secure) = &mut self.secure {
            return secure.write(&self.socket, outbox);
        }
        self.socket.write(outbox)
    }

    /// The writing side for another thread, each time within `limit`. This side must not write until that one
    /// has written all, or has failed.
    pub(super) fn writer(&mut self, limit: Option<Duration>) -> io::Result<StreamWriter> {
        self.socket.set_write_timeout(limit)?;
        self.write_timeout = limit;
        Ok(StreamWriter {
            socket: Arc::clone(&self.socket),
            #[cfg(feature = "tls")]
            secure: self.secure.as_mut().map(Secure::split),
        })
    }

    /// Ends both directions, which also wakes a thread that writes.
    pub(super) fn shutdown(&self) {
        self.socket.shutdown();
    }

    /// Writes all of `bytes` to the socket as they are, before `deadline`.
    #[cfg(feature = "tls")]
    fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<()> {
        while !bytes.is_empty() {
            let written = left(Some(deadline), threads::now()).and_then(|limit| {
                self.socket.set_write_timeout(limit.map(early))?;
                match self.socket.write_bytes(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(0),
                    result => result,
                }
            });
            bytes = &bytes[written.map_err(|error| setup::io_error("writing", error))?..];
        }
        self.write_timeout = None;
        self.socket.set_write_timeout(None).map_err(|error| setup::io_error("writing", error))
    }
}

impl StreamWriter {
    /// Writes some of what waits in `outbox`; says how much of it was handed over, which is 0 where a signal
    /// came first.
    #[cfg_attr(not(feature = "tls"), allow(clippy::needless_pass_by_ref_mut, reason = "TLS does"))]
    pub(super) fn write(&mut self, outbox: &Outbox) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(secure) = &mut self.secure {
            return secure.write(&self.socket, outbox);
        }
        self.socket.write(outbox)
    }

    /// Ends both directions, which also wakes a thread that reads.
    pub(super) fn shutdown(&self) {
        self.socket.shutdown();
    }
}

impl SystemSocket {
    #[inline]
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => (&*socket).read(buffer),
            #[cfg(unix)]
            Self::Unix(socket) => (&*socket).read(buffer),
        }
    }

    #[inline]
    fn write(&self, outbox: &Outbox) -> io::Result<usize> {
        if let Some(bytes) = outbox.single() {
            return self.write_bytes(bytes);
        }
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = outbox.slices(&mut slices);
        match self {
            Self::Tcp(socket) => (&*socket).write_vectored(&slices[..filled]),
            #[cfg(unix)]
            Self::Unix(socket) => (&*socket).write_vectored(&slices[..filled]),
        }
    }

    #[inline]
    fn write_bytes(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => (&*socket).write(bytes),
            #[cfg(unix)]
            Self::Unix(socket) => (&*socket).write(bytes),
        }
    }
}

impl Socket {
    fn set_read_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Self::System(SystemSocket::Tcp(socket)) => socket.set_read_timeout(limit),
            #[cfg(unix)]
            Self::System(SystemSocket::Unix(socket)) => socket.set_read_timeout(limit),
            Self::Custom(socket) => socket.set_read_timeout(limit),
        }
    }

    fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Self::System(SystemSocket::Tcp(socket)) => socket.set_write_timeout(limit),
            #[cfg(unix)]
            Self::System(SystemSocket::Unix(socket)) => socket.set_write_timeout(limit),
            Self::Custom(socket) => socket.set_write_timeout(limit),
        }
    }

    #[inline]
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::System(socket) => socket.read(buffer),
            Self::Custom(socket) => socket.read(buffer),
        }
    }

    /// Writes some of what waits in `outbox`; says how much.
    fn write(&self, outbox: &Outbox) -> io::Result<usize> {
        written(match self {
            Self::System(socket) => socket.write(outbox),
            Self::Custom(socket) => {
                let mut slices = [IoSlice::new(&[])];
                outbox.slices(&mut slices);
                socket.write(&slices[0])
            }
        })
    }

    /// Writes some of `bytes`; says how many.
    #[cfg(feature = "tls")]
    fn write_bytes(&self, bytes: &[u8]) -> io::Result<usize> {
        written(match self {
            Self::System(socket) => socket.write_bytes(bytes),
            Self::Custom(socket) => socket.write(bytes),
        })
    }

    /// Ends both directions, for all threads that use it.
    pub(super) fn shutdown(&self) {
        // A socket that is no longer connected needs no ending.
        let _ = match self {
            Self::System(SystemSocket::Tcp(socket)) => socket.shutdown(Shutdown::Both),
            #[cfg(unix)]
            Self::System(SystemSocket::Unix(socket)) => socket.shutdown(Shutdown::Both),
            Self::Custom(socket) => socket.shutdown(),
        };
    }
}

/// The time that is left until `deadline`; an error when there is none.
#[inline]
pub(super) fn left(deadline: Option<Instant>, now: Instant) -> io::Result<Option<Duration>> {
    let Some(deadline) = deadline else { return Ok(None) };
    let left = deadline.saturating_duration_since(now);
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
}

/// What a socket is told for a wait of `wait`: kernels keep the time of sockets roughly, and may end a wait
/// late by an eighth of it. Measured on Linux: 220 ms late for 2.02 s. Short waits they keep well, so that
/// what is left then ends in time.
pub(super) fn early(wait: Duration) -> Duration {
    if wait > WELL_KEPT { wait - wait / 8 } else { wait }
}

const WELL_KEPT: Duration = Duration::from_millis(100);

/// Whether the socket stopped waiting: by the timeout that was set, or by a signal.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// Whether a look found anything.
#[inline(always)]
fn has_some(peeked: io::Result<usize>) -> io::Result<bool> {
    match peeked {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is left of `limit`, which counts from `begin` on.
#[cold]
fn remaining(limit: Option<Duration>, begin: Instant) -> io::Result<Option<Duration>> {
    left(limit.and_then(|limit| begin.checked_add(limit)), threads::now())
}

/// What a write gave. One that a signal interrupted wrote nothing.
#[inline]
fn written(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        result => result.map_err(timed_out),
    }
}

/// Whether a timeout must be set anew. A shorter one always must; a longer one only when it is off by much.
fn differs(set: Option<Duration>, wanted: Option<Duration>) -> bool {
    match (set, wanted) {
        (Some(set), Some(wanted)) => set > wanted + SLACK || wanted > set,
        (set, wanted) => set != wanted,
    }
}

/// Sockets with a timeout report its end as "would block". What they call timed out is the kernel's doing: it
/// gave the peer up.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        io::ErrorKind::TimedOut if cfg!(unix) => io::Error::new(io::ErrorKind::ConnectionReset, error),
        _ => error,
    }
}
