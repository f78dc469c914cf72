//! The fake server: each step of a script, what it notes, and that it tells on a client that goes astray.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::panic;
use std::time::{Duration, Instant};

use redwire_testkit::{FakeServer, Step, eventually, expect, expect_name, push, reply};

const LIMIT: Duration = Duration::from_secs(10);
const GET: &[u8] = b"*2\r\n$3\r\nget\r\n$1\r\nk\r\n";
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

#[test]
fn commands_are_expected_and_replies_written() {
    let server = FakeServer::script([
        expect(&["GET", "k"]),
        reply("$1\r\nv\r\n"),
        expect_name("ping"),
        push(">1\r\n+hi\r\n"),
        reply("+PONG\r\n"),
        Step::ExpectAny,
        reply("+OK\r\n"),
    ]);
    let mut client = connect(&server);
    // Two commands in one write, and one in two.
    client.write_all(&[GET, PING].concat()).unwrap();
    read_exactly(&mut client, b"$1\r\nv\r\n>1\r\n+hi\r\n+PONG\r\n");
    client.write_all(&GET[..9]).unwrap();
    client.write_all(&GET[9..]).unwrap();
    read_exactly(&mut client, b"+OK\r\n");
    server.verify();
    assert_eq!(server.connections(), 1);
    let get = vec![b"get".to_vec(), b"k".to_vec()];
    assert_eq!(server.received(), [get.clone(), vec![b"PING".to_vec()], get]);
    assert_eq!(server.received_on(0), server.received());
    assert!(server.received_on(1).is_empty());
}

#[test]
fn it_listens_on_a_unix_socket_too() {
    let server = FakeServer::script([expect(&["PING"]), reply("+PONG\r\n")]);
    let mut client = UnixStream::connect(server.unix_path()).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client.write_all(PING).unwrap();
    read_exactly(&mut client, b"+PONG\r\n");
    assert_eq!(server.unix_url(), format!("unix://{}", server.unix_path().display()));
    assert_eq!(server.url(), format!("redis://{}", server.addr()));
    server.verify();
}

#[test]
fn connections_have_their_scripts_in_turn() {
    let server = FakeServer::scripts([vec![reply("1")], vec![reply("2")]]);
    let mut first = connect(&server);
    read_exactly(&mut first, b"1");
    assert_eq!(server.problems(), ["connection 1: never came"]);
    let mut second = connect(&server);
    read_exactly(&mut second, b"2");
    server.verify();
    let mut third = connect(&server);
    assert_eq!(third.read(&mut [0]).unwrap(), 0);
    assert_eq!(server.problems(), ["connection 2: no script for so many connections"]);
}

#[test]
fn pieces_come_one_by_one() {
    let pause = Duration::from_millis(30);
    let pieces = ["$5\r", "\nhel", "lo\r\n"].map(|piece| piece.as_bytes().to_vec());
    let server = FakeServer::script([Step::ReplyPieces(pieces.to_vec(), pause)]);
    let begin = Instant::now();
    let mut client = connect(&server);
    let mut got = [0; 64];
    let n = client.read(&mut got).unwrap();
    assert_eq!(&got[..n], b"$5\r");
    read_exactly(&mut client, b"\nhello\r\n");
    assert!(begin.elapsed() >= 2 * pause);
    server.verify();
}

#[test]
fn time_passes_where_the_script_waits() {
    let server = FakeServer::script([Step::Wait(Duration::from_millis(40)), reply("x")]);
    let begin = Instant::now();
    read_exactly(&mut connect(&server), b"x");
    assert!(begin.elapsed() >= Duration::from_millis(40));
}

#[test]
fn close_is_an_end_in_order_even_with_unread_commands() {
    let server = FakeServer::script([expect(&["PING"]), reply("+PONG\r\n"), Step::Close]);
    let mut client = connect(&server);
    client.write_all(&[PING, GET, GET].concat()).unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"+PONG\r\n");
    server.verify();
}

#[test]
fn reset_is_a_reset() {
    let server = FakeServer::script([expect(&["PING"]), Step::Reset]);
    let mut client = connect(&server);
    client.write_all(PING).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    server.verify();
}

#[test]
fn stall_is_silent_notes_commands_and_ends_with_the_server() {
    let server = FakeServer::script([Step::Stall]);
    let mut client = connect(&server);
    client.write_all(&[PING, PING].concat()).unwrap();
    eventually("both are noted", LIMIT, || server.received().len() == 2);
    client.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    server.verify();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    drop(server);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_function_answers() {
    let server = FakeServer::answering(|words| match words[0].as_slice() {
        b"PING" => b"+PONG\r\n".to_vec(),
        _ => [b"+", words[1].as_slice(), b"\r\n"].concat(),
    });
    for _ in 0..2 {
        let mut client = connect(&server);
        client.write_all(&[PING, GET].concat()).unwrap();
        read_exactly(&mut client, b"+PONG\r\n+k\r\n");
    }
    assert_eq!(server.connections(), 2);
    assert_eq!(server.received_on(1).len(), 2);
    server.verify();
}

#[test]
fn a_panic_of_the_function_is_a_problem() {
    let server = FakeServer::answering(|_| panic!("not prepared for this"));
    let mut client = connect(&server);
    client.write_all(PING).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!(server.problems(), ["connection 0: the answering function panicked: not prepared for this"]);
}

#[test]
fn raw_bytes_are_sent_whatever_comes() {
    let server = FakeServer::raw("SSH-2.0-x\r\n");
    let mut client = connect(&server);
    client.write_all(b"\x16\x03\x01 what is this\r\n").unwrap();
    read_exactly(&mut client, b"SSH-2.0-x\r\n");
    server.verify();
}

#[test]
fn going_astray_is_a_problem() {
    let astray = |script: &[Step], sent: &[u8]| {
        let server = FakeServer::script(script.to_vec());
        let mut client = connect(&server);
        client.write_all(sent).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
        server.problems()
    };
    let ping = expect(&["PING"]);
    assert!(astray(std::slice::from_ref(&ping), PING).is_empty());
    assert_eq!(
        astray(&[ping.clone(), expect(&["GET", "K"])], &[PING, GET].concat()),
        ["connection 0: step 1: expected GET K, got get k"]
    );
    assert_eq!(astray(&[expect_name("SET")], GET), ["connection 0: step 0: expected SET, got get k"]);
    assert_eq!(
        astray(&[Step::ExpectAny], b""),
        ["connection 0: step 0: expected any command, got the end of the stream"]
    );
    assert_eq!(
        astray(std::slice::from_ref(&ping), &[PING, GET].concat()),
        ["connection 0: after the last step: got get k"]
    );
    assert_eq!(
        astray(&[ping], b"GET / HTTP/1.1\r\n"),
        [r#"connection 0: step 0: expected PING, got: not a command: "GET / HTTP/1.1\r\n""#]
    );
}

#[test]
fn a_script_that_no_client_meets_is_a_problem() {
    assert_eq!(FakeServer::raw("x").problems(), ["connection 0: never came"]);
    FakeServer::script([]).verify();
}

#[test]
fn an_unfinished_script_is_a_problem() {
    let server = FakeServer::script([expect(&["PING"]), expect(&["PING"])]);
    let mut client = connect(&server);
    client.write_all(PING).unwrap();
    assert_eq!(server.problems(), ["connection 0: still at step 1"]);
}

#[test]
fn a_problem_not_looked_at_panics_in_the_end() {
    let server = FakeServer::script([expect(&["PING"])]);
    let mut client = connect(&server);
    client.write_all(GET).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    let panicked = panic::catch_unwind(panic::AssertUnwindSafe(|| drop(server))).unwrap_err();
    let text = panicked.downcast_ref::<String>().unwrap();
    assert!(text.contains("expected PING, got get k"), "{text}");
}

fn connect(server: &FakeServer) -> TcpStream {
    let stream = TcpStream::connect(server.addr()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

#[track_caller]
fn read_exactly(client: &mut impl Read, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    client.read_exact(&mut got).unwrap();
    assert_eq!(got.escape_ascii().to_string(), wanted.escape_ascii().to_string());
}
