//! All keys of a cluster by `SCAN`, node after node, while slots move and nodes fail.
//!
//! Promises that every key that is there from beginning to end is in a page at least once; it may be in
//! several. A cursor is one node's, so the scan goes by slots: it takes a node that has slots not covered
//! yet, scans that one whole, and asks it before and after what it says of itself. What counts is its own
//! report, never the map, which only tells which node to ask. This file must not know sockets or clocks, nor
//! what is in a page.
//!
//! # When a slot is covered
//! `SCAN` gives what its node has from the first page to the last. So of a slot that the node owned at both
//! ends, nothing is missing, except what came in meanwhile and what had gone before.
//! - Nothing came in if the slot was never another's. A node that is given a slot takes a new configuration
//!   epoch, unless it has the highest already; so the node that got the slot had a higher one than this node,
//!   and this node takes a new one when the slot comes back. If the epoch is the same at both ends, no slot
//!   left and came back (seen so of Redis 6.2 and 7.0 and Valkey 9.1).
//! - What had gone is with the node to which the slot is moving, key by key, at the end (`[7->-id]`). Keys go
//!   that way only, so that node is scanned from the start after this one has ended: the slot has *migrated*.
//!   That node may pass it on in the same way. A slot that has been the target's, came back and goes there
//!   again counts no more as migrated: by then the source has another epoch.
//! - A mark at the beginning that is gone, while the slot is still owned, was taken back: keys may have
//!   returned behind the cursor, and the slot stays open.
//! - The node must be the same run of the same process: another one has other cursors. So a scan that was
//!   interrupted goes on where it was if the node still is that one, and the end tells what it has covered.
//!
//! One thing no node tells: a migration that begins and is taken back, without the slot changing hands, all
//! between the two questions of one scan of its node. Keys that came back so may be missing.
//!
//! # When it ends
//! The scan of a node covers every slot that stayed with it, whatever others do. So once slots move no more,
//! marks of migrations that never end included, what is left takes at most two scans of each node: one of
//! every owner, one of every target; and two more where source and target contradict each other. While slots
//! move faster than a node is scanned, it goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::node_report::{NodeReport, SlotHold};
use super::route::{AfterFailure, Route, RouteStep, Rules, uncovered};
use super::{ClusterOptions, Map, Remap, SLOTS};
use crate::cmd::Cmd;
use crate::config::HostPort;
use crate::error::{ClusterFault, Error, ErrorKind, Outcome, Result};
use crate::pipeline::{Pipeline, Slot, TrySlot};
use crate::reply::Value;
use crate::{Run, facts};

/// One scan of the keys of a whole cluster.
///
/// Do what [`poll_step`](Self::poll_step) says, hand over what came of it, whatever failed to
/// [`handle_failure`](Self::handle_failure), and begin again, until it is done. A step that was given up (its
/// future dropped) is told again.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire_core::cluster::{ClusterOptions, Map, ClusterScan, ScanStep};
/// use redwire::config::HostPort;
///
/// let node = HostPort::new("10.0.0.1", 6379);
/// let map = Map::default().moved(42, &node).expect("a change");
/// let mut options = ClusterOptions::default();
/// options.require_full_coverage = false;
/// let mut scan = ClusterScan::new(&options);
/// let nodes = "aa 10.0.0.1:6379@16379 myself,master - 0 0 1 connected 42";
/// let says = || (nodes.to_owned(), Ok("run_id:x".to_owned()));
///
/// assert_eq!(scan.poll_step(&map)?, ScanStep::Ask(node.clone()));
/// scan.handle_answer(says())?;
/// assert_eq!(scan.poll_step(&map)?, ScanStep::Page { node: node.clone(), cursor: b"0".to_vec() });
/// scan.handle_page(b"0");
/// assert_eq!(scan.poll_step(&map)?, ScanStep::Ask(node));
/// scan.handle_answer(says())?;
/// assert_eq!(scan.poll_step(&map)?, ScanStep::Done);
/// # Ok::<(), redwire_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ClusterScan {
    /// Of every slot.
    slots: Vec<SlotProgress>,
    /// Migrations that their target knew nothing of: when the source says the same again, it is believed.
    disputed: BTreeMap<u16, Arc<Migration>>,
    node_scan: Option<NodeScan>,
    /// Scans of nodes that failed: they go on at their cursor if the node still is what it was.
    suspended: Vec<NodeScan>,
    /// Nodes that were of no use when asked last: others come first.
    shunned: Vec<HostPort>,
    /// The tries to get the next page.
    route: Option<Route>,
    remap: Remap,
    require_full_coverage: bool,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanStep {
    /// Ask this node the [`question`](ClusterScan::question), and [hand over](ClusterScan::handle_answer) the
    /// answer. The node may be one that the map does not have.
    Ask(HostPort),
    /// Send `SCAN` with this cursor to this node, give out what is in the page, and [hand
    /// over](ClusterScan::handle_page) the next cursor.
    Page {
        /// Where.
        node: HostPort,
        /// The cursor.
        cursor: Vec<u8>,
    },
    /// All keys were given out.
    Done,
}

/// How far a slot is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SlotProgress {
    /// Its keys are to be looked for at its owner.
    Open,
    /// Those that were not given out yet are at another node.
    Migrated(Arc<Migration>),
    Covered,
}

/// By which nodes a slot went: the target of a migration, and its source, each by its id.
#[derive(Debug, PartialEq, Eq)]
struct Migration {
    source: String,
    /// The configuration that the source had: another one once the slot has come back to it.
    epoch: u64,
    target: String,
    /// Where the source said that the target is.
    address: Option<HostPort>,
}

/// The scan through one node.
#[derive(Debug)]
struct NodeScan {
    node: HostPort,
    /// What it said of itself at the beginning.
    begin: Option<NodeReport>,
    cursor: Vec<u8>,
    /// Whether the last page came.
    finished: bool,
    /// Whether it is to be asked what it says of itself.
    asks: bool,
}

impl ClusterScan {
    /// From the beginning. Of the options, [`remap`](ClusterOptions::remap) and
    /// [`require_full_coverage`](ClusterOptions::require_full_coverage) matter: without the latter, slots
    /// that no node serves are left out.
    #[must_use]
    pub fn new(options: &ClusterOptions) -> Self {
        Self {
            slots: vec![SlotProgress::Open; usize::from(SLOTS)],
            disputed: BTreeMap::new(),
            node_scan: None,
            suspended: Vec::new(),
            shunned: Vec::new(),
            route: None,
            remap: options.remap.clone(),
            require_full_coverage: options.require_full_coverage,
        }
    }

    /// What a node is asked about itself, in one write: `CLUSTER NODES`, which must be permitted, and
    /// `INFO server`. Where the latter is not, a server that starts anew with the same data between two pages
    /// is found out only if a call failed meanwhile.
    pub fn question(p: &Pipeline) -> (Slot<String>, TrySlot<String>) {
        (p.run(Cmd::of(&facts::CLUSTER_NODES)), p.run(Cmd::of(&facts::INFO).arg("server")).attempt())
    }

    /// How many of the 16384 slots are covered.
    #[must_use]
    pub fn covered(&self) -> usize {
        self.slots.iter().filter(|progress| **progress == SlotProgress::Covered).count()
    }

    /// What is to be done next, by the newest map.
    ///
    /// # Errors
    /// [`ClusterFault::NotCovered`], for [`handle_failure`](Self::handle_failure): no node is known for a
    /// slot.
    pub fn poll_step(&mut self, map: &Map) -> Result<ScanStep> {
        if self.node_scan.is_none() {
            let Some(node) = self.choose(map)? else { return Ok(ScanStep::Done) };
            let known = self.suspended.iter().position(|node_scan| node_scan.node == node);
            let known = known.map(|place| NodeScan { asks: true, ..self.suspended.swap_remove(place) });
            self.node_scan = Some(known.unwrap_or_else(|| NodeScan::new(node)));
        }
        Ok(match &self.node_scan {
            Some(node_scan) if node_scan.asks => ScanStep::Ask(node_scan.node.clone()),
            Some(node_scan) => {
                ScanStep::Page { node: node_scan.node.clone(), cursor: node_scan.cursor.clone() }
            }
            None => ScanStep::Done,
        })
    }

    /// The page came; behind it is this cursor.
    pub fn handle_page(&mut self, cursor: &[u8]) {
        let Some(node_scan) = self.node_scan.as_mut().filter(|node_scan| !node_scan.asks) else { return };
        node_scan.cursor = cursor.to_vec();
        node_scan.finished = cursor == b"0";
        node_scan.asks = node_scan.finished;
        self.route = None;
    }

    /// The node answered the [`question`](Self::question).
    ///
    /// # Errors
    /// For [`handle_failure`](Self::handle_failure): [`ErrorKind::Decode`], it is no node of a cluster; or
    /// [`ClusterFault::NotCovered`], it has nothing of what is looked for, so the map is wrong.
    pub fn handle_answer(&mut self, (nodes, info): (String, Result<String>)) -> Result<()> {
        let Some(mut node_scan) = self.node_scan.take_if(|node_scan| node_scan.asks) else { return Ok(()) };
        let report = match NodeReport::read(&nodes, &info.unwrap_or_default(), &node_scan.node, &self.remap) {
            Ok(report) => report,
            Err(error) => {
                self.shunned.push(node_scan.node);
                return Err(error);
            }
        };
        match node_scan.begin.take() {
            Some(begin) if node_scan.finished => self.handle_end(&begin, &report),
            // It was suspended.
            Some(begin) if begin.is_same_run(&report) && !report.run.is_empty() => {
                self.node_scan = Some(NodeScan { begin: Some(begin), asks: false, ..node_scan });
            }
            _ => return self.begin(node_scan, report),
        }
        Ok(())
    }

    /// A step failed, or there was none. A page must come by `deadline`, whatever is asked and tried until
    /// then; the rest is as for [`Route::handle_failure`].
    ///
    /// What follows is [`AfterFailure::Retry`], after which the newest map is to be handed to
    /// [`poll_step`](Self::poll_step), or [`AfterFailure::Fail`]. After that the scan may be continued, with
    /// another deadline: nothing is left out.
    pub fn handle_failure(
        &mut self,
        error: Error,
        rules: Rules<'_>,
        deadline: Option<Instant>,
        random: u64,
        budget: impl FnOnce() -> bool,
    ) -> RouteStep {
        let from = self.node_scan.as_ref().map(|node_scan| node_scan.node.clone());
        if let Some(node_scan) = self.node_scan.take() {
            self.shunned.push(node_scan.node.clone());
            self.suspended.extend(Some(node_scan).filter(|node_scan| node_scan.begin.is_some()));
        }
        let route = self.route.get_or_insert_with(|| Route::new(None, deadline));
        let mut call = Cmd::<Value>::of(&facts::SCAN);
        let mut step = route.handle_failure(error, from.as_ref(), &mut call, rules, random, budget);
        step.then = match step.then {
            // No node has the cursors of another.
            AfterFailure::Send { after, .. } => AfterFailure::Retry(after),
            AfterFailure::Again => AfterFailure::Retry(Duration::ZERO),
            then => then,
        };
        if matches!(step.then, AfterFailure::Fail(_)) {
            self.route = None;
            self.reopen(|_| true);
        }
        step
    }

    /// The node to scan, if there is anything left: owners of open slots first, so that a target is scanned
    /// once for all.
    fn choose(&mut self, map: &Map) -> Result<Option<HostPort>> {
        if map.covered() == 0 {
            return Err(uncovered(None));
        }
        let next = self.candidate(map).or_else(|| {
            self.shunned.clear();
            self.candidate(map)
        });
        let left = self.slots.iter().position(|progress| *progress != SlotProgress::Covered);
        match left {
            Some(slot) if next.is_none() && self.require_full_coverage => Err(uncovered(Some(slot as u16))),
            _ => Ok(next),
        }
    }

    fn candidate(&self, map: &Map) -> Option<HostPort> {
        let is_free = |node: &&HostPort| !self.shunned.contains(*node);
        let mut owners = (0..SLOTS).zip(&self.slots).filter_map(|(slot, progress)| match progress {
            SlotProgress::Open => map.primary(slot),
            _ => None,
        });
        let mut targets = self.slots.iter().filter_map(|progress| match progress {
            SlotProgress::Migrated(migration) => migration.place(map),
            _ => None,
        });
        owners.find(is_free).or_else(|| targets.find(is_free)).cloned()
    }

    /// The node said what it is, and is to be scanned if it has any slot that is left.
    fn begin(&mut self, node_scan: NodeScan, report: NodeReport) -> Result<()> {
        let disputed = &mut self.disputed;
        let mut contradicted = false;
        for (slot, progress) in (0..SLOTS).zip(&mut self.slots) {
            let Some(migration) = progress.migration_to(&report.id).cloned() else { continue };
            // Taken back, or passed on, or the mark was lost: the node that owns the slot knows.
            if !migration.is_confirmed_by(&report, slot)
                && disputed.insert(slot, Arc::clone(&migration)) != Some(migration)
            {
                *progress = SlotProgress::Open;
                contradicted = true;
            }
        }
        let concerned = (0..SLOTS).zip(&self.slots).any(|(slot, progress)| match progress {
            SlotProgress::Open => report.hold(slot) == SlotHold::Owns,
            progress => progress.migration_to(&report.id).is_some(),
        });
        if concerned {
            self.node_scan =
                Some(NodeScan { begin: Some(report), asks: false, ..NodeScan::new(node_scan.node) });
            return Ok(());
        }
        let error = stale(&node_scan.node);
        self.shunned.push(node_scan.node);
        if contradicted { Ok(()) } else { Err(error) }
    }

    /// The node was scanned from its first report to the second.
    fn handle_end(&mut self, begin: &NodeReport, end: &NodeReport) {
        if !begin.is_same_run(end) {
            return self.reopen(|migration| migration.target == begin.id);
        }
        let mut migrations: Vec<Arc<Migration>> = Vec::new();
        for slot in 0..SLOTS {
            let progress = &self.slots[usize::from(slot)];
            let arrived = progress.migration_to(&begin.id);
            let hold = begin.hold(slot);
            let is_whole = match hold {
                SlotHold::Owns => begin.epoch == end.epoch,
                _ => arrived.is_some_and(|migration| {
                    let is_confirmed_by =
                        migration.is_confirmed_by(begin, slot) && migration.is_confirmed_by(end, slot);
                    is_confirmed_by || self.disputed.get(&slot) == Some(migration)
                }),
            };
            let stayed = hold == end.hold(slot) && is_whole;
            self.slots[usize::from(slot)] = match (begin.leaving(slot), end.leaving(slot)) {
                _ if *progress == SlotProgress::Covered => continue,
                (None, None) if stayed => SlotProgress::Covered,
                (before, Some(to)) if stayed && before.is_none_or(|before| before == to) => {
                    let known = migrations.iter().find(|migration| migration.target == to).cloned();
                    SlotProgress::Migrated(known.unwrap_or_else(|| {
                        migrations.push(Arc::new(Migration::new(end, to)));
                        Arc::clone(&migrations[migrations.len() - 1])
                    }))
                }
                _ if arrived.is_some() => SlotProgress::Open,
                _ => continue,
            };
        }
        // What has migrated was not there yet when they began.
        self.suspended.retain(|node_scan| {
            node_scan
                .begin
                .as_ref()
                .is_some_and(|begin| migrations.iter().all(|migration| migration.target != begin.id))
        });
    }

    /// Looks for migrated slots at their owners again.
    fn reopen(&mut self, which: impl Fn(&Migration) -> bool) {
        for progress in &mut self.slots {
            if matches!(progress, SlotProgress::Migrated(migration) if which(migration)) {
                *progress = SlotProgress::Open;
            }
        }
    }
}

impl SlotProgress {
    /// The migration, if it is this node that the slot went to.
    fn migration_to(&self, id: &str) -> Option<&Arc<Migration>> {
        match self {
            Self::Migrated(migration) if migration.target == id => Some(migration),
            _ => None,
        }
    }
}

impl Migration {
    fn new(source: &NodeReport, target: &str) -> Self {
        let address = source.address(target).cloned();
        Self { source: source.id.clone(), epoch: source.epoch, target: target.to_owned(), address }
    }

    /// Whether the target has to do with the slot what the source says. Not where the slot was the target's
    /// meanwhile, came back, and now goes there once more: keys may have returned with it, and be at the
    /// source still.
    fn is_confirmed_by(&self, target: &NodeReport, slot: u16) -> bool {
        match target.hold(slot) {
            SlotHold::Owns => true,
            SlotHold::From(source) => source == self.source && target.epoch_of(source) <= self.epoch,
            SlotHold::Nothing => false,
        }
    }

    /// Where the target is: by the map, which knows by which of its addresses nodes are reached; or by its
    /// source, since a node without slots may not be in the map.
    fn place<'a>(&'a self, map: &'a Map) -> Option<&'a HostPort> {
        let known = map.nodes().find(|node| node.id == self.target);
        known.map(|node| &node.address).or(self.address.as_ref())
    }
}

impl NodeScan {
    fn new(node: HostPort) -> Self {
        Self { node, begin: None, cursor: b"0".to_vec(), finished: false, asks: true }
    }
}

#[cold]
fn stale(node: &HostPort) -> Error {
    let message = format!("{node} has none of the slots that it is known for");
    Error::new(ErrorKind::Cluster(ClusterFault::NotCovered), Outcome::NotSent, message)
}
