//! Scripts: by their SHA-1, with the source where the server lacks them, whatever happens between two calls.
//! What a script that failed or whose reply was lost may have done is told, and it is not repeated (I2).

use std::time::Instant;

use redwire::commands::FlushMode;
use redwire::prelude::*;
use redwire::{Cmd, Error, ErrorKind, Invocation, Outcome, Pipeline, Reply, Result, Run, Script, Slot};
use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Server, shared};

use crate::common::{Client, Connection, GRACE, Setup, runtime, stood_still_since, timed};

both!(
    a_script_is_sent_whole_once,
    a_forgotten_script_is_given_again,
    first_uses_at_the_same_time_all_run,
    a_restarted_server_is_given_the_script,
    a_connection_by_hand_gives_it_too,
    a_pipeline_has_the_source_once,
    a_script_that_vanishes_within_one_write_is_given_again,
    giving_the_source_is_no_retry,
    keys_and_arguments_of_any_bytes,
    an_error_of_a_script_tells_that_it_may_have_written,
    a_lost_reply_is_not_repeated,
    a_script_that_only_reads_is_repeated,
    a_function_whose_reply_is_lost_is_repeated_only_if_it_reads,
);

impl Client {
    fn invoke<R: Reply>(&self, call: impl Into<Invocation>) -> Result<R> {
        match self {
            Self::Tokio(client) => runtime().block_on(client.invoke(call)),
            Self::Blocking(client) => client.invoke(call),
        }
    }
}

impl Connection {
    fn invoke<R: Reply>(&mut self, call: impl Into<Invocation>) -> Result<R> {
        match self {
            Self::Tokio(connection) => runtime().block_on(connection.invoke(call)),
            Self::Blocking(connection) => connection.invoke(call),
        }
    }
}

/// Whether servers have `EVAL_RO` and functions.
pub(crate) fn has_functions() -> bool {
    shared().is_valkey() || shared().version() >= (7, 0, 0)
}

fn counter() -> Script {
    Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])")
}

fn a_script_is_sent_whole_once(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let count = counter();
    for n in 1..=5 {
        assert_eq!(client.invoke::<i64>(count.key("n").arg(2)).unwrap(), 2 * n);
    }
    assert_eq!((server.calls("eval"), server.calls("evalsha")), (1, 5));
    assert_eq!(client.invoke::<u32>(&Script::new("return #KEYS + #ARGV")).unwrap(), 0);
    let again = count.key("n").arg(1);
    let both: [i64; 2] = [client.invoke(&again).unwrap(), client.invoke(&again).unwrap()];
    assert_eq!(both, [11, 12]);
}

fn a_forgotten_script_is_given_again(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let count = counter();
    for n in 1..=5 {
        assert_eq!(client.invoke::<i64>(count.key("n").arg(1)).unwrap(), n);
        assert_eq!(server.command(&["SCRIPT", "EXISTS", count.sha()]).unwrap(), "1");
        client.run::<()>("SCRIPT FLUSH").unwrap();
    }
    assert_eq!((server.calls("eval"), server.calls("evalsha")), (5, 5));
    client.execute(Cmd::<()>::new("SCRIPT LOAD").arg(count.source())).unwrap();
    assert_eq!(client.invoke::<i64>(count.key("n").arg(1)).unwrap(), 6);
    assert_eq!(server.calls("eval"), 5, "what was loaded is not sent again");
}

fn first_uses_at_the_same_time_all_run(setup: Setup) {
    const THREADS: i64 = 16;
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let count = counter();
    let each: Vec<i64> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(|| client.invoke::<i64>(count.key("n").arg(1)).unwrap()))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let mut sorted = each.clone();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(1..=THREADS), "{each:?}");
}

fn a_restarted_server_is_given_the_script(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "reconnect_backoff=constant:1ms");
    let count = counter();
    for _ in 0..3 {
        assert_eq!(client.invoke::<i64>(count.key("n").arg(1)).unwrap(), 1);
        server.restart();
        // It is down for a while, so that a call under way would be lost: this one can be repeated.
        client.execute(Cmd::<()>::new("PING").retries(1_000)).unwrap();
    }
    assert_eq!(server.calls("eval"), 0, "the last one has nothing yet");
}

fn a_connection_by_hand_gives_it_too(setup: Setup) {
    let server = Server::start();
    let mut connection = setup.connection(&server.url(), "");
    let count = counter();
    for n in 1..=3 {
        assert_eq!(connection.invoke::<i64>(count.key("n").arg(1)).unwrap(), n);
    }
    assert_eq!((server.calls("eval"), server.calls("evalsha")), (1, 3));
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(connection.invoke::<i64>(count.key("n").arg(1)).unwrap(), 4);
    let error = connection.invoke::<i64>(&Script::new("no Lua")).unwrap_err();
    assert_eq!((error.command(), error.outcome()), (Some("EVAL"), Outcome::Rejected), "{error}");
    let error = connection.run::<i64>(&format!("EVALSHA {} 0", Script::new("0").sha())).unwrap_err();
    assert_eq!(error.code(), Some("NOSCRIPT"), "who names a script by hand is told");
    assert_eq!(connection.run::<i64>("INCR n").unwrap(), 5);
}

fn a_pipeline_has_the_source_once(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let (count, other) = (counter(), Script::new("return ARGV[1]"));
    for round in 0..3 {
        let (numbers, text): (Vec<i64>, String) = client
            .pipeline(|p| {
                let numbers = (0..100).map(|_| p.invoke(count.key("n").arg(1))).collect::<Vec<Slot<i64>>>();
                (numbers, p.invoke(other.arg("text")))
            })
            .unwrap();
        assert!(numbers.into_iter().eq(round * 100 + 1..=round * 100 + 100));
        assert_eq!(text, "text");
        server.command(&["SCRIPT", "FLUSH"]).unwrap();
    }
    assert_eq!((server.calls("eval"), server.calls("evalsha")), (6, 297));
    let mut connection = setup.connection(&server.url(), "");
    let both = connection.pipeline(|p| (p.invoke(count.key("n").arg(1)), p.invoke(count.key("n").arg(1))));
    assert_eq!(both.unwrap(), (301, 302));
    let error = client.pipeline(|p| -> (Slot<i64>, Slot<()>) {
        (p.invoke(count.key("n").arg(1)), p.invoke(&Script::new("return redis.error_reply('MINE no')")))
    });
    let error = error.unwrap_err();
    assert_eq!((error.code(), error.command()), (Some("MINE"), Some("EVAL")), "{error}");
    assert_eq!(error.outcome(), Outcome::MaybeExecuted, "{error}");
}

/// A server that forgets each script at once: the call ends with its error, without a retry or a pause.
/// FAULTS 82.
fn a_script_that_vanishes_within_one_write_is_given_again(setup: Setup) {
    const MANY: usize = 700;
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let count = counter();
    let flushed = |p: &Pipeline| -> (Slot<i64>, Slot<()>, Slot<i64>, Slot<i64>) {
        let call = || p.invoke(count.key("n").arg(1));
        (call(), p.script_flush(FlushMode::Sync), call(), call())
    };
    assert_eq!(client.pipeline(flushed).unwrap(), (1, (), 2, 3));
    assert_eq!(client.atomic(flushed).unwrap(), (4, (), 5, 6));
    assert_eq!(setup.connection(&server.url(), "").pipeline(flushed).unwrap(), (7, (), 8, 9));
    if has_functions() {
        let functions = |p: &Pipeline| -> (Slot<i64>, Slot<()>, Slot<i64>) {
            let flush = Cmd::new("FUNCTION FLUSH").arg("SYNC");
            (p.invoke(count.key("n").arg(1)), p.run(flush), p.invoke(count.key("n").arg(1)))
        };
        let before = server.calls("eval");
        assert_eq!(client.pipeline(functions).unwrap(), (10, (), 11));
        assert_eq!(server.calls("eval"), before + 1, "scripts are no functions");
    }
    // More scripts than servers keep (500 from Redis 7.4 and Valkey 8 on), each twice.
    let scripts: Vec<_> =
        (0..MANY).map(|n| Script::new(format!("return {n} + redis.call('INCR', KEYS[1])"))).collect();
    let twice = |p: &Pipeline, prefix: &str| -> Vec<Slot<usize>> {
        let call = |(nth, script): (usize, &Script)| p.invoke(script.key(format!("{prefix}:{nth}")));
        scripts.iter().chain(&scripts).enumerate().map(call).collect()
    };
    let right = |sums: Vec<usize>| sums.into_iter().enumerate().all(|(nth, sum)| sum == nth % MANY + 1);
    assert!(right(client.pipeline(|p| twice(p, "pipeline")).unwrap()));
    assert!(right(client.atomic(|p| twice(p, "atomic")).unwrap()));
    let calls = scripts.iter().chain(&scripts).enumerate();
    let calls: Vec<_> = calls.map(|(nth, script)| script.key(format!("all:{nth}")).cmd::<usize>()).collect();
    let sums = match &client {
        Client::Tokio(client) => runtime().block_on(async {
            let (mut results, mut sums) = (client.run_all(calls), Vec::new());
            while let Some(result) = results.next().await {
                sums.push(result.unwrap());
            }
            sums
        }),
        Client::Blocking(client) => client.run_all(calls).map(Result::unwrap).collect(),
    };
    assert!(right(sums));
}

fn giving_the_source_is_no_retry(setup: Setup) {
    let fake = FakeServer::answering(|words| match &words[0][..] {
        b"HELLO" => b"%1\r\n+server\r\n+redis\r\n".to_vec(),
        b"CLIENT" => b"+OK\r\n".to_vec(),
        b"EVAL" if words[1] == b"return 1" => b":1\r\n".to_vec(),
        _ => b"-NOSCRIPT No matching script. Please use EVAL.\r\n".to_vec(),
    });
    let client = setup.client(&fake.url(), "retries=0&retry_backoff=constant:30s&retry_budget=0");
    let begun = Instant::now();
    let (result, took) = timed(|| client.invoke::<i64>(&Script::new("return 1")));
    assert_eq!(result.unwrap(), 1);
    assert!(took < GRACE + stood_still_since(begun), "{took:?}");
    let error = client.invoke::<i64>(&Script::new("return 2")).unwrap_err();
    assert_eq!((error.code(), error.tries(), error.outcome()), (Some("NOSCRIPT"), 1, Outcome::Rejected));
    let names = |name: &[u8]| fake.received().iter().filter(|words| words[0] == name).count();
    assert_eq!((names(b"EVALSHA"), names(b"EVAL")), (2, 2));
}

fn keys_and_arguments_of_any_bytes(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let all: Vec<u8> = (0..=255).collect();
    let large = bytes::Bytes::from(all.repeat(1_000));
    let echo = Script::new(b"return {KEYS[1], ARGV[1], ARGV[2], #KEYS, '\xff'}");
    for flush in [true, false] {
        if flush {
            client.execute(Cmd::<()>::new("SCRIPT FLUSH").arg(FlushMode::Sync)).unwrap();
        }
        let call = echo.key(&all).arg((&large, b"\r\n$1\r\n\0"));
        let got: (Vec<u8>, Vec<u8>, Vec<u8>, u32, Vec<u8>) = client.invoke(&call).unwrap();
        let expected = (all.clone(), large.to_vec(), b"\r\n$1\r\n\0".to_vec(), 1, b"\xff".to_vec());
        assert!(got == expected, "flushed: {flush}");
    }
}

fn an_error_of_a_script_tells_that_it_may_have_written(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "retry_on=ERR,MINE,WRONGTYPE");
    let failing = |ends: &str| Script::new(format!("redis.call('INCR', KEYS[1]) {ends}"));
    let failed = |script: &Script| -> Error { client.invoke::<i64>(script.key("n")).unwrap_err() };
    for (ran, ends, code) in [
        (1, "return redis.error_reply('MINE no')", Some("MINE")),
        (2, "return redis.call('LPUSH', KEYS[1], 1)", None),
        (3, "error('no')", None),
    ] {
        let error = failed(&failing(ends));
        assert_eq!((error.outcome(), error.kind()), (Outcome::MaybeExecuted, ErrorKind::Response), "{error}");
        assert!(error.tries() == 1 && !error.is_retryable() && error.code().is_some(), "{error}");
        assert!(code.is_none() || error.code() == code, "{error}");
        assert_eq!(server.command(&["GET", "n"]).unwrap(), ran.to_string());
    }
    let refused = client.execute(failing("no Lua").key("n").cmd::<i64>().retries(0)).unwrap_err();
    assert_eq!((refused.outcome(), refused.code()), (Outcome::Rejected, Some("ERR")), "{refused}");
    assert_eq!(server.command(&["GET", "n"]).unwrap(), "3");
}

fn a_lost_reply_is_not_repeated(setup: Setup) {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "");
    let count = counter();
    // Its wording is the server's own affair.
    let missing = server.command(&["EVALSHA", count.sha(), "1", "n", "1"]).unwrap_err();
    assert!(missing.starts_with("NOSCRIPT No matching script"), "{missing}");
    let missing = missing.len() as u64 + 3;
    // The reply to EVALSHA is lost, then that to EVAL behind it.
    for (runs, forget, bytes) in
        [(1, false, 0), (2, false, 2), (3, true, missing + 1), (4, true, missing + 2)]
    {
        if forget {
            server.command(&["SCRIPT", "FLUSH"]).unwrap();
        } else {
            server.command(&["SCRIPT", "LOAD", std::str::from_utf8(count.source()).unwrap()]).unwrap();
        }
        client.run::<()>("PING").unwrap();
        proxy.set(Direction::ToClient, Fault::CutAfter(bytes));
        let error = client.invoke::<i64>(count.key("n").arg(1)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error}");
        assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 1), "{error}");
        assert_eq!(error.command(), Some(if forget { "EVAL" } else { "EVALSHA" }));
        assert_eq!(server.command(&["GET", "n"]).unwrap(), runs.to_string());
    }
    // EVALSHA was not executed where its refusal is lost, but who can know?
    server.command(&["SCRIPT", "FLUSH"]).unwrap();
    client.run::<()>("PING").unwrap();
    proxy.set(Direction::ToClient, Fault::CutAfter(1));
    assert_eq!(client.invoke::<i64>(count.key("n").arg(1)).unwrap_err().outcome(), Outcome::MaybeExecuted);
    assert_eq!(server.command(&["GET", "n"]).unwrap(), "4");
    assert_eq!(client.invoke::<i64>(count.key("n").arg(1)).unwrap(), 5, "the client goes on");
}

fn a_script_that_only_reads_is_repeated(setup: Setup) {
    if !has_functions() {
        return;
    }
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "");
    server.command(&["SET", "k", "k=value"]).unwrap();
    let read = Script::new("return redis.call('GET', KEYS[1])").read_only();
    for (forget, bytes) in [(true, 0), (true, 50), (false, 0), (false, 3)] {
        if forget {
            server.command(&["SCRIPT", "FLUSH"]).unwrap();
        }
        client.run::<()>("PING").unwrap();
        proxy.set(Direction::ToClient, Fault::CutAfter(bytes));
        assert_eq!(client.invoke::<String>(read.key("k")).unwrap(), "k=value");
    }
    assert_eq!((server.calls("eval"), server.calls("evalsha")), (0, 0));
    let writes = counter().read_only();
    let error = client.invoke::<i64>(writes.key("n").arg(1)).unwrap_err();
    assert_eq!((error.outcome(), error.kind()), (Outcome::Rejected, ErrorKind::Response), "{error}");
}

fn a_function_whose_reply_is_lost_is_repeated_only_if_it_reads(setup: Setup) {
    const LIBRARY: &str = "#!lua name=mine
redis.register_function('count', function(keys) return redis.call('INCR', keys[1]) end)
redis.register_function('fail', function(keys)
  redis.call('INCR', keys[1]) return redis.error_reply('MINE no') end)
redis.register_function{function_name = 'read', flags = {'no-writes'},
    callback = function(keys) return redis.call('GET', keys[1]) end}";
    if !has_functions() {
        return;
    }
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "timeout=20s");
    client.execute(Cmd::<String>::new("FUNCTION LOAD").arg(LIBRARY)).unwrap();
    let cut = || {
        client.run::<()>("PING").unwrap();
        proxy.set(Direction::ToClient, Fault::CutAfter(0));
    };
    cut();
    let error = client.run::<i64>("FCALL count 1 n").unwrap_err();
    assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 1), "{error}");
    cut();
    assert_eq!(client.run::<i64>("FCALL_RO read 1 n").unwrap(), 1);
    let error = client.run::<i64>("FCALL fail 1 n").unwrap_err();
    assert_eq!((error.outcome(), error.code()), (Outcome::MaybeExecuted, Some("MINE")), "{error}");
    assert_eq!(client.run::<i64>("FCALL_RO read 1 n").unwrap(), 2);
    let error = client.run::<i64>("FCALL none 0").unwrap_err();
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    let refused = client.run::<i64>("FCALL_RO count 1 n").unwrap_err();
    assert_eq!((refused.outcome(), refused.tries()), (Outcome::Rejected, 1), "{refused}");
}
