//! Whether a server's certificate is accepted.
//!
//! Leaves chains, times and names to webpki, and decides only which of its verdicts count. Must not know
//! how the CAs came to be trusted.

use std::sync::Arc;

use redwire_core::Result;
use redwire_core::config::{TlsOptions, Verification};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

#[cfg(feature = "ocsp")]
use super::ocsp::Checker;
use super::{fault, files};

#[derive(Debug)]
pub(super) struct Verifier {
    /// `None`: any certificate will do.
    chain: Option<Arc<WebPkiServerVerifier>>,
    any_host: bool,
    algorithms: WebPkiSupportedAlgorithms,
    #[cfg(feature = "ocsp")]
    ocsp: Option<Arc<Checker>>,
}

impl Verifier {
    pub(super) fn new(options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let algorithms = provider.signature_verification_algorithms;
        if options.verification == Verification::None {
            return Ok(Self {
                chain: None,
                any_host: true,
                algorithms,
                #[cfg(feature = "ocsp")]
                ocsp: None,
            });
        }
        let roots = Arc::new(files::roots(options)?);
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider))
            .build()
            .map_err(|error| fault::error("TLS: no CA is trusted").with_source(error))?;
        Ok(Self {
            chain: Some(chain),
            any_host: options.any_host,
            algorithms,
            #[cfg(feature = "ocsp")]
            ocsp: Checker::new(options, roots, algorithms)?,
        })
    }
}

#[cfg(feature = "ocsp")]
impl Verifier {
    /// What is asked of OCSP.
    pub(super) fn ocsp(&self) -> Option<&Arc<Checker>> {
        self.ocsp.as_ref()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: the chain is in order.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_host => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        #[cfg(feature = "ocsp")]
        if let Some(ocsp) = &self.ocsp {
            ocsp.check_staple(end_entity, intermediates, ocsp_response, now)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
