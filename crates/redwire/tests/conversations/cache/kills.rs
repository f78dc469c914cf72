//! A cache whose connections are killed at any moment: it is never older than what was known before (FAULTS
//! 54).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::Value;
use redwire::cache::CacheOptions;
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use super::{Cache, executed, set, trackers};
use crate::common::{LIMIT, Setup, TellOnDrop, words};

both!(
    a_silent_connection_is_not_trusted_while_a_caller_waits,
    whichever_connection_is_killed_everything_is_forgotten,
    what_was_acknowledged_is_seen_through_kills,
    a_reader_never_goes_backwards,
    a_reader_never_goes_backwards_by_another_command,
    an_idle_cache_stays_as_it_is,
    a_silent_server_is_not_trusted,
);

fn kill(server: &Server, id: &str) {
    // It may be gone by now.
    let _ = server.command(&["CLIENT", "KILL", "ID", id]);
}

/// Nothing happens for longer than silence is borne: both connections ask for a sign of life, and get it.
fn an_idle_cache_stays_as_it_is(setup: Setup) {
    let server = Server::start();
    let options = CacheOptions::default();
    let cache = Cache::new(&setup.client(&server.url(), "health_check_interval=2s"), options);
    set(&server, "k", 1);
    assert_eq!(cache.get("k"), Some(1));
    let asked = executed(&server, "ping");
    let connections = trackers(&server).len() as u64;
    eventually("each was asked twice", LIMIT, || executed(&server, "ping") >= asked + 2 * connections);
    assert_eq!((cache.get("k"), cache.stats().flushes, cache.stats().hits), (Some(1), 0, 1));
}

/// Nothing says that a connection is gone: what is kept is forgotten all the same.
fn a_silent_server_is_not_trusted(setup: Setup) {
    let server = Server::start();
    let cache = Cache::new(
        &setup.client(&server.url(), "health_check_interval=400ms&reconnect_backoff=constant:5ms"),
        CacheOptions::default(),
    );
    set(&server, "k", 1);
    assert_eq!(cache.get("k"), Some(1));
    server.freeze();
    eventually("the silence is noticed", LIMIT, || !cache.is_tracking());
    assert_eq!(cache.stats().entries, 0);
    server.thaw();
    eventually("changes are announced again", LIMIT, || cache.is_tracking());
    assert_eq!((cache.get("k"), cache.stats().flushes > 0), (Some(1), true));
}

/// Also where the connection is kept, since a caller with more time waits for what it asked over it.
fn a_silent_connection_is_not_trusted_while_a_caller_waits(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "timeout=30s&health_check_interval=200ms");
    let cache = Cache::new(&client, CacheOptions::default());
    server.command(&["SET", "k", "1"]).unwrap();
    assert_eq!((cache.get("k"), cache.get("k")), (Some(1), Some(1)));
    proxy.set(Direction::ToClient, Fault::Blackhole);
    server.command(&["SET", "k", "2"]).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| cache.run::<Value>("GET other"));
        let read = || cache.execute(words::<u64>("GET k").timeout(Duration::from_millis(20)));
        eventually("what it kept is forgotten", LIMIT, || match read() {
            Ok(value) => {
                assert_eq!(value, 1, "nothing else can have come");
                false
            }
            Err(error) => error.is_timeout(),
        });
        if setup.protocol == 3 {
            assert!(!waiting.is_finished(), "it has time");
        }
        proxy.heal();
        proxy.reset_all();
        assert!(waiting.join().unwrap().is_ok_and(|value| value == Value::Null));
    });
    eventually("it reads again", LIMIT, || cache.get("k") == Some(2));
}

fn whichever_connection_is_killed_everything_is_forgotten(setup: Setup) {
    let server = Server::start();
    let cache =
        Cache::new(&setup.client(&server.url(), "reconnect_backoff=constant:5ms"), CacheOptions::default());
    let victims = if setup.protocol == 3 { 1 } else { 2 };
    for round in 0..10 {
        eventually("changes are announced again", LIMIT, || {
            cache.is_tracking() && trackers(&server).len() == victims
        });
        set(&server, "k", 2 * round);
        cache.sync().unwrap();
        assert_eq!(cache.get("k"), Some(2 * round));
        let flushes = cache.stats().flushes;
        kill(&server, &trackers(&server)[round as usize % victims]);
        set(&server, "k", 2 * round + 1);
        cache.sync().unwrap();
        assert_eq!(cache.get("k"), Some(2 * round + 1));
        eventually("the loss is noticed", LIMIT, || cache.stats().flushes > flushes);
    }
    eventually("changes are announced again", LIMIT, || cache.is_tracking());
    cache.get("k");
    let asked = executed(&server, "get");
    assert_eq!(cache.get("k"), Some(19));
    assert_eq!(executed(&server, "get"), asked, "and replies are kept again");
}

/// One writer counts up, readers ask for nothing less than what it was told when they began.
fn what_was_acknowledged_is_seen_through_kills(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let options = "reconnect_backoff=constant:2ms&timeout=20s";
    let cache = Cache::new(&setup.client(&proxy.url(), options), CacheOptions::default());
    for direction in [Direction::ToServer, Direction::ToClient] {
        proxy.set(direction, Fault::jitter(Duration::from_millis(2)));
    }
    let writer = setup.client(&server.url(), "");
    let (acknowledged, over) = (AtomicU64::new(0), AtomicBool::new(false));
    writer.run::<()>("SET n 0").unwrap();
    thread::scope(|scope| {
        let _end = TellOnDrop(&over);
        for reader in 0..3 {
            let (cache, acknowledged, over) = (cache.clone(), &acknowledged, &over);
            scope.spawn(move || {
                let words = ["GET n", "MGET n", "GETRANGE n 0 -1"][reader];
                while !over.load(Ordering::Relaxed) {
                    let known = acknowledged.load(Ordering::SeqCst);
                    cache.sync().unwrap();
                    for _ in 0..3 {
                        let seen: u64 = match reader {
                            1 => cache.run::<(u64,)>(words).unwrap().0,
                            _ => cache.run(words).unwrap(),
                        };
                        assert!(seen >= known, "{words} gave {seen}, and {known} was acknowledged before");
                    }
                }
            });
        }
        scope.spawn(|| {
            let begin = Instant::now();
            let _end = TellOnDrop(&over);
            while cache.stats().flushes < 15 || begin.elapsed() < Duration::from_secs(1) {
                assert!(begin.elapsed() < 3 * LIMIT, "{:?}", cache.stats());
                thread::sleep(Duration::from_millis(pause(begin)));
                match (trackers(&server), begin.elapsed().as_micros() % 4) {
                    (_, 0) => proxy.reset_all(),
                    (ids, random) if !ids.is_empty() => kill(&server, &ids[random as usize % ids.len()]),
                    _ => {}
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            let value: u64 = writer.run("INCR n").unwrap();
            acknowledged.store(value, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(2));
        }
    });
    // On RESP2 the three commands put each other in doubt.
    let least = if setup.protocol == 3 { 20 } else { 5 };
    assert!(cache.stats().hits > least, "nothing was served: {:?}", cache.stats());
}

/// Some milliseconds: the last digits of the clock are as good as chance.
fn pause(begin: Instant) -> u64 {
    10 + begin.elapsed().as_nanos() as u64 / 100 % 40
}

/// Without `sync`, and while the connections live, no reader sees an older value after a newer one.
fn a_reader_never_goes_backwards(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let cache = Cache::new(&setup.client(&proxy.url(), "timeout=20s"), CacheOptions::default());
    for direction in [Direction::ToServer, Direction::ToClient] {
        proxy.set(direction, Fault::jitter(Duration::from_millis(2)));
    }
    let (writer, over) = (setup.client(&server.url(), ""), AtomicBool::new(false));
    writer.run::<()>("SET n 0").unwrap();
    thread::scope(|scope| {
        let _end = TellOnDrop(&over);
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last = 0;
                while !over.load(Ordering::Relaxed) {
                    let seen = cache.get("n").unwrap();
                    assert!(seen >= last, "{seen} came after {last}");
                    last = seen;
                }
            });
        }
        let begin = Instant::now();
        while cache.stats().invalidations < 50 && begin.elapsed() < 3 * LIMIT {
            writer.run::<u64>("INCR n").unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(cache.stats().hits > 20 && cache.stats().invalidations >= 50, "{:?}", cache.stats());
}

/// The writer counts in two keys, one after the other. What asks the server is not ahead of what is kept; on
/// RESP2, where announcements have a connection of their own, that is promised for each key.
fn a_reader_never_goes_backwards_by_another_command(setup: Setup) {
    let server = Server::start();
    let cache = Cache::new(&setup.client(&server.url(), "timeout=20s"), CacheOptions::default());
    let (writer, over) = (setup.client(&server.url(), ""), AtomicBool::new(false));
    writer.run::<()>("MSET first 0 second 0").unwrap();
    thread::scope(|scope| {
        let _end = TellOnDrop(&over);
        for reader in 0..3 {
            let (cache, over) = (&cache, &over);
            scope.spawn(move || {
                for end in (20 + reader..).step_by(3) {
                    // New each time.
                    let asked: u64 = cache.run(&format!("GETRANGE second 0 {end}")).unwrap();
                    let kept = (cache.get("second").unwrap(), cache.get("first").unwrap());
                    assert!(kept.0 >= asked, "{kept:?} came after {asked}");
                    assert!(setup.protocol == 2 || kept.1 >= asked, "{kept:?} came after {asked}");
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let begin = Instant::now();
        for value in 1_u64.. {
            writer.run::<()>(&format!("SET first {value}")).unwrap();
            writer.run::<()>(&format!("SET second {value}")).unwrap();
            let is_enough = cache.stats().hits > 200 && begin.elapsed() > Duration::from_millis(300);
            if is_enough || begin.elapsed() > LIMIT {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(cache.stats().hits > 200, "{:?}", cache.stats());
}
