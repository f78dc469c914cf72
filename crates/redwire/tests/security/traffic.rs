//! Commands over TLS behave as without: large ones, many, waiting ones, leases; and the outcome is right when
//! the way is cut (I2), the end is noticed, silence too (I3, I6). FAULTS 24.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redwire::prelude::*;
use redwire::{ConnectionFault, ErrorKind, EventKind, Outcome, Value, cmd};
use redwire_testkit::{Authority, Direction, Fault, Proxy, Server, TlsFront, eventually};

use crate::common::pool::Pool;
use crate::common::{Client, GRACE, LIMIT, Setup, timed};
use crate::site::{Site, at};

both!(
    large_pipelines_pass,
    ten_mebibytes_pass_both_ways_at_once,
    a_command_that_waits_holds_up_no_other,
    many_callers_get_each_their_own,
    a_value_cut_on_its_way_was_not_sent,
    a_reply_cut_on_its_way_means_maybe_executed,
    a_connection_closed_while_idle_is_replaced_unnoticed,
    a_frozen_server_is_found_out,
);

/// A server of its own, a front, and a proxy between client and front.
struct Way {
    server: Server,
    _front: TlsFront,
    authority: Authority,
    proxy: Proxy,
}

impl Way {
    fn new() -> Self {
        let (server, authority) = (Server::start(), Authority::new());
        let front = TlsFront::start(&authority.server(), &server);
        let proxy = Proxy::start(front.address());
        Self { server, _front: front, authority, proxy }
    }

    fn client(&self, setup: Setup, options: &str) -> Client {
        let url = format!("rediss://127.0.0.1:{}", self.proxy.addr().port());
        setup.client(&url, &format!("tls_ca_file={}{options}", self.authority.pem_file().display()))
    }
}

fn large_pipelines_pass(setup: Setup) {
    let site = Site::new();
    let client = setup.open(site.trusting()).unwrap();
    let key = setup.key("security:large");
    let values: Vec<String> = (0..2000).map(|i| format!("{i}-{}", "v".repeat(1024))).collect();
    // Two mebibytes out, and as much back.
    let (lengths, all): (Vec<u64>, Vec<String>) = client
        .pipeline(|p| {
            let pushes: Vec<_> = values.iter().map(|value| p.rpush(&key, value)).collect();
            (pushes, p.lrange(&key, 0, -1))
        })
        .unwrap();
    assert_eq!(lengths.len(), 2000);
    assert!(all == values);
    client.run::<i64>(&format!("DEL {key}")).unwrap();
}

fn ten_mebibytes_pass_both_ways_at_once(setup: Setup) {
    let site = Site::new();
    let client = setup.open(site.trusting()).unwrap();
    let [one, two] = ["one", "two"].map(|name| setup.key(&format!("security:{name}")));
    let value = |seed: usize| Bytes::from_iter((0..10 << 20).map(|at| (at / 7 + at * seed) as u8));
    let (first, second) = (value(1), value(3));
    client.execute(cmd::<()>("SET").arg(&one).arg(&first)).unwrap();
    // The server answers the first command while it has not read the second yet.
    let (got, ()): (Option<Bytes>, ()) = client.pipeline(|p| (p.get(&one), p.set(&two, &second))).unwrap();
    assert!(got.unwrap() == first);
    assert!(client.run::<Bytes>(&format!("GET {two}")).unwrap() == second);
    client.run::<i64>(&format!("DEL {one} {two}")).unwrap();
}

fn a_command_that_waits_holds_up_no_other(setup: Setup) {
    let site = Site::new();
    let client = setup.open(site.trusting()).unwrap();
    let list = setup.key("security:list");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.run::<Option<(String, String)>>(&format!("BLPOP {list} 10")));
        for _ in 0..50 {
            let (answer, took) = timed(|| client.run::<String>("PING").unwrap());
            assert_eq!(answer, "PONG");
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
        assert!(!waiting.is_finished());
        client.run::<i64>(&format!("RPUSH {list} item")).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), Some((list.clone(), "item".to_owned())));
    });
}

fn many_callers_get_each_their_own(setup: Setup) {
    let site = Site::new();
    let client = setup.open(site.trusting().max_connections(4)).unwrap();
    thread::scope(|scope| {
        for caller in 0..8 {
            let (client, key) = (&client, setup.key(&format!("security:caller{caller}")));
            scope.spawn(move || {
                for i in 0..100 {
                    // By the client itself, or by a lease of its pool.
                    let set = format!("SET {key} {key}={i}");
                    match caller % 2 {
                        0 => client.run::<()>(&set).unwrap(),
                        _ => Pool::of(client).get().unwrap().run::<()>(&set).unwrap(),
                    }
                    let got: String = client.run(&format!("GET {key}")).unwrap();
                    assert_eq!(got, format!("{key}={i}"));
                }
                client.run::<i64>(&format!("DEL {key}")).unwrap();
            });
        }
    });
    assert!(site.front.connections() <= 4, "{}", site.front.connections());
}

fn a_value_cut_on_its_way_was_not_sent(setup: Setup) {
    let way = Way::new();
    let client = way.client(setup, "&retries=0");
    // More than all the buffers on the way can hold.
    let value = Bytes::from(vec![b'v'; 32 << 20]);
    for bytes in [0, 1, 20_000, 1 << 20, 3 << 20] {
        eventually("the client is back", LIMIT, || client.run::<String>("PING").is_ok());
        way.proxy.set(Direction::ToServer, Fault::ResetAfter(bytes));
        let error = client.execute(cmd::<()>("SET").arg("large").arg(&value)).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{bytes} bytes: {error}");
        assert_eq!(way.server.command(&["EXISTS", "large"]).unwrap(), "0", "{bytes} bytes");
    }
}

fn a_reply_cut_on_its_way_means_maybe_executed(setup: Setup) {
    let way = Way::new();
    let client = way.client(setup, "");
    client.run::<()>("SET k v").unwrap();
    for times in 1..=3 {
        way.proxy.set(Direction::ToClient, Fault::CutAfter(0));
        let error = client.run::<i64>("INCR n").unwrap_err();
        assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
        assert_eq!(way.server.command(&["GET", "n"]).unwrap(), times.to_string(), "once each");
        eventually("the client is back", LIMIT, || client.run::<String>("PING").is_ok());
        // What only reads is repeated.
        way.proxy.set(Direction::ToClient, Fault::CutAfter(0));
        assert_eq!(client.run::<String>("GET k").unwrap(), "v");
    }
}

/// Has the connection of an idle client lost, and waits until the client has noticed, or could.
fn lose_idle(client: &Client, port: u16, lose: impl FnOnce()) {
    match client {
        // Connects again by itself, which only its events tell.
        Client::Tokio(client) => {
            let mut events = client.events();
            lose();
            let lost = async {
                while let Some(event) = events.next().await {
                    if matches!(event.kind, EventKind::Lost(_)) {
                        return;
                    }
                }
                panic!("the client is gone");
            };
            let lost = async { tokio::time::timeout(LIMIT, lost).await };
            crate::common::runtime().block_on(lost).expect("the loss is noticed");
        }
        // Looks at its connection when it uses it next, if it has lain idle, however shortly.
        Client::Blocking(_) => {
            thread::sleep(Duration::from_millis(1));
            lose();
            eventually("the client could tell", LIMIT, || !is_connected_to(port));
        }
    }
}

/// Whether the kernel has a connection to this port that neither side has ended.
fn is_connected_to(port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel lists its connections");
    table.lines().any(|line| {
        let mut words = line.split_ascii_whitespace().skip(2);
        let (peer, state) = (words.next().unwrap_or_default(), words.next());
        peer.ends_with(&format!(":{port:04X}")) && state == Some(ESTABLISHED)
    })
}

fn a_connection_closed_while_idle_is_replaced_unnoticed(setup: Setup) {
    let way = Way::new();
    let client = way.client(setup, "");
    client.run::<()>("SET k v").unwrap();
    // In order with a word of TLS, in order without one, and broken.
    let ways: [&dyn Fn(); 3] =
        [&|| assert!(way.server.kill_clients(&["TYPE", "normal"]) > 0), &|| way.proxy.cut_all(), &|| {
            way.proxy.reset_all()
        }];
    for (times, lose) in (1..).zip(ways) {
        lose_idle(&client, way.proxy.addr().port(), lose);
        let answer = client.run::<i64>("INCR n");
        assert_eq!(answer.unwrap_or_else(|error| panic!("way {times}: {error}")), times);
        assert_eq!(client.run::<String>("GET k").unwrap(), "v");
    }
}

fn a_frozen_server_is_found_out(setup: Setup) {
    const INTERVAL: Duration = Duration::from_millis(250);
    let (server, authority) = (Server::start(), Authority::new());
    let front = TlsFront::start(&authority.server(), &server);
    let options = || {
        at(front.address().port())
            .tls_ca_file(authority.pem_file())
            .timeout(Duration::ZERO)
            .health_check_interval(INTERVAL)
            .retries(0)
    };
    let client = setup.open(options()).unwrap();
    let mut connection = setup.open_connection(options()).unwrap();
    thread::scope(|scope| {
        let (client, server) = (&client, &server);
        let waiting = scope.spawn(|| (client.run::<Value>("BLPOP list 0"), Instant::now()));
        eventually("a client waits", LIMIT, || server.stat("blocked_clients") == 1);
        // Longer than an interval: the server is asked and answers, so no connection is given up.
        thread::sleep(INTERVAL * 3);
        assert!(!waiting.is_finished());
        client.run::<()>("SET k v").unwrap();
        connection.run::<()>("SET k v").unwrap();
        server.freeze();
        let frozen = Instant::now();
        let mut calls = vec![
            ("waiting", waiting),
            ("by hand", scope.spawn(|| (connection.run::<Value>("INCR n"), Instant::now()))),
        ];
        // The blocking client may have to connect for it, which takes up to the connect timeout.
        if matches!(client, Client::Tokio(_)) {
            calls.push(("shared", scope.spawn(|| (client.run::<Value>("INCR n"), Instant::now()))));
        }
        for (what, call) in calls {
            let (result, ended) = call.join().unwrap();
            let (error, took) = (result.unwrap_err(), ended - frozen);
            assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Silent), "{what}: {error}");
            assert!(took <= INTERVAL * 2 + GRACE, "{what}: {took:?}: {error}");
        }
    });
    server.thaw();
    let thawed = Instant::now();
    eventually("service returns", LIMIT, || client.run::<String>("GET k").is_ok_and(|value| value == "v"));
    assert!(thawed.elapsed() < Duration::from_millis(1500), "{:?}", thawed.elapsed());
    connection.reconnect().unwrap();
    assert_eq!(connection.run::<String>("GET k").unwrap(), "v");
}
