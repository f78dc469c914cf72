//! Connectors that fail, hang or panic: one connection the less, told in words, within deadlines.

use std::io;
use std::time::Duration;

use redwire::config::Config;
use redwire::{ConnectionFault, Error, ErrorKind, Outcome, Value, blocking, connector};
use redwire_testkit::eventually;

use crate::common::{Driver, LIMIT, Setup, shown, timed, words};
use crate::peer::{Memory, Mood, Pipe};

both!(
    a_refusal_is_told_with_the_address,
    one_that_hangs_ends_by_the_deadline,
    panics_are_failures,
    an_error_of_the_library_is_told_as_it_is,
    the_other_drivers_connector_is_of_no_use,
);

fn a_refusal_is_told_with_the_address(setup: Setup) {
    let memory = Memory::new();
    memory.set(Mood::Refuses);
    let error = setup.open(memory.options()).unwrap_err();
    let kind = ErrorKind::Connection(ConnectionFault::Refused);
    assert_eq!((error.kind(), error.outcome()), (kind, Outcome::NotSent), "{error}");
    assert_eq!(error.address(), Some("memory:6379"));
    assert!(error.to_string().contains("by the connector"), "{error}");
    memory.set(Mood::Well);
    setup.open(memory.options()).unwrap().run::<()>("SET k v").unwrap();
}

fn one_that_hangs_ends_by_the_deadline(setup: Setup) {
    let memory = Memory::new();
    memory.set(Mood::Hangs);
    let limit = Duration::from_millis(100);
    let client = setup.open(memory.options().connect_timeout(limit));
    assert!(client.unwrap_err().is_timeout());
    let options = || memory.options().connect_timeout(LIMIT).max_connecting(1);
    for _ in 0..3 {
        let client = crate::common::pool::Pool::client(&setup.lazy_pool(options()).unwrap());
        let (result, took) = timed(|| client.execute(words::<Value>("SET k v").timeout(limit)));
        let error = result.unwrap_err();
        assert_eq!((error.is_timeout(), error.outcome()), (true, Outcome::NotSent), "{error}");
        assert!(took >= limit && took < LIMIT, "{took:?}");
        client.close();
    }
    memory.set(Mood::Well);
    setup.open(memory.options()).unwrap().run::<()>("SET k v").unwrap();
}

/// Threads that never come back are of a limited number.
#[test]
fn threads_that_hang_are_few() {
    let memory = Memory::new();
    memory.set(Mood::Hangs);
    let options = memory.options().connect_timeout(Duration::from_millis(10));
    let open = || blocking::Client::open(options.clone().build().unwrap()).unwrap_err();
    let mut late = 0;
    let error = loop {
        let error = open();
        if !error.is_timeout() {
            break error;
        }
        late += 1;
    };
    assert!(late >= 16 && shown(&error).contains("it hangs"), "{late}: {error}");
    // Where the machine is slow, a thread may begin when its attempt is over: then the connector is not
    // asked.
    assert!(memory.open() <= 16);
    memory.set(Mood::Well);
    eventually("it is asked again", LIMIT, || {
        blocking::Client::open(options.clone().build().unwrap()).is_ok()
    });
}

fn panics_are_failures(setup: Setup) {
    let memory = Memory::new();
    for (mood, words) in
        [(Mood::Panics, "the connector panicked"), (Mood::Broken, "the connector's stream panicked")]
    {
        memory.set(mood);
        let error = setup.open(memory.options()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{error}");
        assert!(shown(&error).contains(words), "{error:?}");
        assert_eq!(error.address(), Some("memory:6379"));
    }
    memory.set(Mood::Well);
    setup.open(memory.options()).unwrap().run::<()>("SET k v").unwrap();
}

fn an_error_of_the_library_is_told_as_it_is(setup: Setup) {
    let refused = || io::Error::other(Error::usage("not from here"));
    let connector = connector::Connector::from_fn(move |_| {
        std::future::ready(Err::<tokio::io::DuplexStream, _>(refused()))
    });
    let blocking = blocking::connector::Connector::from_fn(move |_: &_, _| Err::<Pipe, _>(refused()));
    let error = setup.open(Config::builder().connector(connector).blocking_connector(blocking)).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
    assert!(error.to_string().contains("not from here"), "{error}");
}

/// It would go past the proxy.
fn the_other_drivers_connector_is_of_no_use(setup: Setup) {
    let options = match setup.driver {
        Driver::Tokio => {
            Config::builder().blocking_connector(blocking::connector::Connector::from_fn(|_: &_, _| {
                Err::<Pipe, _>(io::ErrorKind::Unsupported.into())
            }))
        }
        Driver::Blocking => Config::builder().connector(connector::Connector::from_fn(|_| {
            std::future::ready(Err::<tokio::io::DuplexStream, _>(io::ErrorKind::Unsupported.into()))
        })),
    };
    let error = setup.open(options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains("connector"), "{error}");
}
