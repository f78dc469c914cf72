//! What responders have said about certificates, for as long as it holds, and which questions are under way.
//!
//! Of several connections that want to know the same at a time one asks, and tells the others. A lock is held
//! only to look. Must not know how questions are asked.

use std::collections::HashMap;
use std::sync::Arc;

use redwire_core::Result;
use ring::digest::{self, SHA256};

use super::Checker;
use super::response::{OcspVerdict, SKEW};
use crate::shared::lookups::SharedLookup;
use crate::shared::owner::PerProcess;
use crate::shared::sync::Mutex;
use crate::shared::threads;

/// For so long an answer is believed that does not say how long it holds, in seconds: its responder may have
/// news at any time, but a storm of new connections must not reach it.
const UNDATED_KEPT: u64 = 60;

/// So many certificates are remembered.
const MOST_KEPT: usize = 1024;

/// A question under way. Its end is an error, or that it is time to look again: an answer is kept, or no
/// connection asks any more.
pub(crate) type OcspFlight = SharedLookup<()>;

/// The hash of a certificate.
type Fingerprint = [u8; 32];

/// All answers under one set of options. A forked process begins with none.
#[derive(Debug)]
pub(super) struct OcspAnswers(PerProcess<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    known: HashMap<Fingerprint, (OcspAnswer, u64)>,
    asked: Vec<(Fingerprint, Arc<OcspFlight>)>,
}

/// What is known of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OcspAnswer {
    pub(super) verdict: OcspVerdict,
    /// For messages.
    pub(super) told_by: Arc<str>,
}

/// What to do about a certificate.
pub(super) enum OcspLookup {
    Known(OcspAnswer),
    Wait(Arc<OcspFlight>),
    Ask(OcspPermit),
}

/// The right to ask about a certificate. Dropping it lets another connection ask.
#[derive(Debug)]
pub(super) struct OcspPermit {
    checker: Arc<Checker>,
    flight: Arc<OcspFlight>,
    /// What those that wait are told in the end.
    answered: Result<()>,
}

impl Default for OcspAnswers {
    fn default() -> Self {
        Self(PerProcess::new(Mutex::default()))
    }
}

impl OcspAnswers {
    fn kept(&self) -> &Mutex<Kept> {
        self.0.current(|_| Mutex::default())
    }

    /// Keeps what was said about `certificate`; gives the newest that was.
    pub(super) fn keep(&self, certificate: &[u8], answer: OcspAnswer, now: u64) -> OcspAnswer {
        let certificate = fingerprint(certificate);
        let until = answer.verdict.until.map_or(now + UNDATED_KEPT, |until| until + SKEW);
        let mut kept = self.kept().lock();
        kept.known.retain(|_, (_, until)| now <= *until);
        if let Some((before, _)) = kept.known.get(&certificate)
            && before.verdict.from > answer.verdict.from
        {
            return before.clone();
        }
        if kept.known.len() >= MOST_KEPT {
            let first = kept.known.iter().min_by_key(|(_, (_, until))| *until).map(|(known, _)| *known);
            first.inspect(|first| drop(kept.known.remove(first)));
        }
        kept.known.insert(certificate, (answer.clone(), until));
        answer
    }
}

impl Checker {
    /// What is known of `certificate`, or who finds out.
    pub(super) fn look_up(self: &Arc<Self>, certificate: &[u8], now: u64) -> OcspLookup {
        let certificate = fingerprint(certificate);
        let mut kept = self.answers.kept().lock();
        if let Some((answer, _)) = kept.known.get(&certificate).filter(|(_, until)| now <= *until) {
            return OcspLookup::Known(answer.clone());
        }
        if let Some((_, flight)) = kept.asked.iter().find(|(asked, _)| *asked == certificate) {
            return OcspLookup::Wait(Arc::clone(flight));
        }
        let flight = Arc::new(OcspFlight::new(threads::now()));
        kept.asked.push((certificate, Arc::clone(&flight)));
        OcspLookup::Ask(OcspPermit { checker: Arc::clone(self), flight, answered: Ok(()) })
    }
}

impl OcspPermit {
    /// Tells those that wait that there is an answer, or why there is none.
    pub(super) fn land(mut self, answered: Result<()>) {
        self.answered = answered;
    }
}

impl Drop for OcspPermit {
    fn drop(&mut self) {
        // Before it is told: a connection that asks after that looks anew.
        self.checker.answers.kept().lock().asked.retain(|(_, flight)| !Arc::ptr_eq(flight, &self.flight));
        self.flight.land(std::mem::replace(&mut self.answered, Ok(())));
    }
}

fn fingerprint(certificate: &[u8]) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.copy_from_slice(digest::digest(&SHA256, certificate).as_ref());
    fingerprint
}
