//! A data server that others are told of: of a Sentinel set or of a cluster, perhaps behind a proxy of its
//! own.
//!
//! It says where clients are sent, which need not be where the server listens. It doesn't know the others.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;

use crate::server::ServerBuilder;
use crate::{Proxy, Server};

/// A data server of a [`SentinelSet`](crate::SentinelSet) or a [`ClusterSet`](crate::ClusterSet): a
/// [`Server`], and the address by which the others announce it.
#[derive(Debug)]
pub struct Node {
    server: Server,
    proxy: Option<Proxy>,
    host: Option<String>,
}

impl Node {
    /// Starts it. `lines` gives the directives that announce it at this port, if it is behind a proxy.
    pub(crate) fn start(
        builder: &ServerBuilder,
        proxied: bool,
        lines: impl FnOnce(ServerBuilder, u16) -> ServerBuilder,
    ) -> Result<Self, String> {
        // The proxy has to be there first, since the configuration names its port; it is not known until
        // then.
        let proxy = proxied.then(|| Proxy::start((Ipv4Addr::LOCALHOST, 0).into()));
        let server = match &proxy {
            Some(proxy) => lines(builder.clone(), proxy.addr().port()).start_or_err()?,
            None => builder.start_or_err()?,
        };
        if let Some(proxy) = &proxy {
            proxy.retarget(server.addr());
        }
        Ok(Self { server, proxy, host: None })
    }

    /// The same, announced by a host name.
    pub(crate) fn with_host(self, host: Option<String>) -> Self {
        Self { host, ..self }
    }

    /// Where clients reach it: its proxy, or itself.
    pub fn address(&self) -> SocketAddr {
        self.proxy.as_ref().map_or_else(|| self.server.addr(), Proxy::addr)
    }

    /// What clients are told of it: `127.0.0.1` or its host name, and the port of [`address`](Self::address).
    pub fn announced(&self) -> (String, u16) {
        let address = self.address();
        (self.host.clone().unwrap_or_else(|| address.ip().to_string()), address.port())
    }

    /// The proxy before it. The other servers that follow or ask it come through it too.
    ///
    /// # Panics
    ///
    /// If there is none: see the builder's `proxied`.
    #[track_caller]
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("the set has to be built with `proxied`")
    }
}

impl Deref for Node {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
