//! One measurement of one client, in a process of its own: connects, loops, checks every reply.
//! It knows what a call of each workload is, but neither which client it calls nor how time is taken.
//!
//! Here are the loops that make one call after another on one connection; those of many tasks or threads are
//! in `crowd`, those that connect each time in `visit`, those of caches in `cached`, those of clusters in
//! `clustered`.

pub mod cached;
pub mod clustered;
pub mod crowd;
pub mod visit;

use std::path::PathBuf;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};

use crate::Fallible;
use crate::clients::{AsyncClient, BlockingClient, BlockingWatch, Watch};
use crate::data::{self, HASH, KEYS, LIST, VALUE_LEN};
use crate::feed::Feed;
use crate::meter::{Budget, Laps, Measured};
use crate::workload::{Form, Kind, MULTI_LEN};

/// What a child is told to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// `host:port` of the loaded server; of each node, with commas between, where the workload is a
    /// cluster's.
    pub addr: String,
    /// The certificate of the authority that the client trusts, where TLS is spoken (PEM).
    pub ca: Option<PathBuf>,
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
    let inputs = Inputs::new(job.kind);
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
    let job = job.clone();
    runtime(0)?.block_on(async { tokio::spawn(one_loop::<C>(job)).await? })
}

/// Measures optimistic transactions of a blocking client.
///
/// # Errors
/// As [`blocking`].
pub fn watching_blocking<C: BlockingWatch>(job: &Job) -> Fallible<Measured> {
    let mut client = C::connect(&job.addr)?;
    let inputs = Inputs::new(job.kind);
    let mut laps = Laps::new(job.budget);
    while laps.next() {
        let key = &inputs.keys[0];
        data::check(key, &client.replace(key, &inputs.value)?, VALUE_LEN)?;
    }
    Ok(laps.finish())
}

/// Measures optimistic transactions of an async client.
///
/// # Errors
/// As [`blocking`].
pub fn watching<C: Watch>(job: &Job) -> Fallible<Measured> {
    let job = job.clone();
    let watching = async move {
        let mut client = C::connect(&job.addr).await?;
        let inputs = Inputs::new(job.kind);
        let mut laps = Laps::new(job.budget);
        while laps.next() {
            let key = &inputs.keys[0];
            data::check(key, &client.replace(key, &inputs.value).await?, VALUE_LEN)?;
        }
        Ok(laps.finish())
    };
    runtime(0)?.block_on(async { tokio::spawn(watching).await? })
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

async fn one_loop<C: AsyncClient>(job: Job) -> Fallible<Measured> {
    if job.kind == Kind::Messages {
        let mut feed = Feed::connect(&job)?;
        C::listen(&job.addr, &mut feed).await?;
        return Ok(feed.finish());
    }
    let mut client = C::connect(&job.addr).await?;
    let inputs = Inputs::new(job.kind);
    let mut laps = Laps::new(job.budget);
    while laps.next() {
        call(&mut client, job.kind, &inputs).await?;
    }
    Ok(laps.finish())
}

/// What the calls are given, made before the measurement.
struct Inputs {
    keys: Vec<String>,
    /// In both forms: the same bytes once, and not copied.
    value: Bytes,
}

impl Inputs {
    fn new(kind: Kind) -> Self {
        let mut keys = data::keys();
        let mut value = Vec::new();
        match kind {
            Kind::Pipeline(gets) => keys = (0..gets).map(|i| data::name(i % KEYS)).collect(),
            Kind::Multi => keys.truncate(MULTI_LEN),
            Kind::Set | Kind::Watch => value = data::value(&keys[0], VALUE_LEN),
            Kind::Read { len, .. } => keys = vec![data::large(len)],
            Kind::Write { len, .. } => {
                keys = vec![data::written(len)];
                value = data::value(&keys[0], len);
            }
            _ => {}
        }
        Self { keys, value: Bytes::from(value) }
    }
}

fn call_blocking<C: BlockingClient>(
    client: &mut C,
    kind: Kind,
    inputs: &Inputs,
    turn: usize,
) -> Fallible<()> {
    let (keys, value) = (&inputs.keys, &inputs.value);
    match kind {
        Kind::Get => {
            let key = &keys[turn % KEYS];
            data::check(key, &client.get(key)?, VALUE_LEN)
        }
        Kind::Set | Kind::Write { form: Form::Owned, .. } => client.set(&keys[0], value),
        Kind::Write { form: Form::Shared, .. } => client.set_shared(&keys[0], value),
        Kind::Read { len, form: Form::Owned } => data::check(&keys[0], &client.get_owned(&keys[0])?, len),
        Kind::Read { len, form: Form::Shared } => data::check(&keys[0], &client.get_shared(&keys[0])?, len),
        Kind::Pipeline(_) => data::check_many(keys, &client.pipeline(keys)?),
        Kind::Range(Form::Owned) => data::check_list(&client.lrange_owned(LIST)?),
        Kind::Range(Form::Shared) => data::check_list(&client.lrange_shared(LIST)?),
        Kind::Hash => data::check_hash(&client.hgetall(HASH)?),
        Kind::Multi => data::check_many(keys, &client.multi(keys)?),
        _ => Err(elsewhere(kind)),
    }
}

async fn call<C: AsyncClient>(client: &mut C, kind: Kind, inputs: &Inputs) -> Fallible<()> {
    let (keys, value) = (&inputs.keys, &inputs.value);
    let key = &keys[0];
    match kind {
        Kind::Set | Kind::Write { form: Form::Owned, .. } => client.set(key, value).await,
        Kind::Write { form: Form::Shared, .. } => client.set_shared(key, value).await,
        Kind::Read { len, form: Form::Owned } => data::check(key, &client.get_owned(key).await?, len),
        Kind::Read { len, form: Form::Shared } => data::check(key, &client.get_shared(key).await?, len),
        Kind::Pipeline(_) => data::check_many(keys, &client.pipeline(keys).await?),
        Kind::Range(Form::Owned) => data::check_list(&client.lrange_owned(LIST).await?),
        Kind::Range(Form::Shared) => data::check_list(&client.lrange_shared(LIST).await?),
        Kind::Hash => data::check_hash(&client.hgetall(HASH).await?),
        Kind::Multi => data::check_many(keys, &client.multi(keys).await?),
        _ => Err(elsewhere(kind)),
    }
}

/// The table of clients gave a workload to the wrong loop.
fn elsewhere(kind: Kind) -> Box<dyn std::error::Error + Send + Sync> {
    format!("{kind:?} is measured by another loop").into()
}
