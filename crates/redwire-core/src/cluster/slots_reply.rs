//! The map as nodes tell it: the replies to `CLUSTER SLOTS` and `CLUSTER SHARDS`, of RESP2 and RESP3.
//!
//! Promises that one odd entry costs no more than itself. This file must not know whether a map is believed.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::map::{Map, Node, NodeHealth, Shard};
use super::{Remap, SLOTS};
use crate::config::HostPort;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::reply::Value;

/// Which command tells the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// `CLUSTER SLOTS`: known to every server.
    #[default]
    Slots,
    /// `CLUSTER SHARDS`, since Redis 7.0: also tells which nodes are down or load their data. Where it is not
    /// known or not permitted, the other is asked.
    Shards,
}

/// Which node was asked, and how what it says is to be taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotsReply<'a> {
    /// The address under which the node was asked.
    pub(super) asked: &'a HostPort,
    /// Whether nodes are spoken to by TLS.
    pub(super) tls: bool,
    pub(super) remap: &'a Remap,
}

impl SlotsReply<'_> {
    /// The map that `reply` tells.
    pub(super) fn read(&self, source: Source, reply: &Value) -> Result<Map> {
        let rows = list(reply).ok_or_else(|| unreadable("a list"))?;
        match source {
            Source::Slots => rows.iter().map(|row| self.row(row)).collect::<Result<Vec<_>>>(),
            Source::Shards => rows.iter().map(|row| self.shard(row)).collect::<Result<Vec<_>>>(),
        }
        .map(|told| Map::of(told.into_iter().flatten()))
    }

    /// A range of `CLUSTER SLOTS`: first and last slot, the primary, its replicas. `None` where no client can
    /// tell where the primary is.
    fn row(&self, row: &Value) -> Result<Option<(Shard, Vec<RangeInclusive<u16>>)>> {
        let Some([first, last, nodes @ ..]) = list(row) else {
            return Err(unreadable("a range of slots with its nodes"));
        };
        let range = range(first, last)?;
        let mut nodes = nodes.iter().map(|node| self.row_node(node));
        let Some(primary) = nodes.next().flatten() else { return Ok(None) };
        let replicas = nodes.flatten().map(Arc::new).collect();
        Ok(Some((Shard { primary: Arc::new(primary), replicas }, vec![range])))
    }

    /// A node of `CLUSTER SLOTS`: host, port, name, and more about it in newer servers.
    fn row_node(&self, node: &Value) -> Option<Node> {
        let [host, port, more @ ..] = list(node)? else { return None };
        let mut node = Node::at(self.address(Some(host), port_of(port)?)?);
        if let Some(id) = more.first().and_then(text) {
            node.id = id;
        }
        if let Some(fields) = more.get(1) {
            node.host_name = named(fields, "hostname");
            node.zone = named(fields, "availability-zone");
        }
        Some(node)
    }

    /// An entry of `CLUSTER SHARDS`: slots and nodes.
    fn shard(&self, entry: &Value) -> Result<Option<(Shard, Vec<RangeInclusive<u16>>)>> {
        let (Some(slots), Some(nodes)) =
            (field(entry, "slots").and_then(list), field(entry, "nodes").and_then(list))
        else {
            return Err(unreadable("`slots` and `nodes`"));
        };
        let ranges = slots.chunks(2).map(|pair| match pair {
            [first, last] => range(first, last),
            _ => Err(unreadable("pairs of slots")),
        });
        let ranges = ranges.collect::<Result<Vec<_>>>()?;
        let is_primary = |node: &&Value| {
            named(node, "role").is_some_and(|role| matches!(role.as_str(), "master" | "primary"))
        };
        let (primaries, replicas): (Vec<_>, Vec<_>) = nodes.iter().partition(is_primary);
        let mut primaries: Vec<_> = primaries.into_iter().filter_map(|node| self.shard_node(node)).collect();
        // After a failover the one that was replaced may stand there still.
        primaries.sort_by_key(|node| !node.is_online());
        let Some(primary) = primaries.into_iter().next() else { return Ok(None) };
        let replicas = replicas.into_iter().filter_map(|node| self.shard_node(node)).map(Arc::new);
        Ok(Some((Shard { primary: Arc::new(primary), replicas: replicas.collect() }, ranges)))
    }

    /// A node of `CLUSTER SHARDS`.
    fn shard_node(&self, entry: &Value) -> Option<Node> {
        let [plain, tls] = ["port", "tls-port"].map(|name| field(entry, name).and_then(port_of));
        let port = if self.tls { tls.or(plain) } else { plain.or(tls) };
        let mut node = Node::at(self.address(field(entry, "endpoint"), port?)?);
        node.id = named(entry, "id").unwrap_or_default();
        node.host_name = named(entry, "hostname");
        node.zone = named(entry, "availability-zone");
        node.health = match named(entry, "health").as_deref() {
            Some("fail" | "failed") => NodeHealth::Failed,
            Some("loading") => NodeHealth::Loading,
            _ => NodeHealth::Online,
        };
        Some(node)
    }

    fn address(&self, host: Option<&Value>, port: u16) -> Option<HostPort> {
        let host = match host {
            None | Some(Value::Null) => String::new(),
            Some(host) => text(host)?,
        };
        address(&host, port, self.asked, self.remap)
    }
}

/// Where a node is reached that is told as `host` and `port` by the one at `asked`: no host is the host that
/// was asked, and `?` is one that is not known, since nodes are to announce names and this one has none.
pub(super) fn address(host: &str, port: u16, asked: &HostPort, remap: &Remap) -> Option<HostPort> {
    let host = match host {
        "?" => return None,
        "" => asked.host.as_str(),
        host => host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host),
    };
    Some(remap.apply(HostPort::new(host, port)))
}

/// A field of what `INFO` or `CLUSTER INFO` tells.
pub(super) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
        _ => None,
    }
}

/// A field by name, of a map or of a flat list.
fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Map(pairs) => {
            pairs.iter().find(|(field, _)| field.as_str() == Some(name)).map(|(_, value)| value)
        }
        _ => list(value)?.chunks_exact(2).find(|pair| pair[0].as_str() == Some(name)).map(|pair| &pair[1]),
    }
}

/// A text that is there and not empty.
fn named(value: &Value, name: &str) -> Option<String> {
    field(value, name).and_then(text).filter(|text| !text.is_empty())
}

fn text(value: &Value) -> Option<String> {
    value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// A port that can be connected to.
fn port_of(value: &Value) -> Option<u16> {
    let port = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(port).ok().filter(|port| *port != 0)
}

fn range(first: &Value, last: &Value) -> Result<RangeInclusive<u16>> {
    let slot = |value: &Value| {
        let slot = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
        u16::try_from(slot).ok().filter(|slot| *slot < SLOTS)
    };
    match (slot(first), slot(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(unreadable(&format!("a range of slots from 0 to {}", SLOTS - 1))),
    }
}

#[cold]
fn unreadable(expected: &str) -> Error {
    let message = format!("expected {expected} in the map of the cluster, got something else");
    Error::new(ErrorKind::Decode, Outcome::Unreadable, message)
}
