//! What goes wrong below the server: URLs, names, ports, firewalls, and programs of another kind that answer
//! there.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use redwire_testkit::{ClosedPort, Direction, FakeServer, Fault, Proxy, Server};
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};

use crate::{doctor, redwire};

#[test]
fn a_url_that_makes_no_sense() {
    let report = doctor("redis://ann:s3cret@host:port", &[]);
    report.says("url", "bad", &["makes no sense", "redis://USER:PASSWORD@HOST"]).skips_from("dns");
    assert!(!report.json.to_string().contains("s3cret"), "{}", report.json);
}

#[test]
fn an_option_that_does_not_exist_is_named() {
    doctor("redis://localhost?conect_timeout=1s", &[])
        .says("url", "bad", &["conect_timeout"])
        .skips_from("dns");
}

#[test]
fn a_host_name_that_is_not_known() {
    // RFC 6761: names below `invalid` exist nowhere.
    let report = doctor("redis://nobody.invalid", &[]);
    report.says("url", "good", &[]).says("dns", "bad", &["nobody.invalid", "spelling"]).skips_from("tcp");
}

#[test]
fn a_port_where_no_server_listens() {
    let closed = ClosedPort::new();
    let report = doctor(&format!("redis://{}", closed.addr()), &[]);
    report.says("tcp", "bad", &["refuses connections", "bind"]).skips_from("tls");
    assert_eq!(report.layer("tcp")["detail"]["addresses"][0]["state"], "refused");
}

#[test]
fn a_firewall_that_drops() {
    let full = Full::start();
    let report = doctor(&format!("redis://{}?connect_timeout=300ms", full.address), &[]);
    report.says("tcp", "bad", &["drops the packets", "firewalls"]).skips_from("tls");
    assert_eq!(report.layer("tcp")["detail"]["addresses"][0]["state"], "silent");
}

/// A listener whose queue is full, so that the kernel drops what comes, as a firewall does.
struct Full {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<TcpStream>,
}

impl Full {
    fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
        let queued = std::iter::from_fn(connect).collect();
        Self { address, _listener: listener, _queued: queued }
    }
}

#[test]
fn a_proxy_that_swallows_everything() {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    proxy.set(Direction::ToServer, Fault::Blackhole);
    let report = doctor(&format!("{}?connect_timeout=300ms", proxy.url()), &[]);
    report.says("tcp", "good", &[]).says("handshake", "bad", &["did not answer", "frozen"]).skips_from("acl");
}

#[test]
fn a_web_server() {
    let web = FakeServer::raw("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let report = doctor(&web.url(), &[]);
    report.says("handshake", "bad", &["web server", "HTTP/1.1 400 Bad Request"]).skips_from("acl");
    let report = doctor(&web.url().replace("redis://", "rediss://"), &["--tls-insecure"]);
    report.says("tls", "bad", &["web server", "HTTP/1.1 400 Bad Request"]).skips_from("handshake");
}

#[test]
fn another_kind_of_server() {
    let other = FakeServer::raw("SSH-2.0-OpenSSH_9.9\r\n");
    doctor(&other.url(), &[]).says("handshake", "bad", &["no Redis", "SSH-2.0"]).skips_from("acl");
}

#[test]
fn a_unix_socket_that_is_not_there() {
    let report = doctor("unix:///nowhere/redis.sock", &[]);
    report
        .says("dns", "skipped", &[])
        .says("tcp", "bad", &["/nowhere/redis.sock", "unixsocket"])
        .skips_from("tls");
}

#[test]
fn several_servers_are_examined_in_turn() {
    let server = Server::start();
    let output = redwire(&["doctor", "--json", "--url", &server.url(), "--url", "redis://nobody.invalid"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json["verdict"], "bad");
    assert_eq!(
        (&json["servers"][0]["verdict"], &json["servers"][1]["verdict"]),
        (&"good".into(), &"bad".into())
    );
}

#[test]
fn an_interrupt_ends_with_what_is_known() {
    let full = Full::start();
    let url = format!("redis://{}?connect_timeout=60s", full.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_redwire"));
    command.args(["doctor", "--url", &url]).stdout(Stdio::piped());
    let mut running = command.spawn().unwrap();
    let mut output = BufReader::new(running.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("dns") {
        assert_ne!(output.read_line(&mut text).unwrap(), 0, "{text}");
    }
    kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(1), "{text}");
    assert!(text.contains("interrupted"), "{text}");
}
