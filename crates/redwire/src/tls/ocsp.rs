//! Whether the OCSP response that a server staples says that its certificate is good (RFC 6960).
//!
//! Promises to believe a response only if the certificate's issuer, its delegate or the expected responder
//! has signed it. Must not ask any server over the network. The parsing is x509-ocsp's, the cryptography
//! ring's.

use std::fmt;
use std::sync::Arc;

use redwire_core::Result;
use redwire_core::config::{Ocsp, TlsOptions};
use ring::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, OtherError, RootCertStore};
use x509_cert::Certificate;
use x509_cert::der::asn1::{BitString, ObjectIdentifier};
use x509_cert::der::{self, AnyRef, Decode, Encode, Header, Reader, SliceReader, Tag};
use x509_cert::ext::pkix::ExtendedKeyUsage;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus,
};

use super::{fault, files};

/// By how much the clocks of the responder and ours may differ, in seconds.
const SKEW: u64 = 5 * 60;

/// How long a response holds that does not say how long, in seconds: such a responder has news at any time.
const UNDATED: u64 = 24 * 60 * 60;

/// How many of the CAs that the server sends are looked at, so that it cannot keep us busy with them.
const MOST_INTERMEDIATES: usize = 8;

const BASIC_RESPONSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const TLS_FEATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24");
const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
const SHA1_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");

/// The TLS feature that means "I staple": the number of the extension `status_request`.
const STATUS_REQUEST: u16 = 5;

#[derive(Debug)]
pub(super) struct Checker {
    must_staple: bool,
    /// The only one that may have signed.
    responder: Option<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Why a response, or the lack of one, is not accepted.
#[derive(Debug, PartialEq, Eq)]
enum OcspFault {
    Missing,
    Revoked,
    Rejected(String),
}

impl Checker {
    /// `None` if the options ask nothing of OCSP.
    pub(super) fn new(
        options: &TlsOptions,
        roots: Arc<RootCertStore>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Option<Self>> {
        let must_staple = match options.ocsp {
            Ocsp::Off => return Ok(None),
            Ocsp::Stapled => false,
            // The strictest holds for any other.
            _ => true,
        };
        let responder = options.ocsp_responder.as_ref().map(files::responder).transpose()?;
        if let Some(der) = &responder {
            Certificate::from_der(der).map_err(|error| {
                fault::error(format!("TLS: the certificate of the OCSP responder cannot be read: {error}"))
            })?;
        }
        Ok(Some(Self { must_staple, responder, roots, algorithms }))
    }

    /// Looks at what was stapled to `end_entity`, whose chain is in order. An empty `response` is none.
    pub(super) fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        response: &[u8],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        self.judge(end_entity, intermediates, response, now.as_secs()).map_err(rustls::Error::from)
    }

    fn judge(
        &self,
        end_entity: &[u8],
        intermediates: &[CertificateDer<'_>],
        response: &[u8],
        now: u64,
    ) -> Result<(), OcspFault> {
        let subject = Certificate::from_der(end_entity)?;
        if response.is_empty() {
            return if self.must_staple || says_must_staple(&subject)? {
                Err(OcspFault::Missing)
            } else {
                Ok(())
            };
        }
        let response = OcspResponse::from_der(response)?;
        if response.response_status != OcspResponseStatus::Successful {
            return Err(rejected(format!("says that it failed ({:?})", response.response_status)));
        }
        let Some(content) = response.response_bytes.filter(|content| content.response_type == BASIC_RESPONSE)
        else {
            return Err(rejected("is of an unknown type"));
        };
        let basic = content.response.as_bytes();
        let issuer = self.issuer(&subject, end_entity, intermediates)?;
        self.verify_signature(basic, &subject, &issuer, now)?;
        verify_status(&BasicOcspResponse::from_der(basic)?, &subject, &issuer, now)
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
    fn verify_signature(
        &self,
        basic: &[u8],
        subject: &Certificate,
        issuer: &SubjectPublicKeyInfoOwned,
        now: u64,
    ) -> Result<(), OcspFault> {
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
        if is_by(issuer) {
            return Ok(());
        }
        let certificates = match parts.get(3) {
            Some(framed) => children(children(framed)?.first().copied().unwrap_or_default())?,
            None => Vec::new(),
        };
        let is_delegate = |der: &[u8]| {
            let Ok(delegate) = Certificate::from_der(der) else { return false };
            is_by(&delegate.tbs_certificate.subject_public_key_info)
                && delegate.tbs_certificate.issuer == subject.tbs_certificate.issuer
                && self.has_issued(issuer, &delegate, der)
                && is_current(&delegate, now)
                && may_sign_responses(&delegate)
        };
        if certificates.into_iter().any(is_delegate) {
            return Ok(());
        }
        Err(rejected("is signed neither by the issuer of the certificate nor by a delegate of it"))
    }
}

/// Whether what the response says about `subject` is that it is good, and is said for now.
fn verify_status(
    response: &BasicOcspResponse,
    subject: &Certificate,
    issuer: &SubjectPublicKeyInfoOwned,
    now: u64,
) -> Result<(), OcspFault> {
    let mut failure = rejected("is about another certificate");
    for single in &response.tbs_response_data.responses {
        if !is_about(&single.cert_id, subject, issuer)? {
            continue;
        }
        let from = seconds(single.this_update);
        let until = single.next_update.map_or(from + UNDATED, seconds);
        if now + SKEW < from {
            failure = rejected("is from the future; are the clocks right?");
        } else if until + SKEW < now {
            failure = rejected("has expired");
        } else {
            return match single.cert_status {
                CertStatus::Good(_) => Ok(()),
                CertStatus::Revoked(_) => Err(OcspFault::Revoked),
                CertStatus::Unknown(_) => {
                    Err(rejected("says that the responder does not know the certificate"))
                }
            };
        }
    }
    Err(failure)
}

/// Whether `id` is that of `subject`.
fn is_about(
    id: &CertId,
    subject: &Certificate,
    issuer: &SubjectPublicKeyInfoOwned,
) -> Result<bool, OcspFault> {
    let algorithm = match id.hash_algorithm.oid {
        SHA1_ID => &SHA1_FOR_LEGACY_USE_ONLY,
        SHA256_ID => &SHA256,
        _ => return Ok(false),
    };
    let name = subject.tbs_certificate.issuer.to_der()?;
    Ok(id.serial_number == subject.tbs_certificate.serial_number
        && id.issuer_name_hash.as_bytes() == digest::digest(algorithm, &name).as_ref()
        && id.issuer_key_hash.as_bytes()
            == digest::digest(algorithm, issuer.subject_public_key.raw_bytes()).as_ref())
}

/// Whether the certificate asks not to be believed without a stapled response (RFC 7633).
fn says_must_staple(certificate: &Certificate) -> Result<bool, OcspFault> {
    match extension(certificate, TLS_FEATURE) {
        Some(features) => Ok(Vec::<u16>::from_der(features)?.contains(&STATUS_REQUEST)),
        None => Ok(false),
    }
}

fn may_sign_responses(certificate: &Certificate) -> bool {
    extension(certificate, <ExtendedKeyUsage as der::oid::AssociatedOid>::OID)
        .and_then(|usage| ExtendedKeyUsage::from_der(usage).ok())
        .is_some_and(|usage| usage.0.contains(&OCSP_SIGNING))
}

fn extension(certificate: &Certificate, id: ObjectIdentifier) -> Option<&[u8]> {
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

fn rejected(why: impl Into<String>) -> OcspFault {
    OcspFault::Rejected(why.into())
}

impl From<der::Error> for OcspFault {
    fn from(error: der::Error) -> Self {
        rejected(format!("cannot be read, or the certificate cannot: {error}"))
    }
}

impl From<OcspFault> for rustls::Error {
    fn from(fault: OcspFault) -> Self {
        match fault {
            OcspFault::Revoked => CertificateError::Revoked.into(),
            fault => CertificateError::Other(OtherError(Arc::new(fault))).into(),
        }
    }
}

impl fmt::Display for OcspFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the server staples no OCSP response, and must"),
            Self::Revoked => f.write_str("its OCSP response says that it is revoked"),
            Self::Rejected(why) => write!(f, "its OCSP response {why}"),
        }
    }
}

impl std::error::Error for OcspFault {}
