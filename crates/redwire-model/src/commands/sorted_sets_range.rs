//! Ranges of sorted sets: by rank, by score, and by the members themselves.
//!
//! This file must not know how a set keeps its order.

use super::sorted_sets::{Members, told};
use super::{Args, Command, Keys, row};
use crate::context::{Context, int, is, range};
use crate::number::parse_float;
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::sorted_set::SortedSet;

pub(crate) const ROWS: &[Command] = &[
    row("ZCOUNT", 4, "readonly fast", Keys::Range(1, 1, 1), "read sortedset fast", zcount),
    row("ZLEXCOUNT", 4, "readonly fast", Keys::Range(1, 1, 1), "read sortedset fast", zlexcount),
    row("ZRANGE", -4, "readonly", Keys::Range(1, 1, 1), "read sortedset slow", zrange),
    row("ZRANGEBYLEX", -4, "readonly", Keys::Range(1, 1, 1), "read sortedset slow", zrangebylex),
    row("ZRANGEBYSCORE", -4, "readonly", Keys::Range(1, 1, 1), "read sortedset slow", zrangebyscore),
    row("ZRANGESTORE", -5, "write denyoom", Keys::Range(1, 2, 1), "write sortedset slow", zrangestore),
    row("ZREMRANGEBYLEX", 4, "write", Keys::Range(1, 1, 1), "write sortedset slow", zremrangebylex),
    row("ZREMRANGEBYRANK", 4, "write", Keys::Range(1, 1, 1), "write sortedset slow", zremrangebyrank),
    row("ZREMRANGEBYSCORE", 4, "write", Keys::Range(1, 1, 1), "write sortedset slow", zremrangebyscore),
    row("ZREVRANGE", -4, "readonly", Keys::Range(1, 1, 1), "read sortedset slow", zrevrange),
    row("ZREVRANGEBYLEX", -4, "readonly", Keys::Range(1, 1, 1), "read sortedset slow", zrevrangebylex),
    row("ZREVRANGEBYSCORE", -4, "readonly", Keys::Range(1, 1, 1), "read sortedset slow", zrevrangebyscore),
];

/// By what a range goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// One end of a range.
#[derive(Clone, Debug)]
enum Bound<T> {
    Lowest,
    Highest,
    At(T),
    /// Without the value itself.
    Beside(T),
}

impl<T: PartialOrd> Bound<T> {
    fn admits_above(&self, value: &T) -> bool {
        match self {
            Self::Lowest => true,
            Self::Highest => false,
            Self::At(bound) => value >= bound,
            Self::Beside(bound) => value > bound,
        }
    }

    fn admits_below(&self, value: &T) -> bool {
        match self {
            Self::Lowest => false,
            Self::Highest => true,
            Self::At(bound) => value <= bound,
            Self::Beside(bound) => value < bound,
        }
    }
}

fn score_bound(word: &[u8]) -> Result<Bound<f64>, Refusal> {
    let not_float = refusal("ERR min or max is not a float");
    // No digits at all count as zero.
    let number = |word: &[u8]| if word.is_empty() { Some(0.0) } else { parse_float(word) };
    match word.strip_prefix(b"(") {
        Some(rest) => number(rest).map(Bound::Beside).ok_or(not_float),
        None => number(word).map(Bound::At).ok_or(not_float),
    }
}

fn lex_bound(word: &[u8]) -> Result<Bound<Vec<u8>>, Refusal> {
    match word {
        b"-" => Ok(Bound::Lowest),
        b"+" => Ok(Bound::Highest),
        [b'(', rest @ ..] => Ok(Bound::Beside(rest.to_vec())),
        [b'[', rest @ ..] => Ok(Bound::At(rest.to_vec())),
        _ => Err(refusal("ERR min or max not valid string range item")),
    }
}

/// A range that was read from words.
enum Range {
    Rank(i64, i64),
    Score(Bound<f64>, Bound<f64>),
    Lex(Bound<Vec<u8>>, Bound<Vec<u8>>),
}

impl Range {
    /// The lower end stands first, whichever comes first in the reply.
    fn read(by: By, low: &[u8], high: &[u8]) -> Result<Self, Refusal> {
        Ok(match by {
            By::Rank => Self::Rank(int(low)?, int(high)?),
            By::Score => Self::Score(score_bound(low)?, score_bound(high)?),
            By::Lex => Self::Lex(lex_bound(low)?, lex_bound(high)?),
        })
    }

    /// The members in it, lowest first, or highest first where ranks count from there.
    fn members(&self, set: &SortedSet, reverse: bool) -> Members {
        let own = |(member, score): (&Vec<u8>, f64)| (member.clone(), score);
        let mut found: Vec<_> = match self {
            Self::Rank(start, end) => {
                let Some((start, end)) = range(*start, *end, set.len()) else { return Vec::new() };
                let count = end - start + 1;
                return if reverse {
                    set.iter().rev().skip(start).take(count).map(own).collect()
                } else {
                    set.iter().skip(start).take(count).map(own).collect()
                };
            }
            Self::Score(low, high) => {
                let fits = |score: f64| low.admits_above(&score) && high.admits_below(&score);
                set.iter().filter(|(_, score)| fits(*score)).map(own).collect()
            }
            Self::Lex(low, high) => {
                let fits = |member: &Vec<u8>| low.admits_above(member) && high.admits_below(member);
                set.iter().filter(|(member, _)| fits(member)).map(own).collect()
            }
        };
        if reverse {
            found.reverse();
        }
        found
    }
}

/// What stands behind a range.
struct Options {
    by: By,
    reverse: bool,
    with_scores: bool,
    limit: Option<(i64, i64)>,
}

/// Reads options; those that the command's name says already stand in `options`.
fn read_options(
    mut options: Options,
    words: Args<'_>,
    is_zrange: bool,
    stores: bool,
) -> Result<Options, Refusal> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !stores && is(word, "WITHSCORES") {
            options.with_scores = true;
        } else if is(word, "LIMIT") && words.len() >= 2 {
            let (offset, count) = (words.next().ok_or(SYNTAX)?, words.next().ok_or(SYNTAX)?);
            options.limit = Some((int(offset)?, int(count)?));
        } else if is_zrange && is(word, "REV") {
            options.reverse = true;
        } else if is_zrange && is(word, "BYSCORE") && options.by == By::Rank {
            options.by = By::Score;
        } else if is_zrange && is(word, "BYLEX") && options.by == By::Rank {
            options.by = By::Lex;
        } else {
            return Err(SYNTAX);
        }
    }
    if options.limit.is_some_and(|(_, count)| count != -1) && options.by == By::Rank {
        return Err(refusal(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if options.with_scores && options.by == By::Lex {
        return Err(refusal("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
    }
    Ok(options)
}

fn select(cx: &Context<'_>, key: &[u8], words: Args<'_>, options: &Options) -> Result<Members, Refusal> {
    let (low, high) = if options.reverse && options.by != By::Rank {
        (&words[1], &words[0])
    } else {
        (&words[0], &words[1])
    };
    let range = Range::read(options.by, low, high)?;
    let Some(set) = cx.get::<SortedSet>(key)? else { return Ok(Vec::new()) };
    let found = range.members(set, options.reverse);
    let Some((offset, count)) = options.limit else { return Ok(found) };
    let Ok(offset) = usize::try_from(offset) else { return Ok(Vec::new()) };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    Ok(found.into_iter().skip(offset).take(count).collect())
}

fn tell(cx: &mut Context<'_>, args: Args<'_>, by: By, reverse: bool, is_zrange: bool) -> Outcome {
    let options = Options { by, reverse, with_scores: false, limit: None };
    let options = read_options(options, &args[4..], is_zrange, false)?;
    let found = select(cx, &args[1], &args[2..4], &options)?;
    Ok(told(cx, found, options.with_scores))
}

fn zrange(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, By::Rank, false, true)
}

fn zrevrange(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, By::Rank, true, false)
}

fn zrangebyscore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, By::Score, false, false)
}

fn zrevrangebyscore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, By::Score, true, false)
}

fn zrangebylex(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, By::Lex, false, false)
}

fn zrevrangebylex(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, By::Lex, true, false)
}

fn zrangestore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let options = Options { by: By::Rank, reverse: false, with_scores: false, limit: None };
    let options = read_options(options, &args[5..], true, true)?;
    let found = select(cx, &args[2], &args[3..5], &options)?;
    let count = found.len();
    store(cx, &args[1], found);
    Ok(Reply::count(count))
}

/// Puts a set of these members, or takes the key away if there are none.
pub(crate) fn store(cx: &mut Context<'_>, key: &[u8], members: Members) {
    if members.is_empty() {
        cx.remove(key);
        return;
    }
    let mut set = SortedSet::default();
    for (member, score) in members {
        set.insert(&member, score);
    }
    cx.put(key, set, None);
}

fn count(cx: &Context<'_>, args: Args<'_>, by: By) -> Outcome {
    let range = Range::read(by, &args[2], &args[3])?;
    let set = cx.get::<SortedSet>(&args[1])?;
    Ok(Reply::count(set.map_or(0, |set| range.members(set, false).len())))
}

fn zcount(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    count(cx, args, By::Score)
}

fn zlexcount(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    count(cx, args, By::Lex)
}

fn remove(cx: &mut Context<'_>, args: Args<'_>, by: By) -> Outcome {
    let range = Range::read(by, &args[2], &args[3])?;
    let Some(set) = cx.get_mut::<SortedSet>(&args[1])? else { return Ok(Reply::Int(0)) };
    let found = range.members(set, false);
    for (member, _) in &found {
        set.remove(member);
    }
    if !found.is_empty() {
        cx.modified(&args[1]);
    }
    Ok(Reply::count(found.len()))
}

fn zremrangebyrank(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    remove(cx, args, By::Rank)
}

fn zremrangebyscore(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    remove(cx, args, By::Score)
}

fn zremrangebylex(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    remove(cx, args, By::Lex)
}
