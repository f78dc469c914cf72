//! Servers that do not let in, or only in their own way. FAULTS 25: falls back once and remembers it, rights
//! that are missing are passed over; 26: a wrong password is no storm (I7), is told at once, and service
//! returns when it is right (I6).

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use redwire::{AuthenticationFault, ErrorKind, Outcome, Value};
use redwire_testkit::{FakeServer, Proxy, Server, Step, eventually, expect, expect_name, reply};

use crate::common::pool::Pool;
use crate::common::{LIMIT, Setup, timed};

both!(
    a_server_without_hello_is_authenticated_to_once_and_remembered,
    a_server_that_wants_a_password_says_so,
    a_user_without_rights_to_client_comes_in,
    fifty_workers_with_a_wrong_password_make_no_storm,
);

fn a_server_without_hello_is_authenticated_to_once_and_remembered(setup: Setup) {
    let get = || [expect(&["GET", "k"]), reply("$1\r\nv\r\n")];
    let auth = || [expect(&["AUTH", "ann", "word"]), reply("+OK\r\n")];
    let mut first: Vec<Step> = Vec::new();
    if setup.protocol == 3 {
        first.extend([expect_name("HELLO"), reply("-ERR unknown command 'HELLO'\r\n")]);
    }
    first.extend(auth());
    first.extend(get());
    first.push(Step::Close);
    let second: Vec<Step> = auth().into_iter().chain(get()).collect();
    let fake = FakeServer::scripts([first, second]);
    let client = setup.client(&fake.url().replace("redis://", "redis://ann:word@"), "lib_name=&lib_version=");
    for _ in 0..2 {
        assert_eq!(client.run::<String>("GET k").unwrap(), "v");
    }
    fake.verify();
}

fn a_server_that_wants_a_password_says_so(setup: Setup) {
    let server = Server::builder().password("word").start();
    let url = format!("redis://127.0.0.1:{}", server.port());
    let wanted = ErrorKind::Authentication(AuthenticationFault::PasswordRequired);
    let options = redwire::config::Config::builder().port(server.port()).host("127.0.0.1");
    // RESP2 says nothing that would be refused before the first command, unless there is a database to
    // select.
    for result in [setup.connect(&format!("{url}/1"), ""), setup.open(options.db(1))] {
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (wanted, Outcome::NotSent), "{error}");
    }
    // A password that is demanded later, of a connection that is in, changes nothing for it.
    let client = setup.client(&server.url(), "");
    server.command(&["CONFIG", "SET", "requirepass", "another"]).unwrap();
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
}

fn a_user_without_rights_to_client_comes_in(setup: Setup) {
    let server = Server::builder().acl_line("user poor on >pw ~* +@all -client -hello").start();
    let url = format!("redis://poor:pw@127.0.0.1:{}", server.port());
    let client = setup.client(&url, "client_name=poor&max_connections=2");
    assert_eq!(client.run::<String>("ACL WHOAMI").unwrap(), "poor");
    let pool = Pool::of(&client);
    // What is left behind can be mended without these rights, too.
    for _ in 0..3 {
        let mut lease = pool.get().unwrap();
        assert_eq!(lease.run::<String>("ACL WHOAMI").unwrap(), "poor");
        lease.run::<()>("MULTI").unwrap();
    }
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
}

fn fifty_workers_with_a_wrong_password_make_no_storm(setup: Setup) {
    let server = Server::builder().acl_line("user ann on >right ~* +@all").start();
    let proxy = Proxy::start(server.addr());
    let change = |word: &str| server.command(&["ACL", "SETUSER", "ann", "resetpass", word]).unwrap();
    let url = proxy.url().replace("redis://", "redis://ann:right@");
    let options = || redwire::config::Config::builder().url(&setup.url(&url, "timeout=5s"));
    let pool = setup.lazy_pool(options()).unwrap();
    assert_eq!(pool.get().unwrap().run::<String>("PING").unwrap(), "PONG");
    change(">changed");
    proxy.reset_all();
    eventually("no client is in", LIMIT, || proxy.open() == 0);
    eventually("the pool has noticed", LIMIT, || pool.get().is_err());
    let wrong = ErrorKind::Authentication(AuthenticationFault::WrongPassword);
    let (before, end) = (proxy.connections(), Instant::now() + Duration::from_secs(1));
    let worst = Mutex::new(Duration::ZERO);
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                while Instant::now() < end {
                    let (result, took) = timed(|| pool.get().map(drop));
                    let error = result.expect_err("no client is let in");
                    assert_eq!((error.kind(), error.outcome()), (wrong, Outcome::NotSent), "{error}");
                    let mut worst = worst.lock().unwrap();
                    *worst = took.max(*worst);
                    drop(worst);
                    // Without a pause the workers would take the processor from the server.
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
    });
    let opened = proxy.connections() - before;
    // Full jitter from 10 ms to 1 s makes about eight tries in the first second; chance may double that.
    assert!(opened <= 20, "{opened} connections in a second");
    // At once: no caller waited for the deadline.
    let worst = worst.into_inner().unwrap();
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    change(">right");
    let mended = Instant::now();
    eventually("service returns", LIMIT, || {
        pool.get().is_ok_and(|mut lease| lease.run::<Value>("PING").is_ok())
    });
    assert!(mended.elapsed() < Duration::from_millis(1500), "{:?}", mended.elapsed());
}
