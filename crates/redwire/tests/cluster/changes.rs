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
    let set = ClusterSet::builder().primaries(4).replicas(0).start();
    let client = setup.client(&set.url(), "client_name=loyal");
    let account = Account::new((0..64).map(|n| format!("count:{n}")));
    account.during(&client, 6, Duration::from_millis(2), || {
        account.wait_for_all(LIMIT);
        assert!(named_clients(&set.node(3), "loyal") > 0);
        let slots = (0..64).map(|n| redwire_testkit::slot(format!("count:{n}")));
        for slot in slots.filter(|slot| *slot >= 12_288) {
            set.move_slot(slot, usize::from(slot % 3));
        }
        // The others it keeps: nobody asks for them.
        (12_288..16_384).step_by(512).for_each(|slot| set.move_slot(slot, 0));
        account.wait_for_all(LIMIT);
        rest_of(&set, 3);
        set.forget(3);
        say(&set, 3, "FLUSHALL");
        say(&set, 3, "CLUSTER RESET");
        eventually("it is left", LIMIT, || named_clients(&set.node(3), "loyal") == 0);
        account.wait_for_all(LIMIT);
    });
    let (failed, list) = account.failed();
    assert_eq!(failed, 0, "{list}");
    account.check(&client, true);
}

/// Gives all slots that the node has left to the first one, at once: they have no keys.
fn rest_of(set: &ClusterSet, node: usize) {
    let first = set.id(0);
    let left = (0..16_384u16).filter(|slot| set.owner(*slot) == node).collect::<Vec<_>>();
    for slot in left {
        for told in [0, node, 1, 2] {
            say(set, told, &format!("CLUSTER SETSLOT {slot} NODE {first}"));
        }
    }
}
