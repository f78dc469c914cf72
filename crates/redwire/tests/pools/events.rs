//! What is told of the life of connections, to listeners and as events of `tracing`. No caller waits for a
//! listener (I4).

use std::thread;
use std::time::{Duration, Instant};

use redwire::config::Config;
use redwire::{AuthenticationFault, ConnectionFault, Error, ErrorKind, EventKind};
use redwire_testkit::{Server, eventually, shared};

use crate::common::pool::Events;
use crate::common::{GRACE, LIMIT, Setup, kill_named, named_clients, runtime, timed};

both!(
    a_life_is_told_from_its_beginning_to_its_end,
    a_loss_is_told_with_its_reason,
    failed_attempts_are_told_with_their_reason,
    connections_by_hand_are_told_of_too,
    every_listener_hears_everything_from_when_it_came,
    a_listener_that_does_not_listen_holds_up_no_call,
    events_end_with_their_client,
);

/// The next event, by one word. It has to come.
#[track_caller]
fn next(events: &mut Events) -> String {
    let event = events.next_within(LIMIT).expect("an event within the limit");
    word(&event.kind)
}

fn word(kind: &EventKind) -> String {
    match kind {
        EventKind::Connecting => "connecting".to_owned(),
        EventKind::Ready(_) => "ready".to_owned(),
        EventKind::Failed(error) => format!("failed {:?}", error.kind()),
        EventKind::Lost(error) => format!("lost {:?}", error.kind()),
        EventKind::Closed => "closed".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Nothing more happened: asked only where whatever happens has happened.
#[track_caller]
fn check_silent(events: &mut Events) {
    let event = events.next_within(Duration::from_millis(20));
    assert!(event.is_none(), "{event:?}");
}

fn a_life_is_told_from_its_beginning_to_its_end(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "max_connections=1");
    let mut events = pool.events();
    let id = pool.get().unwrap().id();
    let event = events.next_within(LIMIT).unwrap();
    assert!(matches!(event.kind, EventKind::Connecting), "{event:?}");
    assert_eq!(*event.address, *server.addr().to_string());
    let event = events.next_within(LIMIT).unwrap();
    let EventKind::Ready(session) = event.kind else { panic!("{event:?}") };
    // It knows what the handshake found out.
    assert_eq!(session.id, (setup.protocol == 3).then_some(id as i64));
    (0..10).for_each(|_| drop(pool.get().unwrap()));
    check_silent(&mut events);
    pool.disconnect_idle();
    assert_eq!(next(&mut events), "closed");
    pool.get().unwrap().discard();
    assert_eq!([(); 3].map(|()| next(&mut events)), ["connecting", "ready", "closed"]);
    drop(pool.get().unwrap());
    assert_eq!(pool.close(LIMIT), 0);
    assert_eq!([(); 3].map(|()| next(&mut events)), ["connecting", "ready", "closed"]);
    check_silent(&mut events);
}

/// How a connection ends whose peer closed it.
fn lost() -> String {
    format!("lost {:?}", ErrorKind::Connection(ConnectionFault::Closed))
}

fn a_loss_is_told_with_its_reason(setup: Setup) {
    let server = Server::start();
    let client = setup.lazy(&server.url(), "client_name=told").unwrap();
    let mut events = client.events();
    client.run::<String>("PING").unwrap();
    assert_eq!([(); 2].map(|()| next(&mut events)), ["connecting", "ready"]);
    for _ in 0..3 {
        assert_eq!(kill_named(&server, "told"), 1);
        client.run::<String>("PING").unwrap();
        assert_eq!(next(&mut events), lost());
        assert_eq!([(); 2].map(|()| next(&mut events)), ["connecting", "ready"]);
    }
    // On loan, between two loans and in the midst of a call.
    let pool = setup.pool(&server.url(), "client_name=lent");
    let mut events = pool.events();
    for midst in [false, true, false, true] {
        drop(pool.get().unwrap());
        assert_eq!([(); 2].map(|()| next(&mut events)), ["connecting", "ready"]);
        if midst {
            thread::scope(|scope| {
                let popping = scope.spawn(|| pool.get().unwrap().run::<()>("BLPOP nothing 0").unwrap_err());
                eventually("it waits", LIMIT, || server.info("clients")["blocked_clients"] == "1");
                kill_named(&server, "lent");
                let error = popping.join().unwrap();
                assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Closed), "{error}");
            });
            assert_eq!(next(&mut events), lost());
        } else {
            kill_named(&server, "lent");
            drop(pool.get().unwrap());
            assert_eq!([(); 3].map(|()| next(&mut events)), [&lost(), "connecting", "ready"]);
            pool.disconnect_idle();
            assert_eq!(next(&mut events), "closed");
        }
        check_silent(&mut events);
    }
}

fn failed_attempts_are_told_with_their_reason(setup: Setup) {
    let server = Server::builder().password("word").start();
    let pool = setup.pool(&format!("redis://:wrong@{}", server.addr()), "");
    let mut events = pool.events();
    pool.get().unwrap_err();
    let refused = ErrorKind::Authentication(AuthenticationFault::WrongPassword);
    assert_eq!([(); 2].map(|()| next(&mut events)), ["connecting".to_owned(), format!("failed {refused:?}")]);
    server.kill();
    let pool = setup.pool(&server.url(), "reconnect_backoff=constant:10ms");
    let mut events = pool.events();
    let refused = ErrorKind::Connection(ConnectionFault::Refused);
    assert!(pool.get_within(Duration::from_millis(300)).unwrap_err().is_timeout());
    // Each attempt, not only the first.
    for _ in 0..2 {
        assert_eq!(
            [(); 2].map(|()| next(&mut events)),
            ["connecting".to_owned(), format!("failed {refused:?}")]
        );
    }
}

fn connections_by_hand_are_told_of_too(setup: Setup) {
    let pool = setup.pool(&shared().url(), "");
    let mut events = pool.events();
    let mut connection = pool.connection();
    connection.run::<String>("PING").unwrap();
    connection.disconnect();
    assert_eq!([(); 3].map(|()| next(&mut events)), ["connecting", "ready", "closed"]);
    connection.reconnect().unwrap();
    assert_eq!([(); 2].map(|()| next(&mut events)), ["connecting", "ready"]);
    check_silent(&mut events);
}

fn every_listener_hears_everything_from_when_it_came(setup: Setup) {
    let pool = setup.pool(&shared().url(), "max_connections=1");
    let mut first = pool.events();
    drop(pool.get().unwrap());
    let (mut second, mut of_client) = (pool.events(), pool.client().events());
    pool.disconnect_idle();
    for (events, expected) in [
        (&mut first, &["connecting", "ready", "closed"][..]),
        (&mut second, &["closed"]),
        (&mut of_client, &["closed"]),
    ] {
        for expected in expected {
            assert_eq!(next(events), *expected);
        }
        check_silent(events);
    }
}

fn a_listener_that_does_not_listen_holds_up_no_call(setup: Setup) {
    let server = Server::start();
    let pool = setup.pool(&server.url(), "client_name=many");
    let mut events = pool.events();
    // Three events each.
    for _ in 0..200 {
        let (lease, took) = timed(|| pool.get_within(LIMIT));
        assert!(took < LIMIT / 10, "{took:?}");
        lease.unwrap().discard();
    }
    let first = events.next_within(LIMIT).unwrap();
    let EventKind::Missed(missed) = first.kind else { panic!("{first:?}") };
    let mut rest = Vec::new();
    while let Some(event) = events.next_within(Duration::from_millis(20)) {
        rest.push(word(&event.kind));
    }
    assert_eq!((missed, rest.len()), (600 - 256, 256));
    assert_eq!(rest.last().map(String::as_str), Some("closed"), "the newest are kept");
    eventually("nothing is left", LIMIT, || named_clients(&server, "many") == 0);
}

fn events_end_with_their_client(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let mut events = client.events();
    thread::scope(|scope| {
        let listening = scope.spawn(move || {
            let mut heard = Vec::new();
            while let Some(event) = events.next_within(LIMIT) {
                heard.push(word(&event.kind));
            }
            heard
        });
        let begin = Instant::now();
        drop(client);
        let heard = listening.join().unwrap();
        assert!(begin.elapsed() < LIMIT / 2, "it ended by itself, not by the limit: {heard:?}");
    });
}

/// As a stream, in a task of its own.
#[test]
fn a_task_hears_of_a_loss_without_a_call() {
    let server = Server::start();
    let url = format!("{}?client_name=heard", server.url());
    runtime().block_on(async {
        let client = redwire::Client::open(Config::from_url(&url).unwrap()).await.unwrap();
        let mut events = client.events();
        let (killed, reported) = tokio::sync::oneshot::channel::<Error>();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let EventKind::Lost(error) = event.kind {
                    return killed.send(error);
                }
            }
            Ok(())
        });
        tokio::task::block_in_place(|| assert_eq!(kill_named(&server, "heard"), 1));
        let begin = Instant::now();
        let error = reported.await.unwrap();
        assert_eq!(error.kind(), ErrorKind::Connection(ConnectionFault::Closed));
        assert!(begin.elapsed() < GRACE, "{:?}", begin.elapsed());
    });
}

#[cfg(feature = "tracing")]
mod tracing_events {
    //! The same as events of `tracing`, with the target `redwire` and the address.

    use std::fmt::{Debug, Write};
    use std::sync::{Arc, Mutex};

    use redwire::blocking;
    use redwire::config::Config;
    use redwire_testkit::Server;
    use tokio::runtime::Builder;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Dispatch, Event, Metadata, Subscriber};

    use crate::common::{Driver, Setup, kill_named};

    /// Keeps what is told, a line each.
    #[derive(Default)]
    struct Keeper(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            write!(self.0, " {}={value:?}", field.name()).unwrap();
        }
    }

    impl Subscriber for Keeper {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "redwire"
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    /// On this thread, with all that the driver does.
    fn live(setup: Setup, server: &Server) {
        let url = setup.url(&server.url(), "max_connections=1&client_name=traced");
        let config = Config::from_url(&url).unwrap();
        match setup.driver {
            Driver::Tokio => {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let pool = redwire::Pool::open(config).await.unwrap();
                    assert_eq!(kill_named(server, "traced"), 1);
                    drop(pool.get().await.unwrap());
                    pool.close_now();
                });
            }
            Driver::Blocking => {
                let pool = blocking::Pool::open(config).unwrap();
                assert_eq!(kill_named(server, "traced"), 1);
                drop(pool.get().unwrap());
                pool.close_now();
            }
        }
    }

    #[test]
    fn connecting_ready_lost_and_closed_are_traced() {
        let server = Server::start();
        // Beside a single subscriber, whatever thread comes by first would decide what is of interest; others
        // here have none.
        let _second = Dispatch::new(Keeper::default());
        for setup in Setup::ALL {
            let keeper = Keeper::default();
            let lines = Arc::clone(&keeper.0);
            tracing::subscriber::with_default(keeper, || live(setup, &server));
            let lines = lines.lock().unwrap();
            let expected = [
                ("DEBUG", "message=connecting"),
                ("INFO", "message=ready"),
                ("WARN", "message=lost"),
                ("DEBUG", "message=connecting"),
                ("INFO", "message=ready"),
                ("DEBUG", "message=closed"),
            ];
            assert_eq!(lines.len(), expected.len(), "{setup:?}: {lines:?}");
            let address = format!("address=\"{}\"", server.addr());
            for (line, (level, message)) in lines.iter().zip(expected) {
                let complete = line.starts_with(level) && line.contains(message) && line.contains(&address);
                assert!(complete, "{setup:?}: {lines:?}");
            }
            assert!(lines[2].contains("error="), "{lines:?}");
        }
    }
}
