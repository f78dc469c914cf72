//! What a server tells of itself with `INFO`, field by field.
//!
//! Promises that a field that is missing, as old servers and hosted ones have it, is no failure.

use std::collections::BTreeMap;
use std::str::FromStr;

use redwire::{Result, cmd};

use crate::session::Session;

/// The fields of `INFO`, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Info(BTreeMap<String, String>);

/// Another server that this one names: a replica of it, or its master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `online`, `up`, or what keeps it from that.
    pub(crate) state: String,
    pub(crate) offset: Option<u64>,
    /// Seconds since it was last heard of.
    pub(crate) lag: Option<u64>,
}

impl Info {
    pub(crate) async fn of(session: &mut Session) -> Result<Self> {
        let text = session.call(cmd("INFO")).await?;
        Ok(Self::parse(text.as_str().unwrap_or_default()))
    }

    pub(crate) fn parse(text: &str) -> Self {
        let fields = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.trim_end().split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// Whether the field is there and says so.
    pub(crate) fn is(&self, name: &str, value: &str) -> bool {
        self.text(name) == Some(value)
    }

    /// Whether the server is of a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.is("cluster_enabled", "1") || self.is("redis_mode", "cluster")
    }

    /// `Redis 7.0.15`, `Valkey 8.1.3`.
    pub(crate) fn server(&self) -> String {
        let redis = self.text("redis_version").unwrap_or("of an unknown version");
        match self.text("valkey_version") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {redis}"),
        }
    }

    pub(crate) fn role(&self) -> &str {
        match self.text("role") {
            Some("slave") => "replica",
            Some(role) => role,
            None => "unknown",
        }
    }

    /// How far the data of this server goes, counted in bytes of the replication stream.
    pub(crate) fn offset(&self) -> Option<u64> {
        self.number("slave_repl_offset")
            .filter(|_| self.role() == "replica")
            .or_else(|| self.number("master_repl_offset"))
    }

    /// The master of a replica.
    pub(crate) fn master(&self) -> Option<Peer> {
        Some(Peer {
            host: self.text("master_host")?.to_owned(),
            port: self.number("master_port")?,
            state: self.text("master_link_status").unwrap_or("unknown").to_owned(),
            offset: None,
            lag: self.number("master_last_io_seconds_ago"),
        })
    }

    /// The replicas of a master, in the order in which it numbers them.
    pub(crate) fn replicas(&self) -> Vec<Peer> {
        let count: usize = self.number("connected_slaves").unwrap_or(0);
        (0..count).filter_map(|number| replica(self.text(&format!("slave{number}"))?)).collect()
    }
}

/// Reads `ip=10.0.0.2,port=6379,state=online,offset=14,lag=0`.
fn replica(line: &str) -> Option<Peer> {
    let fields: BTreeMap<&str, &str> = line.split(',').filter_map(|field| field.split_once('=')).collect();
    let number = |name| fields.get(name).and_then(|value| value.parse().ok());
    Some(Peer {
        host: (*fields.get("ip")?).to_owned(),
        port: fields.get("port")?.parse().ok()?,
        state: fields.get("state").map_or("unknown", |state| *state).to_owned(),
        offset: number("offset"),
        lag: number("lag"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_servers_write() {
        let info = Info::parse(
            "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.3\r\n\r\n# Replication\r\nrole:master\r\n\
             connected_slaves:2\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=1\r\n\
             slave1:broken\r\n\
             master_repl_offset:15\r\n",
        );
        assert_eq!(info.server(), "Valkey 8.1.3");
        assert_eq!((info.role(), info.offset()), ("master", Some(15)));
        let replica = Peer {
            host: "10.0.0.2".into(),
            port: 6379,
            state: "online".into(),
            offset: Some(14),
            lag: Some(1),
        };
        assert_eq!(info.replicas(), [replica]);
        assert_eq!((info.master(), info.number::<u64>("role")), (None, None));
    }

    #[test]
    fn a_replica_names_its_master() {
        let info = Info::parse(
            "role:slave\nmaster_host:db\nmaster_port:6379\nmaster_link_status:down\n\
             slave_repl_offset:7\nmaster_repl_offset:9",
        );
        let master = info.master().unwrap();
        assert_eq!((master.host.as_str(), master.port, master.state.as_str()), ("db", 6379, "down"));
        assert_eq!((info.role(), info.offset()), ("replica", Some(7)));
    }
}
