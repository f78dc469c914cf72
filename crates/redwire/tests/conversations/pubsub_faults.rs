//! Publish/subscribe while connections die and servers freeze: whatever may have been missed is announced in
//! its place (I5), and service returns by itself (I6, I7). FAULTS 10, 11.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::pubsub::{SubscribeOptions, SubscriptionEvent};
use redwire::{ErrorKind, blocking, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::pubsub::{Subscription, Way};
use crate::common::{
    GRACE, LIMIT, Setup, TellOnDrop, client_line, kill_named, named_clients, stood_still_since, timed,
};

both!(
    every_gap_is_announced_while_the_connection_is_killed,
    every_gap_is_announced_while_the_network_cuts,
    overlapping_subscriptions_each_have_their_gaps,
    a_frozen_server_is_found_out_and_the_gap_told,
    a_silent_peer_is_asked_once_and_left,
    an_idle_subscription_is_kept,
    service_returns_after_a_restart,
    a_dead_server_is_not_stormed,
    what_time_does_not_mend_ends_the_subscription,
    connections_that_die_while_it_subscribes_are_made_anew,
);

/// What a counter's subscriber may see: each number once and in order, and where some are missing, what
/// announces it.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) last: Option<u64>,
    pub(crate) heard: u64,
    /// Announced since the last message.
    pub(crate) gap: bool,
    lagged: u64,
    pub(crate) gaps: u64,
    /// Numbers that never came.
    pub(crate) missing: u64,
    reconnected: u64,
    until: Option<Instant>,
}

impl Account {
    #[track_caller]
    pub(crate) fn take(&mut self, item: &SubscriptionEvent) {
        match item {
            SubscriptionEvent::Message(message) => {
                let number: u64 = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                self.take_number(number);
            }
            SubscriptionEvent::Gap { from, to } => {
                assert!(from <= to, "{self:?}");
                assert!(self.until.is_none_or(|until| until <= *to), "gaps in order: {self:?}");
                self.until = Some(*to);
                self.gaps += 1;
                self.gap = true;
            }
            SubscriptionEvent::Lagged(count) => self.lagged += count,
            SubscriptionEvent::Reconnected => self.reconnected += 1,
            other => panic!("{other:?} after {self:?}"),
        }
    }

    #[track_caller]
    fn take_number(&mut self, number: u64) {
        let missing = match self.last {
            None => 0,
            Some(last) => {
                assert!(number > last, "{number} after {last}: twice, or out of order");
                number - last - 1
            }
        };
        if !self.gap {
            assert_eq!(missing, self.lagged, "{number} after {:?} without a word", self.last);
        } else {
            assert!(missing >= self.lagged);
        }
        self.missing += missing;
        (self.gap, self.lagged, self.last) = (false, 0, Some(number));
        self.heard += 1;
    }
}

/// Counts on a channel, a number each millisecond, until told to stop; says how far it came.
fn count(server: &Server, channel: &str, done: &AtomicBool) -> u64 {
    let client = blocking::Client::connect(&server.unix_url()).unwrap();
    let begin = Instant::now();
    for number in 0.. {
        client.execute(cmd::<i64>("PUBLISH").arg(channel).arg(number)).unwrap();
        if done.load(Ordering::Relaxed) {
            return number;
        }
        let due = begin + Duration::from_millis(number);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    unreachable!("it counts until it is told to stop")
}

/// Listens to a counter while `harm` is done to the connection again and again, and then until all is well.
fn account_for(
    server: &Server,
    mut subscription: Subscription,
    rounds: u32,
    mut harm: impl FnMut() + Send,
) -> Account {
    let (done, calm) = (AtomicBool::new(false), AtomicBool::new(false));
    let last = Mutex::new(None);
    let mut account = Account::default();
    thread::scope(|scope| {
        let _end = TellOnDrop(&done);
        scope.spawn(|| {
            let reached = count(server, "count", &done);
            *last.lock().unwrap() = Some(reached);
        });
        scope.spawn(|| {
            for _ in 0..rounds {
                thread::sleep(Duration::from_millis(100));
                harm();
            }
            calm.store(true, Ordering::Relaxed);
        });
        let end = Instant::now() + 3 * LIMIT;
        let mut settled = None;
        loop {
            assert!(Instant::now() < end, "it does not settle: {account:?}");
            let item = subscription.next_within(Duration::from_millis(20));
            if let Some(item) = &item {
                account.take(item);
            }
            if calm.load(Ordering::Relaxed) && settled.is_none() && !account.gap {
                settled = account.last;
            }
            // Some numbers in a row without a hole, and the connection has come to rest.
            if settled.zip(account.last).is_some_and(|(settled, last)| last > settled + 300) {
                done.store(true, Ordering::Relaxed);
            }
            let reached = *last.lock().unwrap();
            if item.is_none() && reached.is_some() {
                assert!(
                    account.last >= reached || account.gap,
                    "the end is missing: {reached:?}, {account:?}"
                );
                break;
            }
        }
    });
    account
}

fn every_gap_is_announced_while_the_connection_is_killed(setup: Setup) {
    let server = Server::start();
    let pubsub = setup.pubsub(&server.url(), "client_name=listener");
    let subscription = pubsub.subscribe(&["count"]);
    let account = account_for(&server, subscription, 20, || {
        kill_named(&server, "listener");
    });
    assert!(account.gaps >= 10 && account.heard > 500, "{account:?}");
    assert!(account.missing > 0, "nothing was lost, so nothing was tested: {account:?}");
    assert!(account.reconnected >= 10, "{account:?}");
    assert_eq!(named_clients(&server, "listener"), 1);
}

fn every_gap_is_announced_while_the_network_cuts(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let subscription = setup.pubsub(&proxy.url(), "").subscribe(&["count", "other"]);
    let mut bytes = 0;
    let account = account_for(&server, subscription, 20, || {
        // In the midst of a message, or of a confirmation.
        bytes = (bytes + 37) % 100;
        proxy.set(
            Direction::ToClient,
            if bytes % 2 == 0 { Fault::ResetAfter(bytes) } else { Fault::CutAfter(bytes) },
        );
    });
    assert!(account.gaps >= 10 && account.heard > 500, "{account:?}");
    assert!(account.missing > 0, "{account:?}");
}

fn overlapping_subscriptions_each_have_their_gaps(setup: Setup) {
    let server = Server::start();
    let pubsub = setup.pubsub(&server.url(), "client_name=listener");
    let exact = pubsub.subscribe(&["count"]);
    let options = SubscribeOptions::default();
    let pattern = pubsub.try_subscribe(Way::Patterns, &["cou*"], options).unwrap();
    let done = AtomicBool::new(false);
    let accounts = thread::scope(|scope| {
        let _end = TellOnDrop(&done);
        scope.spawn(|| count(&server, "count", &done));
        let listeners = [exact, pattern].map(|mut subscription| {
            scope.spawn(move || {
                let mut account = Account::default();
                while let Some(item) = subscription.next_within(Duration::from_millis(1500)) {
                    account.take(&item);
                }
                account
            })
        });
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(100));
            kill_named(&server, "listener");
        }
        thread::sleep(Duration::from_millis(500));
        done.store(true, Ordering::Relaxed);
        listeners.map(|listener| listener.join().unwrap())
    });
    for account in accounts {
        assert!(account.gaps >= 1 && account.heard > 100, "{account:?}");
    }
}

const INTERVAL: Duration = Duration::from_millis(500);

/// A busy machine may come late to each of the four ticks in which a peer is found dead.
const LATE: Duration = Duration::from_millis(500);

/// Listens until a gap is told; what came before, and when it was.
#[track_caller]
fn until_gap(subscription: &mut Subscription) -> (Instant, Instant) {
    loop {
        match subscription.next() {
            Some(SubscriptionEvent::Gap { from, to }) => return (from, to),
            Some(SubscriptionEvent::Message(_) | SubscriptionEvent::Reconnected) => {}
            other => panic!("expected a gap; got {other:?}"),
        }
    }
}

fn a_frozen_server_is_found_out_and_the_gap_told(setup: Setup) {
    let (server, other) = (Server::start(), Server::start());
    let proxy = Proxy::start(server.addr());
    let options = "health_check_interval=500ms&connect_timeout=300ms&reconnect_backoff=constant:50ms";
    let mut subscription = setup.pubsub(&proxy.url(), options).subscribe(&["news"]);
    // Another server takes over.
    let begin = Instant::now();
    server.freeze();
    proxy.retarget(other.addr());
    let ((from, to), took) = timed(|| until_gap(&mut subscription));
    let pause = Duration::from_millis(50);
    let limit = 2 * INTERVAL + pause + LATE + GRACE + stood_still_since(begin);
    assert!(took <= limit, "{took:?} of {limit:?}");
    assert!(from <= begin + GRACE && to >= begin, "it covers all that time");
    assert_eq!(other.command(&["PUBLISH", "news", "1"]).unwrap().trim_start_matches("(integer) "), "1");
    eventually("a message", LIMIT, || matches!(subscription.next(), Some(SubscriptionEvent::Message(_))));
    // It is the same one that goes on.
    other.freeze();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(3 * INTERVAL);
            other.thaw();
        });
        let begin = Instant::now();
        let ((from, to), took) = timed(|| until_gap(&mut subscription));
        assert!(took >= 2 * INTERVAL, "{took:?}");
        assert!(took <= 5 * INTERVAL + GRACE + stood_still_since(begin), "{took:?}");
        assert!(to.duration_since(from) >= 2 * INTERVAL, "{:?}", to.duration_since(from));
    });
    server.thaw();
}

fn a_silent_peer_is_asked_once_and_left(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let options =
        "health_check_interval=500ms&connect_timeout=300ms&reconnect_backoff=constant:50ms&client_name=l";
    let mut subscription = setup.pubsub(&proxy.url(), options).subscribe(&["news"]);
    let pings = || {
        let stats = server.command(&["INFO", "commandstats"]).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_ping:calls=")).map(str::to_owned);
        line.and_then(|line| line.split(',').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    thread::scope(|scope| {
        let listener = scope.spawn(|| until_gap(&mut subscription));
        eventually("it asks while nothing is wrong", LIMIT, || pings() >= 2);
        proxy.set(Direction::ToClient, Fault::Blackhole);
        let (before, connections, begin) = (pings(), proxy.connections(), Instant::now());
        eventually("the connection is given up", LIMIT, || proxy.connections() > connections);
        let took = begin.elapsed();
        let pause = Duration::from_millis(50);
        assert!(took <= 2 * INTERVAL + pause + LATE + GRACE + stood_still_since(begin), "{took:?}");
        assert!(pings() <= before + 1, "{} unanswered", pings() - before);
        proxy.heal();
        proxy.reset_all();
        let (from, to) = listener.join().unwrap();
        assert!(from <= begin + GRACE && to >= begin);
    });
}

fn an_idle_subscription_is_kept(setup: Setup) {
    let server = Server::start();
    let options = "health_check_interval=100ms&client_name=idle";
    let mut subscription = setup.pubsub(&server.url(), options).subscribe(&["news"]);
    let id = |line: String| line.split(' ').next().map(str::to_owned);
    let before = client_line(&server, "idle").and_then(id);
    assert!(subscription.next_within(Duration::from_millis(700)).is_none());
    // Long unread, too: what came meanwhile is there, and the silence is not taken for death.
    thread::sleep(Duration::from_millis(700));
    server.command(&["PUBLISH", "news", "1"]).unwrap();
    assert_eq!(subscription.text(), "1");
    assert_eq!(client_line(&server, "idle").and_then(id), before);
}

fn service_returns_after_a_restart(setup: Setup) {
    let server = Server::start();
    let mut subscription = setup.pubsub(&server.url(), "").subscribe(&["news"]);
    for round in 0..3 {
        server.restart();
        let restarted = Instant::now();
        until_gap(&mut subscription);
        let took = restarted.elapsed();
        assert!(took < Duration::from_millis(1500) + stood_still_since(restarted), "{took:?}");
        let round = format!("round {round}");
        assert_eq!(
            server.command(&["PUBLISH", "news", &round]).unwrap().trim_start_matches("(integer) "),
            "1"
        );
        let message = loop {
            match subscription.next() {
                Some(SubscriptionEvent::Message(message)) => break message,
                Some(SubscriptionEvent::Gap { .. } | SubscriptionEvent::Reconnected) => {}
                other => panic!("expected a message; got {other:?}"),
            }
        };
        assert_eq!(message.payload, round.as_bytes());
    }
}

fn a_dead_server_is_not_stormed(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let pubsub = setup.pubsub(&proxy.url(), "");
    let mut all: Vec<_> = (0..10).map(|i| pubsub.subscribe(&[format!("news:{i}")])).collect();
    proxy.set(Direction::ToServer, Fault::Refuse);
    proxy.reset_all();
    let before = proxy.connections();
    thread::scope(|scope| {
        for subscription in &mut all {
            scope.spawn(|| assert!(subscription.next_within(Duration::from_secs(2)).is_none()));
        }
    });
    let attempts = proxy.connections() - before;
    // Pauses of 10 ms and more that double up to a second, half of that on average.
    assert!((2..=40).contains(&attempts), "{attempts} attempts in 2 s");
    proxy.heal();
    for (i, subscription) in all.iter_mut().enumerate() {
        until_gap(subscription);
        let channel = format!("news:{i}");
        assert_eq!(
            server.command(&["PUBLISH", &channel, "1"]).unwrap().trim_start_matches("(integer) "),
            "1"
        );
    }
}

fn what_time_does_not_mend_ends_the_subscription(setup: Setup) {
    let server = Server::builder().acl_line("user alice on >old ~* &* +@all").start();
    let url = server.url().replace("redis://", "redis://alice:old@");
    let pubsub = setup.pubsub(&url, "client_name=alice");
    let mut subscription = pubsub.subscribe(&["news"]);
    server.command(&["PUBLISH", "news", "1"]).unwrap();
    assert_eq!(subscription.text(), "1");
    server.command(&["ACL", "SETUSER", "alice", "resetpass", ">new"]).unwrap();
    kill_named(&server, "alice");
    match subscription.next() {
        Some(SubscriptionEvent::Failed(error)) => {
            assert!(matches!(error.kind(), ErrorKind::Authentication(_)), "{error}")
        }
        other => panic!("expected to be told why it ends; got {other:?}"),
    }
    assert!(subscription.next().is_none());
    assert!(subscription.next().is_none());
    // A subscriber that comes then is told, too; and once it is mended, it works.
    let error = pubsub.try_subscribe(Way::Channels, &["news"], SubscribeOptions::default()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Authentication(_)), "{error}");
    server.command(&["ACL", "SETUSER", "alice", ">old"]).unwrap();
    eventually("it works again", LIMIT, || {
        pubsub.try_subscribe(Way::Channels, &["news"], SubscribeOptions::default()).is_ok()
    });
}

fn connections_that_die_while_it_subscribes_are_made_anew(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let pubsub = setup.lazy_pubsub(&proxy.url(), "reconnect_backoff=constant:5ms").unwrap();
    // Cut after so many bytes: in the handshake, in the confirmations, and then no more.
    for cut in 0..60 {
        proxy.set(Direction::ToClient, Fault::CutAfter(cut * 7));
        let name = format!("news:{cut}");
        let mut subscription = pubsub.subscribe(&[&name, "common"]);
        proxy.heal();
        eventually("it hears", LIMIT, || {
            server.command(&["PUBLISH", &name, "here"]).unwrap();
            loop {
                match subscription.next_within(Duration::from_millis(20)) {
                    Some(SubscriptionEvent::Message(message)) => return message.payload == "here",
                    Some(SubscriptionEvent::Gap { .. } | SubscriptionEvent::Reconnected) => {}
                    other => break assert!(other.is_none(), "{other:?}"),
                }
            }
            false
        });
    }
}
