//! Commands that wait on the server: they hold up no others, end when they should, and when given up take
//! nothing with them (I3, I4). FAULTS 13, 14, 50.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::{Cmd, Outcome, Run, Value, cmd};
use redwire_testkit::{Server, eventually};

use crate::common::{Client, Driver, GRACE, LIMIT, Setup, runtime, stood_still_since, timed, words};

both!(
    a_wait_of_many_health_checks_is_left_alone,
    nil_comes_when_the_server_says_so,
    reads_beside_waiting_commands_go_on_as_before,
    a_wait_that_ends_by_its_deadline_takes_no_element_with_it,
    a_deadline_of_its_own_ends_what_waits_for_ever,
);

fn blocked(server: &Server) -> i64 {
    server.stat("blocked_clients")
}

fn a_wait_of_many_health_checks_is_left_alone(setup: Setup) {
    let server = Server::start();
    // Several health checks fit into these waits, each with time for a server that is slow to be scheduled.
    let options = "health_check_interval=500ms&timeout=200ms&connect_timeout=10s";
    let client = setup.client(&server.url(), options);
    let mut connection = setup.connection(&server.url(), options);
    thread::scope(|scope| {
        let popping = scope.spawn(|| client.run::<(String, i64)>("BLPOP a 0"));
        let by_hand = scope.spawn(|| connection.run::<(String, i64)>("BLPOP b 0"));
        eventually("both wait", LIMIT, || blocked(&server) == 2);
        // Three intervals: that nothing happens can only be seen in time.
        thread::sleep(Duration::from_millis(1_500));
        let still = blocked(&server);
        // Before anything is asserted: who waits for ever holds up a test that fails, too.
        server.command(&["RPUSH", "a", "1"]).unwrap();
        server.command(&["RPUSH", "b", "2"]).unwrap();
        let (popped, by_hand) = (popping.join().unwrap(), by_hand.join().unwrap());
        assert_eq!(popped.unwrap(), ("a".to_owned(), 1));
        assert_eq!(by_hand.unwrap(), ("b".to_owned(), 2));
        assert_eq!(still, 2);
    });
}

/// BLPOP 7 under a timeout of 5 s, ten times faster.
fn nil_comes_when_the_server_says_so(setup: Setup) {
    let server = Server::start();
    let options = "health_check_interval=200ms&timeout=500ms";
    let client = setup.client(&server.url(), options);
    let mut connection = setup.connection(&server.url(), options);
    // The server looks for the end of such waits ten times a second.
    let begun = Instant::now();
    let in_time = |took: Duration| {
        let late = took.saturating_sub(Duration::from_millis(700));
        took >= Duration::from_millis(700) && late <= Duration::from_millis(300) + stood_still_since(begun)
    };
    let (popped, took) = timed(|| client.run::<Option<Value>>("BLPOP list 0.7"));
    assert!(popped.unwrap().is_none());
    assert!(in_time(took), "{took:?}");
    let (popped, took) = timed(|| connection.run::<Option<Value>>("BLPOP list 0.7"));
    assert!(popped.unwrap().is_none());
    assert!(in_time(took), "{took:?}");
}

/// The slowest of a hundred, and the one in the middle.
fn gets(client: &Client) -> (Duration, Duration) {
    let mut times: Vec<_> = (0..100)
        .map(|_| {
            let (value, took) = timed(|| client.run::<String>("GET k"));
            assert_eq!(value.unwrap(), "v");
            took
        })
        .collect();
    times.sort_unstable();
    (times[99], times[50])
}

fn reads_beside_waiting_commands_go_on_as_before(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    client.run::<()>("SET k v").unwrap();
    thread::scope(|scope| {
        let waits: Vec<_> = (0..10)
            .map(|i| {
                let client = &client;
                scope.spawn(move || client.run::<(String, i64)>(&format!("BLPOP list{i} 0")))
            })
            .collect();
        eventually("ten wait", LIMIT, || blocked(&server) == 10);
        let begun = Instant::now();
        let (worst, median) = gets(&client);
        let slack = GRACE + stood_still_since(begun);
        assert_eq!(blocked(&server), 10, "all of that went on beside them");
        assert!(worst < slack && median < slack / 10, "{worst:?} at worst, {median:?} in the middle");
        for i in 0..10 {
            client.run::<i64>(&format!("RPUSH list{i} {i}")).unwrap();
        }
        for (i, wait) in (0..).zip(waits) {
            assert_eq!(wait.join().unwrap().unwrap(), (format!("list{i}"), i));
        }
    });
}

/// Only the client's own `timeout` does not count for what waits without end.
fn a_deadline_of_its_own_ends_what_waits_for_ever(setup: Setup) {
    const LINES: [&str; 6] = [
        "BLPOP list 0",
        "BLPOP list 99999999999",
        "BLPOP list 1e15",
        "BZPOPMIN list 0",
        "XREAD BLOCK 0 STREAMS stream $",
        "WAIT 9 0",
    ];
    let limit = Duration::from_millis(300);
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=100ms&connect_timeout=10s&health_check_interval=0");
    let pool = setup.pool(&server.url(), "timeout=10s&health_check_interval=0");
    let call = |line: &str| words::<Value>(line).timeout(limit);
    let ends = |line: &str, (result, took): (redwire::Result<Value>, Duration)| {
        let error = result.expect_err(line);
        assert!(error.is_timeout() && error.outcome() == Outcome::MaybeExecuted, "{line}: {error}");
        assert!((limit..limit + LIMIT).contains(&took), "{line}: {took:?}");
    };
    thread::scope(|scope| {
        for line in LINES {
            let mut connection = setup.connection(&server.url(), "timeout=100ms&health_check_interval=0");
            let mut lease = pool.get().unwrap();
            scope.spawn(move || ends(line, timed(|| connection.execute(call(line)))));
            scope.spawn(move || ends(line, timed(|| lease.execute(call(line)))));
        }
        for line in LINES {
            scope.spawn(|| ends(line, timed(|| client.execute(call(line)))));
        }
    });
    eventually("no client waits at the server", LIMIT, || blocked(&server) == 0);
}

/// Its deadline has passed while the server stood still: what the server finds when it goes on is no waiting
/// client.
fn a_wait_that_ends_by_its_deadline_takes_no_element_with_it(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=100ms&client_name=late");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| client.run::<Option<Value>>("BLPOP list 0.2"));
        eventually("it waits", LIMIT, || blocked(&server) == 1);
        server.freeze();
        assert!(waiting.join().unwrap().unwrap_err().is_timeout());
    });
    server.thaw();
    eventually("no client waits", LIMIT, || blocked(&server) == 0);
    server.command(&["RPUSH", "list", "kept"]).unwrap();
    assert_eq!(server.command(&["LLEN", "list"]).unwrap(), "1");
}

fn tokio(server: &Server, options: &str) -> redwire::Client {
    let setup = Setup { driver: Driver::Tokio, protocol: 3 };
    match setup.client(&server.url(), options) {
        Client::Tokio(client) => client,
        Client::Blocking(_) => panic!("the async client was asked for"),
    }
}

fn blpop(client: &redwire::Client) -> impl Future<Output = redwire::Result<(String, u64)>> + Send + 'static {
    let (client, pop) = (client.clone(), cmd::<(String, u64)>("BLPOP").arg("list").arg(0));
    async move { client.execute(pop).await }
}

/// A client that waits for data and is dropped is gone from the server at once, and what comes later stays in
/// the list.
#[test]
fn a_wait_that_is_dropped_leaves_no_ghost() {
    let server = Server::start();
    let client = tokio(&server, "client_name=ghost");
    for _ in 0..20 {
        let waiting = runtime().spawn(blpop(&client));
        eventually("it waits", LIMIT, || blocked(&server) == 1);
        waiting.abort();
        let dropped = Instant::now();
        eventually("it is dropped", LIMIT, || waiting.is_finished());
        eventually("no client waits", LIMIT, || {
            server.client_list().iter().all(|client| client["cmd"] != "blpop")
        });
        let (took, slack) = (dropped.elapsed(), GRACE + stood_still_since(dropped));
        assert!(took < Duration::from_millis(100) + slack, "{took:?}");
        server.command(&["RPUSH", "list", "kept"]).unwrap();
        assert_eq!(server.command(&["DEL", "list"]).unwrap(), "1");
    }
    assert!(runtime().block_on(client.execute::<Value>(cmd("PING"))).is_ok());
}

/// Given up at random while elements come: each element is popped by one, stays, or went to a wait that was
/// just given up.
#[test]
fn waits_given_up_at_random_lose_no_more_than_one_element_each() {
    const ELEMENTS: u64 = 2_000;
    const WAITS: usize = 100;
    let server = Server::start();
    let client = tokio(&server, "max_connections=16&timeout=10s");
    let (given_up, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let pushed = AtomicU64::new(0);
    let mut popped: Vec<u64> = runtime().block_on(async {
        let consumers: Vec<_> = (0..8)
            .map(|seed| tokio::spawn(consume(client.clone(), seed, Arc::clone(&given_up), Arc::clone(&done))))
            .collect();
        let mut element = 0;
        while element < ELEMENTS || given_up.load(Ordering::SeqCst) < WAITS {
            client.execute(cmd::<u64>("RPUSH").arg("list").arg(element)).await.unwrap();
            element += 1;
        }
        pushed.store(element, Ordering::SeqCst);
        eventually_async("the list is empty", || client.execute(words::<u64>("LLEN list"))).await;
        done.store(true, Ordering::SeqCst);
        let mut popped = Vec::new();
        for consumer in consumers {
            popped.extend(consumer.await.unwrap());
        }
        popped
    });
    let (received, given_up) = (popped.len(), given_up.load(Ordering::SeqCst));
    popped.sort_unstable();
    popped.dedup();
    assert_eq!(popped.len(), received, "no element is popped twice");
    let lost = pushed.load(Ordering::SeqCst) as usize - received;
    assert!(lost <= given_up, "{lost} lost by {given_up} waits that were given up");
    eventually("no client waits", LIMIT, || blocked(&server) == 0);
    // All places came back.
    let stats = client.pool().stats();
    assert_eq!((stats.in_use, stats.waiting, stats.size), (0, 0, stats.idle), "{stats:?}");
}

async fn consume(
    client: redwire::Client,
    seed: u64,
    given_up: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
) -> Vec<u64> {
    let (mut rng, mut popped) = (fastrand::Rng::with_seed(seed), Vec::new());
    while !done.load(Ordering::SeqCst) {
        let limit = Duration::from_micros(rng.u64(..5_000));
        match tokio::time::timeout(limit, blpop(&client)).await {
            Ok(element) => popped.push(element.unwrap().1),
            Err(_) => drop(given_up.fetch_add(1, Ordering::SeqCst)),
        }
    }
    popped
}

/// Waits until `count` gives zero.
async fn eventually_async<'c>(what: &str, mut count: impl FnMut() -> redwire::Request<'c, Cmd<u64>>) {
    let end = Instant::now() + LIMIT;
    while count().await.unwrap() > 0 {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        tokio::task::yield_now().await;
    }
}

/// Whether the server lives is asked over a connection of the runtime that asks: one of another seems silent.
#[test]
fn a_server_is_not_taken_for_dead_in_a_second_runtime() {
    let server = Server::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("{}?health_check_interval=400ms&timeout=10s", server.url());
    let pool = redwire::Pool::connect_lazy(&url).unwrap();
    // Both runtimes live, and only one at a time runs.
    let (first, second) = (runtime(), runtime());
    let wait = |lease: &mut redwire::Lease, runtime: &tokio::runtime::Runtime| {
        let begin = Instant::now();
        let waited = runtime.block_on(lease.run::<Option<(String, String)>>(cmd("BLPOP").arg("none").arg(2)));
        assert_eq!(waited.unwrap(), None, "{:?}", begin.elapsed());
    };
    let mut lent = first.block_on(pool.get()).unwrap();
    wait(&mut lent, &first);
    let mut other = second.block_on(pool.get()).unwrap();
    wait(&mut other, &second);
}
