//! The TLS front and what certificates are good for, by a client of bare rustls.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use redwire_testkit::{
    Authority, FakeServer, Identity, Server, Target, TlsFront, eventually, has_tls, servers_from_env, shared,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ProtocolVersion, RootCertStore, SignatureScheme,
    StreamOwned,
};

const LIMIT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(40);

type Client = StreamOwned<ClientConnection, TcpStream>;

#[test]
fn it_passes_on_what_it_decrypts_over_tcp_and_unix() {
    let authority = Authority::new();
    let unix = Target::from(shared().unix_path());
    for target in [Target::from(shared()), unix, Target::from(shared().addr())] {
        let front = TlsFront::start(&authority.server(), target);
        let mut client = connect(&front, &trusting(&authority)).unwrap();
        ping(&mut client).unwrap();
        assert_eq!((front.connections(), front.open()), (1, 1));
        assert_eq!((front.full_handshakes(), front.resumed_handshakes()), (1, 0));
        assert_eq!(client.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(front.url("rediss"), format!("rediss://{}", front.address()));
        client.conn.send_close_notify();
        client.flush().unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "it ends its stream by a close_notify of its own");
        drop(client);
        eventually("the connection is over", LIMIT, || front.open() == 0);
        assert!(front.failures().is_empty());
    }
}

#[test]
fn large_values_pass_both_ways_at_once() {
    let authority = Authority::new();
    let front = TlsFront::start(&authority.server(), shared());
    let mut client = connect(&front, &trusting(&authority)).unwrap();
    let value = vec![b'x'; 10 << 20];
    let echo = [format!("*2\r\n$4\r\nECHO\r\n${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
    client.write_all(&echo).unwrap();
    let mut got = vec![0; format!("${}\r\n", value.len()).len() + value.len() + 2];
    client.read_exact(&mut got).unwrap();
    assert!(got.ends_with(&[&value[..], b"\r\n"].concat()));
    // Ten replies of a mebibyte that are not read while ten commands of as much are written.
    let small = [b"*2\r\n$4\r\nECHO\r\n$1048576\r\n", &value[..1 << 20], b"\r\n"].concat();
    client.sock.set_nonblocking(true).unwrap();
    let (mut sent, mut received, mut chunk) = (0, 0, vec![0; 1 << 16]);
    let (all, end) = (small.repeat(10), Instant::now() + LIMIT);
    while received < 10 * (b"$1048576\r\n\r\n".len() + (1 << 20)) {
        assert!(Instant::now() < end, "stuck after {sent} sent and {received} received");
        sent += ready(client.write(&all[sent..]));
        received += ready(client.read(&mut chunk));
    }
}

#[test]
fn a_server_speaks_tls_by_itself_if_its_binary_can() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for binary in servers_from_env().into_iter().filter(|binary| has_tls(binary)) {
        let server = Server::builder().binary(binary).tls(&authority).start();
        assert_eq!(server.url(), format!("rediss://127.0.0.1:{}", server.port()));
        assert_eq!(server.command(&["ECHO", "in clear"]), Ok("in clear".to_owned()));
        ping(&mut connect_to(server.addr(), &trusting(&authority)).unwrap()).unwrap();
        assert!(connect_to(server.addr(), &trusting(&stranger)).is_err());
        server.restart();
        ping(&mut connect_to(server.addr(), &trusting(&authority)).unwrap()).unwrap();
    }
}

#[test]
fn authorities_are_strangers_to_each_other() {
    let (one, other) = (Authority::new(), Authority::new());
    let front = TlsFront::start(&one.server(), shared());
    let error = refused(&front, &trusting(&other));
    assert!(error.contains("UnknownIssuer"), "{error}");
    // The client says why; so the front knows.
    eventually("the failure is noted", LIMIT, || front.failures().len() == 1);
    assert!(front.failures()[0].contains("UnknownCA"), "{:?}", front.failures());
    assert_eq!((front.full_handshakes(), front.connections()), (0, 1));
}

#[test]
fn certificates_are_as_ordered() {
    let authority = Authority::new();
    let localhost = || authority.identity(&["localhost"]);
    let cases = [
        (localhost().expired().issue(), "expired"),
        (localhost().not_yet_valid().issue(), "not valid yet"),
        (authority.identity(&["elsewhere.test"]).issue(), "not valid for name"),
        (localhost().client().issue(), "extended key usage"),
        (localhost().ocsp_responder().issue(), "extended key usage"),
    ];
    for (identity, wanted) in cases {
        let front = TlsFront::start(&identity, shared());
        let error = refused(&front, &trusting(&authority));
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    let must_staple = localhost().must_staple().issue();
    // 1.3.6.1.5.5.7.1.24 with a sequence of the number 5.
    let extension = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x18\x04\x05\x30\x03\x02\x01\x05";
    let has = |identity: &Identity| identity.cert_der.windows(extension.len()).any(|part| part == extension);
    assert!(has(&must_staple) && !has(&localhost().issue()));
}

#[test]
fn clients_need_a_certificate_where_one_is_required() {
    let (authority, other) = (Authority::new(), Authority::new());
    for only_tls12 in [false, true] {
        let identity = authority.server();
        let builder = TlsFront::builder(&identity).require_client(&authority);
        let front = if only_tls12 { builder.only_tls12() } else { builder }.start(shared());
        let alice = authority.client("alice");
        ping(&mut connect(&front, &with_client(&authority, &alice)).unwrap()).unwrap();
        assert_eq!(front.client_certificate(), Some(alice.cert_der));
        for config in [trusting(&authority), with_client(&authority, &other.client("mallory"))] {
            let refused = connect(&front, &config).and_then(|mut client| ping(&mut client));
            assert!(refused.unwrap_err().to_string().contains("alert"));
        }
        eventually("both failures are noted", LIMIT, || front.failures().len() == 2);
        assert!(front.failures()[0].contains("no certificates"), "{:?}", front.failures());
        assert_eq!(front.full_handshakes(), 1);
    }
}

#[test]
fn it_speaks_what_it_is_told_to() {
    let authority = Authority::new();
    let front = TlsFront::builder(&authority.server()).only_tls12().start(shared());
    let mut client = connect(&front, &trusting(&authority)).unwrap();
    ping(&mut client).unwrap();
    assert_eq!(client.conn.protocol_version(), Some(ProtocolVersion::TLSv1_2));
}

#[test]
fn sessions_are_resumed_until_the_certificate_changes() {
    let authority = Authority::new();
    for only_tls12 in [false, true] {
        let (old, new) = (authority.server(), authority.server());
        let builder = TlsFront::builder(&old);
        let front = if only_tls12 { builder.only_tls12() } else { builder }.start(shared());
        let config = trusting(&authority);
        let mut kept = connect(&front, &config).unwrap();
        ping(&mut kept).unwrap();
        ping(&mut connect(&front, &config).unwrap()).unwrap();
        assert_eq!((front.full_handshakes(), front.resumed_handshakes()), (1, 1));
        front.swap_identity(&new);
        ping(&mut kept).unwrap();
        let mut client = connect(&front, &config).unwrap();
        ping(&mut client).unwrap();
        assert_eq!(client.conn.peer_certificates().unwrap()[0], new.cert_der);
        assert_eq!((front.full_handshakes(), front.resumed_handshakes()), (2, 1));
        eventually("two of the three are left", LIMIT, || front.open() == 2);
    }
}

#[test]
fn ocsp_responses_are_stapled() {
    let authority = Authority::new();
    let identity = authority.server();
    let front = TlsFront::builder(&identity).ocsp(b"first").start(shared());
    assert_eq!(stapled(&front, &authority), b"first");
    front.swap_identity(&identity);
    assert_eq!(stapled(&front, &authority), b"");
    front.swap_identity_with_ocsp(&authority.server(), b"second");
    assert_eq!(stapled(&front, &authority), b"second");
}

#[test]
fn a_stalled_handshake_stays_so_and_new_ones_go_on_when_told() {
    let authority = Authority::new();
    let server = Server::start();
    let before = server.stat("total_connections_received");
    let front = TlsFront::builder(&authority.server()).stall_handshake().start(&server);
    let mut stalled = TcpStream::connect(front.address()).unwrap();
    stalled.write_all(&[0x16, 0x03, 0x01]).unwrap();
    stalled.set_read_timeout(Some(SHORT)).unwrap();
    assert_eq!(stalled.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    eventually("it is held", LIMIT, || front.open() == 1);
    assert_eq!(server.stat("total_connections_received"), before + 1, "but for the question no client came");
    front.set_stall_handshake(false);
    ping(&mut connect(&front, &trusting(&authority)).unwrap()).unwrap();
    drop(stalled);
    eventually("none is left", LIMIT, || front.open() == 0);
}

#[test]
fn clients_that_speak_no_tls_are_told_and_closed() {
    let front = TlsFront::start(&Authority::new().server(), shared());
    let mut plain = TcpStream::connect(front.address()).unwrap();
    plain.set_read_timeout(Some(LIMIT)).unwrap();
    plain.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
    let mut got = Vec::new();
    plain.read_to_end(&mut got).unwrap();
    assert_eq!(got.first(), Some(&0x15), "an alert and nothing else: {}", got.escape_ascii());
    drop(plain);
    eventually("the failure is noted", LIMIT, || front.failures().len() == 1);
    drop(TcpStream::connect(front.address()).unwrap());
    eventually("so is one that only left", LIMIT, || front.failures().len() == 2);
    assert!(front.failures()[1].contains("ended the stream"), "{:?}", front.failures());
}

#[test]
fn what_befalls_the_server_reaches_the_client() {
    let authority = Authority::new();
    let server = Server::start();
    let front = TlsFront::start(&authority.server(), &server);
    let mut client = connect(&front, &trusting(&authority)).unwrap();
    ping(&mut client).unwrap();
    server.kill();
    assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)), "the end");
    assert!(connect(&front, &trusting(&authority)).is_err(), "no server behind it");
    server.restart();
    ping(&mut connect(&front, &trusting(&authority)).unwrap()).unwrap();
    drop(client);
}

#[test]
fn a_drop_ends_everything_soon_even_with_peers_that_do_not_read() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let front = TlsFront::start(&authority.server(), listener.local_addr().unwrap());
    let client = thread::spawn({
        let (address, config) = (front.address(), trusting(&authority));
        move || {
            let mut client = connect_to(address, &config).unwrap();
            // A write that can't go on makes rustls read.
            client.sock.set_read_timeout(Some(SHORT)).unwrap();
            client.sock.set_write_timeout(Some(SHORT)).unwrap();
            // Fills all buffers on the way.
            while client.write(&[0; 65536]).is_ok() {}
            client
        }
    });
    let server = listener.accept().unwrap().0;
    let mut client = client.join().unwrap();
    let begin = Instant::now();
    drop(front);
    assert!(begin.elapsed() < LIMIT / 4);
    client.sock.set_read_timeout(Some(LIMIT)).unwrap();
    let end = loop {
        match client.sock.read(&mut [0; 4096]) {
            Ok(1..) => {}
            end => break end.map_err(|error| error.kind()),
        }
    };
    assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    drop(server);
}

#[test]
fn it_goes_before_a_fake_server_too() {
    let authority = Authority::new();
    let fake = FakeServer::answering(|_| b"+PONG\r\n".to_vec());
    let front = TlsFront::start(&authority.server(), fake.addr());
    ping(&mut connect(&front, &trusting(&authority)).unwrap()).unwrap();
    assert_eq!(fake.received().len(), 1);
}

fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    roots
}

fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots(authority)).with_no_client_auth())
}

fn with_client(authority: &Authority, client: &Identity) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots(authority));
    let chain = vec![client.cert_der.clone()];
    Arc::new(builder.with_client_auth_cert(chain, client.key_der.clone_key()).unwrap())
}

fn connect(front: &TlsFront, config: &Arc<ClientConfig>) -> io::Result<Client> {
    connect_to(front.address(), config)
}

/// Connects and shakes hands, by the name `localhost`.
fn connect_to(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Client> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(LIMIT))?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), socket);
    client.flush()?;
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock)?;
    }
    Ok(client)
}

#[track_caller]
fn refused(front: &TlsFront, config: &Arc<ClientConfig>) -> String {
    connect(front, config).map(drop).unwrap_err().to_string()
}

fn ping(client: &mut Client) -> io::Result<()> {
    client.write_all(b"*1\r\n$4\r\nPING\r\n")?;
    let mut got = [0; 7];
    client.read_exact(&mut got)?;
    assert_eq!(&got, b"+PONG\r\n");
    Ok(())
}

/// What a call on a non-blocking stream has done.
fn ready(result: io::Result<usize>) -> usize {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        result => result.unwrap(),
    }
}

/// The OCSP response that comes with the certificate.
fn stapled(front: &TlsFront, authority: &Authority) -> Vec<u8> {
    let seen = Arc::new(Mutex::default());
    let provider = Arc::new(ring::default_provider());
    let inner =
        WebPkiServerVerifier::builder_with_provider(roots(authority).into(), provider).build().unwrap();
    let mut config = ClientConfig::clone(&trusting(authority));
    config.dangerous().set_certificate_verifier(Arc::new(Noting { seen: Arc::clone(&seen), inner }));
    ping(&mut connect(front, &Arc::new(config)).unwrap()).unwrap();
    let response: Vec<u8> = std::mem::take(&mut *seen.lock().unwrap());
    response
}

/// Verifies as usual, and notes the OCSP response.
#[derive(Debug)]
struct Noting {
    seen: Arc<Mutex<Vec<u8>>>,
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap() = ocsp_response.to_vec();
        self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
