//! What a server says of itself over connections to one address: that it is a replica by now, or that it does
//! not know who asks. Calls go on over new connections, few of them, and none fails (I2, I6, I7). FAULTS 22,
//! 56, 57.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::cache::CacheOptions;
use redwire::pubsub::SubscriptionEvent;
use redwire::{AuthenticationFault, ErrorKind, Outcome, Result, Run, Value, cmd};
use redwire_testkit::{ClosedPort, FakeServer, Proxy, Server, eventually};

use crate::common::cache::Cache;
use crate::common::pool::Pool;
use crate::common::pubsub::PubSub;
use crate::common::{Client, Driver, LIMIT, Setup, TellOnDrop, named_clients, runtime};

both!(
    each_kind_of_call_goes_on_at_the_next_master,
    each_kind_of_connection_leaves_the_former_master,
    what_is_under_way_is_answered_and_counts_stay_exact,
    a_replica_without_a_master_is_not_stormed,
    a_reader_stays_where_it_is,
    a_client_that_is_not_known_any_more_authenticates_again,
    a_subscriber_is_connected_anew_once_its_user_is_forgotten,
    a_client_that_is_never_known_causes_no_storm,
    a_server_that_loads_for_long_is_left_for_another_of_its_name,
    an_old_connection_makes_way_and_no_call_fails,
    a_cache_goes_on_through_the_ages_of_its_connections,
);

/// A master and its replica, and a proxy that leads to the master.
struct Address {
    old: Server,
    new: Server,
    proxy: Proxy,
}

impl Address {
    fn new() -> Self {
        // Replicas are not kept waiting for others.
        let start = || Server::builder().arg("repl-diskless-sync-delay", "0").start();
        let (old, new) = (start(), start());
        replicate(&new, &old);
        let proxy = Proxy::start(old.addr());
        Self { old, new, proxy }
    }

    /// The replica takes over, new connections lead to it, and the former master lives on as its replica.
    fn switch(&self) {
        let offset = || self.old.stat("master_repl_offset");
        eventually("the replica has all", LIMIT, || self.new.stat("slave_repl_offset") == offset());
        self.new.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
        self.proxy.retarget(self.new.addr());
        replicate(&self.old, &self.new);
    }
}

fn replicate(replica: &Server, master: &Server) {
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).unwrap();
    eventually("it follows", LIMIT, || {
        replica.command(&["ROLE"]).unwrap().lines().any(|line| line == "connected")
    });
}

/// How many connections come while `work` is done.
fn connections(proxy: &Proxy, work: impl FnOnce()) -> usize {
    let before = proxy.connections();
    work();
    proxy.connections() - before
}

/// Runs `work` again and again in so many threads, for so long; says how often it failed.
fn for_a_while(threads: usize, limit: Duration, work: impl Fn(usize) -> bool + Sync) -> usize {
    let (end, failed) = (Instant::now() + limit, AtomicUsize::new(0));
    thread::scope(|scope| {
        for nth in 0..threads {
            let (work, failed) = (&work, &failed);
            scope.spawn(move || {
                while Instant::now() < end {
                    failed.fetch_add(usize::from(!work(nth)), Ordering::Relaxed);
                }
            });
        }
    });
    failed.into_inner()
}

fn acquire(client: &Client) -> Result<()> {
    match client {
        Client::Tokio(client) => {
            runtime().block_on(async { client.lock("l").acquire().await?.release().await })
        }
        Client::Blocking(client) => client.lock("l").acquire()?.release(),
    }
}

fn atomic(client: &Client) -> Result<i64> {
    let build = |p: &redwire::Pipeline| {
        (p.run(cmd::<i64>("INCR").arg("atomic")), p.run(cmd::<Value>("GET").arg("k")))
    };
    match client {
        Client::Tokio(client) => runtime().block_on(client.atomic(build)),
        Client::Blocking(client) => client.atomic(build),
    }
    .map(|(n, _)| n)
}

fn transaction(client: &Client) -> Result<i64> {
    match client {
        Client::Tokio(client) => runtime().block_on(client.transaction("watched", async |mut tx| {
            let n: Option<i64> = (&mut tx).run(cmd("GET").arg("watched")).await?;
            let next = n.unwrap_or_default() + 1;
            tx.commit(|p| p.run(cmd::<()>("SET").arg("watched").arg(next))).await.map(|()| next)
        })),
        Client::Blocking(client) => client.transaction("watched", |mut tx| {
            let n: Option<i64> = (&mut tx).run(cmd("GET").arg("watched"))?;
            let next = n.unwrap_or_default() + 1;
            tx.commit(|p| p.run(cmd::<()>("SET").arg("watched").arg(next))).map(|()| next)
        }),
    }
}

/// Each by a client of its own, of which this is the first call after the switch.
fn each_kind_of_call_goes_on_at_the_next_master(setup: Setup) {
    let address = Address::new();
    let client = || {
        let client = setup.client(&address.proxy.url(), "timeout=5s");
        client.run::<()>("RPUSH list a b c d").unwrap();
        client.run::<Value>("BLPOP list 1").unwrap();
        client
    };
    let eval = |client: &Client| {
        client.execute::<i64>(cmd("EVAL").arg("return redis.call('INCR', KEYS[1])").arg(1).arg("eval"))
    };
    let [set, pipeline, waits, held, whole, watched, script] = std::array::from_fn(|_| client());
    address.switch();
    set.run::<()>("SET k v").unwrap();
    let piped = |p: &redwire::Pipeline| {
        let set = p.run(cmd::<()>("SET").arg("piped").arg("v"));
        (p.run(cmd::<Value>("GET").arg("k")), set, p.run(cmd::<i64>("INCR").arg("pipeline")).attempt())
    };
    assert_eq!(pipeline.pipeline(piped).unwrap().2.unwrap(), 1, "nothing was executed before");
    waits.run::<(String, String)>("BLPOP list 1").unwrap();
    acquire(&held).unwrap();
    assert_eq!(atomic(&whole).unwrap(), 1);
    assert_eq!(transaction(&watched).unwrap(), 1);
    // It may have written before it was refused, so it is not run again, but the server is left all the same.
    let error = eval(&script).unwrap_err();
    assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
    eventually("the server is left", LIMIT, || eval(&script).is_ok());
    for key in ["k", "piped", "pipeline", "atomic", "watched", "eval"] {
        assert_eq!(address.new.command(&["EXISTS", key]).unwrap(), "1", "{key}");
    }
}

fn each_kind_of_connection_leaves_the_former_master(setup: Setup) {
    let address = Address::new();
    let Address { old, new, proxy } = &address;
    let client = setup.client(&proxy.url(), "timeout=5s&client_name=mover");
    let mut connection = setup.connection(&proxy.url(), "");
    let mut subscription = PubSub::of(&client).subscribe(&["news"]);
    let cache = Cache::new(&client, CacheOptions::default());
    client.run::<()>("SET n 1").unwrap();
    assert_eq!(cache.get("n"), Some(1));
    let pool = Pool::of(&client);
    let mut lease = pool.get().unwrap();
    lease.run::<()>("SET n 2").unwrap();
    address.switch();
    // Its user decides what becomes of it.
    let error = lease.run::<()>("SET k v").unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ReadOnly, Outcome::Rejected));
    assert!(error.to_string().contains("`reconnect`"), "{error}");
    lease.reconnect().unwrap();
    lease.run::<()>("SET k v").unwrap();
    drop(lease);
    pool.run::<()>("SET k w").unwrap();
    let error = connection.run::<()>("SET k v").unwrap_err();
    assert!(error.to_string().contains("`reconnect`"), "{error}");
    connection.reconnect().unwrap();
    connection.run::<()>("SET k v").unwrap();
    while !matches!(subscription.next(), Some(SubscriptionEvent::Gap { .. })) {}
    let heard = |server: &Server| server.command(&["PUBSUB", "NUMSUB", "news"]).unwrap();
    eventually("the subscription has moved", LIMIT, || heard(new).ends_with('1'));
    eventually("none is left", LIMIT, || heard(old).ends_with('0'));
    new.command(&["SET", "n", "3"]).unwrap();
    eventually("the cache has moved", LIMIT, || cache.get("n") == Some(3));
    eventually("the former master is left", LIMIT, || named_clients(old, "mover") == 0);
}

fn what_is_under_way_is_answered_and_counts_stay_exact(setup: Setup) {
    let address = Address::new();
    let client = setup.client(&address.proxy.url(), "timeout=8s");
    let (done, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let _end = TellOnDrop(&stop);
        for nth in 0..12 {
            let (client, done, stop) = (&client, &done, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    client.run::<i64>(&format!("INCR n:{nth}")).unwrap();
                    client.run::<Value>(&format!("GET n:{nth}")).unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let counts = |more: usize| {
            let before = done.load(Ordering::Relaxed);
            eventually("they count", LIMIT, || done.load(Ordering::Relaxed) > before + more);
        };
        let work = || {
            counts(100);
            // What it acknowledges alone would be lost: it takes no more writes before the other one does.
            address.old.command(&["CLIENT", "PAUSE", "5000", "WRITE"]).unwrap();
            address.switch();
            address.old.command(&["CLIENT", "UNPAUSE"]).unwrap();
            counts(100);
            stop.store(true, Ordering::Relaxed);
        };
        let came = connections(&address.proxy, work);
        assert!(came < 40, "{setup:?}: {came} connections");
    });
    let count = |nth: usize| address.new.command(&["GET", &format!("n:{nth}")]).unwrap();
    let counted: usize = (0..12).map(|nth| count(nth).parse::<usize>().unwrap_or_default()).sum();
    assert_eq!(counted, done.into_inner());
}

/// Connections come as in an outage: ever fewer, one for all who wait. Then it is promoted, and all goes
/// well.
fn a_replica_without_a_master_is_not_stormed(setup: Setup) {
    let address = Address::new();
    let proxy = Proxy::start(address.new.addr());
    for line in ["SET k v", "BLPOP list 1"] {
        let client = setup.client(&proxy.url(), "timeout=400ms");
        for_a_while(8, Duration::from_millis(800), |_| client.run::<Value>(line).is_err());
        let came = connections(&proxy, || {
            let failed = for_a_while(8, Duration::from_secs(1), |_| client.run::<Value>(line).is_err());
            assert_eq!(failed, 0, "{setup:?}: {line} was executed");
        });
        assert!(came <= 16, "{setup:?}: {came} connections in a second for {line}");
    }
    let client = setup.client(&proxy.url(), "timeout=8s");
    thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| client.run::<()>("SET k v"))).collect();
        eventually("they are refused", LIMIT, || address.new.stat("total_error_replies") > 8);
        address.new.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
        let promoted = Instant::now();
        for call in calls {
            call.join().unwrap().unwrap();
        }
        assert!(promoted.elapsed() < Duration::from_secs(4), "{:?}", promoted.elapsed());
    });
}

/// Where replicas are meant, or no second try, a refusal is told at once.
fn a_reader_stays_where_it_is(setup: Setup) {
    let address = Address::new();
    let proxy = Proxy::start(address.new.addr());
    for (options, stays) in [("read_only=yes", true), ("retries=0", false)] {
        let client = setup.client(&proxy.url(), options);
        client.run::<Value>("GET k").unwrap();
        let came = connections(&proxy, || {
            for _ in 0..20 {
                let error = client.run::<Value>("SET k v").unwrap_err();
                assert_eq!((error.kind(), error.tries()), (ErrorKind::ReadOnly, 1), "{error}");
                client.run::<Value>("GET k").unwrap();
            }
        });
        assert!(if stays { came == 0 } else { came < 20 }, "{options}: {came}");
    }
}

const UNKNOWN: &[u8] = b"-NOAUTH Authentication required.\r\n";

/// A proxy whose server was replaced, once `forgotten` is set: only a connection that authenticates is known
/// again. If that is `never`, none.
fn forgetful(forgotten: Arc<AtomicBool>, never: bool) -> FakeServer {
    FakeServer::answering(move |words| match &words[0][..] {
        b"HELLO" | b"AUTH" => {
            if !never {
                forgotten.store(false, Ordering::SeqCst);
            }
            if words[0] == b"AUTH" { b"+OK\r\n".to_vec() } else { b"%1\r\n+proto\r\n:3\r\n".to_vec() }
        }
        b"CLIENT" => b"+OK\r\n".to_vec(),
        _ if forgotten.load(Ordering::SeqCst) => UNKNOWN.to_vec(),
        b"BLPOP" => b"*2\r\n$4\r\nlist\r\n$1\r\na\r\n".to_vec(),
        b"MULTI" | b"SET" => b"+OK\r\n".to_vec(),
        b"GET" => b"$1\r\nv\r\n".to_vec(),
        b"INCR" => b":1\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    })
}

fn a_client_that_is_not_known_any_more_authenticates_again(setup: Setup) {
    let forgotten = Arc::new(AtomicBool::new(false));
    let fake = forgetful(Arc::clone(&forgotten), false);
    let base = |fake: &FakeServer| format!("redis://:pw@{}", fake.addr());
    let client = setup.client(&base(&fake), "timeout=5s");
    // Another, since the client may authenticate again at any time.
    let forgotten_lease = Arc::new(AtomicBool::new(false));
    let lender = forgetful(Arc::clone(&forgotten_lease), false);
    let pool = setup.pool(&base(&lender), "timeout=5s");
    let pipeline =
        |p: &redwire::Pipeline| (p.run(cmd::<Value>("SET").arg("k")), p.run(cmd::<i64>("INCR").arg("n")));
    for round in 0..3 {
        for kind in ["GET k", "INCR n", "BLPOP list 0", "pipeline"] {
            // What the call before had made may authenticate only now: then this one is known at once.
            let came = (0..10).find_map(|_| {
                let before = fake.connections();
                forgotten.store(true, Ordering::SeqCst);
                match kind {
                    "pipeline" => drop(client.pipeline(pipeline).unwrap()),
                    line => drop(client.run::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"))),
                }
                Some(fake.connections() - before).filter(|came| *came > 0)
            });
            let came = came.unwrap_or_default();
            assert!((1..=3).contains(&came), "{setup:?}, {kind}, round {round}: {came} connections");
        }
        let mut lease = pool.get().unwrap();
        lease.run::<Value>("GET k").unwrap();
        forgotten_lease.store(true, Ordering::SeqCst);
        let error = lease.run::<Value>("GET k").unwrap_err();
        assert!(error.to_string().contains("`reconnect`"), "{error}");
        lease.reconnect().unwrap();
        lease.run::<Value>("GET k").unwrap();
    }
    // A client that never said who it is has nothing to say again.
    let stranger = setup.client(&fake.url(), "");
    forgotten.store(true, Ordering::SeqCst);
    let before = fake.connections();
    let error = stranger.run::<Value>("GET k").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication(AuthenticationFault::PasswordRequired));
    assert_eq!((error.tries(), fake.connections()), (1, before));
}

/// A subscriber and a monitor say nothing but `PING`.
fn a_subscriber_is_connected_anew_once_its_user_is_forgotten(setup: Setup) {
    let forgotten = Arc::new(AtomicBool::new(false));
    let mark = if setup.protocol == 3 { '>' } else { '*' };
    let fake = FakeServer::answering({
        let forgotten = Arc::clone(&forgotten);
        move |words| match &words[0][..] {
            b"HELLO" | b"AUTH" => {
                forgotten.store(false, Ordering::SeqCst);
                if words[0] == b"AUTH" { b"+OK\r\n".to_vec() } else { b"%1\r\n+proto\r\n:3\r\n".to_vec() }
            }
            b"PING" if forgotten.load(Ordering::SeqCst) => UNKNOWN.to_vec(),
            b"SUBSCRIBE" => format!("{mark}3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n").into_bytes(),
            b"PING" => b"+PONG\r\n".to_vec(),
            _ => b"+OK\r\n".to_vec(),
        }
    });
    let base = format!("redis://:pw@{}", fake.addr());
    let pubsub = setup.lazy_pubsub(&base, "health_check_interval=400ms").unwrap();
    let mut subscription = pubsub.subscribe(&["news"]);
    forgotten.store(true, Ordering::SeqCst);
    while !matches!(subscription.next(), Some(SubscriptionEvent::Gap { .. })) {}
    assert!(!forgotten.load(Ordering::SeqCst), "it has said who it is");
    pubsub.close();
    let url = setup.url(&base, "health_check_interval=400ms");
    let error = match setup.driver {
        Driver::Tokio => runtime().block_on(async {
            let mut monitor = redwire::Client::connect(&url).await.unwrap().monitor().await.unwrap();
            forgotten.store(true, Ordering::SeqCst);
            monitor.next().await.unwrap().unwrap_err()
        }),
        Driver::Blocking => {
            let mut monitor = redwire::blocking::Client::connect(&url).unwrap().monitor().unwrap();
            forgotten.store(true, Ordering::SeqCst);
            monitor.next().unwrap().unwrap_err()
        }
    };
    assert!(error.to_string().contains("NOAUTH"), "{error}");
}

fn a_client_that_is_never_known_causes_no_storm(setup: Setup) {
    let forgotten = Arc::new(AtomicBool::new(true));
    let fake = forgetful(Arc::clone(&forgotten), true);
    let client = setup.lazy(&format!("redis://:pw@{}", fake.addr()), "timeout=300ms").unwrap();
    for_a_while(4, Duration::from_millis(500), |_| client.run::<Value>("GET k").is_err());
    let before = fake.connections();
    for_a_while(4, Duration::from_millis(1000), |_| {
        let error = client.run::<Value>("GET k").unwrap_err();
        // A machine that is busy elsewhere may not get to a try in time.
        assert!(error.to_string().contains("NOAUTH") || error.is_timeout(), "{error}");
        true
    });
    let came = fake.connections() - before;
    assert!(came <= 16, "{setup:?}: {came} connections in a second");
}

fn a_server_that_loads_for_long_is_left_for_another_of_its_name(setup: Setup) {
    let loading = FakeServer::answering(|words| match &words[0][..] {
        b"HELLO" => b"%1\r\n+proto\r\n:3\r\n".to_vec(),
        b"CLIENT" => b"+OK\r\n".to_vec(),
        _ => b"-LOADING Redis is loading the dataset in memory\r\n".to_vec(),
    });
    let server = Server::start();
    let proxy = Proxy::start(loading.addr());
    let client = setup.client(&proxy.url(), "");
    let error = client.run::<Value>("GET k").unwrap_err();
    assert_eq!((error.kind(), error.tries()), (ErrorKind::Busy, 4), "{error}");
    assert_eq!(proxy.connections(), 1, "soon it may serve");
    proxy.retarget(server.addr());
    eventually("another is found", LIMIT, || client.run::<Value>("GET k").is_ok());
}

/// `max_lifetime` holds for what many share: each connection goes at its age, in good order, under load and
/// idle.
fn an_old_connection_makes_way_and_no_call_fails(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "max_lifetime=100ms&retries=0&timeout=5s");
    let counts: Vec<_> = (0..12).map(|_| AtomicUsize::new(0)).collect();
    let came = connections(&proxy, || {
        let failed = for_a_while(12, Duration::from_millis(800), |nth| {
            let n = client.run::<usize>(&format!("INCR n:{nth}")).unwrap();
            n == counts[nth].fetch_add(1, Ordering::Relaxed) + 1
        });
        assert_eq!(failed, 0, "each count is its own, and exact");
    });
    assert!((2..=100).contains(&came), "{setup:?}: {came} connections in 0.8 s");
    // The pools of both drivers make the next when it is needed; the shared connection is replaced while
    // idle.
    let id = || client.run::<i64>("CLIENT ID").unwrap();
    let first = id();
    eventually("another has its place", LIMIT, || id() != first);
    eventually("the former are closed", LIMIT, || proxy.open() <= 2);
    client.run::<Value>("PING").unwrap();
}

/// The next connection is accepted and never answered, or hung up on, or refused: calls go on over the old
/// one, and once a server is there again, the next one takes its place.
#[test]
fn an_old_connection_goes_on_while_the_next_cannot_be_made() {
    for protocol in [2, 3] {
        let server = Server::start();
        let proxy = Proxy::start(server.addr());
        let options = "max_lifetime=100ms&connect_timeout=200ms&retries=0&timeout=5s";
        let client = Setup { driver: Driver::Tokio, protocol }.client(&proxy.url(), options);
        let id = || client.run::<i64>("CLIENT ID").unwrap();
        let (first, mut count) = (id(), 0);
        let mute = FakeServer::answering(|_| Vec::new());
        let closed = ClosedPort::new();
        for next in [mute.addr(), closed.addr()] {
            let before = proxy.connections();
            proxy.retarget(next);
            eventually("another is tried", LIMIT, || {
                count += 1;
                assert_eq!(client.run::<usize>("INCR n").unwrap(), count);
                proxy.connections() > before
            });
            assert_eq!(id(), first, "it goes on");
        }
        proxy.retarget(server.addr());
        eventually("another has its place", LIMIT, || {
            count += 1;
            assert_eq!(client.run::<usize>("INCR n").unwrap(), count);
            id() != first
        });
    }
}

fn a_cache_goes_on_through_the_ages_of_its_connections(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "max_lifetime=100ms&timeout=5s");
    let cache = Cache::new(&client, CacheOptions::default());
    let came = connections(&proxy, || {
        let end = Instant::now() + Duration::from_millis(600);
        let mut n = 0;
        while Instant::now() < end {
            n += 1;
            server.command(&["SET", "n", &n.to_string()]).unwrap();
            eventually("the change is announced", LIMIT, || cache.get("n") == Some(n));
        }
    });
    assert!(came >= 2, "{setup:?}: {came} connections");
}
