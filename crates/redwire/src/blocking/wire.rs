//! A connected socket and the requests under way on it: connecting, the handshake, sending and waiting.
//!
//! It only waits; whose reply has come, and what a failure means for requests that wait, is decided in
//! `redwire-core`.

mod apart;
mod renewal;
mod sharing;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::call::Call;
use redwire_core::config::Endpoint;
use redwire_core::handshake::{Handshake, Session};
use redwire_core::inbound::{Frames, Inbound};
use redwire_core::link::{Link, Ticket};
use redwire_core::liveness::Finding;
use redwire_core::outbox::Outbox;
use redwire_core::{Cmd, Error, Outcome, Replies, Result, Value};

use super::health::Health;
use super::sentinel::{self, discover};
use super::stream::{CurrentSocket, WireStream, early, left};
use crate::shared::events::EventKind;
use crate::shared::interrupt::Interrupt;
use crate::shared::setup;
use crate::shared::target::{ConnectTo, Target};
use crate::shared::threads;
use apart::{READ_APART, WRITE_APART};
pub(super) use renewal::fetch;
pub(super) use sharing::{STALL, WireWriter};

/// A connected socket and what is under way on it.
#[derive(Debug)]
pub(super) struct Wire {
    target: Arc<Target>,
    /// Where it leads.
    endpoint: Endpoint,
    stream: WireStream,
    /// What the code that may end it knows of it.
    interrupt: Option<Arc<Interrupt<CurrentSocket>>>,
    inbound: Inbound,
    frames: Frames,
    link: Link<()>,
    outbox: Outbox,
    woken: Vec<()>,
    scratch: Box<[u8]>,
    session: Session,
    /// The version of the credentials it authenticated with.
    version: u64,
    /// Not connected yet, or lost.
    broken: bool,
    /// Why, if it was lost.
    loss: Option<Error>,
    /// Whether callers that shared it were answered.
    served: bool,
    /// When it was used last, and how much had been asked by then.
    used: Instant,
    asked: u64,
    /// The time when the call under way began, as long as that is as good as now: looking at the clock is not
    /// free.
    clock: Option<Instant>,
    /// For so long one read or write waits. Then the peer is in doubt, where it is a node of a cluster, and
    /// once it is time to `health` is asked whether it lives.
    limit: Option<Duration>,
    health: Option<Arc<Health>>,
    /// When `health` is to be asked, of a node that is in doubt.
    check: Option<Instant>,
    /// Since when a call with this deadline has waited.
    waits: Option<(Option<Instant>, Instant)>,
}

/// What is read at once at first. Most connections never get a larger reply, and an idle one should be cheap.
const FIRST_SCRATCH: usize = 4 * 1024;

/// The kernel takes this much from an idle connection without making the writer wait.
pub(super) const WRITTEN_AT_ONCE: usize = 16 * 1024;

impl Wire {
    /// Connects and shakes hands within the connect timeout, and before `call_deadline`. While calls wait,
    /// `health` is asked whether the server lives. By `interrupt` it may be ended, from the first byte on.
    pub(super) fn connect(
        target: &Arc<Target>,
        health: Option<&Arc<Health>>,
        interrupt: Option<&Arc<Interrupt<CurrentSocket>>>,
        call_deadline: Option<Instant>,
    ) -> Result<Self> {
        let config = target.config();
        let own_deadline = threads::now() + config.connect_timeout();
        let deadline = call_deadline.map_or(own_deadline, |deadline| deadline.min(own_deadline));
        let mut tried = None;
        let connected = loop {
            let connected = Self::connect_to(target, interrupt, deadline, &mut tried);
            if connected.is_ok() || threads::now() >= deadline || !target.has_moved_from(tried.as_ref()) {
                break connected;
            }
        };
        let connected = connected.map(|mut wire| {
            let interval = config.health_check_interval().filter(|_| health.is_some());
            wire.limit =
                interval.into_iter().chain(target.suspected_after().filter(|_| health.is_some())).min();
            wire.health = health.cloned();
            wire
        });
        let connected = connected.map_err(|error| {
            let error = match error.is_timeout() {
                true if deadline < own_deadline => setup::late(Some(&error)),
                true => setup::too_slow(config, false).with_source(error),
                false => error,
            };
            target.locate(error).with_outcome(Outcome::NotSent)
        });
        connected.inspect_err(|error| target.handle_unconnected(tried.as_ref(), error))
    }

    fn connect_to(
        target: &Arc<Target>,
        interrupt: Option<&Arc<Interrupt<CurrentSocket>>>,
        deadline: Instant,
        tried: &mut Option<Endpoint>,
    ) -> Result<Self> {
        let config = target.config();
        *tried = None;
        if let Some(interrupt) = interrupt {
            interrupt.handle_asking();
        }
        let endpoint = match target.next_server() {
            ConnectTo::Server(endpoint) => endpoint,
            ConnectTo::Ask(service) => Endpoint::Tcp(discover(service, config, deadline)?),
        };
        sentinel::watch(target);
        let endpoint = tried.insert(endpoint);
        if let Some(interrupt) = interrupt {
            interrupt.handle_connecting(endpoint);
        }
        target.handle_connecting(endpoint);
        let pass = fetch(target, deadline)?;
        let mut protocol = target.protocol();
        let mut wire = loop {
            let mut wire = Self::open(target, endpoint, interrupt, deadline)?;
            wire.version = pass.version;
            let mut handshake = Handshake::new(config, pass.credentials.as_ref(), protocol);
            match wire.shake_hands(&mut handshake, deadline) {
                Ok(()) => break wire,
                Err(error) => protocol = handshake.poll_again(&error).ok_or(error)?,
            }
        };
        if target.handle_connected(endpoint, &wire.session)? {
            sentinel::cut_later(target);
        }
        wire.broken = false;
        Ok(wire)
    }

    /// A socket that is connected, and on which nothing was said yet.
    fn open(
        target: &Arc<Target>,
        endpoint: &Endpoint,
        interrupt: Option<&Arc<Interrupt<CurrentSocket>>>,
        deadline: Instant,
    ) -> Result<Self> {
        let config = target.config();
        let mut inbound = setup::inbound(config);
        let current_socket = interrupt.map(|interrupt| interrupt.handle());
        Ok(Self {
            target: Arc::clone(target),
            endpoint: endpoint.clone(),
            stream: WireStream::connect(target, endpoint, current_socket, deadline, inbound.spare())?,
            interrupt: interrupt.cloned(),
            inbound,
            frames: Frames::default(),
            // Whether the peer lives is asked over another connection: this one may wait for as long as it
            // likes.
            link: Link::new(setup::queue_limits(config), None).salted(fastrand::u64(..)),
            outbox: Outbox::default(),
            woken: Vec::new(),
            scratch: vec![0; config.read_buffer_size().min(FIRST_SCRATCH)].into(),
            session: Session::default(),
            version: 0,
            broken: true,
            loss: None,
            served: false,
            used: threads::now(),
            asked: 0,
            clock: None,
            limit: None,
            health: None,
            check: None,
            waits: None,
        })
    }

    fn shake_hands(&mut self, handshake: &mut Handshake, deadline: Instant) -> Result<()> {
        self.converse(handshake, deadline).map_err(|error| handshake.handle_failed(error))
    }

    fn converse(&mut self, handshake: &mut Handshake, deadline: Instant) -> Result<()> {
        loop {
            if let Some(bytes) = handshake.poll_transmit() {
                self.say(&bytes, Some(deadline))?;
            }
            if let Some(session) = handshake.poll_done() {
                self.session = session;
                return Ok(());
            }
            if !self.inbound.poll_frames(&mut self.frames)? {
                self.read(Some(deadline))?;
                continue;
            }
            self.frames.replies().try_for_each(|frame| handshake.handle_reply(frame))?;
        }
    }

    /// Waits for any answer at all: that the server lives. Without one, the wire is lost.
    pub(super) fn ping(&mut self, deadline: Instant) -> Result<()> {
        let answer = self.exchange(&Cmd::<Value>::new("PING"), Some(deadline));
        answer.map(drop).inspect_err(|_| self.lose(&Error::silent_peer(Outcome::NotSent)))
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The version of the credentials it authenticated with.
    #[inline]
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// It is ready for its first user.
    pub(super) fn handle_introduced(&mut self) {
        self.link.handle_connected(threads::now());
    }

    /// Why it was lost.
    pub(super) fn loss(&self) -> Error {
        let loss = self.loss.clone().unwrap_or_else(|| Error::closed_by_peer(Outcome::NotSent));
        loss.with_outcome(Outcome::NotSent)
    }

    /// Whether a user was answered on it.
    pub(super) fn has_served(&self) -> bool {
        self.served || self.link.has_answered()
    }

    /// Callers that shared it were answered.
    pub(super) fn handle_served(&mut self) {
        self.served = true;
    }

    /// Whether the connection was lost.
    #[inline]
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether nothing is under way, so that the next caller finds the connection as new.
    #[inline]
    pub(super) fn is_clean(&self) -> bool {
        !self.broken && self.link.is_idle() && !self.link.wants_transmit() && self.inbound.is_empty()
    }

    /// Whether it is as good as when it was used last: the peer has neither closed it nor sent what no
    /// request asked for.
    #[inline]
    pub(super) fn is_fresh(&mut self, now: Instant) -> bool {
        self.wake(now).is_some()
    }

    /// Takes note that it is used again; says for how long it was not, and `None` where it is not as good as
    /// it was then.
    #[inline]
    pub(super) fn wake(&mut self, now: Instant) -> Option<Duration> {
        self.clock = Some(now);
        let idle = now.saturating_duration_since(self.used);
        self.is_silent().then_some(idle)
    }

    /// It is used at some later time than [`wake`](Self::wake) was told.
    pub(super) fn forget_time(&mut self) {
        self.clock = None;
    }

    /// Whether there is nothing to be read, or nothing but what the server may push at any time.
    fn is_silent(&mut self) -> bool {
        match self.stream.try_read(&mut self.scratch) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(0) => false,
            Ok(read) => {
                let decoded = self.stream.decode(&self.scratch[..read], self.inbound.spare());
                decoded.and_then(|()| self.take_frames()).is_ok() && self.is_clean()
            }
        }
    }

    /// Takes note that it is not in use any longer; says when that is. A caller that asked nothing has heard
    /// nothing.
    #[inline]
    pub(super) fn handle_idle(&mut self) -> Instant {
        let now = threads::now();
        if self.asked != self.link.submitted() {
            (self.asked, self.used) = (self.link.submitted(), now);
            if self.check.take().is_some() {
                self.target.handle_silence(!self.is_clean());
            }
        }
        self.clock = None;
        now
    }

    /// The peer was found to be gone while no caller used it.
    #[cold]
    pub(super) fn give_up(&mut self) {
        self.lose(&Error::closed_by_peer(Outcome::NotSent));
    }

    /// It belongs to another process: no listener here is to be told of its end.
    #[cold]
    pub(super) fn disown(&mut self) {
        self.broken = true;
    }

    /// Sends `call` and waits for its replies. Afterwards the wire may be of no use: see
    /// [`is_clean`](Self::is_clean).
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
        self.check()?;
        let write = |outbox: &mut Outbox| call.write(outbox);
        let ticket = self.link.submit(call.count(), call.size(), call.is_whole(), write, (), deadline)?;
        self.link.mark_transaction(&ticket, call.multi());
        Ok(ticket)
    }

    /// Queues bytes that are packed already, as a request of one reply.
    pub(super) fn submit_packed(&mut self, bytes: &[u8], deadline: Option<Instant>) -> Result<Ticket> {
        self.check()?;
        self.link.submit(1, bytes.len(), true, |outbox| outbox.copy(bytes), (), deadline)
    }

    #[inline]
    fn check(&self) -> Result<()> {
        if self.broken {
            return Err(self.target.locate(Error::closed_by_peer(Outcome::NotSent)));
        }
        Ok(())
    }

    /// Sends what is queued.
    pub(super) fn send(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.link.poll_transmit(&mut self.outbox);
        self.flush(deadline);
        if self.broken {
            return Err(self.target.locate(Error::closed_by_peer(Outcome::MaybeExecuted)));
        }
        Ok(())
    }

    /// Writes all that waits to be written, or breaks the wire.
    #[inline]
    fn flush(&mut self, deadline: Option<Instant>) {
        while !self.outbox.is_empty() {
            let begin = (self.outbox.len() > WRITTEN_AT_ONCE).then(threads::now);
            let written = self.write(deadline).and_then(|written| {
                self.link.handle_sent(written);
                if self.has_stalled(begin) { Err(Error::timeout(Outcome::MaybeExecuted)) } else { Ok(()) }
            });
            if let Err(error) = written
                && let Err(error) = self.judge_and_read(error, deadline)
            {
                self.outbox.clear();
                self.lose(&cause(error, deadline));
            }
        }
    }

    /// Whether the kernel took a part of what there was to write, and then waited for the peer in vain.
    #[inline]
    fn has_stalled(&self, begin: Option<Instant>) -> bool {
        !self.outbox.is_empty()
            && begin.zip(self.limit).is_some_and(|(begin, limit)| threads::since(begin) >= early(limit))
    }

    #[inline]
    fn write(&mut self, deadline: Option<Instant>) -> Result<usize> {
        let now = self.clock.unwrap_or_else(threads::now);
        let written = self.limit(deadline, now).and_then(|limit| self.stream.write(&self.outbox, limit, now));
        let written = written.map_err(|error| self.cause(|| setup::io_error("writing", error)))?;
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
            let received = match self.receive(deadline) {
                Err(error) if error.is_timeout() => {
                    self.link.handle_timeout(threads::now(), 0, None).map(drop)
                }
                received => received,
            };
            if let Err(error) = received {
                self.lose(&error);
            }
        }
    }

    /// Waits until `ticket` has its replies, but no longer than `deadline`, after which only what is there
    /// already is read; says whether it has.
    pub(super) fn wait_until(&mut self, ticket: &Ticket, deadline: Option<Instant>) -> Result<bool> {
        self.receive_while(|link| link.is_waiting(ticket), deadline)
    }

    /// Reads while `waits` says so, as [`wait_until`](Self::wait_until) does; says whether it came to an end.
    fn receive_while(
        &mut self,
        waits: impl Fn(&Link<()>) -> bool,
        deadline: Option<Instant>,
    ) -> Result<bool> {
        while waits(&self.link) {
            let received = match left(deadline, threads::now()) {
                Ok(_) => self.receive(deadline),
                Err(late) => match self.read_at_once() {
                    Ok(true) => self.take_frames(),
                    Ok(false) => Err(setup::io_error("reading", late)),
                    Err(error) => Err(error),
                },
            };
            match received {
                Ok(()) => {}
                Err(error) if error.is_timeout() => return Ok(false),
                Err(error) => {
                    self.lose(&error);
                    return Err(self.target.locate(error));
                }
            }
        }
        Ok(true)
    }

    /// Reads once and hands out what came, if anything did.
    #[inline]
    fn receive(&mut self, deadline: Option<Instant>) -> Result<()> {
        match self.read(deadline) {
            Ok(()) => self.take_frames(),
            Err(error) => self.judge_and_read(error, deadline),
        }
    }

    #[inline]
    fn take_frames(&mut self) -> Result<()> {
        if self.inbound.poll_frames(&mut self.frames)? || self.frames.has_large_rest() {
            self.link.handle_frames(&mut self.frames)?;
            self.link.poll_woken(&mut self.woken);
            self.woken.clear();
        }
        Ok(())
    }

    // Always: the compiler would leave it a call of its own, which costs a GET one percent.
    #[inline(always)]
    fn read(&mut self, deadline: Option<Instant>) -> Result<()> {
        let now = self.clock.take().unwrap_or_else(threads::now);
        let failed = |error| setup::io_error("reading", error);
        let limit = self.limit(deadline, now).map_err(failed)?;
        let missing = self.inbound.wanted();
        if missing >= READ_APART && self.stream.is_plain() {
            let read = self.read_apart(missing, limit, now).map_err(failed)?;
            return if read == 0 { Err(self.ended()) } else { Ok(()) };
        }
        match self.stream.read(&mut self.scratch, limit, now) {
            Ok(0) => Err(self.ended()),
            Ok(read) => {
                let decoded = self.stream.decode(&self.scratch[..read], self.inbound.spare());
                if read == self.scratch.len() {
                    self.grow_scratch();
                }
                decoded
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// A read filled it: there may be more to be read at once.
    #[cold]
    fn grow_scratch(&mut self) {
        let most = self.target.config().read_buffer_size();
        if self.scratch.len() < most {
            self.scratch = vec![0; most.min(4 * self.scratch.len())].into();
        }
    }

    /// Nothing more will come.
    #[cold]
    fn ended(&self) -> Error {
        self.cause(|| Error::closed_by_peer(Outcome::MaybeExecuted))
    }

    /// Why the connection was ended from here, or else what `failed` says of it.
    #[cold]
    fn cause(&self, failed: impl FnOnce() -> Error) -> Error {
        let cause = self.interrupt.as_ref().and_then(|interrupt| interrupt.cause());
        cause.unwrap_or_else(failed)
    }

    /// How long one read or write may take: until the deadline, but no longer than the peer may be silent.
    #[inline]
    fn limit(&self, deadline: Option<Instant>, now: Instant) -> io::Result<Option<Duration>> {
        Ok(match (left(deadline, now)?, self.limit) {
            (Some(left), Some(limit)) => Some(left.min(limit)),
            (left, limit) => left.or(limit),
        })
    }

    /// A read or a write failed. If it only got nowhere for a while, and the server is found to live, it may
    /// go on.
    #[cold]
    fn judge_and_read(&mut self, error: Error, deadline: Option<Instant>) -> Result<()> {
        self.judge_failure(error, deadline)?;
        self.take_frames()
    }

    /// As [`judge_and_read`](Self::judge_and_read); what came meanwhile is only kept.
    fn judge_failure(&mut self, error: Error, deadline: Option<Instant>) -> Result<()> {
        if !error.is_timeout() || self.limit.is_none() {
            return Err(error);
        }
        let Ok(left) = left(deadline, threads::now()) else { return Err(error) };
        if self.is_only_silent() {
            return Ok(());
        }
        let interval = self.target.config().health_check_interval();
        let (Some(interval), Some(health)) = (interval, &self.health) else { return Err(error) };
        // It has got nowhere for an interval, or since this was found before.
        let begun = self.waits.filter(|(of, _)| *of == deadline && deadline.is_some());
        let now = threads::now();
        let begun = begun.map_or_else(|| now.checked_sub(interval).unwrap_or(now), |(_, since)| since);
        self.waits = Some((deadline, begun));
        let finding = health.check(left.map_or(interval, |left| left.min(interval)));
        let now = threads::now();
        let since = finding.silent_since(deadline, now - begun, interval, now);
        if let Some(since) = since {
            let limit = interval.saturating_sub(now - since).max(interval / 2);
            match self.target.suspected_after() {
                Some(_) => self.check = Some(now + limit),
                None => self.limit = Some(limit),
            }
        }
        match (finding, since) {
            (Finding::Alive(_), Some(_)) => Ok(()),
            _ if deadline.is_some_and(|deadline| deadline <= now) => Err(error),
            // It may have broken its silence, or closed, just now.
            (_, since) => match self.stream.try_read(&mut self.scratch) {
                Ok(0) => Err(Error::closed_by_peer(Outcome::MaybeExecuted)),
                Ok(read) => self.stream.decode(&self.scratch[..read], self.inbound.spare()),
                Err(_) if since.is_some() => Ok(()),
                Err(_) => Err(Error::silent_peer(Outcome::MaybeExecuted)),
            },
        }
    }

    /// The peer was silent for a while. Says so where it is a node of a cluster; and whether that is all
    /// for now.
    fn is_only_silent(&mut self) -> bool {
        let (now, interval) = (threads::now(), self.target.config().health_check_interval());
        let (Some(pause), Some(waits)) =
            (self.target.suspected_after(), self.interrupt.as_ref().map(|interrupt| interrupt.waits()))
        else {
            return false;
        };
        if !waits {
            self.target.handle_silence(true);
        }
        let Some(interval) = interval else { return true };
        // One that has long passed belongs to an earlier silence.
        let current = self.check.filter(|check| now < *check + 2 * pause);
        let check = *self.check.insert(current.unwrap_or_else(|| now + interval.saturating_sub(pause)));
        now < check
    }

    /// Everything under way fails with `error`.
    #[cold]
    pub(super) fn lose(&mut self, error: &Error) {
        if !self.broken {
            self.broken = true;
            self.loss = Some(error.clone());
            self.target.tell(EventKind::Lost(self.target.locate(error.clone())));
        }
        self.link.handle_lost(error);
        self.link.poll_woken(&mut self.woken);
        self.woken.clear();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if !self.broken {
            self.target.tell(EventKind::Closed);
        }
    }
}

/// What broke the wire: once the deadline has passed it is that, however it showed.
fn cause(error: Error, deadline: Option<Instant>) -> Error {
    if left(deadline, threads::now()).is_err() { Error::timeout(Outcome::MaybeExecuted) } else { error }
}
