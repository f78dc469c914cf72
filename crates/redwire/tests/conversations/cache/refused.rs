//! A server that announces no changes: told when the cache is made, and made do with later.

use redwire::cache::CacheOptions;
use redwire::{ErrorKind, EventKind};
use redwire_testkit::{Server, eventually};

use super::{Cache, set, trackers};
use crate::common::{LIMIT, Setup, shown};

both!(a_server_that_refuses_is_told_at_once, a_server_that_refuses_later_is_made_do_with);

/// As Redis 6.2 understands it, too.
const WITHOUT_TRACKING: &str = "-client +client|id";

fn rights(server: &Server, rights: &str) {
    let words: Vec<&str> = ["ACL", "SETUSER", "reader", "on", ">pw", "~*", "&*", "+@all"]
        .into_iter()
        .chain(rights.split(' ').filter(|word| !word.is_empty()))
        .collect();
    server.command(&words).unwrap();
}

fn url(server: &Server) -> String {
    server.url().replace("redis://", "redis://reader:pw@")
}

fn a_server_that_refuses_is_told_at_once(setup: Setup) {
    let server = Server::start();
    rights(&server, WITHOUT_TRACKING);
    let client = setup.client(&url(&server), "");
    let error = Cache::connect(&client, CacheOptions::default()).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Authentication(redwire::AuthenticationFault::NoPermission),
        "{error}"
    );
    assert!(shown(&error).contains("what is cached cannot be announced"), "{error}");
    eventually("nothing is left of it", LIMIT, || trackers(&server).is_empty());
}

fn a_server_that_refuses_later_is_made_do_with(setup: Setup) {
    let server = Server::start();
    rights(&server, "");
    let client = setup.client(&url(&server), "reconnect_backoff=constant:5ms");
    let mut events = client.events();
    let cache = Cache::new(&client, CacheOptions::default());
    set(&server, "k", 1);
    assert_eq!(cache.get("k"), Some(1));
    rights(&server, WITHOUT_TRACKING);
    for id in trackers(&server) {
        server.command(&["CLIENT", "KILL", "ID", &id]).unwrap();
    }
    eventually("the loss is noticed", LIMIT, || !cache.is_tracking());
    // The loss, and then the refusal.
    for refused in [false, true] {
        let told = std::iter::from_fn(|| events.next_within(LIMIT)).find_map(|event| match event.kind {
            EventKind::Untracked(error) => Some(error),
            _ => None,
        });
        let kind = told.expect("it is told").kind();
        assert_eq!(matches!(kind, ErrorKind::Authentication(_)), refused, "{kind:?}");
    }
    let passed = cache.stats().passed;
    for value in 2..10 {
        set(&server, "k", value);
        assert_eq!(cache.get("k"), Some(value), "reads go to the server");
    }
    assert_eq!(cache.stats().passed, passed + 8);
    assert_eq!(cache.stats().entries, 0);
    rights(&server, "");
    eventually("it is tried again because a caller reads", LIMIT, || {
        cache.get("k");
        cache.is_tracking()
    });
    assert_eq!((cache.get("k"), cache.get("k")), (Some(9), Some(9)));
    assert!(cache.stats().hits > 0);
}
