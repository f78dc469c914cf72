//! Sockets of the async driver: TCP, TLS, Unix, and streams of the user's own, reading and writing apart.
//! Knows nothing of what goes through them.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use redwire_core::config::{Endpoint, HostPort};
use redwire_core::dial::Dial;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixStream, unix};

use super::connector::{self, Connect};
use crate::shared::clock::{self, Timer, with_io};
use crate::shared::target::Target;
use crate::shared::{lookups, setup, socket};

mod custom;
#[cfg(feature = "tls")]
mod secure;

/// At most this much is read at once, however much room there is: while it is copied the peer sends on, and
/// it is still in the processor's cache when it is looked at.
const READ_AT_ONCE: usize = 256 * 1024;

/// The half that reads.
#[derive(Debug)]
pub(super) enum StreamReader {
    Tcp(tcp::OwnedReadHalf),
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf),
    #[cfg(feature = "tls")]
    Tls(secure::StreamReader),
    Custom(custom::StreamReader),
}

/// The half that writes; several tasks may try.
#[derive(Debug)]
pub(super) enum StreamWriter {
    Tcp(tcp::OwnedWriteHalf),
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
    #[cfg(feature = "tls")]
    Tls(secure::StreamWriter),
    Custom(custom::StreamWriter),
}

/// Connects to the server; with TLS where that is asked for. What the server says along with the end of the
/// TLS handshake is appended to `plain`.
#[cfg_attr(not(feature = "tls"), allow(clippy::needless_pass_by_ref_mut, reason = "TLS does"))]
pub(super) async fn connect(
    target: &Target,
    endpoint: &Endpoint,
    plain: &mut BytesMut,
) -> Result<(StreamReader, StreamWriter)> {
    if let Some(connector) = connector::of(target.config())? {
        // The client may have been made outside of the runtime.
        clock::follow_runtime();
        return connect_by(&**connector, target, endpoint, plain).await;
    }
    match endpoint {
        Endpoint::Tcp(address) => {
            let addresses = resolve(target, address).await?;
            let stream = dial(Dial::new(addresses)).await?;
            socket::configure((&stream).into(), target.config())
                .map_err(|error| Error::from_io("setting socket options", Outcome::NotSent, error))?;
            #[cfg(feature = "tls")]
            if let Some(session) = target.tls_session(&address.host)? {
                let (half, other) = stream.into_split();
                let (half, other) = (secure::ReadHalf::Tcp(half), secure::WriteHalf::Tcp(other));
                let (reader, writer) = secure::shake_hands(half, other, session, plain).await?;
                return Ok((StreamReader::Tls(reader), StreamWriter::Tls(writer)));
            }
            let _ = plain;
            let (reader, writer) = stream.into_split();
            Ok((StreamReader::Tcp(reader), StreamWriter::Tcp(writer)))
        }
        #[cfg(unix)]
        Endpoint::Unix(path) => {
            let stream = with_io(UnixStream::connect(path)).await?;
            let (reader, writer) = stream.into_split();
            Ok((StreamReader::Unix(reader), StreamWriter::Unix(writer)))
        }
        _ => Err(Error::usage(format!("this system has no sockets for the address {endpoint}"))),
    }
}

/// As [`connect`], by the user's connector.
#[cfg_attr(not(feature = "tls"), allow(clippy::needless_pass_by_ref_mut, reason = "TLS does"))]
async fn connect_by(
    connector: &dyn Connect,
    target: &Target,
    endpoint: &Endpoint,
    plain: &mut BytesMut,
) -> Result<(StreamReader, StreamWriter)> {
    let (half, other) = custom::connect(connector, endpoint).await?;
    #[cfg(feature = "tls")]
    if let Endpoint::Tcp(address) = endpoint
        && let Some(session) = target.tls_session(&address.host)?
    {
        let (half, other) = (secure::ReadHalf::Custom(half), secure::WriteHalf::Custom(other));
        let (reader, writer) = secure::shake_hands(half, other, session, plain).await?;
        return Ok((StreamReader::Tls(reader), StreamWriter::Tls(writer)));
    }
    let _ = (target, plain);
    Ok((StreamReader::Custom(half), StreamWriter::Custom(other)))
}

/// The addresses of the host, looked up anew. An address stands for itself.
async fn resolve(target: &Target, address: &HostPort) -> Result<Vec<SocketAddr>> {
    match lookups::literal(address) {
        Some(literal) => Ok(vec![literal]),
        None => target.lookups().addresses(address, target.config()).answered().await,
    }
}

/// An attempt to connect to one address.
type DialAttempt = (SocketAddr, Pin<Box<dyn Future<Output = Result<TcpStream>> + Send>>);

/// The first connection that comes up, with as many attempts at a time as `dial` wants.
async fn dial(mut dial: Dial) -> Result<TcpStream> {
    let mut attempts: Vec<DialAttempt> = Vec::new();
    let mut timer = Timer::default();
    poll_fn(|cx| {
        loop {
            while let Some(address) = dial.poll_start(clock::now()) {
                attempts.push((address, Box::pin(with_io(TcpStream::connect(address)))));
            }
            let mut failed = false;
            let mut connected = None;
            attempts.retain_mut(|(address, attempt)| match attempt.as_mut().poll(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(stream)) => {
                    connected = Some(stream);
                    false
                }
                Poll::Ready(Err(error)) => {
                    dial.handle_failure(*address, error, clock::now());
                    failed = true;
                    false
                }
            });
            if let Some(stream) = connected {
                return Poll::Ready(Ok(stream));
            }
            if let Some(error) = dial.poll_failed() {
                return Poll::Ready(Err(error));
            }
            if failed {
                continue;
            }
            let Some(next) = dial.poll_timeout() else { return Poll::Pending };
            ready!(timer.poll_at(next, cx));
        }
    })
    .await
}

impl StreamReader {
    /// Whether there is nothing to read: a look at the socket itself, since the runtime may not have noticed
    /// yet what came. An error where the connection is gone.
    pub(super) fn is_silent(&self) -> Result<bool> {
        is_silent(match self {
            Self::Tcp(half) => socket::peek(half.as_ref()),
            #[cfg(unix)]
            Self::Unix(half) => socket::peek(half.as_ref()),
            #[cfg(feature = "tls")]
            Self::Tls(reader) => reader.peek(),
            Self::Custom(reader) => reader.peek(),
        })
    }

    /// Whether there may be something to read; if not, the task is woken when there is.
    #[inline]
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_read_ready(cx),
            #[cfg(unix)]
            Self::Unix(half) => half.as_ref().poll_read_ready(cx),
            #[cfg(feature = "tls")]
            Self::Tls(reader) => reader.poll_ready(cx),
            // Only reading shows.
            Self::Custom(_) => Poll::Ready(Ok(())),
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
            #[cfg(feature = "tls")]
            Self::Tls(reader) => reader.poll_read(cx, buffer),
            Self::Custom(reader) => reader.poll_read(cx, buffer),
        }
    }
}

/// What a look at a socket says.
fn is_silent(peeked: io::Result<usize>) -> Result<bool> {
    match peeked {
        Ok(0) => Err(Error::closed_by_peer(Outcome::NotSent)),
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(setup::io_error("reading", error)),
    }
}

impl StreamWriter {
    /// As [`StreamReader::is_silent`], for a task that is about to write.
    #[cold]
    pub(super) fn is_silent(&self) -> Result<bool> {
        is_silent(match self {
            Self::Tcp(half) => socket::peek(half.as_ref()),
            #[cfg(unix)]
            Self::Unix(half) => socket::peek(half.as_ref()),
            #[cfg(feature = "tls")]
            Self::Tls(writer) => writer.peek(),
            Self::Custom(writer) => writer.peek(),
        })
    }

    /// Writes some of what waits in `outbox`, if the socket takes it now; says how much. A user's stream
    /// takes nothing but by [`poll_flush`](Self::poll_flush).
    #[inline]
    pub(super) fn try_write(&self, outbox: &Outbox) -> io::Result<usize> {
        let result = if let Some(bytes) = outbox.single() {
            match self {
                Self::Tcp(half) => half.try_write(bytes),
                #[cfg(unix)]
                Self::Unix(half) => half.try_write(bytes),
                #[cfg(feature = "tls")]
                Self::Tls(writer) => writer.try_write(outbox),
                Self::Custom(_) => Err(io::ErrorKind::WouldBlock.into()),
            }
        } else {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = outbox.slices(&mut slices);
            match self {
                Self::Tcp(half) => half.try_write_vectored(&slices[..filled]),
                #[cfg(unix)]
                Self::Unix(half) => half.try_write_vectored(&slices[..filled]),
                #[cfg(feature = "tls")]
                Self::Tls(writer) => writer.try_write(outbox),
                Self::Custom(_) => Err(io::ErrorKind::WouldBlock.into()),
            }
        };
        match result {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result,
        }
    }

    /// Whether the socket may take bytes; if not, the task is woken when it may.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
            #[cfg(unix)]
            Self::Unix(half) => half.as_ref().poll_write_ready(cx),
            #[cfg(feature = "tls")]
            Self::Tls(writer) => writer.poll_ready(cx),
            Self::Custom(_) => Poll::Ready(Ok(())),
        }
    }

    /// The user's stream that takes what is written.
    #[inline]
    fn custom(&self) -> Option<&custom::StreamWriter> {
        match self {
            Self::Tcp(_) => None,
            #[cfg(unix)]
            Self::Unix(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(writer) => writer.custom(),
            Self::Custom(writer) => Some(writer),
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
        if let Some(custom) = self.custom() {
            return self.poll_flush_custom(custom, cx, outbox, sent);
        }
        while !outbox.is_empty() {
            match self.try_write(outbox) {
                Ok(written) => {
                    outbox.advance(written);
                    sent(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_ready(cx))?;
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
        custom: &custom::StreamWriter,
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
                Self::Tls(writer) => ready!(writer.poll_write(cx, custom, outbox))?,
                _ => {
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
