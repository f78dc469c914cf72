//! Several sorted sets at a time.
//!
//! This file must not know ranges.

use super::sets::{How, limit};
use super::sorted_sets::{Members, told};
use super::sorted_sets_range::store;
use super::{Args, Command, Keys, reply_name, row, upper};
use crate::context::{Context, counted_keys, int, is};
use crate::number::parse_float;
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, WRONGTYPE, refusal};
use crate::sorted_set::SortedSet;
use crate::value::{Set, Stored, Value};

pub(crate) const ROWS: &[Command] = &[
    row("ZDIFF", -3, "readonly movablekeys", Keys::Counted(1), "read sortedset slow", zdiff),
    row(
        "ZDIFFSTORE",
        -4,
        "write denyoom movablekeys",
        Keys::StoreCounted,
        "write sortedset slow",
        zdiffstore,
    ),
    row("ZINTER", -3, "readonly movablekeys", Keys::Counted(1), "read sortedset slow", zinter),
    row("ZINTERCARD", -3, "readonly movablekeys", Keys::Counted(1), "read sortedset slow", zintercard),
    row(
        "ZINTERSTORE",
        -4,
        "write denyoom movablekeys",
        Keys::StoreCounted,
        "write sortedset slow",
        zinterstore,
    ),
    row("ZUNION", -3, "readonly movablekeys", Keys::Counted(1), "read sortedset slow", zunion),
    row(
        "ZUNIONSTORE",
        -4,
        "write denyoom movablekeys",
        Keys::StoreCounted,
        "write sortedset slow",
        zunionstore,
    ),
];

/// How the scores of a member become one.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Least,
    Most,
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Sum => {
                // Both infinities together come to nothing.
                let sum = one + other;
                if sum.is_nan() { 0.0 } else { sum }
            }
            Self::Least => one.min(other),
            Self::Most => one.max(other),
        }
    }
}

/// What stands behind the keys.
struct Options {
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
}

fn options(words: Args<'_>, count: usize, how: How, stores: bool) -> Result<Options, Refusal> {
    let mut found = Options { weights: vec![1.0; count], aggregate: Aggregate::Sum, with_scores: false };
    let mut rest = words;
    while let Some((word, behind)) = rest.split_first() {
        rest = behind;
        if how != How::First && is(word, "WEIGHTS") && rest.len() >= count {
            for (weight, word) in found.weights.iter_mut().zip(rest) {
                *weight = parse_float(word).ok_or(refusal("ERR weight value is not a float"))?;
            }
            rest = &rest[count..];
        } else if how != How::First && is(word, "AGGREGATE") && !rest.is_empty() {
            found.aggregate = match rest[0].to_ascii_uppercase().as_slice() {
                b"SUM" => Aggregate::Sum,
                b"MIN" => Aggregate::Least,
                b"MAX" => Aggregate::Most,
                _ => return Err(SYNTAX),
            };
            rest = &rest[1..];
        } else if !stores && is(word, "WITHSCORES") {
            found.with_scores = true;
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(found)
}

/// The members of a key, with their scores; those of a plain set have 1.
fn members(cx: &Context<'_>, key: &[u8], weight: f64) -> Result<SortedSet, Refusal> {
    let mut weighted = SortedSet::default();
    let mut add = |member: &[u8], score: f64| {
        let score = weight * score;
        weighted.insert(member, if score.is_nan() { 0.0 } else { score });
    };
    match cx.db().get(key) {
        None => {}
        Some(Value::Set(set)) => Set::keys(set).for_each(|member| add(member, 1.0)),
        Some(value) => {
            let set = SortedSet::of(value).ok_or(WRONGTYPE)?;
            set.iter().for_each(|(member, score)| add(member, score));
        }
    }
    Ok(weighted)
}

/// The keys, whose number stands at this place, and the words behind them. A key of another type is refused
/// before these are read.
fn keys<'a>(cx: &Context<'_>, args: Args<'a>, at: usize) -> Result<(Args<'a>, Args<'a>), Refusal> {
    int(&args[at])?;
    let name = reply_name(&upper(&args[0]));
    let zero = format!("ERR at least 1 input key is needed for '{name}' command");
    let keys = counted_keys(args, at, Refusal::new(zero))?;
    let is_right = |value: &Value| matches!(value, Value::Set(_) | Value::SortedSet(_));
    let all = keys.iter().all(|key| cx.db().get(key).is_none_or(is_right));
    if all { Ok((keys, &args[at + 1 + keys.len()..])) } else { Err(WRONGTYPE) }
}

/// All members that remain, with their scores.
fn combine(cx: &Context<'_>, keys: Args<'_>, how: How, options: &Options) -> Result<Members, Refusal> {
    let mut sets = Vec::new();
    for (key, weight) in keys.iter().zip(&options.weights) {
        sets.push(members(cx, key, *weight)?);
    }
    let mut result = SortedSet::default();
    let (first, rest) = (&sets[0], &sets[1..]);
    match how {
        How::All => {
            for (member, score) in sets.iter().flat_map(SortedSet::iter) {
                let score = result.score(member).map_or(score, |before| options.aggregate.of(before, score));
                result.insert(member, score);
            }
        }
        How::Common => {
            for (member, score) in first.iter() {
                let others: Option<Vec<f64>> = rest.iter().map(|set| set.score(member)).collect();
                if let Some(others) = others {
                    let score = others.into_iter().fold(score, |all, score| options.aggregate.of(all, score));
                    result.insert(member, score);
                }
            }
        }
        How::First => {
            for (member, score) in
                first.iter().filter(|(member, _)| rest.iter().all(|set| set.score(member).is_none()))
            {
                result.insert(member, score);
            }
        }
    }
    Ok(result.iter().map(|(member, score)| (member.clone(), score)).collect())
}

fn tell(cx: &mut Context<'_>, args: Args<'_>, how: How) -> Outcome {
    let (keys, rest) = keys(cx, args, 1)?;
    let options = options(rest, keys.len(), how, false)?;
    let found = combine(cx, keys, how, &options)?;
    Ok(told(cx, found, options.with_scores))
}

fn keep(cx: &mut Context<'_>, args: Args<'_>, how: How) -> Outcome {
    let (keys, rest) = keys(cx, args, 2)?;
    let options = options(rest, keys.len(), how, true)?;
    let found = combine(cx, keys, how, &options)?;
    let count = found.len();
    store(cx, &args[1], found);
    Ok(Reply::count(count))
}

fn zunion(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, How::All)
}

fn zinter(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, How::Common)
}

fn zdiff(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, How::First)
}

fn zunionstore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    keep(cx, args, How::All)
}

fn zinterstore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    keep(cx, args, How::Common)
}

fn zdiffstore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    keep(cx, args, How::First)
}

fn zintercard(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (keys, rest) = keys(cx, args, 1)?;
    let limit = limit(rest)?;
    let options = Options { weights: vec![1.0; keys.len()], aggregate: Aggregate::Sum, with_scores: false };
    Ok(Reply::count(combine(cx, keys, How::Common, &options)?.len().min(limit)))
}
