//! Sentinel sets: how they start, what the sentinels see, and that they take over by themselves.

use std::time::{Duration, Instant};

use redwire_testkit::{
    Authority, Direction, Fault, SentinelSet, SentinelSetBuilder, eventually, has_tls, servers_from_env,
};

const LIMIT: Duration = Duration::from_secs(60);

fn each() -> impl Iterator<Item = SentinelSetBuilder> {
    servers_from_env().into_iter().map(|binary| SentinelSet::builder().binary(binary))
}

/// Waits until the sentinels see another master than node `old`, and returns which.
fn another_than(set: &SentinelSet, old: usize) -> usize {
    eventually("another takes over", LIMIT, || set.master_index() != old);
    set.master_index()
}

fn set_key(set: &SentinelSet, value: &str) {
    assert_eq!(set.nodes()[set.master_index()].command(&["SET", "k", value]), Ok("OK".to_owned()));
}

fn has_key(set: &SentinelSet, node: usize, value: &str) {
    let got = || set.nodes()[node].command(&["GET", "k"]);
    eventually("the key is there", LIMIT, || got() == Ok(value.to_owned()));
}

#[test]
fn a_set_starts_within_seconds_and_is_whole() {
    for builder in each() {
        let begin = Instant::now();
        let set = builder.start();
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(15), "{took:?}");
        assert_eq!((set.master_index(), set.replicas()), (0, vec![1, 2]));
        assert_eq!(set.master(), set.nodes()[0].addr());
        let ports: Vec<_> = set.sentinels().iter().map(|sentinel| sentinel.port().to_string()).collect();
        let hosts = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
        assert_eq!(set.url(), format!("redis+sentinel://{hosts}/mymaster"));
        for sentinel in set.sentinels() {
            let quorum = sentinel.command(&["SENTINEL", "CKQUORUM", set.service()]).unwrap();
            assert!(quorum.starts_with("OK 3 usable"), "{quorum}");
        }
        set_key(&set, "v");
        has_key(&set, 1, "v");
        has_key(&set, 2, "v");
    }
}

#[test]
fn a_failover_is_told_by_all_sentinels() {
    for builder in each() {
        let set = builder.start();
        let events = set.switch_events();
        assert_eq!(events.seen(), []);
        let begin = Instant::now();
        let switch = set.failover();
        assert_eq!(
            (switch.from, switch.to),
            (set.nodes()[0].address(), set.nodes()[set.master_index()].address())
        );
        assert!(switch.at > begin && switch.at <= Instant::now());
        eventually("all say so", LIMIT, || events.seen().len() == 3);
        assert!(events.seen().iter().all(|seen| (seen.from, seen.to) == (switch.from, switch.to)));
        // The sentinels leave the old master alone for some eight seconds; the kit need not wait for them.
        assert!(!set.replicas().contains(&0), "{:?}", set.replicas());
        set.rejoin(0);
        set.wait_settled();
        replicates(&set, 0);
        set_key(&set, "after");
        has_key(&set, 0, "after");
    }
}

/// The node follows the master. The sentinels may send it there once more after it was seen to: for a moment
/// it has no link then. On a loaded machine quick sentinels may also take a master for dead that is not, and
/// promote the node.
fn replicates(set: &SentinelSet, node: usize) {
    eventually("the node is a replica", LIMIT, || {
        set.replicas().contains(&node) || set.master_index() == node
    });
}

#[test]
fn another_takes_over_from_a_killed_master_which_comes_back_as_a_replica() {
    for builder in each() {
        let set = builder.quick().start();
        let events = set.switch_events();
        set.nodes()[0].kill();
        let new = another_than(&set, 0);
        assert_eq!(events.wait(LIMIT).to, set.nodes()[new].address());
        set.wait_settled();
        replicates(&set, 3 - new);
        set_key(&set, "v");
        set.nodes()[0].restart();
        set.wait_settled();
        replicates(&set, 0);
        has_key(&set, 0, "v");
    }
}

#[test]
fn another_takes_over_from_a_frozen_master_with_two_sentinels_of_three() {
    let set = SentinelSet::builder().quick().start();
    set.sentinels()[2].kill();
    set.nodes()[0].freeze();
    let new = another_than(&set, 0);
    set.wait_settled();
    set.nodes()[0].thaw();
    // It comes back as a master, and the sentinels send it after the new one in the end.
    set.wait_settled();
    assert_eq!(set.master_index(), new);
    let events = set.switch_events();
    set.sentinels()[2].restart();
    set.wait_settled();
    assert_eq!(set.master_index(), new);
    // It came back with what it knew, and was told. It is listened to again.
    let switch = set.failover();
    let third = || events.seen().iter().any(|seen| (seen.sentinel, seen.to) == (2, switch.to));
    eventually("the third says so too", LIMIT, third);
}

#[test]
fn passwords_and_users_of_both_kinds_hold() {
    for builder in each() {
        let set = builder
            .service("the-service")
            .password("se\"cret @1")
            .acl_line("user alice on >pw ~* +@all")
            .sentinel_password("se\"ntinel #2")
            .sentinel_acl_line("user bob on >pw allchannels +@all")
            .sentinel_arg("failover-timeout", "2000")
            .start();
        assert!(set.url().starts_with("redis+sentinel://:se%22cret%20%401@127.0.0.1:"));
        assert!(set.url().ends_with("/the-service"));
        assert_eq!(set.sentinels()[0].command(&["ACL", "WHOAMI"]), Ok("default".to_owned()));
        assert_eq!(set.sentinels()[0].command(&["AUTH", "bob", "pw"]), Ok("OK".to_owned()));
        assert_eq!(set.nodes()[0].command(&["AUTH", "alice", "pw"]), Ok("OK".to_owned()));
        let master = set.sentinels()[0].command(&["SENTINEL", "MASTER", "the-service"]).unwrap();
        assert!(master.contains("failover-timeout\n2000"), "{master}");
        let switch = set.failover();
        assert_ne!(switch.to, set.nodes()[0].address());
    }
}

#[test]
fn through_proxies_everybody_can_be_cut_off() {
    for builder in each() {
        let set = builder.proxied().quick().start();
        let master = &set.nodes()[0];
        assert_eq!(set.master(), master.proxy().addr());
        assert_ne!(set.master(), master.addr());
        // Both replicas, and two connections from each sentinel.
        assert!(master.proxy().open() >= 8, "{}", master.proxy().open());
        master.proxy().set(Direction::ToServer, Fault::Blackhole);
        let new = another_than(&set, 0);
        assert_eq!(set.master(), set.nodes()[new].proxy().addr());
        assert!(master.is_up() && master.info("replication")["role"] == "master");
        master.proxy().heal();
        master.proxy().reset_all();
        set.wait_settled();
        replicates(&set, 0);
    }
}

#[test]
fn a_set_with_tls_speaks_nothing_else() {
    let authority = Authority::new();
    for binary in servers_from_env().into_iter().filter(|binary| has_tls(binary)) {
        let set = SentinelSet::builder().binary(binary).tls(&authority).start();
        assert!(set.url().starts_with("rediss+sentinel://127.0.0.1:"));
        assert!(set.nodes()[0].url().starts_with("rediss://127.0.0.1:"));
        for server in set.sentinels().iter().chain(set.nodes().iter().map(|node| &**node)) {
            let mut stream = std::net::TcpStream::connect(server.addr()).unwrap();
            std::io::Write::write_all(&mut stream, b"PING\r\n").unwrap();
            let mut got = Vec::new();
            let _ = std::io::Read::read_to_end(&mut stream, &mut got);
            assert!(!got.starts_with(b"+PONG"), "{}", got.escape_ascii());
        }
        let switch = set.failover();
        assert_ne!(switch.to, set.nodes()[0].address());
    }
}

#[test]
fn hasty_sentinels_send_a_former_master_after_the_new_one() {
    for builder in each() {
        let set = builder.quick().start();
        for _ in 0..2 {
            let old = set.master_index();
            set.failover();
            set.wait_settled();
            replicates(&set, old);
        }
    }
}

#[test]
fn smaller_sets_can_be_had() {
    let set = SentinelSet::builder().sentinels(1).replicas(0).start();
    assert_eq!((set.sentinels().len(), set.nodes().len(), set.replicas()), (1, 1, vec![]));
}

#[test]
#[should_panic(expected = "a sentinel has to be up")]
fn without_sentinels_the_master_is_not_known() {
    let set = SentinelSet::builder().replicas(0).start();
    set.sentinels().iter().for_each(redwire_testkit::Server::kill);
    set.master();
}
