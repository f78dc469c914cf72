//! Groups of readers that share a stream.
//!
//! This file must not know how entries are added.

use super::streams::{BAD_ID, entry, ids, per_stream, range_end, read_options};
use super::{Args, Command, Keys, row};
use crate::context::{Context, done, is};
use crate::number::parse_int;
use crate::reply::{NO_SUCH_KEY, NOT_INTEGER, Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::stream::{Consumer, Group, Id, Pending, Stream, id_text, next, parse_id};

pub(crate) const ROWS: &[Command] = &[
    row("XACK", -4, "write fast", Keys::Range(1, 1, 1), "write stream fast", xack),
    row("XAUTOCLAIM", -6, "write fast", Keys::Range(1, 1, 1), "write stream fast", xautoclaim),
    row("XCLAIM", -6, "write fast", Keys::Range(1, 1, 1), "write stream fast", xclaim),
    row("XGROUP", -2, "", Keys::None, "slow", super::container),
    row("XGROUP CREATE", -5, "write denyoom", Keys::Range(2, 2, 1), "write stream slow", create),
    row(
        "XGROUP CREATECONSUMER",
        5,
        "write denyoom",
        Keys::Range(2, 2, 1),
        "write stream slow",
        createconsumer,
    ),
    row("XGROUP DELCONSUMER", 5, "write", Keys::Range(2, 2, 1), "write stream slow", delconsumer),
    row("XGROUP DESTROY", 4, "write", Keys::Range(2, 2, 1), "write stream slow", destroy),
    row("XGROUP SETID", -5, "write", Keys::Range(2, 2, 1), "write stream slow", setid),
    row("XINFO", -2, "", Keys::None, "slow", super::container),
    row("XINFO CONSUMERS", 4, "readonly", Keys::Range(2, 2, 1), "read stream slow", info_consumers),
    row("XINFO GROUPS", 3, "readonly", Keys::Range(2, 2, 1), "read stream slow", info_groups),
    row("XPENDING", -3, "readonly", Keys::Range(1, 1, 1), "read stream slow", xpending),
    row(
        "XREADGROUP",
        -7,
        "write blocking movablekeys",
        Keys::Streams,
        "write stream slow blocking",
        xreadgroup,
    ),
];

const NO_KEY: Refusal = refusal(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
     option to create an empty stream automatically.",
);

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

fn no_group(key: &[u8], group: &[u8]) -> Refusal {
    Refusal::new(format!("NOGROUP No such consumer group '{}' for key name '{}'", text(group), text(key)))
}

fn no_key_or_group(key: &[u8], group: &[u8], tail: &str) -> Refusal {
    Refusal::new(format!("NOGROUP No such key '{}' or consumer group '{}'{tail}", text(key), text(group)))
}

/// The group of a subcommand of `XGROUP`, whose key must exist.
fn group_mut<'m>(cx: &'m mut Context<'_>, key: &[u8], name: &[u8]) -> Result<&'m mut Group, Refusal> {
    let stream = cx.get_mut::<Stream>(key)?.ok_or(NO_KEY)?;
    stream.groups.get_mut(name).ok_or_else(|| no_group(key, name))
}

/// From where a group reads, and how many entries it has read according to the caller.
fn beginning(cx: &Context<'_>, key: &[u8], words: Args<'_>) -> Result<(Id, Option<u64>), Refusal> {
    let read = match words.get(1) {
        None => None,
        Some(word) => {
            let read = parse_int(word).ok_or(NOT_INTEGER)?;
            if read < -1 {
                return Err(refusal("ERR value for ENTRIESREAD must be positive or -1"));
            }
            u64::try_from(read).ok()
        }
    };
    let stream = cx.get::<Stream>(key)?;
    if words[0] == b"$" {
        return Ok(stream.map_or(((0, 0), None), |stream| (stream.last, Some(stream.added))));
    }
    let id = parse_id(&words[0], 0).ok_or(BAD_ID)?;
    Ok((id, read))
}

fn create(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (mut make, mut words) = (false, vec![args[4].clone()]);
    let mut rest = args[5..].iter();
    while let Some(word) = rest.next() {
        if is(word, "MKSTREAM") {
            make = true;
        } else if is(word, "ENTRIESREAD") {
            words.push(rest.next().ok_or(SYNTAX)?.clone());
        } else {
            return Err(SYNTAX);
        }
    }
    if cx.get::<Stream>(&args[2])?.is_none() && !make {
        return Err(NO_KEY);
    }
    let (last, read) = beginning(cx, &args[2], &words)?;
    let stream = cx.get_or_new::<Stream>(&args[2])?;
    if stream.groups.contains_key(&args[3]) {
        return Err(refusal("BUSYGROUP Consumer Group name already exists"));
    }
    stream.groups.insert(args[3].clone(), Group { last, read, ..Group::default() });
    cx.modified(&args[2]);
    done()
}

fn setid(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let mut words = vec![args[4].clone()];
    match &args[5..] {
        [] => {}
        [word, read] if is(word, "ENTRIESREAD") => words.push(read.clone()),
        _ => return Err(SYNTAX),
    }
    group_mut(cx, &args[2], &args[3])?;
    let (last, read) = beginning(cx, &args[2], &words)?;
    let group = group_mut(cx, &args[2], &args[3])?;
    (group.last, group.read) = (last, read);
    cx.modified(&args[2]);
    done()
}

fn destroy(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let stream = cx.get_mut::<Stream>(&args[2])?.ok_or(NO_KEY)?;
    let was_there = stream.groups.remove(&args[3]).is_some();
    if was_there {
        cx.modified(&args[2]);
    }
    Ok(Reply::flag(was_there))
}

fn createconsumer(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = cx.model.unix_ms();
    let group = group_mut(cx, &args[2], &args[3])?;
    if group.consumers.contains_key(&args[4]) {
        return Ok(Reply::Int(0));
    }
    group.consumers.insert(args[4].clone(), Consumer { seen: now, active: None });
    cx.modified(&args[2]);
    Ok(Reply::Int(1))
}

fn delconsumer(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let group = group_mut(cx, &args[2], &args[3])?;
    let pending = group.pending_of(&args[4]);
    group.pending.retain(|id, _| !pending.contains(id));
    if group.consumers.remove(&args[4]).is_some() {
        cx.modified(&args[2]);
    }
    Ok(Reply::count(pending.len()))
}

fn xack(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let found = cx.get::<Stream>(&args[1])?.is_some_and(|stream| stream.groups.contains_key(&args[2]));
    if !found {
        return Ok(Reply::Int(0));
    }
    let ids = ids(&args[3..])?;
    let group = group_mut(cx, &args[1], &args[2])?;
    let acknowledged = ids.iter().filter(|id| group.pending.remove(id).is_some()).count();
    if acknowledged > 0 {
        cx.modified(&args[1]);
    }
    Ok(Reply::count(acknowledged))
}

fn xreadgroup(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let options = read_options(args, "xreadgroup")?;
    let Some((group_name, consumer)) = options.group else { return Err(SYNTAX) };
    let mut from = Vec::new();
    for (key, word) in options.keys.iter().zip(options.ids) {
        let stream = cx.get::<Stream>(key)?;
        if stream.is_none_or(|stream| !stream.groups.contains_key(group_name)) {
            return Err(no_key_or_group(key, group_name, " in XREADGROUP with GROUP option"));
        }
        from.push(match word.as_slice() {
            b">" => None,
            b"$" => {
                return Err(refusal(
                    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of \
                     this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would \
                     just return an empty result set.",
                ));
            }
            _ => Some(parse_id(word, 0).ok_or(BAD_ID)?),
        });
    }
    let mut found = Vec::new();
    for (key, from) in options.keys.iter().zip(&from) {
        let entries = match from {
            Some(from) => Some(history(cx, key, (group_name, consumer), *from, options.most)?),
            None => deliver(cx, key, (group_name, consumer), options.most, !options.no_ack)?,
        };
        if let Some(entries) = entries {
            found.push((key.clone(), Reply::Array(entries)));
        }
    }
    if !found.is_empty() {
        return Ok(per_stream(cx, found));
    }
    Ok(match options.block {
        None => Reply::NullArray,
        Some(limit) => cx.wait(options.keys, limit, args, Reply::NullArray),
    })
}

fn seen<'g>(group: &'g mut Group, consumer: &[u8], now: u64) -> &'g mut Consumer {
    let known = group.consumers.entry(consumer.to_vec()).or_default();
    known.seen = now;
    known
}

/// What a consumer was given and has not acknowledged.
fn history(
    cx: &mut Context<'_>,
    key: &[u8],
    reader: (&[u8], &[u8]),
    from: Id,
    most: usize,
) -> Result<Vec<Reply>, Refusal> {
    let now = cx.model.unix_ms();
    let Some(stream) = cx.get_mut::<Stream>(key)? else { return Ok(Vec::new()) };
    let Stream { entries, groups, .. } = stream;
    let Some(group) = groups.get_mut(reader.0) else { return Ok(Vec::new()) };
    seen(group, reader.1, now);
    let mut found = Vec::new();
    for id in group.pending_of(reader.1).into_iter().filter(|id| *id > from).take(most) {
        found.push(match entries.get(&id) {
            Some(fields) => entry(id, fields),
            None => Reply::Array(vec![Reply::bulk(id_text(id)), Reply::NullArray]),
        });
    }
    Ok(found)
}

/// Gives a consumer what no other has been given. `None` if there is nothing.
fn deliver(
    cx: &mut Context<'_>,
    key: &[u8],
    reader: (&[u8], &[u8]),
    most: usize,
    acknowledges: bool,
) -> Result<Option<Vec<Reply>>, Refusal> {
    let (now, again) = (cx.model.unix_ms(), cx.again);
    let Some(stream) = cx.get_mut::<Stream>(key)? else { return Ok(None) };
    let Some(last) = stream.groups.get(reader.0).map(|group| group.last) else { return Ok(None) };
    let first = next(last).unwrap_or((u64::MAX, u64::MAX));
    let entries = || stream.entries.range(first..).take(most);
    let found: Vec<Reply> = entries().map(|(id, fields)| entry(*id, fields)).collect();
    let read: Vec<(Id, Option<u64>)> = entries().map(|(id, _)| (*id, stream.entries_read_at(*id))).collect();
    let has_gap = stream.max_deleted > last;
    let Some(group) = stream.groups.get_mut(reader.0) else { return Ok(None) };
    let is_new = !group.consumers.contains_key(reader.1);
    seen(group, reader.1, now);
    for (id, read) in read {
        group.read = match group.read {
            Some(read) if !has_gap => Some(read + 1),
            _ => read,
        };
        group.last = id;
        if acknowledges {
            let pending = Pending { consumer: reader.1.to_vec(), delivered: now, times: 1 };
            group.pending.insert(id, pending);
        }
    }
    if !found.is_empty() {
        seen(group, reader.1, now).active = Some(now);
    }
    if !found.is_empty() || is_new && !again {
        cx.modified(key);
    }
    Ok((!found.is_empty()).then_some(found))
}

fn xpending(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = cx.model.unix_ms();
    let (mut at, mut idle) = (3, 0);
    if args.len() > 3 && is(&args[3], "IDLE") {
        let word = args.get(4).ok_or(SYNTAX)?;
        idle = u64::try_from(parse_int(word).ok_or(NOT_INTEGER)?).unwrap_or(0);
        if args.len() < 8 {
            return Err(SYNTAX);
        }
        at = 5;
    }
    let rest = &args[at..];
    let range = match rest.len() {
        0 => None,
        3 | 4 => {
            let count = usize::try_from(parse_int(&rest[2]).ok_or(NOT_INTEGER)?).unwrap_or(0);
            Some((range_end(&rest[0], true)?, range_end(&rest[1], false)?, count))
        }
        _ => return Err(SYNTAX),
    };
    let group = cx.get::<Stream>(&args[1])?.and_then(|stream| stream.groups.get(&args[2]));
    let group = group.ok_or_else(|| no_key_or_group(&args[1], &args[2], ""))?;
    let Some((first, last, count)) = range else { return Ok(summary(group)) };
    let fits = |pending: &Pending| {
        now.saturating_sub(pending.delivered) >= idle
            && rest.get(3).is_none_or(|consumer| *consumer == pending.consumer)
    };
    let found = group.pending.iter().filter(|(id, pending)| **id >= first && **id <= last && fits(pending));
    let told = found.take(count).map(|(id, pending)| {
        let since = i64::try_from(now.saturating_sub(pending.delivered)).unwrap_or(i64::MAX);
        let times = i64::try_from(pending.times).unwrap_or(i64::MAX);
        let consumer = Reply::bulk(pending.consumer.clone());
        Reply::Array(vec![Reply::bulk(id_text(*id)), consumer, Reply::Int(since), Reply::Int(times)])
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
    let found = cx.get::<Stream>(&args[1])?.is_some_and(|stream| stream.groups.contains_key(&args[2]));
    if !found {
        return Err(no_key_or_group(&args[1], &args[2], ""));
    }
    let bad = refusal("ERR Invalid min-idle-time argument for XCLAIM");
    let idle = u64::try_from(parse_int(&args[4]).ok_or(bad)?).unwrap_or(0);
    let count = args[5..].iter().take_while(|word| parse_id(word, 0).is_some()).count();
    let wanted = ids(&args[5..5 + count])?;
    let (mut just_id, mut rest) = (false, args[5 + count..].iter());
    while let Some(word) = rest.next() {
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
    let Some(stream) = cx.get_mut::<Stream>(&args[1])? else { return Ok(Reply::Array(Vec::new())) };
    let Stream { entries, groups, .. } = stream;
    let Some(group) = groups.get_mut(&args[2]) else { return Ok(Reply::Array(Vec::new())) };
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
    cx.modified(&args[1]);
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
            let value = parse_int(rest.next().ok_or(SYNTAX)?).ok_or(NOT_INTEGER)?;
            count = usize::try_from(value)
                .ok()
                .filter(|count| *count > 0)
                .ok_or(refusal("ERR COUNT must be > 0"))?;
        } else if is(word, "JUSTID") {
            just_id = true;
        } else {
            return Err(SYNTAX);
        }
    }
    let found = cx.get::<Stream>(&args[1])?.is_some_and(|stream| stream.groups.contains_key(&args[2]));
    if !found {
        return Err(no_key_or_group(&args[1], &args[2], ""));
    }
    let Some(stream) = cx.get_mut::<Stream>(&args[1])? else { return Err(NO_SUCH_KEY) };
    let Stream { entries, groups, .. } = stream;
    let Some(group) = groups.get_mut(&args[2]) else { return Err(NO_SUCH_KEY) };
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
    cx.modified(&args[1]);
    Ok(Reply::Array(vec![Reply::bulk(id_text(cursor)), Reply::Array(claimed), Reply::Array(deleted)]))
}

fn named(pairs: Vec<(&str, Reply)>) -> Reply {
    Reply::Map(pairs.into_iter().map(|(name, value)| (Reply::bulk(name), value)).collect())
}

fn info_groups(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let stream = cx.get::<Stream>(&args[2])?.ok_or(NO_SUCH_KEY)?;
    let number =
        |value: Option<u64>| value.map_or(Reply::Null, |n| Reply::Int(i64::try_from(n).unwrap_or(i64::MAX)));
    let told = stream.groups.iter().map(|(name, group)| {
        named(vec![
            ("name", Reply::bulk(name.clone())),
            ("consumers", Reply::count(group.consumers.len())),
            ("pending", Reply::count(group.pending.len())),
            ("last-delivered-id", Reply::bulk(id_text(group.last))),
            ("entries-read", number(group.read)),
            ("lag", number(stream.lag(group))),
        ])
    });
    Ok(Reply::Array(told.collect()))
}

fn info_consumers(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let now = cx.model.unix_ms();
    let stream = cx.get::<Stream>(&args[2])?.ok_or(NO_SUCH_KEY)?;
    let group = stream.groups.get(&args[3]).ok_or_else(|| no_group(&args[2], &args[3]))?;
    let since = |then: u64| i64::try_from(now.saturating_sub(then)).unwrap_or(i64::MAX);
    let told = group.consumers.iter().map(|(name, consumer)| {
        named(vec![
            ("name", Reply::bulk(name.clone())),
            ("pending", Reply::count(group.pending_of(name).len())),
            ("idle", Reply::Int(since(consumer.seen))),
            ("inactive", Reply::Int(consumer.active.map_or(-1, since))),
        ])
    });
    Ok(Reply::Array(told.collect()))
}
