//! `SCAN` and its kin.
//!
//! This file must not know how a table finds its way from page to page.

use super::{Args, Command, Keys, row};
use crate::context::{Context, is};
use crate::glob;
use crate::number::{format_double, parse_int};
use crate::reply::{NOT_INTEGER, Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::sorted_set::SortedSet;
use crate::value::{Hash, Set};

pub(crate) const ROWS: &[Command] = &[
    row("SCAN", -2, "readonly", Keys::None, "keyspace read slow", scan),
    row("HSCAN", -3, "readonly", Keys::Range(1, 1, 1), "read hash slow", hscan),
    row("SSCAN", -3, "readonly", Keys::Range(1, 1, 1), "read set slow", sscan),
    row("ZSCAN", -3, "readonly", Keys::Range(1, 1, 1), "read sortedset slow", zscan),
];

/// What stands behind the cursor.
struct Options<'a> {
    cursor: u64,
    count: usize,
    pattern: Option<&'a [u8]>,
    kind: Option<String>,
    no_values: bool,
}

impl Options<'_> {
    fn fits(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

fn options<'a>(
    args: Args<'a>,
    at: usize,
    with_type: bool,
    with_novalues: bool,
) -> Result<Options<'a>, Refusal> {
    let cursor = cursor(&args[at])?;
    let mut options = Options { cursor, count: 10, pattern: None, kind: None, no_values: false };
    let mut words = args[at + 1..].iter();
    while let Some(word) = words.next() {
        if with_novalues && is(word, "NOVALUES") {
            options.no_values = true;
            continue;
        }
        let value = words.next().ok_or(SYNTAX)?;
        if is(word, "COUNT") {
            let count = parse_int(value).ok_or(NOT_INTEGER)?;
            options.count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(SYNTAX)?;
        } else if is(word, "MATCH") {
            options.pattern = Some(value);
        } else if with_type && is(word, "TYPE") {
            options.kind = Some(String::from_utf8_lossy(value).to_ascii_lowercase());
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(options)
}

fn cursor(word: &[u8]) -> Result<u64, Refusal> {
    let cursor = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok());
    cursor.ok_or(refusal("ERR invalid cursor"))
}

fn page(cursor: u64, items: Vec<Reply>) -> Reply {
    Reply::Array(vec![Reply::bulk(cursor.to_string()), Reply::Array(items)])
}

fn scan(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    let options = options(args, 1, true, false)?;
    let (next, found) = cx.db().table().scan(options.cursor, options.count);
    let found = found.into_iter().filter(|(key, entry)| {
        options.fits(key) && options.kind.as_ref().is_none_or(|kind| entry.value.kind() == kind)
    });
    Ok(page(next, found.map(|(key, _)| Reply::bulk(key.clone())).collect()))
}

fn hscan(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    cursor(&args[2])?;
    let Some(hash) = cx.get::<Hash>(&args[1])? else { return Ok(page(0, Vec::new())) };
    let options = options(args, 2, false, true)?;
    let (next, found) = hash.scan(options.cursor, whole(hash.len(), options.count));
    let found = found.into_iter().filter(|(field, _)| options.fits(field));
    let items = found.flat_map(|(field, value)| {
        let value = (!options.no_values).then(|| Reply::bulk(value.clone()));
        std::iter::once(Reply::bulk(field.clone())).chain(value)
    });
    Ok(page(next, items.collect()))
}

fn sscan(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    cursor(&args[2])?;
    let Some(set) = cx.get::<Set>(&args[1])? else { return Ok(page(0, Vec::new())) };
    let options = options(args, 2, false, false)?;
    let (next, found) = set.scan(options.cursor, whole(set.len(), options.count));
    let found = found.into_iter().filter(|(member, ())| options.fits(member));
    Ok(page(next, found.map(|(member, ())| Reply::bulk(member.clone())).collect()))
}

fn zscan(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    cursor(&args[2])?;
    let Some(set) = cx.get::<SortedSet>(&args[1])? else { return Ok(page(0, Vec::new())) };
    let options = options(args, 2, false, false)?;
    let (next, found) = set.table().scan(options.cursor, whole(set.len(), options.count));
    let found = found.into_iter().filter(|(member, _)| options.fits(member));
    let items =
        found.flat_map(|(member, score)| [Reply::bulk(member.clone()), Reply::bulk(format_double(*score))]);
    Ok(page(next, items.collect()))
}

/// Servers return a small collection whole, however few are asked for.
fn whole(len: usize, count: usize) -> usize {
    if len <= 128 { len.max(count) } else { count }
}
