//! Many callers at once: tasks that share a client or lease its connections, and threads that share a
//! blocking client. It knows what one of them does, not who they are.

use std::sync::Arc;
use std::thread;

use super::{Job, elsewhere, runtime};
use crate::Fallible;
use crate::clients::{BlockingShared, SharedGet};
use crate::data::{self, KEYS, VALUE_LEN};
use crate::meter::{Measured, Stage, Tally};
use crate::workload::{Kind, LEASING_TASKS};

/// Measures GETs by many tasks on clones of one client, or of one pool.
///
/// # Errors
/// Fails if the client does, or if a reply is wrong.
pub fn tasks<C: SharedGet>(job: &Job) -> Fallible<Measured> {
    let tasks = match job.kind {
        Kind::Tasks { tasks, .. } | Kind::Cluster { tasks } => tasks,
        Kind::Leases { .. } => LEASING_TASKS,
        kind => return Err(elsewhere(kind)),
    };
    let (stage, keys) = (Arc::new(Stage::new()), Arc::new(data::keys()));
    runtime(job.kind.workers())?.block_on(async {
        let client = C::connect(&job.addr).await?;
        let spawn = |index| {
            let tally = Tally::new(job.budget, index, tasks);
            tokio::spawn(one_task(client.clone(), Arc::clone(&keys), Arc::clone(&stage), tally, index))
        };
        let loops: Vec<_> = (0..tasks).map(spawn).collect();
        let mut measured = stage.conduct(job.budget).await;
        for one in loops {
            measured.calls += one.await??;
        }
        Ok(measured)
    })
}

/// Measures GETs by many threads on clones of one blocking client.
///
/// # Errors
/// As [`tasks`].
pub fn threads<C: BlockingShared>(job: &Job) -> Fallible<Measured> {
    let Kind::Threads(count) = job.kind else { return Err(elsewhere(job.kind)) };
    let (stage, keys) = (Arc::new(Stage::new()), Arc::new(data::keys()));
    let client = C::connect(&job.addr)?;
    let spawn = |index| {
        let tally = Tally::new(job.budget, index, count);
        let (client, keys, stage) = (client.clone(), Arc::clone(&keys), Arc::clone(&stage));
        thread::spawn(move || one_thread(client, &keys, &stage, tally, index))
    };
    let loops: Vec<_> = (0..count).map(spawn).collect();
    // This thread only sleeps meanwhile.
    let mut measured = runtime(0)?.block_on(stage.conduct(job.budget));
    for one in loops {
        measured.calls += one.join().map_err(|_| "a thread panicked")??;
    }
    Ok(measured)
}

async fn one_task<C: SharedGet>(
    mut client: C,
    keys: Arc<Vec<String>>,
    stage: Arc<Stage>,
    mut tally: Tally,
    mut turn: usize,
) -> Fallible<u64> {
    while tally.next(&stage) {
        let key = &keys[turn % KEYS];
        data::check(key, &client.get(key).await?, VALUE_LEN)?;
        turn += 1;
    }
    Ok(tally.calls)
}

fn one_thread<C: BlockingShared>(
    mut client: C,
    keys: &[String],
    stage: &Stage,
    mut tally: Tally,
    mut turn: usize,
) -> Fallible<u64> {
    while tally.next(stage) {
        let key = &keys[turn % KEYS];
        data::check(key, &client.get(key)?, VALUE_LEN)?;
        turn += 1;
    }
    Ok(tally.calls)
}
