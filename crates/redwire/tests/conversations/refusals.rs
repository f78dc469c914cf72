//! Errors of what runs code of its users or of a module: whatever they look like, it runs once, and only the
//! server's own whole sentence says that it did not run (I2). The sentences are taken from servers here.
//! FAULTS 90.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use redwire::facts::Facts;
use redwire::{Cmd, Error, ErrorKind, Outcome, Run, Script, Slot, TrySlot, Value, cmd};
use redwire_testkit::{FakeServer, Server, eventually};

use crate::common::{LIMIT, Setup, words};
use crate::scripts::has_functions;

both!(
    a_script_with_an_error_that_looks_like_the_servers_runs_once,
    a_script_with_an_error_in_its_answer_runs_once,
    an_unknown_command_with_such_an_error_runs_once,
    what_moves_some_keys_and_fails_is_not_told_as_rejected,
);

/// What scripts say that take their codes from servers.
const OWN: [&str; 13] = [
    "BUSY lock is held",
    "TRYAGAIN later",
    "LOADING mine",
    "MASTERDOWN mine",
    "CLUSTERDOWN mine",
    "MOVED 1 127.0.0.1:1",
    "ASK 1 127.0.0.1:1",
    "READONLY mine",
    "NOAUTH mine",
    "NOPERM mine",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "ERR max clients reached",
    "ERR LOADING Redis is loading the dataset in memory",
];

const LIBRARY: &str = "#!lua name=refusals
redis.register_function('fail', function(keys, args)
    redis.call('INCR', keys[1])
    return redis.error_reply(args[1])
end)
redis.register_function('write', function(keys) return redis.call('INCR', keys[1]) end)
redis.register_function('loop', function() while true do end end)";

fn failing() -> Script {
    Script::new("redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])")
}

fn eval(line: &str) -> Cmd<Value> {
    cmd("EVAL").arg(failing().source()).arg(1).arg("n").arg(line)
}

#[track_caller]
fn ran(error: &Error, line: &str) {
    assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 1), "{line}: {error}");
    assert!(!error.is_retryable() && error.to_string().contains(line), "{line}: {error}");
}

fn a_script_with_an_error_that_looks_like_the_servers_runs_once(setup: Setup) {
    let server = Server::start();
    let client = setup.client(
        &server.url(),
        "retry_on=BUSY,LOADING,TRYAGAIN,CLUSTERDOWN,MASTERDOWN,READONLY,OOM,MAXCLIENTS",
    );
    let mut connection = setup.connection(&server.url(), "");
    if has_functions() {
        client.execute::<Value>(cmd("FUNCTION LOAD").arg(LIBRARY)).unwrap();
    }
    let mut runs = 0;
    let mut check = |line: &str, error: &Error| {
        ran(error, line);
        runs += 1;
        assert_eq!(server.command(&["GET", "n"]).unwrap(), runs.to_string(), "{line}: {error}");
    };
    for line in OWN {
        let call = failing().key("n").arg(line);
        check(line, &client.execute(eval(line)).unwrap_err());
        check(line, &client.execute(call.cmd::<Value>()).unwrap_err());
        check(line, &client.pipeline(|p| p.run(eval(line))).unwrap_err());
        let kept = client.pipeline(|p| -> (Slot<Value>, TrySlot<Value>, Slot<Value>) {
            (p.run(words("PING")), p.run(eval(line)).attempt(), p.run(words("PING")))
        });
        check(line, &kept.unwrap().1.unwrap_err());
        check(line, &client.atomic(|p| p.run(eval(line))).unwrap_err());
        check(line, &client.atomic(|p| p.run(call.cmd::<Value>()).attempt()).unwrap().unwrap_err());
        check(line, &connection.execute(eval(line)).unwrap_err());
        check(line, &connection.pipeline(|p| p.run(eval(line))).unwrap_err());
        if has_functions() {
            let call: Cmd<Value> = cmd("FCALL").arg("fail").arg(1).arg("n").arg(line);
            check(line, &client.execute(call).unwrap_err());
        }
    }
}

/// What is an item of an answer refuses nothing.
fn a_script_with_an_error_in_its_answer_runs_once(setup: Setup) {
    let server = Server::start();
    let client = setup.client(&server.url(), "");
    let script = "redis.call('INCR', KEYS[1]) return {1, redis.error_reply(ARGV[1])}";
    for (nth, line) in ["BUSY mine", "LOADING Redis is loading the dataset in memory"].into_iter().enumerate()
    {
        let error =
            client.execute::<Vec<i64>>(cmd("EVAL").arg(script).arg(1).arg("n").arg(line)).unwrap_err();
        assert_eq!((error.outcome(), error.tries()), (Outcome::Unreadable, 1), "{error}");
        assert_eq!((error.code(), error.kind()), (line.split(' ').next(), ErrorKind::Busy), "{error}");
        assert_eq!(server.command(&["GET", "n"]).unwrap(), (nth + 1).to_string());
    }
}

fn an_unknown_command_with_such_an_error_runs_once(setup: Setup) {
    static ADD: Facts = Facts::new("MOD.ADD");
    static EXISTS: Facts = Facts::new("MOD.EXISTS").read_only();
    let (runs, says) = (Arc::new(AtomicI64::new(0)), Arc::new(Mutex::new("")));
    let fake = FakeServer::answering({
        let (runs, says) = (Arc::clone(&runs), Arc::clone(&says));
        move |words| match &words[0][..] {
            b"HELLO" => b"-ERR unknown command 'HELLO'\r\n".to_vec(),
            name if name.to_ascii_uppercase().starts_with(b"MOD.") => {
                runs.fetch_add(1, Ordering::SeqCst);
                format!("-{}\r\n", says.lock().unwrap()).into_bytes()
            }
            _ => b"+OK\r\n".to_vec(),
        }
    });
    let client = setup.client(&fake.url(), "retry_backoff=constant:1ms");
    let failed = |line, call: Cmd<Value>| -> (Error, i64) {
        *says.lock().unwrap() = line;
        runs.store(0, Ordering::SeqCst);
        let error = client.execute(call).unwrap_err();
        (error, runs.load(Ordering::SeqCst))
    };
    for line in OWN {
        for call in [cmd("MOD.ADD").arg("k"), Cmd::of(&ADD).arg("k")] {
            let (error, runs) = failed(line, call);
            ran(&error, line);
            assert_eq!(runs, 1, "{error}");
        }
        let error = client.pipeline(|p| p.run(words::<Value>("MOD.ADD k"))).unwrap_err();
        ran(&error, line);
    }
    // The server's own sentence is believed, and what only reads does no harm.
    let loading = "LOADING Redis is loading the dataset in memory";
    let (error, runs) = failed(loading, cmd("MOD.ADD").arg("k"));
    assert_eq!((error.outcome(), error.tries(), runs), (Outcome::Rejected, 4, 4), "{error}");
    let (error, runs) = failed("LOADING mine", Cmd::of(&EXISTS).arg("k"));
    assert_eq!((error.outcome(), error.tries(), runs), (Outcome::Rejected, 4, 4), "{error}");
    let (error, _) =
        failed("ERR unknown command 'MOD.ADD', with args beginning with: 'k' ", cmd("mod.add").arg("k"));
    assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
}

/// Of two keys one is there already.
fn what_moves_some_keys_and_fails_is_not_told_as_rejected(setup: Setup) {
    let (from, to) = (Server::start(), Server::start());
    for (server, key) in [(&from, "a"), (&from, "b"), (&to, "b")] {
        server.command(&["SET", key, "v"]).unwrap();
    }
    let client = setup.client(&from.url(), "");
    let line = format!("MIGRATE 127.0.0.1 {}  0 5000 KEYS a b", to.port());
    let error = client.run::<Value>(&line).unwrap_err();
    assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 1), "{error}");
    assert_eq!(to.command(&["EXISTS", "a"]).unwrap(), "1", "{error}");
}

/// Whether `line`, an answer to these words, says that nothing was run.
fn judged(line: &str, words: &[&str]) -> Outcome {
    let (name, args) = words.split_first().unwrap();
    let asked = args.iter().fold(Cmd::<Value>::new(name), |cmd, arg| cmd.arg(*arg));
    asked.judge(Error::from_server(line.as_bytes())).outcome()
}

/// Asks until the server refuses with this code.
#[track_caller]
fn believed(server: &Server, code: &str, words: &[&str]) {
    let mut said = String::new();
    eventually(code, LIMIT, || {
        said = server.command(words).err().unwrap_or_default();
        said.starts_with(code)
    });
    assert_eq!(judged(&said, words), Outcome::Rejected, "{words:?}: {said}");
}

const EVAL: [&str; 4] = ["EVAL", "return 1", "1", "k"];
const FCALL: [&str; 4] = ["FCALL", "write", "1", "k"];

#[test]
fn sentences_about_words_are_believed() {
    let server = Server::start();
    for (code, words) in [
        ("ERR unknown command", &["MOD.ADD", "k"][..]),
        ("ERR wrong number of arguments", &["EVAL", "return 1"]),
        ("ERR Number of keys", &["EVAL", "return 1", "3"]),
        ("ERR Number of keys", &["EVAL", "return 1", "-3"]),
        ("ERR Error compiling script", &["EVAL", "no Lua", "0"]),
        ("NOSCRIPT", &["EVALSHA", "ffffffffffffffffffffffffffffffffffffffff", "0"]),
    ] {
        believed(&server, code, words);
    }
    if has_functions() {
        server.command(&["FUNCTION", "LOAD", LIBRARY]).unwrap();
        for (code, words) in [
            ("ERR Function not found", &["FCALL", "none", "0"][..]),
            ("ERR Bad number of keys", &["FCALL", "write", "x"]),
            ("ERR Unexpected flag", &["EVAL", "#!lua flags=x\nreturn 1", "0"]),
            ("ERR Unknown lua shebang option", &["EVAL", "#!lua x=y\nreturn 1", "0"]),
            ("ERR", &["EVAL", "#!nosuch\nreturn 1", "0"]),
        ] {
            believed(&server, code, words);
        }
    }
    // What a script was told about its own calls is no such sentence.
    for script in ["return redis.pcall('nosuch')", "return redis.pcall('get')", "return redis.call('get')"] {
        let words = ["EVAL", script, "0"];
        let said = server.command(&words).unwrap_err();
        assert_eq!(judged(&said, &words), Outcome::MaybeExecuted, "{said}");
    }
}

#[test]
fn sentences_about_what_a_server_cannot_do_now_are_believed() {
    let server = Server::builder().arg("dbfilename", "taken").start();
    if has_functions() {
        server.command(&["FUNCTION", "LOAD", LIBRARY]).unwrap();
    }
    let refused = |code: &str| {
        if has_functions() {
            believed(&server, code, &FCALL);
            believed(&server, code, &["EVAL", "#!lua\nreturn redis.call('INCR', KEYS[1])", "1", "k"]);
        }
        // Of what a script was told with the same words, more than the words is passed on.
        let words = ["EVAL", "return redis.call('INCR', KEYS[1])", "1", "k"];
        let said = server.command(&words).unwrap_err();
        assert!(said.contains(code), "{said}");
        assert_eq!(judged(&said, &words), Outcome::MaybeExecuted, "{said}");
    };
    server.config_set("min-replicas-to-write", "1");
    refused("NOREPLICAS");
    server.config_set("min-replicas-to-write", "0");
    // A directory in place of the file.
    fs::create_dir(server.dir().join("taken")).unwrap();
    server.config_set("save", "3600 1");
    server.command(&["SET", "other", "v"]).unwrap();
    server.command(&["BGSAVE"]).unwrap();
    let failed = || server.info("persistence")["rdb_last_bgsave_status"] == "err";
    eventually("it cannot save", LIMIT, failed);
    refused("MISCONF");
    server.config_set("save", "");
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).unwrap();
    refused("READONLY");
    server.config_set("replica-serve-stale-data", "no");
    believed(&server, "MASTERDOWN", &EVAL);
    server.config_set("replica-serve-stale-data", "yes");
    server.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    // Some writes are allowed then, so that a script may have written.
    server.config_set("maxmemory", "1");
    let words = ["EVAL", "return redis.pcall('SET', KEYS[1], 1)", "1", "k"];
    let said = server.command(&words).unwrap_err();
    assert!(said.contains("OOM"), "{said}");
    assert_eq!(judged(&said, &words), Outcome::MaybeExecuted, "{said}");
}

#[test]
fn sentences_about_a_server_that_is_occupied_are_believed() {
    let server = Server::start();
    server.config_set("lua-time-limit", "5");
    let occupied = |request: &[u8], kill: &str, words: &[&str]| {
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        stream.write_all(request).unwrap();
        believed(&server, "BUSY", words);
        server.command(&[kill, "KILL"]).unwrap();
        // Its own words: killed.
        assert_eq!(stream.read(&mut [0]).unwrap(), 1);
    };
    let endless: Cmd<Value> = cmd("EVAL").arg("while true do end").arg(0);
    occupied(&endless.to_bytes(), "SCRIPT", &EVAL);
    if has_functions() {
        server.command(&["FUNCTION", "LOAD", LIBRARY]).unwrap();
        occupied(&words::<Value>("FCALL loop 0").to_bytes(), "FUNCTION", &EVAL);
    }
    // It loads what its master has, slowly.
    let master = Server::builder().arg("rdbcompression", "no").arg("repl-diskless-sync-delay", "0").start();
    let fill = "for i = 1, 16 do redis.call('SET', i, string.rep('x', 1024 * 1024)) end";
    master.command(&["EVAL", fill, "0"]).unwrap();
    server.config_set("key-load-delay", "200000");
    server.command(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]).unwrap();
    believed(&server, "LOADING", &EVAL);
}

#[test]
fn sentences_about_users_are_believed() {
    let server = Server::start();
    for rules in
        [&["bob", "on", ">pw", "~a*", "+@all", "-eval"][..], &["eve", "on", ">pw", "~a*", "+@all", "-set"]]
    {
        server.command(&[&["ACL", "SETUSER"], rules].concat()).unwrap();
    }
    let said = |user: &str, words: &[&str]| {
        let (name, args) = words.split_first().unwrap();
        let call = args.iter().fold(Cmd::<Value>::new(name), |cmd, arg| cmd.arg(*arg));
        let url = server.url().replace("redis://", &format!("redis://{user}:pw@"));
        let client = redwire::blocking::Client::connect(&url).unwrap();
        client.execute(call).unwrap_err()
    };
    let command = said("bob", &EVAL);
    let key = said("eve", &["EVAL", "return 1", "1", "b"]);
    for error in [&command, &key] {
        assert_eq!((error.outcome(), error.code()), (Outcome::Rejected, Some("NOPERM")), "{error}");
    }
    let within = said("eve", &["EVAL", "return redis.pcall('SET', 'a', 1)", "0"]);
    assert_eq!(within.outcome(), Outcome::MaybeExecuted, "{within}");
    server.config_set("requirepass", "pw");
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    stream.write_all(&words::<Value>("EVAL return(1) 0").to_bytes()).unwrap();
    let mut line = [0; 64];
    let count = stream.read(&mut line).unwrap();
    let line = std::str::from_utf8(&line[1..count]).unwrap().trim_end();
    assert!(line.starts_with("NOAUTH"), "{line}");
    assert_eq!(judged(line, &["EVAL", "return(1)", "0"]), Outcome::Rejected, "{line}");
}
