//! Publishing, and who listens.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use redwire::prelude::*;
use redwire_testkit::{Server, eventually};

use crate::each_client;
use crate::harness::since;

const LIMIT: Duration = Duration::from_secs(10);

/// A connection that has sent `line`, which subscribes, and has its confirmation.
fn subscriber(server: &Server, line: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    stream.write_all(b"\r\n").unwrap();
    heard(&mut stream, ":1\r\n");
    stream
}

/// Reads until `expected` has come.
fn heard(stream: &mut TcpStream, expected: &str) {
    let (mut all, mut some) = (String::new(), [0; 512]);
    while !all.contains(expected) {
        let len = stream.read(&mut some).unwrap();
        assert!(len > 0, "closed after {all:?}");
        all.push_str(std::str::from_utf8(&some[..len]).unwrap());
    }
}

#[test]
fn messages_reach_subscribers() {
    let server = Server::start();
    each_client!(on server, |c, key| {
        assert_eq!(run!(c.publish("news", "unheard")), 0);
        let mut on_channel = subscriber(&server, "SUBSCRIBE news");
        let mut on_pattern = subscriber(&server, "PSUBSCRIBE n*");
        assert_eq!(run!(c.publish("news", "hello")), 2);
        heard(&mut on_channel, "$5\r\nhello\r\n");
        heard(&mut on_pattern, "$5\r\nhello\r\n");
        assert_eq!(run!(c.pubsub_channels::<Vec<String>>("*")), ["news"]);
        assert!(run!(c.pubsub_channels::<Vec<String>>("x*")).is_empty());
        let counts: HashMap<String, u64> = run!(c.pubsub_numsub(["news", "other"]));
        assert_eq!(counts, HashMap::from([("news".to_owned(), 1), ("other".to_owned(), 0)]));
        assert_eq!(run!(c.pubsub_numpat()), 1);
        drop((on_channel, on_pattern));
        eventually("the subscribers are gone", LIMIT, || {
            server.command(&["PUBLISH", "news", ""]).is_ok_and(|heard| heard == "0")
        });
    });
}

#[test]
fn messages_reach_subscribers_of_a_shard() {
    if !since(7, 0) {
        return;
    }
    let server = Server::start();
    each_client!(on server, |c, key| {
        assert_eq!(run!(c.spublish("news", "unheard")), 0);
        let mut on_shard = subscriber(&server, "SSUBSCRIBE news");
        assert_eq!(run!(c.spublish("news", "hello")), 1);
        heard(&mut on_shard, "$5\r\nhello\r\n");
        assert_eq!(run!(c.pubsub_shardchannels::<Vec<String>>("*")), ["news"]);
        let counts: HashMap<String, u64> = run!(c.pubsub_shardnumsub("news"));
        assert_eq!(counts, HashMap::from([("news".to_owned(), 1)]));
        drop(on_shard);
        eventually("the subscriber is gone", LIMIT, || {
            server.command(&["SPUBLISH", "news", ""]).is_ok_and(|heard| heard == "0")
        });
    });
}
