//! A model on a loopback port or a Unix socket, served by threads.
//!
//! Each connection has two threads: one carries what the peer sends to a [`MemoryStream`], one carries back
//! what it says. This file must not know the protocol.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::memory::MemoryStream;
use crate::{Host, Options};

/// How much is carried at a time.
const CHUNK: usize = 64 * 1024;

/// A server on a loopback port or a Unix socket; its [`Host`] says what befalls it. Dropping it hangs up on
/// all clients and ends its threads.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use std::time::Duration;
/// use redwire_model::Server;
///
/// let server = Server::start();
/// let mut stream = TcpStream::connect(server.addr().expect("it is on a port"))?;
/// stream.write_all(b"SET session x EX 3600\r\n")?;
/// let mut reply = [0; 5];
/// stream.read_exact(&mut reply)?;
/// server.advance(Duration::from_secs(3600));
/// stream.write_all(b"GET session\r\n")?;
/// stream.read_exact(&mut reply)?;
/// assert_eq!(&reply, b"$-1\r\n");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Server {
    host: Host,
    place: Place,
    stopped: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Place {
    Tcp(SocketAddr),
    #[cfg(unix)]
    Unix(PathBuf),
}

impl Place {
    fn thread_name(&self) -> String {
        match self {
            Self::Tcp(addr) => format!("model {}", addr.port()),
            #[cfg(unix)]
            Self::Unix(_) => "model".to_owned(),
        }
    }
}

impl Server {
    /// A server on a free port of the loopback interface, by the system's clock.
    ///
    /// # Panics
    /// If there is no free port.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Options::new()).expect("the loopback interface has a free port")
    }

    /// As [`start`](Self::start), with options. The port and the calendar are the system's, and not those of
    /// the options.
    ///
    /// # Errors
    /// There is no free port.
    pub fn start_with(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let addr = listener.local_addr()?;
        let host = Host::new(options.port(addr.port()));
        Self::serve(host, Place::Tcp(addr), move || {
            listener.accept().map(|(stream, peer)| (stream, peer.to_string()))
        })
    }

    /// A server on a Unix socket, by the system's clock. The socket must not be there yet, and is removed in
    /// the end.
    ///
    /// # Errors
    /// The socket cannot be made.
    #[cfg(unix)]
    pub fn on_unix(path: impl AsRef<Path>, options: Options) -> io::Result<Self> {
        let path = path.as_ref().to_path_buf();
        let listener = UnixListener::bind(&path)?;
        let peer = format!("{}:0", path.display());
        Self::serve(Host::new(options), Place::Unix(path), move || {
            listener.accept().map(|(stream, _)| (stream, peer.clone()))
        })
    }

    fn serve<S: Socket>(
        host: Host,
        place: Place,
        accept: impl Fn() -> io::Result<(S, String)> + Send + 'static,
    ) -> io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let acceptor = {
            let (host, name, stopped) = (host.clone(), place.thread_name(), Arc::clone(&stopped));
            let builder = thread::Builder::new().name(name.clone());
            builder.spawn(move || accept_all(&host, &name, &stopped, accept))?
        };
        Ok(Self { host, place, stopped, acceptor: Some(acceptor) })
    }

    /// Where it listens, if it is on a port.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        match &self.place {
            Place::Tcp(addr) => Some(*addr),
            #[cfg(unix)]
            Place::Unix(_) => None,
        }
    }

    /// `redis://127.0.0.1:PORT`, or `unix:///path`; without a password.
    #[must_use]
    pub fn url(&self) -> String {
        match &self.place {
            Place::Tcp(addr) => format!("redis://{addr}"),
            #[cfg(unix)]
            Place::Unix(path) => format!("unix://{}", path.display()),
        }
    }

    /// The server behind it.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }
}

impl Deref for Server {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // A connection wakes the thread that waits for one.
        match &self.place {
            Place::Tcp(addr) => drop(TcpStream::connect(addr)),
            #[cfg(unix)]
            Place::Unix(path) => {
                drop(UnixStream::connect(path));
                let _ = std::fs::remove_file(path);
            }
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// What a connection is carried by.
trait Socket: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> io::Result<Self>;
    fn end(&self);
    fn set_up(&self) {}
}

impl Socket for TcpStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }

    fn set_up(&self) {
        let _ = self.set_nodelay(true);
    }
}

#[cfg(unix)]
impl Socket for UnixStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// Takes connections until the server stops, and then ends them all.
fn accept_all<S: Socket>(
    host: &Host,
    name: &str,
    stopped: &AtomicBool,
    accept: impl Fn() -> io::Result<(S, String)>,
) {
    let mut open: Vec<Connection<S>> = Vec::new();
    while !stopped.load(Ordering::SeqCst) {
        let Ok((socket, peer)) = accept() else { continue };
        if stopped.load(Ordering::SeqCst) {
            break;
        }
        open.retain(|connection| !connection.is_over());
        if let Ok(connection) = Connection::start(host, name, socket, peer) {
            open.push(connection);
        }
    }
    for connection in open {
        connection.end();
    }
}

/// A connection and its two threads.
struct Connection<S> {
    socket: S,
    stream: Arc<MemoryStream>,
    threads: [JoinHandle<()>; 2],
}

impl<S: Socket> Connection<S> {
    fn start(host: &Host, name: &str, socket: S, peer: String) -> io::Result<Self> {
        socket.set_up();
        let stream = Arc::new(MemoryStream::new(host.clone(), host.admit(Some(peer))));
        let (mut from, mut to) = (socket.twin()?, socket.twin()?);
        let (near, far) = (Arc::clone(&stream), Arc::clone(&stream));
        let spawn = |work: Box<dyn FnOnce() + Send>| thread::Builder::new().name(name.to_owned()).spawn(work);
        let reader = spawn(Box::new(move || {
            let mut buffer = vec![0; CHUNK];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if near.write_within(&buffer[..count], None).is_err() {
                    break;
                }
            }
            near.shutdown();
        }))?;
        let writer = spawn(Box::new(move || {
            let mut buffer = vec![0; CHUNK];
            while let Ok(count @ 1..) = far.read_within(&mut buffer, None) {
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            to.end();
        }))?;
        Ok(Self { socket, stream, threads: [reader, writer] })
    }

    fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    fn end(self) {
        self.socket.end();
        self.stream.shutdown();
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}
