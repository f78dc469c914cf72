//! Addresses as the cluster tells them, turned into those under which its nodes can be reached.
//!
//! This file must not know where such an address was told.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::config::HostPort;

/// Turns the address that a node announces into the one under which this client reaches it: behind NAT, a
/// proxy, or in a container.
///
/// It is applied wherever a cluster tells an address, in the map and in redirections, and wherever sentinels
/// do. Where a node announces no host, it is given the host that was asked, with the port that was told.
/// Those that the configuration names are taken as they are. The default changes nothing. Clones share it;
/// two are equal if they share the same one.
///
/// ```
/// # use redwire_core as redwire;
/// use redwire::cluster::Remap;
/// use redwire::config::HostPort;
///
/// let remap = Remap::new(|told: &HostPort| HostPort::new("localhost", told.port + 10_000));
/// assert_eq!(remap.apply(HostPort::new("172.18.0.2", 6379)).to_string(), "localhost:16379");
/// ```
#[derive(Clone, Default)]
pub struct Remap(Option<Arc<RemapFn>>);

type RemapFn = dyn Fn(&HostPort) -> HostPort + Send + Sync;

impl Remap {
    /// By a function, which must be quick: it is called while commands wait.
    #[must_use]
    pub fn new(function: impl Fn(&HostPort) -> HostPort + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(function)))
    }

    /// Where `told` can be reached.
    #[must_use]
    pub fn apply(&self, told: HostPort) -> HostPort {
        match &self.0 {
            Some(function) => function(&told),
            None => told,
        }
    }
}

impl From<HashMap<HostPort, HostPort>> for Remap {
    /// By a table; what does not stand in it stays as it is.
    fn from(table: HashMap<HostPort, HostPort>) -> Self {
        Self::new(move |told| table.get(told).unwrap_or(told).clone())
    }
}

impl PartialEq for Remap {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl Eq for Remap {}

impl fmt::Debug for Remap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Remap(..)" } else { "Remap(none)" })
    }
}
