//! One try of a call that lasts too long, and the next, over another connection. REFERENCE T1, T2.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redwire::{ErrorKind, Outcome, Run, Value};
use redwire_testkit::FakeServer;

use crate::common::{GRACE, Setup, shown, timed, words};

both!(
    a_try_that_times_out_is_made_again_over_another_connection,
    a_try_lasts_for_its_share_of_the_timeout,
    what_may_not_be_repeated_has_all_the_time,
);

/// A server that does not answer its first `silent` commands of each name but those of a handshake.
fn silent_at_first(silent: usize) -> FakeServer {
    let names = ["GET", "INCR", "BLPOP", "PING"].map(|name| (name, AtomicUsize::new(0)));
    FakeServer::answering(move |words| {
        let counted = names.iter().find(|(name, _)| words[0].eq_ignore_ascii_case(name.as_bytes()));
        match counted {
            Some((_, count)) if count.fetch_add(1, Ordering::Relaxed) < silent => Vec::new(),
            Some(_) => b"$1\r\n7\r\n".to_vec(),
            None => b"-ERR unknown command\r\n".to_vec(),
        }
    })
}

fn times(server: &FakeServer, name: &str) -> usize {
    server.received().iter().filter(|words| words[0].eq_ignore_ascii_case(name.as_bytes())).count()
}

fn a_try_that_times_out_is_made_again_over_another_connection(setup: Setup) {
    let server = silent_at_first(2);
    let options = "timeout=10s&attempt_timeout=100ms&retry_on_timeout=yes&health_check_interval=0";
    let client = setup.client(&server.url(), options);
    let (value, took) = timed(|| client.run::<i64>("GET k"));
    assert_eq!(value.unwrap(), 7);
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(times(&server, "GET"), 3);
    assert!(server.connections() >= 3);
    // A pipeline is one call.
    let pings = client.pipeline(|p| [(); 2].map(|()| p.run(words::<i64>("PING")))).unwrap();
    assert_eq!(pings, [7, 7]);
    // Without the option it is told at its deadline.
    let server = silent_at_first(1);
    let client = setup.client(&server.url(), "timeout=300ms&health_check_interval=0");
    let error = client.run::<Value>("GET k").unwrap_err();
    assert_eq!((error.kind(), times(&server, "GET")), (ErrorKind::Timeout, 1), "{error}");
    let _ = server.problems();
}

fn a_try_lasts_for_its_share_of_the_timeout(setup: Setup) {
    let server = silent_at_first(usize::MAX);
    let client =
        setup.client(&server.url(), "timeout=800ms&retries=1&retry_on_timeout=yes&health_check_interval=0");
    let (result, took) = timed(|| client.run::<Value>("GET k"));
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.tries()), (ErrorKind::Timeout, 2), "{}", shown(&error));
    assert!(took <= Duration::from_millis(800) + GRACE, "{took:?}");
    assert_eq!(times(&server, "GET"), 2);
    // Its own limit is shared out, too, and without a retry there is one share.
    let own = words::<Value>("GET k").timeout(Duration::from_millis(200));
    assert_eq!(client.execute(own).unwrap_err().tries(), 2);
    let once = words::<Value>("GET k").timeout(Duration::from_millis(200)).retries(0);
    let (result, took) = timed(|| client.execute(once));
    assert_eq!(result.unwrap_err().tries(), 1);
    assert!(took >= Duration::from_millis(195), "{took:?}");
    let _ = server.problems();
}

/// What changes something is not sent twice, and what waits at the server waits.
fn what_may_not_be_repeated_has_all_the_time(setup: Setup) {
    let server = silent_at_first(usize::MAX);
    let options = "timeout=300ms&attempt_timeout=50ms&retry_on_timeout=yes&health_check_interval=0";
    let client = setup.client(&server.url(), options);
    for (line, limit) in [("INCR n", 295), ("BLPOP k 0.2", 495)] {
        let (result, took) = timed(|| client.run::<Value>(line));
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Timeout, Outcome::MaybeExecuted), "{error}");
        assert!(took >= Duration::from_millis(limit), "{line}: {took:?}");
        assert_eq!((error.tries(), times(&server, &line[..4].replace("BLPO", "BLPOP"))), (1, 1), "{line}");
    }
    let idempotent = words::<Value>("INCR n").idempotent();
    assert!(client.execute(idempotent).unwrap_err().tries() > 1);
    let _ = server.problems();
}
