//! Clients of redwire and the model: over a port, a Unix socket and in memory, async and blocking.

mod gone;
mod sets;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire::config::Config;
use redwire::connector::Connector;
use redwire::prelude::*;
use redwire::{Client, Run as _, blocking};
use redwire_model::{Condition, Host, MemoryStream, Options, Server};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The number of threads of this name.
fn threads_named(name: &str) -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let names = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|other| other.trim() == name).count()
}

/// As redwire's blocking client wants it.
struct Wire(MemoryStream);

impl blocking::connector::Stream for Wire {
    fn read(&self, buffer: &mut [u8], limit: Option<Duration>) -> io::Result<usize> {
        self.0.read_within(buffer, limit)
    }

    fn write(&self, bytes: &[u8], limit: Option<Duration>) -> io::Result<usize> {
        self.0.write_within(bytes, limit)
    }

    fn shutdown(&self) {
        self.0.shutdown();
    }
}

fn in_memory(host: &Host) -> Config {
    let (own, other) = (host.clone(), host.clone());
    let connector = Connector::from_fn(move |_| std::future::ready(Ok(own.connect_task())));
    let blocking = blocking::connector::Connector::from_fn(move |_, _| Ok(Wire(other.connect())));
    let builder = Config::builder().host("model").connector(connector).blocking_connector(blocking);
    builder.build().expect("the configuration is right")
}

fn paused() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().expect("a runtime starts")
}

fn exercise_blocking(client: &blocking::Client, host: &Host) {
    client.set("greeting", "hello").unwrap();
    assert_eq!(client.get::<String>("greeting").unwrap().as_deref(), Some("hello"));
    client.execute(redwire::cmd::<()>("SET").arg("session").arg("x").arg("EX").arg(3600)).unwrap();
    host.advance(Duration::from_secs(3600));
    assert_eq!(client.get::<String>("session").unwrap(), None);
    let values: Vec<i64> = client
        .pipeline(|p| (0..50).map(|_| p.run(redwire::cmd::<i64>("INCR").arg("n"))).collect::<Vec<_>>())
        .unwrap();
    assert_eq!(values, (1..=50).collect::<Vec<_>>());
    let large = "x".repeat(3 << 20);
    client.set("large", &large).unwrap();
    assert_eq!(client.get::<String>("large").unwrap().as_deref(), Some(large.as_str()));
}

#[test]
fn the_blocking_client_reaches_it_over_a_port_a_unix_socket_and_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.sock");
    let (tcp, unix) = (Server::start(), Server::on_unix(&path, Options::new()).unwrap());
    for server in [&tcp, &unix] {
        let client = blocking::Client::connect(&server.url()).unwrap();
        exercise_blocking(&client, server.host());
    }
    let host = Host::stopped(Options::new());
    exercise_blocking(&blocking::Client::open(in_memory(&host)).unwrap(), &host);
    drop(unix);
    assert!(!path.exists());
}

#[test]
fn a_thread_that_waits_is_woken_and_its_wait_ends_in_time() {
    let server = Server::start();
    let client = Arc::new(blocking::Client::connect(&server.url()).unwrap());
    let waiting = {
        let client = Arc::clone(&client);
        std::thread::spawn(move || {
            client.execute(redwire::cmd::<Option<Vec<String>>>("BLPOP").arg("l").arg(0))
        })
    };
    while !server.command(&["CLIENT", "LIST"]).contains("cmd=blpop") {
        std::thread::yield_now();
    }
    client.execute(redwire::cmd::<i64>("RPUSH").arg("l").arg("x")).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), Some(vec!["l".to_owned(), "x".to_owned()]));
    let begun = Instant::now();
    let nothing = client.execute(redwire::cmd::<Option<Vec<String>>>("BLPOP").arg("l").arg("0.05")).unwrap();
    assert_eq!(nothing, None);
    assert!(begun.elapsed() >= Duration::from_millis(50) && begun.elapsed() < LIMIT);
}

#[test]
fn a_paused_clock_takes_the_model_along() {
    paused().block_on(async {
        let host = Host::by_runtime(Options::new());
        let client = Client::open(in_memory(&host)).await.unwrap();
        let begun = tokio::time::Instant::now();
        client.execute(redwire::cmd::<()>("SET").arg("k").arg("v").arg("EX").arg(60)).await.unwrap();
        let nothing = client
            .execute(
                redwire::cmd::<Option<Vec<String>>>("BLPOP")
                    .arg("l")
                    .arg(3600)
                    .timeout(Duration::from_secs(7200)),
            )
            .await
            .unwrap();
        assert_eq!(nothing, None);
        assert_eq!(begun.elapsed().as_secs(), 3600);
        assert_eq!(client.get::<String>("k").await.unwrap(), None);
    });
}

#[test]
fn subscriptions_locks_and_caches_work_in_memory() {
    paused().block_on(async {
        let host = Host::by_runtime(Options::new());
        let client = Client::open(in_memory(&host)).await.unwrap();
        let mut subscription = client.subscribe(["news"]).await.unwrap();
        while !host.command(&["PUBSUB", "NUMSUB", "news"]).contains(":1") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(host.command(&["PUBLISH", "news", "hi"]), ":1\r\n");
        let event = subscription.next().await.expect("it goes on");
        assert!(format!("{event:?}").contains("hi"), "{event:?}");

        let lock = client.lock("job").ttl(Duration::from_secs(10)).acquire().await.unwrap();
        assert_eq!(host.command(&["EXISTS", "job"]), ":1\r\n");
        lock.release().await.unwrap();
        assert_eq!(host.command(&["EXISTS", "job"]), ":0\r\n");
    });
}

#[test]
fn what_befalls_the_server_befalls_its_clients() {
    let server = Server::start();
    let client = blocking::Client::connect(&server.url()).unwrap();
    client.set("k", "v").unwrap();
    server.set(Condition::OutOfMemory, true);
    let error = client.execute(redwire::cmd::<()>("SET").arg("k").arg("w")).unwrap_err();
    assert!(error.to_string().contains("OOM"), "{error}");
    server.set(Condition::OutOfMemory, false);
    server.kill_clients();
    assert_eq!(client.get::<String>("k").unwrap().as_deref(), Some("v"));
    server.with(|model, now| model.restart(true, now));
    assert_eq!(client.get::<String>("k").unwrap(), None);
}

#[test]
fn no_thread_is_left_when_it_is_dropped() {
    let server = Server::start();
    let mut streams: Vec<TcpStream> =
        (0..10).map(|_| TcpStream::connect(server.addr().expect("it is on a port")).unwrap()).collect();
    for stream in &mut streams {
        stream.write_all(b"PING\r\n").unwrap();
        let mut reply = [0; 7];
        stream.read_exact(&mut reply).unwrap();
    }
    let name = format!("model {}", server.addr().expect("it is on a port").port());
    assert!(!cfg!(target_os = "linux") || threads_named(&name) == 21);
    drop(server);
    assert_eq!(threads_named(&name), 0);
    for stream in &mut streams {
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    }
}

#[test]
fn the_model_needs_no_threads_in_memory() {
    let host = Host::stopped(Options::new());
    let mut streams: Vec<MemoryStream> = (0..100).map(|_| host.connect()).collect();
    for (n, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("INCRBY n {n}\r\n").as_bytes()).unwrap();
    }
    let mut reply = [0; 4];
    streams[0].read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b":0\r\n");
    assert_eq!(host.command(&["GET", "n"]), "$4\r\n4950\r\n");
    drop(streams);
    assert!(host.command(&["CLIENT", "LIST"]).matches("id=").count() == 1);
}
