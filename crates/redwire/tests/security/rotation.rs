//! Credentials that change while connections live: each authenticates anew between two replies, and no call
//! fails. FAULTS 27.
//!
//! The users take turns, so that the server itself tells by whose name each connection goes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use redwire::config::{Config, ConfigBuilder};
use redwire::credentials::{
    CredentialFuture, CredentialProvider, Credentials, Provider, RotatingCredentials,
};
use redwire::{AuthenticationFault, Error, ErrorKind, EventKind, Result};
use redwire_testkit::{Server, eventually};

use crate::common::pool::{Events, Pool};
use crate::common::{Client, Driver, LIMIT, Setup, TellOnDrop, kill_named, shown};

both!(
    no_call_notices_that_credentials_rotate,
    idle_connections_learn_of_it_when_they_are_lent,
    refused_credentials_are_told_and_calls_go_on,
    refused_credentials_mix_up_no_replies,
    credentials_arrive_though_the_server_takes_no_connection,
    credentials_that_change_during_a_connect_arrive_too,
    a_client_that_says_nothing_authenticates_too,
    answers_that_come_out_of_order_end_with_the_newest,
    a_provider_that_fails_is_told_and_calls_go_on,
    a_conversation_is_not_interrupted,
);

const USERS: [&str; 2] = ["even", "odd"];

/// A server whose users have no password yet.
fn server() -> Server {
    let server = Server::builder().password("admin-word").start();
    (0..USERS.len()).for_each(|turn| drop(renew(&server, turn)));
    server
}

/// Gives the user whose turn it is a new password. The one before is good no more.
fn renew(server: &Server, turn: usize) -> Credentials {
    let (user, password) = (USERS[turn % USERS.len()], format!("word-{turn}"));
    let word = format!(">{password}");
    let words = ["ACL", "SETUSER", user, "on", "resetpass", &word, "~*", "&*", "+@all"];
    assert_eq!(server.command(&words).unwrap(), "OK");
    Credentials::new(user, password)
}

fn at(server: &Server, provider: impl Into<Provider>) -> ConfigBuilder {
    Config::builder().host("127.0.0.1").port(server.port()).credential_provider(provider)
}

/// The users of the connections with this name.
fn users(server: &Server, name: &str) -> Vec<String> {
    let clients = server.client_list();
    clients.into_iter().filter(|client| client["name"] == name).map(|client| client["user"].clone()).collect()
}

fn no_call_notices_that_credentials_rotate(setup: Setup) {
    const TURNS: usize = 8;
    let server = server();
    let rotating = RotatingCredentials::new(renew(&server, 0));
    let options = at(&server, rotating.clone()).client_name("rotates").max_connections(7);
    let client = setup.open(options.clone()).unwrap();
    let pool = Pool::of(&client);
    let mut held = pool.get().unwrap();
    let mut connection = setup.open_connection(options).unwrap();
    let (ended, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
    let until_the_end = |call: &mut dyn FnMut() -> Result<()>| {
        while !ended.load(Ordering::Relaxed) {
            call().unwrap_or_else(|error| panic!("{}", shown(&error)));
            calls.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for caller in 0..4 {
            let (client, until_the_end) = (&client, &until_the_end);
            scope.spawn(move || until_the_end(&mut || client.run::<()>(&format!("SET caller{caller} v"))));
        }
        for _ in 0..2 {
            scope.spawn(|| until_the_end(&mut || pool.get()?.run::<String>("PING").map(drop)));
        }
        scope.spawn(|| {
            until_the_end(&mut || client.run::<Option<(String, String)>>("BLPOP no 0.01").map(drop))
        });
        scope.spawn(|| until_the_end(&mut || held.run::<i64>("INCR held").map(drop)));
        scope.spawn(|| until_the_end(&mut || connection.run::<i64>("INCR by-hand").map(drop)));
        for turn in 1..=TURNS {
            let credentials = renew(&server, turn);
            rotating.rotate(credentials);
            thread::sleep(Duration::from_millis(200));
        }
        ended.store(true, Ordering::Relaxed);
    });
    let newest = USERS[TURNS % USERS.len()];
    assert_eq!(held.run::<String>("ACL WHOAMI").unwrap(), newest);
    assert_eq!(connection.run::<String>("ACL WHOAMI").unwrap(), newest);
    eventually("the client goes by the new name", LIMIT, || {
        client.run::<String>("ACL WHOAMI").unwrap() == newest
    });
    // All the others, lent at the same time: none is left over. The async client shares one of the seven.
    let others = if setup.driver == Driver::Blocking { 6 } else { 5 };
    let mut others: Vec<_> = (0..others).map(|_| pool.get().unwrap()).collect();
    others.iter_mut().for_each(|lease| assert_eq!(lease.run::<String>("ACL WHOAMI").unwrap(), newest));
    let users = users(&server, "rotates");
    assert!(users.len() >= 7 && users.iter().all(|user| user == newest), "{users:?}");
    assert!(calls.into_inner() > 100);
    assert!(server.calls("auth") > TURNS as i64);
}

fn idle_connections_learn_of_it_when_they_are_lent(setup: Setup) {
    let server = server();
    let rotating = RotatingCredentials::new(renew(&server, 0));
    let pool = setup.lazy_pool(at(&server, rotating.clone()).client_name("idle")).unwrap();
    let ids: Vec<i64> = {
        let mut leases = [pool.get().unwrap(), pool.get().unwrap()];
        leases.iter_mut().map(|lease| lease.run("CLIENT ID").unwrap()).collect()
    };
    let asked = server.calls("auth");
    rotating.rotate(renew(&server, 1));
    for round in 0..2 {
        let mut leases = [pool.get().unwrap(), pool.get().unwrap()];
        for lease in &mut leases {
            assert_eq!(lease.run::<String>("ACL WHOAMI").unwrap(), "odd");
            assert!(ids.contains(&lease.run("CLIENT ID").unwrap()), "the same connection");
        }
        // Once each, and not at each lease.
        let others = server.calls("auth") - asked;
        assert!(others >= 2, "{round}: {others}");
    }
    let before = server.calls("auth");
    drop(pool.get().unwrap());
    // The question itself comes over a connection that authenticates.
    assert_eq!(server.calls("auth") - before, 1);
}

fn refused_credentials_are_told_and_calls_go_on(setup: Setup) {
    let server = server();
    let rotating = RotatingCredentials::new(renew(&server, 0));
    let options = at(&server, rotating.clone()).client_name("refused");
    let client = setup.open(options.clone()).unwrap();
    let mut connection = setup.open_connection(options).unwrap();
    let mut events = Pool::of(&client).events();
    rotating.rotate(Credentials::new("odd", "not-the-word"));
    assert_eq!(client.run::<String>("ACL WHOAMI").unwrap(), "even");
    let refused = next_refusal(&mut events, LIMIT).expect("it is told");
    assert_eq!(refused.kind(), ErrorKind::Authentication(AuthenticationFault::WrongPassword), "{refused}");
    assert!(!shown(&refused).contains("not-the-word") && refused.address().is_some());
    for _ in 0..10 {
        assert_eq!(client.run::<String>("ACL WHOAMI").unwrap(), "even");
        assert_eq!(connection.run::<String>("ACL WHOAMI").unwrap(), "even");
    }
    // Asked once, not before each call.
    let again = std::iter::from_fn(|| next_refusal(&mut events, Duration::from_millis(20))).count();
    assert_eq!(again, 0);
    // A new connection cannot come in; it can once the credentials are good.
    kill_named(&server, "refused");
    eventually("the cause is told", LIMIT, || {
        let result = client.run::<i64>("INCR n");
        result.is_err_and(|error| matches!(error.kind(), ErrorKind::Authentication(_)))
    });
    rotating.rotate(renew(&server, 1));
    eventually("service returns", Duration::from_millis(1500), || {
        client.run::<String>("ACL WHOAMI").is_ok_and(|user| user == "odd")
    });
}

/// Some servers do not answer an `AUTH` that they refuse behind other commands: what comes then belongs to
/// the next call.
fn refused_credentials_mix_up_no_replies(setup: Setup) {
    let server = server();
    let rotating = RotatingCredentials::new(renew(&server, 0));
    let client = setup.open(at(&server, rotating.clone())).unwrap();
    let mut events = Pool::of(&client).events();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = TellOnDrop(&done);
        for caller in 0..4 {
            let (client, done) = (&client, &done);
            scope.spawn(move || {
                let mut calls = 0;
                while !done.load(Ordering::Relaxed) {
                    let word = format!("{caller}:{calls}");
                    match client.run::<String>(&format!("ECHO {word}")) {
                        Ok(reply) => assert_eq!(reply, word),
                        // A blocking call may need a new connection, which cannot come in.
                        Err(error) => {
                            assert!(matches!(error.kind(), ErrorKind::Authentication(_)), "{error}")
                        }
                    }
                    calls += 1;
                }
            });
        }
        for turn in 0..20 {
            rotating.rotate(Credentials::new("odd", format!("wrong-{turn}")));
            let told = next_refusal(&mut events, LIMIT);
            if told.is_none() || turn == 19 {
                done.store(true, Ordering::Relaxed);
            }
            assert!(told.is_some(), "refusal {turn} is told");
        }
    });
}

/// A trial of new credentials that fails for another reason says nothing about them.
fn credentials_arrive_though_the_server_takes_no_connection(setup: Setup) {
    let server = server();
    let rotating = RotatingCredentials::new(renew(&server, 0));
    let client = setup.open(at(&server, rotating.clone())).unwrap();
    let newest = renew(&server, 1);
    assert_eq!(server.command(&["CONFIG", "SET", "maxclients", "1"]).unwrap(), "OK");
    rotating.rotate(newest);
    eventually("the newest are presented", LIMIT, || client.run::<String>("ACL WHOAMI").unwrap() == "odd");
}

/// The next refusal, if no event before it takes longer than `limit`.
fn next_refusal(events: &mut Events, limit: Duration) -> Option<Error> {
    while let Some(event) = events.next_within(limit) {
        if let EventKind::Refused(error) = event.kind {
            return Some(error);
        }
    }
    None
}

/// Gives the newest credentials of several, and takes so long for each as it is told. It may have none.
struct Slow {
    given: Mutex<Vec<(Option<Credentials>, Duration)>>,
    version: AtomicUsize,
    asked: AtomicUsize,
    listeners: Mutex<Vec<Weak<dyn Fn() + Send + Sync>>>,
}

impl Slow {
    fn new(credentials: Credentials, pause: Duration) -> Arc<Self> {
        Arc::new(Self {
            given: Mutex::new(vec![(Some(credentials), pause)]),
            version: AtomicUsize::new(1),
            asked: AtomicUsize::new(0),
            listeners: Mutex::default(),
        })
    }

    fn rotate(&self, credentials: impl Into<Option<Credentials>>, pause: Duration) {
        let credentials = credentials.into();
        self.given.lock().unwrap().push((credentials, pause));
        self.version.fetch_add(1, Ordering::SeqCst);
        let listeners = self.listeners.lock().unwrap().clone();
        listeners.iter().filter_map(Weak::upgrade).for_each(|listener| listener());
    }

    fn newest(&self) -> (Result<Credentials>, Duration) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let (credentials, pause) = self.given.lock().unwrap().last().cloned().unwrap();
        (credentials.ok_or_else(|| Error::usage("the vault is sealed")), pause)
    }
}

impl CredentialProvider for Slow {
    fn credentials(&self) -> Result<Credentials> {
        let (credentials, pause) = self.newest();
        thread::sleep(pause);
        credentials
    }

    fn credentials_future(&self) -> CredentialFuture<'_> {
        let (credentials, pause) = self.newest();
        Box::pin(async move {
            tokio::time::sleep(pause).await;
            credentials
        })
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst) as u64
    }

    fn on_change(&self, notify: Weak<dyn Fn() + Send + Sync>) {
        self.listeners.lock().unwrap().push(notify);
    }
}

fn credentials_that_change_during_a_connect_arrive_too(setup: Setup) {
    let server = server();
    let slow = Slow::new(renew(&server, 0), Duration::from_millis(100));
    let options = at(&server, Arc::clone(&slow));
    let client = thread::scope(|scope| {
        let connecting = scope.spawn(|| setup.open(options).unwrap());
        eventually("the provider is asked", LIMIT, || slow.asked.load(Ordering::SeqCst) == 1);
        slow.rotate(renew(&server, 1), Duration::ZERO);
        connecting.join().unwrap()
    });
    eventually("the client goes by the new name", Duration::from_secs(1), || {
        client.run::<String>("ACL WHOAMI").unwrap() == "odd"
    });
}

fn a_client_that_says_nothing_authenticates_too(setup: Setup) {
    let server = server();
    let rotating = RotatingCredentials::new(renew(&server, 0));
    let client = setup.open(at(&server, rotating.clone()).client_name("quiet")).unwrap();
    assert_eq!(users(&server, "quiet"), ["even"]);
    rotating.rotate(renew(&server, 1));
    match client {
        Client::Tokio(_) => eventually("the name has changed", LIMIT, || users(&server, "quiet") == ["odd"]),
        // A connection that is not used is not watched: it is the first thing said when it is used.
        Client::Blocking(client) => {
            client.execute(redwire::cmd::<String>("PING")).unwrap();
            assert_eq!(users(&server, "quiet"), ["odd"]);
        }
    }
}

fn answers_that_come_out_of_order_end_with_the_newest(setup: Setup) {
    let server = server();
    let slow = Slow::new(renew(&server, 0), Duration::ZERO);
    let options = at(&server, Arc::clone(&slow));
    let client = setup.open(options).unwrap();
    // The provider is asked twice; the older answer takes longer, and both are good.
    slow.rotate(renew(&server, 1), Duration::from_millis(100));
    if matches!(client, Client::Tokio(_)) {
        eventually("the provider is asked", LIMIT, || slow.asked.load(Ordering::SeqCst) == 2);
    }
    slow.rotate(renew(&server, 2), Duration::ZERO);
    thread::sleep(Duration::from_millis(150));
    eventually("the client goes by the newest name", Duration::from_secs(1), || {
        client.run::<String>("ACL WHOAMI").unwrap() == "even"
    });
    for _ in 0..10 {
        assert_eq!(client.run::<String>("ACL WHOAMI").unwrap(), "even");
    }
}

fn a_provider_that_fails_is_told_and_calls_go_on(setup: Setup) {
    let server = server();
    let slow = Slow::new(renew(&server, 0), Duration::ZERO);
    let client = setup.open(at(&server, Arc::clone(&slow))).unwrap();
    let pool = Pool::of(&client);
    let mut held = pool.get().unwrap();
    drop(pool.get().unwrap());
    let mut events = pool.events();
    slow.rotate(None, Duration::ZERO);
    for _ in 0..5 {
        assert_eq!(client.run::<String>("ACL WHOAMI").unwrap(), "even");
        assert_eq!(held.run::<String>("ACL WHOAMI").unwrap(), "even");
        assert_eq!(pool.get().unwrap().run::<String>("ACL WHOAMI").unwrap(), "even");
    }
    let told = next_refusal(&mut events, LIMIT).expect("it is told");
    assert!(told.to_string().contains("the vault is sealed"), "{told}");
    // Each connection asks once for each change.
    assert!(slow.asked.load(Ordering::SeqCst) <= 8, "{}", slow.asked.load(Ordering::SeqCst));
    slow.rotate(renew(&server, 1), Duration::ZERO);
    assert_eq!(held.run::<String>("ACL WHOAMI").unwrap(), "odd");
    eventually("the client goes by the new name", LIMIT, || {
        client.run::<String>("ACL WHOAMI").unwrap() == "odd"
    });
}

/// A transaction, and replies that are still to be read.
fn a_conversation_is_not_interrupted(setup: Setup) {
    let server = server();
    let rotating = RotatingCredentials::new(renew(&server, 0));
    let options = at(&server, rotating.clone());
    let pool = setup.lazy_pool(options.clone()).unwrap();
    let (mut connection, mut lease) = (setup.open_connection(options).unwrap(), pool.get().unwrap());
    let mut turn = 0;
    let mut rotate = || {
        turn += 1;
        rotating.rotate(renew(&server, turn));
        USERS[turn % USERS.len()]
    };
    connection.run::<()>("MULTI").unwrap();
    lease.run::<()>("MULTI").unwrap();
    connection.run::<()>("INCR by-hand").unwrap();
    lease.run::<()>("INCR lent").unwrap();
    let newest = rotate();
    connection.run::<()>("INCR by-hand").unwrap();
    lease.run::<()>("INCR lent").unwrap();
    assert_eq!(connection.run::<Vec<i64>>("EXEC").unwrap(), [1, 2]);
    assert_eq!(lease.run::<Vec<i64>>("EXEC").unwrap(), [1, 2]);
    assert_eq!(connection.run::<String>("ACL WHOAMI").unwrap(), newest);
    assert_eq!(lease.run::<String>("ACL WHOAMI").unwrap(), newest);
    connection.send("ECHO one").unwrap();
    let newest = rotate();
    connection.send("ECHO two").unwrap();
    assert_eq!(connection.read_reply::<String>().unwrap(), "one");
    assert_eq!(connection.read_reply::<String>().unwrap(), "two");
    assert_eq!(connection.run::<String>("ACL WHOAMI").unwrap(), newest);
}
