//! What servers tell about streams, groups and consumers. What a server is too old to know is `None`.

use std::time::{Duration, SystemTime};

use redwire_core::{Lossy, Reader, Reply, Result};

use super::entries::skip_rest;
use super::{Entry, StreamId};
use crate::commands::server::fields::{fields, read};

/// What a server knows about a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo<T> {
    /// How many entries it has.
    pub length: u64,
    /// How many groups.
    pub groups: u64,
    /// The last ID it gave.
    pub last_generated_id: StreamId,
    /// The greatest ID that was deleted (Redis 7.0).
    pub max_deleted_entry_id: Option<StreamId>,
    /// How many entries were ever added (Redis 7.0).
    pub entries_added: Option<u64>,
    /// The oldest entry.
    pub first_entry: Option<Entry<T>>,
    /// The newest entry.
    pub last_entry: Option<Entry<T>>,
}

impl<T: Reply> Reply for StreamInfo<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut info = Self {
            length: 0,
            groups: 0,
            last_generated_id: StreamId::MIN,
            max_deleted_entry_id: None,
            entries_added: None,
            first_entry: None,
            last_entry: None,
        };
        fields(reader, |name, reader| match name {
            "length" => read(&mut info.length, reader),
            "groups" => read(&mut info.groups, reader),
            "last-generated-id" => read(&mut info.last_generated_id, reader),
            "max-deleted-entry-id" => read(&mut info.max_deleted_entry_id, reader),
            "entries-added" => read(&mut info.entries_added, reader),
            "first-entry" => read(&mut info.first_entry, reader),
            "last-entry" => read(&mut info.last_entry, reader),
            _ => Ok(false),
        })?;
        Ok(info)
    }
}

/// All that a server knows about a stream, with its entries, groups and consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamDetails<T> {
    /// How many entries it has.
    pub length: u64,
    /// The last ID it gave.
    pub last_generated_id: StreamId,
    /// The greatest ID that was deleted (Redis 7.0).
    pub max_deleted_entry_id: Option<StreamId>,
    /// How many entries were ever added (Redis 7.0).
    pub entries_added: Option<u64>,
    /// The oldest entries, as many as were asked for.
    pub entries: Vec<Entry<T>>,
    /// Its groups.
    pub groups: Vec<GroupDetails>,
}

impl<T: Reply> Reply for StreamDetails<T> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut details = Self {
            length: 0,
            last_generated_id: StreamId::MIN,
            max_deleted_entry_id: None,
            entries_added: None,
            entries: Vec::new(),
            groups: Vec::new(),
        };
        fields(reader, |name, reader| match name {
            "length" => read(&mut details.length, reader),
            "last-generated-id" => read(&mut details.last_generated_id, reader),
            "max-deleted-entry-id" => read(&mut details.max_deleted_entry_id, reader),
            "entries-added" => read(&mut details.entries_added, reader),
            "entries" => read(&mut details.entries, reader),
            "groups" => read(&mut details.groups, reader),
            _ => Ok(false),
        })?;
        Ok(details)
    }
}

/// A group with what is pending in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDetails {
    /// Its name.
    pub name: String,
    /// The last entry it delivered.
    pub last_delivered_id: StreamId,
    /// How many entries it has read (Redis 7.0), where the server can tell.
    pub entries_read: Option<u64>,
    /// How many entries it has yet to deliver (Redis 7.0), where the server can tell.
    pub lag: Option<u64>,
    /// How many entries are pending.
    pub pending_count: u64,
    /// The first of them, as many as were asked for.
    pub pending: Vec<GroupPending>,
    /// Its consumers.
    pub consumers: Vec<ConsumerDetails>,
}

impl Reply for GroupDetails {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut group = Self::default();
        fields(reader, |name, reader| match name {
            "name" => name_of(&mut group.name, reader),
            "last-delivered-id" => read(&mut group.last_delivered_id, reader),
            "entries-read" => read(&mut group.entries_read, reader),
            "lag" => read(&mut group.lag, reader),
            "pel-count" => read(&mut group.pending_count, reader),
            "pel" | "pending" => read(&mut group.pending, reader),
            "consumers" => read(&mut group.consumers, reader),
            _ => Ok(false),
        })?;
        Ok(group)
    }
}

/// A pending entry of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupPending {
    /// Its ID.
    pub id: StreamId,
    /// For whom it is pending.
    pub consumer: String,
    /// When it was delivered last.
    pub delivered: SystemTime,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl Reply for GroupPending {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let pending = Self {
            id: StreamId::decode_item(reader, &mut items)?,
            consumer: Lossy::decode_item(reader, &mut items)?.0,
            delivered: moment(u64::decode_item(reader, &mut items)?),
            deliveries: u64::decode_item(reader, &mut items)?,
        };
        skip_rest(reader, &mut items)?;
        Ok(pending)
    }
}

/// A consumer with what is pending for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerDetails {
    /// Its name.
    pub name: String,
    /// When it last asked for anything.
    pub seen: SystemTime,
    /// When it last got anything (Redis 7.2), if it ever did.
    pub active: Option<SystemTime>,
    /// How many entries are pending for it.
    pub pending_count: u64,
    /// The first of them, as many as were asked for.
    pub pending: Vec<ConsumerPending>,
}

impl Reply for ConsumerDetails {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut consumer = Self {
            name: String::new(),
            seen: SystemTime::UNIX_EPOCH,
            active: None,
            pending_count: 0,
            pending: Vec::new(),
        };
        let (mut seen, mut active) = (0, -1_i64);
        fields(reader, |name, reader| match name {
            "name" => name_of(&mut consumer.name, reader),
            "seen-time" => read(&mut seen, reader),
            "active-time" => read(&mut active, reader),
            "pel-count" => read(&mut consumer.pending_count, reader),
            "pel" | "pending" => read(&mut consumer.pending, reader),
            _ => Ok(false),
        })?;
        consumer.seen = moment(seen);
        // -1 for never.
        consumer.active = u64::try_from(active).ok().map(moment);
        Ok(consumer)
    }
}

/// A pending entry of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerPending {
    /// Its ID.
    pub id: StreamId,
    /// When it was delivered last.
    pub delivered: SystemTime,
    /// How often it was delivered.
    pub deliveries: u64,
}

impl Reply for ConsumerPending {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let pending = Self {
            id: StreamId::decode_item(reader, &mut items)?,
            delivered: moment(u64::decode_item(reader, &mut items)?),
            deliveries: u64::decode_item(reader, &mut items)?,
        };
        skip_rest(reader, &mut items)?;
        Ok(pending)
    }
}

/// A group in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// Its name.
    pub name: String,
    /// How many consumers it has.
    pub consumers: u64,
    /// How many entries are pending.
    pub pending: u64,
    /// The last entry it delivered.
    pub last_delivered_id: StreamId,
    /// How many entries it has read (Redis 7.0), where the server can tell.
    pub entries_read: Option<u64>,
    /// How many entries it has yet to deliver (Redis 7.0), where the server can tell.
    pub lag: Option<u64>,
}

impl Reply for GroupInfo {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut group = Self::default();
        fields(reader, |name, reader| match name {
            "name" => name_of(&mut group.name, reader),
            "consumers" => read(&mut group.consumers, reader),
            "pending" => read(&mut group.pending, reader),
            "last-delivered-id" => read(&mut group.last_delivered_id, reader),
            "entries-read" => read(&mut group.entries_read, reader),
            "lag" => read(&mut group.lag, reader),
            _ => Ok(false),
        })?;
        Ok(group)
    }
}

/// A consumer in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Its name.
    pub name: String,
    /// How many entries are pending for it.
    pub pending: u64,
    /// How long ago it last asked for anything.
    pub idle: Duration,
    /// How long ago it last got anything (Redis 7.2), if it ever did.
    pub inactive: Option<Duration>,
}

impl Reply for ConsumerInfo {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut consumer = Self::default();
        let (mut idle, mut inactive) = (0, -1_i64);
        fields(reader, |name, reader| match name {
            "name" => name_of(&mut consumer.name, reader),
            "pending" => read(&mut consumer.pending, reader),
            "idle" => read(&mut idle, reader),
            "inactive" => read(&mut inactive, reader),
            _ => Ok(false),
        })?;
        consumer.idle = Duration::from_millis(idle);
        // -1 for never.
        consumer.inactive = u64::try_from(inactive).ok().map(Duration::from_millis);
        Ok(consumer)
    }
}

fn name_of(name: &mut String, reader: &mut Reader<'_>) -> Result<bool> {
    *name = Lossy::decode(reader)?.0;
    Ok(true)
}

/// Milliseconds since 1970.
fn moment(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(SystemTime::UNIX_EPOCH)
}
