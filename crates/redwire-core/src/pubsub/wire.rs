//! What was said on the connection of the subscriptions: what the server was asked, what it has confirmed, and what it is to be
//! asked next. This file must not know sockets or clocks.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::PubSub;
use super::audience::End;
use super::frame::{self, Frame};
use super::item::{Item, Kind, Message};
use crate::call::Call;
use crate::cmd::Cmd;
use crate::error::{ConnectionFault, Error, ErrorKind, Outcome, Result};
use crate::inbound::Frames;
use crate::liveness::Verdict;
use crate::outage::heals;
use crate::outbox::Outbox;
use crate::reply::Value;

/// A command names no more than this, so that the server never works long on one.
const MOST_NAMES: usize = 1000;

/// A payload smaller than this is copied, so that it does not keep a whole read buffer alive.
const SHARED_FROM: usize = 4 * 1024;

/// A name that somebody wants, or that the server was told of.
#[derive(Debug, Default)]
pub(super) struct Name {
    pub(super) wire: Wire,
    pub(super) wanted_by: Vec<u32>,
    /// Whether it is asked for by itself, since the server refused it together with others.
    alone: bool,
}

/// What the server knows of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Wire {
    #[default]
    Absent,
    Asked,
    Up,
    Leaving,
}

/// What the server has to answer.
#[derive(Debug)]
pub(super) enum Question {
    Ping,
    Auth,
    Names {
        batch: Batch,
        /// In the order of the answers.
        names: VecDeque<Bytes>,
    },
}

/// What goes into one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Batch {
    leaves: bool,
    kind: Kind,
    /// The subscriber for which alone it is sent, and which alone fails when it is refused.
    owner: Option<u32>,
}

impl Batch {
    fn verb(self) -> &'static str {
        match (self.leaves, self.kind) {
            (false, Kind::Channel) => "SUBSCRIBE",
            (false, Kind::Pattern) => "PSUBSCRIBE",
            (false, Kind::Shard) => "SSUBSCRIBE",
            (true, Kind::Channel) => "UNSUBSCRIBE",
            (true, Kind::Pattern) => "PUNSUBSCRIBE",
            (true, Kind::Shard) => "SUNSUBSCRIBE",
        }
    }
}

impl<W> PubSub<W> {
    /// There is a connection, on which nothing was said yet.
    pub fn handle_connected(&mut self, now: Instant) {
        self.handle_down();
        self.is_connected = true;
        self.heard = Some(now);
        self.liveness.handle_connected(now);
        for kind in Kind::ALL {
            self.changed.extend(self.names[kind as usize].keys().map(|name| (kind, name.clone())));
        }
        for id in self.audience.ids() {
            let Some(subscriber) = self.audience.get(id) else { continue };
            if subscriber.hole.is_some() {
                subscriber.inbox.handle_reconnected();
                self.audience.wake(id);
            }
        }
        self.handle_held();
    }

    /// There is no connection: nobody is subscribed to anything, and who was misses messages.
    pub(super) fn handle_down(&mut self) {
        self.is_connected = false;
        (self.wants_ping, self.pinged) = (false, false);
        self.asked.clear();
        self.refused = None;
        self.changed.clear();
        self.liveness.handle_lost();
        let (behind, heard) = (self.behind.take(), self.heard.take());
        let since = behind.or(heard);
        for table in &mut self.names {
            table.retain(|_, name| {
                if let (Wire::Up, Some(since)) = (name.wire, since) {
                    for &id in &name.wanted_by {
                        let Some(subscriber) = self.audience.get(id) else { continue };
                        subscriber.missing += 1;
                        subscriber.open_hole(since);
                    }
                }
                (name.wire, name.alone) = (Wire::Absent, false);
                !name.wanted_by.is_empty()
            });
        }
        // A hole that was told in part may have become larger.
        for id in self.audience.ids() {
            if let Some(subscriber) = self.audience.get(id)
                && let (Some(_), Some(since)) = (subscriber.hole, since)
            {
                subscriber.open_hole(since);
            }
        }
    }

    /// Whether something is to be sent.
    #[inline]
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        self.is_connected && (!self.changed.is_empty() || (self.wants_ping && !self.pinged))
    }

    /// Appends what is to be sent; says whether there was anything. Names are gathered into few commands.
    pub fn poll_transmit(&mut self, outbox: &mut Outbox) -> bool {
        if !self.wants_transmit() {
            return false;
        }
        let mut batches: BTreeMap<Batch, Vec<Bytes>> = BTreeMap::new();
        for (kind, text) in std::mem::take(&mut self.changed) {
            let Some(batch) = self.batch(kind, &text) else { continue };
            let Some(name) = self.names[kind as usize].get_mut(&text) else { continue };
            name.wire = if batch.leaves { Wire::Leaving } else { Wire::Asked };
            if name.alone {
                self.ask(batch, &[text], outbox);
            } else {
                batches.entry(batch).or_default().push(text);
            }
        }
        for (batch, names) in batches {
            names.chunks(MOST_NAMES).for_each(|names| self.ask(batch, names, outbox));
        }
        if self.wants_ping && !self.pinged {
            (self.wants_ping, self.pinged) = (false, true);
            self.asked.push_back(Question::Ping);
            outbox.copy(b"*1\r\n$4\r\nPING\r\n");
        }
        !outbox.is_empty()
    }

    /// Presents new credentials by `auth`, appended to what is to be sent. Only where RESP3 is spoken: in RESP2 a subscribed
    /// connection does not take the command.
    pub fn present(&mut self, auth: &Cmd<Value>, outbox: &mut Outbox) {
        if self.is_connected {
            auth.write(outbox);
            self.asked.push_back(Question::Auth);
        }
    }

    /// Why the server refused the credentials that were presented last: the connection goes on as who it was.
    pub fn poll_refused(&mut self) -> Option<Error> {
        self.refused.take()
    }

    /// What the server is to be told of a name, if anything.
    fn batch(&mut self, kind: Kind, text: &Bytes) -> Option<Batch> {
        let name = self.names[kind as usize].get(text)?;
        match name.wire {
            Wire::Up if name.wanted_by.is_empty() => Some(Batch { leaves: true, kind, owner: None }),
            Wire::Absent => {
                // Somebody who has been promised it does not fail with what others ask for.
                let mut owner = Some(*name.wanted_by.first()?);
                for &id in &name.wanted_by {
                    let pending = self.audience.get(id).and_then(|subscriber| subscriber.pending.as_ref());
                    if !pending.is_some_and(|pending| pending.contains(text)) {
                        owner = None;
                    }
                }
                Some(Batch { leaves: false, kind, owner })
            }
            Wire::Up | Wire::Asked | Wire::Leaving => None,
        }
    }

    fn ask(&mut self, batch: Batch, names: &[Bytes], outbox: &mut Outbox) {
        let mut command = Vec::new();
        redwire_resp::write_array_header(&mut command, names.len() + 1);
        redwire_resp::write_bulk(&mut command, batch.verb().as_bytes());
        names.iter().for_each(|name| redwire_resp::write_bulk(&mut command, name));
        outbox.copy(&command);
        self.asked.push_back(Question::Names { batch, names: names.iter().cloned().collect() });
    }

    /// Something came: messages go to those who want them, answers to those who asked.
    ///
    /// # Errors
    /// What no server says to subscribers, or an answer to nothing that was asked: the connection must not be used any more. So
    /// with a server that cannot confirm now what it did before.
    pub fn handle_frames(&mut self, frames: &mut Frames, now: Instant) -> Result<()> {
        if !self.is_connected {
            return Ok(());
        }
        let before = self.heard.replace(now);
        let bytes = std::mem::take(&mut frames.bytes);
        let mut start = 0;
        for &(end, push) in &frames.ends {
            match frame::read(&bytes[start..end], push)? {
                Frame::Message { kind, name, channel, payload } => {
                    self.deliver(kind, name, channel, payload, &bytes, now);
                }
                Frame::Subscribed(kind, name) => self.handle_subscribed(kind, name)?,
                Frame::Unsubscribed(kind, name) => {
                    self.handle_unsubscribed(kind, name, before.unwrap_or(now));
                }
                Frame::Answer => self.handle_answer()?,
                Frame::Error(line) => self.handle_error(&Error::from_server(line))?,
                Frame::Other => {}
            }
            start = end;
        }
        self.handle_held();
        Ok(())
    }

    /// Nothing is read while a subscriber has no room: what comes afterwards may be old.
    #[inline]
    pub(super) fn handle_held(&mut self) {
        if self.audience.holds() && self.behind.is_none() {
            self.behind = self.heard;
        }
    }

    /// What was asked for `id` alone goes on for whoever else wants it: those who asked have left, or ask for something else.
    pub(super) fn disown(&mut self, id: u32) {
        for question in &mut self.asked {
            if let Question::Names { batch, .. } = question
                && batch.owner == Some(id)
            {
                batch.owner = None;
            }
        }
    }

    #[inline]
    fn deliver(
        &mut self,
        kind: Kind,
        name: &[u8],
        channel: &[u8],
        payload: &[u8],
        owner: &Bytes,
        now: Instant,
    ) {
        let Some((key, name)) = self.names[kind as usize].get_key_value(name) else { return };
        let Some((last, others)) = name.wanted_by.split_last() else { return };
        let size = channel.len() + payload.len();
        let share = |bytes: &[u8]| {
            if bytes.len() >= SHARED_FROM { owner.slice_ref(bytes) } else { Bytes::copy_from_slice(bytes) }
        };
        let (channel, pattern) =
            if kind == Kind::Pattern { (share(channel), Some(key.clone())) } else { (key.clone(), None) };
        let message = Message { kind, channel, pattern, payload: share(payload) };
        for id in others {
            self.audience.tell(*id, Item::Message(message.clone()), size, Some(now));
        }
        self.audience.tell(*last, Item::Message(message), size, Some(now));
    }

    fn handle_subscribed(&mut self, kind: Kind, text: &[u8]) -> Result<()> {
        if !self.is_answered(false, kind, text) {
            return Err(out_of_step());
        }
        self.outage.handle_connected();
        self.handle_up(kind, text);
        Ok(())
    }

    /// Whoever wants the name hears it from now on.
    fn handle_up(&mut self, kind: Kind, text: &[u8]) {
        let Some((key, name)) = self.names[kind as usize].get_key_value(text) else { return };
        let (key, wanted_by) = (key.clone(), name.wanted_by.clone());
        if let Some(name) = self.names[kind as usize].get_mut(text) {
            (name.wire, name.alone) = (Wire::Up, false);
        }
        for &id in &wanted_by {
            if let Some(subscriber) = self.audience.get(id) {
                subscriber.missing -= 1;
            }
            self.audience.confirm(id, &key, Item::Subscribed);
            self.settle(id);
        }
        if wanted_by.is_empty() {
            self.changed.insert((kind, key));
        }
    }

    /// The server has left a name out: because it was told so, or on its own account, as when a shard moves away.
    fn handle_unsubscribed(&mut self, kind: Kind, text: &[u8], before: Instant) {
        self.is_answered(true, kind, text);
        let Some((key, name)) = self.names[kind as usize].get_key_value(text) else { return };
        let (key, was, wanted_by) = (key.clone(), name.wire, name.wanted_by.clone());
        if !matches!(was, Wire::Up | Wire::Leaving) {
            return;
        }
        if wanted_by.is_empty() {
            self.names[kind as usize].remove(&key);
            return;
        }
        if let Some(name) = self.names[kind as usize].get_mut(&key) {
            name.wire = Wire::Absent;
        }
        for id in wanted_by.into_iter().filter(|_| was == Wire::Up) {
            if let Some(subscriber) = self.audience.get(id) {
                subscriber.missing += 1;
                subscriber.open_hole(self.behind.unwrap_or(before));
            }
            self.audience.confirm(id, &key, Item::Unsubscribed);
        }
        self.changed.insert((kind, key));
    }

    /// Whether this answers the oldest question; if so, it is answered.
    fn is_answered(&mut self, leaves: bool, kind: Kind, text: &[u8]) -> bool {
        let Some(Question::Names { batch, names }) = self.asked.front_mut() else { return false };
        if batch.leaves != leaves || batch.kind != kind || names.front().is_none_or(|name| name != text) {
            return false;
        }
        names.pop_front();
        if names.is_empty() {
            self.asked.pop_front();
        }
        true
    }

    /// An answer to what is no wish.
    fn handle_answer(&mut self) -> Result<()> {
        match self.asked.pop_front() {
            Some(Question::Auth) => return Ok(()),
            Some(Question::Ping) => {}
            Some(Question::Names { .. }) | None => return Err(out_of_step()),
        }
        self.pinged = false;
        if !self.wants_ping && !self.audience.holds() {
            self.behind = None;
        }
        self.outage.handle_connected();
        Ok(())
    }

    /// The server refused the oldest command as a whole.
    fn handle_error(&mut self, error: &Error) -> Result<()> {
        match self.asked.front() {
            None => Err(error.clone().with_outcome(Outcome::MaybeExecuted)),
            // Whatever it answers, it answers.
            Some(Question::Ping) => self.handle_answer(),
            Some(Question::Auth) => {
                self.refused = Some(error.clone().with_command("AUTH"));
                self.handle_answer()
            }
            Some(Question::Names { .. }) => {
                let Some(Question::Names { batch, names }) = self.asked.pop_front() else { return Ok(()) };
                self.handle_refused(batch, &names, &error.clone().with_command(batch.verb()))
            }
        }
    }

    fn handle_refused(&mut self, batch: Batch, names: &VecDeque<Bytes>, error: &Error) -> Result<()> {
        if batch.leaves {
            // What cannot be left stays; where nobody wants it, nobody hears it.
            for text in names {
                self.handle_up(batch.kind, text);
                self.changed.remove(&(batch.kind, text.clone()));
            }
            return Ok(());
        }
        if batch.owner.is_none() && heals(error) {
            return Err(error.clone());
        }
        let alone = batch.owner.is_none() && names.len() > 1;
        for text in names {
            let table = &mut self.names[batch.kind as usize];
            let Some(name) = table.get_mut(text) else { continue };
            (name.wire, name.alone) = (Wire::Absent, alone);
            if name.wanted_by.is_empty() {
                table.remove(text);
            } else {
                self.changed.insert((batch.kind, text.clone()));
            }
        }
        match batch.owner {
            Some(id) => self.refuse(id, error),
            None if alone => {}
            None => names.iter().for_each(|text| self.fail(batch.kind, text, error)),
        }
        Ok(())
    }

    /// The server does not allow a name: that is the end for those who had it, and the answer to those who ask for it.
    fn fail(&mut self, kind: Kind, text: &Bytes, error: &Error) {
        let Some(name) = self.names[kind as usize].get(text) else { return };
        for id in name.wanted_by.clone() {
            let pending = self.audience.get(id).and_then(|subscriber| subscriber.pending.as_ref());
            if pending.is_some_and(|pending| pending.contains(text)) {
                self.refuse(id, error);
            } else {
                self.end(id, error, End::Failed(error.clone()));
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.liveness.poll_timeout()
    }

    /// Asks a silent peer whether it lives; `received` is how many bytes have come in all, as far as the driver counts them.
    ///
    /// # Errors
    /// The peer has been silent for too long, though it was asked: the connection is dead.
    pub fn handle_timeout(&mut self, now: Instant, received: u64) -> Result<()> {
        if self.liveness.poll_timeout().is_none_or(|tick| now < tick) {
            return Ok(());
        }
        // Nothing comes where nothing is read.
        self.excused += u64::from(self.audience.holds());
        match self.liveness.handle_timeout(now, received.wrapping_add(self.excused)) {
            Verdict::Fine | Verdict::Doubt => Ok(()),
            Verdict::Ask => {
                self.wants_ping = true;
                Ok(())
            }
            Verdict::Dead => Err(Error::silent_peer(Outcome::MaybeExecuted)),
        }
    }
}

#[cold]
fn out_of_step() -> Error {
    let message = "expected answers in the order of the questions; this one answers nothing that was asked";
    Error::new(ErrorKind::Connection(ConnectionFault::Reset), Outcome::MaybeExecuted, message)
}
