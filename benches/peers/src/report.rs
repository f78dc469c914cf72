//! Tables of figures, in plain text or Markdown. It knows what the figures mean, not how they came
//! about.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the report is this program's output")]

pub mod summary;
mod verdict;

use std::io::{IsTerminal, stderr};

use crate::args::Options;
use crate::bench::Row;
use crate::figures::{Figures, median};
use crate::workload::{Base, Cores, Workload};
use verdict::{goal, reference, verdicts};

/// Says what holds for all tables that follow.
pub fn heading(options: &Options, version: &str) {
    let mark = if options.markdown { "### " } else { "" };
    println!("{mark}{version}\n");
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

/// Says that a workload is not measured.
pub fn left_out(workload: &Workload, why: &str) {
    println!("{}: {}; left out: {why}\n", workload.name, workload.title);
}

/// Where client and server ran.
const fn told(cores: Cores) -> &'static str {
    match cores {
        Cores::One => "one core",
        Cores::Two => "two cores",
        Cores::Free => "not pinned",
    }
}

/// Prints the table of one workload.
pub fn workload(workload: &Workload, rows: &[Row], cores: Cores, markdown: bool) {
    let goals: Vec<_> = workload.targets.iter().map(goal).collect();
    let goal = match goals[..] {
        _ if cores != workload.cores => String::new(),
        [] => String::new(),
        _ => format!("; redwire is to reach {}", goals.join(", ")),
    };
    let mark = if markdown { "#### " } else { "" };
    println!("{mark}{}: {}; {}{goal}\n", workload.name, workload.title, told(cores));
    let (unit, factor) = workload.kind.unit();
    let titles = [
        "client", unit, "x limit", "x best", "target", "cpu us", "(user)", "allocs", "p50 us", "p99 us",
        "ctx", "peak MiB", "(growth)",
    ];
    let lines: Vec<_> = rows.iter().map(|row| line(row, rows, workload, cores, factor)).collect();
    table(&titles, &lines, markdown);
    failures(rows);
    println!();
}

/// Says which measurements failed, and why.
fn failures(rows: &[Row]) {
    for row in rows {
        if let Some(failure) = &row.failure {
            println!("{}: {failure}", label(row));
        }
    }
}

/// Prints a table; columns of numbers are aligned to the right.
pub fn table(titles: &[&str], lines: &[Vec<String>], markdown: bool) {
    if markdown { markdown_table(titles, lines) } else { plain_table(titles, lines) }
}

/// Columns of text, by their titles.
const WORDS: [&str; 6] = ["client", "workload", "instructions", "", "best peer", "target"];

fn markdown_table(titles: &[&str], lines: &[Vec<String>]) {
    let rule = titles.iter().map(|title| if WORDS.contains(title) { "---|" } else { "---:|" });
    println!("| {} |\n|{}", titles.join(" | "), rule.collect::<String>());
    lines.iter().for_each(|line| println!("| {} |", line.join(" | ")));
}

fn plain_table(titles: &[&str], lines: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.chain([titles[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let print = |cells: Vec<&str>| {
        let pad = |(column, (cell, &width)): (usize, (&&str, &usize))| {
            if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        };
        let padded: Vec<_> = cells.iter().zip(&widths).enumerate().map(pad).collect();
        println!("{}", padded.join("  ").trim_end());
    };
    print(titles.to_vec());
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

fn line(row: &Row, rows: &[Row], workload: &Workload, cores: Cores, factor: f64) -> Vec<String> {
    let column = |of: fn(&Figures) -> f64| median(&row.rounds, of);
    let rate = column(Figures::rate);
    let times = |of| reference(of, row, rows).map_or_else(String::new, |base| format!("{:.2}", rate / base));
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
        verdicts(row, rows, workload, cores),
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
