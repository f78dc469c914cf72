//! Servers and proxies quote what they refuse: that no secret is shown by whatever way their words come.
//! FAULTS 92.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redwire::config::{Config, ConfigBuilder};
use redwire::credentials::{Credentials, RotatingCredentials};
use redwire::pubsub::SubscribeOptions;
use redwire::{Error, EventKind, Pipeline, Run, Value};
use redwire_testkit::{FakeServer, Server, eventually};

use crate::common::pool::Pool;
use crate::common::pubsub::{PubSub, Way};
use crate::common::{LIMIT, Setup, shown, words};

both!(
    a_server_that_knows_no_auth_is_told_of_without_the_password,
    a_handshake_quotes_nothing,
    what_a_user_says_is_not_quoted,
    new_credentials_that_are_refused_are_not_quoted,
);

const SECRET: &str = "s3cr3t-w0rd";

/// What of it may be shown: nothing of use.
#[track_caller]
fn check(text: &str) {
    assert!(!text.to_lowercase().contains("s3cr3t"), "{text}");
}

fn events_of(pool: &Pool, until: impl Fn(&EventKind) -> bool, work: impl FnOnce()) {
    let mut events = pool.events();
    work();
    eventually("it is told", LIMIT, || {
        let event = events.next_within(Duration::from_millis(100));
        event.is_some_and(|event| {
            check(&format!("{event:?}"));
            until(&event.kind)
        })
    });
}

fn a_server_that_knows_no_auth_is_told_of_without_the_password(setup: Setup) {
    let server =
        Server::builder().arg("rename-command", r#"AUTH """#).arg("rename-command", r#"HELLO """#).start();
    for user in ["", "ann"] {
        let url = format!("redis://{user}:{SECRET}@127.0.0.1:{}", server.port());
        let error = setup.connect(&url, "").unwrap_err();
        check(&shown(&error));
        assert!(error.to_string().contains("connecting failed at AUTH: ERR unknown command"), "{error}");
        let pool = setup.pool(&url, "");
        let is_failed = |kind: &EventKind| matches!(kind, EventKind::Failed(_));
        events_of(&pool, is_failed, || check(&shown(&pool.get().unwrap_err())));
        let error = setup.lazy(&url, "retries=1").unwrap().run::<Value>("PING").unwrap_err();
        check(&shown(&error));
    }
}

/// A server that quotes all words of what it refuses, as `quote` does.
fn quoting(quote: fn(&str) -> String, refuses: impl Fn(&str) -> bool + Send + Sync + 'static) -> FakeServer {
    FakeServer::answering(move |words| {
        let line: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
        let line = line.join(" ");
        match line.split(' ').next() {
            _ if refuses(&line) => format!("-{}\r\n", quote(&line)).into_bytes(),
            Some("HELLO") => b"%1\r\n$5\r\nproto\r\n:3\r\n".to_vec(),
            Some("PING") => b"+PONG\r\n".to_vec(),
            Some("SUBSCRIBE") => b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n".to_vec(),
            _ => b"+OK\r\n".to_vec(),
        }
    })
}

const QUOTES: [fn(&str) -> String; 4] = [
    |line| format!("ERR unknown command, with args beginning with: '{line}' "),
    |line| format!("ERR denied: '{line}'"),
    |line| format!("ERR lower case: {}", line.to_lowercase()),
    // Cut off in the midst of the secret.
    |line| format!("ERR cut off: {}", &line[..line.find("w0rd").unwrap_or(line.len())]),
];

fn a_handshake_quotes_nothing(setup: Setup) {
    for quote in QUOTES {
        let fake = quoting(quote, |line| line.contains(SECRET));
        for url in [
            format!("redis://:{SECRET}@{}", fake.addr()),
            format!("redis://ann:{SECRET}@{}", fake.addr()),
            format!("redis+cluster://:{SECRET}@{}", fake.addr()),
            format!("redis+sentinel://{}/m?sentinel_password={SECRET}", fake.addr()),
        ] {
            check(&shown(&setup.connect(&url, "").unwrap_err()));
            check(&shown(&setup.lazy(&url, "timeout=300ms").unwrap().run::<Value>("GET k").unwrap_err()));
        }
        let error = setup.lazy_pubsub(&format!("redis://:{SECRET}@{}", fake.addr()), "");
        check(&shown(
            &error.unwrap().try_subscribe(Way::Channels, &["c"], SubscribeOptions::default()).unwrap_err(),
        ));
    }
    // One that gives back what it got, and one that is no Redis.
    let echo = FakeServer::answering(|words| {
        let mut reply = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            reply.extend(format!("${}\r\n", word.len()).into_bytes());
            reply.extend_from_slice(word);
            reply.extend(b"\r\n");
        }
        reply
    });
    let url = format!("redis://:{SECRET}@{}", echo.addr());
    check(&shown(&setup.connect(&url, "").unwrap_err()));
    let stranger = FakeServer::raw(format!("500 unknown command AUTH {SECRET}\r\n"));
    let url = format!("redis://:{SECRET}@{}", stranger.addr());
    check(&shown(&setup.connect(&url, "connect_timeout=300ms").unwrap_err()));
}

/// Commands with the secret in the place of `PW`.
const SECRET_LINES: [&str; 10] = [
    "AUTH PW",
    "AUTH ann PW",
    "HELLO 3 AUTH ann PW",
    "ACL SETUSER ann on >PW",
    "ACL SETUSER ann PW",
    "CONFIG SET requirepass PW",
    "CONFIG SET maxmemory 1 masterauth PW",
    "MIGRATE h 1 k 0 5 AUTH PW",
    "MIGRATE h 1 k 0 5 AUTH2 ann PW",
    "SENTINEL SET m auth-pass PW",
];

fn what_a_user_says_is_not_quoted(setup: Setup) {
    for quote in QUOTES {
        let fake = quoting(quote, |line| line.contains(SECRET));
        let client = setup.client(&fake.url(), "");
        // One that knows the word from elsewhere: a proxy that quotes what it says to others.
        let guarded =
            quoting(|_| format!("ERR AUTH {SECRET} was refused behind me"), |line| line.starts_with("GET"));
        let url = guarded.url().replace("redis://", &format!("redis://:{SECRET}@"));
        check(&shown(&setup.client(&url, "").run::<Value>("GET k").unwrap_err()));
        check(&shown(&setup.connection(&url, "").run::<Value>("GET k").unwrap_err()));
        let mut connection = setup.connection(&fake.url(), "");
        let mut lease = Pool::of(&client).get().unwrap();
        for line in SECRET_LINES.map(|line| line.replace("PW", SECRET)) {
            let told = |error: Error| {
                check(&shown(&error));
                error.code() == Some("ERR")
            };
            // Some are refused by the client itself, which quotes nothing.
            told(client.run::<Value>(&line).unwrap_err());
            assert!(told(connection.run::<Value>(&line).unwrap_err()), "{line}");
            assert!(told(lease.run::<Value>(&line).unwrap_err()), "{line}");
            connection.send(&line).unwrap();
            assert!(told(connection.read_reply::<Value>().unwrap_err()), "{line}");
            connection.send_packed(&words::<Value>(&line).to_bytes(), 1).unwrap();
            assert!(told(connection.read_reply::<Value>().unwrap_err()), "{line}");
            let one = |p: &Pipeline| p.run(words::<Value>(&line));
            told(client.pipeline(|p| (one(p), one(p))).unwrap_err());
            if let Ok(tried) = connection.pipeline(|p| one(p).attempt()) {
                assert!(told(tried.unwrap_err()), "{line}");
            }
        }
    }
}

/// On the shared connection, a lease, one by hand, and the one for subscriptions.
fn new_credentials_that_are_refused_are_not_quoted(setup: Setup) {
    let refuses = Arc::new(AtomicBool::new(false));
    let fake = {
        let refuses = Arc::clone(&refuses);
        quoting(QUOTES[1], move |line| line.starts_with("AUTH") && refuses.load(Ordering::SeqCst))
    };
    let rotating = RotatingCredentials::new(Credentials::new("ann", "first"));
    let options = |name: &str| -> ConfigBuilder {
        let at = Config::builder().host("127.0.0.1").port(fake.addr().port());
        at.credential_provider(rotating.clone()).client_name(name)
    };
    let client = setup.open(options("shared")).unwrap();
    let pool = Pool::of(&client);
    let mut lease = pool.get().unwrap();
    let subscriptions = setup.pubsub_of(options("hears")).unwrap();
    let is_refused = |kind: &EventKind| matches!(kind, EventKind::Refused(_));
    let pubsub = PubSub::of(&client);
    let subscription =
        (setup.protocol == 3).then(|| (pubsub.subscribe(&["c"]), subscriptions.subscribe(&["c"])));
    refuses.store(true, Ordering::SeqCst);
    events_of(&pool, is_refused, || {
        rotating.rotate(Credentials::new("ann", SECRET));
        lease.run::<Value>("PING").unwrap();
        // Where that takes another connection, its handshake is refused.
        client.run::<Value>("PING").err().iter().for_each(|error| check(&shown(error)));
    });
    // In RESP3 the fake takes every client that greets it.
    if let Err(error) = setup.open_connection(options("by-hand")) {
        check(&shown(&error));
    }
    drop(subscription);
}
