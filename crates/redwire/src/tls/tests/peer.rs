//! The server's side of a session, in memory. Knows nothing of what the client under test does with it.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use redwire_core::Result;
use redwire_core::config::TlsOptions;
use redwire_testkit::{Authority, Identity};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::super::{self as tls, TlsConnector, TlsSession};

static TLS12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];

/// How a server is set up.
pub(super) struct Setup<'a> {
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) clients: Option<&'a Authority>,
    pub(super) ocsp: Vec<u8>,
}

impl<'a> Setup<'a> {
    pub(super) fn new(identity: &Identity) -> Self {
        Self::showing(&identity.cert_der)
    }

    pub(super) fn showing(certificate: &CertificateDer<'static>) -> Self {
        let chain = vec![certificate.clone()];
        Self { versions: rustls::ALL_VERSIONS, chain, clients: None, ocsp: Vec::new() }
    }

    pub(super) fn tls12(mut self) -> Self {
        self.versions = &TLS12;
        self
    }

    pub(super) fn clients_of(mut self, authority: &'a Authority) -> Self {
        self.clients = Some(authority);
        self
    }

    #[cfg(feature = "ocsp")]
    pub(super) fn staple(mut self, response: Vec<u8>) -> Self {
        self.ocsp = response;
        self
    }

    /// For a server that has the key of `identity`, whether or not it belongs to the certificate.
    pub(super) fn config(self, identity: &Identity) -> Arc<ServerConfig> {
        let provider = Arc::new(tls::provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .unwrap();
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = provider.key_provider.load_private_key(identity.key_der.clone_key()).unwrap();
        let mut shown = CertifiedKey::new(self.chain, key);
        shown.ocsp = Some(self.ocsp).filter(|response| !response.is_empty());
        Arc::new(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown))))
    }
}

/// A server that was connected to.
pub(super) struct Peer(pub(super) ServerConnection);

impl Peer {
    pub(super) fn new(config: &Arc<ServerConfig>) -> Self {
        Self(ServerConnection::new(Arc::clone(config)).unwrap())
    }

    /// Takes ciphertext; returns the plaintext in it.
    pub(super) fn receive(&mut self, mut cipher: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !cipher.is_empty() {
            self.0.read_tls(&mut cipher).unwrap();
            if self.0.process_new_packets().is_err() {
                break;
            }
            // "Would block" ends what there is to read.
            let _ = self.0.reader().read_to_end(&mut plain);
        }
        plain
    }

    /// All ciphertext that waits.
    pub(super) fn transmit(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut out).unwrap();
        }
        out
    }

    pub(super) fn send(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut left = plain;
        while !left.is_empty() {
            let taken = self.0.writer().write(left).unwrap();
            left = &left[taken..];
            out.extend(self.transmit());
        }
        out
    }
}

/// Lets both talk until neither has anything to say.
pub(super) fn talk(session: &TlsSession, peer: &mut Peer) -> Result<()> {
    loop {
        let mut ours = Vec::new();
        session.poll_transmit(&mut ours);
        peer.receive(&ours);
        let theirs = peer.transmit();
        session.decrypt(&theirs, &mut BytesMut::new())?;
        if ours.is_empty() && theirs.is_empty() {
            return Ok(());
        }
    }
}

/// Connects with `options` to a server that goes by `host`.
pub(super) fn connect(
    options: &TlsOptions,
    host: &str,
    config: &Arc<ServerConfig>,
) -> Result<(TlsSession, Peer)> {
    connect_again(&TlsConnector::new(options, host)?, config)
}

pub(super) fn connect_again(
    connector: &TlsConnector,
    config: &Arc<ServerConfig>,
) -> Result<(TlsSession, Peer)> {
    let (session, mut peer) = (connector.session()?, Peer::new(config));
    assert!(session.is_handshaking());
    talk(&session, &mut peer)?;
    assert!(!session.is_handshaking() && !peer.0.is_handshaking() && !session.is_closed());
    Ok((session, peer))
}

/// Options that trust `authority`.
pub(super) fn trusting(authority: &Authority) -> TlsOptions {
    let mut options = TlsOptions::default();
    options.ca_bytes = Some(authority.pem().into());
    options
}
