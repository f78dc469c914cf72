//! Connections that are lent, and given back in any state.
//!
//! This file must not know what is right.

use redwire::{Run, Value, cmd};

use super::{Answers, Worker, command, queue};
use crate::history::{Ended, Form};

impl Worker {
    pub(super) async fn leases(&mut self) {
        while !self.is_over() {
            let limit = self.limit().unwrap_or(self.scenario.options.timeout);
            let place = self.begin(Form::Lease, &[], Some(limit), false);
            let pool = self.client.pool().clone();
            let lease = pool.get_within(limit).await;
            self.end(
                place,
                match &lease {
                    Ok(_) => Ended::Answered(Vec::new()),
                    Err(error) => Ended::Failed(error.clone()),
                },
            );
            let Ok(mut lease) = lease else {
                self.rest().await;
                continue;
            };
            for _ in 0..self.random.u32(1..4) {
                let many = self.random.usize(1..4);
                let form = [Form::Single, Form::Pipeline, Form::Atomic][self.random.usize(..3)];
                let many = if form == Form::Single { 1 } else { many };
                let ops: Vec<_> = (0..many).map(|_| self.quick_op()).collect();
                let limit = self.limit();
                let place = self.begin(form, &ops, limit, false);
                let mut commands: Vec<_> = ops.iter().map(|op| command(op, &self.script)).collect();
                let answers: Answers<'_> = match form {
                    Form::Pipeline => Box::pin(lease.pipeline(|p| queue(p, commands, limit))),
                    Form::Single => {
                        let command = commands.remove(0);
                        let command = if let Some(limit) = limit { command.timeout(limit) } else { command };
                        let answer = Run::run(&mut *lease, command);
                        Box::pin(async { answer.await.map(|value| vec![value]) })
                    }
                    _ => Box::pin(lease.atomic(|p| queue(p, commands, limit))),
                };
                if self.finish(place, answers).await.is_none_or(|result| result.is_err()) {
                    break;
                }
            }
            if self.chance(3) {
                let dirt =
                    ["SELECT 3", "MULTI", "WATCH string0", "SUBSCRIBE channel0", "CLIENT REPLY OFF", "RESET"];
                let mut words = dirt[self.random.usize(..dirt.len())].split(' ');
                let mut dirty = cmd::<Value>(words.next().unwrap_or("PING"));
                for word in words {
                    dirty = dirty.arg(word);
                }
                let _ = lease.send(&dirty).await;
                if self.random.bool() {
                    let _ = lease.read_reply::<Value>().await;
                }
            }
            drop(lease);
            self.rest().await;
        }
    }
}
