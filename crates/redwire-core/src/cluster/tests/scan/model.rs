//! A cluster in which slots move key by key, shards fail over and servers start anew, in any order, while it
//! is scanned.
//!
//! Keys are scanned in an order that each run of a process has for itself, and a cursor is a place in it:
//! what comes in behind the cursor is missed, as it is by a server.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::redirect::{config, map};
use super::super::scatter::Dice;
use super::broken;
use crate::cluster::{AfterFailure, ClusterOptions, ClusterScan, Map, Rules, ScanStep, TopologyHint};
use crate::config::HostPort;

/// Slots that move; the others stay with the first shard.
const SLOTS: usize = 5;
const SHARDS: usize = 4;
const KEYS: usize = 40;
/// Cursors are below.
const END: u64 = 1_000;

/// A key by its number; its slot follows.
type Key = usize;

fn slot_of(key: Key) -> usize {
    key % SLOTS
}

/// A primary, at the first of two addresses, and its replica at the other.
struct Shard {
    ids: [String; 2],
    places: [HostPort; 2],
    runs: [u64; 2],
    epoch: u64,
    owns: BTreeSet<usize>,
    leaving: BTreeMap<usize, String>,
    arriving: BTreeMap<usize, String>,
    keys: BTreeSet<Key>,
}

/// A slot on its way.
struct Move {
    from: usize,
    to: usize,
    /// The target has it already, and the source does not know yet.
    had: bool,
    /// When it began.
    since: u64,
}

struct Cluster {
    shards: Vec<Shard>,
    moves: BTreeMap<usize, Move>,
    /// Slots whose migration was taken back: they rest from then on. Twice would be what no node tells.
    taken_back: BTreeSet<usize>,
    /// Keys that any client could have had all the time.
    stable: BTreeSet<Key>,
    /// Whether replicas know the marks of their primaries, as of newer servers.
    marks_survive: bool,
    /// When each node was asked before the scan through it that is not over.
    scanned_since: HashMap<HostPort, u64>,
    now: u64,
}

impl Cluster {
    fn new(dice: &mut Dice) -> Self {
        let shard = |nth: usize| Shard {
            ids: ["x", "y"].map(|which| format!("id-{nth}{which}")),
            places: ["x", "y"].map(|which| HostPort::new(format!("{which}{nth}"), 1)),
            runs: [nth as u64, 100 + nth as u64],
            epoch: nth as u64 + 1,
            owns: BTreeSet::new(),
            leaving: BTreeMap::new(),
            arriving: BTreeMap::new(),
            keys: BTreeSet::new(),
        };
        let mut shards: Vec<_> = (0..SHARDS).map(shard).collect();
        for slot in 0..SLOTS {
            let shard = &mut shards[dice.below(SHARDS)];
            shard.owns.insert(slot);
            shard.keys.extend((0..KEYS).filter(|key| slot_of(*key) == slot));
        }
        Self {
            shards,
            moves: BTreeMap::new(),
            taken_back: BTreeSet::new(),
            stable: (0..KEYS).collect(),
            marks_survive: dice.below(2) == 0,
            scanned_since: HashMap::new(),
            now: 0,
        }
    }

    fn owner(&self, slot: usize) -> usize {
        match self.moves.get(&slot) {
            Some(moving) if moving.had => moving.to,
            _ => self.shards.iter().position(|shard| shard.owns.contains(&slot)).expect("an owner"),
        }
    }

    fn map(&self) -> Map {
        let row = |first: usize, last: usize, shard: &Shard| {
            let node = |n: usize| serde_json::json!([shard.places[n].host, 1, shard.ids[n]]);
            serde_json::json!([first, last, node(0), node(1)])
        };
        let mut rows: Vec<_> =
            (0..SLOTS).map(|slot| row(slot, slot, &self.shards[self.owner(slot)])).collect();
        rows.push(row(SLOTS, 16_383, &self.shards[0]));
        map(&rows.into())
    }

    fn stir(&mut self, dice: &mut Dice) {
        // One slot moves most, so that it is there and back while a node is scanned.
        let slot = dice.below(SLOTS * 3).saturating_sub(SLOTS * 2);
        match dice.below(16) {
            0..12 => self.stir_slot(slot, dice),
            12 if dice.below(4) == 0 => self.fail_over(dice.below(SHARDS)),
            13 if dice.below(4) == 0 => self.shards[dice.below(SHARDS)].runs[0] += 1_000,
            12..15 => self.stir_slot(0, dice),
            // What is taken back rests, so the slot that moves most is not, in half of all histories.
            _ if slot == 0 && self.marks_survive => {}
            _ => self.take_back(slot),
        }
    }

    /// A slot begins to move, a key of it moves, or it has moved.
    fn stir_slot(&mut self, slot: usize, dice: &mut Dice) {
        let Some(moving) = self.moves.get(&slot) else {
            let (from, to) = (self.owner(slot), dice.below(SHARDS));
            if from != to && !self.taken_back.contains(&slot) {
                let ids = [from, to].map(|shard| self.shards[shard].ids[0].clone());
                let [source, target] = ids;
                self.shards[to].arriving.insert(slot, source);
                self.shards[from].leaving.insert(slot, target);
                self.moves.insert(slot, Move { from, to, had: false, since: self.now });
            }
            return;
        };
        let (from, to) = (moving.from, moving.to);
        let left: Vec<_> =
            self.shards[from].keys.iter().copied().filter(|key| slot_of(*key) == slot).collect();
        match left.get(dice.below(left.len().max(1))) {
            Some(_) if dice.below(3) == 0 => left.iter().for_each(|key| self.carry(*key, from, to)),
            Some(key) => self.carry(*key, from, to),
            None if moving.had => {
                self.shards[from].owns.remove(&slot);
                self.shards[from].leaving.remove(&slot);
                self.moves.remove(&slot);
            }
            None => {
                self.moves.get_mut(&slot).expect("it moves").had = true;
                self.shards[to].arriving.remove(&slot);
                self.shards[to].owns.insert(slot);
                let highest = self.highest();
                if self.shards[to].epoch < highest {
                    self.shards[to].epoch = highest + 1;
                }
            }
        }
    }

    fn highest(&self) -> u64 {
        self.shards.iter().map(|shard| shard.epoch).max().expect("shards")
    }

    fn carry(&mut self, key: Key, from: usize, to: usize) {
        assert!(self.shards[from].keys.remove(&key));
        self.shards[to].keys.insert(key);
    }

    /// The keys return, and the marks are gone.
    fn take_back(&mut self, slot: usize) {
        let Some(Move { from, to, had: false, since }) = self.moves.get(&slot) else { return };
        let (from, to) = (*from, *to);
        // What begins and is taken back while its source is scanned, no node tells.
        if self.scanned_since.get(&self.shards[from].places[0]).is_some_and(|begin| begin <= since) {
            return;
        }
        self.taken_back.insert(slot);
        self.forget(slot);
        for key in (0..KEYS).filter(|key| slot_of(*key) == slot) {
            if self.shards[to].keys.contains(&key) {
                self.carry(key, to, from);
            }
        }
    }

    fn forget(&mut self, slot: usize) {
        self.moves.remove(&slot);
        for shard in &mut self.shards {
            shard.leaving.remove(&slot);
            shard.arriving.remove(&slot);
        }
    }

    /// The replica takes over. Without the marks of its primary, what has left is nowhere for clients.
    fn fail_over(&mut self, nth: usize) {
        if self.moves.values().any(|moving| moving.had && (moving.from == nth || moving.to == nth)) {
            return;
        }
        let epoch = self.highest() + 1;
        let shard = &mut self.shards[nth];
        shard.epoch = epoch;
        shard.ids.swap(0, 1);
        shard.places.swap(0, 1);
        shard.runs.swap(0, 1);
        let (new, old) = (shard.ids[0].clone(), shard.ids[1].clone());
        if self.marks_survive {
            for shard in &mut self.shards {
                let ids = shard.leaving.values_mut().chain(shard.arriving.values_mut());
                ids.filter(|id| **id == old).for_each(|id| *id = new.clone());
            }
            return;
        }
        shard.leaving.clear();
        shard.arriving.clear();
        let lost = self.moves.iter().filter(|(_, moving)| moving.from == nth || moving.to == nth);
        let lost: Vec<_> = lost.into_iter().map(|(slot, moving)| (*slot, moving.to)).collect();
        for (slot, to) in lost {
            let away: Vec<_> = self.shards[to].keys.iter().filter(|key| slot_of(**key) == slot).collect();
            self.stable.retain(|key| !away.contains(&key));
            self.moves.remove(&slot);
            // No operator mends it, so marks may stay where they are.
            self.taken_back.insert(slot);
        }
    }

    fn at(&self, place: &HostPort) -> (&Shard, usize) {
        let found = self.shards.iter().find_map(|shard| {
            let which = shard.places.iter().position(|other| other == place)?;
            Some((shard, which))
        });
        found.expect("a node of the cluster")
    }

    fn says(&self, place: &HostPort) -> String {
        let mut text = String::new();
        for shard in &self.shards {
            for which in [0, 1] {
                let (id, at) = (&shard.ids[which], &shard.places[which]);
                let role = if which == 0 { "master -".to_owned() } else { format!("slave {}", shard.ids[0]) };
                let own = if at == place { "myself," } else { "" };
                let _ = write!(text, "{id} {at}@2 {own}{role} 0 0 {} connected", shard.epoch);
                if at == place && which == 0 {
                    shard.owns.iter().for_each(|slot| text.push_str(&format!(" {slot}")));
                    if std::ptr::eq(shard, &raw const self.shards[0]) {
                        let _ = write!(text, " {SLOTS}-16383");
                    }
                    for (slot, to) in &shard.leaving {
                        let _ = write!(text, " [{slot}->-{to}]");
                    }
                    for (slot, from) in &shard.arriving {
                        let _ = write!(text, " [{slot}-<-{from}]");
                    }
                }
                text.push('\n');
            }
        }
        text
    }

    /// The next cursor, and the keys before it.
    fn scan(&self, place: &HostPort, cursor: u64, count: u64) -> (u64, Vec<Key>) {
        let (shard, which) = self.at(place);
        let run = shard.runs[which];
        let rank = |key: Key| Dice(run.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (key as u64) << 20).next() % END;
        let until = cursor + count;
        let found = shard.keys.iter().copied().filter(|key| (cursor..until).contains(&rank(*key))).collect();
        (if until < END { until } else { 0 }, found)
    }
}

/// Walks through a cluster that changes so many times meanwhile. The keys that were given out, and the
/// cluster.
fn play(mut changes: usize, dice: &mut Dice) -> (BTreeSet<Key>, Cluster) {
    let mut cluster = Cluster::new(dice);
    for _ in 0..dice.below(30) {
        cluster.stir(dice);
    }
    let (config, options, start) = (config(), ClusterOptions::default(), Instant::now());
    let rules = Rules { config: &config, cluster: &options, now: start };
    let (mut scan, mut map) = (ClusterScan::new(&options), cluster.map());
    let (mut found, mut asked, mut scanned) = (BTreeSet::new(), HashMap::new(), HashSet::new());
    let mut scans_in_calm = 0;
    // Fewer changes a page let more scans of a node succeed, more let more fail.
    let pace = 2 + dice.below(12);
    for step in 0.. {
        assert!(step < 20_000, "it does not end");
        cluster.now += 1;
        for _ in 0..dice.below(pace).min(changes) {
            cluster.stir(dice);
            changes -= 1;
        }
        let breaks = changes > 0 && dice.below(12) == 0;
        let failed = match scan.poll_step(&map) {
            Ok(ScanStep::Done) => return (found, cluster),
            Ok(_) if breaks => Some(broken()),
            Ok(ScanStep::Ask(node)) => {
                asked.insert(node.clone(), cluster.now);
                if scanned.remove(&node) {
                    cluster.scanned_since.remove(&node);
                } else {
                    cluster.scanned_since.entry(node.clone()).or_insert(cluster.now);
                }
                let (shard, which) = cluster.at(&node);
                let answer = (cluster.says(&node), Ok(format!("run_id:{}", shard.runs[which])));
                scan.handle_answer(answer).err()
            }
            Ok(ScanStep::Page { node, cursor }) => {
                let cursor = String::from_utf8(cursor).unwrap().parse().unwrap();
                if cursor == 0 {
                    cluster.scanned_since.entry(node.clone()).or_insert_with(|| asked[&node]);
                    scans_in_calm += usize::from(changes == 0);
                }
                let (next, keys) = cluster.scan(&node, cursor, 100 + dice.next() % 400);
                found.extend(keys);
                if next == 0 {
                    scanned.insert(node);
                }
                scan.handle_page(next.to_string().as_bytes());
                None
            }
            Err(error) => Some(error),
        };
        assert!(scans_in_calm <= 4 * SHARDS, "{scans_in_calm} scans of nodes whose slots stay");
        if let Some(error) = failed {
            let ends = changes > 0 && dice.below(4) == 0;
            let deadline = start + Duration::from_secs(if ends { 0 } else { 3_600 });
            let step = scan.handle_failure(error, rules, Some(deadline), dice.next(), || true);
            let failed = matches!(step.then, AfterFailure::Fail(_));
            assert!(failed || matches!(step.then, AfterFailure::Retry(_)), "{step:?}");
            assert!(changes > 0 || !failed, "{step:?}");
            if step.hint == Some(TopologyHint::Suspect) && (changes == 0 || dice.below(2) == 0) {
                map = cluster.map();
            }
        }
    }
    unreachable!()
}

/// A slot that went to its target, came back, and was on its way there again when the target was asked.
#[test]
fn a_slot_that_came_back_is_looked_for_at_its_owner() {
    let mut dice = Dice(16_808_895_201_304_608_208);
    let changes = dice.below(400);
    let (found, cluster) = play(changes, &mut dice);
    assert!(cluster.stable.is_subset(&found));
}

proptest! {
    #[test]
    fn every_key_that_stays_is_given_out_whatever_moves_meanwhile(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let changes = dice.below(400);
        let (found, cluster) = play(changes, &mut dice);
        let missing: Vec<_> = cluster.stable.difference(&found).collect();
        prop_assert!(missing.is_empty(), "missing {:?}", missing);
    }

    #[test]
    fn and_in_a_cluster_whose_slots_stay(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let (found, cluster) = play(0, &mut dice);
        prop_assert!(cluster.stable.is_subset(&found));
    }
}
