//! Publishing and subscribing.
//!
//! This file must not know who hears what; `pubsub.rs` does.

use super::{Args, Command, Keys, row};
use crate::context::Context;
use crate::glob;
use crate::pubsub::Kind;
use crate::reply::{Outcome, Reply, refusal};

pub(crate) const ROWS: &[Command] = &[
    row("PSUBSCRIBE", -2, "pubsub noscript loading stale", Keys::None, "pubsub slow", psubscribe),
    row("PUBLISH", 3, "pubsub loading stale fast", Keys::None, "pubsub fast", publish),
    row("PUBSUB", -2, "", Keys::None, "slow", super::container),
    row("PUBSUB CHANNELS", -2, "pubsub loading stale", Keys::None, "pubsub slow", channels),
    row("PUBSUB NUMPAT", 2, "pubsub loading stale", Keys::None, "pubsub slow", numpat),
    row("PUBSUB NUMSUB", -2, "pubsub loading stale", Keys::None, "pubsub slow", numsub),
    row("PUBSUB SHARDCHANNELS", -2, "pubsub loading stale", Keys::None, "pubsub slow", shardchannels),
    row("PUBSUB SHARDNUMSUB", -2, "pubsub loading stale", Keys::None, "pubsub slow", shardnumsub),
    row("PUNSUBSCRIBE", -1, "pubsub noscript loading stale", Keys::None, "pubsub slow", punsubscribe),
    row("SPUBLISH", 3, "pubsub loading stale fast", Keys::Range(1, 1, 1), "pubsub fast", spublish),
    row("SSUBSCRIBE", -2, "pubsub noscript loading stale", Keys::Range(1, -1, 1), "pubsub slow", ssubscribe),
    row("SUBSCRIBE", -2, "pubsub noscript loading stale", Keys::None, "pubsub slow", subscribe),
    row(
        "SUNSUBSCRIBE",
        -1,
        "pubsub noscript loading stale",
        Keys::Range(1, -1, 1),
        "pubsub slow",
        sunsubscribe,
    ),
    row("UNSUBSCRIBE", -1, "pubsub noscript loading stale", Keys::None, "pubsub slow", unsubscribe),
];

fn publish(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    cx.model.publish_to_nodes(&args[1], &args[2]);
    Ok(Reply::count(cx.model.publish(&args[1], &args[2], Kind::Channel)))
}

fn spublish(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::count(cx.model.publish(&args[1], &args[2], Kind::Shard)))
}

/// What a client is told of each channel, and how many it has now.
fn told(cx: &mut Context<'_>, kind: Kind, word: &str, name: Option<&[u8]>) -> Reply {
    let client = cx.client();
    let count = if kind == Kind::Shard { client.shard_channels.len() } else { client.subscriptions() };
    let word = format!("{}{word}", kind.prefix());
    let name = name.map_or(Reply::Null, Reply::bulk);
    Reply::Push(vec![Reply::bulk(word), name, Reply::count(count)])
}

fn add(cx: &mut Context<'_>, args: Args<'_>, kind: Kind) -> Outcome {
    if kind == Kind::Shard && !cx.may_wait {
        return Err(refusal("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    let mut replies = Vec::new();
    for name in &args[1..] {
        cx.client().subscribed(kind).insert(name.clone());
        cx.model.pubsub.add(kind, name, cx.id);
        replies.push(told(cx, kind, "subscribe", Some(name)));
    }
    Ok(Reply::Many(replies))
}

fn remove(cx: &mut Context<'_>, args: Args<'_>, kind: Kind) -> Outcome {
    let all = cx.client().subscribed(kind);
    let names: Vec<Vec<u8>> = if args.len() > 1 { args[1..].to_vec() } else { all.iter().cloned().collect() };
    if names.is_empty() {
        return Ok(Reply::Many(vec![told(cx, kind, "unsubscribe", None)]));
    }
    let mut replies = Vec::new();
    for name in &names {
        cx.client().subscribed(kind).remove(name);
        cx.model.pubsub.remove(kind, name, cx.id);
        replies.push(told(cx, kind, "unsubscribe", Some(name)));
    }
    Ok(Reply::Many(replies))
}

fn subscribe(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(cx, args, Kind::Channel)
}

fn psubscribe(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(cx, args, Kind::Pattern)
}

fn ssubscribe(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(cx, args, Kind::Shard)
}

fn unsubscribe(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    remove(cx, args, Kind::Channel)
}

fn punsubscribe(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    remove(cx, args, Kind::Pattern)
}

fn sunsubscribe(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    remove(cx, args, Kind::Shard)
}

fn names(cx: &mut Context<'_>, args: Args<'_>, kind: Kind) -> Outcome {
    let pattern = args.get(2).map_or(&b"*"[..], Vec::as_slice);
    let names = cx.model.pubsub.of(kind).keys().filter(|name| glob::matches(pattern, name)).cloned();
    Ok(Reply::list(names))
}

fn counts(cx: &mut Context<'_>, args: Args<'_>, kind: Kind) -> Outcome {
    let mut replies = Vec::new();
    for name in &args[2..] {
        let count = cx.model.pubsub.of(kind).get(name).map_or(0, Vec::len);
        replies.extend([Reply::bulk(name.clone()), Reply::count(count)]);
    }
    Ok(Reply::Array(replies))
}

fn channels(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    names(cx, args, Kind::Channel)
}

fn shardchannels(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    names(cx, args, Kind::Shard)
}

fn numsub(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    counts(cx, args, Kind::Channel)
}

fn shardnumsub(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    counts(cx, args, Kind::Shard)
}

fn numpat(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::count(cx.model.pubsub.patterns.len()))
}
