//! The TLS side of one connection, without its socket: bytes in, bytes out.
//!
//! Promises to take what was received in any pieces. Must not know what the plaintext means.

use std::io::{self, BufRead, IoSlice, Write};
#[cfg(feature = "ocsp")]
use std::sync::Arc;
use std::sync::MutexGuard;
#[cfg(feature = "ocsp")]
use std::time::Instant;

use bytes::BytesMut;
use redwire_core::Result;
use redwire_core::outbox::Outbox;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

#[cfg(feature = "ocsp")]
use super::ocsp::{Checker, OcspInquiry};
use super::{SessionParts, fault};

use crate::shared::sync::Mutex;

/// The most plaintext that one call encrypts: large enough for few system calls, small enough that the other
/// side of the connection need not wait long for the lock.
const BATCH: usize = 64 * 1024;

/// How many pieces of the outbox are looked at in one call.
const PIECES: usize = 16;

/// One session, shared by a side that reads and one that writes.
///
/// After each `decrypt`, also one that failed, [`poll_transmit`](Self::poll_transmit) may have bytes:
/// handshake, answers to the peer's messages, the alert that tells it what is wrong.
#[derive(Debug)]
pub(crate) struct TlsSession {
    state: Mutex<TlsState>,
    name: ServerName<'static>,
    /// Whether we have a certificate, should the server ask for one.
    has_certificate: bool,
    #[cfg(feature = "ocsp")]
    ocsp: Option<Arc<Checker>>,
}

#[derive(Debug)]
struct TlsState {
    tls: ClientConnection,
    /// The peer said that nothing follows.
    closed: bool,
}

impl TlsSession {
    pub(super) fn new(parts: SessionParts, name: ServerName<'static>) -> Result<Self> {
        let config = parts.config;
        let has_certificate = config.client_auth_cert_resolver.has_certs();
        let mut tls = ClientConnection::new(config, name.clone())
            .map_err(|error| fault::explain(error, &name, has_certificate))?;
        tls.set_buffer_limit(Some(BATCH));
        Ok(Self {
            state: Mutex::new(TlsState { tls, closed: false }),
            name,
            has_certificate,
            #[cfg(feature = "ocsp")]
            ocsp: parts.ocsp,
        })
    }

    /// Finds out, after the handshake, whether the server's certificate was revoked, where that is asked for.
    /// A session that was resumed is asked about, too. The connection is to be ready by `deadline`.
    #[cfg(feature = "ocsp")]
    pub(crate) fn ocsp_inquiry(&self, now: Instant, deadline: Instant) -> Option<OcspInquiry> {
        let checker = self.ocsp.as_ref()?;
        checker.inquiry(self.lock().tls.peer_certificates().unwrap_or_default(), now, deadline)
    }

    /// Moves the ciphertext that waits to be sent to the end of `out`.
    pub(crate) fn poll_transmit(&self, out: &mut Vec<u8>) {
        self.lock().transmit(out);
    }

    /// Encrypts the beginning of `outbox` to the end of `out`, after what waited to be sent; returns how
    /// many bytes of the outbox it took, at most 64 KiB. Zero while the handshake lasts, and when the
    /// outbox is empty.
    pub(crate) fn encrypt(&self, outbox: &Outbox, out: &mut Vec<u8>) -> io::Result<usize> {
        let mut state = self.lock();
        // What waits counts towards the limit of a batch.
        state.transmit(out);
        if state.tls.is_handshaking() {
            return Ok(0);
        }
        let taken = match outbox.single() {
            Some(bytes) => state.tls.writer().write(bytes)?,
            None => {
                let mut slices = [IoSlice::new(&[]); PIECES];
                let filled = outbox.slices(&mut slices);
                state.tls.writer().write_vectored(&slices[..filled])?
            }
        };
        state.transmit(out);
        Ok(taken)
    }

    /// Takes what was received and appends the plaintext in it to `plain`; returns how much that is. Zero:
    /// no whole record yet, or none with data.
    ///
    /// After an error the connection is of no use, but what came before stands in `plain`.
    pub(crate) fn decrypt(&self, mut cipher: &[u8], plain: &mut BytesMut) -> Result<usize> {
        let before = plain.len();
        let mut state = self.lock();
        while !cipher.is_empty() && !state.closed {
            state.tls.read_tls(&mut cipher).map_err(fault::unreadable)?;
            let processed = state.tls.process_new_packets();
            state.receive(plain);
            let processed =
                processed.map_err(|error| fault::explain(error, &self.name, self.has_certificate))?;
            state.closed = processed.peer_has_closed();
        }
        Ok(plain.len() - before)
    }

    /// Whether data has to wait for the handshake.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.lock().tls.is_handshaking()
    }

    /// Whether the peer has said that nothing follows.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, TlsState> {
        self.state.lock()
    }

    #[cfg(test)]
    pub(super) fn is_resumed(&self) -> bool {
        self.lock().tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }
}

impl TlsState {
    fn transmit(&mut self, out: &mut Vec<u8>) {
        // A vector takes all it is given.
        while self.tls.wants_write() && self.tls.write_tls(out).is_ok() {}
    }

    fn receive(&mut self, plain: &mut BytesMut) {
        let mut reader = self.tls.reader();
        while let Ok(bytes) = reader.fill_buf()
            && !bytes.is_empty()
        {
            plain.extend_from_slice(bytes);
            let taken = bytes.len();
            reader.consume(taken);
        }
    }
}
