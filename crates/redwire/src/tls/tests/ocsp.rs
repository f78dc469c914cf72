//! Stapled OCSP responses, right and wrong in each way.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SerialNumber, SigningKey,
};
use redwire_core::config::{Ocsp, TlsOptions, TlsSource, Verification};
use redwire_core::{ErrorKind, Result};
use redwire_testkit::{Authority, Identity};
use ring::digest::{self, Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::asn1::{BitString, GeneralizedTime, Null, ObjectIdentifier, OctetString};
use x509_cert::der::{Decode, Encode};
use x509_cert::serial_number::SerialNumber as Serial;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId, ResponseData,
    RevokedInfo, SingleResponse, Version,
};

use super::super::TlsConnector;
use super::message;
use super::peer::{Setup, connect, trusting};

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_WITH_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
const SHA1_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const HOUR: i64 = 3600;

/// What a response is to say; times in seconds from now.
#[derive(Clone)]
struct Response {
    issuer: CertificateDer<'static>,
    serial: Vec<u8>,
    hash: (ObjectIdentifier, &'static Algorithm),
    signature: ObjectIdentifier,
    status: CertStatus,
    from: i64,
    until: Option<i64>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Response {
    fn about(server: &Identity, issuer: &CertificateDer<'static>) -> Self {
        Self {
            issuer: issuer.clone(),
            serial: server.serial.clone(),
            hash: (SHA1_ID, &SHA1_FOR_LEGACY_USE_ONLY),
            signature: ECDSA_WITH_SHA256,
            status: CertStatus::good(),
            from: -HOUR,
            until: Some(HOUR),
            certificates: Vec::new(),
        }
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        changed
    }

    fn signed_by(&self, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
        let issuer = Certificate::from_der(&self.issuer).unwrap().tbs_certificate;
        let hash = |bytes: &[u8]| OctetString::new(digest::digest(self.hash.1, bytes).as_ref()).unwrap();
        let key_hash = hash(issuer.subject_public_key_info.subject_public_key.raw_bytes());
        let single = SingleResponse {
            cert_id: CertId {
                hash_algorithm: AlgorithmIdentifierOwned { oid: self.hash.0, parameters: Some(Null.into()) },
                issuer_name_hash: hash(&issuer.subject.to_der().unwrap()),
                issuer_key_hash: key_hash.clone(),
                serial_number: Serial::new(&self.serial).unwrap(),
            },
            cert_status: self.status,
            this_update: time(self.from),
            next_update: self.until.map(time),
            single_extensions: None,
        };
        let tbs_response_data = ResponseData {
            version: Version::V1,
            responder_id: ResponderId::ByKey(key_hash),
            produced_at: time(self.from),
            responses: vec![single],
            response_extensions: None,
        };
        let certs = self.certificates.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
        let basic = BasicOcspResponse {
            signature: BitString::from_bytes(&sign(&tbs_response_data.to_der().unwrap())).unwrap(),
            signature_algorithm: AlgorithmIdentifierOwned { oid: self.signature, parameters: None },
            tbs_response_data,
            certs: Some(certs).filter(|certs: &Vec<_>| !certs.is_empty()),
        };
        OcspResponse::successful(basic).unwrap().to_der().unwrap()
    }
}

/// The moment so many seconds from now.
fn time(offset: i64) -> OcspGeneralizedTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let then = Duration::from_secs(now.saturating_add_signed(offset));
    OcspGeneralizedTime(GeneralizedTime::from_unix_duration(then).unwrap())
}

fn key_of(identity: &Identity) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = KeyPair::from_pem(&identity.key_pem).unwrap();
    move |message| key.sign(message).unwrap()
}

fn asking(authority: &Authority, ocsp: Ocsp) -> TlsOptions {
    let mut options = trusting(authority);
    options.ocsp = ocsp;
    options
}

fn stapled(options: &TlsOptions, server: &Identity, response: Vec<u8>) -> Result<()> {
    connect(options, "localhost", &Setup::new(server).staple(response).config(server)).map(drop)
}

#[track_caller]
fn refused(result: Result<()>, wanted: &str) {
    let error = result.expect_err(wanted);
    assert!(message(&error).contains(wanted), "{error}\nlacks {wanted}");
}

#[test]
fn a_good_response_is_accepted() {
    let authority = Authority::new();
    let server = authority.server();
    let good = Response::about(&server, authority.der());
    let by_authority = |message: &[u8]| authority.sign(message);
    for options in [asking(&authority, Ocsp::Stapled), asking(&authority, Ocsp::MustStaple)] {
        let sha256 = good.with(|it| it.hash = (SHA256_ID, &SHA256));
        // Clocks may be off by less than five minutes, and a responder may leave the end open.
        let future = good.with(|it| it.from = 240);
        let past = good.with(|it| it.until = Some(-240));
        let open = good.with(|it| it.until = None);
        for response in [&good, &sha256, &future, &past, &open] {
            stapled(&options, &server, response.signed_by(by_authority)).unwrap();
        }
        let tls12 = Setup::new(&server).tls12().staple(good.signed_by(by_authority)).config(&server);
        connect(&options, "localhost", &tls12).unwrap();
    }
}

#[test]
fn a_response_that_says_anything_else_is_refused() {
    let authority = Authority::new();
    let (server, other) = (authority.server(), authority.server());
    let good = Response::about(&server, authority.der());
    let revoked = RevokedInfo { revocation_time: time(-HOUR), revocation_reason: None };
    let stranger = Authority::new();
    let table = [
        (good.with(|it| it.status = CertStatus::revoked(revoked)), "is revoked"),
        (good.with(|it| it.status = CertStatus::unknown()), "does not know the certificate"),
        (good.with(|it| it.until = Some(-600)), "has expired"),
        (good.with(|it| it.signature = ECDSA_WITH_SHA1), "signed in a way that is not supported"),
        (good.with(|it| (it.from, it.until) = (-25 * HOUR, None)), "has expired"),
        (good.with(|it| it.from = 600), "from the future"),
        (good.with(|it| it.serial = other.serial.clone()), "about another certificate"),
        (good.with(|it| it.issuer = stranger.der().clone()), "about another certificate"),
        (good.with(|it| it.hash = (SHA256_ID, &SHA1_FOR_LEGACY_USE_ONLY)), "about another certificate"),
    ];
    for options in [asking(&authority, Ocsp::Stapled), asking(&authority, Ocsp::MustStaple)] {
        for (response, wanted) in &table {
            let response = response.signed_by(|message| authority.sign(message));
            refused(stapled(&options, &server, response), wanted);
        }
        for failure in [OcspResponse::try_later(), OcspResponse::unauthorized()] {
            refused(stapled(&options, &server, failure.to_der().unwrap()), "says that it failed");
        }
        refused(stapled(&options, &server, b"nonsense".to_vec()), "cannot be read");
        let cut = good.signed_by(|message| authority.sign(message));
        refused(stapled(&options, &server, cut[..cut.len() - 1].to_vec()), "cannot be read");
    }
    // Who did not ask, does not look.
    stapled(&asking(&authority, Ocsp::Off), &server, b"nonsense".to_vec()).unwrap();
}

#[test]
fn only_the_issuer_or_its_delegate_may_sign() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.server();
    let options = asking(&authority, Ocsp::Stapled);
    let good = Response::about(&server, authority.der());
    let wanted = "neither by the issuer";
    refused(stapled(&options, &server, good.signed_by(|message| stranger.sign(message))), wanted);
    let forged = good.signed_by(|message| {
        let mut signature = authority.sign(message);
        *signature.last_mut().unwrap() ^= 1;
        signature
    });
    refused(stapled(&options, &server, forged), wanted);

    let name = &["responder"];
    let delegate = authority.identity(name).ocsp_responder().issue();
    let by = |signer: &Identity| {
        let response =
            good.with(|it| it.certificates = vec![server.cert_der.clone(), signer.cert_der.clone()]);
        response.signed_by(key_of(signer))
    };
    stapled(&options, &server, by(&delegate)).unwrap();
    refused(stapled(&options, &server, good.signed_by(key_of(&delegate))), wanted);
    for signer in [
        // Of the same CA, but not for this purpose.
        authority.identity(name).issue(),
        authority.identity(name).expired().ocsp_responder().issue(),
        authority.identity(name).not_yet_valid().ocsp_responder().issue(),
        stranger.identity(name).ocsp_responder().issue(),
    ] {
        refused(stapled(&options, &server, by(&signer)), wanted);
    }
}

#[test]
fn an_expected_responder_excludes_all_others() {
    let authority = Authority::new();
    let server = authority.server();
    let name = &["responder"];
    let (delegate, other) = (
        authority.identity(name).ocsp_responder().issue(),
        authority.identity(name).ocsp_responder().issue(),
    );
    let mut options = asking(&authority, Ocsp::Stapled);
    options.ocsp_responder = Some(TlsSource::File(delegate.cert_file.clone()));
    let good = Response::about(&server, authority.der());
    stapled(&options, &server, good.signed_by(key_of(&delegate))).unwrap();
    let wanted = "not signed by the responder that is expected (`tls_ocsp_responder_file`)";
    refused(stapled(&options, &server, good.signed_by(|message| authority.sign(message))), wanted);
    let by_other = good.with(|it| it.certificates = vec![other.cert_der.clone()]);
    refused(stapled(&options, &server, by_other.signed_by(key_of(&other))), wanted);

    let expired = authority.identity(name).ocsp_responder().expired().issue();
    options.ocsp_responder = Some(TlsSource::Bytes(expired.cert_pem.as_str().into()));
    refused(stapled(&options, &server, good.signed_by(key_of(&expired))), "certificate is not valid now");

    options.ocsp_responder = Some(TlsSource::Bytes("".into()));
    let error = TlsConnector::new(&options, "localhost").unwrap().session().map(drop).unwrap_err();
    assert!(message(&error).contains("`tls_ocsp_responder_bytes` holds has no certificate"), "{error}");
}

#[test]
fn a_missing_response_counts_where_one_must_be() {
    let authority = Authority::new();
    let plain = authority.server();
    let promised = authority.identity(&["localhost"]).must_staple().issue();
    let wanted = "staples no OCSP response";
    for (ocsp, server, accepted) in [
        (Ocsp::Off, &plain, true),
        (Ocsp::Off, &promised, true),
        (Ocsp::Stapled, &plain, true),
        (Ocsp::Stapled, &promised, false),
        (Ocsp::MustStaple, &plain, false),
        (Ocsp::MustStaple, &promised, false),
    ] {
        let options = asking(&authority, ocsp);
        match accepted {
            true => stapled(&options, server, Vec::new()).unwrap(),
            false => refused(stapled(&options, server, Vec::new()), wanted),
        }
        let response = Response::about(server, authority.der()).signed_by(|message| authority.sign(message));
        stapled(&options, server, response).unwrap();
    }
}

#[test]
fn asking_without_verifying_is_refused() {
    let mut options = TlsOptions::default();
    (options.ocsp, options.verification) = (Ocsp::Stapled, Verification::None);
    let error = TlsConnector::new(&options, "localhost").map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

/// The issuer may be a CA between the server and the one that is trusted; of two with its name, the one
/// with the key.
#[test]
fn an_intermediate_may_be_the_issuer() {
    let ca = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let key = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(ca("root"), key()).unwrap();
    let upper = CertifiedIssuer::signed_by(ca("upper"), key(), &root).unwrap();
    let middle = CertifiedIssuer::signed_by(ca("middle"), key(), &upper).unwrap();
    let false_friend = CertifiedIssuer::self_signed(ca("middle"), key()).unwrap();
    let mut server = Authority::new().server();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.serial_number = Some(SerialNumber::from_slice(&server.serial));
    let server_key = KeyPair::from_pem(&server.key_pem).unwrap();
    server.cert_der = params.signed_by(&server_key, &middle).unwrap().der().clone();

    let mut options = TlsOptions::default();
    (options.ca_bytes, options.ocsp) = (Some(root.pem().into()), Ocsp::MustStaple);
    let good = Response::about(&server, middle.der());
    let with = |response: Vec<u8>| {
        let mut setup = Setup::new(&server).staple(response);
        setup.chain.extend([&false_friend, &middle, &upper].map(|ca| ca.der().clone()));
        connect(&options, "localhost", &setup.config(&server)).map(drop)
    };
    with(good.signed_by(|message| middle.key().sign(message).unwrap())).unwrap();
    let wanted = "neither by the issuer";
    refused(with(good.signed_by(|message| root.key().sign(message).unwrap())), wanted);
    refused(with(good.signed_by(|message| false_friend.key().sign(message).unwrap())), wanted);
}
