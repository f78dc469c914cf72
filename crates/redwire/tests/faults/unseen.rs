//! The end of a connection that lies in the kernel, unseen since the runtime has not run: what is asked then
//! was not sent, and is sent on another connection, whatever it is and without retries (I2, I6). FAULTS 58.

use std::thread;
use std::time::Duration;

use redwire::prelude::*;
use redwire::{Outcome, Run, Value, cmd};
use redwire_testkit::{Authority, Server, TlsFront};

const OPTIONS: &str = "retries=0&reconnect_backoff=constant:1ms";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Ends all connections, which takes the server some time, while no runtime runs.
fn end_all(server: &Server) {
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    thread::sleep(Duration::from_millis(5));
}

fn urls(server: &Server) -> Vec<String> {
    let both = |base: String| [2, 3].map(|protocol| format!("{base}?protocol={protocol}&{OPTIONS}"));
    [both(server.url()), both(server.unix_url())].concat()
}

#[test]
fn a_call_after_an_end_that_was_not_seen_is_executed_once() {
    let server = Server::start();
    for url in urls(&server) {
        let (runtime, mut expected) = (runtime(), 0);
        // Nothing was asked on the first connection when that ends.
        let client = runtime.block_on(redwire::Client::connect(&url)).unwrap();
        server.command(&["DEL", "n"]).unwrap();
        for round in 0..6 {
            end_all(&server);
            expected += 1;
            let answer = runtime.block_on(client.execute(cmd::<u64>("INCR").arg("n")));
            assert_eq!(answer.unwrap_or_else(|error| panic!("{url}, round {round}: {error}")), expected);
        }
    }
}

#[test]
fn so_are_pipelines_and_calls_that_are_made_together() {
    let server = Server::start();
    for url in urls(&server) {
        let runtime = runtime();
        let client = runtime.block_on(redwire::Client::connect(&url)).unwrap();
        runtime.block_on(client.execute(cmd::<Value>("DEL").arg("n"))).unwrap();
        for round in 1..=6 {
            end_all(&server);
            runtime.block_on(async {
                let incr = || client.execute(cmd::<u64>("INCR").arg("n"));
                let pipeline = client.pipeline(|p| (p.incr("n"), p.incr("n")));
                let (a, b, c) = tokio::join!(incr(), incr(), pipeline);
                let (c, d) = c.unwrap_or_else(|error| panic!("{url}, round {round}: {error}"));
                assert_eq!([a.unwrap(), b.unwrap(), c as u64, d as u64].into_iter().max(), Some(4 * round));
            });
        }
    }
}

#[test]
fn tls_changes_nothing() {
    let (server, authority) = (Server::start(), Authority::new());
    let front = TlsFront::start(&authority.server(), &server);
    let ca = authority.pem_file().display().to_string();
    let url = format!("{}?tls_ca_file={ca}&{OPTIONS}", front.url("rediss"));
    let (runtime, end_all) = (runtime(), || {
        end_all(&server);
        // The front passes the end on.
        thread::sleep(Duration::from_millis(150));
    });
    let client = runtime.block_on(redwire::Client::connect(&url)).unwrap();
    for expected in 1..=2 {
        end_all();
        let answer = runtime.block_on(client.execute(cmd::<u64>("INCR").arg("n")));
        assert_eq!(answer.unwrap_or_else(|error| panic!("{expected}: {error}")), expected);
    }
    let mut by_hand = runtime.block_on(redwire::Connection::connect(&url)).unwrap();
    end_all();
    let error = runtime.block_on(by_hand.run(cmd::<u64>("INCR").arg("n"))).unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
}

/// On a connection by hand, and on a lease, the call is not made again, since the session is gone; but it is
/// known that it was not sent.
#[test]
fn a_call_on_a_connection_of_its_own_was_not_sent() {
    let server = Server::start();
    for url in urls(&server) {
        let runtime = runtime();
        runtime.block_on(async {
            let pool = redwire::Pool::connect(&url).await.unwrap();
            let mut lease = pool.get().await.unwrap();
            let mut by_hand = redwire::Connection::connect(&url).await.unwrap();
            for round in 0..3 {
                lease.run(cmd::<Value>("DEL").arg("n")).await.unwrap();
                by_hand.run(cmd::<Value>("DEL").arg("n")).await.unwrap();
                end_all(&server);
                let incr = || cmd::<u64>("INCR").arg("n");
                for error in [
                    lease.run(incr()).await.unwrap_err(),
                    by_hand.run(incr()).await.unwrap_err(),
                    by_hand.pipeline(|p| p.incr("n")).await.unwrap_err(),
                ] {
                    assert_eq!(error.outcome(), Outcome::NotSent, "{url}, round {round}: {error}");
                }
                assert_eq!(server.command(&["EXISTS", "n"]).unwrap(), "0");
                lease = pool.get().await.unwrap();
                by_hand.reconnect().await.unwrap();
            }
        });
    }
}

/// What came unseen is read before anything is written, and holds nothing up.
#[test]
fn what_came_unseen_is_heard_first() {
    let server = Server::start();
    let runtime = runtime();
    runtime.block_on(async {
        let client = redwire::Client::connect(&format!("{}?{OPTIONS}", server.url())).await.unwrap();
        let cache = client.cached(redwire::cache::CacheOptions::default()).await.unwrap();
        for value in 0..20_u64 {
            server.command(&["SET", "k", &value.to_string()]).unwrap();
            // Nothing runs on this thread until the announcement has come.
            thread::sleep(Duration::from_millis(3));
            cache.sync().await.unwrap();
            assert_eq!(cache.execute(cmd::<u64>("GET").arg("k")).await.unwrap(), value);
        }
    });
}
