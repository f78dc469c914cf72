//! The little language of BITFIELD: integers of any width inside a string.

use redwire_core::{Arg, Args};

/// Reads and writes of integers inside a string, done in order; the reply has one item for each.
///
/// ```
/// use redwire::commands::{Bitfield, BitOffset, IntType, BitfieldOverflow};
/// use redwire::prelude::*;
/// # let (batch, _) = redwire::Pipeline::record(|client| {
///
/// let steps = Bitfield::new()
///     .set(IntType::U(8), 0, 200)
///     .overflow(BitfieldOverflow::Sat)
///     .incr_by(IntType::I(5), BitOffset::nth(3), 10)
///     .get(IntType::U(8), 0);
/// client.bitfield("counters", steps);
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct Bitfield {
    words: Vec<String>,
}

/// The type of an integer inside a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntType {
    /// Signed, of this many bits, up to 64.
    I(u8),
    /// Unsigned, of this many bits, up to 63.
    U(u8),
}

/// Where an integer stands; a plain number is its first bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitOffset {
    at: u64,
    counts_integers: bool,
}

/// What happens where a result does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BitfieldOverflow {
    /// It wraps around, as is the default.
    Wrap,
    /// It stops at the smallest or the largest value.
    Sat,
    /// Nothing is changed and the reply's item is nil.
    Fail,
}

impl Bitfield {
    /// No steps yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads.
    #[must_use]
    pub fn get(self, kind: IntType, offset: impl Into<BitOffset>) -> Self {
        self.step("GET", kind, offset.into(), None)
    }

    /// Writes, and gives what was there before.
    #[must_use]
    pub fn set(self, kind: IntType, offset: impl Into<BitOffset>, value: i64) -> Self {
        self.step("SET", kind, offset.into(), Some(value))
    }

    /// Adds, and gives the new value.
    #[must_use]
    pub fn incr_by(self, kind: IntType, offset: impl Into<BitOffset>, delta: i64) -> Self {
        self.step("INCRBY", kind, offset.into(), Some(delta))
    }

    /// How the writes that follow treat results that do not fit.
    #[must_use]
    pub fn overflow(mut self, overflow: BitfieldOverflow) -> Self {
        let word = match overflow {
            BitfieldOverflow::Wrap => "WRAP",
            BitfieldOverflow::Sat => "SAT",
            BitfieldOverflow::Fail => "FAIL",
        };
        self.words.extend(["OVERFLOW".to_owned(), word.to_owned()]);
        self
    }

    fn step(mut self, verb: &str, kind: IntType, offset: BitOffset, value: Option<i64>) -> Self {
        let kind = match kind {
            IntType::I(bits) => format!("i{bits}"),
            IntType::U(bits) => format!("u{bits}"),
        };
        let mark = if offset.counts_integers { "#" } else { "" };
        self.words.extend([verb.to_owned(), kind, format!("{mark}{}", offset.at)]);
        self.words.extend(value.map(|value| value.to_string()));
        self
    }
}

impl BitOffset {
    /// The integer of this number, counted from 0 in units of its own width.
    #[must_use]
    pub fn nth(index: u64) -> Self {
        Self { at: index, counts_integers: true }
    }
}

impl From<u64> for BitOffset {
    fn from(bit: u64) -> Self {
        Self { at: bit, counts_integers: false }
    }
}

impl Arg for Bitfield {
    fn write(&self, args: &mut Args) {
        self.words.write(args);
    }
}
