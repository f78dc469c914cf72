//! Replies and messages without end: cut off at a limit, and sooner where no caller waits for them any more.
//! What a peer could send is what they can have taken of memory.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redwire::pubsub::SubscribeOptions;
use redwire::{ErrorKind, Value};
use redwire_testkit::eventually;

use crate::common::{Driver, LIMIT, Setup, runtime, timed, words};
use crate::step::NAMELESS;

both!(
    a_reply_without_end_is_cut_off_at_the_limit,
    a_reply_that_no_caller_waits_for_any_more_is_cut_off,
    messages_and_entries_without_end_are_cut_off,
);

const MIB: usize = 1 << 20;

/// What may be on its way: in the buffers of both sockets, and while a busy machine lets the client wait.
const UNDER_WAY: usize = 40 * MIB;

/// Answers each new connection's first command of this name with bytes that never end.
struct Flood {
    url: String,
    connections: Arc<Mutex<Vec<Arc<Flooded>>>>,
}

#[derive(Default)]
struct Flooded {
    sent: AtomicUsize,
    over: AtomicBool,
}

impl Flood {
    fn start(name: &'static str, begin: &str, piece: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let connections: Arc<Mutex<Vec<Arc<Flooded>>>> = Arc::default();
        let (accepted, begin, piece) = (Arc::clone(&connections), begin.to_owned(), Arc::new(piece));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (flooded, begin, piece) =
                    (Arc::new(Flooded::default()), begin.clone(), Arc::clone(&piece));
                accepted.lock().unwrap().push(Arc::clone(&flooded));
                thread::spawn(move || {
                    // Ends with the connection.
                    let _ = flooded.serve(stream, name, begin.as_bytes(), &piece);
                    flooded.over.store(true, Ordering::SeqCst);
                });
            }
        });
        Self { url, connections }
    }

    fn first(&self) -> Arc<Flooded> {
        eventually("it is accepted", LIMIT, || !self.connections.lock().unwrap().is_empty());
        Arc::clone(&self.connections.lock().unwrap()[0])
    }
}

impl Flooded {
    fn serve(&self, mut stream: TcpStream, name: &str, begin: &[u8], piece: &[u8]) -> std::io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer)?;
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            if read == 0 || text.contains(name) {
                break;
            }
            stream.write_all(if text.contains("HELLO") {
                b"%1\r\n+server\r\n+redis\r\n"
            } else {
                b"+OK\r\n"
            })?;
        }
        stream.write_all(begin)?;
        loop {
            stream.write_all(piece)?;
            self.sent.fetch_add(piece.len(), Ordering::SeqCst);
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

fn element() -> Vec<u8> {
    [&b"$200000\r\n"[..], &[b'x'; 200_000], b"\r\n"].concat()
}

fn attributes() -> Vec<u8> {
    [&b"|1\r\n+a\r\n"[..], &element()].concat()
}

fn a_reply_without_end_is_cut_off_at_the_limit(setup: Setup) {
    for (begin, piece) in [("*1000000\r\n", element()), ("", attributes()), ("+", vec![b'x'; 200_000])] {
        let flood = Flood::start("INCR", begin, piece);
        let options = format!("{NAMELESS}&timeout=20s&max_reply_bytes=20MiB&max_reply_line=20MiB");
        let client = setup.client(&flood.url, &options);
        let (result, took) = timed(|| client.run::<Value>("INCR a"));
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{begin:?}: {error}");
        assert!(error.to_string().contains("(`max_reply_bytes`)"), "{begin:?}: {error}");
        assert!(took < LIMIT, "{begin:?}: {took:?}");
        let first = flood.first();
        eventually("it is cut off", LIMIT, || first.is_over());
        assert!(first.sent() < 20 * MIB + UNDER_WAY, "{begin:?}: {}", first.sent());
    }
}

fn a_reply_that_no_caller_waits_for_any_more_is_cut_off(setup: Setup) {
    for (begin, piece) in [("*1000000\r\n", element()), ("", attributes())] {
        let flood = Flood::start("INCR", begin, piece);
        let client = setup.client(&flood.url, NAMELESS);
        let call = words::<Value>("INCR a").timeout(Duration::from_millis(100));
        assert!(client.execute(call).unwrap_err().is_timeout());
        let (first, waited_for) = (flood.first(), flood.first().sent());
        eventually("it is cut off", LIMIT, || first.is_over());
        let unwanted = first.sent() - waited_for;
        assert!(unwanted < 16 * MIB + UNDER_WAY, "{begin:?}: {unwanted}");
    }
    // Nor does a client read for ever what no caller has asked for. The blocking one reads nothing then.
    if setup.driver == Driver::Tokio {
        let flood = Flood::start("PING", "+PONG\r\n>1000000\r\n", element());
        let client = setup.client(&flood.url, NAMELESS);
        client.run::<Value>("PING").unwrap();
        let first = flood.first();
        eventually("it is cut off", LIMIT, || first.is_over());
        assert!(first.sent() < 16 * MIB + UNDER_WAY, "{}", first.sent());
    }
}

fn messages_and_entries_without_end_are_cut_off(setup: Setup) {
    let options = format!("{NAMELESS}&max_reply_bytes=20MiB&max_reply_line=20MiB");
    let kind = if setup.protocol == 3 { '>' } else { '*' };
    let confirmed = format!("{kind}3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n{kind}100000\r\n");
    let flood = Flood::start("SUBSCRIBE", &confirmed, element());
    let url = setup.url(&flood.url, &options);
    match setup.driver {
        Driver::Tokio => {
            let mut subscription = runtime().block_on(async {
                let pubsub = redwire::PubSub::connect(&url).await.unwrap();
                pubsub.subscribe_with("c", SubscribeOptions::new()).await.unwrap()
            });
            assert!(runtime().block_on(subscription.next()).is_some(), "what was lost is told");
        }
        Driver::Blocking => {
            let pubsub = redwire::blocking::PubSub::connect(&url).unwrap();
            let mut subscription = pubsub.subscribe_with("c", SubscribeOptions::new()).unwrap();
            assert!(subscription.next().is_some(), "what was lost is told");
        }
    }
    let first = flood.first();
    eventually("it is cut off", LIMIT, || first.is_over());
    assert!(first.sent() < 20 * MIB + UNDER_WAY, "{}", first.sent());

    let flood = Flood::start("MONITOR", "+OK\r\n+", vec![b'x'; 200_000]);
    let url = setup.url(&flood.url, &options);
    let ended = match setup.driver {
        Driver::Tokio => runtime().block_on(async {
            let mut monitor = redwire::Monitor::connect(&url).await.unwrap();
            monitor.next().await
        }),
        Driver::Blocking => redwire::blocking::Monitor::connect(&url).unwrap().next(),
    };
    let error = ended.expect("the end is told").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    let first = flood.first();
    eventually("it is cut off", LIMIT, || first.is_over());
    assert!(first.sent() < 20 * MIB + UNDER_WAY, "{}", first.sent());
}
