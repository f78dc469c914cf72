//! What a bench has measured: the same figures for people and for programs.

use std::fs;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value as Json, json};

use super::figures::Figures;
use super::plot;
use super::workload::Workload;
use crate::args;
use crate::output::{BAD, DIM, Failure, Output, Verdict};

/// The percentiles that are told.
const QUANTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("p9999", 0.9999), ("max", 1.0)];

/// How long the longest bar is.
const BAR: u64 = 40;

pub(super) struct Report<'a> {
    pub(super) place: String,
    pub(super) blocking: bool,
    pub(super) bench: &'a args::Bench,
    pub(super) workload: &'a Workload,
    pub(super) figures: &'a Figures,
    pub(super) seconds: f64,
    pub(super) cpu: Duration,
    /// Calls whose time had come, and that were not made.
    pub(super) never_begun: u64,
}

impl Report<'_> {
    /// Writes it, the picture too.
    ///
    /// # Errors
    /// The file of the picture cannot be written.
    pub(super) fn write(&self, output: &Output) -> Result<Verdict, Failure> {
        self.lines(output);
        if let Some(file) = &self.bench.plot {
            let title = format!("redwire bench: {}", self.title());
            let written = fs::write(file, plot::svg(&title, &self.figures.latency));
            written.map_err(|error| Failure::new(&format!("writing {}", file.display()), error))?;
            output.note(format_args!("the latencies are drawn in {}", file.display()));
        }
        output.json(&self.json());
        let is_whole = self.figures.errors.is_empty() && self.never_begun == 0;
        Ok(if is_whole { Verdict::Good } else { Verdict::Bad })
    }

    fn workload(&self) -> String {
        self.workload.kind.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn driver(&self) -> &'static str {
        if self.blocking { "blocking" } else { "tokio" }
    }

    fn title(&self) -> String {
        let (tasks, connections) = (self.bench.tasks, self.bench.connections);
        let rate = self.bench.rate.map_or_else(String::new, |rate| format!(", {rate} calls/s wanted"));
        let (workload, driver) = (self.workload(), self.driver());
        format!("{workload}, {tasks} tasks, {connections} clients ({driver}){rate}")
    }

    fn answered(&self) -> u64 {
        self.figures.latency.len()
    }

    fn commands(&self) -> u64 {
        self.answered() * u64::from(self.workload.pipeline)
    }

    /// Microseconds of processor time of this program for each command.
    fn cpu_per_command(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.commands().max(1) as f64
    }

    fn json(&self) -> Json {
        let (bench, workload, figures) = (self.bench, self.workload, self.figures);
        let micros = |latency: Duration| latency.as_nanos() as f64 / 1e3;
        let latency =
            QUANTILES.map(|(name, quantile)| (name.to_owned(), micros(figures.at(quantile)).into()));
        let mut latency: serde_json::Map<_, Json> = latency.into_iter().collect();
        latency.insert("min".to_owned(), (figures.latency.min() as f64 / 1e3).into());
        latency.insert("mean".to_owned(), (figures.latency.mean() / 1e3).into());
        let histogram = figures.latency.iter_log(1000, 2.0);
        let histogram: Vec<_> = histogram
            .filter(|step| step.count_since_last_iteration() > 0)
            .map(|step| {
                let upto = step.value_iterated_to() as f64 / 1e3;
                json!({ "upto_us": upto, "calls": step.count_since_last_iteration() })
            })
            .collect();
        json!({
            "address": self.place,
            "workload": self.workload(),
            "driver": self.driver(),
            "tasks": bench.tasks,
            "connections": bench.connections,
            "pipeline": workload.pipeline,
            "value_bytes": workload.value_bytes(),
            "keys": workload.keys,
            "rate": bench.rate,
            "seconds": self.seconds,
            "calls": figures.calls,
            "commands": self.commands(),
            "errors": figures.errors,
            "never_begun": self.never_begun,
            "calls_per_second": self.answered() as f64 / self.seconds,
            "commands_per_second": self.commands() as f64 / self.seconds,
            "latency_us": latency,
            "histogram": histogram,
            "cpu_us_per_command": self.cpu_per_command(),
            "value_bytes_written": figures.written,
            "value_bytes_read": figures.read,
        })
    }

    fn lines(&self, output: &Output) {
        let figures = self.figures;
        output.line(format_args!("{} at {}", self.title(), self.place));
        let (keys, bytes, pipeline) =
            (self.workload.keys, self.workload.value_bytes(), self.workload.pipeline);
        output.line(format_args!(
            "{DIM}{keys} keys, values of {bytes} bytes, {pipeline} commands in a call{DIM:#}"
        ));
        let (calls, seconds) = (self.answered(), self.seconds);
        output.line(format_args!("{calls} calls answered in {seconds:.2} s"));
        for (kind, count) in &figures.errors {
            output.line(format_args!("{BAD}{count:>8} failed{BAD:#}: {kind}"));
        }
        if self.never_begun > 0 {
            output.line(format_args!(
                "{BAD}{:>8} never begun{BAD:#}: their time had come, and all tasks were still waiting",
                self.never_begun
            ));
        }
        output.line(format_args!("throughput  {:.0} commands/s", self.commands() as f64 / seconds));
        let mib = |bytes: u64| bytes as f64 / seconds / (1024.0 * 1024.0);
        let (written, read) = (mib(figures.written), mib(figures.read));
        output.line(format_args!("values      {written:.1} MiB/s written, {read:.1} MiB/s read"));
        output.line(format_args!("client CPU  {:.2} µs/command", self.cpu_per_command()));
        let latency = QUANTILES.map(|(name, quantile)| format!("{name} {}", human(figures.at(quantile))));
        output.line(format_args!("latency     {}", latency.join("  ")));
        if output.is_terminal() {
            self.bars(output);
        }
    }

    /// How many calls took how long, in steps that double.
    fn bars(&self, output: &Output) {
        let steps: Vec<_> = self
            .figures
            .latency
            .iter_log(1000, 2.0)
            .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
            .skip_while(|(_, count)| *count == 0)
            .collect();
        let most = steps.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        for (upto, count) in steps {
            let bar = "█".repeat((count * BAR).div_ceil(most) as usize);
            let upto = human(Duration::from_nanos(upto));
            output.line(format_args!("  up to {upto:>8} {count:>10} {DIM}{bar}{DIM:#}"));
        }
    }
}

/// Three digits and a unit.
pub(super) fn human(duration: Duration) -> String {
    let nanos = duration.as_nanos() as f64;
    let (value, unit) = match nanos {
        ..1e3 => (nanos, "ns"),
        ..1e6 => (nanos / 1e3, "µs"),
        ..1e9 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}
