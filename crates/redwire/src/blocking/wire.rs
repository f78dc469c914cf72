//! A connected socket with its protocol state, for one caller at a time.
//!
//! It writes, reads and keeps time. Which bytes to send and whose reply has come is decided in `redwire-core`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::call::Call;
use redwire_core::config::{Config, Endpoint, Protocol};
use redwire_core::handshake::{Handshake, Session};
use redwire_core::inbound::{Frames, Inbound};
use redwire_core::link::{Link, Ticket};
use redwire_core::outbox::Outbox;
use redwire_core::{Error, Outcome, Replies, Result};

use super::stream::Stream;
use crate::setup;

/// A connected socket and what is under way on it.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    inbound: Inbound,
    frames: Frames,
    link: Link<()>,
    outbox: Outbox,
    woken: Vec<()>,
    scratch: Box<[u8]>,
    session: Session,
    address: Arc<str>,
    broken: bool,
    /// When it was used last.
    used: Instant,
    /// The time when the call under way began, as long as that is as good as now: looking at the clock is not free.
    clock: Option<Instant>,
}

/// A wire that was idle for longer is looked at before it is used. Looking costs three system calls.
const TRUSTED: Duration = Duration::from_micros(100);

/// From this many bytes on, what a pipeline sends is written by a thread of its own while this one reads: two peers that
/// both write and neither reads would wait for each other for ever.
const WRITE_APART: usize = 1024 * 1024;

/// The kernel takes this much from an idle connection without making the writer wait.
const WRITTEN_AT_ONCE: usize = 16 * 1024;

/// An announced value of which at least this much is missing is read straight into its place.
const READ_APART: usize = 64 * 1024;

/// Of such a value at most this much is read at once.
const READ_AT_ONCE: usize = 256 * 1024;

impl Wire {
    /// Connects and shakes hands within the connect timeout, and before `call_deadline`.
    pub(super) fn connect(
        endpoint: &Endpoint,
        config: &Config,
        protocol: Protocol,
        call_deadline: Option<Instant>,
    ) -> Result<Self> {
        let address = setup::address(endpoint);
        let own_deadline = Instant::now() + config.connect_timeout();
        let deadline = call_deadline.map_or(own_deadline, |deadline| deadline.min(own_deadline));
        let connected = Stream::connect(endpoint, config, deadline).and_then(|stream| {
            let wire = Self {
                stream,
                inbound: setup::inbound(config),
                frames: Frames::default(),
                link: Link::new(setup::queue_limits(config)),
                outbox: Outbox::default(),
                woken: Vec::new(),
                scratch: vec![0; config.read_buffer_size()].into(),
                session: Session::default(),
                address: Arc::clone(&address),
                broken: false,
                used: Instant::now(),
                clock: None,
            };
            wire.shake_hands(Handshake::new(config, protocol), deadline)
        });
        connected.map_err(|error| {
            let error = match error.is_timeout() {
                true if deadline < own_deadline => setup::late(Some(&error)),
                true => setup::connect_timeout(config).with_source(error),
                false => error,
            };
            error.with_address(&address).with_outcome(Outcome::NotSent)
        })
    }

    fn shake_hands(mut self, mut handshake: Handshake, deadline: Instant) -> Result<Self> {
        loop {
            if let Some(bytes) = handshake.poll_transmit() {
                self.outbox.copy(&bytes);
                while !self.outbox.is_empty() {
                    self.write(Some(deadline))?;
                }
            }
            if let Some(session) = handshake.poll_done() {
                self.session = session;
                return Ok(self);
            }
            self.read(Some(deadline))?;
            if self.inbound.poll_frames(&mut self.frames)? {
                self.frames.replies().try_for_each(|frame| handshake.handle_reply(frame))?;
            }
        }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Whether the connection was lost.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether nothing is under way, so that the next caller finds the connection as new.
    #[inline]
    pub(super) fn is_clean(&self) -> bool {
        !self.broken && self.link.is_idle() && !self.link.wants_transmit() && self.inbound.is_empty()
    }

    /// Whether it is as good as when it was used last: the peer has neither closed it nor sent what nobody asked for.
    #[inline]
    pub(super) fn is_fresh(&mut self, now: Instant) -> bool {
        self.clock = Some(now);
        now.saturating_duration_since(self.used) < TRUSTED || self.is_silent()
    }

    /// Whether there is nothing to be read, or nothing but what the server may push at any time.
    fn is_silent(&mut self) -> bool {
        match self.stream.try_read(&mut self.scratch) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(0) => false,
            Ok(read) => {
                self.inbound.spare().extend_from_slice(&self.scratch[..read]);
                self.take_frames().is_ok() && self.is_clean()
            }
        }
    }

    /// Takes note that it is not in use any longer.
    #[inline]
    pub(super) fn rest(&mut self) {
        self.used = Instant::now();
        self.clock = None;
    }

    /// Sends `call` and waits for its replies. Afterwards the wire may be of no use: see [`is_clean`](Self::is_clean).
    #[inline]
    pub(super) fn exchange(&mut self, call: &impl Call, deadline: Option<Instant>) -> Result<Replies> {
        let ticket = self.submit(call, deadline)?;
        self.link.poll_transmit(&mut self.outbox);
        // A single command is answered after it was read whole, so there is nothing to be read meanwhile.
        if call.count() == 1 || self.outbox.len() < WRITE_APART {
            self.flush(deadline);
            self.wait(ticket, deadline)
        } else {
            self.exchange_apart(ticket, deadline)
        }
    }

    /// Queues `call`; [`send`](Self::send) sends it.
    #[inline]
    pub(super) fn submit(&mut self, call: &impl Call, deadline: Option<Instant>) -> Result<Ticket> {
        if self.broken {
            return Err(Error::closed_by_peer(Outcome::NotSent).with_address(&self.address));
        }
        self.link.submit(call.count(), call.size(), |outbox| call.write(outbox), (), deadline)
    }

    /// Queues bytes that are packed already, as a request of one reply.
    pub(super) fn submit_packed(&mut self, bytes: &[u8], deadline: Option<Instant>) -> Result<Ticket> {
        self.link.submit(1, bytes.len(), |outbox| outbox.copy(bytes), (), deadline)
    }

    /// Sends what is queued.
    pub(super) fn send(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.link.poll_transmit(&mut self.outbox);
        self.flush(deadline);
        if self.broken {
            return Err(Error::closed_by_peer(Outcome::MaybeExecuted).with_address(&self.address));
        }
        Ok(())
    }

    /// Writes in another thread while this one reads.
    fn exchange_apart(&mut self, ticket: Ticket, deadline: Option<Instant>) -> Result<Replies> {
        let mut outbox = std::mem::take(&mut self.outbox);
        let writer = match left(deadline, Instant::now()).and_then(|limit| self.stream.writer(limit)) {
            Ok(writer) => writer,
            Err(error) => {
                self.lose(&setup::io_error("writing", error));
                return self.wait(ticket, deadline);
            }
        };
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || {
                let mut sent = 0;
                while !outbox.is_empty() {
                    let Ok(written) = left(deadline, Instant::now()).and_then(|_| writer.write(&outbox))
                    else {
                        break;
                    };
                    outbox.advance(written);
                    sent += written;
                }
                // Wakes the reader: what is not sent whole will not be answered.
                if !outbox.is_empty() {
                    writer.shutdown();
                }
                sent
            });
            let failure = loop {
                if !self.link.is_waiting(&ticket) {
                    break None;
                }
                if let Err(error) = self.receive(deadline) {
                    break Some(error);
                }
            };
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

    /// Writes all that waits to be written, or breaks the wire.
    #[inline]
    fn flush(&mut self, deadline: Option<Instant>) {
        while !self.outbox.is_empty() {
            match self.write(deadline) {
                Ok(written) => self.link.handle_sent(written),
                Err(error) => {
                    self.outbox.clear();
                    self.lose(&cause(error, deadline));
                }
            }
        }
    }

    #[inline]
    fn write(&mut self, deadline: Option<Instant>) -> Result<usize> {
        let now = self.clock.unwrap_or_else(Instant::now);
        let written = left(deadline, now).and_then(|limit| self.stream.write(&self.outbox, limit));
        let written = written.map_err(|error| setup::io_error("writing", error))?;
        self.outbox.advance(written);
        if written > WRITTEN_AT_ONCE {
            self.clock = None;
        }
        Ok(written)
    }

    /// Waits until `ticket` has its replies or its failure.
    #[inline]
    pub(super) fn wait(&mut self, ticket: Ticket, deadline: Option<Instant>) -> Result<Replies> {
        let mut ticket = ticket;
        loop {
            match self.link.poll_reply(ticket, |()| {}) {
                Ok(result) => return result,
                Err(waiting) => ticket = waiting,
            }
            match self.receive(deadline) {
                Err(error) if error.is_timeout() => self.link.handle_timeout(Instant::now(), None),
                Err(error) => self.lose(&error),
                Ok(()) => {}
            }
        }
    }

    /// Waits until `ticket` has its replies, but no longer than `deadline`; says whether it has.
    pub(super) fn wait_until(&mut self, ticket: &Ticket, deadline: Instant) -> Result<bool> {
        while self.link.is_waiting(ticket) {
            match self.receive(Some(deadline)) {
                Ok(()) => {}
                Err(error) if error.is_timeout() => return Ok(false),
                Err(error) => {
                    self.lose(&error);
                    return Err(error.with_address(&self.address));
                }
            }
        }
        Ok(true)
    }

    /// Reads once and hands out what came.
    #[inline]
    fn receive(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.read(deadline)?;
        self.take_frames()
    }

    #[inline]
    fn take_frames(&mut self) -> Result<()> {
        if self.inbound.poll_frames(&mut self.frames)? {
            self.link.handle_frames(&mut self.frames)?;
            self.link.poll_woken(&mut self.woken);
            self.woken.clear();
        }
        Ok(())
    }

    #[inline]
    fn read(&mut self, deadline: Option<Instant>) -> Result<()> {
        let now = self.clock.take().unwrap_or_else(Instant::now);
        let read = left(deadline, now).and_then(|limit| {
            let missing = self.inbound.missing();
            if missing >= READ_APART {
                return self.read_apart(missing.min(READ_AT_ONCE), limit);
            }
            let read = self.stream.read(&mut self.scratch, limit)?;
            self.inbound.spare().extend_from_slice(&self.scratch[..read]);
            Ok(read)
        });
        match read {
            Ok(0) => Err(Error::closed_by_peer(Outcome::MaybeExecuted)),
            Ok(_) => Ok(()),
            Err(error) => Err(setup::io_error("reading", error)),
        }
    }

    /// Reads straight into the place of a large value. Its memory has to be filled first, a piece at a time so that
    /// it stays in the processor's cache, which is cheaper than copying it afterwards.
    fn read_apart(&mut self, missing: usize, limit: Option<Duration>) -> io::Result<usize> {
        let buffer = self.inbound.spare();
        let begin = buffer.len();
        buffer.resize(begin + missing, 0);
        let read = self.stream.read(&mut buffer[begin..], limit);
        buffer.truncate(begin + *read.as_ref().unwrap_or(&0));
        read
    }

    fn lose(&mut self, error: &Error) {
        self.broken = true;
        self.link.handle_lost(error);
        self.link.poll_woken(&mut self.woken);
        self.woken.clear();
    }
}

/// What broke the wire: once the deadline has passed it is that, however it showed.
fn cause(error: Error, deadline: Option<Instant>) -> Error {
    if left(deadline, Instant::now()).is_err() { Error::timeout(Outcome::MaybeExecuted) } else { error }
}

/// The time that is left; an error when there is none.
#[inline]
fn left(deadline: Option<Instant>, now: Instant) -> io::Result<Option<Duration>> {
    let Some(deadline) = deadline else { return Ok(None) };
    let left = deadline.saturating_duration_since(now);
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
}
