//! Histories in any order against a server in a few lines, which knows what is true. Announcements come in
//! the order of the replies, as on RESP3, or over a line of their own, as on RESP2. No reader ever sees less
//! of a key than any reader saw before.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const KEYS: [&str; 3] = ["a", "b", "c"];

/// Which keys a command reads: one, or two together.
const COMMANDS: [&[usize]; 5] = [&[0], &[1], &[2], &[0, 1], &[1, 2]];

#[derive(Clone, Debug)]
enum Step {
    /// A caller reads.
    Read(usize),
    /// The server executes a request: the callers that read send them in any order.
    Execute(usize),
    /// A reply, the oldest announcement, or the oldest answer of what announces, arrives.
    Reply(usize),
    Announcement,
    Settle,
    /// A reader gives up.
    GiveUp(usize),
    Abandon(usize),
    Poll(usize),
    /// Another client, or the cache's own user, writes.
    Write(usize),
    OwnWrite(usize),
    Flush,
    Lose,
    Connect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..COMMANDS.len()).prop_map(Step::Read),
        6 => any::<usize>().prop_map(Step::Execute),
        6 => any::<usize>().prop_map(Step::Reply),
        4 => Just(Step::Announcement),
        3 => Just(Step::Settle),
        1 => any::<usize>().prop_map(Step::GiveUp),
        1 => any::<usize>().prop_map(Step::Abandon),
        2 => any::<usize>().prop_map(Step::Poll),
        3 => (0..KEYS.len()).prop_map(Step::Write),
        1 => (0..KEYS.len()).prop_map(Step::OwnWrite),
        1 => Just(Step::Flush),
        1 => Just(Step::Lose),
        2 => Just(Step::Connect),
    ]
}

struct Request {
    flight: Flight,
    command: usize,
    /// What its reader has seen before.
    floor: [i64; 3],
    /// How many changes were announced when the server executed it.
    announced: usize,
}

/// What is said to have changed: keys, each with the version that was written, or all.
type Change = Vec<(usize, i64)>;

struct World {
    cache: Cache,
    /// The data: a version of each key, and which of them the server remembers to have told.
    versions: [i64; 3],
    remembered: [bool; 3],
    connected: bool,
    requests: VecDeque<Request>,
    replies: VecDeque<(Request, Replies)>,
    announcements: VecDeque<Change>,
    /// How many there were so far.
    announced: usize,
    /// Whether they have a line of their own, and what is asked over that: by whom, and how many changes were
    /// announced before.
    apart: bool,
    questions: VecDeque<(Mark, usize, usize)>,
    /// Requests whose connection was lost, or whose caller gave up: their replies come to no caller.
    stranded: Vec<Request>,
    waits: Vec<(FlightWait, usize, [i64; 3])>,
    /// What the cache's users must see at least: what was announced, or what one of them has seen.
    floor: [i64; 3],
}

impl World {
    fn new(apart: bool) -> Self {
        let mut cache = Cache::new(CacheOptions::default().max_bytes(4 * (ENTRY + KEY)));
        cache.store.handle_down();
        Self {
            cache,
            versions: [0; 3],
            remembered: [false; 3],
            connected: false,
            requests: VecDeque::new(),
            replies: VecDeque::new(),
            announcements: VecDeque::new(),
            announced: 0,
            apart,
            questions: VecDeque::new(),
            stranded: Vec::new(),
            waits: Vec::new(),
            floor: [0; 3],
        }
    }

    fn cmd(command: usize) -> Cmd<Value> {
        Cmd::of(&facts::MGET).arg(COMMANDS[command].iter().map(|key| KEYS[*key]).collect::<Vec<_>>())
    }

    fn check(&mut self, command: usize, replies: &mut Replies, floor: &[i64; 3]) {
        let seen: Vec<i64> = replies.read().unwrap();
        for (key, seen) in COMMANDS[command].iter().zip(seen) {
            assert!(seen >= floor[*key], "{command} gave {seen} where {} was known", floor[*key]);
            self.floor[*key] = self.floor[*key].max(seen);
        }
    }

    fn arrived(&self) -> usize {
        self.announced - self.announcements.len()
    }

    /// A reply has come: to callers who may take them in any order.
    fn fetch(&mut self, index: usize) {
        let Some(index) = index.checked_rem(self.replies.len()) else { return };
        if !self.apart && self.replies[index].0.announced > self.arrived() {
            return;
        }
        let Some((request, mut replies)) = self.replies.remove(index) else { return };
        self.cache.store.handle_fetched(request.flight, &replies);
        self.check(request.command, &mut replies, &request.floor);
    }

    /// What announces has answered, behind what it announced before.
    fn settle(&mut self) {
        let arrived = self.arrived();
        if self.questions.front().is_some_and(|(_, announced, _)| *announced <= arrived)
            && let Some((mark, _, command)) = self.questions.pop_front()
        {
            self.cache.store.handle_settled(mark, true);
            self.read(command);
        }
    }

    fn read(&mut self, command: usize) {
        match self.cache.lookup(&Self::cmd(command)) {
            Lookup::Hit(mut replies) => {
                assert!(self.connected, "nothing serves while nothing is announced");
                self.check(command, &mut replies.clone(), &self.floor.clone());
                // What is old must be about to be announced.
                let seen: Vec<i64> = replies.read().unwrap();
                for (key, seen) in COMMANDS[command].iter().zip(seen) {
                    let coming = self.announcements.iter().flatten().any(|(changed, _)| changed == key);
                    assert!(seen == self.versions[*key] || coming, "{} is stale for ever", KEYS[*key]);
                }
            }
            Lookup::Fetch(flight) => {
                self.requests.push_back(Request { flight, command, floor: self.floor, announced: 0 });
            }
            Lookup::FlightWait(wait) => self.waits.push((wait, command, self.floor)),
            Lookup::Settle(mark) => {
                assert!(self.apart);
                self.questions.push_back((mark, self.announced, command));
            }
            Lookup::Pass => assert!(!self.connected),
        }
    }

    fn execute(&mut self, index: usize) {
        let Some(index) = index.checked_rem(self.requests.len()) else { return };
        let Some(mut request) = self.requests.remove(index) else { return };
        request.announced = self.announced;
        let mut frame = format!("*{}\r\n", COMMANDS[request.command].len());
        for key in COMMANDS[request.command] {
            self.remembered[*key] = true;
            frame.push_str(&format!(":{}\r\n", self.versions[*key]));
        }
        self.replies.push_back((request, replies(frame.as_bytes(), 1)));
    }

    fn write(&mut self, keys: &[usize]) {
        let mut change = Change::new();
        for key in keys {
            self.versions[*key] += 1;
            if std::mem::take(&mut self.remembered[*key]) || keys.len() > 1 {
                change.push((*key, self.versions[*key]));
            }
        }
        if self.connected && !change.is_empty() {
            self.announcements.push_back(change);
            self.announced += 1;
        }
    }

    fn announce(&mut self) {
        let Some(change) = self.announcements.pop_front() else { return };
        match &change[..] {
            [(key, _)] => assert!(self.cache.store.handle_push(&announced(KEYS[*key]))),
            _ => assert!(self.cache.store.handle_push(b">2\r\n$10\r\ninvalidate\r\n_\r\n")),
        }
        for (key, version) in change {
            self.floor[key] = self.floor[key].max(version);
        }
    }

    fn poll(&mut self, index: usize) {
        if self.waits.is_empty() {
            return;
        }
        let (wait, command, floor) = self.waits.swap_remove(index % self.waits.len());
        match self.cache.store.poll_wait(wait, |_| {}) {
            Ok(Some(mut replies)) => self.check(command, &mut replies, &floor),
            Ok(None) => self.read(command),
            Err(wait) => self.waits.push((wait, command, floor)),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Read(command) => self.read(command),
            Step::Execute(index) => self.execute(index),
            Step::Reply(index) => self.fetch(index),
            Step::Settle => self.settle(),
            Step::Announcement => self.announce(),
            Step::GiveUp(index) => {
                if !self.stranded.is_empty() {
                    let request = self.stranded.swap_remove(index % self.stranded.len());
                    self.cache.store.handle_failed(request.flight);
                } else if let Some(request) = self.requests.pop_back() {
                    self.cache.store.handle_failed(request.flight);
                }
            }
            Step::Abandon(index) => {
                if !self.waits.is_empty() {
                    let (wait, ..) = self.waits.swap_remove(index % self.waits.len());
                    self.cache.store.abandon(wait);
                }
            }
            Step::Poll(index) => self.poll(index),
            Step::Write(key) => self.write(&[key]),
            Step::OwnWrite(key) => {
                self.write(&[key]);
                self.cache.store.handle_written(&Cmd::<()>::of(&facts::INCR).arg(KEYS[key]));
                self.floor[key] = self.versions[key];
            }
            Step::Flush => self.write(&[0, 1, 2]),
            Step::Lose => {
                self.connected = false;
                self.remembered = [false; 3];
                self.announcements.clear();
                self.stranded.extend(self.requests.drain(..));
                self.stranded.extend(self.replies.drain(..).map(|(request, _)| request));
                self.cache.store.handle_down();
                for (mark, ..) in std::mem::take(&mut self.questions) {
                    self.cache.store.handle_settled(mark, false);
                }
            }
            Step::Connect => {
                self.connected = true;
                self.cache.store.handle_up(self.apart);
            }
        }
    }

    /// Nothing is under way, and nothing is left of what was.
    fn end(mut self) {
        for _ in 0..self.requests.len() {
            self.execute(0);
        }
        while !self.announcements.is_empty() {
            self.announce();
        }
        while !self.replies.is_empty() {
            self.fetch(0);
        }
        for request in std::mem::take(&mut self.stranded) {
            self.cache.store.handle_failed(request.flight);
        }
        for (wait, command, floor) in std::mem::take(&mut self.waits) {
            let answer = self.cache.store.poll_wait(wait, |_| {}).expect("no caller waits for nothing");
            if let Some(mut replies) = answer {
                self.check(command, &mut replies, &floor);
            }
        }
        let store = &self.cache.store;
        assert!(store.flights.is_empty() && store.answers.is_empty() && store.waiting == 0);
        let keys: usize = store.entries.values().map(|entry| entry.keys.len()).sum();
        assert_eq!(store.index.len(), keys);
        let bytes: usize = store
            .entries
            .iter()
            .map(|(words, entry)| match &entry.state {
                EntryState::Kept(kept) => cost(words, &kept.frame, &entry.keys),
                EntryState::Flying(_) => panic!("no caller reads it any more"),
            })
            .sum();
        assert_eq!((store.stats.bytes, store.stats.entries), (bytes, store.entries.len()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_old_serves_no_waiter_is_forgotten_and_nothing_leaks(
        steps in vec(step(), 1..250),
        apart in any::<bool>(),
    ) {
        let mut world = World::new(apart);
        for step in steps {
            world.step(step);
        }
        world.end();
    }
}
