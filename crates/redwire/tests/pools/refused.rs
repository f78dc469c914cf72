//! What ends a state counts only when the server says that it was done: a `DISCARD` that is refused leaves
//! the transaction open, and the next user finds the connection as new all the same (I1). What `RESET` does
//! not undo, either. FAULTS 86, 105.

use std::collections::BTreeMap;

use redwire::{Run, Slot, Value, facts};
use redwire_testkit::Server;

use crate::common::pool::{Lease, Pool};
use crate::common::{Client, Setup, runtime, words};

both!(
    a_transaction_that_was_not_ended_reaches_no_other_borrower,
    no_state_outlives_the_lease,
    a_callback_that_leaves_a_transaction_open_is_an_error,
);

/// What a borrower does; the last command of each is refused, by its form, the rules for the user, or its
/// name.
const REFUSED: &[&[&str]] = &[
    &["MULTI", "DISCARD x"],
    &["MULTI", "UNWATCH"],
    &["MULTI", "RESET x"],
    &["MULTI", "SELECT 7", "DISCARD x"],
    &["MULTI", "DISCARD"],
    &["MULTI", "EXEC"],
    &["WATCH watched", "UNWATCH x"],
    &["WATCH watched", "DISCARD"],
    &["WATCH watched", "EXEC"],
    &["WATCH watched", "UNWATCH"],
    &["WATCH watched", "MULTI", "UNWATCH", "DISCARD x"],
];

fn a_transaction_that_was_not_ended_reaches_no_other_borrower(setup: Setup) {
    let plain = Server::builder()
        .acl_line("user ann on >her-word ~* &* +@all")
        .acl_line("user bob on >his-word ~* &* +@all -discard -unwatch -exec")
        .start();
    let renamed =
        Server::builder().arg("rename-command", "DISCARD \"\"").arg("rename-command", "UNWATCH \"\"").start();
    let user = |name: &str| plain.url().replace("redis://", &format!("redis://{name}@"));
    for (server, url) in
        [(&plain, user("ann:her-word")), (&plain, user("bob:his-word")), (&renamed, renamed.url())]
    {
        let client = setup.client(&url, "max_connections=1");
        let pool = Pool::of(&client);
        for lines in REFUSED {
            for by_hand in [false, true] {
                for next in [call as Next, transaction] {
                    let mut lease = pool.get().unwrap();
                    for line in *lines {
                        let _ =
                            if by_hand { lease.send(line).map(|()| Value::Null) } else { lease.run(line) };
                    }
                    for _ in lines.iter().filter(|_| by_hand) {
                        let _ = lease.read_reply::<Value>();
                    }
                    drop(lease);
                    server.command(&["INCR", "watched"]).unwrap();
                    next(&client, server, &format!("{setup:?} after {lines:?}, by hand: {by_hand}"));
                }
            }
        }
    }
}

/// The next user of the connection.
type Next = fn(&Client, &Server, &str);

/// Calls of the client, which borrow the only connection of the pool, do what they say.
#[track_caller]
fn call(client: &Client, server: &Server, after: &str) {
    let number = server.command(&["INCR", "numbers"]).unwrap();
    client.run::<()>(&format!("SET important {number}")).unwrap();
    assert_eq!(server.command(&["GET", "important"]).as_ref(), Ok(&number), "{after}");
    server.command(&["RPUSH", "list", &number]).unwrap();
    let popped: Option<(String, String)> = client.run("BLPOP list 0").unwrap();
    assert_eq!(popped, Some(("list".to_owned(), number)), "{after}");
}

/// A transaction is executed, whatever keys were watched by others.
#[track_caller]
fn transaction(client: &Client, _: &Server, after: &str) {
    let mut lease = Pool::of(client).get().unwrap();
    let executed = match &mut lease {
        Lease::Tokio(lease) => runtime().block_on(lease.atomic(echo_twice)),
        Lease::Blocking(lease) => lease.atomic(echo_twice),
    };
    match executed {
        Ok(replies) => assert_eq!(replies, ("a".to_owned(), "b".to_owned()), "{after}"),
        // One of the users may not execute any.
        Err(error) => assert_eq!(error.code(), Some("EXECABORT"), "{after}: {error}"),
    }
    assert_eq!(lease.run::<String>("ECHO now").unwrap(), "now", "{after}");
}

fn echo_twice(p: &redwire::Pipeline) -> (Slot<String>, Slot<String>) {
    (p.run(words("ECHO a")), p.run(words("ECHO b")))
}

/// How each command that changes its connection is said so that it does.
const SAMPLES: &[(&str, &str)] = &[
    ("ASKING", "ASKING"),
    ("AUTH", "AUTH bob his-word"),
    ("CLIENT CACHING", "CLIENT CACHING YES"),
    ("CLIENT CAPA", "CLIENT CAPA redirect"),
    ("CLIENT IMPORT-SOURCE", "CLIENT IMPORT-SOURCE ON"),
    ("CLIENT NO-EVICT", "CLIENT NO-EVICT ON"),
    ("CLIENT NO-TOUCH", "CLIENT NO-TOUCH ON"),
    ("CLIENT REPLY", "CLIENT REPLY SKIP"),
    ("CLIENT SETINFO", "CLIENT SETINFO LIB-NAME other"),
    ("CLIENT SETNAME", "CLIENT SETNAME other"),
    ("CLIENT TRACKING", "CLIENT TRACKING ON OPTIN NOLOOP"),
    ("CLUSTER SYNCSLOTS", "CLUSTER SYNCSLOTS x"),
    ("DISCARD", "DISCARD"),
    ("EXEC", "EXEC"),
    ("HELLO", "HELLO 2 SETNAME other"),
    ("MONITOR", "MONITOR"),
    ("MULTI", "MULTI"),
    ("PSUBSCRIBE", "PSUBSCRIBE a*"),
    ("PSYNC", "PSYNC ? -1"),
    ("PUNSUBSCRIBE", "PUNSUBSCRIBE"),
    ("QUIT", "QUIT"),
    ("READONLY", "READONLY"),
    ("READWRITE", "READWRITE"),
    ("REPLCONF", "REPLCONF listening-port 1"),
    ("RESET", "RESET"),
    ("SCRIPT DEBUG", "SCRIPT DEBUG YES"),
    ("SELECT", "SELECT 7"),
    ("SSUBSCRIBE", "SSUBSCRIBE a"),
    ("SUBSCRIBE", "SUBSCRIBE a"),
    ("SUNSUBSCRIBE", "SUNSUBSCRIBE"),
    ("SYNC", "SYNC"),
    ("UNSUBSCRIBE", "UNSUBSCRIBE"),
    ("UNWATCH", "UNWATCH"),
    ("WATCH", "WATCH k"),
];

/// What the server says of a connection, but for what every call changes.
fn state(lease: &mut Lease) -> BTreeMap<String, String> {
    const KEPT: &[&str] = &[
        "name",
        "flags",
        "db",
        "sub",
        "psub",
        "ssub",
        "multi",
        "watch",
        "user",
        "redir",
        "resp",
        "lib-name",
        "lib-ver",
        "capa",
        "import-source",
    ];
    let line: String = lease.run("CLIENT INFO").unwrap();
    // Valkey 9.1 counts 0 commands of a transaction that is over, and others have none to count.
    let line = line.replace(" multi=0 ", " multi=-1 ");
    let fields = line.split_whitespace().filter_map(|field| field.split_once('='));
    let kept = fields.filter(|(name, _)| KEPT.contains(name));
    kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn no_state_outlives_the_lease(setup: Setup) {
    let known: Vec<&str> =
        facts::all().iter().filter(|facts| facts.changes_connection_state()).map(|f| f.name).collect();
    // It ends the server.
    let known: Vec<&str> = known.into_iter().filter(|name| *name != "SHUTDOWN").collect();
    let samples: Vec<&str> = SAMPLES.iter().map(|(name, _)| *name).collect();
    assert_eq!(samples, known, "a sample for each command that changes its connection");
    let server = Server::builder().acl_line("user bob on >his-word ~* &* +@all").start();
    // Where it is known, one of the commands is refused without it.
    let _ = server.command(&["CONFIG", "SET", "import-mode", "yes"]);
    for options in ["max_connections=1&client_name=own&db=3", "max_connections=1&lib_name="] {
        let pool = setup.pool(&server.url(), options);
        let new = state(&mut pool.get().unwrap());
        for (name, line) in SAMPLES {
            // As it is meant, and refused for its form; by a call, and by hand.
            for line in [(*line).to_owned(), format!("{name} 1 2 3 4 5 6 7")] {
                let mut lease = pool.get().unwrap();
                let _ = lease.run::<Value>(&line);
                drop(lease);
                assert_eq!(state(&mut pool.get().unwrap()), new, "after {line}");
                let mut lease = pool.get().unwrap();
                lease.send(&line).unwrap();
                if !["CLIENT REPLY", "SYNC", "PSYNC", "REPLCONF", "CLUSTER SYNCSLOTS"].contains(name) {
                    let _ = lease.read_reply::<Value>();
                }
                drop(lease);
                assert_eq!(state(&mut pool.get().unwrap()), new, "after {line} by hand");
            }
        }
    }
}

/// It would hold for all that share the connection.
fn a_callback_that_leaves_a_transaction_open_is_an_error(setup: Setup) {
    for line in ["MULTI", "WATCH k"] {
        let mut connection = setup.connection(&redwire_testkit::shared().url(), "");
        connection.on_connect(line);
        let error = connection.reconnect().unwrap_err();
        assert!(error.to_string().contains("callback"), "{error}");
        connection.clear_on_connect();
        connection.reconnect().unwrap();
        assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
    }
}
