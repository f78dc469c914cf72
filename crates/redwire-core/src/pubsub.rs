//! Publish/subscribe as desired state: what each subscriber wants to hear, and what the server must be told
//! for that.
//!
//! Subscriptions are wishes, which outlive connections. Names that several subscribers want are asked for
//! once, and given up when the last of them has left. Promises that a message reaches every subscriber that
//! wants it and no other, in order, and that every gap is told at its place:
//! [`Gap`](SubscriptionEvent::Gap) after a connection that was lost, [`Lagged`](SubscriptionEvent::Lagged)
//! where messages were dropped. What waits for a subscriber is bounded ([`SubscribeOptions`]).
//!
//! What the server knows of a name (`NameState`), on the connection it is heard over:
//!
//! ```text
//!            a subscriber wants it            confirmed
//!   Absent ────────────────────────▶ Asked ─────────────▶ Up ──▶ messages
//!     ▲ ▲                              │                   │ no subscriber wants it any more,
//!     │ └──── refused, or sent away ───┘                   ▼ or another node has it now
//!     └──────────── confirmed, or left out by the node ── Leaving
//!
//!   the connection is lost: all are Absent, and what was Up has a open_gap from then on
//! ```
//!
//! This file holds the wishes, `conn.rs` the connections behind them (when each is made is for its
//! [`Keeper`](crate::keeper::Keeper) to say), `wire.rs` what was said on each, and `shard_placement.rs` which
//! node of a cluster a shard channel is heard from. None must know sockets or clocks.
//!
//! `W` is what wakes a subscriber: a waker in the async driver, a thread in the blocking one.

mod conn;
mod event;
mod frame;
mod options;
mod queue;
mod shard_placement;
mod subscribers;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use crate::arg::{Arg, Args};
use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind, Outcome, Result};
pub use conn::ConnId;
use conn::PubSubConn;
pub use event::{ChannelKind, Message, SubscriptionEvent};
pub use options::{Overflow, SubscribeOptions};
use shard_placement::ShardPlacement;
use subscribers::{Subscribers, SubscriptionEnd};
use wire::{Name, NameState};

/// All subscriptions of one connection; in a cluster, of [several](Self::in_cluster).
///
/// What subscribers want: [`subscribe`](Self::subscribe), [`add`](Self::add), [`remove`](Self::remove),
/// [`unsubscribe`](Self::unsubscribe), [`close`](Self::close). What happened: `handle_…`. What now: `poll_…`,
/// [`wants_read`](Self::wants_read), [`wants_transmit`](Self::wants_transmit). Every change is followed by
/// [`poll_woken`](Self::poll_woken).
#[derive(Debug)]
pub struct PubSub<W> {
    /// By kind: what is wanted or was asked for.
    names: [BTreeMap<Bytes, Name>; 3],
    subscribers: Subscribers<W>,
    is_closed: bool,
    conns: BTreeMap<ConnId, PubSubConn>,
    /// Where shard channels are heard from, in a cluster.
    shard_placement: Option<ShardPlacement>,
    interval: Option<Duration>,
    backoff: Backoff,
}

/// A subscription. Redeemed by [`PubSub::unsubscribe`].
#[derive(Debug)]
#[must_use = "a subscription that is dropped goes on for ever; unsubscribe it"]
pub struct SubscriptionId(u32);

impl<W> PubSub<W> {
    /// Nothing is wanted yet. A peer that is silent for `interval` is asked whether it lives (`None`: never);
    /// a connection that was lost is made anew after the pauses of `backoff`.
    #[must_use]
    pub fn new(interval: Option<Duration>, backoff: Backoff) -> Self {
        Self {
            names: Default::default(),
            subscribers: Subscribers::new(),
            is_closed: false,
            conns: BTreeMap::from([(ConnId::MAIN, PubSubConn::new(None, interval, backoff))]),
            shard_placement: None,
            interval,
            backoff,
        }
    }

    /// A subscriber wants to hear of `names`. [`poll_confirmed`](Self::poll_confirmed) tells when the server
    /// has agreed.
    ///
    /// # Errors
    /// No names; [`Closed`](ErrorKind::Closed) after [`close`](Self::close).
    pub fn subscribe(
        &mut self,
        kind: ChannelKind,
        names: impl Arg,
        options: SubscribeOptions,
    ) -> Result<SubscriptionId> {
        let names = words(names);
        if self.is_closed {
            return Err(closed());
        }
        if names.is_empty() {
            return Err(Error::usage("a subscription needs a name to begin with"));
        }
        let id = SubscriptionId(self.subscribers.add(kind, options));
        self.ask_for(&id, &names);
        Ok(id)
    }

    /// The subscription is to hear of `names`, too; as after [`subscribe`](Self::subscribe).
    pub fn add(&mut self, id: &SubscriptionId, names: impl Arg) {
        self.ask_for(id, &words(names));
    }

    fn ask_for(&mut self, id: &SubscriptionId, names: &BTreeSet<Bytes>) {
        let Some(subscriber) = self.subscribers.get(id.0) else { return };
        if !matches!(subscriber.end, SubscriptionEnd::Open) {
            return;
        }
        let kind = subscriber.kind;
        subscriber.refused = None;
        let added: BTreeSet<Bytes> = names.difference(&subscriber.names).cloned().collect();
        subscriber.names.extend(added.iter().cloned());
        subscriber.pending.get_or_insert_default().extend(added.iter().cloned());
        for name in added {
            self.want(id.0, kind, name);
        }
        self.handle_held();
        self.handle_confirmed(id.0);
    }

    /// The subscription is not to hear of `names` any longer. What has come already stays.
    pub fn remove(&mut self, id: &SubscriptionId, names: impl Arg) {
        let names = words(names);
        let Some(subscriber) = self.subscribers.get(id.0) else { return };
        let removed: BTreeSet<Bytes> = names.intersection(&subscriber.names).cloned().collect();
        for name in &removed {
            self.subscribers.confirm(id.0, name, SubscriptionEvent::Unsubscribed);
        }
        self.handle_held();
        self.take_back(id.0, &removed);
        self.handle_confirmed(id.0);
    }

    /// The subscription ends, and what waits for it is forgotten.
    pub fn unsubscribe(&mut self, id: SubscriptionId) {
        let names = self.subscribers.get(id.0).map(|subscriber| std::mem::take(&mut subscriber.names));
        self.take_back(id.0, &names.unwrap_or_default());
        self.disown(id.0);
        self.subscribers.remove(id.0);
        self.handle_taken();
    }

    /// No subscriber is to hear anything any more, except what has come already.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.close_conns();
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Whether all names are confirmed that were asked for last. Until then `update` may renew the waiter.
    ///
    /// # Errors
    /// The server refused a name: all that were asked for with it are taken back. A connection that cannot be
    /// made, and waiting will not help.
    pub fn poll_confirmed(
        &mut self,
        id: &SubscriptionId,
        update: impl FnOnce(&mut Option<W>),
    ) -> Poll<Result<()>> {
        let Some(subscriber) = self.subscribers.get(id.0) else { return Poll::Ready(Err(closed())) };
        if let Some(error) = subscriber.refused.take() {
            return Poll::Ready(Err(error));
        }
        match &subscriber.end {
            SubscriptionEnd::Open => {}
            SubscriptionEnd::Failed(error) => return Poll::Ready(Err(error.clone())),
            SubscriptionEnd::Ended => return Poll::Ready(Err(closed())),
        }
        if subscriber.pending.is_none() {
            return Poll::Ready(Ok(()));
        }
        update(&mut subscriber.waiter);
        Poll::Pending
    }

    /// The subscriber does not wait any longer for the names that it asked for last: those that are not
    /// confirmed are taken back. Gives its error if it waited until the deadline.
    pub fn give_up(&mut self, id: &SubscriptionId) -> Error {
        let late = Error::timeout(Outcome::NotSent);
        let late = match self.trouble(id) {
            Some(cause) => late.with_source(cause),
            None if !self.wants_read() => late.with_source(Error::usage(
                "a subscription of the same connection does not take what waits for it, so nothing is read",
            )),
            None => late,
        };
        if let Some(pending) = self.subscribers.get(id.0).and_then(|subscriber| subscriber.pending.take()) {
            self.disown(id.0);
            self.take_back(id.0, &pending);
            self.handle_confirmed(id.0);
        }
        late
    }

    /// The next item; `None` once there will be no more. Until there is one, `update` may renew the waiter.
    #[inline]
    pub fn poll_item(
        &mut self,
        id: &SubscriptionId,
        update: impl FnOnce(&mut Option<W>),
    ) -> Poll<Option<SubscriptionEvent>> {
        if let Some(item) = self.subscribers.take(id.0) {
            self.handle_taken();
            return Poll::Ready(Some(item));
        }
        let Some(subscriber) = self.subscribers.get(id.0) else { return Poll::Ready(None) };
        match std::mem::replace(&mut subscriber.end, SubscriptionEnd::Ended) {
            SubscriptionEnd::Failed(error) => Poll::Ready(Some(SubscriptionEvent::Failed(error))),
            SubscriptionEnd::Ended => Poll::Ready(None),
            SubscriptionEnd::Open => {
                subscriber.end = SubscriptionEnd::Open;
                update(&mut subscriber.waiter);
                Poll::Pending
            }
        }
    }

    /// Moves the subscribers that can go on to `woken`.
    pub fn poll_woken(&mut self, woken: &mut Vec<W>) {
        woken.append(&mut self.subscribers.woken);
    }

    /// A subscriber that waits, to be called to a duty that the thread that had it has left.
    pub fn poll_successor(&mut self) -> Option<W> {
        self.subscribers.successor()
    }

    /// Whether the connection is to be read: not while a subscriber that wants no message dropped has no
    /// room.
    #[inline]
    #[must_use]
    pub fn wants_read(&self) -> bool {
        !self.subscribers.holds()
    }

    /// Why there is no connection for what a subscriber wants, or none that would take it.
    fn trouble(&mut self, id: &SubscriptionId) -> Option<Error> {
        let failed = |(conn, this): (&ConnId, &PubSubConn)| {
            this.keeper.error().filter(|_| self.dependents(*conn).contains(&id.0)).cloned()
        };
        if let Some(error) = self.conns.iter().find_map(failed) {
            return Some(error);
        }
        let (shard_placement, subscriber) = (self.shard_placement.as_ref()?, self.subscribers.get(id.0)?);
        let table = &self.names[subscriber.kind as usize];
        let sent_away = |name: &Bytes| table.get(name).is_some_and(|name| name.strikes > 0);
        shard_placement.error().filter(|_| subscriber.names.iter().any(sent_away)).cloned()
    }

    /// A subscriber has taken something, or left.
    #[inline]
    fn handle_taken(&mut self) {
        // What comes after a pause may be old: only the answer to a question that is asked now is known to be
        // new.
        if self.subscribers.poll_resumed() {
            for conn in self.conns.values_mut() {
                conn.wants_ping |= conn.behind.is_some();
                conn.touched = true;
            }
        }
    }

    fn want(&mut self, id: u32, kind: ChannelKind, text: Bytes) {
        let name = self.names[kind as usize].entry(text.clone()).or_default();
        name.wanted_by.push(id);
        let is_settled = name.conn.is_some();
        if name.wire == NameState::Up {
            self.subscribers.confirm(id, &text, SubscriptionEvent::Subscribed);
        } else if let Some(subscriber) = self.subscribers.get(id) {
            subscriber.missing += 1;
        }
        match is_settled || self.is_waiting(kind, &text) {
            true => self.handle_changed(kind, text),
            false => self.find_conn(kind, &text),
        }
    }

    /// The server may have to be told something of a name.
    fn handle_changed(&mut self, kind: ChannelKind, text: Bytes) {
        let conn = self.names[kind as usize].get(&text).and_then(|name| name.conn);
        if let Some(conn) = conn.and_then(|conn| self.conns.get_mut(&conn)) {
            conn.handle_changed(kind, text);
        }
    }

    /// A name of which no server knows is to be asked for.
    fn find_conn(&mut self, kind: ChannelKind, text: &Bytes) {
        if kind == ChannelKind::Shard && self.shard_placement.is_some() {
            return self.assign(text);
        }
        if let Some(name) = self.names[kind as usize].get_mut(text) {
            name.conn = Some(ConnId::MAIN);
        }
        self.handle_changed(kind, text.clone());
    }

    /// The subscriber does not want `names` any more.
    fn take_back(&mut self, id: u32, names: &BTreeSet<Bytes>) {
        let Some(subscriber) = self.subscribers.get(id) else { return };
        for text in names {
            subscriber.names.remove(text);
            if let Some(pending) = &mut subscriber.pending {
                pending.remove(text);
            }
            let table = &mut self.names[subscriber.kind as usize];
            let Some(name) = table.get_mut(text) else { continue };
            name.wanted_by.retain(|other| *other != id);
            if name.wire != NameState::Up {
                subscriber.missing -= 1;
            }
            let conn = name.conn.and_then(|conn| self.conns.get_mut(&conn));
            let key = (subscriber.kind, text.clone());
            if name.wanted_by.is_empty() && name.wire == NameState::Absent {
                table.remove(text);
                if let Some(conn) = conn {
                    conn.changed.remove(&key);
                }
                if let (Some(shard_placement), ChannelKind::Shard) =
                    (&mut self.shard_placement, subscriber.kind)
                {
                    shard_placement.forget(text);
                }
            } else if let Some(conn) = conn {
                conn.handle_changed(key.0, key.1);
            }
        }
    }

    /// Looks whether all names of a subscriber are confirmed by now: then the subscriber that waits for that
    /// goes on, and a gap has ended.
    fn handle_confirmed(&mut self, id: u32) {
        let up = self.conns.values().filter(|conn| conn.keeper.is_up());
        let to = up.filter_map(|conn| conn.read).max();
        let Some(subscriber) = self.subscribers.get(id) else { return };
        if subscriber.missing > 0 {
            return;
        }
        let is_confirmed = subscriber.pending.take().is_some();
        if let (Some(open_gap), Some(to)) = (subscriber.open_gap, to) {
            subscriber.open_gap = None;
            subscriber.queue.handle_gap(open_gap.from, to.max(open_gap.from));
        }
        if is_confirmed || !subscriber.queue.is_empty() {
            self.subscribers.wake(id);
        }
    }

    /// What was asked for last is taken back because of `error`, which the subscriber that waits for it gets.
    fn refuse(&mut self, id: u32, error: &Error) {
        let Some(subscriber) = self.subscribers.get(id) else { return };
        let Some(pending) = subscriber.pending.take() else { return };
        subscriber.refused = Some(error.clone());
        self.subscribers.wake(id);
        self.take_back(id, &pending);
        self.handle_confirmed(id);
    }

    /// The subscription ends for good.
    fn end(&mut self, id: u32, error: &Error, end: SubscriptionEnd) {
        let Some(subscriber) = self.subscribers.get(id) else { return };
        if !matches!(subscriber.end, SubscriptionEnd::Open) {
            return;
        }
        if subscriber.pending.take().is_some() {
            subscriber.refused = Some(error.clone());
        }
        (subscriber.end, subscriber.open_gap) = (end, None);
        let names = std::mem::take(&mut subscriber.names);
        self.subscribers.wake(id);
        self.take_back(id, &names);
    }

    fn end_all(&mut self, error: &Error, end: impl Fn() -> SubscriptionEnd) {
        for id in self.subscribers.ids() {
            self.end(id, error, end());
        }
    }
}

fn words(names: impl Arg) -> BTreeSet<Bytes> {
    let mut words = Args::new();
    names.write(&mut words);
    words.iter().map(Bytes::copy_from_slice).collect()
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, Outcome::NotSent, "the subscriptions were closed by their owner")
}

#[cfg(test)]
mod tests;
