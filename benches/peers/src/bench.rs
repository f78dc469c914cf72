//! The parent: starts servers, measures every client in children of its own, interleaved, and has
//! the tables printed. It connects to nothing itself.

use std::process::Command;

use crate::Fallible;
use crate::args::Options;
use crate::clients::Client;
use crate::figures::Figures;
use crate::grounds::{Grounds, Place};
use crate::report::{self, summary::Summary};
use crate::server::on_core;
use crate::workload::{Cores, Kind, Mode, Workload};

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

/// Measures what the options select, on each server, and prints what came out.
///
/// # Errors
/// Fails if there is no server, or at the end if any measurement failed.
pub fn run(options: &Options) -> Fallible<()> {
    let programs: Vec<_> = match options.servers[..] {
        [] => vec![None],
        _ => options.servers.iter().map(|path| Some(path.as_str())).collect(),
    };
    let mut failures = 0;
    for program in programs {
        failures += run_on(program, options)?;
    }
    if failures == 0 { Ok(()) } else { Err(format!("{failures} measurements failed").into()) }
}

/// Measures all on one server; how many measurements failed.
fn run_on(program: Option<&str>, options: &Options) -> Fallible<usize> {
    let grounds = Grounds::start(program, &options.workloads, options.pin != Some(Cores::Free))?;
    report::heading(options, &grounds.version);
    let (mut failures, mut summary) = (0, Summary::default());
    for workload in &options.workloads {
        let cores = options.cores(workload);
        let place = match grounds.place(workload.kind, cores) {
            Ok(place) => place,
            Err(why) => {
                report::left_out(workload, &why.to_string());
                continue;
            }
        };
        Grounds::prepare(workload.kind, place)?;
        let rows = measure_all(options, workload, cores, place);
        Grounds::tidy(workload.kind, place)?;
        failures += rows.iter().filter(|row| row.failure.is_some()).count();
        if !options.markdown || options.details {
            report::workload(workload, &rows, cores, options.markdown);
        }
        summary.add(workload, &rows, cores);
    }
    if options.markdown {
        summary.print();
    }
    Ok(failures)
}

/// All clients in all rounds, interleaved.
fn measure_all(options: &Options, workload: &Workload, cores: Cores, place: Place<'_>) -> Vec<Row> {
    let mut rows = rows(options, workload.kind);
    for round in 0..options.rounds {
        report::progress(&format!("{} round {}/{}", workload.name, round + 1, options.rounds));
        for row in rows.iter_mut().filter(|row| row.failure.is_none()) {
            match measure(options, workload, row, cores, place) {
                Ok(figures) => row.rounds.push(figures),
                Err(error) => row.failure = Some(error.to_string()),
            }
        }
    }
    report::progress("");
    rows
}

fn rows(options: &Options, kind: Kind) -> Vec<Row> {
    let modes = |client: &'static Client| {
        let has = move |mode: &&Mode| client.runner(kind, **mode).is_some();
        let row = move |&mode: &Mode| Row { client, mode, rounds: Vec::new(), failure: None };
        kind.modes().iter().filter(has).map(row)
    };
    options.clients.iter().copied().flat_map(modes).collect()
}

fn measure(
    options: &Options,
    workload: &Workload,
    row: &Row,
    cores: Cores,
    place: Place<'_>,
) -> Fallible<Figures> {
    let core = match cores {
        Cores::One => Some(0),
        Cores::Two => Some(1),
        Cores::Free => None,
    };
    let myself = std::env::current_exe()?;
    let mut command: Command = on_core(&myself.to_string_lossy(), core);
    command.args(["run", workload.name, row.client.name, "--addr", place.addr, "--mode", row.mode.name()]);
    if let Some(ca) = place.ca {
        command.arg("--ca").arg(ca);
    }
    command.args(["--seconds", &options.measure.as_secs_f64().to_string()]);
    command.args(["--warm-up", &options.warm_up.as_secs_f64().to_string()]);
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
    }
    Figures::from_json(&String::from_utf8_lossy(&output.stdout))
}
