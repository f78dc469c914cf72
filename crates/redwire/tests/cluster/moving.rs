//! Slots that move while they are used: redirections, half a slot here and half there, and what is asked of
//! the nodes about it. FAULTS 32–34, 40, 41.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{ClusterFault, ErrorKind, Outcome, Run, Script, Slot, Value, cmd};
use redwire_testkit::{ClusterSet, eventually, slot};

use crate::account::{Account, Stop};
use crate::common::{Client, LIMIT, Setup, runtime, timed, words};
use crate::{calls, keys_of, refused};

each!(
    a_key_on_its_way_is_found_even_at_a_node_that_is_not_in_the_map,
    pipelines_and_transactions_lose_and_double_nothing_while_their_slots_move,
    a_thousand_slots_move_under_two_hundred_callers,
    keys_apart_are_waited_for_until_they_are_together,
    a_call_that_waits_goes_along_with_the_slot,
);

/// FAULTS 32. Servers before Redis 7.0 do not count questions for the map by themselves: there it shows only
/// that every call is right.
fn a_thousand_slots_move_under_two_hundred_callers(setup: Setup) {
    // So many callers take the machine, and nodes are not to take each other for dead.
    let set = ClusterSet::builder().replicas(0).node_timeout(Duration::from_secs(10)).start();
    let client = setup.client(&set.url(), "client_name=mover");
    let account = Account::new((0..1000).map(|n| format!("count:{n}")));
    account.during(&client, 200, Duration::from_millis(20), || {
        eventually("they count", LIMIT, || account.done() > 500);
        let (before, begin) = (calls(&set, "cluster|slots"), Instant::now());
        // Those of the first node to the two others in turn.
        for slot in 0..1000 {
            set.move_slot(slot, 1 + usize::from(slot % 2));
        }
        let (asked, took, done) = (calls(&set, "cluster|slots") - before, begin.elapsed(), account.done());
        account.wait_for_all(LIMIT);
        println!("{setup:?}: 1000 slots in {took:?}, {asked} times asked for the map, {done} calls");
        assert!(asked as f64 <= took.as_secs_f64() + 1.0, "{asked} times in {took:?}");
    });
    let (failed, list) = account.failed();
    assert_eq!(failed, 0, "{list}");
    account.check(&client, true);
}

/// FAULTS 33.
fn a_key_on_its_way_is_found_even_at_a_node_that_is_not_in_the_map(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = setup.client(&set.url(), "refresh_interval=0");
    for n in 0..4 {
        client.run::<()>(&format!("SET {{t}}{n} {n}")).unwrap();
    }
    client.run::<()>("RPUSH {t}list a b").unwrap();
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    assert_eq!(client.execute::<i64>(script.key("{t}0").arg(10).cmd()).unwrap(), 10);
    let new = set.add_node();
    let (from, moving) = (set.owner(slot("t")), set.begin_move(slot("t"), new));
    ["{t}0", "{t}1", "{t}2", "{t}list"].iter().for_each(|key| moving.move_key(key));
    let asked = || set.node(new).calls("asking");

    assert_eq!(client.run::<i64>("INCR {t}1").unwrap(), 2);
    assert_eq!(asked(), 1);
    assert_eq!(client.run::<i64>("INCR {t}3").unwrap(), 4);
    assert_eq!(asked(), 1, "for a key that had not gone yet");
    // A script that is unknown there, a wait, keys together, what is new, a transaction, a pipeline.
    assert_eq!(client.execute::<i64>(script.key("{t}0").arg(5).cmd()).unwrap(), 15);
    assert_eq!(client.run::<(String, String)>("BLPOP {t}list 1").unwrap().1, "a");
    assert_eq!(client.run::<Vec<i64>>("MGET {t}0 {t}1 {t}2").unwrap(), [15, 2, 2]);
    assert_eq!(client.run::<i64>("INCR {t}new").unwrap(), 1);
    let (one, two): (i64, i64) = client.atomic(|p| (p.incr("{t}1"), p.incr("{t}2"))).unwrap();
    assert_eq!((one, two), (3, 3));
    let all: Vec<i64> = client
        .pipeline(|p| {
            ["{t}1", "{t}3", "elsewhere", "{t}2", "{t}1"]
                .map(|key| p.incr(key))
                .into_iter()
                .collect::<Vec<_>>()
        })
        .unwrap();
    assert_eq!(all, [4, 5, 1, 4, 5]);
    // It is the owner still.
    assert_eq!(set.owner(slot("t")), from);
    moving.end_move();
    let moved = asked();
    assert_eq!(client.run::<Vec<i64>>("MGET {t}1 {t}3").unwrap(), [5, 5]);
    assert_eq!((client.run::<i64>("INCR {t}1").unwrap(), asked()), (6, moved));
    assert_eq!(set.node(new).command(&["GET", "{t}1"]).unwrap(), "6");
}

/// FAULTS 34.
fn keys_apart_are_waited_for_until_they_are_together(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = setup.client(&set.url(), "max_redirects=3");
    client.run::<()>("MSET {t}1 a {t}2 b").unwrap();
    let moving = set.begin_move(slot("t"), (set.owner(slot("t")) + 1) % 3);
    moving.move_key("{t}1");
    // Half is there; and what is nowhere yet makes the one node send to the other, which wants to be asked
    // again.
    for line in ["MGET {t}1 {t}2", "MGET {t}1 {t}none"] {
        let error = refused(&client, line, Duration::from_millis(700));
        // One node sends it to the other, which wants it later; the deadline may come after either.
        let faults = [ClusterFault::TryAgain, ClusterFault::Ask].map(ErrorKind::Cluster);
        assert!(faults.contains(&error.kind()), "{line}: {error}");
        assert_eq!(error.outcome(), Outcome::Rejected, "{line}: {error}");
        assert!(error.tries() > 2, "{line}: {error}");
        let (error, took) = timed(|| client.execute(words::<Value>(line).retries(0)).unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::TryAgain), "{line}: {error}");
        assert!(took < Duration::from_secs(1), "{line}: {took:?} {error}");
    }
    thread::scope(|scope| {
        let wait = |line: &'static str| {
            let client = &client;
            scope.spawn(move || timed(|| client.execute(words::<Vec<Option<String>>>(line).timeout(LIMIT))))
        };
        let one = wait("MGET {t}1 {t}2");
        let pipeline = {
            let client = &client;
            scope.spawn(move || {
                client.pipeline(|p| -> (Slot<String>, Slot<Vec<String>>, Slot<i64>) {
                    (p.run(words("SET x 1")), p.run(words("MGET {t}2 {t}1")), p.run(words("INCR x")))
                })
            })
        };
        let none = wait("MGET {t}1 {t}none");
        let transaction = {
            let client = &client;
            scope.spawn(move || client.atomic(|p| (p.append("{t}1", "+"), p.append("{t}2", "+"))))
        };
        // Nothing is to be waited for but time: they are waiting.
        thread::sleep(Duration::from_secs(3));
        moving.end_move();
        let (values, took) = one.join().unwrap();
        let values = values.unwrap();
        assert!(values[0].as_ref().is_some_and(|value| value.starts_with('a')), "{values:?}");
        assert!(took > Duration::from_secs(2), "{took:?}");
        assert_eq!(none.join().unwrap().0.unwrap()[1], None);
        let (_, both, x) = pipeline.join().unwrap().unwrap();
        assert_eq!((both.len(), x), (2, 2));
        let lengths: (u64, u64) = transaction.join().unwrap().unwrap();
        assert_eq!(lengths, (2, 2));
    });
    assert_eq!(client.run::<Vec<String>>("MGET {t}1 {t}2").unwrap(), ["a+", "b+"]);
}

/// FAULTS 40 and 41.
fn pipelines_and_transactions_lose_and_double_nothing_while_their_slots_move(setup: Setup) {
    const MOVES: usize = 40;
    let set = ClusterSet::builder().replicas(0).start();
    let client = setup.client(&set.url(), "timeout=10s");
    let keys: Vec<String> = (0..3).flat_map(|node| keys_of(&set, node, "k", 4)).collect();
    let slots: Vec<u16> = keys.iter().map(slot).collect();
    let stop = AtomicBool::new(false);
    let (pipelines, transactions, watched) = (AtomicI64::new(0), AtomicI64::new(0), AtomicI64::new(0));
    let running = || !stop.load(Ordering::Relaxed);
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            while running() {
                pipeline(&client, &keys, pipelines.fetch_add(1, Ordering::Relaxed));
            }
        });
        scope.spawn(|| {
            while running() {
                let nth = transactions.fetch_add(1, Ordering::Relaxed);
                for key in &keys {
                    let (one, two): (i64, i64) = client
                        .atomic(|p| (p.incr(format!("{{{key}}}a")), p.incr(format!("{{{key}}}b"))))
                        .unwrap();
                    assert_eq!((one, two), (nth + 1, nth + 1), "{key}");
                }
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while running() {
                    keys.iter().for_each(|key| count_watched(&client, format!("{{{key}}}w")));
                    watched.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for nth in 0..MOVES {
            let slot = slots[nth % slots.len()];
            let moving = set.begin_move(slot, (set.owner(slot) + 1) % 3);
            while moving.move_one_key() {
                thread::sleep(Duration::from_millis(2));
            }
            moving.end_move();
        }
    });
    let done = [pipelines, transactions, watched].map(AtomicI64::into_inner);
    println!("{setup:?}: {done:?} pipelines, transactions and watched ones of {} keys", keys.len());
    assert!(done.iter().all(|done| *done > 10), "{done:?}");
    let [pipelines, transactions, watched] = done;
    for key in &keys {
        assert_eq!(client.execute::<i64>(cmd("GET").arg(key)).unwrap(), pipelines * 3, "{key}");
        for (name, expected) in [("a", transactions), ("b", transactions), ("w", watched)] {
            let counted = client.execute::<i64>(cmd("GET").arg(format!("{{{key}}}{name}"))).unwrap();
            assert_eq!(counted, expected, "{key}{name}");
        }
    }
}

/// Counts each key up three times, and sees each count in its turn.
#[track_caller]
fn pipeline(client: &Client, keys: &[String], nth: i64) {
    let counts: Vec<i64> =
        client.pipeline(|p| (0..3).flat_map(|_| keys).map(|key| p.incr(key)).collect::<Vec<_>>()).unwrap();
    for (place, count) in counts.iter().enumerate() {
        let turn = (place / keys.len()) as i64;
        assert_eq!(*count, nth * 3 + turn + 1, "{} in {counts:?}", keys[place % keys.len()]);
    }
}

/// Reads the key, and writes one more if no other task did meanwhile.
#[track_caller]
fn count_watched(client: &Client, key: String) {
    let next = |count: Option<i64>| count.unwrap_or_default() + 1;
    let done: redwire::Result<()> = match client {
        Client::Tokio(client) => runtime().block_on(client.transaction([&key], async |mut tx| {
            let count = next(tx.get(&key).await?);
            tx.commit(|p| p.set(&key, count)).await
        })),
        Client::Blocking(client) => client.transaction([&key], |mut tx| {
            let count = next(tx.get(&key)?);
            tx.commit(|p| p.set(&key, count))
        }),
    };
    done.unwrap();
}

fn a_call_that_waits_goes_along_with_the_slot(setup: Setup) {
    // No replica is to take over unasked because the machine stands still.
    let set = ClusterSet::builder().arg("cluster-replica-no-failover", "yes").start();
    let client = setup.client(&set.url(), "");
    let waiting = |node: usize| move |set: &ClusterSet| set.node(node).stat("blocked_clients") == 1;
    let from = set.owner(slot("list"));
    let to = (from + 1) % 3;
    let next = set.replica_of(to);
    thread::scope(|scope| {
        let wait = scope.spawn(|| client.run::<(String, String)>("BLPOP list 30"));
        eventually("it waits", LIMIT, || waiting(from)(&set));
        set.move_slot(slot("list"), to);
        eventually("it waits at the new owner", LIMIT, || waiting(to)(&set));
        set.wait_settled();
        set.failover(next);
        eventually("it waits at the one that took over", LIMIT, || waiting(next)(&set));
        client.run::<i64>("RPUSH list x").unwrap();
        assert_eq!(wait.join().unwrap().unwrap(), ("list".to_owned(), "x".to_owned()));
    });
}
