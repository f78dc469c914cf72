//! Whether a certificate was revoked, asked of the responder that it names (`tls_ocsp=check`).

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use redwire::config::{ConfigBuilder, Ocsp};
use redwire::resolve::{Resolve, Resolver};
use redwire::{ConnectionFault, Error, ErrorKind, Outcome, Value};
use redwire_testkit::{Authority, Identity, TlsFront, eventually, shared};

use crate::common::{Setup, timed};
use crate::responder::Responder;
use crate::site::{at, check_tls_error};

both!(
    a_good_answer_lets_connect_in_any_form,
    an_answer_is_asked_for_once,
    connections_at_a_time_ask_once,
    any_other_answer_refuses,
    without_an_answer_there_is_no_connection,
    a_responder_that_is_silent_ends_within_the_limit,
    a_staple_comes_first,
    a_certificate_must_name_a_responder,
    the_next_responder_is_asked_where_one_fails,
    the_responder_is_looked_up_by_the_resolver,
    only_its_signer_may_answer,
    nothing_is_said_before_the_answer,
);

const LIMIT: Duration = Duration::from_secs(10);

/// A server whose certificate names a responder.
struct Asked {
    authority: Authority,
    identity: Identity,
    front: TlsFront,
    responder: Responder,
}

impl Asked {
    /// The responder says that the certificate is good.
    fn new() -> Self {
        let responder = Responder::start();
        let asked = Self::naming(&[&responder.url()], responder);
        asked.responder.answer(&asked.good());
        asked
    }

    fn naming(urls: &[&str], responder: Responder) -> Self {
        let authority = Authority::new();
        let identity = authority.identity(&["127.0.0.1"]).ocsp_urls(urls).issue();
        let front = TlsFront::start(&identity, shared());
        Self { authority, identity, front, responder }
    }

    fn good(&self) -> Vec<u8> {
        self.authority.ocsp(&self.identity).build()
    }

    fn options(&self) -> ConfigBuilder {
        let options = at(self.front.address().port()).tls_ca_file(self.authority.pem_file());
        options.tls_ocsp(Ocsp::Check).connect_timeout(LIMIT).timeout(2 * LIMIT)
    }

    #[track_caller]
    fn lets_in(&self, setup: Setup) {
        lets_in(setup, self.options());
    }

    /// The error is of TLS, is not retryable, and says these words and where the answer came from.
    #[track_caller]
    fn refuses(&self, setup: Setup, word: &str) -> Error {
        let error = setup.open(self.options()).map(drop).expect_err(word);
        check_tls_error(&error, &[word, &self.responder.url()]);
        error
    }

    /// There is no answer: the error is retryable, and says these words and who was asked.
    #[track_caller]
    fn lacks_answer(&self, setup: Setup, options: ConfigBuilder, word: &str) {
        let error = setup.open(options).map(drop).expect_err(word);
        assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Io), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert!(error.is_retryable() && !error.is_timeout(), "{error}");
        assert!(error.message().contains(word), "{error}\nlacks {word}");
        assert!(error.message().contains(&self.responder.url()), "{error}");
        assert_eq!(error.address(), Some(&*self.front.address().to_string()), "{error}");
    }
}

#[track_caller]
fn lets_in(setup: Setup, options: ConfigBuilder) {
    assert_eq!(setup.open(options).unwrap().run::<String>("PING").unwrap(), "PONG");
}

const OCSP: &str = "content-type: application/ocsp-response; x=y";

fn a_good_answer_lets_connect_in_any_form(setup: Setup) {
    let site = Asked::new();
    site.lets_in(setup);
    let by_url = format!("tls_ca_file={}&ssl_validate_ocsp=True", site.authority.pem_file().display());
    let client = setup.client(&site.front.url("rediss"), &by_url);
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    let request = &site.responder.requests()[1];
    assert!(request.starts_with("POST /ocsp HTTP/1.1\r\nHost: 127.0.0.1:"), "{request}");
    let good = site.good();
    let chunked: Vec<u8> = good
        .chunks(100)
        .flat_map(|chunk| [format!("{:X};x=\"y\"\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .chain(*b"0\r\nTrailer: x\r\n\r\n")
        .collect();
    site.responder.answer_raw("200 Fine", &format!("{OCSP}\r\nTransfer-Encoding: Chunked"), &chunked);
    site.lets_in(setup);
    let announced = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n{OCSP}\r\n");
    let length = format!("Content-Length: {}\r\n\r\n", good.len());
    site.responder.say(&[announced.as_bytes(), length.as_bytes(), &good].concat());
    site.lets_in(setup);
    // Without a length, the answer ends with the connection.
    site.responder.answer_raw("200 OK", "Server: x", &good);
    site.lets_in(setup);
}

fn an_answer_is_asked_for_once(setup: Setup) {
    let site = Asked::new();
    let mut connection = setup.open_connection(site.options()).unwrap();
    for _ in 0..3 {
        assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
        connection.reconnect().unwrap();
    }
    assert_eq!(site.responder.asked(), 1);
    assert!(site.front.resumed_handshakes() > 0);
    // Another certificate is another question.
    let other = site.authority.identity(&["127.0.0.1"]).ocsp_urls(&[&site.responder.url()]).issue();
    site.front.swap_identity(&other);
    site.responder.answer(&site.authority.ocsp(&other).build());
    connection.reconnect().unwrap();
    assert_eq!(site.responder.asked(), 2);
    // What a responder has revoked stays so, without more questions; what it does not know may come to be.
    let third = site.authority.identity(&["127.0.0.1"]).ocsp_urls(&[&site.responder.url()]).issue();
    site.front.swap_identity(&third);
    for (answer, asked) in [
        (site.authority.ocsp(&third).unknown().build(), 3),
        (site.authority.ocsp(&third).revoked().build(), 4),
        (site.authority.ocsp(&third).build(), 4),
    ] {
        site.responder.answer(&answer);
        check_tls_error(&connection.reconnect().unwrap_err(), &[&site.responder.url()]);
        assert_eq!(site.responder.asked(), asked);
    }
}

fn connections_at_a_time_ask_once(setup: Setup) {
    let site = Asked::new();
    site.responder.hold(true);
    let options = format!(
        "tls_ca_file={}&tls_ocsp=check&connect_timeout=10s&timeout=20s",
        site.authority.pem_file().display()
    );
    let client = setup.lazy(&site.front.url("rediss"), &options).unwrap();
    let key = setup.key("asked-once");
    thread::scope(|scope| {
        // Each of these calls takes a connection of its own.
        for _ in 0..3 {
            scope.spawn(|| client.run::<Value>(&format!("BLPOP {key} 0.01")).unwrap());
        }
        eventually("three connections wait", LIMIT, || site.front.full_handshakes() >= 3);
        site.responder.hold(false);
    });
    assert_eq!(site.responder.asked(), 1);
}

fn any_other_answer_refuses(setup: Setup) {
    let site = Asked::new();
    let (stranger, other) = (Authority::new(), site.authority.server());
    let about = |identity| site.authority.ocsp(identity);
    for (answer, words) in [
        (about(&site.identity).revoked().build(), "is revoked"),
        (about(&site.identity).unknown().build(), "does not know the certificate"),
        (about(&site.identity).expired().build(), "has expired"),
        (about(&site.identity).not_yet_valid().build(), "from the future"),
        (about(&site.identity).signed_by(&other).build(), "signed neither by the issuer"),
        (about(&other).build(), "about another certificate"),
        (stranger.ocsp(&site.identity).build(), "signed neither by the issuer"),
        (b"nonsense".to_vec(), "cannot be read"),
        // "Unauthorized": it will not be otherwise later.
        (vec![0x30, 3, 10, 1, 6], "says that it failed (Unauthorized)"),
    ] {
        site.responder.answer(&answer);
        site.refuses(setup, words);
    }
    // "Try later" is none.
    site.responder.answer(&[0x30, 3, 10, 1, 3]);
    site.lacks_answer(setup, site.options(), "says that it failed (TryLater)");
}

fn without_an_answer_there_is_no_connection(setup: Setup) {
    let site = Asked::new();
    for (status, headers, body, words) in [
        (
            "404 Not Found",
            "Content-Type: text/html",
            "<html>",
            "it answered 404 `Not Found`, and 200 was expected",
        ),
        ("200 OK", "Content-Type: text/html", "<html>", "it sent `text/html`, and application/ocsp-response"),
        ("301 Moved", "Location: http://x.test/", "", "it answered 301, on to `http://x.test/`: no redirect"),
        ("503 Busy", "Retry-After: 1", "", "it answered 503"),
        ("200 OK", "Content-Length: 70000", "", "its answer is longer than 65536 bytes"),
        ("200 OK", "Content-Length: 9", "12345678", "it broke off after 8 of 9 bytes"),
        ("200 OK", "Transfer-Encoding: chunked", "4\r\n1234\r\n", "before the last chunk"),
        ("200 OK", "Transfer-Encoding: gzip", "", "it sent `gzip`, and the encoding"),
    ] {
        site.responder.answer_raw(status, headers, body.as_bytes());
        site.lacks_answer(setup, site.options(), words);
    }
    site.responder.say(b"-ERR unknown command\r\n");
    site.lacks_answer(
        setup,
        site.options(),
        "it sent `-ERR unknown command\\r\\n`, and HTTP/1.1 was expected",
    );
    site.responder.say(b"HT");
    site.lacks_answer(setup, site.options(), "it broke off within the headers");
    // The port is free now.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{gone}/");
    site.front.swap_identity(&site.authority.identity(&["127.0.0.1"]).ocsp_urls(&[&url]).issue());
    let error = setup.open(site.options()).map(drop).unwrap_err();
    assert!(error.is_retryable() && error.message().contains(&url), "{error}");
    assert!(error.message().contains("cannot be asked: connecting"), "{error}");
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<Error>().unwrap();
    assert_eq!(source.kind(), ErrorKind::Connection(ConnectionFault::Refused), "{source}");
}

fn a_responder_that_is_silent_ends_within_the_limit(setup: Setup) {
    let site = Asked::new();
    site.responder.say(b"");
    let limit = Duration::from_secs(2);
    let (_, took) = timed(|| {
        site.lacks_answer(setup, site.options().connect_timeout(limit), "has not answered within 1.");
    });
    // A call would wait for longer.
    assert!(took >= limit / 2 && took <= LIMIT, "{took:?}");
    eventually("the connection to the server is gone", LIMIT, || site.front.open() == 0);
    // A client whose call found the responder silent recovers by itself.
    let options = format!("tls_ca_file={}&tls_ocsp=check&timeout=300ms", site.authority.pem_file().display());
    let client = setup.lazy(&site.front.url("rediss"), &options).unwrap();
    assert!(client.run::<String>("PING").unwrap_err().is_timeout());
    site.responder.answer(&site.good());
    eventually("it recovers", LIMIT, || client.run::<String>("PING").is_ok());
}

fn a_staple_comes_first(setup: Setup) {
    let site = Asked::new();
    let staple = |response: &[u8]| site.front.swap_identity_with_ocsp(&site.identity, response);
    site.responder.say(b"HT");
    staple(&site.good());
    site.lets_in(setup);
    staple(&site.authority.ocsp(&site.identity).revoked().build());
    check_tls_error(&setup.open(site.options()).map(drop).unwrap_err(), &["revoked"]);
    assert_eq!(site.responder.asked(), 0);
    // Any other staple is as none.
    site.responder.answer(&site.good());
    for (asked, response) in [
        site.authority.ocsp(&site.identity).expired().build(),
        site.authority.ocsp(&site.identity).unknown().build(),
        Authority::new().ocsp(&site.identity).build(),
        b"nonsense".to_vec(),
    ]
    .into_iter()
    .enumerate()
    {
        staple(&response);
        site.lets_in(setup);
        assert_eq!(site.responder.asked(), asked + 1);
    }
    // An answer is as good as the staple that a certificate promises.
    let url = site.responder.url();
    let promising = site.authority.identity(&["127.0.0.1"]).must_staple().ocsp_urls(&[&url]).issue();
    site.front.swap_identity(&promising);
    site.responder.answer(&site.authority.ocsp(&promising).build());
    site.lets_in(setup);
}

fn a_certificate_must_name_a_responder(setup: Setup) {
    let site = Asked::new();
    for (urls, words) in [
        (&[][..], "names no OCSP responder in its Authority Information Access"),
        (&["https://x.test/"], "names the OCSP responder \"https://x.test/\", and http:// was expected"),
        (&["ldap://x.test/"], "\"ldap://x.test/\", and a URL as http://host:port/path was expected"),
        (&["http://a b/"], "\"http://a b/\", and a URL as"),
    ] {
        let builder = site.authority.identity(&["127.0.0.1"]);
        let identity = if urls.is_empty() { builder } else { builder.ocsp_urls(urls) }.issue();
        site.front.swap_identity(&identity);
        check_tls_error(&setup.open(site.options()).map(drop).unwrap_err(), &[words]);
        // A staple needs no responder.
        site.front.swap_identity_with_ocsp(&identity, &site.authority.ocsp(&identity).build());
        site.lets_in(setup);
    }
    assert_eq!(site.responder.asked(), 0);
}

fn the_next_responder_is_asked_where_one_fails(setup: Setup) {
    let (first, responder) = (Responder::start(), Responder::start());
    let urls = [&first.url(), "https://x.test/", &responder.url()];
    let site = Asked::naming(&urls, responder);
    site.responder.answer(&site.good());
    first.answer_raw("404 Not Found", "Server: x", b"");
    site.lets_in(setup);
    // Also one that does not know the certificate.
    first.answer(&site.authority.ocsp(&site.identity).unknown().build());
    site.lets_in(setup);
    assert_eq!((first.asked(), site.responder.asked()), (2, 2));
    // The error is the first one's.
    site.responder.say(b"HT");
    let error = setup.open(site.options()).map(drop).unwrap_err();
    assert!(error.message().contains(&first.url()) && error.message().contains("know"), "{error}");
    // One that has revoked it ends the search.
    first.answer(&site.authority.ocsp(&site.identity).revoked().build());
    site.responder.answer(&site.good());
    check_tls_error(&setup.open(site.options()).map(drop).unwrap_err(), &["revoked", &first.url()]);
    assert_eq!(site.responder.asked(), 3);
}

#[derive(Debug, Default)]
struct Names(Mutex<Vec<String>>, Option<SocketAddr>);

impl Resolve for Names {
    fn resolve(&self, host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        self.0.lock().unwrap().push(format!("{host}:{port}"));
        self.1.map(|address| vec![address]).ok_or_else(|| std::io::Error::other("no such name"))
    }
}

fn the_responder_is_looked_up_by_the_resolver(setup: Setup) {
    let responder = Responder::start();
    let site = Asked::naming(&["http://responder.test/x?y"], responder);
    site.responder.answer(&site.good());
    let names = Arc::new(Names(Mutex::default(), Some(site.responder.address())));
    let resolver: Arc<dyn Resolve> = names.clone();
    lets_in(setup, site.options().resolver(Resolver::from(resolver)));
    assert_eq!(*names.0.lock().unwrap(), ["responder.test:80"]);
    let request = &site.responder.requests()[0];
    assert!(request.starts_with("POST /x?y HTTP/1.1\r\nHost: responder.test\r\n"), "{request}");
    let nowhere = site.options().resolver(Resolver::new(Names::default()));
    let error = setup.open(nowhere).map(drop).unwrap_err();
    assert!(error.is_retryable() && error.message().contains("\"responder.test\" has no address"), "{error}");
}

fn only_its_signer_may_answer(setup: Setup) {
    let site = Asked::new();
    let delegate = site.authority.identity(&["responder"]).ocsp_responder().issue();
    site.responder.answer(&site.authority.ocsp(&site.identity).signed_by(&delegate).build());
    site.lets_in(setup);
    let expecting = |identity: &Identity| site.options().tls_ocsp_responder_file(&identity.cert_file);
    lets_in(setup, expecting(&delegate));
    let error = setup.open(expecting(&site.authority.server())).map(drop).unwrap_err();
    check_tls_error(&error, &["not signed by the responder that is expected", &site.responder.url()]);
}

fn nothing_is_said_before_the_answer(setup: Setup) {
    let site = Asked::new();
    site.responder.answer(&site.authority.ocsp(&site.identity).revoked().build());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let front = TlsFront::start(&site.identity, listener.local_addr().unwrap());
    let heard = thread::spawn(move || {
        let mut heard = Vec::new();
        // That it ends in a reset is no matter.
        let _ = listener.accept().unwrap().0.read_to_end(&mut heard);
        heard
    });
    let options = site.options().port(front.address().port()).password("hunter2");
    check_tls_error(&setup.open(options).map(drop).unwrap_err(), &["revoked"]);
    assert_eq!(heard.join().unwrap(), b"");
}
