//! A client of a cluster, through failovers: how soon after a promotion it writes again.
//!
//! `cargo run --release -p redwire --example cluster_failover [ROUNDS] [kill|freeze]` starts three primaries
//! with a replica each for itself, has a replica take over so many times (default 1), because it is told to
//! or because its primary was killed or frozen, and prints for both drivers how long after the replica calls
//! itself a primary it had a write of theirs.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{Result, blocking};
use redwire_testkit::{ClusterSet, Node, slot};

/// The pause between two writes: what is measured is no finer.
const PAUSE: Duration = Duration::from_millis(1);

/// What each driver counts up, in one slot.
const COUNTERS: [&str; 2] = ["{n}:async", "{n}:blocking"];

fn main() -> Result<()> {
    let rounds = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(1);
    let how = std::env::args().nth(2).unwrap_or_default();
    let set = ClusterSet::start();
    let over = Arc::new(AtomicBool::new(false));
    write_async(&set.url(), &over)?;
    write_blocking(&set.url(), &over)?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        let old = set.owner(slot(COUNTERS[0]));
        wait_for_writes(&set.node(old));
        let next = set.replica_of(old);
        let promoted = match how.as_str() {
            "kill" => lose(&set, next, || set.kill(old)),
            "freeze" => lose(&set, next, || set.freeze(old)),
            _ => set.failover(next),
        };
        for ((name, found), times) in COUNTERS.iter().zip(first_writes(&set.node(next))).zip(&mut times) {
            let took = found.saturating_duration_since(promoted);
            println!("{round}: node {next} took over; {name}: it has a write after {took:.1?}");
            times.push(took);
        }
        match how.as_str() {
            "kill" => set.node(old).restart(),
            "freeze" => set.node(old).thaw(),
            _ => {}
        }
        set.wait_settled();
        if round < rounds {
            // Nodes do not vote for a replica of the same primary twice within two of their timeouts.
            thread::sleep(Duration::from_secs(4));
        }
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

/// The cluster finds out by itself. When the replica first calls itself a primary.
fn lose(set: &ClusterSet, replica: usize, happens: impl FnOnce()) -> Instant {
    happens();
    while !set.node(replica).command(&["INFO", "replication"]).is_ok_and(|info| info.contains("role:master"))
    {
        thread::sleep(PAUSE);
    }
    Instant::now()
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
