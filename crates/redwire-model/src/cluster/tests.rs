//! Clusters whose messages and writes a test carries.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Node, slot_of};
use crate::{ClientId, Condition, Executed, Model, Options};

const TIMEOUT: Duration = Duration::from_secs(2);

fn id(n: usize) -> String {
    format!("{n:040x}")
}

/// Masters 0, 1, 2 and their replicas 3, 4, 5, with a client at each.
struct World {
    nodes: Vec<Model>,
    clients: Vec<ClientId>,
    now: Duration,
    /// Nodes that nobody reaches.
    cut_off: Vec<usize>,
}

impl World {
    fn new() -> Self {
        let port = |n: usize| 7000 + u16::try_from(n).unwrap();
        let node = |n: usize| {
            let node = Node::new(id(n), "127.0.0.1", port(n));
            if n < 3 { node } else { node.replica_of(id(n - 3)) }
        };
        let ids: Vec<String> = (0..3).map(id).collect();
        let slots =
            [(ids[0].as_str(), 0, 5460), (ids[1].as_str(), 5461, 10922), (ids[2].as_str(), 10923, 16383)];
        let mut nodes = Vec::new();
        for n in 0..6 {
            let seed = u64::try_from(n).unwrap();
            let mut model = Model::new(Options::new().replicates(true).log(true).seed(seed).port(port(n)));
            let others = (0..6).filter(|other| *other != n);
            let all: Vec<Node> = std::iter::once(n).chain(others).map(node).collect();
            model.join_cluster(&all, &slots, TIMEOUT, Duration::ZERO);
            nodes.push(model);
        }
        let clients = nodes.iter_mut().map(|model| model.connect("127.0.0.1:1", Duration::ZERO)).collect();
        let mut world = Self { nodes, clients, now: Duration::ZERO, cut_off: Vec::new() };
        world.advance(Duration::from_secs(1));
        world
    }

    /// Carries all messages and writes that are there.
    fn carry(&mut self) {
        for _ in 0..10 {
            for from in 0..self.nodes.len() {
                for (to, message) in self.nodes[from].take_messages() {
                    let to = usize::from_str_radix(&to, 16).unwrap();
                    if !self.cut_off.contains(&from) && !self.cut_off.contains(&to) {
                        self.nodes[to].handle_message(&id(from), message, self.now);
                    }
                }
                let writes = self.nodes[from].take_writes();
                for to in 0..self.nodes.len() {
                    let is_replica =
                        self.nodes[to].master().is_some_and(|(_, port)| usize::from(port) == 7000 + from);
                    if is_replica && !self.cut_off.contains(&from) && !self.cut_off.contains(&to) {
                        let applied = writes.iter().all(|write| self.nodes[to].apply(write, self.now));
                        if !applied {
                            let snapshot = self.nodes[from].snapshot();
                            self.nodes[to].restore(&snapshot, self.now);
                        }
                    }
                }
            }
        }
    }

    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while self.now < end {
            self.now += Duration::from_millis(100);
            for node in &mut self.nodes {
                node.handle_timeout(self.now);
            }
            self.carry();
        }
    }

    fn say(&mut self, node: usize, line: &str) -> String {
        let client = self.clients[node];
        self.nodes[node].receive(client, format!("{line}\r\n").as_bytes(), self.now);
        self.carry();
        self.heard(node)
    }

    fn heard(&mut self, node: usize) -> String {
        let bytes = self.nodes[node].transmit(self.clients[node]);
        String::from_utf8(bytes).unwrap().replace("\r\n", " ").trim_end().to_owned()
    }
}

#[test]
fn a_node_says_where_a_key_is() {
    let mut world = World::new();
    // Slot 12182.
    assert_eq!(world.say(0, "SET foo 1"), "-MOVED 12182 127.0.0.1:7002");
    assert_eq!(world.say(2, "SET foo 1"), "+OK");
    assert_eq!(world.say(5, "GET foo"), "-MOVED 12182 127.0.0.1:7002");
    assert_eq!(world.say(5, "READONLY\r\nGET foo"), "+OK $1 1");
    assert_eq!(world.say(2, "MGET foo bar"), "-CROSSSLOT Keys in request don't hash to the same slot");
    assert!(world.say(0, "CLUSTER INFO").contains("cluster_state:ok"));
    assert_eq!(world.say(0, "CLUSTER NODES").matches("connected").count(), 6);
    assert_eq!(world.say(0, "CLUSTER SLOTS").matches("127.0.0.1").count(), 6);
}

#[test]
fn what_is_published_at_a_node_is_heard_once_at_all() {
    let mut world = World::new();
    for node in [0, 2, 3, 4, 5] {
        assert!(world.say(node, "SUBSCRIBE news").contains("subscribe"));
    }
    assert_eq!(world.say(1, "PUBLISH news 7"), ":0");
    for node in [0, 2, 3, 4, 5] {
        assert_eq!(world.heard(node), "*3 $7 message $4 news $1 7", "{node}");
    }
}

#[test]
fn the_log_tells_what_came_from_other_nodes() {
    let mut world = World::new();
    let held = |model: &mut Model| {
        let log = model.take_log().into_iter().filter(|done| done.client == Executed::ELSEWHERE);
        let lines = log.map(|done| String::from_utf8(done.words.join(&b' ')).unwrap());
        lines.collect::<Vec<_>>()
    };
    world.say(2, "RPUSH {foo}a 1 2");
    assert_eq!(held(&mut world.nodes[5]), ["HOLDS {foo}a list 1 2"]);
    world.say(0, &format!("CLUSTER SETSLOT 12182 IMPORTING {}", id(2)));
    world.say(2, &format!("CLUSTER SETSLOT 12182 MIGRATING {}", id(0)));
    assert_eq!(world.say(2, "MIGRATE 127.0.0.1 7000 {foo}a 0 1000"), "+OK");
    assert_eq!(held(&mut world.nodes[2]), ["HOLDS {foo}a"]);
    assert_eq!(held(&mut world.nodes[5]), ["HOLDS {foo}a"]);
    assert_eq!(held(&mut world.nodes[0]), ["HOLDS {foo}a list 1 2"]);
    assert_eq!(held(&mut world.nodes[3]), ["HOLDS {foo}a list 1 2"]);
    let snapshot = world.nodes[0].snapshot();
    world.nodes[4].restore(&snapshot, world.now);
    assert_eq!(held(&mut world.nodes[4]), ["HOLDS {foo}a list 1 2"]);
}

#[test]
fn a_slot_moves_key_by_key() {
    let mut world = World::new();
    world.say(2, "MSET {foo}a 1 {foo}b 2");
    assert_eq!(world.say(0, &format!("CLUSTER SETSLOT 12182 IMPORTING {}", id(2))), "+OK");
    assert_eq!(world.say(2, &format!("CLUSTER SETSLOT 12182 MIGRATING {}", id(0))), "+OK");
    assert_eq!(world.say(2, "MIGRATE 127.0.0.1 7000 {foo}a 0 1000"), "+OK");
    assert_eq!(world.say(2, "GET {foo}a"), "-ASK 12182 127.0.0.1:7000");
    assert_eq!(world.say(2, "GET {foo}b"), "$1 2");
    assert_eq!(
        world.say(2, "MGET {foo}a {foo}b"),
        "-TRYAGAIN Multiple keys request during rehashing of slot"
    );
    assert_eq!(world.say(0, "GET {foo}a"), "-MOVED 12182 127.0.0.1:7002");
    assert_eq!(world.say(0, "ASKING\r\nGET {foo}a\r\nGET {foo}a"), "+OK $1 1 -MOVED 12182 127.0.0.1:7002");
    assert_eq!(world.say(2, "CLUSTER GETKEYSINSLOT 12182 10"), "*1 $6 {foo}b");
    assert_eq!(world.say(2, "MIGRATE 127.0.0.1 7000 \"\" 0 1000 KEYS {foo}b"), "+OK");
    for node in [0, 2] {
        assert_eq!(world.say(node, &format!("CLUSTER SETSLOT 12182 NODE {}", id(0))), "+OK");
    }
    world.advance(Duration::from_secs(2));
    for node in [1, 2, 4, 5] {
        assert_eq!(world.say(node, "GET {foo}a"), "-MOVED 12182 127.0.0.1:7000", "{node}");
    }
    assert_eq!(world.say(0, "MGET {foo}a {foo}b"), "*2 $1 1 $1 2");
}

/// A node that was out of touch hears first that the former owner has a higher epoch than the new one, since
/// it was given another slot after that.
#[test]
fn a_slot_that_its_owner_does_not_claim_is_believed_to_any_other() {
    let mut world = World::new();
    world.cut_off.push(5);
    for (slot, from, to) in [(0, 0, 1), (5461, 1, 0)] {
        for line in [format!("IMPORTING {}", id(from)), format!("NODE {}", id(to))] {
            assert_eq!(world.say(to, &format!("CLUSTER SETSLOT {slot} {line}")), "+OK");
        }
        assert_eq!(world.say(from, &format!("CLUSTER SETSLOT {slot} NODE {}", id(to))), "+OK");
        world.advance(Duration::from_secs(1));
    }
    world.cut_off.clear();
    world.advance(Duration::from_secs(2));
    let slots = world.say(0, "CLUSTER SLOTS");
    for node in [1, 2, 5] {
        assert_eq!(world.say(node, "CLUSTER SLOTS"), slots, "{node}");
    }
}

#[test]
fn a_replica_is_elected_and_what_it_had_not_got_is_lost() {
    let mut world = World::new();
    world.say(2, "SET foo kept");
    world.nodes[2].handle_timeout(world.now);
    world.cut_off.push(2);
    // Acknowledged, and known to nobody else.
    assert_eq!(world.say(2, "SET foo lost"), "+OK");
    world.advance(Duration::from_secs(20));
    assert_eq!(world.say(5, "GET foo"), "$4 kept");
    assert_eq!(world.say(0, "GET foo"), "-MOVED 12182 127.0.0.1:7005");
    // The old master is in the minority, and says so.
    assert_eq!(world.say(2, "GET foo"), "-CLUSTERDOWN The cluster is down");
    world.cut_off.clear();
    world.advance(Duration::from_secs(5));
    assert_eq!(world.nodes[2].master(), Some(("127.0.0.1", 7005)));
    world.say(5, "SET foo new");
    world.advance(Duration::from_secs(1));
    assert_eq!(world.say(2, "READONLY\r\nGET foo"), "+OK $3 new");
}

#[test]
fn the_same_seeds_make_the_same_history() {
    let run = || {
        let mut world = World::new();
        world.nodes[1].set(Condition::Frozen, true, world.now);
        let mut history = BTreeMap::new();
        for second in 0..20 {
            world.advance(Duration::from_secs(1));
            history.insert(second, world.say(0, "CLUSTER NODES"));
        }
        history
    };
    let history = run();
    assert_eq!(history, run());
    assert!(history[&19].contains("fail"), "{}", history[&19]);
}

#[test]
fn slots_are_those_of_the_specification() {
    assert_eq!(slot_of(b"123456789"), 0x31c3);
    assert_eq!(slot_of(b"foo"), 12182);
    assert_eq!(slot_of(b"{foo}.bar"), slot_of(b"foo"));
    assert_ne!(slot_of(b"{}foo"), slot_of(b""));
}
