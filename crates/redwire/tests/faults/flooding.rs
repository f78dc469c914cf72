//! Bytes that never pause hold up no deadline (I3). FAULTS 94.

use std::thread;
use std::time::{Duration, Instant};

use redwire::cache::CacheOptions;
use redwire::pubsub::SubscribeOptions;
use redwire::{Result, Run, Value, cmd};

use crate::common::cache::Cache;
use crate::common::pubsub::Way;
use crate::common::rude::{RudePeer, Then};
use crate::common::{Client, Setup, runtime};

both!(bytes_that_never_pause_hold_up_no_deadline, messages_to_others_hold_up_no_subscriber);

const DEADLINE: Duration = Duration::from_millis(200);
/// Far below the length of the flood; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(2);
const OPTIONS: &str = "timeout=200ms&connect_timeout=2s&retries=0&reconnect_backoff=constant:10s";
const PATIENT: &str = "timeout=10s&connect_timeout=2s&retries=0&reconnect_backoff=constant:10s";

/// What comes after the handshake; small, so that parsing is the slower side.
const PUSHES: Then = Then::Flood("", ">2\r\n+a\r\n+b\r\n");
const ENDLESS_ARRAY: Then = Then::Flood("*268000000\r\n", "$1\r\na\r\n");
const MESSAGES: [Then; 2] = [
    Then::Flood(
        "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\nd\r\n$1\r\nm\r\n",
    ),
    Then::Flood(
        ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
        ">3\r\n$7\r\nmessage\r\n$1\r\nd\r\n$1\r\nm\r\n",
    ),
];

/// Something with a deadline.
type Work = fn(Setup, &str) -> Result<Value>;

const WORK: [(&str, Work); 6] = [
    ("client", |setup, url| setup.lazy(url, OPTIONS)?.run("GET k")),
    ("by hand", |setup, url| setup.connection(url, OPTIONS).run("GET k")),
    ("on a connection of its own", |setup, url| setup.lazy(url, OPTIONS)?.run("BLPOP k 0.1")),
    ("subscription", |setup, url| {
        let pubsub = setup.lazy_pubsub(url, OPTIONS)?;
        pubsub.try_subscribe(Way::Channels, &["d"], SubscribeOptions::default()).map(|_| Value::Null)
    }),
    ("monitor", |setup, url| match setup.lazy(url, OPTIONS)? {
        Client::Tokio(client) => runtime().block_on(client.monitor()).map(|_| Value::Null),
        Client::Blocking(client) => client.monitor().map(|_| Value::Null),
    }),
    ("cache", |setup, url| {
        let client = setup.lazy(url, OPTIONS)?;
        Cache::connect(&client, CacheOptions::default())?.run("GET k")
    }),
];

/// All at once, each with a peer of its own; how long after its deadline each ended.
fn check(setup: Setup, then: Then, work: &[(&str, Work)], limit: Duration) {
    thread::scope(|scope| {
        for (name, work) in work {
            scope.spawn(move || {
                let peer = RudePeer::start(then);
                let begin = Instant::now();
                let result = work(setup, &peer.url());
                let took = begin.elapsed();
                assert!(result.is_err() && took < limit, "{name}, {then:?}: {took:?}, {result:?}");
            });
        }
    });
}

fn bytes_that_never_pause_hold_up_no_deadline(setup: Setup) {
    if setup.protocol == 3 {
        check(setup, PUSHES, &WORK, LIMIT);
    }
    check(setup, ENDLESS_ARRAY, &WORK, LIMIT);
}

fn messages_to_others_hold_up_no_subscriber(setup: Setup) {
    let peer = RudePeer::start(MESSAGES[usize::from(setup.protocol - 2)]);
    // To subscribe may take longer than that on a loaded machine.
    let mut subscription = setup.lazy_pubsub(&peer.url(), PATIENT).unwrap().subscribe(&["c"]);
    let begin = Instant::now();
    let item = subscription.next_within(DEADLINE);
    assert!(item.is_none() && begin.elapsed() < LIMIT, "{:?}: {item:?}", begin.elapsed());
}

/// A runtime of one thread has other tasks, too, and timers for them.
#[test]
fn bytes_that_never_pause_leave_time_to_other_tasks() {
    let peers = [PUSHES, ENDLESS_ARRAY].map(RudePeer::start);
    let urls = peers.each_ref().map(|peer| format!("{}?{OPTIONS}", peer.url()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let begin = Instant::now();
        let client = redwire::Client::connect_lazy(&urls[0]).unwrap();
        let mut connection = redwire::Connection::connect(&urls[1]).await.unwrap();
        let shared = client.execute(cmd::<Value>("GET").arg("k"));
        let by_hand = connection.run(cmd::<Value>("GET").arg("k"));
        let ticks = async {
            let mut worst = Duration::ZERO;
            while begin.elapsed() < DEADLINE {
                let tick = Instant::now();
                tokio::time::sleep(Duration::from_millis(5)).await;
                worst = worst.max(tick.elapsed());
            }
            worst
        };
        let (shared, by_hand, worst) = tokio::join!(shared, by_hand, ticks);
        assert!(shared.is_err() && by_hand.is_err() && begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
        assert!(worst < LIMIT / 2, "a sleep of 5 ms took {worst:?}");
    });
}
