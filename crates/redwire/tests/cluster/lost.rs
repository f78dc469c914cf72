//! Primaries that are killed or frozen under load, with a replica to take over and without: service returns
//! by itself, nothing is executed twice, and who calls others hears nothing of it (I2, I3, I6). FAULTS 35,
//! 36.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::{ClusterFault, ErrorKind, Outcome, Value};
use redwire_testkit::{ClusterSet, Direction, Fault, eventually};

use crate::account::{Account, Stop};
use crate::common::{Client, LIMIT, Setup, stood_still_since, timed, words};
use crate::{in_time, keys_of};

each!(
    a_killed_primary_is_replaced,
    a_frozen_primary_holds_up_no_call_to_others_and_comes_back_as_a_replica,
    without_a_replica_to_take_over_calls_wait_for_their_deadline,
    a_node_that_cannot_be_reached_is_not_stormed,
    a_frozen_primary_is_followed_as_soon_as_another_is_there,
);

/// After a promotion: a pause between two questions, a moment for the old primary, and some for a busy
/// machine.
const FOLLOWED: Duration = Duration::from_millis(500);

/// Long before it would count as dead, and whatever the deadlines: also with less time than a connect may
/// take. FAULTS 59, 122.
fn a_frozen_primary_is_followed_as_soon_as_another_is_there(setup: Setup) {
    let set = ClusterSet::start();
    let mut old = 0;
    // Four blocking callers have a connection each, eight share one.
    for (round, (callers, options)) in [(8, ""), (4, "timeout=500ms")].into_iter().enumerate() {
        if round > 0 {
            // Nodes do not vote for a replica of the same primary twice within two of their timeouts.
            thread::sleep(Duration::from_secs(4));
        }
        let client = setup.client(&set.url(), options);
        let account = Account::new(keys_of(&set, old, &format!("frozen:{round}"), callers));
        account.during(&client, callers, Duration::from_millis(2), || {
            account.wait_for_all(LIMIT);
            let next = set.replica_of(old);
            let probes = set.node(next).calls("role");
            let frozen = Instant::now();
            set.freeze(old);
            let promoted = set.wait_promoted(next);
            // From the promotion on, not from when it was seen.
            let followed = account.wait_for_all(FAILOVER);
            println!("{setup:?} {options:?}: all count {followed:?} after another primary was there");
            assert!(followed <= FOLLOWED + stood_still_since(promoted), "{options:?}: {followed:?}");
            let probes = u128::from((set.node(next).calls("role") - probes).unsigned_abs());
            let seconds = frozen.elapsed().as_millis() / 1000 + 1;
            println!("asked {probes} times in {seconds} s");
            assert!(probes <= 20 * seconds, "{probes} questions in {seconds} s");
            set.node(old).thaw();
            set.wait_settled();
            account.wait_for_all(LIMIT);
            old = next;
        });
        check_kinds(&account);
        account.check(&client, false);
    }
}

/// What the nodes need to find out and to choose another, by their own settings, on a busy machine.
const FAILOVER: Duration = Duration::from_secs(30);

/// How long after the cluster is well again the last caller may have to wait: a pause between questions for
/// the map, one between connects, and some for the machine.
const HEALED: Duration = Duration::from_secs(6);

fn a_killed_primary_is_replaced(setup: Setup) {
    let set = ClusterSet::start();
    let client = setup.client(&set.url(), "");
    let account = Account::new((0..60).map(|n| format!("count:{n}")));
    account.during(&client, 6, Duration::from_millis(2), || {
        eventually("they count", LIMIT, || account.done() > 500);
        let next = set.replica_of(0);
        set.kill(0);
        let begin = Instant::now();
        let promoted = set.wait_promoted(next);
        let all = account.wait_for_all(FAILOVER);
        let healed = promoted.elapsed();
        println!("{setup:?}: another primary after {:?}, all count {healed:?} later", promoted - begin);
        assert!(all <= HEALED + stood_still_since(promoted), "{all:?}");
        // Calls that were stuck in the middle have ended by now, and none is any more.
        let (failed, done) = (account.failed().0, account.done());
        eventually("they count on", LIMIT, || account.done() > done + 500);
        let (now, list) = account.failed();
        assert!(now <= failed + 6, "{list}");
        set.node(0).restart();
        set.wait_settled();
        account.wait_for_all(LIMIT);
    });
    check_kinds(&account);
    account.check(&client, false);
}

/// All that calls may end in while a primary is lost.
#[track_caller]
fn check_kinds(account: &Account) {
    let (failed, list) = account.failed();
    println!("{failed} failed:\n{list}");
    // A call whose deadline ends it between two nodes says what it heard last.
    let kinds = ["× Connection(", "× Timeout,", "× Cluster(Down)", "× Cluster(Moved), Rejected"];
    let expected = |line: &str| kinds.iter().any(|kind| line.contains(kind));
    assert!(list.lines().all(expected), "{list}");
}

fn a_frozen_primary_holds_up_no_call_to_others_and_comes_back_as_a_replica(setup: Setup) {
    let set = ClusterSet::start();
    let client = setup.client(&set.url(), "timeout=10s");
    let account = Account::new(keys_of(&set, 0, "frozen", 8));
    let others: Vec<String> = [1, 2].iter().flat_map(|node| keys_of(&set, *node, "well", 8)).collect();
    let (before, during) = account.during(&client, 4, Duration::from_millis(2), || {
        eventually("they count", LIMIT, || account.done() > 100);
        let before = latencies(&client, &others, || thread::sleep(Duration::from_secs(1)));
        let during = latencies(&client, &others, || {
            let next = set.replica_of(0);
            set.freeze(0);
            let promoted = set.wait_promoted(next);
            account.wait_for_all(FAILOVER);
            println!("{setup:?}: all count {:?} after another primary was there", promoted.elapsed());
            assert!(promoted.elapsed() <= HEALED + stood_still_since(promoted), "{:?}", promoted.elapsed());
        });
        set.node(0).thaw();
        set.wait_settled();
        // It is a replica; on a machine that stands still it may have taken over again.
        let owner = set.owner(0);
        assert!(owner == 0 || set.replicas_of(owner) == [0], "{owner}: {:?}", set.replicas_of(owner));
        account.wait_for_all(LIMIT);
        (before, during)
    });
    println!("{setup:?}: p99 of the others {before:?} before, {during:?} meanwhile");
    // A hang of theirs would be two seconds and more.
    assert!(during < Duration::from_millis(250) + 3 * before, "{before:?} before, {during:?} meanwhile");
    check_kinds(&account);
    account.check(&client, false);
}

/// The latency that 99 of 100 calls stay below which four callers make while `work` is done.
fn latencies(client: &Client, keys: &[String], work: impl FnOnce()) -> Duration {
    let (stop, times) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        for _ in 0..4 {
            scope.spawn(|| {
                let mut own = Vec::new();
                for key in keys.iter().cycle() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (result, took) = timed(|| client.run::<Value>(&format!("GET {key}")));
                    result.unwrap();
                    own.push(took);
                    thread::sleep(Duration::from_millis(1));
                }
                times.lock().unwrap().extend(own);
            });
        }
        work();
    });
    let mut times = times.into_inner().unwrap();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// The nodes themselves refuse everything then (CLUSTERDOWN), as is their default.
fn without_a_replica_to_take_over_calls_wait_for_their_deadline(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = setup.client(&set.url(), "");
    let (lost, other) = (keys_of(&set, 0, "k", 1).remove(0), keys_of(&set, 1, "k", 1).remove(0));
    let limited = |key: &str| words::<Value>(&format!("INCR {key}")).timeout(Duration::from_millis(500));
    client.execute(limited(&lost)).unwrap();
    client.execute(limited(&other)).unwrap();
    set.node(0).kill();
    let down = ErrorKind::Cluster(ClusterFault::Down);
    let is_down = || client.execute(limited(&other)).is_err_and(|error| error.kind() == down);
    eventually("the others find out", FAILOVER, is_down);
    for key in [&lost, &other] {
        let (error, took) = timed(|| client.execute(limited(key)).unwrap_err());
        let outcomes = [Outcome::NotSent, Outcome::Rejected];
        assert!(outcomes.contains(&error.outcome()), "{error}");
        in_time(took, Duration::from_millis(500));
    }
    thread::scope(|scope| {
        let wait = |key: &str| {
            let (client, line) = (&client, format!("INCR {key}"));
            scope.spawn(move || client.execute(words::<i64>(&line).timeout(FAILOVER)))
        };
        let (lost, other) = (wait(&lost), wait(&other));
        set.node(0).restart();
        let counted = (lost.join().unwrap(), other.join().unwrap());
        // The one that came back has lost everything. Calls that failed were not executed.
        assert_eq!((counted.0.unwrap(), counted.1.unwrap() > 1), (1, true));
    });
}

/// The nodes see each other, so that no replica takes over.
fn a_node_that_cannot_be_reached_is_not_stormed(setup: Setup) {
    const OUTAGE: Duration = Duration::from_secs(3);
    let set = ClusterSet::builder().replicas(0).proxied().start();
    let client = setup.client(&set.url(), "timeout=500ms");
    let account = Account::new((0..60).map(|n| format!("count:{n}")));
    account.during(&client, 30, Duration::from_millis(1), || {
        account.wait_for_all(LIMIT);
        let met = || [0, 1, 2].map(|node| set.node(node).proxy().connections());
        let before = met();
        set.node(0).proxy().set(Direction::ToServer, Fault::Refuse);
        set.node(0).proxy().reset_all();
        thread::sleep(OUTAGE);
        let now = met();
        set.node(0).proxy().heal();
        let (took, asked) = (account.wait_for_all(LIMIT), [0, 1, 2].map(|node| now[node] - before[node]));
        println!(
            "{setup:?}: {asked:?} connections to the three nodes in {OUTAGE:?}; all count {took:?} later"
        );
        // Full jitter up to a second, from 10 ms on, by the shared connections and by the pool; a
        // question for the map a second.
        assert!(asked[0] <= 60, "{asked:?}");
        assert!(asked[1] <= 20 && asked[2] <= 20, "{asked:?}");
        assert!(took <= HEALED, "{took:?}");
    });
    check_kinds(&account);
    account.check(&client, true);
}
