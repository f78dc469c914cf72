//! Transactions that watch keys: tried again when another client was quicker, never executed on a connection
//! that does not watch, and nothing left behind. FAULTS 43, 44.

use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use redwire::backoff::Backoff;
use redwire::{
    Arg, Error, ErrorKind, Outcome, Pipeline, Reply, Result, Run, Slot, Slots, TransactionOptions, blocking,
};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::pool::Pool;
use crate::common::{Client, LIMIT, Setup, TellOnDrop, kill_named, runtime, words};

both!(
    a_change_by_another_client_is_met_with_another_try,
    what_is_returned_without_a_commit_is_returned,
    contending_workers_lose_no_count,
    killed_connections_lose_no_count_and_run_nothing_elsewhere,
    a_connection_lost_before_exec_is_an_abort,
    a_lost_reply_to_exec_is_told_and_not_repeated,
    what_may_have_run_before_the_commit_is_not_repeated,
    tries_have_a_limit_and_so_has_time,
    more_keys_can_be_watched,
    a_commit_of_nothing_tells_whether_keys_were_changed,
    without_keys_it_is_just_a_lease,
    a_panic_leaves_nothing_behind,
    an_abandoned_try_leaves_nothing_behind,
    what_would_change_the_connection_is_refused,
    a_refused_watch_executes_nothing,
    it_takes_three_writes,
    a_script_that_the_server_lacks_runs_in_it,
);

/// One try, of either driver.
#[derive(Debug)]
enum Try {
    Tokio(redwire::Transaction),
    Blocking(blocking::Transaction),
}

impl Try {
    fn run<R: Reply>(&mut self, line: &str) -> Result<R> {
        match self {
            Self::Tokio(tx) => wait(tx.run(words(line))),
            Self::Blocking(tx) => tx.run(words(line)),
        }
    }

    fn watch(&mut self, keys: impl Arg) {
        match self {
            Self::Tokio(tx) => tx.watch(keys),
            Self::Blocking(tx) => tx.watch(keys),
        }
    }

    fn pipeline<S: Slots + Send>(&mut self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        match self {
            Self::Tokio(tx) => wait(tx.pipeline(build)),
            Self::Blocking(tx) => tx.pipeline(build),
        }
    }

    fn commit<S: Slots + Send>(self, build: impl FnOnce(&Pipeline) -> S) -> Result<S::Out> {
        match self {
            Self::Tokio(tx) => wait(tx.commit(build)),
            Self::Blocking(tx) => tx.commit(build),
        }
    }
}

/// Waits within a runtime, for futures that its other threads drive.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let (mut future, waker) = (pin!(future), Waker::from(Arc::new(Unpark(thread::current()))));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

impl Client {
    fn transaction<T>(&self, keys: impl Arg, work: impl FnMut(Try) -> Result<T>) -> Result<T> {
        self.transaction_with(TransactionOptions::new(), keys, work)
    }

    fn transaction_with<T>(
        &self,
        options: TransactionOptions,
        keys: impl Arg,
        mut work: impl FnMut(Try) -> Result<T>,
    ) -> Result<T> {
        match self {
            Self::Tokio(client) => {
                let work = |tx| ready(work(Try::Tokio(tx)));
                runtime().block_on(client.transaction_with(options, keys, work))
            }
            Self::Blocking(client) => client.transaction_with(options, keys, |tx| work(Try::Blocking(tx))),
        }
    }
}

fn run<R: Reply>(pipeline: &Pipeline, line: &str) -> Slot<R> {
    pipeline.run(words(line))
}

/// Reads the counter, and writes one more.
fn count(mut tx: Try) -> Result<i64> {
    let next = tx.run::<Option<i64>>("GET n")?.unwrap_or_default() + 1;
    tx.commit(|p| run::<()>(p, &format!("SET n {next}"))).map(|()| next)
}

fn a_change_by_another_client_is_met_with_another_try(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let mut tries = 0;
    let next = client.transaction("n", |mut tx| {
        tries += 1;
        let n: Option<i64> = tx.run("GET n")?;
        if tries <= 3 {
            server.command(&["SET", "n", &format!("{}", 10 * tries)]).unwrap();
        }
        let next = n.unwrap_or_default() + 1;
        let (_, next): (String, i64) = tx.commit(|p| (run(p, &format!("SET n {next}")), run(p, "GET n")))?;
        Ok(next)
    });
    assert_eq!((next.unwrap(), tries), (31, 4));
    assert_eq!((server.calls("watch"), server.calls("exec")), (4, 4));
}

fn what_is_returned_without_a_commit_is_returned(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    assert_eq!(client.transaction("n", |mut tx| tx.run::<Option<i64>>("GET n")).unwrap(), None);
    let error = client.transaction("n", |_| Err::<(), _>(Error::usage("not today"))).unwrap_err();
    assert_eq!(error.message(), "not today");
    let error = client.transaction("n", |mut tx| tx.run::<i64>("LLEN")).unwrap_err();
    assert_eq!((error.command(), error.outcome()), (Some("LLEN"), Outcome::Rejected));
    assert_eq!(server.calls("exec"), 0);
    check_clean(&server, &client);
}

/// The next borrower is in no transaction and watches nothing, and no more connections are open than the
/// client knows.
#[track_caller]
fn check_clean(server: &Server, client: &Client) {
    let pool = Pool::of(client);
    assert_eq!(pool.stats().in_use, 0);
    for _ in 0..3 {
        let mut lease = pool.get().unwrap();
        server.command(&["INCR", "n"]).unwrap();
        let id = lease.id().to_string();
        let line = server.client_list().into_iter().find(|line| line["id"] == id).unwrap();
        assert_eq!(line.get("watch").map_or("0", String::as_str), "0");
        // An error where a transaction is open.
        lease.run::<()>("MULTI").unwrap();
        lease.run::<()>("GET n").unwrap();
        assert!(lease.run::<Option<Vec<i64>>>("EXEC").unwrap().is_some(), "keys were watched still");
    }
}

fn contending_workers_lose_no_count(setup: Setup) {
    const WORKERS: usize = 16;
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=60s");
    let tries = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                for _ in 0..10 {
                    let counted = client.transaction("n", |tx| {
                        tries.fetch_add(1, Ordering::Relaxed);
                        count(tx)
                    });
                    counted.unwrap();
                }
            });
        }
    });
    assert_eq!(client.run::<usize>("GET n").unwrap(), 10 * WORKERS);
    assert!(tries.into_inner() as usize > 10 * WORKERS, "no worker contended, so this shows nothing");
    check_clean(&server, &client);
}

/// Connections are killed all the time; what counts is what the workers were told.
fn killed_connections_lose_no_count_and_run_nothing_elsewhere(setup: Setup) {
    const WORKERS: usize = 16;
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=60s&client_name=victim&reconnect_backoff=constant:1ms");
    let (counted, unknown, over) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
    let killed = thread::scope(|scope| {
        let _end = TellOnDrop(&over);
        let killer = scope.spawn(|| {
            let mut killed = 0;
            while !over.load(Ordering::Relaxed) {
                killed += kill_some(&server);
                thread::sleep(Duration::from_millis(10));
            }
            killed
        });
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let told = client.transaction("n", count);
                        match told.map_err(|error| (error.outcome(), error.to_string())) {
                            Ok(_) => counted.fetch_add(1, Ordering::Relaxed),
                            Err((Outcome::MaybeExecuted, _)) => unknown.fetch_add(1, Ordering::Relaxed),
                            Err((_, text)) => panic!("{text}"),
                        };
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        over.store(true, Ordering::Relaxed);
        killer.join().unwrap()
    });
    let n: u32 = client.run("GET n").unwrap();
    let (counted, unknown) = (counted.into_inner(), unknown.into_inner());
    assert!((counted..=counted + unknown).contains(&n), "{n}, told {counted} and perhaps {unknown}");
    assert!(killed > 0, "no connection was killed, so this shows nothing");
}

/// Kills every third connection.
fn kill_some(server: &Server) -> usize {
    let clients = server.client_list();
    let victims = clients.iter().filter(|line| line["name"] == "victim").step_by(3);
    victims.filter(|line| server.command(&["CLIENT", "KILL", "ID", &line["id"]]).is_ok()).count()
}

fn a_connection_lost_before_exec_is_an_abort(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "client_name=watcher");
    let (mut ids, mut aborts) = (Vec::new(), Vec::new());
    let next = client.transaction("n", |mut tx| {
        ids.push(tx.run::<i64>("CLIENT ID")?);
        let n = tx.run::<Option<i64>>("GET n")?.unwrap_or_default();
        if ids.len() == 1 {
            // Another client's count would be lost by an EXEC on another connection.
            kill_named(&server, "watcher");
            server.command(&["SET", "n", "10"]).unwrap();
        }
        let done = tx.commit(|p| run::<()>(p, &format!("SET n {}", n + 1)));
        aborts.extend(done.as_ref().err().cloned());
        done.map(|()| n + 1)
    });
    // Where the kernel took EXEC before the end was seen, it is not known what came of it.
    match &aborts[..] {
        [] => panic!("EXEC ran on another connection"),
        [error] if error.kind() == ErrorKind::Aborted => {
            assert_eq!((next.unwrap(), ids.len(), error.outcome()), (11, 2, Outcome::NotSent), "{error}");
            assert!(ids[0] != ids[1] && error.is_retryable());
        }
        [error] => assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}"),
        more => panic!("{more:?}"),
    }
    let n = server.command(&["GET", "n"]).unwrap();
    assert!(n == "11" || n == "10", "{n}");
    assert!(server.calls("exec") <= 1);
}

fn a_lost_reply_to_exec_is_told_and_not_repeated(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "");
    for (runs, bytes) in [0, 5, 5 + 9 + 1].into_iter().enumerate() {
        let mut tries = 0;
        let error = client
            .transaction("n", |mut tx| {
                tries += 1;
                tx.run::<Option<i64>>("GET n")?;
                proxy.set(Direction::ToClient, Fault::CutAfter(bytes));
                tx.commit(|p| run::<i64>(p, "INCR n"))
            })
            .unwrap_err();
        assert_eq!((error.outcome(), tries), (Outcome::MaybeExecuted, 1), "{error}");
        assert_eq!(error.command(), Some("transaction"));
        assert_eq!(server.command(&["GET", "n"]).unwrap(), (runs + 1).to_string());
    }
    let mut tries = 0;
    let harmless = client.transaction("n", |mut tx| {
        tries += 1;
        tx.run::<Option<i64>>("GET n")?;
        if tries == 1 {
            proxy.set(Direction::ToClient, Fault::CutAfter(0));
        }
        tx.commit(|p| run::<i64>(p.idempotent(), "INCR n"))
    });
    assert_eq!((harmless.unwrap(), tries), (5, 2), "what is declared idempotent is repeated");
}

fn what_may_have_run_before_the_commit_is_not_repeated(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "");
    for (line, repeated) in [("INCR direct", false), ("GET n", true)] {
        let mut tries = 0;
        let result = client.transaction("n", |mut tx| {
            tries += 1;
            tx.run::<Option<i64>>("GET n")?;
            if tries == 1 {
                proxy.set(Direction::ToClient, Fault::CutAfter(0));
            }
            tx.run::<Option<i64>>(line)?;
            tx.commit(|p| run::<i64>(p, "INCR n"))
        });
        assert_eq!((result.is_ok(), tries), (repeated, 1 + u32::from(repeated)), "{line}: {result:?}");
        assert!(result.err().is_none_or(|error| error.outcome() == Outcome::MaybeExecuted));
    }
    assert_eq!(server.command(&["MGET", "direct", "n"]).unwrap().lines().collect::<Vec<_>>(), ["1", "1"]);
}

fn tries_have_a_limit_and_so_has_time(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=60s");
    let pauses = TransactionOptions::new().backoff(Backoff::constant(Duration::from_millis(20)));
    let hopeless = |options| {
        let (mut tries, begin) = (0, Instant::now());
        let error = client
            .transaction_with(options, "n", |mut tx| {
                tries += 1;
                tx.run::<Option<i64>>("GET n")?;
                server.command(&["INCR", "n"]).unwrap();
                tx.commit(|p| run::<i64>(p, "INCR n"))
            })
            .unwrap_err();
        (error, tries, begin.elapsed())
    };
    let (error, tries, took) = hopeless(pauses.tries(4));
    assert!(tries == 4 && took >= Duration::from_millis(60), "{tries} in {took:?}");
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Aborted, Outcome::Rejected), "{error}");
    assert!(error.tries() == 4 && error.to_string().contains("too many tries"), "{error}");
    let (error, tries, took) = hopeless(pauses.timeout(Duration::from_millis(500)));
    assert!(tries > 1 && took < LIMIT, "{tries} in {took:?}");
    // Between two tries, or in the middle of one.
    assert!(error.to_string().contains("no time") || error.is_timeout(), "{error}");
    // What is called after the deadline ends at once.
    let late = client.transaction_with(
        TransactionOptions::new().timeout(Duration::from_millis(50)),
        "n",
        |mut tx| {
            thread::sleep(Duration::from_millis(60));
            tx.run::<i64>("GET n")
        },
    );
    let error = late.unwrap_err();
    assert!(error.is_timeout(), "{error}");
}

fn more_keys_can_be_watched(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    for changed in ["a", "b", "c", "d"] {
        let mut tries = 0;
        let done = client.transaction(["a", "b"], |mut tx| {
            tries += 1;
            if tries == 1 {
                tx.watch("c");
            }
            tx.run::<Option<i64>>("GET a")?;
            tx.watch(["d", "e"]);
            tx.pipeline(|p| [run::<Option<i64>>(p, "GET b"), run(p, "GET d")])?;
            if tries == 1 {
                server.command(&["INCR", changed]).unwrap();
            }
            tx.commit(|p| run::<i64>(p, "INCR n"))
        });
        done.unwrap();
        assert_eq!(tries, 2, "{changed} was changed");
    }
    assert_eq!(client.run::<i64>("GET n").unwrap(), 4);
}

fn a_commit_of_nothing_tells_whether_keys_were_changed(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let mut tries = 0;
    let read = client.transaction(["a", "b"], |mut tx| {
        tries += 1;
        let a: Option<i64> = tx.run("GET a")?;
        if tries == 1 {
            server.command(&["MSET", "a", "1", "b", "1"]).unwrap();
        }
        let b: Option<i64> = tx.run("GET b")?;
        tx.commit(|_| ())?;
        Ok((a, b))
    });
    assert_eq!((read.unwrap(), tries), ((Some(1), Some(1)), 2), "never one old and one new");
}

fn without_keys_it_is_just_a_lease(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let n = client.transaction(None::<&str>, |tx| tx.commit(|p| run::<i64>(p, "INCR n")));
    assert_eq!(n.unwrap(), 1);
    let n = client.transaction("n", |tx| tx.commit(|p| run::<i64>(p, "INCR n")));
    assert_eq!((n.unwrap(), server.calls("watch")), (2, 1), "keys are watched even if nothing is read");
}

fn a_panic_leaves_nothing_behind(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "max_connections=2");
    for _ in 0..4 {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            client.transaction("n", |mut tx| -> Result<()> {
                tx.run::<Option<i64>>("GET n")?;
                panic!("the closure's own");
            })
        }));
        panicked.unwrap_err();
    }
    check_clean(&server, &client);
    assert_eq!(client.transaction("n", count).unwrap(), 4);
}

/// A future dropped in any state; for the blocking driver, a call that runs out of time.
fn an_abandoned_try_leaves_nothing_behind(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "max_connections=3&client_name=left");
    client.transaction("n", count).unwrap();
    proxy.set(Direction::ToClient, Fault::jitter(Duration::from_millis(5)));
    for micros in (0..40).map(|step| step * 700) {
        let limit = Duration::from_micros(micros);
        match &client {
            Client::Tokio(client) => {
                let work = async |mut tx: redwire::Transaction| {
                    tx.run::<Option<i64>>(words("GET n")).await?;
                    tx.commit(|p| run::<i64>(p, "INCR n")).await
                };
                let call = async { tokio::time::timeout(limit, client.transaction("n", work)).await };
                if let Ok(done) = runtime().block_on(call) {
                    done.unwrap();
                }
            }
            Client::Blocking(client) => {
                let options = TransactionOptions::new().timeout(limit.max(Duration::from_micros(1)));
                let _ = client.transaction_with(options, "n", |mut tx| {
                    tx.run::<Option<i64>>(words("GET n"))?;
                    tx.commit(|p| run::<i64>(p, "INCR n"))
                });
            }
        }
    }
    proxy.heal();
    let open = || server.client_list().iter().filter(|line| line["name"] == "left").count();
    eventually("no more connections than are allowed", LIMIT, || open() <= 3);
    check_clean(&server, &client);
}

fn what_would_change_the_connection_is_refused(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    for line in
        ["MULTI", "EXEC", "UNWATCH", "WATCH k", "SELECT 1", "RESET", "SUBSCRIBE c", "CLIENT REPLY OFF"]
    {
        let error = client.transaction("n", |mut tx| tx.run::<()>(line)).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{line}: {error}");
    }
    let error = client.transaction("n", |tx| tx.commit(|p| run::<()>(p, "BLPOP l 1"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
}

/// Neither what the closure goes on to do, nor a commit at once, is executed without a watch.
fn a_refused_watch_executes_nothing(setup: Setup) {
    let server = Server::builder().acl_line("user blind on >pw ~* &* +@all -watch").start();
    let client = setup.client(&server.url().replace("redis://", "redis://blind:pw@"), "");
    let obstinate = client.transaction("n", |mut tx| {
        tx.run::<Option<i64>>("GET n").unwrap_err();
        tx.commit(|p| run::<i64>(p, "INCR n"))
    });
    let hasty = client.transaction("n", |tx| tx.commit(|p| run::<i64>(p, "INCR n")));
    for error in [obstinate.unwrap_err(), hasty.unwrap_err()] {
        assert_eq!((error.code(), error.outcome()), (Some("NOPERM"), Outcome::Rejected), "{error}");
    }
    assert_eq!((client.run::<i64>("EXISTS n").unwrap(), server.calls("exec")), (0, 0));
}

/// Watching costs no round trip of its own, nor does what is left behind.
fn it_takes_three_writes(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "max_connections=2");
    client.transaction("n", count).unwrap();
    let before = server.stat("total_commands_processed");
    let connections = server.stat("total_connections_received");
    for _ in 0..10 {
        client.transaction("n", count).unwrap();
    }
    // WATCH, GET, MULTI, SET, EXEC; and one INFO of the test.
    assert_eq!(server.stat("total_commands_processed") - before, 10 * 5 + 2);
    assert!(server.stat("total_connections_received") - connections <= 3);
}

/// The future can be spawned, with values that the closure borrows.
#[test]
fn it_can_be_spawned() {
    use redwire::prelude::*;

    let server = Server::start();
    let client = runtime().block_on(redwire::Client::connect(&server.url())).unwrap();
    let task = runtime().spawn(async move {
        let (key, price) = (String::from("balance"), 30);
        client.set(&key, 100).await?;
        client
            .transaction(&key, async |mut tx| {
                let balance = tx.get::<i64>(&key).await?.unwrap_or_default();
                if balance < price {
                    return Ok(None);
                }
                tx.commit(|p| Some(p.decr_by(&key, price))).await
            })
            .await
    });
    assert_eq!(runtime().block_on(task).unwrap().unwrap(), Some(70));
}

/// Alone and among what is committed.
fn a_script_that_the_server_lacks_runs_in_it(setup: Setup) {
    use redwire::Script;
    use redwire::prelude::*;
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for round in 1..=2 {
        server.command(&["SCRIPT", "FLUSH"]).unwrap();
        let n: i64 = match &client {
            Client::Tokio(client) => runtime().block_on(client.transaction(["n"], async |mut tx| {
                let other: i64 = tx.invoke(script.key("other").arg(2)).await?;
                tx.commit(|p| p.invoke(script.key("n").arg(other))).await
            })),
            Client::Blocking(client) => client.transaction(["n"], |mut tx| {
                let other: i64 = tx.invoke(script.key("other").arg(2))?;
                tx.commit(|p| p.invoke(script.key("n").arg(other)))
            }),
        }
        .unwrap();
        assert_eq!(n, if round == 1 { 2 } else { 6 });
    }
}
