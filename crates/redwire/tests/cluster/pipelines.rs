//! Pipelines over a cluster: what the nodes in good order answered is given out though another fails, and
//! every node has the scripts that it is to run (I2, I3). FAULTS 71, 76, 82, 116.

use std::time::Duration;

use redwire::prelude::*;
use redwire::{
    ClusterFault, Cmd, ErrorKind, Outcome, Reply, Result, Run, ScanOptions, Script, Slot, TrySlot, Value, cmd,
};
use redwire_testkit::{ClusterSet, Direction, Fault, eventually, slot};

use crate::common::{Client, LIMIT, Setup, runtime, timed, words};
use crate::{in_time, keys_of, refused, say};

each!(
    each_slot_has_its_own_value_or_error_while_a_node_fails,
    what_came_before_a_node_was_lost_is_given_out,
    every_node_has_the_scripts_that_it_runs,
    a_script_goes_with_its_slot_and_keeps_the_order_of_its_key,
    a_slot_without_an_owner_concerns_its_own_keys_only,
);

/// How long a call may take that meets a node which fails.
const SHORT: Duration = Duration::from_millis(700);

impl Client {
    /// What becomes of very many commands.
    fn run_all<R: Reply>(&self, commands: Vec<Cmd<R>>) -> Vec<Result<R>> {
        match self {
            Self::Tokio(client) => runtime().block_on(async {
                let (mut results, mut all) = (client.run_all(commands), Vec::new());
                while let Some(result) = results.next().await {
                    all.push(result);
                }
                all
            }),
            Self::Blocking(client) => client.run_all(commands).collect(),
        }
    }

    fn pop(&self, keys: &[String]) -> Result<Vec<Result<Option<String>>>> {
        self.pipeline(|p| keys.iter().map(|key| p.run(pop(key)).attempt()).collect::<Vec<TrySlot<_>>>())
    }
}

fn pop(key: &str) -> Cmd<Option<String>> {
    cmd("LPOP").arg(key)
}

/// Nodes that take each other for well while one is frozen.
fn patient() -> ClusterSet {
    ClusterSet::builder().replicas(0).node_timeout(Duration::from_secs(20)).proxied().start()
}

fn length(set: &ClusterSet, key: &str) -> usize {
    say(set, set.owner(slot(key)), &format!("LLEN {key}")).parse().unwrap()
}

/// FAULTS 116.
fn each_slot_has_its_own_value_or_error_while_a_node_fails(setup: Setup) {
    let set = patient();
    let timeout = format!("timeout={}ms&health_check_interval=60s", SHORT.as_millis());
    let keys: Vec<String> = (0..3).flat_map(|node| keys_of(&set, node, "list", 4)).collect();
    let (failing, others) = keys.split_at(4);
    for fault in ["refuses", "is silent", "swallows", "is frozen"] {
        let client = setup.client(&set.url(), &timeout);
        for key in &keys {
            client.run::<u64>(&format!("RPUSH {key} {key}=0 {key}=1 {key}=2 {key}=3")).unwrap();
        }
        assert!(client.pop(&keys).unwrap().iter().all(Result::is_ok), "connections to all nodes");
        match fault {
            "refuses" => {
                set.node(0).proxy().set(Direction::ToServer, Fault::Refuse);
                set.node(0).proxy().reset_all();
            }
            "is silent" => set.node(0).proxy().set(Direction::ToServer, Fault::Blackhole),
            "swallows" => set.node(0).proxy().set(Direction::ToClient, Fault::Blackhole),
            _ => set.node(0).freeze(),
        }
        let (popped, took) = timed(|| client.pop(&keys));
        in_time(took, SHORT);
        if fault == "swallows" {
            other_ways_to_pop(&client, failing, others);
        }
        set.node(0).thaw();
        set.node(0).proxy().heal();
        set.node(0).proxy().reset_all();
        let popped = popped.unwrap();
        for (key, result) in failing.iter().zip(&popped) {
            let error = result.as_ref().expect_err(key);
            assert!(
                matches!(error.kind(), ErrorKind::Connection(_) | ErrorKind::Timeout),
                "{fault}: {error}"
            );
            assert_eq!(error.command(), Some("LPOP"), "{fault}: {error}");
            let expected = if fault == "refuses" { Outcome::NotSent } else { Outcome::MaybeExecuted };
            assert_eq!(error.outcome(), expected, "{fault}: {error}");
        }
        let left = if fault == "swallows" { 0 } else { 2 };
        for (key, result) in others.iter().zip(&popped[failing.len()..]) {
            assert_eq!(result.as_ref().unwrap().as_deref(), Some(&*format!("{key}=1")), "{fault}");
            assert_eq!(length(&set, key), left, "{fault}: {key}");
        }
        set.primaries().into_iter().for_each(|node| drop(say(&set, node, "FLUSHALL")));
    }
}

/// Without slots that take their errors it fails as a whole, and says that something was executed; one by one
/// each has its own result.
fn other_ways_to_pop(client: &Client, failing: &[String], others: &[String]) {
    let keys = [failing, others].concat();
    let whole = client.pipeline(|p| keys.iter().map(|key| p.run(pop(key))).collect::<Vec<Slot<_>>>());
    let whole = whole.unwrap_err();
    assert_eq!((whole.outcome(), whole.command()), (Outcome::MaybeExecuted, Some("LPOP")), "{whole}");
    // The one that fails last, so that no other has to wait behind it.
    let mut each = client.run_all([others, &failing[..1]].concat().iter().map(|key| pop(key)).collect());
    assert!(each.pop().is_some_and(|last| last.is_err()));
    for (key, result) in others.iter().zip(each) {
        assert_eq!(result.unwrap(), Some(format!("{key}=3")));
    }
}

/// FAULTS 116: the connection to a node ends behind its first replies; and what would not be sent again is
/// not said to be overtaken (FAULTS 117).
fn what_came_before_a_node_was_lost_is_given_out(setup: Setup) {
    let set = patient();
    let client = setup.client(&set.url(), "");
    let keys: Vec<String> = (0..3).flat_map(|node| keys_of(&set, node, "n", 2)).collect();
    let count = || {
        // The same keys again and again, and a read, which may be repeated.
        client.pipeline(|p| {
            let counted: Vec<_> = (0..3).flat_map(|_| &keys).map(|key| p.incr(key).attempt()).collect();
            (counted, p.get::<i64>(&keys[0]).attempt())
        })
    };
    for key in &keys {
        assert_eq!(client.run::<i64>(&format!("INCR {key}")).unwrap(), 1);
    }
    // Two replies and a half.
    set.node(0).proxy().set(Direction::ToClient, Fault::CutAfter(10));
    let (counted, read) = count().unwrap();
    for (nth, result) in counted.iter().enumerate() {
        let (key, turn) = (&keys[nth % keys.len()], nth / keys.len());
        match result {
            Ok(n) => {
                assert_eq!(*n, turn as i64 + 2, "{key}");
                assert!(nth > 1 || set.owner(slot(key)) == 0);
            }
            Err(error) => {
                assert!(set.owner(slot(key)) == 0 && turn > 0, "{key}: {error}");
                assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
                assert!(!error.to_string().contains("later command"), "{error}");
            }
        }
    }
    assert_eq!(counted.iter().filter(|result| result.is_err()).count(), 4);
    assert_eq!(read.unwrap(), Some(4), "all were executed, once");
    for key in &keys {
        assert_eq!(client.run::<i64>(&format!("GET {key}")).unwrap(), 4, "{key}");
    }
}

/// Counts its key up.
fn counter() -> Script {
    Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])")
}

fn has_read_only_scripts(set: &ClusterSet) -> bool {
    set.node(0).version() >= (7, 0, 0) || set.node(0).is_valkey()
}

fn flush_scripts(set: &ClusterSet) {
    set.primaries().into_iter().for_each(|node| drop(say(set, node, "SCRIPT FLUSH")));
}

/// FAULTS 76, 82.
fn every_node_has_the_scripts_that_it_runs(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = setup.client(&set.url(), "");
    let (count, keys) = (counter(), (0..12).map(|n| format!("s:{n}")).collect::<Vec<_>>());
    assert!((0..3).all(|node| keys.iter().any(|key| set.owner(slot(key)) == node)));
    let all = |p: &redwire::Pipeline, by: i64| -> Vec<Slot<i64>> {
        keys.iter().map(|key| p.invoke(count.key(key).arg(by))).collect()
    };
    assert_eq!(client.pipeline(|p| all(p, 1)).unwrap(), [1; 12], "no node has it");
    assert_eq!(client.pipeline(|p| all(p, 1)).unwrap(), [2; 12], "all have it");
    say(&set, 1, "SCRIPT FLUSH");
    let tried = client.pipeline(|p| all(p, 1).into_iter().map(Slot::attempt).collect::<Vec<_>>()).unwrap();
    assert!(tried.into_iter().all(|result| result.unwrap() == 3), "one has lost it");
    flush_scripts(&set);
    // A flush of its own, which goes to all nodes.
    let (first, (), second) =
        client.pipeline(|p| (all(p, 1), p.run(words::<()>("SCRIPT FLUSH")), all(p, 1))).unwrap();
    assert_eq!((first, second), (vec![4; 12], vec![5; 12]));
    if has_read_only_scripts(&set) {
        flush_scripts(&set);
        let read = Script::new("return redis.call('GET', KEYS[1])").read_only();
        let read: Vec<i64> = client
            .pipeline(|p| keys.iter().map(|key| p.invoke(read.key(key))).collect::<Vec<Slot<_>>>())
            .unwrap();
        assert_eq!(read, [5; 12]);
    }
    flush_scripts(&set);
    let each = client.run_all(keys.iter().map(|key| count.key(key).arg(1).cmd::<i64>()).collect());
    assert!(each.into_iter().all(|result| result.unwrap() == 6));

    // More than a server keeps, each twice.
    let scripts: Vec<_> =
        (0..600).map(|n| Script::new(format!("return redis.call('INCR', KEYS[1]) + {n}"))).collect();
    let many: Vec<i64> = client
        .pipeline(|p| {
            let twice = scripts.iter().chain(&scripts).enumerate();
            twice.map(|(nth, script)| p.invoke(script.key(format!("m:{nth}")))).collect::<Vec<Slot<_>>>()
        })
        .unwrap();
    assert!(many.into_iter().enumerate().all(|(nth, sum)| sum == (nth % 600) as i64 + 1));
}

/// FAULTS 76.
fn a_script_goes_with_its_slot_and_keeps_the_order_of_its_key(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = setup.client(&set.url(), "refresh_interval=0&refresh_after_moved=0");
    let append = Script::new("redis.call('APPEND', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])");
    let keys: Vec<String> = ["{t}1", "{t}2", "{t}3", "u", "v", "w"].map(str::to_owned).into();
    // Scripts and plain commands on each key, in turn.
    let write = || -> Result<()> {
        let told: Vec<(String, u64, String)> = client.pipeline(|p| {
            let each = |key: &String| -> (Slot<String>, Slot<u64>, Slot<String>) {
                let call = |text: &str| append.key(key).arg(text);
                (p.invoke(call("a")), p.append(key, "b"), p.invoke(call("c")))
            };
            keys.iter().map(each).collect::<Vec<_>>()
        })?;
        for (first, length, second) in told {
            assert_eq!((format!("{first}bc"), first.len() as u64 + 1), (second, length));
        }
        Ok(())
    };
    write().unwrap();
    let from = set.owner(slot("t"));
    // To nodes that have lost it, where its slot is not known to be; and what is left behind finds it, too.
    for round in 1..=3 {
        flush_scripts(&set);
        set.move_slot(slot("t"), (from + round) % 3);
        write().unwrap();
    }
    // Half of the keys are on their way.
    flush_scripts(&set);
    let moving = set.begin_move(slot("t"), (set.owner(slot("t")) + 1) % 3);
    moving.move_key("{t}1");
    write().unwrap();
    flush_scripts(&set);
    let call = |key: &str| append.key(key).arg("d");
    let one = |p: &redwire::Pipeline| -> (Slot<String>, Slot<String>) {
        (p.invoke(call("{t}1")), p.invoke(call("{t}1")))
    };
    let (first, second) = client.atomic(one).unwrap();
    assert_eq!(second, format!("{first}d"));
    moving.end_move();
    flush_scripts(&set);
    let (third, _) = client.atomic(one).unwrap();
    assert_eq!(third, format!("{second}d"));
    for key in &keys {
        let text: String = client.run(&format!("GET {key}")).unwrap();
        assert_eq!(text.trim_end_matches('d'), "abc".repeat(5), "{key}");
    }
}

/// FAULTS 71.
fn a_slot_without_an_owner_concerns_its_own_keys_only(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).arg("cluster-require-full-coverage", "no").start();
    let (lost, others) = ("lost", (0..30).map(|n| format!("k:{n}")).collect::<Vec<_>>());
    let gone = slot(lost);
    assert!(others.iter().all(|key| slot(key) != gone));
    let running = setup.client(&set.url(), "refresh_interval=1s");
    assert_eq!(running.run::<Value>(&format!("GET {lost}")).unwrap(), Value::Null);
    for node in 0..3 {
        say(&set, node, &format!("CLUSTER DELSLOTS {gone}"));
    }
    let ok = |node: usize| say(&set, node, "CLUSTER INFO").contains("cluster_state:ok");
    eventually("the nodes serve the others", LIMIT, || (0..3).all(ok));
    let new = setup.client(&set.url(), "");
    for client in [&new, &running] {
        for key in &others {
            client.run::<()>(&format!("SET {key} {key}")).unwrap();
        }
        assert_eq!(client.run::<usize>("DBSIZE").unwrap(), others.len());
        for line in ["GET lost", "SET lost y", "MGET lost k:1 k:2", "MSET lost y k:1 k:1"] {
            let error = refused(client, line, SHORT);
            let uncovered =
                matches!(error.kind(), ErrorKind::Cluster(ClusterFault::NotCovered | ClusterFault::Down));
            assert!(uncovered, "{line}: {error}");
        }
        let (read, took) = timed(|| {
            client.pipeline(|p| {
                p.timeout(SHORT);
                let others: Vec<_> = others.iter().map(|key| p.get::<String>(key)).collect();
                (p.get::<Value>(lost).attempt(), others)
            })
        });
        in_time(took, SHORT);
        let (missing, read) = read.unwrap();
        assert!(matches!(missing.unwrap_err().kind(), ErrorKind::Cluster(_) | ErrorKind::Timeout));
        assert!(read.into_iter().map(Option::unwrap).eq(others.iter().cloned()));
    }
    // A scan tells at its end that something is missing, unless the caller does not want to know.
    let scan = |options: &str| setup.client(&set.url(), options).scan::<String>(ScanOptions::new());
    let error = scan("timeout=700ms").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::NotCovered), "{error}");
    assert_eq!(scan("require_full_coverage=false").unwrap().len(), others.len());
    say(&set, 0, &format!("CLUSTER ADDSLOTS {gone}"));
    set.wait_settled();
    for client in [&new, &running] {
        client.run::<()>(&format!("SET {lost} z")).unwrap();
    }
}
