//! Whatever a borrower does to a connection, the next finds it as new: repaired, or another (I1).
//! FAULTS 3, 44. REFERENCE P2.

use std::time::Duration;

use redwire::{Cmd, Result, Run, Slot, Value, cmd};
use redwire_testkit::{FakeServer, Server, eventually};

use crate::common::pool::{Lease, Pool};
use crate::common::{Connection, LIMIT, Setup, client_line, named_clients, words};

both!(
    what_can_be_mended_is_mended_and_the_connection_stays,
    what_cannot_be_mended_takes_its_connection_with_it,
    pushes_that_were_not_read_are_no_session_state,
    what_is_put_right_by_its_user_costs_nothing,
    a_clean_connection_is_lent_without_a_round_trip,
    a_connection_idle_for_long_is_asked_before_it_is_lent,
    a_server_without_reset_gets_a_new_connection,
    clients_beside_a_lease_with_session_state_notice_nothing,
);

/// A user, a name, a database and a protocol that differ from those a server begins with.
const OPTIONS: &str = "db=3&client_name=own&max_connections=1";

fn server() -> (Server, String) {
    let server = Server::builder()
        .acl_line("user ann on >her-word ~* &* +@all")
        .acl_line("user bob on >his-word ~* &* +@all")
        .start();
    let url = server.url().replace("redis://", "redis://ann:her-word@");
    (server, url)
}

/// A pool and its server, and another client in the same database.
struct Stage {
    setup: Setup,
    server: Server,
    pool: Pool,
    other: Connection,
}

impl Stage {
    fn new(setup: Setup) -> Self {
        let (server, url) = server();
        let (pool, other) = (setup.pool(&url, OPTIONS), setup.connection(&url, "db=3"));
        Self { setup, server, pool, other }
    }

    /// The next user finds what the pool was told to provide, and nothing else.
    #[track_caller]
    fn check_as_new(&mut self, lease: &mut Lease, after: &str) {
        assert_eq!(lease.run::<String>("ECHO mine").unwrap(), "mine", "{after}");
        assert_eq!(lease.run::<String>("ACL WHOAMI").unwrap(), "ann", "{after}");
        assert_eq!(lease.run::<String>("CLIENT GETNAME").unwrap(), "own", "{after}");
        let line = client_line(&self.server, "own").expect("the server knows the name");
        for state in [" db=3 ", " flags=N "] {
            assert!(line.contains(state), "{after}: {line}");
        }
        let config: Value = lease.run("CONFIG GET maxmemory").unwrap();
        assert_eq!(matches!(config, Value::Map(_)), self.setup.protocol == 3, "{after}: {config:?}");
        // A transaction of its own, which no key that another watched can stop.
        self.other.run::<i64>("INCR watched").unwrap();
        lease.run::<()>("MULTI").unwrap();
        assert_eq!(lease.run::<String>("ECHO queued").unwrap(), "QUEUED", "{after}");
        let executed: Option<Vec<String>> = lease.run("EXEC").unwrap();
        assert_eq!(executed, Some(vec!["queued".to_owned()]), "{after}");
    }
}

/// Commands whose connection stays.
const MENDED: &[&[&str]] = &[
    &["SELECT 7"],
    &["MULTI"],
    &["MULTI", "SET k v"],
    &["MULTI", "NOSUCHCOMMAND"],
    &["WATCH watched"],
    &["WATCH watched", "MULTI", "SELECT 7", "SET k v"],
    &["MULTI", "SELECT 7", "EXEC"],
    &["AUTH bob his-word"],
    &["AUTH default any"],
    &["CLIENT SETNAME other"],
    &["CLIENT TRACKING ON"],
    &["CLIENT TRACKING ON BCAST PREFIX p"],
    &["HELLO 2"],
    &["HELLO 3"],
    &["RESET"],
    &[
        "SELECT 7",
        "AUTH bob his-word",
        "CLIENT SETNAME other",
        "CLIENT TRACKING ON",
        "WATCH watched",
        "MULTI",
    ],
];

fn what_can_be_mended_is_mended_and_the_connection_stays(setup: Setup) {
    let mut stage = Stage::new(setup);
    let id = stage.pool.get().unwrap().id();
    for lines in MENDED {
        let mut lease = stage.pool.get().unwrap();
        for line in *lines {
            // What it answers does not matter: an error leaves as much behind.
            let _ = lease.run::<Value>(line);
        }
        drop(lease);
        let mut next = stage.pool.get().unwrap();
        assert_eq!(next.id(), id, "after {lines:?}");
        stage.check_as_new(&mut next, &format!("{lines:?}"));
    }
    // Its own method for the database.
    let mut lease = stage.pool.get().unwrap();
    lease.select(9).unwrap();
    assert!(client_line(&stage.server, "own").unwrap().contains(" db=9 "));
    drop(lease);
    let mut next = stage.pool.get().unwrap();
    assert_eq!(next.id(), id);
    stage.check_as_new(&mut next, "select");
    assert_eq!(stage.pool.stats().created, 1);
}

/// What a borrower does by hand, by name.
type Doing = fn(&mut Lease) -> Result<()>;

const SPOILT: &[(&str, Doing)] = &[
    ("a reply that was not read", |lease| lease.send("ECHO theirs")),
    ("one of two replies read", |lease| {
        lease.send("ECHO theirs")?;
        lease.send("ECHO theirs")?;
        lease.read_reply::<String>().map(drop)
    }),
    ("a reply that comes late", |lease| lease.send("BLPOP nothing 0.05")),
    ("SUBSCRIBE", |lease| lease.send("SUBSCRIBE channel")),
    ("PSUBSCRIBE", |lease| lease.send("PSUBSCRIBE channel*")),
    ("MONITOR", |lease| {
        lease.send("MONITOR")?;
        lease.read_reply::<Value>().map(drop)
    }),
    ("CLIENT REPLY OFF", |lease| lease.send("CLIENT REPLY OFF")),
    ("CLIENT REPLY SKIP", |lease| lease.send("CLIENT REPLY SKIP")),
    ("QUIT", |lease| lease.run::<Value>("QUIT").map(drop)),
    ("bytes", |lease| {
        let commands = [Cmd::<Value>::new("SELECT").arg(7).to_bytes(), Cmd::<Value>::new("MULTI").to_bytes()];
        lease.send_packed(&commands.concat(), 2)?;
        lease.read_reply::<Value>()?;
        lease.read_reply::<Value>().map(drop)
    }),
    ("bytes with more replies than were said", |lease| {
        let commands = [words::<Value>("ECHO theirs").to_bytes(), words::<Value>("ECHO theirs").to_bytes()];
        // The other may come along, and then it is found out at once.
        let _ = lease.send_packed(&commands.concat(), 1).and_then(|()| lease.read_reply::<Value>());
        Ok(())
    }),
];

fn what_cannot_be_mended_takes_its_connection_with_it(setup: Setup) {
    let mut stage = Stage::new(setup);
    for (name, spoil) in SPOILT {
        let mut lease = stage.pool.get().unwrap();
        let id = lease.id();
        spoil(&mut lease).unwrap_or_else(|error| panic!("{name}: {error}"));
        drop(lease);
        let mut next = stage.pool.get().unwrap();
        assert_ne!(next.id(), id, "after {name}");
        // The one before is gone from the server, so that only one bears the name.
        eventually(name, LIMIT, || named_clients(&stage.server, "own") == 1);
        stage.check_as_new(&mut next, name);
    }
    let stats = stage.pool.stats();
    assert_eq!((stats.size, stats.created), (1, SPOILT.len() as u64 + 1), "{stats:?}");
}

/// Invalidations lie unread in the buffer of an idle connection: in RESP3 they are pushes, which belong to
/// no caller's call.
fn pushes_that_were_not_read_are_no_session_state(setup: Setup) {
    if setup.protocol == 2 {
        return resp2_has_no_pushes(setup);
    }
    let server = Server::start();
    let pool = setup.pool(&server.url(), "max_connections=1");
    for round in 0..5 {
        let mut lease = pool.get().unwrap();
        let id = lease.id();
        lease.run::<()>("CLIENT TRACKING ON").unwrap();
        let _: Option<String> = lease.run("GET tracked").unwrap();
        // Between two calls of the same user.
        server.command(&["SET", "tracked", "first"]).unwrap();
        assert_eq!(lease.run::<String>("GET tracked").unwrap(), "first");
        if round % 2 == 0 {
            // And while it is idle.
            drop(lease);
            server.command(&["SET", "tracked", "second"]).unwrap();
            lease = pool.get().unwrap();
        } else {
            server.command(&["SET", "tracked", "second"]).unwrap();
            drop(lease);
            lease = pool.get().unwrap();
        }
        assert_eq!(lease.run::<String>("ECHO mine").unwrap(), "mine");
        assert_eq!(lease.run::<String>("GET tracked").unwrap(), "second");
        assert_eq!(lease.id(), id, "round {round}");
    }
}

/// There, what comes unasked is a reply to an unknown command: the connection goes.
fn resp2_has_no_pushes(setup: Setup) {
    let fake = FakeServer::answering(|words| match words[0].as_slice() {
        b"ECHO" => b"$4\r\nmine\r\n".to_vec(),
        // One answer, and one more that was not asked for.
        b"GET" => b"$5\r\nright\r\n$5\r\nwrong\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    });
    let pool = setup.pool(&fake.url(), "max_connections=1");
    for round in 1..=3 {
        assert_eq!(pool.run::<String>("GET k").unwrap(), "right");
        assert_eq!(pool.run::<String>("ECHO mine").unwrap(), "mine");
        assert_eq!(fake.connections(), round + 1);
    }
}

fn what_is_put_right_by_its_user_costs_nothing(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "max_connections=1");
    let mut lease = pool.get().unwrap();
    let id = lease.id();
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    for lines in [&["MULTI", "INCR n", "EXEC"][..], &["WATCH n", "UNWATCH"], &["MULTI", "DISCARD"]] {
        for line in lines {
            lease.run::<Value>(line).unwrap();
        }
        drop(lease);
        lease = pool.get().unwrap();
    }
    let incremented = lease.pipeline(|p| -> Slot<i64> { p.run(cmd("INCR").arg("n")) }).unwrap();
    drop(lease);
    assert_eq!((incremented, pool.get().unwrap().id()), (2, id));
    for command in ["reset", "hello", "select", "ping", "client|setname"] {
        assert_eq!(server.calls(command), 0, "{command}");
    }
}

/// Counted by the server: a handshake, and then nothing but what callers say.
fn a_clean_connection_is_lent_without_a_round_trip(setup: Setup) {
    let server = Server::start();
    let pool = setup.open_pool(&server.url(), "max_connections=1").unwrap();
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let before = server.stat("total_commands_processed");
    let asking = server.stat("total_commands_processed") - before;
    let before = server.stat("total_commands_processed");
    for _ in 0..100 {
        pool.run::<Option<String>>("GET k").unwrap();
    }
    let said = server.stat("total_commands_processed") - before - asking;
    assert_eq!((said, server.calls("get")), (100, 100));
    assert_eq!(pool.stats().created, 1);
    // And with no command at all, none.
    let before = server.stat("total_commands_processed");
    (0..100).for_each(|_| drop(pool.get().unwrap()));
    assert_eq!(server.stat("total_commands_processed") - before - asking, 0);
}

fn a_connection_idle_for_long_is_asked_before_it_is_lent(setup: Setup) {
    let interval = Duration::from_millis(100);
    let server = Server::start();
    let pool = setup.open_pool(&server.url(), "max_connections=1&health_check_interval=100ms").unwrap();
    let id = pool.get().unwrap().id();
    // The testkit asked it as well when it started it.
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let begin = std::time::Instant::now();
    eventually("it is idle for long", LIMIT, || begin.elapsed() > interval + Duration::from_millis(20));
    assert_eq!(pool.get().unwrap().id(), id);
    assert_eq!(server.calls("ping"), 1);
}

/// Servers before 6.2, and proxies.
fn a_server_without_reset_gets_a_new_connection(setup: Setup) {
    let fake = FakeServer::answering(|words| match words[0].as_slice() {
        b"HELLO" => b"%1\r\n$5\r\nproto\r\n:3\r\n".to_vec(),
        b"ECHO" => b"$4\r\nmine\r\n".to_vec(),
        b"RESET" => b"-ERR unknown command 'RESET'\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    });
    let pool = setup.pool(&fake.url(), "max_connections=1");
    for round in 1..=3 {
        pool.run::<()>("MULTI").unwrap();
        assert_eq!(pool.run::<String>("ECHO mine").unwrap(), "mine");
        assert_eq!(fake.connections(), round + 1);
    }
}

/// The pool inside a client, whose own calls go over the same connections in the blocking driver.
fn clients_beside_a_lease_with_session_state_notice_nothing(setup: Setup) {
    let (_server, url) = server();
    let client = setup.client(&url, "db=3&client_name=own&max_connections=2");
    client.run::<()>("SET where three").unwrap();
    let pool = Pool::of(&client);
    for lines in MENDED {
        let mut lease = pool.get().unwrap();
        for line in *lines {
            let _ = lease.run::<Value>(line);
        }
        drop(lease);
        assert_eq!(client.run::<String>("GET where").unwrap(), "three", "after {lines:?}");
        assert_eq!(client.run::<String>("ACL WHOAMI").unwrap(), "ann", "after {lines:?}");
        // This one borrows in the async driver, too.
        let popped = client.run::<Option<(String, String)>>("BLPOP nothing 0.01");
        assert_eq!(popped.unwrap(), None, "after {lines:?}");
    }
    for (name, spoil) in SPOILT {
        let mut lease = pool.get().unwrap();
        spoil(&mut lease).unwrap_or_else(|error| panic!("{name}: {error}"));
        drop(lease);
        assert_eq!(client.run::<String>("GET where").unwrap(), "three", "after {name}");
        let popped = client.run::<Option<(String, String)>>("BLPOP nothing 0.01");
        assert_eq!(popped.unwrap(), None, "after {name}");
    }
}
