//! How long keys live.
//!
//! This file must not know what the keys hold.

use super::{Args, Command, Keys, row};
use crate::context::{Context, int, is};
use crate::reply::{Outcome, Refusal, Reply, refusal};

pub(crate) const ROWS: &[Command] = &[
    row("EXPIRE", -3, "write fast", Keys::Range(1, 1, 1), "keyspace write fast", expire),
    row("EXPIREAT", -3, "write fast", Keys::Range(1, 1, 1), "keyspace write fast", expireat),
    row("EXPIRETIME", 2, "readonly fast", Keys::Range(1, 1, 1), "keyspace read fast", expiretime),
    row("PERSIST", 2, "write fast", Keys::Range(1, 1, 1), "keyspace write fast", persist),
    row("PEXPIRE", -3, "write fast", Keys::Range(1, 1, 1), "keyspace write fast", pexpire),
    row("PEXPIREAT", -3, "write fast", Keys::Range(1, 1, 1), "keyspace write fast", pexpireat),
    row("PEXPIRETIME", 2, "readonly fast", Keys::Range(1, 1, 1), "keyspace read fast", pexpiretime),
    row("PTTL", 2, "readonly fast", Keys::Range(1, 1, 1), "keyspace read fast", pttl),
    row("TTL", 2, "readonly fast", Keys::Range(1, 1, 1), "keyspace read fast", ttl),
];

/// How the end of a key is said: so many milliseconds a unit from now on, or since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    In(i64),
    At(i64),
}

impl End {
    /// The option of `SET` and `GETEX` of this name.
    pub(crate) fn named(word: &[u8]) -> Option<Self> {
        match word.to_ascii_uppercase().as_slice() {
            b"EX" => Some(Self::In(1000)),
            b"PX" => Some(Self::In(1)),
            b"EXAT" => Some(Self::At(1000)),
            b"PXAT" => Some(Self::At(1)),
            _ => None,
        }
    }

    /// In milliseconds since 1970, if there are so many.
    fn resolve(self, value: i64, now: u64) -> Option<i64> {
        match self {
            Self::At(unit) => value.checked_mul(unit),
            Self::In(unit) => value.checked_mul(unit)?.checked_add(i64::try_from(now).ok()?),
        }
    }
}

fn invalid(command: &str) -> Refusal {
    Refusal::new(format!("ERR invalid expire time in '{command}' command"))
}

/// The end that an option of `SET` says; it must be above zero.
pub(crate) fn end_of(cx: &Context<'_>, end: End, word: &[u8], command: &str) -> Result<u64, Refusal> {
    let value = int(word)?;
    if value <= 0 {
        return Err(invalid(command));
    }
    let end = end.resolve(value, cx.model.unix_ms()).ok_or_else(|| invalid(command))?;
    u64::try_from(end).map_err(|_| invalid(command))
}

#[derive(Default)]
struct Conditions {
    none: bool,
    some: bool,
    greater: bool,
    less: bool,
}

fn conditions(words: Args<'_>) -> Result<Conditions, Refusal> {
    let mut found = Conditions::default();
    for word in words {
        if is(word, "NX") {
            found.none = true;
        } else if is(word, "XX") {
            found.some = true;
        } else if is(word, "GT") {
            found.greater = true;
        } else if is(word, "LT") {
            found.less = true;
        } else {
            return Err(Refusal::new(format!("ERR Unsupported option {}", String::from_utf8_lossy(word))));
        }
    }
    if found.none && (found.some || found.greater || found.less) {
        return Err(refusal("ERR NX and XX, GT or LT options at the same time are not compatible"));
    }
    if found.greater && found.less {
        return Err(refusal("ERR GT and LT options at the same time are not compatible"));
    }
    Ok(found)
}

fn set_end(cx: &mut Context<'_>, args: Args<'_>, end: End, command: &str) -> Outcome {
    let conditions = conditions(&args[3..])?;
    let value = int(&args[2])?;
    let now = cx.model.unix_ms();
    let end = end.resolve(value, now).ok_or_else(|| invalid(command))?;
    let key = &args[1];
    if !cx.db().contains(key) {
        return Ok(Reply::Int(0));
    }
    let current = cx.db().expires(key).map(|end| i64::try_from(end).unwrap_or(i64::MAX));
    let fits = !(conditions.none && current.is_some()
        || conditions.some && current.is_none()
        || conditions.greater && current.is_none_or(|current| end <= current)
        || conditions.less && current.is_some_and(|current| end >= current));
    if !fits {
        return Ok(Reply::Int(0));
    }
    match u64::try_from(end).ok().filter(|end| *end > now) {
        None => {
            cx.remove(key);
        }
        Some(end) => {
            cx.db_mut().set_expires(key, Some(end));
            cx.modified(key);
        }
    }
    Ok(Reply::Int(1))
}

fn expire(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_end(cx, args, End::In(1000), "expire")
}

fn pexpire(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_end(cx, args, End::In(1), "pexpire")
}

fn expireat(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_end(cx, args, End::At(1000), "expireat")
}

fn pexpireat(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    set_end(cx, args, End::At(1), "pexpireat")
}

fn persist(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let had_end = cx.db().expires(&args[1]).is_some();
    if had_end {
        cx.db_mut().set_expires(&args[1], None);
        cx.modified(&args[1]);
    }
    Ok(Reply::flag(had_end))
}

/// -2 if there is no such key, -1 if it has no end, or else what `say` makes of the end and the time.
fn tell(cx: &Context<'_>, args: Args<'_>, say: impl Fn(u64, u64) -> u64) -> Outcome {
    Ok(Reply::Int(match (cx.db().contains(&args[1]), cx.db().expires(&args[1])) {
        (false, _) => -2,
        (true, None) => -1,
        (true, Some(end)) => i64::try_from(say(end, cx.model.unix_ms())).unwrap_or(i64::MAX),
    }))
}

fn ttl(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, |end, now| (end.saturating_sub(now) + 500) / 1000)
}

fn pttl(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, u64::saturating_sub)
}

fn expiretime(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, |end, _| (end + 500) / 1000)
}

fn pexpiretime(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    tell(cx, args, |end, _| end)
}
