//! Instructions per operation, counted by callgrind: nearly the same on every run, so the figure to
//! steer by. The server runs outside of valgrind. It knows how to start a count, not what one does.

#![allow(clippy::print_stdout, reason = "the report is this program's output")]

use std::process::Command;

use crate::args::Options;
use crate::clients::{Client, Role};
use crate::grounds::Grounds;
use crate::server::on_path;
use crate::workload::{self, Cores, Kind, Mode};
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
        ops: 2000, elements: 1, target: Some(2200.0) },
    Count { title: "async GET, 1 task", workload: "W3.1", mode: Mode::Async,
        ops: 2000, elements: 1, target: Some(4400.0) },
    Count { title: "async GET, 64 tasks", workload: "W3.64", mode: Mode::Async,
        ops: 12_800, elements: 1, target: Some(1500.0) },
    Count { title: "pipeline of 100, blocking, per GET", workload: "W4.100", mode: Mode::Blocking,
        ops: 6000, elements: 1, target: Some(900.0) },
    Count { title: "pipeline of 100, async, per GET", workload: "W4.100", mode: Mode::Async,
        ops: 6000, elements: 1, target: Some(900.0) },
    Count { title: "LRANGE into Vec<Vec<u8>>, blocking, per element", workload: "W5.l", mode: Mode::Blocking,
        ops: 10, elements: LIST, target: Some(500.0) },
    Count { title: "LRANGE into Vec<Vec<u8>>, async, per element", workload: "W5.l", mode: Mode::Async,
        ops: 10, elements: LIST, target: Some(500.0) },
    Count { title: "LRANGE into Vec<Bytes>, blocking, per element", workload: "W5.b", mode: Mode::Blocking,
        ops: 10, elements: LIST, target: Some(150.0) },
    Count { title: "LRANGE into Vec<Bytes>, async, per element", workload: "W5.b", mode: Mode::Async,
        ops: 10, elements: LIST, target: Some(150.0) },
    Count { title: "cluster GET, async, 1 task", workload: "W7.1", mode: Mode::Async,
        ops: 20_000, elements: 1, target: Some(5000.0) },
    Count { title: "cluster GET, blocking, depth 1", workload: "W7.1", mode: Mode::Blocking,
        ops: 20_000, elements: 1, target: None },
    Count { title: "cluster GET, 64 tasks", workload: "W7.64", mode: Mode::Async,
        ops: 51_200, elements: 1, target: None },
    Count { title: "cluster pipeline of 100, blocking, per GET", workload: "W7.p.100", mode: Mode::Blocking,
        ops: 50_000, elements: 1, target: Some(1400.0) },
    Count { title: "cluster pipeline of 100, async, per GET", workload: "W7.p.100", mode: Mode::Async,
        ops: 50_000, elements: 1, target: Some(1400.0) },
    Count { title: "lease, 256 tasks", workload: "W9.1", mode: Mode::Async,
        ops: 12_800, elements: 1, target: None },
    Count { title: "connect + AUTH + PING + close, blocking", workload: "W10.p", mode: Mode::Blocking,
        ops: 200, elements: 1, target: None },
    Count { title: "connect + AUTH + PING + close, async", workload: "W10.p", mode: Mode::Async,
        ops: 200, elements: 1, target: None },
];

/// Counts for the selected clients and prints one table.
///
/// # Errors
/// Fails without valgrind or a server, or if a count fails.
pub fn run(options: &Options) -> Fallible<()> {
    on_path(&["valgrind"]).ok_or("valgrind is not on PATH: install the package `valgrind`")?;
    let grounds = Grounds::start(options.server(), &options.workloads, false)?;
    println!("Instructions on {}\n", grounds.version);
    let mut titles = vec!["instructions"];
    titles.extend(options.clients.iter().map(|client| client.name));
    titles.push("redwire's target");
    let mut lines = Vec::new();
    let selected = |count: &&Count| options.workloads.iter().any(|workload| workload.name == count.workload);
    for count in COUNTS.iter().filter(selected) {
        let kind = workload::find(count.workload).map(|workload| workload.kind);
        let kind = kind.ok_or("the table of counts names a workload that is gone")?;
        let place = grounds.place(kind, Cores::Free)?;
        let mut line = vec![count.title.to_owned()];
        for client in &options.clients {
            report::progress(&format!("{}: {}", count.title, client.name));
            line.push(cell(count, kind, client, place.addr)?);
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
