//! A `Connection` held by hand: out of step, packed, with state of its own, lost and made anew. REFERENCE C5,
//! N5.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use redwire::{ErrorKind, Outcome, Run, Slot, Value, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually, shared};

use crate::common::{LIMIT, Setup, client_line, kill_named, runtime, words};

both!(
    replies_are_read_when_the_caller_likes,
    packed_commands_are_sent_as_they_are,
    can_read_waits_no_longer_than_told,
    the_database_chosen_stays_until_the_connection_ends,
    transactions_work_on_ones_own_connection,
    callbacks_run_at_each_connect,
    a_failing_callback_closes_the_connection,
    a_lost_connection_stays_lost_until_made_anew,
    a_late_reply_goes_to_no_other_call,
    commands_without_a_single_reply_are_for_send,
);

fn replies_are_read_when_the_caller_likes(setup: Setup) {
    for url in [shared().url(), shared().unix_url()] {
        let mut connection = setup.connection(&url, "");
        for i in 0..5 {
            connection.send(&format!("ECHO {i}")).unwrap();
        }
        assert_eq!(connection.read_reply::<i64>().unwrap(), 0);
        connection.send("ECHO 5").unwrap();
        // A call in between has its own reply, and leaves the others.
        assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
        for i in 1..=5 {
            assert_eq!(connection.read_reply::<i64>().unwrap(), i);
        }
        let error = connection.read_reply::<i64>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        connection.send("NOSUCHCOMMAND").unwrap();
        assert_eq!(connection.read_reply::<Value>().unwrap_err().code(), Some("ERR"));
        assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
    }
}

fn packed_commands_are_sent_as_they_are(setup: Setup) {
    let mut connection = setup.connection(&shared().url(), "");
    let packed = [cmd::<()>("ECHO").arg("a").to_bytes(), cmd::<()>("ECHO").arg("b").to_bytes()].concat();
    connection.send_packed(&packed, 2).unwrap();
    assert_eq!(connection.read_reply::<String>().unwrap(), "a");
    assert_eq!(connection.read_reply::<String>().unwrap(), "b");
    connection.send_packed(b"PING\r\n", 1).unwrap();
    assert_eq!(connection.read_reply::<String>().unwrap(), "PONG");
    let replies: (String, String) = connection
        .pipeline(|p| -> (Slot<String>, Slot<String>) { (p.run(words("ECHO x")), p.run(words("ECHO y"))) })
        .unwrap();
    assert_eq!(replies, ("x".to_owned(), "y".to_owned()));
}

fn can_read_waits_no_longer_than_told(setup: Setup) {
    let server = shared();
    let mut connection = setup.connection(&server.url(), "");
    let list = setup.key("can-read");
    assert!(!connection.can_read(Duration::ZERO).unwrap(), "nothing was asked");
    connection.send(&format!("BLPOP {list} 0")).unwrap();
    assert!(!connection.can_read(Duration::from_millis(20)).unwrap());
    server.command(&["RPUSH", &list, "item"]).unwrap();
    assert!(connection.can_read(LIMIT).unwrap());
    assert!(connection.can_read(Duration::ZERO).unwrap());
    assert_eq!(connection.read_reply::<(String, String)>().unwrap(), (list, "item".to_owned()));
    assert!(!connection.can_read(Duration::ZERO).unwrap());
}

fn the_database_chosen_stays_until_the_connection_ends(setup: Setup) {
    let server = shared();
    let name = setup.key("select").replace(':', "-");
    let mut connection = setup.connection(&server.url(), &format!("client_name={name}"));
    connection.select(5).unwrap();
    assert_eq!(connection.db(), Some(5));
    connection.send("SELECT 6").unwrap();
    assert_eq!(connection.db(), None, "its answer was not read");
    connection.read_reply::<()>().unwrap();
    connection.select(5).unwrap();
    for _ in 0..3 {
        connection.run::<String>("PING").unwrap();
        assert!(client_line(server, &name).unwrap().contains(" db=5 "));
    }
    assert_eq!(connection.select(999).unwrap_err().outcome(), Outcome::Rejected);
    connection.reconnect().unwrap();
    connection.run::<String>("PING").unwrap();
    assert!(client_line(server, &name).unwrap().contains(" db=0 "));
}

fn transactions_work_on_ones_own_connection(setup: Setup) {
    let mut connection = setup.connection(&shared().url(), "");
    let key = setup.key("multi");
    connection.run::<()>("MULTI").unwrap();
    assert_eq!(connection.run::<String>(&format!("SET {key} 1")).unwrap(), "QUEUED");
    assert_eq!(connection.run::<String>(&format!("INCR {key}")).unwrap(), "QUEUED");
    let (ok, n): (String, i64) = connection.run("EXEC").unwrap();
    assert_eq!((ok.as_str(), n), ("OK", 2));
}

fn callbacks_run_at_each_connect(setup: Setup) {
    let server = shared();
    let mut connection = setup.connection(&server.url(), "");
    connection.run::<i64>("DEL on-connect:none").unwrap();
    let key: &'static str = Box::leak(setup.key("on-connect").into_boxed_str());
    connection.run::<i64>(&format!("DEL {key}")).unwrap();
    connection.on_connect(Box::leak(format!("INCR {key}").into_boxed_str()));
    connection.on_connect(Box::leak(format!("APPEND {key} 0").into_boxed_str()));
    assert_eq!(connection.run::<Option<String>>(&format!("GET {key}")).unwrap(), None);
    for value in ["10", "110", "1110"] {
        connection.reconnect().unwrap();
        assert_eq!(connection.run::<String>(&format!("GET {key}")).unwrap(), value);
    }
    // After a disconnect the next command connects, callbacks included.
    connection.disconnect();
    assert!(!connection.is_connected());
    assert_eq!(connection.run::<String>(&format!("GET {key}")).unwrap(), "11110");
    connection.clear_on_connect();
    connection.reconnect().unwrap();
    assert_eq!(connection.run::<String>(&format!("GET {key}")).unwrap(), "11110");
}

fn a_failing_callback_closes_the_connection(setup: Setup) {
    let mut connection = setup.connection(&shared().url(), "");
    connection.on_connect("INCR no such arity");
    let error = connection.reconnect().unwrap_err();
    assert!(error.to_string().contains("callback"), "{error}");
    assert_eq!(error.code(), Some("ERR"));
    assert!(!connection.is_connected());
    assert!(connection.run::<String>("PING").is_err(), "it connects again, and fails again");
    connection.clear_on_connect();
    assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
}

fn a_lost_connection_stays_lost_until_made_anew(setup: Setup) {
    let server = Server::start();
    let mut connection = setup.connection(&server.url(), "timeout=2s");
    assert!(connection.is_connected());
    assert_eq!(connection.run::<i64>("INCR n").unwrap(), 1);
    server.kill();
    let error = connection.run::<i64>("INCR n").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error}");
    assert!(!connection.is_connected());
    let error = connection.run::<i64>("INCR n").unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    server.restart();
    let error = connection.run::<i64>("INCR n").unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "state is gone, so it is not made anew unasked: {error}");
    connection.reconnect().unwrap();
    assert!(connection.is_connected());
    assert_eq!(connection.run::<i64>("INCR n").unwrap(), 1);
    // Replies under way are lost with the connection, and no others.
    connection.send("ECHO lost").unwrap();
    connection.reconnect().unwrap();
    assert_eq!(connection.read_reply::<String>().unwrap_err().kind(), ErrorKind::Usage);
    assert_eq!(connection.run::<String>("ECHO found").unwrap(), "found");
}

fn a_late_reply_goes_to_no_other_call(setup: Setup) {
    let server = shared();
    let list = setup.key("late");
    let mut connection = setup.connection(&server.url(), "timeout=50ms");
    connection.send(&format!("BLPOP {list} 0")).unwrap();
    let error = connection.read_reply::<Value>().unwrap_err();
    assert!(error.is_timeout(), "{error}");
    server.command(&["RPUSH", &list, "late"]).unwrap();
    for i in 0..100 {
        // Either its own reply, or an honest failure of a connection that is out of step.
        match connection.run::<i64>(&format!("ECHO {i}")) {
            Ok(echo) => assert_eq!(echo, i),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Connection(_)) || error.is_timeout(), "{error}")
            }
        }
    }
}

fn commands_without_a_single_reply_are_for_send(setup: Setup) {
    let mut connection = setup.connection(&shared().url(), "");
    for line in ["SUBSCRIBE c", "MONITOR", "CLIENT REPLY OFF"] {
        let error = connection.run::<Value>(line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{line}: {error}");
        assert!(error.to_string().contains("send"), "{error}");
    }
    assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
}

/// Futures of a connection that were dropped at any point leave it in order. FAULTS 1.
#[test]
fn dropped_calls_leave_the_connection_in_order() {
    let proxy = Proxy::seeded(shared().addr(), 7);
    runtime().block_on(async {
        let mut connection = redwire::Connection::connect(&proxy.url()).await.unwrap();
        proxy.set(Direction::ToClient, Fault::Delay { min: Duration::ZERO, max: Duration::from_millis(2) });
        let mut rng = fastrand::Rng::with_seed(11);
        let mut dropped = 0;
        for i in 0..500 {
            let large = "x".repeat(rng.usize(..20_000));
            let mut call = pin!(connection.run(cmd::<String>("ECHO").arg(format!("{i}{large}"))));
            if rng.bool() {
                let polls = rng.usize(..4);
                for _ in 0..polls {
                    if call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                dropped += 1;
            } else {
                assert!(call.await.unwrap() == format!("{i}{large}"), "call {i}");
            }
        }
        assert!(dropped > 100);
        assert_eq!(connection.run(cmd::<String>("PING")).await.unwrap(), "PONG");
    });
    assert_eq!(proxy.connections(), 1, "dropping closes nothing");
}

/// A future of `Connection` may move between threads.
#[test]
fn a_connection_and_its_calls_are_send() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    runtime().block_on(async {
        let mut connection = send(redwire::Connection::connect(&shared().url()).await.unwrap());
        let pong: String = send(connection.run(cmd("PING"))).await.unwrap();
        assert_eq!(pong, "PONG");
        let pong: String = send(connection.pipeline(|p| p.run(cmd("PING")))).await.unwrap();
        assert_eq!(pong, "PONG");
        send(connection.send(&cmd::<Value>("PING"))).await.unwrap();
        assert_eq!(send(connection.read_reply::<String>()).await.unwrap(), "PONG");
    });
    let connection = send(redwire::blocking::Connection::connect(&shared().url()).unwrap());
    drop(connection);
}

/// The server's side of a connection that was killed is noticed by the next command.
#[test]
fn a_killed_connection_is_noticed() {
    let server = shared();
    for setup in Setup::ALL {
        let name = setup.key("killed").replace(':', "-");
        let mut connection = setup.connection(&server.url(), &format!("client_name={name}"));
        assert_eq!(kill_named(server, &name), 1);
        let error = connection.run::<String>("PING").unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{setup:?}: {error}");
        assert!(!connection.is_connected());
        eventually("the server forgets it", LIMIT, || client_line(server, &name).is_none());
        connection.reconnect().unwrap();
        assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
    }
}
