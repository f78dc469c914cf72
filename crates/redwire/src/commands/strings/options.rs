//! What may be said about setting and getting strings. Builders write their words; they must not know
//! commands.

use std::time::{Duration, SystemTime};

use redwire_core::{Arg, Args};

use crate::commands::keys::time::{millis, unix_millis};

/// When a value is to expire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// After this time, in milliseconds, rounded up to at least 1.
    In(Duration),
    /// At this moment, in milliseconds.
    At(SystemTime),
    /// Never: an expiry that was set before is taken away.
    Never,
}

impl Arg for Expiry {
    /// `PX`, `PXAT` or `PERSIST`.
    fn write(&self, args: &mut Args) {
        match self {
            Self::In(duration) => millis(*duration).write_named("PX", args),
            Self::At(time) => unix_millis(*time).write_named("PXAT", args),
            Self::Never => args.bulk(b"PERSIST"),
        }
    }
}

/// What may be said about setting a value: under which condition, and for how long.
///
/// ```
/// use std::time::Duration;
/// use redwire::commands::SetOptions;
/// use redwire::prelude::*;
/// # let (batch, _) = redwire::Pipeline::record(|client| {
///
/// client.set_with("lock", "mine", SetOptions::new().nx().ex(Duration::from_secs(30)));
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct SetOptions {
    condition: Option<Condition>,
    expiry: Option<Expiry>,
    keep_expiry: bool,
}

#[derive(Clone, Debug)]
enum Condition {
    Absent,
    Present,
    /// A word, and what it is compared with.
    Value(&'static str, Vec<u8>),
}

impl SetOptions {
    /// Sets under all conditions, for ever.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Only where there is no such key yet.
    #[must_use]
    pub fn nx(mut self) -> Self {
        self.condition = Some(Condition::Absent);
        self
    }

    /// Only where the key exists.
    #[must_use]
    pub fn xx(mut self) -> Self {
        self.condition = Some(Condition::Present);
        self
    }

    /// Only where the present value is this one (Valkey 8.1, Redis 8.4).
    #[must_use]
    pub fn ifeq(mut self, value: impl AsRef<[u8]>) -> Self {
        self.condition = Some(Condition::Value("IFEQ", value.as_ref().to_vec()));
        self
    }

    /// Only where the present value is not this one, or there is none (Redis 8.4).
    #[must_use]
    pub fn ifne(mut self, value: impl AsRef<[u8]>) -> Self {
        self.condition = Some(Condition::Value("IFNE", value.as_ref().to_vec()));
        self
    }

    /// Only where the present value has this digest, as
    /// [`digest`](crate::commands::StringCommands::digest) gives it (Redis 8.4).
    #[must_use]
    pub fn ifdeq(mut self, digest: &str) -> Self {
        self.condition = Some(Condition::Value("IFDEQ", digest.as_bytes().to_vec()));
        self
    }

    /// Only where the present value has not this digest, or there is none (Redis 8.4).
    #[must_use]
    pub fn ifdne(mut self, digest: &str) -> Self {
        self.condition = Some(Condition::Value("IFDNE", digest.as_bytes().to_vec()));
        self
    }

    /// Expires after this time (sent as `PX`).
    #[must_use]
    pub fn ex(mut self, duration: Duration) -> Self {
        self.expiry = Some(Expiry::In(duration));
        self
    }

    /// Expires at this moment (sent as `PXAT`).
    #[must_use]
    pub fn exat(mut self, time: SystemTime) -> Self {
        self.expiry = Some(Expiry::At(time));
        self
    }

    /// Leaves the expiry as it is, where setting would take it away.
    #[must_use]
    pub fn keepttl(mut self) -> Self {
        self.keep_expiry = true;
        self
    }
}

impl Arg for SetOptions {
    fn write(&self, args: &mut Args) {
        match &self.condition {
            None => {}
            Some(Condition::Absent) => args.bulk(b"NX"),
            Some(Condition::Present) => args.bulk(b"XX"),
            Some(Condition::Value(word, value)) => value.write_named(word, args),
        }
        args.optional(self.expiry);
        args.flag(self.keep_expiry, "KEEPTTL");
    }
}

/// A part of a string, both ends included; below zero counts from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitRange {
    start: i64,
    end: i64,
    bits: bool,
}

impl BitRange {
    /// From byte `start` to byte `end`.
    #[must_use]
    pub fn bytes(start: i64, end: i64) -> Self {
        Self { start, end, bits: false }
    }

    /// From bit `start` to bit `end` (Redis 7.0).
    #[must_use]
    pub fn bits(start: i64, end: i64) -> Self {
        Self { start, end, bits: true }
    }
}

impl Arg for BitRange {
    /// Bytes go without a unit, which Redis 6.2 does not know.
    fn write(&self, args: &mut Args) {
        (self.start, self.end).write(args);
        args.flag(self.bits, "BIT");
    }
}

/// How bits are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BitOperation {
    /// Bits that are set in all.
    And,
    /// Bits that are set in any.
    Or,
    /// Bits that are set in an odd number.
    Xor,
    /// The bits of the one key, inverted.
    Not,
    /// Bits that are set in the first key and in none of the others (Redis 8.2).
    Diff,
    /// Bits that are set in any of the others and not in the first key (Redis 8.2).
    Diff1,
    /// Bits that are set in the first key and in any of the others (Redis 8.2).
    AndOr,
    /// Bits that are set in exactly one (Redis 8.2).
    One,
}

impl Arg for BitOperation {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::And => b"AND",
            Self::Or => b"OR",
            Self::Xor => b"XOR",
            Self::Not => b"NOT",
            Self::Diff => b"DIFF",
            Self::Diff1 => b"DIFF1",
            Self::AndOr => b"ANDOR",
            Self::One => b"ONE",
        });
    }
}
