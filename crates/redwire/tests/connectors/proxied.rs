//! Through a SOCKS5 proxy: every connection, in the clear and with TLS, to servers that sentinels tell and to
//! the nodes of a cluster.

use std::thread;
use std::time::Duration;

use redwire::cache::CacheOptions;
#[cfg(feature = "ocsp")]
use redwire::config::Ocsp;
use redwire::config::{Config, ConfigBuilder};
use redwire::{Run, Value, blocking, cmd, connector};
use redwire_testkit::{Authority, ClusterSet, SentinelSet, Server, TlsFront, eventually};

use crate::common::cache::Cache;
use crate::common::pool::Pool;
use crate::common::pubsub::PubSub;
use crate::common::{Client, Driver, LIMIT, Setup, kill_named, runtime};
#[cfg(feature = "ocsp")]
use crate::responder::Responder;
use crate::socks5::{Proxy, Socks5};

both!(everything_goes_through_the_proxy, tls_goes_through_the_proxy);
#[cfg(feature = "ocsp")]
both!(the_responder_of_a_certificate_is_asked_through_it);

/// A configuration of all connections through `proxy`.
fn through(proxy: &Proxy) -> ConfigBuilder {
    Config::builder()
        .connector(connector::Connector::new(Socks5(proxy.address)))
        .blocking_connector(blocking::connector::Connector::new(Socks5(proxy.address)))
        .client_name("inside")
        .timeout(LIMIT)
}

/// How many connections the server has through the proxy. It must have no others.
fn connections(server: &Server, proxy: &Proxy) -> usize {
    let (list, tunnels) = (server.command(&["CLIENT", "LIST"]).unwrap(), proxy.tunnels());
    let own: Vec<_> = list.lines().filter(|line| line.contains("name=inside ")).collect();
    for line in &own {
        let through = tunnels.iter().any(|(_, from)| line.contains(&format!(" addr={from} ")));
        assert!(through, "{line}: not one of {tunnels:?}");
    }
    own.len()
}

fn everything_goes_through_the_proxy(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start("db.internal", server.addr());
    let options = || through(&proxy).host("db.internal").health_check_interval(Duration::from_millis(100));
    let client = setup.open(options()).unwrap();
    let large = "x".repeat(3 << 20);
    client.execute(cmd::<()>("SET").arg("k").arg(&large)).unwrap();
    assert_eq!(client.run::<String>("GET k").unwrap(), large);
    let echoed = client
        .pipeline(|p| (0..4).map(|_| p.run(cmd::<String>("ECHO").arg(&large))).collect::<Vec<_>>())
        .unwrap();
    assert!(echoed.iter().all(|word| *word == large));

    let mut connection = setup.open_connection(options()).unwrap();
    connection.run::<()>("SET k v").unwrap();
    let mut lease = Pool::of(&client).get().unwrap();
    lease.run::<()>("SET k w").unwrap();
    let mut news = PubSub::of(&client).subscribe(&["news"]);
    client.run::<Value>("PUBLISH news 1").unwrap();
    assert_eq!(news.text(), "1");
    let cache = Cache::new(&client, CacheOptions::default());
    assert_eq!(cache.run::<String>("GET k").unwrap(), "w");
    let mut monitor = match &client {
        Client::Tokio(client) => runtime().block_on(client.monitor()).map(|monitor| (Some(monitor), None)),
        Client::Blocking(client) => client.monitor().map(|monitor| (None, Some(monitor))),
    }
    .unwrap();
    client.run::<()>("SET k x").unwrap();
    let heard = match &mut monitor {
        (Some(monitor), _) => runtime().block_on(monitor.next_within(LIMIT)).is_some(),
        (_, Some(monitor)) => monitor.next_within(LIMIT).is_some(),
        _ => false,
    };
    assert!(heard);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.run::<Option<(String, String)>>("BLPOP list 60"));
        eventually("it waits", LIMIT, || server.stat("blocked_clients") == 1);
        // While it waits, the server is asked over one more connection.
        thread::sleep(Duration::from_millis(150));
        client.run::<i64>("RPUSH list x").unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), Some(("list".to_owned(), "x".to_owned())));
    });
    assert!(connections(&server, &proxy) >= 6, "{:?}", proxy.tunnels());
    assert!(proxy.asked().iter().all(|asked| asked == "db.internal:6379"));

    // What is lost comes back through it, too.
    kill_named(&server, "inside");
    eventually("it is back", LIMIT, || client.run::<String>("GET k").is_ok());
    assert!(connections(&server, &proxy) >= 1);
}

fn tls_goes_through_the_proxy(setup: Setup) {
    let server = Server::start();
    let authority = Authority::new();
    let front = TlsFront::start(&authority.identity(&["db.internal"]).issue(), &server);
    let proxy = Proxy::start("db.internal", front.address());
    let options = || through(&proxy).host("db.internal").tls(true).tls_ca_file(authority.pem_file());
    let client = setup.open(options()).unwrap();
    let large = "x".repeat(3 << 20);
    client.execute(cmd::<()>("SET").arg("k").arg(&large)).unwrap();
    assert_eq!(client.run::<String>("GET k").unwrap(), large);
    thread::scope(|scope| {
        for n in 0..8 {
            let client = &client;
            scope.spawn(move || {
                for m in 0..20 {
                    let word = format!("{n}:{m}");
                    assert_eq!(client.execute(cmd::<String>("ECHO").arg(&word)).unwrap(), word);
                }
            });
        }
    });
    // It would come back by itself.
    client.close();
    let pool = setup.lazy_pool(options().max_connections(1)).unwrap();
    for _ in 0..2 {
        // The end of the one before may be on its way through the proxy still.
        eventually("another is made", LIMIT, || pool.run::<i64>("STRLEN k").is_ok_and(|n| n == 3 << 20));
        kill_named(&server, "inside");
        eventually("they are gone", LIMIT, || front.open() == 0);
    }
    let error = setup.open(through(&proxy).host("db.internal").tls(true)).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(proxy.asked().len() >= 4);
}

#[cfg(feature = "ocsp")]
fn the_responder_of_a_certificate_is_asked_through_it(setup: Setup) {
    let (authority, responder) = (Authority::new(), Responder::start());
    let identity = authority.identity(&["db.internal"]).ocsp_urls(&[&responder.url()]).issue();
    responder.answer(&authority.ocsp(&identity).build());
    let front = TlsFront::start(&identity, redwire_testkit::shared());
    let proxy = Proxy::start("db.internal", front.address());
    let options = through(&proxy).host("db.internal").tls(true).tls_ca_file(authority.pem_file());
    let client = setup.open(options.tls_ocsp(Ocsp::Check)).unwrap();
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    assert_eq!(responder.asked(), 1);
    let asked = proxy.asked();
    assert!(asked.contains(&responder.address().to_string()), "{asked:?}");
}

#[test]
fn servers_that_sentinels_tell_are_reached_through_it() {
    let set = SentinelSet::builder().sentinels(1).quick().start();
    for setup in [Setup::ALL[0], Setup::ALL[3]] {
        let proxy = Proxy::start("db.internal", set.master());
        let client = setup.open(through(&proxy).url(&set.url())).unwrap();
        client.run::<()>("SET k v").unwrap();
        assert_eq!(client.run::<String>("GET k").unwrap(), "v");
        let asked = proxy.asked();
        for address in [set.sentinels()[0].addr(), set.master()] {
            assert!(asked.contains(&address.to_string()), "{address}: {asked:?}");
        }
        assert!(connections(&set.nodes()[set.master_index()], &proxy) >= 1);
    }
}

#[test]
fn nodes_of_a_cluster_are_reached_through_it() {
    let set = ClusterSet::builder().replicas(0).start();
    for setup in [Setup::ALL[0], Setup::ALL[3]] {
        let proxy = Proxy::start("db.internal", set.node(0).address());
        let client = setup.open(through(&proxy).url(&set.url())).unwrap();
        for n in 0..40 {
            client.run::<()>(&format!("SET k{n} {n}")).unwrap();
        }
        let mut news = PubSub::of(&client).subscribe(&["news"]);
        client.run::<Value>("PUBLISH news 1").unwrap();
        assert_eq!(news.text(), "1");
        let driver = setup.driver;
        for index in set.primaries() {
            let node = set.node(index);
            assert!(connections(&node, &proxy) >= 1, "{driver:?} {index}");
        }
        if driver == Driver::Blocking {
            assert!(proxy.asked().len() >= 3);
        }
    }
}
