//! Publish/subscribe in a cluster: shard channels follow their slots, ordinary ones are heard from any node,
//! and whatever may have been missed is announced in its place (I5). FAULTS 42, REFERENCE K9.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::Run;
use redwire::prelude::*;
use redwire::pubsub::{SubscribeOptions, SubscriptionEvent};
use redwire::{Error, Outcome, Result, cmd};
use redwire_testkit::{ClusterSet, eventually, slot};

use crate::common::pubsub::{PubSub, Subscription, Way};
use crate::common::{Client, LIMIT, Setup, TellOnDrop, named_clients, runtime};

both!(a_shard_channel_follows_its_slot);

each!(
    shard_channels_of_all_slots_are_heard_over_one_connection_per_node,
    a_shard_channel_is_subscribed_to_while_its_slot_is_on_its_way,
    shard_channels_follow_when_a_primary_dies,
    every_gap_is_announced_while_slots_move_and_primaries_change,
    what_a_node_does_not_allow_reaches_the_caller,
    a_slot_without_a_node_is_waited_for,
    ordinary_channels_are_heard_from_any_node_and_then_from_another,
);

/// A cluster that knows shard channels; `None` where this server does not, and says so.
fn cluster(setup: Setup) -> Option<ClusterSet> {
    let set = ClusterSet::start();
    let version = set.node(0).version();
    if set.node(0).is_valkey() || version >= (7, 0, 0) {
        return Some(set);
    }
    let client = setup.client(&set.url(), "");
    let error = shards(&client, &["a", "b"]).expect_err("there is no such command");
    assert_eq!((error.outcome(), error.code()), (Outcome::Rejected, Some("ERR")), "{error}");
    None
}

fn shards<N: AsRef<[u8]>>(client: &Client, names: &[N]) -> Result<Subscription> {
    PubSub::of(client).try_subscribe(Way::Shards, names, SubscribeOptions::default())
}

fn try_publish(client: &Client, channel: &str, payload: impl ToString) -> Result<i64> {
    client.execute(cmd("SPUBLISH").arg(channel).arg(payload.to_string()))
}

/// Publishes, and says how many of the node's clients hear it.
#[track_caller]
fn publish(client: &Client, channel: &str, payload: impl ToString) -> i64 {
    try_publish(client, channel, payload).unwrap_or_else(|error| panic!("publishing: {error}"))
}

/// The other primary than the owner of `slot`, and not `but`.
fn other(set: &ClusterSet, slot: u16) -> usize {
    let owner = set.owner(slot);
    set.primaries().into_iter().find(|node| *node != owner).expect("there are three")
}

/// What comes until a message does: whether a gap was before it, and its text.
#[track_caller]
fn gap_and_text(subscription: &mut Subscription) -> (bool, String) {
    let mut gap = false;
    loop {
        match subscription.next() {
            Some(SubscriptionEvent::Message(message)) => return (gap, message.text().unwrap().to_owned()),
            Some(SubscriptionEvent::Gap { from, to }) => {
                assert!(from <= to);
                gap = true;
            }
            Some(SubscriptionEvent::Reconnected) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Publishes until a subscriber has heard it.
#[track_caller]
fn publish_until_heard(client: &Client, channel: &str, payload: &str) {
    eventually("a subscriber hears it", LIMIT, || matches!(try_publish(client, channel, payload), Ok(1..)));
}

fn shard_channels_of_all_slots_are_heard_over_one_connection_per_node(setup: Setup) {
    let Some(set) = cluster(setup) else { return };
    let client = setup.client(&set.url(), "client_name=many");
    let publisher = setup.client(&set.url(), "");
    let names: Vec<String> = (0..60).map(|n| format!("channel:{n}")).collect();
    let owners: BTreeSet<usize> = names.iter().map(|name| set.owner(slot(name))).collect();
    assert_eq!(owners.len(), 3);
    let subscribing = || owners.iter().map(|node| subscribed(&set, *node, "many")).collect::<Vec<_>>();

    let mut all = shards(&client, &names).unwrap();
    let mut some = shards(&client, &names[..5]).unwrap();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(publish(&publisher, name, number), 1, "one subscriber of one connection");
    }
    let heard: BTreeSet<String> = (0..60).map(|_| all.text()).collect();
    assert_eq!(heard, (0..60).map(|number| number.to_string()).collect());
    let heard: BTreeSet<String> = (0..5).map(|_| some.text()).collect();
    assert_eq!(heard.len(), 5);
    assert_eq!(subscribing(), [1, 1, 1]);

    some.add(&names[50..]).unwrap();
    some.remove(&names[..5]);
    all.remove(&names[1..]);
    eventually("the rest is left", LIMIT, || publish(&publisher, &names[20], "x") == 0);
    publish(&publisher, &names[0], "first");
    publish(&publisher, &names[55], "last");
    assert_eq!((all.text(), some.text()), ("first".to_owned(), "last".to_owned()));
    drop((all, some));
    eventually("all is left", LIMIT, || publish(&publisher, &names[55], "x") == 0);
    client.close_within(LIMIT);
    eventually("all connections are closed", LIMIT, || {
        set.nodes().iter().all(|node| named_clients(node, "many") == 0)
    });
}

/// How many connections of this name listen to shard channels.
fn subscribed(set: &ClusterSet, node: usize, name: &str) -> usize {
    let list = set.node(node).command(&["CLIENT", "LIST"]).expect("the node answers");
    let ours = list.lines().filter(|line| line.contains(&format!("name={name} ")));
    ours.filter(|line| line.contains(" ssub=") && !line.contains(" ssub=0 ")).count()
}

fn a_shard_channel_follows_its_slot(setup: Setup) {
    let Some(set) = cluster(setup) else { return };
    let (client, publisher) = (setup.client(&set.url(), ""), setup.client(&set.url(), ""));
    let mut moving = shards(&client, &["moving"]).unwrap();
    let staying = ["a", "b", "c", "d", "e"].map(|n| format!("staying:{n}"));
    let mut resting = shards(&client, &staying).unwrap();
    for round in 0..3 {
        publish(&publisher, "moving", format!("before {round}"));
        assert_eq!(moving.text(), format!("before {round}"));
        let slot = slot("moving");
        set.move_slot(slot, other(&set, slot));
        publish_until_heard(&publisher, "moving", &format!("after {round}"));
        assert_eq!(gap_and_text(&mut moving), (true, format!("after {round}")));
        for name in &staying {
            assert_eq!(publish(&publisher, name, round), 1);
            assert_eq!(resting.text(), round.to_string(), "those that did not move have no gap");
        }
    }
}

fn a_shard_channel_is_subscribed_to_while_its_slot_is_on_its_way(setup: Setup) {
    let Some(set) = cluster(setup) else { return };
    let (client, publisher) = (setup.client(&set.url(), ""), setup.client(&set.url(), ""));
    let slot = slot("moving");
    let moving = set.begin_move(slot, other(&set, slot));
    let mut subscription = shards(&client, &["moving"]).unwrap();
    assert_eq!(publish(&publisher, "moving", "on its way"), 1);
    assert_eq!(subscription.text(), "on its way");
    moving.end_move();
    publish_until_heard(&publisher, "moving", "there");
    assert_eq!(gap_and_text(&mut subscription), (true, "there".to_owned()));
}

fn shard_channels_follow_when_a_primary_dies(setup: Setup) {
    let Some(set) = cluster(setup) else { return };
    let (client, publisher) = (setup.client(&set.url(), ""), setup.client(&set.url(), ""));
    let names: Vec<String> = (0..30).map(|n| format!("channel:{n}")).collect();
    let mut all = shards(&client, &names).unwrap();
    let primary = set.owner(slot(&names[0]));
    let replica = set.replica_of(primary);
    set.kill(primary);
    set.wait_promoted(replica);
    for name in names.iter().filter(|name| set.owner(slot(name)) == replica) {
        publish_until_heard(&publisher, name, name);
        let (gap, text) = gap_and_text(&mut all);
        assert!((gap || *name != names[0]) && text == *name, "{gap} {text}");
    }
}

/// What the numbers must be: increasing, and where some are missing, a gap before the next.
#[derive(Debug, Default)]
struct Account {
    last: u64,
    heard: u64,
    missing: u64,
    gaps: u64,
    gap: bool,
}

impl Account {
    #[track_caller]
    fn take(&mut self, item: SubscriptionEvent) {
        match item {
            SubscriptionEvent::Message(message) => {
                let number: u64 = message.payload_as().unwrap();
                assert!(number > self.last, "{number} after {self:?}: twice, or out of order");
                let missing = number - self.last - 1;
                assert!(
                    missing == 0 || self.gap || self.heard == 0,
                    "{number} after {self:?} without a word"
                );
                self.missing += missing;
                (self.last, self.gap) = (number, false);
                self.heard += 1;
            }
            SubscriptionEvent::Gap { .. } => {
                self.gaps += 1;
                self.gap = true;
            }
            SubscriptionEvent::Reconnected => {}
            other => panic!("{other:?} after {self:?}"),
        }
    }
}

/// Counts on a shard channel, a number a millisecond, until told to stop. What may have been published is not
/// published again.
///
/// Each is published together with a write, so that only a primary does: a former one would publish it as the
/// replica that it is now, and what comes by way of another node comes in any order. The write has no key,
/// which could be where its slot is not.
fn count(url: &str, channel: &str, reached: &AtomicU64, done: &AtomicBool) {
    let Client::Tokio(client) = Setup::ALL[0].client(url, "") else { unreachable!("it is the first") };
    let mut number = 1_u64;
    while !done.load(Ordering::Relaxed) {
        let publish = client.atomic(|p| {
            let flushed = p.run(cmd::<()>("FUNCTION FLUSH"));
            (flushed, p.spublish(channel, number))
        });
        match runtime().block_on(publish) {
            Err(error) if is_certain(&error) => continue,
            Ok(_) | Err(_) => {}
        }
        reached.store(number, Ordering::Relaxed);
        number += 1;
        thread::sleep(Duration::from_millis(1));
    }
}

fn is_certain(error: &Error) -> bool {
    matches!(error.outcome(), Outcome::NotSent | Outcome::Rejected)
}

fn every_gap_is_announced_while_slots_move_and_primaries_change(setup: Setup) {
    let Some(set) = cluster(setup) else { return };
    let client = setup.client(&set.url(), "");
    let (slot, mut account) = (slot("count"), Account::default());
    let mut subscription = shards(&client, &["count"]).unwrap();
    let (done, calm) = (AtomicBool::new(false), AtomicBool::new(false));
    let (reached, heard) = (AtomicU64::new(0), AtomicU64::new(0));
    // Whatever is done to the cluster is done to a subscriber who hears.
    let hears = || {
        let goal = reached.load(Ordering::Relaxed) + 20;
        eventually("it is heard again", 2 * LIMIT, || heard.load(Ordering::Relaxed) >= goal);
    };
    thread::scope(|scope| {
        let end = TellOnDrop(&done);
        scope.spawn(|| count(&set.url(), "count", &reached, &done));
        scope.spawn(|| {
            for round in 0..10 {
                hears();
                if round == 5 {
                    set.failover(set.replica_of(set.owner(slot)));
                    set.wait_settled();
                    hears();
                }
                set.move_slot(slot, other(&set, slot));
            }
            hears();
            set.wait_settled();
            let primary = set.owner(slot);
            let replica = set.replica_of(primary);
            set.kill(primary);
            set.wait_promoted(replica);
            hears();
            calm.store(true, Ordering::Relaxed);
        });
        // A number that is published when all is over must be heard soon, and all after it.
        let (limit, mut goal) = (Instant::now() + 6 * LIMIT, None);
        while goal.is_none_or(|goal| account.last < goal) {
            assert!(Instant::now() < limit, "it does not come to rest: {account:?}");
            if let Some(item) = subscription.next_within(Duration::from_millis(20)) {
                account.take(item);
                heard.store(account.last, Ordering::Relaxed);
            }
            if calm.load(Ordering::Relaxed) && goal.is_none() {
                goal = Some(reached.load(Ordering::Relaxed) + 300);
            }
        }
        drop(end);
    });
    assert!(account.gaps >= 11, "ten moves, and the death of the primary: {account:?}");
}

fn what_a_node_does_not_allow_reaches_the_caller(setup: Setup) {
    let set = ClusterSet::builder().acl_line("user few on >secret ~* +@all resetchannels &open*").start();
    if !set.node(0).is_valkey() && set.node(0).version() < (7, 0, 0) {
        return;
    }
    let client = setup.client(&set.url().replace("://", "://few:secret@"), "");
    let mut open = shards(&client, &["open"]).unwrap();
    let error = open.add(&["open:1", "closed"]).unwrap_err();
    assert_eq!(error.code(), Some("NOPERM"), "{error}");
    let owner = set.node(set.owner(slot("closed"))).address().to_string();
    assert!(error.to_string().contains(&owner), "{error} does not name {owner}");
    publish_until_heard(&client, "open", "still");
    assert_eq!(open.text(), "still");
    assert_eq!(publish(&client, "open:1", "not"), 0, "all that were asked for together are taken back");
}

fn a_slot_without_a_node_is_waited_for(setup: Setup) {
    let Some(set) = cluster(setup) else { return };
    let client = setup.client(&set.url(), "timeout=1s");
    let slot = slot("lost");
    let owner = set.node(set.owner(slot));
    owner.command(&["CLUSTER", "DELSLOTS", &slot.to_string()]).unwrap();
    let error = shards(&client, &["lost"]).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let cause = std::error::Error::source(&error).expect("it says why").to_string();
    assert!(cause.contains("CLUSTERDOWN"), "{cause}");

    let back = slot.to_string();
    let patient = setup.client(&set.url(), "timeout=20s");
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(500));
            owner.command(&["CLUSTER", "ADDSLOTS", &back]).unwrap();
        });
        let mut subscription = shards(&patient, &["lost"]).unwrap();
        publish_until_heard(&patient, "lost", "found");
        assert_eq!(subscription.text(), "found");
    });
}

fn ordinary_channels_are_heard_from_any_node_and_then_from_another(setup: Setup) {
    let set = ClusterSet::start();
    let client = setup.client(&set.url(), "client_name=listener");
    let mut news = PubSub::of(&client).subscribe(&["news"]);
    let listens = |node: usize| {
        let count = set.node(node).command(&["PUBSUB", "NUMSUB", "news"]).expect("the node answers");
        count.split_ascii_whitespace().last() == Some("1")
    };
    let at = (0..6).find(|node| listens(*node)).expect("one of them has the subscriber");
    for node in 0..6 {
        set.node(node).command(&["PUBLISH", "news", &node.to_string()]).unwrap();
        assert_eq!(news.text(), node.to_string(), "published at one of all nodes");
    }
    set.node(at).kill();
    eventually("another node has the subscriber", LIMIT, || {
        (0..6).any(|node| node != at && set.node(node).is_up() && listens(node))
    });
    let up = (0..6).find(|node| *node != at && listens(*node)).expect("it is still there");
    set.node(up).command(&["PUBLISH", "news", "after"]).unwrap();
    assert_eq!(gap_and_text(&mut news), (true, "after".to_owned()));
}
