//! Instructions per operation, counted by callgrind: nearly the same on every run, so the figure to
//! steer by. The server runs outside of valgrind. It knows how to start a count, not what one does.

use std::process::Command;

use crate::args::Options;
use crate::clients::{Client, Role};
use crate::cluster::Cluster;
use crate::server::{Server, on_path};
use crate::workload::{self, Kind, Mode};
use crate::{Fallible, data, report};

/// What is counted: a workload in one mode.
struct Count {
    title: &'static str,
    workload: &'static str,
    mode: Mode,
    /// Operations of the shorter of two runs: many where learning the map costs now more, now less.
    ops: u64,
    /// Elements in one operation, of which each is told for itself.
    elements: u64,
    /// What redwire is to stay below, if that was said.
    target: Option<f64>,
}

const LIST: u64 = data::LIST_LEN as u64;

#[rustfmt::skip]
const COUNTS: &[Count] = &[
    Count { title: "blocking GET, depth 1", workload: "W1", mode: Mode::Blocking,
        ops: 2000, elements: 1, target: Some(3000.0) },
    Count { title: "async GET, 1 task", workload: "W3.1", mode: Mode::Async,
        ops: 2000, elements: 1, target: Some(5000.0) },
    Count { title: "async GET, 64 tasks", workload: "W3.64", mode: Mode::Async,
        ops: 12_800, elements: 1, target: Some(2000.0) },
    Count { title: "pipeline of 100, blocking, per GET", workload: "W4.100", mode: Mode::Blocking,
        ops: 6000, elements: 1, target: Some(900.0) },
    Count { title: "pipeline of 100, async, per GET", workload: "W4.100", mode: Mode::Async,
        ops: 6000, elements: 1, target: Some(900.0) },
    Count { title: "LRANGE, blocking, per element", workload: "W5.l", mode: Mode::Blocking,
        ops: 10, elements: LIST, target: Some(500.0) },
    Count { title: "LRANGE, async, per element", workload: "W5.l", mode: Mode::Async,
        ops: 10, elements: LIST, target: Some(500.0) },
    Count { title: "cluster GET, 1 task", workload: "W7.1", mode: Mode::Async,
        ops: 20_000, elements: 1, target: None },
    Count { title: "cluster GET, 64 tasks", workload: "W7.64", mode: Mode::Async,
        ops: 51_200, elements: 1, target: None },
];

/// Counts for the selected clients and prints one table.
///
/// # Errors
/// Fails without valgrind or a server, or if a count fails.
pub fn run(options: &Options) -> Fallible<()> {
    on_path(&["valgrind"]).ok_or("valgrind is not on PATH: install the package `valgrind`")?;
    let server = Server::start(options.server.as_deref(), None)?;
    let cluster = Cluster::start(options.server.as_deref(), None)?;
    let mut titles = vec!["instructions"];
    titles.extend(options.clients.iter().map(|client| client.name));
    titles.push("redwire's target");
    let mut lines = Vec::new();
    let selected = |count: &&Count| options.workloads.iter().any(|workload| workload.name == count.workload);
    for count in COUNTS.iter().filter(selected) {
        let kind = workload::find(count.workload).map(|workload| workload.kind);
        let kind = kind.ok_or("the table of counts names a workload that is gone")?;
        let addr = if matches!(kind, Kind::Cluster { .. }) { &cluster.addr } else { &server.addr };
        let mut line = vec![count.title.to_owned()];
        for client in &options.clients {
            report::progress(&format!("{}: {}", count.title, client.name));
            line.push(cell(count, kind, client, addr)?);
        }
        line.push(count.target.map_or_else(|| "-".to_owned(), |target| format!("<= {target}")));
        lines.push(line);
    }
    report::progress("");
    report::table(&titles, &lines, options.markdown);
    Ok(())
}

fn cell(count: &Count, kind: Kind, client: &Client, addr: &str) -> Fallible<String> {
    if client.runner(kind, count.mode).is_none() {
        return Ok("-".to_owned());
    }
    let once = collected(count, client, addr, count.ops)?;
    let twice = collected(count, client, addr, 2 * count.ops)?;
    let each = twice.saturating_sub(once) as f64 / (count.ops * count.elements) as f64;
    let mark = match (client.role, count.target) {
        (Role::Redwire, Some(target)) if each <= target => " met",
        (Role::Redwire, Some(_)) => " missed",
        _ => "",
    };
    Ok(format!("{}{mark}", report::short(each)))
}

/// Instructions of a whole run of `ops` operations.
fn collected(count: &Count, client: &Client, addr: &str, ops: u64) -> Fallible<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?);
    command.args(["count", count.workload, client.name, "--addr", addr, "--mode", count.mode.name()]);
    let output = command.args(["--ops", &ops.to_string()]).output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let total = told.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    match total {
        Some(total) if output.status.success() => Ok(total),
        _ => Err(format!("{} {}: {}", count.workload, client.name, told.trim()).into()),
    }
}
