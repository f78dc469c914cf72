//! Asks servers for their command tables and merges the answers.
//!
//! Promises: facts only. The sentences of a server's documentation (summaries, histories, complexity) are its
//! authors' and are left where they are. Where two servers differ, the first one given is followed, except
//! that flags and tips are united and the looser arity is kept. Must not know: what the table makes of it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::resp::Connection;
use super::server::{Mode, Server};
use super::spec::{Command, Spec, text};

/// Collects from each of these server binaries.
pub(super) fn collect(binaries: &[PathBuf]) -> io::Result<Spec> {
    let mut spec = Spec::default();
    for binary in binaries {
        let server = Server::start(binary, Mode::Server)?;
        let mut connection = server.connect()?;
        let (name, version) = identify(&mut connection)?;
        let mut commands = ask(&mut connection, &name)?;
        let sentinel = Server::start(binary, Mode::Sentinel)?;
        let own = ask(&mut sentinel.connect()?, &name)?;
        commands.extend(own.into_iter().filter(|(command, _)| command.split(' ').next() == Some("SENTINEL")));
        println!("{name} {version}: {} commands", commands.len());
        for (command, facts) in commands {
            match spec.commands.get_mut(&command) {
                Some(known) => merge(known, facts),
                None => drop(spec.commands.insert(command, facts)),
            }
        }
        spec.servers.insert(name, version);
    }
    Ok(spec)
}

/// Which server it is, and its version.
fn identify(connection: &mut Connection) -> io::Result<(String, String)> {
    let info = text(&connection.call(&[b"INFO", b"server"])?);
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    if let Some(version) = field("valkey_version:") {
        return Ok(("valkey".into(), version));
    }
    let version = field("redis_version:").ok_or_else(|| io::Error::other("INFO names no version"))?;
    Ok(("redis".into(), version))
}

/// Every command and subcommand of a server.
fn ask(connection: &mut Connection, server: &str) -> io::Result<BTreeMap<String, Command>> {
    let info = connection.call(&[b"COMMAND", b"INFO"])?;
    let docs = connection.call(&[b"COMMAND", b"DOCS"])?;
    let docs = docs.as_object().ok_or_else(|| io::Error::other("COMMAND DOCS gives no map"))?;
    let docs: Map<String, Value> =
        docs.iter().map(|(name, docs)| (name.to_uppercase(), docs.clone())).collect();
    let mut commands = BTreeMap::new();
    for entry in list(&info) {
        let docs = docs.get(&text(&entry[0]).to_uppercase()).unwrap_or(&Value::Null);
        commands.insert(name(entry), command(entry, docs, server));
        for sub in list(&entry[9]) {
            commands.insert(name(sub), command(sub, &docs["subcommands"][text(&sub[0])], server));
        }
    }
    Ok(commands)
}

/// `client|setinfo` is `CLIENT SETINFO` here.
fn name(entry: &Value) -> String {
    text(&entry[0]).to_uppercase().replace('|', " ")
}

fn command(entry: &Value, docs: &Value, server: &str) -> Command {
    Command {
        arity: entry[1].as_i64().unwrap_or_default(),
        flags: sorted(&entry[2]),
        tips: sorted(&entry[7]),
        keys: list(&entry[8]).iter().map(key_spec).collect(),
        group: text(&docs["group"]),
        since: text(&docs["since"]),
        servers: vec![server.to_owned()],
        arguments: list(&docs["arguments"]).iter().map(argument).collect(),
    }
}

fn key_spec(spec: &Value) -> Value {
    let search = |part: &str| {
        let mut fields = spec[part]["spec"].as_object().cloned().unwrap_or_default();
        fields.insert("type".into(), spec[part]["type"].clone());
        Value::Object(fields)
    };
    json!({"begin": search("begin_search"), "find": search("find_keys"), "flags": sorted(&spec["flags"])})
}

fn argument(argument: &Value) -> Value {
    let mut facts = Map::new();
    for field in ["name", "type", "token", "since", "deprecated_since"] {
        if let Some(value) = argument.get(field) {
            facts.insert(field.into(), value.clone());
        }
    }
    if let Some(index) = argument.get("key_spec_index") {
        facts.insert("key_spec".into(), index.clone());
    }
    if !list(&argument["flags"]).is_empty() {
        facts.insert("flags".into(), json!(sorted(&argument["flags"])));
    }
    if let Some(arguments) = argument.get("arguments") {
        facts.insert("arguments".into(), list(arguments).iter().map(self::argument).collect());
    }
    facts.into()
}

fn merge(known: &mut Command, other: Command) {
    unite(&mut known.flags, other.flags);
    unite(&mut known.tips, other.tips);
    if known.arity != other.arity {
        known.arity = -known.arity.abs().min(other.arity.abs());
    }
    known.servers.extend(other.servers);
    // A server may know only a container's name from its documentation.
    if known.arguments.is_empty() {
        known.arguments = other.arguments;
    }
}

fn unite(known: &mut Vec<String>, other: Vec<String>) {
    known.extend(other);
    known.sort();
    known.dedup();
}

fn sorted(value: &Value) -> Vec<String> {
    let mut texts: Vec<String> = list(value).iter().map(text).collect();
    texts.sort();
    texts
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
