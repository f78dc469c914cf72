//! Options of the commands of sorted sets, beyond keys and members: bounds, ranges, conditions, ways to
//! combine.
//!
//! Promises: what is built here is written in the order the servers' grammar wants. Must not know: commands.

use std::borrow::Cow;

use redwire_core::{Arg, Args};

/// An end of a range of scores. Numbers are inclusive ends.
///
/// ```
/// use redwire::commands::ScoreBound;
/// use redwire::{Cmd, Value};
///
/// let low = ScoreBound::exclusive(1.5);
/// let cmd: Cmd<Value> = Cmd::new("ZCOUNT").arg("board").arg(low).arg(ScoreBound::MAX);
/// assert_eq!(cmd.words(), ["ZCOUNT", "board", "(1.5", "inf"]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreBound {
    score: f64,
    exclusive: bool,
}

impl ScoreBound {
    /// Below every score.
    pub const MIN: Self = Self { score: f64::NEG_INFINITY, exclusive: false };
    /// Above every score.
    pub const MAX: Self = Self { score: f64::INFINITY, exclusive: false };

    /// An end that belongs to the range.
    #[must_use]
    pub const fn inclusive(score: f64) -> Self {
        Self { score, exclusive: false }
    }

    /// An end that doesn't belong to the range.
    #[must_use]
    pub const fn exclusive(score: f64) -> Self {
        Self { score, exclusive: true }
    }
}

macro_rules! inclusive_scores {
    ($($number:ty),*) => {$(
        impl From<$number> for ScoreBound {
            fn from(score: $number) -> Self {
                Self::inclusive(f64::from(score))
            }
        }
    )*};
}
inclusive_scores!(f64, f32, i32, u32);

impl Arg for ScoreBound {
    fn write(&self, args: &mut Args) {
        if self.exclusive {
            // `{:?}` is the shortest form that reads back the same, with an exponent where that is shorter.
            args.bulk(format!("({:?}", self.score).as_bytes());
        } else {
            args.float(self.score);
        }
    }
}

/// An end of a range of members that all have the same score, compared byte by byte. Text and bytes are
/// inclusive ends.
///
/// ```
/// use redwire::commands::LexBound;
/// use redwire::{Cmd, Value};
///
/// let low = LexBound::from("b");
/// let cmd: Cmd<Value> = Cmd::new("ZLEXCOUNT").arg("names").arg(low).arg(LexBound::exclusive("d"));
/// assert_eq!(cmd.words(), ["ZLEXCOUNT", "names", "[b", "(d"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LexBound(Cow<'static, [u8]>);

impl LexBound {
    /// Below every member.
    pub const MIN: Self = Self(Cow::Borrowed(b"-"));
    /// Above every member.
    pub const MAX: Self = Self(Cow::Borrowed(b"+"));

    /// An end that belongs to the range.
    #[must_use]
    pub fn inclusive(member: impl AsRef<[u8]>) -> Self {
        Self([b"[", member.as_ref()].concat().into())
    }

    /// An end that doesn't belong to the range.
    #[must_use]
    pub fn exclusive(member: impl AsRef<[u8]>) -> Self {
        Self([b"(", member.as_ref()].concat().into())
    }
}

macro_rules! inclusive_members {
    ($($member:ty),*) => {$(
        impl From<$member> for LexBound {
            fn from(member: $member) -> Self {
                Self::inclusive(member)
            }
        }
    )*};
}
inclusive_members!(&str, &String, String, &[u8], &Vec<u8>, Vec<u8>);

impl Arg for LexBound {
    fn write(&self, args: &mut Args) {
        args.bulk(&self.0);
    }
}

/// Which part of a sorted set: by rank, by score or by member, from either end.
///
/// ```
/// use redwire::commands::{ScoreBound, ZRange};
/// use redwire::prelude::*;
///
/// # fn example(client: &redwire::blocking::Client) -> redwire::Result<()> {
/// // The ten best of those below 100.
/// let range = ZRange::by_score(ScoreBound::MIN, ScoreBound::exclusive(100.0));
/// let range = range.rev().limit(0, 10).with_scores();
/// let best: Vec<(String, f64)> = client.zrange_with("board", range)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ZRange {
    ends: Ends,
    rev: bool,
    limit: Option<(u64, i64)>,
    scores: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Ends {
    Rank(i64, i64),
    Score(ScoreBound, ScoreBound),
    Lex(LexBound, LexBound),
}

impl ZRange {
    /// From rank `start` to rank `stop`, both included. Ranks count from 0; -1 is the last, -2 the one
    /// before.
    #[must_use]
    pub fn by_rank(start: i64, stop: i64) -> Self {
        Self::new(Ends::Rank(start, stop))
    }

    /// The members whose score lies between the two.
    #[must_use]
    pub fn by_score(min: impl Into<ScoreBound>, max: impl Into<ScoreBound>) -> Self {
        Self::new(Ends::Score(min.into(), max.into()))
    }

    /// The members between the two, in a set whose scores are all the same.
    #[must_use]
    pub fn by_lex(min: impl Into<LexBound>, max: impl Into<LexBound>) -> Self {
        Self::new(Ends::Lex(min.into(), max.into()))
    }

    fn new(ends: Ends) -> Self {
        Self { ends, rev: false, limit: None, scores: false }
    }

    /// From the highest to the lowest; ranks count from the highest then. The bounds keep their places: min,
    /// max.
    #[must_use]
    pub fn rev(mut self) -> Self {
        self.rev = true;
        self
    }

    /// Passes over `offset` members of the range and takes `count` at most, all if negative. Servers refuse
    /// it by rank.
    #[must_use]
    pub fn limit(mut self, offset: u64, count: i64) -> Self {
        self.limit = Some((offset, count));
        self
    }

    /// Each member with its score: `(member, score)`. Servers refuse it by member.
    #[must_use]
    pub fn with_scores(mut self) -> Self {
        self.scores = true;
        self
    }

    /// For commands that store, which always take the scores along and refuse the word.
    pub(super) fn for_store(mut self) -> Self {
        self.scores = false;
        self
    }
}

impl Arg for ZRange {
    fn write(&self, args: &mut Args) {
        match &self.ends {
            Ends::Rank(start, stop) => (start, stop).write(args),
            // Servers want the end at which they start first.
            Ends::Score(min, max) if self.rev => (max, min, "BYSCORE").write(args),
            Ends::Score(min, max) => (min, max, "BYSCORE").write(args),
            Ends::Lex(min, max) if self.rev => (max, min, "BYLEX").write(args),
            Ends::Lex(min, max) => (min, max, "BYLEX").write(args),
        }
        args.flag(self.rev, "REV");
        self.limit.write_named("LIMIT", args);
        args.flag(self.scores, "WITHSCORES");
    }
}

/// When [`zadd_with`](super::SortedSetCommands::zadd_with) adds and when it updates; by default it does both.
///
/// ```
/// use redwire::commands::ZAddOptions;
/// use redwire::prelude::*;
///
/// # fn example(client: &redwire::blocking::Client) -> redwire::Result<()> {
/// // Keep each player's record: a score only ever rises. How many are new or have a new record?
/// let scores = [(250.0, "ann"), (300.0, "bob")];
/// let changed = client.zadd_with("board", ZAddOptions::new().gt().ch(), scores)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZAddOptions {
    existence: Option<&'static str>,
    comparison: Option<&'static str>,
    changed: bool,
}

impl ZAddOptions {
    /// Adds and updates whatever comes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only adds, never updates. Takes the place of [`xx`](Self::xx); doesn't go with `gt` or `lt`.
    #[must_use]
    pub fn nx(mut self) -> Self {
        self.existence = Some("NX");
        self
    }

    /// Only updates, never adds. Takes the place of [`nx`](Self::nx).
    #[must_use]
    pub fn xx(mut self) -> Self {
        self.existence = Some("XX");
        self
    }

    /// Updates only to a greater score; still adds. Takes the place of [`lt`](Self::lt).
    #[must_use]
    pub fn gt(mut self) -> Self {
        self.comparison = Some("GT");
        self
    }

    /// Updates only to a lower score; still adds. Takes the place of [`gt`](Self::gt).
    #[must_use]
    pub fn lt(mut self) -> Self {
        self.comparison = Some("LT");
        self
    }

    /// The answer counts updated members too, not only new ones.
    #[must_use]
    pub fn ch(mut self) -> Self {
        self.changed = true;
        self
    }
}

impl Arg for ZAddOptions {
    fn write(&self, args: &mut Args) {
        args.optional(self.existence);
        args.optional(self.comparison);
        args.flag(self.changed, "CH");
    }
}

/// How the scores of a member in several sets become one; by default they are added.
///
/// ```
/// use redwire::commands::ZCombineOptions;
/// use redwire::prelude::*;
///
/// # fn example(client: &redwire::blocking::Client) -> redwire::Result<()> {
/// let options = ZCombineOptions::new().weights([1.0, 0.5]).with_scores();
/// let total: Vec<(String, f64)> = client.zunion_with(["today", "yesterday"], options)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ZCombineOptions {
    weights: Vec<f64>,
    aggregate: Option<&'static str>,
    scores: bool,
}

impl ZCombineOptions {
    /// The sum of the scores, each set weighing 1.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// By what the scores of each set are multiplied first: one number per key.
    #[must_use]
    pub fn weights(mut self, weights: impl Into<Vec<f64>>) -> Self {
        self.weights = weights.into();
        self
    }

    /// The lowest of a member's scores.
    #[must_use]
    pub fn aggregate_min(mut self) -> Self {
        self.aggregate = Some("MIN");
        self
    }

    /// The highest of a member's scores.
    #[must_use]
    pub fn aggregate_max(mut self) -> Self {
        self.aggregate = Some("MAX");
        self
    }

    /// The sum of a member's scores, as is the default.
    #[must_use]
    pub fn aggregate_sum(mut self) -> Self {
        self.aggregate = Some("SUM");
        self
    }

    /// In how many of the sets a member is, each set counting as its weight (Redis 8.8).
    #[must_use]
    pub fn aggregate_count(mut self) -> Self {
        self.aggregate = Some("COUNT");
        self
    }

    /// Each member with its score: `(member, score)`.
    #[must_use]
    pub fn with_scores(mut self) -> Self {
        self.scores = true;
        self
    }

    /// For commands that store, which always take the scores along and refuse the word.
    pub(super) fn for_store(mut self) -> Self {
        self.scores = false;
        self
    }
}

impl Arg for ZCombineOptions {
    fn write(&self, args: &mut Args) {
        if !self.weights.is_empty() {
            self.weights.write_named("WEIGHTS", args);
        }
        self.aggregate.write_named("AGGREGATE", args);
        args.flag(self.scores, "WITHSCORES");
    }
}
