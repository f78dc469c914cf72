//! Clusters whose nodes go, and whose addresses change, while they are used. FAULTS 37, 39.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redwire::config::Config;
use redwire::resolve::{Resolve, Resolver};
use redwire_testkit::{ClusterSet, eventually};

use crate::account::Account;
use crate::common::{LIMIT, Setup, named_clients};
use crate::say;

each!(a_cluster_that_is_elsewhere_is_found_by_the_names_of_its_seeds, a_node_that_was_forgotten_is_left,);

/// Names with addresses that change.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<HashMap<String, SocketAddr>>>);

impl Names {
    fn lead_to(&self, set: &ClusterSet) {
        let nodes = set.nodes();
        let named = nodes.iter().enumerate().map(|(n, node)| (format!("seed-{n}.test"), node.addr()));
        *self.0.lock().unwrap() = named.collect();
    }
}

impl Resolve for Names {
    fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match (host.parse().ok(), self.0.lock().unwrap().get(host)) {
            (Some(ip), _) => Ok(vec![SocketAddr::new(ip, port)]),
            (_, Some(address)) => Ok(vec![*address]),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such host")),
        }
    }
}

/// FAULTS 37.
fn a_cluster_that_is_elsewhere_is_found_by_the_names_of_its_seeds(setup: Setup) {
    let (names, old) = (Names::default(), ClusterSet::builder().replicas(0).start());
    names.lead_to(&old);
    let url = setup.url("redis+cluster://seed-0.test,seed-1.test,seed-2.test", "");
    let options = Config::from_url(&url).unwrap().to_builder().resolver(Resolver::new(names.clone()));
    let client = setup.open(options).unwrap();
    for n in 0..20 {
        client.run::<()>(&format!("SET k:{n} old")).unwrap();
    }
    let new = ClusterSet::builder().replicas(0).start();
    old.nodes().iter().for_each(|node| node.kill());
    let begin = Instant::now();
    names.lead_to(&new);
    for n in 0..20 {
        eventually("it is found", LIMIT, || client.run::<()>(&format!("SET k:{n} new")).is_ok());
    }
    println!("{setup:?}: found after {:?}", begin.elapsed());
    for n in 0..20 {
        assert_eq!(client.run::<String>(&format!("GET k:{n}")).unwrap(), "new");
    }
}

/// FAULTS 39.
fn a_node_that_was_forgotten_is_left(setup: Setup) {
    let set = ClusterSet::builder().replicas(0).start();
    // That a node is forgotten is nothing that calls would meet with: the next look at the map tells, by
    // default within 75 s.
    let client = setup.client(&set.url(), "client_name=loyal&refresh_interval=1s");
    let account = Account::new((0..64).map(|n| format!("count:{n}")));
    account.during(&client, 6, Duration::from_millis(2), || {
        account.wait_for_all(LIMIT);
        let new = set.add_node();
        let slots: Vec<_> = (0..16).map(|n| redwire_testkit::slot(format!("count:{n}"))).collect();
        let owners: Vec<_> = slots.iter().map(|slot| set.owner(*slot)).collect();
        slots.iter().for_each(|slot| set.move_slot(*slot, new));
        account.wait_for_all(LIMIT);
        assert!(named_clients(&set.node(new), "loyal") > 0);
        slots.iter().zip(owners).for_each(|(slot, owner)| set.move_slot(*slot, owner));
        account.wait_for_all(LIMIT);
        // Until all have heard that it has no slots; a node without any follows who took the last one.
        set.wait_settled();
        set.forget(new);
        // Now it is a cluster of its own, without a slot.
        say(&set, new, "CLUSTER RESET");
        eventually("it is left", LIMIT, || named_clients(&set.node(new), "loyal") == 0);
        account.wait_for_all(LIMIT);
    });
    let (failed, list) = account.failed();
    assert_eq!(failed, 0, "{list}");
    account.check(&client, true);
}
