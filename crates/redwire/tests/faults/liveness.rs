//! Peers that fall silent while nothing limits a call: found dead within twice the health check interval by
//! every kind of connection, while a peer that is merely slow is left alone (I3, I6). FAULTS 8–10, 13.

use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redwire::{ConnectionFault, Error, ErrorKind, EventKind, Outcome, Value, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::closing::warm;
use crate::common::{Client, GRACE, LIMIT, Setup, runtime, stood_still_since, timed, words};
use crate::questions::{losses, tokio};

const INTERVAL: Duration = Duration::from_millis(400);

/// No call ends by a deadline.
const ENDLESS: &str = "timeout=0&health_check_interval=400ms&connect_timeout=10s&max_connections=64";

both!(
    a_frozen_server_is_noticed_by_calls_without_a_deadline,
    a_black_hole_is_noticed_by_calls_without_a_deadline,
    a_frozen_server_is_noticed_by_commands_that_wait,
    a_black_hole_is_noticed_by_commands_that_wait,
    an_answer_to_another_call_counts_from_when_it_came,
    a_peer_that_takes_no_more_bytes_is_noticed,
    a_slow_reply_is_no_silence,
    a_slow_request_is_no_silence,
    a_request_that_the_kernel_holds_is_no_silence,
    a_request_that_the_server_holds_back_is_no_silence,
    a_busy_server_is_waited_for_until_the_deadline,
);

/// A server, reached through a proxy where that is to fail.
struct Peer {
    server: Server,
    proxy: Option<Proxy>,
}

impl Peer {
    fn to_freeze() -> Self {
        Self { server: Server::start(), proxy: None }
    }

    fn behind_a_gap() -> Self {
        let server = Server::start();
        Self { proxy: Some(Proxy::start(server.addr())), server }
    }

    fn url(&self) -> String {
        self.proxy.as_ref().map_or_else(|| self.server.url(), Proxy::url)
    }

    /// Says since when.
    fn fall_silent(&self) -> Instant {
        match &self.proxy {
            None => self.server.freeze(),
            Some(proxy) => {
                proxy.set(Direction::ToServer, Fault::Blackhole);
                proxy.set(Direction::ToClient, Fault::Blackhole);
            }
        }
        Instant::now()
    }

    /// Speaks once all calls have ended; in the end also if they have not, to let go callers that were not
    /// told.
    fn speak_after<T>(&self, calls: &[ScopedJoinHandle<'_, T>]) {
        let end = Instant::now() + LIMIT;
        while calls.iter().any(|call| !call.is_finished()) && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        self.speak();
    }

    fn speak(&self) {
        match &self.proxy {
            None => self.server.thaw(),
            Some(proxy) => {
                proxy.heal();
                proxy.reset_all();
            }
        }
    }
}

/// Whether `error` says that the peer was silent, and that it is not known what became of the command.
#[track_caller]
fn check_silent(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Silent), "{error}");
    assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
}

/// What began to be silent at one time was found dead at the other, within the bound that is promised.
#[track_caller]
fn check_in_time(silent: Instant, found: Instant, bound: Duration) {
    // A client that stood still gives the peer a little more time, since its answer may not have been read.
    let (took, slack) = (found - silent, GRACE + 2 * stood_still_since(silent));
    assert!(took <= bound + slack, "{took:?}, with {slack:?} to spare");
}

fn a_frozen_server_is_noticed_by_calls_without_a_deadline(setup: Setup) {
    silence_ends_calls(setup, &Peer::to_freeze());
}

fn a_black_hole_is_noticed_by_calls_without_a_deadline(setup: Setup) {
    silence_ends_calls(setup, &Peer::behind_a_gap());
}

/// Many callers of a client, and one of a connection by hand, as soon as the peer is silent.
fn silence_ends_calls(setup: Setup, peer: &Peer) {
    const CALLERS: usize = 8;
    let client = setup.client(&peer.url(), ENDLESS);
    let mut connection = setup.connection(&peer.url(), ENDLESS);
    // None has to connect, and none has been idle.
    warm(&client, CALLERS);
    let silent = peer.fall_silent();
    thread::scope(|scope| {
        let call = || (client.run::<i64>("INCR n"), Instant::now());
        let mut callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers.push(scope.spawn(|| (connection.run::<i64>("INCR n"), Instant::now())));
        peer.speak_after(&callers);
        for caller in callers {
            let (result, failed) = caller.join().unwrap();
            check_silent(&result.unwrap_err());
            check_in_time(silent, failed, 2 * INTERVAL);
        }
    });
    eventually("service returns", LIMIT, || client.run::<i64>("INCR n").is_ok());
}

fn a_frozen_server_is_noticed_by_commands_that_wait(setup: Setup) {
    silence_ends_waits(setup, &Peer::to_freeze());
}

fn a_black_hole_is_noticed_by_commands_that_wait(setup: Setup) {
    silence_ends_waits(setup, &Peer::behind_a_gap());
}

/// Commands that wait for ever, begun at different times: on a client, on connections by hand, and on one of
/// its pool.
fn silence_ends_waits(setup: Setup, peer: &Peer) {
    let client = setup.client(&peer.url(), ENDLESS);
    let wait = || client.run::<Value>("BLPOP list 0").unwrap_err();
    let by_hand = || setup.connection(&peer.url(), ENDLESS).run::<Value>("BLPOP list 0").unwrap_err();
    let on_lease = || lease_and_run(&client, "BLPOP list 0").unwrap_err();
    thread::scope(|scope| {
        let mut waits = Vec::new();
        for round in 0..4 {
            waits.push(scope.spawn(move || (wait(), Instant::now())));
            waits.push(scope.spawn(move || (by_hand(), Instant::now())));
            waits.push(scope.spawn(move || (on_lease(), Instant::now())));
            eventually("they wait", LIMIT, || peer.server.stat("blocked_clients") == 3 * (round + 1));
            // Such that they are not all looked after at the same time.
            thread::sleep(INTERVAL * 2 / 5);
        }
        let silent = peer.fall_silent();
        peer.speak_after(&waits);
        let mut ends: Vec<_> = waits.into_iter().map(|wait| wait.join().unwrap()).collect();
        ends.sort_by_key(|(_, end)| *end);
        for (error, failed) in ends {
            check_silent(&error);
            check_in_time(silent, failed, 2 * INTERVAL);
        }
    });
    eventually("service returns", LIMIT, || client.run::<i64>("RPUSH list x").is_ok());
}

/// Calls that wait share the question whether the server lives. Who is told an answer of some time ago has no
/// more time for that.
fn an_answer_to_another_call_counts_from_when_it_came(setup: Setup) {
    let interval = Duration::from_millis(800);
    let peer = Peer::to_freeze();
    let client = setup.client(&peer.url(), &ENDLESS.replace("400ms", "800ms"));
    thread::scope(|scope| {
        let wait = |line: &'static str| {
            let client = &client;
            move || (client.run::<Value>(line), Instant::now())
        };
        let first = scope.spawn(wait("BLPOP first 0"));
        eventually("the first waits", LIMIT, || peer.server.stat("blocked_clients") == 1);
        // Less than half an interval: it will find the answer that the first one gets.
        thread::sleep(interval * 9 / 20);
        let second = scope.spawn(wait("BLPOP second 0"));
        eventually("the second waits", LIMIT, || peer.server.stat("blocked_clients") == 2);
        let connections = peer.server.client_list().len();
        eventually("the first has asked", LIMIT, || peer.server.client_list().len() > connections);
        peer.server.command(&["RPUSH", "first", "x"]).unwrap();
        first.join().unwrap().0.unwrap();
        let silent = peer.fall_silent();
        peer.speak_after(std::slice::from_ref(&second));
        let (result, failed) = second.join().unwrap();
        check_silent(&result.unwrap_err());
        check_in_time(silent, failed, 2 * interval);
    });
}

fn lease_and_run(client: &Client, line: &str) -> redwire::Result<Value> {
    use redwire::Run;
    match client {
        Client::Tokio(client) => {
            runtime().block_on(async { client.pool().get().await?.run(words(line)).await })
        }
        Client::Blocking(client) => client.pool().get()?.run(words(line)),
    }
}

/// A request too large for the buffers of the kernel: writing is what waits.
fn a_peer_that_takes_no_more_bytes_is_noticed(setup: Setup) {
    let value = Bytes::from(vec![b'v'; 64 << 20]);
    let peer = Peer::to_freeze();
    let client = setup.client(&peer.url(), ENDLESS);
    client.run::<()>("PING").unwrap();
    let silent = peer.fall_silent();
    let error = client.execute(cmd::<()>("SET").arg("k").arg(&value).retries(0)).unwrap_err();
    check_in_time(silent, Instant::now(), 2 * INTERVAL);
    peer.speak();
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Silent), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
}

/// A reply that takes many intervals, without a pause that is as long as one.
fn a_slow_reply_is_no_silence(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let value = Bytes::from(vec![b'v'; 2 << 20]);
    let client = setup.client(&proxy.url(), "timeout=10s&health_check_interval=400ms");
    let mut connection = setup.connection(&proxy.url(), "timeout=10s&health_check_interval=400ms");
    client.execute::<()>(cmd("SET").arg("k").arg(&value)).unwrap();
    let mut lost = losses(&client);
    let pause = Duration::from_millis(40);
    proxy.set(Direction::ToClient, Fault::Delay { min: pause, max: pause });
    let (got, took) = timed(|| client.execute::<Bytes>(cmd("GET").arg("k").retries(0)));
    assert!(got.unwrap() == value);
    assert!(took > Duration::from_millis(1000), "{took:?} is no time");
    assert!(connection.run::<Bytes>("GET k").unwrap() == value);
    assert_eq!(lost().len(), 0);
}

/// A request whose bytes the network takes slowly: nothing comes back before the last of them.
fn a_slow_request_is_no_silence(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let value = Bytes::from(vec![b'v'; 32_000_000]);
    let client = setup.client(&proxy.url(), "timeout=20s&health_check_interval=800ms");
    client.run::<()>("PING").unwrap();
    let mut lost = losses(&client);
    let pause = Duration::from_millis(4);
    proxy.set(Direction::ToServer, Fault::Delay { min: pause, max: pause });
    let (set, took) = timed(|| client.execute::<()>(cmd("SET").arg("k").arg(&value).retries(0)));
    set.unwrap_or_else(|error| panic!("after {took:?}: {error}"));
    assert!(took > Duration::from_millis(1500), "{took:?} is no time");
    assert_eq!(lost().len(), 0);
}

/// As much of a request as the kernel takes at once, and then several intervals until the peer has it all.
fn a_request_that_the_kernel_holds_is_no_silence(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let value = Bytes::from(vec![b'v'; 10_000_000]);
    // The server is asked over another connection meanwhile, and has to answer within that on a busy machine.
    let client = setup.client(&proxy.url(), "timeout=20s&health_check_interval=400ms");
    client.run::<()>("PING").unwrap();
    let mut lost = losses(&client);
    let pause = Duration::from_millis(14);
    proxy.set(Direction::ToServer, Fault::Delay { min: pause, max: pause });
    let (set, took) = timed(|| client.execute(cmd::<()>("SET").arg("k").arg(&value).retries(0)));
    set.unwrap_or_else(|error| panic!("after {took:?}: {error}"));
    assert!(took > Duration::from_millis(1600), "{took:?} is no time");
    assert_eq!(lost().len(), 0);
}

/// A server that lives, and answers others, and not this one for now.
fn a_request_that_the_server_holds_back_is_no_silence(setup: Setup) {
    let server = Server::start();
    let interval = Duration::from_millis(200);
    let client = setup.client(&server.url(), "timeout=0&health_check_interval=200ms");
    client.run::<()>("PING").unwrap();
    let mut lost = losses(&client);
    if server.command(&["CLIENT", "PAUSE", "1500", "WRITE"]).is_err() {
        // Servers before 6.2 hold back all, or nothing.
        return;
    }
    let (counted, took) = timed(|| client.execute(words::<i64>("INCR n").retries(0)));
    assert_eq!(counted.unwrap(), 1);
    assert!(took > 3 * interval, "{took:?}");
    assert_eq!(lost().len(), 0);
}

/// A server that answers no client for several intervals, and lives. Each call ends by its own deadline, also
/// those that share a connection. FAULTS 66.
fn a_busy_server_is_waited_for_until_the_deadline(setup: Setup) {
    const SHORT: Duration = Duration::from_millis(300);
    let server = Server::start();
    let options = "timeout=20s&health_check_interval=200ms";
    let client = setup.client(&server.url(), options);
    let mut connection = setup.connection(&server.url(), options);
    warm(&client, 12);
    lease_and_run(&client, "PING").unwrap();
    let mut lost = losses(&client);
    // To others a server that stands still for a while is one that runs a long command.
    server.freeze();
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(1300));
            server.thaw();
        });
        let mut calls = Vec::new();
        for _ in 0..8 {
            calls.push(scope.spawn(|| client.run::<i64>("INCR n").map(drop)));
        }
        calls.push(scope.spawn(|| connection.run::<i64>("INCR n").map(drop)));
        calls.push(scope.spawn(|| lease_and_run(&client, "INCR n").map(drop)));
        calls.push(scope.spawn(|| client.run::<Value>("BLPOP none 1").map(drop)));
        let short = || timed(|| client.execute(words::<i64>("INCR m").timeout(SHORT)).unwrap_err());
        for short in [(); 3].map(|()| scope.spawn(short)) {
            let (error, took) = short.join().unwrap();
            assert!(error.is_timeout(), "{error}");
            assert!(took < SHORT + GRACE + stood_still_since(begun), "{took:?}");
        }
        for call in calls {
            call.join().unwrap().unwrap();
        }
    });
    assert!(begun.elapsed() > Duration::from_millis(1000), "{:?} is no time", begun.elapsed());
    assert_eq!(client.run::<i64>("INCR n").unwrap(), 11);
    // The blocking client closes those whose callers have left, and those by which it asked in vain.
    let silent = ErrorKind::Connection(ConnectionFault::Silent);
    let used = |error: &Error| error.kind() == silent && error.outcome() == Outcome::MaybeExecuted;
    assert!(!lost().iter().any(used));
}

/// While calls come all the time, each with as much time as a peer may be silent.
#[test]
fn ordinary_calls_do_not_keep_a_dead_connection() {
    let peer = Peer::to_freeze();
    let (client, inner) = tokio(&peer.url(), "timeout=800ms&health_check_interval=400ms&connect_timeout=10s");
    client.run::<()>("PING").unwrap();
    let mut events = inner.events();
    let silent = peer.fall_silent();
    runtime().block_on(async {
        let lost = async {
            loop {
                if let EventKind::Lost(error) = events.next().await.expect("the client is there").kind {
                    return error;
                }
            }
        };
        let calls = async {
            loop {
                let client = inner.clone();
                tokio::spawn(async move { client.execute(words::<Value>("INCR n")).await });
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            lost = lost => check_silent(&lost),
            () = calls => {}
        }
    });
    check_in_time(silent, Instant::now(), 2 * INTERVAL);
    peer.speak();
}

/// A connection of which nothing comes, though its server lives as far as can be seen, is kept no longer than
/// a call has hope for it.
#[test]
fn a_connection_cut_off_from_a_server_that_lives_is_given_up() {
    let (old, new) = (Server::start(), Server::start());
    let proxy = Proxy::start(old.addr());
    let (client, inner) = tokio(&proxy.url(), "timeout=1s&health_check_interval=200ms&retries=0");
    client.run::<()>("PING").unwrap();
    let mut events = inner.events();
    proxy.retarget(new.addr());
    old.freeze();
    let error = client.run::<i64>("INCR n").unwrap_err();
    assert!(error.is_timeout(), "borne as long as there is hope: {error}");
    let lost = runtime().block_on(async {
        loop {
            let event = tokio::time::timeout(LIMIT, events.next()).await;
            if let EventKind::Lost(error) = event.expect("it is given up").expect("the client is there").kind
            {
                return error;
            }
        }
    });
    old.thaw();
    check_silent(&lost);
    eventually("service returns", LIMIT, || client.run::<i64>("INCR n").is_ok_and(|n| n == 1));
}

/// No caller calls, and still a shared connection is found to be dead.
#[test]
fn silence_is_noticed_while_no_task_calls() {
    for peer in [Peer::to_freeze(), Peer::behind_a_gap()] {
        let (client, inner) = tokio(&peer.url(), ENDLESS);
        client.run::<()>("PING").unwrap();
        let mut events = inner.events();
        let silent = peer.fall_silent();
        let lost = runtime().block_on(async {
            loop {
                let event = tokio::time::timeout(LIMIT, events.next()).await;
                match event.expect("an event").expect("the client is there").kind {
                    EventKind::Lost(error) => return error,
                    EventKind::Missed(count) => panic!("{count} events"),
                    _ => {}
                }
            }
        });
        check_in_time(silent, Instant::now(), 2 * INTERVAL);
        assert_eq!(lost.kind(), ErrorKind::Connection(ConnectionFault::Silent), "{lost}");
        peer.speak();
        eventually("service returns", Duration::from_millis(1500) + GRACE, || {
            client.execute(words::<Value>("PING").timeout(Duration::from_millis(100))).is_ok()
        });
    }
}
