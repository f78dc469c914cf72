//! A peer that completes each handshake and then hangs up is met with pauses that grow, over every kind of
//! connection that is made anew by itself (I7). FAULTS 55.

use std::thread;
use std::time::{Duration, Instant};

use redwire::Value;
use redwire::cache::CacheOptions;
use redwire::pubsub::SubscribeOptions;

use crate::common::cache::Cache;
use crate::common::pubsub::{PubSub, Way};
use crate::common::rude::{RudePeer, Then};
use crate::common::{Client, Driver, Setup};

both!(a_peer_that_hangs_up_after_each_handshake_is_not_stormed);

/// Pauses of 10, 20, … 640 ms, and a second: eight attempts in the first 1.3 s.
const OPTIONS: &str = "reconnect_backoff=exponential:10ms:1s&timeout=300ms&connect_timeout=300ms&retries=0";
const WATCHED: Duration = Duration::from_millis(1_600);
const ATTEMPTS: usize = 8;

/// Calls 200 times a second until then, whatever comes of it.
fn call_until(end: Instant, call: impl Fn() + Sync) {
    thread::scope(|scope| {
        for caller in 0..20 {
            let call = &call;
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(5) * caller);
                while Instant::now() < end {
                    let begin = Instant::now();
                    call();
                    thread::sleep(Duration::from_millis(100).saturating_sub(begin.elapsed()));
                }
            });
        }
    });
}

/// What has a connection that is made anew by itself.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The shared connection of an async client: called all the time, or only once.
    Shared {
        called: bool,
    },
    Node,
    Cache(fn(CacheOptions) -> CacheOptions),
    Channels,
    ShardsOfACluster,
}

impl Kind {
    fn all(setup: Setup) -> Vec<Self> {
        let mut kinds = vec![
            Self::Cache(|options| options),
            Self::Cache(CacheOptions::opt_in),
            Self::Cache(|options| options.broadcast([""])),
            Self::Channels,
            Self::ShardsOfACluster,
        ];
        if setup.driver == Driver::Tokio {
            kinds.extend([Self::Shared { called: true }, Self::Shared { called: false }, Self::Node]);
        }
        kinds
    }

    /// At most so many connections may come while it is watched.
    fn most(self, setup: Setup) -> usize {
        match self {
            // The one that hears the announcements is made each time, too; and reads go to the client's own
            // meanwhile.
            Self::Cache(_) => 2 + ATTEMPTS * if setup.protocol == 2 { 3 } else { 2 },
            Self::Shared { .. } | Self::Node | Self::Channels | Self::ShardsOfACluster => ATTEMPTS,
        }
    }

    fn work(self, setup: Setup, peer: &RudePeer, end: Instant) {
        let client = |url: String| setup.lazy(&url, OPTIONS).unwrap();
        let call = |client: &Client| drop(client.run::<Value>("GET k"));
        match self {
            Self::Shared { called: true } => {
                let client = client(peer.url());
                call_until(end, || call(&client));
            }
            Self::Shared { called: false } => {
                let client = client(peer.url());
                call(&client);
                sleep_until(end);
            }
            Self::Node => {
                let client = client(peer.cluster_url());
                call_until(end, || call(&client));
            }
            Self::Cache(options) => {
                // It is made by a connection that has the time it needs, on any machine.
                let patient = OPTIONS.replace("timeout=300ms", "timeout=5s");
                let client = setup.lazy(&peer.url(), &patient).unwrap();
                // The peer may hang up before it is set up, where the machine is slow.
                let cache =
                    (0..20).find_map(|_| Cache::connect(&client, options(CacheOptions::default())).ok());
                let cache = cache.expect("one of twenty attempts is quick enough");
                match setup.driver {
                    Driver::Tokio => call_until(end, || drop(cache.run::<Value>("GET k"))),
                    // Reads would go to the pool meanwhile.
                    Driver::Blocking => sleep_until(end),
                }
            }
            Self::Channels => {
                let pubsub = PubSub::of(&client(peer.url()));
                call_until(end, || drop(pubsub.try_subscribe(Way::Channels, &["c"], options())));
            }
            Self::ShardsOfACluster => {
                let pubsub = PubSub::of(&client(peer.cluster_url()));
                call_until(end, || drop(pubsub.try_subscribe(Way::Shards, &["c"], options())));
            }
        }
    }
}

fn options() -> SubscribeOptions {
    SubscribeOptions::default()
}

fn sleep_until(end: Instant) {
    thread::sleep(end.saturating_duration_since(Instant::now()));
}

fn a_peer_that_hangs_up_after_each_handshake_is_not_stormed(setup: Setup) {
    let (start, end) = (Instant::now(), Instant::now() + WATCHED);
    let quick = Then::HangUpAfter(Duration::from_millis(5));
    let peers = [Then::HangUpAtFirstCommand, quick, Then::HangUpAfter(Duration::from_millis(50))];
    thread::scope(|scope| {
        for (kind, then) in Kind::all(setup).into_iter().flat_map(|kind| peers.map(|peer| (kind, peer))) {
            scope.spawn(move || {
                let peer = RudePeer::start(then);
                kind.work(setup, &peer, end);
                let came = peer.connections(start..end);
                assert!(came <= kind.most(setup), "{kind:?}, {then:?}: {came} connections");
            });
        }
    });
}
