//! Real servers, each in a process, a temporary directory and on a port of its own.
//!
//! A server is up when its Unix socket answers: only the process just started can answer there, while a port
//! taken by someone else in between would answer too. It never saves, unless told to. This file must not
//! know the client under test.

mod config;
mod report;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) use self::config::{BUS, free_port, quoted};
use self::config::{Kind, url_escape};
pub use self::config::{ServerBuilder, find_server, has_tls, servers_from_env};
use crate::process::Process;
use crate::resp::{self, Frames, Value};

/// How long a server may take to answer after its start.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long [`Server::command`] waits for a reply.
const REPLY_LIMIT: Duration = Duration::from_secs(10);

/// How many ports are tried before the start is given up.
const PORTS_TRIED: u32 = 20;

/// A running Redis or Valkey server. Dropping it kills it and removes its directory.
///
/// It listens on `127.0.0.1` and on a Unix socket. All methods take `&self`, so that threads and tasks can
/// share it. It ends with the test's process even if that is killed.
///
/// ```
/// # if redwire_testkit::find_server().is_none() { return }
/// let server = redwire_testkit::Server::start();
/// assert_eq!(server.command(&["SET", "k", "v"]), Ok("OK".to_owned()));
/// assert_eq!(server.command(&["GET", "k"]), Ok("v".to_owned()));
/// ```
#[derive(Debug)]
pub struct Server {
    // Before `dir`: the process has to be gone when the directory is removed.
    process: Mutex<Option<Process>>,
    binary: PathBuf,
    password: Option<String>,
    kind: Kind,
    tls: bool,
    port: u16,
    frozen: AtomicBool,
    unix_path: PathBuf,
    about: OnceLock<About>,
    dir: TempDir,
}

/// The server of this test process, plain and shared by its tests; each keeps to its own prefix of keys.
///
/// Started at the first call, ended with the process.
///
/// # Panics
///
/// As [`Server::start`].
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(Server::start)
}

impl Server {
    /// Starts a plain server: no password, nothing saved.
    ///
    /// # Panics
    ///
    /// If no server binary is found or it doesn't start; the message says why.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// To start a server with a password, users, directives or another binary.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Where it listens: `127.0.0.1` and [`port`](Self::port).
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its TCP port, kept over [`restart`](Self::restart).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`, or `rediss://…` if it speaks TLS; with the password if there is one.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        format!("{scheme}://{}127.0.0.1:{}", login(self.password.as_deref()), self.port)
    }

    /// The password of its default user.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The path of its Unix socket.
    pub fn unix_path(&self) -> &Path {
        &self.unix_path
    }

    /// `unix:///…/redis.sock`, without a password.
    pub fn unix_url(&self) -> String {
        format!("unix://{}", self.unix_path.display())
    }

    /// The directory it works in, where its configuration and log are too.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The version of the binary, of Valkey's own count for Valkey: `(8, 1, 0)`.
    pub fn version(&self) -> (u32, u32, u32) {
        self.about().version
    }

    /// Whether it is Valkey, not Redis.
    pub fn is_valkey(&self) -> bool {
        self.about().valkey
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        read_log(self.dir())
    }

    /// Sends one command over a connection of its own, as the default user, and returns the reply as text.
    ///
    /// Nil is `(nil)`; the elements of an array come one per line. It waits up to 10 seconds.
    ///
    /// # Errors
    ///
    /// The text of an error reply, or what went wrong with the connection.
    pub fn command(&self, words: &[&str]) -> Result<String, String> {
        self.ask(0, words).map(|reply| reply.print())
    }

    /// As [`command`](Self::command), for words that need not be text and replies that need a closer look, in
    /// one of its databases.
    pub(crate) fn ask(&self, db: u32, words: &[impl AsRef<[u8]>]) -> Result<Value, String> {
        let asked = open(&self.unix_path, self.password.as_deref()).and_then(|opened| {
            let mut stream = match opened {
                Ok(stream) => stream,
                Err(refused) => return Ok(refused),
            };
            if db != 0
                && let refused @ Value::Error(_) = ask_on(&mut stream, &["SELECT", &db.to_string()])?
            {
                return Ok(refused);
            }
            let reply = ask_on(&mut stream, words)?;
            close(stream);
            Ok(reply)
        });
        match asked {
            Ok(Value::Error(text)) => Err(String::from_utf8_lossy(&text).into_owned()),
            Ok(reply) => Ok(reply),
            Err(error) => {
                let words: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word.as_ref())).collect();
                Err(format!("{words:?} on {}: {error}", self.unix_path.display()))
            }
        }
    }

    /// Stops the process (SIGSTOP): its connections stay open, nothing is answered.
    ///
    /// # Panics
    ///
    /// If it isn't running.
    #[track_caller]
    pub fn freeze(&self) {
        self.running(Process::freeze);
        self.frozen.store(true, Ordering::SeqCst);
    }

    /// Lets the process run on after [`freeze`](Self::freeze) (SIGCONT).
    ///
    /// # Panics
    ///
    /// If it isn't running.
    #[track_caller]
    pub fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
        self.running(Process::thaw);
    }

    /// Kills the process (SIGKILL) and waits for its end; the port is free then. No harm if it's dead
    /// already.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Kills it if it is alive, and starts it again: same port, same directory. Returns when it answers.
    ///
    /// # Panics
    ///
    /// If it doesn't start.
    #[track_caller]
    pub fn restart(&self) {
        let mut process = self.process();
        drop(process.take());
        self.frozen.store(false, Ordering::SeqCst);
        match launch(&self.binary, self.kind, self.dir(), &self.unix_path) {
            Ok(started) => *process = Some(started),
            Err(reason) => panic!("restart of {}: {reason}", self.binary.display()),
        }
    }

    /// The process id, 0 when it was killed. A restart changes it.
    pub fn pid(&self) -> u32 {
        self.process().as_ref().map_or(0, Process::id)
    }

    /// Whether it runs: it is neither killed nor frozen, nor has it ended by itself.
    pub fn is_up(&self) -> bool {
        !self.frozen.load(Ordering::SeqCst) && self.process().as_mut().is_some_and(Process::is_alive)
    }

    #[track_caller]
    fn running(&self, act: impl FnOnce(&Process) -> io::Result<()>) {
        let mut process = self.process();
        let process = process.as_mut().expect("the server has to be running for this");
        assert!(process.is_alive(), "the server has ended by itself");
        if let Err(error) = act(process) {
            panic!("signal to the server: {error}");
        }
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn about(&self) -> &About {
        self.about.get_or_init(|| About::of(&self.binary))
    }
}

/// A directory for the files of a server: in memory where there is much of it. A node of a cluster waits for
/// the disk at each change of the map, which takes seconds where others write much.
fn make_dir() -> io::Result<TempDir> {
    const MEMORY: &str = "/dev/shm";
    const MUCH: u64 = 1 << 30;
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("redwire-");
    match rustix::fs::statvfs(MEMORY) {
        Ok(room) if room.f_bavail.saturating_mul(room.f_frsize) >= MUCH => builder.tempdir_in(MEMORY),
        _ => builder.tempdir(),
    }
}

/// Prepares a directory, writes the configuration and starts, on another port if the first one is taken.
fn start(builder: &ServerBuilder) -> Result<Server, String> {
    let binary = builder.find_binary()?;
    let dir = make_dir().map_err(|error| error.to_string())?;
    let unix_path = dir.path().join("redis.sock");
    builder.write_pems(dir.path()).map_err(|error| error.to_string())?;
    let ports_tried = if builder.port.is_some() { 1 } else { PORTS_TRIED };
    let mut tried = 1;
    loop {
        let port = builder.free_port()?;
        let config = builder.config(port, &unix_path, dir.path());
        fs::write(dir.path().join("redis.conf"), config).map_err(|error| error.to_string())?;
        match launch(&binary, builder.kind, dir.path(), &unix_path) {
            Ok(process) => {
                let process = Mutex::new(Some(process));
                let password = builder.password.clone();
                return Ok(Server {
                    process,
                    binary,
                    password,
                    kind: builder.kind,
                    tls: builder.tls.is_some(),
                    port,
                    frozen: AtomicBool::new(false),
                    unix_path,
                    about: OnceLock::new(),
                    dir,
                });
            }
            Err(reason) if tried < ports_tried && reason.contains("Address already in use") => tried += 1,
            Err(reason) => return Err(format!("{} didn't start: {reason}", binary.display())),
        }
    }
}

/// Starts the process with the configuration in `dir` and waits until it answers.
fn launch(binary: &Path, kind: Kind, dir: &Path, unix_path: &Path) -> Result<Process, String> {
    let log = File::create(dir.join("redis.log")).map_err(|error| error.to_string())?;
    // A socket left by a killed server would refuse; the new one makes its own.
    let _ = fs::remove_file(unix_path);
    let args: &[&str] = if kind == Kind::Sentinel { &["redis.conf", "--sentinel"] } else { &["redis.conf"] };
    let mut process = Process::start(binary, args, dir, log).map_err(|error| error.to_string())?;
    let end = Instant::now() + START_LIMIT;
    loop {
        // Any reply to PING will do, -NOAUTH is one; only while LOADING it isn't up yet.
        let loading = |reply: &Value| matches!(reply, Value::Error(text) if text.starts_with(b"LOADING"));
        if ping(unix_path).is_ok_and(|reply| !loading(&reply)) {
            return Ok(process);
        }
        if !process.is_alive() {
            return Err(format!("it ended with this log:\n{}", tail(&read_log(dir))));
        }
        if Instant::now() > end {
            return Err(format!("no answer in {START_LIMIT:?}; its log:\n{}", tail(&read_log(dir))));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn ping(unix_path: &Path) -> io::Result<Value> {
    let mut stream = UnixStream::connect(unix_path)?;
    stream.set_read_timeout(Some(REPLY_LIMIT))?;
    let reply = ask_on(&mut stream, &["PING"])?;
    close(stream);
    Ok(reply)
}

/// The part of a URL that carries a password.
pub(crate) fn login(password: Option<&str>) -> String {
    password.map_or_else(String::new, |word| format!(":{}@", url_escape(word)))
}

/// A connection, logged in if need be; the inner error is the server's reply to a login it refuses.
fn open(unix_path: &Path, password: Option<&str>) -> io::Result<Result<UnixStream, Value>> {
    let mut stream = UnixStream::connect(unix_path)?;
    stream.set_read_timeout(Some(REPLY_LIMIT))?;
    if let Some(password) = password
        && let refused @ Value::Error(_) = ask_on(&mut stream, &["AUTH", password])?
    {
        return Ok(Err(refused));
    }
    Ok(Ok(stream))
}

fn ask_on(stream: &mut UnixStream, words: &[impl AsRef<[u8]>]) -> io::Result<Value> {
    stream.write_all(&resp::command(words))?;
    read_value(stream)
}

/// Closes a connection and waits until the server has done so too: it must not be found among the clients
/// later.
fn close(mut stream: UnixStream) {
    // What fails here, or comes out of turn, does so because the server has ended the connection already.
    let _ = stream.shutdown(Shutdown::Write);
    while matches!(stream.read(&mut [0; 1024]), Ok(1..)) {}
}

fn read_value(stream: &mut UnixStream) -> io::Result<Value> {
    let (mut frames, mut bytes, mut chunk) = (Frames::new(), Vec::new(), vec![0; 16 * 1024]);
    loop {
        let n = stream.read(&mut chunk)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..n]);
        if frames.scan(&chunk[..n]).is_some() {
            return Value::read(&mut &bytes[..]).ok_or_else(|| io::ErrorKind::InvalidData.into());
        }
    }
}

fn read_log(dir: &Path) -> String {
    fs::read(dir.join("redis.log"))
        .map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into_owned())
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// What the binary says of itself.
#[derive(Debug)]
struct About {
    version: (u32, u32, u32),
    valkey: bool,
}

impl About {
    /// From a line such as `Redis server v=7.0.15 sha=…` or `Valkey server v=8.1.3 sha=…`.
    fn of(binary: &Path) -> Self {
        let output = Command::new(binary).arg("--version").output();
        let output = output.unwrap_or_else(|error| panic!("{} --version: {error}", binary.display()));
        let line = String::from_utf8_lossy(&output.stdout);
        let version = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("v="));
        let version = version.unwrap_or_else(|| panic!("no version in {line:?}"));
        let mut parts = version.split(['.', '-']).map_while(|part| part.parse().ok());
        let mut next = || parts.next().unwrap_or(0);
        Self { version: (next(), next(), next()), valkey: line.starts_with("Valkey") }
    }
}
