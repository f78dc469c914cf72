//! How users put streams of their own in place of the async driver's sockets: through a proxy, or to a peer
//! in memory.
//!
//! A connector is asked for every connection of a client, and only for the bytes: TLS, the handshake and all
//! that follows go on top as usual. This file must not know how streams are used; that is `stream/custom.rs`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use redwire_core::config::{Config, Endpoint};
use redwire_core::driver_value::{DriverValue, NonblockingDriver};
use redwire_core::{Error, Result};
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to a server, such as tokio's `TcpStream` or `DuplexStream`. Everything that can be read from
/// and written to is one.
///
/// Its peer is found dead as on any connection. It is dropped when the connection ends, without
/// `poll_shutdown`. A panic in it is a lost connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Stream for S {}

/// What [`Connect::connect`] returns: the stream, once there is one.
pub type Connecting<'c> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'c>>;

/// Makes the connections of a client, in place of the driver.
///
/// It is asked for each one: shared, pooled, for subscriptions, caches, monitors and health checks, to
/// sentinels and to nodes of a cluster. What is asked for is where the client wants to go, after a remapping
/// of what sentinels or nodes told: a name that was not looked up, or an address, with a port; or the path of
/// a Unix socket. What that means is for the connector to say.
///
/// The connect timeout and the deadline of the call cover it: when they pass, the future is dropped. It must
/// not block its thread. A panic is an attempt that failed.
///
/// # Examples
/// A tunnel that is there already:
/// ```
/// use redwire::config::{Config, Endpoint};
/// use redwire::connector::{Connect, Connecting, Connector, Stream};
/// use tokio::net::TcpStream;
///
/// struct Tunnel;
///
/// impl Connect for Tunnel {
///     fn connect<'c>(&'c self, _: &'c Endpoint) -> Connecting<'c> {
///         Box::pin(async {
///             let stream = TcpStream::connect("127.0.0.1:16379").await?;
///             Ok(Box::new(stream) as Box<dyn Stream>)
///         })
///     }
/// }
///
/// let config = Config::builder().host("db.internal").connector(Connector::new(Tunnel)).build()?;
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait Connect: Send + Sync {
    /// A stream to `endpoint`.
    ///
    /// # Errors
    /// Whatever it fails with becomes the source of a connection error of the kind that
    /// [`io::Error::kind`] says, with the address of the server. A [`redwire::Error`](Error) inside of it is
    /// told as it is.
    fn connect<'c>(&'c self, endpoint: &'c Endpoint) -> Connecting<'c>;
}

/// A shared [`Connect`], as a configuration takes it. Clones share it; two are equal if they share the same
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector(DriverValue<NonblockingDriver>);

impl Connector {
    /// Takes `connect` to make all connections.
    #[must_use]
    pub fn new(connect: impl Connect + 'static) -> Self {
        let connect: Arc<dyn Connect> = Arc::new(connect);
        Self(DriverValue::new(connect))
    }

    /// As [`new`](Self::new), of an async function.
    ///
    /// ```
    /// use redwire::config::Config;
    /// use redwire::connector::Connector;
    /// use tokio::net::TcpStream;
    ///
    /// let tunnel = Connector::from_fn(|_| TcpStream::connect("127.0.0.1:16379"));
    /// let config = Config::builder().host("db.internal").connector(tunnel).build()?;
    /// # Ok::<(), redwire::Error>(())
    /// ```
    #[must_use]
    pub fn from_fn<C, F, S>(connect: C) -> Self
    where
        C: Fn(Endpoint) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: Stream,
    {
        Self::new(FromFn(connect))
    }
}

impl From<Connector> for DriverValue<NonblockingDriver> {
    fn from(connector: Connector) -> Self {
        connector.0
    }
}

struct FromFn<C>(C);

impl<C, F, S> Connect for FromFn<C>
where
    C: Fn(Endpoint) -> F + Send + Sync,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: Stream,
{
    fn connect<'c>(&'c self, endpoint: &'c Endpoint) -> Connecting<'c> {
        let connecting = (self.0)(endpoint.clone());
        Box::pin(async { connecting.await.map(|stream| Box::new(stream) as Box<dyn Stream>) })
    }
}

/// What makes the connections, if that is not the driver.
///
/// # Errors
/// It is the blocking driver's: sockets in its place would go past a proxy.
pub(super) fn of(config: &Config) -> Result<Option<&Arc<dyn Connect>>> {
    DriverValue::choose(config.connector(), config.blocking_connector(), missing)
}

#[cold]
fn missing() -> Error {
    Error::usage("the async client needs a `connector` where there is a `blocking_connector`")
}
