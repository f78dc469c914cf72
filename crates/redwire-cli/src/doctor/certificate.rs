//! What stands in a certificate, as far as operators need it. Judges no trust.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// One certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
    /// Host names and IP addresses it is for.
    pub(crate) names: Vec<String>,
    expires: Duration,
}

impl Facts {
    /// `None`: it cannot be read.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?.tbs_certificate;
        let names =
            certificate.get::<SubjectAltName>().ok().flatten().map_or_else(Vec::new, |(_, names)| names.0);
        Some(Self {
            subject: certificate.subject.to_string(),
            issuer: certificate.issuer.to_string(),
            not_before: certificate.validity.not_before.to_date_time().to_string(),
            not_after: certificate.validity.not_after.to_date_time().to_string(),
            names: names.iter().filter_map(name).collect(),
            expires: certificate.validity.not_after.to_unix_duration(),
        })
    }

    /// Whole days until it expires, below zero afterwards.
    pub(crate) fn days_left(&self, now: SystemTime) -> i64 {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let days = |time: Duration| i64::try_from(time.as_secs() / 86_400).unwrap_or(i64::MAX);
        match self.expires.checked_sub(now) {
            Some(left) => days(left),
            None => -days(now.saturating_sub(self.expires)).max(1),
        }
    }

    pub(crate) fn to_json(&self, now: SystemTime) -> Json {
        json!({
            "subject": self.subject, "issuer": self.issuer, "names": self.names,
            "not_before": self.not_before, "not_after": self.not_after, "days_left": self.days_left(now),
        })
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => match bytes.as_bytes() {
            bytes if bytes.len() == 4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?).to_string()),
            bytes => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use redwire_testkit::Authority;

    use super::*;

    #[test]
    fn it_reads_names_and_dates() {
        let authority = Authority::new();
        let sound = Facts::read(&authority.server().cert_der).unwrap();
        assert_eq!(sound.names, ["localhost", "127.0.0.1", "::1"]);
        assert!(sound.days_left(SystemTime::now()) >= 0, "{sound:?}");
        let expired = Facts::read(&authority.identity(&["a.example"]).expired().issue().cert_der).unwrap();
        assert!(expired.days_left(SystemTime::now()) < 0, "{expired:?}");
        assert_eq!(Facts::read(b"nothing"), None);
    }
}
