//! Who gets a connection of a pool, and how long one waits for it (I3, I7). REFERENCE P1.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redwire::{Error, ErrorKind, Outcome};
use redwire_testkit::{FakeServer, eventually, shared};

use crate::common::{GRACE, LIMIT, Setup, timed};

both!(
    without_patience_a_pool_in_use_is_told_at_once,
    waiting_ends_with_the_pool_timeout,
    waiting_ends_with_the_deadline,
    callers_that_wait_are_served_in_their_order,
    a_caller_that_comes_late_does_not_overtake,
    the_connection_used_last_is_lent_first,
    only_so_many_connect_at_a_time,
);

fn cause(error: &Error) -> Option<ErrorKind> {
    std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<Error>()).map(Error::kind)
}

fn without_patience_a_pool_in_use_is_told_at_once(setup: Setup) {
    let pool = setup.pool(&shared().url(), "max_connections=2&pool_timeout=0");
    let held = [pool.get().unwrap(), pool.get().unwrap()];
    let (refused, took) = timed(|| pool.get());
    let error = refused.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::PoolExhausted, Outcome::NotSent), "{error}");
    assert!(took < GRACE, "{took:?}");
    // It tells the limit, and who has them.
    let text = error.to_string();
    assert!(text.contains("all 2 connections (`max_connections`)") && text.contains("lending.rs"), "{text}");
    assert_eq!(pool.stats().exhausted, 1);
    drop(held);
    assert_eq!(pool.run::<String>("PING").unwrap(), "PONG");
}

fn waiting_ends_with_the_pool_timeout(setup: Setup) {
    let limit = Duration::from_millis(100);
    let pool = setup.pool(&shared().url(), "max_connections=1&pool_timeout=100ms");
    let held = pool.get().unwrap();
    let (refused, took) = timed(|| pool.get());
    let error = refused.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::PoolExhausted, Outcome::NotSent), "{error}");
    assert_eq!(error.address(), Some(shared().addr().to_string().as_str()));
    assert!((limit..limit + GRACE).contains(&took), "{took:?}");
    let stats = pool.stats();
    assert_eq!((stats.gave_up, stats.waiting), (1, 0), "{stats:?}");
    drop(held);
    assert_eq!(pool.run::<String>("PING").unwrap(), "PONG");
}

fn waiting_ends_with_the_deadline(setup: Setup) {
    let pool = setup.pool(&shared().url(), "max_connections=1&timeout=100ms");
    let held = pool.get().unwrap();
    for (limit, own) in [(Duration::from_millis(100), false), (Duration::from_millis(200), true)] {
        let (refused, took) = timed(|| if own { pool.get_within(limit) } else { pool.get() });
        let error = refused.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
        assert_eq!(cause(&error), Some(ErrorKind::PoolExhausted), "{error:?}");
        // It says what was waited for, where, and who has it.
        let text = error.to_string();
        assert!(text.contains("no connection within the deadline: all 1 connections"), "{text}");
        assert!(text.contains(&shared().addr().to_string()) && text.contains("lending.rs:"), "{text}");
        assert!((limit..limit + GRACE).contains(&took), "{took:?}");
    }
    drop(held);
    assert_eq!(pool.run::<String>("PING").unwrap(), "PONG");
}

fn callers_that_wait_are_served_in_their_order(setup: Setup) {
    const WAITING: usize = 30;
    let pool = setup.pool(&shared().url(), "max_connections=1&timeout=30s");
    let held = pool.get().unwrap();
    let served = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for number in 0..WAITING {
            scope.spawn({
                let (pool, served) = (&pool, &served);
                move || {
                    let lease = pool.get().unwrap();
                    served.lock().unwrap().push(number);
                    drop(lease);
                }
            });
            eventually("it waits", LIMIT, || pool.stats().waiting == number + 1);
        }
        drop(held);
    });
    assert_eq!(served.into_inner().unwrap(), (0..WAITING).collect::<Vec<_>>());
}

/// A connection that is given back belongs to the caller that waits, even if another asks for one before that
/// one wakes.
fn a_caller_that_comes_late_does_not_overtake(setup: Setup) {
    let pool = setup.pool(&shared().url(), "max_connections=1&timeout=30s");
    for _ in 0..20 {
        let first = pool.get().unwrap();
        let (order, early) = (Mutex::new(Vec::new()), "early");
        thread::scope(|scope| {
            scope.spawn(|| {
                let lease = pool.get().unwrap();
                order.lock().unwrap().push(early);
                drop(lease);
            });
            eventually("it waits", LIMIT, || pool.stats().waiting == 1);
            drop(first);
            let lease = pool.get().unwrap();
            order.lock().unwrap().push("late");
            drop(lease);
        });
        assert_eq!(order.into_inner().unwrap(), ["early", "late"]);
    }
}

fn the_connection_used_last_is_lent_first(setup: Setup) {
    let pool = setup.pool(&shared().url(), "");
    let mut leases: Vec<_> = (0..3).map(|_| pool.get().unwrap()).collect();
    let ids: Vec<u64> = leases.iter_mut().map(|lease| lease.id()).collect();
    for lease in [1, 1, 0].map(|index| leases.remove(index)) {
        drop(lease);
    }
    // Given back: the second, the third, the first.
    let mut again: Vec<_> = (0..3).map(|_| pool.get().unwrap()).collect();
    let again: Vec<u64> = again.iter_mut().map(|lease| lease.id()).collect();
    assert_eq!(again, [ids[0], ids[2], ids[1]]);
}

fn only_so_many_connect_at_a_time(setup: Setup) {
    const WANTED: usize = 12;
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = FakeServer::answering({
        let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
        move |words| {
            // One word of introduction in either protocol.
            let text: &[u8] = match words[0].as_slice() {
                b"HELLO" => b"%1\r\n$5\r\nproto\r\n:3\r\n",
                _ => b"+OK\r\n",
            };
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(30));
            under_way.fetch_sub(1, Ordering::SeqCst);
            text.to_vec()
        }
    });
    let options =
        format!("max_connections={WANTED}&max_connecting=3&timeout=30s&lib_name=&lib_version=&client_name=x");
    let pool = setup.pool(&server.url(), &options);
    let held = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WANTED {
            scope.spawn(|| {
                let lease = pool.get().unwrap();
                held.lock().unwrap().push(lease);
            });
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!((server.connections(), pool.stats().created), (WANTED, WANTED as u64));
    assert_eq!(server.received().len(), WANTED, "{:?}", server.received());
}
