//! Reads through a cache, changes of watched keys, scans: nobody acts on what is old.
//!
//! This file must not know how values travel.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::Verdict;
use super::replay::{Replay, Values};
use crate::history::{Cached, History};
use crate::scenario::{Scenario, Topology};
use crate::workload::FIELDS;

pub(super) fn judge(scenario: &Scenario, history: &History, replay: &Replay, verdict: &mut Verdict) {
    for read in &history.watched {
        let Some(before) = replay.before.get(&read.tag) else { continue };
        verdict.check(*before == read.value, "I2", || {
            format!("{} was written for {:?} in place of {before:?}", read.tag, read.value)
        });
    }
    verdict.check(replay.astray.is_empty(), "I4", || {
        format!("executed in another database: {:?}", replay.astray)
    });
    for scan in &history.scans {
        let is_lost = history.losses.iter().any(|loss| loss.at <= scan.ended_at);
        let found: HashSet<&str> = scan.fields.iter().map(String::as_str).collect();
        let missing = (0..FIELDS).find(|field| !found.contains(format!("field{field}").as_str()));
        verdict.check(missing.is_none() || is_lost || scan.failures > 0, "scan", || {
            format!("task {}, from {:?} on: field{missing:?} was not found", scan.task, scan.begun)
        });
    }
    let mut newest: HashMap<(usize, &str), Duration> = HashMap::new();
    for read in &history.cached {
        let Some(last) = last_valid(read, replay) else {
            verdict.wrong(
                "I5",
                format!("task {} read {:?} of {}, which it never had", read.task, read.value, read.key),
            );
            continue;
        };
        let oldest = oldest(scenario, history, read);
        verdict.check(last >= oldest, "I5", || {
            let age = oldest - last;
            format!(
                "task {} read {:?} of {} at {:?}, {age:?} too old",
                read.task, read.value, read.key, read.begun
            )
        });
        let is_alone = scenario.topology == Topology::Single;
        if is_alone && !scenario.options.resp2 && history.losses.is_empty() {
            let seen = newest.entry((read.task, &read.key)).or_default();
            verdict.check(last >= *seen, "I5", || {
                format!(
                    "task {} read {:?} of {} at {:?} after a newer value",
                    read.task, read.value, read.key, read.begun
                )
            });
            *seen = (*seen).max(first_valid(read, replay));
        }
    }
}

/// Until when at last the key had this value at a server, before the end of the read; `None`: never.
fn last_valid(read: &Cached, replay: &Replay) -> Option<Duration> {
    let Some(servers) = replay.values.get(&read.key) else {
        return read.value.is_none().then_some(read.ended_at);
    };
    servers.values().filter_map(|values| last_valid_at(read, values)).max()
}

fn last_valid_at(read: &Cached, values: &Values) -> Option<Duration> {
    let values = &values[..values.partition_point(|(at, _)| *at <= read.ended_at)];
    // At first it has none.
    let next = match values.iter().rposition(|(_, value)| *value == read.value) {
        Some(place) => place + 1,
        None if read.value.is_none() => 0,
        None => return None,
    };
    Some(values.get(next).map_or(read.ended_at, |(at, _)| *at))
}

/// From when on the key had the value that was read.
fn first_valid(read: &Cached, replay: &Replay) -> Duration {
    let values = replay.values.get(&read.key).into_iter().flat_map(BTreeMap::values);
    let found = values.filter_map(|values| values.iter().find(|(_, value)| *value == read.value));
    found.map(|(at, _)| *at).min().unwrap_or(Duration::ZERO)
}

/// What was replaced before this must not be read any more.
fn oldest(scenario: &Scenario, history: &History, read: &Cached) -> Duration {
    if scenario.topology == Topology::Sentinels && read.begun < history.well(scenario) {
        // A master that was replaced announces what changes at it, and knows no more.
        return Duration::ZERO;
    }
    if scenario.topology == Topology::Cluster && !scenario.faults.is_empty() {
        // A slot that has moved may be noticed by the next refresh of the map only.
        return read.begun.saturating_sub(scenario.set.refresh_interval * 2);
    }
    if let Some(synced) = read.synced {
        return synced;
    }
    let travel = scenario.travel() * 2 + Duration::from_millis(1);
    // By then a silent connection is not trusted any more.
    let silence = scenario.options.health * 2;
    let silence = if read.begun < history.well(scenario) { silence } else { Duration::ZERO };
    read.begun.saturating_sub(travel + silence)
}
