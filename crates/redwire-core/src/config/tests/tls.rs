//! Promises: options of TLS that do nothing, or do not go together, are refused by name, and no key is
//! printed.

use crate::config::{Config, ConfigBuilder, Ocsp, TlsSource, Verification};
use crate::secret::Secret;

const PEM: &str = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";

fn tls() -> ConfigBuilder {
    Config::builder().tls(true)
}

type Set = fn(ConfigBuilder) -> ConfigBuilder;

#[test]
fn each_option_arrives() {
    let config = tls().tls_ca_file("/ca").tls_ca_dir("/cas").tls_ca_bytes(PEM).tls_cert_file("/c");
    let config = config.tls_key_bytes(PEM).tls_key_password("pw").tls_verification(Verification::Optional);
    let config = config.tls_check_hostname(false).tls_server_name("db").tls_ocsp(Ocsp::Stapled);
    let config = config.tls_ocsp_responder_bytes(PEM).build().unwrap();
    let options = config.tls_options();
    assert_eq!(options.ca_file.as_deref(), Some("/ca".as_ref()));
    assert_eq!(options.ca_dir.as_deref(), Some("/cas".as_ref()));
    assert_eq!(options.ca_bytes.as_deref(), Some(PEM.as_bytes()));
    assert_eq!(options.cert, Some(TlsSource::File("/c".into())));
    assert_eq!(options.key, Some(TlsSource::Bytes(PEM.into())));
    assert_eq!(options.key_password, Some(Secret::new("pw")));
    assert_eq!(options.verification, Verification::Optional);
    assert_eq!((options.any_host, options.server_name.as_deref()), (true, Some("db")));
    assert_eq!((options.ocsp, &options.ocsp_responder), (Ocsp::Stapled, &Some(TlsSource::Bytes(PEM.into()))));
}

#[test]
fn the_last_source_counts_and_empty_is_none() {
    let config = tls().tls_cert_file("/c").tls_cert_bytes(PEM).tls_key_bytes(PEM).tls_key_file("/k");
    let config = config.tls_ca_file("").tls_ca_dir("").tls_server_name("").tls_key_password("");
    let config = config.build().unwrap();
    let options = config.tls_options();
    assert_eq!(options.cert, Some(TlsSource::Bytes(PEM.into())));
    assert_eq!(options.key, Some(TlsSource::File("/k".into())));
    assert_eq!((&options.ca_file, &options.ca_dir), (&None, &None));
    assert_eq!((&options.server_name, &options.key_password), (&None, &None));
}

#[test]
fn without_tls_each_option_is_an_error() {
    let rows: &[(&str, Set)] = &[
        ("tls_ca_file", |b| b.tls_ca_file("/f")),
        ("tls_ca_dir", |b| b.tls_ca_dir("/d")),
        ("tls_ca_bytes", |b| b.tls_ca_bytes(PEM)),
        ("tls_cert_file", |b| b.tls_cert_file("/f")),
        ("tls_cert_bytes", |b| b.tls_cert_bytes(PEM)),
        ("tls_key_file", |b| b.tls_key_file("/f")),
        ("tls_key_bytes", |b| b.tls_key_bytes(PEM)),
        ("tls_key_password", |b| b.tls_key_password("pw")),
        ("tls_verification", |b| b.tls_verification(Verification::None)),
        ("tls_check_hostname", |b| b.tls_check_hostname(false)),
        ("tls_server_name", |b| b.tls_server_name("h")),
        ("tls_ocsp", |b| b.tls_ocsp(Ocsp::Stapled)),
        ("tls_ocsp_responder_file", |b| b.tls_ocsp_responder_file("/f")),
        ("tls_ocsp_responder_bytes", |b| b.tls_ocsp_responder_bytes(PEM)),
    ];
    for (option, set) in rows {
        let error = set(Config::builder()).build().expect_err(option);
        assert_eq!((error.option(), error.got()), (*option, "no TLS"));
        let error = set(Config::builder()).path("/s").build().expect_err(option);
        assert_eq!((error.option(), error.got()), (*option, "no TLS"));
    }
    // A URL may switch TLS on for what was given in code.
    assert!(Config::builder().tls_ca_file("/f").url("rediss://h").build().is_ok());
}

#[test]
fn what_does_not_go_together_is_refused() {
    let rows: &[(&str, Set)] = &[
        ("tls_cert_file", |b| b.tls_cert_file("/c")),
        ("tls_cert_bytes", |b| b.tls_cert_bytes(PEM)),
        ("tls_key_file", |b| b.tls_key_file("/k")),
        ("tls_key_bytes", |b| b.tls_key_bytes(PEM)),
        ("tls_key_password", |b| b.tls_key_password("pw")),
        ("tls_ocsp_responder_file", |b| b.tls_ocsp_responder_file("/r")),
        ("tls_ocsp", |b| b.tls_ocsp(Ocsp::MustStaple).tls_verification(Verification::None)),
        ("tls_server_name", |b| b.tls_server_name("a/b")),
        ("tls_ca_bytes", |b| b.tls_ca_bytes("")),
        ("tls_ca_bytes", |b| b.tls_ca_bytes([0x30, 0x82])),
        ("tls_cert_bytes", |b| b.tls_cert_bytes("/c").tls_key_file("/k")),
        ("tls_key_bytes", |b| b.tls_cert_file("/c").tls_key_bytes("hunter2")),
        ("tls_ocsp_responder_bytes", |b| b.tls_ocsp(Ocsp::Stapled).tls_ocsp_responder_bytes("/r")),
    ];
    for (i, (option, set)) in rows.iter().enumerate() {
        let error = set(tls()).build().expect_err(option);
        assert_eq!(error.option(), *option, "row {i}: {error}");
        assert!(!error.to_string().contains("hunter2"), "row {i}: {error}");
    }
}

#[test]
fn no_key_is_printed() {
    let builder = tls().tls_cert_bytes(PEM).tls_key_bytes(PEM).tls_key_password("hunter2");
    let config = builder.clone().build().unwrap();
    assert_eq!(config.to_string(), "rediss://localhost:6379?tls_key_password=***");
    let by_url = Config::builder().url("rediss://h?tls_key_password=hunter2&tls_key_file=/k");
    let printed = format!("{config:?} {builder:?} {by_url:?} {}", by_url.clone().build().unwrap_err());
    assert!(!printed.contains("hunter2"), "{printed}");
}

#[cfg(feature = "tls")]
#[test]
fn a_configuration_of_rustls_stands_for_the_rest() {
    let none = rustls::RootCertStore::empty();
    let rustls = rustls::ClientConfig::builder().with_root_certificates(none).with_no_client_auth();
    let rustls = std::sync::Arc::new(rustls);
    let builder = |builder: ConfigBuilder| builder.tls_config(std::sync::Arc::clone(&rustls));
    let config = builder(tls()).tls_server_name("db").build().unwrap();
    assert!(config.tls_options().config.is_some());
    assert_eq!(config, builder(tls().tls_server_name("db")).build().unwrap());
    assert_eq!(config.to_string(), "rediss://localhost:6379?tls_server_name=db");
    assert_eq!(builder(Config::builder()).build().unwrap_err().option(), "tls_config");
    let error = builder(tls()).tls_server_name("db").tls_check_hostname(false).build().unwrap_err();
    assert_eq!((error.option(), error.got()), ("tls_config", "tls_check_hostname"));
}
