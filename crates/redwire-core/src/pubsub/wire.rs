//! What was said on a connection of the subscriptions: what the server was asked, what it has confirmed, and
//! what it is to be asked next. This file must not know sockets or clocks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::PubSub;
use super::conn::{ConnId, PubSubConn};
use super::event::{ChannelKind, Message, SubscriptionEvent};
use super::frame::{self, Frame};
use super::subscribers::SubscriptionEnd;
use crate::call::Call;
use crate::cmd::Cmd;
use crate::error::{ConnectionFault, Error, ErrorKind, Outcome, Result};
use crate::inbound::Frames;
use crate::liveness::Verdict;
use crate::outage::heals;
use crate::outbox::Outbox;
use crate::reply::Value;
use crate::secret::Secret;
use crate::standing::forgotten;

/// A command names no more than this, so that the server never works long on one.
const MOST_NAMES: usize = 1000;

/// A payload smaller than this is copied, so that it does not keep a whole read buffer alive.
const SHARED_FROM: usize = 4 * 1024;

/// After so many bytes without a pause the server may have more to send than what has come, in a buffer that
/// has a limit. Less than this fits into the buffers of any socket.
const BURST: usize = 16 * 1024;

/// A name that a subscriber wants, or that the server was told of.
#[derive(Debug, Default)]
pub(super) struct Name {
    pub(super) wire: NameState,
    pub(super) wanted_by: Vec<u32>,
    /// Whether it is asked for by itself, since the server refused it together with others.
    alone: bool,
    /// Where it is asked for; `None` while no node is known for it.
    pub(super) conn: Option<ConnId>,
    /// Whether it is to be left here, though it is wanted: another node has it now.
    pub(super) leaves: bool,
    /// Whether it was left here since no subscriber wanted it.
    unwanted: bool,
    /// The connection whose node has left it out by itself, until it is known who serves it now.
    pub(super) left_by: Option<ConnId>,
    /// How often it was sent away since it was last confirmed.
    pub(super) strikes: u32,
}

/// What the server knows of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum NameState {
    #[default]
    Absent,
    Asked,
    Up,
    Leaving,
}

/// What the server has to answer.
#[derive(Debug)]
pub(super) enum OwedReply {
    Ping,
    /// With the secrets that were presented.
    Auth(Vec<Secret>),
    Names {
        batch: CommandBatch,
        /// In the order of the answers.
        names: VecDeque<Bytes>,
    },
}

/// What goes into one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CommandBatch {
    leaves: bool,
    pub(super) kind: ChannelKind,
    /// In a cluster the slot of all its names: a node takes no others together.
    slot: Option<u16>,
    /// The subscriber for which alone it is sent, and which alone fails when it is refused.
    owner: Option<u32>,
}

impl CommandBatch {
    fn verb(self) -> &'static str {
        match (self.leaves, self.kind) {
            (false, ChannelKind::Channel) => "SUBSCRIBE",
            (false, ChannelKind::Pattern) => "PSUBSCRIBE",
            (false, ChannelKind::Shard) => "SSUBSCRIBE",
            (true, ChannelKind::Channel) => "UNSUBSCRIBE",
            (true, ChannelKind::Pattern) => "PUNSUBSCRIBE",
            (true, ChannelKind::Shard) => "SUNSUBSCRIBE",
        }
    }
}

impl<W> PubSub<W> {
    /// There is a connection, on which nothing was said yet.
    pub fn handle_connected(&mut self, conn: ConnId, now: Instant) {
        self.handle_down(conn);
        let dependents = self.dependents(conn);
        let Some(this) = self.conns.get_mut(&conn) else { return };
        this.keeper.handle_connected(now, 0);
        (this.answered, this.read, this.quiet, this.heard) = (false, Some(now), None, Some(now));
        let again = std::mem::replace(&mut this.was_connected, true);
        this.liveness.handle_connected(now);
        for kind in ChannelKind::ALL {
            let names = self.names[kind as usize].iter().filter(|(_, name)| name.conn == Some(conn));
            this.changed.extend(names.map(|(name, _)| (kind, name.clone())));
        }
        for id in dependents {
            let Some(subscriber) = self.subscribers.get(id) else { continue };
            if subscriber.open_gap.is_some() && again {
                subscriber.queue.handle_reconnected();
                self.subscribers.wake(id);
            }
        }
        self.handle_held();
    }

    /// There is no connection: no name is subscribed to on it, and subscribers that heard one miss messages.
    pub(super) fn handle_down(&mut self, conn: ConnId) {
        let Some(this) = self.conns.get_mut(&conn) else { return };
        this.touched = true;
        (this.wants_ping, this.pinged, this.burst) = (false, None, 0);
        this.asked.clear();
        this.refused = None;
        this.changed.clear();
        this.liveness.handle_lost();
        this.quiet = None;
        let (behind, heard) = (this.behind.take(), this.heard.take());
        let since = behind.or(heard);
        for table in &mut self.names {
            table.retain(|_, name| {
                if name.conn != Some(conn) {
                    return true;
                }
                if let (NameState::Up, Some(since)) = (name.wire, since) {
                    for &id in &name.wanted_by {
                        let Some(subscriber) = self.subscribers.get(id) else { continue };
                        subscriber.missing += 1;
                        subscriber.open_hole(since);
                    }
                }
                (name.wire, name.alone, name.leaves) = (NameState::Absent, false, false);
                !name.wanted_by.is_empty()
            });
        }
        // A gap that was told in part may have become larger.
        for id in self.subscribers.ids() {
            if let Some(subscriber) = self.subscribers.get(id)
                && let (Some(_), Some(since)) = (subscriber.open_gap, since)
            {
                subscriber.open_hole(since);
            }
        }
    }

    /// Whether something is to be sent.
    #[inline]
    #[must_use]
    pub fn wants_transmit(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|conn| {
            conn.keeper.is_up() && (!conn.changed.is_empty() || (conn.wants_ping && conn.pinged.is_none()))
        })
    }

    /// Appends what is to be sent; says whether there was anything. Names are gathered into few commands.
    pub fn poll_transmit(&mut self, conn: ConnId, outbox: &mut Outbox) -> bool {
        if !self.wants_transmit(conn) {
            return false;
        }
        let changed = self.conns.get_mut(&conn).map(|conn| std::mem::take(&mut conn.changed));
        let mut batches: BTreeMap<CommandBatch, Vec<Bytes>> = BTreeMap::new();
        let mut apart = Vec::new();
        for (kind, text) in changed.unwrap_or_default() {
            let Some(batch) = self.batch(kind, &text) else { continue };
            if batch.leaves {
                self.handle_leaving(conn, kind, &text);
            }
            let Some(name) = self.names[kind as usize].get_mut(&text) else { continue };
            name.wire = if batch.leaves { NameState::Leaving } else { NameState::Asked };
            name.unwanted = batch.leaves && name.wanted_by.is_empty();
            if name.alone {
                apart.push((batch, vec![text]));
            } else {
                batches.entry(batch).or_default().push(text);
            }
        }
        let Some(this) = self.conns.get_mut(&conn) else { return false };
        for (batch, names) in apart.into_iter().chain(batches) {
            names.chunks(MOST_NAMES).for_each(|names| this.ask(batch, names, outbox));
        }
        if this.wants_ping && this.pinged.is_none() {
            (this.wants_ping, this.pinged, this.burst) = (false, this.read, 0);
            this.asked.push_back(OwedReply::Ping);
            outbox.copy(b"*1\r\n$4\r\nPING\r\n");
        }
        !outbox.is_empty()
    }

    /// A name is left. Subscribers that want it all the same, elsewhere, miss messages from now on.
    fn handle_leaving(&mut self, conn: ConnId, kind: ChannelKind, text: &Bytes) {
        let since = self.conns.get(&conn).and_then(PubSubConn::complete_until);
        let Some(name) = self.names[kind as usize].get_mut(text) else { return };
        name.leaves = false;
        for &id in &name.wanted_by {
            let (Some(subscriber), Some(since)) = (self.subscribers.get(id), since) else { continue };
            subscriber.missing += 1;
            subscriber.open_hole(since);
        }
    }

    /// Presents new credentials by `auth`, appended to what is to be sent. Only where RESP3 is spoken: in
    /// RESP2 a subscribed connection does not take the command.
    pub fn present(&mut self, conn: ConnId, auth: &Cmd<Value>, outbox: &mut Outbox) {
        if let Some(conn) = self.conns.get_mut(&conn).filter(|conn| conn.keeper.is_up()) {
            auth.write(outbox);
            conn.asked.push_back(OwedReply::Auth(auth.secrets()));
        }
    }

    /// Why the server refused the credentials that were presented last: the connection goes on as the former
    /// user.
    pub fn poll_refused(&mut self, conn: ConnId) -> Option<Error> {
        self.conns.get_mut(&conn)?.refused.take()
    }

    /// What the server is to be told of a name, if anything.
    fn batch(&mut self, kind: ChannelKind, text: &Bytes) -> Option<CommandBatch> {
        let slot = self.slot_of(kind, text);
        let name = self.names[kind as usize].get(text)?;
        match name.wire {
            NameState::Up if name.wanted_by.is_empty() || name.leaves => {
                Some(CommandBatch { leaves: true, kind, slot, owner: None })
            }
            NameState::Absent => {
                // A subscriber that has been promised it does not fail with what others ask for.
                let mut owner = Some(*name.wanted_by.first()?);
                for &id in &name.wanted_by {
                    let pending = self.subscribers.get(id).and_then(|subscriber| subscriber.pending.as_ref());
                    if !pending.is_some_and(|pending| pending.contains(text)) {
                        owner = None;
                    }
                }
                Some(CommandBatch { leaves: false, kind, slot, owner })
            }
            NameState::Up | NameState::Asked | NameState::Leaving => None,
        }
    }

    /// Something came: messages go to the subscribers that want them, answers to those that asked.
    ///
    /// # Errors
    /// What no server says to subscribers, or an answer to nothing that was asked: the connection must not be
    /// used any more. So with a server that cannot confirm now what it did before, and with a [large
    /// frame](Frames::has_large_rest) that is not whole yet when no name is subscribed to.
    pub fn handle_frames(&mut self, conn: ConnId, frames: &mut Frames, now: Instant) -> Result<()> {
        let Some(this) = self.conns.get_mut(&conn).filter(|conn| conn.keeper.is_up()) else { return Ok(()) };
        this.read = Some(now);
        // The connection was alive: what comes is in order, and so all that was sent by then has come.
        this.heard = this.heard.max(this.quiet);
        let before = this.heard;
        let bytes = std::mem::take(&mut frames.bytes);
        let mut start = 0;
        for &(end, push) in &frames.ends {
            match frame::read(&bytes[start..end], push)? {
                Frame::Message { kind, name, channel, payload } => {
                    self.deliver(conn, (kind, name), channel, payload, &bytes, now);
                }
                Frame::Subscribed(kind, name) => self.handle_subscribed(conn, kind, name)?,
                Frame::Unsubscribed(kind, name) => {
                    self.handle_unsubscribed(conn, kind, name, before.unwrap_or(now));
                }
                Frame::Answer => self.handle_answer(conn)?,
                Frame::Error(text) => self.handle_error(conn, &Error::from_server(text))?,
                Frame::Other => {}
            }
            start = end;
        }
        self.handle_held();
        if let Some(this) = self.conns.get_mut(&conn) {
            this.handle_burst(bytes.len());
        }
        if frames.has_large_rest() && !self.is_wanted(conn) { frames.check_unwanted() } else { Ok(()) }
    }

    /// At the time `at` there was nothing to be read, and there is nothing unread that had come by then.
    ///
    /// What is read later may have come at any time since: a subscriber may be slow, its thread busy, the
    /// process suspended. So a gap begins here, and not where something was last read. But only if something
    /// was read later: or else the connection may have been dead by then, and messages lost on the way.
    pub fn handle_quiet(&mut self, conn: ConnId, at: Instant) {
        if let Some(this) = self.conns.get_mut(&conn) {
            (this.quiet, this.burst) = (this.quiet.max(Some(at)), 0);
        }
    }

    /// Nothing is read while a subscriber has no room: what comes afterwards may be old.
    #[inline]
    pub(super) fn handle_held(&mut self) {
        if self.subscribers.holds() {
            for conn in self.conns.values_mut().filter(|conn| conn.behind.is_none()) {
                conn.behind = conn.heard;
            }
        }
    }

    /// What was asked for `id` alone goes on for other subscribers that want it: those that asked have left,
    /// or ask for something else.
    pub(super) fn disown(&mut self, id: u32) {
        for question in self.conns.values_mut().flat_map(|conn| &mut conn.asked) {
            if let OwedReply::Names { batch, .. } = question
                && batch.owner == Some(id)
            {
                batch.owner = None;
            }
        }
    }

    #[inline]
    fn deliver(
        &mut self,
        conn: ConnId,
        (kind, name): (ChannelKind, &[u8]),
        channel: &[u8],
        payload: &[u8],
        owner: &Bytes,
        now: Instant,
    ) {
        let Some((key, name)) = self.names[kind as usize].get_key_value(name) else { return };
        let Some((last, others)) = name.wanted_by.split_last() else { return };
        // A subscriber that wants it while it is being left, since none did, hears of it once it is confirmed
        // anew: what is published in between will not come.
        let is_left = name.wire == NameState::Leaving && name.unwanted;
        if name.conn != Some(conn) || is_left {
            return;
        }
        let size = channel.len() + payload.len();
        let share = |bytes: &[u8]| {
            if bytes.len() >= SHARED_FROM { owner.slice_ref(bytes) } else { Bytes::copy_from_slice(bytes) }
        };
        let (channel, pattern) = if kind == ChannelKind::Pattern {
            (share(channel), Some(key.clone()))
        } else {
            (key.clone(), None)
        };
        let message = Message { kind, channel, pattern, payload: share(payload) };
        for id in others {
            self.subscribers.tell(*id, SubscriptionEvent::Message(message.clone()), size, Some(now));
        }
        self.subscribers.tell(*last, SubscriptionEvent::Message(message), size, Some(now));
    }

    fn handle_subscribed(&mut self, conn: ConnId, kind: ChannelKind, text: &[u8]) -> Result<()> {
        let Some(this) = self.conns.get_mut(&conn) else { return Ok(()) };
        if !this.is_answered(false, kind, text) {
            return Err(out_of_step());
        }
        this.answered = true;
        if !self.is_replica_now(conn, kind, text) {
            self.handle_up(kind, text);
        }
        Ok(())
    }

    /// Subscribers that want the name hear it from now on.
    fn handle_up(&mut self, kind: ChannelKind, text: &[u8]) {
        let Some((key, name)) = self.names[kind as usize].get_key_value(text) else { return };
        let (key, wanted_by) = (key.clone(), name.wanted_by.clone());
        if let Some(name) = self.names[kind as usize].get_mut(text) {
            (name.wire, name.alone, name.left_by, name.strikes) = (NameState::Up, false, None, 0);
        }
        for &id in &wanted_by {
            if let Some(subscriber) = self.subscribers.get(id) {
                subscriber.missing -= 1;
            }
            self.subscribers.confirm(id, &key, SubscriptionEvent::Subscribed);
            self.handle_confirmed(id);
        }
        if wanted_by.is_empty() {
            self.handle_changed(kind, key);
        }
    }

    /// The server has left a name out: because it was told so, or on its own account, as when a shard moves
    /// away.
    fn handle_unsubscribed(&mut self, conn: ConnId, kind: ChannelKind, text: &[u8], before: Instant) {
        let Some(this) = self.conns.get_mut(&conn) else { return };
        let is_answer = this.is_answered(true, kind, text);
        let since = this.behind.unwrap_or(before);
        let Some((key, name)) = self.names[kind as usize].get_key_value(text) else { return };
        let (key, was, wanted_by) = (key.clone(), name.wire, name.wanted_by.clone());
        if !matches!(was, NameState::Up | NameState::Leaving) || name.conn != Some(conn) {
            return;
        }
        if wanted_by.is_empty() {
            self.names[kind as usize].remove(&key);
            return;
        }
        if let Some(name) = self.names[kind as usize].get_mut(&key) {
            (name.wire, name.leaves) = (NameState::Absent, false);
        }
        for id in wanted_by.into_iter().filter(|_| was == NameState::Up) {
            if let Some(subscriber) = self.subscribers.get(id) {
                subscriber.missing += 1;
                subscriber.open_hole(since);
            }
            self.subscribers.confirm(id, &key, SubscriptionEvent::Unsubscribed);
        }
        if !self.handle_left(conn, kind, &key, is_answer) {
            self.find_conn(kind, &key);
        }
    }

    /// An answer to what is no wish.
    fn handle_answer(&mut self, conn: ConnId) -> Result<()> {
        let Some(this) = self.conns.get_mut(&conn) else { return Ok(()) };
        match this.asked.pop_front() {
            Some(OwedReply::Auth(_)) => return Ok(()),
            Some(OwedReply::Ping) => {}
            Some(OwedReply::Names { .. }) | None => return Err(out_of_step()),
        }
        // What the server said before it answered is read by now.
        let known = this.pinged.take();
        this.heard = this.heard.max(known);
        if !this.wants_ping && !self.subscribers.holds() {
            this.behind = None;
        } else if this.behind.is_some() {
            this.behind = this.behind.max(known);
        }
        this.answered = true;
        Ok(())
    }

    /// The server refused the oldest command as a whole.
    fn handle_error(&mut self, conn: ConnId, error: &Error) -> Result<()> {
        let stale = self.redirection(conn, error);
        let Some(this) = self.conns.get_mut(&conn) else { return Ok(()) };
        let slot = match this.asked.front() {
            Some(OwedReply::Names { batch, .. }) => batch.slot,
            _ => None,
        };
        match this.asked.front() {
            // It answers a command to leave names which the server had left out by itself by then, as it had
            // told.
            _ if stale.is_some_and(|redirect| Some(redirect.slot) != slot) => Ok(()),
            None => Err(error.clone().with_outcome(Outcome::MaybeExecuted)),
            // Names are asked for on the next connection.
            Some(OwedReply::Ping | OwedReply::Names { .. }) if this.answered && error.wants_password() => {
                Err(forgotten(error))
            }
            // Whatever it answers, it answers.
            Some(OwedReply::Ping) => self.handle_answer(conn),
            Some(OwedReply::Auth(secrets)) => {
                this.refused = Some(error.clone().without(secrets).with_command("AUTH"));
                self.handle_answer(conn)
            }
            Some(OwedReply::Names { .. }) => {
                let Some(OwedReply::Names { batch, names }) = this.asked.pop_front() else { return Ok(()) };
                let names = Vec::from(names);
                let error = error.clone().with_command(batch.verb());
                let error = match &this.node {
                    Some(node) => error.with_address(&node.to_string().into()),
                    None => error,
                };
                self.handle_refused(conn, batch, &names, &error)
            }
        }
    }

    fn handle_refused(
        &mut self,
        conn: ConnId,
        batch: CommandBatch,
        names: &[Bytes],
        error: &Error,
    ) -> Result<()> {
        if batch.leaves && self.redirection(conn, error).is_some() {
            let now = self.conns.get(&conn).and_then(PubSubConn::complete_until);
            for (text, now) in names.iter().zip(std::iter::repeat(now).flatten()) {
                self.handle_unsubscribed(conn, batch.kind, text, now);
            }
            return Ok(());
        }
        if batch.leaves {
            // What cannot be left stays; a name that no subscriber wants reaches none.
            for text in names {
                self.handle_up(batch.kind, text);
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.changed.remove(&(batch.kind, text.clone()));
                }
            }
            return Ok(());
        }
        if self.handle_turned_away(conn, batch, names, error) {
            return Ok(());
        }
        if batch.owner.is_none() && heals(error) {
            return Err(error.clone());
        }
        let alone = batch.owner.is_none() && names.len() > 1;
        for text in names {
            let table = &mut self.names[batch.kind as usize];
            let Some(name) = table.get_mut(text) else { continue };
            (name.wire, name.alone) = (NameState::Absent, alone);
            if name.wanted_by.is_empty() {
                table.remove(text);
            } else {
                self.handle_changed(batch.kind, text.clone());
            }
        }
        match batch.owner {
            Some(id) => self.refuse(id, error),
            None if alone => {}
            None => names.iter().for_each(|text| self.fail(batch.kind, text, error)),
        }
        Ok(())
    }

    /// The server does not allow a name: that is the end for subscribers that had it, and the answer to those
    /// that ask for it.
    fn fail(&mut self, kind: ChannelKind, text: &Bytes, error: &Error) {
        let Some(name) = self.names[kind as usize].get(text) else { return };
        for id in name.wanted_by.clone() {
            let pending = self.subscribers.get(id).and_then(|subscriber| subscriber.pending.as_ref());
            if pending.is_some_and(|pending| pending.contains(text)) {
                self.refuse(id, error);
            } else {
                self.end(id, error, SubscriptionEnd::Failed(error.clone()));
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self, conn: ConnId) -> Option<Instant> {
        self.conns.get(&conn)?.liveness.poll_timeout()
    }

    /// Asks a silent peer whether it lives; `received` is how many bytes have come in all, as far as the
    /// driver counts them.
    ///
    /// # Errors
    /// The peer has been silent for too long, though it was asked: the connection is dead.
    pub fn handle_timeout(&mut self, conn: ConnId, now: Instant, received: u64) -> Result<()> {
        let Some(this) = self.conns.get_mut(&conn) else { return Ok(()) };
        if this.liveness.poll_timeout().is_none_or(|tick| now < tick) {
            return Ok(());
        }
        // Nothing comes where nothing is read.
        this.excused += u64::from(self.subscribers.holds());
        match this.liveness.handle_timeout(now, received.wrapping_add(this.excused)) {
            Verdict::Fine | Verdict::Doubt => Ok(()),
            Verdict::Ask => {
                this.wants_ping = true;
                Ok(())
            }
            Verdict::Dead => Err(Error::silent_peer(Outcome::MaybeExecuted)),
        }
    }
}

impl PubSubConn {
    /// So many bytes were read at a time. Where there is much, only the answer to a question tells that it is
    /// all.
    #[inline]
    fn handle_burst(&mut self, bytes: usize) {
        self.burst += bytes;
        if self.burst >= BURST {
            (self.burst, self.wants_ping, self.touched) = (0, true, true);
            self.behind = self.behind.or(self.heard);
        }
    }

    fn ask(&mut self, batch: CommandBatch, names: &[Bytes], outbox: &mut Outbox) {
        let mut command = Vec::new();
        redwire_resp::write_array_header(&mut command, names.len() + 1);
        redwire_resp::write_bulk(&mut command, batch.verb().as_bytes());
        names.iter().for_each(|name| redwire_resp::write_bulk(&mut command, name));
        outbox.copy(&command);
        self.asked.push_back(OwedReply::Names { batch, names: names.iter().cloned().collect() });
    }

    /// Whether this answers the oldest question; if so, it is answered.
    fn is_answered(&mut self, leaves: bool, kind: ChannelKind, text: &[u8]) -> bool {
        let Some(OwedReply::Names { batch, names }) = self.asked.front_mut() else { return false };
        if batch.leaves != leaves || batch.kind != kind || names.front().is_none_or(|name| name != text) {
            return false;
        }
        names.pop_front();
        if names.is_empty() {
            self.asked.pop_front();
        }
        true
    }
}

#[cold]
fn out_of_step() -> Error {
    let message = "expected answers in the order of the questions; this one answers nothing that was asked";
    Error::new(ErrorKind::Connection(ConnectionFault::Reset), Outcome::MaybeExecuted, message)
}
