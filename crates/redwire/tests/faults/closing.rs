//! The end of a client: in bounded time, with nothing left behind, and for good (I4). FAULTS 51.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use redwire::{ConnectionFault, Error, ErrorKind, Outcome, Run, Value};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::{Client, GRACE, LIMIT, Setup, named_clients, runtime, stood_still_since, timed, words};

both!(
    closing_waits_for_what_is_under_way,
    several_may_close_at_once,
    closing_waits_no_longer_than_told,
    a_client_closed_during_an_outage_stays_closed,
    dropping_waits_for_no_task,
);

/// The sockets of this process that lead to `port`, as its file descriptors name them; none where there is no
/// `/proc`.
fn sockets_to(port: u16) -> BTreeSet<PathBuf> {
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
    let ends_there =
        |line: &&str| line.split_whitespace().nth(2).is_some_and(|at| at.ends_with(&format!(":{port:04X}")));
    let inodes = table.lines().filter(ends_there).filter_map(|line| line.split_whitespace().nth(9));
    let sockets: BTreeSet<_> = inodes.map(|inode| PathBuf::from(format!("socket:[{inode}]"))).collect();
    open_files().intersection(&sockets).cloned().collect()
}

fn open_files() -> BTreeSet<PathBuf> {
    let files = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    files.filter_map(|file| fs::read_link(file.path()).ok()).collect()
}

/// Nothing of a client with `sockets` is left: neither here nor at the server.
#[track_caller]
fn check_gone(server: &Server, name: &str, sockets: &BTreeSet<PathBuf>) {
    let begun = Instant::now();
    eventually("its sockets are closed", LIMIT, || open_files().is_disjoint(sockets));
    assert!(begun.elapsed() <= slack(begun), "{:?}", begun.elapsed());
    eventually("the server has seen that", LIMIT, || named_clients(server, name) == 0);
}

/// How late what was to end at once may be.
fn slack(begun: Instant) -> Duration {
    GRACE + stood_still_since(begun)
}

/// Every way to call says that the client is closed.
#[track_caller]
fn check_closed(client: &Client) {
    let pool = match client {
        Client::Tokio(client) => runtime().block_on(client.pool().get()).map(drop),
        Client::Blocking(client) => client.pool().get().map(drop),
    };
    let pipeline = client.pipeline(|p| p.run(words::<Value>("GET k"))).map(drop);
    for result in [client.run("GET k"), client.run("INCR n"), client.run("BLPOP list 0"), pipeline, pool] {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent), "{error}");
    }
}

/// Makes so many connections in the pool that calls borrow from, and one for the calls of all where there is
/// that.
pub(crate) fn warm(client: &Client, count: usize) {
    match client {
        Client::Tokio(client) => runtime().block_on(async {
            client.execute(words::<()>("PING")).await.unwrap();
            let mut leases = Vec::new();
            for _ in 0..count {
                leases.push(client.pool().get().await.unwrap());
            }
        }),
        Client::Blocking(client) => {
            drop((0..count).map(|_| client.pool().get().unwrap()).collect::<Vec<_>>())
        }
    }
}

/// Calls that the server has seen, and whose replies are on their way; and one that waits there.
fn closing_waits_for_what_is_under_way(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "client_name=closing&timeout=10s&health_check_interval=0");
    let clone = client.clone();
    let sockets = thread::scope(|scope| {
        let waiting = scope.spawn(|| client.run::<(String, i64)>("BLPOP list 0"));
        eventually("one waits", LIMIT, || server.stat("blocked_clients") == 1);
        warm(&client, 4);
        let pause = Duration::from_millis(300);
        proxy.set(Direction::ToClient, Fault::Delay { min: pause, max: pause });
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| client.run::<i64>("INCR n"))).collect();
        eventually("the server has answered all", LIMIT, || server.calls("incr") == 4);
        let sockets = sockets_to(proxy.addr().port());
        let closing = scope.spawn(|| timed(|| client.shut(LIMIT)));
        eventually("no more calls are taken", LIMIT, || {
            clone.run::<Value>("PING").is_err_and(|error| error.kind() == ErrorKind::Closed)
        });
        assert!(!closing.is_finished(), "one waits still");
        server.command(&["RPUSH", "list", "7"]).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), ("list".to_owned(), 7));
        let ((), took) = closing.join().unwrap();
        assert!(took < LIMIT / 2, "{took:?}");
        for call in calls {
            assert!((1..=4).contains(&call.join().unwrap().unwrap()));
        }
        sockets
    });
    assert!(!sockets.is_empty() || !PathBuf::from("/proc").exists());
    check_gone(&server, "closing", &sockets);
    check_closed(&client);
    check_closed(&clone);
    assert_eq!(server.command(&["GET", "n"]).unwrap(), "4");
}

/// The second finds the first waiting, and waits as long: neither ends what is under way.
fn several_may_close_at_once(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let size = words::<i64>("INCR n").to_bytes().len() as u64;
    let client = setup.client(&proxy.url(), "timeout=10s&health_check_interval=0");
    let clone = client.clone();
    thread::scope(|scope| {
        warm(&client, 4);
        server.freeze();
        let sent = proxy.bytes(Direction::ToServer);
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| client.run::<i64>("INCR n"))).collect();
        eventually("all are sent", LIMIT, || proxy.bytes(Direction::ToServer) == sent + 4 * size);
        let first = scope.spawn(|| timed(|| client.shut(LIMIT)));
        eventually("no more calls are taken", LIMIT, || {
            let ping = words::<Value>("PING").timeout(Duration::from_millis(20));
            clone.execute(ping).is_err_and(|error| error.kind() == ErrorKind::Closed)
        });
        let second = scope.spawn(|| timed(|| clone.shut(LIMIT)));
        thread::sleep(Duration::from_millis(50));
        assert!(!first.is_finished() && !second.is_finished(), "calls are under way");
        server.thaw();
        for call in calls {
            assert!((1..=4).contains(&call.join().unwrap().unwrap()));
        }
        for closing in [first, second] {
            let ((), took) = closing.join().unwrap();
            assert!(took < LIMIT / 2, "{took:?}");
        }
    });
    check_closed(&client);
}

/// A caller that was not answered is told that its call may have been executed, and why.
#[track_caller]
fn check_cut_off(error: &Error) {
    let closed = [ErrorKind::Closed, ErrorKind::Connection(ConnectionFault::Closed)];
    assert!(closed.contains(&error.kind()), "{error}");
    assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
}

fn closing_waits_no_longer_than_told(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let size = words::<i64>("INCR n").to_bytes().len() as u64;
    for limit in [Duration::from_millis(200), Duration::ZERO] {
        let client = setup.client(&proxy.url(), "client_name=closing&timeout=10s&health_check_interval=0");
        let incremented = server.calls("incr");
        let sockets = thread::scope(|scope| {
            let waiting = scope.spawn(|| client.run::<Value>("BLPOP list 0"));
            eventually("one waits", LIMIT, || server.stat("blocked_clients") == 1);
            client.run::<i64>("INCR n").unwrap();
            warm(&client, 3);
            server.freeze();
            let sent = proxy.bytes(Direction::ToServer);
            let calls: Vec<_> = (0..3).map(|_| scope.spawn(|| client.run::<i64>("INCR n"))).collect();
            eventually("all are sent", LIMIT, || proxy.bytes(Direction::ToServer) == sent + 3 * size);
            let sockets = sockets_to(proxy.addr().port());
            let begun = Instant::now();
            let ((), took) = timed(|| client.shut(limit));
            assert!(took >= limit && took <= limit + slack(begun), "{took:?} of {limit:?}");
            let ((), took) = timed(|| {
                for call in calls {
                    check_cut_off(&call.join().unwrap().unwrap_err());
                }
                check_cut_off(&waiting.join().unwrap().unwrap_err());
            });
            assert!(took <= slack(begun), "{took:?} after the end");
            sockets
        });
        check_closed(&client);
        server.thaw();
        check_gone(&server, "closing", &sockets);
        assert!((incremented + 1..=incremented + 4).contains(&server.calls("incr")));
    }
}

/// There is no connection, one is tried for all the time, and calls wait for it.
fn a_client_closed_during_an_outage_stays_closed(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let options = "client_name=closing&timeout=10s&reconnect_backoff=constant:10ms&retries=1000000";
    let client = setup.client(&proxy.url(), options);
    proxy.set(Direction::ToServer, Fault::Refuse);
    proxy.reset_all();
    thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| client.run::<Value>("GET k"))).collect();
        let tried = proxy.connections();
        eventually("it tries to connect", LIMIT, || proxy.connections() > tried + 3);
        let limit = Duration::from_millis(100);
        let begun = Instant::now();
        let ((), took) = timed(|| client.shut(limit));
        assert!(took <= limit + slack(begun), "{took:?}");
        let ((), took) = timed(|| {
            for call in calls {
                let error = call.join().unwrap().unwrap_err();
                assert_eq!((error.kind(), error.outcome()), (ErrorKind::Closed, Outcome::NotSent), "{error}");
            }
        });
        assert!(took <= slack(begun), "{took:?} after the end");
    });
    proxy.heal();
    let tried = proxy.connections();
    // Ten times as long as it paused between tries.
    thread::sleep(Duration::from_millis(100));
    assert!(proxy.connections() <= tried + 1, "a closed client finishes one try at most");
    check_closed(&client);
    assert_eq!(named_clients(&server, "closing"), 0);
}

/// With a server that stands still, and replies under way.
fn dropping_waits_for_no_task(setup: Setup) {
    let server = Server::start();
    let options = "client_name=dropped&timeout=10s";
    let client = setup.client(&server.url(), options);
    let clone = client.clone();
    let mut connection = setup.connection(&server.url(), options);
    client.run::<()>("PING").unwrap();
    server.freeze();
    connection.send("INCR n").unwrap();
    let late = words::<Value>("INCR n").timeout(Duration::from_millis(10));
    assert!(client.execute(late).unwrap_err().is_timeout());
    let sockets = sockets_to(server.port());
    let begun = Instant::now();
    let ((), took) = timed(|| {
        drop(connection);
        drop(client);
        drop(clone);
    });
    assert!(took <= slack(begun), "{took:?}");
    server.thaw();
    check_gone(&server, "dropped", &sockets);
}

/// Everything the async driver has, with calls under way, dropped inside its runtime and outside, and after
/// its end.
#[test]
fn parts_of_the_async_driver_are_dropped_anywhere() {
    let server = Server::start();
    let url = format!("{}?client_name=dropped&timeout=10s", server.url());
    for place in ["inside", "outside", "after"] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let parts = runtime.block_on(async {
            let client = redwire::Client::connect(&url).await.unwrap();
            let mut connection = redwire::Connection::connect(&url).await.unwrap();
            let mut lease = client.pool().get().await.unwrap();
            let events = client.events();
            server.freeze();
            connection.send(&words::<Value>("INCR n")).await.unwrap();
            lease.send(&words::<Value>("INCR n")).await.unwrap();
            let waiting = tokio::spawn({
                let client = client.clone();
                async move { client.execute(words::<Value>("BLPOP list 0")).await }
            });
            let call = client.execute(words::<Value>("INCR n").timeout(Duration::from_millis(10)));
            assert!(call.await.unwrap_err().is_timeout());
            waiting.abort();
            (client, connection, lease, events)
        });
        let sockets = sockets_to(server.port());
        let begun = Instant::now();
        let ((), took) = timed(|| match place {
            "inside" => runtime.block_on(async { drop(parts) }),
            "outside" => drop(parts),
            _ => {
                drop(runtime);
                drop(parts);
            }
        });
        assert!(took <= slack(begun), "{place}: {took:?}");
        server.thaw();
        check_gone(&server, "dropped", &sockets);
    }
}

/// A runtime of one thread that does not run any more cannot do anything for what is dropped.
#[test]
fn the_last_clone_is_dropped_where_no_runtime_runs() {
    let server = Server::start();
    let url = format!("{}?client_name=dropped", server.url());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(async { redwire::Client::connect(&url).await.unwrap() });
    let clone = client.clone();
    drop(client);
    assert_eq!(runtime.block_on(clone.execute(words::<String>("PING"))).unwrap(), "PONG");
    let sockets = sockets_to(server.port());
    let begun = Instant::now();
    let ((), took) = timed(|| drop(clone));
    assert!(took <= slack(begun), "{took:?}");
    drop(runtime);
    check_gone(&server, "dropped", &sockets);
}
