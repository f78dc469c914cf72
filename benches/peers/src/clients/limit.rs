//! The limit: a loop that sends requests encoded beforehand and only counts the bytes of the replies.
//! No client can be faster; it decodes nothing and has nothing to share.
//!
//! Where a workload has N tasks or threads, one call here is N requests in one write, then reading until the
//! bytes of N replies have come. What goes out and comes back is in `plan`; subscribing, clusters, leases,
//! connections for one PING and caches are in files of their own.

mod cache;
mod cluster;
mod feed;
mod leases;
mod plan;
mod visit;

use std::io::{Read, Write};
use std::net::TcpStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::plan::Plan;
use super::Runners;
use crate::Fallible;
use crate::child::{Job, cached, runtime, visit as visits};
use crate::meter::{Laps, Measured};
use crate::workload::Kind;

/// It has all.
pub const RUNNERS: Runners = Runners {
    calls: [Some(blocking), Some(on_tokio)],
    tasks: Some(on_tokio),
    threads: Some(blocking),
    cluster: Some(cluster::on_tokio),
    cluster_blocking: Some(cluster::blocking),
    cluster_pipelines: [Some(cluster::blocking), Some(cluster::on_tokio)],
    leases: Some(leases::on_tokio),
    visits: [Some(visits::blocking::<visit::Blocking>), Some(visits::on_tokio::<visit::Async>)],
    watches: [Some(blocking), Some(on_tokio)],
    caches: [Some(cached::blocking::<cache::Blocking>), Some(cached::on_tokio::<cache::Async>)],
};

// As large as a socket buffer gets, so that one read empties it.
const BUFFER_LEN: usize = 256 << 10;

/// Measures the limit on the calling thread.
///
/// # Errors
/// Fails if the connection does, or if the replies have another length than they must.
fn blocking(job: &Job) -> Fallible<Measured> {
    if job.kind == Kind::Messages {
        return feed::blocking(job);
    }
    let plan = Plan::new(job.kind)?;
    let mut server = TcpStream::connect(&job.addr)?;
    server.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_LEN];
    let mut laps = Laps::new(plan.laps(job.budget));
    let mut calls = plan.calls.iter().cycle();
    while laps.next() {
        for exchange in calls.next().expect("a cycle over at least one call") {
            server.write_all(&exchange.request)?;
            let mut left = exchange.reply_len;
            while left > 0 {
                left = exchange.account(left, server.read(&mut buffer)?, buffer[0])?;
            }
        }
    }
    Ok(plan.per_request(laps.finish()))
}

/// Measures the limit on tokio, in one task.
///
/// # Errors
/// As [`blocking`].
fn on_tokio(job: &Job) -> Fallible<Measured> {
    let job = job.clone();
    if job.kind == Kind::Messages {
        return runtime(0)?.block_on(async { tokio::spawn(feed::on_tokio(job)).await? });
    }
    runtime(job.kind.workers())?.block_on(async { tokio::spawn(one_loop(job)).await? })
}

async fn one_loop(job: Job) -> Fallible<Measured> {
    let plan = Plan::new(job.kind)?;
    let mut server = tokio::net::TcpStream::connect(&job.addr).await?;
    server.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_LEN];
    let mut laps = Laps::new(plan.laps(job.budget));
    let mut calls = plan.calls.iter().cycle();
    while laps.next() {
        for exchange in calls.next().expect("a cycle over at least one call") {
            server.write_all(&exchange.request).await?;
            let mut left = exchange.reply_len;
            while left > 0 {
                left = exchange.account(left, server.read(&mut buffer).await?, buffer[0])?;
            }
        }
    }
    Ok(plan.per_request(laps.finish()))
}
