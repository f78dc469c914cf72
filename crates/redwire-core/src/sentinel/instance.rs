//! A server as a sentinel describes it: a master, a replica, or another sentinel.

use std::collections::BTreeMap;

use crate::config::HostPort;
use crate::error::{Error, ErrorKind, Outcome, Result};
use crate::reply::{Reader, Reply};

/// What a sentinel tells about one server. The fields that decide have a method each; all others are there by
/// their name.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::Reader;
/// use redwire::sentinel::Instance;
///
/// let reply = b"*8\r\n$2\r\nip\r\n$8\r\n10.0.0.1\r\n$4\r\nport\r\n$4\r\n6379\r\n\
///               $5\r\nflags\r\n$13\r\nmaster,s_down\r\n$6\r\nquorum\r\n$1\r\n2\r\n";
/// let master: Instance = Reader::read(reply)?;
/// assert_eq!(master.address()?.to_string(), "10.0.0.1:6379");
/// assert!(master.is_down());
/// assert_eq!(master.field("quorum"), Some("2"));
/// # Ok::<(), redwire_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    fields: BTreeMap<String, String>,
}

impl Instance {
    /// A server of which nothing is known but where it is.
    pub(super) fn at(address: &HostPort) -> Self {
        let HostPort { host, port } = address;
        [("ip".to_owned(), host.clone()), ("port".to_owned(), port.to_string())].into_iter().collect()
    }

    /// The same master, watched by so many other sentinels unless it says by how many.
    pub(super) fn with_other_sentinels(mut self, count: usize) -> Self {
        self.fields.entry(OTHER_SENTINELS.to_owned()).or_insert_with(|| count.to_string());
        self
    }

    /// A field by the name the sentinel gives it, such as `last-ok-ping-reply`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// All fields, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Its name: of a master, the service's.
    #[must_use]
    pub fn name(&self) -> &str {
        self.field("name").unwrap_or_default()
    }

    /// Where it is, as it announces itself.
    ///
    /// # Errors
    /// [`ErrorKind::Decode`]: the sentinel told no address.
    pub fn address(&self) -> Result<HostPort> {
        let port = self.field("port").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
        match (self.field("ip").filter(|host| !host.is_empty()), port) {
            (Some(host), Some(port)) => Ok(HostPort::new(host, port)),
            (host, _) => {
                let message = format!("expected `ip` and `port`, got {host:?} and {:?}", self.field("port"));
                Err(Error::new(ErrorKind::Decode, Outcome::Unreadable, message))
            }
        }
    }

    /// What it is and how it is: words such as `master`, `slave`, `s_down`, `o_down`, with commas between.
    #[must_use]
    pub fn flags(&self) -> &str {
        self.field("flags").unwrap_or_default()
    }

    /// Whether the sentinel thinks that it is down.
    #[doc(alias = "filter_slaves")]
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.flags().split(',').any(|flag| matches!(flag, "s_down" | "o_down"))
    }

    /// Whether the sentinel has a connection to it.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.flags().split(',').all(|flag| flag != "disconnected")
    }

    /// Whether a replica is in touch with its master.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.field("master-link-status").is_none_or(|status| status == "ok")
    }

    /// How many other sentinels watch a master.
    #[must_use]
    pub fn other_sentinels(&self) -> u32 {
        self.number(OTHER_SENTINELS)
    }

    /// How many sentinels must agree that a master is down.
    #[must_use]
    pub fn quorum(&self) -> u32 {
        self.number("quorum")
    }

    /// The number of the configuration of a master: it grows with each failover.
    #[must_use]
    pub fn config_epoch(&self) -> u64 {
        self.number("config-epoch")
    }

    fn number<N: std::str::FromStr + Default>(&self, name: &str) -> N {
        self.field(name).and_then(|value| value.parse().ok()).unwrap_or_default()
    }
}

impl FromIterator<(String, String)> for Instance {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(fields: I) -> Self {
        Self { fields: fields.into_iter().collect() }
    }
}

impl Reply for Instance {
    fn decode(reader: &mut Reader<'_>) -> Result<Self> {
        Reply::decode(reader).map(|fields| Self { fields })
    }
}

const OTHER_SENTINELS: &str = "num-other-sentinels";
