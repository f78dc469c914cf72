//! Sessions against rustls' server in memory: who is trusted, what resumes, what is read anew, what
//! failures say.

mod keys;
#[cfg(feature = "ocsp")]
mod ocsp;
mod peer;

use bytes::{Bytes, BytesMut};
use redwire_core::config::{TlsOptions, TlsSource, Verification};
use redwire_core::outbox::Outbox;
use redwire_core::{ConnectionFault, Error, ErrorKind, Outcome, Result};
use redwire_testkit::{Authority, Identity};

use super::{Ciphertext, TlsConnector, TlsSession};
use peer::{Setup, connect, connect_again, trusting};

impl TlsConnector {
    /// A session with the host that the connector was made for.
    fn session(&self) -> Result<TlsSession> {
        TlsSession::new(self.parts()?, self.name.clone())
    }
}

/// `options` with a certificate for the client.
fn showing(mut options: TlsOptions, identity: &Identity) -> TlsOptions {
    options.cert = Some(TlsSource::Bytes(identity.cert_pem.as_str().into()));
    options.key = Some(TlsSource::Bytes(identity.key_pem.as_str().into()));
    options
}

/// The message of an error, which must be one of TLS.
#[track_caller]
fn message(error: &Error) -> &str {
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Tls), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    error.message()
}

#[test]
fn a_trusted_server_is_talked_to_under_each_of_its_names() {
    let authority = Authority::new();
    let server = authority.server();
    let dir = authority.pem_file().parent().unwrap();
    let mut by_file = TlsOptions::default();
    by_file.ca_file = Some(authority.pem_file().into());
    let mut by_dir = TlsOptions::default();
    by_dir.ca_dir = Some(dir.into());
    for options in [trusting(&authority), by_file, by_dir] {
        for host in ["localhost", "127.0.0.1", "::1"] {
            for setup in [Setup::new(&server), Setup::new(&server).tls12()] {
                let (session, mut peer) = connect(&options, host, &setup.config(&server)).unwrap();
                assert_eq!(peer.0.server_name(), (host == "localhost").then_some(host), "SNI");
                let mut plain = BytesMut::new();
                assert_eq!(session.decrypt(&peer.send(b"+PONG\r\n"), &mut plain).unwrap(), 7);
                assert_eq!(&plain[..], b"+PONG\r\n");
            }
        }
    }
}

#[test]
fn what_is_verified_can_be_chosen() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.identity(&["other.example"]).issue();
    let config = Setup::new(&server).config(&server);
    let with = |authority: &Authority, change: fn(&mut TlsOptions)| {
        let mut options = trusting(authority);
        change(&mut options);
        connect(&options, "localhost", &config)
    };
    with(&authority, |options| options.server_name = Some("other.example".into())).unwrap();
    with(&authority, |options| options.any_host = true).unwrap();
    with(&stranger, |options| options.verification = Verification::None).unwrap();
    // Any host is not any CA, nor any time; optional is as required.
    for (change, wanted) in [
        (|options: &mut TlsOptions| options.any_host = true) as fn(&mut TlsOptions),
        |options| options.verification = Verification::Optional,
        |_| {},
    ]
    .into_iter()
    .zip(["no CA that is trusted"; 3])
    {
        let error = with(&stranger, change).map(drop).unwrap_err();
        assert!(message(&error).contains(wanted), "{error}");
    }
    let expired = authority.identity(&["other.example"]).expired().issue();
    let mut options = trusting(&authority);
    options.any_host = true;
    let error = connect(&options, "localhost", &Setup::new(&expired).config(&expired)).map(drop).unwrap_err();
    assert!(message(&error).contains("expired"), "{error}");
}

#[test]
fn even_a_client_that_trusts_any_certificate_wants_the_handshake_signed() {
    let authority = Authority::new();
    let (server, other) = (authority.server(), authority.server());
    let mut options = TlsOptions::default();
    options.verification = Verification::None;
    for setup in [Setup::new(&server), Setup::new(&server).tls12()] {
        // A server that shows a certificate whose key it does not have.
        let error = connect(&options, "localhost", &setup.config(&other)).map(drop).unwrap_err();
        assert!(message(&error).contains("not accepted"), "{error}");
    }
}

#[test]
fn a_failure_names_its_cause() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ours = || trusting(&authority);
    let good = authority.server();
    let expired = authority.identity(&["localhost"]).expired().issue();
    let early = authority.identity(&["localhost"]).not_yet_valid().issue();
    let other = authority.identity(&["a.example", "b.example", "10.0.0.1"]).issue();
    let client = authority.client("me");
    let unknown = stranger.client("me");
    let wants = || Setup::new(&good).clients_of(&authority);
    let table: [(TlsOptions, Setup<'_>, &Identity, &[&str]); 12] = [
        (trusting(&stranger), Setup::new(&good), &good, &["no CA that is trusted", "tls_ca_file"]),
        (ours(), Setup::new(&expired), &expired, &["expired", "days ago"]),
        (ours(), Setup::new(&early), &early, &["not valid yet", "days", "clocks"]),
        (
            ours(),
            Setup::new(&other),
            &other,
            &["is for a.example, b.example, 10.0.0.1, and localhost was asked for"],
        ),
        (ours(), Setup::showing(authority.der()), &good, &["shows the certificate of a CA as its own"]),
        (ours(), Setup::new(&client), &client, &["not meant for servers"]),
        (ours(), wants(), &good, &["wants a client certificate, and none is given", "tls_cert_file"]),
        (ours(), wants().tls12(), &good, &["client certificate", "none is given"]),
        (showing(ours(), &unknown), wants(), &good, &["client certificate"]),
        (showing(ours(), &unknown), wants().tls12(), &good, &["client certificate"]),
        (showing(ours(), &good), wants(), &good, &["refuses our client certificate"]),
        (showing(ours(), &good), wants().tls12(), &good, &["refuses our client certificate"]),
    ];
    for (options, setup, identity, wanted) in table {
        let error = connect(&options, "localhost", &setup.config(identity)).map(drop).unwrap_err();
        let message = message(&error);
        assert!(wanted.iter().all(|part| message.contains(part)), "{message}\nlacks one of {wanted:?}");
        assert!(std::error::Error::source(&error).is_some(), "{message}: no source");
    }
    connect(&showing(ours(), &client), "localhost", &wants().config(&good)).unwrap();
}

#[test]
fn an_alert_is_put_in_words() {
    use rustls::AlertDescription as Alert;
    let name = "db.example".try_into().unwrap();
    for (alert, has_certificate, wanted) in [
        (Alert::HandshakeFailure, false, "perhaps it wants a client certificate"),
        (Alert::HandshakeFailure, true, "broke off (HandshakeFailure)"),
        (Alert::BadCertificate, false, "perhaps it wants a client certificate"),
        (Alert::BadCertificate, true, "refuses our client certificate"),
        (Alert::CertificateRequired, false, "none is given"),
        (Alert::CertificateRequired, true, "ours is from no CA it asked for"),
        (Alert::ProtocolVersion, false, "before 1.2"),
        (Alert::UnrecognisedName, false, "not go by the name db.example"),
        (Alert::InternalError, false, "broke off (InternalError)"),
    ] {
        let error = super::fault::explain(rustls::Error::AlertReceived(alert), &name, has_certificate);
        assert!(message(&error).contains(wanted), "{error}");
    }
}

#[test]
fn a_peer_without_tls_is_distinguished_from_one_with_it() {
    for answer in ["-ERR unknown command\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "+PONG\r\n"] {
        let session =
            TlsConnector::new(&trusting(&Authority::new()), "localhost").unwrap().session().unwrap();
        let mut out = Vec::new();
        session.poll_transmit(&mut out);
        assert_eq!(out[0], 0x16, "a TLS handshake, nothing in the clear");
        let mut outbox = Outbox::default();
        outbox.copy(b"secret");
        assert_eq!(session.encrypt(&outbox, &mut out).unwrap(), 0, "data waits for the handshake");
        let error = session.decrypt(answer.as_bytes(), &mut BytesMut::new()).unwrap_err();
        assert_eq!(message(&error), "TLS: the peer speaks no TLS");
        assert_eq!(session.encrypt(&outbox, &mut out).unwrap_or(0), 0, "no data after a failure");
        assert!(!out.windows(6).any(|bytes| bytes == b"secret"));
    }
}

#[test]
fn options_that_cannot_be_meant_are_refused_at_once() {
    let mut alone = TlsOptions::default();
    alone.cert = Some(TlsSource::File("cert.pem".into()));
    let mut bad_name = TlsOptions::default();
    bad_name.server_name = Some("not a name".into());
    for (options, host, wanted) in [
        (alone, "localhost", "tls_key_file"),
        (bad_name, "localhost", "not a name"),
        (TlsOptions::default(), "", "host"),
    ] {
        let error = TlsConnector::new(&options, host).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains(wanted), "{error}");
    }
}

#[cfg(not(feature = "ocsp"))]
#[test]
fn ocsp_asks_for_the_feature() {
    use redwire_core::config::Ocsp;
    for ocsp in [Ocsp::Stapled, Ocsp::MustStaple, Ocsp::Check] {
        let mut options = TlsOptions::default();
        options.ocsp = ocsp;
        let error = TlsConnector::new(&options, "localhost").map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("needs the feature `ocsp`"), "{error}");
    }
}

#[test]
fn a_second_session_resumes_the_first() {
    let authority = Authority::new();
    let server = authority.server();
    for setup in [Setup::new(&server), Setup::new(&server).tls12()] {
        let config = setup.config(&server);
        let connector = TlsConnector::new(&trusting(&authority), "localhost").unwrap();
        let resumed: Vec<bool> =
            (0..3).map(|_| connect_again(&connector, &config).unwrap().0.is_resumed()).collect();
        assert_eq!(resumed, [false, true, true]);
    }
}

#[test]
fn a_configuration_of_ones_own_is_used_as_it_is() {
    let authority = Authority::new();
    let server = authority.server();
    let config = Setup::new(&server).config(&server);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let own = rustls::ClientConfig::builder_with_provider(super::provider().into())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut options = TlsOptions::default();
    options.config = Some(own.into());
    let (_, peer) = connect(&options, "localhost", &config).unwrap();
    assert_eq!(peer.0.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    let error = connect(&options, "example.com", &config).map(drop).unwrap_err();
    assert!(message(&error).contains("example.com was asked for"), "{error}");
}

#[test]
fn ten_mebibytes_pass_both_ways_in_any_pieces() {
    const SIZE: usize = 10 * 1024 * 1024;
    let authority = Authority::new();
    let server = authority.server();
    let config = Setup::new(&server).config(&server);
    let (session, mut peer) = connect(&trusting(&authority), "localhost", &config).unwrap();
    let all: Vec<u8> = (0..SIZE).map(|at| (at / 7 + at) as u8).collect();
    let mut outbox = Outbox::default();
    outbox.copy(&all[..1000]);
    outbox.share(Bytes::copy_from_slice(&all[1000..2_000_000]));
    outbox.share(Bytes::copy_from_slice(&all[2_000_000..2_000_001]));
    outbox.copy(&all[2_000_001..]);
    let mut sizes = [1, 5, 4_096, 17_000, 70_001, 16_384, 2].into_iter().cycle();
    let (mut arrived, mut back) = (Vec::new(), BytesMut::new());
    while !outbox.is_empty() {
        let mut cipher = Vec::new();
        let taken = session.encrypt(&outbox, &mut cipher).unwrap();
        assert!(taken > 0 && taken <= 64 * 1024);
        outbox.advance(taken);
        let plain = peer.receive(&cipher);
        arrived.extend_from_slice(&plain);
        let mut left = &peer.send(&plain)[..];
        while !left.is_empty() {
            let (piece, rest) = left.split_at(sizes.next().unwrap().min(left.len()));
            let before = back.len();
            let fresh = session.decrypt(piece, &mut back).unwrap();
            assert_eq!(back.len() - before, fresh);
            left = rest;
        }
    }
    assert!(arrived == all && back == all);
}

/// What is said to be sent is what the peer can read, to the record, however little the kernel takes at a
/// time.
#[test]
fn what_counts_as_sent_is_what_the_peer_can_read() {
    let authority = Authority::new();
    let server = authority.server();
    for tls12 in [false, true] {
        let setup = Setup::new(&server);
        let config = if tls12 { setup.tls12() } else { setup }.config(&server);
        let (session, mut peer) = connect(&trusting(&authority), "localhost", &config).unwrap();
        let mut outbox = Outbox::default();
        outbox.copy(&[1; 300]);
        outbox.share(Bytes::from(vec![2; 90_000]));
        outbox.copy(&[3; 50_000]);
        let mut sizes = [1, 300, 16_000, 406, 16_385, 70_000, 5].into_iter().cycle();
        let (mut outgoing, mut sent, mut arrived) = (Ciphertext::default(), 0, 0);
        while !outbox.is_empty() {
            let bytes = outgoing.poll_write(&session, &outbox).unwrap();
            let taken = sizes.next().unwrap().min(bytes.len());
            arrived += peer.receive(&bytes[..taken]).len();
            let done = outgoing.handle_written(taken);
            outbox.advance(done);
            sent += done;
            assert_eq!(sent, arrived);
        }
        assert_eq!(sent, 140_300);
    }
}

#[test]
fn keys_are_renewed_amid_the_data() {
    let authority = Authority::new();
    let server = authority.server();
    let config = Setup::new(&server).config(&server);
    let (session, mut peer) = connect(&trusting(&authority), "localhost", &config).unwrap();
    let mut cipher = peer.send(b"before ");
    peer.0.refresh_traffic_keys().unwrap();
    cipher.extend(peer.send(b"after"));
    let mut plain = BytesMut::new();
    assert_eq!(session.decrypt(&cipher, &mut plain).unwrap(), 12);
    assert_eq!(&plain[..], b"before after");
    let mut outbox = Outbox::default();
    outbox.copy(b"understood");
    let mut out = Vec::new();
    assert_eq!(session.encrypt(&outbox, &mut out).unwrap(), 10);
    assert_eq!(peer.receive(&out), b"understood");
}

#[test]
fn the_end_is_noticed_and_nothing_after_it_counts() {
    let authority = Authority::new();
    let server = authority.server();
    let config = Setup::new(&server).config(&server);
    let (session, mut peer) = connect(&trusting(&authority), "localhost", &config).unwrap();
    let mut cipher = peer.send(b"bye");
    peer.0.send_close_notify();
    cipher.extend(peer.transmit());
    let mut plain = BytesMut::new();
    assert_eq!(session.decrypt(&cipher, &mut plain).unwrap(), 3);
    assert!(session.is_closed());
    assert_eq!(session.decrypt(b"anything", &mut plain).unwrap(), 0);
    assert_eq!(&plain[..], b"bye");
}

#[test]
fn forged_bytes_end_the_session_after_what_was_genuine() {
    let authority = Authority::new();
    let server = authority.server();
    let config = Setup::new(&server).config(&server);
    let (session, mut peer) = connect(&trusting(&authority), "localhost", &config).unwrap();
    let mut cipher = peer.send(b"genuine");
    let mut forged = peer.send(b"forged");
    *forged.last_mut().unwrap() ^= 1;
    cipher.extend(forged);
    let mut plain = BytesMut::new();
    message(&session.decrypt(&cipher, &mut plain).unwrap_err());
    assert_eq!(&plain[..], b"genuine");
    message(&session.decrypt(&peer.send(b"more"), &mut plain).unwrap_err());
    assert_eq!(&plain[..], b"genuine");
}
