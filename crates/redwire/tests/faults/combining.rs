//! Many threads on one connection of the blocking client: each gets its own replies, in its own time. I1, I3,
//! I4.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::{ErrorKind, Outcome, blocking, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::{GRACE, LIMIT};

const THREADS: usize = 64;

fn client(url: &str, options: &str) -> blocking::Client {
    blocking::Client::connect(&format!("{url}?{options}")).unwrap()
}

/// Calls from many threads until `end` says so; gives how many were answered, each with what it asked for.
fn call_until(client: &blocking::Client, end: impl Fn(usize) -> bool + Sync) -> usize {
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (client, end, answered) = (client, &end, &answered);
            scope.spawn(move || {
                for call in 0.. {
                    if end(answered.load(Ordering::Relaxed)) {
                        break;
                    }
                    let tag = format!("{thread}:{call}");
                    if let Ok(echo) = client.execute::<String>(cmd("ECHO").arg(&tag)) {
                        assert_eq!(echo, tag);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    answered.into_inner()
}

#[test]
fn each_of_many_threads_gets_its_own_replies() {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    proxy.set(Direction::ToClient, Fault::jitter(Duration::from_millis(2)));
    let client = client(&proxy.url(), "timeout=5s&max_connections=8");
    let start = Instant::now();
    thread::scope(|scope| {
        let calls =
            scope.spawn(|| call_until(&client, |answered| answered >= 5000 || start.elapsed() > LIMIT));
        while !calls.is_finished() {
            thread::sleep(Duration::from_millis(50));
            proxy.cut_all();
        }
        assert!(calls.join().unwrap() >= 1000);
    });
    assert_eq!(client.pool().stats().in_use, 0, "every place came back");
}

#[test]
fn many_threads_on_a_frozen_server_end_in_time() {
    let server = Server::start();
    let client = client(&server.url(), "timeout=300ms&max_connections=4&retries=0");
    let limit = Duration::from_millis(300);
    assert!(call_until(&client, |answered| answered > 2000) > 2000);
    for _ in 0..2 {
        server.freeze();
        let sent = thread::scope(|scope| {
            let calls: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let client = &client;
                    scope.spawn(move || {
                        // Each begins, and is late, at a time of its own: who reads changes all the time.
                        thread::sleep(Duration::from_millis(4 * thread as u64));
                        let start = Instant::now();
                        let error = client.execute::<String>(cmd("ECHO").arg(thread)).unwrap_err();
                        assert!(start.elapsed() <= limit + GRACE, "{:?}: {error}", start.elapsed());
                        error.outcome() == Outcome::MaybeExecuted
                    })
                })
                .collect();
            calls.into_iter().map(|call| call.join().unwrap()).filter(|sent| *sent).count()
        });
        assert!(sent > 8, "only {sent} were sent on four connections: none of them is shared");
        server.thaw();
        eventually("service returns", LIMIT, || {
            client.execute::<String>(cmd("ECHO").arg("back")).is_ok_and(|echo| echo == "back")
        });
        call_until(&client, |answered| answered > 500);
    }
    assert_eq!(client.pool().stats().in_use, 0, "every place came back");
}

#[test]
fn one_with_less_time_does_not_take_the_others_with_it() {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = client(&proxy.url(), "timeout=5s&max_connections=8");
    proxy.set(
        Direction::ToClient,
        Fault::Delay { min: Duration::from_millis(20), max: Duration::from_millis(30) },
    );
    let late = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (client, late) = (&client, &late);
            scope.spawn(move || {
                for call in 0..20 {
                    let tag = format!("{thread}:{call}");
                    let hasty = (thread + call) % 4 == 0;
                    let limit = Duration::from_millis(if hasty { 10 } else { 5000 });
                    match client.execute::<String>(cmd("ECHO").arg(&tag).timeout(limit)) {
                        Ok(echo) => assert_eq!(echo, tag),
                        Err(error) => {
                            assert!(hasty && error.is_timeout(), "{error}");
                            late.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    assert!(late.into_inner() > 0, "no call was late");
    assert_eq!(client.pool().stats().in_use, 0, "every place came back");
}

#[test]
fn closing_ends_what_is_shared() {
    let server = Server::start();
    let client = client(&server.url(), "timeout=5s");
    thread::scope(|scope| {
        let calls: Vec<_> = (0..THREADS)
            .map(|_| {
                let client = &client;
                scope.spawn(move || {
                    loop {
                        if let Err(error) = client.execute::<String>(cmd("ECHO").arg("x")) {
                            break error;
                        }
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(100));
        client.close(LIMIT);
        for call in calls {
            let error = call.join().unwrap();
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        }
    });
    let stats = client.pool().stats();
    assert_eq!((stats.size, stats.in_use), (0, 0));
}
