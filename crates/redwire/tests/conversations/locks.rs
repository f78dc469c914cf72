//! Locks: one holder at a time, whatever is lost, frozen, cancelled or taken away; who waits is woken. FAULTS
//! 45.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::{Error, ErrorKind, LockFault, Outcome, Result};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::{Client, GRACE, LIMIT, Setup, stood_still_since, timed};

mod dropped;
mod guard;
mod processes;

use guard::Lock;

both!(
    sixteen_workers_hold_it_one_at_a_time,
    few_connections_are_enough_for_many_waiters,
    a_release_wakes_one_waiter_at_once,
    a_wake_up_without_a_waiter_does_no_harm,
    an_acquisition_whose_reply_is_lost_is_recognised,
    an_extension_or_release_whose_reply_is_lost_counts_once,
    a_holder_that_stands_still_is_told_and_refused_by_the_fence,
    a_frozen_server_loses_the_lock_in_time,
    a_lock_that_was_taken_away_is_found_out,
    its_time_can_be_extended,
    its_time_is_a_millisecond_at_least,
    it_is_extended_for_as_long_as_it_is_held,
    a_token_moves_to_another_client,
    a_dropped_guard_releases,
    a_late_release_frees_nothing_that_its_token_holds_anew,
    fences_grow_through_lost_data,
    other_clients_and_this_one_exclude_each_other,
    the_wait_has_an_end,
    a_waiter_survives_an_outage,
);

fn fault(error: &Error) -> Option<LockFault> {
    match error.kind() {
        ErrorKind::Lock(fault) => Some(fault),
        _ => None,
    }
}

#[track_caller]
fn refused<T>(result: Result<T>, expected: LockFault) {
    let error = result.err().expect("it is refused");
    assert_eq!(fault(&error), Some(expected), "{error}");
    assert_eq!(error.outcome(), Outcome::Rejected);
}

fn say(server: &Server, line: &str) -> String {
    server.command(&line.split(' ').collect::<Vec<_>>()).expect("the server answers")
}

const MS: Duration = Duration::from_millis(1);

/// So long no waiter waits in vain.
const LONG: Duration = Duration::from_secs(60);

fn lock(client: &Client) -> Lock {
    Lock::of(client, "l")
}

/// Reads a counter and writes it back, one step more, which goes wrong as soon as two do it at a time.
fn work(lock: &Lock, client: &Client, rounds: usize, inside: &AtomicUsize, fences: &Mutex<Vec<u64>>) {
    for _ in 0..rounds {
        let guard = lock.acquire().unwrap();
        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at a time");
        fences.lock().unwrap().push(guard.fence());
        let n = client.run::<Option<u64>>("GET n").unwrap().unwrap_or_default();
        client.run::<()>(&format!("SET n {}", n + 1)).unwrap();
        inside.fetch_sub(1, Ordering::SeqCst);
        guard.release().unwrap();
    }
}

fn crowd(setup: Setup, options: &str, workers: usize, rounds: usize) {
    let server = Server::start();
    let client = setup.client(&server.url(), options);
    let (inside, fences) = (AtomicUsize::new(0), Mutex::default());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&lock(&client).ttl(LONG).wait_forever(), &client, rounds, &inside, &fences));
        }
    });
    let fences = fences.into_inner().unwrap();
    assert_eq!(client.run::<usize>("GET n").unwrap(), workers * rounds);
    assert_eq!(fences.len(), workers * rounds);
    assert!(fences.is_sorted_by(|a, b| a < b), "numbers grow: {fences:?}");
    assert!(!lock(&client).locked().unwrap());
}

fn sixteen_workers_hold_it_one_at_a_time(setup: Setup) {
    crowd(setup, "timeout=20s", 16, 20);
}

fn few_connections_are_enough_for_many_waiters(setup: Setup) {
    crowd(setup, "max_connections=3&timeout=20s&pool_timeout=20s", 12, 4);
}

fn blocked(server: &Server) -> i64 {
    server.stat("blocked_clients")
}

fn a_release_wakes_one_waiter_at_once(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let lock = lock(&client).ttl(LONG).retry_interval(LONG);
    for _ in 0..3 {
        let guard = lock.acquire().unwrap();
        thread::scope(|scope| {
            let waiting: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (lock.acquire().unwrap(), Instant::now()))).collect();
            eventually("four wait", LIMIT, || blocked(&server) == 4);
            let asked = server.calls("evalsha");
            let released = Instant::now();
            guard.release().unwrap();
            eventually("one has it", LIMIT, || waiting.iter().any(thread::ScopedJoinHandle::is_finished));
            assert_eq!(blocked(&server), 3, "the others sleep on");
            assert_eq!(server.calls("evalsha") - asked, 2, "one released, and one asked");
            let mut waiting = waiting;
            while let Some(next) = waiting.iter().position(thread::ScopedJoinHandle::is_finished) {
                let (guard, woken) = waiting.swap_remove(next).join().unwrap();
                let (took, slack) = (woken.duration_since(released), GRACE + stood_still_since(released));
                assert!(took < Duration::from_secs(1) + slack, "{took:?}");
                guard.release().unwrap();
                eventually("the next has it", LIMIT, || {
                    waiting.is_empty() || waiting.iter().any(thread::ScopedJoinHandle::is_finished)
                });
            }
        });
    }
}

fn a_wake_up_without_a_waiter_does_no_harm(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    for _ in 0..3 {
        lock(&client).acquire().unwrap().release().unwrap();
    }
    assert_eq!(say(&server, "LLEN {l}:wake"), "1");
    let left: i64 = say(&server, "PTTL {l}:wake").parse().unwrap();
    assert!((1..=1_000).contains(&left), "{left}");
    let guard = lock(&client).acquire().unwrap();
    assert_eq!(say(&server, "EXISTS {l}:wake"), "0", "there is nothing to be had");
    // One of another origin: it is asked once more, and then waited as before.
    say(&server, "RPUSH {l}:wake stale stale");
    let (got, took) = timed(|| lock(&client).wait(300 * MS).retry_interval(LONG).acquire());
    refused(got, LockFault::NotAcquired);
    assert!(took >= 300 * MS, "{took:?}");
    guard.release().unwrap();
}

/// Has the server know the scripts, so that the next reply is the one that counts.
fn warm(client: &Client) {
    let guard = Lock::of(client, "warm").acquire().unwrap();
    guard.extend(LONG).unwrap();
    guard.release().unwrap();
}

/// How a reply is lost: with its connection, or alone.
const LOSSES: [Fault; 3] = [Fault::CutAfter(0), Fault::ResetAfter(1), Fault::DropReplies(1)];

fn an_acquisition_whose_reply_is_lost_is_recognised(setup: Setup) {
    for loss in LOSSES {
        let server = Server::start();
        let proxy = Proxy::start(server.addr());
        let client = setup.client(&proxy.url(), "timeout=1s");
        warm(&client);
        proxy.set(Direction::ToClient, loss);
        let guard = lock(&client).acquire().unwrap();
        let fence = guard.fence().to_string();
        assert_eq!(say(&server, "GET {l}:fence"), fence, "{loss:?}: acquired once");
        assert_eq!(say(&server, "GET l"), guard.token());
        guard.release().unwrap();
        assert_eq!(say(&server, "EXISTS l"), "0");
    }
}

fn an_extension_or_release_whose_reply_is_lost_counts_once(setup: Setup) {
    for loss in LOSSES {
        let server = Server::start();
        let proxy = Proxy::start(server.addr());
        let client = setup.client(&proxy.url(), "timeout=1s");
        warm(&client);
        let guard = lock(&client).acquire().unwrap();
        proxy.set(Direction::ToClient, loss);
        let extended = guard.extend(LONG);
        assert!(extended.is_ok() || extended.is_err_and(|error| error.is_timeout()), "{loss:?}");
        assert!(say(&server, "PTTL l").parse::<u64>().unwrap() > 50_000, "{loss:?}");
        // A holder that was told nothing believes what it did before, and can ask again.
        eventually("it answers", LIMIT, || guard.extend(LONG).is_ok());
        assert!(guard.valid_until().unwrap() > Instant::now() + LONG / 2 && !guard.is_lost());
        proxy.set(Direction::ToClient, loss);
        match guard.release() {
            Ok(()) => assert_eq!(say(&server, "EXISTS l"), "0", "{loss:?}"),
            Err(error) => assert!(error.is_timeout(), "{loss:?}: {error}"),
        }
        eventually("it is released", LIMIT, || say(&server, "EXISTS l") == "0");
    }
}

/// What refuses a writer who came before the last one.
#[derive(Default)]
struct Resource {
    highest: u64,
}

impl Resource {
    fn write(&mut self, fence: u64) -> bool {
        let fresh = fence >= self.highest;
        self.highest = self.highest.max(fence);
        fresh
    }
}

fn a_holder_that_stands_still_is_told_and_refused_by_the_fence(setup: Setup) {
    let server = Server::start();
    let (one, other) = (setup.client(&server.url(), ""), setup.client(&server.url(), ""));
    let mut resource = Resource::default();
    let (guard, acquired) = (lock(&one).ttl(300 * MS).acquire().unwrap(), Instant::now());
    assert!(resource.write(guard.fence()));
    guard.lost();
    let took = acquired.elapsed();
    assert!(guard.is_lost() && took < 300 * MS + GRACE + stood_still_since(acquired), "{took:?}");
    let next = lock(&other).acquire().unwrap();
    assert!(took <= acquired.elapsed() && next.fence() > guard.fence());
    assert!(resource.write(next.fence()));
    assert!(!resource.write(guard.fence()), "too late");
    assert!(guard.is_lost() && !guard.owned().unwrap());
    refused(guard.extend(LONG), LockFault::Lost);
    refused(guard.release(), LockFault::NotOwned);
    assert!(next.owned().unwrap() && !next.is_lost(), "it is another's");
    next.release().unwrap();
}

fn a_frozen_server_loses_the_lock_in_time(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=10s");
    let guard = lock(&client).ttl(1_000 * MS).auto_extend(true).acquire().unwrap();
    // Extended more than once before.
    let extended = || guard.valid_until().unwrap();
    let first = extended();
    eventually("it is extended", LIMIT, || extended() > first);
    server.freeze();
    let frozen = Instant::now();
    guard.lost();
    let took = frozen.elapsed();
    assert!(took < 1_000 * MS + GRACE + stood_still_since(frozen), "{took:?}");
    assert!(guard.is_lost());
    // What is on its way to the server must not find the lock there.
    thread::sleep(100 * MS);
    server.thaw();
    eventually("it has run out", LIMIT, || say(&server, "EXISTS l") == "0");
    let next = lock(&client).acquire().unwrap();
    assert!(next.fence() > guard.fence());
    assert!(guard.is_lost(), "what was told stays so");
    refused(guard.release(), LockFault::NotOwned);
    assert!(next.owned().unwrap());
}

fn a_lock_that_was_taken_away_is_found_out(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let guard = lock(&client).acquire().unwrap();
    say(&server, "SET l another");
    assert!(!guard.is_lost() && !guard.owned().unwrap());
    assert!(guard.is_lost());
    refused(guard.extend(LONG), LockFault::NotOwned);
    refused(guard.release(), LockFault::NotOwned);
    assert_eq!(say(&server, "GET l"), "another");
    say(&server, "DEL l");
    // Its keeper asks without being told to.
    let guard = lock(&client).ttl(1_500 * MS).auto_extend(true).acquire().unwrap();
    say(&server, "DEL l");
    let before = guard.valid_until().unwrap();
    guard.lost();
    assert!(Instant::now() < before + stood_still_since(before - 1_500 * MS), "before it would have run out");
    refused(guard.release(), LockFault::NotOwned);
}

fn its_time_can_be_extended(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let left = || say(&server, "PTTL l").parse::<u64>().unwrap();
    let (lock, began) = (lock(&client).ttl(Duration::from_secs(30)), Instant::now());
    assert!(!lock.locked().unwrap());
    let guard = lock.try_acquire().unwrap().expect("it is free");
    assert!(lock.locked().unwrap() && guard.owned().unwrap() && left() <= 30_000);
    assert!(lock.try_acquire().unwrap().is_none());
    guard.extend(2 * LONG).unwrap();
    assert!(left() > 110_000 && guard.valid_until().unwrap() > began + LONG);
    // Never shorter.
    guard.extend(MS).unwrap();
    guard.reacquire().unwrap();
    assert!(left() > 110_000 && guard.valid_until().unwrap() > began + LONG);
    say(&server, "PEXPIRE l 10000");
    guard.reacquire().unwrap();
    assert!(left() > 20_000);
    guard.release().unwrap();
    assert!(!lock.locked().unwrap());
}

fn its_time_is_a_millisecond_at_least(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    for ttl in [Duration::ZERO, Duration::from_micros(999)] {
        let error = lock(&client).ttl(ttl).try_acquire().err().expect("it is refused");
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
        assert!(error.to_string().contains(&format!("expected at least 1 ms, got {ttl:?}")), "{error}");
        let guard = lock(&client).acquire().unwrap();
        assert_eq!(guard.extend(ttl).unwrap_err().kind(), ErrorKind::Usage);
        guard.release().unwrap();
    }
    let guard = lock(&client).ttl(Duration::MAX).acquire().unwrap();
    assert!(guard.owned().unwrap());
    guard.extend(MS).unwrap();
    guard.release().unwrap();
}

fn it_is_extended_for_as_long_as_it_is_held(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let (guard, ttl) = (lock(&client).ttl(1_500 * MS).auto_extend(true).acquire().unwrap(), 1_500 * MS);
    let first = guard.valid_until().unwrap();
    let lost = guard.lost_within((first + 100 * MS).saturating_duration_since(Instant::now()));
    assert!(!lost && guard.owned().unwrap(), "it lives on for longer than its time");
    eventually("it is extended again and again", LIMIT, || guard.valid_until().unwrap() > first + ttl);
    guard.release().unwrap();
    // The task that extended it is gone: a lock that is left alone runs out.
    let token = lock(&client).ttl(600 * MS).auto_extend(true).acquire().unwrap().detach();
    eventually("it runs out", LIMIT, || say(&server, "EXISTS l") == "0");
    refused(lock(&client).reattach(&token), LockFault::NotOwned);
}

fn a_token_moves_to_another_client(setup: Setup) {
    let server = Server::start();
    let (one, other) = (setup.client(&server.url(), ""), setup.client(&server.url(), ""));
    let guard = lock(&one).acquire().unwrap();
    let (fence, token) = (guard.fence(), guard.detach());
    assert_eq!(token.len(), 32, "128 bits");
    assert_eq!(say(&server, "GET l"), token);
    refused(lock(&other).reattach("x"), LockFault::NotOwned);
    let guard = lock(&other).reattach(&token).unwrap();
    assert_eq!((guard.fence(), guard.token()), (fence, &*token));
    assert!(guard.valid_until().unwrap() < Instant::now() + LONG && guard.owned().unwrap());
    thread::spawn(move || guard.release()).join().unwrap().unwrap();
    assert_eq!(say(&server, "EXISTS l"), "0");
    // A token of one's own.
    let guard = lock(&one).token("mine").acquire().unwrap();
    assert_eq!((guard.token(), &*say(&server, "GET l")), ("mine", "mine"));
    assert_eq!(
        lock(&other).token("mine").acquire().unwrap().detach(),
        "mine",
        "the holder of the guard holds the lock"
    );
    guard.release().unwrap();
    let guard = lock(&one).token("mine").acquire().unwrap();
    say(&server, "DEL l");
    refused(guard.release(), LockFault::NotOwned);
}

fn a_dropped_guard_releases(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    for auto_extend in [false, true] {
        let guard = lock(&client).auto_extend(auto_extend).acquire().unwrap();
        assert_eq!(say(&server, "EXISTS l"), "1");
        drop(guard);
        eventually("it is free", LIMIT, || say(&server, "EXISTS l") == "0");
        let panicked = thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let _guard = lock(&client).acquire().unwrap();
                std::panic::resume_unwind(Box::new(()));
            });
            holder.join().is_err()
        });
        assert!(panicked);
        eventually("it is free", LIMIT, || say(&server, "EXISTS l") == "0");
    }
}

/// The connection of a holder is slow, and its token acquires the lock again over another one.
fn a_late_release_frees_nothing_that_its_token_holds_anew(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let (far, near) = (setup.client(&proxy.url(), "timeout=200ms"), setup.client(&server.url(), ""));
    warm(&far);
    // Its token moved: then it is the other's to release.
    let first = lock(&near).token("mine").ttl(LONG).acquire().unwrap();
    let other = lock(&near).reattach("mine").unwrap();
    assert_eq!(other.fence(), first.fence(), "it is the same hold");
    other.extend(2 * LONG).unwrap();
    assert!(
        say(&server, "PTTL {l}:attempt").parse::<u64>().unwrap() > 110_000,
        "known for as long as it is held"
    );
    let asked = server.calls("evalsha");
    drop(first);
    eventually("the release comes", LIMIT, || server.calls("evalsha") > asked);
    assert!(other.owned().unwrap());
    other.release().unwrap();
    assert_eq!(say(&server, "EXISTS l {l}:attempt"), "0");
    for is_dropped in [true, false] {
        let first = lock(&far).token("mine").ttl(LONG).acquire().unwrap();
        let fence = first.fence();
        proxy.set(Direction::ToServer, Fault::Delay { min: 400 * MS, max: 400 * MS });
        let asked = server.calls("evalsha");
        if is_dropped {
            drop(first);
        } else {
            assert!(first.release().unwrap_err().is_timeout());
        }
        let anew = lock(&near).token("mine").ttl(LONG).acquire().unwrap();
        assert!(anew.fence() > fence, "it was acquired twice");
        eventually("the release comes, too", LIMIT, || server.calls("evalsha") - asked >= 2);
        assert_eq!(say(&server, "GET l"), "mine");
        assert!(lock(&near).try_acquire().unwrap().is_none() && anew.owned().unwrap());
        proxy.heal();
        anew.release().unwrap();
        assert_eq!(say(&server, "EXISTS l {l}:attempt"), "0");
    }
}

/// Lost writes after a failover, a server without its data, a counter of earlier versions, a clock that was
/// set back.
fn fences_grow_through_lost_data(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let mut highest = 0;
    for loss in ["SET {l}:fence 41", "DEL {l}:fence", "FLUSHALL", "SET {l}:fence 8000000000000000", "PING"] {
        say(&server, loss);
        let guard = lock(&client).acquire().unwrap();
        assert!(guard.fence() > highest, "{loss}: {} after {highest}", guard.fence());
        highest = guard.fence();
        assert_eq!(say(&server, "GET {l}:fence"), highest.to_string(), "digit by digit");
        guard.release().unwrap();
    }
    assert_eq!(highest, 8_000_000_000_000_002);
    // A program with an earlier version counts on from there.
    assert_eq!(say(&server, "INCR {l}:fence"), "8000000000000003");
}

/// As redis-py does it: `SET NX PX`, and a script that deletes its own token.
fn other_clients_and_this_one_exclude_each_other(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    assert_eq!(say(&server, "SET l 7d1f NX PX 60000"), "OK");
    assert!(lock(&client).try_acquire().unwrap().is_none() && lock(&client).locked().unwrap());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| lock(&client).acquire());
        eventually("it waits", LIMIT, || blocked(&server) == 1);
        let freed = Instant::now();
        say(&server, "DEL l");
        let guard = waiting.join().unwrap().unwrap();
        // It is asked ten times a second, and the server ends waits as often.
        let took = freed.elapsed();
        assert!(took < 400 * MS + GRACE + stood_still_since(freed), "{took:?}");
        assert_eq!(say(&server, "SET l 7d1f NX PX 60000"), "(nil)");
        assert!(say(&server, "PTTL l").parse::<i64>().unwrap() > 0);
        guard.release().unwrap();
    });
    // One that never ends, and one that does.
    assert_eq!(say(&server, "SET l 7d1f NX"), "OK");
    refused(lock(&client).wait(250 * MS).acquire(), LockFault::NotAcquired);
    assert_eq!(say(&server, "SET l 7d1f PX 200"), "OK");
    lock(&client).retry_interval(LONG).acquire().unwrap().release().unwrap();
}

fn the_wait_has_an_end(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=1s");
    let _guard = lock(&client).acquire().unwrap();
    let waited = |lock: Lock, limit: Duration| {
        let begun = Instant::now();
        let (got, took) = timed(|| lock.acquire());
        assert!(took < limit + 1_000 * MS + stood_still_since(begun), "{took:?}");
        (got.err().expect("it is held"), took)
    };
    let (error, took) = waited(lock(&client).wait(500 * MS), 500 * MS);
    assert!(fault(&error) == Some(LockFault::NotAcquired) && took >= 500 * MS, "{error} after {took:?}");
    let (error, took) = waited(lock(&client).ttl(200 * MS), 200 * MS);
    assert!(fault(&error) == Some(LockFault::NotAcquired) && took >= 200 * MS, "{error} after {took:?}");
    // One more question is asked at the end, and has the time of a call.
    server.freeze();
    let (error, _) = waited(lock(&client).wait(MS), 1_000 * MS);
    assert!(error.is_timeout(), "{error}");
    let (error, _) = waited(lock(&client).wait(700 * MS), 1_700 * MS);
    assert!(error.is_timeout(), "{error}");
    server.thaw();
}

fn a_waiter_survives_an_outage(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "client_name=waiter");
    say(&server, "SET l another PX 60000");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| lock(&client).acquire());
        eventually("it waits", LIMIT, || blocked(&server) == 1);
        crate::common::kill_named(&server, "waiter");
        eventually("it waits again", LIMIT, || blocked(&server) == 1);
        server.kill();
        thread::sleep(200 * MS);
        // Nothing was saved.
        server.restart();
        waiting.join().unwrap().unwrap().release().unwrap();
    });
}
