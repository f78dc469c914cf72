//! A whole client in a simulated world: network, servers, faults and callers, all decided by one number.
//!
//! The client is the real one. It reaches model servers by a [connector](redwire::connector), over a network
//! in memory, on a runtime of one thread whose clock is paused; chance comes from the number alone. So the
//! same number gives the same history, to the byte, but for the tokens of locks, which are the system's
//! chance. Keys are named after them, so where tasks take locks, the order in which keys are scanned, and in
//! which those of a slot move, is chance as well. Ten seconds pass in some milliseconds. The servers are one,
//! a master with replicas and sentinels, or a cluster ([`Topology`]). What happened is held against the
//! promises I1 to I7 (`DESIGN.md`).

mod between;
mod connection;
mod faults;
mod history;
mod judge;
mod link;
mod moves;
mod program;
mod run;
mod scenario;
mod server;
mod shrink;
mod stream;
mod switches;
mod workload;
mod world;

pub use program::program;
pub use scenario::Topology;

/// What is known of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The promises that were broken, in words; none if all is well.
    pub wrongs: Vec<String>,
    /// Everything that happened, a line each; empty unless it was asked for.
    pub trace: String,
    /// How many calls were made.
    pub calls: usize,
}

/// Runs the scenario that `seed` decides.
///
/// ```
/// use redwire_simulation::{Topology, simulate};
///
/// let report = simulate(Topology::Single, 7);
/// assert!(report.wrongs.is_empty(), "{:?}", report.wrongs);
/// ```
#[must_use]
pub fn simulate(topology: Topology, seed: u64) -> Report {
    report(topology, seed, false)
}

/// As [`simulate`], and tells all that happens.
#[must_use]
pub fn trace(topology: Topology, seed: u64) -> Report {
    report(topology, seed, true)
}

fn report(topology: Topology, seed: u64, traced: bool) -> Report {
    let scenario = scenario::Scenario::draw(topology, seed);
    let history = run::run(&scenario, traced);
    let wrongs = judge::judge(&scenario, &history).iter().map(ToString::to_string).collect();
    let mut trace = String::new();
    for (at, what) in history.trace.iter().flatten() {
        trace += &format!("{at:?} {what}\n");
    }
    Report { wrongs, trace, calls: history.calls.len() }
}
