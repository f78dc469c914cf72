//! Coming from Python: redis-py's lock, with the timeline of its documentation.
//!
//! `cargo run -p redwire --example from_redis_py_lock` starts a server for itself. The steps are those of
//! `lock` in the document "Connecting to Redis". It uses threads, as the timeline there does; the lock of the
//! async client has the same names.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use redwire::blocking::Client;
use redwire::{ErrorKind, LockFault, Result};
use redwire_testkit::Server;

fn main() -> Result<()> {
    let server = Server::start();
    let redis = Client::connect(&server.url())?;
    timeline(&redis)?;
    parameters(&redis)
}

/// The timeline of `lock(…, thread_local=True)`, with tenths of seconds in place of seconds.
fn timeline(redis: &Client) -> Result<()> {
    println!("timeline");
    let (has_it, thread_2_has_it) = mpsc::channel();
    let (ended, thread_1_ended) = mpsc::channel::<()>();
    // Time 0: thread-1 acquires my-lock, with a timeout of 5.
    let thread_1 = redis.lock("my-lock").ttl(Duration::from_millis(500)).acquire()?;
    println!("  thread-1 acquired it");
    thread::scope(|scope| {
        // Time 1: thread-2 blocks trying to acquire it. Time 5: it is free, and thread-2 has it.
        let thread_2 = scope.spawn(move || {
            let guard =
                redis.lock("my-lock").wait_forever().retry_interval(Duration::from_millis(10)).acquire()?;
            println!("  thread-2 acquired it");
            has_it.send(()).expect("thread-1 waits");
            thread_1_ended.recv().expect("thread-1 says so");
            assert!(guard.owned()?, "thread-1 did not release it");
            guard.release()
        });
        thread_2_has_it.recv().expect("thread-2 says so");
        // Time 6: thread-1 finishes its work and releases. Its guard has its own token, so thread-2 keeps the
        // lock.
        let error = thread_1.release().expect_err("it ran out");
        assert_eq!(error.kind(), ErrorKind::Lock(LockFault::NotOwned));
        println!("  thread-1 cannot release it: {error}");
        ended.send(()).expect("thread-2 waits");
        thread_2.join().expect("it does not panic")
    })
}

/// `thread_local=False`, `blocking=False`, `timeout=None`.
fn parameters(redis: &Client) -> Result<()> {
    println!("\nparameters");
    // thread_local=False, where one thread acquires and another releases: by the token.
    let token = redis.lock("my-lock").acquire()?.detach();
    thread::scope(|scope| {
        let worker = scope.spawn(|| redis.lock("my-lock").reattach(&token)?.release());
        worker.join().expect("it does not panic")
    })?;
    assert!(!redis.lock("my-lock").locked()?);
    println!("  acquired by one thread, released by another");
    // blocking=False; the default of `timeout` there, no end, is `ttl(Duration::MAX)`.
    let held = redis.lock("my-lock").ttl(Duration::MAX).acquire()?;
    assert!(redis.lock("my-lock").try_acquire()?.is_none());
    println!("  another gets none at once");
    held.release()
}
