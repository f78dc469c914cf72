//! Certificates that are renewed while a client lives, and sessions that are resumed. FAULTS 24: reload on
//! both sides, with no restart; service returns by itself when a certificate is mended (I6).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redwire_testkit::{Authority, Identity, TlsFront, eventually, shared};
use tempfile::TempDir;

use crate::common::{Client, LIMIT, Setup, kill_named, named_clients, shown};
use crate::site::{Site, at, check_tls_error};

both!(
    later_connections_resume_the_session_of_the_first,
    a_renewed_server_is_met_with_a_full_handshake,
    a_server_with_a_bad_certificate_is_left_until_it_is_mended,
    a_renewed_client_certificate_is_shown_by_the_next_connection,
    a_renewed_ca_is_trusted_by_the_next_connection,
);

/// Ends the connections of `client` at the server, and waits until it has others.
fn reconnect(client: &Client, name: &str) {
    kill_named(shared(), name);
    eventually("the client is back", LIMIT, || client.run::<String>("PING").is_ok());
    assert_eq!(named_clients(shared(), name), 1);
}

fn later_connections_resume_the_session_of_the_first(setup: Setup) {
    for tls12 in [false, true] {
        let authority = Authority::new();
        let identity = authority.server();
        let builder = TlsFront::builder(&identity);
        let builder = if tls12 { builder.only_tls12() } else { builder };
        let front = builder.start(shared());
        let name = format!("{}-{tls12}", setup.key("resumes").replace(':', "-"));
        let options = at(front.address().port()).tls_ca_file(authority.pem_file()).client_name(&name);
        let client = setup.open(options).unwrap();
        assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
        for times in 1..=3 {
            reconnect(&client, &name);
            assert_eq!((front.full_handshakes(), front.resumed_handshakes()), (1, times));
        }
        // What waits has a connection of its own, which resumes too.
        let popped: Option<(String, String)> = client.run("BLPOP security:nothing 0.01").unwrap();
        assert_eq!(popped, None);
        assert_eq!(front.full_handshakes(), 1);
    }
}

fn a_renewed_server_is_met_with_a_full_handshake(setup: Setup) {
    let site = Site::new();
    let name = setup.key("renewed").replace(':', "-");
    let client = setup.open(site.trusting().client_name(&name)).unwrap();
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    let mut connection = setup.open_connection(site.trusting()).unwrap();
    site.front.swap_identity(&site.authority.server());
    // Who is connected does not notice.
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
    let before = site.front.full_handshakes();
    reconnect(&client, &name);
    assert_eq!(site.front.full_handshakes(), before + 1);
}

fn a_server_with_a_bad_certificate_is_left_until_it_is_mended(setup: Setup) {
    let site = Site::new();
    let name = setup.key("mended").replace(':', "-");
    let options = site.trusting().client_name(&name).timeout(Duration::from_secs(1));
    let client = setup.open(options).unwrap();
    client.run::<()>("SET mended 1").unwrap();
    site.front.swap_identity(&Authority::new().server());
    assert_eq!(client.run::<String>("GET mended").unwrap(), "1", "who is connected goes on");
    kill_named(shared(), &name);
    // The first may be the one that meets the end of the connection.
    let cause = "no CA that is trusted";
    eventually("the cause is told", LIMIT, || {
        client.run::<()>("SET mended 2").is_err_and(|error| shown(&error).contains(cause))
    });
    site.front.swap_identity(&site.authority.server());
    let mended = Instant::now();
    eventually("service returns", LIMIT, || client.run::<String>("GET mended").is_ok());
    assert!(mended.elapsed() < Duration::from_millis(1500), "{:?}", mended.elapsed());
}

/// The files of a client as something outside renews them.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new(identity: &Identity) -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.show(identity);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn show(&self, identity: &Identity) {
        self.replace(&self.path("cert.pem"), &identity.cert_pem);
        self.replace(&self.path("key.pem"), &identity.key_pem);
    }

    /// In one step, as a careful administrator does.
    fn replace(&self, path: &Path, text: &str) {
        let fresh = self.path("fresh");
        fs::write(&fresh, text).unwrap();
        fs::rename(&fresh, path).unwrap();
    }
}

fn a_renewed_client_certificate_is_shown_by_the_next_connection(setup: Setup) {
    let site = Site::strict(false);
    let first = site.authority.client("first");
    let files = Files::new(&first);
    let name = setup.key("shows").replace(':', "-");
    let options = site.trusting().tls_cert_file(files.path("cert.pem")).tls_key_file(files.path("key.pem"));
    let client = setup.open(options.client_name(&name)).unwrap();
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    assert_eq!(site.front.client_certificate().as_ref(), Some(&first.cert_der));
    let second = site.authority.client("second");
    files.show(&second);
    reconnect(&client, &name);
    assert_eq!(site.front.client_certificate().as_ref(), Some(&second.cert_der));
    // A file that is no good, half written perhaps: what was read before goes on to serve.
    files.replace(&files.path("cert.pem"), "-----BEGIN CERTIFICATE-----\nhalf");
    reconnect(&client, &name);
    assert_eq!(site.front.client_certificate().as_ref(), Some(&second.cert_der));
    let third = site.authority.client("third");
    files.show(&third);
    reconnect(&client, &name);
    assert_eq!(site.front.client_certificate().as_ref(), Some(&third.cert_der));
}

fn a_renewed_ca_is_trusted_by_the_next_connection(setup: Setup) {
    let (old, new) = (Authority::new(), Authority::new());
    let front = TlsFront::start(&old.server(), shared());
    let files = Files::new(&old.client("nobody"));
    let ca = files.path("ca.pem");
    files.replace(&ca, old.pem());
    let name = setup.key("trusts").replace(':', "-");
    let client = setup.open(at(front.address().port()).tls_ca_file(&ca).client_name(&name)).unwrap();
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    front.swap_identity(&new.server());
    files.replace(&ca, &format!("{}{}", old.pem(), new.pem()));
    reconnect(&client, &name);
    // And one that is no longer in the file is no longer trusted.
    files.replace(&ca, old.pem());
    let error = setup.open(at(front.address().port()).tls_ca_file(&ca)).unwrap_err();
    check_tls_error(&error, &["no CA that is trusted"]);
}
