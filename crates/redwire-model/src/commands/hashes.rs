//! Hashes. Fields that expire by themselves are not modelled.
//!
//! This file must not know any other type.

use super::sets::{how_many, pick};
use super::{Args, Command, Keys, row, wrong_arity};
use crate::context::{Context, done, float, int};
use crate::number::{add_decimal, parse_float, parse_int};
use crate::reply::{Outcome, Refusal, Reply, refusal};
use crate::value::Hash;

pub(crate) const ROWS: &[Command] = &[
    row("HDEL", -3, "write fast", Keys::Range(1, 1, 1), "write hash fast", hdel),
    row("HEXISTS", 3, "readonly fast", Keys::Range(1, 1, 1), "read hash fast", hexists),
    row("HGET", 3, "readonly fast", Keys::Range(1, 1, 1), "read hash fast", hget),
    row("HGETALL", 2, "readonly", Keys::Range(1, 1, 1), "read hash slow", hgetall),
    row("HINCRBY", 4, "write denyoom fast", Keys::Range(1, 1, 1), "write hash fast", hincrby),
    row("HINCRBYFLOAT", 4, "write denyoom fast", Keys::Range(1, 1, 1), "write hash fast", hincrbyfloat),
    row("HKEYS", 2, "readonly", Keys::Range(1, 1, 1), "read hash slow", hkeys),
    row("HLEN", 2, "readonly fast", Keys::Range(1, 1, 1), "read hash fast", hlen),
    row("HMGET", -3, "readonly fast", Keys::Range(1, 1, 1), "read hash fast", hmget),
    row("HMSET", -4, "write denyoom fast", Keys::Range(1, 1, 1), "write hash fast", hmset),
    row("HRANDFIELD", -2, "readonly", Keys::Range(1, 1, 1), "read hash slow", hrandfield),
    row("HSET", -4, "write denyoom fast", Keys::Range(1, 1, 1), "write hash fast", hset),
    row("HSETNX", 4, "write denyoom fast", Keys::Range(1, 1, 1), "write hash fast", hsetnx),
    row("HSTRLEN", 3, "readonly fast", Keys::Range(1, 1, 1), "read hash fast", hstrlen),
    row("HVALS", 2, "readonly", Keys::Range(1, 1, 1), "read hash slow", hvals),
];

fn put(cx: &mut Context<'_>, args: Args<'_>, name: &str) -> Result<usize, Refusal> {
    if !args.len().is_multiple_of(2) {
        return Err(wrong_arity(name));
    }
    let hash = cx.get_or_new::<Hash>(&args[1])?;
    let added =
        args[2..].chunks_exact(2).filter(|pair| hash.insert(&pair[0], pair[1].clone()).is_none()).count();
    cx.modified(&args[1]);
    Ok(added)
}

fn hset(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    put(cx, args, "hset").map(Reply::count)
}

fn hmset(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    put(cx, args, "hmset")?;
    done()
}

fn hsetnx(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let hash = cx.get_or_new::<Hash>(&args[1])?;
    if hash.contains(&args[2]) {
        return Ok(Reply::Int(0));
    }
    hash.insert(&args[2], args[3].clone());
    cx.modified(&args[1]);
    Ok(Reply::Int(1))
}

fn field(cx: &Context<'_>, args: Args<'_>) -> Result<Option<Vec<u8>>, Refusal> {
    Ok(cx.get::<Hash>(&args[1])?.and_then(|hash| hash.get(&args[2]).cloned()))
}

fn hget(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    field(cx, args).map(Reply::maybe)
}

fn hexists(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::flag(field(cx, args)?.is_some()))
}

fn hstrlen(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::count(field(cx, args)?.map_or(0, |value| value.len())))
}

fn hmget(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let hash = cx.get::<Hash>(&args[1])?;
    let value = |field: &Vec<u8>| Reply::maybe(hash.and_then(|hash| hash.get(field)).cloned());
    Ok(Reply::Array(args[2..].iter().map(value).collect()))
}

fn hdel(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Some(hash) = cx.get_mut::<Hash>(&args[1])? else { return Ok(Reply::Int(0)) };
    let removed = args[2..].iter().filter(|field| hash.remove(field).is_some()).count();
    if removed > 0 {
        cx.modified(&args[1]);
    }
    Ok(Reply::count(removed))
}

fn hlen(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::count(cx.get::<Hash>(&args[1])?.map_or(0, Hash::len)))
}

/// Fields and values.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn pairs(cx: &Context<'_>, key: &[u8]) -> Result<Pairs, Refusal> {
    let hash = cx.get::<Hash>(key)?;
    Ok(hash.into_iter().flat_map(Hash::iter).map(|(field, value)| (field.clone(), value.clone())).collect())
}

fn hgetall(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let pairs = pairs(cx, &args[1])?.into_iter();
    Ok(Reply::Map(pairs.map(|(field, value)| (Reply::Bulk(field), Reply::Bulk(value))).collect()))
}

fn hkeys(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::list(pairs(cx, &args[1])?.into_iter().map(|(field, _)| field)))
}

fn hvals(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::list(pairs(cx, &args[1])?.into_iter().map(|(_, value)| value)))
}

fn hincrby(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let by = int(&args[3])?;
    let before = match field(cx, args)? {
        None => 0,
        Some(value) => parse_int(&value).ok_or(refusal("ERR hash value is not an integer"))?,
    };
    let sum = before.checked_add(by).ok_or(refusal("ERR increment or decrement would overflow"))?;
    cx.get_or_new::<Hash>(&args[1])?.insert(&args[2], sum.to_string().into_bytes());
    cx.modified(&args[1]);
    Ok(Reply::Int(sum))
}

fn hincrbyfloat(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let by = float(&args[3])?;
    if by.is_infinite() {
        return Err(refusal("ERR value is NaN or Infinity"));
    }
    let before = field(cx, args)?.unwrap_or_else(|| b"0".to_vec());
    parse_float(&before).ok_or(refusal("ERR hash value is not a float"))?;
    let sum = add_decimal(&before, &args[3]).ok_or(refusal("ERR increment would produce NaN or Infinity"))?;
    cx.get_or_new::<Hash>(&args[1])?.insert(&args[2], sum.clone().into_bytes());
    cx.modified(&args[1]);
    Ok(Reply::bulk(sum))
}

fn hrandfield(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let mut random = cx.model.random.fork();
    let (count, with_values) = how_many(&args[2..], "WITHVALUES")?;
    let pairs = pairs(cx, &args[1])?;
    let Some(count) = count else {
        return Ok(Reply::maybe(random.choice(&pairs).map(|(field, _)| field.clone())));
    };
    let picked = pick(pairs, count, &mut random).into_iter();
    let resp3 = cx.client().resp3;
    Ok(Reply::Array(match (with_values, resp3) {
        (false, _) => picked.map(|(field, _)| Reply::Bulk(field)).collect(),
        (true, true) => picked.map(|(field, value)| Reply::list([field, value])).collect(),
        (true, false) => picked.flat_map(|(field, value)| [Reply::Bulk(field), Reply::Bulk(value)]).collect(),
    }))
}
