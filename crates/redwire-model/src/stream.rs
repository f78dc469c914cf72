//! Entries of a stream, and the groups that read them.
//!
//! This file must not know any command.

use std::collections::{BTreeMap, BTreeSet};

/// The two numbers of an id.
pub(crate) type Id = (u64, u64);
/// The fields and values of an entry.
pub(crate) type Fields = Vec<(Vec<u8>, Vec<u8>)>;
pub(crate) type Entries = BTreeMap<Id, Fields>;

/// See the file's own words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    pub(crate) entries: Entries,
    pub(crate) last: Id,
    pub(crate) added: u64,
    pub(crate) max_deleted: Id,
    pub(crate) groups: BTreeMap<Vec<u8>, Group>,
}

/// Readers that share a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) last: Id,
    /// How many entries it has read, if that is known.
    pub(crate) read: Option<u64>,
    /// What was delivered and not acknowledged.
    pub(crate) pending: BTreeMap<Id, Pending>,
    pub(crate) consumers: BTreeMap<Vec<u8>, Consumer>,
}

/// An entry that waits to be acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) consumer: Vec<u8>,
    /// In milliseconds since 1970.
    pub(crate) delivered: u64,
    pub(crate) times: u64,
}

/// When one of a group was heard, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Consumer {
    pub(crate) seen: u64,
    pub(crate) active: Option<u64>,
}

/// What a stream is cut to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Len(u64),
    From(Id),
}

/// How many entries a server keeps together; `~` takes only whole lots away.
const LOT: usize = 100;

impl Stream {
    pub(crate) fn add(&mut self, id: Id, fields: Fields) {
        self.entries.insert(id, fields);
        self.last = id;
        self.added += 1;
    }

    pub(crate) fn delete(&mut self, id: Id) -> bool {
        let was_there = self.entries.remove(&id).is_some();
        if was_there {
            self.max_deleted = self.max_deleted.max(id);
        }
        was_there
    }

    /// Takes the oldest away, in whole lots if it need not be exact, and says how many.
    pub(crate) fn trim(&mut self, bound: Bound, exact: bool, limit: Option<usize>) -> usize {
        let mut excess = match bound {
            Bound::Len(len) => self.entries.len().saturating_sub(usize::try_from(len).unwrap_or(usize::MAX)),
            Bound::From(id) => self.entries.range(..id).count(),
        };
        if let Some(limit) = limit {
            excess = excess.min(limit);
        }
        if !exact {
            excess -= excess % LOT;
        }
        for _ in 0..excess {
            self.entries.pop_first();
        }
        excess
    }

    /// How many entries a group has not read, if that can be told.
    pub(crate) fn lag(&self, group: &Group) -> Option<u64> {
        if self.added == 0 || self.entries.is_empty() {
            return Some(0);
        }
        let known = group.read.filter(|_| !self.has_gap_from(group.last));
        let read = known.or_else(|| self.entries_read_at(group.last))?;
        Some(self.added.saturating_sub(read))
    }

    /// Whether entries from an id on were deleted out of the middle.
    pub(crate) fn has_gap_from(&self, id: Id) -> bool {
        !self.entries.is_empty() && self.max_deleted != (0, 0) && id <= self.max_deleted
    }

    /// How many entries had been added when this id was the last, if that can be told.
    pub(crate) fn entries_read_at(&self, id: Id) -> Option<u64> {
        if self.added == 0 {
            return Some(0);
        }
        if self.entries.is_empty() && id <= self.last {
            return Some(self.added);
        }
        if id != (0, 0) && id < self.max_deleted {
            return None;
        }
        if id >= self.last {
            return (id == self.last).then_some(self.added);
        }
        let len = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        let first = self.entries.first_key_value().map(|(id, _)| *id)?;
        let is_whole = self.max_deleted == (0, 0) || self.max_deleted < first;
        match id {
            id if is_whole && id < first => Some(self.added - len),
            id if is_whole && id == first => Some(self.added - len + 1),
            _ => None,
        }
    }
}

impl Group {
    /// The ids that wait for a consumer's acknowledgement.
    pub(crate) fn pending_of(&self, consumer: &[u8]) -> BTreeSet<Id> {
        self.pending.iter().filter(|(_, pending)| pending.consumer == consumer).map(|(id, _)| *id).collect()
    }
}

/// An id in words: `5-3`, or `5` with `part` for what is missing.
pub(crate) fn parse_id(text: &[u8], part: u64) -> Option<Id> {
    let number = |text: &[u8]| -> Option<u64> {
        let text = std::str::from_utf8(text).ok()?;
        (text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
    };
    match text.iter().position(|byte| *byte == b'-') {
        None => Some((number(text)?, part)),
        Some(at) => Some((number(&text[..at])?, number(&text[at + 1..])?)),
    }
}

/// An id as servers write it.
pub(crate) fn id_text(id: Id) -> String {
    format!("{}-{}", id.0, id.1)
}

/// The id behind another.
pub(crate) fn next(id: Id) -> Option<Id> {
    match id.1.checked_add(1) {
        Some(part) => Some((id.0, part)),
        None => id.0.checked_add(1).map(|time| (time, 0)),
    }
}

/// The id in front of another.
pub(crate) fn previous(id: Id) -> Option<Id> {
    match id.1.checked_sub(1) {
        Some(part) => Some((id.0, part)),
        None => id.0.checked_sub(1).map(|time| (time, u64::MAX)),
    }
}
