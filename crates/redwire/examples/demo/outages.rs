//! The act in which a server under load is killed and restarted, frozen and thawed: what its callers see of
//! that.
//!
//! Callers of both drivers count, write and read without a pause. Nothing is repeated here: what the client
//! itself does not mend is an error, and is shown.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{Outcome, Result, blocking};
use redwire_testkit::{Server, eventually};

const TASKS: usize = 4;
const THREADS: usize = 4;
const CALLERS: usize = TASKS + THREADS;

pub(crate) fn show() -> Result<()> {
    // Keeps what it has acknowledged over the kill, so that the counter can be compared with it.
    let server = Server::builder().arg("appendonly", "yes").start();
    let url = format!("{}?timeout=500ms&connect_timeout=500ms&health_check_interval=200ms", server.url());
    println!("  {TASKS} tasks and {THREADS} threads count, write and read; each call has 500 ms");
    let watch = Watch::default();
    let callers = Callers::start(&url, &watch)?;
    thread::sleep(Duration::from_secs(1));
    print!("\n  calm for a second\n{}", watch.take());

    server.kill();
    thread::sleep(Duration::from_millis(800));
    let during = watch.take();
    server.restart();
    report("killed, and started again after 0.8 s", &watch, during);

    server.freeze();
    thread::sleep(Duration::from_millis(1500));
    let during = watch.take();
    server.thaw();
    report("frozen for 1.5 s", &watch, during);

    watch.lock().ended = true;
    callers.join();
    let Counted { sure, unsure } = watch.lock().counted;
    let value = blocking::Client::connect(&url)?.get::<u64>("counter")?.unwrap_or_default();
    assert!((sure..=sure + unsure).contains(&value), "{sure}, perhaps {unsure} more, and it is {value}");
    println!("\n  the counter");
    println!("    {} acknowledged, {unsure} unknown: the server says {}", many(sure), many(value));
    Ok(())
}

/// Tasks that call until they are told to end.
struct Callers {
    runtime: tokio::runtime::Runtime,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Callers {
    fn start(url: &str, watch: &Watch) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let client = runtime.block_on(redwire::Client::connect(url))?;
        let task = |caller| runtime.spawn(call_as_task(client.clone(), caller, watch.clone()));
        let tasks = (0..TASKS).map(task).collect();
        let client = blocking::Client::connect(url)?;
        let thread = |caller| {
            let (client, watch) = (client.clone(), watch.clone());
            thread::spawn(move || call_as_thread(&client, caller, &watch))
        };
        let threads = (TASKS..CALLERS).map(thread).collect();
        Ok(Self { runtime, tasks, threads })
    }

    fn join(self) {
        const SOUND: &str = "no task has read what another wrote";
        self.threads.into_iter().for_each(|thread| thread.join().expect(SOUND));
        self.tasks.into_iter().for_each(|task| self.runtime.block_on(task).expect(SOUND));
    }
}

/// Waits until every caller is served again, and shows what they saw from `during` the outage until a second
/// after it.
fn report(what: &str, watch: &Watch, during: Tally) {
    let over = Instant::now();
    eventually("every caller is served again", Duration::from_secs(5), || {
        watch.lock().tally.first.iter().all(Option::is_some)
    });
    thread::sleep(Duration::from_secs(1).saturating_sub(over.elapsed()));
    let mut after = watch.take();
    let last = after.first.iter().flatten().max().map_or(Duration::ZERO, |last| *last - over.min(*last));
    after.add(during);
    println!("\n  {what}\n{after}    all {CALLERS} were served again {last:.0?} after it was over");
}

/// Notes of the callers, shared by all of them.
#[derive(Clone, Default)]
struct Watch(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    tally: Tally,
    counted: Counted,
    ended: bool,
}

/// How often the counter was counted up for sure, and how often perhaps.
#[derive(Clone, Copy, Default)]
struct Counted {
    sure: u64,
    unsure: u64,
}

/// What callers saw for a while.
#[derive(Default)]
struct Tally {
    served: u64,
    longest: Duration,
    errors: BTreeMap<String, u64>,
    /// When each caller was served first.
    first: [Option<Instant>; CALLERS],
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Tally {
        std::mem::take(&mut self.lock().tally)
    }

    fn has_ended(&self) -> bool {
        self.lock().ended
    }

    fn note<T>(&self, caller: usize, begun: Instant, result: Result<T>) -> Option<T> {
        let (now, mut notes) = (Instant::now(), self.lock());
        let tally = &mut notes.tally;
        tally.longest = tally.longest.max(now - begun);
        match result {
            Ok(answer) => {
                tally.served += 1;
                tally.first[caller].get_or_insert(now);
                Some(answer)
            }
            Err(error) => {
                let what = format!("{:?}, {:?}", error.kind(), error.outcome());
                *tally.errors.entry(what).or_default() += 1;
                None
            }
        }
    }

    fn note_count(&self, caller: usize, begun: Instant, result: Result<i64>) {
        let outcome = result.as_ref().map_err(redwire::Error::outcome).map(drop);
        self.note(caller, begun, result);
        let counted = &mut self.lock().counted;
        match outcome {
            Ok(()) => counted.sure += 1,
            Err(Outcome::MaybeExecuted | Outcome::Unreadable) => counted.unsure += 1,
            Err(_) => {}
        }
    }
}

async fn call_as_task(client: redwire::Client, caller: usize, watch: Watch) {
    let key = format!("caller {caller}");
    for round in 0_u64.. {
        if watch.has_ended() {
            return;
        }
        let begun = Instant::now();
        watch.note_count(caller, begun, client.incr("counter").await);
        let begun = Instant::now();
        watch.note(caller, begun, client.set(&key, format!("{key}, {round}")).await);
        let begun = Instant::now();
        check(&key, watch.note(caller, begun, client.get::<String>(&key).await));
    }
}

fn call_as_thread(client: &blocking::Client, caller: usize, watch: &Watch) {
    let key = format!("caller {caller}");
    for round in 0_u64.. {
        if watch.has_ended() {
            return;
        }
        let begun = Instant::now();
        watch.note_count(caller, begun, client.incr("counter"));
        let begun = Instant::now();
        watch.note(caller, begun, client.set(&key, format!("{key}, {round}")));
        let begun = Instant::now();
        check(&key, watch.note(caller, begun, client.get::<String>(&key)));
    }
}

/// Each caller writes its own name, so no caller may ever read another.
fn check(key: &str, answer: Option<Option<String>>) {
    if let Some(Some(value)) = answer {
        assert!(value.starts_with(key), "{key} read {value:?}");
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.served += other.served;
        self.longest = self.longest.max(other.longest);
        for (what, count) in other.errors {
            *self.errors.entry(what).or_default() += count;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "    {} calls served, the longest call took {:.0?}", many(self.served), self.longest)?;
        if self.errors.is_empty() {
            return writeln!(f, "    no errors");
        }
        self.errors.iter().try_for_each(|(what, count)| writeln!(f, "    {count:>4} x {what}"))
    }
}

/// A number with its digits in groups of three.
fn many(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(" ")
}
