//! OCSP responses (RFC 6960), sound ones and such as a client has to refuse, as DER to be stapled.
//!
//! Written by hand, byte by byte, so that what reads them in tests was not made by what wrote them. Dates lie
//! decades off, so that no test depends on the day it runs.

use rcgen::{CertifiedIssuer, KeyPair, SigningKey as _};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

use super::Identity;

/// Algorithms as they stand in DER: SHA-1 and SHA-256, and ECDSA with SHA-256.
const SHA1_ID: &[u8] = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
const SHA256_ID: &[u8] = b"\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00";
const ECDSA_ID: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";

/// The name of the common kind of response.
const BASIC: &[u8] = b"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01";

pub(super) const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const TIME: u8 = 0x18;

/// What an OCSP response is to say. Made by [`Authority::ocsp`](super::Authority::ocsp); without more it says
/// that the certificate is good, by SHA-1, signed by the authority itself, valid from 2001 to 3001.
#[derive(Debug)]
#[must_use]
pub struct OcspBuilder<'a> {
    issuer: &'a CertifiedIssuer<'static, KeyPair>,
    serial: Vec<u8>,
    status: Vec<u8>,
    updates: [&'static str; 2],
    sha256: bool,
    delegate: Option<&'a Identity>,
}

impl<'a> OcspBuilder<'a> {
    pub(super) fn new(issuer: &'a CertifiedIssuer<'static, KeyPair>, identity: &Identity) -> Self {
        let (serial, status) = (identity.serial.clone(), element(0x80, &[]));
        let updates = ["20010101000000Z", "30010101000000Z"];
        Self { issuer, serial, status, updates, sha256: false, delegate: None }
    }

    /// The certificate is revoked.
    pub fn revoked(mut self) -> Self {
        self.status = element(0xa1, &[&element(TIME, &[b"20020101000000Z"])]);
        self
    }

    /// The responder doesn't know the certificate.
    pub fn unknown(mut self) -> Self {
        self.status = element(0x82, &[]);
        self
    }

    /// The response was valid until 2002 only.
    pub fn expired(mut self) -> Self {
        self.updates[1] = "20020101000000Z";
        self
    }

    /// The response is valid from 3000 on.
    pub fn not_yet_valid(mut self) -> Self {
        self.updates[0] = "30000101000000Z";
        self
    }

    /// Names the authority by SHA-256 hashes.
    pub fn sha256(mut self) -> Self {
        self.sha256 = true;
        self
    }

    /// Signed by this one, whose certificate is enclosed, in place of the authority. Whether it may do so is
    /// left to the test; see [`IdentityBuilder::ocsp_responder`](super::IdentityBuilder::ocsp_responder).
    pub fn signed_by(mut self, delegate: &'a Identity) -> Self {
        self.delegate = Some(delegate);
        self
    }

    /// Signs it.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers.
    pub fn build(&self) -> Vec<u8> {
        let delegate = self.delegate.map(|identity| {
            let key = KeyPair::from_pem(&identity.key_pem).expect("the kit wrote this key");
            (identity, key)
        });
        let signer = delegate.as_ref().map_or_else(|| self.issuer.key(), |(_, key)| key);
        let data = self.data(signer);
        let signature = signer.sign(&data).expect("the system has random numbers");
        let mut parts = vec![data, ECDSA_ID.to_vec(), element(0x03, &[&[0], &signature])];
        if let Some((identity, _)) = &delegate {
            parts.push(element(0xa0, &[&element(SEQUENCE, &[&identity.cert_der])]));
        }
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let basic = element(OCTETS, &[&element(SEQUENCE, &parts)]);
        let successful: &[u8] = b"\x0a\x01\x00";
        element(SEQUENCE, &[successful, &element(0xa0, &[&element(SEQUENCE, &[BASIC, &basic])])])
    }

    /// What is signed: who says so, when, and the one answer.
    fn data(&self, signer: &KeyPair) -> Vec<u8> {
        let responder = element(0xa2, &[&hashed(&SHA1_FOR_LEGACY_USE_ONLY, signer.public_key_raw())]);
        let [from, until] = self.updates.map(|time| element(TIME, &[time.as_bytes()]));
        let (algorithm, id) =
            if self.sha256 { (&SHA256, SHA256_ID) } else { (&SHA1_FOR_LEGACY_USE_ONLY, SHA1_ID) };
        let name = hashed(algorithm, subject(self.issuer.der()));
        let key = hashed(algorithm, self.issuer.key().public_key_raw());
        let certificate = element(SEQUENCE, &[id, &name, &key, &element(0x02, &[&self.serial])]);
        let answer = element(SEQUENCE, &[&certificate, &self.status, &from, &element(0xa0, &[&until])]);
        element(SEQUENCE, &[&responder, &from, &element(SEQUENCE, &[&answer])])
    }
}

fn hashed(algorithm: &'static Algorithm, bytes: &[u8]) -> Vec<u8> {
    element(OCTETS, &[digest(algorithm, bytes).as_ref()])
}

/// A DER element of these parts.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let bytes = content.len().to_be_bytes();
    let bytes = &bytes[bytes.iter().take_while(|&&byte| byte == 0).count()..];
    let mut element = vec![tag];
    match content.len() {
        0..0x80 => element.push(content.len() as u8),
        _ => {
            element.push(0x80 | bytes.len() as u8);
            element.extend_from_slice(bytes);
        }
    }
    element.extend(content);
    element
}

/// The subject of a certificate, whole: behind its version, number, algorithm, issuer and validity.
fn subject(certificate: &[u8]) -> &[u8] {
    let mut rest = content(content(certificate).0).0;
    for _ in 0..5 {
        rest = content(rest).1;
    }
    &rest[..rest.len() - content(rest).1.len()]
}

/// The content of the first element, and what follows it. Only for what the kit has made itself.
fn content(der: &[u8]) -> (&[u8], &[u8]) {
    let long = if der[1] < 0x80 { 0 } else { usize::from(der[1] & 0x7f) };
    let len = match long {
        0 => usize::from(der[1]),
        _ => der[2..2 + long].iter().fold(0, |len, &byte| len << 8 | usize::from(byte)),
    };
    der[2 + long..].split_at(len)
}
