//! Ciphertext on its way to the kernel, and how much of the plaintext that stands for.
//!
//! A record that was handed over only in part cannot be read by the peer, so its plaintext was not sent: what
//! is said to be not sent stays certain under TLS. This file must not know sockets.

use std::io;

use redwire_core::outbox::Outbox;

use super::TlsSession;

/// Records that were not handed to the kernel whole.
#[derive(Debug, Default)]
pub(crate) struct Ciphertext {
    bytes: Vec<u8>,
    written: usize,
    /// The plaintext at the front of the outbox that lies encrypted in `bytes`, from `begin` on.
    plain: usize,
    begin: usize,
}

/// The plaintext of a full record, and the header before each ([RFC
/// 8446](https://www.rfc-editor.org/rfc/rfc8446#section-5.1)).
const RECORD: usize = 16 * 1024;
const HEADER: usize = 5;

impl Ciphertext {
    /// What to write now. If nothing is left from before, it is taken from the front of `outbox`, where it
    /// stays until it is written: see [`handle_written`](Self::handle_written).
    pub(crate) fn poll_write(&mut self, session: &TlsSession, outbox: &Outbox) -> io::Result<&[u8]> {
        if self.written == self.bytes.len() {
            self.bytes.clear();
            session.poll_transmit(&mut self.bytes);
            self.written = 0;
            self.begin = self.bytes.len();
            self.plain = session.encrypt(outbox, &mut self.bytes)?;
        }
        Ok(&self.bytes[self.written..])
    }

    /// The kernel took `n` bytes: says how much of the front of the outbox was handed over by that.
    pub(crate) fn handle_written(&mut self, n: usize) -> usize {
        self.written += n;
        if self.written == self.bytes.len() {
            return std::mem::take(&mut self.plain);
        }
        let mut done = 0;
        while let Some(end) = self.record_end().filter(|end| *end <= self.written) {
            let plain = self.plain.min(RECORD);
            (self.begin, self.plain, done) = (end, self.plain - plain, done + plain);
        }
        done
    }

    fn record_end(&self) -> Option<usize> {
        let header = self.bytes.get(self.begin..self.begin + HEADER)?;
        Some(self.begin + HEADER + usize::from(u16::from_be_bytes([header[3], header[4]])))
    }
}
