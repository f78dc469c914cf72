//! What a server's own documentation says about its commands.

use std::collections::BTreeMap;

use redwire_core::{Reader, Reply, Result, Value};

use crate::commands::server::fields::{fields_and_rest, read};

/// What a server's own documentation says about a command.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandDoc {
    /// What it does, in a sentence.
    pub summary: String,
    /// The version that it came with.
    pub since: String,
    /// `string`, `generic`, …
    pub group: String,
    /// How long it takes, in words.
    pub complexity: String,
    /// The module that it comes from.
    pub module: Option<String>,
    /// `deprecated`, `syscmd`, …
    pub doc_flags: Vec<String>,
    /// The version in which it was deprecated.
    pub deprecated_since: Option<String>,
    /// What is to be used in its place.
    pub replaced_by: Option<String>,
    /// Versions, and what each changed.
    pub history: Vec<(String, String)>,
    /// Its arguments.
    pub arguments: Vec<CommandArgument>,
    /// Its subcommands, by their whole names (`client|kill`).
    pub subcommands: BTreeMap<String, Self>,
    /// What newer servers tell besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for CommandDoc {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut doc = Self::default();
        doc.other = fields_and_rest(reader, |name, reader| match name {
            "summary" => read(&mut doc.summary, reader),
            "since" => read(&mut doc.since, reader),
            "group" => read(&mut doc.group, reader),
            "complexity" => read(&mut doc.complexity, reader),
            "module" => read(&mut doc.module, reader),
            "doc_flags" => read(&mut doc.doc_flags, reader),
            "deprecated_since" => read(&mut doc.deprecated_since, reader),
            "replaced_by" => read(&mut doc.replaced_by, reader),
            "history" => read(&mut doc.history, reader),
            "arguments" => read(&mut doc.arguments, reader),
            "subcommands" => read(&mut doc.subcommands, reader),
            _ => Ok(false),
        })?;
        Ok(doc)
    }
}

/// An argument of a command.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandArgument {
    /// Its name.
    pub name: String,
    /// `key`, `string`, `integer`, `double`, `pattern`, `unix-time`, `pure-token`, `oneof` or `block`.
    pub kind: String,
    /// What it is shown as.
    pub display_text: Option<String>,
    /// Which rule of the command's keys it follows, from 0.
    pub key_spec_index: Option<u64>,
    /// The word before it, or that it is.
    pub token: Option<String>,
    /// What it is for.
    pub summary: Option<String>,
    /// The version that it came with.
    pub since: Option<String>,
    /// The version in which it was deprecated.
    pub deprecated_since: Option<String>,
    /// `optional`, `multiple`, `multiple_token`.
    pub flags: Vec<String>,
    /// Its parts, of a `oneof` or `block`.
    pub arguments: Vec<Self>,
    /// What newer servers tell besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for CommandArgument {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut argument = Self::default();
        argument.other = fields_and_rest(reader, |name, reader| match name {
            "name" => read(&mut argument.name, reader),
            "type" => read(&mut argument.kind, reader),
            "display_text" => read(&mut argument.display_text, reader),
            "key_spec_index" => read(&mut argument.key_spec_index, reader),
            "token" => read(&mut argument.token, reader),
            "summary" => read(&mut argument.summary, reader),
            "since" => read(&mut argument.since, reader),
            "deprecated_since" => read(&mut argument.deprecated_since, reader),
            "flags" => read(&mut argument.flags, reader),
            "arguments" => read(&mut argument.arguments, reader),
            _ => Ok(false),
        })?;
        Ok(argument)
    }
}
