//! TLS for both drivers, by rustls: who is trusted, who we are, and the ciphertext of one connection.
//!
//! Promises that certificates and keys are read again when their files change, that all connections of a
//! client share what resumes a session, that a failure says its cause, and that nothing ever goes out in
//! the clear. Must not know sockets: bytes come in and go out as slices.

mod fault;
mod files;
#[cfg(feature = "ocsp")]
mod ocsp;
mod outgoing;
mod session;
#[cfg(test)]
mod tests;
mod verifier;

use std::sync::Arc;

use redwire_core::config::{Ocsp, TlsOptions, Verification};
use redwire_core::{Error, ErrorKind, Outcome, Result};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, InconsistentKeys};

use files::Stamps;
#[cfg(feature = "ocsp")]
pub(crate) use ocsp::{HttpExchange, OcspStep};
pub(crate) use outgoing::Ciphertext;
pub(crate) use session::TlsSession;
use verifier::Verifier;

use crate::shared::sync::Mutex;

/// Makes the TLS sessions of one client.
#[derive(Debug)]
pub(crate) struct TlsConnector {
    options: TlsOptions,
    name: ServerName<'static>,
    built: Mutex<Option<Built>>,
}

/// What was made of the files as they were when `stamps` were taken.
#[derive(Debug)]
struct Built {
    parts: SessionParts,
    stamps: Stamps,
}

/// What a session is made of.
#[derive(Clone, Debug)]
struct SessionParts {
    config: Arc<ClientConfig>,
    #[cfg(feature = "ocsp")]
    ocsp: Option<Arc<ocsp::Checker>>,
}

impl TlsConnector {
    /// For connections to `host`, unless the options name another. Reads no file yet.
    ///
    /// Options that contradict each other are an error, and so is a host that can stand in no certificate.
    pub(crate) fn new(options: &TlsOptions, host: &str) -> Result<Self> {
        let name = server_name(options.server_name.as_deref().unwrap_or(host))?;
        check(options)?;
        Ok(Self { options: options.clone(), name, built: Mutex::new(None) })
    }

    /// A session for one connection to `host`, unless the options name another, with certificates and keys as
    /// their files have them now: it asks the file system whether they changed, and reads them if so.
    ///
    /// A file that cannot be read or makes no sense is an error the first time; later, when it is being
    /// replaced perhaps, what was read before goes on to serve.
    pub(crate) fn session_for(&self, host: &str) -> Result<TlsSession> {
        let name = match &self.options.server_name {
            Some(_) => self.name.clone(),
            None => server_name(host)?,
        };
        TlsSession::new(self.parts()?, name)
    }

    fn parts(&self) -> Result<SessionParts> {
        if let Some(config) = &self.options.config {
            return Ok(SessionParts {
                config: Arc::clone(config),
                #[cfg(feature = "ocsp")]
                ocsp: None,
            });
        }
        // Taken before the reading: a change in between shows at the next connect.
        let stamps = files::stamps(&self.options);
        let mut built = self.built.lock();
        match &*built {
            Some(built) if built.stamps == stamps => return Ok(built.parts.clone()),
            _ => {}
        }
        match (build(&self.options), &*built) {
            (Ok(parts), _) => {
                *built = Some(Built { parts: parts.clone(), stamps });
                Ok(parts)
            }
            (Err(_), Some(before)) => Ok(before.parts.clone()),
            (Err(error), None) => Err(error),
        }
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|error| {
        refused(format!("TLS: {name:?} is neither a host name nor an IP address")).with_source(error)
    })
}

/// Refuses what cannot be meant, before any connection is tried.
fn check(options: &TlsOptions) -> Result<()> {
    if options.config.is_some() {
        return Ok(());
    }
    if options.cert.is_some() != options.key.is_some() {
        return Err(refused(
            "TLS: a client certificate and its key go together (`tls_cert_file`, `tls_key_file`)",
        ));
    }
    if options.ocsp == Ocsp::Off {
        return Ok(());
    }
    if cfg!(not(feature = "ocsp")) {
        return Err(refused(
            "TLS: `tls_ocsp` (`ssl_validate_ocsp`, `ssl_validate_ocsp_stapled`) needs the feature `ocsp` of \
             redwire",
        ));
    }
    if options.verification == Verification::None {
        return Err(refused(
            "TLS: `tls_ocsp` asks whether a certificate is revoked, `tls_verification=none` trusts any",
        ));
    }
    Ok(())
}

fn build(options: &TlsOptions) -> Result<SessionParts> {
    let provider = Arc::new(provider());
    let verifier = Arc::new(Verifier::new(options, &provider)?);
    Ok(SessionParts {
        #[cfg(feature = "ocsp")]
        ocsp: verifier.ocsp().cloned(),
        config: Arc::new(config(options, provider, verifier)?),
    })
}

fn config(
    options: &TlsOptions,
    provider: Arc<CryptoProvider>,
    verifier: Arc<Verifier>,
) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault::error("TLS: the library lacks a protocol version").with_source(error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let (Some(cert), Some(key)) = (&options.cert, &options.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let shown = identity(
        files::chain(cert)?,
        files::key(key, options.key_password.as_ref())?,
        builder.crypto_provider(),
    );
    let shown = shown.map_err(fault::client_certificate)?;
    Ok(builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown))))
}

/// The certificate and key that we show. That they go together is made sure of; whether the certificate is
/// one that we would accept ourselves is not asked, for servers accept more, such as those of version 1.
fn identity(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, rustls::Error> {
    let shown = CertifiedKey::new(chain, provider.key_provider.load_private_key(key)?);
    match shown.keys_match() {
        Ok(())
        | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown))
        | Err(rustls::Error::InvalidCertificate(CertificateError::Other(_))) => Ok(shown),
        Err(error) => Err(error),
    }
}

/// The cryptography in use, whatever the program has chosen for its other connections.
fn provider() -> CryptoProvider {
    ring::default_provider()
}

/// An option has a value it cannot have.
fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, Outcome::NotSent, message)
}
