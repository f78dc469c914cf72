//! The servers of one run, all of one program: which are wanted by the selected workloads, and which of
//! them a workload is measured on. It knows nothing of clients.

use std::path::Path;

use crate::cluster::Cluster;
use crate::guard::Guard;
use crate::server::{Server, version};
use crate::workload::{Cores, Kind, Security, Workload};
use crate::{Fallible, data};

/// Running servers.
pub struct Grounds {
    /// Its name and version.
    pub version: String,
    pinned: Server,
    free: Server,
    cluster: Option<Cluster>,
    guard: Option<Guard>,
}

/// Where a workload is measured.
#[derive(Clone, Copy)]
pub struct Place<'g> {
    /// `host:port`; of each node, with commas between, of a cluster.
    pub addr: &'g str,
    /// The certificate of the authority to trust, where TLS is spoken.
    pub ca: Option<&'g Path>,
}

impl Grounds {
    /// Starts what the workloads want; on core 0 unless no core is to be bound.
    ///
    /// # Errors
    /// Fails if a server does not start.
    pub fn start(program: Option<&str>, workloads: &[&Workload], bound: bool) -> Fallible<Self> {
        let core = bound.then_some(0);
        let wants = |what: fn(Kind) -> bool| workloads.iter().any(|workload| what(workload.kind));
        let pinned = Server::start(program, core)?;
        Ok(Self {
            version: version(&pinned.addr)?,
            pinned,
            free: Server::start(program, None)?,
            cluster: match wants(Kind::is_clustered) {
                true => Some(Cluster::start(program, core)?),
                false => None,
            },
            guard: match wants(|kind| matches!(kind, Kind::Connect(_))) {
                true => Some(Guard::start(program, core)?),
                false => None,
            },
        })
    }

    /// Where a workload is measured.
    ///
    /// # Errors
    /// Fails if what it wants was not started, or cannot be: TLS, by a program that was built without.
    pub fn place(&self, kind: Kind, cores: Cores) -> Fallible<Place<'_>> {
        let plain = |addr| Ok(Place { addr, ca: None });
        match kind {
            _ if kind.is_clustered() => plain(&self.cluster.as_ref().ok_or("no cluster was started")?.addr),
            Kind::Connect(security) => {
                let guard = self.guard.as_ref().ok_or("no server with a password was started")?;
                match (security, &guard.tls_addr) {
                    (Security::Plain, _) => plain(&guard.addr),
                    (_, Ok(addr)) => Ok(Place { addr, ca: Some(&guard.ca) }),
                    (_, Err(why)) => Err(format!("it does not start with TLS: {why}").into()),
                }
            }
            _ if cores == Cores::Free => plain(&self.free.addr),
            _ => plain(&self.pinned.addr),
        }
    }

    /// Loads the value of a workload that is too large to be there all the time.
    ///
    /// # Errors
    /// Fails if the server does not take it.
    pub fn prepare(kind: Kind, place: Place<'_>) -> Fallible<()> {
        match kind {
            Kind::Read { len, .. } if !data::LARGE.contains(&len) => data::load_large(place.addr, len),
            _ => Ok(()),
        }
    }

    /// Removes it, and what was written.
    ///
    /// # Errors
    /// Fails if the server is gone.
    pub fn tidy(kind: Kind, place: Place<'_>) -> Fallible<()> {
        match kind.value_len() {
            Some(len) if !data::LARGE.contains(&len) => data::drop_large(place.addr, len),
            _ => Ok(()),
        }
    }
}
