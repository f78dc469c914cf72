//! The table of commands: each with its facts, and the function that carries it out.
//!
//! Dispatch, the check of how many words there are, the keys that are watched over, ACL rules and the list
//! that users read all come from here. A row stands with its function, in the file of its family.

pub(crate) mod acl;
pub(crate) mod bits;
pub(crate) mod client;
pub(crate) mod client_kill;
pub(crate) mod cluster;
pub(crate) mod connection;
pub(crate) mod expiry;
pub(crate) mod hashes;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod lists_blocking;
pub(crate) mod publish;
pub(crate) mod replication;
pub(crate) mod scan;
pub(crate) mod scripting;
pub(crate) mod sentinel;
pub(crate) mod server;
pub(crate) mod sets;
pub(crate) mod sorted_sets;
pub(crate) mod sorted_sets_many;
pub(crate) mod sorted_sets_range;
pub(crate) mod stream_groups;
pub(crate) mod stream_pending;
pub(crate) mod streams;
pub(crate) mod strings;
pub(crate) mod tracking;
pub(crate) mod transactions;
mod unmodelled;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::context::Context;
use crate::number::parse_int;
use crate::reply::Outcome;

/// The words of a command, its name first.
pub(crate) type Args<'a> = &'a [Vec<u8>];
/// Carries a command out.
pub(crate) type Run = fn(&mut Context<'_>, Args<'_>) -> Outcome;

/// A command that the model knows.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Command {
    /// `GET`, or `CLIENT KILL`.
    pub name: &'static str,
    /// How many words it has, the name's own among them; below zero: at least so many.
    pub arity: i32,
    /// The flags that `COMMAND INFO` tells, separated by spaces.
    pub flags: &'static str,
    /// Its ACL categories, separated by spaces.
    pub categories: &'static str,
    /// Where its keys are.
    pub keys: Keys,
    pub(crate) run: Run,
}

/// Where the keys of a command are among its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keys {
    /// It has none.
    None,
    /// From the first place to the last, which counts from the end if it is below zero, by a step.
    Range(usize, i32, usize),
    /// As many as the word at this place says, behind it.
    Counted(usize),
    /// As [`Counted`](Self::Counted), and one more at place 1.
    StoreCounted,
    /// The first half of what stands behind the word `STREAMS`.
    Streams,
}

/// A row of the table.
pub(crate) const fn row(
    name: &'static str,
    arity: i32,
    flags: &'static str,
    keys: Keys,
    categories: &'static str,
    run: Run,
) -> Command {
    Command { name, arity, flags, categories, keys, run }
}

/// All families.
const FAMILIES: &[&[Command]] = &[
    acl::ROWS,
    bits::ROWS,
    client::ROWS,
    client_kill::ROWS,
    cluster::ROWS,
    connection::ROWS,
    expiry::ROWS,
    hashes::ROWS,
    keys::ROWS,
    lists::ROWS,
    lists_blocking::ROWS,
    publish::ROWS,
    replication::ROWS,
    scan::ROWS,
    scripting::ROWS,
    sentinel::ROWS,
    server::ROWS,
    sets::ROWS,
    sorted_sets::ROWS,
    sorted_sets_many::ROWS,
    sorted_sets_range::ROWS,
    stream_groups::ROWS,
    stream_pending::ROWS,
    streams::ROWS,
    strings::ROWS,
    tracking::ROWS,
    transactions::ROWS,
];

static INDEX: LazyLock<BTreeMap<&'static str, &'static Command>> =
    LazyLock::new(|| FAMILIES.iter().copied().flatten().map(|command| (command.name, command)).collect());

/// All commands that the model knows, by name.
///
/// ```
/// let names: Vec<&str> = redwire_model::commands().map(|command| command.name).collect();
/// assert!(names.contains(&"GET") && names.contains(&"CLIENT KILL") && !names.contains(&"SORT"));
/// ```
pub fn commands() -> impl Iterator<Item = &'static Command> {
    INDEX.values().copied()
}

/// What a request asks for.
pub(crate) enum Lookup {
    Known(&'static Command),
    /// A command of real servers that the model does not know.
    Unmodelled(String),
    /// A name of no command at all.
    Unknown,
    /// A command that has other words behind it.
    UnknownSubcommand(&'static str),
}

/// Finds what a request asks for.
pub(crate) fn find(args: Args<'_>) -> Lookup {
    let name = upper(&args[0]);
    let Some(command) = INDEX.get(name.as_str()) else {
        let is_real = unmodelled::NAMES.binary_search(&name.as_str()).is_ok();
        return if is_real { Lookup::Unmodelled(name) } else { Lookup::Unknown };
    };
    let is_container = args.len() > 1 && is_container(command.name);
    if !is_container {
        return Lookup::Known(command);
    }
    let full = format!("{name} {}", upper(&args[1]));
    match INDEX.get(full.as_str()) {
        Some(command) => Lookup::Known(command),
        None if unmodelled::NAMES.binary_search(&full.as_str()).is_ok() => Lookup::Unmodelled(full),
        None => Lookup::UnknownSubcommand(command.name),
    }
}

/// The command of this name.
pub(crate) fn named(name: &str) -> Option<&'static Command> {
    INDEX.get(name).copied()
}

/// Whether commands of two words begin with this one.
pub(crate) fn is_container(name: &str) -> bool {
    INDEX
        .range(name..)
        .nth(1)
        .is_some_and(|(next, _)| next.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))
}

/// Carries nothing out: a name that needs another word behind it.
pub(crate) fn container(_: &mut Context<'_>, args: Args<'_>) -> Outcome {
    Err(wrong_arity(&upper(&args[0])))
}

/// The refusal of too few or too many words.
pub(crate) fn wrong_arity(name: &str) -> crate::Refusal {
    let name = reply_name(name);
    crate::Refusal::new(format!("ERR wrong number of arguments for '{name}' command"))
}

/// The name of a command as replies have it: `client|kill`.
pub(crate) fn reply_name(name: &str) -> String {
    name.to_ascii_lowercase().replace(' ', "|")
}

/// The refusal of a subcommand whose words make no sense.
pub(crate) fn odd_subcommand(args: Args<'_>) -> crate::Refusal {
    let name = String::from_utf8_lossy(&args[1]).into_owned();
    let container = upper(&args[0]);
    crate::Refusal::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try {container} HELP."
    ))
}

pub(crate) fn upper(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_ascii_uppercase()
}

impl Command {
    /// Whether `COMMAND INFO` tells this flag.
    #[must_use]
    pub fn has(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|word| word == flag)
    }

    /// Whether it belongs to this ACL category.
    #[must_use]
    pub fn is_in(&self, category: &str) -> bool {
        self.categories.split(' ').any(|word| word == category)
    }

    /// Whether a request has as many words as the command takes.
    pub(crate) fn takes(&self, words: usize) -> bool {
        let words = i32::try_from(words).unwrap_or(i32::MAX);
        if self.arity >= 0 { words == self.arity } else { words >= -self.arity }
    }

    /// Whether its keys are shard channels: they have slots, but ACL rules of channels hold for them.
    pub(crate) fn has_shard_channels(&self) -> bool {
        matches!(self.name, "SSUBSCRIBE" | "SUNSUBSCRIBE" | "SPUBLISH")
    }

    /// Whether it may change something that replicas would have to be told.
    pub(crate) fn may_replicate(&self) -> bool {
        self.has("write") || matches!(self.name, "PUBLISH" | "SPUBLISH" | "EVAL" | "EVALSHA" | "PFCOUNT")
    }

    /// The keys of a request, which has as many words as the command takes.
    pub(crate) fn keys_of<'a>(&self, args: Args<'a>) -> Vec<&'a Vec<u8>> {
        match self.keys {
            Keys::None => Vec::new(),
            Keys::Range(first, last, step) => {
                let len = args.len();
                let last = usize::try_from(last).unwrap_or_else(|_| {
                    len.saturating_sub(usize::try_from(last.unsigned_abs()).unwrap_or(len))
                });
                (first..=last.min(len.saturating_sub(1))).step_by(step.max(1)).map(|at| &args[at]).collect()
            }
            Keys::Counted(at) => counted(args, at),
            Keys::StoreCounted => args.get(1).into_iter().chain(counted(args, 2)).collect(),
            Keys::Streams => {
                let words = args.iter().position(|word| word.eq_ignore_ascii_case(b"streams"));
                let rest = words.map_or(&[][..], |at| &args[at + 1..]);
                if rest.len().is_multiple_of(2) {
                    rest[..rest.len() / 2].iter().collect()
                } else {
                    Vec::new()
                }
            }
        }
    }
}

fn counted(args: Args<'_>, at: usize) -> Vec<&Vec<u8>> {
    // Servers look for keys before they look whether the count is a whole number.
    let digits =
        |word: &Vec<u8>| word.iter().take_while(|byte| byte.is_ascii_digit()).copied().collect::<Vec<_>>();
    let count =
        args.get(at).and_then(|word| parse_int(&digits(word))).and_then(|count| usize::try_from(count).ok());
    let keys = args.get(at + 1..).and_then(|rest| rest.get(..count.unwrap_or(0)));
    keys.unwrap_or_default().iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_stands_twice_and_none_is_said_to_be_unknown() {
        let count: usize = FAMILIES.iter().map(|family| family.len()).sum();
        assert_eq!(count, INDEX.len());
        assert!(unmodelled::NAMES.is_sorted());
        for name in unmodelled::NAMES {
            assert!(!INDEX.contains_key(name), "{name}");
        }
    }

    /// `REDWIRE_MODEL_LIST=1 cargo test -p redwire-model` writes it anew.
    #[test]
    fn the_list_of_commands_is_the_tables() {
        let mut list =
            "# Commands that the model knows\n\nMade from the table in `src/commands`.\n".to_owned();
        let mut names: Vec<&str> = Vec::new();
        for command in commands().filter(|command| !is_container(command.name)) {
            names.push(command.name);
        }
        let mut line = String::new();
        for name in names {
            if line.len() + name.len() > 100 {
                list += &format!("\n{}", line.trim_end());
                line.clear();
            }
            line += &format!("`{name}` ");
        }
        list += &format!("\n{}\n", line.trim_end());
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/COMMANDS.md");
        if std::env::var_os("REDWIRE_MODEL_LIST").is_some() {
            std::fs::write(path, &list).expect("the list can be written");
        }
        assert_eq!(std::fs::read_to_string(path).expect("the list is there"), list);
    }

    #[test]
    fn keys_are_where_the_table_says() {
        let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
        for (line, keys) in [
            ("MSET a 1 b 2", vec!["a", "b"]),
            ("BLPOP a b 0", vec!["a", "b"]),
            ("LMPOP 2 a b LEFT", vec!["a", "b"]),
            ("EVALSHA x 1 k v", vec!["k"]),
            ("XREAD COUNT 1 STREAMS a b 0 0", vec!["a", "b"]),
            ("ZUNIONSTORE d 2 a b", vec!["d", "a", "b"]),
            ("PING", vec![]),
        ] {
            let args = words(line);
            let Lookup::Known(command) = find(&args) else { panic!("{line}") };
            let found: Vec<_> =
                command.keys_of(&args).into_iter().map(|key| String::from_utf8_lossy(key)).collect();
            assert_eq!(found, keys, "{line}");
        }
    }
}
