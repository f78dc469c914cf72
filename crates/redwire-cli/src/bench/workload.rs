//! What a bench calls: the keys, the values, and one call after another.

use bytes::Bytes;
use fastrand::Rng;
use redwire::{Cmd, Pipeline, Reply, Result, Run, Slot, cmd};

use crate::args::{self, Workload as Kind};
use crate::caller::Caller;

/// How many keys an MGET names at most, how many elements a list has, and how many lists there are at most.
const MANY: u32 = 100;

/// So many commands prepare in one go at most, and so many bytes of values.
const BATCH: usize = 1000;
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// What is called, and on which keys: the same for all tasks.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) kind: Kind,
    pub(super) keys: u32,
    /// How many commands one call sends.
    pub(super) pipeline: u32,
    value: Bytes,
    prefix: String,
}

/// Bytes of values that a call moved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moved {
    pub(super) written: u64,
    pub(super) read: u64,
}

impl Workload {
    pub(super) fn new(bench: &args::Bench) -> Self {
        let (bytes, keys) = if bench.workload == Kind::Large { (1024 * 1024, 16) } else { (64, 1000) };
        let value = vec![b'x'; bench.value_bytes.unwrap_or(bytes) as usize];
        let keys = bench.keys.unwrap_or(keys);
        Self {
            kind: bench.workload,
            keys: if bench.workload == Kind::Lrange { keys.min(MANY) } else { keys },
            pipeline: bench.pipeline.unwrap_or(if bench.workload == Kind::Pipeline { 50 } else { 1 }),
            value: value.into(),
            prefix: format!("{}:{:08x}", bench.prefix, fastrand::u32(..)),
        }
    }

    pub(super) fn value_bytes(&self) -> usize {
        self.value.len()
    }

    fn key(&self, number: u32) -> String {
        format!("{}:{number}", self.prefix)
    }

    fn any_key(&self, rng: &mut Rng) -> String {
        self.key(rng.u32(..self.keys))
    }

    /// Fills the keys.
    pub(super) async fn prepare(&self, caller: &Caller) -> Result<()> {
        let bytes = self.value.len() * if self.kind == Kind::Lrange { MANY as usize } else { 1 };
        let batch = (BATCH_BYTES / bytes).clamp(1, BATCH);
        let numbers: Vec<_> = (0..self.keys).collect();
        for numbers in numbers.chunks(batch) {
            caller
                .pipeline(|p| numbers.iter().map(|number| self.fill(p, *number)).collect::<Vec<_>>())
                .await?;
        }
        Ok(())
    }

    fn fill(&self, pipeline: &Pipeline, number: u32) -> Slot<()> {
        let key = self.key(number);
        pipeline.run(match self.kind {
            Kind::Lrange => cmd("RPUSH").arg(key).arg(vec![&self.value; MANY as usize]),
            Kind::Incr => cmd("SET").arg(key).arg(0),
            _ => cmd("SET").arg(key).arg(&self.value),
        })
    }

    /// Has `caller` connected, so that this is not measured; in a cluster, to each node that has some of the
    /// keys.
    pub(super) async fn warm(&self, caller: &Caller) -> Result<()> {
        let keys: Vec<_> = (0..self.keys.min(MANY)).map(|number| self.key(number)).collect();
        caller.execute(cmd::<u64>("EXISTS").arg(keys)).await.map(drop)
    }

    /// Deletes the keys.
    pub(super) async fn clean(&self, caller: &Caller) -> Result<()> {
        let numbers: Vec<_> = (0..self.keys).collect();
        for numbers in numbers.chunks(BATCH) {
            let keys: Vec<_> = numbers.iter().map(|number| self.key(*number)).collect();
            caller.execute(cmd::<u64>("DEL").arg(keys).idempotent()).await?;
        }
        Ok(())
    }

    /// Makes one call.
    pub(super) async fn call(&self, caller: &Caller, rng: &mut Rng) -> Result<Moved> {
        match self.kind {
            Kind::Get | Kind::Pipeline => self.get(caller, rng).await,
            Kind::Set => self.set(caller, rng).await,
            Kind::Incr => {
                let counts = self.repeat(caller, || cmd::<i64>("INCR").arg(self.any_key(rng))).await;
                counts.map(|_| Moved::default())
            }
            Kind::Mixed if rng.u8(..5) == 0 => self.set(caller, rng).await,
            Kind::Mixed => self.get(caller, rng).await,
            Kind::Mget => {
                let mut keys = || (0..self.keys.min(MANY)).map(|_| self.any_key(rng)).collect::<Vec<_>>();
                let values = self.repeat(caller, || cmd::<Vec<Option<Bytes>>>("MGET").arg(keys())).await?;
                Ok(read(values.iter().flatten().flatten()))
            }
            Kind::Lrange => {
                let range = || cmd::<Vec<Bytes>>("LRANGE").arg(self.any_key(rng)).arg(0).arg(-1);
                let lists = self.repeat(caller, range).await?;
                Ok(read(lists.iter().flatten()))
            }
            Kind::Large if rng.bool() => self.set(caller, rng).await,
            Kind::Large => self.get(caller, rng).await,
        }
    }

    async fn get(&self, caller: &Caller, rng: &mut Rng) -> Result<Moved> {
        let values = self.repeat(caller, || cmd::<Option<Bytes>>("GET").arg(self.any_key(rng))).await?;
        Ok(read(values.iter().flatten()))
    }

    async fn set(&self, caller: &Caller, rng: &mut Rng) -> Result<Moved> {
        self.repeat(caller, || cmd::<()>("SET").arg(self.any_key(rng)).arg(&self.value)).await?;
        Ok(Moved { written: u64::from(self.pipeline) * self.value.len() as u64, read: 0 })
    }

    /// Sends as many commands as a call has.
    async fn repeat<R: Reply>(&self, caller: &Caller, mut cmd: impl FnMut() -> Cmd<R>) -> Result<Vec<R>> {
        if self.pipeline == 1 {
            return caller.execute(cmd()).await.map(|value| vec![value]);
        }
        caller.pipeline(|p| (0..self.pipeline).map(|_| p.run(cmd())).collect::<Vec<_>>()).await
    }
}

fn read<'v>(values: impl Iterator<Item = &'v Bytes>) -> Moved {
    Moved { written: 0, read: values.map(|value| value.len() as u64).sum() }
}
