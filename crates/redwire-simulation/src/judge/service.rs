//! Full service after the faults, bounds on connecting, and nothing left at the end: I4, I6, I7.
//!
//! This file must not know what calls ask for.

use std::time::Duration;

use redwire::ErrorKind;

use super::Verdict;
use crate::history::{Ended, History, Left};
use crate::scenario::{Scenario, Work};

pub(super) fn judge(scenario: &Scenario, history: &History, verdict: &mut Verdict) {
    let left = &history.left;
    verdict.check(*left == Left::default(), "I4", || format!("something is left: {left:?}"));
    let well = scenario.well();
    for (place, call) in
        history.calls.iter().enumerate().filter(|(_, call)| call.begun >= well && call.is_fair)
    {
        if let Ended::Failed(error) = &call.ended {
            let is_lost_race = error.kind() == ErrorKind::Aborted;
            verdict.check(is_lost_race, "I6", || {
                let since = call.begun.saturating_sub(scenario.calm());
                format!("call {place} of task {}, {since:?} after the last fault: {error}", call.task)
            });
        }
    }
    connects(scenario, history, verdict);
}

/// While no connection can be had, few are asked for.
fn connects(scenario: &Scenario, history: &History, verdict: &mut Verdict) {
    const SECOND: Duration = Duration::from_secs(1);
    // Those that are opened on purpose cannot be told from others.
    if scenario.tasks.iter().any(|task| task.work == Work::Clients) {
        return;
    }
    // The shared connection, the pool and subscriptions have pauses of their own, and so has each cache.
    let caches = scenario.tasks.iter().filter(|task| task.work == Work::Reads).count();
    let most = MOST_CONNECTS * (3 + caches);
    let outages = scenario.faults.iter().filter(|fault| fault.kind.is_outage());
    for outage in outages {
        let mut from = outage.at + SECOND;
        while from + SECOND <= outage.until() {
            let asked = history.connects.iter().filter(|at| (from..from + SECOND).contains(*at)).count();
            verdict.check(asked <= most, "I7", || {
                format!("{asked} connections were asked for in the second from {from:?}, in an outage")
            });
            from += SECOND;
        }
    }
}

/// Of one second and one kind of connection: pauses begin with 10 ms and double, and are of full jitter.
const MOST_CONNECTS: usize = 8;
