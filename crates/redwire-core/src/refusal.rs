//! The sentences by which a server refuses a command before it begins to run it.
//!
//! What runs code of its users, or of a module, may answer with any error, and after it wrote. There the
//! first word proves nothing, and only the server's own whole sentence is believed. Tests take the sentences
//! from servers, as far as these can be made to say them: `refusals.rs` among the conversations of the crate
//! `redwire`, and `outcomes.rs` among its clusters. This file must not know what follows from a refusal.
//!
//! What remains: a script that answers with exactly such a sentence is taken for refused. One that hands on
//! what `redis.pcall` gave it does so from Redis 7.0 on, at a replica (`READONLY`), with too few replicas
//! (`NOREPLICAS`) or with a full disk (`MISCONF`). It has changed no data: in such a state the first write is
//! refused like the last. Without memory some writes are allowed, so `OOM command not allowed …` is not among
//! the sentences.

use crate::cluster::{SLOTS, slot};
use crate::facts::Facts;

/// `*` stands for any word, `@` for the name of the command in quotes, and `…` at the end for any words, or
/// none, that do not say in which script it happened.
///
/// Of Redis 2.8 to 8 and Valkey 7 to 9; servers of other names say `LOADING` and `BUSY` with their own.
const SENTENCES: [&str; 37] = [
    "BUSY * is busy running a module command.",
    "BUSY * is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
    "BUSY * is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN Hash slot not served",
    "CLUSTERDOWN The cluster is down",
    "CLUSTERDOWN The cluster is down and only accepts read commands",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "ERR Bad number of keys provided",
    "ERR Can not run script on cluster, 'no-cluster' flag is set.",
    "ERR Can't execute @ only …",
    "ERR Could not find scripting engine …",
    "ERR Error compiling script (new function): …",
    "ERR Function not found",
    "ERR Number of keys can't be greater than number of args",
    "ERR Number of keys can't be negative",
    "ERR Unexpected engine in script shebang: …",
    "ERR Unexpected flag in script shebang: …",
    "ERR Unknown lua shebang option: …",
    "ERR max number of clients + cluster connections reached",
    "ERR max number of clients reached",
    "ERR unknown command @ …",
    "ERR wrong number of arguments for @ command",
    "LOADING * is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and * is set to 'no'.",
    "MASTERDOWN Link with MASTER is down, * is set to 'no' and 'allow-stale' flag is not set on the script.",
    "MISCONF * is configured to persist data to AOF, …",
    "MISCONF * is configured to save RDB snapshots, …",
    "MISCONF Errors writing to the AOF file: …",
    "NOAUTH Authentication required.",
    "NOPERM No permissions to access …",
    "NOPERM User * has no permissions to …",
    "NOPERM this user has no permissions to …",
    "NOREPLICAS Not enough good * to write.",
    "NOSCRIPT No matching script. …",
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
    "READONLY Can not run script with write flag on readonly replica",
    "TRYAGAIN Multiple keys request during rehashing of slot",
];

/// Servers quote no more of a name.
const LONG: usize = 128;

/// How a replica refuses to write. From within a script it comes with words before it, or behind.
pub(crate) const READ_ONLY: &str = "READONLY You can't write against a read only ";

/// Whether `line` is a sentence by which a server refuses the command of these facts and `words`.
pub(crate) fn is_refusal(line: &str, facts: &Facts, words: &[&[u8]]) -> bool {
    let name = words.first().copied().unwrap_or_default();
    // A name with a space in it is quoted as it is, and stands for one word here.
    if name.contains(&b' ')
        && let Ok(quoted) = std::str::from_utf8(name)
    {
        let one_word: Vec<&[u8]> = [&b"_"[..]].into_iter().chain(words.iter().skip(1).copied()).collect();
        return is_refusal(&line.replacen(quoted, "_", 1), facts, &one_word);
    }
    let read_only = line.strip_prefix(READ_ONLY).is_some_and(|rest| matches!(rest, "replica." | "slave."));
    read_only
        || SENTENCES.iter().any(|sentence| is_said(sentence, line, name))
        || is_redirection(line, facts, words)
}

fn is_said(sentence: &str, line: &str, name: &[u8]) -> bool {
    let mut said = line.split(' ');
    for word in sentence.split(' ') {
        let fits = match (word, said.next()) {
            ("…", _) => return !line.contains(" script: "),
            (_, None) => false,
            ("*", Some(said)) => !said.is_empty(),
            ("@", Some(said)) => {
                let said = said.trim_matches(['\'', '`', ',', ':', '.', '\r', '\n']);
                // Of a very long one the begin is quoted.
                let name = if said.len() < LONG { Some(name) } else { name.get(..said.len()) };
                name.is_some_and(|name| said.as_bytes().eq_ignore_ascii_case(name))
            }
            (word, Some(said)) => word == said,
        };
        if !fits {
            return false;
        }
    }
    said.next().is_none()
}

/// Whether it is `MOVED` or `ASK` for a slot that the command is about.
fn is_redirection(line: &str, facts: &Facts, words: &[&[u8]]) -> bool {
    let mut said = line.split(' ');
    let (Some("MOVED" | "ASK"), Some(number), Some(_), None) =
        (said.next(), said.next(), said.next(), said.next())
    else {
        return false;
    };
    let Some(number) = number.parse::<u16>().ok().filter(|number| *number < SLOTS) else { return false };
    if facts.keys.is_empty() || std::ptr::eq(facts, &crate::facts::UNKNOWN) {
        // Only the server knows which of its words are keys.
        return words.iter().skip(1).any(|word| slot(word) == number);
    }
    facts.keys(words.iter().copied()).any(|(_, key)| slot(key) == number)
}

#[cfg(test)]
mod tests;
