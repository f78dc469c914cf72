//! Which method of the library each command has: found in its source, and for commands without one read from
//! `spec/untyped.json`, which says what takes the method's place, or why there is none.
//!
//! Promises: the page names every command of the spec; a command without method, equivalent and reason is an
//! error, and so is an equivalent or reason for a command that has a method. Must not know servers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use serde_json::Value;

use super::failed;
use super::spec::{Command, Spec, text};
use super::table::ident;

/// The page of all commands.
pub(super) const PAGE: &str = "crates/redwire/docs/commands.md";

/// Where the families are.
const FAMILIES: &str = "crates/redwire/src/commands";

/// Where it is said what has no method.
const UNTYPED: &str = "spec/untyped.json";

const HEAD: &str = "\
All commands of the servers, each with its method, or with what takes its place, or with why it has none.

*Since* is the version of the first server named; another server's version stands with its name. A command
that is *documented* is one that no server had which the tests ran against: its facts are those of the public
documentation. Of a module's command, *since* is the version of the module.

| command | method | since | servers |
|---|---|---|---|
";

/// The text of the page.
pub(super) fn page(root: &Path) -> Result<String, String> {
    let read = |path: &str| {
        let path = root.join(path);
        let file = fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        serde_json::from_str::<Value>(&file).map_err(|error| format!("{}: {error}", path.display()))
    };
    let whole = Spec::read_whole(root).map_err(|error| error.to_string())?;
    let asked = Spec::read(root).map_err(|error| error.to_string())?;
    let modules = Spec::read_modules(root).map_err(|error| error.to_string())?;
    let methods = methods(&root.join(FAMILIES)).map_err(|error| error.to_string())?;
    let (untyped, also) = (read(UNTYPED)?, &read("spec/documented.json")?["also"]);
    let mut page = HEAD.to_owned();
    let mut wrong = stale(&untyped, &whole, &methods);
    for (name, command) in &whole.commands {
        let found = methods.get(&ident(name)).map(|methods| links(methods));
        let Some(method) = found.or_else(|| instead(&untyped, name)) else {
            wrong.push(format!("{name} has no method: write one, or say in {UNTYPED} why there is none"));
            continue;
        };
        let from = match (asked.commands.contains_key(name), modules.commands.contains_key(name)) {
            (true, _) => String::new(),
            (false, true) => format!(", module `{}`", command.group),
            (false, false) => ", documented".to_owned(),
        };
        let (since, servers) = versions(command, &also[name]);
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{name}` | {method} | {since} | {servers}{from} |");
    }
    if wrong.is_empty() { Ok(page) } else { Err(wrong.join("\n")) }
}

/// What is said of commands that are none, or that have a method after all.
fn stale(untyped: &Value, spec: &Spec, methods: &Methods) -> Vec<String> {
    let said = ["equivalent", "left_out"].into_iter().flat_map(|kind| untyped[kind].as_object());
    said.flat_map(|said| said.keys())
        .filter_map(|name| {
            if !spec.commands.contains_key(name) {
                return Some(format!("{UNTYPED} names {name}, which no server has"));
            }
            let has = methods.contains_key(&ident(name));
            has.then(|| format!("{name} has a method: take it out of {UNTYPED}"))
        })
        .collect()
}

/// What stands in the place of a method.
fn instead(untyped: &Value, name: &str) -> Option<String> {
    if let Some(equivalent) = untyped["equivalent"][name].as_str() {
        return Some(equivalent.to_owned());
    }
    let is_help = name.ends_with(" HELP");
    let reason = match untyped["left_out"][name].as_str() {
        Some(reason) => reason,
        None if is_help => "text for people at a prompt",
        None => return None,
    };
    Some(format!("none: {reason}"))
}

/// The version a command came with, and the servers that have it.
fn versions(command: &Command, also: &Value) -> (String, String) {
    let called = |server: &str| if server == "redis" { "Redis" } else { "Valkey" };
    let mut servers: BTreeSet<&str> = command.servers.iter().map(String::as_str).collect();
    let mut since = command.since.clone();
    for (server, version) in also.as_object().into_iter().flatten() {
        servers.insert(server);
        let _ = write!(since, ", {} {}", called(server), text(version));
    }
    let servers: Vec<&str> = servers.into_iter().map(called).collect();
    (since, servers.join(", "))
}

/// Methods with the names of their traits, by the constant of the facts they use.
type Methods = BTreeMap<String, Vec<(String, String)>>;

fn links(methods: &[(String, String)]) -> String {
    let link =
        |(family, method): &(String, String)| format!("[`{method}`](crate::commands::{family}::{method})");
    methods.iter().map(link).collect::<Vec<_>>().join(", ")
}

/// The methods of all families.
fn methods(folder: &Path) -> io::Result<Methods> {
    let mut methods = Methods::new();
    let mut files: Vec<_> = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    files.sort_by_key(|path| path.as_ref().ok().cloned());
    for path in files {
        let path = path?;
        if path.extension().is_some_and(|extension| extension == "rs") {
            add_methods(&fs::read_to_string(path)?, &mut methods);
        }
    }
    Ok(methods)
}

/// Adds the methods of the traits of a source. It is laid out by rustfmt: a trait ends where a line is `}`.
fn add_methods(source: &str, methods: &mut Methods) {
    let (mut family, mut method) = (None, "");
    for line in source.lines() {
        let name = |rest: &'static str| {
            let rest = line.trim_start().strip_prefix(rest)?;
            rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
        };
        if line == "}" {
            family = None;
        }
        family = name("pub trait ").or(family);
        method = name("fn ").unwrap_or(method);
        let Some(family) = family else { continue };
        for rest in line.split("facts::").skip(1).filter(|_| !line.trim_start().starts_with("//")) {
            let constant: String = rest
                .chars()
                .take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_')
                .collect();
            let known = methods.entry(constant).or_default();
            let found = (family.to_owned(), method.to_owned());
            if !known.contains(&found) {
                known.push(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_the_facts_they_use() {
        let source = "pub trait ACommands: Run {\n    /// facts::NO\n    fn get<V: Reply>(self) {\n        \
                      self.run(Cmd::of(&facts::GET))\n    }\n\n    fn both(self) {\n        \
                      Cmd::of(&facts::GET)\n    }\n}\n\nfn helper() {\n    facts::SET\n}\n";
        let mut methods = Methods::new();
        add_methods(source, &mut methods);
        let of = |method: &str| ("ACommands".to_owned(), method.to_owned());
        assert_eq!(methods, Methods::from([("GET".to_owned(), vec![of("get"), of("both")])]));
    }

    #[test]
    fn a_command_that_nothing_is_said_of_is_named() {
        assert_eq!(instead(&Value::Null, "GET"), None);
        assert!(instead(&Value::Null, "ACL HELP").is_some());
        let said = serde_json::json!({"left_out": {"GET": "it has one"}, "equivalent": {"NOSUCH": "x"}});
        let root = crate::repository::root();
        let spec = Spec::read_whole(&root).expect("the spec is committed");
        let methods = methods(&root.join(FAMILIES)).expect("the families are there");
        let stale = stale(&said, &spec, &methods);
        assert_eq!(stale.len(), 2, "{stale:?}");
        assert!(stale.iter().all(|line| line.contains("GET") || line.contains("NOSUCH")), "{stale:?}");
    }
}
