//! How long keys and the fields of hashes live: what may be asked for, and what servers answer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redwire_core::{Arg, Args, Reader, Reply, Result};

/// Under which condition an expiry is set. Servers take a key without expiry as one that lives for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpireCondition {
    /// Only where there is no expiry yet.
    Nx,
    /// Only where there is one.
    Xx,
    /// Only where it would be later than the present one.
    Gt,
    /// Only where it would be sooner than the present one.
    Lt,
}

impl Arg for ExpireCondition {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Nx => b"NX",
            Self::Xx => b"XX",
            Self::Gt => b"GT",
            Self::Lt => b"LT",
        });
    }
}

/// How much longer something lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ttl {
    /// There is no such key or field.
    Missing,
    /// It has no expiry.
    Never,
    /// So long, in whole milliseconds.
    In(Duration),
}

impl Ttl {
    /// The time left, where there is an end to it.
    #[must_use]
    pub fn left(self) -> Option<Duration> {
        if let Self::In(left) = self { Some(left) } else { None }
    }
}

impl Reply for Ttl {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match i64::decode(reader)? {
            -2 => Self::Missing,
            millis => {
                u64::try_from(millis).map_or(Self::Never, |millis| Self::In(Duration::from_millis(millis)))
            }
        })
    }
}

/// Until when something lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpireTime {
    /// There is no such key or field.
    Missing,
    /// It has no expiry.
    Never,
    /// Until then, in whole milliseconds.
    At(SystemTime),
}

impl ExpireTime {
    /// The moment of expiry, where there is one.
    #[must_use]
    pub fn at(self) -> Option<SystemTime> {
        if let Self::At(time) = self { Some(time) } else { None }
    }
}

impl Reply for ExpireTime {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match Ttl::decode(reader)? {
            Ttl::Missing => Self::Missing,
            Ttl::Never => Self::Never,
            // A moment that the clock cannot express is as good as none.
            Ttl::In(since_1970) => UNIX_EPOCH.checked_add(since_1970).map_or(Self::Never, Self::At),
        })
    }
}
