//! A TCP proxy that does to connections what networks do: cuts, resets, delays, splits and swallows.
//!
//! Faults are data, set and cleared while connections run. Without faults it passes everything on as it is,
//! ends and resets included. It knows frames only to swallow whole ones.

mod faults;
mod link;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::Socket;

use self::faults::Faults;
use self::link::{Control, End};
use crate::halt::Halt;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server: commands.
    ToServer,
    /// From the server to the client: replies and pushes.
    ToClient,
}

/// What to do to the bytes that go one way. Faults of different kinds add up; one of the same kind replaces.
///
/// What counts down does so over all connections together and ends when it has happened once, so that the
/// next connection finds things healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Passes exactly this many bytes more, then ends both sides of that connection in order (FIN), at once
    /// after the last byte. With 0 it ends when the next byte comes, which is not passed on.
    CutAfter(u64),
    /// As `CutAfter`, with a reset (RST) of both sides. What the peer has not read by then it may not see.
    ResetAfter(u64),
    /// Holds each chunk back, for a time at random between these two. Chunks keep their order, each waits for
    /// the one before.
    Delay {
        /// The least.
        min: Duration,
        /// The most.
        max: Duration,
    },
    /// Passes on at most this many bytes by one write; 0 counts as 1.
    Chunk(usize),
    /// Swallows everything, the end of the stream included; connections stay open, new ones too, even if
    /// there is no server. What was swallowed never comes, so cut or reset after [`Proxy::heal`].
    Blackhole,
    /// Swallows the next frames, this many, counted from where each begins.
    DropReplies(u64),
    /// Closes new connections as soon as they are accepted, whichever direction it is set for.
    Refuse,
    /// Clears all faults of the direction.
    None,
}

impl Fault {
    /// [`Fault::Delay`] by anything from nothing to `max`: what shakes the order of events without an outage.
    pub fn jitter(max: Duration) -> Self {
        Self::Delay { min: Duration::ZERO, max }
    }
}

/// A proxy on a free port of `127.0.0.1`, in front of one server. Dropping it ends its connections and
/// threads.
///
/// ```
/// use redwire_testkit::{Direction, FakeServer, Fault, Proxy};
/// use std::{io::Read, net::TcpStream};
///
/// let server = FakeServer::raw("hello");
/// let proxy = Proxy::start(server.addr());
/// proxy.set(Direction::ToClient, Fault::CutAfter(2));
/// let mut got = String::new();
/// TcpStream::connect(proxy.addr())?.read_to_string(&mut got)?;
/// assert_eq!(got, "he");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Proxy {
    shared: Arc<Shared>,
    addr: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy in front of `upstream`, with the same random delays each time.
    ///
    /// # Panics
    ///
    /// If it can't listen.
    pub fn start(upstream: SocketAddr) -> Self {
        Self::seeded(upstream, 0)
    }

    /// As [`start`](Self::start), with a seed for its delays. Each connection has its own sequence of them.
    ///
    /// # Panics
    ///
    /// If it can't listen.
    pub fn seeded(upstream: SocketAddr, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            seed,
            to_server: Flow::default(),
            to_client: Flow::default(),
            accepted: AtomicUsize::new(0),
            links: Mutex::default(),
            halt: Halt::new().expect("a pair of sockets can be made"),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
        let addr = listener.local_addr().expect("a bound listener has an address");
        let listener = Socket::from(listener);
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&shared, &listener)
        });
        Self { shared, addr, accepting: Some(accepting) }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// Sets a fault for what goes this way from now on, on all connections, present and new.
    pub fn set(&self, direction: Direction, fault: Fault) {
        self.shared.flow(direction).faults().set(fault);
    }

    /// Clears all faults. Connections that were cut or reset stay so.
    pub fn heal(&self) {
        self.set(Direction::ToServer, Fault::None);
        self.set(Direction::ToClient, Fault::None);
    }

    /// Sends new connections to another server.
    pub fn retarget(&self, upstream: SocketAddr) {
        *self.shared.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Ends both sides of all connections in order (FIN). Nothing is passed on once it has returned.
    pub fn cut_all(&self) {
        self.end_all(End::Cut);
    }

    /// Resets both sides of all connections (RST), before it returns.
    pub fn reset_all(&self) {
        self.end_all(End::Reset);
    }

    /// How many connections it has accepted so far, refused ones included.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    pub fn open(&self) -> usize {
        self.shared.links().iter().filter(|link| !link.control.has_ended()).count()
    }

    /// How many bytes it has passed on this way so far, over all connections, those of a write under way
    /// included.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.shared.flow(direction).passed.load(Ordering::SeqCst)
    }

    fn end_all(&self, end: End) {
        let links = self.shared.links();
        links.iter().for_each(|link| link.control.end(end));
        links.iter().for_each(|link| link.control.wait_ended());
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.halt.throw();
        let accepting = self.accepting.take();
        // After this join there are no new links.
        let mut ended = accepting.is_none_or(|thread| thread.join().is_ok());
        let links = std::mem::take(&mut *self.shared.links());
        links.iter().for_each(|link| link.control.end(End::Cut));
        for link in links {
            ended &= link.thread.join().is_ok();
        }
        assert!(ended || thread::panicking(), "a thread of the proxy panicked");
    }
}

/// Accepts until the switch is thrown.
fn accept(shared: &Arc<Shared>, listener: &Socket) {
    while let Ok(client) = shared.halt.accept(listener) {
        let index = shared.accepted.fetch_add(1, Ordering::SeqCst);
        if shared.any(|faults| faults.refuse) {
            continue;
        }
        let control = Arc::new(Control::new());
        let mut links = shared.links();
        links.retain(|link| !link.thread.is_finished());
        let thread = thread::spawn({
            let (shared, control) = (Arc::clone(shared), Arc::clone(&control));
            move || link::run(&shared, &control, client, index)
        });
        links.push(Link { control, thread });
    }
}

struct Link {
    control: Arc<Control>,
    thread: JoinHandle<()>,
}

/// What the proxy and its connections have in common.
struct Shared {
    upstream: Mutex<SocketAddr>,
    seed: u64,
    to_server: Flow,
    to_client: Flow,
    accepted: AtomicUsize,
    links: Mutex<Vec<Link>>,
    halt: Halt,
}

/// One direction, over all connections.
#[derive(Default)]
struct Flow {
    faults: Mutex<Faults>,
    passed: AtomicU64,
}

impl Flow {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn flow(&self, direction: Direction) -> &Flow {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    fn upstream(&self) -> SocketAddr {
        *self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, Vec<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fault is set in either direction.
    fn any(&self, is_set: impl Fn(&Faults) -> bool) -> bool {
        is_set(&self.to_server.faults()) || is_set(&self.to_client.faults())
    }
}
