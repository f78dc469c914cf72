//! What a server knows of one connection.
//!
//! This file must not know any command, nor how bytes reach the peer.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::commands::Command;
use crate::pubsub::Kind;
use crate::reply::Reply;
use crate::request::{Requests, Words};
use crate::tracking::Tracked;

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) id: u64,
    /// Where it comes from: `127.0.0.1:50000`.
    pub(crate) peer: String,
    pub(crate) name: Vec<u8>,
    pub(crate) lib_name: Vec<u8>,
    pub(crate) lib_version: Vec<u8>,
    pub(crate) since: Duration,
    pub(crate) heard: Duration,
    pub(crate) resp3: bool,
    /// Whom it authenticated as. `None`: nobody yet, and the server asks for it.
    pub(crate) user: Option<Vec<u8>>,
    pub(crate) database: usize,
    pub(crate) requests: Requests,
    /// What waits to be sent, from `sent` on.
    pub(crate) output: Vec<u8>,
    pub(crate) sent: usize,
    /// Since when the output has been above its soft limit.
    pub(crate) above_soft: Option<Duration>,
    /// Pushes for the client whose own command is being executed: they go behind its reply.
    pub(crate) deferred: Vec<Reply>,
    /// The server hangs up once the output is sent; nothing more is read.
    pub(crate) closing: bool,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) watched: BTreeSet<(usize, Vec<u8>)>,
    /// Whether a watched key was modified.
    pub(crate) watch_broken: bool,
    pub(crate) channels: BTreeSet<Vec<u8>>,
    pub(crate) patterns: BTreeSet<Vec<u8>>,
    pub(crate) shard_channels: BTreeSet<Vec<u8>>,
    pub(crate) blocked: Option<Blocked>,
    /// A command that came while clients were paused.
    pub(crate) postponed: Option<Words>,
    pub(crate) replies: Replies,
    pub(crate) tracking: Option<Tracked>,
    /// What `CLIENT CACHING` said of the next command.
    pub(crate) caching: Option<bool>,
    pub(crate) no_evict: bool,
    pub(crate) no_touch: bool,
    pub(crate) asking: bool,
    /// Whether it reads from a replica in a cluster.
    pub(crate) reads_replica: bool,
    pub(crate) monitor: bool,
    pub(crate) last_command: Option<&'static Command>,
    /// The number of its last write.
    pub(crate) written: u64,
}

/// The commands between `MULTI` and `EXEC`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) queue: Vec<Words>,
    /// Whether one of them could not be queued.
    pub(crate) failed: bool,
}

/// A command that waits at the server.
#[derive(Clone, Debug)]
pub(crate) struct Blocked {
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) database: usize,
    /// Until when; `None` is for ever.
    pub(crate) until: Option<Duration>,
    /// The command that is tried again when a key may have what it waits for.
    pub(crate) args: Words,
    pub(crate) on_timeout: Reply,
}

/// Whether the client wants replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Replies {
    #[default]
    On,
    Off,
    /// Not to the command that comes.
    SkipNext,
    /// Not to this one.
    Skip,
}

impl Client {
    pub(crate) fn new(id: u64, peer: &str, now: Duration) -> Self {
        Self {
            id,
            peer: peer.to_owned(),
            name: Vec::new(),
            lib_name: Vec::new(),
            lib_version: Vec::new(),
            since: now,
            heard: now,
            resp3: false,
            user: None,
            database: 0,
            requests: Requests::default(),
            output: Vec::new(),
            sent: 0,
            above_soft: None,
            deferred: Vec::new(),
            closing: false,
            transaction: None,
            watched: BTreeSet::new(),
            watch_broken: false,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shard_channels: BTreeSet::new(),
            blocked: None,
            postponed: None,
            replies: Replies::On,
            tracking: None,
            caching: None,
            no_evict: false,
            no_touch: false,
            asking: false,
            reads_replica: false,
            monitor: false,
            last_command: None,
            written: 0,
        }
    }

    /// The bytes that wait to be sent.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// What it is subscribed to.
    pub(crate) fn subscribed(&mut self, kind: Kind) -> &mut BTreeSet<Vec<u8>> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shard_channels,
        }
    }

    /// How many channels and patterns it is subscribed to, shard channels apart.
    pub(crate) fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// Whether it hears what is published.
    pub(crate) fn is_subscriber(&self) -> bool {
        self.subscriptions() + self.shard_channels.len() > 0
    }

    /// Who is told of keys instead, as `CLIENT LIST` says it: 0 is the client itself, -1 nobody.
    pub(crate) fn redirect(&self) -> i64 {
        let tracked = self.tracking.as_ref();
        tracked.map_or(-1, |tracked| tracked.redirect.and_then(|id| i64::try_from(id).ok()).unwrap_or(0))
    }

    /// Appends a reply, if the client wants replies. What it is told of its subscriptions counts as pushed.
    pub(crate) fn reply(&mut self, reply: &Reply) {
        if matches!(reply, Reply::Many(_)) || matches!(self.replies, Replies::On | Replies::SkipNext) {
            reply.write(self.resp3, &mut self.output);
        }
    }

    /// Appends what no request is owed.
    pub(crate) fn push(&mut self, reply: &Reply) {
        reply.write(self.resp3, &mut self.output);
    }
}
