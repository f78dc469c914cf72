//! The act in which sentinels replace a master under load: on purpose, and after it was killed. What callers
//! see of that.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{Outcome, Result, blocking};
use redwire_testkit::SentinelSet;

pub(crate) fn show() -> Result<()> {
    let set = SentinelSet::builder().quick().start();
    let client = blocking::Client::connect(&set.url())?;
    println!("  the master is {}; two replicas and three sentinels beside it", set.master());
    let (events, ended) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                let error = client.incr("counter").err();
                events.lock().expect("no thread panics with it").push((Instant::now(), error));
                thread::sleep(Duration::from_millis(1));
            }
        });
        thread::sleep(Duration::from_millis(300));
        let switch = set.failover();
        report("a failover on purpose", &set, switch.at, &events);
        set.wait_settled();

        let old = set.master_index();
        let watch = set.switch_events();
        set.nodes()[old].kill();
        let switch = watch.wait(Duration::from_secs(30));
        report("the master is killed", &set, switch.at, &events);
        ended.store(true, Ordering::Relaxed);
    });
    Ok(())
}

type Events = Mutex<Vec<(Instant, Option<redwire::Error>)>>;

/// What the callers saw since the last report, and how soon after the promotion they could write again.
fn report(what: &str, set: &SentinelSet, promoted: Instant, events: &Events) {
    let written = |events: &Events| {
        let events = events.lock().expect("no thread panics with it");
        events.iter().find(|(at, error)| *at > promoted && error.is_none()).map(|(at, _)| *at)
    };
    let written = loop {
        match written(events) {
            Some(at) => break at,
            None => thread::sleep(Duration::from_millis(1)),
        }
    };
    let seen = std::mem::take(&mut *events.lock().expect("no thread panics with it"));
    let failed: Vec<_> = seen.iter().filter_map(|(_, error)| error.as_ref()).collect();
    let unsure = failed.iter().filter(|error| error.outcome() == Outcome::MaybeExecuted).count();
    println!("\n  {what}: {} is master now", set.master());
    println!("    the first write is acknowledged {:.0?} after the promotion", written - promoted);
    println!("    of {} calls {} failed, {unsure} of them with an unknown outcome", seen.len(), failed.len());
}
