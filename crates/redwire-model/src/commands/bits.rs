//! Strings as rows of bits.
//!
//! This file must not know any other type.

use super::{Args, Command, Keys, row};
use crate::context::{Context, clamped_range, int, is};
use crate::number::parse_int;
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};

pub(crate) const ROWS: &[Command] = &[
    row("BITCOUNT", -2, "readonly", Keys::Range(1, 1, 1), "read bitmap slow", bitcount),
    row("BITOP", -4, "write denyoom", Keys::Range(2, -1, 1), "write bitmap slow", bitop),
    row("BITPOS", -3, "readonly", Keys::Range(1, 1, 1), "read bitmap slow", bitpos),
    row("GETBIT", 3, "readonly fast", Keys::Range(1, 1, 1), "read bitmap fast", getbit),
    row("SETBIT", 4, "write denyoom", Keys::Range(1, 1, 1), "write bitmap slow", setbit),
];

fn offset(cx: &Context<'_>, word: &[u8]) -> Result<usize, Refusal> {
    let bits = cx.model.config.bulk_max().saturating_mul(8);
    let offset = parse_int(word).filter(|offset| *offset >= 0 && *offset < bits);
    offset
        .and_then(|offset| usize::try_from(offset).ok())
        .ok_or(refusal("ERR bit offset is not an integer or out of range"))
}

fn getbit(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let offset = offset(cx, &args[2])?;
    let value = cx.get::<Vec<u8>>(&args[1])?;
    Ok(Reply::flag(value.is_some_and(|value| bit(value, offset))))
}

fn bit(value: &[u8], offset: usize) -> bool {
    value.get(offset / 8).is_some_and(|byte| byte >> (7 - offset % 8) & 1 == 1)
}

fn setbit(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let offset = offset(cx, &args[2])?;
    let on = match parse_int(&args[3]) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(refusal("ERR bit is not an integer or out of range")),
    };
    let value = cx.get_or_new::<Vec<u8>>(&args[1])?;
    let (before, grows) = (bit(value, offset), value.len() <= offset / 8);
    value.resize(value.len().max(offset / 8 + 1), 0);
    let mask = 1 << (7 - offset % 8);
    if on {
        value[offset / 8] |= mask;
    } else {
        value[offset / 8] &= !mask;
    }
    if before != on || grows {
        cx.modified(&args[1]);
    }
    Ok(Reply::flag(before))
}

/// The bits from the first to the last, both included, that a range of bytes or bits names. `None` if it is
/// empty.
fn bits(len: usize, start: i64, end: i64, in_bits: bool) -> Option<(usize, usize)> {
    let unit = if in_bits { 1 } else { 8 };
    let (start, end) = clamped_range(start, end, len * 8 / unit)?;
    Some((start * unit, end * unit + unit - 1))
}

fn unit(word: Option<&Vec<u8>>) -> Result<bool, Refusal> {
    match word {
        None => Ok(false),
        Some(word) if is(word, "BYTE") => Ok(false),
        Some(word) if is(word, "BIT") => Ok(true),
        Some(_) => Err(SYNTAX),
    }
}

fn bitcount(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let (start, end) = match args.len() {
        2 => (0, -1),
        4 | 5 => (int(&args[2])?, int(&args[3])?),
        _ => return Err(SYNTAX),
    };
    let in_bits = unit(args.get(4))?;
    let Some(value) = cx.get::<Vec<u8>>(&args[1])? else { return Ok(Reply::Int(0)) };
    if start < 0 && end < 0 && start > end {
        return Ok(Reply::Int(0));
    }
    let found = bits(value.len(), start, end, in_bits);
    Ok(Reply::count(found.map_or(0, |(from, to)| (from..=to).filter(|at| bit(value, *at)).count())))
}

fn bitpos(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let wanted = match int(&args[2])? {
        0 => false,
        1 => true,
        _ => return Err(refusal("ERR The bit argument must be 1 or 0.")),
    };
    if args.len() > 6 {
        return Err(SYNTAX);
    }
    let start = args.get(3).map_or(Ok(0), |word| int(word))?;
    let in_bits = unit(args.get(5))?;
    let end = args.get(4).map(|word| int(word)).transpose()?;
    let (end, ends) = (end.unwrap_or(-1), end.is_some());
    let Some(value) = cx.get::<Vec<u8>>(&args[1])? else {
        return Ok(Reply::Int(if wanted { -1 } else { 0 }));
    };
    let Some((from, to)) = bits(value.len(), start, end, in_bits) else { return Ok(Reply::Int(-1)) };
    Ok(match (from..=to).find(|at| bit(value, *at) == wanted) {
        Some(at) => Reply::count(at),
        // Behind the end of a value there are zeros.
        None if !wanted && !ends => Reply::count(value.len() * 8),
        None => Reply::Int(-1),
    })
}

fn bitop(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let operation = args[1].to_ascii_uppercase();
    let combine: fn(u8, u8) -> u8 = match operation.as_slice() {
        b"AND" => |one, other| one & other,
        b"OR" => |one, other| one | other,
        b"XOR" => |one, other| one ^ other,
        b"NOT" => |one, _| !one,
        _ => return Err(SYNTAX),
    };
    if operation == b"NOT" && args.len() != 4 {
        return Err(refusal("ERR BITOP NOT must be called with a single source key."));
    }
    let mut values = Vec::new();
    for key in &args[3..] {
        values.push(cx.get::<Vec<u8>>(key)?.cloned().unwrap_or_default());
    }
    let len = values.iter().map(Vec::len).max().unwrap_or(0);
    let byte = |value: &Vec<u8>, at: usize| value.get(at).copied().unwrap_or(0);
    let result: Vec<u8> = (0..len)
        .map(|at| {
            let first = byte(&values[0], at);
            if operation == b"NOT" {
                !first
            } else {
                values[1..].iter().fold(first, |all, v| combine(all, byte(v, at)))
            }
        })
        .collect();
    if len == 0 {
        cx.remove(&args[2]);
    } else {
        cx.put(&args[2], result, None);
    }
    Ok(Reply::count(len))
}
