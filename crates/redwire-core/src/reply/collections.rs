//! Replies that are lists: sequences, sets, maps and arrays.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash};

use super::{Items, Reader, Reply, decode_error};
use crate::error::Result;

/// The items of a list, one after the other, into whatever collects them.
#[inline]
fn collect<T: Reply>(reader: &mut Reader<'_>, items: &mut Items, mut add: impl FnMut(T)) -> Result<()> {
    while items.more(reader)? {
        add(T::decode_item(reader, items)?);
    }
    Ok(())
}

impl<T: Reply> Reply for Vec<T> {
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
        let list = Vec::decode(reader)?;
        Self::try_from(list).map_err(|list: Vec<T>| {
            decode_error(&format!("expected a list of {N} items, got {}", list.len()))
        })
    }
}
