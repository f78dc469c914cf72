//! The clients, and what each has to offer to be measured: one file per client, the same names in each.
//! Nothing here knows how a call is timed.
//!
//! To add a client: write `clients/<name>.rs` with a type `Async` and, if it can block, a type `Blocking`,
//! implementing the traits below, and a type `Cluster` with [`SharedGet`], if it knows clusters; add it to
//! the `mod` lines and one line to [`ALL`].

mod fred;
mod limit;
mod muxfloor;
mod redis;
mod redis2;
mod redwire;
mod rustis;

use std::collections::HashMap;
use std::future::Future;
use std::ops::Deref;

use crate::Fallible;
use crate::child::{self, Job};
use crate::feed::Feed;
use crate::meter::Measured;
use crate::workload::{Kind, Mode};

/// What many tasks can share on tokio. A clone shares the connection; each task has its own clone.
pub trait SharedGet: Clone + Send + Sync + Sized + 'static {
    /// What the client's users decode a value into: `Vec<u8>`, or its equal where that has no
    /// fast way.
    type Bytes: Deref<Target = [u8]> + Send;

    /// Connects to `host:port`, or to a cluster of these nodes, `host:port,host:port,…`, with Nagle's
    /// algorithm off.
    fn connect(addr: &str) -> impl Future<Output = Fallible<Self>> + Send;
    /// GET.
    fn get(&mut self, key: &str) -> impl Future<Output = Fallible<Self::Bytes>> + Send;
}

/// A whole client on tokio.
pub trait AsyncClient: SharedGet {
    /// What a value to be written is held in before the call.
    type Payload: From<Vec<u8>> + Send + Sync;

    /// SET.
    fn set(&mut self, key: &str, value: &Self::Payload) -> impl Future<Output = Fallible<()>> + Send;
    /// A pipeline of GETs, built and executed.
    fn pipeline(&mut self, keys: &[String]) -> impl Future<Output = Fallible<Vec<Self::Bytes>>> + Send;
    /// LRANGE from end to end.
    fn lrange(&mut self, key: &str) -> impl Future<Output = Fallible<Vec<Self::Bytes>>> + Send;
    /// HGETALL.
    fn hgetall(&mut self, key: &str) -> impl Future<Output = Fallible<HashMap<String, Self::Bytes>>> + Send;
    /// Subscribes, on a connection of its own, to the channel of `feed`, has it publish, and lets it hear
    /// each payload until it says that it is over.
    fn listen(addr: &str, feed: &mut Feed) -> impl Future<Output = Fallible<()>> + Send;
}

/// A client that waits on the calling thread. Names as in the traits above.
pub trait BlockingClient: Sized {
    /// As in [`SharedGet`].
    type Bytes: Deref<Target = [u8]>;
    /// As in [`AsyncClient`].
    type Payload: From<Vec<u8>>;

    /// Connects to `host:port`, with Nagle's algorithm off.
    fn connect(addr: &str) -> Fallible<Self>;
    /// GET.
    fn get(&mut self, key: &str) -> Fallible<Self::Bytes>;
    /// SET.
    fn set(&mut self, key: &str, value: &Self::Payload) -> Fallible<()>;
    /// A pipeline of GETs, built and executed.
    fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Self::Bytes>>;
    /// LRANGE from end to end.
    fn lrange(&mut self, key: &str) -> Fallible<Vec<Self::Bytes>>;
    /// HGETALL.
    fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, Self::Bytes>>;
    /// As in [`AsyncClient`].
    fn listen(addr: &str, feed: &mut Feed) -> Fallible<()>;
}

/// What a client is measured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// No client: the byte-counting loop.
    Limit,
    /// No client: the least multiplexer. It has no more than GETs by tasks, from one server or a cluster.
    MuxFloor,
    /// Another client.
    Peer,
    /// The client all this is for.
    Redwire,
}

/// Measures a job in this process.
type Runner = fn(&Job) -> Fallible<Measured>;

/// An entry of the table of clients.
pub struct Client {
    /// As typed on the command line and printed.
    pub name: &'static str,
    /// What it is measured for.
    pub role: Role,
    blocking: Option<Runner>,
    on_tokio: Option<Runner>,
    on_cluster: Option<Runner>,
}

impl Client {
    /// How to measure it, if it has this workload in this mode.
    pub fn runner(&self, kind: Kind, mode: Mode) -> Option<Runner> {
        if !kind.modes().contains(&mode) {
            return None;
        }
        match (kind, mode) {
            (Kind::Cluster { .. }, _) => self.on_cluster,
            (Kind::Tasks { .. }, _) => self.on_tokio,
            _ if self.role == Role::MuxFloor => None,
            (_, Mode::Blocking) => self.blocking,
            (_, Mode::Async) => self.on_tokio,
        }
    }
}

/// The client of this name.
pub fn find(name: &str) -> Option<&'static Client> {
    ALL.iter().find(|client| client.name == name)
}

const fn client(
    name: &'static str,
    role: Role,
    blocking: Option<Runner>,
    on_tokio: Option<Runner>,
    on_cluster: Option<Runner>,
) -> Client {
    Client { name, role, blocking, on_tokio, on_cluster }
}

/// All clients, in the order of the report.
pub const ALL: &[Client] = &[
    client(
        "limit",
        Role::Limit,
        Some(limit::blocking),
        Some(limit::on_tokio),
        Some(limit::cluster::on_tokio),
    ),
    client(
        "muxfloor",
        Role::MuxFloor,
        None,
        Some(muxfloor::on_tokio),
        Some(child::on_cluster::<muxfloor::Cluster>),
    ),
    client(
        "redwire",
        Role::Redwire,
        Some(child::blocking::<redwire::Blocking>),
        Some(child::on_tokio::<redwire::Async>),
        Some(child::on_cluster::<redwire::Cluster>),
    ),
    client(
        "redis",
        Role::Peer,
        Some(child::blocking::<redis::Blocking>),
        Some(child::on_tokio::<redis::Async>),
        Some(child::on_cluster::<redis::Cluster>),
    ),
    client(
        "redis2",
        Role::Peer,
        Some(child::blocking::<redis2::Blocking>),
        Some(child::on_tokio::<redis2::Async>),
        Some(child::on_cluster::<redis2::Cluster>),
    ),
    client(
        "fred",
        Role::Peer,
        None,
        Some(child::on_tokio::<fred::Async>),
        Some(child::on_cluster::<fred::Cluster>),
    ),
    client(
        "rustis",
        Role::Peer,
        None,
        Some(child::on_tokio::<rustis::Async>),
        Some(child::on_cluster::<rustis::Cluster>),
    ),
];
