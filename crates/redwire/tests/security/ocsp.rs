//! Whether a certificate was revoked, as the server proves it by the OCSP response that it staples. FAULTS
//! 24.

use redwire::config::{ConfigBuilder, Ocsp};
use redwire::{Error, ErrorKind};
use redwire_testkit::{Authority, Identity, TlsFront, shared};

use crate::common::Setup;
use crate::site::{at, check_tls_error};

both!(
    a_good_answer_lets_connect,
    any_other_answer_does_not,
    no_answer_matters_only_where_one_is_demanded,
    an_expected_responder_must_have_signed,
    a_new_answer_is_read_at_the_next_connect,
);

/// A server's certificate, and a front that staples to it.
struct Stapled {
    authority: Authority,
    identity: Identity,
    front: TlsFront,
}

impl Stapled {
    /// No answer yet.
    fn new(tls12: bool) -> Self {
        let authority = Authority::new();
        let identity = authority.server();
        let builder = TlsFront::builder(&identity);
        let builder = if tls12 { builder.only_tls12() } else { builder };
        let front = builder.start(shared());
        Self { front, authority, identity }
    }

    fn staple(&self, response: &[u8]) {
        self.front.swap_identity_with_ocsp(&self.identity, response);
    }

    fn options(&self, ocsp: Ocsp) -> ConfigBuilder {
        at(self.front.address().port()).tls_ca_file(self.authority.pem_file()).tls_ocsp(ocsp)
    }
}

#[track_caller]
fn lets_in(setup: Setup, options: ConfigBuilder) {
    assert_eq!(setup.open(options).unwrap().run::<String>("PING").unwrap(), "PONG");
}

#[track_caller]
fn refused(setup: Setup, options: ConfigBuilder, words: &[&str]) -> Error {
    let error = setup.open(options).unwrap_err();
    check_tls_error(&error, words);
    error
}

const ASKED: [Ocsp; 2] = [Ocsp::Stapled, Ocsp::MustStaple];

fn a_good_answer_lets_connect(setup: Setup) {
    for tls12 in [false, true] {
        let site = Stapled::new(tls12);
        let delegate = site.authority.identity(&["responder"]).ocsp_responder().issue();
        for response in [
            site.authority.ocsp(&site.identity).build(),
            site.authority.ocsp(&site.identity).sha256().build(),
            site.authority.ocsp(&site.identity).signed_by(&delegate).build(),
        ] {
            site.staple(&response);
            for ocsp in ASKED {
                lets_in(setup, site.options(ocsp));
            }
        }
        let by_url = format!("tls_ca_file={}&tls_ocsp=must_staple", site.authority.pem_file().display());
        let client = setup.client(&site.front.url("rediss"), &by_url);
        assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    }
}

fn any_other_answer_does_not(setup: Setup) {
    for tls12 in [false, true] {
        let site = Stapled::new(tls12);
        let (authority, identity) = (&site.authority, &site.identity);
        let (stranger, other) = (Authority::new(), authority.server());
        let table: [(Vec<u8>, &[&str]); 7] = [
            (authority.ocsp(identity).revoked().build(), &["revoked"]),
            (authority.ocsp(identity).unknown().build(), &["OCSP"]),
            (authority.ocsp(identity).expired().build(), &["OCSP"]),
            (authority.ocsp(identity).not_yet_valid().build(), &["OCSP"]),
            // Of another certificate, by another CA, and signed by a responder that may not.
            (authority.ocsp(&other).build(), &["OCSP"]),
            (stranger.ocsp(identity).build(), &["OCSP"]),
            (authority.ocsp(identity).signed_by(&other).build(), &["OCSP"]),
        ];
        let mut said = Vec::new();
        for (response, words) in table {
            site.staple(&response);
            for ocsp in ASKED {
                said.push(refused(setup, site.options(ocsp), words).message().to_owned());
            }
            // Who does not ask does not mind.
            lets_in(setup, site.options(Ocsp::Off));
        }
        // No two causes among the first four are told alike.
        let mut first: Vec<&String> = said[..8].iter().collect();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 4, "{first:#?}");
    }
}

fn no_answer_matters_only_where_one_is_demanded(setup: Setup) {
    let site = Stapled::new(false);
    lets_in(setup, site.options(Ocsp::Stapled));
    refused(setup, site.options(Ocsp::MustStaple), &["OCSP"]);
    // A certificate that says must-staple demands it, too, from a client that looks at OCSP at all.
    let demanding = site.authority.identity(&["127.0.0.1"]).must_staple().issue();
    site.front.swap_identity(&demanding);
    lets_in(setup, site.options(Ocsp::Off));
    refused(setup, site.options(Ocsp::Stapled), &["OCSP"]);
    site.front.swap_identity_with_ocsp(&demanding, &site.authority.ocsp(&demanding).build());
    lets_in(setup, site.options(Ocsp::Stapled));
}

fn an_expected_responder_must_have_signed(setup: Setup) {
    let site = Stapled::new(false);
    // No CA made these two delegates: being expected is enough, and being a delegate is not.
    let (expected, other) =
        (site.authority.server(), site.authority.identity(&["x"]).ocsp_responder().issue());
    let options = || site.options(Ocsp::Stapled).tls_ocsp_responder_file(&expected.cert_file);
    site.staple(&site.authority.ocsp(&site.identity).signed_by(&expected).build());
    lets_in(setup, options());
    let by_bytes = site.options(Ocsp::Stapled).tls_ocsp_responder_bytes(&expected.cert_pem);
    lets_in(setup, by_bytes);
    site.staple(&site.authority.ocsp(&site.identity).signed_by(&other).build());
    lets_in(setup, site.options(Ocsp::Stapled));
    refused(setup, options(), &["OCSP"]);
    let error = setup.open(site.options(Ocsp::Off).tls_ocsp_responder_file(&expected.cert_file)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
}

fn a_new_answer_is_read_at_the_next_connect(setup: Setup) {
    let site = Stapled::new(false);
    site.staple(&site.authority.ocsp(&site.identity).build());
    let mut connection = setup.open_connection(site.options(Ocsp::MustStaple)).unwrap();
    assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
    site.staple(&site.authority.ocsp(&site.identity).revoked().build());
    assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
    check_tls_error(&connection.reconnect().unwrap_err(), &["revoked"]);
    site.staple(&site.authority.ocsp(&site.identity).build());
    connection.reconnect().unwrap();
    assert_eq!(connection.run::<String>("PING").unwrap(), "PONG");
}
