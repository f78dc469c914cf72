//! Lists, and clients that wait until one has an element.
//!
//! This file must not know how a client is woken.

use super::lists::{End, pop_many, shift, take, take_first};
use super::{Args, Command, Keys, row};
use crate::context::{Context, seconds};
use crate::reply::{Outcome, Reply};

pub(crate) const ROWS: &[Command] = &[
    row("BLMOVE", 6, "write denyoom blocking", Keys::Range(1, 2, 1), "write list slow blocking", blmove),
    row("BLMPOP", -5, "write blocking movablekeys", Keys::Counted(2), "write list slow blocking", blmpop),
    row("BLPOP", -3, "write blocking", Keys::Range(1, -2, 1), "write list slow blocking", blpop),
    row("BRPOP", -3, "write blocking", Keys::Range(1, -2, 1), "write list slow blocking", brpop),
    row(
        "BRPOPLPUSH",
        4,
        "write denyoom blocking",
        Keys::Range(1, 2, 1),
        "write list slow blocking",
        brpoplpush,
    ),
];

fn pop(cx: &mut Context<'_>, args: Args<'_>, end: End) -> Outcome {
    let limit = seconds(&args[args.len() - 1])?;
    let keys = &args[1..args.len() - 1];
    Ok(match take_first(keys, |key| take(cx, key, end, 1))? {
        Some((key, taken)) => Reply::list(std::iter::once(key).chain(taken)),
        None => cx.wait(keys, limit, args, Reply::NullArray),
    })
}

fn blpop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    pop(cx, args, End::Left)
}

fn brpop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    pop(cx, args, End::Right)
}

/// Moves an element, or waits for one; the timeout is the last word.
fn shift_or_wait(cx: &mut Context<'_>, args: Args<'_>, ends: (End, End)) -> Outcome {
    let limit = seconds(&args[args.len() - 1])?;
    Ok(match shift(cx, (&args[1], &args[2]), ends)? {
        Some(element) => Reply::Bulk(element),
        None => cx.wait(&args[1..2], limit, args, Reply::Null),
    })
}

fn blmove(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    shift_or_wait(cx, args, (End::named(&args[3])?, End::named(&args[4])?))
}

fn brpoplpush(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    shift_or_wait(cx, args, (End::Right, End::Left))
}

fn blmpop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let limit = seconds(&args[1])?;
    let (keys, reply) = pop_many(cx, args, 2)?;
    Ok(reply.unwrap_or_else(|| cx.wait(keys, limit, args, Reply::NullArray)))
}
