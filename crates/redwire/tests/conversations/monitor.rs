//! Monitors: what is sent comes out word for word, on a connection that ends in plain sight.

use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use redwire::monitor::{MonitorClient, MonitorEntry};
use redwire::{Cmd, ConnectionFault, ErrorKind, Result, Value, cmd};
use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Server, eventually};

use crate::common::{Client, Driver, LIMIT, Setup, kill_named, named_clients, runtime, shown};

both!(
    entries_are_what_was_sent,
    entries_come_whole_however_they_arrive,
    a_line_that_cannot_be_read_is_told_and_the_next_one_comes,
    a_lost_connection_is_told_and_is_the_end,
    a_user_who_may_not_listen_is_told,
    a_dropped_monitor_is_gone,
    a_quiet_server_is_asked_unseen,
    a_frozen_server_is_found_out,
);

/// A monitor of either driver.
enum Monitor {
    Tokio(redwire::Monitor),
    Blocking(redwire::blocking::Monitor),
}

impl Monitor {
    fn connect(setup: Setup, url: &str, options: &str) -> Result<Self> {
        let url = setup.url(url, options);
        match setup.driver {
            Driver::Tokio => runtime().block_on(redwire::Monitor::connect(&url)).map(Self::Tokio),
            Driver::Blocking => redwire::blocking::Monitor::connect(&url).map(Self::Blocking),
        }
    }

    fn of(client: &Client) -> Result<Self> {
        match client {
            Client::Tokio(client) => runtime().block_on(client.monitor()).map(Self::Tokio),
            Client::Blocking(client) => client.monitor().map(Self::Blocking),
        }
    }

    fn next(&mut self) -> Option<Result<MonitorEntry>> {
        match self {
            Self::Tokio(monitor) => runtime().block_on(monitor.next()),
            Self::Blocking(monitor) => monitor.next(),
        }
    }

    fn next_within(&mut self, limit: Duration) -> Option<Result<MonitorEntry>> {
        match self {
            Self::Tokio(monitor) => runtime().block_on(monitor.next_within(limit)),
            Self::Blocking(monitor) => monitor.next_within(limit),
        }
    }

    /// The next entry of a command with this name; what else clients do is passed over.
    #[track_caller]
    fn next_of(&mut self, name: &str) -> MonitorEntry {
        loop {
            let entry = self.next_within(LIMIT).expect("an entry comes").expect("it can be read");
            if entry.command[0].eq_ignore_ascii_case(name.as_bytes()) {
                return entry;
            }
        }
    }
}

/// SET of every byte that `server` can show: Valkey 8 leaves quotes and backslashes as they are, so that
/// it is not known where a word ends.
fn set(server: &Server) -> (Cmd<()>, Vec<Vec<u8>>) {
    let is_lax = server.is_valkey() && server.version() < (9, 0, 0);
    let all = (0..=255).filter(|byte| !(is_lax && b"\"\\".contains(byte))).collect();
    let key = if is_lax { "a] b" } else { "a\"] \"b" };
    let words = vec![b"SET".to_vec(), key.into(), all];
    (cmd("SET").arg(&words[1]).arg(&words[2]), words)
}

fn entries_are_what_was_sent(setup: Setup) {
    let server = Server::builder().arg("bind", "127.0.0.1 -::1").start();
    let client = setup.client(&server.url(), "db=3");
    let mut monitor = Monitor::of(&client).unwrap();
    let (set, words) = set(&server);
    client.execute(set).unwrap();
    let entry = monitor.next_of("SET");
    assert_eq!((entry.db, &entry.command), (3, &words));
    assert!(matches!(entry.client, MonitorClient::Tcp(address) if address.ip().is_loopback()), "{entry:?}");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let apart = now.abs_diff(entry.time);
    assert!(apart < Duration::from_secs(60), "{apart:?}");

    client.execute::<Value>(cmd("EVAL").arg("return redis.call('GET', KEYS[1])").arg(1).arg("k")).unwrap();
    assert_eq!(monitor.next_of("EVAL").command[3], b"k");
    let entry = monitor.next_of("GET");
    assert_eq!((entry.client, &entry.command[1]), (MonitorClient::Lua, &b"k".to_vec()));

    let beside = setup.client(&server.unix_url(), "");
    beside.run::<i64>("INCR n").unwrap();
    let entry = monitor.next_of("INCR");
    let path = server.unix_path().to_string_lossy().into_owned();
    assert_eq!((entry.client, entry.db), (MonitorClient::Unix(path), 0));

    if TcpStream::connect(("::1", server.port())).is_ok() {
        let other = setup.client(&format!("redis://[::1]:{}", server.port()), "");
        other.run::<i64>("DECR n").unwrap();
        let entry = monitor.next_of("DECR");
        assert!(matches!(entry.client, MonitorClient::Tcp(address) if address.is_ipv6()), "{entry:?}");
    }
}

fn entries_come_whole_however_they_arrive(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&server.url(), "");
    let mut monitor = Monitor::connect(setup, &proxy.url(), "").unwrap();
    proxy.set(Direction::ToClient, Fault::Chunk(3));
    let (set, words) = set(&server);
    client.execute(set).unwrap();
    // Many who would not wait lose nothing of it.
    let mut entry = None;
    eventually("it comes", LIMIT, || {
        entry = monitor.next_within(Duration::ZERO).map(|entry| entry.expect("it can be read"));
        entry.as_ref().is_some_and(|entry| entry.command[0] == b"SET")
    });
    assert_eq!(entry.map(|entry| entry.command), Some(words));
}

fn a_line_that_cannot_be_read_is_told_and_the_next_one_comes(setup: Setup) {
    let server = FakeServer::answering(|words| match &words[0][..] {
        b"HELLO" => b"-ERR unknown command 'HELLO'\r\n".to_vec(),
        b"MONITOR" => b"+OK\r\n+no line of MONITOR\r\n+1.000002 [0 lua] \"GET\" \"k\"\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    });
    let mut monitor = Monitor::connect(setup, &server.url(), "").unwrap();
    let error = monitor.next().expect("an item").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(shown(&error).contains("no line of MONITOR"), "{error}");
    let entry = monitor.next().expect("an item").unwrap();
    assert_eq!(entry.command, [b"GET".to_vec(), b"k".to_vec()]);
    assert_eq!(entry.time, Duration::from_micros(1_000_002));
}

fn a_lost_connection_is_told_and_is_the_end(setup: Setup) {
    let server = Server::start();
    let mut monitor = Monitor::connect(setup, &server.url(), "client_name=watcher").unwrap();
    assert_eq!(kill_named(&server, "watcher"), 1);
    let error = loop {
        if let Err(error) = monitor.next_within(LIMIT).expect("it is told") {
            break error;
        }
    };
    assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error:?}");
    assert!(monitor.next().is_none());
    assert!(monitor.next().is_none());
    assert_eq!(named_clients(&server, "watcher"), 0, "it is not made anew");
}

fn a_user_who_may_not_listen_is_told(setup: Setup) {
    let server = Server::builder().acl_line("user deaf on >pw ~* +@all -monitor").start();
    let url = format!("redis://deaf:pw@127.0.0.1:{}", server.port());
    let Err(error) = Monitor::connect(setup, &url, "client_name=deaf") else { panic!("it may not") };
    assert_eq!((error.code(), error.command()), (Some("NOPERM"), Some("MONITOR")));
    eventually("its connection is gone", LIMIT, || named_clients(&server, "deaf") == 0);
}

fn a_dropped_monitor_is_gone(setup: Setup) {
    let server = Server::start();
    for _ in 0..3 {
        let monitor = Monitor::connect(setup, &server.url(), "client_name=watcher").unwrap();
        assert_eq!(named_clients(&server, "watcher"), 1);
        drop(monitor);
        eventually("it is gone", LIMIT, || named_clients(&server, "watcher") == 0);
    }
}

fn a_quiet_server_is_asked_unseen(setup: Setup) {
    let server = Server::start();
    let mut monitor =
        Monitor::connect(setup, &server.url(), "client_name=watcher&health_check_interval=100ms").unwrap();
    // Ten intervals of silence.
    if let Some(item) = monitor.next_within(Duration::from_secs(1)) {
        panic!("no client did anything: {item:?}");
    }
    assert!(server.calls("ping") >= 2);
    server.command(&["SET", "k", "v"]).unwrap();
    assert_eq!(monitor.next_of("SET").command[1], b"k");
    assert_eq!(named_clients(&server, "watcher"), 1);
}

fn a_frozen_server_is_found_out(setup: Setup) {
    let server = Server::start();
    let mut monitor = Monitor::connect(setup, &server.url(), "health_check_interval=200ms").unwrap();
    server.freeze();
    let error = monitor.next_within(LIMIT).expect("it is told").unwrap_err();
    server.thaw();
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Silent));
    assert!(monitor.next().is_none());
}
