//! The state of a cluster in figures, and what is told of links and epochs.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redwire_core::{Error, ErrorKind, Lossy, Outcome, Reader, Reply, Result, Value};

use crate::commands::server::fields::{fields_and_rest, read};

/// What `CLUSTER INFO` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterInfo {
    /// Whether the node takes commands.
    pub is_ok: bool,
    /// How many slots any node serves.
    pub slots_assigned: u16,
    /// How many of them are served by nodes that are up.
    pub slots_ok: u16,
    /// How many are served by nodes that this one cannot reach.
    pub slots_pfail: u16,
    /// How many are served by nodes that are down.
    pub slots_fail: u16,
    /// How many nodes this one knows, itself and those in handshake included.
    pub known_nodes: u64,
    /// How many primaries serve slots.
    pub size: u64,
    /// The greatest epoch.
    pub current_epoch: u64,
    /// The epoch of this node.
    pub my_epoch: u64,
    /// All else, by its name without `cluster_`: `stats_messages_sent`, …
    pub other: BTreeMap<String, String>,
}

impl Reply for ClusterInfo {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let text = Lossy::decode(reader)?;
        let mut info = Self::default();
        for (name, value) in text.lines().filter_map(|line| line.trim_end().split_once(':')) {
            let name = name.strip_prefix("cluster_").unwrap_or(name);
            let number = || value.parse::<u64>().unwrap_or_default();
            let slots = || value.parse::<u16>().unwrap_or_default();
            match name {
                "state" => info.is_ok = value == "ok",
                "slots_assigned" => info.slots_assigned = slots(),
                "slots_ok" => info.slots_ok = slots(),
                "slots_pfail" => info.slots_pfail = slots(),
                "slots_fail" => info.slots_fail = slots(),
                "known_nodes" => info.known_nodes = number(),
                "size" => info.size = number(),
                "current_epoch" => info.current_epoch = number(),
                "my_epoch" => info.my_epoch = number(),
                _ => drop(info.other.insert(name.to_owned(), value.to_owned())),
            }
        }
        Ok(info)
    }
}

/// A connection of a node's bus.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClusterLink {
    /// `to` where this node made it, `from` where the other did.
    pub direction: String,
    /// The ID of the other node.
    pub node: String,
    /// When it was made.
    pub created: SystemTime,
    /// What the node waits for: `r`, `w` or both.
    pub events: String,
    /// How many bytes its outgoing buffer takes.
    pub send_buffer_allocated: u64,
    /// How many of them wait to be sent.
    pub send_buffer_used: u64,
    /// What newer servers tell besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for ClusterLink {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut link = Self {
            direction: String::new(),
            node: String::new(),
            created: UNIX_EPOCH,
            events: String::new(),
            send_buffer_allocated: 0,
            send_buffer_used: 0,
            other: BTreeMap::new(),
        };
        link.other = fields_and_rest(reader, |name, reader| match name {
            "direction" => read(&mut link.direction, reader),
            "node" => read(&mut link.node, reader),
            "create-time" => {
                link.created = UNIX_EPOCH + Duration::from_millis(u64::decode(reader)?);
                Ok(true)
            }
            "events" => read(&mut link.events, reader),
            "send-buffer-allocated" => read(&mut link.send_buffer_allocated, reader),
            "send-buffer-used" => read(&mut link.send_buffer_used, reader),
            _ => Ok(false),
        })?;
        Ok(link)
    }
}

/// What became of a node's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EpochBump {
    /// Whether it changed: it does not where it was the greatest already.
    pub bumped: bool,
    /// The node's epoch now.
    pub epoch: u64,
}

impl Reply for EpochBump {
    /// `BUMPED 5`, or `STILL 5`.
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let text = String::decode(reader)?;
        let (word, epoch) = text.split_once(' ').unwrap_or((&text, ""));
        match (word.to_ascii_uppercase().as_str(), epoch.trim().parse()) {
            ("BUMPED", Ok(epoch)) => Ok(Self { bumped: true, epoch }),
            ("STILL", Ok(epoch)) => Ok(Self { bumped: false, epoch }),
            _ => {
                let message = format!("expected BUMPED or STILL and an epoch, got {text:?}");
                Err(Error::new(ErrorKind::Decode, Outcome::Unreadable, message))
            }
        }
    }
}
