//! Certificates with their keys, sound ones and such as a client has to refuse.
//!
//! Dates lie decades off, so that no test depends on the day it runs. It doesn't know who uses them.

use std::path::PathBuf;

use pkcs8::der::pem::PemLabel as _;
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo};
use rcgen::{
    CertificateParams, CertifiedIssuer, CustomExtension, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use super::ocsp::{SEQUENCE, element};
use super::{directory, write};

/// The TLS feature extension, by which a certificate says must-staple, and its content for OCSP (RFC 7633).
const TLS_FEATURE: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 24];
const STATUS_REQUEST: [u8; 5] = [0x30, 0x03, 0x02, 0x01, 0x05];

/// The Authority Information Access extension (RFC 5280), and the DER of its method for OCSP responders.
const AUTHORITY_INFO_ACCESS: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 1];
const OCSP_METHOD: &[u8] = b"\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01";

/// As OpenSSL has them: it need not be safe.
const ITERATIONS: u32 = 2048;

/// A certificate and its private key, in each form an option may want them. Dropping it removes the files.
#[derive(Debug)]
#[non_exhaustive]
pub struct Identity {
    /// The certificate, as PEM.
    pub cert_pem: String,
    /// The private key (PKCS#8), as PEM.
    pub key_pem: String,
    /// The file with `cert_pem`.
    pub cert_file: PathBuf,
    /// The file with `key_pem`.
    pub key_file: PathBuf,
    /// The certificate, as DER.
    pub cert_der: CertificateDer<'static>,
    /// The private key (PKCS#8), as DER.
    pub key_der: PrivateKeyDer<'static>,
    /// The certificate's serial number, the highest byte first.
    pub serial: Vec<u8>,
    _dir: TempDir,
}

impl Identity {
    /// The private key encrypted with a password (PBES2: PBKDF2 and AES-256), as PEM:
    /// `-----BEGIN ENCRYPTED PRIVATE KEY-----`.
    pub fn encrypted_key_pem(&self, password: &str) -> String {
        let (salt, start) = (fastrand::u128(..).to_be_bytes(), fastrand::u128(..).to_be_bytes());
        let parameters = Parameters::pbkdf2_sha256_aes256cbc(ITERATIONS, &salt, &start);
        let parameters = parameters.expect("the salt is long enough");
        let key = PrivateKeyInfo::try_from(self.key_der.secret_der()).expect("the key is PKCS#8");
        let encrypted = key.encrypt_with_params(parameters, password).expect("a key can be encrypted");
        let pem = encrypted.to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF);
        pem.expect("bytes can be written as PEM").to_string()
    }
}

/// What a certificate is to be like. Made by [`Authority::identity`](super::Authority::identity); without
/// more it is a sound server's.
#[derive(Debug)]
#[must_use]
pub struct IdentityBuilder<'a> {
    issuer: &'a CertifiedIssuer<'static, KeyPair>,
    params: CertificateParams,
}

impl<'a> IdentityBuilder<'a> {
    pub(super) fn new(issuer: &'a CertifiedIssuer<'static, KeyPair>, names: &[&str]) -> Self {
        let alternatives: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(alternatives).expect("host names are ASCII");
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Self { issuer, params }
    }

    /// Valid until 2001 only.
    pub fn expired(mut self) -> Self {
        self.params.not_after = date_time_ymd(2001, 1, 1);
        self
    }

    /// Valid from 3001 on.
    pub fn not_yet_valid(mut self) -> Self {
        self.params.not_before = date_time_ymd(3001, 1, 1);
        self
    }

    /// With the extension that says must-staple: good only with a stapled OCSP response.
    pub fn must_staple(mut self) -> Self {
        let extension = CustomExtension::from_oid_content(&TLS_FEATURE, STATUS_REQUEST.to_vec());
        self.params.custom_extensions.push(extension);
        self
    }

    /// Names the OCSP responders at these URLs, in Authority Information Access.
    pub fn ocsp_urls(mut self, urls: &[&str]) -> Self {
        let named =
            urls.iter().map(|url| element(SEQUENCE, &[OCSP_METHOD, &element(0x86, &[url.as_bytes()])]));
        let content = element(SEQUENCE, &[&named.collect::<Vec<_>>().concat()]);
        let extension = CustomExtension::from_oid_content(&AUTHORITY_INFO_ACCESS, content);
        self.params.custom_extensions.push(extension);
        self
    }

    /// For a client, in place of a server.
    pub fn client(self) -> Self {
        self.usage(ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// For a server that is the client of other servers, too.
    pub fn peer(mut self) -> Self {
        self.params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self
    }

    /// For a delegate that signs OCSP responses for the authority, in place of a server.
    pub fn ocsp_responder(self) -> Self {
        self.usage(ExtendedKeyUsagePurpose::OcspSigning)
    }

    /// Makes a key, signs the certificate and writes both to files.
    ///
    /// # Panics
    ///
    /// If the files can't be written.
    pub fn issue(mut self) -> Identity {
        // Neither zeros in front nor the highest bit: a DER number is the shortest one, and has a sign.
        let serial = fastrand::u64(1 << 56..1 << 63).to_be_bytes().to_vec();
        self.params.serial_number = Some(SerialNumber::from_slice(&serial));
        let key = KeyPair::generate().expect("the system has random numbers");
        let cert = self.params.signed_by(&key, self.issuer).expect("the authority's key signs");
        let (dir, cert_pem, key_pem) = (directory(), cert.pem(), key.serialize_pem());
        Identity {
            cert_file: write(&dir, "cert.pem", &cert_pem),
            key_file: write(&dir, "key.pem", &key_pem),
            cert_pem,
            key_pem,
            cert_der: cert.der().clone(),
            key_der: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            serial,
            _dir: dir,
        }
    }

    fn usage(mut self, usage: ExtendedKeyUsagePurpose) -> Self {
        self.params.extended_key_usages = vec![usage];
        self
    }
}
