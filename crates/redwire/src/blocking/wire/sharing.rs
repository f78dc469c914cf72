//! A wire for many: it only carries bytes, and whose they are is known elsewhere.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redwire_core::inbound::Frames;
use redwire_core::link::Ticket;
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Result};

use super::Wire;
use crate::blocking::stream::{Socket, StreamWriter, left};
use crate::shared::setup;
use crate::shared::threads;

/// The longest time that a writer waits for the kernel to take anything, before it looks again at its
/// deadline and for replies.
pub(in crate::blocking) const STALL: Duration = Duration::from_millis(20);

/// The writing side of a wire, with what the kernel has not taken yet.
#[derive(Debug)]
pub(in crate::blocking) struct WireWriter {
    writer: StreamWriter,
    pub(in crate::blocking) outbox: Outbox,
}

impl WireWriter {
    /// Writes until all is written, or until the kernel takes no more, or only bit by bit, for a while; says
    /// how much that was. The thread that writes for others looks at its own deadline in between.
    pub(in crate::blocking) fn write(&mut self) -> (usize, Result<()>) {
        let (mut sent, mut begin) = (0, None);
        while !self.outbox.is_empty() {
            if let Some(begin) = begin
                && threads::now() >= begin + STALL
            {
                break;
            }
            match self.writer.write(&self.outbox) {
                Ok(written) => {
                    self.outbox.advance(written);
                    sent += written;
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => return (sent, Err(setup::io_error("writing", error))),
            }
            if !self.outbox.is_empty() {
                begin = begin.or_else(|| Some(threads::now()));
            }
        }
        (sent, Ok(()))
    }
}

impl Wire {
    /// The writing side, for others, and the socket, to end it.
    pub(in crate::blocking) fn split(&mut self) -> Result<(WireWriter, Arc<Socket>)> {
        let writer = self.stream.writer(Some(STALL)).map_err(|error| setup::io_error("writing", error))?;
        let writer = WireWriter { writer, outbox: Outbox::default() };
        Ok((writer, Arc::clone(self.stream.socket())))
    }

    /// Whether the peer lives is found out by the threads that use it, and not by asking elsewhere.
    pub(in crate::blocking) fn ignore_silence(&mut self) {
        (self.limit, self.health) = (None, None);
    }

    /// Writes bytes whose answer comes unasked for, as far as the link knows.
    pub(in crate::blocking) fn say(&mut self, bytes: &[u8], deadline: Option<Instant>) -> Result<()> {
        self.outbox.copy(bytes);
        while !self.outbox.is_empty() {
            self.write(deadline)?;
        }
        Ok(())
    }

    /// Sends bytes, and keeps what comes from now on for [`next_frame`](Self::next_frame), since no request
    /// is owed it.
    pub(in crate::blocking) fn say_by_hand(&mut self, bytes: &[u8], deadline: Option<Instant>) -> Result<()> {
        self.check()?;
        self.link.listen();
        self.link.say(bytes.len(), |outbox| outbox.copy(bytes))?;
        self.send(deadline)
    }

    /// Waits for a frame that no request waits for, but no longer than `deadline`; says whether there is one.
    pub(in crate::blocking) fn wait_frame(&mut self, deadline: Option<Instant>) -> Result<bool> {
        if !self.link.has_unasked() {
            self.check()?;
        }
        self.receive_while(|link| !link.has_unasked(), deadline)
    }

    /// The next frame that no request waits for.
    pub(in crate::blocking) fn next_frame(&mut self, deadline: Option<Instant>) -> Result<Bytes> {
        self.wait_frame(deadline)?;
        self.link.poll_unasked().ok_or_else(|| Error::timeout(Outcome::MaybeExecuted))
    }

    /// Replies are given to the requests that asked again.
    pub(in crate::blocking) fn stop_listening(&mut self) {
        self.link.stop_listening();
    }

    /// The reply to what was sent will go to no caller.
    pub(in crate::blocking) fn abandon(&mut self, ticket: Ticket) {
        self.link.abandon(ticket);
    }

    /// Reads once before `deadline`, and gives what came whole, or a large part of something.
    #[inline]
    pub(in crate::blocking) fn receive_frames(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<&mut Frames>> {
        if let Err(error) = self.read(deadline) {
            self.judge_failure(error, deadline)?;
        }
        let whole = self.inbound.poll_frames(&mut self.frames)?;
        Ok((whole || self.frames.has_large_rest()).then_some(&mut self.frames))
    }

    /// Reads once before `deadline`, or once it has passed what is there already; if anything came, gives
    /// what came whole. What silence means is for others to say.
    pub(in crate::blocking) fn listen(&mut self, deadline: Option<Instant>) -> Result<Option<&mut Frames>> {
        let read = match left(deadline, threads::now()) {
            Ok(_) => self.read(deadline).map(|()| true),
            Err(_) => self.read_at_once(),
        };
        match read {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) if error.is_timeout() => return Ok(None),
            Err(error) => return Err(error),
        }
        self.inbound.poll_frames(&mut self.frames)?;
        Ok(Some(&mut self.frames))
    }

    /// Whether something waits at the socket, its end included.
    pub(in crate::blocking) fn has_unread(&self) -> Result<bool> {
        self.stream.has_unread().map_err(|error| setup::io_error("reading", error))
    }

    /// Reads what is there already, if anything is.
    pub(super) fn read_at_once(&mut self) -> Result<bool> {
        match self.stream.try_read(&mut self.scratch) {
            Ok(0) => Err(Error::closed_by_peer(Outcome::MaybeExecuted)),
            Ok(read) => self.stream.decode(&self.scratch[..read], self.inbound.spare()).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(setup::io_error("reading", error)),
        }
    }
}
