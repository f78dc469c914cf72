//! Code of the user's that runs while a connection is made, and panics or never ends: a failed attempt that
//! says so, and is tried again like any other (I3, I4, I6). Calls that are given up, which cost no
//! connection. FAULTS 107–109.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redwire::config::{Config, ConfigBuilder};
use redwire::credentials::{CredentialFuture, CredentialProvider, Credentials};
use redwire::resolve::{Resolve, Resolver};
use redwire::{ConnectionFault, Error, ErrorKind, Outcome, Pool, Result, Run, cmd};
use redwire_testkit::{Direction, Fault, Proxy, Server, eventually};

use crate::common::{Driver, LIMIT, Setup, runtime, shown, timed, words};

both!(
    a_resolver_that_panics_is_an_attempt_that_failed,
    a_provider_that_panics_is_an_attempt_that_failed,
    a_callback_that_panics_is_an_attempt_that_failed,
);

/// Panics while `bad`.
#[derive(Debug)]
struct Moody {
    bad: AtomicBool,
    server: SocketAddr,
}

impl Moody {
    fn new(server: &Server) -> Arc<Self> {
        Arc::new(Self { bad: AtomicBool::new(true), server: server.addr() })
    }

    fn act(&self) {
        assert!(!self.bad.load(Ordering::SeqCst), "on purpose");
    }
}

impl Resolve for Moody {
    fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        self.act();
        Ok(vec![self.server])
    }
}

impl CredentialProvider for Moody {
    fn credentials(&self) -> Result<Credentials> {
        self.act();
        Ok(Credentials::default_user("word"))
    }
}

/// One attempt fails, and says why; then calls fail by their deadline, and succeed as soon as it panics no
/// more.
#[track_caller]
fn check(setup: Setup, moody: &Moody, options: &ConfigBuilder, kind: ErrorKind, whose: &str) {
    let error = setup.open(options.clone().retries(0)).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains(&format!("{whose} panicked")), "{error}");
    let pool = setup.lazy_pool(options.clone()).unwrap();
    eventually("a caller is told why, once an attempt has failed", LIMIT, || {
        let error = pool.get_within(Duration::from_millis(100)).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::NotSent), "{error}");
        shown(&error).contains(&format!("{whose} panicked"))
    });
    let client = pool.client();
    let short = || client.execute(words::<String>("PING").timeout(Duration::from_millis(100)));
    assert_eq!(short().unwrap_err().outcome(), Outcome::NotSent);
    moody.bad.store(false, Ordering::SeqCst);
    eventually("it is tried again", LIMIT, || short().is_ok());
    assert_eq!(pool.run::<String>("PING").unwrap(), "PONG");
    let stats = pool.stats();
    assert_eq!((stats.in_use, stats.connecting), (0, 0), "{stats:?}");
}

fn a_resolver_that_panics_is_an_attempt_that_failed(setup: Setup) {
    let server = Server::start();
    let moody = Moody::new(&server);
    let resolver: Arc<dyn Resolve> = Arc::clone(&moody) as _;
    let options = Config::builder().host("db.example").resolver(Resolver::from(resolver));
    check(setup, &moody, &options, ErrorKind::Connection(ConnectionFault::Dns), "the resolver");
}

fn a_provider_that_panics_is_an_attempt_that_failed(setup: Setup) {
    let server = Server::builder().password("word").start();
    let moody = Moody::new(&server);
    let at = Config::builder().host("127.0.0.1").port(server.port());
    let options = at.credential_provider(Arc::clone(&moody));
    check(setup, &moody, &options, ErrorKind::Connection(ConnectionFault::Io), "the credential provider");
}

fn a_callback_that_panics_is_an_attempt_that_failed(setup: Setup) {
    let server = Server::start();
    let moody = Moody::new(&server);
    let config = Config::from_url(&setup.url(&server.url(), "retries=0")).unwrap();
    let told = |error: &Error| {
        assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Io), "{error}");
        assert!(error.to_string().contains("the callback panicked"), "{error}");
    };
    match setup.driver {
        Driver::Tokio => {
            let acting = Arc::clone(&moody);
            let callback = redwire::OnConnect::new(move |connection| {
                let acting = Arc::clone(&acting);
                Box::pin(async move {
                    connection.run::<()>(cmd("PING")).await?;
                    acting.act();
                    Ok(())
                })
            });
            let config = config.to_builder().on_connect(callback).build().unwrap();
            runtime().block_on(async {
                told(&redwire::Client::open(config.clone()).await.unwrap_err());
                let pool = Pool::lazy(config).unwrap();
                assert!(pool.get_within(Duration::from_millis(100)).await.unwrap_err().is_timeout());
                moody.bad.store(false, Ordering::SeqCst);
                assert_eq!(pool.get().await.unwrap().run::<String>(cmd("PING")).await.unwrap(), "PONG");
                assert_eq!(pool.stats().in_use, 0);
            });
        }
        Driver::Blocking => {
            let acting = Arc::clone(&moody);
            let callback = redwire::blocking::OnConnect::new(move |connection| {
                connection.run::<()>(cmd("PING"))?;
                acting.act();
                Ok(())
            });
            let config = config.to_builder().blocking_on_connect(callback).build().unwrap();
            let pool = redwire::blocking::Pool::lazy(config).unwrap();
            assert!(pool.get_within(Duration::from_millis(100)).unwrap_err().is_timeout());
            moody.bad.store(false, Ordering::SeqCst);
            assert_eq!(pool.get().unwrap().run::<String>(cmd("PING")).unwrap(), "PONG");
            assert_eq!(pool.stats().in_use, 0);
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);

/// What never ends is cut off by the connect timeout; a blocking program cannot be interrupted.
#[test]
fn a_callback_or_provider_that_never_ends_is_cut_off_by_the_connect_timeout() {
    struct Never;
    impl CredentialProvider for Never {
        fn credentials(&self) -> Result<Credentials> {
            unreachable!("the async driver asks for the future")
        }
        fn credentials_future(&self) -> CredentialFuture<'_> {
            Box::pin(pending())
        }
    }
    let server = Server::start();
    let options = Config::builder().host("127.0.0.1").port(server.port()).connect_timeout(CONNECT_TIMEOUT);
    let callback = redwire::OnConnect::new(|_| Box::pin(pending()));
    let plain = options.clone().timeout(LIMIT).build().unwrap();
    let with_callback = options.clone().on_connect(callback.clone()).timeout(LIMIT).build().unwrap();
    let with_provider = options.credential_provider(Never).timeout(LIMIT).build().unwrap();
    runtime().block_on(async {
        let timed_out = |error: Error| {
            assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Timeout), "{error}");
            assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        };
        timed_out(redwire::Client::open(with_provider.clone()).await.unwrap_err());
        timed_out(Pool::open(with_provider).await.unwrap_err());
        timed_out(redwire::Client::open(with_callback.clone()).await.unwrap_err());
        timed_out(Pool::open(with_callback).await.unwrap_err());
    });
    let mut connection = redwire::Connection::new(plain).unwrap();
    connection.on_connect(callback);
    let (error, took) = timed(|| runtime().block_on(connection.reconnect()).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Timeout), "{error}");
    assert!(took < LIMIT / 2, "{took:?}");
}

/// Given up while their replies are on their way, calls on leases leave connections that serve again.
#[test]
fn leases_that_are_given_up_cost_no_connection() {
    const GIVEN_UP: usize = 500;
    const PLACES: u32 = 4;
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    proxy.set(Direction::ToClient, Fault::jitter(Duration::from_millis(2)));
    let config = Config::from_url(&format!("{}?max_connections={PLACES}&timeout=30s", proxy.url())).unwrap();
    let pool = Pool::lazy(config).unwrap();
    let work = async {
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for n in 0..GIVEN_UP / 8 {
                        let tag = format!("{task}:{n}");
                        let mut lease = pool.get().await.unwrap();
                        // Sent, and given up before the reply is there.
                        let call = lease.run::<String>(cmd("ECHO").arg("given up"));
                        let _ = tokio::time::timeout(Duration::from_micros(50), call).await;
                        drop(lease);
                        let mut lease = pool.get().await.unwrap();
                        assert_eq!(lease.run::<String>(cmd("ECHO").arg(&tag)).await.unwrap(), tag);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    };
    runtime().block_on(work);
    eventually("all are back", LIMIT, || pool.stats().in_use == 0);
    // On a machine that stands still, a reply may come too late for its connection to be kept.
    assert!(proxy.connections() < GIVEN_UP / 10, "{} connects", proxy.connections());
}

/// One whose replies never come is given up, and its place is free.
#[test]
fn a_reply_that_does_not_come_takes_no_place() {
    let server = Server::start();
    let proxy = Proxy::start(server.addr());
    let config = Config::from_url(&format!("{}?max_connections=1", proxy.url())).unwrap();
    let pool = Pool::lazy(config).unwrap();
    runtime().block_on(async {
        let mut lease = pool.get().await.unwrap();
        lease.run::<()>(cmd("PING")).await.unwrap();
        proxy.set(Direction::ToClient, Fault::Blackhole);
        let call = lease.run::<i64>(cmd("INCR").arg("n"));
        assert!(tokio::time::timeout(Duration::from_millis(20), call).await.is_err());
        drop(lease);
        proxy.heal();
        let mut lease = pool.get().await.unwrap();
        assert_eq!(lease.run::<i64>(cmd("INCR").arg("n")).await.unwrap(), 2);
    });
    assert_eq!((proxy.connections(), pool.stats().size), (2, 1));
}
