//! A client of a service that sentinels watch, through failovers: how soon after a promotion it writes again.
//!
//! `cargo run --release -p redwire --example failover [ROUNDS] [kill|freeze]` starts a master, two replicas
//! and three sentinels for itself, has the sentinels promote a replica so many times (default 1), because
//! they are told to or because the master was killed or frozen, and prints for both drivers how long after
//! the first sentinel's word (`+switch-master`) the new master had a write of theirs.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{Result, blocking};
use redwire_testkit::{Node, SentinelSet, Switch};

/// The pause between two writes: what is measured is no finer.
const PAUSE: Duration = Duration::from_millis(1);

/// What each driver counts up.
const COUNTERS: [&str; 2] = ["async", "blocking"];

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
    let how = std::env::args().nth(2).unwrap_or_default();
    let set = SentinelSet::start();
    let over = Arc::new(AtomicBool::new(false));
    write_async(&set.url(), &over)?;
    write_blocking(&set.url(), &over)?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        wait_for_writes(&set.nodes()[set.master_index()]);
        let old = set.master_index();
        let switch = match how.as_str() {
            "kill" => lose(&set, || set.nodes()[old].kill()),
            "freeze" => lose(&set, || set.nodes()[old].freeze()),
            _ => set.failover(),
        };
        let master = set.nodes().iter().find(|node| node.address() == switch.to).expect("a node of the set");
        let found = first_writes(master);
        for ((name, found), times) in COUNTERS.iter().zip(found).zip(&mut times) {
            let took = found.saturating_duration_since(switch.at);
            println!("{round}: {} is master; {name}: it has a write after {took:.1?}", switch.to);
            times.push(took);
        }
        match how.as_str() {
            "kill" => set.nodes()[old].restart(),
            "freeze" => set.nodes()[old].thaw(),
            _ => {}
        }
        // The sentinels would do so themselves, some ten seconds later.
        set.rejoin(old);
        set.wait_settled();
    }
    over.store(true, Ordering::Relaxed);
    for (name, times) in COUNTERS.iter().zip(&mut times) {
        times.sort_unstable();
        println!(
            "{name}: median {:.1?}, longest {:.1?} of {rounds}",
            times[times.len() / 2],
            times[times.len() - 1]
        );
    }
    Ok(())
}

/// The sentinels find out by themselves, and say so.
fn lose(set: &SentinelSet, happens: impl FnOnce()) -> Switch {
    let events = set.switch_events();
    happens();
    events.wait(Duration::from_secs(60))
}

fn write_async(url: &str, over: &Arc<AtomicBool>) -> Result<()> {
    let (over, client) = (Arc::clone(over), redwire::Client::connect_lazy(url)?);
    thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async {
            while !over.load(Ordering::Relaxed) {
                // One that fails is not repeated: the next one is.
                let _ = client.incr(COUNTERS[0]).await;
                tokio::time::sleep(PAUSE).await;
            }
        });
    });
    Ok(())
}

fn write_blocking(url: &str, over: &Arc<AtomicBool>) -> Result<()> {
    let (over, client) = (Arc::clone(over), blocking::Client::connect_lazy(url)?);
    thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            let _ = client.incr(COUNTERS[1]);
            thread::sleep(PAUSE);
        }
    });
    Ok(())
}

fn count(node: &Node, counter: &str) -> u64 {
    node.command(&["GET", counter]).ok().and_then(|count| count.parse().ok()).unwrap_or_default()
}

fn wait_for_writes(master: &Node) {
    let before = COUNTERS.map(|counter| count(master, counter));
    while COUNTERS.iter().zip(before).any(|(counter, before)| count(master, counter) < before + 10) {
        thread::sleep(PAUSE);
    }
}

/// When each counter first grew at a server that follows no other any more, so that only clients can have
/// done it.
fn first_writes(master: &Node) -> [Instant; 2] {
    let before = COUNTERS.map(|counter| count(master, counter));
    let mut found = [None, None];
    loop {
        for ((counter, before), found) in COUNTERS.iter().zip(before).zip(&mut found) {
            if found.is_none() && count(master, counter) > before {
                *found = Some(Instant::now());
            }
        }
        if let [Some(first), Some(second)] = found {
            return [first, second];
        }
    }
}
