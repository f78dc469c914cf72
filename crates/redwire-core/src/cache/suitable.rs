//! Which commands a cache may serve, and which change what it keeps: by their facts alone. It must not know
//! caches.

use crate::facts::{self, BeginSearch, Facts, Flags};

/// What a command is to a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suitable {
    /// It reads keys that it names, and answers the same until one of them changes.
    Read,
    /// It may change the keys it names.
    Change,
    /// It may change any key.
    ChangeAll,
    /// Nothing: it goes to the server, and changes nothing that its words tell.
    Neither,
}

/// Reads whose answers depend on more than the data of their keys, though their flags do not say so.
static FICKLE: [&Facts; 5] = [
    &facts::TOUCH,
    &facts::MEMORY_USAGE,
    &facts::XINFO_CONSUMERS,
    &facts::XINFO_GROUPS,
    &facts::XINFO_STREAM,
];

/// What a command with these facts is to a cache.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire_core::cache::{Suitable, suitable};
/// use redwire::facts;
///
/// assert_eq!(suitable(&facts::HGETALL), Suitable::Read);
/// assert_eq!(suitable(&facts::TTL), Suitable::Neither); // another answer each second
/// assert_eq!(suitable(&facts::SET), Suitable::Change);
/// assert_eq!(suitable(&facts::FLUSHDB), Suitable::ChangeAll);
/// ```
#[inline]
#[must_use]
pub fn suitable(facts: &'static Facts) -> Suitable {
    if facts.flags.contains(Flags::READONLY) {
        return if is_steady(facts) { Suitable::Read } else { Suitable::Neither };
    }
    // Of a command that no table names the key is a guess, and so is that it writes.
    if std::ptr::eq(facts, &facts::UNKNOWN) {
        return Suitable::Neither;
    }
    if !facts.keys.is_empty() {
        return Suitable::Change;
    }
    if facts.flags.contains(Flags::WRITE) { Suitable::ChangeAll } else { Suitable::Neither }
}

/// Whether the answer depends on nothing but the data of keys that its words name. Scripts may do anything,
/// modules need not announce what they change, and what waits is no question about the data that is there.
#[inline]
fn is_steady(facts: &'static Facts) -> bool {
    !facts.keys.is_empty()
        && !facts.flags.contains(Flags::NONDETERMINISTIC_OUTPUT)
        && !facts.flags.contains(Flags::MODULE)
        && facts.timeout.is_none()
        && facts.group != "scripting"
        && facts.keys.iter().all(|spec| spec.begin != BeginSearch::Unknown && !spec.channel)
        && !FICKLE.iter().any(|fickle| std::ptr::eq(*fickle, facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_that_are_not_steady_are_left_to_the_server() {
        for facts in facts::all().iter().filter(|facts| suitable(facts) == Suitable::Read) {
            let words: Vec<&[u8]> = match facts.words {
                1 => vec![facts.name.as_bytes(), b"1", b"k", b"k"],
                _ => vec![b"a", b"b", b"k"],
            };
            assert!(facts.keys(words.into_iter()).count() > 0, "{} has no keys that are known", facts.name);
        }
        let of = |name: &str| {
            let mut words = name.split(' ').map(str::as_bytes);
            suitable(facts::lookup(words.next().unwrap_or_default(), words.next()).unwrap())
        };
        for name in
            ["GET", "get", "MGET", "HGETALL", "SMEMBERS", "ZRANGE", "LRANGE", "EXISTS", "TYPE", "XRANGE"]
        {
            assert_eq!(of(name), Suitable::Read, "{name}");
        }
        for name in [
            "TTL",
            "SCAN",
            "HSCAN",
            "RANDOMKEY",
            "SRANDMEMBER",
            "XREAD",
            "EVAL_RO",
            "SORT_RO",
            "TOUCH",
            "TIME",
            "DBSIZE",
            "KEYS",
            "PING",
            "OBJECT IDLETIME",
            "DUMP",
            "XPENDING",
            "CLIENT LIST",
            "PUBLISH",
        ] {
            assert_eq!(of(name), Suitable::Neither, "{name}");
        }
        for name in ["SET", "DEL", "EVAL", "FCALL", "BLPOP", "XREADGROUP", "GETEX", "RENAME", "MSETNX"] {
            assert_eq!(of(name), Suitable::Change, "{name}");
        }
        for name in ["FLUSHALL", "FLUSHDB", "SWAPDB"] {
            assert_eq!(of(name), Suitable::ChangeAll, "{name}");
        }
    }
}
