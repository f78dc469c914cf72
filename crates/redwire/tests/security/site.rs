//! A server behind TLS with a CA of its own, and the options that trust it. It starts them and tells errors
//! of TLS.

use redwire::config::{Config, ConfigBuilder};
use redwire::{ConnectionFault, Error, ErrorKind, Outcome};
use redwire_testkit::{Authority, Identity, Server, Target, TlsFront, shared};

/// A CA, and a front with a certificate of it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) authority: Authority,
    pub(crate) front: TlsFront,
}

impl Site {
    /// Before the server that tests share.
    pub(crate) fn new() -> Self {
        Self::before(shared())
    }

    pub(crate) fn before(server: &Server) -> Self {
        let authority = Authority::new();
        let front = TlsFront::start(&authority.server(), server);
        Self { authority, front }
    }

    /// What the front shows is issued by `issue`.
    pub(crate) fn showing(issue: impl FnOnce(&Authority) -> Identity) -> Self {
        let authority = Authority::new();
        let front = TlsFront::start(&issue(&authority), shared());
        Self { authority, front }
    }

    /// Lets in only those with a certificate of its CA.
    pub(crate) fn strict(tls12: bool) -> Self {
        let authority = Authority::new();
        let server = authority.server();
        let mut builder = TlsFront::builder(&server).require_client(&authority);
        if tls12 {
            builder = builder.only_tls12();
        }
        let front = builder.start(Target::from(shared()));
        Self { authority, front }
    }

    pub(crate) fn url(&self) -> String {
        self.front.url("rediss")
    }

    /// The CA as an option of a URL.
    pub(crate) fn trusted(&self) -> String {
        format!("tls_ca_file={}", self.authority.pem_file().display())
    }

    /// The way to it, trusting no CA yet.
    pub(crate) fn options(&self) -> ConfigBuilder {
        at(self.front.address().port())
    }

    /// The way to it, trusting its CA.
    pub(crate) fn trusting(&self) -> ConfigBuilder {
        self.options().tls_ca_file(self.authority.pem_file())
    }
}

/// The way to a port of this machine by TLS.
pub(crate) fn at(port: u16) -> ConfigBuilder {
    Config::builder().host("127.0.0.1").port(port).tls(true)
}

/// Checks that `error` is one of TLS, that nothing was sent, and that it says all of `words`.
#[track_caller]
pub(crate) fn check_tls_error(error: &Error, words: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Tls), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert!(!error.is_retryable(), "{error}");
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}\nlacks one of {words:?}");
    assert!(error.address().is_some(), "{text}");
}
