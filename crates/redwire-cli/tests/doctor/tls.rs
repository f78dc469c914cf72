//! What goes wrong with TLS, against a front with certificates of each kind.

use redwire_testkit::{Authority, Identity, Server, TlsFront};

use crate::{Report, doctor};

/// Examines a server behind a front that shows `identity`, trusting `authority`.
#[track_caller]
fn behind(identity: &Identity, authority: &Authority) -> Report {
    let server = Server::start();
    let front = TlsFront::start(identity, server.addr());
    let report = doctor(&url(&front), &["--tls-ca-file", authority.pem_file().to_str().unwrap()]);
    report.says("tcp", "good", &[]);
    report
}

fn url(front: &TlsFront) -> String {
    front.url("rediss")
}

#[test]
fn all_is_well() {
    let authority = Authority::new();
    let server = Server::start();
    let front = TlsFront::start(&authority.server(), server.addr());
    for options in [&["--timeout", "5"][..], &["--blocking"]] {
        let options = [options, &["--tls-ca-file", authority.pem_file().to_str().unwrap()]].concat();
        let report = doctor(&url(&front), &options);
        assert_eq!(report.json["verdict"], "good", "{:#}", report.json);
        let detail = &report.layer("tls")["detail"];
        assert_eq!(detail["version"], "TLSv1_3");
        assert!(detail["cipher"].as_str().unwrap().starts_with("TLS13_"), "{detail}");
        assert_eq!(detail["chain"][0]["names"], serde_json::json!(["localhost", "127.0.0.1", "::1"]));
        assert!(detail["chain"][0]["days_left"].as_i64().unwrap() >= 0, "{detail}");
    }
}

#[test]
fn an_expired_certificate() {
    let authority = Authority::new();
    let report = behind(&authority.identity(&["127.0.0.1"]).expired().issue(), &authority);
    report.says("tls", "bad", &["expired", "Renew"]).skips_from("handshake");
    assert!(report.layer("tls")["detail"]["chain"][0]["days_left"].as_i64().unwrap() < 0, "{}", report.json);
}

#[test]
fn a_certificate_that_is_not_valid_yet() {
    let authority = Authority::new();
    let report = behind(&authority.identity(&["127.0.0.1"]).not_yet_valid().issue(), &authority);
    report.says("tls", "bad", &["not valid yet", "clocks"]).skips_from("handshake");
}

#[test]
fn a_ca_that_was_not_named() {
    let report = behind(&Authority::new().server(), &Authority::new());
    report.says("tls", "bad", &["CA that is trusted", "--tls-ca-file"]).skips_from("handshake");
}

#[test]
fn a_certificate_for_another_host() {
    let authority = Authority::new();
    let report = behind(&authority.identity(&["other.example"]).issue(), &authority);
    report.says("tls", "bad", &["other.example", "127.0.0.1", "--tls-server-name"]).skips_from("handshake");
}

#[test]
fn a_certificate_that_is_not_verified_is_a_warning() {
    let server = Server::start();
    let front = TlsFront::start(&Authority::new().server(), server.addr());
    let report = doctor(&url(&front), &["--tls-insecure"]);
    report.says("tls", "warning", &["not verified"]).says("handshake", "good", &[]);
}

#[test]
fn a_client_certificate_is_wanted() {
    let authority = Authority::new();
    let server = Server::start();
    let identity = authority.server();
    for front in [TlsFront::builder(&identity), TlsFront::builder(&identity).only_tls12()] {
        let front = front.require_client(&authority).start(server.addr());
        let ca = ["--tls-ca-file", authority.pem_file().to_str().unwrap()];
        let report = doctor(&url(&front), &ca);
        report.says("tls", "bad", &["client certificate", "--tls-cert-file"]).skips_from("handshake");
        let client = authority.client("ann");
        let files = [client.cert_file.to_str().unwrap(), client.key_file.to_str().unwrap()];
        let own = ["--tls-cert-file", files[0], "--tls-key-file", files[1]];
        let report = doctor(&url(&front), &[&ca[..], &own].concat());
        report.says("tls", "good", &[]).says("handshake", "good", &[]);
    }
}

#[test]
fn a_plain_port_is_spoken_to_by_tls() {
    let server = Server::start();
    let report = doctor(&server.url().replace("redis://", "rediss://"), &[]);
    report.says("tls", "bad", &["in the clear", "`redis://`"]).skips_from("handshake");
}

#[test]
fn a_tls_port_is_spoken_to_in_the_clear() {
    let authority = Authority::new();
    let server = Server::start();
    let front = TlsFront::start(&authority.server(), server.addr());
    let report = doctor(&url(&front).replace("rediss://", "redis://"), &[]);
    report
        .says("tls", "skipped", &[])
        .says("handshake", "bad", &["speaks TLS", "rediss://"])
        .skips_from("acl");
}

#[test]
fn a_handshake_that_stalls() {
    let authority = Authority::new();
    let server = Server::start();
    let front = TlsFront::builder(&authority.server()).stall_handshake().start(server.addr());
    let report = doctor(&format!("{}?connect_timeout=300ms", url(&front)), &[]);
    report
        .says("tls", "bad", &["does not answer the first message of TLS", "firewall"])
        .skips_from("handshake");
}

#[test]
fn a_file_that_is_not_there() {
    let server = Server::start();
    let front = TlsFront::start(&Authority::new().server(), server.addr());
    let report = doctor(&url(&front), &["--tls-ca-file", "/nowhere/ca.pem"]);
    report.says("tls", "bad", &["/nowhere/ca.pem", "tls_ca_file"]).skips_from("handshake");
}
