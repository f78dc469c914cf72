//! Shard channels that follow their slots from connection to connection.

use std::sync::Arc;

use super::*;
use crate::cluster::{Map, Remap, TopologyHint, slot};
use crate::config::HostPort;

/// Subscriptions in a cluster, and what each node was sent.
struct Town {
    machine: PubSub<u32>,
    map: Arc<Map>,
    now: Instant,
    start: Instant,
    conns: BTreeMap<u16, ConnId>,
}

fn node(port: u16) -> HostPort {
    HostPort::new("10.0.0.1", port)
}

/// Who serves the slot of which name.
fn map(shard_placement: &[(&str, u16)]) -> Arc<Map> {
    let empty = Map::default();
    let moved = |map: Map, &(name, port): &(&str, u16)| {
        map.moved(slot(name.as_bytes()), &node(port)).expect("no node had it")
    };
    Arc::new(shard_placement.iter().fold(empty, moved))
}

impl Town {
    fn new(shard_placement: &[(&str, u16)]) -> Self {
        let backoff = Backoff::constant(SECOND);
        let now = Instant::now();
        let machine = PubSub::new(None, backoff).in_cluster(Remap::default());
        let mut town = Self { machine, map: Arc::default(), now, start: now, conns: BTreeMap::new() };
        town.learn(map(shard_placement));
        town
    }

    fn learn(&mut self, map: Arc<Map>) {
        self.map = map;
        self.route();
    }

    /// Gives the map, and connects the connections that are new.
    fn route(&mut self) {
        self.machine.handle_map(&self.map, self.now, 0);
        while let Some((conn, node)) = self.machine.poll_conn() {
            self.conns.insert(node.port, conn);
            assert_eq!(self.machine.poll_connect(conn, self.now, 0), WhenToConnect::Now);
            self.machine.handle_connected(conn, self.now);
        }
    }

    fn hints(&mut self) -> Vec<TopologyHint> {
        let mut hints = Vec::new();
        self.machine.poll_hints(&mut hints);
        hints
    }

    /// Patches the map by what is new, as a driver does.
    fn follow(&mut self) {
        for hints in self.hints() {
            if let TopologyHint::Moved { slot, to } = hints {
                let moved = self.map.moved(slot, &to).map(Arc::new);
                self.map = moved.unwrap_or_else(|| Arc::clone(&self.map));
            }
        }
        self.route();
    }

    fn subscribe(&mut self, names: &str) -> SubscriptionId {
        let id = self.machine.subscribe(ChannelKind::Shard, list(names), SubscribeOptions::new()).unwrap();
        self.route();
        id
    }

    /// One that is confirmed.
    fn subscribed(&mut self, names: &str) -> SubscriptionId {
        let id = self.subscribe(names);
        for (port, _) in self.conns.clone() {
            for command in self.sent(port) {
                command.split(' ').skip(1).for_each(|name| self.say(port, &["ssubscribe", name, "1"]));
            }
        }
        assert!(matches!(self.confirmed(&id), Poll::Ready(Ok(()))));
        id
    }

    fn confirmed(&mut self, id: &SubscriptionId) -> Poll<Result<()>> {
        self.machine.poll_confirmed(id, |_| {})
    }

    fn sent(&mut self, port: u16) -> Vec<String> {
        let mut outbox = Outbox::default();
        self.machine.poll_transmit(self.conns[&port], &mut outbox);
        commands(&outbox.to_bytes())
    }

    #[track_caller]
    fn say(&mut self, port: u16, words: &[&str]) {
        self.send(port, &frame('>', words)).unwrap();
    }

    fn refuse(&mut self, port: u16, conn: &str) -> Result<()> {
        self.send(port, format!("-{conn}\r\n").as_bytes())
    }

    fn send(&mut self, port: u16, bytes: &[u8]) -> Result<()> {
        let mut inbound = Inbound::new(64, Limits::default());
        let mut frames = Frames::default();
        inbound.spare().extend_from_slice(bytes);
        assert!(inbound.poll_frames(&mut frames).unwrap());
        let handled = self.machine.handle_frames(self.conns[&port], &mut frames, self.now);
        self.machine.handle_quiet(self.conns[&port], self.now);
        handled
    }

    fn items(&mut self, id: &SubscriptionId) -> Vec<String> {
        let mut items = Vec::new();
        while let Poll::Ready(Some(item)) = self.machine.poll_item(id, |_| {}) {
            let after = |at: Instant| at.duration_since(self.start).as_secs();
            items.push(match item {
                SubscriptionEvent::Message(message) => message.text().unwrap().to_owned(),
                SubscriptionEvent::Gap { from, to } => format!("gap {}-{}", after(from), after(to)),
                other => format!("{other:?}").to_lowercase(),
            });
        }
        items
    }
}

fn moved(name: &str, port: u16) -> String {
    format!("MOVED {} {}", slot(name.as_bytes()), node(port))
}

#[test]
fn names_go_to_their_nodes_with_a_command_for_each_slot() {
    let mut town = Town::new(&[("a", 1), ("b", 1), ("c", 2)]);
    let id = town.subscribe("a b c a{a}");
    assert_eq!(town.sent(1), ["SSUBSCRIBE b", "SSUBSCRIBE a a{a}"]);
    assert_eq!(town.sent(2), ["SSUBSCRIBE c"]);
    for (port, name) in [(1, "b"), (1, "a"), (2, "c"), (1, "a{a}")] {
        assert!(town.confirmed(&id).is_pending());
        town.say(port, &["ssubscribe", name, "1"]);
    }
    assert!(matches!(town.confirmed(&id), Poll::Ready(Ok(()))));
    town.say(2, &["smessage", "a", "from a node that is not asked"]);
    town.say(1, &["smessage", "a", "1"]);
    town.say(2, &["smessage", "c", "2"]);
    assert_eq!(town.items(&id), ["1", "2"]);
    assert!(town.hints().is_empty());
}

#[test]
fn a_slot_that_moved_is_followed_with_a_gap_before_the_next_message() {
    let mut town = Town::new(&[("a", 1), ("b", 2)]);
    let (id, other) = (town.subscribed("a"), town.subscribed("b"));
    town.say(1, &["smessage", "a", "1"]);
    town.now += SECOND;
    town.say(1, &["sunsubscribe", "a", "0"]);
    assert_eq!(town.sent(1), ["SSUBSCRIBE a"], "it knows who has it");
    town.refuse(1, &moved("a", 2)).unwrap();
    town.follow();
    assert_eq!(town.sent(2), ["SSUBSCRIBE a"]);
    town.now += SECOND;
    town.say(2, &["ssubscribe", "a", "2"]);
    town.say(2, &["smessage", "a", "2"]);
    assert_eq!(town.items(&id), ["1", "gap 0-2", "2"]);
    assert!(town.items(&other).is_empty());
}

#[test]
fn a_node_that_takes_back_what_it_left_out_is_a_replica() {
    let mut town = Town::new(&[("a", 1), ("b", 2)]);
    let id = town.subscribed("a");
    town.say(1, &["sunsubscribe", "a", "0"]);
    assert_eq!(town.hints(), [TopologyHint::Suspect]);
    assert_eq!(town.sent(1), ["SSUBSCRIBE a"]);
    town.say(1, &["ssubscribe", "a", "1"]);
    assert_eq!(town.sent(1), ["SUNSUBSCRIBE a"]);
    town.say(1, &["sunsubscribe", "a", "0"]);
    // What is learnt of other slots says nothing about this one.
    town.learn(Arc::new(town.map.moved(slot(b"b"), &node(3)).unwrap()));
    assert!(town.sent(1).is_empty() && town.items(&id).is_empty());
    town.learn(map(&[("a", 2), ("b", 3)]));
    assert_eq!(town.sent(2), ["SSUBSCRIBE a"]);
    town.say(2, &["ssubscribe", "a", "1"]);
    assert_eq!(town.items(&id), ["gap 0-0"]);

    // And if it is still its own by a new map, it is believed.
    town.say(2, &["sunsubscribe", "a", "0"]);
    town.sent(2);
    town.say(2, &["ssubscribe", "a", "1"]);
    town.sent(2);
    town.say(2, &["sunsubscribe", "a", "0"]);
    town.learn(map(&[("a", 2), ("b", 3)]));
    assert_eq!(town.sent(2), ["SSUBSCRIBE a"]);
    town.say(2, &["ssubscribe", "a", "1"]);
    assert!(town.sent(2).is_empty());
    assert_eq!(town.items(&id), ["gap 0-0"]);
}

#[test]
fn nodes_that_contradict_each_other_are_asked_with_pauses() {
    let mut town = Town::new(&[("a", 1), ("b", 2)]);
    let id = town.subscribe("a b");
    town.sent(2);
    town.say(2, &["ssubscribe", "b", "1"]);
    let mut at = 1;
    for _ in 0..4 {
        assert_eq!(town.sent(at), ["SSUBSCRIBE a"]);
        town.refuse(at, &moved("a", 3 - at)).unwrap();
        town.follow();
        at = 3 - at;
    }
    assert!(town.sent(1).is_empty() && town.sent(2).is_empty(), "three at once, then a pause");
    assert_eq!(town.machine.poll_placement_timeout(), Some(town.now + SECOND));
    town.now += SECOND;
    town.route();
    assert_eq!(town.sent(at), ["SSUBSCRIBE a"]);
    town.say(at, &["ssubscribe", "a", "1"]);
    assert!(matches!(town.confirmed(&id), Poll::Ready(Ok(()))));
}

#[test]
fn what_passes_is_waited_for_and_told_to_waiters_that_give_up() {
    for conn in ["CLUSTERDOWN Hash slot not served", "LOADING soon", "ASK 15495 10.0.0.1:2", "TRYAGAIN later"]
    {
        let mut town = Town::new(&[("a", 1), ("b", 2)]);
        let id = town.subscribe("a");
        town.sent(1);
        town.refuse(1, conn).unwrap();
        assert_eq!(town.hints(), [TopologyHint::Suspect]);
        town.route();
        assert!(town.confirmed(&id).is_pending() && town.sent(1).is_empty());
        town.now += SECOND;
        town.route();
        assert_eq!(town.sent(1), ["SSUBSCRIBE a"], "the same node, after a pause");
        let late = town.machine.give_up(&id);
        let cause = std::error::Error::source(&late).unwrap().to_string();
        assert!(cause.contains(conn) && cause.contains("10.0.0.1:1"), "{cause}");
    }
}

#[test]
fn what_a_node_does_not_allow_is_taken_back_everywhere() {
    let mut town = Town::new(&[("a", 1), ("b", 2)]);
    let id = town.subscribe("a b");
    town.sent(1);
    town.sent(2);
    town.say(2, &["ssubscribe", "b", "1"]);
    town.refuse(1, "NOPERM not allowed").unwrap();
    let Poll::Ready(Err(error)) = town.confirmed(&id) else { panic!("it is refused") };
    assert_eq!(error.code(), Some("NOPERM"));
    assert_eq!(town.sent(2), ["SUNSUBSCRIBE b"]);
}

#[test]
fn a_name_without_a_node_waits_for_a_map_that_has_one() {
    let mut town = Town::new(&[("b", 2)]);
    let id = town.subscribe("a b");
    assert_eq!(town.hints(), [TopologyHint::Suspect]);
    town.route();
    assert!(town.hints().is_empty(), "the same map has no node for it");
    town.learn(map(&[("b", 2)]));
    assert_eq!(town.hints(), [TopologyHint::Suspect]);
    town.learn(map(&[("b", 2), ("a", 1)]));
    assert_eq!((town.sent(1), town.sent(2)), (vec!["SSUBSCRIBE a".into()], vec!["SSUBSCRIBE b".into()]));
    town.machine.remove(&id, list("a b"));
    assert!(town.sent(1).is_empty());
}

#[test]
fn a_new_map_takes_along_what_is_heard_from_a_former_primary() {
    let mut town = Town::new(&[("a", 1), ("b", 2)]);
    let id = town.subscribed("a b");
    town.now += SECOND;
    town.say(1, &["smessage", "a", "1"]);
    town.learn(map(&[("a", 2), ("b", 2)]));
    assert_eq!(town.sent(1), ["SUNSUBSCRIBE a"]);
    assert!(town.sent(2).is_empty(), "not before the other can tell no more");
    town.say(1, &["smessage", "a", "2"]);
    town.say(1, &["sunsubscribe", "a", "0"]);
    assert_eq!(town.sent(2), ["SSUBSCRIBE a"]);
    town.now += SECOND;
    town.say(2, &["ssubscribe", "a", "2"]);
    town.say(2, &["smessage", "a", "3"]);
    assert_eq!(
        town.items(&id),
        ["1", "gap 0-1", "2", "gap 0-2", "3"],
        "the first message tells nothing of later"
    );
}

#[test]
fn a_dead_node_is_tried_until_the_map_has_another_and_then_no_more() {
    let mut town = Town::new(&[("a", 1), ("b", 2)]);
    let id = town.subscribed("a b");
    let dead = town.conns[&1];
    town.machine.handle_lost(dead, Error::closed_by_peer(Outcome::MaybeExecuted), town.now, 0);
    assert_eq!(town.hints(), [TopologyHint::Suspect]);
    town.now += SECOND;
    assert_eq!(town.machine.poll_connect(dead, town.now, 0), WhenToConnect::Now);
    town.learn(map(&[("a", 3), ("b", 2)]));
    assert_eq!(town.machine.poll_connect(dead, town.now, 0), WhenToConnect::Done);
    assert_eq!(town.sent(3), ["SSUBSCRIBE a"]);
    town.say(3, &["ssubscribe", "a", "1"]);
    assert_eq!(town.items(&id), ["gap 0-1"]);
    town.machine.unsubscribe(id);
    assert_eq!((town.sent(3), town.sent(2)), (vec!["SUNSUBSCRIBE a".into()], vec!["SUNSUBSCRIBE b".into()]));
}

#[test]
fn an_answer_to_what_the_node_had_done_by_itself_does_no_harm() {
    let mut town = Town::new(&[("a", 1), ("b", 1), ("c", 1)]);
    let (leaving, staying) = (town.subscribed("a"), town.subscribed("b"));
    town.machine.unsubscribe(leaving);
    let third = town.subscribe("c");
    assert_eq!(town.sent(1), ["SSUBSCRIBE c", "SUNSUBSCRIBE a"]);
    town.say(1, &["sunsubscribe", "a", "1"]);
    town.say(1, &["ssubscribe", "c", "2"]);
    town.refuse(1, &moved("a", 2)).unwrap();
    assert!(matches!(town.confirmed(&third), Poll::Ready(Ok(()))));
    town.say(1, &["smessage", "b", "1"]);
    assert_eq!(town.items(&staying), ["1"]);
}
