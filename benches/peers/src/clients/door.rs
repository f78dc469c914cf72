//! What a client must know to be let in: address, password, and the authority to trust where TLS is
//! spoken. It knows no client.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::Fallible;
use crate::data::PASSWORD;
use crate::workload::Security;

/// The way into a server that wants a password.
pub struct Door {
    /// `host:port`.
    pub addr: String,
    /// Whether TLS is spoken.
    pub security: Security,
    /// The certificate of the authority to trust (PEM); empty without TLS.
    pub ca: String,
}

impl Door {
    /// Reads the certificate from its file.
    ///
    /// # Errors
    /// Fails if TLS is to be spoken and there is no such file.
    pub fn new(addr: &str, security: Security, ca: Option<&Path>) -> Fallible<Self> {
        let ca = match (security, ca) {
            (Security::Plain, _) => String::new(),
            (_, Some(file)) => fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?,
            (_, None) => return Err("TLS needs --ca FILE: the certificate of the authority to trust".into()),
        };
        Ok(Self { addr: addr.to_owned(), security, ca })
    }

    /// The address as a URL, with the password.
    pub fn url(&self) -> String {
        let scheme = if self.security == Security::Plain { "redis" } else { "rediss" };
        format!("{scheme}://:{PASSWORD}@{}", self.addr)
    }

    /// For clients that take a configuration of rustls, which keeps the sessions: made once. It resumes none
    /// where each handshake is to be a whole one. Nothing without TLS.
    ///
    /// # Errors
    /// Fails if the certificate is none.
    pub fn rustls(&self) -> Fallible<Option<Arc<ClientConfig>>> {
        if self.security == Security::Plain {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca.as_bytes())?)?;
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        if self.security == Security::Tls {
            config.resumption = Resumption::disabled();
        }
        Ok(Some(Arc::new(config)))
    }
}
