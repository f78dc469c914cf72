//! A TCP socket, or a user's stream, with TLS on it, reading and writing apart. What TLS says is decided in
//! [`tls`](crate::tls).

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};
use tokio::net::tcp;

use super::custom;
use crate::shared::sync::Mutex;
use crate::shared::{setup, socket};
use crate::tls::{Ciphertext, TlsSession};

/// Ciphertext is read in pieces of at most this size: a few full records.
const READ_AT_ONCE: usize = 64 * 1024;

/// What ciphertext is read from.
#[derive(Debug)]
pub(super) enum ReadHalf {
    Tcp(tcp::OwnedReadHalf),
    Custom(custom::StreamReader),
}

/// What ciphertext is written to.
#[derive(Debug)]
pub(super) enum WriteHalf {
    Tcp(tcp::OwnedWriteHalf),
    Custom(custom::StreamWriter),
}

/// The half that reads.
#[derive(Debug)]
pub(crate) struct StreamReader {
    half: ReadHalf,
    session: Arc<TlsSession>,
    cipher: Box<[u8]>,
}

/// The half that writes.
#[derive(Debug)]
pub(crate) struct StreamWriter {
    half: WriteHalf,
    session: Arc<TlsSession>,
    outgoing: Mutex<Ciphertext>,
}

/// Makes the stream of both halves secure.
pub(super) async fn shake_hands(
    half: ReadHalf,
    other: WriteHalf,
    session: TlsSession,
    plain: &mut BytesMut,
) -> Result<(StreamReader, StreamWriter)> {
    let session = Arc::new(session);
    let mut reader = StreamReader {
        half,
        session: Arc::clone(&session),
        cipher: vec![0; READ_AT_ONCE].into_boxed_slice(),
    };
    let writer = StreamWriter { half: other, session, outgoing: Mutex::default() };
    loop {
        let mut bytes = Vec::new();
        writer.session.poll_transmit(&mut bytes);
        writer.send(&bytes).await?;
        if !writer.session.is_handshaking() {
            return Ok((reader, writer));
        }
        let read = poll_fn(|cx| reader.poll_cipher(cx)).await;
        match read.map_err(|error| setup::io_error("reading in the TLS handshake", error))? {
            0 => return Err(closed()),
            read => {
                let decrypted = reader.session.decrypt(&reader.cipher[..read], plain);
                if let Err(error) = decrypted {
                    // The alert that tells the server why.
                    let mut alert = Vec::new();
                    writer.session.poll_transmit(&mut alert);
                    let _ = writer.send(&alert).await;
                    return Err(error);
                }
            }
        }
    }
}

#[cold]
fn closed() -> Error {
    Error::closed_by_peer(Outcome::NotSent).with_context("in the TLS handshake")
}

impl StreamReader {
    /// How many bytes of ciphertext are there to be read; `Ok(0)`: the peer has closed it.
    pub(super) fn peek(&self) -> io::Result<usize> {
        match &self.half {
            ReadHalf::Tcp(half) => socket::peek(half.as_ref()),
            ReadHalf::Custom(half) => half.peek(),
        }
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.half {
            ReadHalf::Tcp(half) => half.as_ref().poll_read_ready(cx),
            // Only reading shows.
            ReadHalf::Custom(_) => Poll::Ready(Ok(())),
        }
    }

    /// Appends plaintext to `buffer`. `Ok(0)`: the peer has closed.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        loop {
            let read = ready!(self.poll_cipher(cx))?;
            if read == 0 {
                return Poll::Ready(Ok(0));
            }
            let plain = self.session.decrypt(&self.cipher[..read], buffer).map_err(io::Error::other)?;
            if plain > 0 || self.session.is_closed() {
                return Poll::Ready(Ok(plain));
            }
        }
    }

    fn poll_cipher(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let half = match &self.half {
            ReadHalf::Tcp(half) => half,
            ReadHalf::Custom(half) => return half.poll_read(cx, &mut &mut self.cipher[..]),
        };
        loop {
            ready!(half.as_ref().poll_read_ready(cx))?;
            match half.try_read(&mut self.cipher) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

impl StreamWriter {
    /// As [`StreamReader::peek`], for a task that is about to write.
    pub(super) fn peek(&self) -> io::Result<usize> {
        match &self.half {
            WriteHalf::Tcp(half) => socket::peek(half.as_ref()),
            WriteHalf::Custom(half) => half.peek(),
        }
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.half {
            WriteHalf::Tcp(half) => half.as_ref().poll_write_ready(cx),
            WriteHalf::Custom(_) => Poll::Ready(Ok(())),
        }
    }

    /// What takes the ciphertext, if that is a user's stream.
    pub(super) fn custom(&self) -> Option<&custom::StreamWriter> {
        match &self.half {
            WriteHalf::Tcp(_) => None,
            WriteHalf::Custom(half) => Some(half),
        }
    }

    /// Writes some of what waits in `outbox` to `half`, a user's stream; says how much.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        half: &custom::StreamWriter,
        outbox: &Outbox,
    ) -> Poll<io::Result<usize>> {
        let mut outgoing = self.outgoing.lock();
        loop {
            let bytes = outgoing.poll_write(&self.session, outbox)?;
            let written = ready!(half.poll_write(cx, &[IoSlice::new(bytes)]))?;
            let sent = outgoing.handle_written(written);
            if sent > 0 {
                return Poll::Ready(Ok(sent));
            }
        }
    }

    /// Writes some of what waits in `outbox`, if the socket takes it now; says how much.
    pub(super) fn try_write(&self, outbox: &Outbox) -> io::Result<usize> {
        let WriteHalf::Tcp(half) = &self.half else { return Err(io::ErrorKind::WouldBlock.into()) };
        let mut outgoing = self.outgoing.lock();
        loop {
            let bytes = outgoing.poll_write(&self.session, outbox)?;
            let written = half.try_write(bytes)?;
            if written == 0 {
                return Ok(0);
            }
            let sent = outgoing.handle_written(written);
            if sent > 0 {
                return Ok(sent);
            }
        }
    }

    async fn send(&self, mut bytes: &[u8]) -> Result<()> {
        let half = match &self.half {
            WriteHalf::Tcp(half) => half,
            WriteHalf::Custom(half) => {
                return half.send(bytes).await.map_err(|error| setup::io_error("writing", error));
            }
        };
        while !bytes.is_empty() {
            let written = match half.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll_fn(|cx| self.poll_ready(cx)).await.map(|()| 0)
                }
                written => written,
            };
            bytes = &bytes[written.map_err(|error| setup::io_error("writing", error))?..];
        }
        Ok(())
    }
}
