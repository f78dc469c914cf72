//! Tables of figures, in plain text or Markdown. It knows what the figures mean, not how they came
//! about.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the report is this program's output")]

use std::io::{IsTerminal, stderr};

use crate::args::{Options, Pin};
use crate::bench::Row;
use crate::clients::Role;
use crate::figures::{Figures, median};
use crate::workload::{Base, Mode, Target, Workload};

/// Says what holds for all tables that follow.
pub fn heading(options: &Options) {
    println!(
        "{} rounds of {:.2} s, interleaved; medians. Per call: p50, p99. Per operation: cpu, allocs, ctx.\n",
        options.rounds,
        options.measure.as_secs_f64()
    );
}

/// Says on a terminal what is being done now, in place of what was said before.
pub fn progress(doing: &str) {
    if stderr().is_terminal() {
        eprint!("\r{doing:60}\r");
    }
}

/// Prints the table of one workload.
pub fn workload(workload: &Workload, rows: &[Row], pin: Pin, markdown: bool) {
    let targets = match pin {
        Pin::Two if !workload.targets_two.is_empty() => workload.targets_two,
        _ => workload.targets,
    };
    let told: Vec<_> =
        targets.iter().map(|target| format!(">= {} x {}", target.ratio, base(target.of))).collect();
    let cores = match pin {
        Pin::One => "one core",
        Pin::Two => "two cores",
        Pin::Free => "not pinned",
    };
    let mark = if markdown { "### " } else { "" };
    let goal =
        if told.is_empty() { String::new() } else { format!("; redwire is to reach {}", told.join(", ")) };
    println!("{mark}{}: {}; {cores}{goal}\n", workload.name, workload.title);
    let (unit, factor) = workload.kind.unit();
    let titles = [
        "client", unit, "x limit", "x best", "target", "cpu us", "(user)", "allocs", "p50 us", "p99 us",
        "ctx", "peak MiB", "(growth)",
    ];
    let lines: Vec<_> = rows.iter().map(|row| line(row, rows, targets, factor)).collect();
    table(&titles, &lines, markdown);
    for row in rows {
        if let Some(failure) = &row.failure {
            println!("{}: {failure}", label(row));
        }
    }
    println!();
}

/// Prints a table; all columns but the first are aligned to the right.
pub fn table(titles: &[&str], lines: &[Vec<String>], markdown: bool) {
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.chain([titles[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let print = |cells: Vec<&str>| {
        let padded: Vec<_> = cells
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(column, (cell, &width))| {
                    if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        let line = if markdown { format!("| {} |", padded.join(" | ")) } else { padded.join("  ") };
        println!("{}", line.trim_end());
    };
    print(titles.to_vec());
    if markdown {
        let rule = |(column, _)| if column == 0 { "---|" } else { "---:|" };
        println!("|{}", titles.iter().enumerate().map(rule).collect::<String>());
    }
    lines.iter().for_each(|line| print(line.iter().map(String::as_str).collect()));
}

/// A number with about three digits that matter.
pub fn short(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{v:.2}"),
        v => format!("{v:.4}"),
    }
}

fn line(row: &Row, rows: &[Row], targets: &[Target], factor: f64) -> Vec<String> {
    let column = |of: fn(&Figures) -> f64| median(&row.rounds, of);
    let rate = column(Figures::rate);
    let times =
        |of| reference(of, row.mode, rows).map_or_else(String::new, |base| format!("{:.2}", rate / base));
    if row.rounds.is_empty() {
        let mut line = vec![String::new(); 13];
        line[0] = label(row);
        line[1] = "failed".to_owned();
        return line;
    }
    vec![
        label(row),
        short(rate * factor),
        times(Base::Limit),
        times(Base::BestPeer),
        verdict(row, rate, rows, targets),
        short(column(Figures::cpu_us)),
        short(column(Figures::cpu_user_us)),
        short(column(Figures::allocs)),
        short(column(Figures::p50_us)),
        short(column(Figures::p99_us)),
        short(column(Figures::switches)),
        short(column(Figures::peak_mib)),
        short(column(Figures::growth_mib)),
    ]
}

fn label(row: &Row) -> String {
    format!("{} {}", row.client.name, row.mode.name())
}

const fn base(of: Base) -> &'static str {
    match of {
        Base::Limit => "limit",
        Base::MuxFloor => "muxfloor",
        Base::BestPeer => "best",
    }
}

/// The rate that ratios are taken of: the limit in the same mode, the best peer in any.
fn reference(of: Base, mode: Mode, rows: &[Row]) -> Option<f64> {
    let fits = |row: &&Row| match of {
        Base::Limit => row.client.role == Role::Limit && row.mode == mode,
        Base::MuxFloor => row.client.role == Role::MuxFloor,
        Base::BestPeer => row.client.role == Role::Peer,
    };
    let rates = rows.iter().filter(fits).filter(|row| !row.rounds.is_empty());
    rates.map(|row| median(&row.rounds, Figures::rate)).max_by(f64::total_cmp)
}

/// How redwire stands to its targets, as a share of each; nothing for the others.
fn verdict(row: &Row, rate: f64, rows: &[Row], targets: &[Target]) -> String {
    if row.client.role != Role::Redwire {
        return String::new();
    }
    let one = |target: &Target| {
        let reached = rate / reference(target.of, row.mode, rows)?;
        let word = if reached >= target.ratio { "met" } else { "missed" };
        Some(format!("{word} {reached:.2}/{}", target.ratio))
    };
    targets.iter().filter_map(one).collect::<Vec<_>>().join(", ")
}
