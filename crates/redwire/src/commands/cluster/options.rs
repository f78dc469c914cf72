//! What may be said about slots, failovers and resets. Must not know replies.

use redwire_core::{Arg, Args};

/// What a node is told of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotState {
    /// It comes from the node of this ID.
    Importing(String),
    /// It goes to the node of this ID.
    Migrating(String),
    /// It neither comes nor goes.
    Stable,
    /// It is served by the node of this ID.
    Node(String),
}

impl Arg for SlotState {
    fn write(&self, args: &mut Args) {
        match self {
            Self::Importing(node) => node.write_named("IMPORTING", args),
            Self::Migrating(node) => node.write_named("MIGRATING", args),
            Self::Stable => args.bulk(b"STABLE"),
            Self::Node(node) => node.write_named("NODE", args),
        }
    }
}

/// How a replica takes its primary's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterFailoverMode {
    /// The primary agrees, so that no write is lost.
    Agreed,
    /// Without the primary, which may be down; the other primaries must agree.
    Force,
    /// Without any other node.
    Takeover,
}

impl Arg for ClusterFailoverMode {
    fn write(&self, args: &mut Args) {
        match self {
            Self::Agreed => {}
            Self::Force => args.bulk(b"FORCE"),
            Self::Takeover => args.bulk(b"TAKEOVER"),
        }
    }
}

/// How much a node forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterResetMode {
    /// The other nodes, and the slots.
    Soft,
    /// These, its ID and all epochs.
    Hard,
}

impl Arg for ClusterResetMode {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Soft => b"SOFT",
            Self::Hard => b"HARD",
        });
    }
}

/// Which slots move to which node.
#[derive(Clone, Debug, Default)]
pub struct SlotMoves {
    words: Args,
}

impl SlotMoves {
    /// No slot: with no more it is refused before it is sent.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These ranges of slots, both ends included, move to the node of this ID.
    #[must_use]
    pub fn ranges(mut self, ranges: impl IntoIterator<Item = (u16, u16)>, node: &str) -> Self {
        let mut ranges = ranges.into_iter().peekable();
        if ranges.peek().is_none() {
            return self;
        }
        self.words.bulk(b"SLOTSRANGE");
        ranges.for_each(|range| range.write(&mut self.words));
        node.write_named("NODE", &mut self.words);
        self
    }
}

impl Arg for SlotMoves {
    fn write(&self, args: &mut Args) {
        self.words.write(args);
    }
}

/// Of which slots the use is told.
#[derive(Clone, Debug)]
pub struct SlotStatsQuery {
    of: SlotsAsked,
}

#[derive(Clone, Debug)]
enum SlotsAsked {
    Range(u16, u16),
    By { metric: String, limit: Option<u16>, order: &'static str },
}

impl SlotStatsQuery {
    /// Those from `start` to `end`, both included, in their order.
    #[must_use]
    pub fn range(start: u16, end: u16) -> Self {
        Self { of: SlotsAsked::Range(start, end) }
    }

    /// All, those first that have most of `metric`: `key-count`, `cpu-usec`, `network-bytes-in`,
    /// `network-bytes-out`, `memory-bytes`. Servers count only keys unless their setting
    /// `cluster-slot-stats-enabled` says more.
    #[must_use]
    pub fn most(metric: &str) -> Self {
        Self { of: SlotsAsked::By { metric: metric.to_owned(), limit: None, order: "DESC" } }
    }

    /// All, those first that have least of `metric`, as [`most`](Self::most) names them.
    #[must_use]
    pub fn least(metric: &str) -> Self {
        Self { of: SlotsAsked::By { metric: metric.to_owned(), limit: None, order: "ASC" } }
    }

    /// Up to so many; of a range, all are told.
    #[must_use]
    pub fn limit(mut self, count: u16) -> Self {
        if let SlotsAsked::By { limit, .. } = &mut self.of {
            *limit = Some(count);
        }
        self
    }
}

impl Arg for SlotStatsQuery {
    fn write(&self, args: &mut Args) {
        match &self.of {
            SlotsAsked::Range(start, end) => ("SLOTSRANGE", *start, *end).write(args),
            SlotsAsked::By { metric, limit, order } => {
                metric.write_named("ORDERBY", args);
                limit.write_named("LIMIT", args);
                args.bulk(order.as_bytes());
            }
        }
    }
}
