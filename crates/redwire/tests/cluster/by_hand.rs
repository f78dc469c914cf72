//! A cluster by hand: which nodes there are, and commands for those of one's own choice. REFERENCE K2, K7.

use redwire::cluster::{NodeChoice, slot};
use redwire::config::HostPort;
use redwire::prelude::*;
use redwire::{ClusterFault, ErrorKind, cmd};
use redwire_testkit::ClusterSet;

use crate::common::runtime;

/// Written once for both drivers: `$wait` awaits, or does not.
macro_rules! scenario {
    ($cluster:ident, $set:ident, $wait:ident) => {{
        let at = |index: usize| HostPort::new("127.0.0.1", $set.node(index).port());
        let map = $cluster.map();
        assert_eq!((map.shards().len(), map.nodes().count(), map.is_complete()), (3, 6, true));
        let count = |choice: NodeChoice| $cluster.nodes(choice).len();
        let (key, owner) = ("k", $set.owner(slot(b"k")));
        let named = NodeChoice::Named($set.id(4));
        for (choice, nodes) in [
            (NodeChoice::All, 6),
            (NodeChoice::Primaries, 3),
            (NodeChoice::Replicas, 3),
            (NodeChoice::Random, 1),
            (NodeChoice::Slot(0), 1),
            (named.clone(), 1),
            (NodeChoice::Named("nobody".to_owned()), 0),
            (NodeChoice::At(vec![at(0), at(5)]), 2),
        ] {
            assert_eq!(count(choice.clone()), nodes, "{choice:?}");
        }
        let key_choice = NodeChoice::Key(key.into());
        assert_eq!($cluster.nodes(key_choice.clone())[0].0, at(owner));
        assert_eq!($cluster.nodes(NodeChoice::Slot(slot(b"k")))[0].0, at(owner));
        assert_eq!($cluster.nodes(named)[0].0, at(4));

        $wait!($cluster.client().set(key, "v")).unwrap();
        let ports =
            $wait!($cluster.execute_on(NodeChoice::All, &cmd::<(String, u16)>("CONFIG GET").arg("port")));
        assert_eq!(ports.len(), 6);
        assert!(ports.iter().all(|(node, said)| said.as_ref().is_ok_and(|(_, port)| *port == node.port)));
        // One node by hand is one server: what it does not serve it says, without advice to use the cluster.
        let own = $cluster.node(&at(owner));
        assert_eq!($wait!(own.get::<String>(key)).unwrap().as_deref(), Some("v"));
        let error = $wait!($cluster.node(&at((owner + 1) % 3)).get::<String>(key)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cluster(ClusterFault::Moved), "{error}");
        assert!(!error.to_string().contains("cluster://"), "{error}");

        assert_eq!($cluster.default_node(), None);
        $cluster.set_default_node(Some(at(2))).unwrap();
        let stranger = HostPort::new("127.0.0.1", 1);
        let error = $cluster.set_default_node(Some(stranger)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(&at(0).to_string()), "{error}");
        assert_eq!($cluster.default_node(), Some(at(2)));
        for _ in 0..5 {
            let port: (String, u16) =
                $wait!($cluster.client().execute(cmd("CONFIG GET").arg("port"))).unwrap();
            assert_eq!(port.1, at(2).port);
        }
        $cluster.set_default_node(None).unwrap();

        let stats = $cluster.stats();
        assert!(stats.len() >= 6 && stats.iter().any(|(node, _)| *node == at(owner)), "{stats:?}");
        // The connection that its calls share.
        let own = stats.iter().find(|(node, _)| *node == at(owner)).map(|(_, own)| (own.size, own.created));
        assert!(own.is_some_and(|(size, created)| size > 0 && created > 0), "{stats:?}");
        let to = (owner + 1) % 3;
        $set.move_slot(slot(b"k"), to);
        let map = $wait!($cluster.refresh()).unwrap();
        assert!([at(owner), at(to)].contains(map.primary(slot(b"k")).unwrap()));
        $set.wait_settled();
        let map = $wait!($cluster.refresh()).unwrap();
        assert_eq!(map.primary(slot(b"k")), Some(&at(to)));
        assert!($cluster.client().cluster().is_some());
    }};
}

#[test]
fn nodes_are_chosen_and_told_by_tokio() {
    let set = ClusterSet::start();
    runtime().block_on(async {
        macro_rules! wait {
            ($value:expr) => {
                $value.await
            };
        }
        let cluster = redwire::Cluster::connect(&set.url()).await.unwrap();
        scenario!(cluster, set, wait);
        let server = redwire_testkit::shared().url();
        assert_eq!(redwire::Cluster::connect(&server).await.unwrap_err().kind(), ErrorKind::Usage);
    });
}

#[test]
fn nodes_are_chosen_and_told_by_blocking() {
    let set = ClusterSet::start();
    macro_rules! now {
        ($value:expr) => {
            $value
        };
    }
    let cluster = redwire::blocking::Cluster::connect(&set.url()).unwrap();
    scenario!(cluster, set, now);
    let server = redwire_testkit::shared().url();
    assert_eq!(redwire::blocking::Cluster::connect(&server).unwrap_err().kind(), ErrorKind::Usage);
}
