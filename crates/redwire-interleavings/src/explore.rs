//! Running a scenario in many orders of its threads.
//!
//! This file must not know what a scenario is about.

use std::cell::Cell;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::panicking;

use redwire::explored::{begin_time, end_time, keep_time};
use shuttle::rand::Rng;
use shuttle::scheduler::{RandomScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

/// The steps of one execution, at most: one that goes on for longer spins.
const STEPS: usize = 200_000;

/// What the driver needs of a stack.
const STACK: usize = 256 * 1024;

/// The second thread of each execution keeps the time.
const KEEPER: usize = 1;

thread_local! {
    /// Of a thousand steps so many turn the clock, though other threads could go on.
    static HURRY: Cell<u32> = const { Cell::new(0) };
}

/// Whether time passes only while all threads wait. Then no timeout comes before what is waited for.
#[must_use]
pub fn is_calm() -> bool {
    HURRY.get() == 0
}

/// A number below `count`, by the chance of this execution.
#[must_use]
pub fn pick(count: usize) -> usize {
    shuttle::rand::thread_rng().gen_range(0..count)
}

/// Runs `scenario` in so many orders of its threads, always the same ones. The test fails if it panics, or
/// does not end.
///
/// `REDWIRE_SCHEDULES` is a factor of their number, `REDWIRE_SEED` chooses other ones; `REDWIRE_SCHEDULE`
/// runs the one that a failure tells, alone.
pub fn explore(name: &str, schedules: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let execution = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        fastrand::seed(7);
        begin_time();
        let keeper = shuttle::thread::spawn(keep_time);
        HURRY.set([0, 0, 3, 30][pick(4)]);
        scenario();
        end_time();
        assert!(keeper.join().is_ok(), "time is kept to the end");
    };
    if let Ok(schedule) = env::var("REDWIRE_SCHEDULE") {
        return shuttle::replay(execution, &schedule);
    }
    let schedules = schedules * number("REDWIRE_SCHEDULES", 1) as usize;
    let mut config = Config::new();
    (config.stack_size, config.max_steps) = (STACK, MaxSteps::FailAfter(STEPS));
    (config.failure_persistence, config.silence_warnings) = (FailurePersistence::Print, true);
    let report = Report { name: name.to_owned(), count };
    Runner::new(Orders::new(number("REDWIRE_SEED", 0), schedules), config).run(execution);
    drop(report);
}

/// The number that this variable of the environment has, or `default` where it is not set.
fn number(name: &str, default: u64) -> u64 {
    let Ok(text) = env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, got {text:?}"))
}

/// Tells after how many executions a scenario failed.
struct Report {
    name: String,
    count: Arc<AtomicUsize>,
}

impl Drop for Report {
    #[allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test tells")]
    fn drop(&mut self) {
        let (name, count) = (&self.name, self.count.load(Ordering::Relaxed));
        if panicking() {
            eprintln!("{name} failed after {count} schedules");
        } else {
            println!("{name}: {count} schedules");
        }
    }
}

/// Chooses by chance which thread goes on; in some executions one goes on for long, in others all take
/// turns.
struct Orders {
    /// Counts, and makes what scenarios draw from chance.
    drawn: RandomScheduler,
    random: fastrand::Rng,
    /// How often in a hundred steps a thread goes on that can.
    stays: u32,
}

impl Orders {
    fn new(seed: u64, schedules: usize) -> Self {
        let drawn = RandomScheduler::new_from_seed(seed, schedules);
        Self { drawn, random: fastrand::Rng::with_seed(seed), stays: 0 }
    }
}

impl Scheduler for Orders {
    fn new_execution(&mut self) -> Option<Schedule> {
        let schedule = self.drawn.new_execution()?;
        self.random = fastrand::Rng::with_seed(schedule.seed);
        self.stays = [0, 50, 90][self.random.usize(..3)];
        HURRY.set(0);
        Some(schedule)
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, yields: bool) -> Option<TaskId> {
        let keeper = TaskId::from(KEEPER);
        let others: Vec<TaskId> = runnable.iter().map(|task| task.id()).filter(|id| *id != keeper).collect();
        let hurries = others.len() < runnable.len() && self.random.u32(..1000) < HURRY.get();
        if others.is_empty() || hurries {
            return Some(keeper);
        }
        match current.filter(|id| !yields && others.contains(id)) {
            Some(current) if self.random.u32(..100) < self.stays => Some(current),
            _ => Some(others[self.random.usize(..others.len())]),
        }
    }

    fn next_u64(&mut self) -> u64 {
        self.drawn.next_u64()
    }
}
