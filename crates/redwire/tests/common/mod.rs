//! What the test programs share: one face over both drivers, so that a scenario is written once.
//!
//! `both!` makes four tests of a scenario: each driver with each protocol. Nothing here checks anything.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use redwire::config::{ConfigBuilder, Protocol};
use redwire::{Cmd, Error, Pipeline, Reply, Result, ScanOptions, Session, Slots, Value, cmd};
use redwire_testkit::Server;
use tokio::runtime::Runtime;

/// More than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// What a call may take past its deadline: 50 ms are promised; a test on a loaded machine allows its
/// scheduler 100 more.
pub(crate) const GRACE: Duration = Duration::from_millis(150);

/// A scenario function becomes a module of four tests.
macro_rules! both {
    ($($scenario:ident),* $(,)?) => {$(
        mod $scenario {
            use crate::common::Setup;

            #[test]
            fn tokio_resp3() {
                super::$scenario(Setup::ALL[0]);
            }
            #[test]
            fn tokio_resp2() {
                super::$scenario(Setup::ALL[1]);
            }
            #[test]
            fn blocking_resp3() {
                super::$scenario(Setup::ALL[2]);
            }
            #[test]
            fn blocking_resp2() {
                super::$scenario(Setup::ALL[3]);
            }
        }
    )*};
}

/// The runtime of all async tests, with two workers.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().expect("a runtime can be made")
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    Tokio,
    Blocking,
}

/// Which driver and which protocol a test runs with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) driver: Driver,
    pub(crate) protocol: u8,
}

impl Setup {
    /// Each driver with each protocol.
    pub(crate) const ALL: [Self; 4] = [
        Self { driver: Driver::Tokio, protocol: 3 },
        Self { driver: Driver::Tokio, protocol: 2 },
        Self { driver: Driver::Blocking, protocol: 3 },
        Self { driver: Driver::Blocking, protocol: 2 },
    ];

    /// `base` with the protocol and further `options` (`a=1&b=2`) in its query.
    pub(crate) fn url(self, base: &str, options: &str) -> String {
        pauses();
        let mark = if base.contains('?') { '&' } else { '?' };
        let more = if options.is_empty() { "" } else { "&" };
        format!("{base}{mark}protocol={}{more}{options}", self.protocol)
    }

    pub(crate) fn connect(self, url: &str, options: &str) -> Result<Client> {
        let url = self.url(url, options);
        match self.driver {
            Driver::Tokio => runtime().block_on(redwire::Client::connect(&url)).map(Client::Tokio),
            Driver::Blocking => redwire::blocking::Client::connect(&url).map(Client::Blocking),
        }
    }

    pub(crate) fn lazy(self, url: &str, options: &str) -> Result<Client> {
        let url = self.url(url, options);
        match self.driver {
            Driver::Tokio => redwire::Client::connect_lazy(&url).map(Client::Tokio),
            Driver::Blocking => redwire::blocking::Client::connect_lazy(&url).map(Client::Blocking),
        }
    }

    /// A client that must come up.
    #[track_caller]
    pub(crate) fn client(self, url: &str, options: &str) -> Client {
        self.connect(url, options).unwrap_or_else(|error| panic!("{self:?} to {url}: {error}"))
    }

    #[track_caller]
    pub(crate) fn connection(self, url: &str, options: &str) -> Connection {
        let url = self.url(url, options);
        let connection = match self.driver {
            Driver::Tokio => runtime().block_on(redwire::Connection::connect(&url)).map(Connection::Tokio),
            Driver::Blocking => redwire::blocking::Connection::connect(&url).map(Connection::Blocking),
        };
        connection.unwrap_or_else(|error| panic!("{self:?} to {url}: {error}"))
    }

    /// As [`connect`](Self::connect), with options that no URL can have.
    pub(crate) fn open(self, options: ConfigBuilder) -> Result<Client> {
        let config = options.protocol(self.protocol()).build()?;
        match self.driver {
            Driver::Tokio => runtime().block_on(redwire::Client::open(config)).map(Client::Tokio),
            Driver::Blocking => redwire::blocking::Client::open(config).map(Client::Blocking),
        }
    }

    /// As [`open`](Self::open), one connection by hand.
    pub(crate) fn open_connection(self, options: ConfigBuilder) -> Result<Connection> {
        let config = options.protocol(self.protocol()).build()?;
        let mut connection = match self.driver {
            Driver::Tokio => Connection::Tokio(redwire::Connection::new(config)?),
            Driver::Blocking => Connection::Blocking(redwire::blocking::Connection::new(config)?),
        };
        connection.reconnect()?;
        Ok(connection)
    }

    fn protocol(self) -> Protocol {
        if self.protocol == 2 { Protocol::Resp2 } else { Protocol::Resp3 }
    }

    /// A prefix for keys that no other test uses.
    pub(crate) fn key(self, name: &str) -> String {
        format!("{name}:{:?}:{}", self.driver, self.protocol)
    }
}

/// A client of either driver.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Tokio(redwire::Client),
    Blocking(redwire::blocking::Client),
}

impl Client {
    pub(crate) fn execute<R: Reply>(&self, cmd: Cmd<R>) -> Result<R> {
        match self {
            Self::Tokio(client) => runtime().block_on(client.execute(cmd)),
            Self::Blocking(client) => client.execute(cmd),
        }
    }

    /// Runs a command given as `WORD WORD …`.
    pub(crate) fn run<R: Reply>(&self, line: &str) -> Result<R> {
        self.execute(words(line))
    }

    pub(crate) fn pipeline<S: Slots>(&self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        match self {
            Self::Tokio(client) => runtime().block_on(client.pipeline(build)),
            Self::Blocking(client) => client.pipeline(build),
        }
    }

    pub(crate) fn scan<T: Reply + Unpin>(&self, options: ScanOptions) -> Result<Vec<T>> {
        match self {
            Self::Tokio(client) => runtime().block_on(async {
                let (mut scan, mut items) = (client.scan(options), Vec::new());
                while let Some(item) = scan.next().await {
                    items.push(item?);
                }
                Ok(items)
            }),
            Self::Blocking(client) => client.scan(options).collect(),
        }
    }

    pub(crate) fn config(&self) -> &redwire::config::Config {
        match self {
            Self::Tokio(client) => client.config(),
            Self::Blocking(client) => client.config(),
        }
    }

    /// Closes it for good.
    pub(crate) fn shut(&self, limit: Duration) {
        match self {
            Self::Tokio(client) => runtime().block_on(client.close(limit)),
            Self::Blocking(client) => client.close(limit),
        }
    }

    /// Drops it as its users do: the async one outside of any runtime.
    pub(crate) fn close(self) {
        drop(self);
    }
}

/// A connection of either driver.
#[derive(Debug)]
pub(crate) enum Connection {
    Tokio(redwire::Connection),
    Blocking(redwire::blocking::Connection),
}

/// The same call on either, awaited on the one.
macro_rules! either {
    ($self:ident, $connection:ident => $call:expr) => {
        match $self {
            Self::Tokio($connection) => runtime().block_on($call),
            Self::Blocking($connection) => $call,
        }
    };
}

pub(crate) mod cache;
pub(crate) mod pool;
pub(crate) mod pubsub;
pub(crate) mod rude;

impl Connection {
    pub(crate) fn run<R: Reply>(&mut self, line: &str) -> Result<R> {
        self.execute(words(line))
    }

    pub(crate) fn execute<R: Reply>(&mut self, cmd: Cmd<R>) -> Result<R> {
        use redwire::Run;
        either!(self, connection => connection.run(cmd))
    }

    pub(crate) fn pipeline<S: Slots + Send>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        either!(self, connection => connection.pipeline(build))
    }

    pub(crate) fn send(&mut self, line: &str) -> Result<()> {
        either!(self, connection => connection.send(&words::<Value>(line)))
    }

    pub(crate) fn send_packed(&mut self, commands: &[u8], count: u32) -> Result<()> {
        either!(self, connection => connection.send_packed(commands, count))
    }

    pub(crate) fn read_reply<R: Reply>(&mut self) -> Result<R> {
        either!(self, connection => connection.read_reply())
    }

    pub(crate) fn can_read(&mut self, limit: Duration) -> Result<bool> {
        either!(self, connection => connection.can_read(limit))
    }

    pub(crate) fn select(&mut self, db: u32) -> Result<()> {
        either!(self, connection => connection.select(db))
    }

    pub(crate) fn reconnect(&mut self) -> Result<()> {
        either!(self, connection => connection.reconnect())
    }

    pub(crate) fn disconnect(&mut self) {
        match self {
            Self::Tokio(connection) => connection.disconnect(),
            Self::Blocking(connection) => connection.disconnect(),
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        match self {
            Self::Tokio(connection) => connection.is_connected(),
            Self::Blocking(connection) => connection.is_connected(),
        }
    }

    pub(crate) fn db(&self) -> Option<u32> {
        match self {
            Self::Tokio(connection) => connection.db(),
            Self::Blocking(connection) => connection.db(),
        }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::Tokio(connection) => connection.session(),
            Self::Blocking(connection) => connection.session(),
        }
    }

    /// Runs `line` at each connect.
    pub(crate) fn on_connect(&mut self, line: &'static str) {
        match self {
            Self::Tokio(connection) => connection.on_connect(running(line)),
            Self::Blocking(connection) => connection.on_connect(blocking_running(line)),
        }
    }

    pub(crate) fn clear_on_connect(&mut self) {
        match self {
            Self::Tokio(connection) => connection.clear_on_connect(),
            Self::Blocking(connection) => connection.clear_on_connect(),
        }
    }
}

/// What runs `line` at each connect.
pub(crate) fn running(line: &'static str) -> redwire::OnConnect {
    use redwire::Run;
    redwire::OnConnect::new(move |connection| {
        Box::pin(async move { connection.run(words::<Value>(line)).await.map(drop) })
    })
}

/// As [`running`], of the blocking driver.
pub(crate) fn blocking_running(line: &'static str) -> redwire::blocking::OnConnect {
    use redwire::Run;
    redwire::blocking::OnConnect::new(move |connection| connection.run(words::<Value>(line)).map(drop))
}

/// A command from words parted by spaces.
pub(crate) fn words<R>(line: &str) -> Cmd<R> {
    let mut words = line.split(' ');
    words
        .by_ref()
        .take(1)
        .fold(None, |_, first| Some(cmd(first)))
        .map(|cmd| words.fold(cmd, Cmd::arg))
        .expect("a word")
}

/// How long `work` took, and what it gave.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let output = work();
    (output, start.elapsed())
}

/// For how long the machine stood still since `begin`, as on a host with too many guests: so much later
/// no code can be blamed for.
///
/// A thread that does nothing but sleep is the measure. It begins with the first [`Setup::url`].
pub(crate) fn stood_still_since(begin: Instant) -> Duration {
    let pauses = pauses().lock().expect("its holders do not panic");
    pauses.iter().filter(|(end, _)| *end > begin).map(|(_, pause)| *pause).sum()
}

/// When the machine went on, and for how long it had stood still.
fn pauses() -> &'static Mutex<Vec<(Instant, Duration)>> {
    static PAUSES: OnceLock<Mutex<Vec<(Instant, Duration)>>> = OnceLock::new();
    PAUSES.get_or_init(|| {
        std::thread::spawn(|| {
            const NAP: Duration = Duration::from_millis(5);
            loop {
                let (_, took) = timed(|| std::thread::sleep(NAP));
                if took > 4 * NAP {
                    pauses().lock().expect("its holders do not panic").push((Instant::now(), took - NAP));
                }
            }
        });
        Mutex::default()
    })
}

/// A client's line in `CLIENT LIST`, found by its name.
pub(crate) fn client_line(server: &Server, name: &str) -> Option<String> {
    let list = server.command(&["CLIENT", "LIST"]).expect("the server answers");
    list.lines().find(|line| line.contains(&format!("name={name} "))).map(str::to_owned)
}

/// How many connections bear this name.
pub(crate) fn named_clients(server: &Server, name: &str) -> usize {
    let list = server.command(&["CLIENT", "LIST"]).expect("the server answers");
    list.lines().filter(|line| line.contains(&format!("name={name} "))).count()
}

/// Kills the connections with this name.
pub(crate) fn kill_named(server: &Server, name: &str) -> usize {
    let list = server.command(&["CLIENT", "LIST"]).expect("the server answers");
    let lines: Vec<&str> = list.lines().filter(|line| line.contains(&format!("name={name} "))).collect();
    for line in &lines {
        let id = line.split(' ').find_map(|word| word.strip_prefix("id=")).expect("a line has an id");
        server.command(&["CLIENT", "KILL", "ID", id]).expect("the client can be killed");
    }
    lines.len()
}

/// Everything an error shows, its causes included.
pub(crate) fn shown(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(" {error} {error:?}"));
        cause = error.source();
    }
    text
}

/// Tells threads that go on until they are told, also where a check fails: a test waits for its threads.
pub(crate) struct TellOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for TellOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
