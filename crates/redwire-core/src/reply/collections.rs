//! Replies that are lists: sequences, sets, maps and arrays.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};

use super::tuples::retry;
use super::{Items, Reader, Reply, Row, decode_error};
use crate::error::{Error, Result};

/// The items of a list, one after the other, into whatever collects them.
#[inline]
fn collect<T: Reply>(reader: &mut Reader<'_>, items: &mut Items, mut add: impl FnMut(T)) -> Result<()> {
    while items.more(reader)? {
        if let Some(item) = T::decode_present(reader, items)? {
            add(item);
        }
    }
    Ok(())
}

impl<T: Reply> Reply for Vec<T> {
    const READS_ALL: bool = true;

    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let mut list = Self::with_capacity(items.reserve(1));
        collect(reader, &mut items, |item| list.push(item))?;
        Ok(list)
    }
}

impl<T: Reply> Reply for VecDeque<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Vec::decode(reader).map(Into::into)
    }
}

impl<T: Reply> Reply for Box<[T]> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Vec::decode(reader).map(Into::into)
    }
}

impl<T: Reply + Eq + Hash, S: BuildHasher + Default> Reply for HashSet<T, S> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let mut set = Self::with_capacity_and_hasher(items.reserve(1), S::default());
        collect(reader, &mut items, |item| {
            set.insert(item);
        })?;
        Ok(set)
    }
}

impl<T: Reply + Ord> Reply for BTreeSet<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (mut items, mut set) = (reader.items()?, Self::new());
        collect(reader, &mut items, |item| {
            set.insert(item);
        })?;
        Ok(set)
    }
}

impl<K: Reply + Eq + Hash, V: Reply, S: BuildHasher + Default> Reply for HashMap<K, V, S> {
    const READS_ALL: bool = true;

    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let mut map = Self::with_capacity_and_hasher(items.reserve(2), S::default());
        collect(reader, &mut items, |(key, value)| {
            map.insert(key, value);
        })?;
        Ok(map)
    }
}

impl<K: Reply + Ord, V: Reply> Reply for BTreeMap<K, V> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let (mut items, mut map) = (reader.items()?, Self::new());
        collect(reader, &mut items, |(key, value)| {
            map.insert(key, value);
        })?;
        Ok(map)
    }
}

impl<T: Reply, const N: usize> Reply for [T; N] {
    /// A list of exactly `N`.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        if let Some(mut items) = reader.row_here() {
            reader.row = None;
            let array = Self::decode_item(reader, &mut items);
            reader.row = Some(Row { at: 0, items, read: true });
            return array;
        }
        Self::try_from(Vec::decode(reader)?).map_err(|list: Vec<T>| not_so_many(N, list.len()))
    }

    /// As a tuple: a list of its own, or `N` items of a flat list.
    fn decode_item(reader: &mut Reader<'_>, items: &mut Items) -> Result<Self> {
        let (start, before) = (reader.cursor.clone(), *items);
        if !reader.may_be_list() {
            return in_row(reader, items);
        }
        items.take(1, reader)?;
        Self::decode(reader).or_else(|error| {
            reader.pass(&start, &error)?;
            retry(reader, items, error, |reader, items| {
                (reader.cursor, *items) = (start, before);
                in_row(reader, items)
            })
        })
    }
}

/// `N` items of a flat list. If one cannot be read, the others are passed over.
fn in_row<T: Reply, const N: usize>(reader: &mut Reader<'_>, items: &mut Items) -> Result<[T; N]> {
    let list: Vec<Result<T>> = (0..N).map(|_| T::decode_item(reader, items)).collect();
    let list = list.into_iter().collect::<Result<Vec<T>>>()?;
    list.try_into().map_err(|list: Vec<T>| not_so_many(N, list.len()))
}

#[cold]
fn not_so_many(wanted: usize, got: usize) -> Error {
    decode_error(&format!("expected a list of {wanted} items, got {got}"))
}
