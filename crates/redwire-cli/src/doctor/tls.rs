//! The layer of TLS: what the server shows, and why the library does not accept it, if it does not.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use redwire::config::{Config, Verification};
use redwire::rustls::{AlertDescription, CertificateError, Error as TlsError};
use redwire::{ConnectionFault, Error, ErrorKind};
use serde_json::Value as Json;

use super::certificate::Facts;
use super::inspect::{self, Answer, TlsDetails};
use super::report::{Finding, Layer};

/// A certificate that expires within so many days is worth a warning.
const SOON: i64 = 14;

/// How long the peer may take to say what it is.
const LOOK: Duration = Duration::from_secs(1);

/// Looks at the server's TLS. `connected` is how the library's connection fared.
pub(crate) async fn examine(
    config: &Config,
    address: SocketAddr,
    host: &str,
    connected: Option<&Error>,
) -> Layer {
    let limit = config.connect_timeout();
    let name = config.tls_options().server_name.as_deref().unwrap_or(host);
    let mut layer = Layer::new("tls");
    let begun = Instant::now();
    let seen = inspect::tls(address, name, limit).await;
    layer.took(begun.elapsed());
    describe(&mut layer, &seen, name);
    let fault = connected.filter(|error| error.kind() == ErrorKind::Connection(ConnectionFault::Tls));
    let fault = match fault {
        Some(error) => Some(refused(error, address, name, limit).await),
        None => match connected.and(seen.fault.as_ref()).filter(|_| seen.chain.is_empty()) {
            Some(fault) => Some(no_session(fault, address, name, limit).await),
            None => None,
        },
    };
    match fault {
        Some(finding) => layer.found(finding),
        None => warn(&mut layer, config, &seen),
    }
    layer
}

fn describe(layer: &mut Layer, seen: &TlsDetails, name: &str) {
    let now = SystemTime::now();
    let chain: Vec<Facts> = seen.chain.iter().filter_map(|der| Facts::read(der)).collect();
    layer.detail("version", seen.version.clone());
    layer.detail("cipher", seen.cipher.clone());
    layer.detail("server_name", name);
    layer.detail("chain", chain.iter().map(|facts| facts.to_json(now)).collect::<Vec<Json>>());
    let Some(first) = chain.first() else { return };
    let version = seen.version.as_deref().map_or_else(String::new, |version| format!("{version}, "));
    let until = match first.days_left(now) {
        left if left < 0 => format!("expired {} days ago", -left),
        left => format!("{left} days left"),
    };
    layer.summary(format!("{version}for {}; by {}; {until}", first.names.join(", "), first.issuer));
}

fn warn(layer: &mut Layer, config: &Config, seen: &TlsDetails) {
    let options = config.tls_options();
    if options.verification == Verification::None {
        layer.found(Finding::warning(
            "The server's certificate is not verified: an attacker on the way can pose as the server.",
            "Leave out `tls_verification=none` (`--tls-insecure`), and name the CA with `tls_ca_file`.",
        ));
    } else if options.any_host {
        layer.found(Finding::warning(
            "The certificate may be for any host: the owner of any other certificate of that CA can pose as \
             the server.",
            "Leave out `tls_check_hostname=false`, or say with `tls_server_name` which name it has.",
        ));
    }
    let Some(first) = seen.chain.first().and_then(|der| Facts::read(der)) else { return };
    let left = first.days_left(SystemTime::now());
    if (0..SOON).contains(&left) {
        layer.found(Finding::warning(
            format!("The server's certificate expires in {left} days, on {}.", first.not_after),
            "Renew it now, and see why that does not happen by itself.",
        ));
    }
}

/// No connection, and no certificate seen: what became of the handshake.
async fn no_session(fault: &io::Error, address: SocketAddr, name: &str, limit: Duration) -> Finding {
    let (meaning, advice) = match fault.kind() {
        io::ErrorKind::TimedOut => (
            "The peer accepts connections and does not answer the first message of TLS.".to_owned(),
            "It is frozen or overloaded, or a firewall drops what follows the connect, or it speaks another \
             protocol and waits for more.",
        ),
        _ => (
            format!("The TLS handshake broke off: {fault}."),
            "See the server's log; perhaps the port speaks another protocol, or a device on the way \
             intercepts TLS.",
        ),
    };
    stranger(meaning, advice, address, name, limit).await
}

/// Why the library has no TLS session with this server.
async fn refused(error: &Error, address: SocketAddr, name: &str, limit: Duration) -> Finding {
    let meaning = sentence(error.message());
    let advice = match cause(error) {
        Some(TlsError::InvalidCertificate(fault)) => certificate(fault),
        Some(TlsError::AlertReceived(alert)) => refusal(*alert),
        Some(TlsError::InvalidMessage(_)) | None => {
            let advice =
                "Check the port, and the server's log; a balancer without a server behind it ends like this.";
            return stranger(meaning, advice, address, name, limit).await;
        }
        Some(TlsError::PeerIncompatible(_)) => {
            "Allow TLS 1.2 or 1.3 with a modern cipher at the server (`tls-protocols`, `tls-ciphers`)."
        }
        Some(_) => "See the server's log for its side of it.",
    };
    Finding::bad(meaning, advice)
}

fn certificate(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "Renew the server's certificate, and make the server load it (`CONFIG SET tls-cert-file …`, or a \
             restart)."
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "Compare the clocks of both machines; if they are right, wait or issue another certificate."
        }
        CertificateError::UnknownIssuer => {
            "Name the CA that signed it with `--tls-ca-file` (`tls_ca_file`). If it is a well-known one, the \
             server may fail to send the certificates in between: put them into its certificate file."
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "Connect by a name that is in the certificate, or give it with `--tls-server-name`; or issue \
             a certificate for this one."
        }
        CertificateError::Revoked => "Issue another certificate; ask why this one was revoked.",
        _ => {
            "Issue another certificate, for a server (`extendedKeyUsage=serverAuth`), of version 3, not a \
             CA's own."
        }
    }
}

fn refusal(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnrecognisedName => "Give the name of the server with `--tls-server-name`.",
        AlertDescription::ProtocolVersion => "Allow TLS 1.2 or 1.3 at the server (`tls-protocols`).",
        _ => {
            "Give a client certificate and its key with `--tls-cert-file` and `--tls-key-file`, signed by \
             the CA that the server trusts (`tls-ca-cert-file`); or set `tls-auth-clients no` at the \
             server."
        }
    }
}

/// The failure is none of rustls's own, or the peer speaks no TLS: what is it then?
/// `advice` is for when that cannot be told.
async fn stranger(
    meaning: String,
    advice: &str,
    address: SocketAddr,
    name: &str,
    limit: Duration,
) -> Finding {
    match inspect::clear(address, name, limit.min(LOOK)).await {
        Answer::Redis => Finding::bad(
            format!("{meaning} It answers in the clear: this is a Redis port without TLS."),
            "Use `redis://` (no `--tls`), or the port that the server has for TLS (`tls-port`).",
        ),
        Answer::Http(line) => Finding::bad(
            format!("{meaning} It is a web server without TLS: it said `{line}`."),
            "Check the port.",
        ),
        Answer::Other(line) => Finding::bad(
            format!("{meaning} It is another kind of server: it said `{line}`."),
            "Check the port.",
        ),
        // It does speak TLS, so the trouble is on this side: a file, say, and the message names it.
        Answer::Tls => Finding::bad(meaning, "Check the files and the options of TLS on this side."),
        Answer::Closes | Answer::Silent => Finding::bad(meaning, advice),
    }
}

/// What rustls said, behind the library's error.
fn cause(error: &Error) -> Option<&TlsError> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(found) = cause.downcast_ref::<TlsError>() {
            return Some(found);
        }
        source = cause.source();
    }
    None
}

/// `TLS: the server …` as a sentence.
pub(crate) fn sentence(message: &str) -> String {
    let message = message.strip_prefix("TLS: ").unwrap_or(message);
    let mut letters = message.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().collect::<String>()).unwrap_or_default();
    let end = if message.ends_with(['.', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
