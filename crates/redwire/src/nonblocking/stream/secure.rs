//! A TCP socket with TLS on it, reading and writing apart. What TLS says is decided in [`tls`](crate::tls).

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};
use tokio::net::{TcpStream, tcp};

use crate::setup;
use crate::tls::{Outgoing, Session};

/// Ciphertext is read in pieces of at most this size: a few full records.
const READ_AT_ONCE: usize = 64 * 1024;

/// The half that reads.
#[derive(Debug)]
pub(crate) struct Reader {
    half: tcp::OwnedReadHalf,
    session: Arc<Session>,
    cipher: Box<[u8]>,
}

/// The half that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    half: tcp::OwnedWriteHalf,
    session: Arc<Session>,
    outgoing: Mutex<Outgoing>,
}

/// Makes `stream` secure.
pub(super) async fn shake_hands(
    stream: TcpStream,
    session: Session,
    plain: &mut BytesMut,
) -> Result<(Reader, Writer)> {
    let session = Arc::new(session);
    let (half, other) = stream.into_split();
    let mut reader =
        Reader { half, session: Arc::clone(&session), cipher: vec![0; READ_AT_ONCE].into_boxed_slice() };
    let writer = Writer { half: other, session, outgoing: Mutex::default() };
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
                    let _ = writer.half.try_write(&alert);
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

impl Reader {
    pub(super) fn stream(&self) -> &TcpStream {
        self.half.as_ref()
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.half.as_ref().poll_read_ready(cx)
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
        loop {
            ready!(self.half.as_ref().poll_read_ready(cx))?;
            match self.half.try_read(&mut self.cipher) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

impl Writer {
    pub(super) fn stream(&self) -> &TcpStream {
        self.half.as_ref()
    }

    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.half.as_ref().poll_write_ready(cx)
    }

    /// Writes some of what waits in `outbox`, if the socket takes it now; says how much.
    pub(super) fn try_write(&self, outbox: &Outbox) -> io::Result<usize> {
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let bytes = outgoing.poll_write(&self.session, outbox)?;
            let written = self.half.try_write(bytes)?;
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
        while !bytes.is_empty() {
            let written = match self.half.try_write(bytes) {
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
