//! What a Sentinel set is started with, and its start.
//!
//! Afterwards it is of no concern.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::SentinelSet;
use crate::server::{free_port, quoted};
use crate::set::{all, wait_settled};
use crate::{Authority, Node, Server, ServerBuilder};

/// How often a start is tried, as another program may take a port that was free.
const TRIED: u32 = 5;

/// What a [`SentinelSet`] is started with. Made by [`SentinelSet::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct SentinelSetBuilder {
    data: ServerBuilder,
    sentinel: ServerBuilder,
    service: String,
    replicas: usize,
    sentinels: usize,
    proxied: bool,
    tls: bool,
    quick: bool,
    password: Option<String>,
    args: Vec<(String, String)>,
}

impl Default for SentinelSetBuilder {
    fn default() -> Self {
        // Replicas ask for all data as soon as they are there, and get it at once.
        let data = Server::builder().arg("repl-diskless-sync-delay", "0");
        Self {
            data,
            sentinel: Server::builder().sentinel(),
            service: "mymaster".to_owned(),
            replicas: 2,
            sentinels: 3,
            proxied: false,
            tls: false,
            quick: false,
            password: None,
            args: Vec::new(),
        }
    }
}

impl SentinelSetBuilder {
    /// The program to run. Default: what [`find_server`](crate::find_server) finds.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.data = self.data.binary(&path);
        self.sentinel = self.sentinel.binary(path);
        self
    }

    /// The name for the master. Default: `mymaster`.
    pub fn service(mut self, name: &str) -> Self {
        self.service = name.to_owned();
        self
    }

    /// How many replicas. Default: 2.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// How many sentinels, more than half of which have to agree on anything. Default: 3.
    pub fn sentinels(mut self, count: usize) -> Self {
        self.sentinels = count;
        self
    }

    /// A password for the default user of the data servers; replicas and sentinels know it. Default: none.
    pub fn password(mut self, password: &str) -> Self {
        self.data = self.data.password(password).arg("masterauth", &quoted(password));
        self.password = Some(password.to_owned());
        self
    }

    /// A user of the data servers, as [`ServerBuilder::acl_line`] has it.
    pub fn acl_line(mut self, line: &str) -> Self {
        self.data = self.data.acl_line(line);
        self
    }

    /// A password for the sentinels, which they use among each other too. Default: none.
    pub fn sentinel_password(mut self, password: &str) -> Self {
        let auth = format!("sentinel-pass {}", quoted(password));
        self.sentinel = self.sentinel.password(password).arg("sentinel", &auth);
        self
    }

    /// A user of the sentinels, as [`ServerBuilder::acl_line`] has it.
    pub fn sentinel_acl_line(mut self, line: &str) -> Self {
        self.sentinel = self.sentinel.acl_line(line);
        self
    }

    /// Puts a [`Proxy`](crate::Proxy) before each data server; sentinels and replicas come through it as
    /// clients do, so that faults cut a server off from all of them. Default: none.
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// All speak TLS and nothing else, as [`ServerBuilder::tls`]: only with binaries of which
    /// [`has_tls`](crate::has_tls) is true. Default: none does.
    ///
    /// # Panics
    ///
    /// As [`Authority::server`].
    pub fn tls(mut self, authority: &Authority) -> Self {
        self.data = self.data.tls(authority);
        self.sentinel = self.sentinel.tls(authority);
        self.tls = true;
        self
    }

    /// A directive of the data servers, as [`ServerBuilder::arg`].
    pub fn arg(mut self, name: &str, value: &str) -> Self {
        self.data = self.data.arg(name, value);
        self
    }

    /// A directive of the sentinels that concerns the master: `.sentinel_arg("failover-timeout", "500")`. It
    /// overrides what the kit itself sets: `down-after-milliseconds 1000`, `failover-timeout 3000` (a
    /// failover that fails is tried again after twice that), `parallel-syncs 1`.
    pub fn sentinel_arg(mut self, name: &str, value: &str) -> Self {
        self.args.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the sentinels tell each other of news five times a second, not every two seconds, and look after
    /// the data servers twice a second, not every ten: a former master is sent after the new one within two
    /// seconds. What one is told so it forgets with its restart. Nothing for measurements, and without effect
    /// before Redis 7.0. Default: they take their time.
    pub fn quick(mut self) -> Self {
        self.quick = true;
        self
    }

    /// Starts the set; returns when all agree.
    ///
    /// # Panics
    ///
    /// As [`SentinelSet::start`].
    #[track_caller]
    pub fn start(&self) -> SentinelSet {
        let mut tried = 1;
        let set = loop {
            match self.launch() {
                Err(reason) if tried < TRIED && reason.contains("Address already in use") => tried += 1,
                result => break result.unwrap_or_else(|reason| panic!("{reason}")),
            }
        };
        set.wait_settled();
        set
    }

    fn launch(&self) -> Result<SentinelSet, String> {
        let nodes = all((0..=self.replicas).map(|_| || self.node()))?;
        let (master, replicas) = nodes.split_first().expect("there is a master");
        for replica in replicas {
            let (host, port) = master.announced();
            replica.command(&["REPLICAOF", &host, &port.to_string()])?;
            // It is to be a replica after a restart too.
            replica.command(&["CONFIG", "REWRITE"])?;
        }
        // What the sentinels ask first they believe for ten seconds.
        wait_settled(|| {
            replicas.iter().try_for_each(|replica| {
                let said = replica.command(&["INFO", "replication"])?;
                if said.contains("master_link_status:up") { Ok(()) } else { Err(said) }
            })
        });
        let ports = (0..self.sentinels).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let addresses: Vec<_> = nodes.iter().map(Node::address).collect();
        let builders: Vec<_> =
            (0..ports.len()).map(|index| self.sentinel(index, &ports, &addresses)).collect();
        let sentinels = all(builders.iter().map(|builder| || builder.start_or_err()))?;
        for sentinel in sentinels.iter().filter(|sentinel| self.quick && sentinel.version() >= (7, 0, 0)) {
            sentinel.command(&["SENTINEL", "DEBUG", "PUBLISH-PERIOD", "200", "INFO-PERIOD", "500"])?;
        }
        Ok(SentinelSet { sentinels, nodes, service: self.service.clone(), tls: self.tls })
    }

    fn node(&self) -> Result<Node, String> {
        Node::start(&self.data, self.proxied, |builder, port| {
            builder.arg("replica-announce-ip", "127.0.0.1").arg("replica-announce-port", &port.to_string())
        })
    }

    fn sentinel(&self, own: usize, ports: &[u16], nodes: &[SocketAddr]) -> ServerBuilder {
        let (service, quorum) = (&self.service, ports.len() / 2 + 1);
        let host_port = |address: &SocketAddr| format!("{} {}", address.ip(), address.port());
        let mut lines = vec![
            format!("myid {}", id(ports[own])),
            format!("monitor {service} {} {quorum}", host_port(&nodes[0])),
            format!("down-after-milliseconds {service} 1000"),
            format!("failover-timeout {service} 3000"),
            format!("parallel-syncs {service} 1"),
        ];
        lines.extend(self.password.iter().map(|word| format!("auth-pass {service} {}", quoted(word))));
        lines.extend(self.args.iter().map(|(name, value)| format!("{name} {service} {value}")));
        lines.extend(nodes[1..].iter().map(|node| format!("known-replica {service} {}", host_port(node))));
        let others = ports.iter().filter(|&&port| port != ports[own]);
        lines.extend(others.map(|&port| format!("known-sentinel {service} 127.0.0.1 {port} {}", id(port))));
        let builder = self.sentinel.clone().port(ports[own]);
        lines.iter().fold(builder, |builder, line| builder.arg("sentinel", line))
    }
}

/// The name of the sentinel at this port, as long as such names are.
fn id(port: u16) -> String {
    format!("{port:040x}")
}
