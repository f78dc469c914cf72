//! What is told of slots: who serves them, how much they are used, how they move.

use std::collections::BTreeMap;
use std::time::Duration;

use redwire_core::{Items, Reader, Reply, Result, Value};

use crate::commands::server::fields::{fields_and_rest, read};

/// A range of slots and the nodes that serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotRange {
    /// The first slot.
    pub start: u16,
    /// The last slot.
    pub end: u16,
    /// The primary, and then its replicas.
    pub nodes: Vec<SlotNode>,
}

impl Reply for SlotRange {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let (start, end) = (u16::decode_item(reader, &mut items)?, u16::decode_item(reader, &mut items)?);
        let mut nodes = Vec::new();
        while items.more(reader)? {
            nodes.push(SlotNode::decode_item(reader, &mut items)?);
        }
        Ok(Self { start, end, nodes })
    }
}

/// A node that serves a range of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotNode {
    /// What clients are to call it; `None` or empty: as the node that tells was called.
    pub host: Option<String>,
    /// Its port.
    pub port: u16,
    /// Its ID.
    pub id: String,
    /// Other ways to call it: `ip`, `hostname` (Redis 7.0).
    pub metadata: BTreeMap<String, String>,
}

impl Reply for SlotNode {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let node = Self {
            host: Option::decode_item(reader, &mut items)?,
            port: u16::decode_item(reader, &mut items)?,
            id: String::decode_item(reader, &mut items)?,
            metadata: match items.more(reader)? {
                true => Reply::decode_item(reader, &mut items)?,
                false => BTreeMap::new(),
            },
        };
        skip_rest(reader, &mut items)?;
        Ok(node)
    }
}

/// How much a slot is used. What the server does not count is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SlotStats {
    /// The slot.
    pub slot: u16,
    /// How many keys it has.
    pub key_count: Option<u64>,
    /// How long its commands ran.
    pub cpu: Option<Duration>,
    /// How many bytes its commands took.
    pub network_bytes_in: Option<u64>,
    /// How many bytes its replies took.
    pub network_bytes_out: Option<u64>,
    /// What newer servers count besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for SlotStats {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let mut stats = Self { slot: u16::decode_item(reader, &mut items)?, ..Self::default() };
        items.take(1, reader)?;
        stats.other = fields_and_rest(reader, |name, reader| match name {
            "key-count" => read(&mut stats.key_count, reader),
            "cpu-usec" => {
                stats.cpu = Some(Duration::from_micros(u64::decode(reader)?));
                Ok(true)
            }
            "network-bytes-in" => read(&mut stats.network_bytes_in, reader),
            "network-bytes-out" => read(&mut stats.network_bytes_out, reader),
            _ => Ok(false),
        })?;
        skip_rest(reader, &mut items)?;
        Ok(stats)
    }
}

/// A move of slots from one node to another. Servers name its parts in words of their own: what both tell
/// stands in fields, the rest in the map.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SlotMigration {
    /// Its ID: Redis's `id`, Valkey's `name`.
    pub id: String,
    /// `IMPORT` or `EXPORT` (Valkey), `import` or `migrate` (Redis).
    pub operation: String,
    /// The slots, such as `0-99 200-299`.
    pub slots: String,
    /// The ID of the node that they come from.
    pub source: String,
    /// The ID of the node that they go to.
    pub target: String,
    /// How far it has come: `success` (Valkey), `completed` (Redis), …
    pub state: String,
    /// What went wrong, empty if nothing did.
    pub message: String,
    /// All else: `create_time`, `retries`, …
    pub other: BTreeMap<String, Value>,
}

impl Reply for SlotMigration {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut migration = Self::default();
        migration.other = fields_and_rest(reader, |name, reader| match name {
            "id" | "name" => read(&mut migration.id, reader),
            "operation" => read(&mut migration.operation, reader),
            "slots" | "slot_ranges" => read(&mut migration.slots, reader),
            "source" | "source_node" => read(&mut migration.source, reader),
            "dest" | "target_node" => read(&mut migration.target, reader),
            "state" => read(&mut migration.state, reader),
            "last_error" | "message" => read(&mut migration.message, reader),
            _ => Ok(false),
        })?;
        Ok(migration)
    }
}

/// Newer servers append to their lists.
fn skip_rest(reader: &mut Reader<'_>, items: &mut Items) -> Result<()> {
    while items.more(reader)? {
        Value::decode_item(reader, items)?;
    }
    Ok(())
}
