//! Whether a server's certificate was revoked, by OCSP (RFC 6960): from the response that the server staples,
//! or from the responder that the certificate names.
//!
//! Says what the options ask for, and what that means for a connection. Must not know sockets: questions go
//! out and responses come in as bytes.

mod answers;
mod http;
mod inquiry;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use redwire_core::Result;
use redwire_core::config::{Ocsp, TlsOptions};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, OtherError, RootCertStore};
use x509_cert::Certificate;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{self, Decode};

use answers::{OcspAnswer, OcspAnswers};
pub(crate) use http::HttpExchange;
pub(crate) use inquiry::{OcspInquiry, OcspStep};
use response::{OcspVerdict, Signers, extension};

const TLS_FEATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24");

/// The TLS feature that means "I staple": the number of the extension `status_request`.
const STATUS_REQUEST: u16 = 5;

/// What one set of options asks of OCSP, and what was answered under it.
#[derive(Debug)]
pub(crate) struct Checker {
    ocsp: Ocsp,
    signers: Signers,
    answers: OcspAnswers,
}

/// Why a response, or the lack of one, is not accepted.
#[derive(Debug, PartialEq, Eq)]
enum OcspFault {
    Missing,
    Revoked,
    Rejected(String),
    /// Later there may be another.
    NotNow(String),
}

impl Checker {
    /// `None` if the options ask nothing of OCSP.
    pub(super) fn new(
        options: &TlsOptions,
        roots: Arc<RootCertStore>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Option<Arc<Self>>> {
        if options.ocsp == Ocsp::Off {
            return Ok(None);
        }
        let signers = Signers::new(options, roots, algorithms)?;
        Ok(Some(Arc::new(Self { ocsp: options.ocsp, signers, answers: OcspAnswers::default() })))
    }

    /// Looks at what was stapled to `end_entity`, whose chain is in order. An empty `response` is none.
    pub(super) fn check_staple(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        response: &[u8],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let now = now.as_secs();
        let checked = match (response, self.ocsp) {
            // The responder is asked after the handshake. Its answer is as good as the staple that the
            // certificate may promise.
            ([], Ocsp::Check) => Ok(()),
            ([], Ocsp::Stapled) => may_lack_staple(end_entity),
            // The strictest holds for any other.
            ([], _) => Err(OcspFault::Missing),
            (response, _) => {
                let verdict = self.signers.verify(end_entity, intermediates, response, now);
                self.take_staple(end_entity, verdict, now)
            }
        };
        checked.map_err(rustls::Error::from)
    }

    /// What is to be found out of a server with this `chain`; `None` where nothing is asked.
    pub(super) fn inquiry(
        self: &Arc<Self>,
        chain: &[CertificateDer<'static>],
        now: Instant,
        deadline: Instant,
    ) -> Option<OcspInquiry> {
        let is_asked = self.ocsp == Ocsp::Check;
        is_asked.then(|| OcspInquiry::new(Arc::clone(self), chain.to_vec(), now, deadline))
    }

    /// What `verdict` of a staple means; it is kept for the question that follows.
    fn take_staple(
        &self,
        end_entity: &CertificateDer<'_>,
        verdict: Result<OcspVerdict, OcspFault>,
        now: u64,
    ) -> Result<(), OcspFault> {
        let verdict = match verdict {
            Err(_) if self.ocsp == Ocsp::Check => return Ok(()),
            verdict => verdict?,
        };
        if self.ocsp == Ocsp::Check {
            let answer = OcspAnswer { verdict, told_by: "the response that the server stapled".into() };
            self.answers.keep(end_entity, answer, now);
        }
        if verdict.is_revoked { Err(OcspFault::Revoked) } else { Ok(()) }
    }
}

/// Whether the certificate may come without a stapled response: it may unless it says itself that it does not
/// (RFC 7633).
fn may_lack_staple(end_entity: &[u8]) -> Result<(), OcspFault> {
    let certificate = Certificate::from_der(end_entity)?;
    match extension(&certificate, TLS_FEATURE) {
        Some(features) if Vec::<u16>::from_der(features)?.contains(&STATUS_REQUEST) => {
            Err(OcspFault::Missing)
        }
        _ => Ok(()),
    }
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
            Self::Rejected(why) | Self::NotNow(why) => write!(f, "its OCSP response {why}"),
        }
    }
}

impl std::error::Error for OcspFault {}
