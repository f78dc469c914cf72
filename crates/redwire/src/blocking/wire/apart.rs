//! Large things, which want more than one write and one read: pipelines that are written by one thread while
//! another reads, and values that are read straight into their place.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use redwire_core::link::Ticket;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Replies, Result};

use super::super::stream::{StreamWriter, left};
use super::{Wire, cause};
use crate::shared::setup;
use crate::shared::threads;

/// From this many bytes on, what a pipeline sends is written by a thread of its own while this one reads: two
/// peers that both write and neither reads would wait for each other for ever.
pub(super) const WRITE_APART: usize = 1024 * 1024;

/// An announced value of which at least this much is missing is read straight into its place.
pub(super) const READ_APART: usize = 64 * 1024;

/// Of such a value at most this much is read at once.
const READ_AT_ONCE: usize = 256 * 1024;

impl Wire {
    /// Writes in another thread while this one reads.
    #[cold]
    pub(super) fn exchange_apart(&mut self, ticket: Ticket, deadline: Option<Instant>) -> Result<Replies> {
        let outbox = std::mem::take(&mut self.outbox);
        let writer = match left(deadline, threads::now()).and_then(|limit| self.stream.writer(limit)) {
            Ok(writer) => writer,
            Err(error) => {
                self.lose(&setup::io_error("writing", error));
                return self.wait(ticket, deadline);
            }
        };
        thread::scope(|scope| {
            let writing = scope.spawn(move || write_all(writer, outbox, deadline));
            let failure = self.receive_until(&ticket, deadline).err();
            if failure.is_some() {
                self.stream.shutdown();
            }
            // The writer runs no code that panics; if it did, nothing is known to be sent.
            self.link.handle_sent(writing.join().unwrap_or(0));
            if let Some(error) = failure {
                self.lose(&cause(error, deadline));
            }
        });
        self.wait(ticket, deadline)
    }

    fn receive_until(&mut self, ticket: &Ticket, deadline: Option<Instant>) -> Result<(), Error> {
        while self.link.is_waiting(ticket) {
            self.receive(deadline)?;
        }
        Ok(())
    }

    /// Reads some of the `missing` bytes of a large value straight into their place. Their memory has to be
    /// filled first, a piece at a time so that it stays in the processor's cache, which is cheaper than
    /// copying them afterwards.
    pub(super) fn read_apart(
        &mut self,
        missing: usize,
        limit: Option<Duration>,
        now: Instant,
    ) -> io::Result<usize> {
        let buffer = self.inbound.spare();
        let begin = buffer.len();
        buffer.resize(begin + missing.min(READ_AT_ONCE).min(buffer.capacity() - begin), 0);
        let read = self.stream.read(&mut buffer[begin..], limit, now);
        buffer.truncate(begin + *read.as_ref().unwrap_or(&0));
        read
    }
}

/// Writes all of `outbox`, unless it fails; says how much was written.
fn write_all(mut writer: StreamWriter, mut outbox: Outbox, deadline: Option<Instant>) -> usize {
    let mut sent = 0;
    while !outbox.is_empty() {
        let Ok(written) = left(deadline, threads::now()).and_then(|_| writer.write(&outbox)) else { break };
        outbox.advance(written);
        sent += written;
    }
    // Wakes the reader: what is not sent whole will not be answered.
    if !outbox.is_empty() {
        writer.shutdown();
    }
    sent
}
