//! Very many commands in little memory: in order, each with its own result, never more under way than
//! allowed. REFERENCE U3.

use std::cell::Cell;

use redwire::{Cmd, ErrorKind, Outcome, Reply, Result, Value, Window, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually, shared};

use crate::common::pool::Pool;
use crate::common::{Client, LIMIT, Setup, named_clients, runtime, words};

both!(
    results_come_in_order,
    each_command_has_its_own_result,
    no_more_are_under_way_than_allowed,
    bytes_are_limited_too,
    a_lost_connection_is_told_to_each_and_nothing_runs_twice,
    what_only_reads_survives_lost_connections,
    stopping_early_leaves_nothing_behind,
    a_dead_server_fails_each,
    a_silent_server_holds_no_call,
    large_values_pass,
    nothing_to_run_is_no_result,
);

impl Client {
    /// Gives `take` each result until it has enough.
    fn run_all<R: Reply>(
        &self,
        window: Window,
        commands: impl IntoIterator<Item = Cmd<R>>,
        mut take: impl FnMut(Result<R>) -> bool,
    ) {
        match self {
            Self::Tokio(client) => runtime().block_on(async {
                let mut results = client.run_all_within(window, commands);
                while let Some(result) = results.next().await {
                    if !take(result) {
                        break;
                    }
                }
            }),
            Self::Blocking(client) => {
                client.run_all_within(window, commands).all(take);
            }
        }
    }

    fn collect_all<R: Reply>(
        &self,
        window: Window,
        commands: impl IntoIterator<Item = Cmd<R>>,
    ) -> Vec<Result<R>> {
        let mut results = Vec::new();
        self.run_all(window, commands, |result| {
            results.push(result);
            true
        });
        results
    }
}

fn echo(i: u64) -> Cmd<u64> {
    cmd("ECHO").arg(i)
}

fn results_come_in_order(setup: Setup) {
    let client = setup.client(&shared().url(), "timeout=60s");
    for (window, count) in
        [(Window::new(), 100_000), (Window::new().commands(7), 2_000), (Window::new().commands(1), 10)]
    {
        let mut expected = 0..count;
        client.run_all(window, (0..count).map(echo), |result| {
            assert_eq!(Some(result.unwrap()), expected.next());
            true
        });
        assert_eq!(expected.next(), None);
    }
}

fn each_command_has_its_own_result(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let key = setup.key("million:own");
    client.run::<()>(&format!("SET {key} text")).unwrap();
    let lines = [
        "ECHO 1".into(),
        format!("INCR {key}"),
        "SELECT 1".into(),
        "BLPOP nothing 0.01".into(),
        "ECHO 2".into(),
    ];
    let results = client.collect_all(Window::new(), lines.iter().map(|line| words::<Option<i64>>(line)));
    let [first, wrong, refused, waited, last] = &results[..] else { panic!("{results:?}") };
    assert_eq!((first.as_ref().unwrap(), last.as_ref().unwrap()), (&Some(1), &Some(2)));
    assert_eq!(waited.as_ref().unwrap(), &None);
    let wrong = wrong.as_ref().unwrap_err();
    assert_eq!(
        (wrong.command(), wrong.code(), wrong.outcome()),
        (Some("INCR"), Some("ERR"), Outcome::Rejected)
    );
    let refused = refused.as_ref().unwrap_err();
    assert_eq!((refused.kind(), refused.outcome()), (ErrorKind::Usage, Outcome::NotSent));
}

fn no_more_are_under_way_than_allowed(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let (taken, most, results) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let commands = (0..5_000).map(|i| {
        taken.set(taken.get() + 1);
        most.set(most.get().max(taken.get() - results.get()));
        echo(i)
    });
    client.run_all(Window::new().commands(100), commands, |result| {
        result.unwrap();
        results.set(results.get() + 1);
        true
    });
    assert_eq!((taken.get(), results.get(), most.get()), (5_000, 5_000, 100));
}

fn bytes_are_limited_too(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let (taken, most, results) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let value = "v".repeat(1000);
    let commands = (0..500).map(|_| {
        taken.set(taken.get() + 1);
        most.set(most.get().max(taken.get() - results.get()));
        cmd::<String>("ECHO").arg(&value)
    });
    client.run_all(Window::new().bytes(10_000), commands, |result| {
        assert_eq!(result.unwrap(), value);
        results.set(results.get() + 1);
        true
    });
    assert_eq!((results.get(), most.get()), (500, 10));
}

fn a_lost_connection_is_told_to_each_and_nothing_runs_twice(setup: Setup) {
    const COUNT: usize = 3_000;
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "reconnect_backoff=constant:1ms&timeout=60s");
    let (mut done, mut unknown) = (vec![false; COUNT], 0);
    let mut index = 0;
    client.run_all(Window::new().commands(200), (0..COUNT).map(|i| cmd::<i64>("INCR").arg(i)), |result| {
        match result {
            Ok(n) => {
                assert_eq!(n, 1, "INCR {index}");
                done[index] = true;
            }
            Err(error) => {
                assert_eq!(
                    error.outcome(),
                    Outcome::MaybeExecuted,
                    "what was not sent is sent again: {error}"
                );
                unknown += 1;
            }
        }
        index += 1;
        if index % 500 == 0 {
            proxy.set(Direction::ToClient, Fault::CutAfter(50));
        }
        true
    });
    assert_eq!(index, COUNT);
    assert!(unknown > 0, "nothing was lost, so this shows nothing");
    for (key, done) in done.into_iter().enumerate() {
        let value = client.execute(cmd::<Option<i64>>("GET").arg(key)).unwrap();
        assert!(value == Some(1) || value.is_none() && !done, "INCR {key}: {value:?}");
    }
}

fn what_only_reads_survives_lost_connections(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "reconnect_backoff=constant:1ms&timeout=60s");
    client.run::<()>("SET k value").unwrap();
    let mut count = 0;
    client.run_all(Window::new().commands(100), (0..2_000).map(|_| words::<String>("GET k")), |result| {
        assert_eq!(result.unwrap(), "value");
        count += 1;
        if count % 400 == 0 {
            proxy.set(Direction::ToClient, Fault::CutAfter(30));
        }
        true
    });
    assert_eq!(count, 2_000);
    assert!(proxy.connections() > 3, "nothing was cut, so this shows nothing");
}

fn stopping_early_leaves_nothing_behind(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "client_name=early&max_connections=2");
    for enough in [1, 10, 999] {
        let mut count = 0;
        client.run_all(Window::new(), (0..).map(echo), |result| {
            assert_eq!(result.unwrap(), count);
            count += 1;
            count < enough
        });
        // The replies that were not taken reach no other call.
        assert_eq!(client.execute(echo(12_345)).unwrap(), 12_345);
    }
    assert_eq!(Pool::of(&client).stats().in_use, 0);
    eventually("no connection is left over", LIMIT, || named_clients(&server, "early") <= 2);
}

fn a_dead_server_fails_each(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=300ms&retries=1");
    client.run::<()>("PING").unwrap();
    server.kill();
    let results = client.collect_all(Window::new().commands(10), (0..25).map(|i| cmd::<i64>("INCR").arg(i)));
    assert_eq!(results.len(), 25);
    for result in results {
        let error = result.unwrap_err();
        assert!(error.is_timeout() || matches!(error.kind(), ErrorKind::Connection(_)), "{error}");
    }
}

fn a_silent_server_holds_no_call(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "timeout=200ms&retries=0");
    client.run::<()>("PING").unwrap();
    server.freeze();
    let results = client.collect_all(Window::new().commands(3), (0..4).map(|i| cmd::<i64>("INCR").arg(i)));
    server.thaw();
    for result in &results {
        let error = result.as_ref().unwrap_err();
        assert!(error.is_timeout(), "{error}");
    }
    assert_eq!(results.len(), 4);
    eventually("it goes on", LIMIT, || client.run::<Value>("PING").is_ok());
}

fn large_values_pass(setup: Setup) {
    let client = setup.client(&shared().url(), "timeout=60s");
    let large = "l".repeat(1 << 20);
    let mut count = 0;
    client.run_all(Window::new().commands(4), (0..16).map(|_| cmd::<String>("ECHO").arg(&large)), |result| {
        assert!(result.unwrap() == large);
        count += 1;
        true
    });
    assert_eq!(count, 16);
}

fn nothing_to_run_is_no_result(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    assert!(client.collect_all(Window::new(), Vec::<Cmd<Value>>::new()).is_empty());
}
