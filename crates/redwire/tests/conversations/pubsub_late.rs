//! Subscribers that read late, since their handlers are slow or their thread is busy: a gap covers the times
//! at which all that is missing was published, though what came before is read long after. FAULTS 115.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::pubsub::SubscriptionEvent;
use redwire::{blocking, cmd};
use redwire_testkit::{Server, eventually};
use tokio::runtime::{Builder, Runtime};

use crate::common::pubsub::Way;
use crate::common::{Driver, LIMIT, Setup, kill_named};

both!(a_gap_covers_what_is_missing_however_late_it_is_read, a_gap_covers_what_a_slow_handler_misses,);

const MS: Duration = Duration::from_millis(1);

/// A subscription for which nothing is read while it is not asked for the next item.
enum Listener {
    Tokio(Runtime, redwire::Subscription),
    Blocking(blocking::Subscription),
}

impl Listener {
    fn start(setup: Setup, url: &str, way: Way) -> Self {
        let url = setup.url(url, "client_name=late&reconnect_backoff=constant:1ms");
        match setup.driver {
            Driver::Tokio => {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                let subscription = runtime.block_on(async {
                    let pubsub = redwire::PubSub::connect(&url).await.unwrap();
                    match way {
                        Way::Channels => pubsub.subscribe("count").await,
                        Way::Patterns => pubsub.psubscribe("c*").await,
                        Way::Shards => pubsub.ssubscribe("count").await,
                    }
                });
                Self::Tokio(runtime, subscription.unwrap())
            }
            Driver::Blocking => {
                let pubsub = blocking::PubSub::connect(&url).unwrap();
                Self::Blocking(match way {
                    Way::Channels => pubsub.subscribe("count").unwrap(),
                    Way::Patterns => pubsub.psubscribe("c*").unwrap(),
                    Way::Shards => pubsub.ssubscribe("count").unwrap(),
                })
            }
        }
    }

    fn next(&mut self) -> SubscriptionEvent {
        let item = match self {
            Self::Tokio(runtime, subscription) => runtime
                .block_on(async { tokio::time::timeout(LIMIT, subscription.next()).await })
                .ok()
                .flatten(),
            Self::Blocking(subscription) => subscription.next_within(LIMIT),
        };
        item.expect("something comes in time")
    }
}

/// Publishes numbers, and notes when.
struct Publisher {
    client: blocking::Client,
    verb: &'static str,
    times: Mutex<Vec<(Instant, Instant)>>,
}

impl Publisher {
    fn new(server: &Server, way: Way) -> Self {
        let verb = if way == Way::Shards { "SPUBLISH" } else { "PUBLISH" };
        let client = blocking::Client::connect(&server.unix_url()).unwrap();
        Self { client, verb, times: Mutex::default() }
    }

    /// Says how many subscribers it had.
    fn publish(&self) -> i64 {
        let number = self.times.lock().unwrap().len();
        let payload = format!("{number:0>4000}");
        let begin = Instant::now();
        let heard = self.client.execute(cmd(self.verb).arg("count").arg(payload)).unwrap();
        self.times.lock().unwrap().push((begin, Instant::now()));
        heard
    }
}

/// What was heard, and the gaps between.
#[derive(Default)]
struct Account {
    next: usize,
    missing: usize,
    gaps: Vec<(Instant, Instant)>,
}

impl Account {
    #[track_caller]
    fn take(&mut self, item: &SubscriptionEvent, publisher: &Publisher) {
        match item {
            SubscriptionEvent::Gap { from, to } => self.gaps.push((*from, *to)),
            SubscriptionEvent::Message(message) => {
                let number: usize = message.text().unwrap().parse().unwrap();
                let times = publisher.times.lock().unwrap();
                for (missing, &(begin, end)) in times.iter().enumerate().take(number).skip(self.next) {
                    // It was published at some time between.
                    let told = self.gaps.iter().any(|&(from, to)| from <= end && begin <= to);
                    let off: Vec<_> = self.gaps.iter().map(|(from, _)| from.duration_since(end)).collect();
                    assert!(told, "{missing} is missing before {number}, {off:?} before the gap");
                }
                self.missing += number - self.next;
                (self.next, self.gaps) = (number + 1, Vec::new());
            }
            SubscriptionEvent::Reconnected => {}
            other => panic!("{other:?}"),
        }
    }
}

fn limited() -> Server {
    Server::builder().arg("client-output-buffer-limit", "pubsub 64kb 0 0").start()
}

fn a_gap_covers_what_is_missing_however_late_it_is_read(setup: Setup) {
    let server = limited();
    let mut ways = vec![(Way::Channels, server.url())];
    ways.extend([(Way::Channels, server.unix_url()), (Way::Patterns, server.unix_url())]);
    if server.version() >= (7, 0, 0) {
        ways.push((Way::Shards, server.unix_url()));
    }
    for (way, url) in ways {
        let (mut listener, publisher) = (Listener::start(setup, &url, way), Publisher::new(&server, way));
        let mut account = Account::default();
        for is_full in [true, false, true] {
            assert_eq!(publisher.publish(), 1);
            while account.next < publisher.times.lock().unwrap().len() {
                account.take(&listener.next(), &publisher);
            }
            // From now on it is busy, and its connection ends: what it was sent is more than it may be, or it
            // is killed.
            let mut sent = 0;
            while publisher.publish() == 1 {
                sent += 1;
                assert!(sent < 20_000, "the server does not drop it");
                if !is_full && sent == 3 {
                    kill_named(&server, "late");
                }
            }
            for _ in 0..20 {
                publisher.publish();
                thread::sleep(MS);
            }
            while account.gaps.is_empty() {
                account.take(&listener.next(), &publisher);
            }
        }
        publisher.publish();
        while account.next < publisher.times.lock().unwrap().len() {
            account.take(&listener.next(), &publisher);
        }
        assert!(account.missing > 60, "{way:?}: {}", account.missing);
        // The next one would not be the only subscriber while the server has not seen that this one is gone.
        drop(listener);
        eventually("the listener is gone", LIMIT, || publisher.publish() == 0);
    }
}

fn a_gap_covers_what_a_slow_handler_misses(setup: Setup) {
    let server = limited();
    let publisher = Publisher::new(&server, Way::Channels);
    let mut listener = Listener::start(setup, &server.unix_url(), Way::Channels);
    let (mut account, done) = (Account::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                publisher.publish();
            }
        });
        let begin = Instant::now();
        let mut gaps = 0;
        for count in 0_u32.. {
            let item = listener.next();
            gaps += u32::from(matches!(item, SubscriptionEvent::Gap { .. }));
            // Not to leave the other thread alone if a check fails.
            done.store(gaps >= 5 && begin.elapsed() > 300 * MS || begin.elapsed() > LIMIT, Ordering::Relaxed);
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| account.take(&item, &publisher)))
                .is_err()
            {
                done.store(true, Ordering::Relaxed);
                publishing.join().unwrap();
                panic!("after {gaps} gaps and {count} items");
            }
            if done.load(Ordering::Relaxed) {
                break;
            }
            if count % 100 == 0 {
                thread::sleep(30 * MS);
            }
        }
        publishing.join().unwrap();
    });
    assert!(account.missing > 0);
}
