//! What went wrong with TLS, in words that say whose fault it is and which option helps.
//!
//! Must not know when it happened: it explains the library's errors and no more.

use std::io;
use std::path::Path;
use std::time::Duration;

use redwire_core::{ConnectionFault, Error, ErrorKind, Outcome};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, InvalidMessage};

pub(super) fn error(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Connection(ConnectionFault::Tls), Outcome::NotSent, message)
}

/// A file that an option names is of no use.
pub(super) fn file(option: &str, path: &Path, why: &str) -> Error {
    error(format!("TLS: the file {} (`{option}`) {why}", path.display()))
}

/// More came than a TLS message may have.
pub(super) fn unreadable(cause: io::Error) -> Error {
    error(format!("TLS: the server's messages cannot be read: {cause}")).with_source(cause)
}

/// Our certificate and key are of no use.
pub(super) fn client_certificate(cause: rustls::Error) -> Error {
    let message = match &cause {
        rustls::Error::InconsistentKeys(_) => {
            "TLS: the key (`tls_key_file`) does not belong to the client certificate (`tls_cert_file`)".into()
        }
        rustls::Error::InvalidCertificate(_) => {
            "TLS: the client certificate (`tls_cert_file`) cannot be read".into()
        }
        other => format!("TLS: the client certificate and its key cannot be used: {other}"),
    };
    error(message).with_source(cause)
}

/// The server's certificate was revoked, as `told_by` says.
#[cfg(feature = "ocsp")]
pub(super) fn revoked(told_by: &str) -> Error {
    error(format!("TLS: the server's certificate is revoked, says {told_by}"))
}

/// `what` makes the server's certificate one that is not accepted, as the responder at `url` answers.
#[cfg(feature = "ocsp")]
pub(super) fn unaccepted(what: &dyn std::fmt::Display, url: Option<&str>) -> Error {
    let from = url.map_or_else(String::new, |url| format!(" (answered by the OCSP responder {url})"));
    error(format!("TLS: the server's certificate is not accepted: {what}{from}"))
}

/// There is no answer to the question whether the server's certificate was revoked. Later there may be one,
/// so this is retryable, and no fault of the server.
#[cfg(feature = "ocsp")]
pub(super) fn unanswered(why: &str, cause: Option<Error>) -> Error {
    let kind = ErrorKind::Connection(ConnectionFault::Io);
    let message = format!("TLS: it is not known whether the server's certificate is revoked: {why}");
    let error = Error::new(kind, Outcome::NotSent, message);
    match cause {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

/// Says why a session with the server `name` failed.
pub(super) fn explain(cause: rustls::Error, name: &ServerName<'_>, has_certificate: bool) -> Error {
    let name = name.to_str();
    let message = match &cause {
        rustls::Error::InvalidCertificate(fault) => certificate(fault, &name),
        rustls::Error::AlertReceived(alert) => refusal(*alert, &name, has_certificate),
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "the peer speaks no TLS".into(),
        rustls::Error::NoCertificatesPresented => "the server shows no certificate".into(),
        rustls::Error::PeerIncompatible(_) => format!("the server and we have no way in common: {cause}"),
        other => other.to_string(),
    };
    error(format!("TLS: {message}")).with_source(cause)
}

/// Why we do not accept the server's certificate.
fn certificate(fault: &CertificateError, name: &str) -> String {
    match fault {
        CertificateError::UnknownIssuer => {
            "no CA that is trusted has signed the server's certificate (`tls_ca_file` names more)".into()
        }
        CertificateError::ExpiredContext { time, not_after } => {
            format!("the server's certificate expired {} ago", apart(time.as_secs(), not_after.as_secs()))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let wait = apart(not_before.as_secs(), time.as_secs());
            format!("the server's certificate is not valid yet, only in {wait}; are the clocks right?")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "no name".into() } else { names.join(", ") };
            format!(
                "the server's certificate is for {names}, and {name} was asked for \
                 (`tls_server_name`, `tls_check_hostname`)"
            )
        }
        CertificateError::Revoked => "the server's certificate is revoked, says its OCSP response".into(),
        CertificateError::InvalidPurposeContext { .. } => {
            "the server's certificate is not meant for servers".into()
        }
        CertificateError::Other(why) => match why.0.to_string().as_str() {
            "CaUsedAsEndEntity" => "the server shows the certificate of a CA as its own".into(),
            why => format!("the server's certificate is not accepted: {why}"),
        },
        other => format!("the server's certificate is not accepted: {other}"),
    }
}

/// A name without what webpki puts around it: `DnsName("a.example")`, `IpAddress(10.0.0.1)`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest.strip_suffix(')').unwrap_or(rest));
    inner.trim_matches('"')
}

/// Why the server does not accept us.
fn refusal(alert: AlertDescription, name: &str, has_certificate: bool) -> String {
    match alert {
        AlertDescription::CertificateRequired if has_certificate => {
            "the server wants a client certificate, and ours is from no CA it asked for".into()
        }
        AlertDescription::CertificateRequired => {
            "the server wants a client certificate, and none is given (`tls_cert_file`)".into()
        }
        // TLS 1.2 has no alert of its own for it.
        AlertDescription::HandshakeFailure | AlertDescription::BadCertificate if !has_certificate => {
            format!(
                "the server broke the handshake off ({alert:?}); perhaps it wants a client certificate, \
                 and none is given (`tls_cert_file`)"
            )
        }
        AlertDescription::UnknownCA => "the server does not know the CA of our client certificate".into(),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied => format!("the server refuses our client certificate ({alert:?})"),
        AlertDescription::UnrecognisedName => format!("the server does not go by the name {name}"),
        AlertDescription::ProtocolVersion => "the server speaks only versions of TLS before 1.2".into(),
        other => format!("the server broke off ({other:?})"),
    }
}

/// The time between two moments, in seconds since 1970, in the unit that suits it.
fn apart(later: u64, earlier: u64) -> String {
    let seconds = later.saturating_sub(earlier);
    match seconds {
        0..600 => format!("{:?}", Duration::from_secs(seconds)),
        600..7_200 => format!("{} minutes", seconds / 60),
        7_200..172_800 => format!("{} hours", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
