//! A queue of jobs over a stream: a group of workers shares it, some die in the middle of their work, and no
//! job is lost.
//!
//! `cargo run -p redwire --example job_queue` starts a server for itself. Each job is done at least once, not
//! exactly once: a worker that dies between doing a job and acknowledging it leaves it to be done again, so
//! jobs must bear that.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redwire::commands::{
    ClientFilter, ClientKind, Entry, StreamId, Trim, XaddOptions, XgroupOptions, XreadgroupOptions,
};
use redwire::prelude::*;
use redwire::{Client, Result};
use redwire_testkit::Server;
use tokio::task::JoinHandle;
use tokio::time::sleep;

const JOBS: u64 = 200;
const WORKERS: usize = 4;

/// No job takes so long: who has had one for longer is gone.
const PATIENCE: Duration = Duration::from_millis(100);

/// The fields of a job.
type Job = HashMap<String, u64>;

/// How often each job was done.
type Done = Arc<Mutex<HashMap<u64, u32>>>;

#[tokio::main]
async fn main() -> Result<()> {
    let server = Server::start();
    let client = Client::connect(&server.url()).await?;
    client.xgroup_create("jobs", "workers", StreamId::MIN, XgroupOptions::new().mkstream()).await?;

    let done = Done::default();
    let hire =
        |number: usize| tokio::spawn(work(server.url(), format!("worker {number}"), Arc::clone(&done)));
    let mut workers: Vec<JoinHandle<()>> = (0..WORKERS).map(hire).collect();

    for number in 1..=JOBS {
        // Old entries go by themselves once there are far too many: a stream keeps what was done, too.
        let options = XaddOptions::new().trim(Trim::maxlen(1_000_000).approximate());
        client.xadd_with("jobs", options, ("number", number)).await?;
    }

    // What may happen to workers. The one that is killed anew each time takes its name again, and with it
    // what it had left.
    let (mut dead, mut cut) = (0, 0);
    for round in 0..20 {
        sleep(Duration::from_millis(10)).await;
        let unlucky = round % WORKERS;
        workers[unlucky].abort();
        workers[unlucky] = hire(unlucky);
        dead += 1;
        // All but the one that says so.
        cut += client.client_kill(ClientFilter::new().kind(ClientKind::Normal).skipme(true)).await?;
    }
    println!("{dead} workers died, and {cut} connections were cut");

    while client.xpending("jobs", "workers").await?.count > 0
        || done.lock().expect("no panic").len() < JOBS as usize
    {
        sleep(Duration::from_millis(10)).await;
    }
    workers.iter().for_each(JoinHandle::abort);

    let done = done.lock().expect("no panic");
    let again = done.values().filter(|times| **times > 1).count();
    assert!((1..=JOBS).all(|number| done.contains_key(&number)), "no job is lost");
    println!("{} of {JOBS} jobs are done, {again} of them more than once", done.len());
    Ok(())
}

/// Works until it is stopped. Whatever fails, it goes on: what it had got is pending until a worker finishes
/// it.
async fn work(url: String, name: String, done: Done) {
    loop {
        let Ok(client) = Client::connect(&url).await else { continue };
        while let Ok(jobs) = next_jobs(&client, &name).await {
            for job in jobs {
                sleep(Duration::from_millis(2)).await;
                *done.lock().expect("no panic").entry(job.fields["number"]).or_default() += 1;
                // Only now: what is acknowledged first is lost if the work then fails.
                if client.xack("jobs", "workers", job.id).await.is_err() {
                    break;
                }
            }
        }
    }
}

/// What others left undone, or else what is new; none if nothing came for a while.
async fn next_jobs(client: &Client, name: &str) -> Result<Vec<Entry<Job>>> {
    let left = client.xautoclaim("jobs", "workers", name, PATIENCE, StreamId::MIN, 5).await?;
    if !left.entries.is_empty() {
        return Ok(left.entries);
    }
    let options = XreadgroupOptions::new().count(5).block(Duration::from_millis(50));
    let new =
        client.xreadgroup::<String, Job>("workers", name, options, "jobs", StreamId::UNDELIVERED).await?;
    Ok(new.unwrap_or_default().into_iter().flat_map(|(_, jobs)| jobs).collect())
}
