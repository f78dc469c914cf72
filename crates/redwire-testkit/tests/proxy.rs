//! The fault proxy: each fault, in both directions where it matters, and healing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Server, Step, eventually, expect, reply, shared};

use Direction::{ToClient, ToServer};

const LIMIT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(40);
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

#[test]
fn without_faults_everything_passes() {
    let proxy = Proxy::start(shared().addr());
    let mut client = connect(&proxy);
    ping(&mut client);
    assert_eq!((proxy.bytes(ToServer), proxy.bytes(ToClient)), (PING.len() as u64, PONG.len() as u64));
    assert_eq!((proxy.connections(), proxy.open()), (1, 1));
    let value = vec![b'x'; 3_000_000];
    let set = [b"*3\r\n$3\r\nSET\r\n$9\r\nproxy:big\r\n$3000000\r\n", &value[..], b"\r\n"].concat();
    client.write_all(&set).unwrap();
    read_exactly(&mut client, b"+OK\r\n");
    client.write_all(b"*2\r\n$3\r\nGET\r\n$9\r\nproxy:big\r\n").unwrap();
    read_exactly(&mut client, &[b"$3000000\r\n", &value[..], b"\r\n"].concat());
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    eventually("the connection is over", LIMIT, || proxy.open() == 0);
}

#[test]
fn resets_pass_too() {
    let server = FakeServer::script([expect(&["PING"]), Step::Reset]);
    let proxy = Proxy::start(server.addr());
    let mut client = connect(&proxy);
    client.write_all(PING).unwrap();
    assert_reset(&mut client);
}

#[test]
fn a_cut_to_the_client_leaves_exactly_so_many_bytes() {
    let proxy = Proxy::start(shared().addr());
    for bytes in [1, 3, 7] {
        let mut client = connect(&proxy);
        ping(&mut client);
        proxy.set(ToClient, Fault::CutAfter(bytes));
        client.write_all(&[PING, PING].concat()).unwrap();
        assert_eq!(read_all(&mut client), &PONG[..bytes as usize]);
    }
    // It has happened: the next connection is healed.
    ping(&mut connect(&proxy));
}

#[test]
fn a_cut_after_nothing_lets_the_command_run_and_swallows_its_reply() {
    let proxy = Proxy::start(shared().addr());
    let mut client = connect(&proxy);
    ping(&mut client);
    proxy.set(ToClient, Fault::CutAfter(0));
    client.write_all(b"*2\r\n$4\r\nINCR\r\n$9\r\nproxy:cut\r\n").unwrap();
    assert!(read_all(&mut client).is_empty());
    assert_eq!(shared().command(&["GET", "proxy:cut"]), Ok("1".to_owned()));
}

#[test]
fn a_cut_to_the_server_leaves_exactly_so_many_bytes() {
    let (listener, proxy) = listen();
    proxy.set(ToServer, Fault::CutAfter(5));
    let mut client = connect(&proxy);
    let mut server = listener.accept().unwrap().0;
    client.write_all(b"0123456789").unwrap();
    assert_eq!(read_all(&mut server), b"01234");
    assert!(read_all(&mut client).is_empty());
    assert_eq!(proxy.bytes(ToServer), 5);
}

#[test]
fn a_cut_in_a_big_command_comes_at_its_byte() {
    let (listener, proxy) = listen();
    proxy.set(ToServer, Fault::CutAfter(1_000_000));
    let mut client = connect(&proxy);
    let mut server = listener.accept().unwrap().0;
    let writing = std::thread::spawn(move || client.write_all(&vec![1; 5_000_000]).map(|()| client));
    assert_eq!(read_all(&mut server).len(), 1_000_000);
    drop(server);
    drop(writing.join().unwrap());
}

#[test]
fn a_reset_comes_after_so_many_bytes_on_both_sides() {
    let (listener, proxy) = listen();
    let mut client = connect(&proxy);
    let mut server = listener.accept().unwrap().0;
    server.write_all(b"ab").unwrap();
    read_exactly(&mut client, b"ab");
    proxy.set(ToClient, Fault::ResetAfter(0));
    server.write_all(b"cd").unwrap();
    assert_reset(&mut client);
    assert_reset(&mut server);
    proxy.set(ToServer, Fault::ResetAfter(3));
    let mut client = connect(&proxy);
    client.write_all(b"01234").unwrap();
    assert_reset(&mut client);
    assert_eq!(proxy.bytes(ToServer), 3);
}

#[test]
fn delays_hold_back_what_passes() {
    let proxy = Proxy::seeded(shared().addr(), 7);
    let mut client = connect(&proxy);
    proxy.set(ToClient, Fault::Delay { min: SHORT, max: 2 * SHORT });
    let begin = Instant::now();
    ping(&mut client);
    assert!(begin.elapsed() >= SHORT);
    proxy.set(ToServer, Fault::Delay { min: SHORT, max: SHORT });
    let begin = Instant::now();
    ping(&mut client);
    assert!(begin.elapsed() >= 2 * SHORT);
    proxy.heal();
    ping(&mut client);
}

#[test]
fn jitter_is_a_delay_that_may_be_nothing() {
    assert_eq!(Fault::jitter(SHORT), Fault::Delay { min: Duration::ZERO, max: SHORT });
    let proxy = Proxy::seeded(shared().addr(), 7);
    proxy.set(ToServer, Fault::jitter(SHORT));
    proxy.set(ToClient, Fault::jitter(SHORT));
    let mut client = connect(&proxy);
    for _ in 0..10 {
        ping(&mut client);
    }
}

#[test]
fn chunks_are_no_bigger_than_told() {
    let (listener, proxy) = listen();
    proxy.set(ToServer, Fault::Chunk(1));
    // The delay parts the chunks, else the receiver may find several at once.
    proxy.set(ToServer, Fault::Delay { min: SHORT, max: SHORT });
    let mut client = connect(&proxy);
    let mut server = listener.accept().unwrap().0;
    client.write_all(b"abc").unwrap();
    for wanted in [b"a", b"b", b"c"] {
        let mut got = [0; 9];
        let n = server.read(&mut got).unwrap();
        assert_eq!(&got[..n], wanted);
    }
    let proxy = Proxy::start(shared().addr());
    proxy.set(ToServer, Fault::Chunk(1));
    proxy.set(ToClient, Fault::Chunk(1));
    ping(&mut connect(&proxy));
}

#[test]
fn a_black_hole_swallows_and_holds() {
    let proxy = Proxy::start(shared().addr());
    let mut old = connect(&proxy);
    ping(&mut old);
    proxy.set(ToServer, Fault::Blackhole);
    proxy.set(ToClient, Fault::Blackhole);
    let mut new = connect(&proxy);
    for client in [&mut old, &mut new] {
        client.write_all(PING).unwrap();
        assert_silent(client);
    }
    eventually("both are held", LIMIT, || proxy.open() == 2);
    assert_eq!(proxy.bytes(ToServer), PING.len() as u64);
    proxy.heal();
    ping(&mut old);
    ping(&mut connect(&proxy));
}

#[test]
fn a_black_hole_swallows_the_end_and_hides_a_dead_server() {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let mut client = connect(&proxy);
    ping(&mut client);
    proxy.set(ToClient, Fault::Blackhole);
    server.kill();
    assert_silent(&mut client);
    assert_silent(&mut connect(&proxy));
    proxy.heal();
    assert!(
        matches!(connect(&proxy).read(&mut [0]), Ok(0) | Err(_)),
        "no server, and no black hole to hide it"
    );
}

#[test]
fn replies_are_dropped_whole() {
    let proxy = Proxy::start(shared().addr());
    let mut client = connect(&proxy);
    ping(&mut client);
    proxy.set(ToClient, Fault::Chunk(3));
    proxy.set(ToClient, Fault::DropReplies(2));
    let echo = |word: &str| format!("*2\r\n$4\r\nECHO\r\n${}\r\n{word}\r\n", word.len());
    client.write_all([echo("+1\r\n"), echo("two"), echo("three"), echo("4")].concat().as_bytes()).unwrap();
    read_exactly(&mut client, b"$5\r\nthree\r\n$1\r\n4\r\n");
    ping(&mut client);
}

#[test]
fn dropping_begins_with_the_next_frame_not_in_the_midst_of_one() {
    let (listener, proxy) = listen();
    let mut client = connect(&proxy);
    let mut server = listener.accept().unwrap().0;
    server.write_all(b"*2\r\n:1\r\n$3\r\na").unwrap();
    read_exactly(&mut client, b"*2\r\n:1\r\n$3\r\na");
    proxy.set(ToClient, Fault::DropReplies(1));
    server.write_all(b"bc\r\n*1\r\n").unwrap();
    read_exactly(&mut client, b"bc\r\n");
    server.write_all(b"$1\r\nx\r\n:7\r\n").unwrap();
    read_exactly(&mut client, b":7\r\n");
}

#[test]
fn refused_connections_end_at_once() {
    let proxy = Proxy::start(shared().addr());
    let mut old = connect(&proxy);
    ping(&mut old);
    proxy.set(ToServer, Fault::Refuse);
    assert!(matches!(connect(&proxy).read(&mut [0]), Ok(0)));
    ping(&mut old);
    proxy.set(ToServer, Fault::None);
    ping(&mut connect(&proxy));
    assert_eq!(proxy.connections(), 3);
}

#[test]
fn all_are_cut_or_reset_together() {
    let proxy = Proxy::start(shared().addr());
    let mut clients = [connect(&proxy), connect(&proxy)];
    clients.iter_mut().for_each(ping);
    proxy.cut_all();
    assert_eq!(proxy.open(), 0);
    for client in &mut clients {
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    let mut clients = [connect(&proxy), connect(&proxy)];
    clients.iter_mut().for_each(ping);
    proxy.reset_all();
    clients.iter_mut().for_each(assert_reset);
    ping(&mut connect(&proxy));
}

#[test]
fn new_connections_go_to_the_new_server() {
    let [one, two] = ["1", "2"].map(|word| FakeServer::script([reply(word), Step::Stall]));
    let proxy = Proxy::start(one.addr());
    read_exactly(&mut connect(&proxy), b"1");
    proxy.retarget(two.addr());
    read_exactly(&mut connect(&proxy), b"2");
    assert_eq!(proxy.url(), format!("redis://{}", proxy.addr()));
}

#[test]
fn a_drop_ends_everything_soon_even_with_a_peer_that_does_not_read() {
    let (listener, proxy) = listen();
    let addr: SocketAddr = proxy.addr();
    let mut client = connect(&proxy);
    let server = listener.accept().unwrap().0;
    client.set_write_timeout(Some(SHORT)).unwrap();
    // Fills all buffers on the way: the proxy stands in the midst of a write.
    while client.write(&[0; 65536]).is_ok() {}
    proxy.set(ToServer, Fault::Delay { min: LIMIT, max: LIMIT });
    let begin = Instant::now();
    drop(proxy);
    assert!(begin.elapsed() < LIMIT / 4);
    assert!(TcpStream::connect(addr).is_err());
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)));
    drop(server);
}

/// A server of the test's own behind a proxy.
fn listen() -> (TcpListener, Proxy) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    (listener, proxy)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.addr()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

#[track_caller]
fn ping(client: &mut TcpStream) {
    client.write_all(PING).unwrap();
    read_exactly(client, PONG);
}

#[track_caller]
fn read_exactly(client: &mut TcpStream, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    client.read_exact(&mut got).unwrap();
    assert!(got == wanted, "got {}", got[..got.len().min(99)].escape_ascii());
}

#[track_caller]
fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    got
}

#[track_caller]
fn assert_reset(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[track_caller]
fn assert_silent(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SHORT)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(LIMIT)).unwrap();
}
