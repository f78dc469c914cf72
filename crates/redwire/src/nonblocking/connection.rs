//! One connection for one caller at a time, async: the part that users hold by hand.
//!
//! It only waits; which bytes to send and whose reply has come is decided in `redwire-core`.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use redwire_core::call::{self, Call, Piped};
use redwire_core::config::Config;
use redwire_core::handshake::Session;
use redwire_core::lane::{self, Lane};
use redwire_core::link::{Link, Ticket};
use redwire_core::outbox::Outbox;
use redwire_core::{Cmd, Error, Outcome, Pipeline, Replies, Reply, Result, Run, Slots, cmd};
use tokio::time::timeout_at;

use super::lane::Place;
use super::wire::Wire;
use crate::setup;

/// What a [`Connection`] does each time it is connected, after the handshake.
pub type OnConnect = Arc<dyn for<'c> Fn(&'c mut Connection) -> Pending<'c, ()> + Send + Sync>;

/// A boxed future of a result.
pub(crate) type Pending<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

/// One connection by hand, for one caller at a time: state such as the database is the caller's own.
///
/// Every command family works on `&mut Connection`. A call that is dropped leaves the connection in order: its reply is
/// passed over when it comes. Most programs want a [`Client`](crate::Client) instead.
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
pub struct Connection {
    config: Arc<Config>,
    address: Option<Arc<str>>,
    wire: Option<Wire>,
    link: Link<()>,
    outbox: Outbox,
    woken: Vec<()>,
    /// Sent by [`send`](Self::send), not yet read by [`read_reply`](Self::read_reply).
    sent: VecDeque<Ticket>,
    /// The ticket of a call that waits; of one that was dropped, once the next begins.
    waiting: Option<Ticket>,
    /// Why the connection was lost, until it is made anew.
    lost: Option<Error>,
    on_connect: Vec<OnConnect>,
}

impl Connection {
    /// Connects to the server that `url` names.
    ///
    /// # Errors
    /// A bad URL, a connection that cannot be made within the connect timeout, or a step of the handshake that failed.
    pub async fn connect(url: &str) -> Result<Self> {
        let mut connection = Self::new(Config::from_url(url)?);
        connection.reconnect().await?;
        Ok(connection)
    }

    /// A connection that is not connected yet: [`reconnect`](Self::reconnect) does that, and so does the first command.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            address: setup::endpoint(&config).ok().map(setup::address),
            link: Link::new(setup::queue_limits(&config)),
            config: Arc::new(config),
            wire: None,
            outbox: Outbox::default(),
            woken: Vec::new(),
            sent: VecDeque::new(),
            waiting: None,
            lost: None,
            on_connect: Vec::new(),
        }
    }

    /// Connects, or connects anew; then runs the callbacks of [`on_connect`](Self::on_connect).
    ///
    /// # Errors
    /// As [`connect`](Self::connect); also what a callback returns, after which the connection is closed.
    pub async fn reconnect(&mut self) -> Result<()> {
        self.disconnect();
        let config = Arc::clone(&self.config);
        self.wire = Some(Wire::connect(setup::endpoint(&config)?, &config, config.protocol()).await?);
        for callback in self.on_connect.clone() {
            if let Err(error) = callback(self).await {
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
        self.waiting = None;
        self.lost = None;
        self.outbox.clear();
        self.link = Link::new(setup::queue_limits(&self.config));
    }

    /// Whether the connection is up, as far as is known without asking the server.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.wire.is_some()
    }

    /// What the handshake found out, while connected.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.wire.as_ref().map(|wire| &wire.session)
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
    pub async fn send<R: Reply>(&mut self, cmd: &Cmd<R>) -> Result<()> {
        let deadline = self.deadline();
        self.ready(deadline).await?;
        let ticket = self.link.submit(1, cmd.size(), |outbox| cmd.write(outbox), (), deadline)?;
        self.sent.push_back(ticket);
        self.flush(deadline).await
    }

    /// Sends packed commands ([`Cmd::to_bytes`]) that `count` replies will answer.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_packed(&mut self, commands: &[u8], count: u32) -> Result<()> {
        let deadline = self.deadline();
        self.ready(deadline).await?;
        for index in 0..count {
            // All bytes go with the first of the replies; the others only wait their turn.
            let bytes = if index == 0 { commands } else { &[] };
            let ticket = self.link.submit(1, bytes.len(), |outbox| outbox.copy(bytes), (), deadline)?;
            self.sent.push_back(ticket);
        }
        self.flush(deadline).await
    }

    /// Reads the reply to the oldest command that was sent and not read.
    ///
    /// # Errors
    /// The server's error, a reply that is no `R`, a connection lost, no reply within the timeout; nothing was sent.
    pub async fn read_reply<R: Reply>(&mut self) -> Result<R> {
        let deadline = self.deadline();
        let ticket = self.sent.pop_front().ok_or_else(|| Error::usage("every reply was read already"))?;
        let replies = self.wait(ticket, deadline).await;
        replies
            .and_then(|mut replies| replies.read())
            .map_err(|error| setup::located(error, self.address.as_ref()))
    }

    /// Whether [`read_reply`](Self::read_reply) would find its reply within `limit`.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn can_read(&mut self, limit: Duration) -> Result<bool> {
        let deadline = Instant::now() + limit;
        while self.sent.front().is_some_and(|ticket| self.link.is_waiting(ticket)) {
            match timeout_at(deadline.into(), self.receive()).await {
                Ok(received) => received?,
                Err(_) => return Ok(false),
            }
        }
        Ok(!self.sent.is_empty())
    }

    /// Chooses another database, for this connection and for as long as it is connected.
    ///
    /// # Errors
    /// The server has no such database, or as for every command.
    pub async fn select(&mut self, db: u32) -> Result<()> {
        self.run(cmd("SELECT").arg(db)).await
    }

    /// Runs several commands in one write; see [`Client::pipeline`](crate::Client::pipeline).
    ///
    /// # Errors
    /// As [`Client::pipeline`](crate::Client::pipeline).
    pub async fn pipeline<S: Slots + Send>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        let call = Piped::record(build);
        call.lane()?;
        self.call(call, Lane::Shared).await
    }

    async fn call<C: Call>(&mut self, mut call: C, lane: Lane) -> Result<C::Output> {
        if call.count() == 0 {
            return call.read(Replies::default());
        }
        let deadline = call::deadline(lane, call.options(), self.config.timeout(), Instant::now());
        let replies = self.exchange(&call, deadline).await;
        let output = replies.and_then(|replies| call.read(replies));
        output.map_err(|error| setup::located(error, self.address.as_ref()).with_command(&call.name()))
    }

    async fn exchange(&mut self, call: &impl Call, deadline: Option<Instant>) -> Result<Replies> {
        self.ready(deadline).await?;
        let ticket =
            self.link.submit(call.count(), call.size(), |outbox| call.write(outbox), (), deadline)?;
        self.wait(ticket, deadline).await
    }

    /// Sends what is packed already, connecting first, and waits for its replies.
    async fn exchange_packed(
        &mut self,
        commands: &[u8],
        count: u32,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        self.ready(deadline).await?;
        let ticket = self.link.submit(count, commands.len(), |outbox| outbox.copy(commands), (), deadline)?;
        self.wait(ticket, deadline).await
    }

    fn exchange_boxed(&mut self, command: Vec<u8>, deadline: Option<Instant>) -> Pending<'_, Replies> {
        Box::pin(async move { self.exchange_packed(&command, 1, deadline).await })
    }

    /// Connected first where it never was. A connection that was lost stays so until [`reconnect`](Self::reconnect),
    /// since the state that the caller built up on it is gone.
    async fn ready(&mut self, deadline: Option<Instant>) -> Result<()> {
        if let Some(ticket) = self.waiting.take() {
            self.link.abandon(ticket);
        }
        match &self.lost {
            Some(error) => Err(error.clone().with_outcome(Outcome::NotSent)),
            None if self.wire.is_none() => match deadline {
                None => self.reconnect().await,
                Some(deadline) => match timeout_at(deadline.into(), self.reconnect()).await {
                    Ok(connected) => connected,
                    Err(_) => {
                        // Callbacks may have been cut short.
                        self.disconnect();
                        Err(Error::timeout(Outcome::NotSent))
                    }
                },
            },
            None => Ok(()),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.config.timeout().map(|limit| Instant::now() + limit)
    }

    /// Writes all that waits to be written, and hands out what comes meanwhile.
    async fn flush(&mut self, deadline: Option<Instant>) -> Result<()> {
        while self.wants_transmit() {
            match deadline {
                None => self.receive().await?,
                Some(deadline) => match timeout_at(deadline.into(), self.receive()).await {
                    Ok(received) => received?,
                    Err(_) => return Err(Error::timeout(Outcome::MaybeExecuted)),
                },
            }
        }
        Ok(())
    }

    fn wants_transmit(&self) -> bool {
        !self.outbox.is_empty() || self.link.wants_transmit()
    }

    /// Waits until `ticket` has its replies or its failure. If the future is dropped, the next call gives the ticket up.
    async fn wait(&mut self, ticket: Ticket, deadline: Option<Instant>) -> Result<Replies> {
        let mut ticket = ticket;
        loop {
            match self.link.poll_reply(ticket, |()| {}) {
                Ok(result) => return result,
                Err(waiting) => self.waiting = Some(waiting),
            }
            let received = match deadline {
                None => self.receive().await,
                Some(deadline) => match timeout_at(deadline.into(), self.receive()).await {
                    Ok(received) => received,
                    Err(_) => {
                        self.link.handle_timeout(Instant::now(), None);
                        Ok(())
                    }
                },
            };
            // Put there just above, and nobody else holds the connection.
            let Some(waiting) = self.waiting.take() else { return received.map(|()| Replies::default()) };
            ticket = waiting;
        }
    }

    /// Writes and reads, each as far as it goes, until something came in or all is written. Loses nothing when dropped.
    async fn receive(&mut self) -> Result<()> {
        let Some(wire) = &mut self.wire else {
            return Err(self.lost.clone().unwrap_or_else(setup::closed_client));
        };
        let (link, outbox) = (&mut self.link, &mut self.outbox);
        let progress = poll_fn(|cx| {
            if outbox.is_empty() {
                link.poll_transmit(outbox);
            }
            let had_bytes = !outbox.is_empty();
            let flushed = wire.writer.poll_flush(cx, outbox, |written| link.handle_sent(written))?;
            match wire.reader.poll_read(cx, wire.inbound.spare()) {
                Poll::Pending if had_bytes && flushed.is_ready() => Poll::Ready(Ok(None)),
                read => read.map_ok(Some),
            }
        });
        let result = match progress.await {
            Ok(None) => Ok(()),
            Ok(Some(0)) => Err(Error::closed_by_peer(Outcome::MaybeExecuted)),
            Ok(Some(_)) => match wire.inbound.poll_frames(&mut wire.frames) {
                Ok(_) => link.handle_frames(&mut wire.frames),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(setup::io_error("reading or writing", error)),
        };
        link.poll_woken(&mut self.woken);
        self.woken.clear();
        result.map_err(|error| self.lose(error))
    }

    fn lose(&mut self, error: Error) -> Error {
        let error = setup::located(error, self.address.as_ref());
        self.link.handle_lost(&error);
        self.wire = None;
        self.lost = Some(error.clone());
        self.outbox.clear();
        error
    }
}

impl<'c> Run for &'c mut Connection {
    type Out<R: Reply> = Exchange<'c, R>;

    fn run<R: Reply>(self, cmd: Cmd<R>) -> Exchange<'c, R> {
        let deadline =
            call::deadline(lane::on_connection(&cmd), cmd.options(), self.config.timeout(), Instant::now());
        let address = self.address.clone();
        let replies = match lane::check_connection(&cmd) {
            Ok(()) => self.exchange_boxed(cmd.to_bytes(), deadline),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        };
        Exchange { replies, name: cmd.name(), address, reply: PhantomData }
    }
}

/// The future of one command on a [`Connection`].
#[must_use = "a call does nothing until it is awaited"]
pub struct Exchange<'c, R> {
    replies: Pending<'c, Replies>,
    name: Cow<'static, str>,
    address: Option<Arc<str>>,
    reply: PhantomData<fn() -> R>,
}

impl<R: Reply> Future for Exchange<'_, R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        let replies = ready!(self.replies.as_mut().poll(cx));
        Poll::Ready(
            replies
                .and_then(|mut replies| replies.read())
                .map_err(|error| setup::located(error, self.address.as_ref()).with_command(&self.name)),
        )
    }
}

impl<R> fmt::Debug for Exchange<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs one request on a connection made for it, and closed after it; `place` is given back then.
pub(super) fn exchange_apart(
    config: Config,
    place: Place,
    commands: Vec<u8>,
    count: u32,
    deadline: Option<Instant>,
) -> Pending<'static, Replies> {
    Box::pin(async move {
        let _place = place;
        let mut connection = Connection::new(config);
        connection.exchange_packed(&commands, count, deadline).await
    })
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("config", &self.config)
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}
