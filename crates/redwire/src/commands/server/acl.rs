//! What a server tells about users, what they may do and what they were refused.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redwire_core::{Lossy, Reader, Reply, Result, Value};

use super::fields::{fields, fields_and_rest, read};
use crate::commands::connection::ClientInfo;

/// What a user may do. Patterns are written with their mark: `~` for keys, `&` for channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AclUser {
    /// Such as `on` and `nopass`.
    pub flags: Vec<String>,
    /// The hashes of the user's passwords.
    pub passwords: Vec<String>,
    /// The commands the user may run, such as `-@all +get`.
    pub commands: String,
    /// Patterns of the keys the user may reach, such as `~cache:*` or `%R~*`.
    pub keys: Vec<String>,
    /// Patterns of the channels the user may reach, such as `&news:*`.
    pub channels: Vec<String>,
    /// Further sets of permissions, each enough for a command it covers whole.
    pub selectors: Vec<AclSelector>,
}

/// A further set of a user's permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AclSelector {
    /// The commands it covers.
    pub commands: String,
    /// Patterns of the keys it covers.
    pub keys: Vec<String>,
    /// Patterns of the channels it covers.
    pub channels: Vec<String>,
}

impl Reply for AclUser {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut user = Self::default();
        fields(reader, |name, reader| match name {
            "flags" => read(&mut user.flags, reader),
            "passwords" => read(&mut user.passwords, reader),
            "commands" => read(&mut user.commands, reader),
            "keys" => patterns(&mut user.keys, '~', reader),
            "channels" => patterns(&mut user.channels, '&', reader),
            "selectors" => read(&mut user.selectors, reader),
            _ => Ok(false),
        })?;
        Ok(user)
    }
}

impl Reply for AclSelector {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut selector = Self::default();
        fields(reader, |name, reader| match name {
            "commands" => read(&mut selector.commands, reader),
            "keys" => patterns(&mut selector.keys, '~', reader),
            "channels" => patterns(&mut selector.channels, '&', reader),
            _ => Ok(false),
        })?;
        Ok(selector)
    }
}

/// Whether a user may run a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AclDryRun {
    /// The user may.
    Allowed,
    /// The user may not, and why, in the server's words.
    Denied(String),
}

impl Reply for AclDryRun {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let text = Lossy::decode(reader)?.0;
        Ok(if text == "OK" { Self::Allowed } else { Self::Denied(text) })
    }
}

/// Something that a user was refused, as often as it was.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AclLogEntry {
    /// How often, within a minute each time.
    pub count: u64,
    /// `command`, `key`, `channel`, `auth`, …
    pub reason: String,
    /// `toplevel`, `multi`, `lua` or `module`.
    pub context: String,
    /// The command, key or channel that was refused.
    pub object: Lossy,
    /// The user.
    pub username: Lossy,
    /// How long ago.
    pub age: Duration,
    /// The client that was refused last.
    pub client: ClientInfo,
    /// Its number, counted from the server's start (Redis 7.2).
    pub entry_id: Option<u64>,
    /// When it was refused first (Redis 7.2).
    pub created: Option<SystemTime>,
    /// When it was refused last (Redis 7.2).
    pub updated: Option<SystemTime>,
    /// What newer servers tell besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for AclLogEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let nothing = || Lossy(String::new());
        let mut entry = Self {
            count: 0,
            reason: String::new(),
            context: String::new(),
            object: nothing(),
            username: nothing(),
            age: Duration::ZERO,
            client: ClientInfo::default(),
            entry_id: None,
            created: None,
            updated: None,
            other: BTreeMap::new(),
        };
        entry.other = fields_and_rest(reader, |name, reader| match name {
            "count" => read(&mut entry.count, reader),
            "reason" => read(&mut entry.reason, reader),
            "context" => read(&mut entry.context, reader),
            "object" => read(&mut entry.object, reader),
            "username" => read(&mut entry.username, reader),
            "age-seconds" => {
                entry.age = Duration::try_from_secs_f64(f64::decode(reader)?).unwrap_or_default();
                Ok(true)
            }
            "client-info" => read(&mut entry.client, reader),
            "entry-id" => read(&mut entry.entry_id, reader),
            "timestamp-created" => moment(&mut entry.created, reader),
            "timestamp-last-updated" => moment(&mut entry.updated, reader),
            _ => Ok(false),
        })?;
        Ok(entry)
    }
}

/// Reads milliseconds since 1970.
fn moment(place: &mut Option<SystemTime>, reader: &mut Reader<'_>) -> Result<bool> {
    *place = Some(UNIX_EPOCH + Duration::from_millis(u64::decode(reader)?));
    Ok(true)
}

/// Redis 6.2 lists patterns without their mark; later servers give one line of marked patterns.
fn patterns(place: &mut Vec<String>, mark: char, reader: &mut Reader<'_>) -> Result<bool> {
    *place = match Value::decode(reader)? {
        Value::Bytes(line) => {
            String::from_utf8_lossy(&line).split_ascii_whitespace().map(str::to_owned).collect()
        }
        Value::Array(list) | Value::Set(list) => {
            let bare = list.iter().filter_map(|item| match item {
                Value::Bytes(pattern) => Some(String::from_utf8_lossy(pattern)),
                _ => None,
            });
            bare.map(|pattern| format!("{mark}{pattern}")).collect()
        }
        _ => Vec::new(),
    };
    Ok(true)
}
