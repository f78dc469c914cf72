//! Everything in any order, against a server in memory and listeners who count.
//!
//! Messages of each channel are numbered. A listener must get them in order, and where numbers are missing, a
//! gap or a lag must stand between. A gap covers the times at which they were published, however late the
//! connection is read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    Subscribe { kind: usize, names: u8, overflow: usize },
    Add(usize, u8),
    Remove(usize, u8),
    Leave(usize),
    GiveUp(usize),
    Take(usize, u8),
    Publish { sharded: bool, name: usize },
    Transmit,
    Serve,
    Receive(u8),
    Lose,
    Connect { works: bool },
    WrongPassword,
    Move(usize),
    Forbid(usize),
    Allow,
}

fn step() -> impl Strategy<Value = Step> {
    let (any, name, names) = (0..8_usize, 0..NAMES.len(), 1..16_u8);
    prop_oneof![
        4 => (0..3_usize, names.clone(), 0..3_usize)
            .prop_map(|(kind, names, overflow)| Step::Subscribe { kind, names, overflow }),
        2 => (any.clone(), names.clone()).prop_map(|(which, names)| Step::Add(which, names)),
        2 => (any.clone(), names).prop_map(|(which, names)| Step::Remove(which, names)),
        1 => any.clone().prop_map(Step::Leave),
        1 => any.clone().prop_map(Step::GiveUp),
        6 => (any, 0..5_u8).prop_map(|(which, count)| Step::Take(which, count)),
        12 => (prop::bool::weighted(0.4), name.clone())
            .prop_map(|(sharded, name)| Step::Publish { sharded, name }),
        8 => Just(Step::Transmit),
        8 => Just(Step::Serve),
        12 => (1..6_u8).prop_map(Step::Receive),
        2 => Just(Step::Lose),
        4 => prop::bool::weighted(0.8).prop_map(|works| Step::Connect { works }),
        1 => prop::bool::weighted(0.1).prop_map(|wrong| if wrong { Step::WrongPassword } else { Step::Lose }),
        3 => name.clone().prop_map(Step::Move),
        1 => name.prop_map(Step::Forbid),
        2 => Just(Step::Allow),
    ]
}

type Published = BTreeMap<(bool, &'static str), Vec<Instant>>;

/// A server with one connection.
#[derive(Default)]
struct Server {
    subscribed: BTreeSet<(ChannelKind, String)>,
    forbidden: BTreeSet<String>,
    /// On their way to it, and from it.
    commands: VecDeque<String>,
    frames: VecDeque<Vec<u8>>,
    /// When messages were published, by channel; shard channels are apart.
    published: Published,
}

impl Server {
    fn say(&mut self, protocol: char, words: &[&str]) {
        self.frames.push_back(frame(protocol, words));
    }

    fn serve(&mut self, protocol: char) {
        let Some(command) = self.commands.pop_front() else { return };
        let (verb, names) = command.split_once(' ').unwrap_or((&command, ""));
        if verb == "PING" {
            return match protocol {
                '*' => self.say('*', &["pong", ""]),
                _ => self.frames.push_back(b"+PONG\r\n".to_vec()),
            };
        }
        let word = verb.to_lowercase();
        let kind = match word.as_bytes()[0] {
            b'p' => ChannelKind::Pattern,
            b's' if word.starts_with("ss") || word.starts_with("sun") => ChannelKind::Shard,
            _ => ChannelKind::Channel,
        };
        let leaves = word.contains("unsub");
        if !leaves && names.split(' ').any(|name| self.forbidden.contains(name)) {
            return self.frames.push_back(b"-NOPERM not allowed\r\n".to_vec());
        }
        for name in names.split(' ') {
            let key = (kind, name.to_owned());
            if leaves {
                self.subscribed.remove(&key)
            } else {
                self.subscribed.insert(key)
            };
            self.say(protocol, &[&word, name, "1"]);
        }
    }

    fn publish(
        &mut self,
        protocol: char,
        connected: bool,
        (sharded, name): (bool, &'static str),
        now: Instant,
    ) {
        let published = self.published.entry((sharded, name)).or_default();
        published.push(now);
        let number = published.len().to_string();
        if !connected {
            return;
        }
        let kinds =
            if sharded { &[ChannelKind::Shard][..] } else { &[ChannelKind::Channel, ChannelKind::Pattern] };
        for &kind in kinds {
            if self.subscribed.contains(&(kind, name.to_owned())) {
                match kind {
                    ChannelKind::Channel => self.say(protocol, &["message", name, &number]),
                    ChannelKind::Pattern => self.say(protocol, &["pmessage", name, name, &number]),
                    ChannelKind::Shard => self.say(protocol, &["smessage", name, &number]),
                }
            }
        }
    }

    fn hang_up(&mut self) {
        self.subscribed.clear();
        self.commands.clear();
        self.frames.clear();
    }
}

/// A subscriber, and what it was promised.
struct Listener {
    id: SubscriptionId,
    kind: ChannelKind,
    overflow: Overflow,
    channels: BTreeMap<&'static str, Promise>,
    /// Names that were asked for last and are not confirmed.
    asked: BTreeSet<&'static str>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Promise {
    wanted: bool,
    /// Once it is confirmed, the next number that must come.
    next: Option<u64>,
    /// The last that came, and the last that may come.
    last: u64,
    most: Option<u64>,
    /// What stands before the next: gaps, and whether any number of messages was dropped here.
    gaps: Vec<(Instant, Instant)>,
    lagged: bool,
}

impl Listener {
    fn sharded(&self) -> bool {
        self.kind == ChannelKind::Shard
    }

    fn hear(&mut self, item: Option<SubscriptionEvent>, published: &Published) {
        let sharded = self.sharded();
        match item {
            Some(SubscriptionEvent::Message(message)) => {
                let number: u64 = message.payload_as().unwrap();
                let channel = &*message.channel_text();
                let (&name, promise) =
                    self.channels.iter_mut().find(|(name, _)| **name == channel).expect("never wanted");
                assert!(number > promise.last, "{number} after {}", promise.last);
                promise.last = number;
                assert!(promise.most.is_none_or(|most| number <= most), "published after it was not wanted");
                if let Some(next) = &mut promise.next
                    && number >= *next
                {
                    for missing in (*next..number).filter(|_| !promise.lagged) {
                        let at = published[&(sharded, name)][missing as usize - 1];
                        let told = promise.gaps.iter().any(|&(from, to)| from <= at && at <= to);
                        assert!(told, "{number} in place of {missing} of {at:?}: {promise:?}");
                    }
                    *next = number + 1;
                }
                (promise.gaps, promise.lagged) = (Vec::new(), false);
            }
            Some(SubscriptionEvent::Lagged(count)) => {
                assert!(count > 0 && self.overflow != Overflow::Wait);
                self.channels.values_mut().for_each(|promise| promise.lagged = true);
            }
            Some(SubscriptionEvent::Gap { from, to }) => {
                assert!(from <= to);
                self.channels.values_mut().for_each(|promise| promise.gaps.push((from, to)));
            }
            Some(SubscriptionEvent::Reconnected) => {}
            Some(SubscriptionEvent::Failed(_)) => self.ended = true,
            Some(other) => panic!("not asked for: {other:?}"),
            None => panic!("the end without a word"),
        }
    }
}

struct World {
    scene: Scene,
    server: Server,
    listeners: Vec<Listener>,
}

impl World {
    fn published(&self, sharded: bool, name: &'static str) -> u64 {
        self.server.published.get(&(sharded, name)).map_or(0, |published| published.len() as u64)
    }

    fn want(&mut self, at: usize, names: u8) {
        for name in picked(names) {
            let listener = &mut self.listeners[at];
            let promise = listener.channels.entry(name).or_default();
            if !promise.wanted {
                (promise.wanted, promise.next, promise.most) = (true, None, None);
                listener.asked.insert(name);
            }
        }
    }

    fn unwant(&mut self, at: usize, names: impl IntoIterator<Item = &'static str>) {
        let sharded = self.listeners[at].sharded();
        for name in names {
            let most = self.published(sharded, name);
            self.listeners[at].asked.remove(name);
            if let Some(promise) = self.listeners[at].channels.get_mut(name).filter(|promise| promise.wanted)
            {
                (promise.wanted, promise.next, promise.most) = (false, None, Some(most));
            }
        }
    }

    /// Looks whether what a listener asked for is confirmed.
    fn confirm(&mut self, at: usize) {
        let listener = &self.listeners[at];
        match self.scene.machine.poll_confirmed(&listener.id, |_| {}) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                let sharded = listener.sharded();
                for name in std::mem::take(&mut self.listeners[at].asked) {
                    let next = self.published(sharded, name) + 1;
                    if let Some(promise) = self.listeners[at].channels.get_mut(name) {
                        promise.next = Some(next);
                    }
                }
            }
            Poll::Ready(Err(_)) => {
                let asked = std::mem::take(&mut self.listeners[at].asked);
                self.unwant(at, asked);
            }
        }
    }

    fn take(&mut self, at: usize, count: usize) {
        for _ in 0..count {
            let listener = &mut self.listeners[at];
            match self.scene.machine.poll_item(&listener.id, |_| {}) {
                Poll::Ready(None) if listener.ended => return,
                Poll::Ready(item) => listener.hear(item, &self.server.published),
                Poll::Pending => return,
            }
        }
    }

    fn receive(&mut self, count: usize) {
        if !self.scene.machine.is_connected(ConnId::MAIN) || !self.scene.machine.wants_read() {
            return;
        }
        let count = count.min(self.server.frames.len());
        let bytes = self.server.frames.drain(..count).flatten().collect::<Vec<_>>();
        if !bytes.is_empty() {
            self.scene.frames(&bytes).expect("the server speaks sense");
        }
        if self.server.frames.is_empty() && self.scene.machine.wants_read() {
            self.scene.machine.handle_quiet(ConnId::MAIN, self.scene.now);
        }
    }

    fn transmit(&mut self) {
        self.server.commands.extend(self.scene.sent());
    }

    fn connect(&mut self) {
        if self.scene.machine.poll_connect(ConnId::MAIN, self.scene.now, 0) == WhenToConnect::Now {
            self.scene.machine.handle_connected(ConnId::MAIN, self.scene.now);
        }
    }

    fn apply(&mut self, step: Step) {
        self.scene.now += Duration::from_millis(1);
        let protocol = self.scene.protocol;
        let count = self.listeners.len();
        match step {
            Step::Subscribe { kind, names, overflow } if count < 8 => {
                let overflow = [Overflow::Wait, Overflow::DropOldest, Overflow::DropNewest][overflow];
                let options = SubscribeOptions::new().buffer_messages(3).overflow(overflow);
                let kind = ChannelKind::ALL[kind];
                let id = self.scene.machine.subscribe(kind, picked(names), options).unwrap();
                let (channels, asked) = (BTreeMap::new(), BTreeSet::new());
                self.listeners.push(Listener { id, kind, overflow, channels, asked, ended: false });
                self.want(count, names);
            }
            Step::Add(which, names) if count > 0 => {
                // A subscriber that asks for more has waited for what it asked for before.
                let at = which % count;
                if self.listeners[at].asked.is_empty() {
                    self.scene.machine.add(&self.listeners[at].id, picked(names));
                    self.want(at, names);
                }
            }
            Step::Remove(which, names) if count > 0 => {
                self.scene.machine.remove(&self.listeners[which % count].id, picked(names));
                self.unwant(which % count, picked(names));
            }
            Step::Leave(which) if count > 0 => {
                let listener = self.listeners.swap_remove(which % count);
                self.scene.machine.unsubscribe(listener.id);
            }
            Step::GiveUp(which) if count > 0 && !self.listeners[which % count].asked.is_empty() => {
                let at = which % count;
                self.confirm(at);
                let _ = self.scene.machine.give_up(&self.listeners[at].id);
                let asked = std::mem::take(&mut self.listeners[at].asked);
                self.unwant(at, asked);
            }
            Step::Take(which, items) if count > 0 => self.take(which % count, usize::from(items)),
            Step::Publish { sharded, name } => {
                let connected = self.scene.machine.is_connected(ConnId::MAIN);
                self.server.publish(protocol, connected, (sharded, NAMES[name]), self.scene.now);
            }
            Step::Transmit => self.transmit(),
            Step::Serve => self.server.serve(protocol),
            Step::Receive(frames) => self.receive(usize::from(frames)),
            Step::Lose if self.scene.machine.is_connected(ConnId::MAIN) => {
                self.server.hang_up();
                self.scene.lose();
            }
            Step::Connect { works: true } => self.connect(),
            Step::Connect { works: false } | Step::WrongPassword => {
                let wrong = ErrorKind::Authentication(AuthenticationFault::WrongPassword);
                let away = ErrorKind::Connection(ConnectionFault::Refused);
                let kind = if matches!(step, Step::WrongPassword) { wrong } else { away };
                if self.scene.machine.poll_connect(ConnId::MAIN, self.scene.now, 0) == WhenToConnect::Now {
                    let error = Error::new(kind, Outcome::NotSent, "no");
                    self.scene.machine.handle_failed(ConnId::MAIN, error, self.scene.now, 0);
                }
            }
            // Without a connection there is no subscription.
            Step::Move(name)
                if self.server.subscribed.remove(&(ChannelKind::Shard, NAMES[name].to_owned())) =>
            {
                self.server.say(protocol, &["sunsubscribe", NAMES[name], "0"]);
            }
            Step::Forbid(name) => drop(self.server.forbidden.insert(NAMES[name].to_owned())),
            Step::Allow => self.server.forbidden.clear(),
            _ => {}
        }
        (0..self.listeners.len()).for_each(|at| self.confirm(at));
    }

    /// Lets everything that is under way come to its end.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.connect();
            self.transmit();
            (0..20).for_each(|_| self.server.serve(self.scene.protocol));
            self.receive(3);
            (0..self.listeners.len()).for_each(|at| {
                self.take(at, 20);
                self.confirm(at);
            });
        }
        assert!(self.server.frames.is_empty() && self.server.commands.is_empty());
    }

    /// Every subscriber hears again, and nothing is left when all have gone.
    fn end(mut self) {
        self.server.forbidden.clear();
        self.settle();
        let protocol = self.scene.protocol;
        let connected = self.scene.machine.is_connected(ConnId::MAIN);
        for (sharded, name) in NAMES.iter().flat_map(|name| [(false, *name), (true, *name)]) {
            self.server.publish(protocol, connected, (sharded, name), self.scene.now);
            self.settle();
        }
        for listener in self.listeners.iter().filter(|listener| !listener.ended) {
            for (name, promise) in listener.channels.iter().filter(|(_, promise)| promise.wanted) {
                let number = self.published(listener.sharded(), name);
                assert_eq!(promise.next, Some(number + 1), "{name} of {:?}", listener.kind);
            }
        }
        for listener in std::mem::take(&mut self.listeners) {
            self.scene.machine.unsubscribe(listener.id);
        }
        self.settle();
        assert!(self.server.subscribed.is_empty());
        let machine = &self.scene.machine;
        assert!(machine.names.iter().all(BTreeMap::is_empty) && machine.subscribers.is_empty());
        assert!(machine.conns.values().all(|conn| conn.asked.is_empty() && conn.changed.is_empty()));
    }
}

fn picked(names: u8) -> Vec<&'static str> {
    (0..NAMES.len()).filter(|bit| names & (1 << bit) != 0).map(|bit| NAMES[bit]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_message_reaches_another_subscriber_and_none_is_missing_unannounced(
        steps in vec(step(), 1..150),
        pushes in any::<bool>(),
    ) {
        let scene = Scene::connected(if pushes { '>' } else { '*' });
        let mut world = World { scene, server: Server::default(), listeners: Vec::new() };
        steps.into_iter().for_each(|step| world.apply(step));
        world.end();
    }
}
