//! Whom a client trusts, and what it says of those it does not. FAULTS 24: a distinct error for each, and
//! nothing in the clear.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, thread};

use redwire::config::{Config, Verification};
use redwire::{Error, Outcome};
use redwire_testkit::{Authority, Identity, Server, Target, TlsFront, shared};

use crate::common::{GRACE, Setup, timed};
use crate::site::{Site, at, check_tls_error};

both!(
    a_ca_is_named_by_file_directory_or_bytes,
    verification_can_be_chosen,
    a_failure_names_its_cause,
    a_version_before_13_is_spoken_too,
    a_peer_without_tls_hears_nothing_in_the_clear,
    a_plain_server_is_never_spoken_to_in_the_clear,
);

fn a_ca_is_named_by_file_directory_or_bytes(setup: Setup) {
    let site = Site::new();
    let (file, dir) = (site.authority.pem_file(), site.authority.pem_file().parent().unwrap());
    for options in [
        site.options().tls_ca_file(file),
        site.options().tls_ca_dir(dir),
        site.options().tls_ca_bytes(site.authority.pem()),
        site.options().tls_ca_file(file).host("localhost"),
        Config::builder().url(&format!("{}?{}", site.url().replace("rediss", "valkeys"), site.trusted())),
    ] {
        assert_eq!(setup.open(options).unwrap().run::<String>("PING").unwrap(), "PONG");
    }
    let mut connection = setup.open_connection(site.trusting()).unwrap();
    assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
    assert_eq!(site.front.failures(), Vec::<String>::new());
    // A CA that is named stands in place of those of the system, and does not help another.
    let stranger = Authority::new();
    let error = setup.open(site.options().tls_ca_bytes(stranger.pem())).unwrap_err();
    check_tls_error(&error, &["no CA that is trusted", "tls_ca_file"]);
}

/// A process of its own, since the CAs of the system are named by its environment.
#[test]
fn the_cas_of_the_system_are_trusted_when_none_is_named() {
    const NAME: &str = "trust::the_cas_of_the_system_are_trusted_when_none_is_named";
    const URL: &str = "REDWIRE_TEST_URL";
    if let Ok(url) = env::var(URL) {
        for setup in Setup::ALL {
            assert_eq!(setup.client(&url, "").run::<String>("PING").unwrap(), "PONG");
        }
        return;
    }
    let site = Site::new();
    let error = Setup::ALL.map(|setup| setup.connect(&site.url(), "").unwrap_err());
    error.iter().for_each(|error| check_tls_error(error, &[]));
    let mut again = Command::new(env::current_exe().unwrap());
    again.args(["--exact", NAME]).env(URL, site.url()).env_remove("SSL_CERT_DIR");
    let output = again.env("SSL_CERT_FILE", site.authority.pem_file()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(site.front.full_handshakes(), Setup::ALL.len());
}

fn verification_can_be_chosen(setup: Setup) {
    let site = Site::showing(|authority| authority.identity(&["other.example"]).issue());
    let stranger = Authority::new();
    for options in [
        site.trusting().tls_check_hostname(false),
        site.trusting().tls_server_name("other.example"),
        site.options().tls_verification(Verification::None),
        site.options().tls_verification(Verification::None).tls_ca_bytes(stranger.pem()),
    ] {
        assert_eq!(setup.open(options).unwrap().run::<String>("PING").unwrap(), "PONG");
    }
    let by_url = format!("{}&tls_check_hostname=no", site.trusted());
    assert_eq!(setup.client(&site.url(), &by_url).run::<String>("PING").unwrap(), "PONG");
    // Optional is as required: a server always shows a certificate.
    for verification in [Verification::Optional, Verification::Required] {
        let error = setup.open(site.trusting().tls_verification(verification)).unwrap_err();
        check_tls_error(&error, &["is for other.example, and 127.0.0.1 was asked for", "tls_server_name"]);
        let options = site.options().tls_ca_bytes(stranger.pem()).tls_check_hostname(false);
        let error = setup.open(options.tls_verification(verification)).unwrap_err();
        check_tls_error(&error, &["no CA that is trusted"]);
    }
}

fn a_failure_names_its_cause(setup: Setup) {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let all = ["localhost", "127.0.0.1"];
    let table: [(Identity, &[&str]); 5] = [
        (stranger.server(), &["no CA that is trusted"]),
        (authority.identity(&all).expired().issue(), &["expired", "days ago"]),
        (authority.identity(&all).not_yet_valid().issue(), &["not valid yet", "clocks"]),
        (authority.identity(&["a.example"]).issue(), &["for a.example, and 127.0.0.1 was asked for"]),
        (authority.identity(&all).client().issue(), &["not meant for servers"]),
    ];
    let front = TlsFront::start(&authority.server(), shared());
    let options = || at(front.address().port()).tls_ca_file(authority.pem_file());
    for (identity, words) in table {
        front.swap_identity(&identity);
        let before = front.full_handshakes() + front.resumed_handshakes();
        check_tls_error(&setup.open(options()).unwrap_err(), words);
        check_tls_error(&setup.open_connection(options()).unwrap_err(), words);
        assert_eq!(front.full_handshakes() + front.resumed_handshakes(), before);
    }
    // The same client would connect if the certificate were sound.
    front.swap_identity(&authority.server());
    assert_eq!(setup.open(options()).unwrap().run::<String>("PING").unwrap(), "PONG");
}

fn a_version_before_13_is_spoken_too(setup: Setup) {
    let authority = Authority::new();
    let identity = authority.server();
    let front = TlsFront::builder(&identity).only_tls12().start(Target::from(shared()));
    let options = || at(front.address().port()).tls_ca_file(authority.pem_file());
    assert_eq!(setup.open(options()).unwrap().run::<String>("PING").unwrap(), "PONG");
    front.swap_identity(&authority.identity(&["a.example"]).issue());
    check_tls_error(&setup.open(options()).unwrap_err(), &["for a.example"]);
}

/// Answers every client the same and keeps what it is sent. It ends with the test's process.
fn plain_peer(answer: &'static [u8]) -> (u16, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let keeper = Arc::clone(&heard);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut bytes) = (stream.unwrap(), vec![0; 4096]);
            let n = stream.read(&mut bytes).unwrap_or(0);
            bytes.truncate(n);
            let _ = stream.write_all(answer);
            let _ = stream.read_to_end(&mut bytes);
            keeper.lock().unwrap().push(bytes);
        }
    });
    (port, heard)
}

fn a_peer_without_tls_hears_nothing_in_the_clear(setup: Setup) {
    for answer in [&b"-ERR unknown command\r\n"[..], b"+PONG\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let (port, heard) = plain_peer(answer);
        let url = format!("rediss://ann:secret-word@127.0.0.1:{port}");
        let (result, took) = timed(|| setup.connect(&url, "connect_timeout=1s&tls_verification=none"));
        let error = result.unwrap_err();
        check_tls_error(&error, &["the peer speaks no TLS"]);
        assert!(took < Duration::from_secs(1), "{took:?}");
        redwire_testkit::eventually("the connection is closed", GRACE * 10, || {
            heard.lock().unwrap().len() == 1
        });
        let heard = heard.lock().unwrap();
        assert_eq!(heard[0][..2], [0x16, 0x03], "the greeting of TLS");
        for word in [&b"secret-word"[..], b"ann", b"HELLO", b"AUTH"] {
            assert!(!heard[0].windows(word.len()).any(|bytes| bytes == word));
        }
    }
}

fn a_plain_server_is_never_spoken_to_in_the_clear(setup: Setup) {
    let server = Server::builder().password("word").start();
    let url = server.url().replace("redis://", "rediss://");
    let (result, took) = timed(|| setup.connect(&url, "connect_timeout=300ms"));
    let error: Error = result.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert!(took <= Duration::from_millis(300) + GRACE, "{took:?}");
    // It waits for the rest of what it takes for a command.
    assert!(error.to_string().contains("TLS"), "{error}");
    assert_eq!((server.calls("hello"), server.calls("client|setinfo")), (0, 0));
}
