//! The keys of one database, and when they end.
//!
//! A key ends at its millisecond exactly: before each command those that are due are taken away, so that no
//! command ever sees one. This file must not know who is told of it.

use std::collections::BTreeSet;

use crate::table::Table;
use crate::value::{Entry, Value};

/// One of the databases of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Database {
    entries: Table<Entry>,
    ends: BTreeSet<(u64, Vec<u8>)>,
}

impl Database {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many keys have an end.
    pub(crate) fn expiring(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn table(&self) -> &Table<Entry> {
        &self.entries
    }

    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        self.entries.contains(key)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Value> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    pub(crate) fn entry(&self, key: &[u8]) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// When a key ends. `None` if there is no such key, or it never ends.
    pub(crate) fn expires(&self, key: &[u8]) -> Option<u64> {
        self.entries.get(key).and_then(|entry| entry.expires)
    }

    /// Puts a value in place of what was there, with another end.
    pub(crate) fn insert(&mut self, key: &[u8], entry: Entry) {
        let end = entry.expires;
        let before = self.entries.insert(key, entry);
        self.follow(key, before.and_then(|entry| entry.expires), end);
    }

    pub(crate) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.follow(key, entry.expires, None);
        Some(entry)
    }

    /// Sets when a key ends, if it is there.
    pub(crate) fn set_expires(&mut self, key: &[u8], end: Option<u64>) {
        if let Some(entry) = self.entries.get_mut(key) {
            let before = std::mem::replace(&mut entry.expires, end);
            self.follow(key, before, end);
        }
    }

    /// When the next key ends.
    pub(crate) fn next_end(&self) -> Option<u64> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// A key whose time has come.
    pub(crate) fn due(&self, now: u64) -> Option<Vec<u8>> {
        self.ends.first().filter(|(end, _)| *end <= now).map(|(_, key)| key.clone())
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn follow(&mut self, key: &[u8], before: Option<u64>, end: Option<u64>) {
        if before == end {
            return;
        }
        if let Some(before) = before {
            self.ends.remove(&(before, key.to_vec()));
        }
        if let Some(end) = end {
            self.ends.insert((end, key.to_vec()));
        }
    }
}
