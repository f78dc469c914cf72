//! The setters of TLS. Promises the same as its parent: each option is documented with its default and what
//! goes wrong. Must not know how certificates are read or verified.
//!
//! All of them ask for TLS to be used at all ([`tls`](ConfigBuilder::tls), or `rediss` in the URL): an
//! option that would do nothing is an error.

use std::path::PathBuf;
#[cfg(feature = "tls")]
use std::sync::Arc;

use crate::config::{ConfigBuilder, Ocsp, TlsSource, Verification};
use crate::secret::Secret;

impl ConfigBuilder {
    /// A file of CA certificates (PEM), read at connect and again when it changes. Default: none; empty is
    /// none. This file, a directory and bytes add up, and stand in place of the system's certificates: a CA
    /// too few, and connects fail as "unknown CA"; a CA too many, and an attacker with its key can pose as
    /// the server.
    #[doc(alias = "ssl_ca_certs")]
    pub fn tls_ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.tls_options.ca_file = some_path(path);
        self
    }

    /// A directory of files of CA certificates (PEM), as [`tls_ca_file`](Self::tls_ca_file) for each file
    /// in it. Default: none; empty is none.
    #[doc(alias = "ssl_ca_path")]
    pub fn tls_ca_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.tls_options.ca_dir = some_path(path);
        self
    }

    /// CA certificates (PEM) themselves, beside or in place of [`tls_ca_file`](Self::tls_ca_file). Default:
    /// none. Cannot be given in a URL.
    #[doc(alias = "ssl_ca_data")]
    pub fn tls_ca_bytes(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.config.tls_options.ca_bytes = Some(pem.as_ref().to_vec());
        self
    }

    /// The file of the client's certificate (PEM), followed by those between it and the CA. Default: none;
    /// empty is none. Needs a key. A server that asks for one (`tls-auth-clients yes`, its default) refuses
    /// connections without.
    #[doc(alias = "ssl_certfile")]
    pub fn tls_cert_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.tls_options.cert = some_path(path).map(TlsSource::File);
        self
    }

    /// The client's certificate (PEM) itself, in place of [`tls_cert_file`](Self::tls_cert_file). Cannot be
    /// given in a URL.
    pub fn tls_cert_bytes(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.config.tls_options.cert = Some(bytes(pem.as_ref()));
        self
    }

    /// The file of the private key (PEM) of the client's certificate. Default: none; empty is none. Needs a
    /// certificate.
    #[doc(alias = "ssl_keyfile")]
    pub fn tls_key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.tls_options.key = some_path(path).map(TlsSource::File);
        self
    }

    /// The private key (PEM) itself, in place of [`tls_key_file`](Self::tls_key_file). Never printed, and
    /// cannot be given in a URL.
    pub fn tls_key_bytes(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.config.tls_options.key = Some(bytes(pem.as_ref()));
        self
    }

    /// What the private key is encrypted with. Default: none; empty is none. Needs a key, and the feature
    /// `encrypted-keys` of `redwire`.
    #[doc(alias = "ssl_password")]
    pub fn tls_key_password(mut self, password: impl Into<Secret>) -> Self {
        let password = Some(password.into()).filter(|secret| !secret.reveal().is_empty());
        self.config.tls_options.key_password = password;
        self
    }

    /// Whether the server's certificate is verified. Default [`Verification::Required`]; in a URL `none`,
    /// `optional` or `required`. With `none` any party between client and server can read and change
    /// everything.
    #[doc(alias = "ssl_cert_reqs")]
    pub fn tls_verification(mut self, verification: Verification) -> Self {
        self.config.tls_options.verification = verification;
        self
    }

    /// Whether the certificate must be for the host that was asked for. Default true. False, and an attacker
    /// an attacker who has any certificate of the same CA can pose as the server; better name the host in the
    /// certificate by [`tls_server_name`](Self::tls_server_name).
    #[doc(alias = "ssl_check_hostname")]
    pub fn tls_check_hostname(mut self, on: bool) -> Self {
        self.config.tls_options.any_host = !on;
        self
    }

    /// The name to ask for (SNI) and to look for in the certificate. Default: the host; empty is the
    /// default. For servers reached by an address or a tunnel.
    pub fn tls_server_name(mut self, name: impl Into<String>) -> Self {
        self.config.tls_options.server_name = Some(name.into()).filter(|name| !name.is_empty());
        self
    }

    /// Whether it is made sure that the server's certificate was not revoked. Default [`Ocsp::Off`]; in a URL
    /// `off`, `stapled`, `must_staple` or `check`. Off, a revoked certificate is good until it expires; with
    /// `must_staple`, a server that has no fresh answer of its CA cannot be reached. Needs the feature `ocsp`
    /// of `redwire`.
    ///
    /// With `check`, the client asks by HTTP ([RFC 6960](https://www.rfc-editor.org/rfc/rfc6960), appendix A)
    /// the responder that the certificate names in its Authority Information Access, after the TLS handshake
    /// and before anything else is said to the server. The host of the responder is looked up by the
    /// [resolver](Self::resolver), and connected to by the connector where there is one.
    ///
    /// - A good answer that the server staples is enough: then no responder is asked. One that says "revoked"
    ///   is believed, too; any other is as none.
    /// - There is **no connection** if the answer says "revoked" or "unknown", is not for now, or is signed
    ///   neither by the certificate's issuer nor by its delegate (or not by the one expected), if the
    ///   certificate names no responder, and if the responder gives no answer: its outage is one of new
    ///   connections. Only where it could not be asked is the error
    ///   [retryable](crate::Error::is_retryable).
    /// - Asking takes at most 5 s, and at most 9 in 10 parts of what is left of the
    ///   [`connect_timeout`](Self::connect_timeout) (or of the call that wants the connection); where a
    ///   certificate names several responders, they are asked one after the other, and share that time.
    ///   Only `http://` is asked, as CAs use it, and no redirect is followed.
    /// - An answer is believed until its `nextUpdate`, and one without for a minute. All connections of a
    ///   client share the answers, those to the nodes of a cluster included, and of those that want to know
    ///   the same at a time one asks. The answers are forgotten when a file of certificates changes.
    /// - A TLS session that is resumed is checked as any other: mostly by an answer that is there already.
    ///
    /// The responder learns which server is connected to: that is why this is not the default.
    ///
    /// redis-py's `ssl_validate_ocsp_stapled=true` is `must_staple`, and its `ssl_validate_ocsp=true` is
    /// `check`. Where a URL has both, the last one holds.
    #[doc(alias = "ssl_validate_ocsp_stapled")]
    #[doc(alias = "ssl_validate_ocsp")]
    pub fn tls_ocsp(mut self, ocsp: Ocsp) -> Self {
        self.config.tls_options.ocsp = ocsp;
        self
    }

    /// The file of the certificate (PEM) that must have signed the OCSP answer. Default: none, which is the
    /// CA or whom it named for that; empty is none. Needs [`tls_ocsp`](Self::tls_ocsp).
    #[doc(alias = "ssl_ocsp_expected_cert")]
    pub fn tls_ocsp_responder_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.tls_options.ocsp_responder = some_path(path).map(TlsSource::File);
        self
    }

    /// That certificate (PEM) itself, in place of
    /// [`tls_ocsp_responder_file`](Self::tls_ocsp_responder_file). Cannot be given in a URL.
    pub fn tls_ocsp_responder_bytes(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.config.tls_options.ocsp_responder = Some(bytes(pem.as_ref()));
        self
    }

    /// A configuration of rustls, used as it stands, in place of all other options of TLS but
    /// [`tls_server_name`](Self::tls_server_name). Default: none. What it verifies, or fails to, is its
    /// maker's affair.
    #[doc(alias = "ssl_ocsp_context")]
    #[cfg(feature = "tls")]
    pub fn tls_config(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.config.tls_options.config = Some(config);
        self
    }
}

fn some_path(path: impl Into<PathBuf>) -> Option<PathBuf> {
    Some(path.into()).filter(|path| !path.as_os_str().is_empty())
}

/// PEM is ASCII; what is not stands in its comments, or is no PEM and fails when it is read.
fn bytes(pem: &[u8]) -> TlsSource {
    TlsSource::Bytes(Secret::new(String::from_utf8_lossy(pem)))
}
