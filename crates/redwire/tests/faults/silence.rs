//! Peers that fall silent: every call ends by its deadline, and service returns with the peer (I3, I6).
//! FAULTS 8, 9.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redwire::{Outcome, Run, Value, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::{Client, GRACE, LIMIT, Setup, stood_still_since, timed, words};

const TIMEOUT: Duration = Duration::from_millis(500);

both!(
    a_frozen_server_holds_no_call_past_the_deadline,
    a_frozen_server_holds_no_pipeline_past_the_deadline,
    a_connection_that_cannot_be_made_holds_no_call_past_the_deadline,
    a_command_that_waits_cannot_be_held_past_its_deadline,
    a_black_hole_holds_no_call_past_the_deadline,
    after_a_lost_reply_no_call_gets_anothers,
);

/// All calls must have failed for want of time, in time.
fn check(setup: Setup, what: &str, limit: Duration, calls: Vec<(redwire::Error, Duration)>) {
    let worst = calls.iter().map(|(_, took)| took.saturating_sub(limit)).max().unwrap();
    let _ = writeln!(
        std::io::stderr(),
        "{what}, {setup:?}: {} calls, {worst:?} past the deadline at worst",
        calls.len()
    );
    let longest = calls.iter().map(|(_, took)| *took).max().unwrap();
    let slack = GRACE + stood_still_since(Instant::now() - 2 * longest);
    for (error, took) in calls {
        assert!(error.is_timeout(), "{error}");
        assert!(took >= limit - Duration::from_millis(5) && took <= limit + slack, "{took:?}: {error}");
    }
}

/// Many threads, each with one call begun at a time of its own.
fn call_from_threads(client: &Client, line: &str, count: u32) -> Vec<(redwire::Error, Duration)> {
    thread::scope(|scope| {
        let calls: Vec<_> = (0..count)
            .map(|i| {
                scope.spawn(move || {
                    thread::sleep(Duration::from_millis(u64::from(i) * 7));
                    let (result, took) = timed(|| client.run::<Value>(line));
                    (result.unwrap_err(), took)
                })
            })
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    })
}

fn a_frozen_server_holds_no_call_past_the_deadline(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=500ms&max_connections=4");
    client.run::<()>("SET k v").unwrap();
    for round in 0..2 {
        server.freeze();
        let calls = call_from_threads(&client, if round == 0 { "GET k" } else { "INCR n" }, 20);
        check(setup, "frozen", TIMEOUT, calls);
        server.thaw();
        let thawed = Instant::now();
        eventually("service returns", LIMIT, || {
            client.run::<String>("GET k").is_ok_and(|value| value == "v")
        });
        assert!(thawed.elapsed() < Duration::from_millis(1500), "{:?}", thawed.elapsed());
    }
}

fn a_frozen_server_holds_no_pipeline_past_the_deadline(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=500ms");
    client.run::<()>("SET k v").unwrap();
    server.freeze();
    // Too large for the buffers of the kernel, so that writing waits, too; but soon copied on any machine.
    let (value, large) = (Bytes::from(vec![b'v'; 3 << 20]), Bytes::from(vec![b'v'; 12 << 20]));
    let set = |value: &Bytes| cmd::<Value>("SET").arg("k").arg(value);
    let call = || client.pipeline(|p| [(); 4].map(|()| p.run(set(&value))));
    let (result, took) = timed(call);
    check(setup, "a pipeline", TIMEOUT, vec![(result.unwrap_err(), took)]);
    let (result, took) = timed(|| client.execute(set(&large)));
    check(setup, "a large value", TIMEOUT, vec![(result.unwrap_err(), took)]);
    server.thaw();
    eventually("service returns", LIMIT, || client.run::<String>("PING").is_ok());
}

fn a_connection_that_cannot_be_made_holds_no_call_past_the_deadline(setup: Setup) {
    let server = Server::start();
    server.freeze();
    for options in ["timeout=500ms&connect_timeout=10s", "timeout=500ms&connect_timeout=100ms"] {
        let client = setup.lazy(&server.url(), options).unwrap();
        let begin = Instant::now();
        let (result, took) = timed(|| client.run::<Value>("INCR n"));
        let error = result.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{options}: {error}");
        assert!(error.is_timeout(), "{options}: {error}");
        assert!(took <= TIMEOUT + GRACE + stood_still_since(begin), "{options}: {took:?}");
    }
    server.thaw();
    // What was told not to be sent is never executed.
    let client = setup.client(&server.url(), "");
    assert_eq!(client.run::<Option<i64>>("GET n").unwrap(), None);
}

fn a_command_that_waits_cannot_be_held_past_its_deadline(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=500ms&connect_timeout=10s&max_connections=2");
    server.freeze();
    let begin = Instant::now();
    let (result, took) = timed(|| client.execute(words::<Value>("BLPOP list 0.1")));
    let limit = TIMEOUT + Duration::from_millis(100);
    assert!(took <= limit + GRACE + stood_still_since(begin), "{took:?}: {result:?}");
    assert!(result.unwrap_err().is_timeout());
    server.thaw();
}

fn a_black_hole_holds_no_call_past_the_deadline(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "timeout=500ms&max_connections=4");
    client.run::<()>("SET k v").unwrap();
    proxy.set(Direction::ToServer, Fault::Blackhole);
    check(setup, "a black hole", TIMEOUT, call_from_threads(&client, "GET k", 20));
    proxy.heal();
    // What was swallowed never comes: only a new connection helps, and the peer says nothing about the old
    // one.
    proxy.reset_all();
    eventually("service returns", Duration::from_millis(1500), || client.run::<String>("GET k").is_ok());
}

/// FAULTS 46: one reply too few. The call that misses it has its deadline; calls after it get theirs or none.
fn after_a_lost_reply_no_call_gets_anothers(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "timeout=100ms");
    proxy.set(Direction::ToClient, Fault::DropReplies(1));
    let error = client.run::<i64>("INCR n").unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert_eq!(error.outcome(), Outcome::MaybeExecuted);
    let end = Instant::now() + Duration::from_millis(1500);
    let mut healed = false;
    for i in 0.. {
        match client.run::<i64>(&format!("ECHO {i}")) {
            Ok(echo) => assert_eq!(echo, i),
            Err(error) => assert!(error.is_timeout(), "{error}"),
        }
        healed = client.run::<String>("PING").is_ok();
        if healed || Instant::now() > end {
            break;
        }
    }
    assert!(healed, "a connection out of step is given up");
}

/// Kernels keep the timeouts of sockets the worse, the longer they are: Linux ends one of 2 s up to 256 ms
/// late, when the next quarter of a second is over. Of limits that lie all over such a quarter, half are then
/// 128 ms late or more, while a busy machine holds up but a few.
#[test]
fn a_long_deadline_is_kept_as_well_as_a_short_one() {
    let server = Server::start();
    let url = Setup::ALL[2].url(&server.url(), "timeout=0&health_check_interval=0");
    let connect = || redwire::blocking::Client::connect(&url).unwrap();
    let calls: Vec<_> = (0..8)
        .flat_map(|step| {
            let limit = Duration::from_millis(2020 + 32 * step);
            let set = cmd::<Value>("SET").arg("k").arg(Bytes::from(vec![b'x'; 8 << 20]));
            [(limit, connect(), cmd("GET").arg("k")), (limit, connect(), set)]
        })
        .collect();
    server.freeze();
    let mut late: Vec<_> = thread::scope(|scope| {
        let begin = |(limit, client, cmd): (Duration, redwire::blocking::Client, redwire::Cmd<Value>)| {
            let call = move || timed(|| client.execute(cmd.timeout(limit)).map(drop));
            (limit, scope.spawn(call))
        };
        let running: Vec<_> = calls.into_iter().map(begin).collect();
        let late = |(limit, (result, took)): (Duration, (redwire::Result<()>, Duration))| {
            assert!(result.unwrap_err().is_timeout() && took >= limit, "{took:?} for {limit:?}");
            took - limit
        };
        running.into_iter().map(|(limit, call)| late((limit, call.join().unwrap()))).collect()
    });
    late.sort_unstable();
    assert!(late[late.len() / 2] < Duration::from_millis(100), "{late:?}");
}
