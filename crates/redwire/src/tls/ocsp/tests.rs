//! Promises: of connections that want to know the same one asks, an answer holds as long as it says, and
//! every connection has its own limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redwire_core::config::TlsOptions;
use redwire_core::{ConnectionFault, Error, ErrorKind, Outcome};
use redwire_testkit::{Authority, Identity};
use x509_cert::der::Encode;
use x509_ocsp::{BasicOcspResponse, OcspRequest, OcspResponse, Version};

use super::answers::{OcspFlight, OcspLookup};
use super::response::SKEW;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A certificate that names responders, and what is asked about it.
struct Asked {
    authority: Authority,
    identity: Identity,
    checker: Arc<Checker>,
    now: Instant,
}

impl Asked {
    fn of(urls: &[&str]) -> Self {
        let authority = Authority::new();
        let identity = authority.identity(&["localhost"]).ocsp_urls(urls).issue();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let mut options = TlsOptions::default();
        options.ocsp = Ocsp::Check;
        let algorithms = crate::tls::provider().signature_verification_algorithms;
        let checker = Checker::new(&options, Arc::new(roots), algorithms).unwrap().unwrap();
        Self { authority, identity, checker, now: Instant::now() }
    }

    /// Of a connection that is to be ready in `limit`.
    fn inquiry_within(&self, limit: Duration) -> OcspInquiry {
        let chain = [self.identity.cert_der.clone()];
        self.checker.inquiry(&chain, self.now, self.now + limit).unwrap()
    }

    fn inquiry(&self) -> OcspInquiry {
        self.inquiry_within(SECOND)
    }

    #[track_caller]
    fn asks(&self, inquiry: &mut OcspInquiry) -> (HttpExchange, Duration) {
        match inquiry.poll(self.now).unwrap() {
            OcspStep::Ask(exchange, until) => (exchange, until - self.now),
            _ => panic!("a question was expected"),
        }
    }

    #[track_caller]
    fn waits(&self, inquiry: &mut OcspInquiry) -> (Arc<OcspFlight>, Duration) {
        match inquiry.poll(self.now).unwrap() {
            OcspStep::Wait(flight, until) => (flight, until - self.now),
            _ => panic!("it was expected to wait"),
        }
    }

    #[track_caller]
    fn is_good(&self, inquiry: &mut OcspInquiry) {
        assert!(matches!(inquiry.poll(self.now).unwrap(), OcspStep::Good));
    }

    fn good(&self) -> Option<Result<Vec<u8>>> {
        Some(Ok(self.authority.ocsp(&self.identity).build()))
    }

    fn look_up(&self, now: u64) -> Option<OcspAnswer> {
        match self.checker.look_up(&self.identity.cert_der, now) {
            OcspLookup::Known(answer) => Some(answer),
            OcspLookup::Wait(_) | OcspLookup::Ask(_) => None,
        }
    }

    fn keep(&self, is_revoked: bool, from: u64, until: Option<u64>, now: u64) -> OcspAnswer {
        let answer = OcspAnswer { verdict: OcspVerdict { is_revoked, from, until }, told_by: "x".into() };
        self.checker.answers.keep(&self.identity.cert_der, answer, now)
    }
}

fn unreachable() -> Option<Result<Vec<u8>>> {
    let kind = ErrorKind::Connection(ConnectionFault::Refused);
    Some(Err(Error::new(kind, Outcome::NotSent, "refused")))
}

#[test]
fn the_question_names_the_certificate_as_answers_do() {
    let asked = Asked::of(&["http://ca.test/"]);
    let (exchange, _) = asked.asks(&mut asked.inquiry());
    let request = exchange.request();
    let body = request.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let question = OcspRequest::from_der(&request[body..]).unwrap();
    assert!(question.optional_signature.is_none());
    let question = question.tbs_request;
    assert!(question.version == Version::V1 && question.requestor_name.is_none());
    assert!(question.request_extensions.is_none());
    let [one] = &question.request_list[..] else { panic!("one certificate was expected: {question:?}") };
    assert!(one.single_request_extensions.is_none());
    // The kit writes its answers by hand.
    let answer = OcspResponse::from_der(&asked.authority.ocsp(&asked.identity).build()).unwrap();
    let answer = BasicOcspResponse::from_der(answer.response_bytes.unwrap().response.as_bytes()).unwrap();
    let known = &answer.tbs_response_data.responses[0].cert_id;
    assert_eq!(one.req_cert.to_der().unwrap(), known.to_der().unwrap());
}

#[test]
fn one_asks_and_the_others_wait() {
    let asked = Asked::of(&["http://ca.test/"]);
    let (mut first, mut second) = (asked.inquiry(), asked.inquiry());
    asked.asks(&mut first);
    let (flight, _) = asked.waits(&mut second);
    assert!(flight.wait(asked.now).is_none());
    first.handle_reply(asked.good());
    second.handle_landed(flight.wait(asked.now)).unwrap();
    [first, second, asked.inquiry()].iter_mut().for_each(|inquiry| asked.is_good(inquiry));
}

#[test]
fn what_fails_is_told_to_those_that_wait_and_asked_anew_by_others() {
    let asked = Asked::of(&["http://ca.test/"]);
    let (mut first, mut second) = (asked.inquiry(), asked.inquiry());
    asked.asks(&mut first);
    let (flight, _) = asked.waits(&mut second);
    first.handle_reply(unreachable());
    let error = first.poll(asked.now).map(drop).unwrap_err();
    let message = "TLS: it is not known whether the server's certificate is revoked: the OCSP responder \
                   http://ca.test/ cannot be asked: refused";
    assert_eq!(error.message(), message);
    let told = second.handle_landed(flight.wait(asked.now)).unwrap_err();
    assert_eq!((told.message(), told.is_retryable()), (message, true));
    asked.asks(&mut asked.inquiry());
}

#[test]
fn one_that_leaves_or_has_no_more_time_lets_another_ask() {
    let asked = Asked::of(&["http://ca.test/"]);
    let (mut first, mut second, mut third) = (asked.inquiry(), asked.inquiry(), asked.inquiry());
    asked.asks(&mut first);
    let (flight, limit) = asked.waits(&mut second);
    assert_eq!(limit, SECOND / 10 * 9);
    drop(first);
    second.handle_landed(flight.wait(asked.now)).unwrap();
    asked.asks(&mut second);
    let (flight, _) = asked.waits(&mut third);
    second.handle_reply(None);
    let error = second.poll(asked.now).map(drop).unwrap_err();
    assert!(error.message().contains("http://ca.test/ has not answered within 900ms"), "{error}");
    third.handle_landed(flight.wait(asked.now)).unwrap();
    asked.asks(&mut third);
    let error = asked.inquiry().handle_landed(None).unwrap_err();
    assert!(error.is_retryable() && error.message().contains("took longer than 900ms"), "{error}");
}

#[test]
fn responders_share_the_time_and_the_first_failure_is_told() {
    let asked = Asked::of(&["http://a.test/", "http://b.test/", "http://c.test/", "http://d.test/"]);
    let mut inquiry = asked.inquiry_within(20 * SECOND);
    for (host, limit) in [("a", 5 * SECOND / 3), ("b", 5 * SECOND / 2), ("c", 5 * SECOND)] {
        let (exchange, share) = asked.asks(&mut inquiry);
        assert_eq!(exchange.endpoint().to_string(), format!("{host}.test:80"));
        assert_eq!(share, limit);
        inquiry.handle_reply(if host == "b" { None } else { unreachable() });
    }
    let error = inquiry.poll(asked.now).map(drop).unwrap_err();
    assert!(error.message().contains("http://a.test/"), "{error}");
}

#[test]
fn an_answer_holds_until_its_end() {
    let asked = Asked::of(&[]);
    asked.keep(false, 1_000, Some(2_000), 1_000);
    assert!(asked.look_up(2_000 + SKEW).is_some());
    assert!(asked.look_up(2_001 + SKEW).is_none());
    // Without an end it holds for a minute.
    asked.keep(false, 3_000, None, 4_000);
    assert!(asked.look_up(4_060).is_some());
    assert!(asked.look_up(4_061).is_none());
}

#[test]
fn the_newest_answer_counts_while_it_holds() {
    let asked = Asked::of(&[]);
    asked.keep(false, 1_000, Some(2_000), 1_500);
    assert!(asked.keep(true, 1_100, Some(1_700), 1_500).verdict.is_revoked);
    // The old one may be shown by one who has stolen the key.
    assert!(asked.keep(false, 1_000, Some(2_000), 1_500).verdict.is_revoked);
    assert!(asked.look_up(1_500).unwrap().verdict.is_revoked);
    assert!(!asked.keep(false, 1_000, Some(9_000), 1_701 + SKEW).verdict.is_revoked);
}

#[test]
fn certificates_are_remembered_up_to_a_limit() {
    let asked = Asked::of(&[]);
    for number in 0..1_100_u64 {
        let verdict = OcspVerdict { is_revoked: false, from: 0, until: Some(5_000 - number) };
        let answer = OcspAnswer { verdict, told_by: "x".into() };
        asked.checker.answers.keep(&number.to_be_bytes(), answer, 100);
    }
    let known =
        |number: u64| matches!(asked.checker.look_up(&number.to_be_bytes(), 100), OcspLookup::Known(_));
    assert_eq!((0..1_100).filter(|number| known(*number)).count(), 1_024);
    assert!(known(0) && known(1_099));
}
