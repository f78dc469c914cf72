//! Keys of any type.
//!
//! This file must not know what the keys hold, but for the names of types and of their encodings.

use super::{Args, Command, Keys, row};
use crate::context::{Context, done, int, is};
use crate::glob;
use crate::number::parse_int;
use crate::reply::{NO_SUCH_KEY, OK, OUT_OF_RANGE, Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::value::Value;

pub(crate) const ROWS: &[Command] = &[
    row("COPY", -3, "write denyoom", Keys::Range(1, 2, 1), "keyspace write slow", copy),
    row("DBSIZE", 1, "readonly fast", Keys::None, "keyspace read fast", dbsize),
    row("DEL", -2, "write", Keys::Range(1, -1, 1), "keyspace write slow", del),
    row("EXISTS", -2, "readonly fast", Keys::Range(1, -1, 1), "keyspace read fast", exists),
    row("FLUSHALL", -1, "write", Keys::None, "keyspace write slow dangerous", flushall),
    row("FLUSHDB", -1, "write", Keys::None, "keyspace write slow dangerous", flushdb),
    row("KEYS", 2, "readonly", Keys::None, "keyspace read slow dangerous", keys),
    row("MOVE", 3, "write fast", Keys::Range(1, 1, 1), "keyspace write fast", move_key),
    row("OBJECT", -2, "", Keys::None, "slow", super::container),
    row("OBJECT ENCODING", 3, "readonly", Keys::Range(2, 2, 1), "keyspace read slow", encoding),
    row("OBJECT REFCOUNT", 3, "readonly", Keys::Range(2, 2, 1), "keyspace read slow", refcount),
    row("OBJECT IDLETIME", 3, "readonly", Keys::Range(2, 2, 1), "keyspace read slow", idletime),
    row("RANDOMKEY", 1, "readonly", Keys::None, "keyspace read slow", randomkey),
    row("RENAME", 3, "write", Keys::Range(1, 2, 1), "keyspace write slow", rename),
    row("RENAMENX", 3, "write fast", Keys::Range(1, 2, 1), "keyspace write fast", renamenx),
    row("SWAPDB", 3, "write fast", Keys::None, "keyspace write fast dangerous", swapdb),
    row("TOUCH", -2, "readonly fast", Keys::Range(1, -1, 1), "keyspace read fast", exists),
    row("TYPE", 2, "readonly fast", Keys::Range(1, 1, 1), "keyspace read fast", kind),
    row("UNLINK", -2, "write fast", Keys::Range(1, -1, 1), "keyspace write fast", del),
];

fn del(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::count(args[1..].iter().filter(|key| cx.remove(key)).count()))
}

fn exists(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::count(args[1..].iter().filter(|key| cx.db().contains(key)).count()))
}

fn kind(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::Simple(cx.db().get(&args[1]).map_or("none", Value::kind).into()))
}

fn dbsize(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    Ok(Reply::count(cx.db().len()))
}

fn keys(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::list(cx.db().table().keys().filter(|key| glob::matches(&args[1], key)).cloned()))
}

fn randomkey(cx: &mut Context<'_>, _: Args<'_>) -> Outcome {
    let database = cx.database();
    let model = &mut *cx.model;
    let found = model.databases[database].table().random(&mut model.random);
    Ok(Reply::maybe(found.map(|(key, _)| key.clone())))
}

fn rename(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    rename_to(cx, args, true)?;
    done()
}

fn renamenx(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    rename_to(cx, args, false).map(Reply::flag)
}

fn rename_to(cx: &mut Context<'_>, args: Args<'_>, replace: bool) -> Result<bool, Refusal> {
    let (from, to) = (&args[1], &args[2]);
    if !cx.db().contains(from) {
        return Err(NO_SUCH_KEY);
    }
    if from == to {
        return Ok(replace);
    }
    if !replace && cx.db().contains(to) {
        return Ok(false);
    }
    if let Some(entry) = cx.db_mut().remove(from) {
        cx.db_mut().insert(to, entry);
        cx.modified(from);
        cx.modified(to);
    }
    Ok(true)
}

/// The database that a word names.
pub(crate) fn database(cx: &Context<'_>, word: &[u8]) -> Result<usize, Refusal> {
    let number = i32::try_from(int(word)?)
        .map_err(|_| refusal("ERR value is out of range, value must between -2147483648 and 2147483647"))?;
    let number = usize::try_from(number).ok();
    number.filter(|number| *number < cx.model.databases.len()).ok_or(refusal("ERR DB index is out of range"))
}

fn copy(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (mut target, mut replace) = (cx.database(), false);
    let mut words = args[3..].iter();
    while let Some(word) = words.next() {
        if is(word, "REPLACE") {
            replace = true;
        } else if is(word, "DB") {
            target = database(cx, words.next().ok_or(SYNTAX)?)?;
        } else {
            return Err(SYNTAX);
        }
    }
    let (from, to) = (&args[1], &args[2]);
    if from == to && target == cx.database() {
        return Err(refusal("ERR source and destination objects are the same"));
    }
    let Some(entry) = cx.db().entry(from).cloned() else { return Ok(Reply::Int(0)) };
    if !replace && cx.model.databases[target].contains(to) {
        return Ok(Reply::Int(0));
    }
    cx.model.databases[target].insert(to, entry);
    cx.model.signal(target, to, Some(cx.id));
    Ok(Reply::Int(1))
}

fn move_key(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let target = database(cx, &args[2])?;
    if target == cx.database() {
        return Err(refusal("ERR source and destination objects are the same"));
    }
    if cx.model.databases[target].contains(&args[1]) {
        return Ok(Reply::Int(0));
    }
    let Some(entry) = cx.db_mut().remove(&args[1]) else { return Ok(Reply::Int(0)) };
    cx.model.databases[target].insert(&args[1], entry);
    cx.modified(&args[1]);
    cx.model.signal(target, &args[1], Some(cx.id));
    Ok(Reply::Int(1))
}

/// `ASYNC` or `SYNC`, which are the same here.
fn flush_mode(args: Args<'_>) -> Result<(), Refusal> {
    match &args[1..] {
        [] => Ok(()),
        [mode] if is(mode, "ASYNC") || is(mode, "SYNC") => Ok(()),
        _ => Err(SYNTAX),
    }
}

fn all_keys(cx: &Context<'_>, database: usize) -> Vec<Vec<u8>> {
    cx.model.databases[database].table().keys().cloned().collect()
}

/// A whole database is another, of whose keys caches are not told one by one.
fn replaced(cx: &mut Context<'_>, database: usize, keys: Vec<Vec<u8>>) {
    for key in keys {
        cx.model.touch(database, &key);
        cx.model.changes.push((database, key));
    }
}

/// Takes all keys away. Caches are told once of all keys, and not of each; a client that tracks hears of its
/// own flush before the reply.
fn flush(cx: &mut Context<'_>, databases: std::ops::Range<usize>) -> Reply {
    let id = cx.id;
    for database in databases {
        let keys = all_keys(cx, database);
        cx.model.databases[database].clear();
        replaced(cx, database, keys);
    }
    cx.model.dirty += 1;
    let within = !cx.may_wait;
    match cx.model.invalidate_all(id, within) {
        Some(push) => Reply::Many(vec![push, OK]),
        None => OK,
    }
}

fn flushdb(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    flush_mode(args)?;
    let database = cx.database();
    Ok(flush(cx, database..database + 1))
}

fn flushall(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    flush_mode(args)?;
    let count = cx.model.databases.len();
    Ok(flush(cx, 0..count))
}

fn swapdb(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let number = |word: &[u8], refused: Refusal| parse_int(word).ok_or(refused);
    let one = number(&args[1], refusal("ERR invalid first DB index"))?;
    let other = number(&args[2], refusal("ERR invalid second DB index"))?;
    let count = cx.model.databases.len();
    let place = |number: i64| usize::try_from(number).ok().filter(|number| *number < count);
    let (Some(one), Some(other)) = (place(one), place(other)) else {
        return Err(refusal("ERR DB index is out of range"));
    };
    cx.model.databases.swap(one, other);
    let both = [all_keys(cx, one), all_keys(cx, other)].concat();
    replaced(cx, one, both.clone());
    replaced(cx, other, both);
    cx.model.dirty += 1;
    done()
}

fn encoding(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Some(value) = cx.db().get(&args[2]) else { return Ok(Reply::Null) };
    let small = |len: usize, max: usize, longest: usize| len <= max && longest <= 64;
    Ok(Reply::bulk(match value {
        Value::String(text) if parse_int(text).is_some() => "int",
        Value::String(text) if text.len() <= 44 => "embstr",
        Value::String(_) => "raw",
        Value::List(list) if list.iter().map(Vec::len).sum::<usize>() <= 8000 && list.len() <= 128 => {
            "listpack"
        }
        Value::List(_) => "quicklist",
        Value::Set(set) if set.len() <= 512 && set.keys().all(|member| parse_int(member).is_some()) => {
            "intset"
        }
        Value::Set(set) if small(set.len(), 128, set.keys().map(Vec::len).max().unwrap_or(0)) => "listpack",
        Value::Set(_) => "hashtable",
        Value::Hash(hash)
            if small(hash.len(), 128, hash.iter().map(|(f, v)| f.len().max(v.len())).max().unwrap_or(0)) =>
        {
            "listpack"
        }
        Value::Hash(_) => "hashtable",
        Value::SortedSet(set)
            if small(set.len(), 128, set.iter().map(|(m, _)| m.len()).max().unwrap_or(0)) =>
        {
            "listpack"
        }
        Value::SortedSet(_) => "skiplist",
        Value::Stream(_) => "stream",
    }))
}

fn refcount(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(if cx.db().contains(&args[2]) { Reply::Int(1) } else { Reply::Null })
}

fn idletime(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(if cx.db().contains(&args[2]) { Reply::Int(0) } else { Reply::Null })
}

/// The number that a word says, which must not be below zero.
pub(crate) fn positive(word: &[u8], refused: Refusal) -> Result<usize, Refusal> {
    parse_int(word).and_then(|count| usize::try_from(count).ok()).ok_or(refused)
}

/// A place in a list, which is out of range if it does not fit.
pub(crate) fn place(at: i64, len: usize) -> Result<usize, Refusal> {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let at = if at < 0 { at.saturating_add(len) } else { at };
    usize::try_from(at).ok().filter(|_| at < len).ok_or(OUT_OF_RANGE)
}
