//! Clusters of real servers: what a client of many nodes does while all is well, while slots move, and while
//! nodes are lost (I1, I2, I3, I6, I7). FAULTS 32–42, REFERENCE K1–K10.

#![cfg(feature = "tokio")]
#![allow(clippy::print_stdout, reason = "figures are for who looks at them (`--no-capture`)")]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

/// A scenario function becomes a module of two tests, one for each driver: for those whose servers take long.
macro_rules! each {
    ($($scenario:ident),* $(,)?) => {$(
        mod $scenario {
            use crate::common::Setup;

            #[test]
            fn tokio_resp3() {
                super::$scenario(Setup::ALL[0]);
            }
            #[test]
            fn blocking_resp2() {
                super::$scenario(Setup::ALL[3]);
            }
        }
    )*};
}

mod account;
mod by_hand;
mod cache;
mod calls;
mod careful;
mod changes;
mod connecting;
mod fake;
mod lies;
mod limits;
mod lost;
mod moving;
mod outcomes;
mod pipelines;
mod pubsub;
mod readers;
mod scan;
mod soak;

use std::time::{Duration, Instant};

use redwire::{Error, ErrorKind, Pipeline, Result, Slots, Value};
use redwire_testkit::ClusterSet;

use crate::common::{Client, runtime};

impl Client {
    pub(crate) fn atomic<S: Slots>(&self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        match self {
            Self::Tokio(client) => runtime().block_on(client.atomic(build)),
            Self::Blocking(client) => client.atomic(build),
        }
    }
}

/// A call that ends now and took so long kept to its deadline, as far as the machine let it.
#[track_caller]
pub(crate) fn in_time(took: Duration, limit: Duration) {
    let still = common::stood_still_since(Instant::now() - took);
    assert!(
        took < limit + common::GRACE + still,
        "{took:?} of {limit:?}; the machine stood still for {still:?}"
    );
}

/// What a call ends in that must end within `limit`, and no node serves. It ends in a timeout if the deadline
/// happens to fall into a try; then another call has to tell.
#[track_caller]
pub(crate) fn refused(client: &Client, line: &str, limit: Duration) -> Error {
    for _ in 0..20 {
        let call = || client.execute(common::words::<Value>(line).timeout(limit));
        let (result, took) = common::timed(call);
        let error = result.expect_err(line);
        in_time(took, limit);
        if error.kind() != ErrorKind::Timeout {
            return error;
        }
    }
    panic!("{line} ends in timeouts only");
}

/// Says something to one node.
#[track_caller]
pub(crate) fn say(set: &ClusterSet, node: usize, line: &str) -> String {
    let said = set.node(node).command(&line.split(' ').collect::<Vec<_>>());
    said.unwrap_or_else(|error| panic!("{line} at node {node}: {error}"))
}

/// How often a command was called at all nodes that are up.
pub(crate) fn calls(set: &ClusterSet, command: &str) -> i64 {
    set.nodes().iter().filter(|node| node.is_up()).map(|node| node.calls(command)).sum()
}

/// How many connections bear this name, at all nodes that are up.
pub(crate) fn named(set: &ClusterSet, name: &str) -> usize {
    let nodes = set.nodes().into_iter().filter(|node| node.is_up());
    nodes.map(|node| common::named_clients(&node, name)).sum()
}

/// A key with this beginning for each of the first `count` slots that the node has of those with a key near
/// at hand.
pub(crate) fn keys_of(set: &ClusterSet, node: usize, prefix: &str, count: usize) -> Vec<String> {
    let keys = (0..).map(|n| format!("{prefix}:{n}"));
    keys.filter(|key| set.owner(redwire_testkit::slot(key)) == node).take(count).collect()
}
