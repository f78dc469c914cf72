//! Sets.
//!
//! This file must not know any other type.

use super::keys::positive;
use super::{Args, Command, Keys, row, wrong_arity};
use crate::context::{Context, NO_KEYS, counted_keys, int, is};
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::value::Set;

pub(crate) const ROWS: &[Command] = &[
    row("SADD", -3, "write denyoom fast", Keys::Range(1, 1, 1), "write set fast", sadd),
    row("SCARD", 2, "readonly fast", Keys::Range(1, 1, 1), "read set fast", scard),
    row("SDIFF", -2, "readonly", Keys::Range(1, -1, 1), "read set slow", sdiff),
    row("SDIFFSTORE", -3, "write denyoom", Keys::Range(1, -1, 1), "write set slow", sdiffstore),
    row("SINTER", -2, "readonly", Keys::Range(1, -1, 1), "read set slow", sinter),
    row("SINTERCARD", -3, "readonly movablekeys", Keys::Counted(1), "read set slow", sintercard),
    row("SINTERSTORE", -3, "write denyoom", Keys::Range(1, -1, 1), "write set slow", sinterstore),
    row("SISMEMBER", 3, "readonly fast", Keys::Range(1, 1, 1), "read set fast", sismember),
    row("SMEMBERS", 2, "readonly", Keys::Range(1, 1, 1), "read set slow", smembers),
    row("SMISMEMBER", -3, "readonly fast", Keys::Range(1, 1, 1), "read set fast", smismember),
    row("SMOVE", 4, "write fast", Keys::Range(1, 2, 1), "write set fast", smove),
    row("SPOP", -2, "write fast", Keys::Range(1, 1, 1), "write set fast", spop),
    row("SRANDMEMBER", -2, "readonly", Keys::Range(1, 1, 1), "read set slow", srandmember),
    row("SREM", -3, "write fast", Keys::Range(1, 1, 1), "write set fast", srem),
    row("SUNION", -2, "readonly", Keys::Range(1, -1, 1), "read set slow", sunion),
    row("SUNIONSTORE", -3, "write denyoom", Keys::Range(1, -1, 1), "write set slow", sunionstore),
];

fn sadd(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let set = cx.get_or_new::<Set>(&args[1])?;
    let added = args[2..].iter().filter(|member| set.insert(member, ()).is_none()).count();
    if added > 0 {
        cx.modified(&args[1]);
    }
    Ok(Reply::count(added))
}

fn srem(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Some(set) = cx.get_mut::<Set>(&args[1])? else { return Ok(Reply::Int(0)) };
    let removed = args[2..].iter().filter(|member| set.remove(member).is_some()).count();
    if removed > 0 {
        cx.modified(&args[1]);
    }
    Ok(Reply::count(removed))
}

fn scard(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::count(cx.get::<Set>(&args[1])?.map_or(0, Set::len)))
}

fn sismember(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::flag(cx.get::<Set>(&args[1])?.is_some_and(|set| set.contains(&args[2]))))
}

fn smismember(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let set = cx.get::<Set>(&args[1])?;
    let is_in = |member: &Vec<u8>| Reply::flag(set.is_some_and(|set| set.contains(member)));
    Ok(Reply::Array(args[2..].iter().map(is_in).collect()))
}

fn members(members: impl IntoIterator<Item = Vec<u8>>) -> Reply {
    Reply::Set(members.into_iter().map(Reply::Bulk).collect())
}

fn smembers(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let set = cx.get::<Set>(&args[1])?;
    Ok(members(set.into_iter().flat_map(Set::keys).cloned()))
}

fn smove(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (from, to, member) = (&args[1], &args[2], &args[3]);
    let Some(set) = cx.get::<Set>(from)? else { return Ok(Reply::Int(0)) };
    let is_there = set.contains(member);
    cx.get::<Set>(to)?;
    if !is_there || from == to {
        return Ok(Reply::flag(is_there));
    }
    if let Some(set) = cx.get_mut::<Set>(from)? {
        set.remove(member);
    }
    cx.modified(from);
    if cx.get_or_new::<Set>(to)?.insert(member, ()).is_none() {
        cx.modified(to);
    }
    Ok(Reply::Int(1))
}

fn spop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let count = match &args[2..] {
        [] => None,
        [word] => Some(positive(word, refusal("ERR value is out of range, must be positive"))?),
        _ => return Err(SYNTAX),
    };
    let Some(len) = cx.get::<Set>(&args[1])?.map(Set::len) else {
        return Ok(if count.is_some() { members([]) } else { Reply::Null });
    };
    let mut taken = Vec::new();
    for _ in 0..count.unwrap_or(1).min(len) {
        let mut random = cx.model.random.clone();
        let Some(set) = cx.get_mut::<Set>(&args[1])? else { break };
        let Some(member) = set.random(&mut random).map(|(member, ())| member.clone()) else { break };
        set.remove(&member);
        taken.push(member);
        cx.model.random = random;
    }
    if !taken.is_empty() {
        cx.modified(&args[1]);
    }
    Ok(if count.is_some() { members(taken) } else { Reply::maybe(taken.pop()) })
}

fn srandmember(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 3 {
        return Err(SYNTAX);
    }
    let (count, _) = how_many(&args[2..], "")?;
    let mut random = cx.model.random.fork();
    let set = cx.get::<Set>(&args[1])?;
    let Some(count) = count else {
        return Ok(Reply::maybe(
            set.and_then(|set| set.random(&mut random)).map(|(member, ())| member.clone()),
        ));
    };
    Ok(Reply::list(set.map_or_else(Vec::new, |set| pick(set.keys().cloned().collect(), count, &mut random))))
}

/// How many are wanted of a collection, if that is said; and whether `word` is said, behind it.
pub(crate) fn how_many(words: Args<'_>, word: &str) -> Result<(Option<i64>, bool), Refusal> {
    let Some((count, rest)) = words.split_first() else { return Ok((None, false)) };
    let count = int(count)?;
    let is_said = match rest {
        [] => false,
        [said] if is(said, word) => true,
        _ => return Err(SYNTAX),
    };
    if count < -(i64::MAX / 2) {
        return Err(refusal("ERR value is out of range"));
    }
    Ok((Some(count), is_said))
}

/// So many of them, each once; or with repetitions if the count is below zero.
pub(crate) fn pick<T: Clone>(mut items: Vec<T>, count: i64, random: &mut fastrand::Rng) -> Vec<T> {
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        return (0..wanted).filter_map(|_| random.choice(&items).cloned()).collect();
    }
    random.shuffle(&mut items);
    items.truncate(wanted);
    items
}

/// How sets are combined: all members, those that all have, or those that only the first has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    All,
    Common,
    First,
}

fn combine(cx: &Context<'_>, keys: Args<'_>, how: How) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut sets = Vec::new();
    for key in keys {
        sets.push(cx.get::<Set>(key)?);
    }
    let empty = Set::default();
    let sets: Vec<&Set> = sets.into_iter().map(|set| set.unwrap_or(&empty)).collect();
    let mut result = Set::default();
    let (first, rest) = (sets[0], &sets[1..]);
    match how {
        How::All => sets.iter().flat_map(|set| set.keys()).for_each(|member| {
            result.insert(member, ());
        }),
        How::Common | How::First => {
            for member in first.keys() {
                let fits = match how {
                    How::Common => rest.iter().all(|set| set.contains(member)),
                    _ => !rest.iter().any(|set| set.contains(member)),
                };
                if fits {
                    result.insert(member, ());
                }
            }
        }
    }
    Ok(result.keys().cloned().collect())
}

fn store(cx: &mut Context<'_>, args: Args<'_>, how: How) -> Outcome {
    let found = combine(cx, &args[2..], how)?;
    let mut set = Set::default();
    for member in &found {
        set.insert(member, ());
    }
    if set.is_empty() {
        cx.remove(&args[1]);
    } else {
        cx.put(&args[1], set, None);
    }
    Ok(Reply::count(found.len()))
}

fn sunion(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    combine(cx, &args[1..], How::All).map(members)
}

fn sinter(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    combine(cx, &args[1..], How::Common).map(members)
}

fn sdiff(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    combine(cx, &args[1..], How::First).map(members)
}

fn sunionstore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    store(cx, args, How::All)
}

fn sinterstore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    store(cx, args, How::Common)
}

fn sdiffstore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    store(cx, args, How::First)
}

/// The words behind the keys of a command that counts: `LIMIT n`, where 0 is no limit.
pub(crate) fn limit(words: Args<'_>) -> Result<usize, Refusal> {
    match words {
        [] => Ok(usize::MAX),
        [word, limit, rest @ ..] if is(word, "LIMIT") => {
            let limit = positive(limit, refusal("ERR LIMIT can't be negative"))?;
            if !rest.is_empty() {
                return Err(SYNTAX);
            }
            Ok(if limit == 0 { usize::MAX } else { limit })
        }
        _ => Err(SYNTAX),
    }
}

fn sintercard(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let count = crate::number::parse_int(&args[1]).filter(|count| *count > 0);
    let count = count.ok_or(NO_KEYS)?;
    if usize::try_from(count).unwrap_or(usize::MAX) > args.len() - 2 {
        return Err(refusal("ERR Number of keys can't be greater than number of args"));
    }
    let keys = counted_keys(args, 1, wrong_arity("sintercard"))?;
    let limit = limit(&args[2 + keys.len()..])?;
    Ok(Reply::count(combine(cx, keys, How::Common)?.len().min(limit)))
}
