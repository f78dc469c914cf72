//! The table of one server as the README has it: redwire's rows, one line each, beside the limit and the best
//! peer. It knows what the figures mean, not how they came about.

#![allow(clippy::print_stdout, reason = "the report is this program's output")]

use super::verdict::{reference, reference_row, verdicts};
use super::{failures, label, short, told};
use crate::bench::Row;
use crate::clients::Role;
use crate::figures::{Figures, median};
use crate::workload::{Base, Cores, Workload};

const TITLES: [&str; 12] = [
    "workload",
    "",
    "redwire",
    "x limit",
    "best peer",
    "x best",
    "target",
    "CPU us",
    "allocs",
    "p50 us",
    "p99 us",
    "growth MiB",
];

/// The lines so far.
#[derive(Default)]
pub struct Summary {
    lines: Vec<Vec<String>>,
}

impl Summary {
    /// Adds a line for each mode of redwire. Says at once which measurements failed.
    pub fn add(&mut self, workload: &Workload, rows: &[Row], cores: Cores) {
        failures(rows);
        let mine = rows.iter().filter(|row| row.client.role == Role::Redwire && !row.rounds.is_empty());
        self.lines.extend(mine.map(|row| line(row, rows, workload, cores)));
    }

    /// Prints the table.
    pub fn print(&self) {
        super::table(&TITLES, &self.lines, true);
        println!();
    }
}

/// Who it is, how fast, and with how many allocations.
fn peer(best: &Row, factor: f64) -> String {
    let rate = short(median(&best.rounds, Figures::rate) * factor);
    let allocs = short(median(&best.rounds, Figures::allocs));
    format!("{}: {rate}, {allocs} allocs", label(best))
}

fn line(row: &Row, rows: &[Row], workload: &Workload, cores: Cores) -> Vec<String> {
    let column = |of: fn(&Figures) -> f64| median(&row.rounds, of);
    let rate = column(Figures::rate);
    let (unit, factor) = workload.kind.unit();
    let times =
        |of| reference(of, row, rows).map_or_else(|| "-".to_owned(), |base| format!("{:.2}", rate / base));
    let growth = match workload.kind.value_len() {
        Some(_) => short(column(Figures::growth_mib)),
        None => "-".to_owned(),
    };
    vec![
        workload.name.to_owned(),
        format!("{}, {}, {}", workload.title, row.mode.name(), told(cores)),
        format!("{} {unit}", short(rate * factor)),
        times(Base::Limit),
        reference_row(Base::BestPeer, row, rows).map_or_else(|| "-".to_owned(), |best| peer(best, factor)),
        format!("**{}**", times(Base::BestPeer)),
        verdicts(row, rows, workload, cores),
        short(column(Figures::cpu_us)),
        short(column(Figures::allocs)),
        short(column(Figures::p50_us)),
        short(column(Figures::p99_us)),
        growth,
    ]
}
