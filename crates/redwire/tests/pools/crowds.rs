//! Many callers for few connections: no caller is forgotten, overtaken or starved (I3, I4).
//! FAULTS 16, 17.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use redwire::config::Config;
use redwire::{Outcome, Run, blocking, cmd};
use redwire_testkit::{Server, eventually, shared};

use crate::common::{LIMIT, Setup, TellOnDrop, runtime};

both!(everybody_gets_an_equal_share, a_lost_connection_wakes_the_next);

/// A thousand tasks on two connections; half of them are cancelled while they wait.
#[test]
fn a_thousand_tasks_half_of_them_cancelled_keep_their_order() {
    const TASKS: usize = 1000;
    for protocol in [3, 2] {
        let url = format!("{}?protocol={protocol}&max_connections=2&timeout=60s", shared().url());
        let pool = redwire::Pool::lazy(Config::from_url(&url).unwrap()).unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        runtime().block_on(async {
            let held = [pool.get().await.unwrap(), pool.get().await.unwrap()];
            let mut tasks = Vec::new();
            for number in 0..TASKS {
                let (own, served) = (pool.clone(), Arc::clone(&served));
                tasks.push(tokio::spawn(async move {
                    let mut lease = own.get().await.unwrap();
                    served.lock().unwrap().push(number);
                    assert_eq!(lease.run(cmd::<usize>("ECHO").arg(number)).await.unwrap(), number);
                }));
                while pool.stats().waiting <= number {
                    tokio::task::yield_now().await;
                }
            }
            // Half of them, some before the connections come back and some while they go round.
            let mut rng = fastrand::Rng::with_seed(protocol);
            let mut cancelled: Vec<usize> = (0..TASKS).collect();
            rng.shuffle(&mut cancelled);
            cancelled.truncate(TASKS / 2);
            let (before, during) = cancelled.split_at(TASKS / 4);
            before.iter().for_each(|number| tasks[*number].abort());
            drop(held);
            for number in during {
                tasks[*number].abort();
                tokio::task::yield_now().await;
            }
            for (number, task) in tasks.into_iter().enumerate() {
                match tokio::time::timeout(LIMIT, task).await.expect("each task ends") {
                    Ok(()) => {}
                    Err(error) => assert!(error.is_cancelled() && cancelled.contains(&number), "{error}"),
                }
            }
            let stats = pool.stats();
            assert_eq!((stats.in_use, stats.waiting), (0, 0), "{stats:?}");
            assert_eq!(stats.size, stats.idle);
        });
        let served = served.lock().unwrap();
        // Two at a time: neighbours may change places as they write this down, but not more.
        for (place, number) in served.iter().enumerate() {
            let overtaken = served[place..].iter().filter(|later| *later < number).count();
            assert!(overtaken <= 1, "{number} came before {overtaken} who were first");
        }
        assert!(served.len() >= TASKS / 2, "a caller that was not cancelled is served");
    }
}

/// Two hundred threads on two connections, half of them out of time while they wait.
#[test]
fn two_hundred_threads_half_of_them_out_of_time_keep_their_order() {
    const THREADS: usize = 200;
    let url = format!("{}?max_connections=2&timeout=60s", shared().url());
    let pool = blocking::Pool::lazy(Config::from_url(&url).unwrap()).unwrap();
    let served = Mutex::new(Vec::new());
    let late = AtomicUsize::new(0);
    thread::scope(|scope| {
        let held = [pool.get().unwrap(), pool.get().unwrap()];
        for number in 0..THREADS {
            let (pool, served, late) = (&pool, &served, &late);
            scope.spawn(move || {
                if number % 2 == 1 {
                    let error = pool.get_within(Duration::from_millis(100)).unwrap_err();
                    assert!(error.is_timeout() && error.outcome() == Outcome::NotSent, "{error}");
                    late.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                let mut lease = pool.get().unwrap();
                served.lock().unwrap().push(number);
                assert_eq!(lease.run(cmd::<usize>("ECHO").arg(number)).unwrap(), number);
            });
            // So far no caller is served, so that each that came waits or gave up.
            eventually("it waits", LIMIT, || {
                let stats = pool.stats();
                stats.waiting as u64 + stats.gave_up == number as u64 + 1
            });
        }
        eventually("half of them are late", LIMIT, || late.load(Ordering::Relaxed) == THREADS / 2);
        drop(held);
    });
    let served = served.into_inner().unwrap();
    assert_eq!(served.len(), THREADS / 2);
    for (place, number) in served.iter().enumerate() {
        let overtaken = served[place..].iter().filter(|later| *later < number).count();
        assert!(overtaken <= 1, "{number} came before {overtaken} who were first: {served:?}");
    }
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.waiting, stats.gave_up), (0, 0, THREADS as u64 / 2), "{stats:?}");
}

/// Sixty-four callers for four connections: each gets what the others get, give or take a fifth.
fn everybody_gets_an_equal_share(setup: Setup) {
    const CALLERS: usize = 64;
    let pool = setup.pool(&shared().url(), "max_connections=4&timeout=30s");
    let (done, counts) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let (served, start) = (AtomicUsize::new(0), Barrier::new(CALLERS));
    thread::scope(|scope| {
        let _end = TellOnDrop(&done);
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let mut count = 0_usize;
                start.wait();
                while !done.load(Ordering::Relaxed) {
                    let mut lease = pool.get().unwrap();
                    lease.run::<String>("PING").unwrap();
                    // For as long as a call may take. Most of them sleep meanwhile, so that the machine is
                    // not what is measured.
                    thread::sleep(Duration::from_millis(8));
                    drop(lease);
                    count += 1;
                    served.fetch_add(1, Ordering::Relaxed);
                }
                counts.lock().unwrap().push(count);
            });
        }
        eventually("all are served often", LIMIT * 3, || served.load(Ordering::Relaxed) >= CALLERS * 16);
        done.store(true, Ordering::Relaxed);
    });
    let counts = counts.into_inner().unwrap();
    let mean = counts.iter().sum::<usize>() / CALLERS;
    for count in &counts {
        assert!((mean * 4 / 5..=mean * 6 / 5).contains(count), "{count} of a mean of {mean}: {counts:?}");
    }
    let waits = pool.stats().waits;
    assert!(waits.quantile(0.95) <= waits.quantile(0.5) * 8, "{waits:?}");
}

/// The caller that holds the only connection loses it: the next in the queue makes another, and so on.
fn a_lost_connection_wakes_the_next(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "max_connections=1&timeout=30s&client_name=only");
    let ids = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for caller in 0..20_u32 {
            let (server, pool, ids) = (&server, &pool, &ids);
            scope.spawn(move || {
                let mut lease = pool.get().unwrap();
                ids.lock().unwrap().insert(caller, lease.id());
                match caller % 3 {
                    0 => lease.discard(),
                    1 => lease.send("ECHO unread").unwrap(),
                    _ => {
                        assert_eq!(server.kill_clients(&["TYPE", "normal"]), 1);
                        assert!(lease.run::<String>("PING").is_err());
                    }
                }
            });
        }
    });
    let ids = ids.into_inner().unwrap();
    let different: BTreeSet<u64> = ids.values().copied().collect();
    assert_eq!((ids.len(), different.len()), (20, 20), "{ids:?}");
    assert_eq!((pool.stats().size, pool.stats().waiting), (0, 0));
}
