//! What the nodes of a cluster tell of it, each for itself.
//!
//! Promises to ask those that it is given and those that they tell of, many at the same time, and to read
//! whatever they say. Must not judge it, beyond which of them most agree with.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use redwire::cluster::SLOTS;
use redwire::config::{Config, Deployment, HostPort};
use redwire::{Result, Value, cmd};
use tokio::task::JoinSet;

use crate::info::Info;
use crate::sentinels;
use crate::session::Session;

/// So many are asked at the same time.
const AT_ONCE: usize = 64;

/// One address, and what the node there told.
#[derive(Debug)]
pub(crate) struct AskedNode {
    pub(crate) address: HostPort,
    /// Whether the URL names it.
    pub(crate) is_seed: bool,
    pub(crate) report: Result<ClusterReport>,
}

/// What a node tells of the cluster and of itself.
#[derive(Debug)]
pub(crate) struct ClusterReport {
    /// All that it knows, itself among them.
    pub(crate) nodes: Vec<Node>,
    /// `CLUSTER INFO`.
    pub(crate) state: Info,
    pub(crate) info: Info,
    pub(crate) took: Duration,
}

/// A node as another one knows it, or as it knows itself: a line of `CLUSTER NODES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: String,
    /// Where clients are sent.
    pub(crate) address: HostPort,
    pub(crate) host_name: Option<String>,
    flags: Vec<String>,
    /// The id of the one it follows.
    pub(crate) primary: Option<String>,
    pub(crate) epoch: u64,
    pub(crate) slots: Vec<RangeInclusive<u16>>,
    /// Slots whose keys go to the node with this id, one by one.
    pub(crate) leaving: Vec<(u16, String)>,
}

impl AskedNode {
    pub(crate) fn report(&self) -> Option<&ClusterReport> {
        self.report.as_ref().ok()
    }

    /// `open`, or how connecting failed, in a word.
    pub(crate) fn reached(&self) -> &'static str {
        match &self.report {
            // It answered, though not as a node of a cluster.
            Err(error) if error.code().is_none() => sentinels::word(error),
            _ => "open",
        }
    }
}

impl ClusterReport {
    /// The node that told it.
    pub(crate) fn own(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.is("myself"))
    }

    pub(crate) fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// For each slot the place of the node among [`nodes`](Self::nodes) that has it.
    pub(crate) fn owners(&self) -> Vec<Option<usize>> {
        let mut owners = vec![None; usize::from(SLOTS)];
        for (place, node) in self.nodes.iter().enumerate() {
            for slot in node.slots.iter().cloned().flatten() {
                if let Some(owner) = owners.get_mut(usize::from(slot)) {
                    *owner = Some(place);
                }
            }
        }
        owners
    }

    /// Of how many slots the two say that another node has them.
    pub(crate) fn differences(&self, other: &Self) -> usize {
        let id = |report: &'_ Self, place: &Option<usize>| place.map(|place| report.nodes[place].id.clone());
        let (ours, theirs) = (self.owners(), other.owners());
        ours.iter().zip(&theirs).filter(|(one, two)| id(self, one) != id(other, two)).count()
    }

    /// The number of the configuration.
    pub(crate) fn epoch(&self) -> u64 {
        self.state.number("cluster_current_epoch").unwrap_or(0)
    }

    /// Which node has which slots: two nodes agree if they agree in that.
    fn shares(&self) -> BTreeMap<&str, &[RangeInclusive<u16>]> {
        let with_slots = self.nodes.iter().filter(|node| !node.slots.is_empty());
        with_slots.map(|node| (node.id.as_str(), node.slots.as_slice())).collect()
    }
}

impl Node {
    /// Whether it has this flag: `myself`, `fail`, `fail?`, `handshake`, `noaddr`, …
    pub(crate) fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|have| have == flag)
    }

    /// Reads `ID HOST:PORT@BUS,NAME FLAGS PRIMARY PING PONG EPOCH LINK SLOT FROM-TO [SLOT->-ID]`, as the node
    /// at `asked` tells it.
    pub(crate) fn read(line: &str, asked: &str) -> Option<Self> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let [id, place, flags, primary, _, _, epoch, _, slots @ ..] = &words[..] else { return None };
        let mut place = place.split(',');
        let (host, port) = place.next()?.split('@').next()?.rsplit_once(':')?;
        // A node that has met no other does not know its own.
        let host = if host.is_empty() { asked } else { host };
        let moving = |entry: &&str| {
            let (slot, to) = entry.strip_prefix('[')?.strip_suffix(']')?.split_once("->-")?;
            Some((slot.parse().ok()?, to.to_owned()))
        };
        Some(Self {
            id: (*id).to_owned(),
            address: HostPort::new(host, port.parse().ok()?),
            host_name: place.next().filter(|name| !name.is_empty() && !name.contains('=')).map(str::to_owned),
            flags: flags.split(',').map(str::to_owned).collect(),
            primary: (*primary != "-").then(|| (*primary).to_owned()),
            epoch: epoch.parse().ok()?,
            slots: slots.iter().filter_map(|entry| range(entry)).collect(),
            leaving: slots.iter().filter_map(moving).collect(),
        })
    }
}

fn range(entry: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = entry.split_once('-').unwrap_or((entry, entry));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < SLOTS).then_some(first..=last)
}

/// The nodes that `config` names, where it names a cluster.
pub(crate) fn seeds(config: &Config) -> Option<&[HostPort]> {
    match config.deployment() {
        Deployment::Cluster { nodes } => Some(nodes),
        _ => None,
    }
}

/// Asks `seeds`, then those that they tell of and that are elsewhere.
pub(crate) async fn ask_all(config: &Config, seeds: &[HostPort], blocking: bool) -> Vec<AskedNode> {
    let mut asked_nodes = ask_each(config, seeds, true, blocking).await;
    let mut others: Vec<HostPort> = Vec::new();
    for node in asked_nodes.iter().filter_map(AskedNode::report).flat_map(|report| &report.nodes) {
        if !node.is("noaddr") && !seeds.contains(&node.address) && !others.contains(&node.address) {
            others.push(node.address.clone());
        }
    }
    asked_nodes.extend(ask_each(config, &others, false, blocking).await);
    asked_nodes
}

/// What a node tells with which most others agree; of several such, one that knows of the newest
/// configuration.
pub(crate) fn believed(asked_nodes: &[AskedNode]) -> Option<&ClusterReport> {
    let report = || asked_nodes.iter().filter_map(AskedNode::report);
    // The first of the best, so that what is named first counts.
    report().rev().max_by_key(|one| {
        let shares = one.shares();
        (report().filter(|other| other.shares() == shares).count(), one.epoch())
    })
}

async fn ask_each(config: &Config, nodes: &[HostPort], is_seed: bool, blocking: bool) -> Vec<AskedNode> {
    let mut asked_nodes = Vec::new();
    for some in nodes.chunks(AT_ONCE) {
        let mut questions = JoinSet::new();
        for (index, address) in some.iter().cloned().enumerate() {
            let config = config.clone();
            questions.spawn(async move {
                let report = ask(&config, &address, blocking).await;
                (index, AskedNode { address, is_seed, report })
            });
        }
        let mut report = questions.join_all().await;
        report.sort_by_key(|(index, _)| *index);
        asked_nodes.extend(report.into_iter().map(|(_, asked_node)| asked_node));
    }
    asked_nodes
}

async fn ask(config: &Config, address: &HostPort, blocking: bool) -> Result<ClusterReport> {
    let begun = Instant::now();
    // Most clusters have one database, and what is asked for concerns none.
    let config = config.for_map(address.clone()).to_builder().db(0).build()?;
    let mut node = Session::open(config, blocking).await?;
    // Whatever is refused, costs its own answer, as long as one of them tells the nodes.
    let nodes = node.call(cmd("CLUSTER NODES")).await;
    let slots = node.call(cmd("CLUSTER SLOTS")).await.unwrap_or(Value::Null);
    let nodes = match nodes {
        Err(error) if error.code().is_none() || matches!(slots, Value::Null) => return Err(error),
        Err(_) => {
            let own = node.ask::<String>(cmd("CLUSTER MYID")).await.unwrap_or_default();
            of_slots(&slots, &address.host, &own)
        }
        Ok(report) => {
            let lines = report.as_str().unwrap_or_default().lines();
            let mut nodes: Vec<_> = lines.filter_map(|line| Node::read(line, &address.host)).collect();
            settle(&mut nodes, &endpoints(&slots, &address.host));
            nodes
        }
    };
    let state = node.call(cmd("CLUSTER INFO")).await.unwrap_or(Value::Null);
    let info = Info::of(&mut node).await.unwrap_or_default();
    let state = Info::parse(state.as_str().unwrap_or_default());
    Ok(ClusterReport { nodes, state, info, took: begun.elapsed() })
}

/// Where clients are sent, by the ids of the nodes: from `CLUSTER SLOTS`, as the host `asked` tells it.
fn endpoints(slots: &Value, asked: &str) -> BTreeMap<String, HostPort> {
    let nodes = list(slots).iter().flat_map(|row| list(row).iter().skip(2));
    nodes.filter_map(|node| endpoint(node, asked)).collect()
}

fn endpoint(node: &Value, asked: &str) -> Option<(String, HostPort)> {
    let [host, port, id, ..] = list(node) else { return None };
    let host = match host.as_str() {
        Some("?") => return None,
        None | Some("") => asked,
        Some(host) => host,
    };
    let port = port.as_i64().and_then(|port| u16::try_from(port).ok())?;
    Some((id.as_str()?.to_owned(), HostPort::new(host, port)))
}

/// The nodes that `CLUSTER SLOTS` tells, for a user who may not ask for more; `own` is the id of the one that
/// was asked.
fn of_slots(slots: &Value, asked: &str, own: &str) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for row in list(slots) {
        let [first, last, members @ ..] = list(row) else { continue };
        let slot = |bound: &Value| bound.as_i64().and_then(|slot| u16::try_from(slot).ok());
        let primary = members.first().and_then(|node| endpoint(node, asked)).map(|(id, _)| id);
        for (nth, node) in members.iter().enumerate() {
            let Some((id, address)) = endpoint(node, asked) else { continue };
            let slots = slot(first).zip(slot(last)).filter(|_| nth == 0);
            let place = nodes.iter().position(|node| node.id == id).unwrap_or_else(|| {
                let role = if nth == 0 { "master" } else { "slave" };
                let flags = ["myself", role].into_iter().skip(usize::from(id != own)).map(str::to_owned);
                nodes.push(Node {
                    id: id.clone(),
                    address,
                    host_name: None,
                    flags: flags.collect(),
                    primary: primary.clone().filter(|_| nth > 0),
                    epoch: 0,
                    slots: Vec::new(),
                    leaving: Vec::new(),
                });
                nodes.len() - 1
            });
            nodes[place].slots.extend(slots.map(|(first, last)| first..=last));
        }
    }
    nodes
}

fn list(value: &Value) -> &[Value] {
    if let Value::Array(items) = value { items } else { &[] }
}

/// Gives nodes the addresses under which clients know them. Those that no client is told of go by names if
/// others do.
fn settle(nodes: &mut [Node], endpoints: &BTreeMap<String, HostPort>) {
    let by_name = nodes.iter().any(|node| {
        let endpoint = endpoints.get(&node.id);
        endpoint.is_some_and(|endpoint| node.host_name.as_ref() == Some(&endpoint.host))
    });
    for node in nodes {
        match (endpoints.get(&node.id), &node.host_name) {
            (Some(endpoint), _) => node.address = endpoint.clone(),
            (None, Some(name)) if by_name => node.address.host = name.clone(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &[&str]) -> ClusterReport {
        let nodes = lines.iter().filter_map(|line| Node::read(line, "asked")).collect();
        let state = Info::parse("cluster_current_epoch:3");
        ClusterReport { nodes, state, info: Info::default(), took: Duration::ZERO }
    }

    fn asked_node(report: ClusterReport) -> AskedNode {
        AskedNode { address: HostPort::new("asked", 7000), is_seed: true, report: Ok(report) }
    }

    #[test]
    fn lines_are_read_whatever_stands_there() {
        let node = |line| Node::read(line, "asked");
        let own =
            node("a :7000@17000,db.example,shard-id=x myself,master - 0 0 3 connected 0-5 7 [8->-b] [9-<-b]");
        let own = own.expect("it is a line");
        assert_eq!(
            (own.address.to_string(), own.host_name.as_deref()),
            ("asked:7000".into(), Some("db.example"))
        );
        assert_eq!(own.slots, [0..=5, 7..=7]);
        assert_eq!((own.leaving, own.primary, own.epoch), (vec![(8, "b".to_owned())], None, 3));
        let replica = node("b ::1:7001@17001 slave,fail? a 0 0 3 connected").expect("it is a line");
        assert!(replica.is("fail?") && !replica.is("fail") && replica.primary.as_deref() == Some("a"));
        assert_eq!(replica.address, HostPort::new("::1", 7001));
        for nothing in ["", "nothing", "a 127.0.0.1 master - 0 0 3 connected"] {
            assert_eq!(node(nothing), None, "{nothing:?}");
        }
        let odd = node("a h:1@2 master - 0 0 3 connected 5-4 16384 x").expect("it is a line");
        assert_eq!(odd.slots, []);
    }

    #[test]
    fn slots_tell_the_nodes_where_nothing_else_does() {
        let node = |host: &str, id: &str| {
            let text = |text: &str| Value::Status(text.to_owned());
            Value::Array(vec![text(host), Value::Integer(7000), text(id)])
        };
        let row = |first, last, nodes: Vec<Value>| {
            Value::Array([vec![Value::Integer(first), Value::Integer(last)], nodes].concat())
        };
        let slots = Value::Array(vec![
            row(0, 5, vec![node("", "a"), node("h", "b")]),
            row(9, 9, vec![node("", "a")]),
            row(6, 8, vec![node("?", "c"), node("k", "d")]),
            Value::Null,
        ]);
        let nodes = of_slots(&slots, "asked", "a");
        let ids: Vec<_> = nodes.iter().map(|node| node.id.as_str()).collect();
        assert_eq!(ids, ["a", "b", "d"]);
        assert_eq!(nodes[0].slots, [0..=5, 9..=9]);
        assert_eq!(nodes[0].address, HostPort::new("asked", 7000));
        assert!(nodes[0].is("myself") && nodes[0].is("master") && !nodes[1].is("myself"));
        assert_eq!((nodes[1].primary.as_deref(), nodes[1].slots.len()), (Some("a"), 0));
        assert!(nodes[2].is("slave") && nodes[2].slots.is_empty(), "where its primary is, no node says");
    }

    #[test]
    fn most_are_believed_and_of_them_the_first() {
        let line = |slots: &str| format!("a h:1@2 master - 0 0 3 connected {slots}");
        let views = ["0-9", "0-99", "0-99"].map(|slots| asked_node(report(&[&line(slots)])));
        let best = believed(&views).expect("a node told");
        assert_eq!(best.nodes[0].slots, [0..=99]);
        assert_eq!(views[0].report().map(|report| report.differences(best)), Some(90));
        let tie = ["0-9", "0-99"].map(|slots| asked_node(report(&[&line(slots)])));
        assert_eq!(believed(&tie).map(|report| report.nodes[0].slots.clone()), Some(vec![0..=9]));
    }

    #[test]
    fn clients_go_where_they_are_sent() {
        let text = |text: &str| Value::Bytes(text.to_owned().into());
        let node = |host, id| Value::Array(vec![host, Value::Integer(7000), text(id)]);
        let nodes =
            vec![Value::Integer(0), Value::Integer(9), node(text("a.example"), "a"), node(Value::Null, "c")];
        let slots = Value::Array(vec![Value::Array(nodes)]);
        let mut report = report(&[
            "a 10.0.0.1:7000@17000,a.example master - 0 0 3 connected 0-9",
            "b 10.0.0.2:7000@17000,b.example slave,fail a 0 0 3 disconnected",
            "c 10.0.0.3:7000@17000 slave a 0 0 3 connected",
        ]);
        settle(&mut report.nodes, &endpoints(&slots, "asked"));
        let hosts: Vec<_> = report.nodes.iter().map(|node| node.address.host.as_str()).collect();
        assert_eq!(hosts, ["a.example", "b.example", "asked"]);
    }
}
