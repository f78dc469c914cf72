//! Certificates and private keys, from files or bytes in PEM.
//!
//! Promises that an error names the option and the file, and shows nothing of a key. Must not know what
//! they are used for.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use redwire_core::config::{TlsOptions, TlsSource};
use redwire_core::secret::Secret;
use redwire_core::{Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::fault;

/// What tells that files have changed: when each last did, and its length.
pub(super) type Stamps = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

/// The stamps of all files that `options` name, as they are now.
pub(super) fn stamps(options: &TlsOptions) -> Stamps {
    let sources = [&options.cert, &options.key, &options.ocsp_responder];
    let files = sources.into_iter().filter_map(|source| match source {
        Some(TlsSource::File(path)) => Some(path.clone()),
        _ => None,
    });
    let in_dir = options.ca_dir.iter().flat_map(|dir| entries(dir).unwrap_or_default());
    files.chain(options.ca_file.clone()).chain(in_dir).map(stamp).collect()
}

fn stamp(path: PathBuf) -> (PathBuf, Option<(SystemTime, u64)>) {
    let stamp = fs::metadata(&path).and_then(|data| Ok((data.modified()?, data.len()))).ok();
    (path, stamp)
}

/// The CAs that `options` trust: those they name, or those of the system if they name none.
pub(super) fn roots(options: &TlsOptions) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca_file {
        Pem::file("tls_ca_file", path)?.trust(&mut roots)?;
    }
    if let Some(dir) = &options.ca_dir {
        trust_dir(&mut roots, dir)?;
    }
    if let Some(text) = &options.ca_bytes {
        Pem { option: "tls_ca_bytes", path: None, text: text.clone() }.trust(&mut roots)?;
    }
    if roots.is_empty() {
        let system = rustls_native_certs::load_native_certs();
        let (known, _) = roots.add_parsable_certificates(system.certs);
        if known == 0 {
            let why = system.errors.first().map_or_else(String::new, |error| format!(": {error}"));
            return Err(fault::error(format!(
                "TLS: this system has no CA certificates (`tls_ca_file` can name some){why}"
            )));
        }
    }
    Ok(roots)
}

/// The client's certificate, with those that lead from it to a CA.
pub(super) fn chain(source: &TlsSource) -> Result<Vec<CertificateDer<'static>>> {
    Pem::source("tls_cert_file", "tls_cert_bytes", source)?.certificates()
}

/// The certificate whose key must have signed an OCSP response.
#[cfg(feature = "ocsp")]
pub(super) fn responder(source: &TlsSource) -> Result<CertificateDer<'static>> {
    let pem = Pem::source("tls_ocsp_responder_file", "tls_ocsp_responder_bytes", source)?;
    Ok(pem.certificates()?.swap_remove(0))
}

/// The client's private key, in any of the three usual forms, or encrypted with `password`.
pub(super) fn key(source: &TlsSource, password: Option<&Secret>) -> Result<PrivateKeyDer<'static>> {
    let pem = Pem::source("tls_key_file", "tls_key_bytes", source)?;
    if let Some(block) = pem.encrypted_key() {
        return decrypted(&pem, block, password);
    }
    if pem.has("Proc-Type: 4,ENCRYPTED") {
        return Err(pem.fault(
            "is encrypted in an old way; `openssl pkcs8 -topk8` turns it into one that is supported",
        ));
    }
    PrivateKeyDer::from_pem_slice(&pem.text).map_err(|error| pem.broken(error, "private key"))
}

#[cfg(feature = "encrypted-keys")]
fn decrypted(pem: &Pem<'_>, block: &str, password: Option<&Secret>) -> Result<PrivateKeyDer<'static>> {
    use pkcs8::{DecodePrivateKey, SecretDocument, pkcs5};
    use rustls::pki_types::PrivatePkcs8KeyDer;

    let Some(password) = password else {
        return Err(pem.fault("is encrypted, and no password is given (`tls_key_password`)"));
    };
    let error = match SecretDocument::from_pkcs8_encrypted_pem(block, password.reveal()) {
        Ok(key) => return Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        Err(error) => error,
    };
    let why = match &error {
        // A wrong password makes garbage, which now and then passes for decrypted.
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed | pkcs5::Error::EncryptFailed)
        | pkcs8::Error::Asn1(_) => {
            "cannot be decrypted: the password (`tls_key_password`) is wrong, or the key is damaged".into()
        }
        error => format!("cannot be decrypted: {error}"),
    };
    Err(pem.fault(&why).with_source(error))
}

#[cfg(not(feature = "encrypted-keys"))]
fn decrypted(pem: &Pem<'_>, _block: &str, _password: Option<&Secret>) -> Result<PrivateKeyDer<'static>> {
    Err(pem.fault("is encrypted, which needs the feature `encrypted-keys` of redwire"))
}

/// A directory of CAs has whatever files an administrator or `c_rehash` puts there, so those that are no
/// certificates are passed over; only a directory without any is a mistake.
fn trust_dir(roots: &mut RootCertStore, dir: &Path) -> Result<()> {
    let before = roots.len();
    let paths = entries(dir).map_err(|error| {
        fault::file("tls_ca_dir", dir, &format!("cannot be read: {error}")).with_source(error)
    })?;
    for path in paths {
        let Ok(text) = fs::read(&path) else { continue };
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).flatten());
    }
    if roots.len() == before {
        return Err(fault::file("tls_ca_dir", dir, "has no file with a CA certificate"));
    }
    Ok(())
}

/// The files of a directory, in an order that is always the same.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    Ok(paths)
}

/// A text in PEM and where it is from.
struct Pem<'a> {
    option: &'static str,
    path: Option<&'a Path>,
    text: Vec<u8>,
}

impl<'a> Pem<'a> {
    fn file(option: &'static str, path: &'a Path) -> Result<Self> {
        match fs::read(path) {
            Ok(text) => Ok(Self { option, path: Some(path), text }),
            Err(error) => {
                Err(fault::file(option, path, &format!("cannot be read: {error}")).with_source(error))
            }
        }
    }

    fn source(file: &'static str, bytes: &'static str, source: &'a TlsSource) -> Result<Self> {
        match source {
            TlsSource::File(path) => Self::file(file, path),
            TlsSource::Bytes(text) => {
                Ok(Self { option: bytes, path: None, text: text.reveal().as_bytes().to_vec() })
            }
            _ => Err(fault::error(format!("{bytes}: this version of redwire cannot read from there"))),
        }
    }

    /// All certificates in it: at least one.
    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let all = CertificateDer::pem_slice_iter(&self.text).collect::<Result<Vec<_>, _>>();
        match all {
            Ok(all) if all.is_empty() => Err(self.broken(pem::Error::NoItemsFound, "certificate")),
            Ok(all) => Ok(all),
            Err(error) => Err(self.broken(error, "certificate")),
        }
    }

    fn trust(&self, roots: &mut RootCertStore) -> Result<()> {
        for certificate in self.certificates()? {
            roots
                .add(certificate)
                .map_err(|error| self.fault("has a certificate that cannot be read").with_source(error))?;
        }
        Ok(())
    }

    fn has(&self, words: &str) -> bool {
        String::from_utf8_lossy(&self.text).contains(words)
    }

    /// The part with an encrypted key, from its first line to its last, if there is one.
    fn encrypted_key(&self) -> Option<&str> {
        const BEGIN: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
        const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
        let text = str::from_utf8(&self.text).ok()?;
        let from = text.find(BEGIN)?;
        let until = from + text[from..].find(END)? + END.len();
        Some(&text[from..until])
    }

    fn broken(&self, error: pem::Error, wanted: &str) -> Error {
        match error {
            pem::Error::NoItemsFound => self.fault(&format!("has no {wanted} in PEM")),
            pem::Error::MissingSectionEnd { .. } => self.fault("is no good PEM: an END line is missing"),
            pem::Error::IllegalSectionStart { .. } => self.fault("is no good PEM: a BEGIN line is malformed"),
            error => self.fault(&format!("is no good PEM: {error}")).with_source(error),
        }
    }

    fn fault(&self, why: &str) -> Error {
        match self.path {
            Some(path) => fault::file(self.option, path, why),
            None => fault::error(format!("TLS: what `{}` holds {why}", self.option)),
        }
    }
}
