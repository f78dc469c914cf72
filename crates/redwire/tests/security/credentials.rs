//! Where a connection's credentials come from, and that nothing ever shows them. FAULTS 27; REFERENCE C2.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use redwire::config::{Config, ConfigBuilder};
use redwire::credentials::{CredentialFuture, CredentialProvider, Credentials, RotatingCredentials};
use redwire::{AuthenticationFault, Error, ErrorKind, Outcome, Result};
use redwire_testkit::{Server, eventually};

use crate::common::pool::Pool;
use crate::common::{GRACE, LIMIT, Setup, kill_named, shown, timed};
use crate::site::Site;

const PASSWORD: &str = "s3cr3t:@/ word";

both!(
    a_fixed_user_comes_in_by_tcp_unix_socket_and_tls,
    a_user_without_a_password_is_that_user,
    a_provider_is_asked_at_every_connect,
    the_error_of_a_provider_is_the_error_of_the_connect,
    a_slow_provider_is_part_of_the_connect,
    nothing_ever_shows_a_password,
);

fn guarded() -> Server {
    Server::builder().password(PASSWORD).acl_line("user ann on >ann-s3cr3t ~* +@all").start()
}

/// The way to `server`, without a user yet.
fn at(server: &Server) -> ConfigBuilder {
    Config::builder().host("127.0.0.1").port(server.port())
}

fn a_fixed_user_comes_in_by_tcp_unix_socket_and_tls(setup: Setup) {
    let server = guarded();
    let site = Site::before(&server);
    for way in [at(&server), Config::builder().path(server.unix_path()), site.trusting()] {
        for (options, user) in [
            (way.clone().password(PASSWORD), "default"),
            (way.clone().username("ann").password("ann-s3cr3t"), "ann"),
            (way.clone().credential_provider(RotatingCredentials::new(ann())), "ann"),
            (way.clone().credential_provider(default_user()), "default"),
        ] {
            assert_eq!(setup.open(options.clone()).unwrap().run::<String>("ACL WHOAMI").unwrap(), user);
            let mut connection = setup.open_connection(options).unwrap();
            assert_eq!(connection.run::<String>("ACL WHOAMI").unwrap(), user);
        }
        let error = setup.open(way.clone().username("ann").password("wrong")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication(AuthenticationFault::WrongPassword), "{error}");
        // In RESP2 nothing that is said first has to be answered by a server that wants a password.
        let error = setup.open(way).and_then(|client| client.run::<String>("PING")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication(AuthenticationFault::PasswordRequired), "{error}");
    }
    // A fixed user and a provider to ask contradict each other.
    let both = at(&server).username("ann").credential_provider(RotatingCredentials::new(ann()));
    assert_eq!(setup.open(both).unwrap_err().kind(), ErrorKind::Config);
}

/// The default user may do everything here, so a client without its password must not become it.
fn a_user_without_a_password_is_that_user(setup: Setup) {
    let rights = "~* +@read +@connection +acl|whoami";
    let server = Server::builder()
        .acl_line(&format!("user reader on nopass {rights}"))
        .acl_line(&format!("user guarded on >pw {rights}"))
        .start();
    let (tcp, unix) = (format!("127.0.0.1:{}", server.port()), server.unix_path().display().to_string());
    let of_url = |url: String| Config::builder().url(&url);
    let asked = RotatingCredentials::new(Credentials::new("reader", ""));
    for options in [
        of_url(format!("redis://reader@{tcp}")),
        of_url(format!("redis://reader:@{tcp}")),
        of_url(format!("redis://{tcp}?username=reader")),
        of_url(format!("unix://reader@{unix}")),
        at(&server).username("reader"),
        at(&server).username("reader").password(""),
        at(&server).credential_provider(asked),
    ] {
        let client = setup.open(options.clone()).unwrap();
        assert_eq!(client.run::<String>("ACL WHOAMI").unwrap(), "reader", "{options:?}");
        assert_eq!(client.run::<()>("SET k v").unwrap_err().code(), Some("NOPERM"), "{options:?}");
        let mut connection = setup.open_connection(options).unwrap();
        assert_eq!(connection.run::<String>("ACL WHOAMI").unwrap(), "reader");
    }
    let error = setup.open(at(&server).username("guarded")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication(AuthenticationFault::WrongPassword), "{error}");
    let unnamed = setup.open(of_url(format!("redis://:@{tcp}"))).unwrap();
    assert_eq!(unnamed.run::<String>("ACL WHOAMI").unwrap(), "default");
}

fn ann() -> Credentials {
    Credentials::new("ann", "ann-s3cr3t")
}

fn default_user() -> RotatingCredentials {
    RotatingCredentials::new(Credentials::default_user(PASSWORD))
}

/// Says who ann is, counts how often it was asked, and takes its time. Each driver has its own question.
#[derive(Default)]
struct Vault {
    asked: AtomicUsize,
    pause: Duration,
    sealed: AtomicBool,
}

impl Vault {
    fn answer(&self) -> Result<Credentials> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.sealed.load(Ordering::SeqCst) {
            return Err(Error::usage("the vault is sealed"));
        }
        Ok(ann())
    }
}

impl CredentialProvider for Vault {
    fn credentials(&self) -> Result<Credentials> {
        assert!(tokio::runtime::Handle::try_current().is_err(), "a provider may not block a runtime");
        thread::sleep(self.pause);
        self.answer()
    }

    fn credentials_future(&self) -> CredentialFuture<'_> {
        Box::pin(async {
            tokio::time::sleep(self.pause).await;
            self.answer()
        })
    }
}

fn a_provider_is_asked_at_every_connect(setup: Setup) {
    let server = guarded();
    let vault = Arc::new(Vault { pause: Duration::from_millis(5), ..Vault::default() });
    let options = at(&server).credential_provider(Arc::clone(&vault)).client_name("asks");
    let client = setup.open(options.clone()).unwrap();
    for times in 1..=4 {
        assert_eq!(client.run::<String>("ACL WHOAMI").unwrap(), "ann");
        assert_eq!(vault.asked.load(Ordering::SeqCst), times);
        assert_eq!(kill_named(&server, "asks"), 1);
        eventually("the client is back", LIMIT, || client.run::<String>("PING").is_ok());
    }
    let before = vault.asked.load(Ordering::SeqCst);
    let mut connection = setup.open_connection(options).unwrap();
    connection.reconnect().unwrap();
    assert_eq!(connection.run::<String>("ACL WHOAMI").unwrap(), "ann");
    assert_eq!(vault.asked.load(Ordering::SeqCst), before + 2);
}

fn the_error_of_a_provider_is_the_error_of_the_connect(setup: Setup) {
    let server = guarded();
    let vault = Arc::new(Vault::default());
    vault.sealed.store(true, Ordering::SeqCst);
    let options = at(&server).credential_provider(Arc::clone(&vault)).client_name("sealed");
    for error in
        [setup.open(options.clone()).unwrap_err(), setup.open_connection(options.clone()).unwrap_err()]
    {
        assert!(shown(&error).contains("the vault is sealed"), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert!(error.address().is_some(), "{error}");
    }
    // The same once connected: calls say why, and service returns with the vault.
    vault.sealed.store(false, Ordering::SeqCst);
    let client = setup.open(options.timeout(Duration::from_millis(500))).unwrap();
    vault.sealed.store(true, Ordering::SeqCst);
    kill_named(&server, "sealed");
    eventually("the cause is told", LIMIT, || {
        client.run::<i64>("INCR n").is_err_and(|error| shown(&error).contains("the vault is sealed"))
    });
    vault.sealed.store(false, Ordering::SeqCst);
    let (_, took) = timed(|| eventually("service returns", LIMIT, || client.run::<String>("PING").is_ok()));
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

fn a_slow_provider_is_part_of_the_connect(setup: Setup) {
    let server = guarded();
    let limit = Duration::from_millis(200);
    let vault = Vault { pause: Duration::from_millis(700), ..Vault::default() };
    let options = at(&server).credential_provider(vault).connect_timeout(limit);
    let (result, took) = timed(|| setup.open(options));
    assert!(result.unwrap_err().is_timeout());
    assert!(took >= limit && took <= limit + GRACE, "{took:?}");
    assert!(!server.client_list().iter().any(|client| client["user"] == "ann"));
}

fn nothing_ever_shows_a_password(setup: Setup) {
    let server = guarded();
    let port = server.port();
    let rotating = RotatingCredentials::new(ann());
    let mut texts = vec![format!("{:?} {rotating:?}", ann())];
    let fixed = || at(&server).username("ann").password("ann-s3cr3t");
    let asked = || at(&server).credential_provider(rotating.clone());
    for options in [fixed(), asked()] {
        texts.push(format!("{options:?}"));
        let client = setup.open(options.clone()).unwrap();
        let connection = setup.open_connection(options).unwrap();
        texts.push(format!("{client:?} {:?} {} {connection:?}", client.config(), client.config()));
        texts.push(shown(&client.run::<i64>("PING").unwrap_err()));
        texts.push(shown(&client.run::<i64>("AUTH ann not-s3cr3t").unwrap_err()));
        let pool = Pool::of(&client);
        texts.push(format!("{pool:?} {:?} {:?}", pool.events(), pool.get().unwrap()));
    }
    let pool = setup.lazy_pool(asked()).unwrap();
    let (mut events, mut lease) = (pool.events(), pool.get().unwrap());
    rotating.rotate(Credentials::new("ann", "not-s3cr3t"));
    // Refused where it lives, and failed where it does not.
    lease.run::<String>("PING").unwrap();
    texts.push(shown(&pool.get().unwrap_err()));
    while let Some(event) = events.next_within(Duration::from_millis(10)) {
        texts.push(format!("{event:?}"));
    }
    for kind in ["Ready", "Refused", "Failed"] {
        assert!(texts.iter().any(|text| text.contains(kind)), "{kind} is told");
    }
    for options in [
        fixed().password("not-s3cr3t"),
        fixed().db(999),
        asked(),
        asked().port(1),
        fixed().timeout(Duration::from_millis(1)).health_check_interval(Duration::from_millis(1)),
        fixed().tls(true).connect_timeout(Duration::from_millis(100)),
    ] {
        texts.push(shown(&setup.open(options).unwrap_err()));
    }
    let url = format!("redis://ann:not-s3cr3t@127.0.0.1:{port}");
    texts.push(shown(&setup.connect(&url, "").unwrap_err()));
    texts.push(shown(&setup.connect(&format!("{url}?nosuch=1"), "").unwrap_err()));
    for text in texts {
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}
