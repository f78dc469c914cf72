//! TLS on a socket of the blocking driver. What TLS says is decided in [`tls`](crate::tls).

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};

use super::{Socket, WireStream, left};
use crate::shared::setup;
use crate::shared::threads;
use crate::tls::{Ciphertext, TlsSession};

/// The session of one connection, and the ciphertext that the socket has not taken yet.
#[derive(Debug)]
pub(super) struct Secure {
    session: Arc<TlsSession>,
    outgoing: Ciphertext,
}

/// Ciphertext of the handshake is read in pieces of this size: a chain of certificates takes two or three.
const READ_AT_ONCE: usize = 4 * 1024;

/// Makes `stream` secure before `deadline`.
pub(super) fn shake_hands(
    mut stream: WireStream,
    session: TlsSession,
    deadline: Instant,
    plain: &mut BytesMut,
) -> Result<WireStream> {
    let (mut outgoing, mut cipher) = (Vec::new(), [0; READ_AT_ONCE]);
    loop {
        outgoing.clear();
        session.poll_transmit(&mut outgoing);
        stream.send(&outgoing, deadline)?;
        if !session.is_handshaking() {
            stream.secure = Some(Secure { session: Arc::new(session), outgoing: Ciphertext::default() });
            return Ok(stream);
        }
        let now = threads::now();
        let read = left(Some(deadline), now).and_then(|limit| stream.read(&mut cipher, limit, now));
        match read.map_err(|error| setup::io_error("reading in the TLS handshake", error))? {
            0 => return Err(closed()),
            read => {
                if let Err(error) = session.decrypt(&cipher[..read], plain) {
                    // The alert that tells the server why. Whether it gets there matters no more.
                    outgoing.clear();
                    session.poll_transmit(&mut outgoing);
                    let _ = stream.send(&outgoing, deadline);
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

impl Secure {
    /// What was said in the handshake.
    #[cfg(feature = "ocsp")]
    pub(super) fn session(&self) -> &TlsSession {
        &self.session
    }

    /// Appends the plaintext of `cipher` to `plain`, if there are whole records.
    pub(super) fn decrypt(&self, cipher: &[u8], plain: &mut BytesMut) -> Result<()> {
        let decrypted = self.session.decrypt(cipher, plain)?;
        if decrypted == 0 && self.session.is_closed() {
            return Err(Error::closed_by_peer(Outcome::MaybeExecuted));
        }
        Ok(())
    }

    /// Writes some of what waits in `outbox`; says how much of it the peer can read now.
    pub(super) fn write(&mut self, socket: &Socket, outbox: &Outbox) -> io::Result<usize> {
        let written = socket.write_bytes(self.outgoing.poll_write(&self.session, outbox)?)?;
        Ok(self.outgoing.handle_written(written))
    }

    /// The same session for another thread, which goes on writing where this one stopped.
    pub(super) fn split(&mut self) -> Self {
        Self { session: Arc::clone(&self.session), outgoing: std::mem::take(&mut self.outgoing) }
    }
}
