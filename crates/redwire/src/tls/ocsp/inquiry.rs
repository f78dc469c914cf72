//! Whether the certificate of one connection was revoked: what its driver does to find out, step by step.
//!
//! ```text
//!            ┌── Wait: another connection asks ◀─┐ (it gave up, or was answered)
//!  poll ─────┼── Ask: this one does, responder after responder
//!            └── Good, or an error: the connection must not be used
//! ```
//!
//! The driver calls `poll`, waits as it is told, hands over what came, and calls again. It has sent nothing
//! to the server but the TLS handshake. Must not know sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::{Error, Result};
use rustls::pki_types::{CertificateDer, UnixTime};

use super::answers::{OcspAnswer, OcspFlight, OcspLookup, OcspPermit};
use super::request::{self, ResponderUrl};
use super::{Checker, HttpExchange, OcspFault};
use crate::tls::fault;

/// How long it may take in all.
const LIMIT: Duration = Duration::from_secs(5);

/// What one connection does to find out.
#[derive(Debug)]
pub(crate) struct OcspInquiry {
    checker: Arc<Checker>,
    /// The server's certificate first.
    chain: Vec<CertificateDer<'static>>,
    began: Instant,
    until: Instant,
    asking: Option<OcspQuestion>,
    answer: Option<OcspAnswer>,
}

/// This connection asks.
#[derive(Debug)]
struct OcspQuestion {
    permit: OcspPermit,
    question: Vec<u8>,
    /// Those that were not asked yet, the first one last.
    left: Vec<ResponderUrl>,
    /// The one that is asked, and until when.
    asked: Option<(ResponderUrl, Duration)>,
    /// Why the first of those that were asked was of no use.
    failure: Option<Error>,
    /// Whether another connection may have more time.
    is_late: bool,
}

/// What to do now.
pub(crate) enum OcspStep {
    /// The certificate is good.
    Good,
    /// Wait until then for what another connection finds.
    Wait(Arc<OcspFlight>, Instant),
    /// Ask, and have the answer by then.
    Ask(HttpExchange, Instant),
}

impl OcspInquiry {
    /// For a server with this `chain`, whose connection is to be ready by `deadline`.
    pub(super) fn new(
        checker: Arc<Checker>,
        chain: Vec<CertificateDer<'static>>,
        now: Instant,
        deadline: Instant,
    ) -> Self {
        // A part of the time is left, so that the error is about the responder, and not about the server.
        let until = now + (deadline.saturating_duration_since(now) / 10 * 9).min(LIMIT);
        Self { checker, chain, began: now, until, asking: None, answer: None }
    }

    /// # Errors
    /// The certificate was revoked, or that is not to be found out.
    pub(crate) fn poll(&mut self, now: Instant) -> Result<OcspStep> {
        let Some(certificate) = self.chain.first() else {
            return Err(fault::unaccepted(&"there is none", None));
        };
        if self.answer.is_none() && self.asking.is_none() {
            match self.checker.look_up(certificate, UnixTime::now().as_secs()) {
                OcspLookup::Known(answer) => self.answer = Some(answer),
                OcspLookup::Wait(flight) => return Ok(OcspStep::Wait(flight, self.until)),
                OcspLookup::Ask(permit) => self.asking = Some(self.prepare(permit)?),
            }
        }
        match (&self.answer, &mut self.asking) {
            (Some(OcspAnswer { verdict, told_by }), _) if verdict.is_revoked => Err(fault::revoked(told_by)),
            (None, Some(asking)) => match asking.poll_ask(now, self.until) {
                Some(step) => Ok(step),
                None => Err(self.give_up()),
            },
            (Some(_), _) => Ok(OcspStep::Good),
            (None, None) => Err(self.give_up()),
        }
    }

    /// What is asked, and where.
    fn prepare(&self, permit: OcspPermit) -> Result<OcspQuestion> {
        let prepared = self.checker.signers.subject(&self.chain[0], &self.chain[1..]).and_then(|subject| {
            Ok((request::question(&subject)?, request::responders(&subject.certificate)?))
        });
        match prepared {
            Ok((question, mut left)) => {
                left.reverse();
                Ok(OcspQuestion { permit, question, left, asked: None, failure: None, is_late: false })
            }
            Err(fault) => {
                let error = fault::unaccepted(&fault, None);
                permit.land(Err(error.clone()));
                Err(error)
            }
        }
    }

    /// What the connection found that was waited for; `None`: nothing in time.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) fn handle_landed(&self, landed: Option<Result<()>>) -> Result<()> {
        landed.unwrap_or_else(|| {
            let limit = self.until.saturating_duration_since(self.began);
            let why = format!("what another connection has asked took longer than {limit:?}");
            Err(fault::unanswered(&why, None))
        })
    }

    /// What the responder answered, or why it did not; `None`: nothing in time.
    pub(crate) fn handle_reply(&mut self, reply: Option<Result<Vec<u8>>>) {
        let Some(mut asking) = self.asking.take() else { return };
        let Some((responder, limit)) = asking.asked.take() else { return };
        asking.is_late |= reply.is_none();
        match self.judge(&responder.text, limit, reply) {
            Ok(answer) => {
                self.answer = Some(answer);
                asking.permit.land(Ok(()));
            }
            Err(failure) => {
                asking.failure.get_or_insert(failure);
                self.asking = Some(asking);
            }
        }
    }

    /// What the `reply` of the responder at `url` means, which had so much time.
    fn judge(&self, url: &str, limit: Duration, reply: Option<Result<Vec<u8>>>) -> Result<OcspAnswer> {
        let unanswered =
            |why: String, cause| Err(fault::unanswered(&format!("the OCSP responder {url} {why}"), cause));
        let response = match reply {
            Some(Ok(response)) => response,
            Some(Err(error)) => {
                let why = format!("cannot be asked: {}", error.message());
                return unanswered(why, Some(error));
            }
            None => return unanswered(format!("has not answered within {limit:?}"), None),
        };
        let (certificate, intermediates) = (&self.chain[0], &self.chain[1..]);
        let now = UnixTime::now().as_secs();
        match self.checker.signers.verify(certificate, intermediates, &response, now) {
            Ok(verdict) => {
                let told_by = format!("the OCSP responder {url}").into();
                Ok(self.checker.answers.keep(certificate, OcspAnswer { verdict, told_by }, now))
            }
            Err(OcspFault::NotNow(why)) => unanswered(why, None),
            Err(fault) => Err(fault::unaccepted(&fault, Some(url))),
        }
    }

    /// No responder is left to be asked.
    #[cold]
    fn give_up(&mut self) -> Error {
        let late = || fault::unanswered("the time for it is over", None);
        let Some(asking) = self.asking.take() else { return late() };
        let error = asking.failure.unwrap_or_else(late);
        // That the time of this connection is over says nothing about others.
        if !asking.is_late {
            asking.permit.land(Err(error.clone()));
        }
        error
    }
}

impl OcspQuestion {
    /// The next question; `None`: there is none left.
    fn poll_ask(&mut self, now: Instant, until: Instant) -> Option<OcspStep> {
        // Each has its share of the time.
        let shares = u32::try_from(self.left.len()).unwrap_or(u32::MAX);
        let responder = self.left.pop()?;
        let limit = until.saturating_duration_since(now) / shares;
        let exchange = HttpExchange::post(&responder, &self.question);
        self.asked = Some((responder, limit));
        Some(OcspStep::Ask(exchange, now + limit))
    }
}
