//! What the tests of redwire stand on: real servers ([`Server`]), alone, under sentinels ([`SentinelSet`]) or
//! in a cluster ([`ClusterSet`]), scripted ones ([`FakeServer`]), a proxy that breaks connections on demand
//! ([`Proxy`]), a port that refuses connections ([`ClosedPort`]), and certificates ([`Authority`]) with a
//! front that serves TLS by them ([`TlsFront`]).
//!
//! Everything runs on threads of its own and blocks, so that async and blocking tests use the same kit.
//! Nothing here knows the client under test, not even its parser: a kit that shared code with it would
//! share its mistakes. It is made for tests, so what goes wrong in the arranging panics, with the reason.

mod closed_port;
mod cluster;
mod fake;
mod halt;
mod node;
mod process;
mod proxy;
mod resp;
mod sentinels;
mod server;
mod set;
mod tls;

use std::thread;
use std::time::{Duration, Instant};

pub use closed_port::ClosedPort;
pub use cluster::{ClusterSet, ClusterSetBuilder, SlotMove, slot};
pub use fake::{FakeServer, Step, expect, expect_name, push, reply};
pub use node::Node;
pub use proxy::{Direction, Fault, Proxy};
pub use sentinels::{SentinelSet, SentinelSetBuilder, Switch, SwitchEvents};
pub use server::{Server, ServerBuilder, find_server, has_tls, servers_from_env, shared};
pub use tls::{Authority, Identity, IdentityBuilder, OcspBuilder, Target, TlsFront, TlsFrontBuilder};

/// Waits until `happened` returns true, looking every millisecond.
///
/// # Panics
///
/// If it hasn't happened within `limit`; `what` stands in the message.
///
/// ```
/// # use std::time::Duration;
/// redwire_testkit::eventually("the sky is up", Duration::from_secs(1), || true);
/// ```
#[track_caller]
pub fn eventually(what: &str, limit: Duration, mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !happened() {
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
