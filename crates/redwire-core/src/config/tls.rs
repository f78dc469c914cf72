//! What TLS is to be like. Promises plain data that never prints a private key or its password. Must not read
//! files: the drivers do, at each connect, so that a renewed certificate is used without a restart.

use std::path::PathBuf;
#[cfg(feature = "tls")]
use std::sync::Arc;

use crate::secret::Secret;

/// The options of TLS; each is documented at its setter in [`ConfigBuilder`](super::ConfigBuilder).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TlsOptions {
    /// A file of CA certificates (PEM).
    pub ca_file: Option<PathBuf>,
    /// A directory of files of CA certificates (PEM).
    pub ca_dir: Option<PathBuf>,
    /// CA certificates (PEM).
    pub ca_bytes: Option<Vec<u8>>,
    /// The client's certificate chain (PEM), for servers that ask for one.
    pub cert: Option<TlsSource>,
    /// The private key that goes with it (PEM).
    pub key: Option<TlsSource>,
    /// What the private key is encrypted with.
    pub key_password: Option<Secret>,
    /// Whether the server's certificate is verified.
    pub verification: Verification,
    /// Whether the certificate must not be for the host that was asked for.
    pub any_host: bool,
    /// The name to ask for (SNI) and to look for in the certificate, in place of the host.
    pub server_name: Option<String>,
    /// What is asked of OCSP.
    pub ocsp: Ocsp,
    /// The certificate (PEM) that must have signed the OCSP response, in place of the issuer or its delegate.
    pub ocsp_responder: Option<TlsSource>,
    /// A configuration of rustls that stands for all of the above but `server_name`.
    #[cfg(feature = "tls")]
    pub config: Option<Arc<rustls::ClientConfig>>,
}

/// Where something in PEM comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsSource {
    /// A file, read again when it changes.
    File(PathBuf),
    /// The text itself. Never printed, since it may be a private key.
    Bytes(Secret),
}

/// Whether the server's certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verification {
    /// Any certificate will do: protects from listeners, not from impostors.
    None,
    /// As [`Required`](Self::Required): a server always shows a certificate. (The word is redis-py's.)
    Optional,
    /// It must be signed by a trusted CA, be valid today and name the host.
    #[default]
    Required,
}

/// What is asked of OCSP ([RFC 6960](https://www.rfc-editor.org/rfc/rfc6960)), the answer to "was this
/// certificate revoked?".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ocsp {
    /// Nothing.
    #[default]
    Off,
    /// An answer that the server staples to its certificate is verified; none is no error unless the
    /// certificate says must-staple ([RFC 7633](https://www.rfc-editor.org/rfc/rfc7633)).
    Stapled,
    /// The server must staple an answer.
    MustStaple,
    /// A good answer that the server staples is enough; without one, the responder is asked that the server's
    /// certificate names. Its answer must be there, too: without one there is no connection.
    Check,
}

impl PartialEq for TlsOptions {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(feature = "tls")]
        let same_config = match (&self.config, &other.config) {
            (None, None) => true,
            (Some(one), Some(another)) => Arc::ptr_eq(one, another),
            _ => false,
        };
        #[cfg(not(feature = "tls"))]
        let same_config = true;
        same_config
            && self.ca_file == other.ca_file
            && self.ca_dir == other.ca_dir
            && self.ca_bytes == other.ca_bytes
            && self.cert == other.cert
            && self.key == other.key
            && self.key_password == other.key_password
            && self.verification == other.verification
            && self.any_host == other.any_host
            && self.server_name == other.server_name
            && self.ocsp == other.ocsp
            && self.ocsp_responder == other.ocsp_responder
    }
}

impl Eq for TlsOptions {}
