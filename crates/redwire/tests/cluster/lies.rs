//! What real nodes say at times, on demand: no host, a host that is not known, themselves, not now, not here.
//! FAULTS 35, 38, 39.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use redwire::prelude::*;
use redwire::{ClusterFault, ErrorKind, Outcome, Value};
use redwire_testkit::eventually;

use crate::common::{LIMIT, Setup, timed};
use crate::fake::{FakeNode, url};
use crate::refused;

both!(
    what_passes_is_waited_for_until_the_deadline,
    a_redirection_without_a_host_leads_to_the_one_that_was_asked,
    a_redirection_to_no_host_waits_for_a_new_map,
    a_redirection_to_itself_is_followed_over_a_new_connection,
    to_and_fro_has_an_end,
    a_slot_without_a_node_holds_up_no_other_call,
    a_seed_of_another_cluster_is_outvoted,
    a_closed_client_ends_calls_that_are_to_be_made_again,
);

/// Two nodes with half of the slots each, and what the first says to commands is for the test to choose.
fn two() -> (FakeNode, FakeNode) {
    let (one, two) = (FakeNode::start(), FakeNode::start());
    agree(&one, &two);
    (one, two)
}

/// All of the slots of the key `k` are the first one's.
fn agree(one: &FakeNode, two: &FakeNode) {
    for node in [one, two] {
        node.map(&[(0, 8191, &[one.addr()]), (8192, 16383, &[two.addr()])]);
    }
}

fn seeds(nodes: &[&FakeNode]) -> String {
    url(&nodes.iter().map(|node| node.addr()).collect::<Vec<_>>())
}

/// FAULTS 35.
fn what_passes_is_waited_for_until_the_deadline(setup: Setup) {
    let (one, two) = two();
    let client = setup.client(&seeds(&[&one, &two]), "");
    two.answer(|_| ":1\r\n".to_owned());
    for (nth, said) in [
        "CLUSTERDOWN The cluster is down",
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "READONLY You can't write against a read only replica.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
    ]
    .into_iter()
    .enumerate()
    {
        let tries = Arc::new(AtomicUsize::new(0));
        let heals = Arc::new(AtomicBool::new(true));
        one.answer({
            let (tries, heals) = (Arc::clone(&tries), Arc::clone(&heals));
            move |_| match tries.fetch_add(1, Ordering::Relaxed) >= 4 && heals.load(Ordering::Relaxed) {
                true => ":1\r\n".to_owned(),
                false => format!("-{said}\r\n"),
            }
        });
        // A command that writes, alone and among others: it was not executed, so it may be tried for as long
        // as it takes.
        assert_eq!(client.run::<i64>("INCR k").unwrap(), 1, "{said}");
        assert_eq!(tries.swap(0, Ordering::Relaxed), 5, "{said}");
        let both: (i64, i64) = client.pipeline(|p| (p.incr("a"), p.incr("k"))).unwrap();
        assert_eq!(both, (1, 1), "{said}");
        assert_eq!(two.asked("INCR a"), nth + 1, "what was executed is not sent again");
        heals.store(false, Ordering::Relaxed);
        let error = refused(&client, "INCR k", Duration::from_millis(400));
        assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        assert!(error.to_string().contains(said) && error.tries() > 2, "{error}");
    }
    // All that time the map was asked for once a second at most: three times at the start, and not much
    // longer than that.
    assert!(one.asked("CLUSTER SLOTS") + two.asked("CLUSTER SLOTS") < 20);
}

/// FAULTS 38.
fn a_redirection_without_a_host_leads_to_the_one_that_was_asked(setup: Setup) {
    let (one, two) = two();
    // In the map, too.
    for node in [&one, &two] {
        node.tell(|script| script.map.iter_mut().for_each(|range| range.2[0].0.clear()));
    }
    let client = setup.client(&seeds(&[&one, &two]), "");
    let port = two.addr().port();
    one.answer(move |words| match words {
        ["GET", _] => format!("-ASK 7629 :{port}\r\n"),
        _ => format!("-MOVED 7629 :{port}\r\n"),
    });
    two.answer(|words| format!("+{}\r\n", words[0]));
    assert_eq!(client.run::<String>("GET k").unwrap(), "GET");
    assert_eq!(two.asked("ASKING"), 1);
    assert_eq!(client.run::<String>("GETDEL k").unwrap(), "GETDEL");
    // The slot is the other one's from now on.
    assert_eq!(client.run::<String>("GETEX k").unwrap(), "GETEX");
    assert_eq!((one.asked("GETDEL"), one.asked("GETEX")), (1, 0));
}

/// FAULTS 38.
fn a_redirection_to_no_host_waits_for_a_new_map(setup: Setup) {
    let (one, two) = two();
    let client = setup.client(&seeds(&[&one, &two]), "");
    one.answer(|_| "-MOVED 7629 ?:7000\r\n".to_owned());
    two.answer(|_| "+two\r\n".to_owned());
    let error = refused(&client, "GET k", Duration::from_millis(300));
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::Moved), "{error}");
    for node in [&one, &two] {
        node.map(&[(0, 16383, &[two.addr()])]);
        // A node whose name is not known stands in the map like this.
        node.tell(|script| script.map[0].2.push(("?".to_owned(), 7000)));
    }
    assert_eq!(client.run::<String>("GET k").unwrap(), "two");
}

/// FAULTS 38: behind the address is another node than was meant.
fn a_redirection_to_itself_is_followed_over_a_new_connection(setup: Setup) {
    let (one, two) = two();
    let client = setup.client(&seeds(&[&one, &two]), "");
    client.run::<Value>("GET k").unwrap();
    for command in ["INCR k", "MGET a k"] {
        let (mut says_so, own) = (true, one.addr());
        one.answer(move |words| match (std::mem::take(&mut says_so), words[0]) {
            (true, _) => format!("-MOVED 7629 {own}\r\n"),
            (false, "MGET") => "*1\r\n+v\r\n".to_owned(),
            (false, _) => ":7\r\n".to_owned(),
        });
        two.answer(|_| "*1\r\n+v\r\n".to_owned());
        let before = one.connections();
        client.run::<Value>(command).unwrap();
        assert!(one.connections() > before, "{command}");
        assert_eq!(one.asked(&command.replace(" a", "")), 2, "{command}");
    }
}

fn to_and_fro_has_an_end(setup: Setup) {
    let (one, two) = two();
    let client = setup.client(&seeds(&[&one, &two]), "max_redirects=6");
    let (first, second) = (one.addr(), two.addr());
    one.answer(move |_| format!("-MOVED 7629 {second}\r\n"));
    two.answer(move |_| format!("-MOVED 7629 {first}\r\n"));
    let error = client.run::<Value>("INCR k").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::TooManyRedirects), "{error}");
    assert_eq!((error.outcome(), error.tries()), (Outcome::Rejected, 7), "{error}");
    assert_eq!(one.asked("INCR") + two.asked("INCR"), 7);
    // In a pipeline it is the last word of the servers.
    let error = client.pipeline(|p| (p.incr("k"), p.incr("k"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::Moved), "{error}");
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    assert_eq!(one.asked("INCR") + two.asked("INCR"), 7 + 2 * 7);
}

fn a_slot_without_a_node_holds_up_no_other_call(setup: Setup) {
    let (one, two) = two();
    for node in [&one, &two] {
        node.map(&[(8192, 16383, &[two.addr()])]);
    }
    two.answer(|_| "+two\r\n".to_owned());
    let error = setup.connect(&seeds(&[&one, &two]), "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::NoMap), "{error}");
    assert!(error.to_string().contains("0-8191"), "{error}");
    let client = setup.client(&seeds(&[&one, &two]), "require_full_coverage=false");
    assert_eq!(client.run::<String>("GET a").unwrap(), "two");
    let error = refused(&client, "GET k", Duration::from_millis(300));
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::NotCovered), "{error}");
    assert!(error.to_string().contains("7629"), "{error}");
    // A replica takes over: found by asking, since no node redirects.
    one.answer(|_| "+one\r\n".to_owned());
    agree(&one, &two);
    assert_eq!(client.run::<String>("GET k").unwrap(), "one");
}

/// FAULTS 39.
fn a_seed_of_another_cluster_is_outvoted(setup: Setup) {
    let (one, two) = two();
    let other = FakeNode::start();
    other.map(&[(0, 16383, &[other.addr()])]);
    other.tell(|script| script.epoch = 99);
    for seeds in [[&other, &one, &two], [&one, &other, &two], [&one, &two, &other]] {
        let client = setup.client(&self::seeds(&seeds), "");
        for key in ["a", "k", "foo", "bar"] {
            client.run::<Value>(&format!("GET {key}")).unwrap();
        }
    }
    assert_eq!(other.asked("GET"), 0);
    // Alone it is the cluster that was asked for.
    setup.client(&seeds(&[&other]), "").run::<Value>("GET a").unwrap();
    assert_eq!(other.asked("GET"), 1);
    // What a client knows, it does not forget because a seed tells of another.
    let client = setup.client(&seeds(&[&one, &other, &two]), "refresh_interval=100ms&refresh_pause=50ms");
    let asked = || one.asked("CLUSTER SLOTS") + two.asked("CLUSTER SLOTS") + other.asked("CLUSTER SLOTS");
    let before = asked();
    eventually("it is asked again and again", LIMIT, || {
        client.run::<Value>("GET k").unwrap();
        asked() > before + 20
    });
    assert_eq!(other.asked("GET"), 1);
}

/// Each of them would go on for as long as it may.
fn a_closed_client_ends_calls_that_are_to_be_made_again(setup: Setup) {
    let (one, two) = two();
    let client = setup.client(&seeds(&[&one, &two]), "timeout=30s");
    for node in [&one, &two] {
        node.answer(|_| "-CLUSTERDOWN The cluster is down\r\n".to_owned());
    }
    thread::scope(|scope| {
        let calls = ["GET k", "MGET k a", "BLPOP k 1", "DBSIZE"].map(|line| {
            let client = &client;
            scope.spawn(move || (line, client.run::<Value>(line).unwrap_err()))
        });
        eventually("all have failed", LIMIT, || {
            ["GET", "MGET", "BLPOP", "DBSIZE"].iter().all(|name| one.asked(name) > 1)
        });
        let ((), took) = timed(|| client.shut(Duration::from_millis(100)));
        assert!(took < Duration::from_secs(1), "{took:?}");
        for call in calls {
            let ((line, error), took) = timed(|| call.join().unwrap());
            assert_eq!(error.kind(), ErrorKind::Closed, "{line}: {error}");
            assert!(took < Duration::from_secs(3), "{line}: {took:?}");
        }
    });
    let met = one.connections() + two.connections();
    assert!(client.run::<Value>("GET k").is_err());
    assert_eq!(one.connections() + two.connections(), met);
}
