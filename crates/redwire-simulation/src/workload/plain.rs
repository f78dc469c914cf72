//! Single commands, pipelines and transactions over the client's own connections.
//!
//! This file must not know what is right.

use std::time::Duration;

use redwire::Client;

use super::{Answers, Worker, command, queue};
use crate::history::{Form, Op};
use crate::scenario::{Topology, Work};

impl Worker {
    pub(super) async fn plain(&mut self) {
        while !self.is_over() {
            let (form, ops) = self.next_call();
            let limit = self.limit();
            let client = self.client.clone();
            self.call(&client, form, ops, limit).await;
            self.rest().await;
        }
    }

    /// Makes a call, and says whether it was answered.
    pub(super) async fn call(
        &mut self,
        client: &Client,
        form: Form,
        ops: Vec<Op>,
        limit: Option<Duration>,
    ) -> bool {
        let may_repeat = form == Form::Single && matches!(ops[0], Op::Set(..)) && self.chance(2);
        let place = self.begin(form, &ops, limit, may_repeat);
        let mut commands: Vec<_> = ops.iter().map(|op| command(op, &self.script)).collect();
        let answers: Answers<'_> = match form {
            Form::Pipeline => Box::pin(client.pipeline(|p| queue(p, commands, limit))),
            Form::Atomic | Form::Watched => Box::pin(client.atomic(|p| queue(p, commands, limit))),
            Form::Single | Form::Closing | Form::Lease => {
                let mut command = commands.remove(0);
                if let Some(limit) = limit {
                    command = command.timeout(limit);
                }
                if may_repeat {
                    command = command.idempotent();
                }
                Box::pin(async { client.execute(command).await.map(|value| vec![value]) })
            }
        };
        self.finish(place, answers).await.is_some_and(|result| result.is_ok())
    }

    fn next_call(&mut self) -> (Form, Vec<Op>) {
        match self.task.work {
            Work::Pipelines => {
                let many = self.random.usize(1..12);
                (Form::Pipeline, (0..many).map(|_| self.any_op()).collect())
            }
            Work::Transactions => {
                let many = self.random.usize(1..4);
                if self.scenario.topology == Topology::Cluster {
                    self.slot = Some(self.random.u64(..self.scenario.keys));
                }
                let ops = (0..many).map(|_| self.quick_op()).collect();
                self.slot = None;
                (Form::Atomic, ops)
            }
            _ => (Form::Single, vec![self.own_op()]),
        }
    }

    /// An operation of the kind that is this task's work.
    fn own_op(&mut self) -> Op {
        let work = self.task.work;
        match work {
            Work::Strings if self.scenario.topology == Topology::Cluster && self.chance(3) => self.wide_op(),
            Work::Strings => match self.random.u32(..5) {
                0 | 1 => Op::Get(self.key("string")),
                2 | 3 => Op::Set(self.key("string"), self.tag()),
                _ => Op::Echo(self.tag()),
            },
            Work::Counters if self.chance(4) => Op::Script(self.key("counter"), self.tag()),
            Work::Counters => Op::Add(self.key("counter"), self.tag()),
            Work::Lists => match self.random.u32(..6) {
                0 => Op::Pop(self.key("list")),
                1 | 2 => Op::Wait(self.key("list"), self.random.u64(1..400)),
                _ => Op::Push(self.key("list"), self.tag()),
            },
            Work::Publishes => Op::Publish(self.key("channel"), self.tag()),
            _ => self.quick_op(),
        }
    }

    /// Any operation that fits into a transaction.
    pub(super) fn quick_op(&mut self) -> Op {
        match self.random.u32(..8) {
            0 => Op::Get(self.key("string")),
            1 => Op::Set(self.key("string"), self.tag()),
            2 => Op::Echo(self.tag()),
            3 | 4 => Op::Add(self.key("counter"), self.tag()),
            5 => Op::Push(self.key("list"), self.tag()),
            6 => Op::Pop(self.key("list")),
            _ => Op::Publish(self.key("channel"), self.tag()),
        }
    }

    /// An operation on several keys, which may be at several nodes.
    fn wide_op(&mut self) -> Op {
        let mut keys: Vec<String> = (0..self.random.u32(1..5)).map(|_| self.key("string")).collect();
        keys.sort();
        keys.dedup();
        match self.random.u32(..5) {
            0 => Op::Delete(keys),
            1 | 2 => Op::SetMany(keys.into_iter().map(|key| (key, self.tag())).collect()),
            _ => {
                if keys.len() > 1 {
                    // In the slot of the first one.
                    keys.push(keys[0].replace("string", "watched"));
                }
                Op::GetMany(keys)
            }
        }
    }

    fn any_op(&mut self) -> Op {
        if self.scenario.topology == Topology::Cluster && self.chance(8) {
            return self.wide_op();
        }
        if self.chance(8) { Op::Script(self.key("counter"), self.tag()) } else { self.quick_op() }
    }
}
