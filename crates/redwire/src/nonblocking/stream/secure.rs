//! A TCP socket, or a user's stream, with TLS on it, reading and writing apart. What TLS says is decided in
//! [`tls`](crate::tls).

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};

use super::{ReadHalf, WriteHalf};
use crate::shared::setup;
use crate::shared::sync::Mutex;
use crate::tls::{Ciphertext, TlsSession};

/// Ciphertext is read in pieces of at most this size: a few full records.
const READ_AT_ONCE: usize = 64 * 1024;

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
        writer.half.send(&bytes).await?;
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
                    let _ = writer.half.send(&alert).await;
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
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.half.poll_ready(cx)
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
        self.half.poll_read(cx, &mut &mut self.cipher[..])
    }
}

impl StreamWriter {
    /// What was said in the handshake.
    #[cfg(feature = "ocsp")]
    pub(super) fn session(&self) -> &TlsSession {
        &self.session
    }

    /// What takes the ciphertext.
    pub(super) fn half(&self) -> &WriteHalf {
        &self.half
    }

    /// Writes some of what waits in `outbox`, if the socket takes it now; says how much.
    pub(super) fn try_write(&self, outbox: &Outbox) -> io::Result<usize> {
        match self.poll_write(outbox, |bytes| Poll::Ready(self.half.try_write(bytes))) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Writes some of what waits in `outbox` by `write`, which takes ciphertext; says how much.
    pub(super) fn poll_write(
        &self,
        outbox: &Outbox,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let mut outgoing = self.outgoing.lock();
        loop {
            let written = ready!(write(outgoing.poll_write(&self.session, outbox)?))?;
            let sent = outgoing.handle_written(written);
            if sent > 0 || written == 0 {
                return Poll::Ready(Ok(sent));
            }
        }
    }
}
