//! A private server that wants a password, and speaks TLS on a second port, with certificates made for it. It
//! knows nothing of what is measured.

use std::net::TcpListener;
use std::path::PathBuf;
use std::{env, fs, process};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use crate::Fallible;
use crate::data::PASSWORD;
use crate::server::Server;

/// A running server; empty.
pub struct Guard {
    /// `host:port`, without TLS.
    pub addr: String,
    /// `host:port`, with TLS; of a server that was built without, what it said.
    pub tls_addr: Result<String, String>,
    /// The certificate of the authority that has signed the server's (PEM).
    pub ca: PathBuf,
    _server: Server,
    _files: Files,
}

/// The folder of the certificates, which goes with it.
struct Files(PathBuf);

impl Drop for Files {
    fn drop(&mut self) {
        // What is left over is a few small files among those of the system.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Guard {
    /// Starts the server as [`Server::start`] does.
    ///
    /// # Errors
    /// As [`Server::start`]; also if certificates cannot be written.
    pub fn start(program: Option<&str>, core: Option<usize>) -> Fallible<Self> {
        let files = Files(env::temp_dir().join(format!("peers-guard-{}", process::id())));
        fs::create_dir_all(&files.0)?;
        write_certificates(&files)?;
        let file = |name: &str| files.0.join(name).to_string_lossy().into_owned();
        let password = ["--requirepass", PASSWORD];
        let (port, tls_port) = (free_port()?, free_port()?);
        let tls = ["--tls-port", &tls_port.to_string(), "--tls-auth-clients", "no"];
        let identity = ["--tls-cert-file", &file("server.pem"), "--tls-key-file", &file("server.key")];
        let authority = ["--tls-ca-cert-file", &file("ca.pem")];
        let with_tls = [&password[..], &tls, &identity, &authority].concat();
        let (server, tls_addr) = match Server::launch(program, core, port, &files.0, &with_tls) {
            Ok(server) => (server, Ok(format!("127.0.0.1:{tls_port}"))),
            // One that was built without TLS ends at once, since it does not know these options.
            Err(e) => (Server::launch(program, core, port, &files.0, &password)?, Err(e.to_string())),
        };
        Ok(Self {
            addr: server.addr.clone(),
            tls_addr,
            ca: files.0.join("ca.pem"),
            _server: server,
            _files: files,
        })
    }
}

fn free_port() -> Fallible<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// An authority of its own, and what it has signed for this machine.
fn write_certificates(files: &Files) -> Fallible<()> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "peers CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
    fs::write(files.0.join("ca.pem"), issuer.pem())?;
    fs::write(files.0.join("server.pem"), server.pem())?;
    fs::write(files.0.join("server.key"), key.serialize_pem())?;
    Ok(())
}
