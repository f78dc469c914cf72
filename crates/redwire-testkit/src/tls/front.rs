//! A front that ends TLS before a real server, which then needs none of its own.
//!
//! It takes connections on a free port, shakes hands, and passes on the bytes in clear. It has no faults but
//! those of TLS: for cuts, delays or silence on the way put a [`Proxy`](crate::Proxy) before or behind it.

mod link;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{DEFAULT_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use socket2::Socket;

use super::{Authority, Identity};
use crate::Server;
use crate::halt::Halt;

/// How long the target may take to accept.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A server that speaks TLS, on a free port of `127.0.0.1`, in front of one that doesn't. Dropping it ends
/// its connections and threads.
///
/// A connection whose target refuses is closed before the handshake. Sessions are resumed if the client asks.
///
/// ```
/// # if redwire_testkit::find_server().is_none() { return }
/// use redwire_testkit::{Authority, Server, TlsFront};
///
/// let (authority, server) = (Authority::new(), Server::start());
/// let front = TlsFront::start(&authority.server(), &server);
/// assert!(front.url("rediss").starts_with("rediss://127.0.0.1:"));
/// ```
pub struct TlsFront {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

/// Where a [`TlsFront`] passes on what it has decrypted. Made from a [`Server`] too, which means its TCP
/// port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// What a [`TlsFront`] is started with. Made by [`TlsFront::builder`].
#[derive(Debug)]
#[must_use]
pub struct TlsFrontBuilder<'a> {
    identity: &'a Identity,
    options: Options,
    stalled: bool,
}

impl TlsFront {
    /// Starts one that shows this certificate, asks clients for none and speaks TLS 1.2 and 1.3.
    ///
    /// # Panics
    ///
    /// If it can't listen.
    pub fn start(identity: &Identity, target: impl Into<Target>) -> Self {
        Self::builder(identity).start(target)
    }

    /// To start one with options.
    pub fn builder(identity: &Identity) -> TlsFrontBuilder<'_> {
        TlsFrontBuilder { identity, options: Options::default(), stalled: false }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `rediss://127.0.0.1:PORT` for the scheme `rediss`.
    pub fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    /// Shows another certificate to clients that connect from now on, and forgets the sessions that could be
    /// resumed; a stapled OCSP response is not shown any more, since it was for the old one.
    pub fn swap_identity(&self, identity: &Identity) {
        self.swap(identity, Vec::new());
    }

    /// As [`swap_identity`](Self::swap_identity), with an OCSP response (DER) for the new one.
    pub fn swap_identity_with_ocsp(&self, identity: &Identity, response: &[u8]) {
        self.swap(identity, response.to_vec());
    }

    /// Whether clients that connect from now on are accepted, and then never answered; see
    /// [`TlsFrontBuilder::stall_handshake`]. Those it holds already stay held.
    pub fn set_stall_handshake(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::SeqCst);
    }

    /// How many connections it has accepted so far, whatever became of them.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many connections are open now, those in their handshake included.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// How many full handshakes it has completed. The client may find itself connected a moment before: count
    /// once it has had a reply. So for the next two.
    pub fn full_handshakes(&self) -> usize {
        self.shared.seen().full
    }

    /// How many handshakes resumed a session of before.
    pub fn resumed_handshakes(&self) -> usize {
        self.shared.seen().resumed
    }

    /// The certificate that the last client to complete its handshake has shown, if it has: compare it with
    /// [`Identity::cert_der`].
    pub fn client_certificate(&self) -> Option<CertificateDer<'static>> {
        self.shared.seen().client.clone()
    }

    /// Why handshakes failed so far, as seen from here, in the words of rustls.
    pub fn failures(&self) -> Vec<String> {
        self.shared.seen().failures.clone()
    }

    fn swap(&self, identity: &Identity, ocsp: Vec<u8>) {
        let config = self.shared.options.config(identity, ocsp);
        *self.shared.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

impl fmt::Debug for TlsFront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFront").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.shared.halt.throw();
        let ended = self.accepting.take().is_none_or(|thread| thread.join().is_ok());
        assert!(ended || thread::panicking(), "a thread of the TLS front panicked");
    }
}

impl TlsFrontBuilder<'_> {
    /// Lets in only clients with a certificate signed by this authority. Default: asks for none.
    pub fn require_client(mut self, authority: &Authority) -> Self {
        self.options.clients = Some(authority.der().clone());
        self
    }

    /// Staples this OCSP response (DER) to the certificate, whatever it says. Default: none.
    pub fn ocsp(mut self, response: &[u8]) -> Self {
        self.options.ocsp = response.to_vec();
        self
    }

    /// Speaks TLS 1.2 and nothing newer. Default: 1.2 and 1.3.
    pub fn only_tls12(mut self) -> Self {
        self.options.only_tls12 = true;
        self
    }

    /// Accepts connections and never says a word on them, nor connects to the target. Default: it does.
    pub fn stall_handshake(mut self) -> Self {
        self.stalled = true;
        self
    }

    /// Says this before the handshake is over, as a server may that needs to know nothing of its client: a
    /// client finds it in the same bytes that end the handshake for it. Default: nothing.
    pub fn greet(mut self, words: &str) -> Self {
        self.options.greeting = words.to_owned();
        self
    }

    /// Starts the front.
    ///
    /// # Panics
    ///
    /// If it can't listen.
    pub fn start(self, target: impl Into<Target>) -> TlsFront {
        let config = self.options.config(self.identity, self.options.ocsp.clone());
        let shared = Arc::new(Shared {
            target: target.into(),
            options: self.options,
            config: Mutex::new(config),
            stalled: AtomicBool::new(self.stalled),
            accepted: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            seen: Mutex::default(),
            halt: Halt::new().expect("a pair of sockets can be made"),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let listener = Socket::from(listener);
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let accepting = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&shared, &listener)
        });
        TlsFront { shared, address, accepting: Some(accepting) }
    }
}

impl Target {
    fn connect(&self) -> io::Result<Socket> {
        let socket = match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, CONNECT_LIMIT)?;
                stream.set_nodelay(true)?;
                Socket::from(stream)
            }
            Self::Unix(path) => Socket::from(UnixStream::connect(path)?),
        };
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<&Path> for Target {
    fn from(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

impl From<&Server> for Target {
    fn from(server: &Server) -> Self {
        Self::Tcp(server.addr())
    }
}

/// Accepts until the switch is thrown, then waits for the end of what it has accepted.
fn accept(shared: &Shared, listener: &Socket) {
    thread::scope(|scope| {
        while let Ok(client) = shared.halt.accept(listener) {
            shared.accepted.fetch_add(1, Ordering::SeqCst);
            shared.open.fetch_add(1, Ordering::SeqCst);
            scope.spawn(move || {
                link::run(shared, &client);
                drop(client);
                shared.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
}

/// What stays as it is when the certificate changes.
#[derive(Debug, Default)]
struct Options {
    clients: Option<CertificateDer<'static>>,
    ocsp: Vec<u8>,
    only_tls12: bool,
    greeting: String,
}

impl Options {
    fn config(&self, identity: &Identity, ocsp: Vec<u8>) -> Arc<ServerConfig> {
        const TLS12: &[&SupportedProtocolVersion] = &[&version::TLS12];
        let provider = Arc::new(ring::default_provider());
        let versions = if self.only_tls12 { TLS12 } else { DEFAULT_VERSIONS };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("ring speaks these versions");
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone()).expect("the kit's authorities have sound certificates");
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
                builder.with_client_cert_verifier(verifier.expect("there is an authority"))
            }
        };
        let chain = vec![identity.cert_der.clone()];
        let config = builder.with_single_cert_with_ocsp(chain, identity.key_der.clone_key(), ocsp);
        let mut config = config.expect("the key is the certificate's");
        config.send_half_rtt_data = !self.greeting.is_empty();
        Arc::new(config)
    }
}

/// What the front and its connections have in common.
struct Shared {
    target: Target,
    options: Options,
    config: Mutex<Arc<ServerConfig>>,
    stalled: AtomicBool,
    accepted: AtomicUsize,
    open: AtomicUsize,
    seen: Mutex<HandshakeCounts>,
    halt: Halt,
}

/// What became of the handshakes.
#[derive(Default)]
struct HandshakeCounts {
    full: usize,
    resumed: usize,
    client: Option<CertificateDer<'static>>,
    failures: Vec<String>,
}

impl Shared {
    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn seen(&self) -> MutexGuard<'_, HandshakeCounts> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
