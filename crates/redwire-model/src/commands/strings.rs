//! Strings and counters.
//!
//! This file must not know how long values live; `expiry.rs` reads the options that say so.

use super::expiry::{End, end_of};
use super::{Args, Command, Keys, row, wrong_arity};
use crate::context::{Context, clamped_range, done, float, int, is};
use crate::number::add_decimal;
use crate::reply::{OK, Outcome, Refusal, Reply, SYNTAX, refusal};

pub(crate) const ROWS: &[Command] = &[
    row("APPEND", 3, "write denyoom fast", Keys::Range(1, 1, 1), "write string fast", append),
    row("DECR", 2, "write denyoom fast", Keys::Range(1, 1, 1), "write string fast", decr),
    row("DECRBY", 3, "write denyoom fast", Keys::Range(1, 1, 1), "write string fast", decrby),
    row("GET", 2, "readonly fast", Keys::Range(1, 1, 1), "read string fast", get),
    row("GETDEL", 2, "write fast", Keys::Range(1, 1, 1), "write string fast", getdel),
    row("GETEX", -2, "write fast", Keys::Range(1, 1, 1), "write string fast", getex),
    row("GETRANGE", 4, "readonly", Keys::Range(1, 1, 1), "read string slow", getrange),
    row("GETSET", 3, "write denyoom fast", Keys::Range(1, 1, 1), "write string fast", getset),
    row("INCR", 2, "write denyoom fast", Keys::Range(1, 1, 1), "write string fast", incr),
    row("INCRBY", 3, "write denyoom fast", Keys::Range(1, 1, 1), "write string fast", incrby),
    row("INCRBYFLOAT", 3, "write denyoom fast", Keys::Range(1, 1, 1), "write string fast", incrbyfloat),
    row("MGET", -2, "readonly fast", Keys::Range(1, -1, 1), "read string fast", mget),
    row("MSET", -3, "write denyoom", Keys::Range(1, -1, 2), "write string slow", mset),
    row("MSETNX", -3, "write denyoom", Keys::Range(1, -1, 2), "write string slow", msetnx),
    row("PSETEX", 4, "write denyoom", Keys::Range(1, 1, 1), "write string slow", psetex),
    row("SET", -3, "write denyoom", Keys::Range(1, 1, 1), "write string slow", set),
    row("SETEX", 4, "write denyoom", Keys::Range(1, 1, 1), "write string slow", setex),
    row("SETNX", 3, "write denyoom fast", Keys::Range(1, 1, 1), "write string fast", setnx),
    row("SETRANGE", 4, "write denyoom", Keys::Range(1, 1, 1), "write string slow", setrange),
    row("STRLEN", 2, "readonly fast", Keys::Range(1, 1, 1), "read string fast", strlen),
    row("SUBSTR", 4, "readonly", Keys::Range(1, 1, 1), "read string slow", getrange),
];

const TOO_LARGE: Refusal = refusal("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

fn get(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let value = cx.get::<Vec<u8>>(&args[1])?.cloned();
    if value.is_some() {
        cx.model.stats.hits += 1;
    } else {
        cx.model.stats.misses += 1;
    }
    Ok(Reply::maybe(value))
}

fn mget(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let values = args[1..].iter().map(|key| Reply::maybe(cx.get::<Vec<u8>>(key).ok().flatten().cloned()));
    Ok(Reply::Array(values.collect()))
}

fn strlen(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::count(cx.get::<Vec<u8>>(&args[1])?.map_or(0, Vec::len)))
}

/// What stands behind the value of `SET`.
#[derive(Default)]
struct SetOptions<'a> {
    if_absent: bool,
    if_there: bool,
    get: bool,
    keep_end: bool,
    end: Option<(End, &'a [u8])>,
}

fn set_options<'a>(words: Args<'a>) -> Result<SetOptions<'a>, Refusal> {
    let mut options = SetOptions::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if is(word, "NX") && !options.if_there {
            options.if_absent = true;
        } else if is(word, "XX") && !options.if_absent {
            options.if_there = true;
        } else if is(word, "GET") {
            options.get = true;
        } else if is(word, "KEEPTTL") && options.end.is_none() {
            options.keep_end = true;
        } else {
            let end =
                End::named(word).filter(|_| !options.keep_end && options.end.is_none()).ok_or(SYNTAX)?;
            options.end = Some((end, words.next().ok_or(SYNTAX)?));
        }
    }
    Ok(options)
}

fn set(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let options = set_options(&args[3..])?;
    let (key, value) = (&args[1], &args[2]);
    let mut expires = match options.end {
        Some((end, word)) => Some(end_of(cx, end, word, "set")?),
        None => None,
    };
    let before = if options.get { cx.get::<Vec<u8>>(key)?.cloned() } else { None };
    let is_there = cx.db().contains(key);
    if options.if_absent && is_there || options.if_there && !is_there {
        return Ok(if options.get { Reply::maybe(before) } else { Reply::Null });
    }
    if options.keep_end {
        expires = cx.db().expires(key);
    }
    cx.put(key, value.clone(), expires);
    Ok(if options.get { Reply::maybe(before) } else { OK })
}

fn setnx(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if cx.db().contains(&args[1]) {
        return Ok(Reply::Int(0));
    }
    cx.put(&args[1], args[2].clone(), None);
    Ok(Reply::Int(1))
}

fn setex(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let end = end_of(cx, End::In(1000), &args[2], "setex")?;
    cx.put(&args[1], args[3].clone(), Some(end));
    done()
}

fn psetex(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let end = end_of(cx, End::In(1), &args[2], "psetex")?;
    cx.put(&args[1], args[3].clone(), Some(end));
    done()
}

fn getset(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let before = cx.get::<Vec<u8>>(&args[1])?.cloned();
    cx.put(&args[1], args[2].clone(), None);
    Ok(Reply::maybe(before))
}

fn getdel(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let before = cx.get::<Vec<u8>>(&args[1])?.cloned();
    cx.remove(&args[1]);
    Ok(Reply::maybe(before))
}

fn getex(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (key, mut end, mut persist) = (&args[1], None, false);
    let mut words = args[2..].iter();
    while let Some(word) = words.next() {
        if is(word, "PERSIST") && end.is_none() {
            persist = true;
        } else {
            let named = End::named(word).filter(|_| end.is_none() && !persist).ok_or(SYNTAX)?;
            end = Some((named, words.next().ok_or(SYNTAX)?));
        }
    }
    let Some(value) = cx.get::<Vec<u8>>(key)?.cloned() else { return Ok(Reply::Null) };
    if let Some((end, word)) = end {
        let end = end_of(cx, end, word, "getex")?;
        cx.db_mut().set_expires(key, Some(end));
        cx.modified(key);
    } else if persist && cx.db().expires(key).is_some() {
        cx.db_mut().set_expires(key, None);
        cx.modified(key);
    }
    Ok(Reply::Bulk(value))
}

fn append(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let value = cx.get_or_new::<Vec<u8>>(&args[1])?;
    value.extend_from_slice(&args[2]);
    let len = value.len();
    cx.modified(&args[1]);
    Ok(Reply::count(len))
}

fn setrange(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let offset = int(&args[2])?;
    let Ok(offset) = usize::try_from(offset) else { return Err(refusal("ERR offset is out of range")) };
    let len = cx.get::<Vec<u8>>(&args[1])?.map_or(0, Vec::len);
    if args[3].is_empty() {
        return Ok(Reply::count(len));
    }
    let end = offset.saturating_add(args[3].len());
    if end > usize::try_from(cx.model.config.bulk_max()).unwrap_or(usize::MAX) {
        return Err(TOO_LARGE);
    }
    let value = cx.get_or_new::<Vec<u8>>(&args[1])?;
    value.resize(value.len().max(end), 0);
    value[offset..end].copy_from_slice(&args[3]);
    let len = value.len();
    cx.modified(&args[1]);
    Ok(Reply::count(len))
}

fn getrange(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (start, end) = (int(&args[2])?, int(&args[3])?);
    let Some(value) = cx.get::<Vec<u8>>(&args[1])? else { return Ok(Reply::bulk("")) };
    let is_backward = start < 0 && end < 0 && start > end;
    let found = clamped_range(start, end, value.len()).filter(|_| !is_backward);
    Ok(Reply::bulk(found.map_or(&[][..], |(start, end)| &value[start..=end])))
}

fn add(cx: &mut Context<'_>, key: &[u8], by: i64) -> Outcome {
    let before = match cx.get::<Vec<u8>>(key)? {
        Some(value) => int(value)?,
        None => 0,
    };
    let sum = before.checked_add(by).ok_or(refusal("ERR increment or decrement would overflow"))?;
    *cx.get_or_new::<Vec<u8>>(key)? = sum.to_string().into_bytes();
    cx.modified(key);
    Ok(Reply::Int(sum))
}

fn incr(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(cx, &args[1], 1)
}

fn decr(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(cx, &args[1], -1)
}

fn incrby(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    add(cx, &args[1], int(&args[2])?)
}

fn decrby(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let by = int(&args[2])?.checked_neg().ok_or(refusal("ERR decrement would overflow"))?;
    add(cx, &args[1], by)
}

fn incrbyfloat(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let before = cx.get::<Vec<u8>>(&args[1])?.cloned();
    let before = before.unwrap_or_else(|| b"0".to_vec());
    float(&before)?;
    float(&args[2])?;
    let sum = add_decimal(&before, &args[2])
        .ok_or(refusal("ERR increment would produce NaN or Infinity"))?
        .into_bytes();
    *cx.get_or_new::<Vec<u8>>(&args[1])? = sum.clone();
    cx.modified(&args[1]);
    Ok(Reply::Bulk(sum))
}

fn mset(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args.len().is_multiple_of(2) {
        return Err(wrong_arity("mset"));
    }
    for pair in args[1..].chunks_exact(2) {
        cx.put(&pair[0], pair[1].clone(), None);
    }
    done()
}

fn msetnx(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args.len().is_multiple_of(2) {
        return Err(wrong_arity("msetnx"));
    }
    if args[1..].chunks_exact(2).any(|pair| cx.db().contains(&pair[0])) {
        return Ok(Reply::Int(0));
    }
    for pair in args[1..].chunks_exact(2) {
        cx.put(&pair[0], pair[1].clone(), None);
    }
    Ok(Reply::Int(1))
}
