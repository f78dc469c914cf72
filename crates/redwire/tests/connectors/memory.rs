//! A peer in memory: what holds for sockets holds for it.

use std::thread;
use std::time::Duration;

use redwire::{ErrorKind, Outcome, Run, Value, cmd};
use redwire_testkit::eventually;

use crate::common::pool::Pool;
use crate::common::{Driver, LIMIT, Setup, timed, words};
use crate::peer::{Memory, Mood};

both!(
    replies_reach_the_calls_that_asked,
    a_closed_connection_is_seen_before_it_is_used,
    silence_ends_by_the_deadline,
    a_peer_that_reads_nothing_ends_by_the_deadline,
    closing_ends_calls_that_wait,
);

fn replies_reach_the_calls_that_asked(setup: Setup) {
    let memory = Memory::new();
    let client = setup.open(memory.options()).unwrap();
    client.run::<()>("SET k v").unwrap();
    thread::scope(|scope| {
        for n in 0..8 {
            let client = &client;
            scope.spawn(move || {
                for m in 0..40 {
                    let word = format!("{n}:{m}");
                    assert_eq!(client.execute(cmd::<String>("ECHO").arg(&word)).unwrap(), word);
                }
            });
        }
    });
    // More than fits between the two at a time, and more than is written before what comes is read.
    let large = "x".repeat(300 * 1024);
    let echoed = client
        .pipeline(|p| (0..8).map(|_| p.run(cmd::<String>("ECHO").arg(&large))).collect::<Vec<_>>())
        .unwrap();
    assert!(echoed.iter().all(|word| *word == large));
    let mut connection = setup.open_connection(memory.options()).unwrap();
    assert_eq!(connection.run::<String>("GET k").unwrap(), "v");
    assert!(memory.asked().iter().all(|endpoint| endpoint == "memory:6379"));
    drop((client, connection));
    eventually("all are let go", LIMIT, || memory.open() == 0);
}

/// `SET` is not repeated: so the connection was looked at.
fn a_closed_connection_is_seen_before_it_is_used(setup: Setup) {
    let memory = Memory::new();
    let pool = setup.lazy_pool(memory.options().max_connections(1)).unwrap();
    for n in 0..5 {
        pool.run::<()>(&format!("SET k {n}")).unwrap();
        memory.hang_up();
        eventually("it is closed", LIMIT, || memory.open() == 0);
    }
    assert_eq!(memory.asked().len(), 5);
}

fn silence_ends_by_the_deadline(setup: Setup) {
    let limit = Duration::from_millis(200);
    let memory = Memory::new();
    let options = || memory.options().health_check_interval(Duration::from_millis(500));
    let client = setup.open(options()).unwrap();
    let mut connection = setup.open_connection(options()).unwrap();
    memory.set(Mood::Silent);
    let (shared, took) = timed(|| client.execute(words::<Value>("SET k v").timeout(limit)));
    let (own, own_took) = timed(|| connection.execute(words::<Value>("SET k v").timeout(limit)));
    for (result, took) in [(shared, took), (own, own_took)] {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
        assert!(took >= limit && took < LIMIT, "{took:?}");
    }
    memory.set(Mood::Well);
    eventually("it goes on", LIMIT, || client.run::<()>("SET k v").is_ok());
}

fn a_peer_that_reads_nothing_ends_by_the_deadline(setup: Setup) {
    let limit = Duration::from_millis(300);
    let memory = Memory::new();
    let client = setup.open(memory.options()).unwrap();
    memory.set(Mood::Deaf);
    let large = "x".repeat(4 << 20);
    let (result, took) = timed(|| client.execute(cmd::<Value>("SET").arg("k").arg(&large).timeout(limit)));
    let error = result.unwrap_err();
    // The blocking client gives the connection up with half of a command; on the shared one of the async
    // client the other half must follow, lest others read it.
    let outcome = if setup.driver == Driver::Blocking { Outcome::NotSent } else { Outcome::MaybeExecuted };
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, outcome), "{error}");
    assert!(took < LIMIT, "{took:?}");
    memory.set(Mood::Well);
    eventually("it goes on", LIMIT, || client.run::<()>("SET k v").is_ok());
}

fn closing_ends_calls_that_wait(setup: Setup) {
    let memory = Memory::new();
    let client = setup.open(memory.options()).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.run::<Value>("BLPOP list 0"));
        eventually("it waits", LIMIT, || Pool::of(&client).stats().in_use == 1 && memory.open() >= 1);
        let ((), took) = timed(|| client.close_within(Duration::from_millis(50)));
        assert!(took < LIMIT, "{took:?}");
        waiting.join().unwrap().unwrap_err();
    });
    eventually("all are let go", LIMIT, || memory.open() == 0);
}
