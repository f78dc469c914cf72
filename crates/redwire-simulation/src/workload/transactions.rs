//! Values that are read, and changed only if no other caller has changed them meanwhile.
//!
//! This file must not know what is right.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redwire::{Run, Transaction, TransactionOptions, Value, cmd};
use tokio::time::sleep;

use super::{Answers, Worker};
use crate::history::{Form, Op, Read};

impl Worker {
    pub(super) async fn watches(&mut self) {
        while !self.is_over() {
            let key = self.key("watched");
            let limit = self.limit();
            let place = self.begin(Form::Watched, &[], limit, false);
            let (tags, client, world) = (self.tags, self.client.clone(), Arc::clone(&self.world));
            let used = Arc::new(Mutex::new(tags));
            let next = Arc::clone(&used);
            // Others change it meanwhile, and connections are lost.
            let pause = Duration::from_millis(if self.random.bool() { self.random.u64(..60) } else { 0 });
            // The task itself is late by that, if it is its turn when the deadline passes.
            self.world.with(|state, _| state.history.calls[place].deadline += pause);
            let watched = key.clone();
            let work = move |mut transaction: Transaction| {
                let (key, world, next) = (key.clone(), Arc::clone(&world), Arc::clone(&next));
                async move {
                    let get = cmd::<Option<String>>("GET").arg(&key);
                    let value = Run::run(&mut transaction, get).await?;
                    let tag = {
                        let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
                        *next += 1;
                        *next
                    };
                    world.with(|state, now| {
                        state.history.note(now, || format!("call {place} read {value:?}, and writes {tag}"));
                        state.history.calls[place].ops.push(Op::Set(key.clone(), tag));
                        state.history.watched.push(Read { tag, value });
                    });
                    sleep(pause).await;
                    let set = cmd::<Value>("SET").arg(&key).arg(format!("{key}:{tag}"));
                    transaction.commit(|p| vec![p.run(set)]).await
                }
            };
            let mut options = TransactionOptions::new();
            if let Some(limit) = limit {
                options = options.timeout(limit);
            }
            let answers: Answers<'_> = Box::pin(client.transaction_with(options, watched, work));
            self.finish(place, answers).await;
            self.tags = *used.lock().unwrap_or_else(PoisonError::into_inner);
            self.rest().await;
        }
    }
}
