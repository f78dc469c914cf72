//! One measurement of one client, in a process of its own: connects, loops, checks every reply.
//! It knows what a call of each workload is, but neither which client it calls nor how time is taken.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use crate::Fallible;
use crate::clients::{AsyncClient, BlockingClient, SharedGet};
use crate::data::{self, BIG, BIG_LEN, BIG_WRITTEN, HASH, KEYS, LIST, VALUE_LEN};
use crate::feed::Feed;
use crate::meter::{Budget, Laps, Measured, Stage, Tally};
use crate::workload::Kind;

/// What a child is told to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// `host:port` of the loaded server; of each node, with commas between, where the workload is a
    /// cluster's.
    pub addr: String,
    /// What a call does.
    pub kind: Kind,
    /// How many or how long.
    pub budget: Budget,
}

/// Measures a blocking client.
///
/// # Errors
/// Fails if the client does, or if a reply is wrong.
pub fn blocking<C: BlockingClient>(job: &Job) -> Fallible<Measured> {
    if job.kind == Kind::Messages {
        let mut feed = Feed::connect(job)?;
        C::listen(&job.addr, &mut feed)?;
        return Ok(feed.finish());
    }
    let mut client = C::connect(&job.addr)?;
    let inputs = Inputs::<C::Payload>::new(job.kind);
    let mut laps = Laps::new(job.budget);
    let mut turn = 0;
    while laps.next() {
        call_blocking(&mut client, job.kind, &inputs, turn)?;
        turn += 1;
    }
    Ok(laps.finish())
}

/// Measures an async client.
///
/// # Errors
/// As [`blocking`].
pub fn on_tokio<C: AsyncClient>(job: &Job) -> Fallible<Measured> {
    if let Kind::Tasks { tasks, workers } = job.kind {
        return shared::<C>(job, tasks, workers);
    }
    let job = job.clone();
    runtime(0)?.block_on(async { tokio::spawn(one_loop::<C>(job)).await? })
}

/// Measures GETs by many tasks on clones of one client of a cluster.
///
/// # Errors
/// As [`blocking`].
pub fn on_cluster<C: SharedGet>(job: &Job) -> Fallible<Measured> {
    let Kind::Cluster { tasks } = job.kind else {
        return Err("a client of a cluster is measured for nothing else".into());
    };
    shared::<C>(job, tasks, 0)
}

/// Measures GETs by many tasks on clones of one client.
///
/// # Errors
/// As [`blocking`].
pub fn shared<C: SharedGet>(job: &Job, tasks: usize, workers: usize) -> Fallible<Measured> {
    let (stage, keys) = (Arc::new(Stage::new()), Arc::new(data::keys()));
    runtime(workers)?.block_on(async {
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

/// A runtime with so many workers; with 0, one that runs on the calling thread.
///
/// # Errors
/// Fails if the system denies threads or an event queue.
pub fn runtime(workers: usize) -> Fallible<Runtime> {
    let mut builder = match workers {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    Ok(builder.worker_threads(workers.max(1)).enable_all().build()?)
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

async fn one_loop<C: AsyncClient>(job: Job) -> Fallible<Measured> {
    if job.kind == Kind::Messages {
        let mut feed = Feed::connect(&job)?;
        C::listen(&job.addr, &mut feed).await?;
        return Ok(feed.finish());
    }
    let mut client = C::connect(&job.addr).await?;
    let inputs = Inputs::<C::Payload>::new(job.kind);
    let mut laps = Laps::new(job.budget);
    while laps.next() {
        call(&mut client, job.kind, &inputs).await?;
    }
    Ok(laps.finish())
}

/// What the calls are given, made before the measurement.
struct Inputs<P> {
    keys: Vec<String>,
    value: P,
}

impl<P: From<Vec<u8>>> Inputs<P> {
    fn new(kind: Kind) -> Self {
        let mut keys = data::keys();
        let mut value = Vec::new();
        match kind {
            Kind::Pipeline(gets) => keys = (0..gets).map(|i| data::name(i % KEYS)).collect(),
            Kind::Set => value = data::value(&keys[0], VALUE_LEN),
            Kind::BigSet => value = data::value(BIG_WRITTEN, BIG_LEN),
            _ => {}
        }
        Self { keys, value: P::from(value) }
    }
}

fn call_blocking<C: BlockingClient>(
    client: &mut C,
    kind: Kind,
    inputs: &Inputs<C::Payload>,
    turn: usize,
) -> Fallible<()> {
    let keys = &inputs.keys;
    match kind {
        Kind::Get | Kind::Tasks { .. } => {
            let key = &keys[turn % KEYS];
            data::check(key, &client.get(key)?, VALUE_LEN)
        }
        Kind::Set => client.set(&keys[0], &inputs.value),
        Kind::Pipeline(_) => data::check_many(keys, &client.pipeline(keys)?),
        Kind::Range => data::check_list(&client.lrange(LIST)?),
        Kind::Hash => data::check_hash(&client.hgetall(HASH)?),
        Kind::BigGet => data::check(BIG, &client.get(BIG)?, BIG_LEN),
        Kind::BigSet => client.set(BIG_WRITTEN, &inputs.value),
        Kind::Messages => unreachable!("messages are listened for, not called for"),
        Kind::Cluster { .. } => unreachable!("clients of clusters are measured by `on_cluster`"),
    }
}

async fn call<C: AsyncClient>(client: &mut C, kind: Kind, inputs: &Inputs<C::Payload>) -> Fallible<()> {
    let keys = &inputs.keys;
    match kind {
        Kind::Get | Kind::Tasks { .. } => data::check(&keys[0], &client.get(&keys[0]).await?, VALUE_LEN),
        Kind::Set => client.set(&keys[0], &inputs.value).await,
        Kind::Pipeline(_) => data::check_many(keys, &client.pipeline(keys).await?),
        Kind::Range => data::check_list(&client.lrange(LIST).await?),
        Kind::Hash => data::check_hash(&client.hgetall(HASH).await?),
        Kind::BigGet => data::check(BIG, &client.get(BIG).await?, BIG_LEN),
        Kind::BigSet => client.set(BIG_WRITTEN, &inputs.value).await,
        Kind::Messages => unreachable!("messages are listened for, not called for"),
        Kind::Cluster { .. } => unreachable!("clients of clusters are measured by `on_cluster`"),
    }
}
