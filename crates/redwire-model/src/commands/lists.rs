//! Lists, without waiting.
//!
//! This file must not know who waits for an element; `lists_blocking.rs` uses what is here.

use super::keys::{place, positive};
use super::{Args, Command, Keys, row};
use crate::context::{Context, NO_KEYS, counted_keys, done, int, is, range};
use crate::number::parse_int;
use crate::reply::{NO_SUCH_KEY, Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::value::List;

pub(crate) const ROWS: &[Command] = &[
    row("LINDEX", 3, "readonly", Keys::Range(1, 1, 1), "read list slow", lindex),
    row("LINSERT", 5, "write denyoom", Keys::Range(1, 1, 1), "write list slow", linsert),
    row("LLEN", 2, "readonly fast", Keys::Range(1, 1, 1), "read list fast", llen),
    row("LMOVE", 5, "write denyoom", Keys::Range(1, 2, 1), "write list slow", lmove),
    row("LMPOP", -4, "write movablekeys", Keys::Counted(1), "write list slow", lmpop),
    row("LPOP", -2, "write fast", Keys::Range(1, 1, 1), "write list fast", lpop),
    row("LPOS", -3, "readonly", Keys::Range(1, 1, 1), "read list slow", lpos),
    row("LPUSH", -3, "write denyoom fast", Keys::Range(1, 1, 1), "write list fast", lpush),
    row("LPUSHX", -3, "write denyoom fast", Keys::Range(1, 1, 1), "write list fast", lpushx),
    row("LRANGE", 4, "readonly", Keys::Range(1, 1, 1), "read list slow", lrange),
    row("LREM", 4, "write", Keys::Range(1, 1, 1), "write list slow", lrem),
    row("LSET", 4, "write denyoom", Keys::Range(1, 1, 1), "write list slow", lset),
    row("LTRIM", 4, "write", Keys::Range(1, 1, 1), "write list slow", ltrim),
    row("RPOP", -2, "write fast", Keys::Range(1, 1, 1), "write list fast", rpop),
    row("RPOPLPUSH", 3, "write denyoom", Keys::Range(1, 2, 1), "write list slow", rpoplpush),
    row("RPUSH", -3, "write denyoom fast", Keys::Range(1, 1, 1), "write list fast", rpush),
    row("RPUSHX", -3, "write denyoom fast", Keys::Range(1, 1, 1), "write list fast", rpushx),
];

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Left,
    Right,
}

impl End {
    pub(crate) fn named(word: &[u8]) -> Result<Self, Refusal> {
        if is(word, "LEFT") {
            Ok(Self::Left)
        } else if is(word, "RIGHT") {
            Ok(Self::Right)
        } else {
            Err(SYNTAX)
        }
    }

    fn push(self, list: &mut List, element: Vec<u8>) {
        match self {
            Self::Left => list.push_front(element),
            Self::Right => list.push_back(element),
        }
    }

    fn pop(self, list: &mut List) -> Option<Vec<u8>> {
        match self {
            Self::Left => list.pop_front(),
            Self::Right => list.pop_back(),
        }
    }
}

fn push(cx: &mut Context<'_>, args: Args<'_>, end: End, only_there: bool) -> Outcome {
    if only_there && cx.get::<List>(&args[1])?.is_none() {
        return Ok(Reply::Int(0));
    }
    let list = cx.get_or_new::<List>(&args[1])?;
    for element in &args[2..] {
        end.push(list, element.clone());
    }
    let len = list.len();
    cx.modified(&args[1]);
    Ok(Reply::count(len))
}

fn lpush(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    push(cx, args, End::Left, false)
}

fn rpush(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    push(cx, args, End::Right, false)
}

fn lpushx(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    push(cx, args, End::Left, true)
}

fn rpushx(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    push(cx, args, End::Right, true)
}

/// Takes up to so many elements.
pub(crate) fn take(
    cx: &mut Context<'_>,
    key: &[u8],
    end: End,
    count: usize,
) -> Result<Vec<Vec<u8>>, Refusal> {
    let Some(list) = cx.get_mut::<List>(key)? else { return Ok(Vec::new()) };
    let count = count.min(list.len());
    let taken: Vec<Vec<u8>> = (0..count).filter_map(|_| end.pop(list)).collect();
    if !taken.is_empty() {
        cx.modified(key);
    }
    Ok(taken)
}

fn pop(cx: &mut Context<'_>, args: Args<'_>, end: End) -> Outcome {
    let Some(word) = args.get(2) else { return Ok(Reply::maybe(take(cx, &args[1], end, 1)?.pop())) };
    if args.len() > 3 {
        return Err(super::wrong_arity(&super::upper(&args[0])));
    }
    let count = positive(word, refusal("ERR value is out of range, must be positive"))?;
    if cx.get::<List>(&args[1])?.is_none() {
        return Ok(Reply::NullArray);
    }
    Ok(Reply::list(take(cx, &args[1], end, count)?))
}

fn lpop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    pop(cx, args, End::Left)
}

fn rpop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    pop(cx, args, End::Right)
}

fn llen(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::count(cx.get::<List>(&args[1])?.map_or(0, List::len)))
}

fn lindex(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Some(list) = cx.get::<List>(&args[1])? else { return Ok(Reply::Null) };
    let at = int(&args[2])?;
    Ok(Reply::maybe(place(at, list.len()).ok().and_then(|at| list.get(at).cloned())))
}

fn lset(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let Some(list) = cx.get_mut::<List>(&args[1])? else { return Err(NO_SUCH_KEY) };
    // Servers keep 32 bits of the index here.
    #[expect(clippy::cast_possible_truncation, reason = "as servers do")]
    let at = place(i64::from(int(&args[2])? as i32), list.len())?;
    list[at].clone_from(&args[3]);
    cx.modified(&args[1]);
    done()
}

fn lrange(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (start, end) = (int(&args[2])?, int(&args[3])?);
    let Some(list) = cx.get::<List>(&args[1])? else { return Ok(Reply::Array(Vec::new())) };
    Ok(match range(start, end, list.len()) {
        None => Reply::Array(Vec::new()),
        Some((start, end)) => Reply::list(list.range(start..=end).cloned()),
    })
}

fn ltrim(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (start, end) = (int(&args[2])?, int(&args[3])?);
    let Some(list) = cx.get_mut::<List>(&args[1])? else { return done() };
    match range(start, end, list.len()) {
        None => list.clear(),
        Some((start, end)) => {
            list.truncate(end + 1);
            list.drain(..start);
        }
    }
    cx.modified(&args[1]);
    done()
}

/// The least of all integers has no counterpart above zero.
fn above_least(value: i64) -> Result<i64, Refusal> {
    let refused =
        refusal("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
    if value == i64::MIN { Err(refused) } else { Ok(value) }
}

fn lrem(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let count = above_least(int(&args[2])?)?;
    let Some(list) = cx.get_mut::<List>(&args[1])? else { return Ok(Reply::Int(0)) };
    let most =
        if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
    let mut places: Vec<usize> = (0..list.len()).filter(|at| list[*at] == args[3]).collect();
    if count < 0 {
        places.reverse();
    }
    places.truncate(most);
    places.sort_unstable();
    for at in places.iter().rev() {
        list.remove(*at);
    }
    if !places.is_empty() {
        cx.modified(&args[1]);
    }
    Ok(Reply::count(places.len()))
}

fn linsert(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let behind = match () {
        () if is(&args[2], "BEFORE") => 0,
        () if is(&args[2], "AFTER") => 1,
        () => return Err(SYNTAX),
    };
    let Some(list) = cx.get_mut::<List>(&args[1])? else { return Ok(Reply::Int(0)) };
    let Some(at) = list.iter().position(|element| *element == args[3]) else { return Ok(Reply::Int(-1)) };
    list.insert(at + behind, args[4].clone());
    let len = list.len();
    cx.modified(&args[1]);
    Ok(Reply::count(len))
}

fn lpos(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (mut rank, mut count, mut most) = (1, None, 0);
    let mut words = args[3..].iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(SYNTAX)?;
        if is(word, "RANK") {
            rank = int(value)?;
            if rank == 0 {
                return Err(refusal(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or \
                     use negative to start from the end of the list",
                ));
            }
            above_least(rank)?;
        } else if is(word, "COUNT") {
            count = Some(positive(value, refusal("ERR COUNT can't be negative"))?);
        } else if is(word, "MAXLEN") {
            most = positive(value, refusal("ERR MAXLEN can't be negative"))?;
        } else {
            return Err(SYNTAX);
        }
    }
    let none = if count.is_some() { Reply::Array(Vec::new()) } else { Reply::Null };
    let Some(list) = cx.get::<List>(&args[1])? else { return Ok(none) };
    let mut places: Vec<usize> = (0..list.len()).collect();
    if rank < 0 {
        places.reverse();
    }
    if most > 0 {
        places.truncate(most);
    }
    let skipped = usize::try_from(rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let found = places.into_iter().filter(|at| list[*at] == args[2]).skip(skipped);
    Ok(match count {
        None => found.map(Reply::count).next().unwrap_or(Reply::Null),
        Some(0) => Reply::Array(found.map(Reply::count).collect()),
        Some(count) => Reply::Array(found.take(count).map(Reply::count).collect()),
    })
}

/// Moves an element. `None` if there is none.
pub(crate) fn shift(
    cx: &mut Context<'_>,
    keys: (&[u8], &[u8]),
    ends: (End, End),
) -> Result<Option<Vec<u8>>, Refusal> {
    let (from, to) = keys;
    if cx.get::<List>(from)?.is_none() {
        return Ok(None);
    }
    cx.get::<List>(to)?;
    let Some(element) = cx.get_mut::<List>(from)?.and_then(|list| ends.0.pop(list)) else { return Ok(None) };
    ends.1.push(cx.get_or_new::<List>(to)?, element.clone());
    cx.modified(to);
    if from != to {
        cx.modified(from);
    }
    Ok(Some(element))
}

fn lmove(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let ends = (End::named(&args[3])?, End::named(&args[4])?);
    Ok(Reply::maybe(shift(cx, (&args[1], &args[2]), ends)?))
}

fn rpoplpush(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Ok(Reply::maybe(shift(cx, (&args[1], &args[2]), (End::Right, End::Left))?))
}

/// What stands behind the keys of `LMPOP`: which end, and how many.
fn which_end(words: Args<'_>) -> Result<(End, usize), Refusal> {
    let (first, rest) = words.split_first().ok_or(SYNTAX)?;
    Ok((End::named(first)?, count_behind(rest)?))
}

/// `COUNT n` at the end of `LMPOP` and `ZMPOP`, or 1.
pub(crate) fn count_behind(words: Args<'_>) -> Result<usize, Refusal> {
    match words {
        [] => Ok(1),
        [word, count, rest @ ..] if is(word, "COUNT") => {
            let count = parse_int(count).and_then(|count| usize::try_from(count).ok());
            let count = count.filter(|count| *count > 0);
            let count = count.ok_or(refusal("ERR count should be greater than 0"))?;
            if rest.is_empty() { Ok(count) } else { Err(SYNTAX) }
        }
        _ => Err(SYNTAX),
    }
}

/// A key, and what was taken from its value.
pub(crate) type Taken<T> = (Vec<u8>, Vec<T>);

/// Takes from the first key that has something, as `take` does. `None` if none has.
pub(crate) fn take_first<T>(
    keys: Args<'_>,
    mut take: impl FnMut(&[u8]) -> Result<Vec<T>, Refusal>,
) -> Result<Option<Taken<T>>, Refusal> {
    for key in keys {
        let taken = take(key)?;
        if !taken.is_empty() {
            return Ok(Some((key.clone(), taken)));
        }
    }
    Ok(None)
}

/// `LMPOP` from the number of its keys on, which stands at this place: the keys, and the reply if one has
/// something.
pub(crate) fn pop_many<'a>(
    cx: &mut Context<'_>,
    args: Args<'a>,
    at: usize,
) -> Result<(Args<'a>, Option<Reply>), Refusal> {
    let keys = counted_keys(args, at, NO_KEYS)?;
    let (end, count) = which_end(&args[at + 1 + keys.len()..])?;
    let taken = take_first(keys, |key| take(cx, key, end, count))?;
    let reply = taken.map(|(key, taken)| Reply::Array(vec![Reply::Bulk(key), Reply::list(taken)]));
    Ok((keys, reply))
}

fn lmpop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (_, reply) = pop_many(cx, args, 1)?;
    Ok(reply.unwrap_or(Reply::NullArray))
}
