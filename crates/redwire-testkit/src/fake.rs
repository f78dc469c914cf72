//! A server that does what its script says, to show a client what no real server would on demand.
//!
//! A script is data: a list of [`Step`]s for each connection. What differs from it is noted as a problem, and
//! a test can't end well with a problem unless it has looked at it. The kit reads commands, and writes bytes
//! as given: it doesn't know what they mean.

mod connection;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::Socket;
use tempfile::TempDir;

use crate::halt::Halt;

/// How long the end of a test waits for connections to get through their scripts.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// The words of one command.
type Words = Vec<Vec<u8>>;

/// From a command's words to the bytes of the reply.
type Answer = dyn Fn(&[Vec<u8>]) -> Vec<u8> + Send + Sync;

/// One step of a script. After the last one no more commands may come, but the connection stays open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next command has to be this one; the case of its first word doesn't matter. See [`expect`].
    Expect(Vec<Vec<u8>>),
    /// The next command has to have this first word, whatever its arguments. See [`expect_name`].
    ExpectName(Vec<u8>),
    /// One command, whatever it is.
    ExpectAny,
    /// Writes these bytes. See [`reply`].
    Reply(Vec<u8>),
    /// Writes these pieces, each by itself, with a pause in between.
    ReplyPieces(Vec<Vec<u8>>, Duration),
    /// Writes these bytes just as `Reply` does; the name tells the reader that no request asked for them. See
    /// [`push`].
    Push(Vec<u8>),
    /// Ends the stream in order (FIN). What the client still sends is swallowed.
    Close,
    /// Breaks the connection (RST). A Unix socket is just closed.
    Reset,
    /// Never writes again, until the server is dropped or the client goes; commands are still noted.
    Stall,
    /// Lets time pass.
    Wait(Duration),
}

/// [`Step::Expect`] from words: `expect(&["GET", "k"])`.
pub fn expect(words: &[impl AsRef<[u8]>]) -> Step {
    Step::Expect(words.iter().map(|word| word.as_ref().to_vec()).collect())
}

/// [`Step::ExpectName`] from a word: `expect_name("HELLO")`.
pub fn expect_name(name: impl AsRef<[u8]>) -> Step {
    Step::ExpectName(name.as_ref().to_vec())
}

/// [`Step::Reply`] from text or bytes: `reply("+OK\r\n")`.
pub fn reply(bytes: impl AsRef<[u8]>) -> Step {
    Step::Reply(bytes.as_ref().to_vec())
}

/// [`Step::Push`] from text or bytes: `push(">1\r\n+hi\r\n")`.
pub fn push(bytes: impl AsRef<[u8]>) -> Step {
    Step::Push(bytes.as_ref().to_vec())
}

/// A scripted server on a free port of `127.0.0.1` and on a Unix socket.
///
/// Dropping it closes its connections and ends its threads. It panics then if the script wasn't followed and
/// the test hasn't asked for [`problems`](Self::problems) itself.
///
/// ```
/// use std::io::{Read, Write};
/// use redwire_testkit::{FakeServer, expect, reply};
///
/// let server = FakeServer::script([expect(&["GET", "k"]), reply("$-1\r\n")]);
/// let mut client = std::net::TcpStream::connect(server.addr())?;
/// client.write_all(b"*2\r\n$3\r\nget\r\n$1\r\nk\r\n")?;
/// let mut answer = [0; 5];
/// client.read_exact(&mut answer)?;
/// assert_eq!(&answer, b"$-1\r\n");
/// server.verify();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct FakeServer {
    shared: Arc<Shared>,
    accepting: Vec<JoinHandle<()>>,
    addr: SocketAddr,
    unix_path: PathBuf,
    _dir: TempDir,
}

impl FakeServer {
    /// Plays the same script to every connection; unless it is empty, one has to come.
    pub fn script(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::start(Role::Each(steps.into_iter().collect()))
    }

    /// Plays the first script to the first connection accepted, and so on; there have to be as many of
    /// either.
    pub fn scripts<S: IntoIterator<Item = Step>>(scripts: impl IntoIterator<Item = S>) -> Self {
        Self::start(Role::InTurn(scripts.into_iter().map(|steps| steps.into_iter().collect()).collect()))
    }

    /// Answers each command with the bytes that `answer` returns for its words; none for no answer.
    ///
    /// A panic in `answer` closes the connection and is a problem.
    pub fn answering(answer: impl Fn(&[Vec<u8>]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(Role::Answer(Box::new(answer)))
    }

    /// Sends these bytes to each client that connects, and swallows what comes: a server that isn't Redis.
    pub fn raw(bytes: impl AsRef<[u8]>) -> Self {
        Self::script([reply(bytes), Step::Stall])
    }

    /// Where it listens on TCP.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `redis://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// The path of its Unix socket.
    pub fn unix_path(&self) -> &Path {
        &self.unix_path
    }

    /// `unix:///…/redis.sock`.
    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.unix_path.display())
    }

    /// The commands received so far, of all connections, in the order of their arrival.
    pub fn received(&self) -> Vec<Vec<Vec<u8>>> {
        self.shared.log().received.iter().map(|(_, words)| words.clone()).collect()
    }

    /// The commands received so far on one connection; 0 is the first one accepted.
    pub fn received_on(&self, connection: usize) -> Vec<Vec<Vec<u8>>> {
        let log = self.shared.log();
        log.received.iter().filter(|(id, _)| *id == connection).map(|(_, words)| words.clone()).collect()
    }

    /// How many connections it has accepted so far.
    pub fn connections(&self) -> usize {
        self.shared.log().settled.len()
    }

    /// Where the script wasn't followed. Waits up to 2 seconds for connections that are still on their way.
    pub fn problems(&self) -> Vec<String> {
        let end = Instant::now() + SETTLE_LIMIT;
        let mut log = self.shared.log();
        log.looked_at = true;
        loop {
            let open = self.shared.unsettled(&log);
            let left = end.saturating_duration_since(Instant::now());
            if open.is_empty() || left.is_zero() {
                return log.problems.iter().cloned().chain(open).collect();
            }
            log = self.shared.changed.wait_timeout(log, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Checks that all connections have followed their scripts to the end.
    ///
    /// # Panics
    ///
    /// If there are [`problems`](Self::problems).
    #[track_caller]
    pub fn verify(&self) {
        let problems = self.problems();
        assert!(problems.is_empty(), "the script wasn't followed:\n{}", problems.join("\n"));
    }

    fn start(role: Role) -> Self {
        let shared = Shared {
            role,
            halt: Halt::new().expect("a pair of sockets can be made"),
            log: Mutex::default(),
            changed: Condvar::new(),
        };
        let shared = Arc::new(shared);
        let dir = tempfile::Builder::new().prefix("redwire-").tempdir().expect("a directory can be made");
        let unix_path = dir.path().join("redis.sock");
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
        let addr = tcp.local_addr().expect("a bound listener has an address");
        let unix = UnixListener::bind(&unix_path).expect("a new directory has room for a socket");
        let accepting = [Socket::from(tcp), Socket::from(unix)].map(|listener| {
            listener.set_nonblocking(true).expect("a socket can be made non-blocking");
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&shared, &listener))
        });
        Self { shared, accepting: accepting.into(), addr, unix_path, _dir: dir }
    }
}

impl fmt::Debug for FakeServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeServer").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        let looked_at = self.shared.log().looked_at;
        let problems = if looked_at || thread::panicking() { Vec::new() } else { self.problems() };
        self.shared.halt.throw();
        for accepting in self.accepting.drain(..) {
            // It has nothing to tell: panics of connections are problems.
            let _ = accepting.join();
        }
        assert!(problems.is_empty(), "the script wasn't followed:\n{}", problems.join("\n"));
    }
}

/// Accepts until the switch is thrown, then waits for the end of what it has accepted.
fn accept(shared: &Shared, listener: &Socket) {
    thread::scope(|scope| {
        while let Ok(socket) = shared.halt.accept(listener) {
            let id = {
                let mut log = shared.log();
                log.settled.push(Settled::AtStep(0));
                log.settled.len() - 1
            };
            scope.spawn(move || connection::serve(shared, socket, id));
        }
    });
}

/// What the server plays.
enum Role {
    Each(Vec<Step>),
    InTurn(Vec<Vec<Step>>),
    Answer(Box<Answer>),
}

/// What the connections' threads have in common.
struct Shared {
    role: Role,
    halt: Halt,
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Default)]
struct Log {
    /// Per connection accepted.
    settled: Vec<Settled>,
    received: Vec<(usize, Words)>,
    problems: Vec<String>,
    /// The test knows of the problems: no need to panic in the end.
    looked_at: bool,
}

/// How far a connection has come.
enum Settled {
    AtStep(usize),
    /// Nothing more has to happen on it.
    Done,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut Log)) {
        change(&mut self.log());
        self.changed.notify_all();
    }

    /// What is still to be waited for, told as problems.
    fn unsettled(&self, log: &Log) -> Vec<String> {
        let mut open = Vec::new();
        for (id, settled) in log.settled.iter().enumerate() {
            if let Settled::AtStep(at) = settled {
                open.push(format!("connection {id}: still at step {at}"));
            }
        }
        let wanted = match &self.role {
            Role::Each(steps) => usize::from(!steps.is_empty()),
            Role::InTurn(scripts) => scripts.len(),
            Role::Answer(_) => 0,
        };
        open.extend((log.settled.len()..wanted).map(|id| format!("connection {id}: never came")));
        open
    }
}

/// Whether the connection ended because the server did.
fn halted(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}
