//! `SCAN` and its kin.
//!
//! This file must not know how a table finds its way from page to page.

use super::{Args, Command, Keys, row};
use crate::context::{Context, int, is};
use crate::glob;
use crate::number::format_double;
use crate::reply::{Outcome, Refusal, Reply, SYNTAX, refusal};
use crate::sorted_set::SortedSet;
use crate::table::Table;
use crate::value::{Hash, Set, Stored};

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
            let count = int(value)?;
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

/// A page of one key's value: names, and behind each what is told of its value.
fn scan_key<S: Stored, V: 'static>(
    cx: &Context<'_>,
    args: Args<'_>,
    with_novalues: bool,
    table: fn(&S) -> &Table<V>,
    tell: fn(&V) -> Option<Reply>,
) -> Outcome {
    cursor(&args[2])?;
    let Some(value) = cx.get::<S>(&args[1])? else { return Ok(page(0, Vec::new())) };
    let (options, table) = (options(args, 2, false, with_novalues)?, table(value));
    // Servers return a small collection whole, however few are asked for.
    let count = if table.len() <= 128 { table.len().max(options.count) } else { options.count };
    let (next, found) = table.scan(options.cursor, count);
    let found = found.into_iter().filter(|(name, _)| options.fits(name));
    let items = found.flat_map(|(name, value)| {
        let told = if options.no_values { None } else { tell(value) };
        std::iter::once(Reply::bulk(name.clone())).chain(told)
    });
    Ok(page(next, items.collect()))
}

fn hscan(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    scan_key::<Hash, _>(cx, args, true, |hash| hash, |value| Some(Reply::bulk(value.clone())))
}

fn sscan(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    scan_key::<Set, _>(cx, args, false, |set| set, |()| None)
}

fn zscan(cx: &mut Context<'_>, args: Args<'_>) -> Outcome {
    scan_key(cx, args, false, SortedSet::table, |score| Some(Reply::bulk(format_double(*score))))
}
