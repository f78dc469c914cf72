//! What an OCSP response (RFC 6960) says about a certificate, and whether it may say so.
//!
//! Promises to believe a response only if the certificate's issuer, its delegate or the expected responder
//! has signed it. Must not know how the response came. The parsing is x509-ocsp's, the cryptography ring's.

use std::sync::Arc;

use redwire_core::Result;
use redwire_core::config::TlsOptions;
use ring::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use rustls::RootCertStore;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::{BitString, ObjectIdentifier};
use x509_cert::der::{self, AnyRef, Decode, Encode, Header, Reader, SliceReader, Tag};
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus,
};

use super::{OcspFault, rejected};
use crate::tls::{fault, files};

/// By how much the clocks of the responder and ours may differ, in seconds.
pub(super) const SKEW: u64 = 5 * 60;

/// How long a response holds that does not say how long, in seconds: such a responder has news at any time.
const UNDATED: u64 = 24 * 60 * 60;

/// How many of the CAs that the server sends are looked at, so that it cannot keep us busy with them.
const MOST_INTERMEDIATES: usize = 8;

const BASIC_RESPONSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
pub(super) const SHA1_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// Who may sign responses, and how.
#[derive(Debug)]
pub(super) struct Signers {
    /// The only one that may have signed.
    responder: Option<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// A certificate that a question or a response is about, with the key of its issuer.
pub(super) struct Subject {
    pub(super) certificate: Certificate,
    pub(super) issuer: SubjectPublicKeyInfoOwned,
}

/// What a response says that was signed as it must be, and is for now. Times in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OcspVerdict {
    pub(super) is_revoked: bool,
    pub(super) from: u64,
    /// `None`: there may be news at any time.
    pub(super) until: Option<u64>,
}

impl Signers {
    pub(super) fn new(
        options: &TlsOptions,
        roots: Arc<RootCertStore>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self> {
        let responder = options.ocsp_responder.as_ref().map(files::responder).transpose()?;
        if let Some(der) = &responder {
            Certificate::from_der(der).map_err(|error| {
                fault::error(format!("TLS: the certificate of the OCSP responder cannot be read: {error}"))
            })?;
        }
        Ok(Self { responder, roots, algorithms })
    }

    /// What `response` says about `end_entity`, whose chain is in order.
    pub(super) fn verify(
        &self,
        end_entity: &[u8],
        intermediates: &[CertificateDer<'_>],
        response: &[u8],
        now: u64,
    ) -> Result<OcspVerdict, OcspFault> {
        let response = OcspResponse::from_der(response)?;
        match response.response_status {
            OcspResponseStatus::Successful => {}
            status @ (OcspResponseStatus::TryLater | OcspResponseStatus::InternalError) => {
                return Err(OcspFault::NotNow(format!("says that it failed ({status:?})")));
            }
            status => return Err(rejected(format!("says that it failed ({status:?})"))),
        }
        let Some(content) = response.response_bytes.filter(|content| content.response_type == BASIC_RESPONSE)
        else {
            return Err(rejected("is of an unknown type"));
        };
        let basic = content.response.as_bytes();
        let subject = self.subject(end_entity, intermediates)?;
        self.verify_signature(basic, &subject, now)?;
        verify_status(&BasicOcspResponse::from_der(basic)?, &subject, now)
    }

    /// `end_entity` with the key of its issuer.
    pub(super) fn subject(
        &self,
        end_entity: &[u8],
        intermediates: &[CertificateDer<'_>],
    ) -> Result<Subject, OcspFault> {
        let certificate = Certificate::from_der(end_entity)?;
        let issuer = self.issuer(&certificate, end_entity, intermediates)?;
        Ok(Subject { certificate, issuer })
    }

    /// The key of the CA that issued `subject`: of all CAs of that name, the one that really signed it.
    ///
    /// A CA that the server sent counts once one that counts already has signed it: else the server could
    /// bring one of its own making.
    fn issuer(
        &self,
        subject: &Certificate,
        der: &[u8],
        intermediates: &[CertificateDer<'_>],
    ) -> Result<SubjectPublicKeyInfoOwned, OcspFault> {
        let mut known = Vec::new();
        let mut sent: Vec<_> = intermediates
            .iter()
            .take(MOST_INTERMEDIATES)
            .filter_map(|der| Some((Certificate::from_der(der).ok()?, der)))
            .collect();
        loop {
            if let Some(key) = self.issuer_among(&known, subject, der) {
                return Ok(key);
            }
            let next = sent.iter().position(|(ca, der)| self.issuer_among(&known, ca, der).is_some());
            let Some(next) = next else {
                return Err(rejected("cannot be checked: the issuer of the certificate is not known"));
            };
            known.push(sent.swap_remove(next).0);
        }
    }

    /// The key of the trusted CA or of the one among `known` that signed the certificate.
    fn issuer_among(
        &self,
        known: &[Certificate],
        certificate: &Certificate,
        der: &[u8],
    ) -> Option<SubjectPublicKeyInfoOwned> {
        let name = &certificate.tbs_certificate.issuer;
        // Trust anchors lack the frames of their sequences.
        let framed = name.to_der().ok()?;
        let bare = AnyRef::from_der(&framed).ok()?.value();
        let anchors = self.roots.roots.iter().filter(|anchor| anchor.subject.as_ref() == bare);
        anchors
            .filter_map(|anchor| AnyRef::new(Tag::Sequence, &anchor.subject_public_key_info).ok())
            .filter_map(|key| key.decode_as().ok())
            .chain(
                known
                    .iter()
                    .filter(|ca| ca.tbs_certificate.subject == *name)
                    .map(|ca| ca.tbs_certificate.subject_public_key_info.clone()),
            )
            .find(|key| self.has_issued(key, certificate, der))
    }

    /// Whether the holder of `key` signed the certificate.
    fn has_issued(&self, key: &SubjectPublicKeyInfoOwned, certificate: &Certificate, der: &[u8]) -> bool {
        let Ok(parts) = children(der) else { return false };
        let [signed, ..] = parts[..] else { return false };
        self.has_signed(key, &certificate.signature_algorithm, signed, &certificate.signature)
    }

    /// Whether the holder of `key` signed `message`.
    fn has_signed(
        &self,
        key: &SubjectPublicKeyInfoOwned,
        algorithm: &AlgorithmIdentifierOwned,
        message: &[u8],
        signature: &BitString,
    ) -> bool {
        let (Ok(algorithm), Ok(key_algorithm)) = (identifier(algorithm), identifier(&key.algorithm)) else {
            return false;
        };
        let (Some(key), Some(signature)) = (key.subject_public_key.as_bytes(), signature.as_bytes()) else {
            return false;
        };
        self.algorithms
            .all
            .iter()
            .filter(|known| known.signature_alg_id().as_ref() == algorithm)
            .filter(|known| known.public_key_alg_id().as_ref() == key_algorithm)
            .any(|known| known.verify_signature(key, message, signature).is_ok())
    }

    /// Whether a responder that may speak about `subject` signed the response.
    fn verify_signature(&self, basic: &[u8], subject: &Subject, now: u64) -> Result<(), OcspFault> {
        let BasicOcspResponse { signature_algorithm, signature, .. } = BasicOcspResponse::from_der(basic)?;
        let algorithm = identifier(&signature_algorithm)?;
        if !self.algorithms.all.iter().any(|known| *known.signature_alg_id() == *algorithm) {
            return Err(rejected("is signed in a way that is not supported"));
        }
        let parts = children(basic)?;
        let [message, ..] = parts[..] else { return Err(rejected("is empty")) };
        let is_by =
            |key: &SubjectPublicKeyInfoOwned| self.has_signed(key, &signature_algorithm, message, &signature);
        if let Some(der) = &self.responder {
            let responder = Certificate::from_der(der)?;
            return if !is_by(&responder.tbs_certificate.subject_public_key_info) {
                Err(rejected("is not signed by the responder that is expected (`tls_ocsp_responder_file`)"))
            } else if !is_current(&responder, now) {
                Err(rejected("is signed by the expected responder, whose certificate is not valid now"))
            } else {
                Ok(())
            };
        }
        if is_by(&subject.issuer) {
            return Ok(());
        }
        let certificates = match parts.get(3) {
            Some(framed) => children(children(framed)?.first().copied().unwrap_or_default())?,
            None => Vec::new(),
        };
        let is_delegate = |der: &[u8]| {
            let Ok(delegate) = Certificate::from_der(der) else { return false };
            is_by(&delegate.tbs_certificate.subject_public_key_info)
                && delegate.tbs_certificate.issuer == subject.certificate.tbs_certificate.issuer
                && self.has_issued(&subject.issuer, &delegate, der)
                && is_current(&delegate, now)
                && may_sign_responses(&delegate)
        };
        if certificates.into_iter().any(is_delegate) {
            return Ok(());
        }
        Err(rejected("is signed neither by the issuer of the certificate nor by a delegate of it"))
    }
}

/// What the response says about `subject`, if it says it for now.
fn verify_status(
    response: &BasicOcspResponse,
    subject: &Subject,
    now: u64,
) -> Result<OcspVerdict, OcspFault> {
    let mut failure = rejected("is about another certificate");
    for single in &response.tbs_response_data.responses {
        if !is_about(&single.cert_id, subject)? {
            continue;
        }
        let from = seconds(single.this_update);
        let until = single.next_update.map(seconds);
        if now + SKEW < from {
            failure = rejected("is from the future; are the clocks right?");
        } else if until.unwrap_or(from + UNDATED) + SKEW < now {
            failure = rejected("has expired");
        } else {
            let is_revoked = match single.cert_status {
                CertStatus::Good(_) => false,
                CertStatus::Revoked(_) => true,
                CertStatus::Unknown(_) => {
                    return Err(rejected("says that the responder does not know the certificate"));
                }
            };
            return Ok(OcspVerdict { is_revoked, from, until });
        }
    }
    Err(failure)
}

/// Whether `id` is that of `subject`.
fn is_about(id: &CertId, subject: &Subject) -> Result<bool, OcspFault> {
    let algorithm = match id.hash_algorithm.oid {
        SHA1_ID => &SHA1_FOR_LEGACY_USE_ONLY,
        SHA256_ID => &SHA256,
        _ => return Ok(false),
    };
    let (certificate, issuer) = (&subject.certificate.tbs_certificate, &subject.issuer);
    let name = certificate.issuer.to_der()?;
    Ok(id.serial_number == certificate.serial_number
        && id.issuer_name_hash.as_bytes() == digest::digest(algorithm, &name).as_ref()
        && id.issuer_key_hash.as_bytes()
            == digest::digest(algorithm, issuer.subject_public_key.raw_bytes()).as_ref())
}

fn may_sign_responses(certificate: &Certificate) -> bool {
    extension(certificate, <ExtendedKeyUsage as der::oid::AssociatedOid>::OID)
        .and_then(|usage| ExtendedKeyUsage::from_der(usage).ok())
        .is_some_and(|usage| usage.0.contains(&OCSP_SIGNING))
}

pub(super) fn extension(certificate: &Certificate, id: ObjectIdentifier) -> Option<&[u8]> {
    let all = certificate.tbs_certificate.extensions.as_deref().unwrap_or_default();
    all.iter().find(|extension| extension.extn_id == id).map(|extension| extension.extn_value.as_bytes())
}

fn is_current(certificate: &Certificate, now: u64) -> bool {
    let validity = &certificate.tbs_certificate.validity;
    let (from, until) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
    (from.as_secs()..=until.as_secs()).contains(&now)
}

fn seconds(time: OcspGeneralizedTime) -> u64 {
    time.0.to_unix_duration().as_secs()
}

/// An algorithm's identifier as the verifiers have it: without the frame of the sequence.
fn identifier(algorithm: &AlgorithmIdentifierOwned) -> der::Result<Vec<u8>> {
    Ok(AnyRef::from_der(&algorithm.to_der()?)?.value().to_vec())
}

/// The parts of a DER sequence as they were sent: signatures are over these bytes.
fn children(sequence: &[u8]) -> der::Result<Vec<&[u8]>> {
    let mut reader = SliceReader::new(sequence)?;
    Header::decode(&mut reader)?;
    let mut parts = Vec::new();
    while !reader.is_finished() {
        parts.push(reader.tlv_bytes()?);
    }
    Ok(parts)
}
