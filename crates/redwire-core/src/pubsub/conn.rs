//! The connections behind the wishes: one, or in a cluster one to any node and one to each node that serves
//! shard channels that a subscriber wants. When each is made, and made anew. This file must not know what is
//! said on them, or which node serves what.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::subscribers::SubscriptionEnd;
use super::wire::OwedReply;
use super::{ChannelKind, PubSub, closed};
use crate::backoff::Backoff;
use crate::config::HostPort;
use crate::error::{ConnectionFault, Error, ErrorKind};
use crate::keeper::{Keeper, WhenToConnect};
use crate::liveness::Liveness;
use crate::outage::heals;

/// One of the connections of a [`PubSub`], from its first attempt on, however often it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(super) u32);

impl ConnId {
    /// The connection to the server, or to any node of a cluster. There from the beginning.
    pub const MAIN: Self = Self(0);
}

#[derive(Debug)]
pub(super) struct PubSubConn {
    /// The node of a cluster that it leads to; `None` for [`ConnId::MAIN`].
    pub(super) node: Option<HostPort>,
    /// Whether there may be more to do since its driver was last asked to look.
    pub(super) touched: bool,
    /// Names of which the server may have to be told something.
    pub(super) changed: BTreeSet<(ChannelKind, Bytes)>,
    /// Whether it was ever connected.
    pub(super) was_connected: bool,
    /// Whether the server has confirmed anything on the connection that was made last.
    pub(super) answered: bool,
    /// What the server has to answer, oldest first.
    pub(super) asked: VecDeque<OwedReply>,
    /// Whether a `PING` is to be sent.
    pub(super) wants_ping: bool,
    /// A time before the `PING` was sent that is not answered yet.
    pub(super) pinged: Option<Instant>,
    /// Why new credentials were refused, until the driver has asked for that.
    pub(super) refused: Option<Error>,
    /// When something was last read. It may have come long before that.
    pub(super) read: Option<Instant>,
    /// When there was last nothing to be read. The connection may have been dead by then, unseen.
    pub(super) quiet: Option<Instant>,
    /// When there was nothing to be read, and something came later: all that had come by then was heard, and
    /// what the server sent by then had come.
    pub(super) heard: Option<Instant>,
    /// How many bytes were read since then, or since the last `PING` was sent.
    pub(super) burst: usize,
    /// Until when all is known to be heard, where the server may have more to send than there is to be read.
    pub(super) behind: Option<Instant>,
    pub(super) liveness: Liveness,
    /// Ticks at which nothing came because nothing was read.
    pub(super) excused: u64,
    pub(super) keeper: Keeper,
}

impl PubSubConn {
    pub(super) fn new(node: Option<HostPort>, interval: Option<Duration>, backoff: Backoff) -> Self {
        Self {
            node,
            touched: false,
            changed: BTreeSet::new(),
            was_connected: false,
            answered: false,
            asked: VecDeque::new(),
            wants_ping: false,
            pinged: None,
            refused: None,
            read: None,
            quiet: None,
            heard: None,
            burst: 0,
            behind: None,
            liveness: Liveness::new(interval),
            excused: 0,
            keeper: Keeper::new(backoff, None),
        }
    }

    /// The server may have to be told something of a name.
    pub(super) fn handle_changed(&mut self, kind: ChannelKind, name: Bytes) {
        self.touched = true;
        self.changed.insert((kind, name));
    }

    /// Since when messages may have been missed, if they are from now on.
    pub(super) fn complete_until(&self) -> Option<Instant> {
        self.behind.or(self.heard)
    }
}

impl<W> PubSub<W> {
    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|conn| conn.keeper.is_up())
    }

    /// Whether there may be more to do on a connection since this was last asked.
    #[inline]
    pub fn poll_touched(&mut self, conn: ConnId) -> bool {
        self.conns.get_mut(&conn).is_some_and(|conn| std::mem::take(&mut conn.touched))
    }

    /// What to do about a connection; `random` is uniform over all of `u64`. Where no subscriber needs it, it
    /// is [asked](WhenToConnect::Asked) for; [`Done`](WhenToConnect::Done) is one to a node that none needs
    /// any more, and that is gone.
    pub fn poll_connect(&mut self, conn: ConnId, now: Instant, random: u64) -> WhenToConnect {
        let is_wanted = self.is_wanted(conn);
        let Some(this) = self.conns.get_mut(&conn) else { return WhenToConnect::Done };
        if this.keeper.is_up() {
            return WhenToConnect::Up;
        }
        if self.is_closed {
            return WhenToConnect::Asked;
        }
        if !is_wanted {
            return self.end_conn(conn);
        }
        this.keeper.ask();
        let connect = this.keeper.poll_connect(now, random);
        // Where time alone will not mend it, no subscriber waits.
        if let WhenToConnect::At(_) = connect
            && let Some(error) = this.keeper.error().filter(|error| !heals(error)).cloned()
        {
            for id in self.dependents(conn) {
                self.refuse(id, &error);
            }
            if !self.is_wanted(conn) {
                return self.end_conn(conn);
            }
        }
        connect
    }

    /// The server is to be left for another: the connection goes, or the pause until there is one ends.
    pub fn leave_server(&mut self, conn: ConnId, error: Error) {
        let Some(conn) = self.conns.get_mut(&conn) else { return };
        conn.touched = true;
        if conn.keeper.is_up() {
            conn.keeper.cut(error);
        } else {
            conn.keeper.handle_moved();
        }
    }

    /// Why the connection is to be given up, if it is.
    #[inline]
    pub fn poll_cut(&mut self, conn: ConnId) -> Option<Error> {
        self.conns.get_mut(&conn)?.keeper.poll_cut()
    }

    /// Whether an attempt to connect that is under way leads to a server that is to be left.
    #[must_use]
    pub fn is_moved(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(|conn| conn.keeper.is_moved())
    }

    /// No subscriber wants anything of the connection: one to a node has had its day.
    fn end_conn(&mut self, conn: ConnId) -> WhenToConnect {
        if conn == ConnId::MAIN {
            return WhenToConnect::Asked;
        }
        if let Some(node) = self.conns.remove(&conn).and_then(|conn| conn.node)
            && let Some(shard_placement) = &mut self.shard_placement
        {
            shard_placement.handle_ended(&node);
        }
        WhenToConnect::Done
    }

    /// A connection could not be made. Where time alone will not mend that, all subscriptions fail that
    /// depend on it.
    pub fn handle_failed(&mut self, conn: ConnId, error: Error, now: Instant, random: u64) {
        if !heals(&error) {
            for id in self.dependents(conn) {
                self.end(id, &error, SubscriptionEnd::Failed(error.clone()));
            }
        }
        self.suspect_map();
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.keeper.handle_failed(error, now, random);
        }
    }

    /// The connection was lost, whatever the reason: it will be made anew, for as long as a subscriber wants
    /// anything.
    pub fn handle_lost(&mut self, conn: ConnId, error: Error, now: Instant, random: u64) {
        if let Some(conn) = self.conns.get_mut(&conn)
            && error.kind() == ErrorKind::Connection(ConnectionFault::Closed)
        {
            // The end comes in order, too, behind all that was sent. A reset does not.
            conn.heard = conn.heard.max(conn.quiet);
        }
        self.handle_down(conn);
        self.suspect_map();
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.keeper.handle_lost(error, conn.answered, now, random);
        }
    }

    /// Another node may serve shard channels now.
    fn suspect_map(&mut self) {
        if let Some(shard_placement) = &mut self.shard_placement {
            shard_placement.suspect_map();
        }
    }

    /// No task or thread drives the connections any more: they are gone, and all subscriptions fail. New
    /// ones may be made. A connection that has [ended](WhenToConnect::Done) is none any more.
    pub fn handle_undriven(&mut self, conn: ConnId, error: &Error) {
        if self.conns.contains_key(&conn) {
            self.end_all(error, || SubscriptionEnd::Failed(error.clone()));
            self.handle_gone(conn);
            let _ = self.end_conn(conn);
        }
    }

    /// No task or thread places shard channels any more: all subscriptions fail.
    pub fn handle_no_driver(&mut self, error: &Error) {
        self.end_all(error, || SubscriptionEnd::Failed(error.clone()));
    }

    pub(super) fn close_conns(&mut self) {
        self.end_all(&closed(), || SubscriptionEnd::Ended);
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.handle_gone(conn);
        }
    }

    /// There is no connection any more, for no fault of the server.
    pub fn handle_gone(&mut self, conn: ConnId) {
        self.handle_down(conn);
        if let Some(conn) = self.conns.get_mut(&conn).filter(|conn| conn.keeper.is_up()) {
            conn.keeper.handle_left();
        }
    }

    /// Whether a subscriber wants anything of the connection.
    #[must_use]
    pub fn is_wanted(&self, conn: ConnId) -> bool {
        let mut names = self.names.iter().flat_map(|table| table.values());
        names.any(|name| name.conn == Some(conn) && !name.wanted_by.is_empty())
    }

    /// The subscribers that hear nothing, or not all, without this connection.
    pub(super) fn dependents(&self, conn: ConnId) -> BTreeSet<u32> {
        if self.shard_placement.is_none() {
            return self.subscribers.ids().collect();
        }
        let names = self.names.iter().flat_map(|table| table.values());
        names.filter(|name| name.conn == Some(conn)).flat_map(|name| name.wanted_by.iter().copied()).collect()
    }
}
