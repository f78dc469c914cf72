//! The figures of one measurement as a child hands them to its parent: one line of flat JSON.
//! It knows neither how they came about nor how they are shown.

use crate::Fallible;
use crate::meter::Measured;

/// Totals of one measurement, or medians of several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures([f64; NAMES.len()]);

const NAMES: [&str; 10] = [
    "ops",
    "seconds",
    "cpu_user_us",
    "cpu_sys_us",
    "allocs",
    "switches",
    "p50_us",
    "p99_us",
    "peak_kib",
    "growth_kib",
];

impl Figures {
    /// Of a measurement whose calls are `ops_per_call` operations each.
    pub fn new(measured: &Measured, ops_per_call: u64) -> Self {
        Self([
            (measured.calls * ops_per_call) as f64,
            measured.seconds,
            measured.used.user_us as f64,
            measured.used.sys_us as f64,
            measured.allocs as f64,
            measured.used.switches as f64,
            measured.latencies.quantile_us(0.5),
            measured.latencies.quantile_us(0.99),
            measured.peak_kib as f64,
            measured.growth_kib as f64,
        ])
    }

    /// One line, all values numbers.
    pub fn to_json(self) -> String {
        let fields: Vec<_> =
            NAMES.iter().zip(self.0).map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// Reads what [`Figures::to_json`] wrote.
    ///
    /// # Errors
    /// Fails if a field is missing, not a number, or if no operation ended.
    pub fn from_json(line: &str) -> Fallible<Self> {
        let mut figures = Self::default();
        for (name, value) in NAMES.iter().zip(&mut figures.0) {
            let rest = line.split_once(&format!("\"{name}\":")).map(|(_, rest)| rest);
            let text = rest.and_then(|rest| rest.split([',', '}']).next());
            *value = text.ok_or_else(|| format!("no {name} in {line:?}"))?.trim().parse()?;
        }
        if figures.0[0] < 1.0 { Err("no operation ended in time".into()) } else { Ok(figures) }
    }

    /// Operations per second.
    pub fn rate(&self) -> f64 {
        self.0[0] / self.0[1]
    }

    /// CPU time of the client per operation, user and kernel, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        (self.0[2] + self.0[3]) / self.0[0]
    }

    /// The part of [`Figures::cpu_us`] in user mode.
    pub fn cpu_user_us(&self) -> f64 {
        self.0[2] / self.0[0]
    }

    /// Allocations per operation.
    pub fn allocs(&self) -> f64 {
        self.0[4] / self.0[0]
    }

    /// Context switches per operation.
    pub fn switches(&self) -> f64 {
        self.0[5] / self.0[0]
    }

    /// Median latency of a call, in microseconds.
    pub fn p50_us(&self) -> f64 {
        self.0[6]
    }

    /// 99th percentile of latency, in microseconds.
    pub fn p99_us(&self) -> f64 {
        self.0[7]
    }

    /// Peak of memory in MiB.
    pub fn peak_mib(&self) -> f64 {
        self.0[8] / 1024.0
    }

    /// How far the peak lies above the connected, idle client, in MiB.
    pub fn growth_mib(&self) -> f64 {
        self.0[9] / 1024.0
    }
}

/// The median of one column over all rounds; 0 without rounds.
pub fn median(rounds: &[Figures], column: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(column).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let figures = Figures([1e6, 0.7, 1.0, 2.0, 3.0, 4.0, 5.25, 6.0, 7.0, 8.0]);
        assert_eq!(Figures::from_json(&figures.to_json()).unwrap(), figures);
        assert!(Figures::from_json("{\"ops\":1}").is_err());
        assert!(Figures::from_json(&Figures::default().to_json()).is_err());
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let rounds = [4.0, 1.0, 3.0, 2.0].map(|ops| Figures([ops; 10]));
        assert_eq!(median(&rounds, |figures| figures.0[0]), 2.5);
        assert_eq!(median(&rounds[..3], |figures| figures.0[0]), 3.0);
    }
}
