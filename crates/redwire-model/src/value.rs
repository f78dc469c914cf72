//! What a key may hold.
//!
//! This file must not know any command.

use std::collections::VecDeque;

use crate::sorted_set::SortedSet;
use crate::stream::Stream;
use crate::table::Table;

/// A value and when it ends.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    /// In milliseconds since 1970.
    pub(crate) expires: Option<u64>,
}

/// A value of any type.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    String(Vec<u8>),
    List(List),
    Set(Set),
    Hash(Hash),
    SortedSet(SortedSet),
    Stream(Stream),
}

pub(crate) type List = VecDeque<Vec<u8>>;
pub(crate) type Set = Table<()>;
pub(crate) type Hash = Table<Vec<u8>>;

impl Value {
    /// Its type, as `TYPE` says it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Set(_) => "set",
            Self::Hash(_) => "hash",
            Self::SortedSet(_) => "zset",
            Self::Stream(_) => "stream",
        }
    }

    /// Whether it has no elements, so that its key goes. A stream stays.
    pub(crate) fn is_spent(&self) -> bool {
        match self {
            Self::String(_) | Self::Stream(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Set(set) => set.is_empty(),
            Self::Hash(hash) => hash.is_empty(),
            Self::SortedSet(set) => set.is_empty(),
        }
    }
}

/// One type of value, so that commands ask for theirs and all others are refused in one place.
pub(crate) trait Stored: Default {
    fn of(value: &Value) -> Option<&Self>;
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    fn wrap(self) -> Value;
}

macro_rules! stored {
    ($($kind:ty => $variant:ident),*) => {$(
        impl Stored for $kind {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$variant(inner) = value { Some(inner) } else { None }
            }
            fn wrap(self) -> Value {
                Value::$variant(self)
            }
        }
    )*};
}

stored!(
    Vec<u8> => String,
    List => List,
    Set => Set,
    Hash => Hash,
    SortedSet => SortedSet,
    Stream => Stream
);
