//! Sockets of the async driver: TCP, TLS, Unix, and streams of the user's own, reading and writing apart.
//! Knows nothing of what goes through them.

#[cfg(feature = "tls")]
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{BufMut, BytesMut};
use custom::Custom;
use redwire_core::config::{Endpoint, HostPort};
use redwire_core::dial::Dial;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixStream, unix};

use super::{UnderWay, connector};
use crate::shared::clock::{self, with_io};
use crate::shared::target::Target;
use crate::shared::{lookups, setup, socket};

mod custom;
#[cfg(feature = "ocsp")]
mod ocsp;
#[cfg(feature = "tls")]
mod secure;

/// At most this much is read at once, however much room there is: while it is copied the peer sends on, and
/// it is still in the processor's cache when it is looked at.
const READ_AT_ONCE: usize = 256 * 1024;

/// The half that reads.
#[derive(Debug)]
pub(super) enum StreamReader {
    Plain(ReadHalf),
    // Boxed, so that all kinds are told apart by one look.
    #[cfg(feature = "tls")]
    Tls(Box<secure::StreamReader>),
}

/// The half that writes; several tasks may try.
#[derive(Debug)]
pub(super) enum StreamWriter {
    Plain(WriteHalf),
    #[cfg(feature = "tls")]
    Tls(Box<secure::StreamWriter>),
}

/// What is read from, without or under TLS.
#[derive(Debug)]
pub(super) enum ReadHalf {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf),
    Custom(Custom),
}

/// What is written to, without or under TLS.
#[derive(Debug)]
pub(super) enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
    Custom(Custom),
}

/// Connects to the server; with TLS where that is asked for. To ask whether its certificate was revoked may
/// take some of the time until `deadline`. What the server says along with the end of the TLS handshake is
/// appended to `plain`.
#[cfg_attr(not(feature = "tls"), allow(clippy::needless_pass_by_ref_mut, reason = "TLS does"))]
pub(super) async fn connect(
    target: &Target,
    endpoint: &Endpoint,
    deadline: Instant,
    plain: &mut BytesMut,
) -> Result<(StreamReader, StreamWriter)> {
    let (reader, writer) = connect_plain(target, endpoint).await?;
    #[cfg(feature = "tls")]
    if let Endpoint::Tcp(address) = endpoint
        && let Some(session) = target.tls_session(&address.host)?
    {
        let (reader, writer) = secure::shake_hands(reader, writer, session, plain).await?;
        #[cfg(feature = "ocsp")]
        ocsp::check(writer.session(), target, deadline).await?;
        return Ok((StreamReader::Tls(Box::new(reader)), StreamWriter::Tls(Box::new(writer))));
    }
    let _ = (deadline, plain);
    Ok((StreamReader::Plain(reader), StreamWriter::Plain(writer)))
}

/// Connects to `endpoint`, by the user's connector where there is one.
async fn connect_plain(target: &Target, endpoint: &Endpoint) -> Result<(ReadHalf, WriteHalf)> {
    Ok(match (connector::of(target.config())?, endpoint) {
        (Some(connector), _) => {
            // The client may have been made outside of the runtime.
            clock::follow_runtime();
            let stream = custom::connect(&**connector, endpoint).await?;
            (ReadHalf::Custom(stream.clone()), WriteHalf::Custom(stream))
        }
        (None, Endpoint::Tcp(address)) => {
            let addresses = resolve(target, address).await?;
            let stream = dial(Dial::new(addresses)).await?;
            socket::configure((&stream).into(), target.config())
                .map_err(|error| Error::from_io("setting socket options", Outcome::NotSent, error))?;
            let (reader, writer) = stream.into_split();
            (ReadHalf::Tcp(reader), WriteHalf::Tcp(writer))
        }
        #[cfg(unix)]
        (None, Endpoint::Unix(path)) => {
            let (reader, writer) = with_io(UnixStream::connect(path)).await?.into_split();
            (ReadHalf::Unix(reader), WriteHalf::Unix(writer))
        }
        _ => return Err(Error::usage(format!("this system has no sockets for the address {endpoint}"))),
    })
}

/// The addresses of the host, looked up anew. An address stands for itself.
async fn resolve(target: &Target, address: &HostPort) -> Result<Vec<SocketAddr>> {
    match lookups::literal(address) {
        Some(literal) => Ok(vec![literal]),
        None => target.lookups().addresses(address, target.config()).answered().await,
    }
}

/// The first connection that comes up, with as many attempts at a time as `dial` wants.
async fn dial(mut dial: Dial) -> Result<TcpStream> {
    let mut attempts = UnderWay::default();
    loop {
        while let Some(address) = dial.poll_start(clock::now()) {
            attempts.begin(address, with_io(TcpStream::connect(address)));
        }
        if let Some(error) = dial.poll_failed() {
            return Err(error);
        }
        for (address, connected) in attempts.ended(dial.poll_timeout()).await {
            match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => dial.handle_failure(address, error, clock::now()),
            }
        }
    }
}

impl StreamReader {
    /// Whether there may be something to read; if not, the task is woken when there is.
    #[inline]
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(half) => half.poll_ready(cx),
            #[cfg(feature = "tls")]
            Self::Tls(reader) => reader.poll_ready(cx),
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
            Self::Plain(half) => half.poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Self::Tls(reader) => reader.poll_read(cx, buffer),
        }
    }
}

impl ReadHalf {
    #[inline]
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_read_ready(cx),
            #[cfg(unix)]
            Self::Unix(half) => half.as_ref().poll_read_ready(cx),
            // Only reading shows.
            Self::Custom(_) => Poll::Ready(Ok(())),
        }
    }

    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut impl BufMut) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(half) => pin!(half.read_buf(&mut buffer.limit(READ_AT_ONCE))).poll(cx),
            #[cfg(unix)]
            Self::Unix(half) => pin!(half.read_buf(&mut buffer.limit(READ_AT_ONCE))).poll(cx),
            Self::Custom(stream) => stream.poll_read(cx, buffer),
        }
    }
}

impl StreamWriter {
    /// What takes the bytes in the end.
    #[inline]
    fn half(&self) -> &WriteHalf {
        match self {
            Self::Plain(half) => half,
            #[cfg(feature = "tls")]
            Self::Tls(writer) => writer.half(),
        }
    }

    /// Whether there is nothing to read, for a task that is about to write: a look at the socket itself,
    /// since the runtime may not have noticed yet what came. An error where the connection is gone.
    #[cold]
    pub(super) fn is_silent(&self) -> Result<bool> {
        let peeked = match self.half() {
            WriteHalf::Tcp(half) => socket::peek(half.as_ref()),
            #[cfg(unix)]
            WriteHalf::Unix(half) => socket::peek(half.as_ref()),
            WriteHalf::Custom(stream) => stream.peek(),
        };
        match peeked {
            Ok(0) => Err(Error::closed_by_peer(Outcome::NotSent)),
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(setup::io_error("reading", error)),
        }
    }

    /// Writes some of what waits in `outbox`, if the socket takes it now; says how much. A user's stream
    /// takes nothing but by [`poll_flush`](Self::poll_flush).
    #[inline]
    pub(super) fn try_write(&self, outbox: &Outbox) -> io::Result<usize> {
        let result = match (self, outbox.single()) {
            #[cfg(feature = "tls")]
            (Self::Tls(writer), _) => writer.try_write(outbox),
            (Self::Plain(half), Some(bytes)) => half.try_write(bytes),
            (Self::Plain(half), None) => {
                let mut slices = [IoSlice::new(&[]); 16];
                let filled = outbox.slices(&mut slices);
                match half {
                    WriteHalf::Tcp(half) => half.try_write_vectored(&slices[..filled]),
                    #[cfg(unix)]
                    WriteHalf::Unix(half) => half.try_write_vectored(&slices[..filled]),
                    WriteHalf::Custom(_) => Err(io::ErrorKind::WouldBlock.into()),
                }
            }
        };
        match result {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result,
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
        let half = self.half();
        if let WriteHalf::Custom(custom) = half {
            return self.poll_flush_custom(custom, cx, outbox, sent);
        }
        while !outbox.is_empty() {
            match self.try_write(outbox) {
                Ok(written) => {
                    outbox.advance(written);
                    sent(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(half.poll_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// As [`poll_flush`](Self::poll_flush), where `custom` is the user's stream. Ready when that is flushed,
    /// too.
    #[cold]
    fn poll_flush_custom(
        &self,
        custom: &Custom,
        cx: &mut Context<'_>,
        outbox: &mut Outbox,
        mut sent: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        loop {
            outbox.advance(ready!(custom.poll_flush(cx))?);
            if outbox.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let written = match self {
                #[cfg(feature = "tls")]
                Self::Tls(writer) => {
                    ready!(writer.poll_write(outbox, |bytes| custom.poll_write(cx, &[IoSlice::new(bytes)])))?
                }
                Self::Plain(_) => {
                    let mut slices = [IoSlice::new(&[]); 16];
                    let filled = outbox.slices(&mut slices);
                    ready!(custom.poll_write(cx, &slices[..filled]))?
                }
            };
            // What may have left counts as sent, flushed or not.
            sent(written);
            custom.hold(written);
        }
    }
}

impl WriteHalf {
    #[inline]
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write(bytes),
            #[cfg(unix)]
            Self::Unix(half) => half.try_write(bytes),
            Self::Custom(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes all of `bytes` as they are.
    #[cfg(feature = "tls")]
    async fn send(&self, mut bytes: &[u8]) -> Result<()> {
        let sent = poll_fn(|cx| {
            while !bytes.is_empty() {
                let written = match self {
                    Self::Custom(half) => ready!(half.poll_write(cx, &[IoSlice::new(bytes)]))?,
                    half => match half.try_write(bytes) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            ready!(half.poll_ready(cx)).map(|()| 0)?
                        }
                        written => written?,
                    },
                };
                bytes = &bytes[written..];
            }
            match self {
                Self::Custom(half) => half.poll_flush(cx).map_ok(drop),
                _ => Poll::Ready(Ok(())),
            }
        });
        sent.await.map_err(|error| setup::io_error("writing", error))
    }

    /// Whether the socket may take bytes; if not, the task is woken when it may.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
            #[cfg(unix)]
            Self::Unix(half) => half.as_ref().poll_write_ready(cx),
            Self::Custom(_) => Poll::Ready(Ok(())),
        }
    }
}
