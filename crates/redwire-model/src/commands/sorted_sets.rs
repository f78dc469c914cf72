//! Sorted sets: members one by one, and the lowest and highest.
//!
//! This file must not know ranges, nor several sets at a time.

use super::keys::positive;
use super::lists::{count_behind, take_first};
use super::sets::{how_many, pick};
use super::{Args, Command, Keys, row};
use crate::context::{Context, NO_KEYS, counted_keys, float, is, seconds};
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::sorted_set::SortedSet;

pub(crate) const ROWS: &[Command] = &[
    row(
        "BZMPOP",
        -5,
        "write blocking movablekeys",
        Keys::Counted(2),
        "write sortedset slow blocking",
        bzmpop,
    ),
    row(
        "BZPOPMAX",
        -3,
        "write blocking fast",
        Keys::Range(1, -2, 1),
        "write sortedset fast blocking",
        bzpopmax,
    ),
    row(
        "BZPOPMIN",
        -3,
        "write blocking fast",
        Keys::Range(1, -2, 1),
        "write sortedset fast blocking",
        bzpopmin,
    ),
    row("ZADD", -4, "write denyoom fast", Keys::Range(1, 1, 1), "write sortedset fast", zadd),
    row("ZCARD", 2, "readonly fast", Keys::Range(1, 1, 1), "read sortedset fast", zcard),
    row("ZINCRBY", 4, "write denyoom fast", Keys::Range(1, 1, 1), "write sortedset fast", zincrby),
    row("ZMPOP", -4, "write movablekeys", Keys::Counted(1), "write sortedset slow", zmpop),
    row("ZMSCORE", -3, "readonly fast", Keys::Range(1, 1, 1), "read sortedset fast", zmscore),
    row("ZPOPMAX", -2, "write fast", Keys::Range(1, 1, 1), "write sortedset fast", zpopmax),
    row("ZPOPMIN", -2, "write fast", Keys::Range(1, 1, 1), "write sortedset fast", zpopmin),
    row("ZRANDMEMBER", -2, "readonly", Keys::Range(1, 1, 1), "read sortedset slow", zrandmember),
    row("ZRANK", -3, "readonly fast", Keys::Range(1, 1, 1), "read sortedset fast", zrank),
    row("ZREM", -3, "write fast", Keys::Range(1, 1, 1), "write sortedset fast", zrem),
    row("ZREVRANK", -3, "readonly fast", Keys::Range(1, 1, 1), "read sortedset fast", zrevrank),
    row("ZSCORE", 3, "readonly fast", Keys::Range(1, 1, 1), "read sortedset fast", zscore),
];

/// Members with their scores.
pub(crate) type Members = Vec<(Vec<u8>, f64)>;

const NAN: Refusal = refusal("ERR resulting score is not a number (NaN)");

/// What stands between the key and the scores of `ZADD`.
#[derive(Default)]
struct AddOptions {
    if_absent: bool,
    if_there: bool,
    greater: bool,
    less: bool,
    changed: bool,
    increment: bool,
}

fn add_options(words: Args<'_>) -> (AddOptions, Args<'_>) {
    let mut options = AddOptions::default();
    let mut rest = words;
    while let Some((word, behind)) = rest.split_first() {
        match word.to_ascii_uppercase().as_slice() {
            b"NX" => options.if_absent = true,
            b"XX" => options.if_there = true,
            b"GT" => options.greater = true,
            b"LT" => options.less = true,
            b"CH" => options.changed = true,
            b"INCR" => options.increment = true,
            _ => break,
        }
        rest = behind;
    }
    (options, rest)
}

/// Members and the scores that `ZADD` gives them.
type Scores<'a> = Vec<(f64, &'a Vec<u8>)>;

/// Reads what `ZADD` is to do, and refuses what makes no sense.
fn to_add(words: Args<'_>) -> Result<(AddOptions, Scores<'_>), Refusal> {
    let (options, pairs) = add_options(words);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(SYNTAX);
    }
    if options.if_absent && options.if_there {
        return Err(refusal("ERR XX and NX options at the same time are not compatible"));
    }
    if options.greater && (options.less || options.if_absent) || options.less && options.if_absent {
        return Err(refusal("ERR GT, LT, and/or NX options at the same time are not compatible"));
    }
    if options.increment && pairs.len() > 2 {
        return Err(refusal("ERR INCR option supports a single increment-element pair"));
    }
    let mut scores = Vec::new();
    for pair in pairs.chunks_exact(2) {
        scores.push((float(&pair[0])?, &pair[1]));
    }
    Ok((options, scores))
}

impl AddOptions {
    /// Whether a member gets a score, which had another before or none.
    fn fit(&self, before: Option<f64>, score: f64) -> bool {
        let Some(before) = before else { return !self.if_there };
        let too_low = self.greater && score <= before;
        let too_high = self.less && score >= before;
        !self.if_absent && !too_low && !too_high
    }
}

fn zadd(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (options, scores) = to_add(&args[2..])?;
    let is_there = cx.get::<SortedSet>(&args[1])?.is_some();
    if options.if_there && !is_there {
        return Ok(if options.increment { Reply::Null } else { Reply::Int(0) });
    }
    let (mut added, mut updated, mut last) = (0, 0, None);
    for (score, member) in scores {
        let before = cx.get::<SortedSet>(&args[1])?.and_then(|set| set.score(member));
        let score = if options.increment { before.unwrap_or(0.0) + score } else { score };
        if score.is_nan() {
            return Err(NAN);
        }
        if !options.fit(before, score) {
            continue;
        }
        last = Some(score);
        if before == Some(score) {
            continue;
        }
        cx.get_or_new::<SortedSet>(&args[1])?.insert(member, score);
        if before.is_some() {
            updated += 1;
        } else {
            added += 1;
        }
    }
    if added + updated > 0 {
        cx.modified(&args[1]);
    }
    if options.increment {
        return Ok(last.map_or(Reply::Null, Reply::Double));
    }
    Ok(Reply::Int(if options.changed { added + updated } else { added }))
}

fn zincrby(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let by = float(&args[2])?;
    let before = cx.get::<SortedSet>(&args[1])?.and_then(|set| set.score(&args[3])).unwrap_or(0.0);
    let score = before + by;
    if score.is_nan() {
        return Err(NAN);
    }
    let set = cx.get_or_new::<SortedSet>(&args[1])?;
    if set.insert(&args[3], score) != Some(score) {
        cx.modified(&args[1]);
    }
    Ok(Reply::Double(score))
}

fn zcard(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::count(cx.get::<SortedSet>(&args[1])?.map_or(0, SortedSet::len)))
}

fn zscore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let set = cx.get::<SortedSet>(&args[1])?;
    Ok(set.and_then(|set| set.score(&args[2])).map_or(Reply::Null, Reply::Double))
}

fn zmscore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let set = cx.get::<SortedSet>(&args[1])?;
    let score = |member: &Vec<u8>| set.and_then(|set| set.score(member)).map_or(Reply::Null, Reply::Double);
    Ok(Reply::Array(args[2..].iter().map(score).collect()))
}

fn rank(cx: &Context<'_>, args: Args<'_>, from_highest: bool) -> Outcome {
    let with_score = match &args[3..] {
        [] => false,
        [word] if is(word, "WITHSCORE") => true,
        [_] => return Err(SYNTAX),
        _ => return Err(super::wrong_arity(&super::upper(&args[0]))),
    };
    let set = cx.get::<SortedSet>(&args[1])?;
    let found = set.and_then(|set| Some((set.rank(&args[2])?, set.score(&args[2])?, set.len())));
    Ok(match found {
        None if with_score => Reply::NullArray,
        None => Reply::Null,
        Some((rank, score, len)) => {
            let rank = Reply::count(if from_highest { len - 1 - rank } else { rank });
            if with_score { Reply::Array(vec![rank, Reply::Double(score)]) } else { rank }
        }
    })
}

fn zrank(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    rank(cx, args, false)
}

fn zrevrank(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    rank(cx, args, true)
}

fn zrem(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Some(set) = cx.get_mut::<SortedSet>(&args[1])? else { return Ok(Reply::Int(0)) };
    let removed = args[2..].iter().filter(|member| set.remove(member).is_some()).count();
    if removed > 0 {
        cx.modified(&args[1]);
    }
    Ok(Reply::count(removed))
}

/// Takes up to so many from one end.
fn take(cx: &mut Context<'_>, key: &[u8], highest: bool, count: usize) -> Result<Members, Refusal> {
    let Some(set) = cx.get_mut::<SortedSet>(key)? else { return Ok(Vec::new()) };
    let taken: Vec<_> = (0..count.min(set.len())).filter_map(|_| set.pop(highest)).collect();
    if !taken.is_empty() {
        cx.modified(key);
    }
    Ok(taken)
}

fn pop(cx: &mut Context<'_>, args: Args<'_>, highest: bool) -> Outcome {
    if args.len() > 3 {
        return Err(SYNTAX);
    }
    let count = match args.get(2) {
        None => None,
        Some(word) => Some(positive(word, refusal("ERR value is out of range, must be positive"))?),
    };
    let taken = take(cx, &args[1], highest, count.unwrap_or(1))?;
    let resp3 = cx.client().resp3;
    Ok(if count.is_some() { scored(taken, resp3) } else { scored(taken, false) })
}

/// Members with their scores: pairs in RESP3, and else one behind the other.
fn scored(members: Members, in_pairs: bool) -> Reply {
    let pair = |(member, score)| [Reply::Bulk(member), Reply::Double(score)];
    Reply::Array(if in_pairs {
        members.into_iter().map(|member| Reply::Array(pair(member).into())).collect()
    } else {
        members.into_iter().flat_map(pair).collect()
    })
}

/// Members, with their scores if that was asked for.
pub(crate) fn told(cx: &mut Context<'_>, members: Members, with_scores: bool) -> Reply {
    if with_scores {
        scored(members, cx.client().resp3)
    } else {
        Reply::list(members.into_iter().map(|(member, _)| member))
    }
}

fn zpopmin(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    pop(cx, args, false)
}

fn zpopmax(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    pop(cx, args, true)
}

fn bpop(cx: &mut Context<'_>, args: Args<'_>, highest: bool) -> Outcome {
    let limit = seconds(&args[args.len() - 1])?;
    let keys = &args[1..args.len() - 1];
    Ok(match take_first(keys, |key| take(cx, key, highest, 1))? {
        Some((key, taken)) => {
            let mut items = vec![Reply::Bulk(key)];
            for (member, score) in taken {
                items.extend([Reply::Bulk(member), Reply::Double(score)]);
            }
            Reply::Array(items)
        }
        None => cx.wait(keys, limit, args, Reply::NullArray),
    })
}

fn bzpopmin(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    bpop(cx, args, false)
}

fn bzpopmax(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    bpop(cx, args, true)
}

/// What stands behind the keys of `ZMPOP`.
fn which_end(words: Args<'_>) -> Result<(bool, usize), Refusal> {
    let (first, rest) = words.split_first().ok_or(SYNTAX)?;
    let highest = match () {
        () if is(first, "MIN") => false,
        () if is(first, "MAX") => true,
        () => return Err(SYNTAX),
    };
    Ok((highest, count_behind(rest)?))
}

/// As [`pop_many`](super::lists::pop_many), of `ZMPOP`.
fn pop_many<'a>(
    cx: &mut Context<'_>,
    args: Args<'a>,
    at: usize,
) -> Result<(Args<'a>, Option<Reply>), Refusal> {
    let keys = counted_keys(args, at, NO_KEYS)?;
    let (highest, count) = which_end(&args[at + 1 + keys.len()..])?;
    let taken = take_first(keys, |key| take(cx, key, highest, count))?;
    let reply = taken.map(|(key, taken)| Reply::Array(vec![Reply::Bulk(key), scored(taken, true)]));
    Ok((keys, reply))
}

fn zmpop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (_, reply) = pop_many(cx, args, 1)?;
    Ok(reply.unwrap_or(Reply::NullArray))
}

fn bzmpop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let limit = seconds(&args[1])?;
    let (keys, reply) = pop_many(cx, args, 2)?;
    Ok(reply.unwrap_or_else(|| cx.wait(keys, limit, args, Reply::NullArray)))
}

fn zrandmember(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let mut random = cx.model.random.fork();
    let (count, with_scores) = how_many(&args[2..], "WITHSCORES")?;
    let set = cx.get::<SortedSet>(&args[1])?;
    let members: Members =
        set.into_iter().flat_map(SortedSet::iter).map(|(member, score)| (member.clone(), score)).collect();
    let Some(count) = count else {
        return Ok(Reply::maybe(random.choice(&members).map(|(member, _)| member.clone())));
    };
    let picked = pick(members, count, &mut random);
    Ok(told(cx, picked, with_scores))
}
