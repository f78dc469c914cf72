//! What ratios are taken of, and how redwire stands to its targets. It knows nothing of how that is printed.

use crate::bench::Row;
use crate::clients::Role;
use crate::figures::{Figures, median};
use crate::workload::{Base, Cores, Goal, Kind, Target, Workload};

/// A target in words.
pub fn goal(target: &Target) -> String {
    let of = match target.goal {
        Goal::Rate(of, ratio) => format!(">= {ratio} x {}", base(of)),
        Goal::Allocs(most) => format!("<= {most} allocations"),
        Goal::Memory(most) => format!("<= {most} x the value beside it"),
    };
    match target.mode {
        Some(mode) => format!("{} {of}", mode.name()),
        None => of,
    }
}

/// What a ratio is taken of, in words.
pub const fn base(of: Base) -> &'static str {
    match of {
        Base::Limit => "limit",
        Base::MuxFloor => "muxfloor",
        Base::BestPeer => "best",
        Base::RedisRs => "redis-rs",
        Base::OtherMode => "other mode",
    }
}

/// The row that ratios of `row` are taken of: the limit in the same mode, the best peer in any.
pub fn reference_row<'r>(of: Base, row: &Row, rows: &'r [Row]) -> Option<&'r Row> {
    let fits = |other: &&Row| match of {
        Base::Limit => other.client.role == Role::Limit && other.mode == row.mode,
        Base::MuxFloor => other.client.role == Role::MuxFloor,
        Base::BestPeer => other.client.role.is_peer(),
        Base::RedisRs => other.client.role == Role::RedisRs,
        Base::OtherMode => other.client.role == Role::Redwire && other.mode != row.mode,
    };
    let measured = rows.iter().filter(fits).filter(|row| !row.rounds.is_empty());
    measured.max_by(|a, b| rate(a).total_cmp(&rate(b)))
}

/// The rate of that row.
pub fn reference(of: Base, row: &Row, rows: &[Row]) -> Option<f64> {
    reference_row(of, row, rows).map(rate)
}

fn rate(row: &Row) -> f64 {
    median(&row.rounds, Figures::rate)
}

/// How redwire stands to its targets on their cores, as what was reached of each; nothing for the others.
pub fn verdicts(row: &Row, rows: &[Row], workload: &Workload, cores: Cores) -> String {
    if row.client.role != Role::Redwire || cores != workload.cores {
        return String::new();
    }
    let targets = workload.targets.iter().filter(|target| target.mode.is_none_or(|mode| mode == row.mode));
    targets.filter_map(|target| verdict(target.goal, row, rows, workload)).collect::<Vec<_>>().join(", ")
}

fn verdict(goal: Goal, row: &Row, rows: &[Row], workload: &Workload) -> Option<String> {
    let word = |met| if met { "met" } else { "missed" };
    Some(match goal {
        Goal::Rate(of, ratio) => {
            let reached = rate(row) / reference(of, row, rows)?;
            format!("{} {reached:.2}/{ratio} {}", word(reached >= ratio), base(of))
        }
        Goal::Allocs(most) => {
            let allocs = median(&row.rounds, Figures::allocs);
            format!("{} {}/{most} allocs", word(allocs <= most), super::short(allocs))
        }
        Goal::Memory(most) => {
            let value_mib = workload.kind.value_len()? as f64 / f64::from(1 << 20);
            // What is read was not there before; what is written was.
            let itself = if matches!(workload.kind, Kind::Read { .. }) { 1.0 } else { 0.0 };
            let times = (median(&row.rounds, Figures::growth_mib) / value_mib - itself).max(0.0);
            format!("{} {times:.2}/{most} memory", word(times <= most))
        }
    })
}
