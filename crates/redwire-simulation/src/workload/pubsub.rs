//! Subscribers, quick and slow.
//!
//! This file must not know what is right.

use std::time::Duration;

use redwire::pubsub::{Overflow, SubscribeOptions, SubscriptionEvent};
use tokio::time::sleep;

use super::Worker;
use crate::history::{Heard, Subscribed};

impl Worker {
    pub(super) async fn subscribes(&mut self) {
        while !self.is_over() {
            let channel = self.key("channel");
            let mut options = SubscribeOptions::new();
            let slow = if self.chance(4) { self.random.u64(1..100) } else { 0 };
            let mut holds_up = false;
            if self.chance(3) {
                let overflow = [Overflow::Wait, Overflow::DropOldest, Overflow::DropNewest];
                let overflow = overflow[self.random.usize(..overflow.len())];
                holds_up = overflow == Overflow::Wait;
                options = options.buffer_messages(self.random.usize(1..5)).overflow(overflow);
            }
            let pubsub = self.client.pubsub();
            let Ok(mut subscription) = pubsub.subscribe_with(&channel, options).await else {
                self.rest().await;
                continue;
            };
            let task = self.task.id;
            let place = self.world.with(|state, now| {
                state.history.note(now, || format!("task {task} has subscribed to {channel}"));
                let heard = Vec::new();
                let until = Duration::ZERO;
                let subscribed = Subscribed { task, channel, since: now, heard, holds_up, until };
                state.history.subscriptions.push(subscribed);
                state.history.subscriptions.len() - 1
            });
            let ends = self.world.now() + Duration::from_millis(self.random.u64(100..20_000));
            while self.world.now() < ends.min(self.scenario.length) {
                let limit = Duration::from_millis(self.random.u64(1..500));
                if let Some(event) = subscription.next_within(limit).await {
                    let has_ended = matches!(event, SubscriptionEvent::Failed(_));
                    self.heard(place, event);
                    if has_ended {
                        break;
                    }
                    sleep(Duration::from_millis(slow)).await;
                } else {
                    self.world.with(|state, now| state.history.subscriptions[place].until = now);
                }
            }
        }
    }

    fn heard(&self, place: usize, event: SubscriptionEvent) {
        let heard = match event {
            SubscriptionEvent::Message(message) => match message.payload_as() {
                Ok(tag) => Heard::Message(tag),
                Err(_) => Heard::Other,
            },
            SubscriptionEvent::Lagged(count) => Heard::Lagged(count),
            SubscriptionEvent::Gap { from, to } => Heard::Gap(self.world.since(from), self.world.since(to)),
            _ => Heard::Other,
        };
        let task = self.task.id;
        self.world.with(|state, now| {
            state.history.note(now, || format!("task {task} hears {heard:?}"));
            state.history.subscriptions[place].heard.push((now, heard));
        });
    }
}
