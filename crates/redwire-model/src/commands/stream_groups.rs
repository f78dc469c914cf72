//! Groups of readers that share a stream.
//!
//! This file must not know how entries are added.

use super::streams::{BAD_ID, entry, ids, per_stream, read_options};
use super::{Args, Command, Keys, odd_subcommand, row};
use crate::context::{Context, done, int, is};
use crate::reply::{NO_SUCH_KEY, Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::stream::{Consumer, Entries, Group, Id, Pending, Stream, id_text, next, parse_id};

pub(crate) const ROWS: &[Command] = &[
    row("XACK", -4, "write fast", Keys::Range(1, 1, 1), "write stream fast", xack),
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
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the \
     MKSTREAM option to create an empty stream automatically.",
);

pub(crate) fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

fn no_group(key: &[u8], group: &[u8]) -> Refusal {
    Refusal::new(format!("NOGROUP No such consumer group '{}' for key name '{}'", text(group), text(key)))
}

pub(crate) fn no_key_or_group(key: &[u8], group: &[u8], tail: &str) -> Refusal {
    Refusal::new(format!("NOGROUP No such key '{}' or consumer group '{}'{tail}", text(key), text(group)))
}

/// The group of a subcommand of `XGROUP`, whose key must exist.
fn group_mut<'m>(cx: &'m mut Context<'_>, key: &[u8], name: &[u8]) -> Result<&'m mut Group, Refusal> {
    let stream = cx.get_mut::<Stream>(key)?.ok_or(NO_KEY)?;
    stream.groups.get_mut(name).ok_or_else(|| no_group(key, name))
}

/// The entries of a stream, and a group of it. `None` if there is no such key or group.
pub(crate) fn entries_and_group<'m>(
    cx: &'m mut Context<'_>,
    key: &[u8],
    name: &[u8],
) -> Result<Option<(&'m Entries, &'m mut Group)>, Refusal> {
    let Some(Stream { entries, groups, .. }) = cx.get_mut(key)? else { return Ok(None) };
    Ok(groups.get_mut(name).map(|group| (&*entries, group)))
}

/// From where a group reads, and how many entries it has read according to the caller.
fn beginning(cx: &Context<'_>, key: &[u8], words: Args<'_>) -> Result<(Id, Option<u64>), Refusal> {
    let read = match words.get(1) {
        None => None,
        Some(word) => {
            let read = int(word)?;
            if read < -1 {
                return Err(refusal("ERR value for ENTRIESREAD must be positive or -1"));
            }
            u64::try_from(read).ok()
        }
    };
    let stream = cx.get::<Stream>(key)?;
    if words[0] == b"$" {
        return Ok((stream.map_or((0, 0), |stream| stream.last), read));
    }
    Ok(match words[0].as_slice() {
        b"-" => ((0, 0), read),
        b"+" => ((u64::MAX, u64::MAX), read),
        word => (parse_id(word, 0).ok_or(BAD_ID)?, read),
    })
}

fn create(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (mut make, mut words) = (false, vec![args[4].clone()]);
    let mut rest = args[5..].iter();
    while let Some(word) = rest.next() {
        if is(word, "MKSTREAM") {
            make = true;
        } else if is(word, "ENTRIESREAD") {
            words.push(rest.next().ok_or_else(|| odd_subcommand(args))?.clone());
        } else {
            return Err(odd_subcommand(args));
        }
    }
    if cx.get::<Stream>(&args[2])?.is_none() && !make {
        return Err(NO_KEY);
    }
    if matches!(args[4].as_slice(), b"-" | b"+") {
        return Err(BAD_ID);
    }
    let (last, read) = beginning(cx, &args[2], &words)?;
    let is_new = !cx.db().contains(&args[2]);
    let stream = cx.get_or_new::<Stream>(&args[2])?;
    if stream.groups.contains_key(&args[3]) {
        return Err(refusal("BUSYGROUP Consumer Group name already exists"));
    }
    stream.groups.insert(args[3].clone(), Group { last, read, ..Group::default() });
    if is_new {
        cx.modified(&args[2]);
    } else {
        cx.noted(&args[2]);
    }
    done()
}

fn setid(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let mut words = vec![args[4].clone()];
    match &args[5..] {
        [] => {}
        [word, read] if is(word, "ENTRIESREAD") => words.push(read.clone()),
        _ => return Err(odd_subcommand(args)),
    }
    group_mut(cx, &args[2], &args[3])?;
    let (last, read) = beginning(cx, &args[2], &words)?;
    let group = group_mut(cx, &args[2], &args[3])?;
    (group.last, group.read) = (last, read);
    cx.noted(&args[2]);
    done()
}

fn destroy(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let stream = cx.get_mut::<Stream>(&args[2])?.ok_or(NO_KEY)?;
    let was_there = stream.groups.remove(&args[3]).is_some();
    if was_there {
        cx.noted(&args[2]);
        // Who waits in the group is told that it is gone.
        let place = (cx.database(), args[2].clone());
        if cx.model.waiting.contains_key(&place) {
            cx.model.ready_keys.push_back(place);
        }
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
    cx.noted(&args[2]);
    Ok(Reply::Int(1))
}

fn delconsumer(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let group = group_mut(cx, &args[2], &args[3])?;
    let pending = group.pending_of(&args[4]);
    group.pending.retain(|id, _| !pending.contains(id));
    if group.consumers.remove(&args[4]).is_some() {
        cx.noted(&args[2]);
    }
    Ok(Reply::count(pending.len()))
}

fn xack(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Some((_, group)) = entries_and_group(cx, &args[1], &args[2])? else { return Ok(Reply::Int(0)) };
    let ids = ids(&args[3..])?;
    let acknowledged = ids.iter().filter(|id| group.pending.remove(id).is_some()).count();
    if acknowledged > 0 {
        cx.noted(&args[1]);
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
                    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history \
                     of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ \
                     ID would just return an empty result set.",
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

pub(crate) fn seen<'g>(group: &'g mut Group, consumer: &[u8], now: u64) -> &'g mut Consumer {
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
    let Some((entries, group)) = entries_and_group(cx, key, reader.0)? else { return Ok(Vec::new()) };
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
    let Some(mut group) = stream.groups.remove(reader.0) else { return Ok(None) };
    let first = next(group.last).unwrap_or((u64::MAX, u64::MAX));
    let entries: Vec<(Id, Reply)> =
        stream.entries.range(first..).take(most).map(|(id, fields)| (*id, entry(*id, fields))).collect();
    let is_new = !group.consumers.contains_key(reader.1);
    seen(&mut group, reader.1, now);
    for (id, _) in &entries {
        group.read = match group.read {
            Some(read) if !stream.has_gap_from(group.last) => Some(read + 1),
            _ => stream.entries_read_at(*id),
        };
        group.last = *id;
        if acknowledges {
            let pending = Pending { consumer: reader.1.to_vec(), delivered: now, times: 1 };
            group.pending.insert(*id, pending);
        }
    }
    let found: Vec<Reply> = entries.into_iter().map(|(_, reply)| reply).collect();
    if !found.is_empty() {
        seen(&mut group, reader.1, now).active = Some(now);
    }
    stream.groups.insert(reader.0.to_vec(), group);
    if !found.is_empty() || is_new && !again {
        cx.noted(key);
    }
    Ok((!found.is_empty()).then_some(found))
}

fn info_groups(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let stream = cx.get::<Stream>(&args[2])?.ok_or(NO_SUCH_KEY)?;
    let number = |value: Option<u64>| value.map_or(Reply::Null, Reply::number);
    let told = stream.groups.iter().map(|(name, group)| {
        Reply::fields([
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
    let since = |then: u64| Reply::number(now.saturating_sub(then));
    let told = group.consumers.iter().map(|(name, consumer)| {
        Reply::fields([
            ("name", Reply::bulk(name.clone())),
            ("pending", Reply::count(group.pending_of(name).len())),
            ("idle", since(consumer.seen)),
            ("inactive", consumer.active.map_or(Reply::Int(-1), since)),
        ])
    });
    Ok(Reply::Array(told.collect()))
}
