//! What one task of a drill does: it writes, counts, pushes and reads on keys of its own, and holds every
//! reply against its books.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use redwire::prelude::*;
use redwire::{Cmd, Pipeline, Result, TrySlot, cmd};

use super::ledger::{self, Counter, Execution, Pile, Register};
use super::listener::Channel;
use super::tally::{Drill, Limit, Tally};
use crate::caller::Caller;

/// So many keys with values each task has.
const REGISTERS: usize = 8;

/// More elements than this no list is to have.
const FULL: usize = 100;

/// How long a task waits at the server for an element. An idle server looks ten times a second whether such a
/// time is over.
const WAIT: Duration = Duration::from_millis(20);

/// How long a task pauses between calls at most: this is a drill, and not a load.
const PAUSE_MS: u64 = 5;

/// In the end, how long a message may be on its way before another one is sent after it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A list with its books, which two tasks may share.
#[derive(Clone, Debug)]
pub(super) struct List {
    key: String,
    pile: Arc<Mutex<Pile>>,
}

impl List {
    pub(super) fn new(key: String) -> Self {
        Self { key, pile: Arc::default() }
    }

    fn pile(&self) -> MutexGuard<'_, Pile> {
        self.pile.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counter with its books.
#[derive(Debug)]
struct Count {
    key: String,
    counter: Counter,
}

pub(super) struct Worker {
    caller: Caller,
    drill: Arc<Drill>,
    /// What every call must have ended by.
    deadline: Duration,
    rng: Rng,
    registers: Vec<(String, Register)>,
    /// One that is counted alone, and two that are counted together.
    counts: [Count; 3],
    /// Pushed and popped by this task.
    stack: List,
    /// Waited at by this task, and filled by another.
    inbox: List,
    /// The inbox of another task.
    outbox: List,
    /// Where this task publishes.
    channel: Channel,
    nonce: u64,
    tally: Tally,
}

impl Worker {
    /// Task number `task`, with keys that begin with `prefix`.
    pub(super) fn new(
        caller: Caller,
        drill: Arc<Drill>,
        deadline: Duration,
        (task, seed): (usize, u64),
        prefix: &str,
        (inbox, outbox): (List, List),
    ) -> Self {
        let key = |name: &str| format!("{prefix}:{task}:{name}");
        let count = |place| {
            // Those that are counted together must be in one slot of a cluster.
            let key =
                if place == 0 { key("counter0") } else { format!("{prefix}:{{{task}}}:counter{place}") };
            Count { key, counter: Counter::new(task * 3 + place) }
        };
        let relayed = caller.is_of_cluster();
        Self {
            caller,
            drill,
            deadline,
            rng: Rng::with_seed(seed),
            registers: (0..REGISTERS).map(|place| (key(&place.to_string()), Register::default())).collect(),
            counts: [count(0), count(1), count(2)],
            stack: List::new(key("stack")),
            inbox,
            outbox,
            channel: Channel::new(key("channel"), relayed),
            nonce: 0,
            tally: Tally::new(),
        }
    }

    /// All keys of this task.
    pub(super) fn keys(&self) -> Vec<&str> {
        let keys =
            self.registers.iter().map(|(key, _)| key).chain(self.counts.iter().map(|count| &count.key));
        keys.chain([&self.stack.key, &self.inbox.key]).map(String::as_str).collect()
    }

    /// Where this task publishes.
    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) fn into_tally(self) -> Tally {
        self.tally
    }

    /// Sets the counters to where they begin. Doing it twice, or late, changes nothing.
    pub(super) async fn prepare(&self) -> Result<()> {
        for Count { key, counter } in &self.counts {
            let cmd = cmd::<Option<String>>("SET").arg(key).arg(counter.base()).arg("NX");
            self.caller.execute(cmd.idempotent()).await?;
        }
        Ok(())
    }

    /// Works until the drill is stopped.
    pub(super) async fn run(&mut self) {
        while !self.drill.is_stopped() {
            match self.rng.u8(..10) {
                0 | 1 => self.write_and_read().await,
                2 => self.count().await,
                3 => self.push_or_pop().await,
                4 => self.transact().await,
                5 => self.pipeline().await,
                6 => self.read_all().await,
                7 => self.wait_for_element().await,
                8 => self.publish().await,
                _ => self.feed().await,
            }
            let pause = Duration::from_millis(self.rng.u64(..=PAUSE_MS));
            tokio::time::sleep(pause).await;
        }
        self.tally.judge_all(&self.drill).await;
    }

    /// Makes a call, and notes how it went.
    async fn call<T>(
        tally: &mut Tally,
        drill: &Drill,
        limit: Limit,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        let result = call.await;
        tally.note(drill, began, limit, result.as_ref().err());
        result
    }

    async fn execute<R: redwire::Reply>(&mut self, cmd: Cmd<R>, wait: Duration) -> Result<R> {
        let limit = Limit { deadline: self.deadline, wait };
        Self::call(&mut self.tally, &self.drill, limit, self.caller.execute(cmd)).await
    }

    async fn write_and_read(&mut self) {
        let place = self.rng.usize(..REGISTERS);
        let (key, register) = &mut self.registers[place];
        let (key, write) = (key.clone(), register.issue());
        let cmd = cmd::<()>("SET").arg(&key).arg(ledger::value(&key, write));
        let written = self.execute(cmd, Duration::ZERO).await;
        self.registers[place].1.handle_outcome(write, Execution::of(&written));
        let read = self.execute(get(&key), Duration::ZERO).await;
        self.check_register(place, read);
    }

    /// Holds what was read of a register against its book.
    fn check_register(&mut self, place: usize, read: Result<Option<Vec<u8>>>) {
        let Ok(read) = read else { return };
        let (key, register) = &mut self.registers[place];
        match read.map(|value| ledger::written(key, &value)) {
            Some(None) => self.tally.findings.mismatched += 1,
            Some(write) => register.check(write, &mut self.tally.findings),
            None => register.check(None, &mut self.tally.findings),
        }
    }

    async fn count(&mut self) {
        let cmd = cmd::<i64>("INCR").arg(&self.counts[0].key);
        let counted = self.execute(cmd, Duration::ZERO).await;
        self.check_count(0, Execution::of(&counted), counted.ok());
    }

    /// A counter was counted up, and `value` is what came back.
    fn check_count(&mut self, place: usize, execution: Execution, value: Option<i64>) {
        let counter = &mut self.counts[place].counter;
        counter.handle_outcome(execution);
        if value.is_some() {
            counter.check(value, &mut self.tally.findings);
        }
    }

    async fn push_or_pop(&mut self) {
        let list = self.stack.clone();
        let full = list.pile().len() >= FULL;
        if !full && self.rng.bool() {
            return self.push(&list).await;
        }
        let newest = list.pile().newest();
        let popped = self.execute(cmd("LPOP").arg(&list.key), Duration::ZERO).await;
        self.check_taken(&list, newest, popped);
    }

    async fn push(&mut self, list: &List) {
        let push = list.pile().issue();
        let cmd = cmd::<u64>("LPUSH").arg(&list.key).arg(ledger::value(&list.key, push));
        let pushed = self.execute(cmd, Duration::ZERO).await;
        list.pile().handle_outcome(push, Execution::of(&pushed));
    }

    /// Holds what was taken from a list against its book.
    fn check_taken(&mut self, list: &List, newest: Option<u64>, taken: Result<Option<Vec<u8>>>) {
        let findings = &mut self.tally.findings;
        match taken.as_ref().map(|element| element.as_ref().map(|value| ledger::written(&list.key, value))) {
            Ok(Some(Some(push))) => list.pile().taken(push, findings),
            Ok(Some(None)) => findings.mismatched += 1,
            Ok(None) => list.pile().taken_none(newest, findings),
            Err(_) if Execution::of(&taken) == Execution::NotExecuted => {}
            Err(_) => list.pile().taken_perhaps(),
        }
    }

    /// Gives the other task something to wait for.
    async fn feed(&mut self) {
        let list = self.outbox.clone();
        if list.pile().len() < FULL {
            self.push(&list).await;
        }
    }

    async fn wait_for_element(&mut self) {
        let list = self.inbox.clone();
        // Mostly there is one to come by: tasks that only wait would look like an outage.
        if list.pile().len() == 0 && self.rng.u8(..4) > 0 {
            return;
        }
        let newest = list.pile().newest();
        let cmd = cmd::<Option<(String, Vec<u8>)>>("BLPOP").arg(&list.key).arg(WAIT.as_secs_f64());
        let taken = self.execute(cmd, WAIT).await;
        if taken.as_ref().is_ok_and(|taken| taken.as_ref().is_some_and(|(key, _)| *key != list.key)) {
            self.tally.findings.mismatched += 1;
            return;
        }
        self.check_taken(&list, newest, taken.map(|taken| taken.map(|(_, value)| value)));
    }

    /// Counts two counters up together: both or none.
    async fn transact(&mut self) {
        let [one, other] = [1, 2].map(|place: usize| self.counts[place].key.as_str());
        let call = self.caller.atomic(|p| (p.incr(one).attempt(), p.incr(other).attempt()));
        let began = Instant::now();
        let (one, other) = call.await.unwrap_or_else(|error| (Err(error.clone()), Err(error)));
        let error = [&one, &other].into_iter().find_map(|counted| counted.as_ref().err());
        self.tally.note(&self.drill, began, Limit::of(self.deadline), error);
        for (place, counted) in [(1, one), (2, other)] {
            self.check_count(place, Execution::of(&counted), counted.ok());
        }
    }

    async fn publish(&mut self) {
        let channel = self.channel.clone();
        let message = channel.book().issue();
        let cmd = cmd::<u64>("PUBLISH").arg(&channel.name).arg(ledger::value(&channel.name, message));
        let published = self.execute(cmd, Duration::ZERO).await;
        channel.book().handle_outcome(message, Execution::of(&published), &mut self.tally.findings);
    }

    /// Several calls in one write, each with a reply that only it can have.
    async fn pipeline(&mut self) {
        let (place, other) = (self.rng.usize(..REGISTERS), self.rng.usize(..REGISTERS));
        self.nonce += 1;
        let nonce = format!("{}#{}", self.stack.key, self.nonce);
        let (key, register) = &mut self.registers[place];
        let (key, write) = (key.clone(), register.issue());
        let value = ledger::value(&key, write);
        let call = self.caller.pipeline(|p| {
            (
                p.set(&key, value).attempt(),
                p.get::<Vec<u8>>(&self.registers[other].0).attempt(),
                p.incr(&self.counts[0].key).attempt(),
                echo(p, &nonce),
            )
        });
        let began = Instant::now();
        let (written, read, counted, echoed) = match call.await {
            Ok(replies) => replies,
            Err(error) => (Err(error.clone()), Err(error.clone()), Err(error.clone()), Err(error)),
        };
        let errors =
            [written.as_ref().err(), read.as_ref().err(), counted.as_ref().err(), echoed.as_ref().err()];
        let error = errors.into_iter().flatten().next();
        self.tally.note(&self.drill, began, Limit::of(self.deadline), error);
        self.registers[place].1.handle_outcome(write, Execution::of(&written));
        self.tally.findings.mismatched += u64::from(echoed.is_ok_and(|echoed| echoed != nonce.as_bytes()));
        self.check_register(other, read);
        self.check_count(0, Execution::of(&counted), counted.ok());
    }

    async fn read_all(&mut self) {
        let keys: Vec<_> = self.registers.iter().map(|(key, _)| key.clone()).collect();
        let read = self.execute(cmd::<Vec<Option<Vec<u8>>>>("MGET").arg(&keys), Duration::ZERO).await;
        let Ok(values) = read else { return };
        self.tally.findings.mismatched += u64::from(values.len() != keys.len());
        for (place, value) in values.into_iter().enumerate().take(REGISTERS) {
            self.check_register(place, Ok(value));
        }
    }

    /// Publishes until all is heard that is to be heard: as the next message shows, or an announcement, or
    /// silence until `end`.
    pub(super) async fn hear_out(&mut self, end: Instant) {
        loop {
            self.publish().await;
            let next = end.min(Instant::now() + PATIENCE);
            while !self.channel.book().is_complete() && Instant::now() < next {
                tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
            }
            if self.channel.book().is_complete() || Instant::now() >= end {
                break;
            }
        }
        self.channel.book().close(&mut self.tally.findings);
        self.tally.judge_all(&self.drill).await;
    }

    /// Reads back all that this task wrote, once no task writes any more, and checks it.
    ///
    /// # Errors
    /// What kept it from being read; nothing is accounted for then.
    pub(super) async fn read_back(&mut self) -> Result<()> {
        let keys: Vec<_> = self.registers.iter().map(|(key, _)| key.clone()).collect();
        let values: Vec<Option<Vec<u8>>> = self.caller.execute(cmd("MGET").arg(&keys)).await?;
        let keys: Vec<_> = self.counts.iter().map(|count| count.key.clone()).collect();
        let counted: Vec<Option<i64>> = self.caller.execute(cmd("MGET").arg(&keys)).await?;
        let lists = [self.stack.clone(), self.inbox.clone()];
        let mut elements = Vec::new();
        for list in &lists {
            let all: Vec<Vec<u8>> = self.caller.execute(cmd("LRANGE").arg(&list.key).arg(0).arg(-1)).await?;
            elements.push(all);
        }
        for (place, value) in values.into_iter().enumerate().take(REGISTERS) {
            self.check_register(place, Ok(value));
        }
        let findings = &mut self.tally.findings;
        for (count, value) in self.counts.iter_mut().zip(counted) {
            count.counter.check(value, findings);
        }
        for (list, elements) in lists.iter().zip(elements) {
            let pushes: Vec<_> =
                elements.iter().filter_map(|value| ledger::written(&list.key, value)).collect();
            findings.mismatched += (elements.len() - pushes.len()) as u64;
            list.pile().check(&pushes, findings);
        }
        Ok(())
    }
}

fn get(key: &str) -> Cmd<Option<Vec<u8>>> {
    cmd("GET").arg(key)
}

fn echo(pipeline: &Pipeline, nonce: &str) -> TrySlot<Vec<u8>> {
    use redwire::Run;
    pipeline.run(cmd("ECHO").arg(nonce)).attempt()
}
