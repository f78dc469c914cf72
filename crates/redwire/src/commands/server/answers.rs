//! What servers tell about themselves.

use std::str::FromStr;
use std::time::Duration;

use redwire_core::{Error, ErrorKind, Items, Lossy, Outcome, Reader, Reply, Result, Value};

/// What INFO answers: lines of `field:value`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    text: String,
}

impl Info {
    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value of a field, such as `redis_version`.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
    }

    /// The value of a field as a number, or whatever else can be made of text.
    #[must_use]
    pub fn parse<T: FromStr>(&self, field: &str) -> Option<T> {
        self.get(field)?.parse().ok()
    }
}

impl Reply for Info {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Lossy::decode(reader).map(|text| Self { text: text.0 })
    }
}

/// What a server is to others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// It takes writes.
    Primary {
        /// How many bytes of changes it has produced.
        offset: u64,
        /// Host, port and acknowledged offset of each replica.
        replicas: Vec<(String, u16, u64)>,
    },
    /// It follows another server.
    Replica {
        /// The host of the server it follows.
        host: String,
        /// The port of the server it follows.
        port: u16,
        /// `connect`, `connecting`, `sync` or `connected`.
        state: String,
        /// How many bytes of changes it has got, -1 before the first.
        offset: i64,
    },
    /// It watches over other servers.
    Sentinel {
        /// The names of the services it watches over.
        services: Vec<String>,
    },
}

impl Reply for Role {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let role = match String::decode_item(reader, &mut items)?.as_str() {
            "master" => Self::Primary {
                offset: u64::decode_item(reader, &mut items)?,
                replicas: Vec::decode_item(reader, &mut items)?,
            },
            "slave" => Self::Replica {
                host: String::decode_item(reader, &mut items)?,
                port: u16::decode_item(reader, &mut items)?,
                state: String::decode_item(reader, &mut items)?,
                offset: i64::decode_item(reader, &mut items)?,
            },
            "sentinel" => Self::Sentinel { services: Vec::decode_item(reader, &mut items)? },
            other => {
                let message = format!("expected a role, got {other:?}");
                return Err(Error::new(ErrorKind::Decode, Outcome::Unreadable, message));
            }
        };
        skip_rest(reader, &mut items)?;
        Ok(role)
    }
}

/// A command that took long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlowlogEntry {
    /// Its number, counted from the server's start.
    pub id: u64,
    /// When it was executed, in seconds since 1970.
    pub time: u64,
    /// How long it took.
    pub duration: Duration,
    /// Its words, which the server shortens.
    pub words: Vec<Lossy>,
    /// The address of the client that sent it.
    pub client: Lossy,
    /// That client's name.
    pub client_name: Lossy,
}

impl Reply for SlowlogEntry {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let entry = Self {
            id: u64::decode_item(reader, &mut items)?,
            time: u64::decode_item(reader, &mut items)?,
            duration: Duration::from_micros(u64::decode_item(reader, &mut items)?),
            words: Vec::decode_item(reader, &mut items)?,
            client: Lossy::decode_item(reader, &mut items)?,
            client_name: Lossy::decode_item(reader, &mut items)?,
        };
        skip_rest(reader, &mut items)?;
        Ok(entry)
    }
}

/// What once held the server up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LatencyEvent {
    /// What it was, such as `command` or `fork`.
    pub name: String,
    /// When it happened last, in seconds since 1970.
    pub time: u64,
    /// How long it took last.
    pub latest: Duration,
    /// How long it took at most.
    pub longest: Duration,
}

impl Reply for LatencyEvent {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut items = reader.items()?;
        let event = Self {
            name: String::decode_item(reader, &mut items)?,
            time: u64::decode_item(reader, &mut items)?,
            latest: Duration::from_millis(u64::decode_item(reader, &mut items)?),
            longest: Duration::from_millis(u64::decode_item(reader, &mut items)?),
        };
        skip_rest(reader, &mut items)?;
        Ok(event)
    }
}

/// Newer servers append to their lists.
fn skip_rest(reader: &mut Reader<'_>, items: &mut Items) -> Result<()> {
    while items.more(reader)? {
        Value::decode_item(reader, items)?;
    }
    Ok(())
}
