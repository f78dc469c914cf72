//! Full service after the faults, bounds on connecting, and nothing left at the end: I4, I6, I7.
//!
//! This file must not know what calls ask for.

use std::time::Duration;

use redwire::ErrorKind;

use super::Verdict;
use crate::history::{Call, Ended, Form, History, Left, Op};
use crate::scenario::{Scenario, Topology, Work};

pub(super) fn judge(scenario: &Scenario, history: &History, verdict: &mut Verdict) {
    let left = &history.left;
    verdict.check(*left == Left::default(), "I4", || format!("something is left: {left:?}"));
    let well = history.well(scenario);
    if scenario.topology != Topology::Single {
        let is_settled =
            history.settled.is_some_and(|at| at < scenario.length) || scenario.calm() * 2 > scenario.length;
        verdict.check(is_settled, "world", || {
            let why = history.discord.as_deref().unwrap_or("too late");
            format!("the servers do not find together: {why}")
        });
    }
    // Clients that a task opens connect and ask anew, and cannot be told from the one that all tasks share.
    let is_counted = !scenario.has(Work::Clients);
    if is_counted && scenario.topology == Topology::Cluster {
        questions(scenario, history, verdict);
        redirections(scenario, history, verdict);
    }
    let is_due = |call: &Call| {
        let only_moves = scenario.topology == Topology::Cluster && scenario.only_moves_slots();
        let is_well = call.begun >= well || only_moves && is_never_held_up(call);
        is_well && call.is_fair
    };
    for (place, call) in history.calls.iter().enumerate().filter(|(_, call)| is_due(call)) {
        if let Ended::Failed(error) = &call.ended {
            let is_lost_race = error.kind() == ErrorKind::Aborted;
            verdict.check(is_lost_race, "I6", || {
                let since = call.begun.saturating_sub(scenario.calm());
                format!("call {place} of task {}, {since:?} after the last fault: {error}", call.task)
            });
        }
    }
    if is_counted {
        connects(scenario, history, verdict);
    }
}

/// While no connection can be had, few are asked for.
fn connects(scenario: &Scenario, history: &History, verdict: &mut Verdict) {
    const SECOND: Duration = Duration::from_secs(1);
    // The shared connection, the pool and subscriptions have pauses of their own, and so has each cache.
    let caches = scenario.tasks.iter().filter(|task| task.work == Work::Reads).count();
    let most = MOST_CONNECTS * (3 + caches);
    // Of several servers each client asks which serves.
    let most = if scenario.topology == Topology::Single { most } else { most * 2 };
    let outages = scenario.faults.iter().filter(|fault| fault.kind.is_outage());
    for outage in outages {
        let mut from = outage.at + SECOND;
        while from + SECOND <= outage.until() {
            let asked = history
                .connects
                .iter()
                .filter(|(at, server)| *server == outage.server && (from..from + SECOND).contains(at));
            let asked = asked.count();
            verdict.check(asked <= most, "I7", || {
                format!("{asked} connections were asked for in the second from {from:?}, in an outage")
            });
            from += SECOND;
        }
    }
}

/// Whether a slot on its way is no reason for a call to wait: each of its commands has one key.
fn is_never_held_up(call: &Call) -> bool {
    let has_time = call.deadline - call.begun >= Duration::from_millis(500);
    let waits = |op: &Op| matches!(op, Op::Wait(..) | Op::SetMany(_) | Op::GetMany(_) | Op::Delete(_));
    has_time && matches!(call.form, Form::Single | Form::Pipeline) && !call.ops.iter().any(waits)
}

/// Once all is well, few calls go to the wrong node: that a slot has moved is learnt once.
fn redirections(scenario: &Scenario, history: &History, verdict: &mut Verdict) {
    let well = history.well(scenario);
    let count = history.redirections.iter().filter(|at| **at >= well).count();
    // A slot that is used again after a while, and calls that were under way meanwhile.
    let most = 2 * usize::try_from(scenario.keys).unwrap_or(usize::MAX) + 8;
    verdict
        .check(count <= most, "I7", || format!("{count} redirections after all is well, from {well:?} on"));
}

/// How often the client asks for the map of the cluster, and who has taken over.
fn questions(scenario: &Scenario, history: &History, verdict: &mut Verdict) {
    let mut limits = vec![("CLUSTER", 2 * scenario.servers() + 3)];
    // To sync a cache is to ask for the role, too.
    if !scenario.has(Work::Reads) {
        limits.push(("ROLE", 21 + 2 * scenario.servers()));
    }
    for (word, most) in limits {
        let asked = history.executed.iter().filter(|(_, done)| {
            // By other commands than these the world asks.
            let is_client = matches!(done.words.get(1).map(Vec::as_slice), Some(b"SLOTS" | b"SHARDS") | None);
            done.words[0] == word.as_bytes() && is_client
        });
        let times: Vec<Duration> = asked.map(|(_, done)| done.at).collect();
        for (at, first) in times.iter().enumerate() {
            let many = times[at..].iter().take_while(|time| **time < *first + Duration::from_secs(1)).count();
            if many > most {
                verdict.wrong("I7", format!("{many} questions {word} in the second from {first:?} on"));
                break;
            }
        }
    }
}

/// Of one second and one kind of connection: pauses begin with 10 ms and double, and are of full jitter.
const MOST_CONNECTS: usize = 8;
