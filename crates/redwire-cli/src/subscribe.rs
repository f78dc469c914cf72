//! `redwire subscribe`: what is published, as it comes.
//!
//! Promises that what may have been missed is told in its place, and that no message can steer the terminal.
//! Must not know how either driver waits, beyond where it starts.

use std::time::{Instant, SystemTime};

use redwire::config::Config;
use redwire::pubsub::{Message, SubscribeOptions, SubscriptionEvent};
use redwire::{Result, Value, blocking};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use crate::args::{Global, Subscribe};
use crate::connect::{self, apart};
use crate::exec::reply;
use crate::interrupt::interrupted;
use crate::output::{BAD, DIM, Failure, GOOD, Output, Verdict};

/// So many items may wait to be written.
const WAITING: usize = 1024;

/// One subscription of either driver, and what keeps it going.
enum Listener {
    Tokio(redwire::Subscription),
    Blocking(
        mpsc::Receiver<SubscriptionEvent>,
        #[expect(dead_code, reason = "it listens until it is dropped")] blocking::Handler,
    ),
}

pub(crate) async fn run(global: &Global, subscribe: &Subscribe, output: &Output) -> Result<Verdict, Failure> {
    let config = connect::config(global, connect::only_url(global)?)?;
    let mut listener = Listener::open(config, global.blocking, subscribe).await?;
    let mut end = std::pin::pin!(interrupted());
    loop {
        let item = tokio::select! {
            item = listener.next() => item,
            _ = &mut end => return Ok(Verdict::Good),
        };
        match item {
            None => return Ok(Verdict::Good),
            Some(item) => {
                output.line(for_people(&item));
                output.json(&to_json(&item));
                if matches!(item, SubscriptionEvent::Failed(_)) {
                    return Ok(Verdict::Bad);
                }
            }
        }
    }
}

impl Listener {
    async fn open(config: Config, blocking: bool, subscribe: &Subscribe) -> Result<Self> {
        let options = SubscribeOptions::new().confirmations(true);
        let names: Vec<_> = subscribe.names.iter().map(|name| name.as_encoded_bytes().to_vec()).collect();
        let (patterns, shards) = (subscribe.patterns, subscribe.shards);
        if !blocking {
            let pubsub = redwire::PubSub::lazy(config)?;
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let subscribed = match (patterns, shards) {
                (true, _) => pubsub.psubscribe_with(names, options).await,
                (_, true) => pubsub.ssubscribe_with(names, options).await,
                _ => pubsub.subscribe_with(names, options).await,
            };
            return subscribed.map(Self::Tokio);
        }
        apart(move || {
            let pubsub = blocking::PubSub::lazy(config)?;
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let subscription = match (patterns, shards) {
                (true, _) => pubsub.psubscribe_with(names, options)?,
                (_, true) => pubsub.ssubscribe_with(names, options)?,
                _ => pubsub.subscribe_with(names, options)?,
            };
            let (sender, receiver) = mpsc::channel(WAITING);
            // Once the output is closed, nothing needs to be heard.
            let handler = subscription.each(move |item| drop(sender.blocking_send(item)))?;
            Ok(Self::Blocking(receiver, handler))
        })
        .await
    }

    async fn next(&mut self) -> Option<SubscriptionEvent> {
        match self {
            Self::Tokio(subscription) => subscription.next().await,
            Self::Blocking(items, _) => items.recv().await,
        }
    }
}

fn for_people(item: &SubscriptionEvent) -> String {
    let quoted = |bytes: &[u8]| reply::for_people(&Value::Bytes(bytes.to_vec().into()));
    match item {
        SubscriptionEvent::Message(Message { channel, pattern, payload, .. }) => {
            let by =
                pattern.as_deref().map_or_else(String::new, |by| format!(" {DIM}by {}{DIM:#}", quoted(by)));
            format!("{GOOD}{}{GOOD:#}{by} {}", quoted(channel), quoted(payload))
        }
        SubscriptionEvent::Gap { from, to } => {
            let missed = to.saturating_duration_since(*from).as_secs_f64();
            format!("{BAD}gap{BAD:#}: messages of {missed:.3} s may be missing here")
        }
        SubscriptionEvent::Lagged(count) => format!("{BAD}lagged{BAD:#}: {count} messages were dropped here"),
        SubscriptionEvent::Reconnected => format!("{DIM}reconnected{DIM:#}"),
        SubscriptionEvent::Subscribed(name) => format!("{DIM}subscribed to {}{DIM:#}", quoted(name)),
        SubscriptionEvent::Unsubscribed(name) => format!("{DIM}unsubscribed from {}{DIM:#}", quoted(name)),
        SubscriptionEvent::Failed(error) => {
            format!("{BAD}failed{BAD:#}: {}", reply::printable(&error.to_string()))
        }
        // What a later version of the library may tell besides.
        other => reply::printable(&format!("{other:?}")),
    }
}

fn to_json(item: &SubscriptionEvent) -> Json {
    let value = |bytes: &[u8]| reply::json(&Value::Bytes(bytes.to_vec().into()));
    match item {
        SubscriptionEvent::Message(Message { channel, pattern, payload, .. }) => json!({
            "item": "message",
            "channel": value(channel),
            "pattern": pattern.as_deref().map(value),
            "payload": value(payload),
        }),
        SubscriptionEvent::Gap { from, to } => {
            json!({ "item": "gap", "from": unix_seconds(*from), "to": unix_seconds(*to) })
        }
        SubscriptionEvent::Lagged(count) => json!({ "item": "lagged", "count": count }),
        SubscriptionEvent::Reconnected => json!({ "item": "reconnected" }),
        SubscriptionEvent::Subscribed(name) => json!({ "item": "subscribed", "name": value(name) }),
        SubscriptionEvent::Unsubscribed(name) => json!({ "item": "unsubscribed", "name": value(name) }),
        SubscriptionEvent::Failed(error) => json!({ "item": "failed", "error": error.to_string() }),
        other => json!({ "item": "unknown", "value": format!("{other:?}") }),
    }
}

/// When that was, in seconds since 1970, by the clock of this machine as it is now.
fn unix_seconds(then: Instant) -> f64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since_1970.saturating_sub(then.elapsed()).as_secs_f64()
}
