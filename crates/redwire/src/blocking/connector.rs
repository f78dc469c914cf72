//! How users put streams of their own in place of the blocking driver's sockets: through a proxy, or to a
//! peer in memory.
//!
//! A connector is asked for every connection of a client, and only for the bytes: TLS, the handshake and all
//! that follows go on top as usual. This file must not know how streams are used; that is `stream/custom.rs`.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use redwire_core::config::{Config, Endpoint};
use redwire_core::driver_value::{BlockingDriver, DriverValue};
use redwire_core::{Error, Result};

use crate::shared::socket;
use crate::shared::sync::atomic::AtomicUsize;

/// A byte stream to a server, which several threads use at a time: one reads, another writes, and any may end
/// it. [`TcpStream`] and `UnixStream` are such streams.
///
/// A call waits no longer than its `limit`; `None` is as long as it takes. When that has passed it fails with
/// the kind [`TimedOut`](io::ErrorKind::TimedOut) or [`WouldBlock`](io::ErrorKind::WouldBlock), and the
/// stream is as before. The deadlines of calls rest on that: one that waits longer holds up its caller.
///
/// It is dropped when the connection ends; in a child that was forked its copy is, too, which must end
/// nothing for the parent. A panic in it is a lost connection.
pub trait Stream: Send + Sync {
    /// Reads some bytes into `buffer`. `Ok(0)`: the peer has closed.
    ///
    /// With a limit of zero it does not wait: so a connection is looked at before each call, whether its
    /// server has closed it meanwhile. A stream that cannot tell fails with `WouldBlock`. Then a call may be
    /// written to a connection which has ended, and what became of it is not known.
    ///
    /// # Errors
    /// The limit has passed; the connection is lost.
    fn read(&self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize>;

    /// Writes some of `bytes`, all the way to the peer as far as this stream knows: nothing flushes it
    /// later.
    ///
    /// # Errors
    /// The limit has passed, and nothing was written; the connection is lost.
    fn write(&self, bytes: &[u8], limit: Option<Duration>) -> io::Result<usize>;

    /// Ends both directions: threads that read or write come back at once, and read `Ok(0)` from now on.
    fn shutdown(&self);
}

/// Makes the connections of a client, in place of the driver.
///
/// It is asked for each one: of pools and callers by hand, for subscriptions, caches, monitors and health
/// checks, to sentinels and to nodes of a cluster. What is asked for is where the client wants to go, after a
/// remapping of what sentinels or nodes told: a name that was not looked up, or an address, with a port; or
/// the path of a Unix socket. What that means is for the connector to say.
///
/// It runs on a thread of its own, so that a caller goes on when its deadline passes; what comes later is
/// dropped. While 16 such attempts are late, further ones fail at once. A panic is an attempt that failed.
///
/// # Examples
/// A tunnel that is there already:
/// ```
/// use std::io;
/// use std::net::TcpStream;
/// use std::time::Duration;
///
/// use redwire::blocking::connector::{Connect, Connector, Stream};
/// use redwire::config::{Config, Endpoint};
///
/// struct Tunnel;
///
/// impl Connect for Tunnel {
///     fn connect(&self, _: &Endpoint, limit: Duration) -> io::Result<Box<dyn Stream>> {
///         let stream = TcpStream::connect_timeout(&([127, 0, 0, 1], 16379).into(), limit)?;
///         Ok(Box::new(stream))
///     }
/// }
///
/// let config = Config::builder().host("db.internal").blocking_connector(Connector::new(Tunnel)).build()?;
/// # Ok::<(), redwire::Error>(())
/// ```
pub trait Connect: Send + Sync {
    /// A stream to `endpoint`, within `limit`.
    ///
    /// # Errors
    /// Whatever it fails with becomes the source of a connection error of the kind that
    /// [`io::Error::kind`] says, with the address of the server. A [`redwire::Error`](Error) inside of it is
    /// told as it is.
    fn connect(&self, endpoint: &Endpoint, limit: Duration) -> io::Result<Box<dyn Stream>>;
}

/// A shared [`Connect`], as a configuration takes it. Clones share it; two are equal if they share the same
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector(DriverValue<BlockingDriver>);

impl Connector {
    /// Takes `connect` to make all connections.
    #[must_use]
    pub fn new(connect: impl Connect + 'static) -> Self {
        let maker = BoundedConnect { connect: Box::new(connect), late: AtomicUsize::new(0) };
        Self(DriverValue::new(Arc::new(maker)))
    }

    /// As [`new`](Self::new), of a function.
    ///
    /// ```
    /// use std::net::TcpStream;
    ///
    /// use redwire::blocking::connector::Connector;
    /// use redwire::config::Config;
    ///
    /// let tunnel = Connector::from_fn(|_, limit| {
    ///     TcpStream::connect_timeout(&([127, 0, 0, 1], 16379).into(), limit)
    /// });
    /// let config = Config::builder().host("db.internal").blocking_connector(tunnel).build()?;
    /// # Ok::<(), redwire::Error>(())
    /// ```
    #[must_use]
    pub fn from_fn<C, S>(connect: C) -> Self
    where
        C: Fn(&Endpoint, Duration) -> io::Result<S> + Send + Sync + 'static,
        S: Stream + 'static,
    {
        Self::new(FromFn(connect))
    }
}

impl From<Connector> for DriverValue<BlockingDriver> {
    fn from(connector: Connector) -> Self {
        connector.0
    }
}

/// A [`Connect`], and how many of its attempts go on without a caller that waits for them.
pub(super) struct BoundedConnect {
    pub(super) connect: Box<dyn Connect>,
    pub(super) late: AtomicUsize,
}

struct FromFn<C>(C);

impl<C, S> Connect for FromFn<C>
where
    C: Fn(&Endpoint, Duration) -> io::Result<S> + Send + Sync,
    S: Stream + 'static,
{
    fn connect(&self, endpoint: &Endpoint, limit: Duration) -> io::Result<Box<dyn Stream>> {
        (self.0)(endpoint, limit).map(|stream| Box::new(stream) as Box<dyn Stream>)
    }
}

/// What makes the connections, if that is not the driver.
///
/// # Errors
/// It is the async driver's: sockets in its place would go past a proxy.
pub(super) fn of(config: &Config) -> Result<Option<&Arc<BoundedConnect>>> {
    DriverValue::choose(config.blocking_connector(), config.connector(), missing)
}

#[cold]
fn missing() -> Error {
    Error::usage("the blocking client needs a `blocking_connector` where there is a `connector`")
}

/// A socket of the standard library as a stream.
macro_rules! socket_stream {
    ($socket:ty) => {
        impl Stream for $socket {
            fn read(&self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
                if limit.is_some_and(|limit| limit.is_zero()) {
                    socket::peek_at_once(self)?;
                } else {
                    self.set_read_timeout(limit)?;
                }
                (&mut &*self).read(buffer)
            }

            fn write(&self, bytes: &[u8], limit: Option<Duration>) -> io::Result<usize> {
                self.set_write_timeout(limit)?;
                (&mut &*self).write(bytes)
            }

            fn shutdown(&self) {
                // A socket that is no longer connected needs no ending.
                let _ = Self::shutdown(self, Shutdown::Both);
            }
        }
    };
}

socket_stream!(TcpStream);
#[cfg(unix)]
socket_stream!(UnixStream);
