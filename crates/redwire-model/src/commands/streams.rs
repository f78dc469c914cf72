//! Streams without groups.
//!
//! This file must not know groups; `stream_groups.rs` uses what is here.

use super::{Args, Command, Keys, row, wrong_arity};
use crate::context::{Context, int, is, milliseconds};
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::stream::{Bound, Fields, Id, Stream, id_text, next, parse_id, previous};

pub(crate) const ROWS: &[Command] = &[
    row("XADD", -5, "write denyoom fast", Keys::Range(1, 1, 1), "write stream fast", xadd),
    row("XDEL", -3, "write fast", Keys::Range(1, 1, 1), "write stream fast", xdel),
    row("XLEN", 2, "readonly fast", Keys::Range(1, 1, 1), "read stream fast", xlen),
    row("XRANGE", -4, "readonly", Keys::Range(1, 1, 1), "read stream slow", xrange),
    row("XREAD", -4, "readonly blocking movablekeys", Keys::Streams, "read stream slow blocking", xread),
    row("XREVRANGE", -4, "readonly", Keys::Range(1, 1, 1), "read stream slow", xrevrange),
    row("XTRIM", -4, "write", Keys::Range(1, 1, 1), "write stream slow", xtrim),
];

pub(crate) const BAD_ID: Refusal = refusal("ERR Invalid stream ID specified as stream command argument");

/// What a stream is to be cut to.
struct Trim {
    bound: Bound,
    exact: bool,
    limit: Option<usize>,
}

/// Reads `MAXLEN ~ 10 LIMIT 5`, and how many words that were. `None` if the words say something else.
fn trim(words: Args<'_>) -> Result<Option<(Trim, usize)>, Refusal> {
    let Some(first) = words.first() else { return Ok(None) };
    let by_len = is(first, "MAXLEN");
    if !by_len && !is(first, "MINID") {
        return Ok(None);
    }
    let mut at = 1;
    let mut exact = true;
    if let Some(mark) = words.get(1).filter(|word| is(word, "~") || is(word, "=")) {
        exact = is(mark, "=");
        at = 2;
    }
    let value = words.get(at).ok_or(SYNTAX)?;
    let bound = if by_len {
        let len = int(value)?;
        Bound::Len(u64::try_from(len).map_err(|_| refusal("ERR The MAXLEN argument must be >= 0."))?)
    } else {
        Bound::From(parse_id(value, 0).ok_or(BAD_ID)?)
    };
    at += 1;
    Ok(Some((Trim { bound, exact, limit: None }, at)))
}

/// Reads all that stands in front of the id of `XADD`, or behind the key of `XTRIM`: what to cut to, whether
/// to make a stream, and how many words that were.
fn cutting(words: Args<'_>, adds: bool) -> Result<(Option<Trim>, bool, usize), Refusal> {
    let (mut at, mut make, mut cut, mut limit) = (0, true, None, None);
    while let Some(word) = words.get(at) {
        let has_more = words.len() > at + 1;
        if adds && is(word, "NOMKSTREAM") {
            make = false;
            at += 1;
        } else if has_more && is(word, "LIMIT") {
            let value = int(&words[at + 1])?;
            limit =
                Some(usize::try_from(value).map_err(|_| refusal("ERR The LIMIT argument must be >= 0."))?);
            at += 2;
        } else if let Some((found, count)) = trim(&words[at..])?.filter(|_| has_more) {
            if cut.is_some() {
                return Err(refusal(
                    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                ));
            }
            cut = Some(found);
            at += count;
        } else {
            break;
        }
    }
    if let Some(limit) = limit {
        match &mut cut {
            None => {
                return Err(refusal(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                ));
            }
            Some(cut) if cut.exact => {
                return Err(refusal("ERR syntax error, LIMIT cannot be used without the special ~ option"));
            }
            Some(cut) => cut.limit = (limit > 0).then_some(limit),
        }
    }
    Ok((cut, make, at))
}

fn new_id(cx: &Context<'_>, word: &[u8], last: Id) -> Result<Id, Refusal> {
    let small = refusal("ERR The ID specified in XADD is equal or smaller than the target stream top item");
    let id = if word == b"*" {
        let now = cx.model.unix_ms();
        if now > last.0 { (now, 0) } else { next(last).ok_or_else(|| small.clone())? }
    } else if let Some(time) = word.strip_suffix(b"-*") {
        let (time, _) = parse_id(time, 0).filter(|_| !time.contains(&b'-')).ok_or(BAD_ID)?;
        match time {
            time if time == last.0 => (time, last.1.checked_add(1).ok_or_else(|| small.clone())?),
            time => (time, u64::from(time == 0)),
        }
    } else {
        parse_id(word, 0).ok_or(BAD_ID)?
    };
    if id == (0, 0) {
        return Err(refusal("ERR The ID specified in XADD must be greater than 0-0"));
    }
    if id <= last {
        return Err(small);
    }
    Ok(id)
}

fn xadd(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (cut, make, count) = cutting(&args[2..], true)?;
    let at = 2 + count;
    let word = args.get(at).ok_or_else(|| wrong_arity("xadd"))?;
    let is_time = |time: &[u8]| !time.contains(&b'-') && parse_id(time, 0).is_some();
    let is_id = word == b"*" || word.strip_suffix(b"-*").is_some_and(is_time) || parse_id(word, 0).is_some();
    if !is_id {
        return Err(BAD_ID);
    }
    let fields = &args[at + 1..];
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(wrong_arity("xadd"));
    }
    if parse_id(word, 0) == Some((0, 0)) {
        return Err(refusal("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let last = cx.get::<Stream>(&args[1])?.map(|stream| stream.last);
    if last.is_none() && !make {
        return Ok(Reply::Null);
    }
    let id = new_id(cx, word, last.unwrap_or_default())?;
    let fields: Fields = fields.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    let stream = cx.get_or_new::<Stream>(&args[1])?;
    stream.add(id, fields);
    if let Some(cut) = cut {
        stream.trim(cut.bound, cut.exact, cut.limit);
    }
    cx.modified(&args[1]);
    Ok(Reply::bulk(id_text(id)))
}

fn xtrim(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (cut, _, count) = cutting(&args[2..], false)?;
    if cut.is_none() || args.len() > 2 + count {
        return Err(SYNTAX);
    }
    let Some(stream) = cx.get_mut::<Stream>(&args[1])? else { return Ok(Reply::Int(0)) };
    let removed = cut.map_or(0, |cut| stream.trim(cut.bound, cut.exact, cut.limit));
    if removed > 0 {
        cx.modified(&args[1]);
    }
    Ok(Reply::count(removed))
}

fn xlen(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::count(cx.get::<Stream>(&args[1])?.map_or(0, |stream| stream.entries.len())))
}

fn xdel(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if cx.get::<Stream>(&args[1])?.is_none() {
        return Ok(Reply::Int(0));
    }
    let ids = ids(&args[2..])?;
    let Some(stream) = cx.get_mut::<Stream>(&args[1])? else { return Ok(Reply::Int(0)) };
    let removed = ids.into_iter().filter(|id| stream.delete(*id)).count();
    if removed > 0 {
        cx.modified(&args[1]);
    }
    Ok(Reply::count(removed))
}

/// Ids that are written out.
pub(crate) fn ids(words: Args<'_>) -> Result<Vec<Id>, Refusal> {
    words.iter().map(|word| parse_id(word, 0).ok_or(BAD_ID)).collect()
}

/// The first id of a range, or the last.
pub(crate) fn range_end(word: &[u8], is_first: bool) -> Result<Id, Refusal> {
    let part = if is_first { 0 } else { u64::MAX };
    match word {
        b"-" => Ok((0, 0)),
        b"+" => Ok((u64::MAX, u64::MAX)),
        [b'(', rest @ ..] => {
            let id = parse_id(rest, part).ok_or(BAD_ID)?;
            let beside = if is_first { next(id) } else { previous(id) };
            let what = if is_first { "start" } else { "end" };
            beside.ok_or_else(|| Refusal::new(format!("ERR invalid {what} ID for the interval")))
        }
        _ => parse_id(word, part).ok_or(BAD_ID),
    }
}

/// An entry as replies have it.
pub(crate) fn entry(id: Id, fields: &Fields) -> Reply {
    let words = fields.iter().flat_map(|(field, value)| [field.clone(), value.clone()]);
    Reply::Array(vec![Reply::bulk(id_text(id)), Reply::list(words)])
}

fn read_range(cx: &Context<'_>, args: Args<'_>, reverse: bool) -> Outcome {
    let (first, last) = if reverse { (&args[3], &args[2]) } else { (&args[2], &args[3]) };
    let (first, last) = (range_end(first, true)?, range_end(last, false)?);
    let (mut most, mut words) = (usize::MAX, args[4..].iter());
    while let Some(word) = words.next() {
        let count = words.next().filter(|_| is(word, "COUNT")).ok_or(SYNTAX)?;
        most = usize::try_from(int(count)?).unwrap_or(0);
    }
    let Some(stream) = cx.get::<Stream>(&args[1])? else { return Ok(Reply::Array(Vec::new())) };
    if most == 0 {
        return Ok(Reply::NullArray);
    }
    if first > last {
        return Ok(Reply::Array(Vec::new()));
    }
    let found = stream.entries.range(first..=last).map(|(id, fields)| entry(*id, fields));
    Ok(Reply::Array(if reverse { found.rev().take(most).collect() } else { found.take(most).collect() }))
}

fn xrange(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    read_range(cx, args, false)
}

fn xrevrange(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    read_range(cx, args, true)
}

/// What stands in front of the streams of `XREAD` and `XREADGROUP`.
pub(crate) struct ReadOptions<'a> {
    pub(crate) most: usize,
    /// For how long it waits: not at all, or for ever.
    pub(crate) block: Option<Option<std::time::Duration>>,
    pub(crate) group: Option<(&'a [u8], &'a [u8])>,
    pub(crate) no_ack: bool,
    pub(crate) keys: Args<'a>,
    pub(crate) ids: Args<'a>,
    /// Where the first of the ids stands.
    pub(crate) ids_at: usize,
}

pub(crate) fn read_options<'a>(args: Args<'a>, name: &str) -> Result<ReadOptions<'a>, Refusal> {
    let (mut most, mut block, mut group, mut no_ack, mut at) = (usize::MAX, None, None, false, 1);
    let in_group = name == "xreadgroup";
    loop {
        let word = args.get(at).ok_or(SYNTAX)?;
        let left = args.len() - at - 1;
        if is(word, "STREAMS") && left > 0 {
            break;
        } else if is(word, "COUNT") && left > 0 {
            let count = int(&args[at + 1])?;
            most = usize::try_from(count).ok().filter(|count| *count > 0).unwrap_or(usize::MAX);
            at += 2;
        } else if is(word, "BLOCK") && left > 0 {
            block = Some(milliseconds(&args[at + 1])?);
            at += 2;
        } else if is(word, "GROUP") && left > 1 {
            if !in_group {
                return Err(refusal(
                    "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            group = Some((args[at + 1].as_slice(), args[at + 2].as_slice()));
            at += 3;
        } else if is(word, "NOACK") {
            if !in_group {
                return Err(refusal(
                    "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                ));
            }
            no_ack = true;
            at += 1;
        } else {
            return Err(SYNTAX);
        }
    }
    let rest = &args[at + 1..];
    if !rest.len().is_multiple_of(2) {
        let ids = if in_group { "an ID or '>'" } else { "an ID, '+', or '$'" };
        return Err(Refusal::new(format!(
            "ERR Unbalanced '{name}' list of streams: for each stream key {ids} must be specified."
        )));
    }
    if in_group && group.is_none() {
        return Err(refusal("ERR Missing GROUP option for XREADGROUP"));
    }
    let (keys, ids) = rest.split_at(rest.len() / 2);
    Ok(ReadOptions { most, block, group, no_ack, keys, ids, ids_at: at + 1 + keys.len() })
}

/// What was read of each stream: a map in RESP3, and else pairs.
pub(crate) fn per_stream(cx: &mut Context<'_>, found: Vec<(Vec<u8>, Reply)>) -> Reply {
    let pairs = found.into_iter().map(|(key, entries)| (Reply::Bulk(key), entries));
    if cx.client().resp3 {
        Reply::Map(pairs.collect())
    } else {
        Reply::Array(pairs.map(|(key, entries)| Reply::Array(vec![key, entries])).collect())
    }
}

fn xread(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let options = read_options(args, "xread")?;
    let mut again = args.to_vec();
    let mut found = Vec::new();
    for (at, (key, word)) in options.keys.iter().zip(options.ids).enumerate() {
        let stream = cx.get::<Stream>(key)?;
        let last = stream.map_or((0, 0), |stream| stream.last);
        let from = match word.as_slice() {
            b"$" => last,
            b"+" => stream
                .and_then(|stream| stream.entries.last_key_value())
                .map_or(last, |(id, _)| previous(*id).unwrap_or_default()),
            b">" => {
                return Err(refusal(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
                     <consumer> option.",
                ));
            }
            _ => parse_id(word, 0).ok_or(BAD_ID)?,
        };
        // Whoever waits waits for what comes after now.
        again[options.ids_at + at] = id_text(from).into_bytes();
        let Some(stream) = stream else { continue };
        let Some(first) = next(from) else { continue };
        let entries: Vec<Reply> =
            stream.entries.range(first..).take(options.most).map(|(id, fields)| entry(*id, fields)).collect();
        if !entries.is_empty() {
            found.push((key.clone(), Reply::Array(entries)));
        }
    }
    if !found.is_empty() {
        return Ok(per_stream(cx, found));
    }
    Ok(match options.block {
        None => Reply::NullArray,
        Some(limit) => cx.wait(options.keys, limit, &again, Reply::NullArray),
    })
}
