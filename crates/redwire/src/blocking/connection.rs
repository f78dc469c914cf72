//! One connection for one caller at a time, blocking: the part that users hold by hand.
//!
//! It keeps what the caller asked for across reconnects. Sending and receiving is the business of its [`Wire`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::call::{self, Call, Piped};
use redwire_core::config::Config;
use redwire_core::handshake::Session;
use redwire_core::lane::{self, Lane};
use redwire_core::link::Ticket;
use redwire_core::{Cmd, Error, ErrorKind, Outcome, Pipeline, Replies, Reply, Result, Run, Slots, cmd};

use super::wire::Wire;
use crate::setup;

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
    address: Option<Arc<str>>,
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
        Self {
            address: setup::endpoint(&config).ok().map(setup::address),
            config: Arc::new(config),
            wire: None,
            sent: VecDeque::new(),
            on_connect: Vec::new(),
        }
    }

    /// Connects, or connects anew; then runs the callbacks of [`on_connect`](Self::on_connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect); also what a callback returns, after which the connection is closed.
    pub fn reconnect(&mut self) -> Result<()> {
        self.disconnect();
        let config = Arc::clone(&self.config);
        self.wire = Some(Wire::connect(setup::endpoint(&config)?, &config, config.protocol(), None)?);
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
        self.wire.as_ref().is_some_and(|wire| !wire.is_broken())
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
        let deadline = self.deadline();
        let ticket = self.wire()?.submit(cmd, deadline)?;
        self.sent.push_back(ticket);
        self.wire()?.send(deadline)
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
            let ticket = self.wire()?.submit_packed(bytes, deadline)?;
            self.sent.push_back(ticket);
        }
        self.wire()?.send(deadline)
    }

    /// Reads the reply to the oldest command that was sent and not read.
    ///
    /// # Errors
    /// The server's error, a reply that is no `R`, a connection lost, no reply within the timeout; nothing was sent.
    pub fn read_reply<R: Reply>(&mut self) -> Result<R> {
        let deadline = self.deadline();
        let ticket = self.sent.pop_front().ok_or_else(|| Error::usage("every reply was read already"))?;
        let replies = self.wire()?.wait(ticket, deadline);
        replies
            .and_then(|mut replies| replies.read())
            .map_err(|error| setup::located(error, self.address.as_ref()))
    }

    /// Whether [`read_reply`](Self::read_reply) would find its reply within `limit`.
    ///
    /// # Errors
    /// The connection is lost.
    pub fn can_read(&mut self, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        let Some(ticket) = self.sent.front() else { return Ok(false) };
        self.wire.as_mut().map_or(Ok(false), |wire| wire.wait_until(ticket, deadline))
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
        let output = replies.and_then(|replies| call.read(replies));
        output.map_err(|error| setup::located(error, self.address.as_ref()).with_command(&call.name()))
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
