//! A command without words, or with an empty first word, is never sent: a server answers it with nothing, or
//! not as it should, and each reply after it would be told to another call (I1). FAULTS 88.

use redwire::{Cmd, Error, ErrorKind, Outcome, Result, Run, Slot, Value, cmd};
use redwire_testkit::Server;

use crate::common::pool::{Lease, Pool};
use crate::common::{Client, Connection, Setup, runtime, words};

both!(a_command_without_words_is_never_sent);

fn nameless() -> [Cmd<Value>; 4] {
    [cmd(""), cmd(" \t"), cmd("").arg(None::<&str>).arg([""; 0]), cmd("").arg("").arg("GET")]
}

#[track_caller]
fn check<T: std::fmt::Debug>(result: Result<T>) {
    let error: Error = result.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains("no words"), "{error}");
}

fn a_command_without_words_is_never_sent(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    client.run::<()>("SET a va").unwrap();
    let mut connection = setup.connection(&server.url(), "");
    let mut lease = Pool::of(&client).get().unwrap();
    lease.run::<String>("PING").unwrap();
    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    for cmd in nameless() {
        check(client.execute(cmd.clone()));
        check(client.execute(cmd.clone().timeout(std::time::Duration::ZERO)));
        let both = |p: &redwire::Pipeline| -> (Slot<String>, Slot<Value>) {
            (p.run(words("GET a")), p.run(cmd.clone()))
        };
        check(client.pipeline(both));
        check(match &client {
            Client::Tokio(client) => runtime().block_on(client.atomic(both)),
            Client::Blocking(client) => client.atomic(both),
        });
        let own = cmd.clone();
        let all = match &client {
            Client::Tokio(client) => runtime().block_on(client.run_all([own]).next()),
            Client::Blocking(client) => client.run_all([own]).next(),
        };
        check(all.expect("a result for each command"));
        let own = cmd.clone();
        check(match &client {
            Client::Tokio(client) => {
                runtime().block_on(client.transaction("a", async |mut tx| tx.run(own.clone()).await))
            }
            Client::Blocking(client) => client.transaction("a", |mut tx| tx.run(own.clone())),
        });
        let own = cmd.clone();
        match &mut connection {
            Connection::Tokio(connection) => {
                check(runtime().block_on(connection.send(&own)));
                check(runtime().block_on(connection.run(own)));
            }
            Connection::Blocking(connection) => {
                check(connection.send(&own));
                check(connection.run(own));
            }
        }
        check(connection.pipeline(both));
        check(connection.send_packed(&cmd.to_bytes(), 1));
        let own = cmd.clone();
        check(match &mut lease {
            Lease::Tokio(lease) => runtime().block_on(lease.run(own)),
            Lease::Blocking(lease) => lease.run(own),
        });
        assert_eq!(client.run::<String>("GET a").unwrap(), "va");
        assert_eq!(connection.run::<String>("GET a").unwrap(), "va");
    }
    assert_eq!(server.calls("get"), 8, "nothing else was sent");
}
