//! One connection for one caller at a time, async: the part that users hold by hand.
//!
//! It keeps what the caller asked for across reconnects. Sending and receiving is in [`exchange`]; being lent
//! out again, in [`reuse`].

mod exchange;
mod reuse;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use redwire_core::call::{self, Call, Piped};
use redwire_core::config::Config;
use redwire_core::dispatch::{self, Dispatch};
use redwire_core::handshake::Session;
use redwire_core::link::{Link, Ticket};
use redwire_core::secret::{self, Secret};
use redwire_core::session_state::{SentCommand, SessionState};
use redwire_core::{Cmd, Error, Outcome, Pipeline, Replies, Reply, Result, Run, Slots, cmd};
use tokio::runtime::{self, Handle};
use tokio::sync::Notify;

use super::drive::Drive;
use super::health::Health;
use super::on_connect::OnConnect;
use super::wire::Wire;
use super::{before, unless};
use crate::shared::clock;
use crate::shared::events::EventKind;
use crate::shared::interrupt::{Interrupt, Kill};
use crate::shared::lookups::{CALLBACK, Lookups, catch, catch_future};
use crate::shared::setup;
use crate::shared::target::Target;
pub(super) use reuse::Readiness;

/// A boxed future of a result.
pub(crate) type Pending<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

/// One connection by hand, for one caller at a time: state such as the database is the caller's own.
///
/// Every command family works on `&mut Connection`. A call that is dropped leaves the connection in order:
/// its reply is passed over when it comes. Most programs want a [`Client`](crate::Client) instead.
///
/// ```no_run
/// # async fn example() -> redwire::Result<()> {
/// use redwire::prelude::*;
///
/// let mut connection = redwire::Connection::connect("redis://localhost").await?;
/// connection.select(2).await?;
/// connection.set("greeting", "hello").await?;
/// let text: Option<String> = connection.get("greeting").await?;
/// # Ok(())
/// # }
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
    link: Link<()>,
    drive: Drive,
    /// Sent by [`send`](Self::send), not yet read by [`read_reply`](Self::read_reply).
    sent: VecDeque<(Ticket, SentCommand)>,
    /// The newest secrets among that: no error may show them.
    secrets: Vec<Secret>,
    /// The ticket of a call that waits; of one that was dropped, once the next begins.
    waiting: Option<Ticket>,
    /// Why the connection was lost, until it is made anew.
    lost: Option<Error>,
    /// The runtime that made it, without which it does not work.
    runtime: Option<runtime::Id>,
    on_connect: Vec<OnConnect>,
    /// What the next user must not find.
    session_state: SessionState,
    /// When something last came from the server.
    heard: Instant,
    /// When its server was last asked about in vain.
    asked: Instant,
    /// The process that connected.
    process: u32,
    /// Tells the task that uses it that its owner ends it.
    interrupt: Arc<Interrupt<Notify>>,
}

impl Connection {
    /// Connects to the server that `url` names.
    ///
    /// # Errors
    /// A bad URL, a connection that cannot be made within the connect timeout, or a step of the handshake
    /// that failed.
    pub async fn connect(url: &str) -> Result<Self> {
        let mut connection = Self::new(Config::from_url(url)?)?;
        connection.reconnect().await?;
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
            // Whether its peer lives is asked over another connection: this one may wait for as long as it
            // likes.
            link: Link::new(setup::queue_limits(target.config()), None).salted(fastrand::u64(..)),
            drive: Drive::default(),
            sent: VecDeque::new(),
            secrets: Vec::new(),
            waiting: None,
            lost: None,
            runtime: None,
            on_connect: Vec::new(),
            session_state: SessionState::new(target.config().db()),
            heard: clock::now(),
            asked: clock::now(),
            process: std::process::id(),
            interrupt: Arc::default(),
            target,
        }
    }

    /// Only the task that has it ends it from now on.
    pub(super) fn outlive_pool(&mut self) {
        self.interrupt = Arc::default();
    }

    /// What ends the connection, also while another task or thread uses it.
    pub(super) fn interrupt(&self) -> &Arc<Interrupt<Notify>> {
        &self.interrupt
    }

    /// Connects, or connects anew; then runs the callbacks of [`on_connect`](Self::on_connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect); also what a callback returns, after which the connection is closed.
    pub async fn reconnect(&mut self) -> Result<()> {
        self.reconnect_by(None).await
    }

    pub(super) async fn reconnect_by(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.disconnect();
        self.interrupt.handle_asking();
        // What ended the former one is no concern of this one.
        pin!(self.interrupt.handle().notified()).enable();
        // Boxed: it may ask sentinels over connections of its own, and would fill the stack of a thread
        // twice.
        let connect = Box::pin(Wire::connect(&self.target, Some(&self.interrupt), deadline));
        let Some(connected) = unless(self.interrupt.handle().notified(), connect).await else {
            let cause = self.interrupt.cause().unwrap_or_else(setup::closed_client);
            let error = self.target.locate(cause).with_outcome(Outcome::NotSent);
            self.target.tell(EventKind::Failed(error.clone()));
            return Err(error);
        };
        self.adopt(connected?);
        self.introduce_by(deadline).await
    }

    /// Connects for a pool. Where it `must_answer`, a handshake is not enough.
    pub(super) async fn connect_pooled(&mut self, must_answer: impl FnOnce() -> bool) -> Result<()> {
        self.reconnect_by(None).await?;
        if must_answer() {
            let limit = clock::now() + self.target.config().connect_timeout();
            // While it is asked it lies here: one that does not answer is lost.
            let mut wire = self.wire.take().ok_or_else(setup::closed_client)?;
            let asked = unless(self.interrupt.handle().notified(), before(Some(limit), wire.ping())).await;
            let answered = match asked {
                Some(Some(answered)) => answered,
                Some(None) => Err(setup::too_slow(self.target.config(), false)),
                None => Err(self.interrupt.cause().unwrap_or_else(setup::closed_client)),
            };
            answered.map_err(|error| self.lose(error).with_outcome(Outcome::NotSent))?;
            self.wire = Some(wire);
        }
        self.link.handle_connected(clock::now());
        Ok(())
    }

    /// Runs the callbacks on a connection that is new, or as new.
    async fn introduce_by(&mut self, deadline: Option<Instant>) -> Result<()> {
        let common = OnConnect::of(self.target.config()).map(|common| common.cloned());
        let common = common.inspect_err(|_| self.disconnect())?;
        for callback in common.into_iter().chain(self.on_connect.clone()) {
            if let Err(error) = self.call_back(&callback, deadline).await {
                self.disconnect();
                return Err(error);
            }
        }
        self.session_state.adopt();
        if self.session_state.is_bound() {
            self.disconnect();
            return Err(setup::bound_by_callback());
        }
        Ok(())
    }

    /// Runs `callback` before `deadline`, and for no longer than a connect may take.
    async fn call_back(&mut self, callback: &OnConnect, deadline: Option<Instant>) -> Result<()> {
        let target = Arc::clone(&self.target);
        let limit = clock::now().checked_add(target.config().connect_timeout());
        let until = [deadline, limit].into_iter().flatten().min();
        let called = match catch(CALLBACK, || callback.call(self)) {
            Ok(called) => before(until, catch_future(CALLBACK, called)).await,
            Err(panicked) => Some(Err(panicked)),
        };
        let called = called.unwrap_or_else(|| Err(setup::too_slow(target.config(), until == deadline)));
        called.map_err(|error| error.with_context("a callback run on connecting failed"))
    }

    fn adopt(&mut self, wire: Wire) {
        self.wire = Some(wire);
        self.session_state = SessionState::new(self.target.config().db());
        self.heard = clock::now();
        self.process = std::process::id();
        self.runtime = Handle::try_current().ok().map(|runtime| runtime.id());
    }

    /// A new connection for many, on which the callback of the configuration was run before, and then
    /// `callback`.
    pub(super) async fn introduced(
        target: &Arc<Target>,
        callback: Option<&OnConnect>,
        deadline: Option<Instant>,
    ) -> Result<Wire> {
        let common = OnConnect::of(target.config())?;
        let wire = Wire::connect(target, None, deadline).await?;
        if common.is_none() && callback.is_none() {
            return Ok(wire);
        }
        let health = Arc::new(Health::new(Arc::clone(target)));
        let mut connection = Self::to(Arc::clone(target), health);
        connection.adopt(wire);
        for callback in common.into_iter().chain(callback) {
            connection.call_back(callback, deadline).await?;
        }
        connection.session_state.adopt();
        let clean = connection.is_clean() && !connection.session_state.is_bound();
        connection.wire.take().filter(|_| clean).ok_or_else(setup::left_dirty)
    }

    /// Closes the connection. Replies that are under way are lost.
    pub fn disconnect(&mut self) {
        self.leave_parent();
        if self.wire.take().is_some() {
            self.target.tell(EventKind::Closed);
        }
        self.sent.clear();
        self.session_state = SessionState::new(self.target.config().db());
        self.waiting = None;
        self.lost = None;
        self.drive = Drive::default();
        self.link = Link::new(setup::queue_limits(self.target.config()), None).salted(fastrand::u64(..));
    }

    /// Whether the connection is up, as far as is known without asking the server.
    #[doc(alias = "closed")]
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    /// What the handshake found out, while connected.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.wire.as_ref().map(|wire| &wire.session)
    }

    /// What leads to the same server, also where a new connection may lead to another.
    pub(super) fn same_server(&self) -> Arc<Target> {
        self.wire.as_ref().map_or_else(|| Arc::clone(&self.target), |wire| self.target.at(&wire.endpoint))
    }

    /// The database that commands are executed in now; `None` where that is not known: a `SELECT` was sent
    /// and not answered yet, or in a transaction that was not executed yet.
    #[must_use]
    pub fn db(&self) -> Option<u32> {
        self.session_state.db()
    }

    /// Registers a callback for every (re)connect of this connection from now on, after that of the
    /// [configuration](crate::config::ConfigBuilder::on_connect).
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
    /// # async fn example(mut connection: redwire::Connection) -> redwire::Result<()> {
    /// use redwire::{Run, Value, cmd};
    ///
    /// connection.send(&cmd::<Value>("SUBSCRIBE").arg("news")).await?;
    /// let confirmed: (String, String, i64) = connection.read_reply().await?;
    /// let message: (String, String, String) = connection.read_reply().await?;
    /// connection.run::<()>(cmd("RESET")).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The connection is lost, or cannot be made; a command without words, or one that [lacks a
    /// value](Cmd::check).
    #[doc(alias = "send_command")]
    pub async fn send<R: Reply>(&mut self, cmd: &Cmd<R>) -> Result<()> {
        dispatch::check_send(cmd)?;
        let deadline = self.deadline();
        self.connected(deadline).await?;
        secret::remember(&mut self.secrets, cmd.secrets());
        self.interrupt.handle_call(dispatch::on_connection(cmd) != Dispatch::Shared);
        self.make_room(cmd.size(), deadline).await?;
        let sent = self.session_state.handle_command(cmd.facts());
        self.queue(&[sent], cmd.size(), |outbox| cmd.write(outbox), deadline)?;
        self.flush(deadline).await
    }

    /// Sends packed commands ([`Cmd::to_bytes`]) that `count` replies will answer.
    ///
    /// Where there are not as many commands as that, or one of them is not answered by one reply, or the
    /// bytes are no commands, what comes is read as [`send`](Self::send) says.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[doc(alias = "send_packed_command")]
    pub async fn send_packed(&mut self, commands: &[u8], count: u32) -> Result<()> {
        let known = dispatch::packed(commands)?;
        let deadline = self.deadline();
        self.connected(deadline).await?;
        secret::remember(&mut self.secrets, secret::among_packed(commands));
        self.interrupt.handle_call(false);
        self.make_room(commands.len(), deadline).await?;
        let sent = self.session_state.handle_packed(known.as_deref(), count);
        self.queue(&sent, commands.len(), |outbox| outbox.copy(commands), deadline)?;
        self.flush(deadline).await
    }

    /// Reads the reply to the oldest command that was sent and not read; of a stream of frames (see
    /// [`send`](Self::send)), the next one. A reply whose reading was given up is passed over.
    ///
    /// # Errors
    /// The server's error, a reply that is no `R`, a connection lost, no reply within the timeout; nothing
    /// was sent.
    #[doc(alias = "read_response")]
    #[doc(alias = "parse_response")]
    #[doc(alias = "disable_decoding")]
    pub async fn read_reply<R: Reply>(&mut self) -> Result<R> {
        let deadline = self.deadline();
        let replies = match self.sent.pop_front() {
            Some((ticket, sent)) => {
                let replies = self.wait(ticket, deadline).await;
                replies.inspect(|replies| self.session_state.handle_reply(sent, replies))
            }
            None if self.session_state.is_stream() => self.next_frame(deadline).await,
            None => Err(Error::usage("every reply was read already")),
        };
        let reply = replies.and_then(|replies| replies.without(&self.secrets).read());
        reply.map_err(|error| self.target.explain(error.without(&self.secrets)))
    }

    /// Whether [`read_reply`](Self::read_reply) would find its reply, or a frame, within `limit`. Zero looks
    /// at what is there already, as far as the runtime learns of it within a millisecond; `Duration::MAX` is
    /// without limit.
    ///
    /// # Errors
    /// The connection is lost.
    #[doc(alias = "can_read_destructive")]
    pub async fn can_read(&mut self, limit: Duration) -> Result<bool> {
        let deadline = clock::now().checked_add(limit.max(Duration::from_millis(1)));
        loop {
            let is_there = match self.sent.front() {
                Some((ticket, _)) => !self.link.is_waiting(ticket),
                None if self.session_state.is_stream() => self.link.has_unasked(),
                None => return Ok(false),
            };
            if is_there {
                return Ok(true);
            }
            match before(deadline, self.receive()).await {
                Some(received) => drop(received?),
                None => return Ok(false),
            }
        }
    }

    /// Chooses another database, for this connection and for as long as it is connected.
    ///
    /// # Errors
    /// The server has no such database, or as for every command.
    pub async fn select(&mut self, db: u32) -> Result<()> {
        self.run::<()>(cmd("SELECT").arg(db)).await?;
        self.session_state.handle_selected(db);
        Ok(())
    }

    /// Runs several commands in one write; see [`Client::pipeline`](crate::Client::pipeline).
    ///
    /// # Errors
    /// As [`Client::pipeline`](crate::Client::pipeline).
    pub async fn pipeline<S: Slots + Send>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        let call = Piped::record(build);
        call.dispatch()?;
        self.call(call, Dispatch::Shared).await
    }

    /// No other caller is to use it.
    #[cold]
    pub(super) fn forbid_reuse(&mut self) {
        self.session_state.forbid_reuse();
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    async fn call<C: Call>(&mut self, mut call: C, dispatch: Dispatch) -> Result<C::Output> {
        if call.count() == 0 {
            return call.read(Replies::default());
        }
        let deadline = call::deadline(dispatch, call.options(), self.target.config().timeout(), clock::now());
        self.interrupt.handle_call(dispatch != Dispatch::Shared);
        let replies = self.exchange(&call, deadline).await;
        let output = replies.and_then(|replies| call::read(&mut call, replies, self.target.config()));
        self.target.handle_answered(&call);
        output.or_else(|error| {
            let error = self.target.explain(error).with_command(&call.name());
            call::fail(&mut call, error, self.target.config())
        })
    }

    fn deadline(&self) -> Option<Instant> {
        self.target.config().timeout().and_then(|limit| clock::now().checked_add(limit))
    }
}

impl<'c> Run for &'c mut Connection {
    type Out<R: Reply> = Exchange<'c, R>;

    fn run<R: Reply>(self, cmd: Cmd<R>) -> Exchange<'c, R> {
        let dispatch = dispatch::on_connection(&cmd);
        self.interrupt.handle_call(dispatch != Dispatch::Shared);
        let deadline = call::deadline(dispatch, cmd.options(), self.target.config().timeout(), clock::now());
        let (name, asked, target) = (cmd.name(), asked(&cmd), Arc::clone(&self.target));
        let replies = match dispatch::check_connection(&cmd) {
            Ok(()) => self.exchange_boxed(cmd.returning(), deadline),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        };
        Exchange::new(replies, name, asked, target)
    }
}

/// `cmd` once more, where an error that answers it does not tell whether it was executed, or may quote a
/// secret.
pub(super) fn asked<R>(cmd: &Cmd<R>) -> Option<Cmd<()>> {
    let is_asked = cmd.facts().may_run_in_part() || !cmd.secrets().is_empty();
    is_asked.then(|| cmd.clone().returning())
}

/// The future of one command on a [`Connection`].
#[must_use = "a call does nothing until it is awaited"]
pub struct Exchange<'c, R> {
    replies: Pending<'c, Replies>,
    name: Cow<'static, str>,
    /// What judges the error that answers it, if that takes a closer look.
    asked: Option<Cmd<()>>,
    target: Arc<Target>,
    reply: PhantomData<fn() -> R>,
}

impl<'c, R> Exchange<'c, R> {
    pub(super) fn new(
        replies: Pending<'c, Replies>,
        name: Cow<'static, str>,
        asked: Option<Cmd<()>>,
        target: Arc<Target>,
    ) -> Self {
        Self { replies, name, asked, target, reply: PhantomData }
    }
}

impl<R: Reply> Future for Exchange<'_, R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        let replies = ready!(self.replies.as_mut().poll(cx));
        let callbacks = self.target.config().response_callbacks();
        let replies = replies.and_then(|replies| callbacks.apply(std::slice::from_ref(&self.name), replies));
        Poll::Ready(replies.and_then(|mut replies| replies.read()).map_err(|error| {
            let error = match &self.asked {
                Some(cmd) => cmd.judge(error),
                None => error,
            };
            let error = self.target.explain(error);
            if error.command().is_some() { error } else { error.with_command(&self.name) }
        }))
    }
}

impl<R> fmt::Debug for Exchange<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Kill for Notify {
    fn kill(&self) {
        self.notify_one();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.wire.is_some() {
            self.leave_parent();
        }
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
