//! Who answers what only reads: replicas, in turn, the fastest or the nearest, and the primary where there is
//! none. REFERENCE K6.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use redwire_testkit::{ClusterSet, eventually};

use crate::common::{Client, LIMIT, Setup, timed};
use crate::connecting::knows;

each!(
    replicas_answer_reads_as_the_strategy_says,
    a_replica_that_is_lost_is_passed_over,
    a_frozen_replica_is_passed_over,
    those_of_the_own_zone_answer,
);

/// How many GETs each node executed that `work` made.
fn reads(set: &ClusterSet, work: impl FnOnce()) -> BTreeMap<usize, i64> {
    let up = || set.nodes().into_iter().enumerate().filter(|(_, node)| node.is_up());
    let before: BTreeMap<_, _> = up().map(|(index, node)| (index, node.calls("get"))).collect();
    work();
    up().map(|(index, node)| (index, node.calls("get") - before.get(&index).unwrap_or(&0))).collect()
}

/// Writes keys, and returns when the replicas have them.
fn fill(set: &ClusterSet, client: &Client, count: usize) {
    for n in 0..count {
        client.run::<()>(&format!("SET key:{n} {n}")).unwrap();
    }
    let size = |node: &std::sync::Arc<redwire_testkit::Node>| -> usize {
        node.command(&["DBSIZE"]).unwrap().parse().unwrap()
    };
    eventually("replicas follow", LIMIT, || set.nodes().iter().map(size).sum::<usize>() == 2 * count);
}

fn read(client: &Client, count: usize) {
    for n in 0..count {
        assert_eq!(client.run::<usize>(&format!("GET key:{n}")).unwrap(), n);
    }
}

fn replicas_answer_reads_as_the_strategy_says(setup: Setup) {
    const COUNT: usize = 60;
    let set = ClusterSet::start();
    fill(&set, &setup.client(&set.url(), ""), COUNT);
    let of = |options: &str| {
        let client = setup.client(&set.url(), options);
        let reads = reads(&set, || {
            (0..4).for_each(|_| read(&client, COUNT));
        });
        assert_eq!(reads.values().sum::<i64>(), 4 * COUNT as i64, "{options}: {reads:?}");
        client.run::<()>("SET key:0 0").unwrap();
        (reads[&0] + reads[&1] + reads[&2], reads)
    };
    let (primaries, reads) = of("read_strategy=primary");
    assert_eq!(primaries, 240, "{reads:?}");
    for options in ["read_strategy=replica_preferred", "readonly=yes"] {
        let (primaries, reads) = of(options);
        assert_eq!(primaries, 0, "{reads:?}");
    }
    let (primaries, reads) = of("read_strategy=round_robin");
    assert!((80..=160).contains(&primaries) && reads.values().all(|reads| *reads > 0), "{reads:?}");
    // Which is the fastest is not known beforehand; all of them are tried once at least.
    let (_, reads) = of("read_strategy=lowest_latency");
    assert!(reads.values().all(|reads| *reads > 0), "{reads:?}");
}

/// Also by calls with less time than a connect may take. FAULTS 59.
fn a_frozen_replica_is_passed_over(setup: Setup) {
    const CALLERS: usize = 4;
    let set = ClusterSet::start();
    for strategy in ["replica_preferred", "round_robin"] {
        let client = setup.client(&set.url(), &format!("read_strategy={strategy}&timeout=500ms"));
        fill(&set, &client, 30);
        read(&client, 30);
        set.node(3).freeze();
        // Two seconds, in each of which every caller may try it once.
        let end = Instant::now() + Duration::from_secs(2);
        let (mut read, mut failed) = (0, 0);
        thread::scope(|scope| {
            let calls = [(); CALLERS].map(|()| {
                scope.spawn(|| {
                    let (mut read, mut failed) = (0, 0);
                    for n in (0..30).cycle() {
                        match client.run::<usize>(&format!("GET key:{n}")) {
                            _ if Instant::now() > end => break,
                            Ok(value) => {
                                assert_eq!(value, n);
                                read += 1;
                            }
                            Err(_) => failed += 1,
                        }
                        thread::sleep(Duration::from_millis(1));
                    }
                    (read, failed)
                })
            });
            for (ok, late) in calls.map(|call| call.join().unwrap()) {
                (read, failed) = (read + ok, failed + late);
            }
        });
        set.node(3).thaw();
        println!("{setup:?} {strategy}: {read} read, {failed} failed");
        assert!(failed <= 3 * CALLERS && read > 10 * failed, "{strategy}: {read} read, {failed} failed");
    }
}

fn a_replica_that_is_lost_is_passed_over(setup: Setup) {
    const COUNT: usize = 30;
    let set = ClusterSet::start();
    let client = setup.client(&set.url(), "read_strategy=replica_preferred");
    fill(&set, &client, COUNT);
    read(&client, COUNT);
    set.node(3).kill();
    // One read may be lost with it and is repeated, since it only reads.
    let reads_of_first = reads(&set, || {
        for _ in 0..10 {
            let (_, took) = timed(|| read(&client, COUNT));
            assert!(took < Duration::from_secs(2), "{took:?}");
        }
    });
    assert!(reads_of_first[&0] > 0 && reads_of_first[&1] + reads_of_first[&2] == 0, "{reads_of_first:?}");
    set.node(3).restart();
    set.wait_settled();
    eventually("it is used again", LIMIT, || reads(&set, || read(&client, COUNT))[&3] > 0);
    // Frozen, it holds up calls to it for as long as it takes to find out, and none for good.
    set.node(4).freeze();
    eventually("the primary answers", LIMIT, || {
        timed(|| read(&client, COUNT)).1 < Duration::from_millis(500)
    });
    set.node(4).thaw();
}

/// Where the servers tell zones.
fn those_of_the_own_zone_answer(setup: Setup) {
    if !knows("availability-zone", "\"\"") {
        return;
    }
    const COUNT: usize = 60;
    let set = ClusterSet::builder().zones(&["a", "b"]).start();
    fill(&set, &setup.client(&set.url(), ""), COUNT);
    for (zone, near) in [("a", [0, 2, 4]), ("b", [1, 3, 5])] {
        let client = setup.client(&set.url(), &format!("read_strategy=same_zone&zone={zone}"));
        // Until the zones are known, any replica answers.
        eventually("those of the zone answer", LIMIT, || {
            let reads = reads(&set, || read(&client, COUNT));
            reads.iter().all(|(node, reads)| near.contains(node) == (*reads > 0))
        });
    }
    let client = setup.client(&set.url(), "read_strategy=same_zone&zone=nowhere");
    let reads = reads(&set, || read(&client, COUNT));
    assert_eq!(reads[&0] + reads[&1] + reads[&2], 0, "{reads:?}");
}
