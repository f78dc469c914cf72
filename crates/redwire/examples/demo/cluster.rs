//! The act in which slots of a cluster move under load, and a primary dies. What callers see of that.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{Outcome, Result, blocking};
use redwire_testkit::{ClusterSet, slot};

/// So many slots move from each primary to the next, those of the callers among them.
const MOVED: u16 = 20;

pub(crate) fn show() -> Result<()> {
    let set = ClusterSet::start();
    let client = blocking::Client::connect(&set.url())?;
    let callers: Vec<_> = (0..3).map(|primary| Caller::of(&set, primary)).collect();
    println!("  three primaries with a replica each; a task counts at each of them");
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        for caller in &callers {
            scope.spawn(|| caller.count(&client, &ended));
        }
        thread::sleep(Duration::from_millis(300));
        callers.iter().for_each(|caller| drop(caller.take()));
        let before = PoolStats::of(&set);
        for caller in &callers {
            for next in 0..MOVED {
                set.move_slot((caller.slot + next) % 16_384, (caller.primary + 1) % 3);
            }
        }
        println!("\n  {} slots move, with their keys, to the next primary", 3 * MOVED);
        report(&callers, None);
        before.report(&set);

        let (before, heir) = (PoolStats::of(&set), set.replica_of(0));
        set.kill(0);
        let promoted = set.wait_promoted(heir);
        println!("\n  a primary is killed: its replica takes over by itself");
        report(&callers, Some(promoted));
        before.report(&set);
        ended.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// A task that counts a key up, and when each of its calls ended, with the error if it failed.
struct Caller {
    key: String,
    slot: u16,
    /// Who serves the key at first.
    primary: usize,
    calls: Mutex<Calls>,
}

type Calls = Vec<(Instant, Option<redwire::Error>)>;

impl Caller {
    fn of(set: &ClusterSet, primary: usize) -> Self {
        let keys = (0..).map(|number| format!("counter:{number}"));
        let key = keys.into_iter().find(|key| set.owner(slot(key)) == primary);
        let key = key.expect("every primary has some of all keys");
        Self { slot: slot(&key), key, primary, calls: Mutex::default() }
    }

    fn count(&self, client: &blocking::Client, ended: &AtomicBool) {
        while !ended.load(Ordering::Relaxed) {
            let error = client.incr(&self.key).err();
            self.calls.lock().expect("no thread panics with it").push((Instant::now(), error));
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The calls since the last time.
    fn take(&self) -> Calls {
        std::mem::take(&mut *self.calls.lock().expect("no thread panics with it"))
    }

    /// Waits for the first call that was acknowledged after `then`.
    fn served(&self, then: Instant) -> Instant {
        loop {
            let calls = self.calls.lock().expect("no thread panics with it");
            if let Some((at, _)) = calls.iter().find(|(at, error)| *at > then && error.is_none()) {
                return *at;
            }
            drop(calls);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What the callers saw since the last report; and if a replica was `promoted`, how soon after that all were
/// served again.
fn report(callers: &[Caller], promoted: Option<Instant>) {
    let now = Instant::now();
    let last = callers.iter().map(|caller| caller.served(promoted.unwrap_or(now))).max();
    let seen: Vec<_> = callers.iter().map(Caller::take).collect();
    let gaps = seen.iter().flat_map(|calls| {
        let served: Vec<_> = calls.iter().filter(|(_, error)| error.is_none()).map(|(at, _)| *at).collect();
        served.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>()
    });
    println!("    the longest that one of them was not served: {:.1?}", gaps.max().unwrap_or_default());
    if let (Some(promoted), Some(last)) = (promoted, last) {
        println!("    all are served again {:.0?} after the promotion", last - promoted);
    }
    let failed: Vec<_> = seen.iter().flatten().filter_map(|(_, error)| error.as_ref()).collect();
    let unsure = failed.iter().filter(|error| error.outcome() == Outcome::MaybeExecuted).count();
    let calls = seen.iter().map(Vec::len).sum::<usize>();
    println!("    of {calls} calls {} failed, {unsure} of them with an unknown outcome", failed.len());
}

/// What the nodes that are up have counted so far, each for itself.
struct PoolStats(Vec<(u64, u64)>);

impl PoolStats {
    fn of(set: &ClusterSet) -> Self {
        let count = |index: usize, section: &str, fields: &[&str]| -> u64 {
            let Ok(info) = set.node(index).command(&["INFO", section]) else { return 0 };
            let count = |line: &str| {
                let (name, values) = line.trim_end().split_once(':')?;
                let value = values
                    .split(',')
                    .find_map(|value| value.strip_prefix("count=").or_else(|| value.strip_prefix("calls=")));
                fields.contains(&name).then(|| value?.parse::<u64>().ok()).flatten()
            };
            info.lines().filter_map(count).sum()
        };
        let of_node = |index| {
            let redirections = count(index, "errorstats", &["errorstat_MOVED", "errorstat_ASK"]);
            (redirections, count(index, "commandstats", &["cmdstat_cluster|slots"]))
        };
        Self((0..set.nodes().len()).map(of_node).collect())
    }

    /// How much was added since; a node that has died meanwhile adds nothing.
    fn report(&self, set: &ClusterSet) {
        let now = Self::of(set);
        let added = |of: fn(&(u64, u64)) -> u64| -> u64 {
            now.0.iter().zip(&self.0).map(|(now, before)| of(now).saturating_sub(of(before))).sum()
        };
        let (redirections, questions) = (added(|counts| counts.0), added(|counts| counts.1));
        println!(
            "    the nodes redirected {redirections} times, and were asked {questions} times for the map"
        );
    }
}
