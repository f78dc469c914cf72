//! redwire's client, a cluster and a service of models, all in one runtime whose clock is paused: a test
//! carries what the nodes tell each other, every 10 ms.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redwire::Client;
use redwire::config::{Config, Endpoint};
use redwire::connector::Connector;
use redwire::prelude::*;
use redwire_model::{Condition, Host, Node, Options, Service, TaskStream};
use tokio::time::sleep;

use crate::paused;

/// Servers by port.
#[derive(Clone, Default)]
struct World {
    hosts: BTreeMap<u16, Host>,
    cut_off: Arc<Mutex<Vec<u16>>>,
}

impl World {
    fn add(&mut self, port: u16) -> Host {
        let host = Host::by_runtime(Options::new().port(port).seed(port.into()).replicates(true));
        self.hosts.insert(port, host.clone());
        host
    }

    fn connect(&self, endpoint: &Endpoint) -> io::Result<TaskStream> {
        let Endpoint::Tcp(address) = endpoint else { return Err(io::ErrorKind::Unsupported.into()) };
        let is_cut_off = self.cut_off.lock().unwrap().contains(&address.port);
        let host = self.hosts.get(&address.port).filter(|_| !is_cut_off);
        host.map(Host::connect_task).ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    fn open(&self, url: &str) -> Config {
        let world = self.clone();
        let connector = Connector::from_fn(move |endpoint| std::future::ready(world.connect(&endpoint)));
        Config::builder().url(url).connector(connector).seed(1).build().unwrap()
    }

    /// Takes a server from the network: its clients are hung up on, and nobody reaches it.
    fn cut_off(&self, port: u16) {
        self.cut_off.lock().unwrap().push(port);
        self.hosts[&port].set(Condition::Frozen, true);
        self.hosts[&port].with(|model, now| model.kill_clients(now));
    }

    /// Carries messages and writes, for ever.
    async fn carry(self) {
        loop {
            sleep(Duration::from_millis(10)).await;
            let is_cut_off = |port: u16| self.cut_off.lock().unwrap().contains(&port);
            for (port, host) in self.hosts.iter().filter(|(port, _)| !is_cut_off(**port)) {
                host.with(|model, now| model.handle_timeout(now));
                for (to, message) in host.with(|model, _| model.take_messages()) {
                    let to: u16 = to.trim_start_matches('0').parse().unwrap();
                    if !is_cut_off(to) {
                        let from = format!("{port:040}");
                        self.hosts[&to].with(|model, now| model.handle_message(&from, message, now));
                    }
                }
                let writes = host.with(|model, _| model.take_writes());
                for (_, replica) in self.hosts.iter().filter(|(other, _)| !is_cut_off(**other)) {
                    if replica.with(|model, _| model.master().is_some_and(|(_, master)| master == *port)) {
                        let applied =
                            replica.with(|model, now| writes.iter().all(|write| model.apply(write, now)));
                        if !applied {
                            let snapshot = host.with(|model, _| model.snapshot());
                            replica.with(|model, now| model.restore(&snapshot, now));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn the_client_of_a_cluster_follows_an_election() {
    paused().block_on(async {
        let mut world = World::default();
        let id = |port: u16| format!("{port:040}");
        let node = |port: u16| {
            let node = Node::new(id(port), "127.0.0.1", port);
            if port < 7003 { node } else { node.replica_of(id(port - 3)) }
        };
        let ids: Vec<String> = (7000..7003).map(id).collect();
        let slots =
            [(ids[0].as_str(), 0, 5460), (ids[1].as_str(), 5461, 10922), (ids[2].as_str(), 10923, 16383)];
        for port in 7000..7006 {
            let others = (7000..7006).filter(|other| *other != port);
            let nodes: Vec<Node> = std::iter::once(port).chain(others).map(node).collect();
            let host = world.add(port);
            host.with(|model, now| model.join_cluster(&nodes, &slots, Duration::from_secs(1), now));
        }
        let carrier = tokio::spawn(world.clone().carry());
        let client = Client::open(world.open("redis+cluster://127.0.0.1:7000")).await.unwrap();
        for n in 0..100 {
            client.set(format!("key:{n}"), n).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        world.cut_off(7002);
        let mut failed = 0;
        for n in 0..100 {
            while client.get::<i64>(format!("key:{n}")).await.ok().flatten() != Some(n) {
                failed += 1;
                assert!(failed < 1000, "the replica takes over");
                sleep(Duration::from_millis(100)).await;
            }
        }
        let nodes = world.hosts[&7005].command(&["CLUSTER", "NODES"]);
        assert!(nodes.contains("myself,master"), "{nodes}");
        carrier.abort();
    });
}

#[test]
fn the_client_of_a_service_follows_its_sentinels() {
    paused().block_on(async {
        let mut world = World::default();
        let (old, new) = (world.add(6001), world.add(6002));
        new.with(|model, now| model.follow(Some(("127.0.0.1", 6001)), now));
        for port in [26_001, 26_002, 26_003] {
            let service = Service::new("orders", ("127.0.0.1", 6001)).replica(("127.0.0.1", 6002)).quorum(2);
            let others = [26_001, 26_002, 26_003].into_iter().filter(|other| *other != port);
            let service = others.fold(service, |service, other| service.sentinel(("127.0.0.1", other)));
            world.add(port).with(|model, _| model.watch_service(service));
        }
        let carrier = tokio::spawn(world.clone().carry());
        let url = "redis+sentinel://127.0.0.1:26001,127.0.0.1:26002,127.0.0.1:26003/orders";
        let client = Client::open(world.open(url)).await.unwrap();
        client.set("k", "kept").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        world.cut_off(6001);
        new.with(|model, now| model.follow(None, now));
        for port in [26_001, 26_002, 26_003] {
            world.hosts[&port].with(|model, now| model.switch_master("orders", ("127.0.0.1", 6002), now));
        }
        assert_eq!(client.get::<String>("k").await.unwrap().as_deref(), Some("kept"));
        client.set("k", "new").await.unwrap();
        assert_eq!(new.command(&["GET", "k"]), "$3\r\nnew\r\n");
        assert!(old.with(|model, _| model.master().is_none()));
        carrier.abort();
    });
}
