//! Clients that die, do not read, or send half a command: no client, no wait and no thread stays behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use redwire_model::{Condition, Host, Options, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{LIMIT, paused, threads_named};

fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.addr().expect("it is on a port")).unwrap()
}

fn thread_name(server: &Server) -> String {
    format!("model {}", server.addr().expect("it is on a port").port())
}

/// How many clients there are besides the one that asks.
fn others(host: &Host) -> usize {
    host.command(&["CLIENT", "LIST"]).matches("id=").count() - 1
}

fn wait_until(what: &str, is: impl Fn() -> bool) {
    let until = Instant::now() + LIMIT;
    while !is() {
        assert!(Instant::now() < until, "{what}");
        std::thread::yield_now();
    }
}

/// Drops a server. If its threads do not end, the test fails, and does not hang.
fn drop_in_time(server: Server) {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        drop(server);
        let _ = done.send(());
    });
    is_done.recv_timeout(LIMIT).expect("the threads of the server end");
}

/// What a client has sent when it dies.
const LAST_WORDS: [&[u8]; 5] =
    [b"", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nva", b"*2\r\n$4\r\nKE", b"BLPOP l 0\r\n", b"SUBSCRIBE c\r\n"];

#[test]
fn a_client_that_dies_leaves_nothing_at_the_port() {
    let server = Server::start();
    let streams: Vec<TcpStream> = LAST_WORDS
        .iter()
        .map(|words| {
            let mut stream = connect(&server);
            stream.write_all(words).unwrap();
            stream
        })
        .collect();
    let name = thread_name(&server);
    wait_until("all are connected, and one waits", || {
        others(&server) == LAST_WORDS.len()
            && server.command(&["INFO", "clients"]).contains("blocked_clients:1")
    });
    drop(streams);
    wait_until("all are forgotten", || others(&server) == 0);
    wait_until("only the thread that takes connections is left", || {
        !cfg!(target_os = "linux") || threads_named(&name) == 1
    });
    assert_eq!(server.command(&["RPUSH", "l", "x"]), ":1\r\n");
    assert_eq!(server.command(&["LLEN", "l"]), ":1\r\n", "no client waits for it");
    assert_eq!(server.command(&["PUBLISH", "c", "x"]), ":0\r\n");
    assert_eq!(server.command(&["EXISTS", "k"]), ":0\r\n", "half a command is none");
}

#[test]
fn a_stream_in_memory_that_is_dropped_leaves_nothing() {
    let host = Host::stopped(Options::new());
    for words in LAST_WORDS {
        let mut stream = host.connect();
        stream.write_all(words).unwrap();
        assert_eq!(others(&host), 1);
    }
    assert_eq!(others(&host), 0);
    paused().block_on(async {
        let host = Host::by_runtime(Options::new());
        for words in LAST_WORDS {
            let mut stream = host.connect_task();
            stream.write_all(words).await.unwrap();
            let read = async { while stream.read_u8().await.is_ok() {} };
            tokio::time::timeout(Duration::from_secs(1), read).await.expect_err("it waits");
            drop(stream);
            assert_eq!(others(&host), 0);
        }
        assert_eq!(host.command(&["RPUSH", "l", "x"]), ":1\r\n");
        assert_eq!(host.command(&["LLEN", "l"]), ":1\r\n", "no client waits for it");
    });
}

#[test]
fn a_server_ends_though_a_client_does_not_read() {
    let server = Server::start();
    assert_eq!(server.command(&["SETRANGE", "large", "8388607", "x"]), ":8388608\r\n");
    let mut stream = connect(&server);
    stream.write_all(&b"GET large\r\n".repeat(4)).unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    let name = thread_name(&server);
    drop_in_time(server);
    assert_eq!(threads_named(&name), 0);
}

#[test]
fn a_server_ends_though_it_is_frozen_or_slow() {
    for is_frozen in [true, false] {
        let server = Server::start();
        let mut stream = connect(&server);
        stream.write_all(b"PING\r\n").unwrap();
        stream.read_exact(&mut [0; 7]).unwrap();
        if is_frozen {
            server.set(Condition::Frozen, true);
        } else {
            server.with(|model, _| model.set_delay(Duration::from_secs(3600)));
        }
        stream.write_all(b"PING\r\n").unwrap();
        let name = thread_name(&server);
        drop_in_time(server);
        assert_eq!(threads_named(&name), 0);
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    }
}

#[test]
fn a_thread_that_reads_in_memory_is_woken_though_the_server_is_frozen() {
    let host = Host::stopped(Options::new());
    let stream = Arc::new(host.connect());
    host.set(Condition::Frozen, true);
    let (done, is_done) = mpsc::channel();
    let reading = Arc::clone(&stream);
    std::thread::spawn(move || done.send(reading.read_within(&mut [0; 1], None)));
    stream.shutdown();
    let read = is_done.recv_timeout(LIMIT).expect("the thread comes back");
    assert_eq!(read.unwrap(), 0);
}
