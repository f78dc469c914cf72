//! What a server tells about a user.

use redwire_core::{Reader, Reply, Result, Value};

use super::fields::{fields, read};

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
