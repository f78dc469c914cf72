//! redis-rs 2.0, release candidate, as `redis_rs` uses it. No pool for tasks fits it yet.

#[path = "redis_rs/cache.rs"]
mod cache;
#[path = "redis_rs/calls.rs"]
mod calls;
#[path = "redis_rs/cluster.rs"]
mod cluster;
#[path = "redis_rs/threads.rs"]
mod threads;
#[path = "redis_rs/transaction.rs"]
mod transaction;
#[path = "redis_rs/visit.rs"]
mod visit;

use ::redis2 as lib;

use super::Runners;
use crate::child::{self, cached, clustered, crowd, visit as visits};

/// What redis-rs 2.0 has.
pub const RUNNERS: Runners = Runners {
    calls: [Some(child::blocking::<calls::Blocking>), Some(child::on_tokio::<calls::Async>)],
    tasks: Some(crowd::tasks::<calls::Async>),
    threads: Some(crowd::threads::<threads::Threads>),
    cluster: Some(crowd::tasks::<cluster::Async>),
    cluster_blocking: Some(clustered::blocking::<cluster::Blocking>),
    // Async, it sends a pipeline to one node only.
    cluster_pipelines: [Some(clustered::blocking::<cluster::Blocking>), None],
    visits: [Some(visits::blocking::<visit::Visits>), Some(visits::on_tokio::<visit::Visits>)],
    watches: [
        Some(child::watching_blocking::<transaction::Blocking>),
        Some(child::watching::<transaction::Async>),
    ],
    // It has no cache for blocking connections.
    caches: [None, Some(cached::on_tokio::<cache::Cache>)],
    ..Runners::NONE
};

/// Whom to trust, in the form of this version.
fn certificates(ca: &str) -> lib::TlsCertificates {
    lib::TlsCertificates::new().root_cert(ca.as_bytes().to_vec())
}
