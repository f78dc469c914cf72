//! Sockets of the blocking driver: TCP and Unix, with timeouts. Knows nothing of what goes through them.

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use redwire_core::config::{Config, Endpoint};
use redwire_core::outbox::Outbox;
use redwire_core::{ConnectionFault, Error, ErrorKind, Outcome, Result};

use crate::socket;

/// A connected socket. Reading and writing may go on at the same time, from two threads.
#[derive(Debug)]
pub(super) struct Stream {
    socket: Socket,
    /// The timeouts that are set, so that they are not set again.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A timeout is set anew only when it would be off by more than this: each setting costs a system call.
const SLACK: Duration = Duration::from_millis(20);

impl Stream {
    /// Connects to `endpoint`, trying each of its addresses, before `deadline`.
    pub(super) fn connect(endpoint: &Endpoint, config: &Config, deadline: Instant) -> Result<Self> {
        let socket = match endpoint {
            Endpoint::Tcp(address) => {
                Socket::Tcp(connect_tcp(&address.host, address.port, config, deadline)?)
            }
            #[cfg(unix)]
            Endpoint::Unix(path) => Socket::Unix(
                UnixStream::connect(path)
                    .map_err(|error| Error::from_io("connecting", Outcome::NotSent, error))?,
            ),
            #[cfg(not(unix))]
            Endpoint::Unix(_) => return Err(Error::usage("this system has no Unix sockets")),
        };
        Ok(Self { socket, read_timeout: None, write_timeout: None })
    }

    /// Reads some bytes before `deadline`. `Ok(0)`: the peer has closed.
    #[inline]
    pub(super) fn read(&mut self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        if differs(self.read_timeout, limit) {
            match &self.socket {
                Socket::Tcp(socket) => socket.set_read_timeout(limit),
                #[cfg(unix)]
                Socket::Unix(socket) => socket.set_read_timeout(limit),
            }?;
            self.read_timeout = limit;
        }
        loop {
            let result = match &self.socket {
                Socket::Tcp(socket) => (&*socket).read(buffer),
                #[cfg(unix)]
                Socket::Unix(socket) => (&*socket).read(buffer),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(timed_out),
            }
        }
    }

    /// Reads what is there already. `WouldBlock`: nothing is.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_nonblocking(true)?;
        let read = match &self.socket {
            Socket::Tcp(socket) => (&*socket).read(buffer),
            #[cfg(unix)]
            Socket::Unix(socket) => (&*socket).read(buffer),
        };
        self.socket.set_nonblocking(false)?;
        read
    }

    /// Writes some of what waits in `outbox` within `limit`; says how much.
    #[inline]
    pub(super) fn write(&mut self, outbox: &Outbox, limit: Option<Duration>) -> io::Result<usize> {
        if differs(self.write_timeout, limit) {
            self.socket.set_write_timeout(limit)?;
            self.write_timeout = limit;
        }
        self.socket.write(outbox)
    }

    /// The same socket, for another thread that only writes, each time within `limit`.
    pub(super) fn writer(&self, limit: Option<Duration>) -> io::Result<Socket> {
        let socket = match &self.socket {
            Socket::Tcp(socket) => Socket::Tcp(socket.try_clone()?),
            #[cfg(unix)]
            Socket::Unix(socket) => Socket::Unix(socket.try_clone()?),
        };
        socket.set_write_timeout(limit)?;
        Ok(socket)
    }

    /// Ends both directions, which also wakes a thread that writes.
    pub(super) fn shutdown(&self) {
        self.socket.shutdown();
    }
}

impl Socket {
    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(on),
            #[cfg(unix)]
            Self::Unix(socket) => socket.set_nonblocking(on),
        }
    }

    fn set_write_timeout(&self, limit: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_write_timeout(limit),
            #[cfg(unix)]
            Self::Unix(socket) => socket.set_write_timeout(limit),
        }
    }

    /// Writes some of what waits in `outbox`; says how much.
    #[inline]
    pub(super) fn write(&self, outbox: &Outbox) -> io::Result<usize> {
        let result = if let Some(bytes) = outbox.single() {
            match self {
                Self::Tcp(socket) => (&*socket).write(bytes),
                #[cfg(unix)]
                Self::Unix(socket) => (&*socket).write(bytes),
            }
        } else {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = outbox.slices(&mut slices);
            match self {
                Self::Tcp(socket) => (&*socket).write_vectored(&slices[..filled]),
                #[cfg(unix)]
                Self::Unix(socket) => (&*socket).write_vectored(&slices[..filled]),
            }
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result.map_err(timed_out),
        }
    }

    pub(super) fn shutdown(&self) {
        // A socket that is no longer connected needs no ending.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(std::net::Shutdown::Both),
            #[cfg(unix)]
            Self::Unix(socket) => socket.shutdown(std::net::Shutdown::Both),
        };
    }
}

/// Whether a timeout must be set anew. A shorter one always must; a longer one only when it is off by much.
fn differs(set: Option<Duration>, wanted: Option<Duration>) -> bool {
    match (set, wanted) {
        (Some(set), Some(wanted)) => set > wanted + SLACK || wanted > set,
        (set, wanted) => set != wanted,
    }
}

/// Sockets with a timeout report its end as "would block".
fn timed_out(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

fn connect_tcp(host: &str, port: u16, config: &Config, deadline: Instant) -> Result<TcpStream> {
    let addresses = (host, port).to_socket_addrs().map_err(|error| {
        let message = format!("the host name {host:?} has no address: {error}");
        Error::new(ErrorKind::Connection(ConnectionFault::Dns), Outcome::NotSent, message).with_source(error)
    })?;
    let mut failure = None;
    for address in addresses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            failure.get_or_insert_with(|| io::ErrorKind::TimedOut.into());
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                return match socket::configure((&socket).into(), config) {
                    Ok(()) => Ok(socket),
                    Err(error) => Err(Error::from_io("setting socket options", Outcome::NotSent, error)),
                };
            }
            Err(error) => failure = Some(error),
        }
    }
    let failure = failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
    Err(Error::from_io("connecting", Outcome::NotSent, failure))
}
