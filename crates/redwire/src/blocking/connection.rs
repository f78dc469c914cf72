//! One connection for one caller at a time, blocking.
//!
//! A [`Wire`] is a connected socket with its protocol state; a [`Connection`] is the part that users hold by hand.
//! Which bytes to send and whose reply has come is decided in `redwire-core`.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::call::{self, Call, Piped};
use redwire_core::config::{Config, Endpoint, Protocol};
use redwire_core::handshake::{Handshake, Session};
use redwire_core::inbound::{Frames, Inbound};
use redwire_core::lane::{self, Lane};
use redwire_core::link::{Link, Ticket};
use redwire_core::outbox::Outbox;
use redwire_core::{Cmd, Error, ErrorKind, Outcome, Pipeline, Replies, Reply, Result, Run, Slots, cmd};

use super::stream::Stream;
use crate::wire;

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
}

/// A wire that was idle for longer is looked at before it is used. Looking costs three system calls.
const TRUSTED: Duration = Duration::from_micros(100);

/// From this many bytes on, what a pipeline sends is written by a thread of its own while this one reads: two peers that
/// both write and neither reads would wait for each other for ever.
const WRITE_APART: usize = 1024 * 1024;

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
        let address = wire::address(endpoint);
        let own_deadline = Instant::now() + config.connect_timeout();
        let deadline = call_deadline.map_or(own_deadline, |deadline| deadline.min(own_deadline));
        let connected = Stream::connect(endpoint, config, deadline).and_then(|stream| {
            let wire = Self {
                stream,
                inbound: wire::inbound(config),
                frames: Frames::default(),
                link: Link::new(wire::queue_limits(config)),
                outbox: Outbox::default(),
                woken: Vec::new(),
                scratch: vec![0; config.read_buffer_size()].into(),
                session: Session::default(),
                address: Arc::clone(&address),
                broken: false,
                used: Instant::now(),
            };
            wire.shake_hands(Handshake::new(config, protocol), deadline)
        });
        connected.map_err(|error| {
            let error = match error.is_timeout() {
                true if deadline < own_deadline => wire::late(error),
                true => wire::connect_timeout(config).with_source(error),
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

    /// Whether nothing is under way, so that the next caller finds the connection as new.
    #[inline]
    pub(super) fn is_clean(&self) -> bool {
        !self.broken && self.link.is_idle() && !self.link.wants_transmit() && self.inbound.is_empty()
    }

    /// Whether it is as good as when it was used last: the peer has neither closed it nor sent what nobody asked for.
    pub(super) fn is_fresh(&mut self) -> bool {
        if self.used.elapsed() < TRUSTED {
            return true;
        }
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
    pub(super) fn rest(&mut self) {
        self.used = Instant::now();
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

    #[inline]
    fn submit(&mut self, call: &impl Call, deadline: Option<Instant>) -> Result<Ticket> {
        if self.broken {
            return Err(Error::closed_by_peer(Outcome::NotSent).with_address(&self.address));
        }
        self.link.submit(call.count(), call.size(), |outbox| call.write(outbox), (), deadline)
    }

    /// Writes in another thread while this one reads.
    fn exchange_apart(&mut self, ticket: Ticket, deadline: Option<Instant>) -> Result<Replies> {
        let mut outbox = std::mem::take(&mut self.outbox);
        let writer = match left(deadline).and_then(|limit| self.stream.writer(limit)) {
            Ok(writer) => writer,
            Err(error) => {
                self.lose(&wire::io_error("writing", error));
                return self.wait(ticket, deadline);
            }
        };
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || {
                let mut sent = 0;
                while !outbox.is_empty() {
                    let Ok(written) = left(deadline).and_then(|_| writer.write(&outbox)) else { break };
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
        let written = left(deadline).and_then(|limit| self.stream.write(&self.outbox, limit));
        let written = written.map_err(|error| wire::io_error("writing", error))?;
        self.outbox.advance(written);
        Ok(written)
    }

    /// Waits until `ticket` has its replies or its failure.
    #[inline]
    fn wait(&mut self, ticket: Ticket, deadline: Option<Instant>) -> Result<Replies> {
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
        let read = left(deadline).and_then(|limit| {
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
            Err(error) => Err(wire::io_error("reading", error)),
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
    if left(deadline).is_err() { Error::timeout(Outcome::MaybeExecuted) } else { error }
}

/// The time that is left; an error when there is none.
#[inline]
fn left(deadline: Option<Instant>) -> io::Result<Option<Duration>> {
    let Some(deadline) = deadline else { return Ok(None) };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
}

/// What a [`Connection`] does each time it is connected, after the handshake.
pub type OnConnect = Arc<dyn Fn(&mut Connection) -> Result<()> + Send + Sync>;

/// One connection by hand, for one caller at a time: state such as the database is the caller's own.
///
/// Every command family works on `&mut Connection`. Most programs want a [`Client`](super::Client) instead.
///
/// ```no_run
/// use redwire::blocking::Connection;
/// use redwire::prelude::*;
///
/// let mut connection = Connection::connect("redis://localhost")?;
/// connection.select(2)?;
/// connection.set("greeting", "hello")?;
/// let text: Option<String> = connection.get("greeting")?;
/// # Ok::<(), redwire::Error>(())
/// ```
pub struct Connection {
    config: Arc<Config>,
    wire: Option<Wire>,
    /// Sent by [`send`](Self::send), not yet read by [`read_reply`](Self::read_reply).
    sent: VecDeque<Ticket>,
    on_connect: Vec<OnConnect>,
}

impl Connection {
    /// Connects to the server that `url` names.
    ///
    /// # Errors
    /// A bad URL, a connection that cannot be made within the connect timeout, or a step of the handshake that failed.
    pub fn connect(url: &str) -> Result<Self> {
        let mut connection = Self::new(Config::from_url(url)?);
        connection.reconnect()?;
        Ok(connection)
    }

    /// A connection that is not connected yet: [`reconnect`](Self::reconnect) does that, and so does the first command.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config: Arc::new(config), wire: None, sent: VecDeque::new(), on_connect: Vec::new() }
    }

    /// Connects, or connects anew; then runs the callbacks of [`on_connect`](Self::on_connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect); also what a callback returns, after which the connection is closed.
    pub fn reconnect(&mut self) -> Result<()> {
        self.disconnect();
        let config = Arc::clone(&self.config);
        self.wire = Some(Wire::connect(wire::endpoint(&config)?, &config, config.protocol(), None)?);
        for callback in self.on_connect.clone() {
            if let Err(error) = callback(self) {
                self.disconnect();
                return Err(error.with_context("a callback run on connecting failed"));
            }
        }
        Ok(())
    }

    /// Closes the connection. Replies that are under way are lost.
    pub fn disconnect(&mut self) {
        self.wire = None;
        self.sent.clear();
    }

    /// Whether the connection is up, as far as is known without asking the server.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| !wire.broken)
    }

    /// What the handshake found out, while connected.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.wire.as_ref().map(Wire::session)
    }

    /// Registers a callback for every (re)connect from now on.
    pub fn on_connect(&mut self, callback: OnConnect) {
        self.on_connect.push(callback);
    }

    /// Forgets all callbacks.
    pub fn clear_on_connect(&mut self) {
        self.on_connect.clear();
    }

    /// Sends a command without waiting for its reply: [`read_reply`](Self::read_reply) reads it.
    ///
    /// # Errors
    /// The connection is lost, or cannot be made.
    pub fn send<R: Reply>(&mut self, cmd: &Cmd<R>) -> Result<()> {
        self.send_call(cmd)
    }

    /// Sends packed commands ([`Cmd::to_bytes`]) that `count` replies will answer.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_packed(&mut self, commands: &[u8], count: u32) -> Result<()> {
        let deadline = self.deadline();
        for index in 0..count {
            // All bytes go with the first of the replies; the others only wait their turn.
            let bytes = if index == 0 { commands } else { &[] };
            let ticket =
                self.wire()?.link.submit(1, bytes.len(), |outbox| outbox.copy(bytes), (), deadline)?;
            self.sent.push_back(ticket);
        }
        self.flush(deadline)
    }

    fn send_call(&mut self, call: &impl Call) -> Result<()> {
        let deadline = self.deadline();
        let ticket = self.wire()?.submit(call, deadline)?;
        self.sent.push_back(ticket);
        self.flush(deadline)
    }

    fn flush(&mut self, deadline: Option<Instant>) -> Result<()> {
        let wire = self.wire()?;
        wire.link.poll_transmit(&mut wire.outbox);
        wire.flush(deadline);
        if wire.broken {
            Err(Error::closed_by_peer(Outcome::MaybeExecuted).with_address(&wire.address))
        } else {
            Ok(())
        }
    }

    /// Reads the reply to the oldest command that was sent and not read.
    ///
    /// # Errors
    /// The server's error, a reply that is no `R`, a connection lost, no reply within the timeout; nothing was sent.
    pub fn read_reply<R: Reply>(&mut self) -> Result<R> {
        let deadline = self.deadline();
        let ticket = self.sent.pop_front().ok_or_else(|| Error::usage("every reply was read already"))?;
        let wire = self.wire()?;
        let replies = wire.wait(ticket, deadline);
        replies.map_err(|error| error.with_address(&wire.address))?.read()
    }

    /// Whether [`read_reply`](Self::read_reply) would find its reply within `limit`.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn can_read(&mut self, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        let Some(ticket) = self.sent.front() else { return Ok(false) };
        let Some(wire) = &mut self.wire else { return Ok(false) };
        while wire.link.is_waiting(ticket) {
            match wire.receive(Some(deadline)) {
                Ok(()) => {}
                Err(error) if error.is_timeout() => return Ok(false),
                Err(error) => {
                    wire.lose(&error);
                    return Err(error.with_address(&wire.address));
                }
            }
        }
        Ok(true)
    }

    /// Chooses another database, for this connection and for as long as it is connected.
    ///
    /// # Errors
    /// The server has no such database, or as for every command.
    pub fn select(&mut self, db: u32) -> Result<()> {
        self.run(cmd("SELECT").arg(db))
    }

    /// Runs several commands in one write; see [`Client::pipeline`](super::Client::pipeline).
    ///
    /// # Errors
    /// As [`Client::pipeline`](super::Client::pipeline).
    pub fn pipeline<S: Slots>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        let call = Piped::record(build);
        call.lane()?;
        self.call(call, Lane::Shared)
    }

    fn call<C: Call>(&mut self, mut call: C, lane: Lane) -> Result<C::Output> {
        if call.count() == 0 {
            return call.read(Replies::default());
        }
        let deadline = call::deadline(lane, call.options(), self.config.timeout(), Instant::now());
        let replies = self.wire().and_then(|wire| wire.exchange(&call, deadline));
        replies.and_then(|replies| call.read(replies)).map_err(|error| error.with_command(&call.name()))
    }

    fn deadline(&self) -> Option<Instant> {
        self.config.timeout().map(|limit| Instant::now() + limit)
    }

    /// The wire; connected first where it never was. One that broke stays broken until [`reconnect`](Self::reconnect),
    /// since the state that the caller built up on it is gone.
    fn wire(&mut self) -> Result<&mut Wire> {
        if self.wire.is_none() {
            self.reconnect()?;
        }
        self.wire
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::Closed, Outcome::NotSent, "the connection is closed"))
    }
}

impl Run for &mut Connection {
    type Out<R: Reply> = Result<R>;

    fn run<R: Reply>(self, cmd: Cmd<R>) -> Result<R> {
        lane::check_connection(&cmd)?;
        let lane = lane::on_connection(&cmd);
        self.call(cmd, lane)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("config", &self.config)
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}
