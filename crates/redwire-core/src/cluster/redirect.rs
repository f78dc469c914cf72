//! What a node says about who serves a slot instead: `MOVED` and `ASK`.
//!
//! This file must not know what is done about it.

use super::slots_reply::address;
use super::{Remap, SLOTS};
use crate::config::HostPort;
use crate::error::{ClusterFault, Error, ErrorKind};

/// A redirection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// For good, or for one command.
    pub kind: RedirectKind,
    /// The slot.
    pub slot: u16,
    /// The node that serves it, after the remap; `None` where the node does not know how to reach it (`?`).
    pub to: Option<HostPort>,
}

/// What a redirection is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RedirectKind {
    /// `MOVED`: all commands of the slot go there from now on.
    Moved,
    /// `ASK`: this command goes there, behind `ASKING`; the slot is on its way.
    Ask,
}

impl Redirect {
    /// The redirection that `error` is, as the answer of the node at `asked`.
    ///
    /// ```
    /// # use redwire_core as redwire;
    /// use redwire::Error;
    /// use redwire_core::cluster::{Redirect, Remap};
    /// use redwire::config::HostPort;
    ///
    /// let asked = HostPort::new("10.0.0.1", 7000);
    /// let error = Error::from_server(b"MOVED 3999 :7001");
    /// let redirect = Redirect::parse(&error, &asked, &Remap::default()).expect("a redirection");
    /// assert_eq!(redirect.to, Some(HostPort::new("10.0.0.1", 7001)));
    /// ```
    #[must_use]
    pub fn parse(error: &Error, asked: &HostPort, remap: &Remap) -> Option<Self> {
        let kind = match error.kind() {
            ErrorKind::Cluster(ClusterFault::Moved) => RedirectKind::Moved,
            ErrorKind::Cluster(ClusterFault::Ask) => RedirectKind::Ask,
            _ => return None,
        };
        let mut words = error.server_line()?.split_ascii_whitespace().skip(1);
        let slot = words.next()?.parse().ok().filter(|slot| *slot < SLOTS)?;
        // The host may be an IPv6 address without brackets.
        let (host, port) = words.next()?.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        Some(Self { kind, slot, to: address(host, port, asked, remap) })
    }
}
