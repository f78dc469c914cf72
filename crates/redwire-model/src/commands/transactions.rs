//! `MULTI`, `EXEC` and what is watched.
//!
//! This file must not know how commands are queued; `dispatch.rs` does.

use super::{Args, Command, Keys, row};
use crate::client::Transaction;
use crate::context::{Context, done};
use crate::reply::{Outcome, Reply, refusal};

pub(crate) const ROWS: &[Command] = &[
    row("DISCARD", 1, "noscript loading stale fast allow_busy", Keys::None, "fast transaction", discard),
    row("EXEC", 1, "noscript loading stale skip_slowlog", Keys::None, "slow transaction", exec),
    row("MULTI", 1, "noscript loading stale fast allow_busy", Keys::None, "fast transaction", multi),
    row("UNWATCH", 1, "noscript loading stale fast allow_busy", Keys::None, "fast transaction", unwatch),
    row(
        "WATCH",
        -2,
        "noscript loading stale fast allow_busy",
        Keys::Range(1, -1, 1),
        "fast transaction",
        watch,
    ),
];

fn multi(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let client = cx.client();
    if client.transaction.is_some() {
        return Err(refusal("ERR MULTI calls can not be nested"));
    }
    client.transaction = Some(Transaction::default());
    done()
}

fn discard(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    if cx.client().transaction.take().is_none() {
        return Err(refusal("ERR DISCARD without MULTI"));
    }
    cx.model.unwatch(cx.id);
    done()
}

fn exec(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let Some(transaction) = cx.client().transaction.take() else {
        return Err(refusal("ERR EXEC without MULTI"));
    };
    let is_broken = cx.client().watch_broken;
    cx.model.unwatch(cx.id);
    if transaction.failed {
        return Err(refusal("EXECABORT Transaction discarded because of previous errors."));
    }
    if is_broken {
        return Ok(Reply::NullArray);
    }
    let mut replies = Vec::new();
    for args in transaction.queue {
        let reply = cx.model.run_within(cx.id, &args);
        // The protocol may change on the way.
        replies.push(Reply::Encoded(reply.to_bytes(cx.client().resp3)));
    }
    // A command of several replies, such as SUBSCRIBE, says them all in its place.
    Ok(Reply::Array(replies))
}

fn watch(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if cx.client().transaction.is_some() {
        return Err(refusal("ERR WATCH inside MULTI is not allowed"));
    }
    let (database, id) = (cx.database(), cx.id);
    for key in &args[1..] {
        let place = (database, key.clone());
        cx.model.watchers.entry(place.clone()).or_default().insert(id);
        cx.client().watched.insert(place);
    }
    done()
}

fn unwatch(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    cx.model.unwatch(cx.id);
    done()
}
