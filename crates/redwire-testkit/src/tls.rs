//! Certificates of the kit's own, and the front that serves TLS with them ([`TlsFront`]).
//!
//! An [`Authority`] is a CA that is trusted only where its certificate was given; what it signs is an
//! [`Identity`]. Nothing here knows how the client under test verifies anything.

mod front;
mod identity;
mod ocsp;

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SigningKey as _,
};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

pub use self::front::{Target, TlsFront, TlsFrontBuilder};
pub use self::identity::{Identity, IdentityBuilder};
pub use self::ocsp::OcspBuilder;

/// A certificate authority of a test's own: it signs the certificates of servers and clients.
///
/// Each has a key and a name of its own, so that what one has signed is unknown to programs that trust
/// another.
///
/// ```
/// let authority = redwire_testkit::Authority::new();
/// let server = authority.server();
/// let expired = authority.identity(&["localhost"]).expired().issue();
/// assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// assert_ne!(server.cert_pem, expired.cert_pem);
/// ```
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
    pem_file: PathBuf,
    _dir: TempDir,
}

impl Authority {
    /// Makes a new one; its certificate is valid at any time a test may run.
    ///
    /// # Panics
    ///
    /// If its file can't be written.
    #[expect(clippy::new_without_default, reason = "each is another one, with files: no default")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("redwire test CA {:08x}", fastrand::u32(..)));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("the system has random numbers");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a new key signs");
        let (dir, pem) = (directory(), issuer.pem());
        let pem_file = write(&dir, "ca.pem", &pem);
        Self { issuer, pem, pem_file, _dir: dir }
    }

    /// Its certificate, as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The file with its certificate (PEM), the only one in its directory.
    pub fn pem_file(&self) -> &Path {
        &self.pem_file
    }

    /// Its certificate, as DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// Its private key (PKCS#8), as PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Signs any bytes with its key, an OCSP response say: ECDSA on P-256 with SHA-256, the signature as DER.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.issuer.key().sign(message).expect("the system has random numbers")
    }

    /// Issues what a sound server on this machine needs: for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Panics
    ///
    /// As [`IdentityBuilder::issue`].
    pub fn server(&self) -> Identity {
        self.local().issue()
    }

    /// Issues a sound client certificate.
    ///
    /// # Panics
    ///
    /// As [`IdentityBuilder::issue`].
    pub fn client(&self, name: &str) -> Identity {
        self.identity(&[name]).client().issue()
    }

    /// To issue any other certificate, for these host names and IP addresses. The first one is its subject's
    /// common name too.
    ///
    /// # Panics
    ///
    /// If a name isn't ASCII.
    pub fn identity(&self, names: &[&str]) -> IdentityBuilder<'_> {
        IdentityBuilder::new(&self.issuer, names)
    }

    /// To issue another certificate for this machine.
    pub(crate) fn local(&self) -> IdentityBuilder<'_> {
        self.identity(&["localhost", "127.0.0.1", "::1"])
    }

    /// To make an OCSP response for the certificate with this one's number. It need not have been signed by
    /// this authority: then it is the wrong response, or the wrong signer.
    pub fn ocsp<'a>(&'a self, identity: &Identity) -> OcspBuilder<'a> {
        OcspBuilder::new(&self.issuer, identity)
    }
}

/// A directory of one's own, that goes with its handle.
fn directory() -> TempDir {
    tempfile::Builder::new().prefix("redwire-").tempdir().expect("a directory can be made")
}

fn write(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, text).expect("a new directory has room for a file");
    path
}
