//! What callers see of a cluster that is well: keys on all nodes, what concerns several nodes, and what stays
//! within a slot. REFERENCE K3, K4, K8.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use redwire::config::Config;
use redwire::prelude::*;
use redwire::{ClusterFault, ErrorKind, Outcome, Run, Script, Slot, TrySlot, Value, cmd};
use redwire_testkit::{ClusterSet, Direction, Fault, Proxy, eventually, slot};

use crate::common::{Client, LIMIT, Setup, blocking_running, running, runtime, timed, words};
use crate::fake::{FakeNode, url};
use crate::say;

both!(
    commands_find_their_nodes,
    a_callback_is_run_on_connections_to_each_node,
    what_concerns_several_nodes_has_all_the_time,
    the_first_map_has_all_the_time
);

each!(pipelines_and_transactions_find_their_nodes, what_waits_and_what_lasts_finds_its_node);

fn commands_find_their_nodes(setup: Setup) {
    let set = ClusterSet::start();
    let client = setup.client(&set.url(), "");
    single_keys_lie_on_all_nodes(&client, &set);
    many_keys_are_taken_apart_and_put_together_in_order(&client);
    what_concerns_all_nodes_goes_to_all(&client, &set);
    what_cannot_be_taken_apart_is_refused(&client);
    assert_eq!(client.run::<String>("FLUSHALL").unwrap(), "OK");
    for node in set.primaries() {
        assert_eq!(say(&set, node, "DBSIZE"), "0");
    }
}

fn a_callback_is_run_on_connections_to_each_node(setup: Setup) {
    let set = ClusterSet::start();
    let config = Config::from_url(&setup.url(&set.url(), "")).unwrap().to_builder();
    let line = "CLIENT SETNAME by-callback";
    let client =
        setup.open(config.on_connect(running(line)).blocking_on_connect(blocking_running(line))).unwrap();
    assert_eq!(client.run::<i64>("DBSIZE").unwrap(), 0);
    for node in set.primaries() {
        assert!(say(&set, node, "CLIENT LIST").contains("name=by-callback "));
    }
}

/// With `attempt_timeout`, which is for one try at one node.
const ATTEMPTS: &str = "timeout=5s&attempt_timeout=100ms&retry_on_timeout=yes";
/// Longer than a try may take.
const SLOW: Duration = Duration::from_millis(300);

fn what_concerns_several_nodes_has_all_the_time(setup: Setup) {
    let nodes = [FakeNode::start(), FakeNode::start()];
    let addrs = nodes.each_ref().map(FakeNode::addr);
    for node in &nodes {
        node.map(&[(0, 8_191, &addrs[..1]), (8_192, 16_383, &addrs[1..])]);
        node.answer(|words| {
            thread::sleep(if words == ["DBSIZE"] { SLOW } else { Duration::ZERO });
            ":1\r\n".to_owned()
        });
    }
    let client = setup.client(&url(&addrs), ATTEMPTS);
    assert_eq!(client.run::<i64>("DBSIZE").unwrap(), 2);
    assert_eq!(nodes.each_ref().map(|node| node.asked("DBSIZE")), [1, 1]);
}

fn the_first_map_has_all_the_time(setup: Setup) {
    let node = FakeNode::start();
    node.map(&[(0, 16_383, &[node.addr()])]);
    node.answer(|_| ":7\r\n".to_owned());
    let proxy = Proxy::start(node.addr());
    proxy.set(Direction::ToClient, Fault::Delay { min: SLOW, max: SLOW });
    let client = setup.lazy(&url(&[proxy.addr()]), ATTEMPTS).unwrap();
    let (value, took) = timed(|| client.run::<i64>("GET k"));
    assert_eq!((value.unwrap(), node.asked("GET")), (7, 1));
    assert!(took >= SLOW, "{took:?}");
}

fn single_keys_lie_on_all_nodes(client: &Client, set: &ClusterSet) {
    for n in 0..300 {
        client.run::<()>(&format!("SET key:{n} {n}")).unwrap();
    }
    for n in 0..300 {
        assert_eq!(client.run::<i64>(&format!("INCR key:{n}")).unwrap(), n + 1);
    }
    let sizes: Vec<i64> =
        set.primaries().iter().map(|node| say(set, *node, "DBSIZE").parse().unwrap()).collect();
    assert!(sizes.iter().all(|size| *size > 50), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<i64>(), 300);
}

fn many_keys_are_taken_apart_and_put_together_in_order(client: &Client) {
    let names = |range: std::ops::Range<i32>| range.map(|n| format!("key:{n}")).collect::<Vec<_>>();
    let values: Vec<Option<i64>> = client.execute(cmd("MGET").arg(names(250..350))).unwrap();
    let expected = (250..350).map(|n| (n < 300).then_some(n + 1)).collect::<Vec<_>>();
    assert_eq!(values, expected);
    let pairs: Vec<_> = (0..100).flat_map(|n| [format!("m:{n}"), format!("v{n}")]).collect();
    assert_eq!(client.execute::<String>(cmd("MSET").arg(pairs)).unwrap(), "OK");
    let set: Vec<String> =
        client.execute(cmd("MGET").arg((0..100).map(|n| format!("m:{n}")).collect::<Vec<_>>())).unwrap();
    assert_eq!(set, (0..100).map(|n| format!("v{n}")).collect::<Vec<_>>());
    for (line, expected) in [
        ("EXISTS m:0 m:1 m:1 none m:2", 4),
        ("TOUCH m:0 m:1 none", 2),
        ("UNLINK m:0 m:1 none", 2),
        ("DEL m:0 m:2 m:3 m:4", 3),
        ("EXISTS m:0 m:1 m:2 m:3 m:4 m:5", 1),
    ] {
        assert_eq!(client.run::<i64>(line).unwrap(), expected, "{line}");
    }
    // The same value for the same key twice, and one slot only.
    assert_eq!(client.run::<Vec<i64>>("MGET key:1 key:2 key:1").unwrap(), [2, 3, 2]);
    assert_eq!(client.run::<Vec<Value>>("MGET {t}1 {t}2").unwrap(), [Value::Null, Value::Null]);
    assert_eq!(client.run::<i64>("DEL none").unwrap(), 0);
}

fn what_concerns_all_nodes_goes_to_all(client: &Client, set: &ClusterSet) {
    let here =
        |line: &str| -> Vec<String> { set.primaries().iter().map(|node| say(set, *node, line)).collect() };
    assert_eq!(client.run::<usize>("DBSIZE").unwrap(), 395);
    let keys: BTreeSet<String> = client.run("KEYS key:*").unwrap();
    assert_eq!(keys.len(), 300);
    assert!(client.run::<String>("RANDOMKEY").unwrap().contains(':'));
    let before = set.primaries().iter().map(|node| set.node(*node).calls("ping")).collect::<Vec<_>>();
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    for (node, before) in set.primaries().into_iter().zip(before) {
        assert!(set.node(node).calls("ping") > before, "node {node} was not asked");
    }
    let script = "return ARGV[1]";
    let sha: String = client.execute(cmd("SCRIPT LOAD").arg(script)).unwrap();
    assert_eq!(here(&format!("SCRIPT EXISTS {sha}")), ["1"; 3]);
    assert_eq!(client.run::<Vec<bool>>(&format!("SCRIPT EXISTS {sha} 0123")).unwrap(), [true, false]);
    client.run::<()>("SCRIPT FLUSH").unwrap();
    assert_eq!(client.run::<Vec<bool>>(&format!("SCRIPT EXISTS {sha}")).unwrap(), [false]);
    if set.node(0).version() >= (7, 0, 0) || set.node(0).is_valkey() {
        let code = "#!lua name=lib\nredis.register_function('f', function(keys, args) return keys[1] end)";
        assert_eq!(client.execute::<String>(cmd("FUNCTION LOAD").arg(code)).unwrap(), "lib");
        assert!(here("FUNCTION LIST").iter().all(|list| list.contains("lib")));
        for key in ["a", "b", "c"] {
            assert_eq!(client.run::<String>(&format!("FCALL f 1 {key}")).unwrap(), key);
        }
    }
    client.run::<()>("CONFIG SET slowlog-max-len 77").unwrap();
    assert!(here("CONFIG GET slowlog-max-len").iter().all(|said| said.ends_with("77")));
}

fn what_cannot_be_taken_apart_is_refused(client: &Client) {
    for line in ["RENAME a b", "SINTER a b", "EVAL return{} 2 a b", "SMOVE a b x", "MSETNX a 1 b 1"] {
        let error = client.run::<Value>(line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::CrossSlot), "{line}: {error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{line}: {error}");
        for key in ["a", "b"] {
            assert!(error.to_string().contains(&format!("{key:?} in {}", slot(key))), "{line}: {error}");
        }
    }
    let error = client.run::<Value>("SCAN 0").unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
}

fn pipelines_and_transactions_find_their_nodes(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let upper =
        |value: Value| Ok(value.as_str().map_or(Value::Null, |text| Value::Status(text.to_uppercase())));
    let options = Config::from_url(&setup.url(&set.url(), "")).unwrap().to_builder();
    let client = setup.open(options.response_callback("GET", upper)).unwrap();

    let values: Vec<i64> = client
        .pipeline(|p| (0..500).map(|n| p.incr_by(format!("n:{}", n % 100), n)).collect::<Vec<_>>())
        .unwrap();
    let expected: Vec<_> =
        (0..500).map(|n| (0..=n / 100).map(|turn| n % 100 + turn * 100).sum::<i64>()).collect();
    assert_eq!(values, expected);
    // An error in the middle is a value to who takes it as one, and all others are executed.
    let (first, wrong, many, size): (String, Result<Value, _>, Vec<Option<i64>>, i64) = client
        .pipeline(|p| {
            drop(p.run(words::<()>("SET a x")));
            let wrong: TrySlot<Value> = p.run(words::<Value>("LPUSH a x")).attempt();
            let many: Slot<Vec<Option<i64>>> = p.run(words("MGET n:1 none n:2"));
            (p.run(words("GET a")), wrong, many, p.run(words("DBSIZE")))
        })
        .unwrap();
    assert_eq!((first.as_str(), size), ("X", 101));
    assert_eq!(wrong.unwrap_err().code(), Some("WRONGTYPE"));
    assert_eq!(many, [Some(1005), None, Some(1010)]);
    let error = client
        .pipeline(|p| -> Vec<Slot<Value>> {
            ["SET b 1", "LPUSH a x", "SET c 1"].map(|line| p.run(words(line))).into()
        })
        .unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("WRONGTYPE"), Outcome::Rejected), "{error}");
    assert_eq!(client.run::<i64>("EXISTS b c").unwrap(), 2);

    // More than either side takes before the other reads.
    let large = "x".repeat(10_000);
    let lengths: Vec<usize> = client
        .pipeline(|p| {
            (0..1000).for_each(|n| drop(p.set(format!("large:{n}"), &large)));
            (0..1000).map(|n| p.run(cmd("GET").arg(format!("large:{n}")))).collect::<Vec<Slot<String>>>()
        })
        .map(|values| values.iter().map(String::len).collect())
        .unwrap();
    assert_eq!(lengths, vec![large.len(); 1000]);

    let (one, two): (i64, i64) = client.atomic(|p| (p.incr("{t}1"), p.incr_by("{t}2", 7))).unwrap();
    assert_eq!((one, two), (1, 7));
    let error = client.atomic(|p| (p.incr("{t}1"), p.incr("other"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::CrossSlot), "{error}");
    for (key, slot) in [("{t}1", slot("t")), ("other", slot("other"))] {
        assert!(error.to_string().contains(&format!("{key:?} in {slot}")), "{error}");
    }
    assert_eq!(client.run::<i64>("GET {t}1").unwrap(), 1);

    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for (nth, key) in ["s:1", "s:2", "s:3", "s:1"].into_iter().enumerate() {
        let sum: i64 = client.execute(script.key(key).arg(5).cmd()).unwrap();
        assert_eq!(sum, if nth == 3 { 10 } else { 5 });
    }
}

fn what_waits_and_what_lasts_finds_its_node(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = setup.client(&set.url(), "");
    thread::scope(|scope| {
        for n in 0..6 {
            let client = &client;
            let wait = scope.spawn(move || client.run::<(String, String)>(&format!("BLPOP list:{n} 20")));
            eventually("it waits", LIMIT, || blocked(&set) == 1);
            client.run::<i64>(&format!("RPUSH list:{n} x")).unwrap();
            assert_eq!(wait.join().unwrap().unwrap(), (format!("list:{n}"), "x".to_owned()));
        }
        // No call waits behind one that waits at all nodes.
        let waiting = scope.spawn(|| timed(|| client.run::<i64>("WAIT 1 1500")));
        eventually("all are waited for", LIMIT, || blocked(&set) == 3);
        for n in 0..30 {
            let (done, took) = timed(|| client.run::<()>(&format!("SET k:{n} v")));
            done.unwrap();
            assert!(took < Duration::from_millis(1000), "{took:?}");
        }
        let (acknowledged, took) = waiting.join().unwrap();
        assert_eq!(acknowledged.unwrap(), 0);
        assert!(took >= Duration::from_millis(1400), "{took:?}");
    });
    for n in 0..6 {
        let id: String = client.run(&format!("XADD stream:{n} * f {n}")).unwrap();
        type Stream = (String, [(String, Vec<String>); 1]);
        let read: Vec<Stream> = client.run(&format!("XREAD BLOCK 1000 STREAMS stream:{n} 0")).unwrap();
        assert_eq!(read[0].1, [(id, vec!["f".to_owned(), n.to_string()])]);
        locked(&client, &format!("lock:{n}"));
    }
    let commands = (0..2000).map(|n| cmd::<i64>("INCRBY").arg(format!("all:{n}")).arg(n));
    let results: Vec<i64> = match &client {
        Client::Tokio(client) => runtime().block_on(async {
            let (mut results, mut all) = (Vec::new(), client.run_all(commands));
            while let Some(result) = all.next().await {
                results.push(result.unwrap());
            }
            results
        }),
        Client::Blocking(client) => client.run_all(commands).map(Result::unwrap).collect(),
    };
    assert_eq!(results, (0..2000).collect::<Vec<_>>());
}

/// How many wait at the nodes.
fn blocked(set: &ClusterSet) -> i64 {
    set.nodes().iter().map(|node| node.stat("blocked_clients")).sum()
}

/// Takes the lock, and gives it back; no other holder has it meanwhile.
fn locked(client: &Client, name: &str) {
    match client {
        Client::Tokio(client) => runtime().block_on(async {
            let guard = client.lock(name).acquire().await.unwrap();
            let error = client.lock(name).wait(Duration::ZERO).acquire().await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Lock(_)), "{error}");
            guard.release().await.unwrap();
        }),
        Client::Blocking(client) => {
            let guard = client.lock(name).acquire().unwrap();
            let error = client.lock(name).wait(Duration::ZERO).acquire().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Lock(_)), "{error}");
            guard.release().unwrap();
        }
    }
}
