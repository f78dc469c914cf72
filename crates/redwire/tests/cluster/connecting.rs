//! How a client comes to a cluster, what it is told when it does not, and how it leaves. REFERENCE K1, K10;
//! FAULTS 24, 39.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use redwire::config::{Config, HostPort};
use redwire::prelude::*;
use redwire::{AuthenticationFault, ClusterFault, ErrorKind, Outcome, Value};
use redwire_testkit::{Authority, ClosedPort, ClusterSet, Server, eventually, has_tls, shared, slot};

use crate::common::{Client, LIMIT, Setup, runtime, shown, timed};
use crate::{in_time, keys_of, named};

both!(seeds_that_lead_nowhere_are_told_one_by_one);

/// Neither asks any server.
#[test]
fn a_pool_and_a_connection_by_hand_lead_to_one_server() {
    let config = Config::from_url("redis+cluster://localhost").unwrap();
    let errors = [
        redwire::Pool::lazy(config.clone()).map(drop),
        redwire::blocking::Pool::lazy(config.clone()).map(drop),
        redwire::Connection::new(config.clone()).map(drop),
        redwire::blocking::Connection::new(config).map(drop),
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
        assert!(error.to_string().contains("`client.cluster()`"), "{error}");
    }
}

each!(
    a_password_is_needed_by_all_and_a_wrong_one_makes_no_storm,
    a_closed_client_leaves_nothing_behind,
    start_up_nodes_alone_are_asked_where_that_is_wanted,
    tls_and_proxies_change_nothing,
    announced_names_are_remapped,
    databases_are_there_or_refused,
);

fn seeds_that_lead_nowhere_are_told_one_by_one(setup: Setup) {
    let closed = [ClosedPort::new(), ClosedPort::new()];
    let dead = closed.each_ref().map(ClosedPort::addr);
    let url = format!("redis+cluster://{},{}", dead[0], dead[1]);
    let (error, took) = timed(|| setup.connect(&url, "").unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::Unreachable), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert!(dead.iter().all(|seed| error.to_string().contains(&format!("{seed} ("))), "{error}");
    assert!(error.to_string().contains("efused"), "{error}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    // A client that was made without waiting tries for as long as a call may last, and says the same.
    let client = setup.lazy(&url, "timeout=500ms").unwrap();
    let (error, took) = timed(|| client.run::<Value>("GET k").unwrap_err());
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
    assert!(shown(&error).contains(&dead[0].to_string()), "{}", shown(&error));
    in_time(took, Duration::from_millis(500));

    let alone = format!("redis+cluster://{}", shared().addr());
    for url in [alone.clone(), format!("{alone},{}", dead[0])] {
        let error = setup.connect(&url, "").unwrap_err();
        let fault = ErrorKind::Cluster(ClusterFault::NotACluster);
        assert_eq!((error.kind(), error.outcome()), (fault, Outcome::NotSent), "{error}");
        assert!(error.to_string().contains(&shared().addr().to_string()), "{error}");
    }
    let client = setup.lazy(&alone, "timeout=5s").unwrap();
    let (error, took) = timed(|| client.run::<Value>("GET k").unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::NotACluster), "{error}");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

fn a_password_is_needed_by_all_and_a_wrong_one_makes_no_storm(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).password("pw").acl_line("user ann on >ann ~* +@all");
    let set = set.acl_line("user few on nopass ~* -@all +get +set +cluster|slots +acl|whoami").start();
    a_user_who_may_ask_for_the_map_alone_is_served(setup, &set);
    let url = set.url().replace("redis+cluster://:pw@", "redis+cluster://ann:ann@");
    for url in [set.url(), url] {
        let client = setup.lazy(&url, "").unwrap();
        for n in 0..9 {
            client.run::<()>(&format!("SET k:{n} v")).unwrap();
        }
        assert_eq!(client.run::<usize>("DBSIZE").unwrap(), 9);
    }
    a_plain_url_is_answered_with_the_right_one(setup, &set);

    let met = || set.nodes().iter().map(|node| node.stat("total_connections_received")).sum::<i64>();
    // The client that asks how many came is one of them.
    let own = met() - met();
    let wrong = set.url().replace(":pw@", ":wrong@");
    let before = met();
    let (error, took) = timed(|| setup.connect(&wrong, "").unwrap_err());
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    let wrong_password = ErrorKind::Authentication(AuthenticationFault::WrongPassword);
    assert_eq!(error.kind(), wrong_password, "{error}");
    assert!(error.to_string().contains("WRONGPASS"), "{error}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let client = setup.lazy(&wrong, "").unwrap();
    thread::scope(|scope| {
        let call = || {
            let (error, took) = timed(|| client.run::<Value>("GET k").unwrap_err());
            assert!(shown(&error).contains("WRONGPASS"), "{}", shown(&error));
            assert!(took < Duration::from_secs(2), "{took:?}");
        };
        (0..50).for_each(|_| drop(scope.spawn(call)));
    });
    // Each node once to connect, and once for all calls; the pause between questions may end in the middle of
    // them.
    let asked = met() - before + own;
    assert!((2..=9).contains(&asked), "{asked} connections");
}

/// And one that has no password, which makes no difference.
fn a_user_who_may_ask_for_the_map_alone_is_served(setup: Setup, set: &ClusterSet) {
    let url = set.url().replace(":pw@", "few@");
    for options in ["map_source=slots", "map_source=shards"] {
        let client = setup.client(&url, options);
        for n in 0..9 {
            client.run::<()>(&format!("SET k:{n} v")).unwrap();
            assert_eq!(client.run::<String>(&format!("GET k:{n}")).unwrap(), "v");
        }
        assert_eq!(client.run::<String>("ACL WHOAMI").unwrap(), "few");
        assert_eq!(client.run::<Value>("DBSIZE").unwrap_err().code(), Some("NOPERM"));
    }
}

fn a_plain_url_is_answered_with_the_right_one(setup: Setup, set: &ClusterSet) {
    let client = setup.client(&set.node(0).url(), "");
    let (own, other) = (keys_of(set, 0, "plain", 1), keys_of(set, 1, "plain", 1));
    client.run::<()>(&format!("SET {} v", own[0])).unwrap();
    let advice = format!("redis+cluster://{}", set.node(0).addr());
    let errors = [
        client.run::<()>(&format!("SET {} v", other[0])).unwrap_err(),
        client.pipeline(|p| (p.incr(&other[0]), p.incr(&other[0]))).unwrap_err(),
        client.atomic(|p| p.incr(&other[0])).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::Moved), "{error}");
        assert!(error.to_string().contains(&advice), "{error}");
    }
}

fn a_closed_client_leaves_nothing_behind(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let client = setup.client(&set.url(), "client_name=closing");
    for n in 0..20 {
        client.run::<()>(&format!("SET k:{n} v")).unwrap();
    }
    thread::scope(|scope| {
        let waits = scope.spawn(|| client.run::<Value>("BLPOP list 20"));
        let waiting = || set.nodes().iter().map(|node| node.stat("blocked_clients")).sum::<i64>() == 1;
        eventually("it waits", LIMIT, waiting);
        assert!(named(&set, "closing") >= 3);
        client.shut(Duration::from_millis(100));
        assert!(waits.join().unwrap().is_err());
    });
    for line in ["GET k:1", "DBSIZE", "BLPOP list 1", "MGET a b c"] {
        let error = client.run::<Value>(line).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent), "{line}: {error}");
    }
    eventually("its connections are gone", LIMIT, || named(&set, "closing") == 0);
    // Two that close it at once both wait for what is under way.
    let client = setup.client(&set.url(), "client_name=twice");
    thread::scope(|scope| {
        let waits = scope.spawn(|| client.run::<(String, i64)>("BLPOP list 20"));
        let waiting = || set.nodes().iter().map(|node| node.stat("blocked_clients")).sum::<i64>() == 1;
        eventually("it waits", LIMIT, waiting);
        let first = scope.spawn(|| client.shut(LIMIT));
        eventually("no more calls are taken", LIMIT, || {
            client.run::<Value>("GET k:1").is_err_and(|error| error.kind() == ErrorKind::Closed)
        });
        let second = scope.spawn(|| client.shut(LIMIT));
        thread::sleep(Duration::from_millis(50));
        assert!(!first.is_finished() && !second.is_finished(), "a call is under way");
        setup.client(&set.url(), "").run::<i64>("RPUSH list 7").unwrap();
        assert_eq!(waits.join().unwrap().unwrap(), ("list".to_owned(), 7));
    });
    // The same for one that is dropped.
    let client = setup.client(&set.url(), "client_name=dropped");
    assert_eq!(client.run::<Vec<String>>("MGET k:1 k:2 k:3").unwrap(), ["v"; 3]);
    client.close();
    eventually("its connections are gone", LIMIT, || named(&set, "dropped") == 0);
}

fn start_up_nodes_alone_are_asked_where_that_is_wanted(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let url = format!("redis+cluster://{}", set.node(0).addr());
    for (asks, alone) in [("no", true), ("yes", false)] {
        let options = format!("refresh_pause=10ms&dynamic_startup_nodes={asks}");
        let client = setup.client(&url, &options);
        // Servers before 7.0 count it as `CLUSTER`.
        let asked = || -> i64 {
            let calls = |node| set.node(node).calls("cluster|slots") + set.node(node).calls("cluster");
            (1..3).map(calls).sum()
        };
        let before = asked();
        let refresh = || match &client {
            Client::Tokio(client) => runtime().block_on(client.cluster().unwrap().refresh()).map(drop),
            Client::Blocking(client) => client.cluster().unwrap().refresh().map(drop),
        };
        for _ in 0..20 {
            refresh().unwrap();
        }
        assert_eq!(asked() == before, alone, "{options}");
        client.run::<()>("SET k v").unwrap();
    }
}

fn tls_and_proxies_change_nothing(setup: Setup) {
    if !redwire_testkit::find_server().is_some_and(|binary| has_tls(&binary)) {
        return;
    }
    let authority = Authority::new();
    let set = ClusterSet::builder().replicas(0).tls(&authority).proxied().start();
    assert!(set.url().starts_with("rediss+cluster://"));
    let client = setup.client(&set.url(), &format!("tls_ca_file={}", authority.pem_file().display()));
    for n in 0..30 {
        client.run::<()>(&format!("SET k:{n} {n}")).unwrap();
    }
    let before = client.run::<Vec<i64>>("MGET k:1 k:2 k:3").unwrap();
    assert_eq!(before, [1, 2, 3]);
    set.move_slot(slot("k:1"), (set.owner(slot("k:1")) + 1) % 3);
    assert_eq!(client.run::<i64>("INCR k:1").unwrap(), 2);
    for node in set.nodes() {
        node.proxy().reset_all();
    }
    assert_eq!(client.run::<Vec<i64>>("MGET k:1 k:2 k:3").unwrap(), [2, 2, 3]);
    let error = setup.connect(&set.url(), "").unwrap_err();
    assert!(shown(&error).contains("ertificate"), "{}", shown(&error));
}

fn announced_names_are_remapped(setup: Setup) {
    if !knows("cluster-preferred-endpoint-type", "ip") {
        return;
    }
    let set = ClusterSet::builder().replicas(0).host_names().start();
    let table: HashMap<HostPort, HostPort> = set
        .remap()
        .into_iter()
        .map(|((host, port), at)| (HostPort::new(host, port), HostPort::new(at.ip().to_string(), at.port())))
        .collect();
    let options = Config::from_url(&setup.url(&set.url(), "")).unwrap().to_builder();
    let client = setup.open(options.remap(table)).unwrap();
    for n in 0..30 {
        client.run::<()>(&format!("SET k:{n} {n}")).unwrap();
    }
    assert_eq!(client.run::<usize>("DBSIZE").unwrap(), 30);
    // MOVED and ASK are told by names, too.
    let moving = set.begin_move(slot("k:1"), (set.owner(slot("k:1")) + 1) % 3);
    moving.move_key("k:1");
    assert_eq!(client.run::<i64>("INCR k:1").unwrap(), 2);
    moving.end_move();
    assert_eq!(client.run::<i64>("INCR k:1").unwrap(), 3);
    // Without the remap the names are not known: each call says so in time.
    let client = setup.lazy(&set.url(), "timeout=700ms").unwrap();
    let (error, took) = timed(|| client.run::<Value>("GET k:1").unwrap_err());
    assert!(shown(&error).contains("redwire.test"), "{}", shown(&error));
    in_time(took, Duration::from_millis(700));
}

fn databases_are_there_or_refused(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    let at = |set: &ClusterSet, db: u32| format!("{}/{db}", set.url());
    assert_eq!(setup.client(&at(&set, 0), "").run::<usize>("DBSIZE").unwrap(), 0);
    let (error, took) = timed(|| setup.connect(&at(&set, 3), "").unwrap_err());
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert!(error.to_string().contains("a cluster has the database 0 only"), "{error}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    if !knows("cluster-databases", "1") {
        return;
    }
    let set = ClusterSet::builder().replicas(0).databases(4).start();
    let (client, other) = (setup.client(&at(&set, 3), ""), setup.client(&at(&set, 0), ""));
    for n in 0..30 {
        client.run::<()>(&format!("SET k:{n} {n}")).unwrap();
    }
    assert_eq!((client.run::<usize>("DBSIZE").unwrap(), other.run::<usize>("DBSIZE").unwrap()), (30, 0));
    let moving = set.begin_move(slot("k:1"), (set.owner(slot("k:1")) + 1) % 3);
    moving.move_key("k:1");
    assert_eq!(client.run::<i64>("INCR k:1").unwrap(), 2);
    moving.end_move();
    assert_eq!(client.run::<i64>("INCR k:1").unwrap(), 3);
    assert_eq!(other.run::<Option<i64>>("GET k:1").unwrap(), None);
}

/// Whether the server to test with knows a directive, asked by setting it to what it is anyway.
pub(crate) fn knows(name: &str, value: &str) -> bool {
    Server::builder().arg(name, value).start_or_err().is_ok()
}
