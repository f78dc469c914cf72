//! What may be said about list commands: ends, and how to look for an element.

use redwire_core::{Arg, Args};

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The head, where `lpush` adds.
    Left,
    /// The tail, where `rpush` adds.
    Right,
}

impl Arg for End {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Left => b"LEFT",
            Self::Right => b"RIGHT",
        });
    }
}

/// How to look for an element of a list.
///
/// ```
/// use redwire::commands::LposOptions;
/// use redwire::prelude::*;
/// # let (batch, _) = redwire::Pipeline::record(|client| {
///
/// // The last place where "a" stands, among the last 1000 elements.
/// client.lpos("list", "a", LposOptions::new().rank(-1).maxlen(1000));
/// # });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LposOptions {
    rank: Option<i64>,
    maxlen: Option<u64>,
}

impl LposOptions {
    /// From the first match on, in the whole list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From which match on: 1 (the default) is the first, 2 the second, -1 the last. 0 is refused by servers.
    #[must_use]
    pub fn rank(mut self, rank: i64) -> Self {
        self.rank = Some(rank);
        self
    }

    /// How many elements are compared at most; default: all.
    #[must_use]
    pub fn maxlen(mut self, maxlen: u64) -> Self {
        self.maxlen = Some(maxlen);
        self
    }
}

impl Arg for LposOptions {
    fn write(&self, args: &mut Args) {
        self.rank.write_named("RANK", args);
        self.maxlen.write_named("MAXLEN", args);
    }
}
