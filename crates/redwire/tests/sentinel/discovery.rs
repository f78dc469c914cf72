//! Which sentinels clients believe, and what they say when there is none to believe. FAULTS 28–30.

use std::time::Duration;

use redwire::config::{Config, ConfigBuilder};
use redwire::{ErrorKind, Outcome, SentinelFault};
use redwire_testkit::{ClosedPort, Direction, FakeServer, Fault, Proxy, Server, eventually, shared};

use crate::common::{LIMIT, Setup, blocking_running, running, timed};
use crate::fake::{FakeSentinel, View, url};

both!(
    the_master_is_found_and_used,
    a_sentinel_that_is_silent_is_overtaken,
    a_replica_that_poses_as_master_is_refused,
    a_server_says_what_it_is_in_other_words,
    a_sentinel_that_refuses_a_part_is_asked_in_other_words,
    an_unknown_service_is_told_apart_from_sentinels_that_cannot_be_reached,
    a_sentinel_that_is_alone_or_sees_the_master_down_is_not_believed,
    a_sentinel_with_an_old_view_is_not_believed,
    a_master_that_was_demoted_is_left_unnoticed,
    sentinels_have_a_callback_of_their_own,
);

/// What is run at the servers of the service is not run at sentinels, which may not know it.
fn sentinels_have_a_callback_of_their_own(setup: Setup) {
    let server = Server::start();
    let sentinel = FakeSentinel::telling(View::of(server.addr()));
    let config = Config::from_url(&setup.url(&url(&[sentinel.addr()]), "")).unwrap().to_builder();
    let shown = |options: ConfigBuilder, line| {
        options.on_connect(running(line)).blocking_on_connect(blocking_running(line))
    };
    let client = setup.open(shown(config.clone(), "INCR connects")).unwrap();
    assert_eq!(client.run::<u32>("GET connects").unwrap(), 1);
    assert_eq!(sentinel.times("INCR"), 0);
    let own = shown(Config::builder(), "PING").build().unwrap();
    setup.open(config.sentinel_config(own)).unwrap();
    assert!(sentinel.times("PING") > 0);
}

/// A master and a replica that follows it.
pub(crate) fn pair() -> (Server, Server) {
    // Replicas are not kept waiting for others.
    let start = || Server::builder().arg("repl-diskless-sync-delay", "0").start();
    let (master, replica) = (start(), start());
    follow(&replica, &master);
    (master, replica)
}

pub(crate) fn follow(replica: &Server, master: &Server) {
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).unwrap();
    eventually("it follows", LIMIT, || {
        replica.command(&["ROLE"]).unwrap().lines().any(|line| line == "connected")
    });
}

fn the_master_is_found_and_used(setup: Setup) {
    let sentinel = FakeSentinel::telling(View::of(shared().addr()));
    let key = setup.key("sentinel");
    let client = setup.client(&url(&[sentinel.addr()]), "max_connections=3");
    client.run::<()>(&format!("SET {key} v")).unwrap();
    assert_eq!(client.run::<String>(&format!("GET {key}")).unwrap(), "v");
    assert_eq!(sentinel.asked(), 1, "one answer is enough while the connection is up");
}

fn a_sentinel_that_is_silent_is_overtaken(setup: Setup) {
    let sentinel = FakeSentinel::telling(View::of(shared().addr()));
    let hole = Proxy::start(sentinel.addr());
    hole.set(Direction::ToServer, Fault::Blackhole);
    hole.set(Direction::ToClient, Fault::Blackhole);
    let url = url(&[hole.addr(), sentinel.addr()]);
    let (client, took) = timed(|| setup.client(&url, "sentinel_timeout=10s&connect_timeout=10s"));
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    assert!(took < Duration::from_secs(5), "no caller waited for the silent one: {took:?}");
}

fn a_replica_that_poses_as_master_is_refused(setup: Setup) {
    let (master, replica) = pair();
    let liar = FakeSentinel::telling(View::of(replica.addr()));
    let honest = FakeSentinel::telling(View::of(master.addr()));
    let client = setup.lazy(&url(&[liar.addr(), honest.addr()]), "timeout=10s&retries=20").unwrap();
    client.run::<()>("SET k v").unwrap();
    assert_eq!(master.command(&["GET", "k"]).unwrap(), "v");
    // The liar alone leads nowhere, and that is said.
    let error = setup.connect(&url(&[liar.addr()]), "").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Sentinel(SentinelFault::NotMaster), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
}

/// A front end has no ROLE, or the server takes writes by another name.
fn a_server_says_what_it_is_in_other_words(setup: Setup) {
    let answering = |role: &'static str, info: &'static str| {
        FakeServer::answering(move |words| {
            let text = |text: &str| format!("${}\r\n{text}\r\n", text.len()).into_bytes();
            match (words[0].as_slice(), role) {
                (b"ROLE", "") => b"-ERR unknown command 'ROLE'\r\n".to_vec(),
                (b"ROLE", _) => [b"*1\r\n".to_vec(), text(role)].concat(),
                (b"INFO", _) if info.is_empty() => b"-ERR unknown command 'INFO'\r\n".to_vec(),
                (b"INFO", _) => text(&format!("# Replication\r\nrole:{info}\r\n")),
                (b"GET", _) => text("v"),
                _ => b"-ERR unknown command\r\n".to_vec(),
            }
        })
    };
    for (role, info, good) in [
        ("", "master", true),
        ("", "active-replica", true),
        ("", "slave", false),
        // Then a write will tell.
        ("", "", true),
        ("active-replica", "", true),
        ("slave", "", false),
    ] {
        let server = answering(role, info);
        let sentinel = FakeSentinel::telling(View::of(server.addr()));
        let result = setup.connect(&url(&[sentinel.addr()]), "connect_timeout=2s");
        if good {
            assert_eq!(result.unwrap().run::<String>("GET k").unwrap(), "v", "{role} {info}");
        } else {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Sentinel(SentinelFault::NotMaster), "{error}");
        }
    }
}

/// Discovery services of providers know a part, and users may be allowed a part. FAULTS 62.
fn a_sentinel_that_refuses_a_part_is_asked_in_other_words(setup: Setup) {
    const ADDRESS: &str = "GET-MASTER-ADDR-BY-NAME";
    let (master, replica) = pair();
    let sentinel = FakeSentinel::telling(View::of(master.addr()));
    let at = url(&[sentinel.addr()]);
    for refusal in [
        "ERR unknown command",
        "ERR Unknown sentinel subcommand",
        "ERR command not found",
        "NOPERM this user has no permissions to run the command",
    ] {
        let view =
            |refuses| View { refuses, refusal, replicas: vec![replica.addr()], ..View::of(master.addr()) };
        for (refuses, tells_replicas) in [
            (&["REPLICAS"][..], true),
            (&["SLAVES"], true),
            (&["SENTINELS"], true),
            (&[ADDRESS], true),
            (&["REPLICAS", "SLAVES"], false),
            (&["MASTER"], true),
            (&["MASTER", "SENTINELS", "REPLICAS"], true),
            (&["MASTER", "SENTINELS", "REPLICAS", "SLAVES"], false),
            (&["SENTINELS", "REPLICAS", "SLAVES", ADDRESS], false),
        ] {
            sentinel.tell(view(refuses));
            let client = setup.client(&at, "");
            client.run::<()>("SET k v").unwrap_or_else(|error| panic!("{refuses:?}: {error}"));
            let reader = setup.connect(&at, "read_from=replica");
            assert_eq!(reader.is_ok(), tells_replicas, "{refuses:?}: {reader:?}");
            assert!(setup.connect(&at, "read_from=replica_preferred").is_ok(), "{refuses:?}");
        }
        sentinel.tell(view(&["MASTER", ADDRESS]));
        let error = setup.connect(&at, "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Sentinel(SentinelFault::Unreachable), "{error}");
        assert!(error.to_string().contains(refusal), "{error}");
        // It says of how many others it knows by naming them.
        sentinel.tell(view(&["MASTER"]));
        let error = setup.connect(&at, "min_other_sentinels=1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Sentinel(SentinelFault::NoMaster), "{error}");
        sentinel.tell(View { master: None, ..view(&["MASTER"]) });
        let error = setup.connect(&at, "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Sentinel(SentinelFault::UnknownService), "{error}");
    }
}

fn an_unknown_service_is_told_apart_from_sentinels_that_cannot_be_reached(setup: Setup) {
    let sentinel = FakeSentinel::telling(View { master: None, ..View::of(shared().addr()) });
    let closed = ClosedPort::new();
    let unreachable = closed.addr();
    for (sentinels, fault, words) in [
        (vec![sentinel.addr(), unreachable], SentinelFault::UnknownService, "knows no such service"),
        (vec![unreachable], SentinelFault::Unreachable, "refused"),
    ] {
        let error = setup.connect(&url(&sentinels), "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Sentinel(fault), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert_eq!(error.is_retryable(), fault == SentinelFault::Unreachable, "{error}");
        assert!(error.to_string().contains("\"mymaster\"") && error.to_string().contains(words), "{error}");
        assert!(
            sentinels.iter().all(|sentinel| error.to_string().contains(&sentinel.to_string())),
            "{error}"
        );
    }
}

fn a_sentinel_that_is_alone_or_sees_the_master_down_is_not_believed(setup: Setup) {
    let good = View::of(shared().addr());
    let other = Server::start();
    let alone = FakeSentinel::telling(View { others: 0, ..View::of(other.addr()) });
    let blind = FakeSentinel::telling(View { flags: "master,s_down,disconnected", ..View::of(other.addr()) });
    let sound = FakeSentinel::telling(good);
    let sentinels = [alone.addr(), blind.addr(), sound.addr()];
    let client = setup.client(&url(&sentinels), "min_other_sentinels=1&client_name=careful");
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    assert_eq!(crate::common::named_clients(&other, "careful"), 0);
    let error = setup.connect(&url(&sentinels[..2]), "min_other_sentinels=1").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Sentinel(SentinelFault::NoMaster), "{error}");
    for words in ["min_other_sentinels", "thinks it is down: master,s_down,disconnected"] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

fn a_sentinel_with_an_old_view_is_not_believed(setup: Setup) {
    let (old, new) = (Server::start(), Server::start());
    let first = FakeSentinel::telling(View { epoch: 7, ..View::of(old.addr()) });
    let second = FakeSentinel::telling(View { epoch: 7, ..View::of(old.addr()) });
    let client = setup.client(&url(&[first.addr(), second.addr()]), "timeout=10s");
    client.run::<()>("SET where old").unwrap();
    // The second one has heard of a failover, and the first, which is asked first, has not.
    second.tell(View { epoch: 8, ..View::of(new.addr()) });
    new.command(&["SET", "where", "new"]).unwrap();
    old.kill();
    first.tell(View { flags: "master,s_down", epoch: 7, ..View::of(old.addr()) });
    eventually("it is followed", LIMIT, || {
        client.run::<String>("GET where").is_ok_and(|where_| where_ == "new")
    });
    // From then on the old view is not believed, whatever it says of the master.
    old.restart();
    first.tell(View { epoch: 7, ..View::of(old.addr()) });
    new.kill_clients(&["TYPE", "normal"]);
    for _ in 0..3 {
        assert_eq!(client.run::<String>("GET where").unwrap(), "new");
        new.kill_clients(&["TYPE", "normal"]);
    }
}

/// No sentinel tells the client. The first write that the former master refuses is made again where it
/// belongs.
fn a_master_that_was_demoted_is_left_unnoticed(setup: Setup) {
    let (old, new) = pair();
    let sentinel = FakeSentinel::telling(View::of(old.addr()));
    let client = setup.client(&url(&[sentinel.addr()]), "client_name=follower&timeout=10s");
    assert_eq!(client.run::<i64>("INCR n").unwrap(), 1);
    eventually("the replica has it", LIMIT, || new.command(&["GET", "n"]).unwrap() == "1");
    new.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    sentinel.tell(View { epoch: 2, ..View::of(new.addr()) });
    follow(&old, &new);
    assert_eq!(client.run::<i64>("INCR n").unwrap(), 2);
    assert_eq!(new.command(&["GET", "n"]).unwrap(), "2");
    eventually("the former master is left", LIMIT, || crate::common::named_clients(&old, "follower") == 0);
}
