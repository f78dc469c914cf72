//! One client for many threads, tasks and runtimes, and its end. FAULTS 51, 52; promises I1, I4.

use std::sync::Arc;
use std::thread;

use redwire::{Cmd, ErrorKind, Outcome, Run, Slot, cmd};
use redwire_testkit::{Server, eventually, shared};

use crate::common::{LIMIT, Setup, client_line, named_clients, runtime};

both!(threads_share_a_client, a_dropped_client_leaves_no_connection);

fn threads_share_a_client(setup: Setup) {
    let server = shared();
    let name = setup.key("threads").replace(':', "-");
    let client = setup.client(&server.url(), &format!("max_connections=4&timeout=30s&client_name={name}"));
    thread::scope(|scope| {
        for thread in 0..64 {
            let (client, key) = (client.clone(), setup.key(&format!("threads:{thread}")));
            scope.spawn(move || {
                for i in 0..50 {
                    let value = format!("{key}:{i}");
                    client.execute::<()>(cmd("SET").arg(&key).arg(&value)).unwrap();
                    assert_eq!(client.execute::<String>(cmd("GET").arg(&key)).unwrap(), value);
                    let (again, echo) = client
                        .pipeline(|p| -> (Slot<String>, Slot<String>) {
                            (p.run(cmd("GET").arg(&key)), p.run(cmd("ECHO").arg(&value)))
                        })
                        .unwrap();
                    assert_eq!((&again, &echo), (&value, &value));
                }
            });
        }
    });
    assert!((1..=4).contains(&named_clients(server, &name)));
}

fn a_dropped_client_leaves_no_connection(setup: Setup) {
    let server = Server::start();
    for url in [server.url(), server.unix_url()] {
        let client = setup.client(&url, "client_name=dropped");
        let other = client.clone();
        client.run::<String>("PING").unwrap();
        client.close();
        assert_eq!(named_clients(&server, "dropped"), 1, "a clone keeps it open");
        assert_eq!(other.run::<String>("PING").unwrap(), "PONG");
        other.close();
        eventually("it is gone", LIMIT, || client_line(&server, "dropped").is_none());
    }
}

/// What waits has a connection of its own, and there are only so many; a place comes back when its call ends
/// or is dropped.
#[test]
fn calls_that_wait_are_limited() {
    let server = Server::start();
    let url = format!("{}?max_connections=3&timeout=300ms", server.url());
    runtime().block_on(async {
        let client = redwire::Client::connect(&url).await.unwrap();
        let blpop = |client: redwire::Client, key: &'static str| async move {
            client.execute::<Option<(String, String)>>(cmd("BLPOP").arg(key).arg(0)).await
        };
        let first = tokio::spawn(blpop(client.clone(), "first"));
        let second = tokio::spawn(blpop(client.clone(), "second"));
        while !server.command(&["INFO", "clients"]).unwrap().contains("blocked_clients:2\r") {
            tokio::task::yield_now().await;
        }
        let error = blpop(client.clone(), "third").await.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
        let cause =
            std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<redwire::Error>());
        assert_eq!(cause.map(redwire::Error::kind), Some(ErrorKind::PoolExhausted), "{error}");

        client.execute::<i64>(cmd("RPUSH").arg("first").arg("x")).await.unwrap();
        assert_eq!(first.await.unwrap().unwrap(), Some(("first".to_owned(), "x".to_owned())));
        second.abort();
        assert!(second.await.unwrap_err().is_cancelled());
        client.execute::<i64>(cmd("RPUSH").arg("third").arg("y")).await.unwrap();
        for _ in 0..2 {
            let popped = client
                .execute::<Option<(String, String)>>(cmd("BLPOP").arg("third").arg("nothing").arg(0.1))
                .await;
            popped.unwrap();
        }
    });
}

/// Dropped inside its runtime, also with a call under way.
#[test]
fn a_client_dropped_inside_a_runtime_leaves_no_connection() {
    let server = Server::start();
    let url = format!("{}?client_name=inside", server.url());
    runtime().block_on(async {
        let client = redwire::Client::connect(&url).await.unwrap();
        let popping = tokio::spawn({
            let client = client.clone();
            async move { client.execute(cmd::<(String, String)>("BLPOP").arg("list").arg(0)).await }
        });
        let blocked = || server.command(&["INFO", "clients"]).unwrap().contains("blocked_clients:1");
        tokio::task::block_in_place(|| eventually("it waits", LIMIT, blocked));
        popping.abort();
        assert!(popping.await.unwrap_err().is_cancelled());
        drop(client);
    });
    eventually("all are gone", LIMIT, || named_clients(&server, "inside") == 0);
}

/// FAULTS 52: a client outlives the runtimes it is used from.
#[test]
fn a_client_is_used_from_a_hundred_runtimes_in_turn() {
    let server = Server::start();
    let client = redwire::Client::connect_lazy(&format!("{}?client_name=many", server.url())).unwrap();
    let (mut worked, mut refused) = (0, 0);
    for i in 0..100 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for _ in 0..3 {
                match client.execute(cmd::<i64>("ECHO").arg(i)).await {
                    Ok(echo) => {
                        assert_eq!(echo, i);
                        worked += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                        assert!(error.to_string().contains("runtime"), "{error}");
                        refused += 1;
                    }
                }
            }
        });
    }
    assert_eq!((worked, refused), (300, 0), "each runtime drives the connection anew");
    drop(client);
    eventually("all connections end", LIMIT, || named_clients(&server, "many") == 0);
}

/// A runtime that ends with calls under way: another runtime's callers are told, and the next call works.
#[test]
fn a_runtime_that_ends_takes_its_calls_with_it() {
    let server = shared();
    let first = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = first.block_on(redwire::Client::connect(&server.url())).unwrap();
    assert_eq!(runtime().block_on(client.execute(cmd::<String>("PING"))).unwrap(), "PONG");
    drop(first);
    assert_eq!(runtime().block_on(client.execute(cmd::<String>("PING"))).unwrap(), "PONG");
}

#[test]
fn without_a_runtime_the_async_client_says_what_it_needs() {
    let client = redwire::Client::connect_lazy(&shared().url()).unwrap();
    let mut call = std::pin::pin!(client.execute(cmd::<String>("PING")));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = call.as_mut().poll(&mut cx) else { panic!("it cannot wait") };
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().contains("runtime"), "{error}");
}

#[test]
fn clients_are_shared_and_their_futures_are_sent() {
    fn shared_by_all<T: Send + Sync + Clone + 'static>() {}
    fn sent<T: Send>(value: T) -> T {
        value
    }
    shared_by_all::<redwire::Client>();
    shared_by_all::<redwire::blocking::Client>();
    shared_by_all::<redwire::Error>();
    runtime().block_on(async {
        let client = Arc::new(redwire::Client::connect(&shared().url()).await.unwrap());
        let call = sent(client.execute(cmd::<String>("GET").arg("a key of twenty by")));
        let size = size_of_val(&call);
        assert!(size <= 300, "the future of a call takes {size} bytes");
        drop(call);
        let pong: String = tokio::spawn({
            let client = Arc::clone(&client);
            async move { client.execute(cmd("PING")).await }
        })
        .await
        .unwrap()
        .unwrap();
        assert_eq!(pong, "PONG");
        let (a, b): (i64, i64) = sent(client.pipeline(|p| {
            let echo = |n: i64| -> Slot<i64> { p.run(Cmd::new("ECHO").arg(n)) };
            (echo(1), echo(2))
        }))
        .await
        .unwrap();
        assert_eq!((a, b), (1, 2));
    });
    assert!(size_of::<redwire::Error>() <= 16);
}
