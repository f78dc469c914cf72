//! What the cache keeps, table by table; histories in any order are in [`model`].

mod model;

use std::time::Duration;

use super::*;
use crate::facts;
use crate::inbound::{Frames, Inbound};
use crate::link::{Link, QueueLimits};
use crate::reply::Value;

/// The replies of one request, as a link hands them out.
fn replies(bytes: &[u8], count: u32) -> Replies {
    let mut link = Link::new(QueueLimits { commands: 9, bytes: 9 }, None);
    let ticket = link.submit(count, 1, false, |outbox| outbox.copy(b"?"), (), None).unwrap();
    let (mut inbound, mut frames) = (Inbound::new(64, redwire_resp::Limits::default()), Frames::default());
    inbound.spare().extend_from_slice(bytes);
    inbound.poll_frames(&mut frames).unwrap();
    link.handle_frames(&mut frames).unwrap();
    link.poll_reply(ticket, |()| {}).unwrap().unwrap()
}

fn get(key: &str) -> Cmd<Value> {
    Cmd::of(&facts::GET).arg(key)
}

fn announced(key: &str) -> Vec<u8> {
    format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{key}\r\n", key.len()).into_bytes()
}

struct Cache {
    store: Store<u32>,
    now: Instant,
}

impl Cache {
    fn new(options: CacheOptions) -> Self {
        let mut store = Store::new(options);
        store.handle_up(false);
        Self { store, now: Instant::now() }
    }

    fn lookup(&mut self, cmd: &Cmd<Value>) -> Lookup {
        self.store.lookup(cmd, self.now, || 7)
    }

    #[track_caller]
    fn fetch(&mut self, cmd: &Cmd<Value>) -> Flight {
        match self.lookup(cmd) {
            Lookup::Fetch(flight) => flight,
            other => panic!("expected to fetch, got {other:?}"),
        }
    }

    #[track_caller]
    fn wait(&mut self, cmd: &Cmd<Value>) -> FlightWait {
        match self.lookup(cmd) {
            Lookup::FlightWait(wait) => wait,
            other => panic!("expected to wait, got {other:?}"),
        }
    }

    #[track_caller]
    fn keep(&mut self, cmd: &Cmd<Value>, frame: &[u8]) {
        let flight = self.fetch(cmd);
        self.store.handle_fetched(flight, &replies(frame, 1));
    }

    /// What is served from memory.
    fn hit<R: crate::Reply>(&mut self, cmd: &Cmd<Value>) -> Option<R> {
        match self.lookup(cmd) {
            Lookup::Hit(mut replies) => Some(replies.read().unwrap()),
            Lookup::Fetch(flight) => {
                self.store.handle_failed(flight);
                None
            }
            Lookup::FlightWait(wait) => {
                self.store.abandon(wait);
                None
            }
            Lookup::Settle(_) | Lookup::Pass => None,
        }
    }
}

#[test]
fn what_was_read_serves_until_its_key_changes() {
    let mut cache = Cache::new(CacheOptions::default());
    let both = Cmd::of(&facts::MGET).arg(["a", "b"]);
    cache.keep(&get("a"), b"$1\r\n1\r\n");
    cache.keep(&get("b"), b"_\r\n");
    cache.keep(&both, b"*2\r\n$1\r\n1\r\n_\r\n");
    assert_eq!(cache.hit::<u32>(&get("a")), Some(1));
    assert_eq!(cache.hit::<Option<u32>>(&get("b")), Some(None), "that there is nothing is kept, too");
    assert!(cache.store.handle_push(&announced("b")));
    assert_eq!(cache.hit::<u32>(&get("a")), Some(1));
    assert_eq!(cache.hit::<Value>(&get("b")), None);
    assert_eq!(cache.hit::<Value>(&both), None, "every command with the key is gone");
    let stats = cache.store.stats();
    assert_eq!((stats.hits, stats.invalidations, stats.entries), (3, 1, 1));
}

#[test]
fn what_was_read_before_a_change_is_answered_and_not_kept() {
    let mut cache = Cache::new(CacheOptions::default());
    let flight = cache.fetch(&get("k"));
    let early = cache.wait(&get("k"));
    cache.store.handle_push(&announced("k"));
    let (second, late) = (cache.fetch(&get("k")), cache.wait(&get("k")));
    cache.store.handle_fetched(flight, &replies(b":1\r\n", 1));
    let mut woken = Vec::new();
    cache.store.poll_woken(&mut woken);
    assert_eq!(woken, [7]);
    let mut old = cache.store.poll_wait(early, |_| {}).unwrap().expect("a reply");
    assert_eq!(old.read::<i64>().unwrap(), 1);
    let late = cache.store.poll_wait(late, |_| {}).unwrap_err();
    cache.store.handle_fetched(second, &replies(b":2\r\n", 1));
    assert_eq!(cache.store.poll_wait(late, |_| {}).unwrap().unwrap().read::<i64>().unwrap(), 2);
    assert_eq!(cache.hit::<i64>(&get("k")), Some(2));
}

/// On RESP2 a reply may come before the announcement of a change that it shows.
#[test]
fn what_other_commands_kept_is_in_doubt_until_what_announces_has_answered() {
    let mut cache = Cache::new(CacheOptions::default());
    cache.store.handle_up(true);
    let (other, both) = (Cmd::of(&facts::STRLEN).arg("a"), Cmd::of(&facts::MGET).arg(["a", "b"]));
    cache.keep(&get("a"), b":1\r\n");
    cache.keep(&get("c"), b":3\r\n");
    let (slow, second) = (cache.fetch(&other), cache.fetch(&both));
    // Another of its keys has changed: it is not kept, and may show a change of this one, too.
    cache.store.handle_push(&announced("b"));
    cache.store.handle_fetched(second, &replies(b"*2\r\n:2\r\n:2\r\n", 1));
    assert_eq!(cache.hit::<i64>(&get("c")), Some(3), "it has none of these keys");
    let Lookup::Settle(mark) = cache.lookup(&get("a")) else { panic!("it may be older") };
    // What is under way is answered, and no other caller waits for it.
    let again = cache.fetch(&other);
    cache.store.handle_fetched(slow, &replies(b":1\r\n", 1));
    cache.store.handle_fetched(again, &replies(b":2\r\n", 1));
    cache.store.handle_settled(mark, true);
    let Lookup::Settle(mark) = cache.lookup(&get("a")) else { panic!("it was read again since") };
    cache.store.handle_settled(mark, true);
    assert_eq!(cache.hit::<i64>(&other), Some(2));
    assert_eq!(cache.hit::<i64>(&get("a")), Some(1), "no change was announced");
    // Where no answer comes, nothing is kept.
    cache.keep(&both, b"*2\r\n:1\r\n:2\r\n");
    let Lookup::Settle(mark) = cache.lookup(&get("a")) else { panic!("it may be older") };
    cache.store.handle_settled(mark, false);
    assert_eq!((cache.hit::<i64>(&get("a")), cache.store.stats().entries), (None, 0));
}

#[test]
fn without_announcements_nothing_is_kept() {
    let mut cache = Cache::new(CacheOptions::default());
    cache.keep(&get("a"), b":1\r\n");
    let flight = cache.fetch(&get("b"));
    cache.store.handle_down();
    assert!(matches!(cache.lookup(&get("a")), Lookup::Pass));
    cache.store.handle_up(false);
    cache.store.handle_fetched(flight, &replies(b":1\r\n", 1));
    assert_eq!(cache.hit::<i64>(&get("a")), None);
    assert_eq!(cache.hit::<i64>(&get("b")), None, "it was read over the connection that is lost");
    assert_eq!(cache.store.stats().flushes, 1);
    cache.keep(&get("a"), b":1\r\n");
    assert!(!cache.store.handle_push(b">1\r\n$21\r\ntracking-redir-broken\r\n"));
    assert!(matches!(cache.lookup(&get("a")), Lookup::Pass));
}

#[test]
fn an_emptied_database_empties_the_cache() {
    for own in [false, true] {
        let mut cache = Cache::new(CacheOptions::default());
        cache.keep(&get("a"), b":1\r\n");
        let flight = cache.fetch(&get("b"));
        if own {
            cache.store.handle_written(&Cmd::<()>::of(&facts::FLUSHDB));
        } else {
            cache.store.handle_push(b">2\r\n$10\r\ninvalidate\r\n_\r\n");
        }
        cache.store.handle_fetched(flight, &replies(b":1\r\n", 1));
        assert!(cache.hit::<i64>(&get("a")).is_none() && cache.hit::<i64>(&get("b")).is_none());
    }
}

#[test]
fn own_writes_take_out_what_they_may_have_changed() {
    let mut cache = Cache::new(CacheOptions::default());
    for key in ["a", "b", "c"] {
        cache.keep(&get(key), b":1\r\n");
    }
    cache.store.handle_written(&Cmd::<()>::of(&facts::MSET).arg([("a", 2), ("b", 2)]));
    cache.store.handle_written(&Cmd::<()>::of(&facts::MGET).arg(["c"]));
    assert_eq!(["a", "b", "c"].map(|key| cache.hit::<i64>(&get(key))), [None, None, Some(1)]);
}

#[test]
fn errors_are_answered_and_not_kept() {
    let mut cache = Cache::new(CacheOptions::default());
    cache.keep(&get("k"), b"-WRONGTYPE no\r\n");
    assert_eq!(cache.hit::<Value>(&get("k")), None);
    assert_eq!(cache.store.stats().entries, 0);
}

#[test]
fn when_a_read_fails_the_next_takes_over() {
    let mut cache = Cache::new(CacheOptions::default());
    let flight = cache.fetch(&get("k"));
    let (first, second) = (cache.wait(&get("k")), cache.wait(&get("k")));
    cache.store.handle_failed(flight);
    assert!(cache.store.poll_wait(first, |_| {}).unwrap().is_none());
    let flight = cache.fetch(&get("k"));
    cache.store.abandon(second);
    cache.store.handle_fetched(flight, &replies(b":1\r\n", 1));
    assert_eq!(cache.hit::<i64>(&get("k")), Some(1));
    assert_eq!(cache.store.waiting, 0);
}

#[test]
fn a_reply_serves_no_longer_than_its_time_from_when_it_was_asked_for() {
    let mut cache = Cache::new(CacheOptions::default().ttl(Duration::from_secs(10)));
    let flight = cache.fetch(&get("k"));
    cache.now += Duration::from_secs(4);
    cache.store.handle_fetched(flight, &replies(b":1\r\n", 1));
    cache.now += Duration::from_millis(5999);
    assert_eq!(cache.hit::<i64>(&get("k")), Some(1));
    cache.now += Duration::from_millis(1);
    assert_eq!(cache.hit::<i64>(&get("k")), None);
    assert_eq!((cache.store.stats().entries, cache.store.stats().bytes), (0, 0));
}

#[test]
fn memory_is_bounded_and_what_serves_stays() {
    let room = 10 * (ENTRY + KEY + 200);
    let mut cache = Cache::new(CacheOptions::default().max_bytes(room));
    let frame = format!("$100\r\n{}\r\n", "x".repeat(100));
    cache.keep(&get("hot"), frame.as_bytes());
    for number in 0..1000 {
        cache.keep(&get(&format!("cold{number}")), frame.as_bytes());
        assert!(cache.store.stats().bytes <= room);
        assert!(cache.hit::<Value>(&get("hot")).is_some(), "{number}");
    }
    let stats = cache.store.stats();
    assert!(stats.entries >= 9 && stats.evictions as usize == 1001 - stats.entries, "{stats:?}");
    assert!(cache.store.queue.len() <= 2 * stats.entries + 64);
    cache.keep(&get("large"), format!("${room}\r\n{}\r\n", "x".repeat(room)).as_bytes());
    assert_eq!(cache.store.stats().entries, stats.entries, "it has no room, and takes none from others");
}

#[test]
fn of_a_broadcast_only_its_prefixes_are_kept() {
    let mut cache = Cache::new(CacheOptions::default().broadcast(["user:", "team:"]));
    cache.keep(&get("user:1"), b":1\r\n");
    let both = Cmd::of(&facts::MGET).arg(["user:1", "other"]);
    assert!(matches!(cache.lookup(&get("other")), Lookup::Pass));
    assert!(matches!(cache.lookup(&both), Lookup::Pass));
    let mut all = Cache::new(CacheOptions::default().broadcast(Vec::<Vec<u8>>::new()));
    all.keep(&get("other"), b":1\r\n");
}

#[test]
fn what_is_said_to_have_changes_announced() {
    let said = |options: CacheOptions, redirect| tracking(&options, redirect).words().join(" ");
    let options = CacheOptions::default();
    assert_eq!(said(options.clone(), None), "CLIENT TRACKING ON");
    assert_eq!(said(options.clone().opt_in(), Some(7)), "CLIENT TRACKING ON REDIRECT 7 OPTIN");
    let broadcast = options.clone().broadcast(["a", "b"]);
    assert_eq!(said(broadcast, None), "CLIENT TRACKING ON BCAST PREFIX a PREFIX b");

    use crate::call::Call;
    let (cmd, opted) = (get("k"), options.opt_in());
    let mut fetch = Fetch::new(&cmd, &opted);
    let mut outbox = crate::outbox::Outbox::default();
    fetch.write(&mut outbox);
    assert_eq!(outbox.len(), fetch.size());
    assert!(outbox.to_bytes().ends_with(b"YES\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"));
    assert_eq!(fetch.read(replies(b"+OK\r\n:5\r\n", 2)).unwrap().read::<i64>().unwrap(), 5);
    fetch.read(replies(b"-ERR no tracking\r\n:5\r\n", 2)).unwrap_err();
}
