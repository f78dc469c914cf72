//! Reads through a cache, beside writes of the same keys.
//!
//! This file must not know what is right.

use std::time::Duration;

use redwire::cache::CacheOptions;
use redwire::{Run, cmd};

use super::Worker;
use crate::history::{Cached, Form, Op};

impl Worker {
    pub(super) async fn reads(&mut self) {
        while !self.is_over() {
            let Ok(cache) = self.client.cached(CacheOptions::default()).await else {
                // Each has a connection of its own, so the caller sees to pauses.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            let task = self.task.id;
            self.world.note(|| format!("task {task} has a cache"));
            let ends = self.world.now() + Duration::from_millis(self.random.u64(500..20_000));
            while self.world.now() < ends.min(self.scenario.length) {
                if self.chance(6) {
                    let (key, client, limit) = (self.key("string"), self.client.clone(), self.limit());
                    let tag = self.tag();
                    self.call(&client, Form::Single, vec![Op::Set(key, tag)], limit).await;
                }
                let asked = self.world.now();
                let is_synced = self.chance(8) && cache.sync().await.is_ok();
                for _ in 0..self.random.u32(1..4) {
                    let key = self.key("string");
                    let begun = self.world.now();
                    let Ok(value) = Run::run(&cache, cmd::<Option<String>>("GET").arg(&key)).await else {
                        continue;
                    };
                    self.world.with(|state, now| {
                        state
                            .history
                            .note(now, || format!("task {task} reads {key}: {value:?}, {is_synced}"));
                        let synced = is_synced.then_some(asked);
                        state.history.cached.push(Cached { task, key, begun, synced, ended_at: now, value });
                    });
                }
                self.rest().await;
            }
        }
    }
}
