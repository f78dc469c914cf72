//! What may follow a command's name, from the facts that servers tell of their commands.
//!
//! Promises names in the letter case that was begun, and arguments without those that were typed. Must not
//! know the prompt.

use std::collections::HashMap;

use redwire::facts;
use serde_json::Value as Json;

/// The facts of the servers' commands, as they were collected.
const COMMANDS: &str = include_str!("../../../../spec/commands.json");

/// The arguments of all commands.
#[derive(Debug)]
pub(crate) struct Hints {
    /// By name in upper case.
    arguments: HashMap<String, Vec<Argument>>,
}

/// One argument, as it is shown.
#[derive(Debug)]
struct Argument {
    text: String,
    /// Whether exactly one word takes its place, so that it is known when it was typed.
    is_one_word: bool,
}

impl Hints {
    pub(crate) fn new() -> Self {
        let spec: Json = serde_json::from_str(COMMANDS).unwrap_or_default();
        let commands = spec["commands"].as_array().map(Vec::as_slice).unwrap_or_default();
        let arguments = commands.iter().filter_map(|command| {
            let arguments = command["arguments"].as_array()?.iter().map(Argument::new).collect();
            Some((command["name"].as_str()?.to_owned(), arguments))
        });
        Self { arguments: arguments.collect() }
    }

    /// The arguments that are still to be typed after `line`, where its command is known.
    pub(crate) fn after(&self, line: &str) -> Option<String> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let first = words.first()?;
        let command = facts::lookup(first.as_bytes(), words.get(1).map(|word| word.as_bytes()))?;
        let arguments = self.arguments.get(command.name)?;
        let has_ended = line.ends_with(char::is_whitespace);
        let mut typed = words.len().checked_sub(usize::from(command.words))?;
        // The word that is being typed stands where the hint would.
        if !has_ended && typed > 0 {
            typed -= 1;
        }
        let passed = arguments.iter().take_while(|argument| argument.is_one_word).count().min(typed);
        let mut rest: Vec<_> = arguments[passed..].iter().map(|argument| argument.text.as_str()).collect();
        if !has_ended && words.len() > usize::from(command.words) {
            rest.drain(..1.min(rest.len()));
        }
        let rest = rest.join(" ");
        (!rest.is_empty()).then(|| if has_ended { rest } else { format!(" {rest}") })
    }
}

/// The names of commands that begin with `line`, in its letter case.
pub(crate) fn names(line: &str) -> Vec<String> {
    let is_lower = !line.contains(|c: char| c.is_ascii_uppercase());
    let begun = line.to_ascii_uppercase();
    let begins = |name: &&str| name.starts_with(&begun) && name[begun.len()..].find(' ').is_none();
    let found = facts::all().iter().map(|facts| facts.name).filter(begins);
    found.map(|name| if is_lower { name.to_ascii_lowercase() } else { name.to_owned() }).collect()
}

impl Argument {
    fn new(spec: &Json) -> Self {
        let flags = spec["flags"].as_array().map(Vec::as_slice).unwrap_or_default();
        let has = |flag: &str| flags.iter().any(|known| known == flag);
        let kind = spec["type"].as_str().unwrap_or_default();
        let is_one_word = !has("optional")
            && !has("multiple")
            && spec["token"].is_null()
            && kind != "oneof"
            && kind != "block";
        Self { text: shown(spec, has("optional"), has("multiple")), is_one_word }
    }
}

/// An argument with what stands before it, and with brackets where it may be left out.
fn shown(spec: &Json, is_optional: bool, is_multiple: bool) -> String {
    let name = spec["name"].as_str().unwrap_or_default();
    let parts = || spec["arguments"].as_array().into_iter().flatten().map(|part| Argument::new(part).text);
    let inner = match spec["type"].as_str() {
        Some("oneof") => parts().collect::<Vec<_>>().join("|"),
        Some("block") => parts().collect::<Vec<_>>().join(" "),
        Some("pure-token") => String::new(),
        _ => name.to_owned(),
    };
    let token = spec["token"].as_str().unwrap_or_default();
    let whole = [token, &inner].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let is_choice = spec["type"] == "oneof" && !is_optional;
    match (is_optional, is_multiple) {
        (false, false) if is_choice => format!("<{whole}>"),
        (false, false) => whole,
        (false, true) => format!("{whole} [{inner} …]"),
        (true, false) => format!("[{whole}]"),
        (true, true) => format!("[{whole} …]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_follow_the_name_and_shrink_as_they_are_typed() {
        let hints = Hints::new();
        let after = |line: &str| hints.after(line).unwrap_or_default();
        assert_eq!(after("get"), " key");
        assert_eq!(after("GET "), "key");
        assert_eq!(after("GET k"), "");
        let set = after("SET ");
        assert!(set.starts_with("key value [NX|XX]"), "{set}");
        assert!(set.contains("[EX seconds|PX milliseconds|"), "{set}");
        assert!(after("SET k ").starts_with("value ["), "{}", after("SET k "));
        assert!(after("SET k v").starts_with(" [NX|XX]"), "{}", after("SET k v"));
        assert!(after("SET k v ").starts_with("[NX|XX]"));
        assert_eq!(after("client setname"), " connection-name");
        assert_eq!(after("MGET "), "key [key …]");
        assert_eq!(after("NOSUCH "), "");
        assert_eq!(after(""), "");
    }

    #[test]
    fn names_are_completed_word_by_word() {
        assert_eq!(names("getd"), ["getdel"]);
        assert_eq!(names("GETD"), ["GETDEL"]);
        assert!(names("client").contains(&"client".to_owned()));
        assert!(!names("clien").iter().any(|name| name.contains(' ')));
        assert_eq!(names("client setn"), ["client setname"]);
        assert!(names("nosuch").is_empty());
    }
}
