//! The IDs of entries: a time and a number.

use std::fmt;
use std::str::FromStr;

use redwire_core::{Arg, Args, Error, ErrorKind, Lossy, Outcome, Reader, Reply, Result};

/// The ID of an entry. Later entries have greater ones.
///
/// ```
/// use redwire::commands::StreamId;
///
/// let id: StreamId = "1700000000000-3".parse()?;
/// assert_eq!((id.ms, id.seq), (1_700_000_000_000, 3));
/// assert_eq!(id.to_string(), "1700000000000-3");
/// assert!(id > StreamId::MIN);
/// # Ok::<(), redwire::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    /// When the entry was added, in milliseconds since 1970, unless its ID was made up.
    pub ms: u64,
    /// Its number among those of the same millisecond.
    pub seq: u64,
}

impl StreamId {
    /// Before all entries: where reading begins, and the beginning of a range.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The last possible one: the end of a range.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };
    /// The server chooses it, for `xadd_with`.
    pub const AUTO: &'static str = "*";
    /// That of the newest entry, for `xread` and `xgroup_create`: what comes from now on.
    pub const LATEST: &'static str = "$";
    /// Entries that no consumer of the group got yet, for `xreadgroup`.
    pub const UNDELIVERED: &'static str = ">";

    /// An ID of its parts.
    #[must_use]
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// As the end of a range that leaves this one out, for `xrange` and its kin.
    ///
    /// ```
    /// use redwire::commands::StreamId;
    /// assert_eq!(StreamId::new(5, 1).exclusive(), "(5-1");
    /// ```
    #[must_use]
    pub fn exclusive(self) -> String {
        format!("({self}")
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for StreamId {
    type Err = Error;

    /// `ms-seq`, or `ms` alone for the first of that millisecond.
    fn from_str(text: &str) -> Result<Self> {
        let (ms, seq) = text.split_once('-').unwrap_or((text, "0"));
        match (number(ms), number(seq)) {
            (Some(ms), Some(seq)) => Ok(Self { ms, seq }),
            _ => Err(Error::usage(format!("expected the ID of an entry, as 1700000000000-0; got {text:?}"))),
        }
    }
}

/// Digits alone: the standard parser takes a sign, too.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

impl Arg for StreamId {
    fn write(&self, args: &mut Args) {
        args.bulk(self.to_string().as_bytes());
    }
}

impl Reply for StreamId {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let text = Lossy::decode(reader)?;
        text.parse()
            .map_err(|error: Error| Error::new(ErrorKind::Decode, Outcome::Unreadable, error.message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_printed() {
        for id in [StreamId::MIN, StreamId::MAX, StreamId::new(1, 2), StreamId::new(0, u64::MAX)] {
            assert_eq!(id.to_string().parse::<StreamId>().unwrap(), id);
        }
        assert_eq!("17".parse::<StreamId>().unwrap(), StreamId::new(17, 0));
        for text in
            ["", "-", "1-", "-1", "+1-2", "1--2", "1-2-3", "18446744073709551616-0", "*", "1-*", " 1-2"]
        {
            text.parse::<StreamId>().unwrap_err();
        }
    }

    #[test]
    fn later_ids_are_greater() {
        let ids = ["0-0", "0-1", "0-10", "1-0", "9-9", "10-0"].map(|text| text.parse::<StreamId>().unwrap());
        assert!(ids.is_sorted());
    }
}
