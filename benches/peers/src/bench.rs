//! The parent: starts servers, measures every client in children of its own, interleaved, and has
//! the tables printed. It connects to nothing itself.

use std::process::Command;

use crate::Fallible;
use crate::args::{Options, Pin};
use crate::clients::Client;
use crate::cluster::Cluster;
use crate::figures::Figures;
use crate::report;
use crate::server::{Server, on_core};
use crate::workload::{Kind, Mode, Workload};

/// One line of a table: a client in one mode, with its figures of every round.
pub struct Row {
    /// The client.
    pub client: &'static Client,
    /// How it waited.
    pub mode: Mode,
    /// One entry per round.
    pub rounds: Vec<Figures>,
    /// Why there are no more rounds.
    pub failure: Option<String>,
}

/// Measures what the options select and prints a table per workload.
///
/// # Errors
/// Fails if there is no server, or at the end if any measurement failed.
pub fn run(options: &Options) -> Fallible<()> {
    let pinned = Server::start(options.server.as_deref(), (options.pin != Pin::Free).then_some(0))?;
    let free = Server::start(options.server.as_deref(), None)?;
    let wanted = options.workloads.iter().any(|workload| matches!(workload.kind, Kind::Cluster { .. }));
    let cluster = match wanted {
        true => Some(Cluster::start(options.server.as_deref(), (options.pin != Pin::Free).then_some(0))?),
        false => None,
    };
    report::heading(options);
    let mut failures = 0;
    for workload in &options.workloads {
        // Two worker threads and a server need more than one core, whatever is asked for the others.
        let pin = if workload.kind.workers() > 0 { Pin::Free } else { options.pin };
        let addr = match (workload.kind, &cluster) {
            (Kind::Cluster { .. }, Some(cluster)) => &cluster.addr,
            _ if pin == Pin::Free => &free.addr,
            _ => &pinned.addr,
        };
        let mut rows = rows(options, workload.kind);
        for round in 0..options.rounds {
            report::progress(&format!("{} round {}/{}", workload.name, round + 1, options.rounds));
            for row in rows.iter_mut().filter(|row| row.failure.is_none()) {
                match measure(options, workload, row, pin, addr) {
                    Ok(figures) => row.rounds.push(figures),
                    Err(error) => row.failure = Some(error.to_string()),
                }
            }
        }
        report::progress("");
        failures += rows.iter().filter(|row| row.failure.is_some()).count();
        report::workload(workload, &rows, pin, options.markdown);
    }
    if failures == 0 { Ok(()) } else { Err(format!("{failures} measurements failed").into()) }
}

fn rows(options: &Options, kind: Kind) -> Vec<Row> {
    let modes = |client: &'static Client| {
        let has = move |mode: &&Mode| client.runner(kind, **mode).is_some();
        let row = move |&mode: &Mode| Row { client, mode, rounds: Vec::new(), failure: None };
        kind.modes().iter().filter(has).map(row)
    };
    options.clients.iter().copied().flat_map(modes).collect()
}

fn measure(options: &Options, workload: &Workload, row: &Row, pin: Pin, addr: &str) -> Fallible<Figures> {
    let core = match pin {
        Pin::One => Some(0),
        Pin::Two => Some(1),
        Pin::Free => None,
    };
    let myself = std::env::current_exe()?;
    let mut command: Command = on_core(&myself.to_string_lossy(), core);
    command.args(["run", workload.name, row.client.name, "--addr", addr, "--mode", row.mode.name()]);
    command.args(["--seconds", &options.measure.as_secs_f64().to_string()]);
    command.args(["--warm-up", &options.warm_up.as_secs_f64().to_string()]);
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
    }
    Figures::from_json(&String::from_utf8_lossy(&output.stdout))
}
