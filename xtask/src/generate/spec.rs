//! `spec/commands.json`: its shape, reading and writing; and what is written by hand beside it:
//! `spec/modules.json`, which says of each fact where it comes from, and `spec/documented.json`, from public
//! documentation, of commands that no server at hand has.
//!
//! Promises: writing what was read gives the same bytes; commands are sorted; each has one line of facts and,
//! if it has arguments, one line for these, so that a diff shows what a new server version changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::{Map, Value, json};

/// What the file holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Spec {
    /// The servers it was collected from, and their versions.
    pub(super) servers: BTreeMap<String, String>,
    /// By name: `GET`, `CLIENT SETINFO`.
    pub(super) commands: BTreeMap<String, Command>,
}

/// The facts of one command as its servers give them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    pub(super) arity: i64,
    pub(super) flags: Vec<String>,
    pub(super) tips: Vec<String>,
    /// Each `{"begin": {…}, "find": {…}, "flags": […]}`.
    pub(super) keys: Vec<Value>,
    pub(super) group: String,
    pub(super) since: String,
    pub(super) servers: Vec<String>,
    /// Each `{"name", "type"}` and what it has of `token`, `flags`, `key_spec`, `since`, `deprecated_since`,
    /// `arguments`.
    pub(super) arguments: Vec<Value>,
}

/// The order of the fields in the file.
const FIELDS: [&str; 7] = ["arity", "flags", "keys", "tips", "group", "since", "servers"];

/// Where the file is.
pub(super) fn path(root: &Path) -> PathBuf {
    root.join("spec/commands.json")
}

impl Spec {
    /// Reads the file.
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        Self::read_file(&path(root))
    }

    /// The commands of the modules that Redis 8 brings along.
    pub(super) fn read_modules(root: &Path) -> io::Result<Self> {
        Self::read_file(&root.join("spec/modules.json"))
    }

    /// As [`read`](Self::read), with the commands of the modules that Redis 8 brings along, and those that
    /// are only documented.
    pub(super) fn read_whole(root: &Path) -> io::Result<Self> {
        let mut spec = Self::read(root)?;
        // What is said of them by hand goes before what a server said of the same command.
        spec.commands.extend(Self::read_modules(root)?.commands);
        let documented = Self::read_file(&root.join("spec/documented.json"))?;
        for (name, command) in documented.commands {
            // What a server says of itself is believed first.
            spec.commands.entry(name).or_insert(command);
        }
        Ok(spec)
    }

    fn read_file(path: &Path) -> io::Result<Self> {
        let bad =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        let file: Value =
            serde_json::from_str(&fs::read_to_string(path)?).map_err(|error| bad(&error.to_string()))?;
        let mut spec = Self::default();
        for (server, version) in file["servers"].as_object().into_iter().flatten() {
            spec.servers.insert(server.clone(), text(version));
        }
        for fields in file["commands"].as_array().ok_or_else(|| bad("no commands"))? {
            let name = text(&fields["name"]);
            let command = Command::from_json(fields).ok_or_else(|| bad(&format!("{name} lacks a fact")))?;
            spec.commands.insert(name, command);
        }
        Ok(spec)
    }

    /// The text of the file.
    pub(super) fn text(&self) -> String {
        let servers = json!(self.servers);
        let commands: Vec<String> = self.commands.iter().map(|(name, command)| command.text(name)).collect();
        format!("{{\"servers\": {servers},\n\"commands\": [\n{}\n]}}\n", commands.join(",\n"))
    }
}

impl Command {
    fn from_json(fields: &Value) -> Option<Self> {
        let list = |field: &str| Some(fields.get(field)?.as_array()?.clone());
        let texts = |field: &str| Some(list(field)?.iter().map(text).collect());
        Some(Self {
            arity: fields.get("arity")?.as_i64()?,
            flags: texts("flags")?,
            tips: texts("tips")?,
            keys: list("keys")?,
            group: text(fields.get("group")?),
            since: text(fields.get("since")?),
            servers: texts("servers")?,
            arguments: list("arguments").unwrap_or_default(),
        })
    }

    fn to_json(&self) -> Map<String, Value> {
        let value = json!({
            "arity": self.arity, "flags": self.flags, "tips": self.tips, "keys": self.keys,
            "group": self.group, "since": self.since, "servers": self.servers,
        });
        match value {
            Value::Object(map) => map,
            _ => unreachable!("the macro was given an object"),
        }
    }

    fn text(&self, name: &str) -> String {
        let fields = self.to_json();
        let mut text = format!("{{\"name\": {}", json!(name));
        for field in FIELDS {
            text += &format!(", \"{field}\": {}", fields[field]);
        }
        if !self.arguments.is_empty() {
            text += &format!(",\n  \"arguments\": {}", json!(self.arguments));
        }
        text + "}"
    }
}

/// A JSON string's text; nothing for anything else.
pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
