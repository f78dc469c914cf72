//! The rows of TLS. Promises that what can stand in a URL does, and that the password of a key is never
//! shown. Must not know which of them go together.

use super::{UrlOption, option, part, secret};
use crate::config::cast::{Expected, boolean};
use crate::config::{Config, ConfigBuilder, Ocsp, TlsSource, Verification};
use crate::secret::MASK;

pub(super) const OPTIONS: &[UrlOption] = &[
    option(
        "tls_ca_file",
        &["ssl_ca_certs"],
        |b, v| Ok(b.tls_ca_file(v)),
        |c| show_path(c.tls_options.ca_file.as_ref()),
    ),
    option(
        "tls_ca_dir",
        &["ssl_ca_path"],
        |b, v| Ok(b.tls_ca_dir(v)),
        |c| show_path(c.tls_options.ca_dir.as_ref()),
    ),
    option(
        "tls_cert_file",
        &["ssl_certfile"],
        |b, v| Ok(b.tls_cert_file(v)),
        |c| show_source(c.tls_options.cert.as_ref()),
    ),
    option(
        "tls_key_file",
        &["ssl_keyfile"],
        |b, v| Ok(b.tls_key_file(v)),
        |c| show_source(c.tls_options.key.as_ref()),
    ),
    secret(option(
        "tls_key_password",
        &["ssl_password"],
        |b, v| Ok(b.tls_key_password(v)),
        |c| c.tls_options.key_password.as_ref().map_or("", |_| MASK).to_owned(),
    )),
    option(
        "tls_verification",
        &["ssl_cert_reqs"],
        |b, v| Ok(b.tls_verification(verification(v)?)),
        show_verification,
    ),
    option(
        "tls_check_hostname",
        &["ssl_check_hostname"],
        |b, v| Ok(b.tls_check_hostname(boolean(v)?)),
        |c| (!c.tls_options.any_host).to_string(),
    ),
    option(
        "tls_server_name",
        &[],
        |b, v| Ok(b.tls_server_name(v)),
        |c| c.tls_options.server_name.clone().unwrap_or_default(),
    ),
    option("tls_ocsp", &[], |b, v| Ok(b.tls_ocsp(ocsp(v)?)), show_ocsp),
    part("ssl_validate_ocsp", &[], |b, v| asked(b, v, Ocsp::Check)),
    part("ssl_validate_ocsp_stapled", &[], |b, v| asked(b, v, Ocsp::MustStaple)),
    option(
        "tls_ocsp_responder_file",
        &["ssl_ocsp_expected_cert"],
        |b, v| Ok(b.tls_ocsp_responder_file(v)),
        |c| show_source(c.tls_options.ocsp_responder.as_ref()),
    ),
];

fn show_path(path: Option<&std::path::PathBuf>) -> String {
    path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What is no file has no place in a URL.
fn show_source(source: Option<&TlsSource>) -> String {
    match source {
        Some(TlsSource::File(path)) => show_path(Some(path)),
        Some(TlsSource::Bytes(_)) | None => String::new(),
    }
}

fn verification(text: &str) -> Result<Verification, Expected> {
    match text {
        "none" | "CERT_NONE" => Ok(Verification::None),
        "optional" | "CERT_OPTIONAL" => Ok(Verification::Optional),
        "required" | "CERT_REQUIRED" => Ok(Verification::Required),
        _ => Err("none, optional or required"),
    }
}

fn show_verification(config: &Config) -> String {
    let word = match config.tls_options.verification {
        Verification::None => "none",
        Verification::Optional => "optional",
        Verification::Required => "required",
    };
    word.to_owned()
}

/// A word of ours, or redis-py's truth value: there an answer that is missing is an error.
fn ocsp(text: &str) -> Result<Ocsp, Expected> {
    match text {
        "off" => Ok(Ocsp::Off),
        "stapled" => Ok(Ocsp::Stapled),
        "must_staple" => Ok(Ocsp::MustStaple),
        "check" => Ok(Ocsp::Check),
        _ => match boolean(text) {
            Ok(true) => Ok(Ocsp::MustStaple),
            Ok(false) => Ok(Ocsp::Off),
            Err(_) => Err("off, stapled, must_staple or check"),
        },
    }
}

/// redis-py has two truth values. False is its default, which takes back nothing that the other one asks for.
fn asked(builder: ConfigBuilder, text: &str, ocsp: Ocsp) -> Result<ConfigBuilder, Expected> {
    Ok(if boolean(text)? { builder.tls_ocsp(ocsp) } else { builder })
}

fn show_ocsp(config: &Config) -> String {
    let word = match config.tls_options.ocsp {
        Ocsp::Off => "off",
        Ocsp::Stapled => "stapled",
        Ocsp::MustStaple => "must_staple",
        Ocsp::Check => "check",
    };
    word.to_owned()
}
