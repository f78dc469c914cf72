//! What became of a call that went from node to node (I2): errors that scripts make up send it nowhere, and
//! of several tries the worst is told. FAULTS 90, 112.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use redwire::{Cmd, Error, Outcome, Result, Run, Script, Slot, TrySlot, Value, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::{Client, LIMIT, Setup, words};
use crate::fake::{FakeNode, url};

both!(what_ran_before_it_was_rejected_is_not_told_as_rejected);

/// How a node goes on, when it has run a command and its reply was lost.
#[derive(Clone, Copy)]
enum Then {
    Refuses,
    IsDown,
    SendsAway,
}

/// The error of `call` at a cluster of one node, whose first try ran; and how often it ran.
fn ran_and_failed(
    setup: Setup,
    then: Then,
    call: impl FnOnce(&Client) -> Result<Value> + Send,
) -> (Error, usize) {
    let node = FakeNode::start();
    let proxy = Proxy::start(node.addr());
    node.map(&[(0, 16_383, &[proxy.addr()])]);
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    node.answer(move |words| match (words, then) {
        (["PING"], _) => "+PONG\r\n".to_owned(),
        (["MULTI"], _) => "+OK\r\n".to_owned(),
        (["EXEC"], _) => "*1\r\n:1\r\n".to_owned(),
        _ if counted.fetch_add(1, Ordering::SeqCst) == 0 => ":1\r\n".to_owned(),
        (_, Then::SendsAway) => "-MOVED 12182 127.0.0.1:1\r\n".to_owned(),
        _ => "-CLUSTERDOWN Hash slot not served\r\n".to_owned(),
    });
    let options =
        "timeout=2s&connect_timeout=500ms&retry_backoff=constant:20ms&reconnect_backoff=constant:20ms";
    let client = setup.client(&url(&[proxy.addr()]), options);
    client.run::<()>("PING").unwrap();
    proxy.set(Direction::ToClient, Fault::Delay { min: LIMIT, max: LIMIT });
    let error = thread::scope(|scope| {
        let called = scope.spawn(|| call(&client));
        eventually("it has run", LIMIT, || runs.load(Ordering::SeqCst) > 0);
        match then {
            Then::Refuses => proxy.set(Direction::ToServer, Fault::Refuse),
            Then::IsDown | Then::SendsAway => proxy.set(Direction::ToClient, Fault::None),
        }
        proxy.reset_all();
        called.join().unwrap().unwrap_err()
    });
    (error, runs.load(Ordering::SeqCst))
}

fn what_ran_before_it_was_rejected_is_not_told_as_rejected(setup: Setup) {
    let incr = || words::<Value>("INCR foo").idempotent();
    let calls: [fn(&Client) -> Result<Value>; 3] = [
        |client| client.execute(words("INCR foo").idempotent()),
        |client| client.pipeline(|p| (p.idempotent(), p.run(words("INCR foo"))).1),
        |client| client.execute(cmd("EVAL").arg("return 1").arg(1).arg("foo").idempotent()),
    ];
    thread::scope(|scope| {
        for then in [Then::Refuses, Then::IsDown, Then::SendsAway] {
            for call in calls {
                scope.spawn(move || {
                    let (error, runs) = ran_and_failed(setup, then, call);
                    assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
                    assert!(!error.is_retryable() && (runs > 1 || matches!(then, Then::Refuses)), "{error}");
                });
            }
        }
    });
    // Not repeated, it is told as before.
    let (error, runs) = ran_and_failed(setup, Then::IsDown, |client| client.execute(incr().retries(0)));
    assert_eq!((error.outcome(), runs), (Outcome::MaybeExecuted, 1), "{error}");
}

/// A cluster of one node that has all slots, and one that has none. It takes a node two seconds to dare.
fn cluster() -> (Server, Server) {
    let start = || Server::builder().arg("cluster-enabled", "yes").start();
    let (node, other) = (start(), start());
    let slots: Vec<_> = (0..16_384).map(|slot| slot.to_string()).collect();
    let add = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect::<Vec<_>>();
    node.command(&add).unwrap();
    node.command(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string()]).unwrap();
    let knows_both = |server: &Server| {
        let info = server.command(&["CLUSTER", "INFO"]).unwrap();
        info.contains("cluster_known_nodes:2") && info.contains("cluster_state:ok")
    };
    eventually("they agree", Duration::from_secs(30), || knows_both(&node) && knows_both(&other));
    (node, other)
}

#[test]
fn a_script_that_makes_up_errors_runs_once() {
    let (node, _other) = cluster();
    let script = Script::new("redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])");
    let runs = AtomicI64::new(0);
    let ran = |error: Error, line: &str| {
        assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{line}: {error}");
        let runs = runs.fetch_add(1, Ordering::SeqCst) + 1;
        assert_eq!(node.command(&["GET", "foo"]).unwrap(), runs.to_string(), "{line}: {error}");
    };
    for setup in Setup::ALL {
        let client = setup.client(&url(&[node.addr()]), "");
        for line in [
            "BUSY lock is held",
            "TRYAGAIN later",
            "CLUSTERDOWN mine",
            "READONLY mine",
            "LOADING mine",
            // 12182 is the slot of the key.
            "MOVED 1 127.0.0.1:1",
            "MOVED 12182",
            "ASK 1 127.0.0.1:1",
        ] {
            let eval = || -> Cmd<Value> { cmd("EVAL").arg(script.source()).arg(1).arg("foo").arg(line) };
            let named = || script.key("foo").arg(line).cmd::<Value>();
            ran(client.execute(eval()).unwrap_err(), line);
            ran(client.execute(named()).unwrap_err(), line);
            ran(client.pipeline(|p| p.run(eval())).unwrap_err(), line);
            ran(client.atomic(|p| p.run(named())).unwrap_err(), line);
            let kept = client.pipeline(|p| -> (TrySlot<Value>, Slot<String>) {
                (p.run(eval()).attempt(), p.run(words("PING")))
            });
            let (error, pong) = kept.unwrap();
            assert_eq!(pong, "PONG");
            ran(error.unwrap_err(), line);
        }
    }
}

#[test]
fn what_nodes_say_of_slots_is_believed() {
    let (node, other) = cluster();
    let judged = |server: &Server, code: &str, words: &[&str]| {
        let mut said = String::new();
        eventually(code, LIMIT, || {
            said = server.command(words).err().unwrap_or_default();
            said.starts_with(code)
        });
        let (name, args) = words.split_first().unwrap();
        let asked = args.iter().fold(Cmd::<Value>::new(name), |cmd, arg| cmd.arg(*arg));
        let error = asked.judge(Error::from_server(said.as_bytes()));
        assert_eq!(error.outcome(), Outcome::Rejected, "{words:?}: {said}");
    };
    let one = ["EVAL", "return 1", "1", "foo"];
    judged(&other, "MOVED 12182 ", &one);
    judged(&node, "CROSSSLOT", &["EVAL", "return 1", "2", "foo", "bar"]);
    let [to, from] = [&other, &node].map(|server| server.command(&["CLUSTER", "MYID"]).unwrap());
    node.command(&["CLUSTER", "SETSLOT", "12182", "MIGRATING", &to]).unwrap();
    other.command(&["CLUSTER", "SETSLOT", "12182", "IMPORTING", &from]).unwrap();
    judged(&node, "ASK 12182 ", &one);
    // Behind ASKING, keys that have not come yet.
    let mut stream = TcpStream::connect(other.addr()).unwrap();
    stream.write_all(b"ASKING\r\nEVAL return(1) 2 {foo}1 {foo}2\r\n").unwrap();
    let said: Vec<_> = BufReader::new(stream).lines().take(2).map(Result::unwrap).collect();
    assert!(said[1].starts_with("-TRYAGAIN"), "{said:?}");
    let asked: Cmd<Value> = words("EVAL return(1) 2 {foo}1 {foo}2");
    let error = asked.judge(Error::from_server(&said[1].as_bytes()[1..]));
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    node.command(&["CLUSTER", "SETSLOT", "12182", "STABLE"]).unwrap();
    node.command(&["CLUSTER", "DELSLOTS", "12182"]).unwrap();
    judged(&node, "CLUSTERDOWN The cluster is down", &["EVAL", "return 1", "1", "bar"]);
    judged(&node, "CLUSTERDOWN Hash slot not served", &one);
}
