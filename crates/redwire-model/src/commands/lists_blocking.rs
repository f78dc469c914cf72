//! Lists, and clients that wait until one has an element.
//!
//! This file must not know how a client is woken.

use super::lists::{End, shift, take_first, which_end};
use super::{Args, Command, Keys, row};
use crate::context::{Context, counted_keys, seconds};
use crate::reply::{Outcome, Reply, refusal};

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
    Ok(match take_first(cx, keys, end, 1)? {
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

fn blmove(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let ends = (End::named(&args[3])?, End::named(&args[4])?);
    let limit = seconds(&args[5])?;
    Ok(match shift(cx, (&args[1], &args[2]), ends)? {
        Some(element) => Reply::Bulk(element),
        None => cx.wait(&args[1..2], limit, args, Reply::Null),
    })
}

fn brpoplpush(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let limit = seconds(&args[3])?;
    Ok(match shift(cx, (&args[1], &args[2]), (End::Right, End::Left))? {
        Some(element) => Reply::Bulk(element),
        None => cx.wait(&args[1..2], limit, args, Reply::Null),
    })
}

fn blmpop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let limit = seconds(&args[1])?;
    let keys = counted_keys(args, 2, refusal("ERR numkeys should be greater than 0"))?;
    let (end, count) = which_end(&args[3 + keys.len()..])?;
    Ok(match take_first(cx, keys, end, count)? {
        Some((key, taken)) => Reply::Array(vec![Reply::Bulk(key), Reply::list(taken)]),
        None => cx.wait(keys, limit, args, Reply::NullArray),
    })
}
