//! What a call is said to have come to when it was made more than once: the worst of its tries (I2). FAULTS
//! 112.

use std::thread;
use std::time::Duration;

use redwire::{Outcome, Pipeline, Result, Run, Slot, Slots, Value, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::{Client, Driver, LIMIT, Setup, runtime, words};

both!(what_ran_before_it_was_refused_is_not_told_as_not_sent, a_lock_that_may_be_held_is_given_up);

const SCRIPT: &str = "return redis.call('INCR', KEYS[1])";

impl Client {
    fn atomic<S: Slots>(&self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        match self {
            Self::Tokio(client) => runtime().block_on(client.atomic(build)),
            Self::Blocking(client) => client.atomic(build),
        }
    }

    fn run_one(&self, line: &str) -> Result<Value> {
        let command = words::<Value>(line).idempotent();
        match self {
            Self::Tokio(client) => runtime().block_on(client.run_all([command]).next()).expect("a result"),
            Self::Blocking(client) => client.run_all([command]).next().expect("a result"),
        }
    }

    /// Executes it in a transaction; `hold` is called when all is ready for that.
    fn commit(&self, line: &str, hold: &Hold<'_>) -> Result<Value> {
        let build = |p: &Pipeline| -> Slot<Value> { harmless(p, line) };
        match self {
            Self::Tokio(client) => runtime().block_on(client.transaction("watched", async |mut tx| {
                tx.run(words::<Value>("GET watched")).await?;
                hold();
                tx.commit(build).await
            })),
            Self::Blocking(client) => client.transaction("watched", |mut tx| {
                tx.run(words::<Value>("GET watched"))?;
                hold();
                tx.commit(build)
            }),
        }
    }

    /// Acquires a lock for half a minute, or says why it could not, and releases it.
    fn lock_and_release(&self) -> Result<()> {
        let ttl = Duration::from_secs(30);
        match self {
            Self::Tokio(client) => runtime().block_on(async {
                let guard = client.lock("lock").ttl(ttl).wait(Duration::ZERO).acquire().await?;
                guard.release().await
            }),
            Self::Blocking(client) => {
                client.lock("lock").ttl(ttl).wait(Duration::ZERO).acquire().and_then(|guard| guard.release())
            }
        }
    }
}

fn harmless(pipeline: &Pipeline, line: &str) -> Slot<Value> {
    pipeline.idempotent();
    pipeline.run(words(line))
}

/// Has replies held back from now on.
type Hold<'a> = dyn Fn() + Sync + 'a;

type Call = fn(&Client, &str, &Hold<'_>) -> Result<Value>;

const CALLS: [(&str, &str, Call); 7] = [
    ("single", "", |client, key, hold| (hold(), client.execute(cmd("INCR").arg(key).idempotent())).1),
    ("all", "&idempotent=yes", |client, key, hold| (hold(), client.execute(cmd("INCR").arg(key))).1),
    ("script", "", |client, key, hold| {
        hold();
        client.execute(cmd("EVAL").arg(SCRIPT).arg(1).arg(key).idempotent())
    }),
    ("pipeline", "", |client, key, hold| {
        hold();
        client.pipeline(|p| harmless(p, &format!("INCR {key}")))
    }),
    ("atomic", "", |client, key, hold| (hold(), client.atomic(|p| harmless(p, &format!("INCR {key}")))).1),
    ("many", "", |client, key, hold| (hold(), client.run_one(&format!("INCR {key}"))).1),
    ("committed", "", |client, key, hold| client.commit(&format!("INCR {key}"), hold)),
];

/// Each call runs and its reply is held back; then the connections are reset and no new ones accepted.
fn what_ran_before_it_was_refused_is_not_told_as_not_sent(setup: Setup) {
    let server = Server::start();
    thread::scope(|scope| {
        for (key, options, call) in CALLS {
            let server = &server;
            scope.spawn(move || ran_and_was_refused(setup, server, key, options, call));
        }
    });
}

fn ran_and_was_refused(setup: Setup, server: &Server, key: &str, options: &str, call: Call) {
    let proxy = Proxy::start(server.addr());
    let all = "timeout=2s&retry_backoff=constant:5ms&reconnect_backoff=constant:20ms";
    let client = setup.client(&proxy.url(), &format!("{all}{options}"));
    client.run::<()>("PING").unwrap();
    let hold = || proxy.set(Direction::ToClient, Fault::Delay { min: LIMIT, max: LIMIT });
    let error = thread::scope(|scope| {
        let called = scope.spawn(|| call(&client, key, &hold));
        eventually("it has run", LIMIT, || server.command(&["GET", key]).unwrap() == "1");
        proxy.set(Direction::ToServer, Fault::Refuse);
        proxy.reset_all();
        called.join().unwrap().unwrap_err()
    });
    assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{key}: {error}");
    assert!(!error.is_retryable() && error.to_string().contains("may have been executed"), "{key}: {error}");
    assert_eq!(server.command(&["GET", key]).unwrap(), "1", "{key}");
    // What was refused from the beginning did not run.
    let again = cmd("INCR").arg(key).idempotent().timeout(Duration::from_millis(200));
    let refused = client.execute::<Value>(again).unwrap_err();
    assert_eq!(refused.outcome(), Outcome::NotSent, "{key}: {refused}");
}

/// The question for it ran, its reply is lost, and the next one is refused: the client does not know that it
/// is held.
fn a_lock_that_may_be_held_is_given_up(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let options = "timeout=2s&retries=1&retry_backoff=constant:5ms&reconnect_backoff=constant:100ms";
    let client = setup.client(&proxy.url(), options);
    // The server has the scripts from now on.
    client.lock_and_release().unwrap();
    let held = || server.command(&["EXISTS", "lock"]).unwrap() == "1";
    proxy.set(Direction::ToClient, Fault::Delay { min: LIMIT, max: LIMIT });
    thread::scope(|scope| {
        let asking = scope.spawn(|| client.lock_and_release());
        eventually("it is held", LIMIT, held);
        proxy.set(Direction::ToServer, Fault::Refuse);
        proxy.set(Direction::ToClient, Fault::None);
        proxy.reset_all();
        let error = asking.join().unwrap().unwrap_err();
        assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
        proxy.heal();
        // A thread tries that for 250 ms, before it hears of the error: the server was not back by then.
        if setup.driver == Driver::Tokio {
            eventually("it is held no longer", LIMIT, || !held());
        }
    });
}
