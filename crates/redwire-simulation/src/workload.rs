//! What the tasks of a scenario do with the client.
//!
//! Each call is noted when it begins and when it has ended. This file must not know what is right.

mod clients;
mod leases;
mod locks;
mod plain;
mod pubsub;
mod reads;
mod scans;
mod transactions;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use redwire::{Client, Cmd, Pipeline, Result, Run, Script, Slot, Value, cmd};
use tokio::time::sleep;

use crate::history::{Answer, Call, Ended, Form, Op};
use crate::scenario::{LONGEST, Scenario, Task, Topology, Work};
use crate::world::World;

pub(crate) use scans::{FIELDS, fixed_key};

/// What stands for the script of [`Op::Script`] in the model.
pub(crate) const SCRIPT: &str = "return redis.call('INCRBY', KEYS[1], ARGV[1])";

/// Tags of one task are below this.
const TAGS: u64 = 100_000;

/// A call on its way.
type Answers<'c> = Pin<Box<dyn Future<Output = Result<Vec<Value>>> + Send + 'c>>;

/// One task with what it needs.
#[derive(Debug)]
pub(crate) struct Worker {
    world: Arc<World>,
    scenario: Arc<Scenario>,
    client: Client,
    random: fastrand::Rng,
    task: Task,
    tags: u64,
    script: Script,
    /// The number that keys have now, where all must be in one slot.
    slot: Option<u64>,
}

impl Worker {
    pub(crate) fn new(world: &Arc<World>, scenario: &Arc<Scenario>, client: &Client, task: Task) -> Self {
        Self {
            world: Arc::clone(world),
            scenario: Arc::clone(scenario),
            client: client.clone(),
            random: fastrand::Rng::with_seed(scenario.seed.wrapping_mul(31).wrapping_add(task.id as u64)),
            task,
            tags: (task.id as u64 + 1) * TAGS,
            script: Script::new(SCRIPT),
            slot: None,
        }
    }

    /// Goes on until the scenario ends.
    pub(crate) async fn work(mut self) {
        match self.task.work {
            Work::Strings
            | Work::Counters
            | Work::Lists
            | Work::Pipelines
            | Work::Transactions
            | Work::Publishes => self.plain().await,
            Work::Watches => self.watches().await,
            Work::Subscribes => self.subscribes().await,
            Work::Locks => self.locks().await,
            Work::Reads => self.reads().await,
            Work::Leases => self.leases().await,
            Work::Clients => self.clients().await,
            Work::Scans => self.scans().await,
        }
    }

    fn is_over(&self) -> bool {
        self.world.now() >= self.scenario.length
    }

    /// A pause between calls: often none.
    async fn rest(&mut self) {
        let millis = if self.random.u32(..4) == 0 { 0 } else { self.random.u64(..=self.task.pause) };
        sleep(Duration::from_millis(millis)).await;
    }

    fn tag(&mut self) -> u64 {
        self.tags += 1;
        self.tags
    }

    fn key(&mut self, kind: &str) -> String {
        let number = self.random.u64(..self.scenario.keys);
        // In a cluster all kinds of a number are in one slot, and each number in another.
        match self.scenario.topology {
            Topology::Cluster => format!("{kind}{{{}}}", self.slot.unwrap_or(number)),
            Topology::Single | Topology::Sentinels => format!("{kind}{number}"),
        }
    }

    fn chance(&mut self, of: u32) -> bool {
        of > 0 && self.random.u32(..of) == 0
    }

    /// After how many polls a call is given up, if it is.
    fn patience(&mut self) -> Option<usize> {
        self.chance(self.task.drops).then(|| self.random.usize(1..6))
    }

    /// A deadline of its own, or the client's.
    fn limit(&mut self) -> Option<Duration> {
        let millis = [1, 5, 20, 100, 500, 1_000, 2_000];
        let has_own = self.random.bool();
        has_own.then(|| Duration::from_millis(millis[self.random.usize(..millis.len())]).min(LONGEST))
    }

    /// Notes that a call begins; gives its place.
    fn begin(&self, form: Form, ops: &[Op], limit: Option<Duration>, may_repeat: bool) -> usize {
        let task = self.task.id;
        let time = limit.unwrap_or(self.scenario.options.timeout);
        // A server lets a caller wait as long as it asked for.
        let waits = ops.iter().map(|op| if let Op::Wait(_, millis) = op { *millis } else { 0 }).sum();
        let waits = Duration::from_millis(waits);
        let is_fair = time >= self.scenario.slack()
            && !matches!(form, Form::Closing | Form::Lease | Form::Watched)
            && (waits.is_zero() || self.scenario.has_room());
        self.world.with(|state, now| {
            let place = state.history.calls.len();
            state.history.note(now, || format!("task {task}: call {place} {form:?} {ops:?} within {time:?}"));
            state.history.calls.push(Call {
                task,
                form,
                ops: ops.to_vec(),
                may_repeat,
                begun: now,
                deadline: now + time + waits,
                is_fair,
                ended_at: Duration::MAX,
                ended: Ended::Open,
            });
            place
        })
    }

    /// Notes how a call has ended.
    fn end(&self, place: usize, ended: Ended) {
        let task = self.task.id;
        self.world.with(|state, now| {
            state.history.note(now, || format!("task {task}: call {place} {}", told(&ended)));
            let call = &mut state.history.calls[place];
            (call.ended, call.ended_at) = (ended, now);
        });
    }

    /// Awaits a call, or gives it up half-way.
    async fn finish(&mut self, place: usize, answers: Answers<'_>) -> Option<Result<Vec<Answer>>> {
        let polls = self.patience();
        let answered = abandon(answers, polls).await;
        let answered =
            answered.map(|result| result.map(|values| values.into_iter().map(Answer::from).collect()));
        self.end(
            place,
            match &answered {
                None => Ended::Dropped,
                Some(Ok(answers)) => Ended::Answered(Clone::clone(answers)),
                Some(Err(error)) => Ended::Failed(error.clone()),
            },
        );
        answered
    }
}

fn told(ended: &Ended) -> String {
    match ended {
        Ended::Failed(error) => format!("failed, {:?}: {error}", error.outcome()),
        other => format!("{other:?}"),
    }
}

fn command(op: &Op, script: &Script) -> Cmd<Value> {
    match op {
        Op::Set(key, tag) => cmd("SET").arg(key).arg(format!("{key}:{tag}")),
        Op::Get(key) => cmd("GET").arg(key),
        Op::Add(key, tag) => cmd("INCRBY").arg(key).arg(*tag),
        Op::Script(key, tag) => script.key(key).arg(*tag).cmd(),
        Op::Push(key, tag) => cmd("RPUSH").arg(key).arg(*tag),
        Op::Pop(key) => cmd("LPOP").arg(key),
        Op::Wait(key, millis) => {
            cmd("BLPOP").arg(key).arg(format!("{}.{:03}", millis / 1_000, millis % 1_000))
        }
        Op::Echo(tag) => cmd("ECHO").arg(*tag),
        Op::Publish(channel, tag) => cmd("PUBLISH").arg(channel).arg(*tag),
        Op::SetMany(pairs) => {
            pairs.iter().fold(cmd("MSET"), |command, (key, tag)| command.arg(key).arg(format!("{key}:{tag}")))
        }
        Op::GetMany(keys) => keys.iter().fold(cmd("MGET"), Cmd::arg),
        Op::Delete(keys) => keys.iter().fold(cmd("DEL"), Cmd::arg),
    }
}

fn queue(pipeline: &Pipeline, commands: Vec<Cmd<Value>>, limit: Option<Duration>) -> Vec<Slot<Value>> {
    if let Some(limit) = limit {
        pipeline.timeout(limit);
    }
    commands.into_iter().map(|command| pipeline.run(command)).collect()
}

/// What `future` gives; `None`: it was dropped after so many polls.
async fn abandon<T>(future: impl Future<Output = T>, polls: Option<usize>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(move |cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        match &mut left {
            Some(0 | 1) => Poll::Ready(None),
            Some(left) => {
                *left -= 1;
                Poll::Pending
            }
            None => Poll::Pending,
        }
    })
    .await
}
