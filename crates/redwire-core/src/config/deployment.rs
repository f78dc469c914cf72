//! Where the servers are: one, a Sentinel set, or a Cluster. Promises plain data that can be compared and
//! printed. Must not know how addresses are resolved or reached.

use std::{fmt, path::PathBuf};

/// How the servers are arranged, and where to start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deployment {
    /// One server.
    Single(Endpoint),
    /// A set of Sentinels that know the master of a service.
    Sentinel {
        /// The Sentinels to ask, in this order; at least one.
        nodes: Vec<HostPort>,
        /// The name the Sentinels give to the master.
        service: String,
    },
    /// A Cluster.
    #[doc(alias = "startup_nodes")]
    Cluster {
        /// The nodes to ask for the map, at least one; which of them is asked first is left to chance.
        nodes: Vec<HostPort>,
    },
}

/// The address of one server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A host and port, reached by TCP.
    Tcp(HostPort),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// A host name or IP address with a port. An IPv6 address is kept without brackets, with `%zone` where it has
/// one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// A name to resolve, or an IP address.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
}

impl HostPort {
    /// A host and port; checked when a configuration is built.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl<H: Into<String>> From<(H, u16)> for HostPort {
    fn from((host, port): (H, u16)) -> Self {
        Self::new(host, port)
    }
}

/// `host:port`, with brackets around an IPv6 address.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// `host:port`, or the path of the Unix socket.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
