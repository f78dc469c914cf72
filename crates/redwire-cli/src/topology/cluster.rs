//! A cluster: what its nodes tell, each compared with what most of them tell.
//!
//! Promises a row for every node that is told of, and one for each seed that is none of them. Must not ask
//! any node.

use std::ops::RangeInclusive;

use redwire::cluster::SLOTS;
use redwire::config::{Config, HostPort};
use redwire::{Error, Result};
use serde_json::{Value as Json, json};

use super::{Row, Snapshot};
use crate::clusters::{self, AskedNode, ClusterReport, Node};

/// So many ranges of slots are shown to people; programs get them all.
const SHOWN: usize = 4;

/// A cluster as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterSummary {
    pub(crate) primaries: usize,
    pub(crate) replicas: usize,
    /// Slots that no node has, or that a node has which failed.
    pub(crate) missing: Vec<RangeInclusive<u16>>,
    /// The number of the configuration.
    pub(crate) epoch: u64,
}

/// What a node is in its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) id: String,
    pub(crate) epoch: u64,
    pub(crate) slots: Vec<RangeInclusive<u16>>,
    /// The address of the one it follows.
    pub(crate) primary: Option<String>,
    /// Slots that are on their way, and to whom.
    pub(crate) leaving: Vec<(u16, String)>,
}

impl ClusterSummary {
    pub(crate) fn of(report: &ClusterReport) -> Self {
        let serves = |place: &Option<usize>| place.is_some_and(|place| !report.nodes[place].is("fail"));
        let owners = report.owners();
        let missing = (0..SLOTS).filter(|slot| !serves(&owners[usize::from(*slot)]));
        Self {
            primaries: report
                .nodes
                .iter()
                .filter(|node| node.primary.is_none() && !node.slots.is_empty())
                .count(),
            replicas: report.nodes.iter().filter(|node| node.primary.is_some()).count(),
            missing: ranges(missing),
            epoch: report.epoch(),
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.missing.is_empty()
    }

    /// The slots that no node serves, in words.
    pub(crate) fn missing(&self) -> Option<String> {
        (!self.missing.is_empty()).then(|| slots(&self.missing))
    }

    fn served(&self) -> usize {
        usize::from(SLOTS) - count(&self.missing)
    }

    pub(crate) fn to_json(&self) -> Json {
        json!({
            "primaries": self.primaries, "replicas": self.replicas, "slots_served": self.served(),
            "slots_missing": self.missing.iter().map(range).collect::<Vec<_>>(), "epoch": self.epoch,
        })
    }
}

/// What is wrong, and how large the cluster is.
impl std::fmt::Display for ClusterSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (served, epoch) = (self.served(), self.epoch);
        let (primaries, replicas) =
            (several(self.primaries, "primary", "primaries"), several(self.replicas, "replica", "replicas"));
        write!(f, "{served} of {SLOTS} slots are served; {primaries} with slots, {replicas}, epoch {epoch}")?;
        match self.missing() {
            Some(missing) => write!(f, "; no node serves {missing}"),
            None => Ok(()),
        }
    }
}

impl Membership {
    fn of(node: &Node, own: &Node, report: &ClusterReport) -> Self {
        let address =
            |id: &String| report.node(id).map_or_else(|| id.clone(), |node| node.address.to_string());
        Self {
            id: node.id.clone(),
            epoch: node.epoch,
            slots: node.slots.clone(),
            primary: node.primary.as_ref().map(address),
            leaving: own.leaving.iter().map(|(slot, id)| (*slot, address(id))).collect(),
        }
    }

    /// What people are told of it.
    pub(crate) fn describe(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if !self.slots.is_empty() {
            parts.push(slots(&self.slots));
        } else if self.primary.is_none() {
            parts.push("no slots".to_owned());
        }
        let leaving = self.leaving.iter().take(SHOWN);
        parts.extend(leaving.map(|(slot, to)| format!("slot {slot} is on its way to {to}")));
        parts
    }

    pub(crate) fn add_to(&self, row: &mut Json) {
        row["id"] = json!(self.id);
        row["epoch"] = json!(self.epoch);
        row["slots"] = self.slots.iter().map(range).collect();
        row["slot_count"] = json!(count(&self.slots));
        row["primary"] = json!(self.primary);
        let leaving = self.leaving.iter().map(|(slot, to)| json!({ "slot": slot, "to": to }));
        row["leaving"] = leaving.collect();
    }
}

impl Snapshot {
    /// Asks the nodes of a cluster that are named, and those that they tell of.
    ///
    /// # Errors
    /// None of them can be asked.
    pub(crate) async fn of_cluster(config: &Config, seeds: &[HostPort], blocking: bool) -> Result<Self> {
        let mut asked_nodes = clusters::ask_all(config, seeds, blocking).await;
        if clusters::believed(&asked_nodes).is_none() {
            let failed = asked_nodes.drain(..).find_map(|asked_node| asked_node.report.err());
            return Err(failed.unwrap_or_else(|| Error::usage("the URL names no node")));
        }
        Ok(Self::of_nodes(&asked_nodes))
    }

    fn of_nodes(asked_nodes: &[AskedNode]) -> Self {
        let Some(report) = clusters::believed(asked_nodes) else { return Self::default() };
        let mut rows: Vec<Row> = in_order(report).map(|node| row(node, report, asked_nodes)).collect();
        let strays =
            asked_nodes.iter().filter(|asked_node| asked_node.is_seed && is_stray(asked_node, report));
        rows.extend(strays.map(stray));
        let offset =
            |address: &str| rows.iter().find(|row| row.address == address).and_then(|row| row.offset);
        let behind: Vec<_> = rows
            .iter()
            .map(|row| {
                let primary = row.member.as_ref()?.primary.as_ref()?;
                offset(primary).zip(row.offset).map(|(theirs, ours)| theirs.saturating_sub(ours))
            })
            .collect();
        rows.iter_mut().zip(behind).for_each(|(row, behind)| row.behind = behind);
        Self { servers: rows, cluster: Some(ClusterSummary::of(report)) }
    }
}

/// Primaries by their slots, each with those that follow it; those without slots last.
fn in_order(report: &ClusterReport) -> impl Iterator<Item = &Node> {
    let mut nodes: Vec<_> = report.nodes.iter().collect();
    nodes.sort_by_key(|node| {
        let leader = node.primary.as_ref().and_then(|id| report.node(id)).unwrap_or(node);
        let first = leader.slots.first().map_or(SLOTS, |range| *range.start());
        (first, leader.id.clone(), node.primary.is_some(), node.address.to_string())
    });
    nodes.into_iter()
}

fn row(node: &Node, report: &ClusterReport, asked_nodes: &[AskedNode]) -> Row {
    let asked_node = asked_nodes.iter().find(|asked_node| asked_node.address == node.address);
    let own_report = asked_node.and_then(AskedNode::report);
    let own = own_report.and_then(ClusterReport::own).filter(|own| own.id == node.id);
    let mut faults: Vec<String> = [
        ("fail", "failed"),
        ("fail?", "suspected"),
        ("handshake", "not met yet"),
        ("noaddr", "without an address"),
    ]
    .into_iter()
    .filter(|(flag, _)| node.is(flag))
    .map(|(_, fault)| fault.to_owned())
    .collect();
    faults.extend(
        own_report.map(|own_report| own_faults(own_report, own.is_some(), report)).unwrap_or_default(),
    );
    let from_here = asked_node.map_or("not tried", AskedNode::reached);
    let info = own_report.filter(|_| own.is_some()).map(|own_report| &own_report.info);
    let is_replica = node.primary.is_some();
    Row {
        address: node.address.to_string(),
        role: if is_replica { "replica" } else { "primary" }.to_owned(),
        sound: faults.is_empty() && from_here == "open",
        state: if faults.is_empty() { "online".to_owned() } else { faults.join(", ") },
        offset: info.and_then(|info| info.offset()),
        behind: None,
        lag: info.and_then(|info| info.number("master_last_io_seconds_ago")).filter(|_| is_replica),
        from_here,
        member: Some(Membership::of(node, own.unwrap_or(node), report)),
    }
}

/// What a node that can be asked has against itself.
fn own_faults(own_report: &ClusterReport, is_it: bool, report: &ClusterReport) -> Vec<String> {
    if !is_it {
        return vec!["another node answers there".to_owned()];
    }
    let mut faults = Vec::new();
    if own_report.info.is("loading", "1") {
        faults.push("loading".to_owned());
    }
    if own_report.info.role() == "replica" && !own_report.info.is("master_link_status", "up") {
        faults.push("link down".to_owned());
    }
    if own_report.state.is("cluster_state", "fail") {
        faults.push("serves nothing (cluster_state:fail)".to_owned());
    }
    match own_report.differences(report) {
        0 => {}
        count => faults.push(format!("disagrees about {count} slots")),
    }
    faults
}

/// Whether a seed is none of the nodes, or it is not known which.
fn is_stray(asked_node: &AskedNode, report: &ClusterReport) -> bool {
    match asked_node.report().map(ClusterReport::own) {
        Some(own) => own.is_none_or(|own| report.node(&own.id).is_none()),
        None => report.nodes.iter().all(|node| node.address != asked_node.address),
    }
}

fn stray(asked_node: &AskedNode) -> Row {
    let state = match &asked_node.report {
        Ok(_) => "of another cluster".to_owned(),
        Err(error) => error.message().to_owned(),
    };
    let (offset, behind, lag) = (None, None, None);
    let (address, role, from_here) =
        (asked_node.address.to_string(), "seed".to_owned(), asked_node.reached());
    Row { address, role, state, offset, behind, lag, from_here, sound: false, member: None }
}

/// Which slots went from where to where, by the address that is concerned.
pub(super) fn moves(before: &Snapshot, after: &Snapshot) -> Vec<(String, String)> {
    let (was, is) = (owners(before), owners(after));
    let mut moved: Vec<((&str, &str), Vec<u16>)> = Vec::new();
    for slot in (0..SLOTS).filter(|slot| was[usize::from(*slot)] != is[usize::from(*slot)]) {
        let way = (was[usize::from(slot)], is[usize::from(slot)]);
        match moved.iter_mut().find(|(known, _)| *known == way) {
            Some((_, slots)) => slots.push(slot),
            None => moved.push((way, vec![slot])),
        }
    }
    let report = |((from, to), moved): ((&str, &str), Vec<u16>)| {
        let what = slots(&ranges(moved.into_iter()));
        match (from, to) {
            (_, "") => (from.to_owned(), format!("{what}: without a node now")),
            ("", _) => (to.to_owned(), format!("{what}: were without a node")),
            _ => (to.to_owned(), format!("{what}: from {from}")),
        }
    };
    moved.into_iter().map(report).collect()
}

/// Who has each slot; an empty address where no node has it.
fn owners(snapshot: &Snapshot) -> Vec<&str> {
    let mut owners = vec![""; usize::from(SLOTS)];
    for row in &snapshot.servers {
        for slot in row.member.iter().flat_map(|member| member.slots.iter().cloned().flatten()) {
            owners[usize::from(slot)] = row.address.as_str();
        }
    }
    owners
}

fn ranges(slots: impl Iterator<Item = u16>) -> Vec<RangeInclusive<u16>> {
    let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
    for slot in slots {
        match ranges.last_mut() {
            Some(last) if last.end() + 1 == slot => *last = *last.start()..=slot,
            _ => ranges.push(slot..=slot),
        }
    }
    ranges
}

pub(super) fn count(slots: &[RangeInclusive<u16>]) -> usize {
    slots.iter().map(ExactSizeIterator::len).sum()
}

fn range(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}-{}", range.start(), range.end())
    }
}

/// `slots 0-5460 (5461)`, `slot 7`.
fn slots(slots: &[RangeInclusive<u16>]) -> String {
    let mut shown: Vec<_> = slots.iter().take(SHOWN).map(range).collect();
    if slots.len() > SHOWN {
        shown.push(format!("… {} more ranges", slots.len() - SHOWN));
    }
    match count(slots) {
        1 => format!("slot {}", shown.join(", ")),
        count => format!("slots {} ({count})", shown.join(", ")),
    }
}

fn several(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::info::Info;

    const PRIMARY: &str = "a 10.0.0.1:7000@17000 master - 0 0 1 connected 0-9999";
    const OTHER: &str = "b 10.0.0.2:7000@17000 master - 0 0 2 connected 10000-16383";
    const REPLICA: &str = "c 10.0.0.3:7000@17000 slave a 0 0 1 connected";

    /// What the node with the id at the beginning of one of these lines tells.
    fn asked_node(own: &str, lines: &[&str]) -> AskedNode {
        let nodes = lines.iter().map(|line| match line.starts_with(own) {
            true => line.replacen(" master", " myself,master", 1).replacen(" slave", " myself,slave", 1),
            false => (*line).to_owned(),
        });
        let nodes: Vec<_> = nodes.map(|line| Node::read(&line, "asked").expect("it is a line")).collect();
        let address = nodes.iter().find(|node| node.id == own).expect("it is among them").address.clone();
        let state = Info::parse("cluster_state:ok\ncluster_current_epoch:2");
        let role = if lines.iter().any(|line| line.starts_with(own) && line.contains("slave")) {
            "role:slave\nmaster_link_status:up\nslave_repl_offset:7"
        } else {
            "role:master\nmaster_repl_offset:9"
        };
        let report = ClusterReport { nodes, state, info: Info::parse(role), took: Duration::ZERO };
        AskedNode { address, is_seed: true, report: Ok(report) }
    }

    fn snapshot(lines: &[&str]) -> Snapshot {
        let own = |line: &&str| asked_node(line.split(' ').next().unwrap_or_default(), lines);
        Snapshot::of_nodes(&lines.iter().map(own).collect::<Vec<_>>())
    }

    #[test]
    fn shards_stand_together_and_all_is_well() {
        let snapshot = snapshot(&[OTHER, REPLICA, PRIMARY]);
        let rows: Vec<_> = snapshot
            .servers
            .iter()
            .map(|row| (row.role.as_str(), row.address.as_str(), row.behind))
            .collect();
        let expected = [
            ("primary", "10.0.0.1:7000", None),
            ("replica", "10.0.0.3:7000", Some(2)),
            ("primary", "10.0.0.2:7000", None),
        ];
        assert_eq!(rows, expected);
        assert!(snapshot.is_sound(), "{snapshot:?}");
        let summary = snapshot.cluster.map(|summary| summary.to_string());
        assert_eq!(
            summary.as_deref(),
            Some("16384 of 16384 slots are served; 2 primaries with slots, 1 replica, epoch 2")
        );
    }

    #[test]
    fn what_is_missing_failed_or_contradicted_is_told() {
        let failed = OTHER.replace("master", "master,fail");
        let few = snapshot(&[PRIMARY, &failed]);
        let summary = few.cluster.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(summary.contains("no node serves slots 10000-16383 (6384)"), "{summary}");
        assert_eq!((few.servers[1].state.as_str(), few.is_sound()), ("failed", false));
        let less = OTHER.replace("10000-16383", "10001-16383");
        let all = [PRIMARY, OTHER, REPLICA];
        let asked_nodes =
            [asked_node("a", &all), asked_node("b", &[PRIMARY, &less, REPLICA]), asked_node("c", &all)];
        let states: Vec<_> =
            Snapshot::of_nodes(&asked_nodes).servers.into_iter().map(|row| row.state).collect();
        assert_eq!(states, ["online", "online", "disagrees about 1 slots"]);
    }

    #[test]
    fn seeds_that_are_not_of_it_are_told_apart() {
        let stranger = "z 10.0.9.9:7000@17000 master - 0 0 1 connected 0-16383";
        let all = [PRIMARY, OTHER];
        let asked_nodes = [asked_node("a", &all), asked_node("z", &[stranger]), asked_node("b", &all)];
        let snapshot = Snapshot::of_nodes(&asked_nodes);
        let last = snapshot.servers.last().map(|row| (row.role.as_str(), row.state.as_str()));
        assert_eq!(last, Some(("seed", "of another cluster")));
    }

    #[test]
    fn moves_are_told_by_the_node_they_concern() {
        let before = snapshot(&[PRIMARY, OTHER]);
        let (less, more) = (PRIMARY.replace("0-9999", "1-9998"), OTHER.replace("10000-", "9999-"));
        let report = moves(&before, &snapshot(&[&less, &more]));
        let concerned = |address: &str, change: &str| (address.to_owned(), change.to_owned());
        let expected = [
            concerned("10.0.0.1:7000", "slot 0: without a node now"),
            concerned("10.0.0.2:7000", "slot 9999: from 10.0.0.1:7000"),
        ];
        assert_eq!(report, expected);
        assert_eq!(moves(&before, &before), []);
    }
}
