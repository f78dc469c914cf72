//! The kit's certificates, keys and OCSP responses, read by parsers that the kit doesn't write them with.

use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use redwire_testkit::Authority;
use ring::digest;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::AuthorityInfoAccessSyntax;
use x509_cert::ext::pkix::name::GeneralName;
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspResponse, OcspResponseStatus, SingleResponse};

#[test]
fn an_identity_is_the_same_in_all_its_forms() {
    let authority = Authority::new();
    let identity = authority.server();
    assert_eq!(std::fs::read_to_string(&identity.cert_file).unwrap(), identity.cert_pem);
    assert_eq!(std::fs::read_to_string(&identity.key_file).unwrap(), identity.key_pem);
    assert_eq!(CertificateDer::from_pem_slice(identity.cert_pem.as_bytes()).unwrap(), identity.cert_der);
    assert_eq!(PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).unwrap(), identity.key_der);
    assert!(identity.cert_der.windows(8).any(|part| part == identity.serial), "the serial number is in it");
    assert_eq!(std::fs::read_to_string(authority.pem_file()).unwrap(), authority.pem());
    assert_eq!(&CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap(), authority.der());
    let file = identity.cert_file.clone();
    drop(identity);
    assert!(!file.exists());
}

#[test]
fn encrypted_keys_open_with_their_password_only() {
    let identity = Authority::new().server();
    let pem = identity.encrypted_key_pem("secret");
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{pem}");
    let (label, der) = SecretDocument::from_pem(&pem).unwrap();
    assert_eq!(label, "ENCRYPTED PRIVATE KEY");
    let encrypted = EncryptedPrivateKeyInfo::try_from(der.as_bytes()).unwrap();
    assert_eq!(encrypted.decrypt("secret").unwrap().as_bytes(), identity.key_der.secret_der());
    assert!(encrypted.decrypt("Secret").is_err());
}

#[test]
fn ocsp_responses_are_as_ordered() {
    let authority = Authority::new();
    let identity = authority.server();
    let delegate = authority.identity(&["responder.test"]).ocsp_responder().issue();
    let good = parsed(&authority.ocsp(&identity).build());
    let answer = &good.tbs_response_data.responses[0];
    assert_eq!(answer.cert_id.serial_number.as_bytes(), identity.serial);
    let issuer = x509_cert::Certificate::from_der(authority.der()).unwrap();
    let (name, key) = (issuer.tbs_certificate.subject.to_der().unwrap(), public_key(&issuer));
    let sha1 = |bytes: &[u8]| digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec();
    assert_eq!(answer.cert_id.issuer_name_hash.as_bytes(), sha1(&name));
    assert_eq!(answer.cert_id.issuer_key_hash.as_bytes(), sha1(&key));
    assert!(matches!(answer.cert_status, CertStatus::Good(_)));
    assert_eq!(years(answer), [2001, 3001]);
    assert!(good.certs.is_none() && is_signed(&good, &key));
    assert!(!is_signed(&parsed(&Authority::new().ocsp(&identity).build()), &key));

    let status = |response: Vec<u8>| parsed(&response).tbs_response_data.responses[0].cert_status;
    assert!(matches!(status(authority.ocsp(&identity).revoked().build()), CertStatus::Revoked(_)));
    assert!(matches!(status(authority.ocsp(&identity).unknown().build()), CertStatus::Unknown(_)));
    let late = parsed(&authority.ocsp(&identity).expired().build());
    assert_eq!(years(&late.tbs_response_data.responses[0]), [2001, 2002]);
    let early = parsed(&authority.ocsp(&identity).not_yet_valid().build());
    assert_eq!(years(&early.tbs_response_data.responses[0]), [3000, 3001]);
    let newer = parsed(&authority.ocsp(&identity).sha256().build());
    let hash = newer.tbs_response_data.responses[0].cert_id.issuer_key_hash.as_bytes();
    assert_eq!(hash, digest::digest(&digest::SHA256, &key).as_ref());
    let other = parsed(&authority.ocsp(&identity).signed_by(&delegate).build());
    let enclosed = &other.certs.as_ref().unwrap()[0];
    assert_eq!(enclosed.to_der().unwrap(), delegate.cert_der.as_ref());
    assert!(is_signed(&other, &public_key(enclosed)) && !is_signed(&other, &key));
}

#[test]
fn certificates_name_their_responders() {
    let urls = ["http://127.0.0.1:1/a", "http://b.test"];
    let identity = Authority::new().identity(&["localhost"]).ocsp_urls(&urls).issue();
    let certificate = x509_cert::Certificate::from_der(&identity.cert_der).unwrap();
    let (_, access) = certificate.tbs_certificate.get::<AuthorityInfoAccessSyntax>().unwrap().unwrap();
    let named = access.0.iter().map(|one| match &one.access_location {
        GeneralName::UniformResourceIdentifier(url) => (one.access_method.to_string(), url.as_str()),
        other => panic!("{other:?}"),
    });
    assert!(named.eq(urls.map(|url| ("1.3.6.1.5.5.7.48.1".to_owned(), url))));
}

fn parsed(response: &[u8]) -> BasicOcspResponse {
    let response = OcspResponse::from_der(response).unwrap();
    assert_eq!(response.response_status, OcspResponseStatus::Successful);
    BasicOcspResponse::from_der(response.response_bytes.unwrap().response.as_bytes()).unwrap()
}

fn public_key(certificate: &x509_cert::Certificate) -> Vec<u8> {
    certificate.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes().to_vec()
}

fn is_signed(response: &BasicOcspResponse, key: &[u8]) -> bool {
    let data = response.tbs_response_data.to_der().unwrap();
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
    key.verify(&data, response.signature.raw_bytes()).is_ok()
}

/// The years from and until which an answer is valid.
fn years(answer: &SingleResponse) -> [u16; 2] {
    [answer.this_update, answer.next_update.unwrap()].map(|time| time.0.to_date_time().year())
}
