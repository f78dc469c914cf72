//! A handshake that never ends holds no caller past the connect timeout, nor past a call's deadline (I3), and
//! service returns with the server (I6). FAULTS 24.

use std::time::{Duration, Instant};

use redwire::{ConnectionFault, ErrorKind, Outcome, Value};
use redwire_testkit::{Authority, Direction, Fault, Proxy, TlsFront, eventually, shared};

use crate::common::{GRACE, LIMIT, Setup, timed};
use crate::site::{Site, at};

const LONG: Duration = Duration::from_millis(300);

both!(
    a_handshake_that_stalls_ends_with_the_connect_timeout,
    a_handshake_that_stalls_ends_with_the_call,
    a_handshake_cut_anywhere_is_an_error,
    what_comes_with_the_end_of_the_handshake_is_heard,
);

fn a_handshake_that_stalls_ends_with_the_connect_timeout(setup: Setup) {
    let site = Site::new();
    site.front.set_stall_handshake(true);
    let (result, took) = timed(|| setup.open(site.trusting().connect_timeout(LONG)));
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Timeout), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert!(took >= LONG && took <= LONG + GRACE, "{took:?}");
    let (result, took) = timed(|| setup.open_connection(site.trusting().connect_timeout(LONG)));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Connection(ConnectionFault::Timeout));
    assert!(took >= LONG && took <= LONG + GRACE, "{took:?}");
    eventually("no connection is left", LIMIT, || site.front.open() == 0);
}

fn a_handshake_that_stalls_ends_with_the_call(setup: Setup) {
    let site = Site::new();
    site.front.set_stall_handshake(true);
    let options = format!("{}&timeout=300ms&connect_timeout=500ms", site.trusted());
    let client = setup.lazy(&site.url(), &options).unwrap();
    for _ in 0..2 {
        let (result, took) = timed(|| client.run::<Value>("INCR stalled"));
        let error = result.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
        assert!(took <= LONG + GRACE, "{took:?}");
    }
    let options = site.trusting().timeout(LONG).connect_timeout(LONG * 2);
    let pool = setup.lazy_pool(options).unwrap();
    let (result, took) = timed(|| pool.get());
    assert!(result.unwrap_err().is_timeout());
    assert!(took <= LONG + GRACE, "{took:?}");
    site.front.set_stall_handshake(false);
    let healed = Instant::now();
    eventually("service returns", LIMIT, || client.run::<String>("PING").is_ok());
    // The attempt under way ends with the connect timeout, the pause before the next is at most a second.
    let bound = Duration::from_millis(500) + Duration::from_secs(1) + GRACE;
    assert!(healed.elapsed() <= bound, "{:?}", healed.elapsed());
}

fn a_handshake_cut_anywhere_is_an_error(setup: Setup) {
    let site = Site::new();
    let proxy = Proxy::start(site.front.address());
    let options = || site.trusting().port(proxy.addr().port()).connect_timeout(Duration::from_secs(2));
    for (direction, bytes) in [
        (Direction::ToServer, 0),
        (Direction::ToServer, 100),
        (Direction::ToClient, 0),
        (Direction::ToClient, 5),
        (Direction::ToClient, 300),
        (Direction::ToClient, 700),
    ] {
        for fault in [Fault::CutAfter(bytes), Fault::ResetAfter(bytes)] {
            proxy.set(direction, fault);
            let (result, took) = timed(|| setup.open(options()));
            let error = result.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Connection(_)), "{fault:?}: {error}");
            assert_eq!(error.outcome(), Outcome::NotSent, "{fault:?}: {error}");
            assert!(took < Duration::from_secs(1), "{fault:?}: {took:?}");
            proxy.heal();
        }
    }
    assert_eq!(setup.open(options()).unwrap().run::<String>("PING").unwrap(), "PONG");
}

/// A server that has no room says so at once, and hangs up.
fn what_comes_with_the_end_of_the_handshake_is_heard(setup: Setup) {
    let authority = Authority::new();
    for tls12 in [false, true] {
        let identity = authority.server();
        let mut front = TlsFront::builder(&identity).greet("-ERR max number of clients reached\r\n");
        if tls12 {
            front = front.only_tls12();
        }
        let front = front.start(shared());
        let error = setup.open(at(front.address().port()).tls_ca_file(authority.pem_file())).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::MaxClients, Outcome::NotSent), "{error}");
    }
}
