//! Holders that are processes: one that is stopped for longer than its time, and one that forks.

use std::thread;
use std::time::{Duration, Instant};

use fork::{Fork, fork, waitpid_nohang};
use redwire::blocking::{Client, LockGuard};
use redwire::{LockFault, cmd};
use redwire_testkit::{Server, eventually};
use rustix::process::{Pid, Signal, kill_process};

use super::{LIMIT, MS, fault, refused, say};

/// A forked process, which ends well if `work` says so.
fn child(work: impl FnOnce() -> bool) -> i32 {
    match fork().unwrap() {
        Fork::Parent(pid) => pid,
        Fork::Child => std::process::exit(i32::from(!work())),
    }
}

/// Waits until the child has ended well.
#[track_caller]
fn ends_well(pid: i32) {
    let end = Instant::now() + 3 * LIMIT;
    let status = loop {
        match waitpid_nohang(pid).unwrap() {
            None if Instant::now() < end => thread::sleep(MS),
            status => break status,
        }
    };
    if status.is_none() {
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        fork::waitpid(pid).unwrap();
    }
    assert_eq!(status, Some(0), "the child has not seen what it should");
}

/// Holds the lock until it is lost; says whether that was told, too, when it was released.
fn hold_until_lost(url: &str) -> bool {
    let client = Client::connect(url).unwrap();
    let guard = client.lock("l").ttl(1_000 * MS).auto_extend(true).acquire().unwrap();
    client.execute::<()>(cmd("SET").arg("held").arg(guard.fence())).unwrap();
    guard.lost();
    let error = guard.release().expect_err("it is another's");
    fault(&error) == Some(LockFault::NotOwned)
}

#[test]
fn a_process_that_was_stopped_knows_that_its_lock_is_lost() {
    let server = Server::start();
    let pid = child(|| hold_until_lost(&server.url()));
    eventually("the child holds it", LIMIT, || say(&server, "EXISTS held") == "1");
    let signal = |signal| kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    signal(Signal::STOP);
    // With a wait that is longer than the stopped one's time.
    let guard = Client::connect(&server.url()).unwrap().lock("l").acquire().unwrap();
    assert!(guard.fence() > say(&server, "GET held").parse().unwrap());
    signal(Signal::CONT);
    ends_well(pid);
    assert!(guard.owned().unwrap() && !guard.is_lost());
    guard.release().unwrap();
}

/// The child has a copy of the guard, and not the lock.
#[test]
fn a_guard_that_a_child_inherits_releases_nothing() {
    let server = Server::start();
    let client = Client::connect(&server.url()).unwrap();
    let mut guard: Option<LockGuard> = Some(client.lock("l").ttl(Duration::from_secs(60)).acquire().unwrap());
    let pid = child(|| {
        drop(guard.take());
        // A token of its own, though it has its parent's chance.
        let client = Client::connect(&server.url()).unwrap();
        client.lock("child").acquire().unwrap().detach().len() == 32
    });
    ends_well(pid);
    let guard = guard.expect("only the child's copy was taken");
    assert!(guard.owned().unwrap());
    assert_ne!(client.lock("parent").acquire().unwrap().detach(), say(&server, "GET child"));
    guard.release().unwrap();
    refused(client.lock("l").reattach("nobody's"), LockFault::NotOwned);
}
