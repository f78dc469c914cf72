//! Entries that were given to a reader of a group and wait to be acknowledged.
//!
//! This file must not know how they are given; `stream_groups.rs` does.

use super::stream_groups::{entries_and_group, no_key_or_group, seen, text};
use super::streams::{entry, ids, range_end};
use super::{Args, Command, Keys, row};
use crate::context::{Context, int, is};
use crate::number::parse_int;
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::stream::{Group, Id, Pending, Stream, id_text, parse_id};

pub(crate) const ROWS: &[Command] = &[
    row("XAUTOCLAIM", -6, "write fast", Keys::Range(1, 1, 1), "write stream fast", xautoclaim),
    row("XCLAIM", -6, "write fast", Keys::Range(1, 1, 1), "write stream fast", xclaim),
    row("XPENDING", -3, "readonly", Keys::Range(1, 1, 1), "read stream slow", xpending),
];

fn xpending(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = cx.model.unix_ms();
    let (mut at, mut idle) = (3, 0);
    if args.len() > 3 && is(&args[3], "IDLE") {
        let word = args.get(4).ok_or(SYNTAX)?;
        idle = u64::try_from(int(word)?).unwrap_or(0);
        if args.len() < 8 {
            return Err(SYNTAX);
        }
        at = 5;
    }
    let rest = &args[at..];
    let range = match rest.len() {
        0 => None,
        3.. => {
            let count = usize::try_from(int(&rest[2])?).unwrap_or(0);
            Some((range_end(&rest[0], true)?, range_end(&rest[1], false)?, count))
        }
        _ => return Err(SYNTAX),
    };
    if args.len() > 9 {
        return Err(SYNTAX);
    }
    let group = cx.get::<Stream>(&args[1])?.and_then(|stream| stream.groups.get(&args[2]));
    let group = group.ok_or_else(|| no_key_or_group(&args[1], &args[2], ""))?;
    let Some((first, last, count)) = range else { return Ok(summary(group)) };
    let fits = |pending: &Pending| {
        now.saturating_sub(pending.delivered) >= idle
            && rest.get(3).is_none_or(|consumer| *consumer == pending.consumer)
    };
    let found = group.pending.iter().filter(|(id, pending)| **id >= first && **id <= last && fits(pending));
    let told = found.take(count).map(|(id, pending)| {
        let since = Reply::number(now.saturating_sub(pending.delivered));
        let consumer = Reply::bulk(pending.consumer.clone());
        Reply::Array(vec![Reply::bulk(id_text(*id)), consumer, since, Reply::number(pending.times)])
    });
    Ok(Reply::Array(told.collect()))
}

fn summary(group: &Group) -> Reply {
    let ends = group.pending.first_key_value().zip(group.pending.last_key_value());
    let Some(((first, _), (last, _))) = ends else {
        return Reply::Array(vec![Reply::Int(0), Reply::Null, Reply::Null, Reply::NullArray]);
    };
    let counts = group.consumers.keys().map(|name| (name, group.pending_of(name).len()));
    let counts = counts.filter(|(_, count)| *count > 0);
    let counts = counts.map(|(name, count)| Reply::list([name.clone(), count.to_string().into_bytes()]));
    let (first, last) = (Reply::bulk(id_text(*first)), Reply::bulk(id_text(*last)));
    Reply::Array(vec![Reply::count(group.pending.len()), first, last, Reply::Array(counts.collect())])
}

/// Gives an entry that waits to another consumer.
fn claim(group: &mut Group, id: Id, consumer: &[u8], now: u64, just_id: bool) {
    if let Some(pending) = group.pending.get_mut(&id) {
        pending.consumer = consumer.to_vec();
        pending.delivered = now;
        if !just_id {
            pending.times += 1;
        }
    }
    seen(group, consumer, now).active = Some(now);
}

fn xclaim(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = cx.model.unix_ms();
    let found = entries_and_group(cx, &args[1], &args[2])?;
    let (entries, group) = found.ok_or_else(|| no_key_or_group(&args[1], &args[2], ""))?;
    let bad = refusal("ERR Invalid min-idle-time argument for XCLAIM");
    let idle = u64::try_from(parse_int(&args[4]).ok_or(bad)?).unwrap_or(0);
    let count = args[5..].iter().take_while(|word| parse_id(word, 0).is_some()).count();
    let wanted = ids(&args[5..5 + count])?;
    let (mut just_id, rest) = (false, args[5 + count..].iter());
    for word in rest {
        if is(word, "JUSTID") {
            just_id = true;
        } else if ["FORCE", "IDLE", "TIME", "RETRYCOUNT", "LASTID"].iter().any(|known| is(word, known)) {
            let name = super::upper(word);
            return Err(Refusal::new(format!(
                "ERR the model server does not know the option {name} of XCLAIM"
            )));
        } else {
            return Err(Refusal::new(format!("ERR Unrecognized XCLAIM option '{}'", text(word))));
        }
    }
    seen(group, &args[3], now);
    let mut replies = Vec::new();
    for id in wanted {
        let Some(pending) = group.pending.get(&id) else { continue };
        let Some(fields) = entries.get(&id) else {
            group.pending.remove(&id);
            continue;
        };
        if now.saturating_sub(pending.delivered) >= idle {
            claim(group, id, &args[3], now, just_id);
            replies.push(if just_id { Reply::bulk(id_text(id)) } else { entry(id, fields) });
        }
    }
    cx.noted(&args[1]);
    Ok(Reply::Array(replies))
}

fn xautoclaim(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = cx.model.unix_ms();
    let bad = refusal("ERR Invalid min-idle-time argument for XAUTOCLAIM");
    let idle = u64::try_from(parse_int(&args[4]).ok_or(bad)?).unwrap_or(0);
    let from = range_end(&args[5], true)?;
    let (mut count, mut just_id, mut rest) = (100, false, args[6..].iter());
    while let Some(word) = rest.next() {
        if is(word, "COUNT") {
            let value = parse_int(rest.next().ok_or(SYNTAX)?).and_then(|count| usize::try_from(count).ok());
            count = value
                .filter(|count| (1..=usize::MAX >> 5).contains(count))
                .ok_or(refusal("ERR COUNT must be > 0"))?;
        } else if is(word, "JUSTID") {
            just_id = true;
        } else {
            return Err(SYNTAX);
        }
    }
    let found = entries_and_group(cx, &args[1], &args[2])?;
    let (entries, group) = found.ok_or_else(|| no_key_or_group(&args[1], &args[2], ""))?;
    seen(group, &args[3], now);
    let (mut claimed, mut deleted, mut cursor, mut tries) = (Vec::new(), Vec::new(), (0, 0), count * 10);
    let ids: Vec<Id> = group.pending.range(from..).map(|(id, _)| *id).collect();
    for id in ids {
        if tries == 0 || claimed.len() + deleted.len() >= count {
            cursor = id;
            break;
        }
        tries -= 1;
        match (group.pending.get(&id), entries.get(&id)) {
            (Some(_), None) => {
                group.pending.remove(&id);
                deleted.push(Reply::bulk(id_text(id)));
            }
            (Some(pending), Some(fields)) if now.saturating_sub(pending.delivered) >= idle => {
                claim(group, id, &args[3], now, just_id);
                claimed.push(if just_id { Reply::bulk(id_text(id)) } else { entry(id, fields) });
            }
            _ => {}
        }
    }
    cx.noted(&args[1]);
    Ok(Reply::Array(vec![Reply::bulk(id_text(cursor)), Reply::Array(claimed), Reply::Array(deleted)]))
}
