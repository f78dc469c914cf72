//! What a client has to offer to be measured: one trait for each group of workloads, the same names in each.
//! Nothing here knows how a call is timed.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Deref;

use bytes::Bytes;

use crate::Fallible;
use crate::feed::Feed;

pub use super::door::Door;

/// What many tasks can share on tokio, be it a client, that of a cluster, or a pool of which each call leases
/// a connection. A clone shares all; each task has its own clone.
pub trait SharedGet: Clone + Send + Sync + Sized + 'static {
    /// What the client's users decode a value into.
    type Bytes: Deref<Target = [u8]> + Send;

    /// Connects to `host:port`, or to a cluster of these nodes, `host:port,host:port,…`, with Nagle's
    /// algorithm off.
    fn connect(addr: &str) -> impl Future<Output = Fallible<Self>> + Send;
    /// GET.
    fn get(&mut self, key: &str) -> impl Future<Output = Fallible<Self::Bytes>> + Send;
}

/// What can pipeline, too.
pub trait AsyncPipe: SharedGet {
    /// A pipeline of GETs, built and executed.
    fn pipeline(&mut self, keys: &[String]) -> impl Future<Output = Fallible<Vec<Self::Bytes>>> + Send;
}

/// A whole client on tokio.
pub trait AsyncClient: AsyncPipe {
    /// A value of its own: `Vec<u8>`, or what is that for the client.
    type Owned: Deref<Target = [u8]> + Send;
    /// A value that may share memory: `Bytes`, or what comes nearest.
    type Shared: Deref<Target = [u8]> + Send;

    /// GET of a large value.
    fn get_owned(&mut self, key: &str) -> impl Future<Output = Fallible<Self::Owned>> + Send;
    /// GET of a large value.
    fn get_shared(&mut self, key: &str) -> impl Future<Output = Fallible<Self::Shared>> + Send;
    /// SET.
    fn set(&mut self, key: &str, value: &[u8]) -> impl Future<Output = Fallible<()>> + Send;
    /// SET, sharing the value if the client can.
    fn set_shared(&mut self, key: &str, value: &Bytes) -> impl Future<Output = Fallible<()>> + Send;
    /// LRANGE from end to end.
    fn lrange_owned(&mut self, key: &str) -> impl Future<Output = Fallible<Vec<Self::Owned>>> + Send;
    /// LRANGE from end to end.
    fn lrange_shared(&mut self, key: &str) -> impl Future<Output = Fallible<Vec<Self::Shared>>> + Send;
    /// HGETALL.
    fn hgetall(&mut self, key: &str) -> impl Future<Output = Fallible<HashMap<String, Self::Bytes>>> + Send;
    /// GETs between MULTI and EXEC.
    fn multi(&mut self, keys: &[String]) -> impl Future<Output = Fallible<Vec<Self::Bytes>>> + Send;
    /// Subscribes, on a connection of its own, to the channel of `feed`, has it publish, and lets it hear
    /// each payload until it says that it is over.
    fn listen(addr: &str, feed: &mut Feed) -> impl Future<Output = Fallible<()>> + Send;
}

/// A client that waits on the calling thread. Names as in the traits above.
pub trait BlockingPipe: Sized {
    /// As in [`SharedGet`].
    type Bytes: Deref<Target = [u8]>;

    /// As in [`SharedGet`].
    fn connect(addr: &str) -> Fallible<Self>;
    /// GET.
    fn get(&mut self, key: &str) -> Fallible<Self::Bytes>;
    /// A pipeline of GETs, built and executed.
    fn pipeline(&mut self, keys: &[String]) -> Fallible<Vec<Self::Bytes>>;
}

/// A whole client that waits on the calling thread. Names as in [`AsyncClient`].
pub trait BlockingClient: BlockingPipe {
    /// As in [`AsyncClient`].
    type Owned: Deref<Target = [u8]>;
    /// As in [`AsyncClient`].
    type Shared: Deref<Target = [u8]>;

    /// GET of a large value.
    fn get_owned(&mut self, key: &str) -> Fallible<Self::Owned>;
    /// GET of a large value.
    fn get_shared(&mut self, key: &str) -> Fallible<Self::Shared>;
    /// SET.
    fn set(&mut self, key: &str, value: &[u8]) -> Fallible<()>;
    /// SET, sharing the value if the client can.
    fn set_shared(&mut self, key: &str, value: &Bytes) -> Fallible<()>;
    /// LRANGE from end to end.
    fn lrange_owned(&mut self, key: &str) -> Fallible<Vec<Self::Owned>>;
    /// LRANGE from end to end.
    fn lrange_shared(&mut self, key: &str) -> Fallible<Vec<Self::Shared>>;
    /// HGETALL.
    fn hgetall(&mut self, key: &str) -> Fallible<HashMap<String, Self::Bytes>>;
    /// GETs between MULTI and EXEC.
    fn multi(&mut self, keys: &[String]) -> Fallible<Vec<Self::Bytes>>;
    /// As in [`AsyncClient`].
    fn listen(addr: &str, feed: &mut Feed) -> Fallible<()>;
}

/// What many threads can share. Each has a clone of its own.
pub trait BlockingShared: Clone + Send + Sized + 'static {
    /// As in [`SharedGet`].
    type Bytes: Deref<Target = [u8]>;

    /// As in [`SharedGet`].
    fn connect(addr: &str) -> Fallible<Self>;
    /// GET.
    fn get(&mut self, key: &str) -> Fallible<Self::Bytes>;
}

/// Optimistic transactions on tokio.
pub trait Watch: Sized + Send + 'static {
    /// As in [`SharedGet`].
    type Bytes: Deref<Target = [u8]> + Send;

    /// As in [`SharedGet`].
    fn connect(addr: &str) -> impl Future<Output = Fallible<Self>> + Send;
    /// WATCHes the key, GETs it, SETs it in a transaction, and gives what was read.
    fn replace(&mut self, key: &str, value: &[u8]) -> impl Future<Output = Fallible<Self::Bytes>> + Send;
}

/// Optimistic transactions that wait on the calling thread.
pub trait BlockingWatch: Sized {
    /// As in [`SharedGet`].
    type Bytes: Deref<Target = [u8]>;

    /// As in [`SharedGet`].
    fn connect(addr: &str) -> Fallible<Self>;
    /// As in [`Watch`].
    fn replace(&mut self, key: &str, value: &[u8]) -> Fallible<Self::Bytes>;
}

/// Connections for one PING, on tokio.
pub trait Visit: Sized + Send + Sync + 'static {
    /// Does what is done once, however many connections are made later. It connects to nothing.
    fn prepare(door: &Door) -> Fallible<Self>;
    /// Connects, authenticates, PINGs, closes.
    fn visit(&self) -> impl Future<Output = Fallible<()>> + Send;
}

/// Connections for one PING that wait on the calling thread.
pub trait BlockingVisit: Sized {
    /// As in [`Visit`].
    fn prepare(door: &Door) -> Fallible<Self>;
    /// As in [`Visit`].
    fn visit(&self) -> Fallible<()>;
}

/// A client-side cache on tokio.
pub trait Cached: Sized + Send + 'static {
    /// As in [`SharedGet`].
    type Bytes: Deref<Target = [u8]> + Send;

    /// Connects, and has room for so many ordinary keys, or for as many as by default.
    fn connect(addr: &str, room: Option<usize>) -> impl Future<Output = Fallible<Self>> + Send;
    /// GET through the cache.
    fn get(&mut self, key: &str) -> impl Future<Output = Fallible<Self::Bytes>> + Send;
}

/// A client-side cache that waits on the calling thread.
pub trait BlockingCached: Sized {
    /// As in [`SharedGet`].
    type Bytes: Deref<Target = [u8]>;

    /// As in [`Cached`].
    fn connect(addr: &str, room: Option<usize>) -> Fallible<Self>;
    /// GET through the cache.
    fn get(&mut self, key: &str) -> Fallible<Self::Bytes>;
}
