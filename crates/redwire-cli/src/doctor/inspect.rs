//! A look at the other end over a raw socket: what its TLS is like, or what it says to a `PING` in the clear.
//!
//! Promises to trust no certificate and to send no secret: a TLS session made here, which takes any
//! certificate, is only looked at and dropped. Whether the certificate is good is for the library's own
//! connection to say.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redwire::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use redwire::rustls::crypto::{CryptoProvider, ring};
use redwire::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use redwire::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError, SignatureScheme,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What was seen of a server's TLS.
#[derive(Debug, Default)]
pub(crate) struct TlsDetails {
    /// As `TLSv1_3`.
    pub(crate) version: Option<String>,
    pub(crate) cipher: Option<String>,
    /// The server's certificate first (DER).
    pub(crate) chain: Vec<Vec<u8>>,
    /// Why the handshake did not come to its end.
    pub(crate) fault: Option<io::Error>,
}

/// What answers at a port that does not answer as it should.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A server that speaks RESP, in the clear.
    Redis,
    /// Something that speaks TLS.
    Tls,
    /// A web server; the first line it said.
    Http(String),
    /// Something else; the beginning of what it said.
    Other(String),
    /// It closes the connection without a word.
    Closes,
    /// It takes connections and says nothing.
    Silent,
}

/// Goes through a TLS handshake with any server, as `name` if that is one that can be asked for.
pub(crate) async fn tls(address: SocketAddr, name: &str, limit: Duration) -> TlsDetails {
    let shown = Arc::new(RecordingVerifier::default());
    let mut seen = TlsDetails::default();
    match timeout(limit, handshake(address, name, Arc::clone(&shown))).await {
        Ok(Ok(session)) => {
            seen.version = session.protocol_version().map(|version| format!("{version:?}"));
            seen.cipher = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        }
        Ok(Err(error)) => seen.fault = Some(error),
        Err(_) => seen.fault = Some(io::ErrorKind::TimedOut.into()),
    }
    seen.chain = std::mem::take(&mut shown.chain.lock().unwrap_or_else(PoisonError::into_inner));
    seen
}

async fn handshake(
    address: SocketAddr,
    name: &str,
    shown: Arc<RecordingVerifier>,
) -> io::Result<ClientConnection> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(shown)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap_or_else(|_| address.ip().into());
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = TcpStream::connect(address).await?;
    let mut buffer = vec![0; 16 << 10];
    while session.is_handshaking() {
        let mut outgoing = Vec::new();
        while session.wants_write() {
            session.write_tls(&mut outgoing)?;
        }
        stream.write_all(&outgoing).await?;
        if !session.is_handshaking() {
            break;
        }
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut incoming = &buffer[..read];
        while !incoming.is_empty() {
            session.read_tls(&mut incoming)?;
            session.process_new_packets().map_err(io::Error::other)?;
        }
    }
    Ok(session)
}

/// Says `PING` in the clear and looks what answers. Where nothing comes of it, tries TLS.
pub(crate) async fn clear(address: SocketAddr, name: &str, limit: Duration) -> Answer {
    let answer = match timeout(limit, first_words(address)).await {
        Ok(Ok(words)) => judge(&words),
        Ok(Err(_)) => Answer::Closes,
        Err(_) => Answer::Silent,
    };
    if matches!(answer, Answer::Closes | Answer::Silent) && !tls(address, name, limit).await.chain.is_empty()
    {
        return Answer::Tls;
    }
    answer
}

async fn first_words(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    // The empty line ends what a web server takes for a request.
    stream.write_all(b"PING\r\n\r\n").await?;
    let mut words = vec![0; 256];
    let mut len = 0;
    while len < words.len() && !words[..len].contains(&b'\n') {
        match stream.read(&mut words[len..]).await {
            Ok(0) => break,
            Ok(read) => len += read,
            // A reset after the last word is how some say goodbye.
            Err(_) if len > 0 => break,
            Err(error) => return Err(error),
        }
        if is_tls(&words[..len]) {
            break;
        }
    }
    words.truncate(len);
    Ok(words)
}

fn judge(words: &[u8]) -> Answer {
    let line = words.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).trim_end().escape_debug().to_string();
    match words {
        [] => Answer::Closes,
        words if is_tls(words) => Answer::Tls,
        words if words.starts_with(b"HTTP/") => Answer::Http(line),
        words if words.starts_with(b"+PONG") || (words.starts_with(b"-") && is_code(&words[1..])) => {
            Answer::Redis
        }
        _ => Answer::Other(line),
    }
}

/// A record of TLS: an alert or a message of a handshake, of version 3.x.
fn is_tls(words: &[u8]) -> bool {
    matches!(words, [0x15 | 0x16, 3, ..])
}

/// Errors of servers begin with a word in capitals.
fn is_code(line: &[u8]) -> bool {
    let len = line.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    len > 1 && line.get(len) == Some(&b' ')
}

/// Takes any certificate and keeps what the server showed.
#[derive(Debug)]
struct RecordingVerifier {
    chain: Mutex<Vec<Vec<u8>>>,
    provider: CryptoProvider,
}

impl Default for RecordingVerifier {
    fn default() -> Self {
        Self { chain: Mutex::default(), provider: ring::default_provider() }
    }
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let chain =
            std::iter::once(certificate).chain(between).map(|certificate| certificate.to_vec()).collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_words_of_a_peer_tell_what_it_is() {
        let table: [(&[u8], Answer); 7] = [
            (b"+PONG\r\n", Answer::Redis),
            (b"-NOAUTH Authentication required.\r\n", Answer::Redis),
            (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n", Answer::Http("HTTP/1.1 400 Bad Request".into())),
            (b"\x15\x03\x03\x00\x02\x02\x46", Answer::Tls),
            (b"SSH-2.0-x\r\n", Answer::Other("SSH-2.0-x".into())),
            (b"-\x1b[2J", Answer::Other("-\\u{1b}[2J".into())),
            (b"", Answer::Closes),
        ];
        for (words, answer) in table {
            assert_eq!(judge(words), answer);
        }
    }
}
