//! The question that a responder is asked about a certificate, and where that responder is.
//!
//! Must not know how the question gets there.

use redwire_core::config::HostPort;
use ring::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Null, ObjectIdentifier, OctetString};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{self, Decode, Encode};
use x509_cert::ext::pkix::AuthorityInfoAccessSyntax;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_ocsp::{CertId, OcspRequest, Request, TbsRequest};

use super::response::{SHA1_ID, Subject, extension};
use super::{OcspFault, rejected};

/// The access method "OCSP" of Authority Information Access.
const OCSP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1");

/// How many of the responders that a certificate names are asked.
const MOST_RESPONDERS: usize = 3;

/// Where a responder is: a URL with the scheme `http`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResponderUrl {
    /// As it stands in the certificate, for messages.
    pub(super) text: String,
    pub(super) address: HostPort,
    /// Host and port as they were written.
    pub(super) authority: String,
    /// Path and query.
    pub(super) path: String,
}

/// The question about `subject`, as DER. It names the issuer by SHA-1, which every responder knows, and has
/// no nonce, so that a responder may answer with what it has signed before.
pub(super) fn question(subject: &Subject) -> der::Result<Vec<u8>> {
    let certificate = &subject.certificate.tbs_certificate;
    let hash =
        |bytes: &[u8]| OctetString::new(digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec());
    let req_cert = CertId {
        hash_algorithm: AlgorithmIdentifierOwned { oid: SHA1_ID, parameters: Some(Null.into()) },
        issuer_name_hash: hash(&certificate.issuer.to_der()?)?,
        issuer_key_hash: hash(subject.issuer.subject_public_key.raw_bytes())?,
        serial_number: certificate.serial_number.clone(),
    };
    let request_list = vec![Request { req_cert, single_request_extensions: None }];
    let tbs_request = TbsRequest { request_list, ..TbsRequest::default() };
    OcspRequest { tbs_request, optional_signature: None }.to_der()
}

/// The responders that `certificate` names, in its order: at least one.
pub(super) fn responders(certificate: &Certificate) -> Result<Vec<ResponderUrl>, OcspFault> {
    let access = extension(certificate, AuthorityInfoAccessSyntax::OID)
        .map(AuthorityInfoAccessSyntax::from_der)
        .transpose()?;
    let named = access.into_iter().flat_map(|access| access.0).filter(|named| named.access_method == OCSP);
    let (mut known, mut refused) = (Vec::new(), None);
    for named in named {
        let GeneralName::UniformResourceIdentifier(text) = named.access_location else { continue };
        match ResponderUrl::parse(text.as_str()) {
            Ok(url) => known.push(url),
            Err(why) => refused = refused.or_else(|| Some(format!("{:?}, {why}", text.as_str()))),
        }
    }
    known.truncate(MOST_RESPONDERS);
    match (known.is_empty(), refused) {
        (false, _) => Ok(known),
        (true, Some(refused)) => {
            Err(rejected(format!("cannot be had: the certificate names the OCSP responder {refused}")))
        }
        (true, None) => Err(rejected(
            "cannot be had: the certificate names no OCSP responder in its Authority Information Access, and \
             the server staples none that is good",
        )),
    }
}

impl ResponderUrl {
    /// # Errors
    /// What is wrong with it, to go behind it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "and a URL as http://host:port/path was expected";
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(EXPECTED);
        }
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => {
                return Err("and http:// was expected: answers are signed, and need no TLS");
            }
            _ => return Err(EXPECTED),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            text: text.to_owned(),
            address: address(authority).ok_or(EXPECTED)?,
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
        })
    }
}

/// The host and the port of `host`, `host:port`, `[::1]` or `[::1]:port`.
fn address(authority: &str) -> Option<HostPort> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { "" } else { port.strip_prefix(':')? })
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let is_host = authority.starts_with('[')
        || (!host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)));
    let port = match port {
        "" => 80,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    (is_host && port != 0).then(|| HostPort { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_host_port_and_path() {
        for (text, host, port, authority, path) in [
            ("http://ca.test", "ca.test", 80, "ca.test", "/"),
            ("HTTP://ca.test:8080/", "ca.test", 8080, "ca.test:8080", "/"),
            ("http://ca.test:/a/b?c=d#e", "ca.test", 80, "ca.test:", "/a/b?c=d"),
            ("http://ca.test?c=/d", "ca.test", 80, "ca.test", "/?c=/d"),
            ("http://10.0.0.1/%20", "10.0.0.1", 80, "10.0.0.1", "/%20"),
            ("http://[::1]:81/x", "::1", 81, "[::1]:81", "/x"),
            ("http://[::1]", "::1", 80, "[::1]", "/"),
        ] {
            let url = ResponderUrl::parse(text).unwrap();
            assert_eq!(url.address, HostPort { host: host.into(), port });
            assert_eq!(
                (url.text.as_str(), url.authority.as_str(), url.path.as_str()),
                (text, authority, path)
            );
        }
    }

    #[test]
    fn what_is_no_url_of_a_responder_is_refused() {
        for text in [
            "",
            "ca.test",
            "http:ca.test",
            "http://",
            "http://:80",
            "http:///x",
            "http://user@ca.test/",
            "http://ca.test:0/",
            "http://ca.test:65536/",
            "http://ca.test:+80/",
            "http://ca.test:80:80/",
            "http://::1/",
            "http://[::1",
            "http://[ca]/",
            "http://[::1]80/",
            "http://ca.test/a b",
            "http://ca.test/\r\nX: y",
            "http://cä.test/",
            "ftp://ca.test/",
        ] {
            let why = ResponderUrl::parse(text).expect_err(text);
            assert_eq!(why, "and a URL as http://host:port/path was expected", "{text}");
        }
        assert!(ResponderUrl::parse("https://ca.test").unwrap_err().contains("http:// was expected"));
    }
}
