//! A server that does not take `EXEC`: the transaction that was begun stays open on a connection that others
//! share, and what they ask would only be queued. That connection is given up (I1). FAULTS 87.

use std::sync::atomic::{AtomicUsize, Ordering};

use redwire::{ErrorKind, Outcome, Pipeline, Run, Slot, cmd};
use redwire_testkit::{FakeServer, Server};

use crate::common::pool::Pool;
use crate::common::{Client, Connection, Setup, runtime, words};

both!(
    an_open_transaction_reaches_no_other_call,
    a_transaction_that_the_server_does_not_know_costs_no_connection,
    a_transaction_by_hand_is_not_left_open,
    nor_is_one_that_is_made_again_over_another_connection,
);

fn incr(p: &Pipeline) -> Slot<i64> {
    p.run(words("INCR n"))
}

fn atomic(client: &Client) -> redwire::Result<i64> {
    match client {
        Client::Tokio(client) => runtime().block_on(client.atomic(incr)),
        Client::Blocking(client) => client.atomic(incr),
    }
}

fn an_open_transaction_reaches_no_other_call(setup: Setup) {
    let server = Server::builder().arg("rename-command", "EXEC \"\"").start();
    server.command(&["SET", "a", "va"]).unwrap();
    let client = setup.client(&server.url(), "retries=20");
    for _ in 0..5 {
        let error = atomic(&client).unwrap_err();
        assert_eq!((error.code(), error.outcome()), (Some("ERR"), Outcome::Rejected), "{error}");
        assert_eq!(client.run::<String>("GET a").unwrap(), "va");
        let committed = match &client {
            Client::Tokio(client) => {
                runtime().block_on(client.transaction("a", async |tx| tx.commit(incr).await))
            }
            Client::Blocking(client) => client.transaction("a", |tx| tx.commit(incr)),
        };
        committed.unwrap_err();
        assert_eq!(Pool::of(&client).run::<String>("GET a").unwrap(), "va");
    }
    // Beside others, whose commands are on their way behind it.
    let (done, queued) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..40 {
                    match client.run::<String>("GET a") {
                        Ok(value) => queued.fetch_add(usize::from(value != "va"), Ordering::Relaxed),
                        Err(error) => {
                            assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error}");
                            continue;
                        }
                    };
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..20 {
            let error = atomic(&client).unwrap_err();
            assert!(
                error.code() == Some("ERR") || matches!(error.kind(), ErrorKind::Connection(_)),
                "{error}"
            );
        }
    });
    assert_eq!(queued.into_inner(), 0);
    assert!(done.into_inner() > 0);
    assert_eq!(server.command(&["EXISTS", "n"]).unwrap(), "0", "nothing was executed");
}

/// Some proxies know neither: nothing was begun, and nothing stays open.
fn a_transaction_that_the_server_does_not_know_costs_no_connection(setup: Setup) {
    let fake = FakeServer::answering(|words| match words[0].as_slice() {
        b"HELLO" => b"%1\r\n$5\r\nproto\r\n:3\r\n".to_vec(),
        b"MULTI" | b"EXEC" => b"-ERR unknown command\r\n".to_vec(),
        b"INCR" => b":1\r\n".to_vec(),
        b"ECHO" => b"$4\r\nmine\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    });
    let client = setup.client(&fake.url(), "");
    assert_eq!(client.run::<String>("ECHO mine").unwrap(), "mine");
    let before = fake.connections();
    for _ in 0..3 {
        atomic(&client).unwrap_err();
        assert_eq!(client.run::<String>("ECHO mine").unwrap(), "mine");
    }
    assert_eq!(fake.connections(), before);
}

fn a_transaction_by_hand_is_not_left_open(setup: Setup) {
    let server = Server::builder().arg("rename-command", "EXEC \"\"").start();
    let mut connection = setup.connection(&server.url(), "");
    let result = match &mut connection {
        Connection::Tokio(connection) => runtime().block_on(connection.atomic(incr)),
        Connection::Blocking(connection) => connection.atomic(incr),
    };
    assert_eq!(result.unwrap_err().code(), Some("ERR"));
    match connection.run::<String>("ECHO mine") {
        Ok(reply) => assert_eq!(reply, "mine"),
        Err(error) => assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error}"),
    }
    connection.reconnect().unwrap();
    assert_eq!(connection.run::<String>("ECHO mine").unwrap(), "mine");
}

/// A try over a connection of its own, as the first timed out (T2): the next user of that one finds it as
/// new.
fn nor_is_one_that_is_made_again_over_another_connection(setup: Setup) {
    let server = Server::builder().arg("rename-command", "EXEC \"\"").start();
    server.command(&["SET", "a", "va"]).unwrap();
    let options = "timeout=10s&retries=50&attempt_timeout=100ms&retry_on_timeout=yes&health_check_interval=0";
    let client = setup.client(&server.url(), options);
    let get = |p: &Pipeline| -> Slot<String> { p.run(words("GET a")) };
    for _ in 0..3 {
        server.command(&["CLIENT", "PAUSE", "250"]).unwrap();
        let error = match &client {
            Client::Tokio(client) => runtime().block_on(client.atomic(get)),
            Client::Blocking(client) => client.atomic(get),
        };
        let error = error.unwrap_err();
        assert!(error.tries() > 1, "{error}");
        assert_eq!(Pool::of(&client).run::<String>("GET a").unwrap(), "va", "after {error}");
    }
}

/// A future of a transaction that was dropped leaves its part of the stream to be watched over all the same.
#[test]
fn a_transaction_that_was_given_up_is_not_left_open() {
    let server = Server::builder().arg("rename-command", "EXEC \"\"").start();
    server.command(&["SET", "a", "va"]).unwrap();
    runtime().block_on(async {
        let client = redwire::Client::connect(&server.url()).await.unwrap();
        for _ in 0..20 {
            let mut call = Box::pin(client.atomic(incr));
            let waker = std::task::Waker::noop();
            assert!(call.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
            let value = client.execute(cmd::<String>("GET").arg("a").retries(20));
            drop(call);
            assert_eq!(value.await.unwrap(), "va");
        }
    });
}
