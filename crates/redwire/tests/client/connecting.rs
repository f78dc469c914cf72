//! Every way to name a server and to introduce oneself, and what is said when it fails. REFERENCE C1–C4,
//! N1–N3.

use std::net::{Ipv6Addr, TcpListener};

use redwire::{AuthenticationFault, ConnectionFault, Error, ErrorKind, Outcome};
use redwire_testkit::{ClosedPort, Server, ServerBuilder, shared};

use crate::common::{Setup, client_line, shown};

const PASSWORD: &str = "s3cr3t@:/?#";
const ESCAPED: &str = "s3cr3t%40%3A%2F%3F%23";

both!(
    every_form_of_url_reaches_its_server,
    ipv6_is_reached_in_brackets,
    the_database_is_in_the_path_or_the_query,
    passwords_and_users_let_in,
    names_are_seen_by_the_server,
    the_protocol_is_the_one_asked_for,
    a_replica_connection_says_readonly,
    what_does_not_let_in_is_told,
    errors_and_debug_never_show_the_password,
    no_server_listens,
    what_is_no_url_is_refused,
);

fn every_form_of_url_reaches_its_server(setup: Setup) {
    let server = shared();
    let port = server.port();
    let path = server.unix_path().display();
    for url in [
        format!("redis://127.0.0.1:{port}"),
        format!("redis://127.0.0.1:{port}/"),
        format!("redis://localhost:{port}/0"),
        format!("redis://127.0.0.1?port={port}"),
        format!("unix://{path}"),
        format!("redis+unix://{path}"),
        format!("valkey://127.0.0.1:{port}"),
    ] {
        assert_eq!(setup.client(&url, "").run::<String>("PING").unwrap(), "PONG", "{url}");
    }
}

fn ipv6_is_reached_in_brackets(setup: Setup) {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return;
    }
    let server = Server::builder().arg("--bind", "127.0.0.1 ::1").start();
    let client = setup.client(&format!("redis://[::1]:{}", server.port()), "");
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    assert!(client.config().to_string().contains("[::1]"), "{}", client.config());
}

fn the_database_is_in_the_path_or_the_query(setup: Setup) {
    let server = shared();
    let name = setup.key("db").replace(':', "-");
    for url in [
        format!("{}/3?client_name={name}", server.url()),
        format!("{}?db=3&client_name={name}", server.url()),
        format!("{}?db=3&client_name={name}", server.unix_url()),
    ] {
        let client = setup.client(&url, "");
        assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
        assert!(client_line(server, &name).unwrap().contains(" db=3 "), "{url}");
    }
}

fn passwords_and_users_let_in(setup: Setup) {
    let server = guarded().acl_line("user ann on >her-word ~* +@all").start();
    let (port, path) = (server.port(), server.unix_path().display());
    for (url, user) in [
        (format!("redis://:{ESCAPED}@127.0.0.1:{port}"), "default"),
        (format!("redis://default:{ESCAPED}@127.0.0.1:{port}"), "default"),
        (format!("redis://127.0.0.1:{port}?password={ESCAPED}"), "default"),
        (format!("unix://{path}?password={ESCAPED}"), "default"),
        (format!("redis://ann:her-word@127.0.0.1:{port}"), "ann"),
        (format!("redis://127.0.0.1:{port}?username=ann&password=her-word"), "ann"),
    ] {
        assert_eq!(setup.client(&url, "").run::<String>("ACL WHOAMI").unwrap(), user, "{url}");
    }
}

fn names_are_seen_by_the_server(setup: Setup) {
    let server = shared();
    for (name, more, lib) in [
        ("own", "", "lib-name=redwire "),
        ("mine", "&lib_name=mine&lib_version=7", "lib-name=mine lib-ver=7"),
    ] {
        let name = setup.key(name).replace(':', "-");
        let client = setup.client(&server.url(), &format!("client_name={name}{more}"));
        client.run::<String>("PING").unwrap();
        let line = client_line(server, &name).expect("the server knows the name");
        // Servers before 7.2 keep no library's name.
        if line.contains("lib-name=") {
            assert!(format!("{line} ").contains(lib), "{line}");
        }
    }
}

fn the_protocol_is_the_one_asked_for(setup: Setup) {
    let server = shared();
    let name = setup.key("speaks").replace(':', "-");
    let client = setup.client(&server.url(), &format!("client_name={name}"));
    // The same command answers in the shape of its protocol.
    let answer: redwire::Value = client.run("CONFIG GET maxmemory").unwrap();
    match setup.protocol {
        3 => assert!(matches!(answer, redwire::Value::Map(_)), "{answer:?}"),
        _ => assert!(matches!(answer, redwire::Value::Array(_)), "{answer:?}"),
    }
    let line = client_line(server, &name).unwrap();
    if line.contains(" resp=") {
        assert!(line.contains(&format!(" resp={}", setup.protocol)), "{line}");
    }
    let connection = setup.connection(&server.url(), "");
    let session = connection.session().expect("it is connected");
    assert_eq!(session.id.is_some(), setup.protocol == 3);
    assert_eq!(session.version.is_some(), setup.protocol == 3);
}

fn a_replica_connection_says_readonly(setup: Setup) {
    // A server without cluster refuses READONLY, so the one to ask is a cluster of one.
    let server = Server::builder().arg("--cluster-enabled", "yes").start();
    let client = setup.client(&server.url(), "read_only=yes&client_name=reader");
    client.run::<String>("PING").unwrap();
    let line = client_line(&server, "reader").unwrap();
    let flags = line.split(' ').find_map(|word| word.strip_prefix("flags=")).unwrap();
    assert!(flags.contains('r'), "{line}");
    // Without a cluster, Redis refuses it, and Valkey 9 does not mind.
    if let Err(error) = setup.connect(&shared().url(), "read_only=yes") {
        assert!(error.to_string().contains("READONLY"), "{error}");
    }
}

fn what_does_not_let_in_is_told(setup: Setup) {
    let server = guarded().start();
    let port = server.port();
    let cases = [
        (format!("redis://:wrong@127.0.0.1:{port}"), AuthenticationFault::WrongPassword),
        (format!("redis://nobody:wrong@127.0.0.1:{port}"), AuthenticationFault::WrongPassword),
        (format!("redis://127.0.0.1:{port}/1"), AuthenticationFault::PasswordRequired),
    ];
    for (url, fault) in cases {
        let error = setup.connect(&url, "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication(fault), "{url}: {error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        assert_eq!(error.address(), Some(format!("127.0.0.1:{port}").as_str()));
        assert!(!error.is_retryable());
        let code = if fault == AuthenticationFault::WrongPassword { "WRONGPASS" } else { "NOAUTH" };
        assert_eq!(error.code(), Some(code), "{error}");
    }
    let error = setup.connect(&format!("{}/999", shared().url()), "").unwrap_err();
    assert!(error.to_string().contains("SELECT"), "{error}");
    assert_eq!((error.kind(), error.code()), (ErrorKind::Response, Some("ERR")));
    assert!(!error.is_retryable());
}

fn errors_and_debug_never_show_the_password(setup: Setup) {
    let server = guarded().start();
    let port = server.port();
    let good = setup.client(&server.url(), "");
    let mut texts = vec![format!("{good:?}"), format!("{:?}", good.config()), good.config().to_string()];
    texts.push(format!("{:?}", setup.connection(&server.url(), "")));
    let refusing = ClosedPort::new();
    let closed = refusing.addr().port();
    for url in [
        format!("redis://:not-{ESCAPED}@127.0.0.1:{port}"),
        format!("redis://:{ESCAPED}@127.0.0.1:{closed}"),
        format!("redis://:{ESCAPED}@127.0.0.1:{port}/999"),
        format!("redis://:{ESCAPED}@127.0.0.1:{port}?nosuch=1"),
        format!("redis://:{ESCAPED}@127.0.0.1:port"),
        format!("rediss://:{ESCAPED}@127.0.0.1:{port}"),
        format!("redis://127.0.0.1:{port}/x?password={ESCAPED}"),
    ] {
        texts.push(shown(&setup.connect(&url, "").unwrap_err()));
    }
    texts.push(shown(&good.run::<i64>("PING").unwrap_err()));
    for text in texts {
        assert!(!text.contains(PASSWORD) && !text.contains(ESCAPED) && !text.contains("s3cr3t"), "{text}");
    }
}

fn no_server_listens(setup: Setup) {
    let closed = ClosedPort::new();
    let port = closed.addr().port();
    let fault = |url: &str| {
        let error: Error = setup.connect(url, "connect_timeout=1s").unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        (error.kind(), error)
    };
    let (kind, error) = fault(&format!("redis://127.0.0.1:{port}"));
    assert_eq!(kind, ErrorKind::Connection(ConnectionFault::Refused), "{error}");
    assert_eq!(error.address(), Some(format!("127.0.0.1:{port}").as_str()));
    let (kind, error) = fault("unix:///no/such/redis.sock");
    assert!(matches!(kind, ErrorKind::Connection(_)), "{error}");
    assert_eq!(error.address(), Some("/no/such/redis.sock"));
    let (kind, error) = fault("redis://no-such-host.invalid:6390");
    // A machine without any resolver may only find that out by the timeout.
    let dns = [ConnectionFault::Dns, ConnectionFault::Timeout].map(ErrorKind::Connection);
    assert!(dns.contains(&kind), "{error}");
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

fn what_is_no_url_is_refused(setup: Setup) {
    for url in ["http://127.0.0.1", "127.0.0.1:6390", "", "redis://127.0.0.1:99999"] {
        assert_eq!(setup.connect(url, "").unwrap_err().kind(), ErrorKind::Config, "{url}");
    }
}

fn guarded() -> ServerBuilder {
    Server::builder().password(PASSWORD)
}
