//! Files of certificates and keys: their forms, their faults, and that a change is noticed.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use redwire_core::Error;
use redwire_core::config::{TlsOptions, TlsSource};
use redwire_testkit::{Authority, Identity};

use super::super::TlsConnector;
use super::message;
use super::peer::{Setup, connect_again, trusting};

/// A certificate with its key as `openssl` wrote them of old; the first of version 1.
const RSA: &str = include_str!("rsa.pem");
const EC: &str = include_str!("ec.pem");

fn with_files(cert: &Path, key: &Path) -> TlsOptions {
    let mut options = trusting(&Authority::new());
    options.cert = Some(TlsSource::File(cert.into()));
    options.key = Some(TlsSource::File(key.into()));
    options
}

fn with_texts(cert: &str, key: &str) -> TlsOptions {
    let mut options = trusting(&Authority::new());
    options.cert = Some(TlsSource::Bytes(cert.into()));
    options.key = Some(TlsSource::Bytes(key.into()));
    options
}

#[track_caller]
fn refused(options: &TlsOptions) -> Error {
    TlsConnector::new(options, "localhost").unwrap().session().map(drop).unwrap_err()
}

#[test]
fn keys_may_have_any_usual_form() {
    let client = Authority::new().client("me");
    assert!(RSA.contains("BEGIN RSA PRIVATE KEY") && EC.contains("BEGIN EC PRIVATE KEY"));
    assert!(client.key_pem.contains("BEGIN PRIVATE KEY"));
    for (cert, key) in [(RSA, RSA), (EC, EC), (&client.cert_pem, &client.key_pem)] {
        TlsConnector::new(&with_texts(cert, key), "localhost").unwrap().session().unwrap();
    }
}

#[test]
fn a_useless_file_is_named_with_its_option() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let client = Authority::new().client("me");
    let (empty, missing) = (write("empty.pem", ""), dir.path().join("missing.pem"));
    let broken = write("broken.pem", "-----BEGIN CERTIFICATE-----\n?!\n-----END CERTIFICATE-----\n");
    let cut = write("cut.pem", &client.cert_pem[..100]);
    let old = write(
        "old.pem",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
    );
    let nonsense = write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let bare = dir.path().join("bare");
    fs::create_dir(&bare).unwrap();
    write("bare/README", "no certificate");
    let (cert, key) = (&client.cert_file, &client.key_file);
    let ca = |change: fn(&mut TlsOptions, &Path), path: &Path| {
        let mut options = TlsOptions::default();
        change(&mut options, path);
        options
    };
    let file = |options: &mut TlsOptions, path: &Path| options.ca_file = Some(path.into());
    let directory = |options: &mut TlsOptions, path: &Path| options.ca_dir = Some(path.into());
    let table = [
        (with_files(&missing, key), vec!["`tls_cert_file`", "missing.pem", "cannot be read"]),
        (with_files(cert, &missing), vec!["`tls_key_file`", "missing.pem", "cannot be read"]),
        (with_files(&empty, key), vec!["`tls_cert_file`", "empty.pem", "has no certificate"]),
        (with_files(cert, &empty), vec!["`tls_key_file`", "empty.pem", "has no private key"]),
        (with_files(&broken, key), vec!["`tls_cert_file`", "broken.pem", "no good PEM"]),
        (with_files(&nonsense, key), vec!["`tls_cert_file`", "cannot be read"]),
        (with_files(&cut, key), vec!["`tls_cert_file`", "cut.pem", "no good PEM"]),
        (with_files(cert, &old), vec!["`tls_key_file`", "old.pem", "openssl pkcs8"]),
        (with_texts("", &client.key_pem), vec!["`tls_cert_bytes`", "has no certificate"]),
        (with_texts(&client.cert_pem, ""), vec!["`tls_key_bytes`", "has no private key"]),
        (with_texts(&client.cert_pem, RSA), vec!["tls_key_file", "does not belong", "tls_cert_file"]),
        (ca(file, &missing), vec!["`tls_ca_file`", "missing.pem", "cannot be read"]),
        (ca(file, &empty), vec!["`tls_ca_file`", "empty.pem", "has no certificate"]),
        (ca(file, &nonsense), vec!["`tls_ca_file`", "nonsense.pem", "certificate that cannot be read"]),
        (ca(directory, &missing), vec!["`tls_ca_dir`", "missing.pem", "cannot be read"]),
        (ca(directory, &bare), vec!["`tls_ca_dir`", "bare", "has no file"]),
    ];
    for (options, wanted) in table {
        let error = refused(&options);
        assert!(wanted.iter().all(|part| message(&error).contains(part)), "{error}\nlacks one of {wanted:?}");
    }
}

/// Puts `identity` in place of what the two files have, and makes sure that the clock shows it.
fn replace(cert: &Path, key: &Path, identity: &Identity, age: u64) {
    for (path, text) in [(cert, &identity.cert_pem), (key, &identity.key_pem)] {
        fs::write(path, text).unwrap();
        touch(path, age);
    }
}

fn touch(path: &Path, age: u64) {
    let when = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + age);
    File::options().write(true).open(path).unwrap().set_modified(when).unwrap();
}

#[test]
fn a_renewed_certificate_is_shown_at_the_next_connect() {
    let authority = Authority::new();
    let server = authority.server();
    let config = Setup::new(&server).clients_of(&authority).config(&server);
    let (first, second, third) = (authority.client("1"), authority.client("2"), authority.client("3"));
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    replace(&cert, &key, &first, 1);
    let mut options = trusting(&authority);
    options.cert = Some(TlsSource::File(cert.clone()));
    options.key = Some(TlsSource::File(key.clone()));
    let connector = TlsConnector::new(&options, "localhost").unwrap();
    let shown = || {
        let (_, peer) = connect_again(&connector, &config).unwrap();
        peer.0.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(shown(), first.cert_der);
    replace(&cert, &key, &second, 2);
    assert_eq!(shown(), second.cert_der);
    // In the midst of being replaced: the new certificate with the old key, then none, then garbage.
    fs::write(&cert, &third.cert_pem).unwrap();
    assert_eq!(shown(), second.cert_der);
    fs::remove_file(&cert).unwrap();
    assert_eq!(shown(), second.cert_der);
    fs::write(&cert, "garbage").unwrap();
    assert_eq!(shown(), second.cert_der);
    replace(&cert, &key, &third, 3);
    assert_eq!(shown(), third.cert_der);
}

#[test]
fn a_renewed_authority_is_trusted_at_the_next_connect() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = new.server();
    let config = Setup::new(&server).config(&server);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let (mut by_file, mut by_dir) = (TlsOptions::default(), TlsOptions::default());
    by_file.ca_file = Some(path.clone());
    by_dir.ca_dir = Some(dir.path().into());
    for options in [by_file, by_dir] {
        fs::write(&path, old.pem()).unwrap();
        touch(&path, 1);
        let connector = TlsConnector::new(&options, "localhost").unwrap();
        connect_again(&connector, &config).map(drop).unwrap_err();
        fs::write(&path, new.pem()).unwrap();
        touch(&path, 2);
        connect_again(&connector, &config).unwrap();
    }
}

#[cfg(not(feature = "encrypted-keys"))]
#[test]
fn an_encrypted_key_asks_for_the_feature() {
    let client = Authority::new().client("me");
    let key = client.key_pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let error = refused(&with_texts(&client.cert_pem, &key));
    assert!(message(&error).contains("feature `encrypted-keys`"), "{error}");
}

#[cfg(feature = "encrypted-keys")]
#[test]
fn an_encrypted_key_is_opened_with_its_password_only() {
    use pkcs8::LineEnding;
    use pkcs8::pkcs5::pbes2::Parameters;

    let client = Authority::new().client("me");
    let plain = pkcs8::PrivateKeyInfo::try_from(client.key_der.secret_der()).unwrap();
    let parameters = Parameters::pbkdf2_sha256_aes256cbc(1000, b"saltsalt", b"sixteen bytes iv").unwrap();
    let key = plain.encrypt_with_params(parameters, "right").unwrap();
    let key = key.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).unwrap();
    // Other things may stand in the same file.
    let mut options =
        with_texts(&client.cert_pem, &format!("{}{}{}", client.cert_pem, &*key, client.cert_pem));
    assert!(message(&refused(&options)).contains("no password is given (`tls_key_password`)"));
    options.key_password = Some("right".into());
    TlsConnector::new(&options, "localhost").unwrap().session().unwrap();
    for wrong in (0..300).map(|n| format!("wrong{n}")) {
        options.key_password = Some(wrong.as_str().into());
        let error = refused(&options);
        assert!(message(&error).contains("the password (`tls_key_password`) is wrong"), "{error}");
        assert!(!format!("{error} {error:?} {options:?}").contains(&wrong));
    }
}
