//! Who a client says it is by its certificate, and configurations of rustls that say it all. FAULTS 24.

use std::fs;
use std::sync::Arc;

use redwire::config::ConfigBuilder;
use redwire::rustls::crypto::ring;
use redwire::rustls::{ClientConfig, RootCertStore, version};
use redwire_testkit::{Authority, Identity};

use crate::common::{Setup, shown};
use crate::site::{Site, check_tls_error};

both!(
    a_client_certificate_lets_in,
    a_client_that_is_not_let_in_is_told_why,
    a_certificate_that_is_of_no_use_is_told_with_its_file,
    a_configuration_of_rustls_is_used_as_it_is,
);

fn by_file(options: ConfigBuilder, identity: &Identity) -> ConfigBuilder {
    options.tls_cert_file(&identity.cert_file).tls_key_file(&identity.key_file)
}

fn by_bytes(options: ConfigBuilder, identity: &Identity) -> ConfigBuilder {
    options.tls_cert_bytes(&identity.cert_pem).tls_key_bytes(&identity.key_pem)
}

fn a_client_certificate_lets_in(setup: Setup) {
    for tls12 in [false, true] {
        let site = Site::strict(tls12);
        for with in [by_file, by_bytes] {
            let identity = site.authority.client("ann");
            let client = setup.open(with(site.trusting(), &identity)).unwrap();
            assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
            assert_eq!(site.front.client_certificate().as_ref(), Some(&identity.cert_der));
            let mut connection = setup.open_connection(with(site.trusting(), &identity)).unwrap();
            assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
        }
        let identity = site.authority.client("bob");
        let (cert, key) = (identity.cert_file.display(), identity.key_file.display());
        let options = format!("{}&tls_cert_file={cert}&tls_key_file={key}", site.trusted());
        assert_eq!(setup.client(&site.url(), &options).run::<String>("PING").unwrap(), "PONG");
        assert_eq!(site.front.client_certificate().as_ref(), Some(&identity.cert_der));
    }
}

fn a_client_that_is_not_let_in_is_told_why(setup: Setup) {
    let stranger = Authority::new().client("eve");
    for tls12 in [false, true] {
        let site = Site::strict(tls12);
        let error = setup.open(site.trusting()).unwrap_err();
        check_tls_error(&error, &["client certificate", "none is given", "tls_cert_file"]);
        let error = setup.open_connection(site.trusting()).unwrap_err();
        check_tls_error(&error, &["client certificate", "none is given", "tls_cert_file"]);
        let error = setup.open(by_bytes(site.trusting(), &stranger)).unwrap_err();
        check_tls_error(&error, &["client certificate"]);
        let server = site.authority.server();
        let error = setup.open(by_bytes(site.trusting(), &server)).unwrap_err();
        check_tls_error(&error, &["refuses our client certificate"]);
        assert_eq!(site.front.full_handshakes(), 0);
    }
}

fn a_certificate_that_is_of_no_use_is_told_with_its_file(setup: Setup) {
    let site = Site::strict(false);
    let (ann, bob) = (site.authority.client("ann"), site.authority.client("bob"));
    let dir = tempfile::tempdir().unwrap();
    let (none, torn) = (dir.path().join("none.pem"), dir.path().join("torn.pem"));
    fs::write(&torn, &ann.key_pem[..80]).unwrap();
    let shown_file = |path: &std::path::Path| path.display().to_string();
    let error = setup.open(site.trusting().tls_cert_file(&none).tls_key_file(&ann.key_file)).unwrap_err();
    check_tls_error(&error, &["tls_cert_file", &shown_file(&none)]);
    let error = setup.open(site.trusting().tls_cert_file(&ann.cert_file).tls_key_file(&torn)).unwrap_err();
    check_tls_error(&error, &["tls_key_file", &shown_file(&torn)]);
    let mixed = site.trusting().tls_cert_file(&ann.cert_file).tls_key_file(&bob.key_file);
    check_tls_error(&setup.open(mixed).unwrap_err(), &["does not belong to"]);
    let error = setup.open(site.options().tls_ca_file(&none)).unwrap_err();
    check_tls_error(&error, &["tls_ca_file", &shown_file(&none)]);
}

#[cfg(feature = "encrypted-keys")]
mod encrypted {
    use super::*;

    both!(an_encrypted_key_needs_its_password);

    fn an_encrypted_key_needs_its_password(setup: Setup) {
        let site = Site::strict(false);
        let identity = site.authority.client("ann");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("locked.pem");
        let locked = identity.encrypted_key_pem("open-sesame");
        fs::write(&file, &locked).unwrap();
        let by_file = || site.trusting().tls_cert_file(&identity.cert_file).tls_key_file(&file);
        let by_bytes = || site.trusting().tls_cert_bytes(&identity.cert_pem).tls_key_bytes(&locked);
        for options in [by_file(), by_bytes()] {
            let client = setup.open(options.tls_key_password("open-sesame")).unwrap();
            assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
            let said = format!("{client:?} {}", client.config());
            assert!(!said.contains("sesame") && !said.contains("PRIVATE KEY"), "{said}");
        }
        let wrong = setup.open(by_file().tls_key_password("shut-sesame")).unwrap_err();
        check_tls_error(&wrong, &["tls_key_file", "cannot be decrypted", "tls_key_password"]);
        let none = setup.open(by_file()).unwrap_err();
        check_tls_error(&none, &["is encrypted", "no password is given"]);
        assert!(!shown(&wrong).contains("sesame") && !shown(&none).contains("PRIVATE KEY"));
    }
}

fn a_configuration_of_rustls_is_used_as_it_is(setup: Setup) {
    let site = Site::strict(false);
    let identity = site.authority.client("ann");
    let config = |name: &str| {
        let mut roots = RootCertStore::empty();
        roots.add(site.authority.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![identity.cert_der.clone()], identity.key_der.clone_key())
            .unwrap();
        site.options().tls_server_name(name).tls_config(Arc::new(config))
    };
    let client = setup.open(config("localhost")).unwrap();
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    assert_eq!(site.front.client_certificate().as_ref(), Some(&identity.cert_der));
    let error = setup.open(config("other.example")).unwrap_err();
    check_tls_error(&error, &["other.example was asked for"]);
}
