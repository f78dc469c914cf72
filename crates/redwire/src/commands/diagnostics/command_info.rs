//! The facts that servers give of their commands.

use redwire_core::{Arg, Args, Reader, Reply, Result, Value};

/// The facts of a command, as its server gives them. What a server is too old to know is empty.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct CommandInfo {
    /// Its name in lower case, of a subcommand as `client|kill`.
    pub name: String,
    /// How many words it has, name included; below zero: at least so many.
    pub arity: i64,
    /// `readonly`, `fast`, …
    pub flags: Vec<String>,
    /// The place of the first key among the words, 0 if there is none.
    pub first_key: i64,
    /// The place of the last key; below zero from the end.
    pub last_key: i64,
    /// How many words from key to key.
    pub step: i64,
    /// Its categories for users' rules, such as `@read`.
    pub acl_categories: Vec<String>,
    /// Tips for clients, such as `request_policy:all_shards` (Redis 7.0).
    pub tips: Vec<String>,
    /// The rules by which its keys are found, as the server gives them (Redis 7.0).
    pub key_specs: Vec<Value>,
    /// Its subcommands (Redis 7.0).
    pub subcommands: Vec<Self>,
    /// What newer servers append.
    pub other: Vec<Value>,
}

impl Reply for CommandInfo {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let mut info = Self {
            name: String::decode_item(reader, &mut items)?,
            arity: i64::decode_item(reader, &mut items)?,
            flags: Vec::decode_item(reader, &mut items)?,
            first_key: i64::decode_item(reader, &mut items)?,
            last_key: i64::decode_item(reader, &mut items)?,
            step: i64::decode_item(reader, &mut items)?,
            ..Self::default()
        };
        let mut place = 6;
        while items.more(reader)? {
            match place {
                6 => info.acl_categories = Vec::decode_item(reader, &mut items)?,
                7 => info.tips = Vec::decode_item(reader, &mut items)?,
                8 => info.key_specs = Vec::decode_item(reader, &mut items)?,
                9 => info.subcommands = Vec::decode_item(reader, &mut items)?,
                _ => info.other.push(Value::decode_item(reader, &mut items)?),
            }
            place += 1;
        }
        Ok(info)
    }
}

/// Picks commands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandPattern {
    /// Those of this module.
    Module(String),
    /// Those of this category, such as `read`.
    AclCategory(String),
    /// Those whose names match a glob pattern.
    Glob(String),
}

impl Arg for CommandPattern {
    fn write(&self, args: &mut Args) {
        match self {
            Self::Module(name) => name.write_named("MODULE", args),
            Self::AclCategory(name) => name.write_named("ACLCAT", args),
            Self::Glob(pattern) => pattern.write_named("PATTERN", args),
        }
    }
}
