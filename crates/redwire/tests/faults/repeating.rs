//! What is repeated after a failure, and what is not: never what may have run, unless it only reads or its
//! caller said so (I2); within the deadline, the retries and their budget (I3, I7). FAULTS 4, 6.

use std::time::{Duration, Instant};

use redwire::{ErrorKind, Outcome, Run, Slot, Value};
use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Server, Step, expect, reply};

use crate::common::{GRACE, Setup, stood_still_since, timed, words};
use crate::step::{NAMELESS, hello};

both!(
    a_transaction_whose_reply_is_lost_runs_once,
    a_read_survives_as_many_lost_replies_as_it_has_retries,
    a_read_is_repeated_within_its_deadline_only,
    what_is_declared_idempotent_is_repeated,
    what_is_not_is_told,
    the_budget_bounds_all_retries_together,
);

/// `MULTI`, `INCR`, `EXEC` in one write, and the reply to one of them cut off.
fn a_transaction_whose_reply_is_lost_runs_once(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let packed = ["MULTI", "INCR n", "EXEC"].map(|line| words::<Value>(line).to_bytes()).concat();
    // Before `+OK`, before the reply to EXEC, and within it.
    for (runs, bytes) in [0, 5 + 9, 5 + 9 + 3].into_iter().enumerate() {
        for fault in [Fault::CutAfter(bytes), Fault::ResetAfter(bytes)] {
            server.command(&["SET", "n", &runs.to_string()]).unwrap();
            let mut connection = setup.connection(&proxy.url(), "");
            proxy.set(Direction::ToClient, fault);
            // A reset may be seen as early as that.
            let sent = connection.send_packed(&packed, 3);
            let replied =
                sent.and_then(|()| (0..3).map(|_| connection.read_reply::<Value>()).last().expect("three"));
            let error = replied.unwrap_err();
            assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{fault:?}: {error}");
            assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{fault:?}: {error}");
            assert!(!error.is_retryable(), "{fault:?}: {error}");
            connection.reconnect().unwrap();
            assert_eq!(connection.run::<usize>("GET n").unwrap(), runs + 1, "{fault:?}");
        }
    }
    assert_eq!(server.calls("exec"), 6);
}

/// A connection that ends when `line` has come.
fn lost(setup: Setup, line: &str) -> Vec<Step> {
    [hello(setup), vec![asked(line), Step::Close]].concat()
}

fn asked(line: &str) -> Step {
    expect(&line.split(' ').collect::<Vec<_>>())
}

fn a_read_survives_as_many_lost_replies_as_it_has_retries(setup: Setup) {
    for lost_replies in 0..=4 {
        let answered = [hello(setup), vec![asked("GET k"), reply("$5\r\nk=yes\r\n")]].concat();
        let lost = (0..lost_replies).map(|_| lost(setup, "GET k"));
        let fake = FakeServer::scripts(lost.chain([answered]));
        let client = setup.client(&fake.url(), &format!("{NAMELESS}&reconnect_backoff=constant:1ms"));
        let call = words::<String>("GET k").retries(lost_replies);
        assert_eq!(client.execute(call).unwrap(), "k=yes", "after {lost_replies}");
        fake.verify();
    }
    // One retry too few.
    let fake = FakeServer::scripts((0..3).map(|_| lost(setup, "GET k")));
    let client = setup.client(&fake.url(), &format!("{NAMELESS}&reconnect_backoff=constant:1ms"));
    let error = client.execute(words::<String>("GET k").retries(2)).unwrap_err();
    assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 3), "{error}");
    client.close();
    let asked = fake.received().iter().filter(|words| words[0] == b"GET").count();
    assert_eq!(asked, 3);
    let _ = fake.problems();
}

fn a_read_is_repeated_within_its_deadline_only(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "timeout=300ms&retries=1000000&retry_backoff=constant:10ms");
    client.run::<()>("SET k v").unwrap();
    proxy.set(Direction::ToClient, Fault::Refuse);
    proxy.cut_all();
    let begun = Instant::now();
    let (result, took) = timed(|| client.run::<String>("GET k"));
    let error = result.unwrap_err();
    let slack = GRACE + stood_still_since(begun);
    assert!(took <= Duration::from_millis(300) + slack, "{took:?}: {error}");
    proxy.heal();
    assert_eq!(client.execute(words::<String>("GET k").timeout(Duration::from_secs(5))).unwrap(), "v");
}

fn what_is_declared_idempotent_is_repeated(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let (client, all) = (setup.client(&proxy.url(), ""), setup.client(&proxy.url(), "idempotent=true"));
    for bytes in [0, 1] {
        // A new connection's handshake must not meet the fault.
        let cut = || {
            client.run::<()>("PING").unwrap();
            all.run::<()>("PING").unwrap();
            proxy.set(Direction::ToClient, Fault::CutAfter(bytes));
        };
        cut();
        client.execute(words::<i64>("INCR command").idempotent()).unwrap();
        cut();
        let twice = client.pipeline(|p| -> (Slot<i64>, Slot<i64>) {
            p.idempotent();
            (p.run(words("INCR pipeline")), p.run(words("INCR pipeline")))
        });
        twice.unwrap();
        cut();
        all.run::<i64>("INCR client").unwrap();
        cut();
        all.pipeline(|p| p.run(words::<i64>("INCR all"))).unwrap();
    }
    for (key, times) in [("command", 4), ("pipeline", 8), ("client", 4), ("all", 4)] {
        assert_eq!(server.command(&["GET", key]).unwrap(), times.to_string(), "{key} ran twice each time");
    }
}

/// The same as above, less the declarations.
fn what_is_not_is_told(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "idempotent=false");
    let cut = || {
        client.run::<()>("PING").unwrap();
        proxy.set(Direction::ToClient, Fault::CutAfter(0));
    };
    cut();
    let error = client.run::<i64>("INCR command").unwrap_err();
    assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 1), "{error}");
    cut();
    let twice = client.pipeline(|p| -> (Slot<i64>, Slot<i64>) {
        (p.run(words("INCR pipeline")), p.run(words("INCR pipeline").idempotent()))
    });
    let error = twice.unwrap_err();
    assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 1), "{error}");
    for (key, times) in [("command", 1), ("pipeline", 2)] {
        assert_eq!(server.command(&["GET", key]).unwrap(), times.to_string(), "{key}");
    }
}

/// A server that is never ready, asked with far more retries than the budget has.
fn the_budget_bounds_all_retries_together(setup: Setup) {
    const CALLS: usize = 20;
    /// What a budget has at first, and what it earns in a second: `redwire_core::budget`.
    const SAVED: usize = 5_000;
    const PER_SECOND: f64 = 10.0;
    let fake = FakeServer::answering(|words| match &words[0][..] {
        b"HELLO" => b"%1\r\n+server\r\n+redis\r\n".to_vec(),
        b"CLIENT" => b"+OK\r\n".to_vec(),
        _ => b"-LOADING it loads\r\n".to_vec(),
    });
    let options = "retries=1000&retry_backoff=none&retry_budget=0&timeout=60s";
    let client = setup.client(&fake.url(), options);
    let start = Instant::now();
    let tries: Vec<_> = (0..CALLS)
        .map(|_| {
            let error = client.run::<Value>("INCR n").unwrap_err();
            assert_eq!((error.code(), error.outcome()), (Some("LOADING"), Outcome::Rejected), "{error}");
            let full = error.tries() == 1001;
            assert!(full || error.to_string().contains("budget"), "{error}");
            error.tries() as usize
        })
        .collect();
    let earned = (start.elapsed().as_secs_f64() * PER_SECOND) as usize + 1;
    assert_eq!(tries[0], 1001, "a full budget lasts for a short outage");
    let asked = fake.received().iter().filter(|words| words[0] == b"INCR").count();
    assert_eq!(asked, tries.iter().sum::<usize>());
    assert!(asked <= CALLS + SAVED + earned, "{asked} for {CALLS} calls and {earned} retries earned");
    assert!(asked >= CALLS + SAVED, "{asked}: the budget was not used up, so this shows nothing");
}
