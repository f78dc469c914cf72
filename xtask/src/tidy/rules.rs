//! Rules about the text of single files, and the twin folders.
//!
//! Must not know: which files there are; each rule looks at what it is given.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::source::Source;

/// Folders whose code makes no contact with the world, and what is banned there.
const PURE: [&str; 2] = ["crates/redwire-core/src/", "crates/redwire-resp/src/"];
const BANNED: [&str; 16] = [
    "async fn",
    "async move",
    ".await",
    "Instant::now",
    "SystemTime",
    "thread::",
    "Mutex",
    "RwLock",
    "TcpStream",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "sleep",
    "rand",
    "std::env",
    "std::fs",
];

/// The drivers' folders.
const DRIVERS: [&str; 2] = ["crates/redwire/src/nonblocking", "crates/redwire/src/blocking"];

/// What goes by a clock that a test may pause.
const NONBLOCKING: &str = "crates/redwire/src/nonblocking";

/// What waits in threads, and what it must not take from std for that.
const BLOCKING: &str = "crates/redwire/src/blocking";
const EXPLORED: [&str; 8] = [
    "Instant::now",
    ".elapsed()",
    "std::sync::Mutex",
    "std::sync::Condvar",
    "std::sync::atomic",
    "thread::current",
    "thread::park",
    "thread::spawn",
];

/// Words that servers begin an error with: what to do about one is decided in the core.
const SERVER_WORDS: [&str; 20] = [
    "ASK",
    "BUSY",
    "BUSYGROUP",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "EXECABORT",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOPERM",
    "NOPROTO",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "WRONGPASS",
    "WRONGTYPE",
];

/// Every file says at its top what it promises.
pub(super) fn header(source: &Source) -> Vec<Finding> {
    if source.first_line.starts_with("//!") {
        return Vec::new();
    }
    vec![Finding {
        path: source.path.clone(),
        line: 1,
        why: "a file opens with a `//!` that says what it promises".into(),
    }]
}

/// Nothing is left for later.
pub(super) fn stubs(source: &Source) -> Vec<Finding> {
    in_code(source, true, &["todo!", "unimplemented!"], |word| format!("`{word}` is a stub"))
}

/// A name that needs such a prefix is in the wrong crate.
pub(super) fn names(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in &source.lines {
        if words(&line.code).any(|word| word.starts_with("async_")) {
            findings.push(Finding::new(
                source,
                line.number,
                "no name starts with `async_`: what it does twice belongs in the core",
            ));
        }
    }
    findings
}

/// The core and the protocol never wait, look at a clock or throw dice. The async driver looks at its own
/// clock; what threads of the blocking driver look at and wait by may be an explorer's.
pub(super) fn banned_calls(source: &Source) -> Vec<Finding> {
    if source.path.starts_with(NONBLOCKING) {
        return in_code(source, false, &["Instant::now", ".elapsed()"], |word| {
            format!("`{word}` is the system's clock: take `clock::now` or `clock::since`")
        });
    }
    if source.path.starts_with(BLOCKING) {
        return in_code(source, false, &EXPLORED, |word| {
            format!("`{word}` escapes an explorer: take that of `shared/threads.rs` or `shared/sync.rs`")
        });
    }
    if !PURE.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    in_code(source, false, &BANNED, |word| {
        format!("`{word}` has no place in a crate that never waits: take it as an argument")
    })
}

/// Drivers hold no decision about a server's error.
pub(super) fn server_words(source: &Source) -> Vec<Finding> {
    if !DRIVERS.iter().any(|folder| source.path.starts_with(folder)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for line in source.product() {
        for text in &line.strings {
            let first = text.trim_start_matches('-').split(' ').next().unwrap_or_default();
            if SERVER_WORDS.contains(&first) {
                findings.push(Finding::new(
                    source,
                    line.number,
                    &format!("`{first}` is a server's word: the core decides about it"),
                ));
            }
        }
    }
    findings
}

/// Both drivers have the same files; what one of them keeps in a folder beside a file is its own affair.
pub(super) fn twins<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let mut files = [BTreeSet::new(), BTreeSet::new()];
    for path in paths {
        for (files, folder) in files.iter_mut().zip(DRIVERS) {
            let name = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
            files.extend(name.filter(|name| !name.contains('/') && *name != "tests.rs"));
        }
    }
    let alone = |one: usize, other: usize| {
        let why = move || format!("{} has no such file: both drivers have the same", DRIVERS[other]);
        let names: Vec<&str> = files[one].difference(&files[other]).copied().collect();
        names.into_iter().map(move |name| Finding {
            path: format!("{}/{name}", DRIVERS[one]),
            line: 1,
            why: why(),
        })
    };
    alone(0, 1).chain(alone(1, 0)).collect()
}

/// A finding for each line of code that has one of the words.
fn in_code(source: &Source, tests_too: bool, banned: &[&str], why: impl Fn(&str) -> String) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in &source.lines {
        if !tests_too && (source.is_test || line.in_test) {
            continue;
        }
        for word in banned.iter().filter(|word| has(&line.code, word)) {
            findings.push(Finding::new(source, line.number, &why(word)));
        }
    }
    findings
}

/// Whether code has a word that is no part of a longer one.
pub(super) fn has(code: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let starts = !word.starts_with(is_word) || !code[..at].ends_with(is_word);
        let ends = !word.ends_with(is_word) || !code[at + word.len()..].starts_with(is_word);
        starts && ends
    })
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
}
