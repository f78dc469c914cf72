//! One connection for one caller at a time, blocking: the part that users hold by hand.
//!
//! It keeps what the caller asked for across reconnects. Sending and receiving is the business of its
//! [`Wire`]; being lent out again, of [`reuse`].

mod grouped;
mod reuse;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::call::{self, Call, Piped};
use redwire_core::config::Config;
use redwire_core::dispatch::{self, Dispatch};
use redwire_core::facts::{Facts, SessionEffect};
use redwire_core::handshake::Session;
use redwire_core::link::Ticket;
use redwire_core::secret::{self, Secret};
use redwire_core::session_state::{SentCommand, SessionState};
use redwire_core::{Cmd, Error, Outcome, Pipeline, Replies, Reply, Result, Run, Slots, Value, cmd};

use super::health::Health;
use super::on_connect::OnConnect;
use super::stream::CurrentSocket;
use super::wire::Wire;
use crate::shared::interrupt::Interrupt;
use crate::shared::lookups::{CALLBACK, Lookups, catch};
use crate::shared::setup;
use crate::shared::target::Target;
use crate::shared::threads;
pub(super) use reuse::Unready;

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
#[doc(alias = "RedisConnection")]
#[doc(alias = "single_connection_client")]
#[doc(alias = "create_connection")]
#[doc(alias = "SSLConnection")]
#[doc(alias = "UnixDomainSocketConnection")]
#[doc(alias = "ClusterConnection")]
#[doc(alias = "SSLClusterConnection")]
pub struct Connection {
    target: Arc<Target>,
    health: Arc<Health>,
    wire: Option<Wire>,
    /// What the pool that lends it may end it by.
    interrupt: Arc<Interrupt<CurrentSocket>>,
    /// Sent by [`send`](Self::send), not yet read by [`read_reply`](Self::read_reply).
    sent: VecDeque<(Ticket, SentCommand)>,
    /// The newest secrets among that: no error may show them.
    secrets: Vec<Secret>,
    on_connect: Vec<OnConnect>,
    /// While callbacks run: when all of connecting must have ended.
    limit: Option<Instant>,
    /// What the next user must not find.
    session_state: SessionState,
    /// The process that connected.
    process: u32,
}

impl Connection {
    /// Connects to the server that `url` names.
    ///
    /// # Errors
    /// A bad URL, a connection that cannot be made within the connect timeout, or a step of the handshake
    /// that failed.
    pub fn connect(url: &str) -> Result<Self> {
        let mut connection = Self::new(Config::from_url(url)?)?;
        connection.reconnect()?;
        Ok(connection)
    }

    /// A connection that is not connected yet: [`reconnect`](Self::reconnect) does that, and so does the
    /// first command.
    ///
    /// # Errors
    /// Options that this version has no part for; a cluster, which is no one server.
    pub fn new(config: Config) -> Result<Self> {
        setup::check_one_server(&config)?;
        Self::with_lookups(config, Arc::default())
    }

    /// As [`new`](Self::new), sharing what is looked up.
    pub(super) fn with_lookups(config: Config, lookups: Arc<Lookups>) -> Result<Self> {
        let target = Target::with_lookups(config, lookups)?;
        let health = Arc::new(Health::new(Arc::clone(&target)));
        Ok(Self::to(target, health))
    }

    /// A connection to `target` that is not connected yet; `health` tells whether the server lives.
    pub(super) fn to(target: Arc<Target>, health: Arc<Health>) -> Self {
        Self {
            health,
            wire: None,
            interrupt: Arc::default(),
            sent: VecDeque::new(),
            secrets: Vec::new(),
            on_connect: Vec::new(),
            limit: None,
            session_state: SessionState::new(target.config().db()),
            process: std::process::id(),
            target,
        }
    }

    /// Connects, or connects anew; then runs the callbacks of [`on_connect`](Self::on_connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect); also what a callback returns, after which the connection is closed.
    pub fn reconnect(&mut self) -> Result<()> {
        self.reconnect_by(None)
    }

    pub(super) fn reconnect_by(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.disconnect();
        self.wire = Some(Wire::connect(&self.target, Some(&self.health), Some(&self.interrupt), deadline)?);
        self.introduce(deadline)
    }

    /// Connects for a pool, before `until` if that comes before the connect timeout. Where it `must_answer`,
    /// a handshake is not enough.
    pub(super) fn connect_pooled(
        &mut self,
        until: Option<Instant>,
        must_answer: impl FnOnce() -> bool,
    ) -> Result<()> {
        let config = self.target.config();
        let limit = threads::now() + config.connect_timeout();
        let limit = until.map_or(limit, |until| limit.min(until));
        self.wire = Some(Wire::connect(&self.target, Some(&self.health), Some(&self.interrupt), until)?);
        self.introduce(Some(limit))?;
        let Some(wire) = &mut self.wire else { return Err(setup::closed_client()) };
        if must_answer()
            && let Err(error) = wire.ping(limit)
        {
            let error = match error.is_timeout() {
                true => setup::too_slow(self.target.config(), until == Some(limit)).with_source(error),
                false => error,
            };
            self.disconnect();
            return Err(self.target.locate(error).with_outcome(Outcome::NotSent));
        }
        wire.handle_introduced();
        Ok(())
    }

    /// Runs the callbacks on a connection that is as new.
    fn introduce(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.session_state = SessionState::new(self.target.config().db());
        let common = OnConnect::of(self.target.config()).map(|common| common.cloned());
        let common = common.inspect_err(|_| self.disconnect())?;
        for callback in common.into_iter().chain(self.on_connect.clone()) {
            let limit = std::mem::replace(&mut self.limit, deadline);
            let called = catch(CALLBACK, || callback.call(self)).and_then(|called| called);
            self.limit = limit;
            if let Err(error) = called {
                self.disconnect();
                return Err(error.with_context("a callback run on connecting failed"));
            }
        }
        self.session_state.adopt();
        if self.session_state.is_bound() {
            self.disconnect();
            return Err(setup::bound_by_callback());
        }
        Ok(())
    }

    /// A new connection that is driven in another way, on which the callback of the configuration was run.
    pub(super) fn introduced(target: &Arc<Target>, deadline: Option<Instant>) -> Result<Wire> {
        let wire = Wire::connect(target, None, None, deadline)?;
        if OnConnect::of(target.config())?.is_none() {
            return Ok(wire);
        }
        let mut connection = Self::to(Arc::clone(target), Arc::new(Health::new(Arc::clone(target))));
        connection.wire = Some(wire);
        let limit = threads::now() + target.config().connect_timeout();
        connection.introduce(Some(deadline.map_or(limit, |deadline| deadline.min(limit))))?;
        let is_clean = connection.sent.is_empty();
        connection.wire.take().filter(|wire| is_clean && wire.is_clean()).ok_or_else(setup::left_dirty)
    }

    /// Closes the connection. Replies that are under way are lost.
    pub fn disconnect(&mut self) {
        self.leave_parent();
        self.wire = None;
        self.sent.clear();
        self.session_state = SessionState::new(self.target.config().db());
    }

    /// Whether the connection is up, as far as is known without asking the server.
    #[doc(alias = "closed")]
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| !wire.is_broken())
    }

    /// What the handshake found out, while connected.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.wire.as_ref().map(Wire::session)
    }

    /// What leads to the same server, also where a new connection may lead to another.
    pub(super) fn same_server(&self) -> Arc<Target> {
        self.wire.as_ref().map_or_else(|| Arc::clone(&self.target), |wire| self.target.at(wire.endpoint()))
    }

    /// The database that commands are executed in now; `None` where that is not known: a `SELECT` was sent
    /// and not answered yet, or in a transaction that was not executed yet.
    #[must_use]
    pub fn db(&self) -> Option<u32> {
        self.session_state.db()
    }

    /// Registers a callback for every (re)connect of this connection from now on, after that of the
    /// [configuration](crate::config::ConfigBuilder::blocking_on_connect).
    #[doc(alias = "register_connect_callback")]
    #[doc(alias = "redis_connect_func")]
    pub fn on_connect(&mut self, callback: OnConnect) {
        self.on_connect.push(callback);
    }

    /// Forgets all callbacks but that of the configuration.
    #[doc(alias = "clear_connect_callbacks")]
    pub fn clear_on_connect(&mut self) {
        self.on_connect.clear();
    }

    /// Sends a command without waiting for its reply: [`read_reply`](Self::read_reply) reads it.
    ///
    /// After a command that is not answered by one reply (`SUBSCRIBE` and its kin, `MONITOR`, `CLIENT REPLY`,
    /// `PSYNC`, `QUIT`, …), `read_reply` and [`can_read`](Self::can_read) give whatever comes, frame by
    /// frame: replies, messages, what the server pushes. As no call could be told its reply among them, calls
    /// are refused until `RESET` was run, or sent and its reply read, or the connection is [made
    /// anew](Self::reconnect).
    ///
    /// ```no_run
    /// # let mut connection = redwire::blocking::Connection::connect("redis://localhost")?;
    /// use redwire::{Run, Value, cmd};
    ///
    /// connection.send(&cmd::<Value>("SUBSCRIBE").arg("news"))?;
    /// let confirmed: (String, String, i64) = connection.read_reply()?;
    /// let message: (String, String, String) = connection.read_reply()?;
    /// connection.run::<()>(cmd("RESET"))?;
    /// # Ok::<(), redwire::Error>(())
    /// ```
    ///
    /// # Errors
    /// The connection is lost, or cannot be made; a command without words, or one that [lacks a
    /// value](Cmd::check).
    #[doc(alias = "send_command")]
    pub fn send<R: Reply>(&mut self, cmd: &Cmd<R>) -> Result<()> {
        dispatch::check_send(cmd)?;
        let deadline = self.deadline();
        self.connected(deadline)?;
        secret::remember(&mut self.secrets, cmd.secrets());
        self.interrupt.handle_call(dispatch::on_connection(cmd) != Dispatch::Shared);
        let sent = self.session_state.handle_command(cmd.facts());
        self.transmit(&[sent], &cmd.to_bytes(), deadline)
    }

    /// Sends packed commands ([`Cmd::to_bytes`]) that `count` replies will answer.
    ///
    /// Where there are not as many commands as that, or one of them is not answered by one reply, or the
    /// bytes are no commands, what comes is read as [`send`](Self::send) says.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[doc(alias = "send_packed_command")]
    pub fn send_packed(&mut self, commands: &[u8], count: u32) -> Result<()> {
        let known = dispatch::packed(commands)?;
        let deadline = self.deadline();
        self.connected(deadline)?;
        secret::remember(&mut self.secrets, secret::among_packed(commands));
        self.interrupt.handle_call(false);
        let sent = self.session_state.handle_packed(known.as_deref(), count);
        self.transmit(&sent, commands, deadline)
    }

    /// Sends what is read by hand: each command for its reply, or the bytes alone where no request waits for
    /// what comes.
    fn transmit(&mut self, sent: &[SentCommand], bytes: &[u8], deadline: Option<Instant>) -> Result<()> {
        if self.session_state.is_stream() {
            return self.wire()?.say_by_hand(bytes, deadline);
        }
        for (index, sent) in sent.iter().enumerate() {
            // All bytes go with the first of the replies; the others only wait their turn.
            let bytes = if index == 0 { bytes } else { &[] };
            let ticket = self.wire()?.submit_packed(bytes, deadline)?;
            self.sent.push_back((ticket, *sent));
        }
        self.wire()?.send(deadline)
    }

    /// Reads the reply to the oldest command that was sent and not read; of a stream of frames (see
    /// [`send`](Self::send)), the next one.
    ///
    /// # Errors
    /// The server's error, a reply that is no `R`, a connection lost, no reply within the timeout; nothing
    /// was sent.
    #[doc(alias = "read_response")]
    #[doc(alias = "parse_response")]
    #[doc(alias = "disable_decoding")]
    pub fn read_reply<R: Reply>(&mut self) -> Result<R> {
        let deadline = self.deadline();
        self.leave_parent();
        let replies = match self.sent.pop_front() {
            Some((ticket, sent)) => {
                let replies = self.wire()?.wait(ticket, deadline);
                replies.inspect(|replies| self.session_state.handle_reply(sent, replies))
            }
            None if self.session_state.is_stream() => self.next_frame(deadline),
            None => Err(Error::usage("every reply was read already")),
        };
        let reply = replies.and_then(|replies| replies.without(&self.secrets).read());
        reply.map_err(|error| self.target.explain(error.without(&self.secrets)))
    }

    /// The next frame that comes, whatever it answers.
    fn next_frame(&mut self, deadline: Option<Instant>) -> Result<Replies> {
        let frame = self.wire()?.next_frame(deadline)?;
        self.session_state.handle_frame(&frame);
        if !self.session_state.is_stream() {
            self.wire()?.stop_listening();
        }
        Ok(Replies::from_frame(frame))
    }

    /// Sends `RESET` in a stream of frames, and passes over what comes before its reply.
    fn end_stream(&mut self, reset: &Cmd<Value>) -> Result<Replies> {
        let deadline = self.deadline();
        self.send(reset)?;
        while let Some((ticket, _)) = self.sent.pop_front() {
            self.wire()?.abandon(ticket);
        }
        loop {
            let frame = self.next_frame(deadline)?;
            // An error may be the answer to it.
            if !self.session_state.is_stream() || frame.errors().next().is_some() {
                return Ok(frame);
            }
        }
    }

    /// Whether [`read_reply`](Self::read_reply) would find its reply, or a frame, within `limit`. Zero looks
    /// at what is there already; `Duration::MAX` is without limit.
    ///
    /// # Errors
    /// The connection is lost.
    #[doc(alias = "can_read_destructive")]
    pub fn can_read(&mut self, limit: Duration) -> Result<bool> {
        let deadline = threads::now().checked_add(limit);
        self.leave_parent();
        let Some(wire) = &mut self.wire else { return Ok(false) };
        match self.sent.front() {
            Some((ticket, _)) => wire.wait_until(ticket, deadline),
            None if self.session_state.is_stream() => wire.wait_frame(deadline),
            None => Ok(false),
        }
    }

    /// Chooses another database, for this connection and for as long as it is connected.
    ///
    /// # Errors
    /// The server has no such database, or as for every command.
    pub fn select(&mut self, db: u32) -> Result<()> {
        self.run::<()>(cmd("SELECT").arg(db))?;
        self.session_state.handle_selected(db);
        Ok(())
    }

    /// Runs several commands in one write; see [`Client::pipeline`](super::Client::pipeline).
    ///
    /// # Errors
    /// As [`Client::pipeline`](super::Client::pipeline).
    pub fn pipeline<S: Slots>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        let call = Piped::record(build);
        call.dispatch()?;
        self.call(call, Dispatch::Shared, None)
    }

    /// No other caller is to use it.
    #[cold]
    pub(super) fn forbid_reuse(&mut self) {
        self.session_state.forbid_reuse();
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// `facts` tell what the call does to the connection, where it may change that.
    fn call<C: Call>(
        &mut self,
        mut call: C,
        dispatch: Dispatch,
        facts: Option<&'static Facts>,
    ) -> Result<C::Output> {
        if call.count() == 0 {
            return call.read(Replies::default());
        }
        let deadline =
            call::deadline(dispatch, call.options(), self.target.config().timeout(), threads::now());
        let deadline = [deadline, self.limit].into_iter().flatten().min();
        self.interrupt.handle_call(dispatch != Dispatch::Shared);
        let mut output = self.ready(deadline).and_then(|()| self.try_call(&mut call, facts, deadline));
        if output.as_ref().is_err_and(|error| call.revise(error)) {
            output = self.try_call(&mut call, facts, deadline);
        }
        self.target.handle_answered(&call);
        output.or_else(|error| {
            let error = self.target.explain(error).with_command(&call.name());
            call::fail(&mut call, error, self.target.config())
        })
    }

    fn try_call<C: Call>(
        &mut self,
        call: &mut C,
        facts: Option<&'static Facts>,
        deadline: Option<Instant>,
    ) -> Result<C::Output> {
        let sent = facts.map(|facts| self.session_state.handle_command(facts));
        let replies = self.wire()?.exchange(call, deadline).or_else(|error| call::ended(call, error))?;
        if let Some(sent) = sent {
            self.session_state.handle_reply(sent, &replies);
        }
        call::read(call, replies, self.target.config())
    }

    fn deadline(&self) -> Option<Instant> {
        let deadline = self.target.config().timeout().and_then(|limit| threads::now().checked_add(limit));
        [deadline, self.limit].into_iter().flatten().min()
    }

    /// As [`connected`](Self::connected), for a call that is to be told its reply.
    fn ready(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.connected(deadline)?;
        self.session_state.check_calls()
    }

    /// Connected first where it never was, and with the newest credentials. One that broke stays broken until
    /// [`reconnect`](Self::reconnect), since the state that the caller built up on it is gone.
    fn connected(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.leave_parent();
        match &mut self.wire {
            None => self.reconnect_by(deadline),
            // In a transaction, or ahead of replies that are to be read first, it would come amiss.
            Some(wire)
                if !wire.is_broken()
                    && self.sent.is_empty()
                    && !self.session_state.is_stream()
                    && !self.session_state.is_bound() =>
            {
                wire.renew(deadline)
            }
            Some(_) => Ok(()),
        }
    }

    fn wire(&mut self) -> Result<&mut Wire> {
        self.wire.as_mut().ok_or_else(setup::closed_client)
    }

    /// What a forked child inherits is the parent's: it is dropped, which closes the child's hold on it, and
    /// nothing is said.
    pub(super) fn leave_parent(&mut self) {
        let process = std::process::id();
        if self.process != process {
            self.process = process;
            self.disown();
            self.health.disown();
            self.health = Arc::new(Health::new(Arc::clone(&self.target)));
        }
    }
}

impl Run for &mut Connection {
    type Out<R: Reply> = Result<R>;

    fn run<R: Reply>(self, cmd: Cmd<R>) -> Result<R> {
        dispatch::check_connection(&cmd)?;
        let dispatch = dispatch::on_connection(&cmd);
        let facts = cmd.facts();
        if self.session_state.is_stream() && facts.session == SessionEffect::Resets {
            let replies = self.end_stream(&cmd.returning());
            let read = replies.and_then(|mut replies| replies.read());
            return read.map_err(|error| self.target.locate(error).with_command(facts.name));
        }
        self.call(cmd, dispatch, Some(facts))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("config", self.target.config())
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}
