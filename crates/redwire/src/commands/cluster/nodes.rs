//! The nodes of a cluster: as lines of text (`CLUSTER NODES`), and by shards (`CLUSTER SHARDS`).

use std::collections::BTreeMap;
use std::ops::Deref;

use redwire_core::{Error, ErrorKind, Lossy, Outcome, Reader, Reply, Result, Value};

use crate::commands::server::fields::{fields_and_rest, read};

/// A node, as another one knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterNode {
    /// Its ID.
    pub id: String,
    /// Its address; empty where the node that tells has not learnt its own yet.
    pub ip: String,
    /// Its port for clients.
    pub port: u16,
    /// The port of its bus.
    pub bus_port: Option<u16>,
    /// Its host name, where it announces one (Redis 7.0).
    pub hostname: Option<String>,
    /// What is said of it behind the host name, such as `shard-id`.
    pub metadata: BTreeMap<String, String>,
    /// `myself`, `master`, `slave`, `fail?`, `fail`, `handshake`, `noaddr`, `nofailover`.
    pub flags: Vec<String>,
    /// The ID of its primary, of a replica whose primary is known.
    pub primary: Option<String>,
    /// When the ping was sent that it has not answered yet, in milliseconds since 1970; 0 if there is none.
    pub ping_sent: u64,
    /// When it answered last, in milliseconds since 1970.
    pub pong_received: u64,
    /// Its epoch, or its primary's.
    pub config_epoch: u64,
    /// Whether the bus is connected to it.
    pub is_connected: bool,
    /// The ranges of slots that it serves, both ends included.
    pub slots: Vec<(u16, u16)>,
    /// Slots on their way to another node, and its ID; told only by the node itself.
    pub migrating: Vec<(u16, String)>,
    /// Slots on their way from another node, and its ID; told only by the node itself.
    pub importing: Vec<(u16, String)>,
    /// Words behind these, of newer servers.
    pub other: Vec<String>,
}

impl ClusterNode {
    /// Whether it bears this flag.
    #[must_use]
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }

    /// Whether it is a primary, with slots or without.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.has_flag("master")
    }

    /// Whether it is the node that tells.
    #[must_use]
    pub fn is_myself(&self) -> bool {
        self.has_flag("myself")
    }

    /// Reads `id ip:port@bus,host,name=value flags primary ping pong epoch link slot …`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let mut node = Self { id: words.next()?.to_owned(), ..Self::default() };
        node.read_address(words.next()?)?;
        node.flags = words.next()?.split(',').filter(|flag| *flag != "noflags").map(str::to_owned).collect();
        node.primary = words.next().filter(|id| *id != "-").map(str::to_owned);
        node.ping_sent = words.next()?.parse().ok()?;
        node.pong_received = words.next()?.parse().ok()?;
        node.config_epoch = words.next()?.parse().ok()?;
        node.is_connected = words.next()? == "connected";
        words.for_each(|word| node.read_slots(word));
        Some(node)
    }

    fn read_address(&mut self, word: &str) -> Option<()> {
        let mut parts = word.split(',');
        // An IPv6 address has colons of its own.
        let (ip, ports) = parts.next()?.rsplit_once(':')?;
        let (port, bus_port) = match ports.split_once('@') {
            Some((port, bus)) => (port, Some(bus.parse().ok()?)),
            None => (ports, None),
        };
        (self.ip, self.port, self.bus_port) = (ip.to_owned(), port.parse().ok()?, bus_port);
        for (place, part) in parts.enumerate() {
            match part.split_once('=') {
                Some((name, value)) => drop(self.metadata.insert(name.to_owned(), value.to_owned())),
                None if place == 0 && !part.is_empty() => self.hostname = Some(part.to_owned()),
                None => {}
            }
        }
        Some(())
    }

    /// Reads `7`, `0-99`, `[7->-id]` or `[7-<-id]`.
    fn read_slots(&mut self, word: &str) {
        let moving = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
        let read = match moving {
            Some(moving) => {
                let place = |(slot, id): (&str, &str)| Some((slot.parse::<u16>().ok()?, id.to_owned()));
                let (to, from) = (moving.split_once("->-"), moving.split_once("-<-"));
                let (to, from) = (to.and_then(place), from.and_then(place));
                let read = to.is_some() || from.is_some();
                self.migrating.extend(to);
                self.importing.extend(from);
                read
            }
            None => {
                let (start, end) = word.split_once('-').unwrap_or((word, word));
                let range = start.parse().ok().zip(end.parse().ok());
                self.slots.extend(range);
                range.is_some()
            }
        };
        if !read {
            self.other.push(word.to_owned());
        }
    }
}

fn parsed(line: &str) -> Result<ClusterNode> {
    ClusterNode::parse(line).ok_or_else(|| {
        let message = format!("expected a node as CLUSTER NODES tells it, got {line:?}");
        Error::new(ErrorKind::Decode, Outcome::Unreadable, message)
    })
}

impl Reply for ClusterNode {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        parsed(&Lossy::decode(reader)?)
    }
}

/// The nodes that a node knows; a slice of [`ClusterNode`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterNodes(Vec<ClusterNode>);

impl Deref for ClusterNodes {
    type Target = [ClusterNode];

    fn deref(&self) -> &[ClusterNode] {
        &self.0
    }
}

impl IntoIterator for ClusterNodes {
    type Item = ClusterNode;
    type IntoIter = std::vec::IntoIter<ClusterNode>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Reply for ClusterNodes {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let text = Lossy::decode(reader)?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(parsed).collect::<Result<_>>().map(Self)
    }
}

/// A primary with its replicas, and what they serve.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ClusterShard {
    /// Its ID (Valkey 9.1).
    pub id: Option<String>,
    /// The ranges of slots, both ends included.
    pub slots: Vec<(u16, u16)>,
    /// Its nodes.
    pub nodes: Vec<ClusterShardNode>,
    /// What newer servers tell besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for ClusterShard {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut shard = Self::default();
        shard.other = fields_and_rest(reader, |name, reader| match name {
            "id" => read(&mut shard.id, reader),
            "slots" => read(&mut shard.slots, reader),
            "nodes" => read(&mut shard.nodes, reader),
            _ => Ok(false),
        })?;
        Ok(shard)
    }
}

/// A node of a shard.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ClusterShardNode {
    /// Its ID.
    pub id: String,
    /// Its port for clients, where it has one without TLS.
    pub port: Option<u16>,
    /// Its port for clients with TLS, where it has one.
    pub tls_port: Option<u16>,
    /// Its address.
    pub ip: Option<String>,
    /// What clients are to call it: its address or host name.
    pub endpoint: Option<String>,
    /// Its host name, where it announces one.
    pub hostname: Option<String>,
    /// `master` or `replica`.
    pub role: String,
    /// How far it is in the stream of changes, in bytes.
    pub replication_offset: u64,
    /// `online`, `failed` or `loading`.
    pub health: String,
    /// What newer servers tell besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for ClusterShardNode {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut node = Self::default();
        node.other = fields_and_rest(reader, |name, reader| match name {
            "id" => read(&mut node.id, reader),
            "port" => read(&mut node.port, reader),
            "tls-port" => read(&mut node.tls_port, reader),
            "ip" => read(&mut node.ip, reader),
            "endpoint" => read(&mut node.endpoint, reader),
            "hostname" => read(&mut node.hostname, reader),
            "role" => read(&mut node.role, reader),
            "replication-offset" => read(&mut node.replication_offset, reader),
            "health" => read(&mut node.health, reader),
            _ => Ok(false),
        })?;
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_from_its_line() {
        let line =
            "07c3 127.0.0.1:30004@31004,host4,shard-id=ab slave,fail? e7d1 1 1426238317239 4 connected";
        let node = parsed(line).unwrap();
        assert_eq!((&*node.ip, node.port, node.bus_port), ("127.0.0.1", 30004, Some(31004)));
        assert_eq!((node.hostname.as_deref(), &*node.metadata["shard-id"]), (Some("host4"), "ab"));
        assert!(node.has_flag("fail?") && !node.is_primary() && node.is_connected);
        assert_eq!(node.primary.as_deref(), Some("e7d1"));
        let line =
            "e7d1 fe80::1:30001@31001 myself,master - 0 0 1 connected 0-5 7 [9->-07c3] [11-<-07c3] new";
        let node = parsed(line).unwrap();
        assert_eq!((&*node.ip, node.port), ("fe80::1", 30001));
        assert!(node.is_myself() && node.primary.is_none());
        assert_eq!(node.slots, [(0, 5), (7, 7)]);
        assert_eq!(
            (&node.migrating, &node.importing),
            (&vec![(9, "07c3".into())], &vec![(11, "07c3".into())])
        );
        assert_eq!(node.other, ["new"]);
    }

    #[test]
    fn what_is_no_node_is_told() {
        for line in ["x", "id noport flags - 0 0 1 connected", "id 1.1.1.1:1 master - 0 0 one connected"] {
            let error = parsed(line).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode);
            assert!(error.message().contains(line), "{error}");
        }
    }
}
