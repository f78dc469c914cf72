//! Clients that are opened, used and closed with calls under way.
//!
//! This file must not know what is right.

use std::time::Duration;

use redwire::Client;

use super::Worker;
use crate::history::Form;
use crate::stream;

impl Worker {
    pub(super) async fn clients(&mut self) {
        while !self.is_over() {
            let config = stream::config(&self.world, &self.scenario);
            let Ok(client) = config.and_then(Client::lazy) else { return };
            let other = client.clone();
            let mut worker = Self::new(&self.world, &self.scenario, &client, self.task);
            worker.tags = self.tags;
            let calls = self.random.u32(1..6);
            let close_after = Duration::from_millis(self.random.u64(..200));
            let limit = Duration::from_millis(self.random.u64(..300));
            let (world, task) = (self.world.clone(), self.task.id);
            let closing = tokio::spawn(async move {
                tokio::time::sleep(close_after).await;
                let begun = world.now();
                world.note(|| format!("task {task} closes its client within {limit:?}"));
                other.close(limit).await;
                let took = world.now() - begun;
                if took > limit + Duration::from_millis(2) {
                    world.wrong("I3", format!("closing took {took:?} of {limit:?}"));
                }
            });
            worker.random = fastrand::Rng::with_seed(self.random.u64(..));
            for _ in 0..calls {
                let op = worker.quick_op();
                let limit = worker.limit();
                worker.call(&client, Form::Closing, vec![op], limit).await;
            }
            self.tags = worker.tags;
            drop((client, worker));
            let _ = closing.await;
            self.rest().await;
        }
    }
}
