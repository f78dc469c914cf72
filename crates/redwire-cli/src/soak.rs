//! `redwire soak`: the failover drill. Tasks write, count, read and publish without a pause worth the name
//! while the user breaks things; in the end everything is read back and compared with what the calls were
//! answered.

mod broadcast;
mod ledger;
mod listener;
mod report;
mod stalls;
mod tally;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redwire::{Cmd, Error, Outcome, Result, cmd};

use crate::args::{Global, Soak};
use crate::caller::{self, Caller, Spawned};
use crate::connect;
use crate::interrupt::interrupted;
use crate::output::{Failure, Output, Verdict};
use crate::progress::Progress;
use listener::Listener;
use report::Report;
use tally::{Drill, Service, Tally};
use worker::{List, Worker};

/// How long the drill tries to read everything back, and to begin at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at whether the drill is over, and two attempts where nothing else sets the pace.
const TICK: Duration = Duration::from_millis(100);

pub(crate) async fn run(global: &Global, soak: &Soak, output: &Output) -> Result<Verdict, Failure> {
    let config = connect::config(global, connect::only_url(global)?)?.to_builder().timeout(soak.deadline);
    // Each task may have one connection that waits and one that calls.
    let config = config.max_connections(2 * soak.tasks as usize + 1).build().map_err(Error::from)?;
    let address = connect::place(&config);
    let client = Caller::lazy(config, global.blocking).await?;
    let connects = client.count_connects();
    // No other program has keys like these, whatever the seed: what is found in them is of this run.
    let prefix = format!("{}:{:08x}", soak.prefix, fastrand::u32(..));
    let drill = Arc::new(Drill::begin());
    let workers = workers(&client, &drill, soak, &prefix);
    prepare(&workers).await.map_err(|error| hopeless(&address, &error))?;

    let began = Instant::now();
    *drill.service() = Service::new(began);
    let listening: Vec<_> = workers.iter().map(|worker| listen(&client, &drill, soak, worker)).collect();
    let running: Vec<_> = workers.into_iter().map(|worker| client.spawn(worked(worker))).collect();
    let interrupted = wait(&drill, began, soak.seconds).await;
    drill.stop();
    let mut workers = all(running).await?;
    let ended = Instant::now();
    drill.service().note(ended);
    // What is read back and heard afterwards is not counted as service.
    let service = drill.service().clone();

    let unread = read_back(&mut workers).await.err();
    clean(&client, &workers).await;
    drill.end();
    let mut tally = Tally::new();
    all(listening).await?.into_iter().for_each(|heard| tally.add(heard));
    workers.into_iter().for_each(|worker| tally.add(worker.into_tally()));
    let report = Report { began, ended, tally: &tally, service, connects: connects.load(Ordering::Relaxed) };
    if interrupted {
        output.note("interrupted: these are the results until then");
    }
    report.write(output, unread.as_ref())
}

/// The tasks: each feeds the next.
fn workers(client: &Caller, drill: &Arc<Drill>, soak: &Soak, prefix: &str) -> Vec<Worker> {
    let tasks = soak.tasks as usize;
    let inboxes: Vec<_> = (0..tasks).map(|task| List::new(format!("{prefix}:{task}:inbox"))).collect();
    let seed = soak.seed.unwrap_or_else(|| fastrand::u64(..));
    let worker = |task: usize| {
        let lists = (inboxes[task].clone(), inboxes[(task + 1) % tasks].clone());
        let seed = seed.wrapping_add(task as u64);
        Worker::new(client.clone(), Arc::clone(drill), soak.deadline, (task, seed), prefix, lists)
    };
    (0..tasks).map(worker).collect()
}

/// Starts a listener to what `worker` publishes.
fn listen(client: &Caller, drill: &Arc<Drill>, soak: &Soak, worker: &Worker) -> Spawned<Tally> {
    let channel = worker.channel().clone();
    client.spawn(Listener::new(client.clone(), Arc::clone(drill), soak.deadline, channel).run())
}

async fn all<T>(spawned: Vec<Spawned<T>>) -> Result<Vec<T>, Failure> {
    let mut done = Vec::new();
    for one in spawned {
        done.push(caller::joined(one).await?);
    }
    Ok(done)
}

async fn worked(mut worker: Worker) -> Worker {
    worker.run().await;
    worker
}

/// Has every counter where it begins, trying for a while: things may be breaking already.
async fn prepare(workers: &[Worker]) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    for worker in workers {
        while let Err(error) = worker.prepare().await {
            let hopeless = !error.is_retryable() && error.outcome() != Outcome::MaybeExecuted;
            if hopeless || Instant::now() > end {
                return Err(error);
            }
            tokio::time::sleep(TICK).await;
        }
    }
    Ok(())
}

/// Reads everything back, trying for a while, as the server may be about to come back; then waits for the
/// last messages.
async fn read_back(workers: &mut [Worker]) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    for worker in workers.iter_mut() {
        while let Err(error) = worker.read_back().await {
            if Instant::now() > end {
                return Err(error);
            }
            tokio::time::sleep(TICK).await;
        }
    }
    // Longer than it takes to find a silent connection dead.
    let end = Instant::now() + PATIENCE;
    for worker in workers {
        worker.hear_out(end).await;
    }
    Ok(())
}

/// Leaves nothing behind, as far as that can be had.
async fn clean(client: &Caller, workers: &[Worker]) {
    for worker in workers {
        let cmd: Cmd<u64> = cmd("DEL").arg(worker.keys());
        let _ = client.execute(cmd.idempotent()).await;
    }
}

/// Waits until the time is over, and says whether that was cut short.
async fn wait(drill: &Drill, began: Instant, limit: Duration) -> bool {
    let progress = Progress::of_time(limit);
    let end = began + limit;
    let mut interrupted = std::pin::pin!(interrupted());
    loop {
        let now = Instant::now();
        let (acknowledged, errors) = drill.progress();
        progress.at_time(now - began, format!("{acknowledged} acknowledged, {errors} errors"));
        if now >= end {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(TICK.min(end - now)) => {}
            () = interrupted.as_mut() => return true,
        }
    }
}

fn hopeless(address: &str, error: &Error) -> Failure {
    let advice =
        "a drill begins with a server that works; `redwire doctor` tells what is wrong with this one";
    Failure::new(&format!("preparing the drill at {address}"), format_args!("{error}; {advice}"))
}
