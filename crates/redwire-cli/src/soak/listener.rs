//! A listener hears what one task publishes, and compares it with the book of the channel.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redwire::pubsub::{Message, SubscriptionEvent};

use super::TICK;
use super::broadcast::Broadcast;
use super::ledger;
use super::tally::{Drill, Limit, Tally};
use crate::caller::{AnySubscription, Caller};

/// A channel with its book, which its publisher and its listener share.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) name: String,
    book: Arc<Mutex<Broadcast>>,
}

impl Channel {
    /// One that publisher and subscriber may have from different nodes, if `relayed`.
    pub(super) fn new(name: String, relayed: bool) -> Self {
        let book = if relayed { Broadcast::relayed() } else { Broadcast::default() };
        Self { name, book: Arc::new(Mutex::new(book)) }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Broadcast> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Listener {
    caller: Caller,
    drill: Arc<Drill>,
    deadline: Duration,
    channel: Channel,
    tally: Tally,
}

impl Listener {
    pub(super) fn new(caller: Caller, drill: Arc<Drill>, deadline: Duration, channel: Channel) -> Self {
        Self { caller, drill, deadline, channel, tally: Tally::new() }
    }

    /// Listens until the drill is over, and subscribes again where a subscription ends.
    pub(super) async fn run(mut self) -> Tally {
        while !self.drill.is_over() {
            let began = Instant::now();
            let subscribed = self.caller.subscribe(&self.channel.name).await;
            self.tally.note(&self.drill, began, Limit::of(self.deadline), subscribed.as_ref().err());
            match subscribed {
                Ok(hearing) => self.listen(hearing).await,
                Err(_) => tokio::time::sleep(TICK).await,
            }
        }
        self.tally.judge_all(&self.drill).await;
        self.tally
    }

    async fn listen(&mut self, mut hearing: AnySubscription) {
        self.channel.book().announced();
        while !self.drill.is_over() {
            match hearing.next_within(TICK).await {
                Some(SubscriptionEvent::Message(message)) => self.handle_message(&message),
                Some(SubscriptionEvent::Gap { .. } | SubscriptionEvent::Lagged(_)) => {
                    self.channel.book().announced()
                }
                Some(SubscriptionEvent::Failed(_)) => return self.channel.book().ended(),
                _ => {}
            }
        }
    }

    fn handle_message(&mut self, message: &Message) {
        let findings = &mut self.tally.findings;
        match ledger::written(&self.channel.name, &message.payload) {
            Some(number) if *message.channel == *self.channel.name.as_bytes() => {
                self.channel.book().heard(number, findings);
            }
            _ => findings.mismatched += 1,
        }
    }
}
