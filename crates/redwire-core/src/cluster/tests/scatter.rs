//! Pipelines over several nodes: random histories, in which slots move and connections break, against one
//! server.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use redwire_resp::{Cursor, Head, Len};

use super::super::{Bundle, ClusterOptions, Map, Rules, Scatter, TopologyHint, slot};
use super::address;
use super::redirect::{config, map};
use crate::call::Call;
use crate::cmd::Cmd;
use crate::config::HostPort;
use crate::dispatch::Dispatch;
use crate::error::{Error, Outcome, Result};
use crate::facts::Blocking;
use crate::outbox::Outbox;
use crate::pipeline::{Batch, Pipeline, Slot};
use crate::replies::Replies;
use crate::reply::{Reader, Value};
use crate::run::Run;
use crate::script::{Invocation, Script};

const NODES: [&str; 3] = ["a:1", "b:1", "c:1"];
const TAGS: [&str; 4] = ["t0", "t1", "t2", "t3"];

/// Numbers that follow from a seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// The data of one server.
type Store = BTreeMap<String, String>;

fn execute(store: &mut Store, words: &[String]) -> Value {
    let value = |store: &Store, key: &String| {
        store.get(key).map_or(Value::Null, |value| Value::Bytes(value.clone().into()))
    };
    match words[0].as_str() {
        "APPEND" | "INVOKE" => {
            let text = store.entry(words[1].clone()).or_default();
            text.push_str(&words[2]);
            Value::Integer(text.len() as i64)
        }
        "GET" => value(store, &words[1]),
        "MGET" => Value::Array(words[1..].iter().map(|key| value(store, key)).collect()),
        "MSET" => {
            for pair in words[1..].chunks(2) {
                store.insert(pair[0].clone(), pair[1].clone());
            }
            Value::Status("OK".to_owned())
        }
        "DEL" => Value::Integer(words[1..].iter().filter(|key| store.remove(*key).is_some()).count() as i64),
        other => panic!("{other}"),
    }
}

fn keys(words: &[String]) -> Vec<String> {
    match words[0].as_str() {
        "MSET" => words[1..].iter().step_by(2).cloned().collect(),
        "APPEND" | "INVOKE" => vec![words[1].clone()],
        _ => words[1..].to_vec(),
    }
}

/// Servers that keep the rules of the cluster specification, while slots move.
struct Cluster {
    stores: HashMap<HostPort, Store>,
    /// Who has the script.
    scripts: HashSet<HostPort>,
    owners: BTreeMap<u16, HostPort>,
    moving: BTreeMap<u16, HostPort>,
}

impl Cluster {
    fn new(map: &Map) -> Self {
        let slots = TAGS.iter().map(|tag| slot(tag.as_bytes()));
        Self {
            stores: NODES.iter().map(|node| (address(node), Store::new())).collect(),
            scripts: HashSet::new(),
            owners: slots.map(|slot| (slot, map.primary(slot).unwrap().clone())).collect(),
            moving: BTreeMap::new(),
        }
    }

    /// A slot begins to move, a key of it moves, or it has moved.
    fn stir(&mut self, dice: &mut Dice) {
        let slot = slot(TAGS[dice.below(TAGS.len())].as_bytes());
        let owner = self.owners[&slot].clone();
        let Some(to) = self.moving.get(&slot).cloned() else {
            // Never back: one that asks for a key where it was on its way to long ago finds another than it
            // left.
            let at = NODES.iter().position(|node| address(node) == owner).unwrap();
            if let Some(to) = NODES.get(at + 1) {
                self.moving.insert(slot, address(to));
            }
            return;
        };
        let of_slot = |key: &&String| self::slot(key.as_bytes()) == slot;
        let left: Vec<_> = self.stores[&owner].keys().filter(of_slot).cloned().collect();
        match left.get(dice.below(left.len() + 1)) {
            Some(key) => self.carry(&owner, &to, key),
            None => {
                left.iter().for_each(|key| self.carry(&owner, &to, key));
                self.moving.remove(&slot);
                self.owners.insert(slot, to);
            }
        }
    }

    fn carry(&mut self, from: &HostPort, to: &HostPort, key: &String) {
        let value = self.stores.get_mut(from).unwrap().remove(key).unwrap();
        self.stores.get_mut(to).unwrap().insert(key.clone(), value);
    }

    fn serve(&mut self, at: &HostPort, asking: bool, words: &[String]) -> Bytes {
        let sha = appending().sha().to_owned();
        match words[0].as_str() {
            "SCRIPT" => {
                self.scripts.insert(at.clone());
                return Bytes::from(format!("+{sha}\r\n"));
            }
            "EVAL" | "EVALSHA" => {
                let call = ["INVOKE".to_owned(), words[3].clone(), words[4].clone()];
                if let Some(refusal) = self.refuse(at, asking, &call) {
                    return Bytes::from(refusal);
                }
                if words[0] == "EVAL" {
                    self.scripts.insert(at.clone());
                }
                if !self.scripts.contains(at) {
                    return Bytes::from_static(b"-NOSCRIPT No matching script. Please use EVAL.\r\n");
                }
                return self.serve(at, asking, &call);
            }
            _ => {}
        }
        match self.refuse(at, asking, words) {
            Some(line) => Bytes::from(line),
            None => execute(self.stores.get_mut(at).unwrap(), words).to_frame().into(),
        }
    }

    /// What a node says that does not serve the keys.
    fn refuse(&self, at: &HostPort, asking: bool, words: &[String]) -> Option<String> {
        let keys = keys(words);
        let slot = slot(keys[0].as_bytes());
        assert!(keys.iter().all(|key| self::slot(key.as_bytes()) == slot), "across slots: {words:?}");
        let (owner, moving) = (&self.owners[&slot], self.moving.get(&slot));
        let missing = keys.iter().filter(|key| !self.stores[at].contains_key(*key)).count();
        if owner == at {
            match moving {
                Some(_) if missing > 0 && missing < keys.len() => Some("-TRYAGAIN later\r\n".to_owned()),
                Some(to) if missing > 0 => Some(format!("-ASK {slot} {to}\r\n")),
                _ => None,
            }
        } else if asking && moving == Some(at) {
            (keys.len() > 1 && missing > 0).then(|| "-TRYAGAIN later\r\n".to_owned())
        } else {
            Some(format!("-MOVED {slot} {owner}\r\n"))
        }
    }

    /// Serves a bundle, or its beginning before the connection breaks: then the first replies may have come.
    fn take(&mut self, bundle: &Bundle, breaks: bool, dice: &mut Dice) -> Result<Replies> {
        let commands = commands(bundle);
        assert_eq!(commands.len(), bundle.count() as usize);
        let until = if breaks { dice.below(commands.len() + 1) } else { commands.len() };
        let (mut asking, mut frames) = (false, Vec::new());
        for words in &commands[..until] {
            if dice.below(3) == 0 {
                self.stir(dice);
            }
            frames.push(match words[0].as_str() {
                "ASKING" => Bytes::from_static(b"+OK\r\n"),
                _ => self.serve(bundle.to(), asking, words),
            });
            asking = words[0] == "ASKING";
        }
        if breaks {
            frames.truncate(dice.below(frames.len() + 1));
            let error = Error::closed_by_peer(Outcome::MaybeExecuted);
            return Err(error.with_answered(replies_of(frames)));
        }
        Ok(replies_of(frames))
    }

    fn all(&self) -> Store {
        self.stores.values().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// As a connection hands them over, which has seen whether there is an error.
fn replies_of(frames: impl IntoIterator<Item = Bytes>) -> Replies {
    let mut replies = Replies::default();
    for frame in frames {
        let is_error = frame.starts_with(b"-");
        replies.push(frame, 1, is_error);
    }
    replies
}

fn commands(bundle: &Bundle) -> Vec<Vec<String>> {
    let mut outbox = Outbox::default();
    bundle.write(&mut outbox);
    let packed = outbox.to_bytes();
    let mut cursor = Cursor::new(&packed);
    let mut commands = Vec::new();
    while let Ok(Head::Array(Len::Known(words))) = cursor.head() {
        let word = |cursor: &mut Cursor<'_>| match cursor.head() {
            Ok(Head::Bulk(word)) => String::from_utf8(word.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        };
        commands.push((0..words).map(|_| word(&mut cursor)).collect());
    }
    commands
}

/// A script that does what APPEND does.
fn appending() -> Script {
    Script::new("return redis.call('APPEND', KEYS[1], ARGV[1])")
}

fn batch(lines: &[Vec<String>]) -> Batch {
    let queue = |p: &Pipeline| {
        for words in lines {
            drop(p.run(match words[0].as_str() {
                "INVOKE" => appending().key(&words[1]).arg(&words[2]).cmd(),
                _ => words.iter().fold(Cmd::<Value>::new(""), Cmd::arg),
            }));
        }
    };
    Pipeline::record(queue).0
}

/// A pipeline of any length: commands of one key, of two keys in a slot, and of keys in all slots.
fn lines(dice: &mut Dice) -> Vec<Vec<String>> {
    let line = |nth: usize, dice: &mut Dice| {
        let tag = TAGS[dice.below(TAGS.len())];
        let key = |dice: &mut Dice| format!("{{{tag}}}{}", dice.below(2));
        let token = format!("<{nth}>");
        let of_all = |value: Option<&str>| {
            let pair =
                |tag: &&str| [Some(format!("{{{tag}}}0")), value.map(str::to_owned)].into_iter().flatten();
            TAGS.iter().flat_map(pair).collect::<Vec<_>>()
        };
        let (name, rest) = match dice.below(13) {
            0..4 => ("APPEND", vec![key(dice), token]),
            10.. => ("INVOKE", vec![key(dice), token]),
            4..6 => ("GET", vec![key(dice)]),
            6 => ("MSET", vec![format!("{{{tag}}}0"), token.clone(), format!("{{{tag}}}1"), token]),
            7 => ("MSET", of_all(Some(&token))),
            8 => ("MGET", of_all(None)),
            _ => ("DEL", of_all(None)),
        };
        [vec![name.to_owned()], rest].concat()
    };
    (0..1 + dice.below(30)).map(|nth| line(nth, dice)).collect()
}

fn results(replies: &Replies) -> Vec<Result<Bytes>> {
    let mut errors: BTreeMap<_, _> = replies.errors().collect();
    (0..).zip(replies.each()).map(|(nth, frame)| errors.remove(&nth).map_or(Ok(frame), Err)).collect()
}

/// What came of a pipeline while slots moved, and what the servers have then.
fn play(lines: &[Vec<String>], breaks: bool, dice: &mut Dice) -> (Vec<Result<Bytes>>, Store) {
    let mut map =
        map(&serde_json::json!([[0, 8191, ["a", 1]], [8192, 12287, ["b", 1]], [12288, 16383, ["c", 1]]]));
    let mut cluster = Cluster::new(&map);
    let (config, options) = (config(), ClusterOptions { max_redirects: 1_000, ..ClusterOptions::default() });
    let mut now = Instant::now();
    let deadline = Some(now + Duration::from_secs(3_600));
    let mut scatter = Scatter::of_batch(&batch(lines), &map, deadline).unwrap();
    let mut hints = Vec::new();
    for round in 0.. {
        assert!(round < 3_000, "it does not end");
        let rules = Rules { config: &config, cluster: &options, now };
        let mut bundles = scatter.poll_send(&map, rules, &mut || dice.next(), &mut hints);
        let nodes: BTreeSet<_> =
            bundles.iter().map(|bundle| (bundle.to().to_string(), bundle.fresh())).collect();
        assert_eq!(nodes.len(), bundles.len(), "one write for each node");
        if bundles.is_empty() {
            if let Some(replies) = scatter.poll_replies() {
                return (results(&replies.unwrap()), cluster.all());
            }
            now = now.max(scatter.poll_timeout().expect("something to wait for"));
            cluster.stir(dice);
        }
        while !bundles.is_empty() {
            let bundle = bundles.swap_remove(dice.below(bundles.len()));
            let broken = breaks && dice.below(6) == 0;
            let replies = cluster.take(&bundle, broken, dice);
            let mut random = Dice(dice.next());
            let mut next = || random.next();
            scatter.handle_replies(&bundle, replies, rules, &mut next, &mut || true, &mut hints);
        }
        for told in hints.drain(..) {
            if let TopologyHint::Moved { slot, to } = told {
                map = map.moved(slot, &to).unwrap_or(map);
            }
        }
    }
    unreachable!()
}

/// Of a history: what was executed is what one server would have done in the same order; what failed was not
/// executed, unless it says that it may have been.
fn check(lines: &[Vec<String>], results: &[Result<Bytes>], stored: &Store) -> Result<(), TestCaseError> {
    let (mut model, mut unsure) = (Store::new(), BTreeSet::new());
    for (words, result) in lines.iter().zip(results) {
        let keys = keys(words);
        match result {
            Ok(frame) => {
                let wanted = execute(&mut model, words);
                if keys.iter().all(|key| !unsure.contains(key)) {
                    prop_assert_eq!(Reader::read::<Value>(frame).unwrap(), wanted, "{:?}", words);
                }
            }
            Err(error) if error.outcome() == Outcome::MaybeExecuted => unsure.extend(keys),
            Err(error) => {
                prop_assert!(error.message().contains("later command"), "{} of {:?}", error, words);
                prop_assert_ne!(error.code(), Some("NOSCRIPT"), "the source goes before its use: {}", error);
            }
        }
    }
    for key in TAGS.iter().flat_map(|tag| [format!("{{{tag}}}0"), format!("{{{tag}}}1")]) {
        if !unsure.contains(&key) {
            prop_assert_eq!(stored.get(&key), model.get(&key), "{}", key);
        }
        // Tokens grow in the order in which they were queued, so none was executed twice or after a later
        // one.
        let text = stored.get(&key).cloned().unwrap_or_default();
        let tokens: Vec<u32> = text.split(['<', '>']).filter_map(|token| token.parse().ok()).collect();
        prop_assert!(tokens.windows(2).all(|pair| pair[0] < pair[1]), "{}: {}", key, text);
    }
    Ok(())
}

proptest! {
    #[test]
    fn while_slots_move_a_pipeline_does_what_one_server_does(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let lines = lines(&mut dice);
        let (results, stored) = play(&lines, false, &mut dice);
        check(&lines, &results, &stored)?;
    }

    #[test]
    fn and_nothing_is_executed_twice_when_connections_break(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let lines = lines(&mut dice);
        let (results, stored) = play(&lines, true, &mut dice);
        check(&lines, &results, &stored)?;
    }
}

/// A pipeline by hand, over the nodes a (slots up to 8191) and b.
struct Hand {
    map: Map,
    scatter: Scatter,
    now: Instant,
}

impl Hand {
    fn new(lines: &[&str]) -> Self {
        let map = map(&serde_json::json!([
            [0, 8191, ["a", 1, "a1"]],
            [8192, 16383, ["b", 1, "b1"], ["c", 1, "b2"]]
        ]));
        let lines: Vec<_> = lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
        Self::of(map, &batch(&lines))
    }

    /// One that calls a script.
    fn calling(calls: &[Invocation]) -> Self {
        let queue = |p: &Pipeline| calls.iter().for_each(|call| drop(p.run(call.cmd::<Value>())));
        Self::of(Self::new(&[]).map, &Pipeline::record(queue).0)
    }

    fn of(map: Map, batch: &Batch) -> Self {
        let now = Instant::now();
        let deadline = Some(now + Duration::from_secs(5));
        Self { scatter: Scatter::of_batch(batch, &map, deadline).unwrap(), map, now }
    }

    /// What goes where now.
    fn send(&mut self) -> Vec<Bundle> {
        let (config, options) = (config(), ClusterOptions::default());
        let rules = Rules { config: &config, cluster: &options, now: self.now };
        self.scatter.poll_send(&self.map, rules, &mut || 0, &mut Vec::new())
    }

    /// The connection is lost behind these replies.
    fn lose(&mut self, bundle: &Bundle, frames: &[&'static str]) {
        let (config, options) = (config(), ClusterOptions::default());
        let rules = Rules { config: &config, cluster: &options, now: self.now };
        let replies = replies_of(frames.iter().map(|frame| Bytes::from_static(frame.as_bytes())));
        let error = Error::closed_by_peer(Outcome::MaybeExecuted).with_answered(replies);
        let (mut random, mut budget) = (|| 0, || true);
        self.scatter.handle_replies(bundle, Err(error), rules, &mut random, &mut budget, &mut Vec::new());
    }

    fn results(&mut self) -> Vec<Result<Bytes>> {
        results(&self.scatter.poll_replies().unwrap().unwrap())
    }

    fn answer(&mut self, bundle: &Bundle, frames: &[&'static str]) -> Vec<TopologyHint> {
        let (config, options) = (config(), ClusterOptions::default());
        let rules = Rules { config: &config, cluster: &options, now: self.now };
        let replies = replies_of(frames.iter().map(|frame| Bytes::from_static(frame.as_bytes())));
        let mut hints = Vec::new();
        let (mut random, mut budget) = (|| 0, || true);
        self.scatter.handle_replies(bundle, Ok(replies), rules, &mut random, &mut budget, &mut hints);
        hints
    }
}

fn shown(bundles: &[Bundle]) -> Vec<(String, Vec<String>)> {
    let line = |bundle: &Bundle| commands(bundle).iter().map(|words| words.join(" ")).collect();
    bundles.iter().map(|bundle| (bundle.to().to_string(), line(bundle))).collect()
}

fn of(node: &str, lines: &[&str]) -> (String, Vec<String>) {
    (node.to_owned(), lines.iter().map(|&line| line.to_owned()).collect())
}

#[test]
fn each_node_gets_its_part_in_one_write_and_replies_are_in_order() {
    let mut hand = Hand::new(&["SET foo 1", "SET bar 2", "MGET bar foo", "DBSIZE", "GET foo"]);
    let bundles = hand.send();
    let b = ["SET foo 1", "MGET foo", "DBSIZE", "GET foo"];
    assert_eq!(shown(&bundles), [of("b:1", &b), of("a:1", &["SET bar 2", "MGET bar", "DBSIZE"])]);
    assert!(hand.send().is_empty() && hand.scatter.poll_replies().is_none());
    hand.answer(&bundles[1], &["+OK\r\n", "*1\r\n$1\r\n2\r\n", ":4\r\n"]);
    hand.answer(&bundles[0], &["+OK\r\n", "*1\r\n$1\r\n1\r\n", ":3\r\n", "-WRONGTYPE no\r\n"]);
    let mut replies = hand.scatter.poll_replies().unwrap().unwrap();
    assert_eq!(
        replies.errors().map(|(nth, error)| (nth, error.to_string())).collect::<Vec<_>>(),
        [(4, "GET: WRONGTYPE no".to_owned())]
    );
    replies.read::<()>().unwrap();
    replies.read::<()>().unwrap();
    assert_eq!(replies.read::<Vec<i64>>().unwrap(), [2, 1]);
    assert_eq!(replies.read::<i64>().unwrap(), 7);
}

/// Commands of one key each, all of which are answered.
#[test]
fn replies_are_read_where_they_lie_in_any_order() {
    let mut hand = Hand::new(&["INCR foo", "LRANGE bar 0 -1", "GET foo", "DEL foo", "GET bar"]);
    let bundles = hand.send();
    assert_eq!(
        shown(&bundles),
        [of("b:1", &["INCR foo", "GET foo", "DEL foo"]), of("a:1", &["LRANGE bar 0 -1", "GET bar"])]
    );
    assert!(hand.send().is_empty());
    hand.answer(&bundles[1], &["*2\r\n:7\r\n:8\r\n", "$1\r\nv\r\n"]);
    assert!(hand.scatter.poll_replies().is_none() && hand.scatter.poll_timeout().is_none());
    hand.answer(&bundles[0], &[":1\r\n", "$-1\r\n", ":0\r\n"]);
    let mut replies = hand.scatter.poll_replies().unwrap().unwrap();
    assert_eq!((replies.len(), replies.errors().count()), (5, 0));
    let frames: Vec<_> = replies.each().collect();
    assert_eq!(frames, [":1\r\n", "*2\r\n:7\r\n:8\r\n", "$-1\r\n", ":0\r\n", "$1\r\nv\r\n"]);
    assert_eq!(replies.read::<i64>().unwrap(), 1);
    assert_eq!(replies.read::<Vec<i64>>().unwrap(), [7, 8]);
    assert_eq!(replies.read_at::<String>(4).unwrap(), "v");
    assert_eq!(replies.read_at::<Option<String>>(2).unwrap(), None);
    assert!(replies.read_at::<i64>(4).is_err());
    assert_eq!(replies.read_at::<i64>(3).unwrap(), 0);
    assert_eq!(replies.open_at(1).unwrap().unwrap().read_at::<i64>(1).unwrap(), 8);
    assert!(replies.read_at::<Value>(5).is_err());
}

/// What another node answered stays as it is.
#[test]
fn only_what_failed_on_the_first_way_goes_on() {
    let mut hand = Hand::new(&["SET foo 1", "GET bar", "GET foo", "LPUSH bar 1"]);
    let bundles = hand.send();
    hand.answer(&bundles[0], &["+OK\r\n", "-MOVED 12182 a:1\r\n"]);
    assert!(hand.send().iter().all(|bundle| bundle.to().to_string() == "a:1"));
    hand.answer(&bundles[1], &["$1\r\nv\r\n", "-WRONGTYPE no\r\n"]);
    assert!(hand.scatter.poll_replies().is_none());
}

#[test]
fn of_a_closed_client_nothing_is_sent_on_the_first_way() {
    let mut hand = Hand::new(&["SET foo 1", "GET bar"]);
    hand.scatter.handle_closed(&Error::usage("closed"));
    assert!(hand.send().is_empty());
    assert!(hand.results().iter().all(|result| result.as_ref().is_err_and(|e| e.message() == "closed")));
}

/// A pipeline of commands of which some have no reply, read as its caller does: each slot by itself, or the
/// first for all.
#[test]
fn a_slot_has_its_own_error_and_one_that_stands_for_all_tells_that_others_were_executed() {
    let failed = |outcome| Err(Error::timeout(outcome));
    let done = || Ok(Bytes::from_static(b":1\r\n"));
    // What a server says is never taken for a reply that is missing.
    let said = || Ok(Bytes::from_static(b"-ERR there is no reply to this command\r\n"));
    for (results, expected) in [
        (vec![failed(Outcome::NotSent), done()], Outcome::MaybeExecuted),
        (vec![done(), failed(Outcome::NotSent)], Outcome::MaybeExecuted),
        (vec![failed(Outcome::NotSent), failed(Outcome::MaybeExecuted)], Outcome::MaybeExecuted),
        (vec![failed(Outcome::NotSent), failed(Outcome::NotSent)], Outcome::NotSent),
        (vec![failed(Outcome::NotSent), said()], Outcome::NotSent),
        (vec![said(), failed(Outcome::NotSent)], Outcome::Rejected),
        (vec![failed(Outcome::NotSent)], Outcome::NotSent),
    ] {
        let replies = || Replies::of_results(results.clone());
        let record =
            || Pipeline::record(|p| results.iter().map(|_| p.run(Cmd::<i64>::new("INCR"))).collect());
        let (batch, slots): (_, Vec<Slot<i64>>) = record();
        let error = batch.finish(replies(), slots).unwrap_err();
        assert_eq!((error.outcome(), error.command()), (expected, Some("INCR")), "{results:?}");
        assert_eq!(batch.finish(replies(), ()).unwrap_err().outcome(), expected, "dropped slots count, too");
        let (batch, slots): (_, Vec<Slot<i64>>) = record();
        let each: Vec<_> = slots.into_iter().map(Slot::attempt).collect();
        for (value, result) in batch.finish(replies(), each).unwrap().into_iter().zip(&results) {
            match (value, result) {
                (Ok(1), Ok(frame)) => assert_eq!(&frame[..], b":1\r\n"),
                (Err(error), Ok(_)) => assert_eq!(error.outcome(), Outcome::Rejected),
                (Err(error), Err(own)) => {
                    assert_eq!((error.kind(), error.outcome()), (own.kind(), own.outcome()));
                }
                (value, result) => panic!("{value:?} of {result:?}"),
            }
        }
    }
}

#[test]
fn what_came_before_a_connection_was_lost_is_kept() {
    let mut hand = Hand::new(&["INCR foo", "INCR bar", "INCR {foo}2", "GET {foo}3", "INCR foo"]);
    let bundles = hand.send();
    assert_eq!(shown(&bundles)[0], of("b:1", &["INCR foo", "INCR {foo}2", "GET {foo}3", "INCR foo"]));
    hand.lose(&bundles[0], &[":7\r\n"]);
    hand.answer(&bundles[1], &[":3\r\n"]);
    // What only reads is asked for again.
    hand.now = hand.scatter.poll_timeout().unwrap();
    let bundles = hand.send();
    assert_eq!(bundles.iter().flat_map(commands).collect::<Vec<_>>(), [["GET", "{foo}3"]]);
    hand.answer(&bundles[0], &["$1\r\nx\r\n"]);
    let results = hand.results();
    let frames: Vec<_> = results.iter().map(|result| result.as_deref().ok()).collect();
    let expected: [Option<&[u8]>; 5] = [Some(b":7\r\n"), Some(b":3\r\n"), None, Some(b"$1\r\nx\r\n"), None];
    assert_eq!(frames, expected);
    for lost in [2, 4] {
        let error = results[lost].as_ref().unwrap_err();
        assert_eq!((error.outcome(), error.command()), (Outcome::MaybeExecuted, Some("INCR")), "{error}");
        assert_eq!(error.message(), "the server closed the connection", "it would not be sent again anyway");
    }
}

#[test]
fn only_what_was_rejected_is_sent_again_and_what_is_behind_it_waits() {
    let mut hand = Hand::new(&["INCR foo", "INCR bar", "INCR foo"]);
    let bundles = hand.send();
    assert_eq!(shown(&bundles), [of("b:1", &["INCR foo", "INCR foo"]), of("a:1", &["INCR bar"])]);
    let hints = hand.answer(&bundles[0], &["-ASK 12182 d:1\r\n", "-TRYAGAIN later\r\n"]);
    assert!(hints.is_empty(), "{hints:?}");
    hand.answer(&bundles[1], &[":1\r\n"]);
    // The second INCR is paused, the first goes on; then the second.
    let bundles = hand.send();
    assert_eq!(shown(&bundles), [of("d:1", &["ASKING", "INCR foo"])]);
    hand.answer(&bundles[0], &["+OK\r\n", ":1\r\n"]);
    assert!(hand.send().is_empty());
    hand.now = hand.scatter.poll_timeout().unwrap();
    let bundles = hand.send();
    assert_eq!(shown(&bundles), [of("b:1", &["INCR foo"])]);
    hand.answer(&bundles[0], &[":2\r\n"]);
    assert!(hand.results().iter().all(Result::is_ok));
}

#[test]
fn a_later_command_on_the_key_does_not_overtake_one_that_is_paused() {
    let mut hand = Hand::new(&["INCR foo", "INCR foo"]);
    let bundles = hand.send();
    hand.answer(&bundles[0], &["-TRYAGAIN later\r\n", "-ASK 12182 d:1\r\n"]);
    assert!(hand.send().is_empty());
}

#[test]
fn what_a_later_command_has_overtaken_is_not_sent_again() {
    let mut hand = Hand::new(&["INCR foo", "INCR foo", "GET foo"]);
    let bundles = hand.send();
    hand.answer(&bundles[0], &["-TRYAGAIN later\r\n", ":1\r\n", "$1\r\n1\r\n"]);
    assert!(hand.send().is_empty());
    let results = hand.results();
    let error = results[0].as_ref().unwrap_err();
    assert!(error.to_string().contains("a later command on the same key may have been executed"), "{error}");
    assert_eq!((error.outcome(), error.code()), (Outcome::Rejected, Some("TRYAGAIN")));
    assert!(results[1].is_ok() && results[2].is_ok());
}

#[test]
fn only_of_what_would_be_sent_again_it_is_told_that_it_was_overtaken() {
    for idempotent in [false, true] {
        let queue = |p: &Pipeline| {
            if idempotent {
                p.idempotent();
            }
            (0..2).for_each(|_| drop(p.run(Cmd::<i64>::new("INCR").arg("foo"))));
        };
        let mut hand = Hand::of(Hand::new(&[]).map, &Pipeline::record(queue).0);
        let bundles = hand.send();
        hand.lose(&bundles[0], &[]);
        if idempotent {
            hand.now = hand.scatter.poll_timeout().unwrap();
            let bundles = hand.send();
            assert_eq!(bundles.iter().flat_map(commands).collect::<Vec<_>>(), [["INCR", "foo"]]);
            hand.answer(&bundles[0], &[":2\r\n"]);
        }
        let results = hand.results();
        let error = results[0].as_ref().unwrap_err();
        let told = "not sent again, a later command on the same key may have been executed";
        assert_eq!(error.message().starts_with(told), idempotent, "{error}");
        assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
        assert_eq!(results[1].is_ok(), idempotent);
    }
}

#[test]
fn reads_may_overtake_each_other() {
    let mut hand = Hand::new(&["GET foo", "GET foo"]);
    let bundles = hand.send();
    hand.answer(&bundles[0], &["-TRYAGAIN later\r\n", "$1\r\n1\r\n"]);
    hand.now = hand.scatter.poll_timeout().unwrap();
    assert_eq!(shown(&hand.send()), [of("b:1", &["GET foo"])]);
}

#[test]
fn nothing_is_sent_of_what_cannot_be_sent_whole() {
    let now = Instant::now();
    let of = |line: &str, map: &Map| {
        let lines = [vec!["PING".to_owned()], line.split(' ').map(str::to_owned).collect()];
        Scatter::of_batch(&batch(&lines), map, Some(now)).unwrap_err().to_string()
    };
    let known = Hand::new(&["PING"]).map;
    assert!(
        of("RENAME foo bar", &known)
            .contains("command 2 of 2 in the pipeline: the keys are in several slots")
    );
    assert!(of("BLPOP foo 0", &known).contains("a command that waits"));
    assert!(of("FLUSHALL", &Map::default()).contains("no node of the cluster is known"));
}

#[test]
fn a_call_that_waits_at_several_nodes_holds_up_no_other() {
    let hand = Hand::new(&[]);
    let (config, options, now) = (config(), ClusterOptions::default(), Instant::now());
    let rules = Rules { config: &config, cluster: &options, now };
    let dispatches = |cmd: Cmd<Value>| {
        let mut scatter = Scatter::of_command(&cmd, &hand.map, None).unwrap();
        let bundles = scatter.poll_send(&hand.map, rules, &mut || 0, &mut Vec::new());
        bundles.iter().map(|bundle| bundle.dispatch().unwrap()).collect::<Vec<_>>()
    };
    let waits = Dispatch::Exclusive(Blocking::Upto(Duration::from_millis(700)));
    assert_eq!(dispatches(Cmd::new("WAIT").arg(1).arg(700)), [waits, waits]);
    assert_eq!(dispatches(Cmd::new("DBSIZE")), [Dispatch::Shared, Dispatch::Shared]);
}

#[test]
fn commands_without_a_slot_keep_their_order_on_one_node() {
    let map = Hand::new(&[]).map;
    let lines: Vec<_> =
        (0..9).map(|n| vec!["PUBLISH".to_owned(), "news".to_owned(), n.to_string()]).collect();
    let (config, options, now) = (config(), ClusterOptions::default(), Instant::now());
    let rules = Rules { config: &config, cluster: &options, now };
    let mut nodes = BTreeSet::new();
    for seed in 0..40 {
        let mut dice = Dice(seed * 99);
        let mut scatter = Scatter::of_batch(&batch(&lines), &map, None).unwrap();
        let bundles = scatter.poll_send(&map, rules, &mut || dice.next(), &mut Vec::new());
        assert_eq!(bundles.len(), 1);
        assert_eq!(commands(&bundles[0]), lines);
        nodes.insert(bundles[0].to().host.clone());
    }
    assert_eq!(nodes.len(), 2, "not always the same node");
}

#[test]
fn each_node_has_a_script_before_its_first_use() {
    let script = Script::new("return 1").read_only();
    let (load, sha) = ("SCRIPT LOAD return 1", script.sha().to_owned());
    let named = |key: &str| format!("EVALSHA_RO {sha} 1 {key}");
    let mut hand = Hand::calling(&["foo", "bar", "{foo}2", "baz"].map(|key| script.key(key)));
    let bundles = hand.send();
    let [one, two] = &bundles[..] else { panic!("{:?}", shown(&bundles)) };
    let calls: Vec<_> = [one, two].map(|bundle| shown(std::slice::from_ref(bundle))[0].1.clone()).into();
    assert_eq!(calls[0], [load.to_owned(), named("foo"), named("{foo}2")]);
    assert_eq!(calls[1], [load.to_owned(), named("bar"), named("baz")]);
    // The slot of the first has moved: what is behind it is not held up, and the other node gets the source,
    // too.
    hand.answer(one, &["+sha\r\n", "-MOVED 12182 d:1\r\n", ":1\r\n"]);
    let bundles = hand.send();
    assert_eq!(shown(&bundles), [of("d:1", &[load, &named("foo")])]);
    hand.answer(&bundles[0], &["+sha\r\n", ":1\r\n"]);
    // Who may not load scripts has them run whole.
    let missing = "-NOSCRIPT No matching script. Please use EVAL.\r\n";
    hand.answer(two, &["-NOPERM no\r\n", missing, missing]);
    let bundles = hand.send();
    assert_eq!(shown(&bundles), [of("a:1", &["EVAL_RO return 1 1 bar", "EVAL_RO return 1 1 baz"])]);
    hand.answer(&bundles[0], &[":1\r\n", ":1\r\n"]);
    assert!(hand.results().iter().all(Result::is_ok));
}

#[test]
fn a_script_is_loaded_again_where_all_were_forgotten() {
    let script = Script::new("return 1");
    let queue = |p: &Pipeline| {
        for flush in [false, true, false] {
            match flush {
                true => drop(p.run(Cmd::<Value>::new("SCRIPT FLUSH"))),
                false => [(); 2].into_iter().for_each(|()| drop(p.run(script.key("foo").cmd::<Value>()))),
            }
        }
    };
    let bundles = Hand::of(Hand::new(&[]).map, &Pipeline::record(queue).0).send();
    let names =
        |bundle: &Bundle| commands(bundle).into_iter().map(|words| words[..2].join(" ")).collect::<Vec<_>>();
    let (load, call) = ("SCRIPT LOAD".to_owned(), format!("EVALSHA {}", script.sha()));
    let expected = [&load, &call, &call, &"SCRIPT FLUSH".to_owned(), &load, &call, &call];
    assert_eq!(names(&bundles[0]).iter().collect::<Vec<_>>(), expected);
    assert_eq!(names(&bundles[1]), ["SCRIPT FLUSH"]);
}
