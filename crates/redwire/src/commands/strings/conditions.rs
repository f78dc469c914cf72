//! Under which conditions a string is deleted, how one is counted within bounds, and what two have in common.

use std::time::{Duration, SystemTime};

use redwire_core::{Arg, Args, Items, Reader, Reply, Result, Value};

use super::Expiry;
use crate::commands::server::fields::{fields, read};

/// Under which condition a key is deleted (Redis 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeleteIf<'a> {
    /// Its value is this one.
    Equal(&'a str),
    /// Its value is not this one.
    NotEqual(&'a str),
    /// Its value has this digest, as [`digest`](super::StringCommands::digest) gives it.
    DigestEqual(&'a str),
    /// Its value has not this digest.
    DigestNotEqual(&'a str),
}

impl Arg for DeleteIf<'_> {
    fn write(&self, args: &mut Args) {
        match self {
            Self::Equal(value) => value.write_named("IFEQ", args),
            Self::NotEqual(value) => value.write_named("IFNE", args),
            Self::DigestEqual(digest) => digest.write_named("IFDEQ", args),
            Self::DigestNotEqual(digest) => digest.write_named("IFDNE", args),
        }
    }
}

/// Within which bounds something is added, and when the key expires (Redis 8.8).
#[derive(Clone, Copy, Debug)]
pub struct IncrexOptions<T> {
    lower: Option<T>,
    upper: Option<T>,
    saturate: bool,
    expiry: Option<Expiry>,
    only_if_none: bool,
}

impl<T> Default for IncrexOptions<T> {
    fn default() -> Self {
        Self { lower: None, upper: None, saturate: false, expiry: None, only_if_none: false }
    }
}

impl<T> IncrexOptions<T> {
    /// Within the bounds of the type; the expiry stays as it is.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The sum is this at least.
    #[must_use]
    pub fn lbound(mut self, bound: T) -> Self {
        self.lower = Some(bound);
        self
    }

    /// The sum is this at most.
    #[must_use]
    pub fn ubound(mut self, bound: T) -> Self {
        self.upper = Some(bound);
        self
    }

    /// A sum that would be out of bounds is the bound; without this, nothing is added then.
    #[must_use]
    pub fn saturate(mut self) -> Self {
        self.saturate = true;
        self
    }

    /// The key expires after this time (sent as `PX`).
    #[must_use]
    pub fn ex(self, duration: Duration) -> Self {
        self.expiring(Expiry::In(duration), false)
    }

    /// The key expires at this moment (sent as `PXAT`).
    #[must_use]
    pub fn exat(self, time: SystemTime) -> Self {
        self.expiring(Expiry::At(time), false)
    }

    /// A key without expiry expires after this time (sent as `PX … ENX`).
    #[must_use]
    pub fn ex_if_none(self, duration: Duration) -> Self {
        self.expiring(Expiry::In(duration), true)
    }

    /// A key without expiry expires at this moment (sent as `PXAT … ENX`).
    #[must_use]
    pub fn exat_if_none(self, time: SystemTime) -> Self {
        self.expiring(Expiry::At(time), true)
    }

    /// The key lives for ever.
    #[must_use]
    pub fn persist(self) -> Self {
        self.expiring(Expiry::Never, false)
    }

    fn expiring(mut self, expiry: Expiry, only_if_none: bool) -> Self {
        self.expiry = Some(expiry);
        self.only_if_none = only_if_none;
        self
    }
}

impl<T: Arg> Arg for IncrexOptions<T> {
    fn write(&self, args: &mut Args) {
        self.lower.as_ref().write_named("LBOUND", args);
        self.upper.as_ref().write_named("UBOUND", args);
        args.flag(self.saturate, "SATURATE");
        args.optional(self.expiry);
        args.flag(self.only_if_none, "ENX");
    }
}

/// Which common parts of two values are told (Redis 7.0).
#[derive(Clone, Copy, Debug, Default)]
pub struct LcsOptions {
    min_len: Option<u64>,
}

impl LcsOptions {
    /// All.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those of so many bytes at least.
    #[must_use]
    pub fn minmatchlen(mut self, len: u64) -> Self {
        self.min_len = Some(len);
        self
    }
}

impl Arg for LcsOptions {
    fn write(&self, args: &mut Args) {
        self.min_len.write_named("MINMATCHLEN", args);
    }
}

/// The longest common subsequence of two values, by its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LcsMatches {
    /// Its parts, the last one first.
    pub matches: Vec<LcsMatch>,
    /// The length of the whole in bytes, that of parts which are not told included.
    pub len: u64,
}

impl Reply for LcsMatches {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut found = Self::default();
        fields(reader, |name, reader| match name {
            "matches" => read(&mut found.matches, reader),
            "len" => read(&mut found.len, reader),
            _ => Ok(false),
        })?;
        Ok(found)
    }
}

/// A part that two values have in common: from which byte to which, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LcsMatch {
    /// In the first value.
    pub first: (u64, u64),
    /// In the second value.
    pub second: (u64, u64),
}

impl Reply for LcsMatch {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items: Items = reader.items()?;
        let found = Self {
            first: Reply::decode_item(reader, &mut items)?,
            second: Reply::decode_item(reader, &mut items)?,
        };
        while items.more(reader)? {
            Value::decode_item(reader, &mut items)?;
        }
        Ok(found)
    }
}
