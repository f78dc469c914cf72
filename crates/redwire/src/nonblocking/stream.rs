//! Sockets of the async driver: TCP and Unix, reading and writing apart. Knows nothing of what goes through them.

use std::io::{self, IoSlice};
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use redwire_core::config::{Config, Endpoint};
use redwire_core::outbox::Outbox;
use redwire_core::{ConnectionFault, Error, ErrorKind, Outcome, Result};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixStream, unix};

use crate::socket;

/// At most this much is read at once, however much room there is: while it is copied the peer sends on, and it is still
/// in the processor's cache when it is looked at.
const READ_AT_ONCE: usize = 256 * 1024;

/// The half that reads.
#[derive(Debug)]
pub(super) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf),
}

/// The half that writes; several tasks may try.
#[derive(Debug)]
pub(super) enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
}

/// Connects to `endpoint`, trying each of its addresses in turn.
pub(super) async fn connect(endpoint: &Endpoint, config: &Config) -> Result<(Reader, Writer)> {
    match endpoint {
        Endpoint::Tcp(address) => {
            let stream = connect_tcp(&address.host, address.port).await?;
            socket::configure((&stream).into(), config)
                .map_err(|error| Error::from_io("setting socket options", Outcome::NotSent, error))?;
            let (reader, writer) = stream.into_split();
            Ok((Reader::Tcp(reader), Writer::Tcp(writer)))
        }
        #[cfg(unix)]
        Endpoint::Unix(path) => {
            let stream = UnixStream::connect(path).await;
            let stream = stream.map_err(|error| Error::from_io("connecting", Outcome::NotSent, error))?;
            let (reader, writer) = stream.into_split();
            Ok((Reader::Unix(reader), Writer::Unix(writer)))
        }
        #[cfg(not(unix))]
        Endpoint::Unix(_) => Err(Error::usage("this system has no Unix sockets")),
    }
}

async fn connect_tcp(host: &str, port: u16) -> Result<TcpStream> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| {
        let message = format!("the host name {host:?} has no address: {error}");
        Error::new(ErrorKind::Connection(ConnectionFault::Dns), Outcome::NotSent, message).with_source(error)
    })?;
    let mut failure = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    let failure = failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
    Err(Error::from_io("connecting", Outcome::NotSent, failure))
}

impl Reader {
    /// Whether there may be something to read; if not, the task is woken when there is.
    #[inline]
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_read_ready(cx),
            #[cfg(unix)]
            Self::Unix(half) => half.as_ref().poll_read_ready(cx),
        }
    }

    /// Appends some bytes to `buffer`. `Ok(0)`: the peer has closed.
    #[inline]
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(half) => pin!(half.read_buf(&mut buffer.limit(READ_AT_ONCE))).poll(cx),
            #[cfg(unix)]
            Self::Unix(half) => pin!(half.read_buf(&mut buffer.limit(READ_AT_ONCE))).poll(cx),
        }
    }
}

impl Writer {
    /// Writes some of what waits in `outbox`, if the socket takes it now; says how much.
    #[inline]
    pub(super) fn try_write(&self, outbox: &Outbox) -> io::Result<usize> {
        let result = if let Some(bytes) = outbox.single() {
            match self {
                Self::Tcp(half) => half.try_write(bytes),
                #[cfg(unix)]
                Self::Unix(half) => half.try_write(bytes),
            }
        } else {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = outbox.slices(&mut slices);
            match self {
                Self::Tcp(half) => half.try_write_vectored(&slices[..filled]),
                #[cfg(unix)]
                Self::Unix(half) => half.try_write_vectored(&slices[..filled]),
            }
        };
        match result {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result,
        }
    }

    /// Whether the socket may take bytes; if not, the task is woken when it may.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
            #[cfg(unix)]
            Self::Unix(half) => half.as_ref().poll_write_ready(cx),
        }
    }

    /// Writes as much of `outbox` as the socket takes; ready when all is written or the socket failed.
    #[inline]
    pub(super) fn poll_flush(
        &self,
        cx: &mut Context<'_>,
        outbox: &mut Outbox,
        mut sent: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        while !outbox.is_empty() {
            match self.try_write(outbox) {
                Ok(written) => {
                    outbox.advance(written);
                    sent(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::task::ready!(self.poll_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}
