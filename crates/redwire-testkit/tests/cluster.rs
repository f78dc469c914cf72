//! Clusters: how they start, how slots move, and that replicas take over.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use redwire_testkit::{
    Authority, ClusterSet, ClusterSetBuilder, Direction, Fault, Server, eventually, has_tls,
    servers_from_env, slot,
};

const LIMIT: Duration = Duration::from_secs(60);

fn each() -> impl Iterator<Item = ClusterSetBuilder> {
    servers_from_env().into_iter().map(|binary| ClusterSet::builder().binary(binary))
}

/// The servers that know a directive, asked by setting it to what it is anyway.
fn that_know(name: &'static str, value: &'static str) -> impl Iterator<Item = PathBuf> {
    let knows = |binary: &PathBuf| Server::builder().binary(binary).arg(name, value).start_or_err().is_ok();
    servers_from_env().into_iter().filter(knows)
}

/// Puts this many keys into one slot.
fn fill(set: &ClusterSet, count: usize) -> u16 {
    let slot = slot("tag");
    let owner = set.node(set.owner(slot));
    for index in 0..count {
        assert_eq!(owner.command(&["SET", &format!("{{tag}}{index}"), "v"]), Ok("OK".to_owned()));
    }
    slot
}

fn count(set: &ClusterSet, node: usize, slot: u16) -> String {
    set.node(node).command(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).unwrap()
}

#[test]
fn a_cluster_starts_within_seconds_and_is_whole() {
    for builder in each() {
        let begin = Instant::now();
        let set = builder.start();
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert_eq!(set.primaries(), [0, 1, 2]);
        assert_eq!([0, 1, 2].map(|index| set.replicas_of(index)), [[3], [4], [5]]);
        assert_eq!([0, 5460, 5461, 10921, 10922, 16383].map(|slot| set.owner(slot)), [0, 0, 1, 1, 2, 2]);
        let hosts = [0, 1, 2].map(|index| format!("127.0.0.1:{}", set.node(index).port())).join(",");
        assert_eq!(set.url(), format!("redis+cluster://{hosts}"));
        for key in ["foo", "{a}b", "x{}y", ""] {
            let said = set.node(0).command(&["CLUSTER", "KEYSLOT", key]);
            assert_eq!(said, Ok(slot(key).to_string()), "{key}");
        }
        assert_eq!(fill(&set, 1), slot("{tag}0"));
        let moved = set.node((set.owner(slot("tag")) + 1) % 3).command(&["GET", "{tag}0"]).unwrap_err();
        assert_eq!(moved, format!("MOVED {} {}", slot("tag"), set.node(set.owner(slot("tag"))).addr()));
    }
}

#[test]
fn a_slot_moves_with_its_keys() {
    for builder in each() {
        let set = builder.start();
        let slot = fill(&set, 250);
        let (from, to) = (set.owner(slot), (set.owner(slot) + 1) % 3);
        set.move_slot(slot, to);
        assert_eq!(
            (set.owner(slot), count(&set, to, slot), count(&set, from, slot)),
            (to, "250".into(), "0".into())
        );
        set.wait_settled();
        assert_eq!(set.node(to).command(&["GET", "{tag}249"]), Ok("v".to_owned()));
        // There already, and back again.
        set.move_slot(slot, to);
        set.move_slot(slot, from);
        assert_eq!(count(&set, from, slot), "250");
    }
}

#[test]
fn keys_move_one_at_a_time() {
    for builder in each() {
        let set = builder.replicas(0).start();
        let slot = fill(&set, 3);
        let (from, to) = (set.owner(slot), (set.owner(slot) + 1) % 3);
        let moving = set.begin_move(slot, to);
        assert_eq!((moving.slot(), moving.from(), moving.to(), set.owner(slot)), (slot, from, to, from));
        let get = |key: &str| set.node(from).command(&["GET", key]);
        assert_eq!(get("{tag}1"), Ok("v".to_owned()));
        moving.move_key("{tag}1");
        moving.move_key("{tag}none");
        let ask = format!("ASK {slot} {}", set.node(to).addr());
        assert_eq!((get("{tag}1"), get("{tag}2")), (Err(ask.clone()), Ok("v".to_owned())));
        let both = set.node(from).command(&["MGET", "{tag}1", "{tag}2"]).unwrap_err();
        // Before Redis 7.0 that is for the other node to say.
        let old = set.node(from).version() < (7, 0, 0);
        assert!(both.starts_with(if old { "ASK" } else { "TRYAGAIN" }), "{both}");
        assert!(moving.move_one_key() && moving.move_one_key() && !moving.move_one_key());
        assert_eq!(get("{tag}2"), Err(ask));
        moving.end_move();
        assert_eq!(get("{tag}2"), Err(format!("MOVED {slot} {}", set.node(to).addr())));
        assert_eq!((set.owner(slot), count(&set, to, slot)), (to, "3".to_owned()));
    }
}

#[test]
fn many_slots_move_quickly() {
    let set = ClusterSet::builder().replicas(0).start();
    let begin = Instant::now();
    (0..100).for_each(|slot| set.move_slot(slot, 1));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    set.wait_settled();
    assert_eq!([0, 99, 100].map(|slot| set.owner(slot)), [1, 1, 0]);
}

#[test]
fn a_replica_takes_over_when_asked() {
    for builder in each() {
        let set = builder.start();
        let replica = set.replica_of(0);
        let begin = Instant::now();
        let at = set.failover(replica);
        assert!(at > begin && at <= Instant::now());
        set.wait_settled();
        assert_eq!((set.owner(0), set.replica_of(replica)), (replica, 0));
        set.failover(0);
        set.wait_settled();
        assert_eq!(set.owner(0), 0);
    }
}

#[test]
fn a_replica_takes_over_from_a_killed_primary_which_comes_back_as_its_replica() {
    for builder in each() {
        let set = builder.start();
        let slot = fill(&set, 1);
        let (old, new) = (set.owner(slot), set.replica_of(set.owner(slot)));
        eventually("the replica has the key", LIMIT, || count(&set, new, slot) == "1");
        set.kill(old);
        set.wait_promoted(new);
        set.wait_settled();
        assert_eq!((set.owner(slot), count(&set, new, slot), set.primaries().len()), (new, "1".into(), 3));
        set.node(old).restart();
        set.wait_settled();
        assert_eq!(set.replica_of(new), old);
    }
}

#[test]
fn a_replica_takes_over_from_a_frozen_primary() {
    let set = ClusterSet::start();
    let new = set.replica_of(2);
    set.freeze(2);
    set.wait_settled();
    assert_eq!(set.owner(16383), new);
    set.node(2).thaw();
    set.wait_settled();
    assert_eq!((set.owner(16383), set.replica_of(new)), (new, 2));
}

#[test]
fn nodes_come_and_go() {
    for builder in each() {
        let set = builder.replicas(0).start();
        let primary = set.add_node();
        let replica = set.add_node();
        set.replicate(replica, primary);
        assert_eq!((primary, replica, set.nodes().len(), set.replica_of(primary)), (3, 4, 5, 4));
        set.move_slot(0, primary);
        set.wait_settled();
        assert_eq!((set.owner(0), set.primaries().len()), (primary, 4));
        set.forget(replica);
        set.wait_settled();
        assert_eq!(set.replicas_of(primary), []);
        let known = set.node(0).command(&["CLUSTER", "NODES"]).unwrap();
        assert!(!known.contains(&set.id(replica)), "{known}");
        assert!(set.node(replica).is_up());
    }
}

#[test]
fn passwords_and_users_hold() {
    for builder in each() {
        let set = builder
            .password("se\"cret @1")
            .acl_line("user alice on >pw ~* +@all")
            .arg("maxclients", "77")
            .start();
        assert!(set.url().starts_with("redis+cluster://:se%22cret%20%401@127.0.0.1:"));
        let slot = fill(&set, 3);
        let (owner, to) = (set.owner(slot), (set.owner(slot) + 1) % 3);
        set.move_slot(slot, to);
        assert_eq!((count(&set, owner, slot), count(&set, to, slot)), ("0".to_owned(), "3".to_owned()));
        assert_eq!(set.node(5).command(&["AUTH", "alice", "pw"]), Ok("OK".to_owned()));
        assert_eq!(set.node(5).command(&["CONFIG", "GET", "maxclients"]), Ok("maxclients\n77".to_owned()));
    }
}

#[test]
fn through_proxies_clients_can_be_cut_off_while_the_cluster_is_well() {
    for builder in each() {
        let set = builder.proxied().start();
        assert_eq!(set.url(), {
            let hosts = [0, 1, 2].map(|index| set.node(index).proxy().addr().to_string());
            format!("redis+cluster://{}", hosts.join(","))
        });
        let slots = set.node(0).command(&["CLUSTER", "SLOTS"]).unwrap();
        for node in set.nodes() {
            let (host, port) = node.announced();
            assert!(slots.contains(&format!("{host}\n{port}\n")), "{slots}");
        }
        set.node(1).proxy().set(Direction::ToServer, Fault::Blackhole);
        let mut stream = TcpStream::connect(set.node(1).address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        stream.write_all(b"PING\r\n").unwrap();
        assert!(stream.read(&mut [0]).is_err(), "it answered");
        set.wait_settled();
        assert_eq!(set.owner(8000), 1);
        set.node(1).proxy().heal();
        set.node(1).proxy().reset_all();
        set.kill(1);
        set.wait_settled();
        set.node(1).restart();
        set.wait_settled();
        let new = set.owner(8000);
        assert_eq!(
            (set.replica_of(new), set.node(new).info("replication")["connected_slaves"].as_str()),
            (1, "1")
        );
    }
}

#[test]
fn host_names_are_announced_and_can_be_mapped() {
    for binary in that_know("cluster-preferred-endpoint-type", "ip") {
        let set = ClusterSet::builder().binary(binary).host_names().start();
        let added = set.add_node();
        let slots = set.node(4).command(&["CLUSTER", "SLOTS"]).unwrap();
        let remap = set.remap();
        for (index, node) in set.nodes().into_iter().enumerate() {
            let announced = (format!("node-{index}.redwire.test"), node.port());
            assert_eq!((node.announced(), remap[&announced]), (announced.clone(), node.addr()));
            assert_eq!(
                slots.contains(&format!("{}\n{}\n", announced.0, announced.1)),
                index != added,
                "{slots}"
            );
        }
        let moved =
            set.node(0).command(&["GET", "{tag}0"]).and_then(|_| set.node(1).command(&["GET", "{tag}0"]));
        let moved = moved.unwrap_err();
        let owner = set.owner(slot("tag"));
        assert_eq!(
            moved,
            format!("MOVED {} node-{owner}.redwire.test:{}", slot("tag"), set.node(owner).port())
        );
    }
}

#[test]
fn a_cluster_with_tls_speaks_nothing_else() {
    let authority = Authority::new();
    for binary in servers_from_env().into_iter().filter(|binary| has_tls(binary)) {
        let set = ClusterSet::builder().binary(binary).tls(&authority).proxied().start();
        assert!(set.url().starts_with("rediss+cluster://127.0.0.1:"));
        let slot = fill(&set, 3);
        let to = (set.owner(slot) + 1) % 3;
        set.move_slot(slot, to);
        assert_eq!(count(&set, to, slot), "3");
        for node in set.nodes() {
            let mut stream = TcpStream::connect(node.address()).unwrap();
            stream.write_all(b"PING\r\n").unwrap();
            let mut got = Vec::new();
            let _ = stream.read_to_end(&mut got);
            assert!(!got.starts_with(b"+PONG"), "{}", got.escape_ascii());
        }
    }
}

#[test]
fn zones_are_told() {
    for binary in that_know("availability-zone", "\"\"") {
        let set = ClusterSet::builder().binary(binary).zones(&["zone-a", "zone-b"]).start();
        let zone = |index: usize| set.node(index).info("server")["availability_zone"].clone();
        assert_eq!([0, 1, 2, 3, 4, 5].map(zone), ["zone-a", "zone-b"].repeat(3)[..]);
        assert_ne!(zone(0), zone(set.replica_of(0)));
    }
}

#[test]
fn a_slot_moves_with_its_keys_of_all_databases() {
    for binary in that_know("cluster-databases", "1") {
        let set = ClusterSet::builder().binary(binary).databases(3).replicas(0).start();
        let slot = slot("tag");
        let (from, to) = (set.owner(slot), (set.owner(slot) + 1) % 3);
        let mut stream = TcpStream::connect(set.node(from).addr()).unwrap();
        stream.write_all(b"SET {tag}0 v\r\nSELECT 2\r\nSET {tag}0 v\r\nSET {tag}2 v\r\n").unwrap();
        let mut got = [0; 20];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
        let moving = set.begin_move(slot, to);
        moving.move_key("{tag}0");
        assert!(moving.move_one_key() && !moving.move_one_key());
        moving.end_move();
        let sizes = set.node(to).info("keyspace").into_iter().map(|(db, size)| (db, size[..6].to_owned()));
        let sizes: BTreeSet<_> = sizes.collect();
        assert_eq!(sizes, BTreeSet::from([("db0".into(), "keys=1".into()), ("db2".into(), "keys=2".into())]));
    }
}

#[test]
#[should_panic(expected = "there is no node 6")]
fn a_node_that_is_not_there_is_told() {
    ClusterSet::builder().primaries(3).replicas(0).start().node(6);
}
