//! A server that is told to go down: success is told as such, and once. FAULTS 75.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use redwire::{ErrorKind, EventKind, Outcome, Value, cmd};
use redwire_testkit::{FakeServer, Server, Step, eventually, expect, expect_name, reply};

use crate::common::pool::Pool;
use crate::common::{LIMIT, Setup, timed};

both!(
    a_shutdown_that_works_is_told_so,
    a_shutdown_is_sent_once,
    a_shutdown_that_is_refused_is_an_error,
    a_shutdown_waits_for_replicas_and_can_be_called_off,
);

fn a_shutdown_that_works_is_told_so(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let pool = Pool::of(&client);
    client.run::<()>("SET k v").unwrap();
    let mut events = pool.events();
    client.execute::<()>(cmd("SHUTDOWN").arg("NOSAVE")).unwrap();
    eventually("it is down", LIMIT, || !server.is_up());
    // No client storms the place where it was.
    let connects = AtomicUsize::new(0);
    let (_, took) = timed(|| {
        while let Some(event) = events.next_within(Duration::from_millis(200)) {
            connects.fetch_add(usize::from(matches!(event.kind, EventKind::Connecting)), Ordering::Relaxed);
            if connects.load(Ordering::Relaxed) > 20 {
                break;
            }
        }
    });
    assert!(connects.into_inner() <= 20, "{took:?}");
    server.restart();
    eventually("it is back", LIMIT, || client.run::<Value>("PING").is_ok());
    assert_eq!(pool.get().unwrap().run::<String>("SHUTDOWN NOSAVE").unwrap(), "OK");
    eventually("it is down", LIMIT, || !server.is_up());
    server.restart();
    let mut connection = setup.connection(&server.url(), "");
    assert!(matches!(connection.run("shutdown nosave").unwrap(), Value::Status(ok) if ok == "OK"));
    eventually("it is down", LIMIT, || !server.is_up());
    // There is no server to be told now, and that is not taken for success.
    let error = client.run::<()>("SHUTDOWN NOSAVE").unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
}

fn a_shutdown_is_sent_once(setup: Setup) {
    let greeting = |setup: Setup| match setup.protocol {
        3 => vec![expect_name("HELLO"), reply("%1\r\n+proto\r\n:3\r\n")],
        _ => Vec::new(),
    };
    for end in [Step::Close, Step::Reset] {
        let steps = [greeting(setup), vec![expect(&["SHUTDOWN"]), end]].concat();
        let fake = FakeServer::script(steps);
        let options = "lib_name=&lib_version=&idempotent=yes&retries=5";
        setup.lazy(&fake.url(), options).unwrap().run::<()>("SHUTDOWN").unwrap();
        let sent = fake.received().iter().filter(|words| words[0] == b"SHUTDOWN").count();
        assert_eq!(sent, 1);
        fake.verify();
    }
    let busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n";
    let fake = FakeServer::answering(move |words| match words[0].as_slice() {
        b"SHUTDOWN" => busy.as_bytes().to_vec(),
        b"HELLO" => b"%1\r\n+proto\r\n:3\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    });
    let error = setup.client(&fake.url(), "").run::<()>("SHUTDOWN").unwrap_err();
    assert_eq!((error.kind(), error.tries()), (ErrorKind::Busy, 1), "{error}");
}

fn a_shutdown_that_is_refused_is_an_error(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let error = client.run::<()>("SHUTDOWN NOSUCH").unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Response, Outcome::Rejected), "{error}");
    let error = client.pipeline(|p| redwire::Run::run(p, cmd::<()>("SHUTDOWN").arg("NOSAVE"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(server.is_up());
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
}

/// From Redis 7.0 on a server waits for replicas that lag.
fn a_shutdown_waits_for_replicas_and_can_be_called_off(setup: Setup) {
    let master = Server::builder().arg("repl-diskless-sync-delay", "0").start();
    if master.version() < (7, 0, 0) {
        return;
    }
    let replica = Server::start();
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).unwrap();
    eventually("it follows", LIMIT, || {
        replica.info("replication").get("master_link_status").is_some_and(|status| status == "up")
    });
    let client = setup.client(&master.url(), "");
    replica.freeze();
    client.run::<()>("SET k v").unwrap();
    let calling_off = || {
        eventually("it waits", LIMIT, || master.info("server").contains_key("shutdown_in_milliseconds"));
        client.run::<String>("SHUTDOWN ABORT")
    };
    thread::scope(|scope| {
        let calling_off = scope.spawn(calling_off);
        let error = client.run::<()>("SHUTDOWN NOSAVE").unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Response, Outcome::Rejected), "{error}");
        assert_eq!(calling_off.join().unwrap().unwrap(), "OK");
    });
    let error = client.run::<()>("SHUTDOWN ABORT").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Response, "{error}");
    // Not on the same connection: Redis 7.0 falls over whatever comes next there, and Valkey does not answer
    // it.
    client.run::<String>("GET k").unwrap();
    // Longer than the client's own deadline; once the replica has it, the server goes.
    let hasty = setup.lazy(&master.url(), "timeout=200ms").unwrap();
    thread::scope(|scope| {
        let going = scope.spawn(|| timed(|| hasty.run::<()>("SHUTDOWN NOSAVE")));
        eventually("it waits", LIMIT, || master.info("server").contains_key("shutdown_in_milliseconds"));
        thread::sleep(Duration::from_millis(300));
        assert!(master.is_up());
        replica.thaw();
        let (result, took) = going.join().unwrap();
        result.unwrap();
        assert!(took > Duration::from_millis(300), "{took:?}");
    });
    eventually("it is down", LIMIT, || !master.is_up());
}
