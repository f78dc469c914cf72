//! The committed files are current, and the table finds the keys that a real server finds.

use std::fs;

use redwire_core::facts;
use serde_json::Value;

use super::server::{Mode, Server};
use super::*;
use crate::servers;

#[test]
fn the_table_is_current() {
    check(&repository::root()).unwrap();
}

#[test]
fn the_spec_is_as_it_would_be_written() {
    let root = repository::root();
    let committed = fs::read_to_string(spec::path(&root)).unwrap();
    assert_eq!(Spec::read(&root).unwrap().text(), committed);
}

const COMMANDS: [&str; 36] = [
    "GET k",
    "MGET a b c",
    "MSET a 1 b 2",
    "MSETNX a 1 b 2 c 3",
    "SET k v EX 1",
    "DEL a b",
    "RENAME a b",
    "COPY a b DB 1",
    "OBJECT ENCODING k",
    "MEMORY USAGE k SAMPLES 1",
    "XINFO STREAM s",
    "EVAL return 2 a b x",
    "EVALSHA 0 1 a",
    "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
    "ZDIFF 2 a b WITHSCORES",
    "LMPOP 2 a b LEFT",
    "BLMPOP 0 2 a b LEFT",
    "BLPOP a b 0",
    "BZMPOP 0 1 a MIN",
    "XREAD COUNT 1 STREAMS a b 0 0",
    "xread block 5 streams a 0",
    "XREADGROUP GROUP STREAMS c STREAMS a b > >",
    "SORT k BY STORE LIMIT 0 1 GET # STORE d",
    "SORT k STORE d STORE e",
    "SORT k ALPHA",
    "SORT_RO k ALPHA",
    "MIGRATE h 1 k 0 10",
    "MIGRATE h 1 ~ 0 10 COPY AUTH pw KEYS a b",
    "MIGRATE h 1 ~ 0 10 AUTH2 u pw KEYS a",
    "GEORADIUS k 1 2 3 m STORE d",
    "GEORADIUSBYMEMBER k m 3 km STOREDIST d",
    "BITOP AND d a b",
    "SINTERCARD 2 a b LIMIT 1",
    "PFMERGE d a b",
    "LCS a b",
    "BRPOPLPUSH a b 0",
];

/// Where there is no server, `cargo xtask test` has said so; a server too old for a command skips that
/// command.
#[test]
fn keys_are_those_that_a_server_finds() {
    let Some(binary) = servers::chosen() else { return };
    let server = Server::start(&binary, Mode::Server).unwrap();
    let mut connection = server.connect().unwrap();
    let mut compared = 0;
    for command in COMMANDS {
        // A tilde stands for an empty word.
        let words: Vec<&[u8]> =
            command.split(' ').map(|word| if word == "~" { "" } else { word }.as_bytes()).collect();
        let request: Vec<&[u8]> =
            [&b"COMMAND"[..], b"GETKEYS"].into_iter().chain(words.iter().copied()).collect();
        let reply = connection.call(&request).unwrap();
        let Value::Array(theirs) = reply else {
            assert!(
                reply.as_str().is_some_and(|text| text.contains("Invalid command")),
                "{command}: {reply}"
            );
            continue;
        };
        let facts = facts::lookup(words[0], words.get(1).copied()).unwrap();
        let mut ours: Vec<Value> =
            facts.keys(words.iter().copied()).map(|(_, key)| String::from_utf8_lossy(key).into()).collect();
        let mut theirs = theirs;
        ours.sort_by_key(Value::to_string);
        theirs.sort_by_key(Value::to_string);
        assert_eq!(ours, theirs, "{command}");
        compared += 1;
    }
    assert!(compared >= 25, "{} knows only {compared} of the commands", binary.display());
}
