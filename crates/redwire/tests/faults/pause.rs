//! A server that holds back writes for a while, as it does before a planned failover: they wait within their
//! deadlines (I3). FAULTS 53.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::{ErrorKind, Outcome};
use redwire_testkit::{Server, eventually};

use crate::common::{GRACE, LIMIT, Setup, TellOnDrop, stood_still_since, timed, words};

both!(writes_wait_for_the_end_of_a_pause, a_pause_beyond_the_deadline_is_told);

const PAUSE: Duration = Duration::from_millis(500);

fn writes_wait_for_the_end_of_a_pause(setup: Setup) {
    let server = Server::start();
    // On a shared connection a read behind a write that waits would wait, too.
    let (writer, reader) = (setup.client(&server.url(), ""), setup.client(&server.url(), ""));
    let (done, writes, reads) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let count_until_done = |count: &AtomicU64, call: &dyn Fn() -> i64| {
        let mut longest = Duration::ZERO;
        while !done.load(Ordering::SeqCst) {
            longest = longest.max(timed(call).1);
            count.fetch_add(1, Ordering::SeqCst);
        }
        longest
    };
    let write = || writer.run("INCR n").unwrap();
    let read = || reader.run("STRLEN n").unwrap();
    thread::scope(|scope| {
        let _end = TellOnDrop(&done);
        let writers: Vec<_> = (0..4).map(|_| scope.spawn(|| count_until_done(&writes, &write))).collect();
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| count_until_done(&reads, &read))).collect();
        eventually("all are busy", LIMIT, || writes.load(Ordering::SeqCst) > 100);
        let paused = Instant::now();
        server.command(&["CLIENT", "PAUSE", "500", "WRITE"]).unwrap();
        let (written, read) = (writes.load(Ordering::SeqCst), reads.load(Ordering::SeqCst));
        eventually("it is over", LIMIT, || writes.load(Ordering::SeqCst) > written + 100);
        assert!(paused.elapsed() >= PAUSE, "the server has not paused");
        assert!(reads.load(Ordering::SeqCst) > read + 100, "reads go on");
        done.store(true, Ordering::SeqCst);
        let slack = GRACE + stood_still_since(paused);
        for writer in writers {
            let longest = writer.join().unwrap();
            assert!(longest >= PAUSE - GRACE && longest < 2 * PAUSE + slack, "{longest:?}");
        }
        for reader in readers {
            let longest = reader.join().unwrap();
            assert!(longest < PAUSE - 2 * GRACE + slack, "{longest:?}");
        }
    });
    assert_eq!(server.command(&["GET", "n"]).unwrap(), writes.load(Ordering::SeqCst).to_string());
}

fn a_pause_beyond_the_deadline_is_told(setup: Setup) {
    let server = Server::start();
    let limit = Duration::from_millis(200);
    let client = setup.client(&server.url(), "timeout=200ms");
    client.execute(words::<i64>("INCR n").timeout(LIMIT)).unwrap();
    server.command(&["CLIENT", "PAUSE", "600", "WRITE"]).unwrap();
    let paused = Instant::now();
    for _ in 0..2 {
        let begun = Instant::now();
        let (result, took) = timed(|| client.run::<i64>("INCR n"));
        let slack = GRACE + stood_still_since(begun);
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
        assert!(took >= limit - Duration::from_millis(5) && took <= limit + slack, "{took:?}");
    }
    assert!(paused.elapsed() < Duration::from_millis(600) + stood_still_since(paused), "the pause is over");
    eventually("writes go on", LIMIT, || client.run::<i64>("INCR other").is_ok());
    let n: i64 = server.command(&["GET", "n"]).unwrap().parse().unwrap();
    assert!((1..=3).contains(&n), "{n}: each ran once at most");
}
