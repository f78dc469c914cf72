//! Holders of locks.
//!
//! This file must not know what is right.

use std::time::Duration;

use tokio::time::sleep;

use super::{Worker, abandon};
use crate::history::Held;

impl Worker {
    pub(super) async fn locks(&mut self) {
        while !self.is_over() {
            let name = self.key("lock");
            let ttl = Duration::from_millis(self.random.u64(100..1_500));
            let wait = Duration::from_millis(self.random.u64(1..1_000));
            let lock = self.client.lock(&name).ttl(ttl).wait(wait).auto_extend(self.random.bool());
            let polls = self.patience();
            let task = self.task.id;
            self.world.note(|| format!("task {task} wants {name} for {ttl:?}, waits {wait:?}"));
            let begun = self.world.now();
            let acquired = abandon(lock.acquire(), polls).await;
            let ends = begun + wait + self.scenario.options.timeout + Duration::from_millis(3);
            let late = self.world.now().saturating_sub(ends);
            if late > Duration::ZERO {
                self.world.wrong("I3", format!("task {task} waited {late:?} too long for {name}"));
            }
            let Some(Ok(guard)) = acquired else {
                self.world.note(|| format!("task {task} does not get {name}: {acquired:?}"));
                self.rest().await;
                continue;
            };
            let place = self.world.with(|state, now| {
                state.history.note(now, || format!("task {task} holds {name}, fence {}", guard.fence()));
                let held = Held { task, name: name.clone(), fence: guard.fence(), from: now, until: now };
                state.history.locks.push(held);
                state.history.locks.len() - 1
            });
            let ends = self.world.now() + Duration::from_millis(self.random.u64(..800));
            while self.world.now() < ends && !guard.is_lost() {
                sleep(Duration::from_millis(self.random.u64(1..20))).await;
                if !guard.is_lost() {
                    self.world.with(|state, now| state.history.locks[place].until = now);
                }
            }
            self.world.note(|| format!("task {task} gives {name} back, lost: {}", guard.is_lost()));
            if self.chance(3) {
                drop(guard);
            } else {
                let released = guard.release().await;
                self.world.note(|| format!("task {task} gave {name} back: {released:?}"));
            }
            self.rest().await;
        }
    }
}
