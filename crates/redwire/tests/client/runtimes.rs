//! What is around the async client: no tokio at all, a runtime without timers or I/O, or one whose clock a
//! test has paused. FAULTS 69, 70.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use redwire::cache::CacheOptions;
use redwire::config::Config;
use redwire::prelude::*;
use redwire::{
    Client, Cluster, Connection, ErrorKind, Monitor, Pool, PubSub, Result, ScanOptions, Sentinel, Value, cmd,
};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};
use tokio::runtime::{Builder, Runtime};

use crate::common::{LIMIT, runtime, timed};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The least that an executor can be.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// All that begins with a connection to `server`: each says what is missing, and nothing panics.
async fn all_say(server: &Server, missing: &str) {
    let url = server.url();
    let (sentinels, nodes) =
        (format!("redis+sentinel://{}/service", server.addr()), format!("redis+cluster://{}", server.addr()));
    let lazy = || Client::connect_lazy(&url).unwrap();
    let says = |what: &str, result: Result<()>| {
        let error = result.expect_err(what);
        let cause = crate::common::shown(&error);
        assert!(cause.contains(missing), "{what}: {cause}");
    };
    let usage = |what: &str, result: Result<()>| {
        assert_eq!(result.as_ref().map_err(redwire::Error::kind), Err(ErrorKind::Usage), "{what}");
        says(what, result);
    };
    usage("a client", Client::connect(&url).await.map(drop));
    usage("a client by a Unix socket", Client::connect(&server.unix_url()).await.map(drop));
    usage("a call", lazy().execute::<Value>(cmd("PING")).await.map(drop));
    usage(
        "a call of its own connection",
        lazy().execute::<Value>(cmd("BLPOP").arg("k").arg(1)).await.map(drop),
    );
    usage("a pipeline", lazy().pipeline(|p| (p.get::<Value>("a"), p.get::<Value>("b"))).await.map(drop));
    usage("a transaction", lazy().atomic(|p| p.incr("n")).await.map(drop));
    usage("a pool", Pool::connect(&url).await.map(drop));
    usage("a lease", Pool::connect_lazy(&url).unwrap().get().await.map(drop));
    usage("a connection", Connection::connect(&url).await.map(drop));
    usage("a subscriber", PubSub::connect(&url).await.map(drop));
    usage("a subscription", lazy().subscribe("news").await.map(drop));
    usage("a monitor", Monitor::connect(&url).await.map(drop));
    usage("a lock", lazy().lock("l").acquire().await.map(drop));
    usage("a lock that is there", lazy().lock("l").reattach("token").await.map(drop));
    usage("a scan", lazy().scan::<String>(ScanOptions::new()).next().await.unwrap().map(drop));
    let client = lazy();
    let mut all = client.run_all([cmd::<Value>("PING"), cmd::<Value>("PING")]);
    usage("very many calls", all.next().await.unwrap().map(drop));
    says("a cache", client.cached(CacheOptions::default()).await.map(drop));
    says("a service", Client::connect(&sentinels).await.map(drop));
    let sentinel = Sentinel::new(Config::from_url(&sentinels).unwrap()).unwrap();
    says("sentinels", sentinel.discover_master().await.map(drop));
    says("a cluster", Client::connect(&nodes).await.map(drop));
    says("a cluster by hand", Cluster::connect(&nodes).await.map(drop));
    client.close(LIMIT).await;
    lazy().pool().close(LIMIT).await;
}

fn bare(configure: impl FnOnce(&mut Builder) -> &mut Builder) -> Runtime {
    configure(&mut Builder::new_current_thread()).build().unwrap()
}

#[test]
fn without_a_runtime_that_is_said() {
    let server = Server::start();
    block_on(all_say(&server, "tokio runtime around it"));
}

#[test]
fn without_timers_of_the_runtime_that_is_said() {
    let server = Server::start();
    bare(|builder| builder).block_on(all_say(&server, "runtime with timers"));
    bare(Builder::enable_io).block_on(all_say(&server, "runtime with timers"));
}

#[test]
fn without_io_of_the_runtime_that_is_said() {
    let server = Server::start();
    bare(Builder::enable_time).block_on(all_say(&server, "runtime with I/O"));
}

/// A task that waits need not be in the runtime that drives the connection: also the pauses before retries go
/// by.
#[test]
fn calls_are_awaited_by_any_executor() {
    let server = Server::start();
    let client = runtime().block_on(Client::connect(&format!("{}?retries=9", server.url()))).unwrap();
    block_on(async {
        client.set("k", "v").await.unwrap();
        assert_eq!(client.get::<String>("k").await.unwrap().unwrap(), "v");
        let scripts = [cmd::<Value>("GET").arg("k"), cmd::<Value>("GET").arg("k").timeout(LIMIT)];
        for script in scripts {
            client.execute(script).await.unwrap();
        }
    });
    let mut news = runtime().block_on(client.subscribe("news")).unwrap();
    let (heard, took) = timed(|| block_on(news.next_within(Duration::from_millis(100))));
    assert!(heard.is_none() && took >= Duration::from_millis(100), "{took:?}");
    server.kill();
    thread::scope(|scope| {
        let call = scope.spawn(|| block_on(client.execute(cmd::<Value>("GET").arg("k"))));
        thread::sleep(Duration::from_millis(50));
        server.restart();
        call.join().unwrap().unwrap();
    });
}

/// A runtime whose clock stands still, and jumps to the next timer whenever all tasks wait.
fn paused() -> Runtime {
    bare(|builder| builder.enable_all().start_paused(true))
}

#[test]
fn a_paused_clock_ends_nothing() {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    // Some timers of tokio would go off meanwhile.
    let slow = Fault::Delay { min: Duration::from_millis(30), max: Duration::from_millis(40) };
    proxy.set(Direction::ToClient, slow);
    paused().block_on(async {
        let client = Client::connect(&proxy.url()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        for n in 1..=5 {
            assert_eq!(client.incr("n").await.unwrap(), n);
        }
        assert!(client.blpop::<String, i64>("list", Duration::from_millis(200)).await.unwrap().is_none());
        let mut connection = Connection::connect(&proxy.url()).await.unwrap();
        connection.set("k", "v").await.unwrap();
        let lease = Pool::connect(&proxy.url()).await.unwrap().get().await.unwrap();
        drop(lease);
        let mut news = client.subscribe("news").await.unwrap();
        client.publish("news", "1").await.unwrap();
        assert!(news.next_within(LIMIT).await.is_some());
        let guard = client.lock("l").acquire().await.unwrap();
        let (second, client) = (client.clone(), client);
        let waiting = tokio::spawn(async move { second.lock("l").acquire().await.map(drop) });
        tokio::time::sleep(Duration::from_secs(3600)).await;
        guard.release().await.unwrap();
        waiting.await.unwrap().unwrap();
        let cache = client.cached(CacheOptions::default()).await.unwrap();
        assert_eq!(cache.get::<String>("k").await.unwrap().unwrap(), "v");
        let mut monitor = Monitor::connect(&proxy.url()).await.unwrap();
        client.set("k", "w").await.unwrap();
        assert!(monitor.next_within(LIMIT).await.is_some());
        client.close(LIMIT).await;
    });
    eventually("all is closed", LIMIT, || proxy.open() == 0);
}

/// Time goes on for what waits in vain, as it does for the server.
#[test]
fn deadlines_are_kept_under_a_paused_clock() {
    let server = Server::start();
    let limit = Duration::from_millis(300);
    paused().block_on(async {
        let url = format!("{}?timeout=300ms&connect_timeout=300ms", server.url());
        let client = Client::connect(&url).await.unwrap();
        let mut connection = Connection::connect(&url).await.unwrap();
        server.freeze();
        let begun = std::time::Instant::now();
        let one = client.execute(cmd::<Value>("GET").arg("k")).await;
        let first = begun.elapsed();
        let other = connection.get::<Value>("k").await;
        let second = begun.elapsed() - first;
        let none = Connection::connect(&url).await;
        let third = begun.elapsed() - first - second;
        for (result, took) in [(one.err(), first), (other.err(), second), (none.err(), third)] {
            let error = result.unwrap();
            assert!(error.is_timeout() && (limit..LIMIT).contains(&took), "{took:?}: {error}");
        }
        server.thaw();
    });
}
