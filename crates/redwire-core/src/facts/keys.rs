//! Where the keys are among the words of a command: the servers' key specifications, followed lazily.
//!
//! Promises: any words are allowed; what breaks a command's grammar gives fewer keys, never a panic, and
//! nothing is allocated. Must not know: slots, nodes, which command it is looking at.

use std::slice;

/// One rule for finding keys: where to begin, how to go on.
///
/// Positions count words from the command's name, which is at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// Where the first key, or the number of keys, is.
    pub begin: BeginSearch,
    /// Which words from there on are keys.
    pub find: FindKeys,
    /// Whether the command may change these keys.
    pub write: bool,
    /// Whether these are shard channels, which have a slot as keys do.
    pub channel: bool,
}

impl KeySpec {
    /// One key, at this position, which the command may change.
    #[must_use]
    pub const fn at(position: u16) -> Self {
        let find = FindKeys::Range { last: 0, step: 1, limit: 0 };
        Self { begin: BeginSearch::Index(position), find, write: true, channel: false }
    }

    /// As many keys as the word at this position says, right behind it.
    #[must_use]
    pub const fn counted_at(position: u16) -> Self {
        let find = FindKeys::KeyNum { index: 0, first: 1, step: 1 };
        Self { begin: BeginSearch::Index(position), find, write: true, channel: false }
    }
}

/// Where a key rule begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BeginSearch {
    /// At this position.
    Index(u16),
    /// Behind this word in any letter case, searched forward from a position, or backward from the
    /// position counted from the end if it is negative.
    Keyword(&'static str, i16),
    /// Behind the last `STORE` of `SORT`, whose options may stand in any order.
    SortStore,
    /// At 3, unless `MIGRATE` is given `KEYS`.
    MigrateKey,
    /// Behind the `KEYS` of `MIGRATE`.
    MigrateKeys,
    /// Not known without reading the data (`SORT … BY`, `GET`).
    Unknown,
}

/// Which words are keys, from the place where a rule begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindKeys {
    /// All up to a last one.
    Range {
        /// The last key, relative to the first; negative: from the end of the command, where -1 is its last
        /// word.
        last: i16,
        /// How many words from key to key.
        step: u16,
        /// With `last` -1: only the first half (2), third (3), … of the words that remain; 0 means all.
        limit: u16,
    },
    /// As many as a word says.
    KeyNum {
        /// The word with the number, relative to the beginning.
        index: u16,
        /// The first key, relative to the beginning.
        first: u16,
        /// How many words from key to key.
        step: u16,
    },
    /// Not known.
    Unknown,
}

/// The keys among a command's words, each with its position; see [`Facts::keys`](super::Facts::keys).
#[derive(Debug, Clone)]
pub struct Keys<I> {
    words: I,
    specs: slice::Iter<'static, KeySpec>,
    run: Option<KeyRun<I>>,
}

/// The keys that one rule gives: every `step`th word, `left` times.
#[derive(Debug, Clone)]
struct KeyRun<I> {
    /// The words that are left, with those skipped that stand before the next key: `skip` of them.
    rest: I,
    skip: usize,
    /// Where `rest` begins.
    position: usize,
    step: usize,
    left: usize,
}

impl<'a, I> Keys<I>
where
    I: Iterator<Item = &'a [u8]> + Clone,
{
    pub(super) fn new(specs: &'static [KeySpec], words: I) -> Self {
        Self { words, specs: specs.iter(), run: None }
    }
}

impl<'a, I> Iterator for Keys<I>
where
    I: Iterator<Item = &'a [u8]> + Clone,
{
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(key) = self.run.as_mut().and_then(KeyRun::next) {
                return Some(key);
            }
            self.run = self.specs.next()?.run(&self.words);
        }
    }
}

impl<'a, I> KeyRun<I>
where
    I: Iterator<Item = &'a [u8]>,
{
    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        self.left = self.left.checked_sub(1)?;
        let Some(key) = self.rest.nth(self.skip) else {
            self.left = 0;
            return None;
        };
        let position = self.position + self.skip;
        self.position = position + 1;
        self.skip = self.step - 1;
        Some((position, key))
    }
}

impl KeySpec {
    /// The keys of this rule; none if the words don't follow it.
    fn run<'a, I>(&self, words: &I) -> Option<KeyRun<I>>
    where
        I: Iterator<Item = &'a [u8]> + Clone,
    {
        let begin = self.begin.position(words)?;
        let (first, step, left) = match self.find {
            FindKeys::Range { last, step, limit } => {
                (begin, step, range_len(words, begin, last, step, limit)?)
            }
            FindKeys::KeyNum { index, first, step } => {
                let count = words.clone().nth(begin + usize::from(index))?;
                let count = std::str::from_utf8(count).ok()?.parse().ok()?;
                (begin + usize::from(first), step, count)
            }
            FindKeys::Unknown => return None,
        };
        Some(KeyRun { rest: words.clone(), skip: first, position: 0, step: usize::from(step).max(1), left })
    }
}

/// How many keys a range has.
fn range_len<'a, I>(words: &I, begin: usize, last: i16, step: u16, limit: u16) -> Option<usize>
where
    I: Iterator<Item = &'a [u8]> + Clone,
{
    let span = match usize::try_from(last) {
        Ok(last) => last,
        Err(_) => {
            let remaining = words.clone().count().checked_sub(begin)?;
            let remaining = if limit > 1 { remaining / usize::from(limit) } else { remaining };
            remaining.checked_sub(usize::from(last.unsigned_abs()))?
        }
    };
    Some(span / usize::from(step).max(1) + 1)
}

impl BeginSearch {
    fn position<'a, I>(self, words: &I) -> Option<usize>
    where
        I: Iterator<Item = &'a [u8]> + Clone,
    {
        match self {
            Self::Index(index) => Some(usize::from(index)),
            Self::Keyword(keyword, from) => behind_keyword(words, keyword.as_bytes(), from),
            Self::SortStore => {
                let options = options(words, 2, &[(b"LIMIT", 2), (b"BY", 1), (b"GET", 1)]);
                let store = options.filter(|(_, word)| word.eq_ignore_ascii_case(b"STORE")).last();
                store.map(|(position, _)| position + 1)
            }
            Self::MigrateKey => migrate_keys(words).is_none().then_some(3),
            Self::MigrateKeys => migrate_keys(words),
            Self::Unknown => None,
        }
    }
}

/// The position behind a keyword, which is at `from` or beyond it, in the direction that the sign of `from`
/// says.
fn behind_keyword<'a, I>(words: &I, keyword: &[u8], from: i16) -> Option<usize>
where
    I: Iterator<Item = &'a [u8]> + Clone,
{
    let mut matches = words
        .clone()
        .enumerate()
        .filter(|(_, word)| word.eq_ignore_ascii_case(keyword))
        .map(|(place, _)| place);
    let place = match usize::try_from(from) {
        Ok(from) => matches.find(|place| *place >= from),
        Err(_) => {
            let highest = words.clone().count().checked_sub(usize::from(from.unsigned_abs()))?;
            matches.take_while(|place| *place <= highest).filter(|place| *place > 0).last()
        }
    };
    place.map(|place| place + 1)
}

/// The position behind `KEYS` in `MIGRATE host port key db timeout [options]`.
fn migrate_keys<'a, I>(words: &I) -> Option<usize>
where
    I: Iterator<Item = &'a [u8]> + Clone,
{
    let mut options = options(words, 6, &[(b"AUTH", 1), (b"AUTH2", 2)]);
    options.find(|(_, word)| word.eq_ignore_ascii_case(b"KEYS")).map(|(position, _)| position + 1)
}

/// The option words from a position on, without their arguments: `arguments` says which options have how
/// many.
fn options<'a, I>(
    words: &I,
    from: usize,
    arguments: &'static [(&'static [u8], usize)],
) -> impl Iterator<Item = (usize, &'a [u8])> + use<'a, I>
where
    I: Iterator<Item = &'a [u8]> + Clone,
{
    let mut skip = 0;
    words.clone().enumerate().skip(from).filter(move |(_, word)| {
        if skip > 0 {
            skip -= 1;
            return false;
        }
        skip = arguments
            .iter()
            .find(|(option, _)| word.eq_ignore_ascii_case(option))
            .map_or(0, |(_, count)| *count);
        true
    })
}
