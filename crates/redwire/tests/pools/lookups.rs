//! Names and credentials whose look-up hangs: callers end in time, share one look-up, and no thread or
//! runtime is held up by it (I3, I4). FAULTS 68.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use redwire::config::{Config, ConfigBuilder};
use redwire::credentials::{CredentialProvider, Credentials};
use redwire::resolve::{Resolve, Resolver};
use redwire::{Error, Result};
use redwire_testkit::{Server, eventually};

use crate::common::{Client, Driver, LIMIT, Setup, timed, words};

both!(
    a_name_server_that_hangs_costs_two_threads_and_no_more,
    a_name_that_is_found_serves_all_that_waited_for_it,
    an_answer_that_comes_late_does_not_hold_up_recovery,
);

/// Hangs until it is let go; counts how many hang.
#[derive(Debug, Default)]
struct Hang {
    open: Mutex<bool>,
    opened: Condvar,
    under_way: AtomicUsize,
    most: AtomicUsize,
    asked: AtomicUsize,
}

impl Hang {
    fn wait(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
        self.under_way.fetch_sub(1, Ordering::SeqCst);
    }

    fn let_go(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn counts(&self) -> (usize, usize) {
        (self.most.load(Ordering::SeqCst), self.asked.load(Ordering::SeqCst))
    }
}

/// Lets go also where a check fails.
struct LetGo(Arc<Hang>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

struct Slow(Arc<Hang>, SocketAddr);

impl Resolve for Slow {
    fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        self.0.wait();
        Ok(vec![self.1])
    }
}

impl CredentialProvider for Slow {
    fn credentials(&self) -> Result<Credentials> {
        self.0.wait();
        Ok(Credentials::default_user("word"))
    }
}

fn by_name(hang: &Arc<Hang>, server: &Server) -> ConfigBuilder {
    Config::builder().host("db.example").resolver(Resolver::new(Slow(Arc::clone(hang), server.addr())))
}

fn lazy(setup: Setup, options: ConfigBuilder) -> Client {
    let config = options.build().unwrap();
    match setup.driver {
        Driver::Tokio => Client::Tokio(redwire::Client::lazy(config).unwrap()),
        Driver::Blocking => Client::Blocking(redwire::blocking::Client::lazy(config).unwrap()),
    }
}

/// Sixteen callers in a loop whose calls end in time, until `enough`.
fn call_in_vain(client: &Client, limit: Duration, enough: impl Fn() -> bool + Sync) {
    thread::scope(|scope| {
        for caller in 0..16 {
            let enough = &enough;
            // Every other caller wants a connection of its own.
            let line = if caller % 2 == 0 { "PING" } else { "BLPOP nothing 0.01" };
            scope.spawn(move || {
                while !enough() {
                    let (result, took) =
                        timed(|| client.execute(words::<redwire::Value>(line).timeout(limit)));
                    let error = result.unwrap_err();
                    assert!(took < LIMIT / 2, "{took:?}: {error}");
                }
            });
        }
    });
}

fn a_name_server_that_hangs_costs_two_threads_and_no_more(setup: Setup) {
    let server = Server::builder().password("word").start();
    let hang = Arc::new(Hang::default());
    let _end = LetGo(Arc::clone(&hang));
    let timeout = Duration::from_millis(100);
    let names = by_name(&hang, &server).password("word");
    let mut all = vec![names];
    if setup.driver == Driver::Blocking {
        // An async provider is a future, which ends with the connect.
        let at = Config::builder().host("127.0.0.1").port(server.port());
        all.push(at.credential_provider(Slow(Arc::clone(&hang), server.addr())));
    }
    for options in all {
        let before = hang.counts().1;
        let client = lazy(setup, options.connect_timeout(timeout));
        let end = Instant::now() + 5 * timeout;
        call_in_vain(&client, timeout / 2, || Instant::now() > end && hang.counts().1 == before + 2);
        assert_eq!(hang.counts(), (2, before + 2), "one, and one more after the connect timeout");
        hang.let_go();
        eventually("all threads are through", LIMIT, || hang.under_way.load(Ordering::SeqCst) == 0);
        eventually("the name is there", LIMIT, || client.run::<String>("PING").is_ok());
        *hang.open.lock().unwrap() = false;
        drop(client);
    }
}

fn a_name_that_is_found_serves_all_that_waited_for_it(setup: Setup) {
    let server = Server::start();
    let hang = Arc::new(Hang::default());
    let _end = LetGo(Arc::clone(&hang));
    let client = lazy(setup, by_name(&hang, &server).connect_timeout(LIMIT).timeout(LIMIT));
    let started = AtomicUsize::new(0);
    thread::scope(|scope| {
        // No more than may connect at a time, lest one asks after the answer.
        let callers = [(); 3].map(|()| {
            scope.spawn(|| {
                started.fetch_add(1, Ordering::SeqCst);
                client.run::<Option<(String, String)>>("BLPOP nothing 0.01")
            })
        });
        eventually("all have begun", LIMIT, || started.load(Ordering::SeqCst) == 3);
        eventually("it is asked for", LIMIT, || hang.counts().1 == 1);
        hang.let_go();
        for caller in callers {
            assert_eq!(caller.join().unwrap().unwrap(), None);
        }
    });
    assert_eq!(hang.counts().0, 1, "no two at a time");
}

/// The first look-up never ends; the second, begun a connect timeout later, finds the name.
fn an_answer_that_comes_late_does_not_hold_up_recovery(setup: Setup) {
    struct FirstHangs(Arc<Hang>, AtomicBool, SocketAddr);
    impl Resolve for FirstHangs {
        fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            if !self.1.swap(true, Ordering::SeqCst) {
                self.0.wait();
            }
            Ok(vec![self.2])
        }
    }
    let server = Server::start();
    let hang = Arc::new(Hang::default());
    let _end = LetGo(Arc::clone(&hang));
    let resolver = FirstHangs(Arc::clone(&hang), AtomicBool::new(false), server.addr());
    let options = Config::builder().host("db.example").resolver(Resolver::new(resolver));
    let client = lazy(setup, options.connect_timeout(Duration::from_millis(200)).timeout(LIMIT).retries(20));
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    assert_eq!(hang.under_way.load(Ordering::SeqCst), 1);
}

#[test]
fn a_runtime_ends_while_a_name_is_looked_up() {
    let server = Server::start();
    let hang = Arc::new(Hang::default());
    let _end = LetGo(Arc::clone(&hang));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = by_name(&hang, &server).timeout(Duration::from_millis(50));
    let client = redwire::Client::lazy(options.build().unwrap()).unwrap();
    let error: Error = runtime.block_on(async { client.execute(words::<String>("PING")).await.unwrap_err() });
    assert!(error.is_timeout(), "{error}");
    eventually("it is looked up", LIMIT, || hang.under_way.load(Ordering::SeqCst) == 1);
    let ((), took) = timed(|| drop(runtime));
    assert!(took < Duration::from_secs(5), "the look-up would go on for ever: {took:?}");
    assert_eq!(hang.under_way.load(Ordering::SeqCst), 1);
}
