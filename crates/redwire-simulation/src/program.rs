//! The program: runs many numbers, and shows what failed as small as it can be had.
//!
//! This file must not know what is simulated.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::history::History;
use crate::judge::{Wrong, judge};
use crate::run::run;
use crate::scenario::{Scenario, Topology};
use crate::shrink::shrink;

const HELP: &str = "\
usage: simulate [OPTIONS]

  --seeds N           so many numbers, one after the other (1000)
  --from N            the first of them (0)
  --scenario NAME     of this kind only: single, sentinels, cluster (as the number decides)
  --hours H           for so long, in place of a count; fractions are fine
  --jobs N            on so many threads (as many as there are processors)
  --first             stop at the first number that fails
  --plain             do not look for smaller scenarios that fail

  --seed N            this number alone
  --trace             with all that happens
  --tasks A,B --faults C,D --length MILLIS
                      with these of its tasks and faults only (or none), and so long";

/// What is asked for.
#[derive(Debug)]
struct Options {
    seeds: u64,
    from: u64,
    limit: Option<Duration>,
    jobs: usize,
    stops: bool,
    plain: bool,
    seed: Option<u64>,
    topology: Option<Topology>,
    trace: bool,
    tasks: Option<Vec<usize>>,
    faults: Option<Vec<usize>>,
    length: Option<Duration>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            seeds: 1_000,
            from: 0,
            limit: None,
            jobs: thread::available_parallelism().map_or(1, usize::from),
            stops: false,
            plain: false,
            seed: None,
            topology: None,
            trace: false,
            tasks: None,
            faults: None,
            length: None,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            match name.as_str() {
                "--trace" => options.trace = true,
                "--first" => options.stops = true,
                "--plain" => options.plain = true,
                _ => {
                    let value = args.next().ok_or_else(|| format!("{name} needs a value\n\n{HELP}"))?;
                    options.set(name, value)?;
                }
            }
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<u64>().map_err(|_| format!("{name} expects a number, got {value:?}"));
        let numbers = || {
            let parts = value.split(',').filter(|part| !part.is_empty() && value != "none");
            let numbers: Result<Vec<usize>, _> = parts.map(str::parse).collect();
            numbers.map_err(|_| format!("{name} expects numbers as in 1,4, got {value:?}"))
        };
        match name {
            "--seeds" => self.seeds = number()?,
            "--from" => self.from = number()?,
            "--seed" => self.seed = Some(number()?),
            "--jobs" => self.jobs = usize::try_from(number()?).unwrap_or(1).max(1),
            "--length" => self.length = Some(Duration::from_millis(number()?)),
            "--tasks" => self.tasks = Some(numbers()?),
            "--faults" => self.faults = Some(numbers()?),
            "--hours" => {
                let hours: f64 =
                    value.parse().map_err(|_| format!("--hours expects a number, got {value:?}"))?;
                let limit = Duration::try_from_secs_f64(hours * 3600.0);
                self.limit = Some(limit.map_err(|_| format!("--hours expects a time, got {value:?}"))?);
                self.seeds = u64::MAX;
            }
            "--scenario" => self.topology = Some(value.parse()?),
            _ => return Err(format!("there is no option {name}\n\n{HELP}")),
        }
        Ok(())
    }

    /// The scenario of a number, less what is to be left out.
    fn scenario(&self, seed: u64) -> Scenario {
        let topology = self.topology.unwrap_or_else(|| Topology::of(seed));
        let mut scenario = Scenario::draw(topology, seed);
        if let Some(tasks) = &self.tasks {
            scenario.tasks.retain(|task| tasks.contains(&task.id));
        }
        if let Some(faults) = &self.faults {
            scenario.faults.retain(|fault| faults.contains(&fault.id));
        }
        scenario.length = self.length.unwrap_or(scenario.length);
        scenario
    }
}

/// Does what `args` ask for; says whether all promises were kept.
///
/// # Errors
/// The arguments cannot be understood.
pub fn program(args: &[String]) -> Result<bool, String> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        println!("{HELP}");
        return Ok(true);
    }
    let options = Options::parse(args)?;
    match options.seed {
        Some(seed) => Ok(one(&options, seed)),
        None => Ok(many(&options)),
    }
}

/// Runs one number, and shows all there is to be seen.
fn one(options: &Options, seed: u64) -> bool {
    let scenario = options.scenario(seed);
    let history = run(&scenario, options.trace);
    let wrongs = judge(&scenario, &history);
    if let Some(trace) = &history.trace {
        for (at, what) in trace {
            println!("{at:>10?} {what}");
        }
    }
    println!("{scenario}");
    for wrong in &wrongs {
        println!("{wrong}");
    }
    println!("seed {seed}: {} calls, {} promises broken", history.calls.len(), wrongs.len());
    wrongs.is_empty()
}

/// Runs many numbers.
fn many(options: &Options) -> bool {
    let begun = Instant::now();
    let (next, calls) = (AtomicU64::new(options.from), AtomicUsize::new(0));
    let (failed, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| {
                loop {
                    let is_late = options.limit.is_some_and(|limit| begun.elapsed() >= limit);
                    if is_late || stopped.load(Ordering::Relaxed) {
                        return;
                    }
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - options.from >= options.seeds {
                        return;
                    }
                    let scenario = options.scenario(seed);
                    let history = run(&scenario, false);
                    calls.fetch_add(history.calls.len(), Ordering::Relaxed);
                    let wrongs = judge(&scenario, &history);
                    if let Some(wrong) = wrongs.first() {
                        stopped.store(options.stops, Ordering::Relaxed);
                        let number = failed.fetch_add(1, Ordering::Relaxed);
                        show(&scenario, wrong, number < SHRUNK && !options.plain);
                    }
                }
            });
        }
    });
    let took = begun.elapsed();
    let ran = (next.load(Ordering::Relaxed) - options.from).min(options.seeds);
    let failed = failed.load(Ordering::Relaxed);
    println!(
        "{ran} seeds from {} on, {failed} failed, {} calls, {:.1} s, {:.0} histories a second",
        options.from,
        calls.load(Ordering::Relaxed),
        took.as_secs_f64(),
        ran as f64 / took.as_secs_f64(),
    );
    failed == 0
}

/// So many failures are shown small; the others by their number.
const SHRUNK: u64 = 3;
/// So many of the last events are shown of each failure.
const EVENTS: usize = 40;

/// Shows a failure.
fn show(scenario: &Scenario, wrong: &Wrong, shrinks: bool) {
    let seed = scenario.seed;
    if !shrinks {
        println!("{} seed {seed} failed: {wrong}", scenario.topology.name());
        return;
    }
    let (small, wrongs) = shrink(scenario, wrong.promise);
    let history: History = run(&small, true);
    let list = |numbers: Vec<String>| if numbers.is_empty() { "none".to_owned() } else { numbers.join(",") };
    let mut text = format!(
        "{} seed {seed} failed: {wrong}\nas small as it was found:\n{small}\n",
        small.topology.name()
    );
    let trace = history.trace.unwrap_or_default();
    let shown = trace.len().saturating_sub(EVENTS);
    text += &format!("the last {} of {} events:\n", trace.len() - shown, trace.len());
    for (at, what) in &trace[shown..] {
        text += &format!("{at:>10?} {what}\n");
    }
    for wrong in wrongs.iter().take(5) {
        text += &format!("{wrong}\n");
    }
    println!(
        "{text}again: cargo xtask simulate --scenario {} --seed {seed} --tasks {} --faults {} --length {} \
         --trace\n",
        small.topology.name(),
        list(small.tasks.iter().map(|task| task.id.to_string()).collect()),
        list(small.faults.iter().map(|fault| fault.id.to_string()).collect()),
        small.length.as_millis(),
    );
}
