//! Signals that a program gets while a blocking call waits, as profilers, timers and other languages'
//! runtimes send them: they interrupt the wait, and the deadline of the call holds all the same (I3). FAULTS
//! 93.

#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use redwire::blocking::{Client, Connection, Monitor, Pool, PubSub};
use redwire::cache::CacheOptions;
use redwire::config::Config;
use redwire::prelude::*;
use redwire::pubsub::SubscriptionEvent;
use redwire::resolve::{Resolve, Resolver};
use redwire::{Error, Result, Run, Value, cmd};
use redwire_testkit::Server;
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::signal::unix::{SignalKind, signal};

use crate::common::{LIMIT, runtime, timed};

/// How often the thread that waits is interrupted.
const EACH: Duration = Duration::from_millis(20);

/// Where a signal has the wait begin anew, it never ends: so this may be as much as the busiest machine
/// wants.
const SLACK: Duration = Duration::from_secs(3);

/// What each of the calls may take.
const DEADLINE: Duration = Duration::from_millis(400);

/// Gives `SIGUSR1` a handler, with `SA_RESTART`. Without one it would end the program.
fn handle_signals() {
    let _entered = runtime().enter();
    // The handler stays for as long as the program runs.
    drop(signal(SignalKind::user_defined1()).expect("a handler can be installed"));
}

/// What `work` gives, on a thread that gets a signal again and again meanwhile.
fn disturbed<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let working = scope.spawn(move || {
            sender.send(rustix::thread::gettid()).expect("the test wants to know");
            work()
        });
        let thread: Pid = receiver.recv().expect("it begins");
        while !working.is_finished() {
            // By the number of a thread, the kernel gives the signal to that thread.
            let _ = kill_process(thread, Signal::USR1);
            thread::sleep(EACH);
        }
        working.join().expect("it does not panic")
    })
}

/// Where that is not so, the other tests here would show nothing.
#[test]
fn a_read_of_the_system_is_interrupted_by_the_signals_that_are_sent_here() {
    handle_signals();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(10 * DEADLINE)).unwrap();
    let read = disturbed(move || stream.read(&mut [0]));
    assert_eq!(read.unwrap_err().kind(), ErrorKind::Interrupted);
}

/// One call that waits in vain, and what it gives.
type Case = (&'static str, Box<dyn FnOnce() -> Option<Error> + Send>);

fn case<T>(name: &'static str, call: impl FnOnce() -> Result<T> + Send + 'static) -> Case {
    (name, Box::new(move || call().err()))
}

/// Runs all `cases` at a time: each waits, and ends within `limit`.
fn end_within(limit: Duration, cases: Vec<Case>) {
    let took: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = cases
            .into_iter()
            .map(|(name, call)| scope.spawn(move || (name, disturbed(move || timed(call)))))
            .collect();
        running.into_iter().map(|case| case.join().expect("it does not panic")).collect()
    });
    for (name, (error, took)) in took {
        assert!(took < limit + SLACK, "{name} ended after {took:?}: {error:?}");
        assert!(took > DEADLINE / 2, "{name} did not wait: {took:?}, {error:?}");
    }
}

fn options(base: &str) -> String {
    format!("{base}?timeout=400ms&connect_timeout=400ms&health_check_interval=0")
}

/// Reads and writes of all kinds of connection, while the server stands still.
#[test]
fn the_deadline_of_a_call_holds_while_signals_come() {
    handle_signals();
    let server = Server::start();
    let url = options(&server.url());
    let client = || Client::connect(&url).unwrap();
    let get = || cmd::<Value>("GET").arg("k");
    let (one, unix) = (client(), Client::connect(&options(&server.unix_url())).unwrap());
    let (large, many, crowd, waits) = (client(), client(), client(), client());
    let lazy = Client::connect_lazy(&url).unwrap();
    let cache = client().cached(CacheOptions::default()).unwrap();
    let mut hand = Connection::connect(&url).unwrap();
    let mut lease = Pool::connect(&url).unwrap().get().unwrap();
    let pubsub = PubSub::connect(&url).unwrap();
    let mut subscription = pubsub.subscribe("heard").unwrap();
    let mut monitor = Monitor::connect(&url).unwrap();
    while monitor.next_within(Duration::ZERO).is_some() {}
    server.freeze();
    let value = Bytes::from(vec![b'x'; 16 << 20]);
    let part = value.clone();
    let mut cases = vec![
        case("a read", move || one.execute(get())),
        case("a read from a Unix socket", move || unix.execute(get())),
        case("a handshake", move || lazy.execute(get())),
        case("a write", move || large.execute::<()>(cmd("SET").arg("k").arg(&value))),
        case("a pipeline that another thread writes", move || {
            many.pipeline(|p| (p.set("a", &part), p.set("b", &part)))
        }),
        case("what waits at the server", move || {
            waits.execute::<Value>(cmd("BLPOP").arg("k").arg(0.1).timeout(DEADLINE - BLPOP))
        }),
        case("a cached read", move || cache.execute(get())),
        case("a connection by hand", move || hand.run(get())),
        case("a lease", move || lease.run(get())),
        case("a monitor", move || monitor.next_within(DEADLINE).transpose()),
        case("a message", move || Ok(subscription.next_within(DEADLINE))),
        case("a subscription", move || pubsub.subscribe("unheard")),
    ];
    for _ in 0..12 {
        let crowd = crowd.clone();
        cases.push(case("one of many that share a connection", move || crowd.execute(get())));
    }
    end_within(DEADLINE, cases);
}

const BLPOP: Duration = Duration::from_millis(100);

/// All that comes before a command is sent.
#[test]
fn connecting_ends_in_time_while_signals_come() {
    struct Slow;
    impl Resolve for Slow {
        fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            thread::sleep(2 * DEADLINE);
            Err(ErrorKind::NotFound.into())
        }
    }
    handle_signals();
    let server = Server::start();
    // Their kernel takes connections, and they answer nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().map(|address| (silent, address)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("full.sock");
    let _queue = full_queue(&path);
    let busy = Pool::connect(&format!("{}&max_connections=1", options(&server.url()))).unwrap();
    let _lease = busy.get().unwrap();
    let url = |scheme: &str| options(&format!("{scheme}://{}", silent.1));
    let (plain, pubsub, tls) = (url("redis"), url("redis"), url("rediss"));
    let (unix, silent_monitor) = (options(&format!("unix://{}", path.display())), url("redis"));
    let named = Config::from_url(&options("redis://db.example")).unwrap();
    let named = named.to_builder().resolver(Resolver::new(Slow)).build().unwrap();
    let mut cases = vec![
        case("a connection", move || Connection::connect(&plain)),
        case("a subscriber's connection", move || PubSub::connect(&pubsub)),
        case("a monitor's connection", move || Monitor::connect(&silent_monitor)),
        case("a name that is looked up", move || Client::open(named)),
        case("a full queue of a Unix socket", move || Connection::connect(&unix)),
        case("a pool without a free connection", move || busy.get()),
    ];
    if cfg!(feature = "tls") {
        cases.push(case("a TLS handshake", move || Client::connect(&tls)));
    }
    end_within(DEADLINE, cases);
}

/// A listener that has as many callers waiting as it allows.
fn full_queue(path: &Path) -> (Socket, Vec<UnixStream>) {
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&SockAddr::unix(path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    (listener, vec![UnixStream::connect(path).unwrap()])
}

/// A server that stands still is found dead by its silence, also where no deadline is near.
#[test]
fn silence_is_noticed_while_signals_come() {
    // A connection that lay idle for so long would be asked before it is used, and a call without a deadline
    // would wait for another: long enough to begin all calls before, on any machine.
    const INTERVAL: Duration = Duration::from_secs(1);
    handle_signals();
    let server = Server::start();
    // A call with a deadline waits for a server that may only be busy.
    let url = format!("{}?health_check_interval=1s&timeout=0", server.url());
    let client = || Client::connect(&url).unwrap();
    let (waits, large, pubsub) = (client(), client(), PubSub::connect(&url).unwrap());
    let mut hand = Connection::connect(&url).unwrap();
    let mut subscription = pubsub.subscribe("heard").unwrap();
    let mut monitor = Monitor::connect(&url).unwrap();
    while monitor.next_within(Duration::ZERO).is_some() {}
    server.freeze();
    let blpop = || cmd::<Value>("BLPOP").arg("k").arg(0);
    let cases = vec![
        case("what waits at the server", move || waits.execute(blpop())),
        case("a connection by hand", move || hand.run(blpop())),
        case("a write", move || {
            // What was not sent whole would be tried again.
            large.execute::<()>(cmd("SET").arg("k").arg(vec![b'x'; 16 << 20]).retries(0))
        }),
        case("a monitor", move || monitor.next().transpose()),
    ];
    thread::scope(|scope| {
        let listening = scope.spawn(|| disturbed(move || subscription.next_within(LIMIT)));
        // A write may get somewhere in the first interval, and nowhere in the second; then the server is
        // asked.
        end_within(3 * INTERVAL, cases);
        // Had it noticed nothing by now, it would go on as if nothing had happened.
        thread::sleep(DEADLINE);
        server.thaw();
        assert!(matches!(listening.join().unwrap(), Some(SubscriptionEvent::Reconnected)));
    });
}
