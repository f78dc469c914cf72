//! Sending and receiving on a connection of one caller. It only waits; which bytes to send and whose reply
//! has come is decided in `redwire-core`.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Instant;

use redwire_core::call::{self, Call, PackedCall};
use redwire_core::facts::SessionEffect;
use redwire_core::inbound::Frames;
use redwire_core::link::{Link, Ticket};
use redwire_core::liveness::Finding;
use redwire_core::outbox::Outbox;
use redwire_core::session_state::SentCommand;
use redwire_core::{Cmd, Error, Outcome, Replies, Result, Value, transaction};
use tokio::sync::futures::Notified;

use super::{Connection, Pending};
use crate::nonblocking::before;
use crate::nonblocking::drive::{Drive, Driven, Step, WriteNext};
use crate::nonblocking::sharing::{LONG_QUIET, LONGEST_HOLD};
use crate::nonblocking::stream::StreamWriter;
use crate::shared::clock;
use crate::shared::credentials::{self, VersionedCredentials};
use crate::shared::events::EventKind;
use crate::shared::setup;

impl Connection {
    pub(in crate::nonblocking) async fn exchange(
        &mut self,
        call: &impl Call,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        self.ready(deadline).await?;
        self.transact(call, deadline).await
    }

    /// As [`exchange`](Self::exchange), of a transaction, for which keys are `watched` or not.
    pub(in crate::nonblocking) async fn exchange_atomic(
        &mut self,
        call: &impl Call,
        watched: bool,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        self.ready(deadline).await?;
        transaction::check_start(&self.session_state, watched)?;
        let replies = self.exchange(call, deadline).await?;
        transaction::handle_replies(&mut self.session_state, &replies);
        Ok(replies)
    }

    /// As [`exchange`](Self::exchange), with `first` in the same write, which must succeed.
    pub(in crate::nonblocking) async fn exchange_after(
        &mut self,
        first: Option<&Cmd<()>>,
        call: &impl Call,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        let Some(first) = first else { return self.exchange(call, deadline).await };
        self.ready(deadline).await?;
        let sent = self.session_state.handle_command(first.facts());
        // Where this ends early, the reply that no caller reads closes the connection.
        self.queue(&[sent], first.size(), |outbox| first.write(outbox), deadline)?;
        let replies = self.exchange(call, deadline).await;
        let first = match self.sent.pop_back() {
            Some((ticket, _)) => self.wait(ticket, deadline).await.and_then(|mut replies| replies.read()),
            None => Ok(()),
        };
        let replies = replies?;
        first.map(|()| replies)
    }

    /// Sends what is packed already, connecting first, and waits for its replies.
    pub(in crate::nonblocking) async fn exchange_packed(
        &mut self,
        call: &PackedCall,
        deadline: Option<Instant>,
    ) -> Result<Replies> {
        self.ready(deadline).await?;
        self.make_room(call.bytes.len(), deadline).await?;
        let write = |outbox: &mut Outbox| outbox.copy(&call.bytes);
        let ticket = self.link.submit(call.count, call.bytes.len(), call.is_whole, write, (), deadline)?;
        self.link.mark_transaction(&ticket, call.multi);
        self.wait(ticket, deadline).await
    }

    pub(in crate::nonblocking) fn exchange_boxed(
        &mut self,
        mut cmd: Cmd<Value>,
        deadline: Option<Instant>,
    ) -> Pending<'_, Replies> {
        Box::pin(async move {
            if self.session_state.is_stream() && cmd.facts().session == SessionEffect::Resets {
                return Box::pin(self.end_stream(&cmd, deadline)).await;
            }
            self.ready(deadline).await?;
            let sent = self.session_state.handle_command(cmd.facts());
            let replies = self.transact(&cmd, deadline).await;
            let replies = replies.or_else(|error| call::ended(&cmd, error))?;
            self.session_state.handle_reply(sent, &replies);
            if !replies.errors().any(|(_, error)| cmd.revise(&error)) {
                return Ok(replies);
            }
            let replies = Box::pin(self.transact(&cmd, deadline)).await.and_then(|replies| {
                let error = replies.errors().next();
                error.map_or(Ok(replies), |(_, error)| Err(cmd.judge(error)))
            });
            replies.map_err(|error| error.with_command(&cmd.name()))
        })
    }

    /// Sends `call` on a connection that is ready, and waits for its replies.
    async fn transact(&mut self, call: &impl Call, deadline: Option<Instant>) -> Result<Replies> {
        self.make_room(call.size(), deadline).await?;
        let write = |outbox: &mut Outbox| call.write(outbox);
        let ticket = self.link.submit(call.count(), call.size(), call.is_whole(), write, (), deadline)?;
        self.link.mark_transaction(&ticket, call.multi());
        self.wait(ticket, deadline).await
    }

    /// Queues what is read by hand: each command for its reply, or the bytes alone where no request waits for
    /// what comes.
    pub(super) fn queue(
        &mut self,
        sent: &[SentCommand],
        size: usize,
        write: impl FnOnce(&mut Outbox),
        deadline: Option<Instant>,
    ) -> Result<()> {
        if self.session_state.is_stream() {
            self.link.listen();
            return self.link.say(size, write);
        }
        let mut write = Some(write);
        for sent in sent {
            // All bytes go with the first of the replies; the others only wait their turn.
            let first = write.take();
            let size = if first.is_some() { size } else { 0 };
            let bytes = |outbox: &mut Outbox| first.into_iter().for_each(|write| write(outbox));
            let ticket = self.link.submit(1, size, true, bytes, (), deadline)?;
            self.sent.push_back((ticket, *sent));
        }
        Ok(())
    }

    /// The next frame that comes, whatever it answers.
    pub(super) async fn next_frame(&mut self, deadline: Option<Instant>) -> Result<Replies> {
        loop {
            if let Some(frame) = self.link.poll_unasked() {
                self.session_state.handle_frame(&frame);
                if !self.session_state.is_stream() {
                    self.link.stop_listening();
                }
                return Ok(Replies::from_frame(frame));
            }
            if deadline.is_some_and(|deadline| deadline <= clock::now()) {
                return Err(Error::timeout(Outcome::MaybeExecuted));
            }
            self.progress(deadline).await?;
        }
    }

    /// Sends `RESET` in a stream of frames, and passes over what comes before its reply.
    async fn end_stream(&mut self, reset: &Cmd<Value>, deadline: Option<Instant>) -> Result<Replies> {
        self.connected(deadline).await?;
        let sent = self.session_state.handle_command(reset.facts());
        self.queue(&[sent], reset.size(), |outbox| reset.write(outbox), deadline)?;
        self.flush(deadline).await?;
        while let Some((ticket, _)) = self.sent.pop_front() {
            self.link.abandon(ticket);
        }
        loop {
            let frame = self.next_frame(deadline).await?;
            // An error may be the answer to it.
            if !self.session_state.is_stream() || frame.errors().next().is_some() {
                return Ok(frame);
            }
        }
    }

    /// As [`connected`](Self::connected), for a call that is to be told its reply.
    pub(super) async fn ready(&mut self, deadline: Option<Instant>) -> Result<()> {
        self.connected(deadline).await?;
        self.session_state.check_calls()
    }

    /// Connected first where it never was, and with the newest credentials. A connection that was lost stays
    /// so until [`reconnect`](Self::reconnect), since the state that the caller built up on it is gone.
    pub(super) async fn connected(&mut self, deadline: Option<Instant>) -> Result<()> {
        if let Some(ticket) = self.waiting.take() {
            self.link.abandon(ticket);
        }
        self.leave_parent();
        if self.wire.is_some() && pin!(self.interrupt.handle().notified()).enable() {
            let cause = self.interrupt.cause().unwrap_or_else(setup::closed_client);
            return Err(self.lose(cause).with_outcome(Outcome::NotSent));
        }
        if let Some(error) = &self.lost {
            return Err(error.clone().with_outcome(Outcome::NotSent));
        }
        self.look().await?;
        match &self.wire {
            None => self.reconnect_by(deadline).await,
            // In a transaction, or ahead of replies that are to be read first, it would come amiss.
            Some(wire)
                if wire.version != credentials::version(self.target.config())
                    && self.sent.is_empty()
                    && !self.session_state.is_stream()
                    && !self.session_state.is_bound() =>
            {
                Box::pin(self.authenticate(deadline)).await
            }
            Some(_) => Ok(()),
        }
    }

    /// Where nothing was heard for long, the runtime may not have run either: what lies in the socket is read
    /// first, since it may be the end of the connection, and then nothing is sent.
    async fn look(&mut self) -> Result<()> {
        let (now, is_stream) = (clock::now(), self.session_state.is_stream());
        let is_idle = self.link.is_idle() && self.sent.is_empty() && !self.wants_transmit() && !is_stream;
        if !is_idle || now.saturating_duration_since(self.heard) < LONG_QUIET {
            return Ok(());
        }
        let read = async {
            while let Some(wire) = &self.wire {
                match wire.writer.is_silent() {
                    Ok(true) => break,
                    Ok(false) => self.receive().await.map(drop)?,
                    Err(error) => return Err(self.lose(error)),
                }
            }
            Ok(())
        };
        let read = Box::pin(before(now.checked_add(LONGEST_HOLD), read)).await.unwrap_or(Ok(()));
        read.map_err(|error: Error| error.with_outcome(Outcome::NotSent))
    }

    /// What a forked child inherits is the parent's. Not even dropping it would leave the parent alone: that
    /// ends the stream both have, and tells the parent's runtime to forget it.
    pub(super) fn leave_parent(&mut self) {
        if self.process != std::process::id() {
            self.process = std::process::id();
            std::mem::forget(self.wire.take());
            self.disconnect();
        }
    }

    /// Presents new credentials. Where the server refuses them, the connection goes on with the old ones.
    pub(super) async fn authenticate(&mut self, deadline: Option<Instant>) -> Result<()> {
        let config = self.target.config();
        // Without a deadline of its own, a call is not held up for ever by this.
        let deadline = deadline.unwrap_or_else(|| clock::now() + config.connect_timeout());
        let version = credentials::version(config);
        let fetched = before(Some(deadline), VersionedCredentials::fetch(config)).await;
        let fetched = fetched.ok_or_else(|| Error::timeout(Outcome::NotSent))?;
        let Some(wire) = &mut self.wire else { return Ok(()) };
        // One change is answered once, whatever comes of it.
        wire.version = fetched.as_ref().map_or(version, |pass| pass.version);
        let refused = match fetched.map(|pass| pass.credentials) {
            Ok(None) => return Ok(()),
            Ok(Some(credentials)) => {
                let auth = credentials.auth();
                let replies = self.transact(&auth, Some(deadline)).await;
                // Nothing of the call itself was sent yet.
                let mut replies = replies.map_err(|error| error.with_outcome(Outcome::NotSent))?;
                replies.read::<()>().err().map(|error| auth.judge(error))
            }
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            self.target.tell(EventKind::Refused(self.target.locate(error)));
        }
        Ok(())
    }

    /// Writes all that waits to be written, and hands out what comes meanwhile.
    pub(super) async fn flush(&mut self, deadline: Option<Instant>) -> Result<()> {
        let flushed = async {
            while self.wants_transmit() {
                self.receive().await?;
            }
            Ok(())
        };
        let flushed = before(deadline, flushed).await;
        flushed.unwrap_or_else(|| Err(Error::timeout(Outcome::MaybeExecuted)))
    }

    /// Where a call that was given up has left so much to be written that another finds no room, writes that
    /// first.
    pub(super) async fn make_room(&mut self, size: usize, deadline: Option<Instant>) -> Result<()> {
        if self.link.has_room(size) {
            return Ok(());
        }
        let made = async {
            while !self.link.has_room(size) && self.wants_transmit() {
                self.receive().await?;
            }
            Ok(())
        };
        let made =
            Box::pin(before(deadline, made)).await.unwrap_or_else(|| Err(Error::timeout(Outcome::NotSent)));
        made.map_err(|error: Error| error.with_outcome(Outcome::NotSent))
    }

    fn wants_transmit(&self) -> bool {
        !self.drive.outbox().is_empty() || self.link.wants_transmit()
    }

    /// Waits until `ticket` has its replies or its failure. If the future is dropped, the next call gives the
    /// ticket up.
    pub(super) async fn wait(&mut self, ticket: Ticket, deadline: Option<Instant>) -> Result<Replies> {
        if let Some(given_up) = self.waiting.take() {
            self.link.abandon(given_up);
        }
        self.heard = clock::now();
        let mut ticket = ticket;
        loop {
            match self.link.poll_reply(ticket, |()| {}) {
                Ok(result) => return result,
                Err(waiting) => self.waiting = Some(waiting),
            }
            let received = self.progress(deadline).await;
            // Put there just above, and no other task holds the connection.
            let Some(waiting) = self.waiting.take() else { return received.map(|_| Replies::default()) };
            ticket = waiting;
        }
    }

    /// Writes and reads once; or, where nothing came for a while, finds out why.
    async fn progress(&mut self, deadline: Option<Instant>) -> Result<bool> {
        let interval = self.target.config().health_check_interval();
        let check = interval.and_then(|interval| self.heard.max(self.asked).checked_add(interval));
        let next = [deadline, check].into_iter().flatten().min();
        let received = match before(next, self.receive()).await {
            Some(received) => received,
            None => Box::pin(self.handle_silence(deadline)).await,
        };
        if let Ok(true) = received {
            self.heard = clock::now();
            if deadline.is_some_and(|deadline| deadline <= self.heard) {
                // Bytes that come without a pause may be no answer.
                self.link.handle_timeout(self.heard, 0, None)?;
            }
        }
        received
    }

    /// Nothing came for a while: the deadline has passed, or it is time to ask whether the server lives.
    async fn handle_silence(&mut self, deadline: Option<Instant>) -> Result<bool> {
        let now = clock::now();
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.link.handle_timeout(now, 0, None)?;
            return Ok(false);
        }
        let Some(interval) = self.target.config().health_check_interval() else { return Ok(false) };
        let left = deadline.map_or(interval, |deadline| interval.min(deadline - now));
        let finding = self.health.check(left).await;
        let now = clock::now();
        match finding.silent_since(deadline, now - self.heard, interval, now) {
            Some(since) => {
                if let Finding::Alive(at) = finding {
                    self.heard = at;
                }
                self.asked = since;
                Ok(false)
            }
            // The deadline comes first, and nothing is asked until then: it is told by the link.
            None if left < interval => {
                self.asked = now;
                Ok(false)
            }
            None => Err(self.lose(Error::silent_peer(Outcome::MaybeExecuted))),
        }
    }

    /// Writes and reads, each as far as it goes, until something came in (`true`) or all is written. Loses
    /// nothing when dropped.
    pub(super) async fn receive(&mut self) -> Result<bool> {
        let Some(wire) = &mut self.wire else {
            return Err(self.lost.clone().unwrap_or_else(setup::closed_client));
        };
        let received = {
            let (cut, drive) = (pin!(self.interrupt.handle().notified()), &mut self.drive);
            let mut caller =
                OneCaller { link: &mut self.link, cut, is_cut: false, wrote: false, came: false };
            let mut has_slept = false;
            let stepped = poll_fn(|cx| {
                if std::mem::replace(&mut has_slept, true) {
                    drive.begin();
                    // Handed out before other tasks had their turn.
                    if caller.came {
                        return Poll::Ready(Ok(()));
                    }
                }
                drive.poll_step(cx, &mut caller, wire)
            });
            stepped.await.map(|()| caller.came)
        };
        self.link.poll_woken(&mut Vec::new());
        received.map_err(|end| {
            let cause = end.or_else(|| self.interrupt.cause());
            self.lose(cause.unwrap_or_else(setup::closed_client))
        })
    }

    pub(super) fn lose(&mut self, error: Error) -> Error {
        let error = self.target.locate(error);
        self.link.handle_lost(&error);
        self.wire = None;
        self.target.tell(EventKind::Lost(error.clone()));
        self.lost = Some(error.clone());
        self.drive = Drive::default();
        error
    }
}

/// A connection of one caller, as it is driven while that waits.
struct OneCaller<'a, 'n> {
    link: &'a mut Link<()>,
    /// Ready when the owner of the connection ends it.
    cut: Pin<&'a mut Notified<'n>>,
    is_cut: bool,
    wrote: bool,
    came: bool,
}

impl OneCaller<'_, '_> {
    fn check_cut(&self) -> Step {
        if self.is_cut { Err(None) } else { Ok(()) }
    }
}

impl Driven for OneCaller<'_, '_> {
    fn handle_read(&mut self, frames: Option<&mut Frames>) -> Result<()> {
        self.came = true;
        frames.map_or(Ok(()), |frames| self.link.handle_frames(frames))
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>, _: &mut Outbox) {
        self.is_cut = self.is_cut || self.cut.as_mut().poll(cx).is_ready();
    }

    fn poll_outgoing(&mut self, _: &Context<'_>, _: &StreamWriter, outbox: &mut Outbox) -> Step<WriteNext> {
        self.check_cut()?;
        self.link.poll_transmit(outbox);
        Ok(match (outbox.is_empty(), self.wrote) {
            (false, _) => WriteNext::Write,
            // The caller goes on by itself.
            (true, true) => WriteNext::Read,
            (true, false) => WriteNext::Nothing(None),
        })
    }

    fn handle_sent(&mut self, n: usize) -> Step {
        self.wrote = true;
        self.link.handle_sent(n);
        Ok(())
    }

    fn poll_stalled(&mut self, _: &Context<'_>) -> Step<bool> {
        self.check_cut().map(|()| false)
    }

    /// The caller keeps the time.
    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _: Instant, _: u64) -> Result<()> {
        Ok(())
    }
}
