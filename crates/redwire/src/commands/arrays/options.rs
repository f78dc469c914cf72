//! How arrays are searched and reckoned with, and what is told of them.

use std::collections::BTreeMap;

use redwire_core::{Arg, Args, Reader, Reply, Result, Value};

use crate::commands::server::fields::{fields_and_rest, read};

/// What a value must be to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArrayPredicate<'a> {
    /// This text.
    Exact(&'a str),
    /// It contains this text.
    Contains(&'a str),
    /// It matches this glob pattern.
    Glob(&'a str),
    /// It matches this regular expression.
    Regex(&'a str),
}

impl Arg for ArrayPredicate<'_> {
    fn write(&self, args: &mut Args) {
        match self {
            Self::Exact(text) => text.write_named("EXACT", args),
            Self::Contains(text) => text.write_named("MATCH", args),
            Self::Glob(pattern) => pattern.write_named("GLOB", args),
            Self::Regex(pattern) => pattern.write_named("RE", args),
        }
    }
}

/// A search for values of an array.
#[derive(Clone, Debug)]
pub struct ArraySearch {
    range: Option<(u64, u64)>,
    predicates: Args,
    all: bool,
    limit: Option<u64>,
    nocase: bool,
}

impl ArraySearch {
    /// All values that are so.
    #[must_use]
    pub fn new(predicate: ArrayPredicate<'_>) -> Self {
        let search = Self { range: None, predicates: Args::new(), all: false, limit: None, nocase: false };
        search.or(predicate)
    }

    /// Also those that are so.
    #[must_use]
    pub fn or(mut self, predicate: ArrayPredicate<'_>) -> Self {
        predicate.write(&mut self.predicates);
        self
    }

    /// Only those that are also so. It holds for all that was said: with it, [`or`](Self::or) is an *and*,
    /// too.
    #[must_use]
    pub fn and(mut self, predicate: ArrayPredicate<'_>) -> Self {
        self.all = true;
        self.or(predicate)
    }

    /// Only places from `start` to `end`, both included; backwards where `start` is greater.
    #[must_use]
    pub fn range(mut self, start: u64, end: u64) -> Self {
        self.range = Some((start, end));
        self
    }

    /// Up to so many.
    #[must_use]
    pub fn limit(mut self, count: u64) -> Self {
        self.limit = Some(count);
        self
    }

    /// In any letter case.
    #[must_use]
    pub fn nocase(mut self) -> Self {
        self.nocase = true;
        self
    }
}

impl Arg for ArraySearch {
    fn write(&self, args: &mut Args) {
        match self.range {
            Some(range) => range.write(args),
            None => ("-", "+").write(args),
        }
        self.predicates.write(args);
        args.flag(self.all, "AND");
        self.limit.write_named("LIMIT", args);
        args.flag(self.nocase, "NOCASE");
    }
}

/// What is reckoned of the values of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArrayOperation<'a> {
    /// The sum of those that are numbers.
    Sum,
    /// The smallest of those that are numbers.
    Min,
    /// The greatest of those that are numbers.
    Max,
    /// The bits that are set in all, as integers.
    And,
    /// The bits that are set in any, as integers.
    Or,
    /// The bits that are set in an odd number, as integers.
    Xor,
    /// How many are this text.
    Match(&'a str),
    /// How many there are.
    Used,
}

impl Arg for ArrayOperation<'_> {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Sum => b"SUM",
            Self::Min => b"MIN",
            Self::Max => b"MAX",
            Self::And => b"AND",
            Self::Or => b"OR",
            Self::Xor => b"XOR",
            Self::Used => b"USED",
            Self::Match(text) => return text.write_named("MATCH", args),
        });
    }
}

/// How a server keeps an array.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ArrayInfo {
    /// How many places are not empty.
    pub count: u64,
    /// How many places there are up to the last that is not empty.
    pub len: u64,
    /// The place that the next insertion takes.
    pub next_insert_index: u64,
    /// How many slices it has memory for.
    pub slices: u64,
    /// How many places a slice has.
    pub slice_size: u64,
    /// How many slices have memory for each place; `None` unless asked for in full.
    pub dense_slices: Option<u64>,
    /// How many have it only for places that are not empty; `None` unless asked for in full.
    pub sparse_slices: Option<u64>,
    /// All else, by its name: `directory-size`, `avg-dense-fill`, …
    pub other: BTreeMap<String, Value>,
}

impl Reply for ArrayInfo {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut info = Self::default();
        info.other = fields_and_rest(reader, |name, reader| match name {
            "count" => read(&mut info.count, reader),
            "len" => read(&mut info.len, reader),
            "next-insert-index" => read(&mut info.next_insert_index, reader),
            "slices" => read(&mut info.slices, reader),
            "slice-size" => read(&mut info.slice_size, reader),
            "dense-slices" => read(&mut info.dense_slices, reader),
            "sparse-slices" => read(&mut info.sparse_slices, reader),
            _ => Ok(false),
        })?;
        Ok(info)
    }
}
