//! A master that became a replica, as those find out who send it nothing but scripts, or borrow its
//! connections: what a script was told by its server is news, whether or not the script may be repeated (I6).
//! The sentinels say nothing by themselves. FAULTS 61.

use std::thread;
use std::time::Duration;

use redwire::{Cmd, ErrorKind, Outcome, Result, Script, Slot, Value, cmd};
use redwire_testkit::{Server, eventually};

use crate::common::pool::Pool;
use crate::common::{Client, LIMIT, Setup, runtime, words};
use crate::discovery::{follow, pair};
use crate::fake::{FakeSentinel, View, url};

both!(
    clients_that_only_send_scripts_find_the_new_master,
    borrowers_of_connections_find_it,
    what_a_script_says_itself_is_no_news,
);

const WRITE: &str = "return redis.call('INCR', KEYS[1])";
const LIBRARY: &str = "#!lua name=lib
redis.register_function('write', function(keys) return redis.call('INCR', keys[1]) end)";

type Call = (&'static str, fn(&Client) -> Result<()>);

fn eval() -> Cmd<Value> {
    cmd("EVAL").arg(WRITE).arg(1).arg("n")
}

fn lock(client: &Client) -> Result<()> {
    match client {
        Client::Tokio(client) => runtime().block_on(async {
            let guard = client.lock("lock").wait(Duration::ZERO).acquire().await?;
            guard.release().await
        }),
        Client::Blocking(client) => {
            client.lock("lock").wait(Duration::ZERO).acquire().and_then(|guard| guard.release())
        }
    }
}

fn transact(client: &Client) -> Result<()> {
    match client {
        Client::Tokio(client) => {
            let work = async |tx: redwire::Transaction| tx.commit(|p| run(p, "INCR n")).await;
            runtime().block_on(client.transaction("n", work)).map(drop)
        }
        Client::Blocking(client) => client.transaction("n", |tx| tx.commit(|p| run(p, "INCR n"))).map(drop),
    }
}

fn run(pipeline: &redwire::Pipeline, line: &str) -> Slot<Value> {
    redwire::Run::run(pipeline, words(line))
}

/// A master that scripts and functions are known to, and a client of it alone that has made each call once.
fn demoted(setup: Setup, calls: &[Call]) -> (Vec<Client>, FakeSentinel, Server, Server) {
    let (old, new) = pair();
    let sentinel = FakeSentinel::telling(View::of(old.addr()));
    if has_functions(&old) {
        old.command(&["FUNCTION", "LOAD", LIBRARY]).unwrap();
    }
    let options = "client_name=follower&timeout=10s&retry_backoff=constant:10ms";
    let clients: Vec<_> = calls.iter().map(|_| setup.client(&url(&[sentinel.addr()]), options)).collect();
    for ((name, call), client) in calls.iter().zip(&clients) {
        call(client).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let n = old.command(&["GET", "n"]).unwrap();
    eventually("the replica has it", LIMIT, || new.command(&["GET", "n"]).unwrap() == n);
    new.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    sentinel.tell(View { epoch: 2, ..View::of(new.addr()) });
    follow(&old, &new);
    (clients, sentinel, old, new)
}

fn has_functions(server: &Server) -> bool {
    server.is_valkey() || server.version() >= (7, 0, 0)
}

fn all_go_on(setup: Setup, calls: &[Call]) {
    let (clients, _sentinel, old, _new) = demoted(setup, calls);
    thread::scope(|scope| {
        for ((name, call), client) in calls.iter().zip(&clients) {
            scope.spawn(move || {
                let mut failures = Vec::new();
                eventually(name, LIMIT, || call(client).map_err(|error| failures.push(error)).is_ok());
                // The first call that was told so, and those that were under way.
                assert!(failures.len() <= 2, "{name}: {failures:#?}");
            });
        }
    });
    let left = || crate::common::named_clients(&old, "follower") == 0;
    eventually("the former master is left", LIMIT, left);
}

fn clients_that_only_send_scripts_find_the_new_master(setup: Setup) {
    let mut calls: Vec<Call> = vec![
        ("EVAL", |client| client.execute(eval()).map(drop)),
        ("EVALSHA", |client| client.execute(Script::new(WRITE).key("n").cmd::<Value>()).map(drop)),
        ("EVAL in a pipeline", |client| client.pipeline(|p| redwire::Run::run(p, eval())).map(drop)),
        ("EVAL kept in a pipeline", |client| {
            client.pipeline(|p| redwire::Run::run(p, eval()).attempt())?.map(drop)
        }),
        ("lock", lock),
    ];
    if has_functions(redwire_testkit::shared()) {
        calls.push(("FCALL", |client| client.run::<Value>("FCALL write 1 n").map(drop)));
    }
    all_go_on(setup, &calls);
}

fn borrowers_of_connections_find_it(setup: Setup) {
    all_go_on(
        setup,
        &[
            ("lease", |client| Pool::of(client).get()?.run::<Value>("INCR n").map(drop)),
            ("script by lease", |client| {
                Pool::of(client).get()?.pipeline(|p| redwire::Run::run(p, eval())).map(drop)
            }),
            ("kept by lease", |client| {
                let mut lease = Pool::of(client).get()?;
                lease.pipeline(|p| run(p, "INCR n").attempt())?.map(drop)
            }),
            ("transaction", transact),
        ],
    );
}

/// The client does not ask the sentinels, and the connection stays.
fn what_a_script_says_itself_is_no_news(setup: Setup) {
    let server = Server::start();
    let sentinel = FakeSentinel::telling(View::of(server.addr()));
    let client = setup.client(&url(&[sentinel.addr()]), "");
    let asked = sentinel.asked();
    for _ in 0..20 {
        let own = "return redis.error_reply('READONLY for maintenance')";
        let error = client.execute::<Value>(cmd("EVAL").arg(own).arg(0)).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::ReadOnly, Outcome::MaybeExecuted), "{error}");
    }
    assert_eq!(sentinel.asked(), asked);
}
