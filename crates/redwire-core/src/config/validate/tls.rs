//! Which options of TLS go together. Promises that none of them is without effect, so that no user believes
//! to be safer than they are, and that no key gets into a message. Must not know whether files exist nor
//! what is in them.

use crate::config::{Config, ConfigError, Ocsp, TlsOptions, TlsSource, Verification};
use crate::secret::MASK;

pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    let options = &config.tls_options;
    let given = given(options);
    if let Some(option) = given.first().filter(|_| !config.tls && config.sentinel.tls != Some(true)) {
        return Err(ConfigError::new(option, "TLS to go with it (`rediss://` or `tls`)", "no TLS"));
    }
    #[cfg(feature = "tls")]
    if let Some(option) = given.iter().find(|option| !["tls_config", "tls_server_name"].contains(option))
        && options.config.is_some()
    {
        let expected = "no other option of TLS but `tls_server_name` beside it";
        return Err(ConfigError::new("tls_config", expected, option));
    }
    if let Some(name) = &options.server_name {
        super::host("tls_server_name", name)?;
    }
    together(options)?;
    pem(options)
}

/// The names of the options that differ from their defaults.
fn given(options: &TlsOptions) -> Vec<&'static str> {
    #[cfg(feature = "tls")]
    let config = options.config.is_some();
    #[cfg(not(feature = "tls"))]
    let config = false;
    let all = [
        ("tls_config", config),
        ("tls_ca_file", options.ca_file.is_some()),
        ("tls_ca_dir", options.ca_dir.is_some()),
        ("tls_ca_bytes", options.ca_bytes.is_some()),
        (cert(options), options.cert.is_some()),
        (key(options), options.key.is_some()),
        ("tls_key_password", options.key_password.is_some()),
        ("tls_verification", options.verification != Verification::default()),
        ("tls_check_hostname", options.any_host),
        ("tls_server_name", options.server_name.is_some()),
        ("tls_ocsp", options.ocsp != Ocsp::default()),
        (responder(options), options.ocsp_responder.is_some()),
    ];
    all.into_iter().filter(|(_, is_given)| *is_given).map(|(option, _)| option).collect()
}

fn together(options: &TlsOptions) -> Result<(), ConfigError> {
    let alone = |option, needs| Err(ConfigError::new(option, needs, "none"));
    match (&options.cert, &options.key) {
        (Some(_), None) => return alone(cert(options), "a key to go with it (`tls_key_file`)"),
        (None, Some(_)) => return alone(key(options), "a certificate to go with it (`tls_cert_file`)"),
        (None, None) if options.key_password.is_some() => {
            return alone("tls_key_password", "a key to go with it (`tls_key_file`)");
        }
        _ => {}
    }
    if options.ocsp_responder.is_some() && options.ocsp == Ocsp::Off {
        return Err(ConfigError::new(responder(options), "OCSP to go with it (`tls_ocsp`)", "off"));
    }
    if options.ocsp != Ocsp::Off && options.verification == Verification::None {
        return Err(ConfigError::new("tls_ocsp", "verification to go with it (`tls_verification`)", "none"));
    }
    Ok(())
}

/// What was given as bytes is PEM: DER, or a path in the wrong place, is told now and not at the first
/// connect.
fn pem(options: &TlsOptions) -> Result<(), ConfigError> {
    let all = [
        ("tls_ca_bytes", options.ca_bytes.as_deref()),
        ("tls_cert_bytes", bytes(options.cert.as_ref())),
        ("tls_key_bytes", bytes(options.key.as_ref())),
        ("tls_ocsp_responder_bytes", bytes(options.ocsp_responder.as_ref())),
    ];
    for (option, bytes) in all {
        if bytes.is_some_and(|bytes| !bytes.windows(PEM.len()).any(|window| window == PEM)) {
            return Err(ConfigError::new(option, "PEM, which begins with `-----BEGIN`", MASK));
        }
    }
    Ok(())
}

fn bytes(source: Option<&TlsSource>) -> Option<&[u8]> {
    match source {
        Some(TlsSource::Bytes(text)) => Some(text.reveal().as_bytes()),
        Some(TlsSource::File(_)) | None => None,
    }
}

fn cert(options: &TlsOptions) -> &'static str {
    named(options.cert.as_ref(), "tls_cert_file", "tls_cert_bytes")
}

fn key(options: &TlsOptions) -> &'static str {
    named(options.key.as_ref(), "tls_key_file", "tls_key_bytes")
}

fn responder(options: &TlsOptions) -> &'static str {
    named(options.ocsp_responder.as_ref(), "tls_ocsp_responder_file", "tls_ocsp_responder_bytes")
}

/// The option that `source` was given by.
fn named(source: Option<&TlsSource>, file: &'static str, bytes: &'static str) -> &'static str {
    if matches!(source, Some(TlsSource::Bytes(_))) { bytes } else { file }
}

const PEM: &[u8] = b"-----BEGIN";
