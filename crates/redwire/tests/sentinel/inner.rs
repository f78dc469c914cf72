//! Sentinels that tell addresses of an inner network: a remap leads to where this client reaches them,
//! everywhere. FAULTS 74.

use std::collections::HashMap;
use std::net::SocketAddr;

use redwire::cluster::Remap;
use redwire::config::{Config, ConfigBuilder, HostPort};
use redwire_testkit::{Proxy, SentinelSet, Server, eventually};

use crate::common::{LIMIT, Setup, named_clients};
use crate::failover::each;
use crate::fake::{FakeSentinel, View, url};

both!(addresses_that_are_told_are_remapped);

const UNREACHABLE: &str = "192.0.2.7";

fn inner(port: u16) -> SocketAddr {
    format!("{UNREACHABLE}:{port}").parse().unwrap()
}

fn by(sentinel: &FakeSentinel, setup: Setup, options: &str) -> ConfigBuilder {
    Config::from_url(&setup.url(&url(&[sentinel.addr()]), options)).unwrap().to_builder()
}

/// By a table and by a function, of the master and of replicas.
fn addresses_that_are_told_are_remapped(setup: Setup) {
    let servers = ["master", "replica"].map(|name| {
        let server = Server::start();
        server.command(&["SET", "name", name]).unwrap();
        server
    });
    let sentinel = FakeSentinel::telling(View { replicas: vec![inner(2)], ..View::of(inner(1)) });
    let [master, replica] = servers.each_ref().map(|server| HostPort::new("127.0.0.1", server.port()));
    let told = |port| HostPort::new(UNREACHABLE, port);
    let table = HashMap::from([(told(1), master.clone()), (told(2), replica.clone())]);
    let function = Remap::new(move |told: &HostPort| match told.port {
        1 => master.clone(),
        2 => replica.clone(),
        _ => told.clone(),
    });
    for remap in [Remap::from(table), function] {
        let client = setup.open(by(&sentinel, setup, "").remap(remap.clone())).unwrap();
        assert_eq!(client.run::<String>("GET name").unwrap(), "master");
        let reader = setup.open(by(&sentinel, setup, "read_from=replica_preferred").remap(remap)).unwrap();
        assert_eq!(reader.run::<String>("GET name").unwrap(), "replica");
    }
    let error = setup.open(Config::builder().host("h").remap(HashMap::new())).unwrap_err();
    assert!(error.to_string().contains("remap"), "{error}");
}

/// The sentinels' news of another master leads there, too, and so do the addresses of the other sentinels.
#[test]
fn a_failover_is_followed_through_the_remap() {
    each(|setup, set: &SentinelSet| {
        let proxies: HashMap<SocketAddr, Proxy> = (set.nodes().iter().map(|node| node.address()))
            .chain(set.sentinels().iter().map(|sentinel| sentinel.addr()))
            .map(|address| (address, Proxy::start(address)))
            .collect();
        let at = |address: SocketAddr| HostPort::new(address.ip().to_string(), address.port());
        let table: HashMap<HostPort, HostPort> =
            proxies.iter().map(|(address, proxy)| (at(*address), at(proxy.addr()))).collect();
        let first = proxies[&set.sentinels()[0].addr()].addr();
        let base = format!("redis+sentinel://{first}/{}", set.service());
        let options = Config::from_url(&setup.url(&base, "client_name=inner&timeout=10s")).unwrap();
        let client = setup.open(options.to_builder().remap(table)).unwrap();
        client.run::<()>("SET k before").unwrap();
        set.failover();
        eventually("it is written to", LIMIT, || client.run::<()>("SET k after").is_ok());
        let master = &set.nodes()[set.master_index()];
        eventually("the write is there", LIMIT, || {
            master.command(&["GET", "k"]).is_ok_and(|value| value == "after") || {
                client.run::<()>("SET k after").ok();
                false
            }
        });
        let (ours, through) = (named_clients(master, "inner"), proxies[&master.address()].open());
        assert!(ours > 0 && ours <= through, "{ours} connections, {through} through the proxy");
        // The part by hand has the same addresses.
        let sentinel = redwire::blocking::Sentinel::new(client.config().clone()).unwrap();
        let found = || sentinel.discover_master().unwrap() == at(proxies[&master.address()].addr());
        eventually("all sentinels have heard of the master", LIMIT, found);
        let ways: Vec<HostPort> = proxies.values().map(|proxy| at(proxy.addr())).collect();
        assert!(sentinel.addresses().len() == 3 && sentinel.addresses().iter().all(|way| ways.contains(way)));
    });
}
