//! Entries, those that are pending, and those that were claimed. Servers leave out what was deleted in ways
//! of their own: here it is the same for all.

use std::ops::Deref;
use std::time::Duration;

use redwire_core::{Items, Lossy, Reader, Reply, Result, Value};

use super::StreamId;

/// An entry of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<T> {
    /// Its ID.
    pub id: StreamId,
    /// Its fields and values. An entry that was deleted while it was pending has none: that is `None` for an
    /// `Option`, an error for a `Result`, and for maps and lists as if they were empty. A list of entries
    /// leaves it out where `T` can be none of these, such as a struct that needs its fields; it stays pending
    /// until it is acknowledged or claimed.
    ///
    /// Fields that are there and are no `T` fail the reply as a whole, with those of the other entries. Where
    /// entries may come from others, read them as a `Result`: that has the error of each in its place.
    pub fields: T,
    /// How long it was pending when it was claimed by
    /// [`XreadgroupOptions::claim`](super::XreadgroupOptions::claim); `None` where that was not asked for.
    pub idle: Option<Duration>,
    /// How often it was delivered before it was claimed so.
    pub deliveries: Option<u64>,
}

/// What became of an entry that was to be deleted (Redis 8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryDeletion {
    /// There is no such entry, or no such stream.
    Missing,
    /// It is deleted.
    Deleted,
    /// It stays, since groups refer to it.
    Referenced,
}

impl Reply for EntryDeletion {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Ok(match i64::decode(reader)? {
            1 => Self::Deleted,
            2 => Self::Referenced,
            _ => Self::Missing,
        })
    }
}

impl<T: Reply> Reply for Entry<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Self::read(reader)?.1
    }

    /// Leaves out an entry without fields that is no `T`.
    fn decode_present(reader: &mut Reader<'_>, items: &mut Items) -> Result<Option<Self>> {
        items.take(1, reader)?;
        match Self::read(reader)? {
            (true, Err(_)) => Ok(None),
            (_, entry) => entry.map(Some),
        }
    }
}

impl<T: Reply> Entry<T> {
    /// Whether the next entry has no fields, and what it is.
    fn read(reader: &mut Reader<'_>) -> Result<(bool, Result<Self>)> {
        let mut items = reader.items()?;
        let id = StreamId::decode_item(reader, &mut items)?;
        items.take(1, reader)?;
        let deleted = reader.is_null()?;
        let fields = if deleted { absent(reader) } else { Ok(T::decode(reader)?) };
        let (mut idle, mut deliveries) = (None, None);
        if items.more(reader)? {
            idle = u64::decode_item(reader, &mut items).ok().map(Duration::from_millis);
        }
        if items.more(reader)? {
            deliveries = u64::decode_item(reader, &mut items).ok();
        }
        let entry = fields.map(|fields| Self { id, fields, idle, deliveries });
        skip_rest(reader, &mut items)?;
        Ok((deleted, entry))
    }
}

/// What was read: the streams that had anything, each with its entries.
pub type StreamsRead<K, T> = Vec<(K, Vec<Entry<T>>)>;

/// What nil is to a `T`: nil, or else nothing.
fn absent<T: Reply>(reader: &mut Reader<'_>) -> Result<T> {
    reader.skip()?;
    Reader::read(b"_\r\n").or_else(|_| Reader::read(b"*0\r\n"))
}

/// What was claimed: a slice of [`Entry`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed<T>(Vec<Entry<T>>);

impl<T> Deref for Claimed<T> {
    type Target = [Entry<T>];

    fn deref(&self) -> &[Entry<T>] {
        &self.0
    }
}

impl<T> IntoIterator for Claimed<T> {
    type Item = Entry<T>;
    type IntoIter = std::vec::IntoIter<Entry<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: Reply> Reply for Claimed<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        present(reader).map(Self)
    }
}

/// What was claimed among the entries that another consumer left pending; `E` is an [`Entry`] or its
/// [`StreamId`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AutoClaimed<E> {
    /// Where to go on looking; [`StreamId::MIN`] when all were looked at.
    pub next: StreamId,
    /// What is pending for the caller now.
    pub entries: Vec<E>,
    /// What is pending no longer, because it was deleted from the stream (Redis 7.0; before, it stays pending
    /// for the caller and is not told).
    pub deleted: Vec<StreamId>,
}

impl<E: Reply> Reply for AutoClaimed<E> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let next = StreamId::decode_item(reader, &mut items)?;
        items.take(1, reader)?;
        let entries = present(reader)?;
        let deleted = if items.more(reader)? { Vec::decode_item(reader, &mut items)? } else { Vec::new() };
        skip_rest(reader, &mut items)?;
        Ok(Self { next, entries, deleted })
    }
}

/// The items of a list that are not nil: Redis 6.2 has nil in place of an entry that was deleted.
fn present<E: Reply>(reader: &mut Reader<'_>) -> Result<Vec<E>> {
    Vec::<Option<E>>::decode(reader).map(|list| list.into_iter().flatten().collect())
}

/// What is pending in a group, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingSummary {
    /// How many entries.
    pub count: u64,
    /// The first of them.
    pub first: Option<StreamId>,
    /// The last of them.
    pub last: Option<StreamId>,
    /// The consumers that have any, and how many.
    pub consumers: Vec<(String, u64)>,
}

impl Reply for PendingSummary {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let summary = Self {
            count: u64::decode_item(reader, &mut items)?,
            first: Option::decode_item(reader, &mut items)?,
            last: Option::decode_item(reader, &mut items)?,
            consumers: Option::<Vec<(Lossy, u64)>>::decode_item(reader, &mut items)?
                .unwrap_or_default()
                .into_iter()
                .map(|(name, count)| (name.0, count))
                .collect(),
        };
        skip_rest(reader, &mut items)?;
        Ok(summary)
    }
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingEntry {
    /// Its ID.
    pub id: StreamId,
    /// For whom it is pending.
    pub consumer: String,
    /// How long ago it was delivered last.
    pub idle: Duration,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl Reply for PendingEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let entry = Self {
            id: StreamId::decode_item(reader, &mut items)?,
            consumer: Lossy::decode_item(reader, &mut items)?.0,
            idle: Duration::from_millis(u64::decode_item(reader, &mut items)?),
            deliveries: u64::decode_item(reader, &mut items)?,
        };
        skip_rest(reader, &mut items)?;
        Ok(entry)
    }
}

/// Newer servers append to their lists.
pub(super) fn skip_rest(reader: &mut Reader<'_>, items: &mut Items) -> Result<()> {
    while items.more(reader)? {
        Value::decode_item(reader, items)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn an_entry_that_was_deleted_has_no_fields() {
        for nil in ["*-1\r\n", "$-1\r\n", "_\r\n"] {
            let frame = format!("*2\r\n$3\r\n1-2\r\n{nil}");
            let entry: Entry<Option<Vec<String>>> = Reader::read(frame.as_bytes()).unwrap();
            assert_eq!((entry.id, entry.fields), (StreamId::new(1, 2), None));
            let entry: Entry<HashMap<String, String>> = Reader::read(frame.as_bytes()).unwrap();
            assert!(entry.fields.is_empty());
        }
    }

    #[test]
    fn a_list_leaves_out_what_is_nothing_to_its_type() {
        let entry = |id: &str, fields: &str| format!("*2\r\n$3\r\n{id}\r\n{fields}");
        let entries =
            [entry("1-1", "*2\r\n+a\r\n+1\r\n"), entry("1-2", "*-1\r\n"), entry("1-3", "*2\r\n+a\r\n+x\r\n")];
        let frame = format!("*3\r\n{}", entries.concat());
        let frame = frame.as_bytes();
        let entries: Vec<Entry<(String, String)>> = Reader::read(frame).unwrap();
        assert_eq!(entries.iter().map(|entry| entry.id.to_string()).collect::<Vec<_>>(), ["1-1", "1-3"]);
        let boxed: Vec<Box<Entry<(String, String)>>> = Reader::read(frame).unwrap();
        assert_eq!(boxed.len(), 2);
        let entries: Vec<Entry<Option<(String, String)>>> = Reader::read(frame).unwrap();
        assert_eq!((entries.len(), &entries[1].fields), (3, &None));
        let entries: Vec<Entry<Result<(String, u32)>>> = Reader::read(frame).unwrap();
        assert_eq!(
            entries.iter().map(|entry| entry.fields.is_ok()).collect::<Vec<_>>(),
            [true, false, false]
        );
        Reader::read::<Vec<Entry<(String, u32)>>>(frame).unwrap_err();
        let entries: Vec<Result<Entry<(String, u32)>>> = Reader::read(frame).unwrap();
        assert_eq!(entries.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false]);
        Reader::read::<Entry<(String, String)>>(b"*2\r\n$3\r\n1-2\r\n_\r\n").unwrap_err();
    }

    #[test]
    fn what_a_newer_server_appends_is_passed_over() {
        let frame = b"*4\r\n$3\r\n1-2\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n:7\r\n:1\r\n";
        let entry: Entry<Vec<(String, String)>> = Reader::read(frame).unwrap();
        assert_eq!(entry.fields, [("a".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn old_servers_claim_nil_for_what_was_deleted() {
        let frame = b"*2\r\n$3\r\n0-0\r\n*2\r\n*-1\r\n*2\r\n$3\r\n1-2\r\n*0\r\n";
        let claimed: AutoClaimed<Entry<Vec<String>>> = Reader::read(frame).unwrap();
        assert_eq!(claimed.entries.len(), 1);
        assert!(claimed.deleted.is_empty());
    }
}
