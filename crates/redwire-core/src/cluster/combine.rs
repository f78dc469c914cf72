//! How the replies of several nodes become one: frames in, a frame out.
//!
//! Promises that no part's failure is lost: it becomes the error of the whole, which names the part. This
//! file must not know how the parts were sent.

use bytes::Bytes;
use redwire_resp::{Cursor, Head, Len, write_array_header};

use super::plan::Part;
use crate::config::HostPort;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::facts::{Facts, ResponsePolicy};
use crate::reply::{Reader, Value};

/// What one node answered, or why it did not.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    /// Which node, where one was reached.
    pub(super) node: Option<HostPort>,
    pub(super) frame: Result<Bytes>,
}

/// The one reply to a command of these facts. `parts` tells which keys each answer is for, where they were
/// taken apart.
pub(super) fn combine(facts: &Facts, parts: Option<&[Part]>, answers: Vec<Answered>) -> Result<Bytes> {
    let frames: Vec<&Bytes> = answers.iter().filter_map(|answer| answer.frame.as_ref().ok()).collect();
    let policy = facts.response_policy;
    let one_is_enough = matches!(policy, ResponsePolicy::OneSucceeded | ResponsePolicy::Special);
    if frames.len() < answers.len() && (frames.is_empty() || !one_is_enough) {
        return Err(failure(facts, &answers));
    }
    let Some(first) = frames.first().copied() else {
        return Err(Error::usage("no node to ask").with_command(facts.name));
    };
    match (policy, parts) {
        _ if frames.len() == 1 && parts.is_none() => Ok(first.clone()),
        (ResponsePolicy::Default, Some(parts)) => in_order(parts, &frames),
        (ResponsePolicy::Default, None) => Ok(joined(&frames)),
        (ResponsePolicy::OneSucceeded, _) => Ok(first.clone()),
        (ResponsePolicy::AllSucceeded, _) => agreed(&frames),
        (ResponsePolicy::Special, _) => Ok(something(&frames).unwrap_or(first).clone()),
        (ResponsePolicy::AggLogicalAnd, _) => folded(&frames, |a, b| i64::from(a != 0 && b != 0)),
        (ResponsePolicy::AggLogicalOr, _) => folded(&frames, |a, b| i64::from(a != 0 || b != 0)),
        (ResponsePolicy::AggMin, _) => folded(&frames, i64::min),
        (ResponsePolicy::AggMax, _) => folded(&frames, i64::max),
        (ResponsePolicy::AggSum, _) => folded(&frames, i64::saturating_add),
    }
}

/// The first failure, and how many there were. What other nodes have executed is executed.
#[cold]
fn failure(facts: &Facts, answers: &[Answered]) -> Error {
    let failed =
        || answers.iter().filter_map(|answer| Some((answer.node.as_ref(), answer.frame.as_ref().err()?)));
    let Some((node, error)) = failed().next() else {
        return Error::usage("no node to ask").with_command(facts.name);
    };
    let (count, all) = (failed().count(), answers.len());
    if all == 1 {
        return error.clone();
    }
    let at = node.map(|node| format!(" at {node}")).unwrap_or_default();
    let error = error.clone().with_context(&format!("{count} of {all} parts failed, the first{at}"));
    let unsure = failed().any(|(_, error)| error.outcome() == Outcome::MaybeExecuted);
    let outcome = match error.outcome() {
        _ if facts.is_repeatable() => error.outcome(),
        Outcome::NotSent | Outcome::Rejected if count < all || unsure => Outcome::MaybeExecuted,
        outcome => outcome,
    };
    error.with_outcome(outcome)
}

/// The items of all lists, each at the place of its key.
fn in_order(parts: &[Part], frames: &[&Bytes]) -> Result<Bytes> {
    let count = parts.iter().map(|part| part.places.len()).sum();
    let mut items: Vec<&[u8]> = vec![b"_\r\n"; count];
    for (part, frame) in parts.iter().zip(frames) {
        let answered = elements(frame).map(|(_, items)| items).unwrap_or_default();
        if answered.len() != part.places.len() {
            let message =
                format!("expected a list of {} replies, got one of {}", part.places.len(), answered.len());
            return Err(Error::new(ErrorKind::Decode, Outcome::Unreadable, message));
        }
        for (place, item) in part.places.iter().zip(answered) {
            items[*place] = item;
        }
    }
    let mut whole = Vec::new();
    write_array_header(&mut whole, count);
    Ok(Bytes::from(items.into_iter().fold(whole, |mut whole, item| {
        whole.extend_from_slice(item);
        whole
    })))
}

/// The elements of all, one after the other; where they are no lists, a list of them.
fn joined(frames: &[&Bytes]) -> Bytes {
    let lists: Option<Vec<_>> = frames.iter().map(|frame| elements(frame)).collect();
    let (kind, items) = match lists {
        Some(lists) => {
            let kind = lists[0].0;
            let kind = if lists.iter().all(|(other, _)| *other == kind) { kind } else { b'*' };
            (kind, lists.into_iter().flat_map(|(_, items)| items).collect())
        }
        None => (b'*', frames.iter().map(|frame| &frame[..]).collect::<Vec<_>>()),
    };
    let mut whole = Vec::new();
    write_array_header(&mut whole, if kind == b'%' { items.len() / 2 } else { items.len() });
    whole[0] = kind;
    items.into_iter().for_each(|item| whole.extend_from_slice(item));
    Bytes::from(whole)
}

/// The reply that all gave. Numbers may differ (`MSETEX`, 0 where nothing was set): then the smallest.
fn agreed(frames: &[&Bytes]) -> Result<Bytes> {
    if frames.iter().all(|frame| frame == &frames[0]) || numbers(frames[0]).is_err() {
        return Ok(frames[0].clone());
    }
    folded(frames, i64::min)
}

/// The first that is not nil.
fn something<'a>(frames: &[&'a Bytes]) -> Option<&'a Bytes> {
    frames.iter().copied().find(|frame| !matches!(Cursor::new(frame).head(), Ok(Head::Null)))
}

/// Numbers, or lists of numbers, item by item.
fn folded(frames: &[&Bytes], fold: impl Fn(i64, i64) -> i64) -> Result<Bytes> {
    let (mut whole, is_list) = numbers(frames[0])?;
    for frame in &frames[1..] {
        let (more, _) = numbers(frame)?;
        if more.len() != whole.len() {
            let message = format!("expected {} numbers, got {}", whole.len(), more.len());
            return Err(Error::new(ErrorKind::Decode, Outcome::Unreadable, message));
        }
        whole.iter_mut().zip(more).for_each(|(one, other)| *one = fold(*one, other));
    }
    let items: Vec<_> = whole.into_iter().map(Value::Integer).collect();
    let whole = match (is_list, items.into_iter()) {
        (true, items) => Value::Array(items.collect()),
        (false, mut items) => items.next().unwrap_or_default(),
    };
    Ok(Bytes::from(whole.to_frame()))
}

/// The numbers of a reply, and whether it is a list of them.
fn numbers(frame: &Bytes) -> Result<(Vec<i64>, bool)> {
    match elements(frame) {
        Some((_, items)) => Ok((items.into_iter().map(Reader::read).collect::<Result<_>>()?, true)),
        None => Ok((vec![Reader::read(frame)?], false)),
    }
}

/// The elements of a list, set or map as frames of their own, and which of these it is: `*`, `~` or `%`.
fn elements(frame: &[u8]) -> Option<(u8, Vec<&[u8]>)> {
    let mut cursor = Cursor::new(frame);
    let (kind, len, each) = match cursor.head().ok()? {
        Head::Array(len) | Head::Push(len) => (b'*', len, 1),
        Head::Set(len) => (b'~', len, 1),
        Head::Map(len) => (b'%', len, 2),
        _ => return None,
    };
    let mut items = Vec::new();
    let more = |items: &Vec<_>, cursor: &Cursor<'_>| match len {
        Len::Known(len) => items.len() < len.saturating_mul(each),
        Len::Streamed => !matches!(cursor.peek(), Ok(Head::End) | Err(_)),
    };
    while more(&items, &cursor) {
        let start = cursor.position();
        cursor.skip().ok()?;
        items.push(&frame[start..cursor.position()]);
    }
    Some((kind, items))
}
