//! What a server tells about its clients, and how some of them are picked.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use redwire_core::{Arg, Args, Lossy, Reader, Reply, Result, Value};

use crate::commands::server::fields::{fields_and_rest, read};

/// What a server tells about one client: fields and values, as many as it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientInfo {
    fields: Vec<(String, String)>,
}

/// What a server tells about several clients; a slice of [`ClientInfo`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientList(Vec<ClientInfo>);

impl ClientInfo {
    /// The number of the client's connection.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.get("id")?.parse().ok()
    }

    /// The address the client has.
    #[must_use]
    pub fn addr(&self) -> Option<&str> {
        self.get("addr")
    }

    /// The name the client gave itself, empty if none.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.get("name")
    }

    /// How long it is connected.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.get("age")?.parse().ok().map(Duration::from_secs)
    }

    /// How long ago it sent its last command.
    #[must_use]
    pub fn idle(&self) -> Option<Duration> {
        self.get("idle")?.parse().ok().map(Duration::from_secs)
    }

    /// The database it uses.
    #[must_use]
    pub fn db(&self) -> Option<u32> {
        self.get("db")?.parse().ok()
    }

    /// The user it is logged in as (Redis 6.0).
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.get("user")
    }

    /// Its last command, in lower case, such as `client|list`.
    #[must_use]
    pub fn cmd(&self) -> Option<&str> {
        self.get("cmd")
    }

    /// What it is, in letters: `N` for an ordinary client, `P` for a subscriber, `S` for a replica, `b` where
    /// it waits in a command, …
    #[must_use]
    pub fn flags(&self) -> Option<&str> {
        self.get("flags")
    }

    /// The protocol it speaks, 2 or 3 (Redis 7.0).
    #[must_use]
    pub fn resp(&self) -> Option<u8> {
        self.get("resp")?.parse().ok()
    }

    /// The library it is built with, and that library's version, as far as it told (Redis 7.2).
    #[must_use]
    pub fn library(&self) -> Option<(&str, &str)> {
        self.get("lib-name").zip(self.get("lib-ver"))
    }

    /// The value of any field, such as `db`, `user`, `age` or `cmd`.
    #[must_use]
    pub fn get(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    /// All fields with their values, in the server's order.
    #[must_use]
    pub fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    /// Reads `id=3 addr=127.0.0.1:1 name= …`.
    fn read(line: &str) -> Self {
        let pairs = line.split_ascii_whitespace().filter_map(|word| word.split_once('='));
        Self { fields: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }
}

impl Reply for ClientInfo {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Lossy::decode(reader).map(|text| Self::read(&text))
    }
}

impl Deref for ClientList {
    type Target = [ClientInfo];

    fn deref(&self) -> &[ClientInfo] {
        &self.0
    }
}

impl IntoIterator for ClientList {
    type Item = ClientInfo;
    type IntoIter = std::vec::IntoIter<ClientInfo>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Reply for ClientList {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Lossy::decode(reader).map(|text| Self(text.lines().map(ClientInfo::read).collect()))
    }
}

/// What a connection has said about client-side caching.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TrackingInfo {
    /// `off`, or `on` and how: `bcast`, `optin`, `noloop`, …
    pub flags: Vec<String>,
    /// The connection that is told of keys that changed: 0 for this one itself, -1 for none.
    pub redirect: i64,
    /// With `bcast`, the beginnings of the keys that matter.
    pub prefixes: Vec<String>,
    /// What newer servers tell besides.
    pub other: BTreeMap<String, Value>,
}

impl Reply for TrackingInfo {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        let mut info = Self::default();
        info.other = fields_and_rest(reader, |name, reader| match name {
            "flags" => read(&mut info.flags, reader),
            "redirect" => read(&mut info.redirect, reader),
            "prefixes" => read(&mut info.prefixes, reader),
            _ => Ok(false),
        })?;
        Ok(info)
    }
}

/// What a client is to its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientKind {
    /// An ordinary client.
    Normal,
    /// The server this one replicates.
    Primary,
    /// A replica of this server.
    Replica,
    /// A subscriber.
    PubSub,
}

impl Arg for ClientKind {
    fn write(&self, args: &mut Args) {
        args.bulk(match self {
            Self::Normal => b"normal",
            Self::Primary => b"master",
            Self::Replica => b"replica",
            Self::PubSub => b"pubsub",
        });
    }
}

/// Picks clients: those to which all conditions apply.
///
/// For `client_list`, servers older than Valkey 8.1 know only [`id`](Self::id) and [`kind`](Self::kind), one
/// of the two.
///
/// ```
/// use redwire::commands::ClientFilter;
/// use redwire::prelude::*;
/// # let (batch, _) = redwire::Pipeline::record(|client| {
///
/// client.client_kill(ClientFilter::new().user("guest").skipme(true));
/// # });
/// ```
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    ids: Vec<u64>,
    kind: Option<ClientKind>,
    user: Option<String>,
    addr: Option<String>,
    laddr: Option<String>,
    max_age: Option<Duration>,
    skipme: Option<bool>,
}

impl ClientFilter {
    /// All clients.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The connection of this number. Said several times it means any of them, where the server allows it.
    #[must_use]
    pub fn id(mut self, id: u64) -> Self {
        self.ids.push(id);
        self
    }

    /// Clients of this kind.
    #[must_use]
    pub fn kind(mut self, kind: ClientKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Clients logged in as this user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The client at this address, `ip:port`.
    #[must_use]
    pub fn addr(mut self, addr: impl Into<String>) -> Self {
        self.addr = Some(addr.into());
        self
    }

    /// Clients connected to this address of the server, `ip:port`.
    #[must_use]
    pub fn laddr(mut self, addr: impl Into<String>) -> Self {
        self.laddr = Some(addr.into());
        self
    }

    /// Clients connected for at least so long, in whole seconds (Redis 7.4, Valkey 8.0).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Whether the connection that asks is left out; servers do so by default when clients are killed.
    #[must_use]
    pub fn skipme(mut self, skipme: bool) -> Self {
        self.skipme = Some(skipme);
        self
    }
}

impl Arg for ClientFilter {
    fn write(&self, args: &mut Args) {
        if !self.ids.is_empty() {
            self.ids.write_named("ID", args);
        }
        self.kind.write_named("TYPE", args);
        self.user.write_named("USER", args);
        self.addr.write_named("ADDR", args);
        self.laddr.write_named("LADDR", args);
        self.max_age.map(|age| age.as_secs()).write_named("MAXAGE", args);
        self.skipme.map(|skip| if skip { "yes" } else { "no" }).write_named("SKIPME", args);
    }
}
