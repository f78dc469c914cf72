//! Whom a client asks whether he lives, how often, and what it makes of the answer: few questions, and no
//! connection handed out that has died while no caller used it (I3, I6). FAULTS 8–10.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redwire::{ConnectionFault, Error, ErrorKind, EventKind};
use redwire_testkit::{FakeServer, Server, Step, eventually, expect, reply};

use crate::common::{Client, Driver, GRACE, LIMIT, Setup, runtime, stood_still_since, timed, words};
use crate::step::{NAMELESS, hello};

const INTERVAL: Duration = Duration::from_millis(200);

both!(
    a_front_end_that_answers_by_itself_keeps_its_connection,
    an_idle_connection_is_asked_before_it_is_lent_again,
    a_connection_that_died_while_idle_is_replaced_unseen
);

/// A caller of a pool, or of a blocking client, uses what was idle.
fn call_on_pool(client: &Client, line: &str) -> redwire::Result<String> {
    use redwire::Run;
    match client {
        Client::Tokio(client) => {
            runtime().block_on(async { client.pool().get().await?.run(words(line)).await })
        }
        Client::Blocking(client) => client.run(words(line)),
    }
}

fn pooled(setup: Setup, url: &str) -> Client {
    setup.lazy(url, &format!("{NAMELESS}&health_check_interval=200ms&timeout=5s")).unwrap()
}

fn asked(line: &str, answer: &str) -> Vec<Step> {
    let words: Vec<_> = line.split(' ').collect();
    vec![expect(&words), reply(answer)]
}

fn an_idle_connection_is_asked_before_it_is_lent_again(setup: Setup) {
    let steps = [
        hello(setup),
        asked("ECHO a", "+a\r\n"),
        // Used a moment ago: no question.
        asked("ECHO b", "+b\r\n"),
        asked("PING", "+PONG\r\n"),
        asked("ECHO c", "+c\r\n"),
        asked("ECHO d", "+d\r\n"),
    ];
    let fake = FakeServer::script(steps.concat());
    let client = pooled(setup, &fake.url());
    for (line, answer) in [("ECHO a", "a"), ("ECHO b", "b"), ("", ""), ("ECHO c", "c"), ("ECHO d", "d")] {
        if line.is_empty() {
            // Being idle is nothing that can be waited for otherwise.
            thread::sleep(INTERVAL + Duration::from_millis(20));
        } else {
            assert_eq!(call_on_pool(&client, line).unwrap(), answer);
        }
    }
    assert_eq!(fake.connections(), 1);
    fake.verify();
}

/// The peer of an idle connection has gone and left no trace; the server is well.
fn a_connection_that_died_while_idle_is_replaced_unseen(setup: Setup) {
    let first = [hello(setup), asked("ECHO a", "+a\r\n"), vec![expect(&["PING"]), Step::Stall]];
    let second = [hello(setup), asked("INCR n", "+1\r\n")];
    let fake = FakeServer::scripts([first.concat(), second.concat()]);
    let client = pooled(setup, &fake.url());
    assert_eq!(call_on_pool(&client, "ECHO a").unwrap(), "a");
    thread::sleep(INTERVAL + Duration::from_millis(20));
    let begun = Instant::now();
    let (value, took) = timed(|| call_on_pool(&client, "INCR n").unwrap());
    let slack = GRACE + stood_still_since(begun);
    assert_eq!(value, "1");
    assert!((INTERVAL..2 * INTERVAL + slack).contains(&took), "{took:?}");
    assert_eq!(fake.connections(), 2);
    fake.verify();
}

/// A client with its events, and a tally of the connections it lost.
pub(crate) fn losses(client: &Client) -> impl FnMut() -> Vec<Error> + use<> {
    let mut events: Box<dyn FnMut() -> Option<redwire::Event>> = match client {
        Client::Tokio(client) => {
            let mut events = client.events();
            Box::new(move || {
                let next = async { tokio::time::timeout(Duration::from_millis(1), events.next()).await };
                runtime().block_on(next).ok().flatten()
            })
        }
        Client::Blocking(client) => {
            let mut events = client.events();
            Box::new(move || events.next_within(Duration::from_millis(1)))
        }
    };
    move || {
        std::iter::from_fn(&mut events)
            .filter_map(|event| match event.kind {
                EventKind::Lost(error) => Some(error),
                _ => None,
            })
            .collect()
    }
}

pub(crate) fn tokio(url: &str, options: &str) -> (Client, redwire::Client) {
    let client = Setup { driver: Driver::Tokio, protocol: 3 }.client(url, options);
    let Client::Tokio(inner) = &client else { panic!("the async client was asked for") };
    (client.clone(), inner.clone())
}

/// A server that does everything but answer `PING` on its connections while `mute`.
fn answering_all_but_ping(mute: &'static AtomicBool, pause: Duration) -> FakeServer {
    FakeServer::answering(move |words| match &words[0][..] {
        b"HELLO" => b"%1\r\n+server\r\n+redis\r\n".to_vec(),
        b"PING" if mute.load(Ordering::SeqCst) => Vec::new(),
        b"PING" => {
            thread::sleep(pause);
            match words.get(1) {
                Some(word) => [format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat(),
                None => b"+PONG\r\n".to_vec(),
            }
        }
        _ => b"+OK\r\n".to_vec(),
    })
}

/// FAULTS 67: whatever answers lives, also without the words, and behind an attribute. A reply that is lost
/// behind it is found out all the same.
fn a_front_end_that_answers_by_itself_keeps_its_connection(setup: Setup) {
    for answer in ["+PONG\r\n", "$4\r\nPONG\r\n", "|1\r\n+ttl\r\n:3\r\n+PONG\r\n", "-ERR what\r\n"] {
        if setup.protocol == 2 && answer.starts_with('|') {
            continue;
        }
        let fake = FakeServer::answering(move |words| match &words[0][..] {
            b"HELLO" if setup.protocol == 3 => b"%1\r\n+proto\r\n:3\r\n".to_vec(),
            b"PING" => answer.as_bytes().to_vec(),
            b"ECHO" => [b"+", &words[1][..], b"\r\n"].concat(),
            b"LOSE" => Vec::new(),
            _ => b"+OK\r\n".to_vec(),
        });
        // Where errors are all that comes back, marks prove nothing.
        let marks = if answer.starts_with('-') { 0 } else { 2 };
        // Three times as long as is needed to see that it is asked, so that a busy machine answers in time.
        let options = format!("health_check_interval=300ms&timeout=5s&mark_every={marks}");
        let client = setup.client(&fake.url(), &options);
        let echo = |n: u32| client.execute(words::<String>(&format!("ECHO {n}")).retries(0));
        let mut lost = losses(&client);
        let end = Instant::now() + Duration::from_millis(700);
        for n in 0..3 {
            assert_eq!(echo(n).unwrap(), n.to_string(), "{answer:?}");
        }
        if let Driver::Tokio = setup.driver {
            eventually("it is asked several times", LIMIT, || pings(&fake, 0) > 1);
        }
        thread::sleep(end.saturating_duration_since(Instant::now()));
        for n in 0..20 {
            assert_eq!(echo(n).unwrap(), n.to_string(), "{answer:?}");
        }
        // On a busy machine a blocking call may ask over another connection meanwhile.
        assert_eq!(lost().len(), 0, "{answer:?}");
        let lose = words::<String>("LOSE").timeout(Duration::from_millis(20));
        assert!(client.execute(lose).unwrap_err().is_timeout());
        for n in 20..40 {
            if let Ok(echo) = echo(n) {
                assert_eq!(echo, n.to_string(), "{answer:?}");
            }
        }
        assert_eq!(echo(40).unwrap(), "40", "{answer:?}");
        client.close();
        let _ = fake.problems();
    }
}

fn pings(fake: &FakeServer, connection: usize) -> usize {
    fake.received_on(connection).iter().filter(|words| words[0] == b"PING").count()
}

/// FAULTS 10: one question, and no more until it is answered.
#[test]
fn a_silent_peer_is_asked_once() {
    static MUTE: AtomicBool = AtomicBool::new(true);
    let fake = answering_all_but_ping(&MUTE, Duration::ZERO);
    let (client, _) = tokio(&fake.url(), "health_check_interval=100ms&timeout=5s");
    let mut lost = losses(&client);
    eventually("the connection is given up", LIMIT, || fake.connections() >= 2);
    assert_eq!(pings(&fake, 0), 1);
    let lost = lost();
    assert_eq!(lost[0].kind(), ErrorKind::Connection(ConnectionFault::Silent), "{lost:?}");
    client.close();
    let _ = fake.problems();
}

/// One that answers late, but within the interval, is alive; one that takes longer is not.
#[test]
fn a_late_answer_counts_if_it_comes_within_the_interval() {
    static MUTE: AtomicBool = AtomicBool::new(false);
    let fake = answering_all_but_ping(&MUTE, Duration::from_millis(100));
    let (client, _) = tokio(&fake.url(), "health_check_interval=200ms&timeout=5s");
    let mut lost = losses(&client);
    eventually("it has answered several times", LIMIT, || pings(&fake, 0) >= 4);
    assert_eq!((fake.connections(), lost().len()), (1, 0));
    client.close();

    let fake = answering_all_but_ping(&MUTE, Duration::from_millis(500));
    let (client, _) = tokio(&fake.url(), "health_check_interval=200ms&timeout=5s");
    let mut lost = losses(&client);
    eventually("the connection is given up", LIMIT, || fake.connections() >= 2);
    assert_eq!(lost()[0].kind(), ErrorKind::Connection(ConnectionFault::Silent));
    client.close();
    let _ = fake.problems();
}

/// A connection that is idle and alive is asked once per interval, and one in use is not asked at all.
#[test]
fn questions_are_few() {
    let server = Server::start();
    let (client, _) = tokio(&server.url(), "health_check_interval=300ms");
    let start = Instant::now();
    eventually("an idle connection is asked", LIMIT, || server.calls("ping") >= 3);
    let intervals = start.elapsed().as_millis() / 300;
    assert!(u128::from(server.calls("ping").unsigned_abs()) <= intervals + 1, "in {intervals} intervals");

    server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    let end = Instant::now() + Duration::from_millis(1200);
    let mut longest = Duration::ZERO;
    while Instant::now() < end {
        longest = longest.max(timed(|| client.run::<i64>("INCR n").unwrap()).1);
    }
    let asked = server.calls("ping");
    assert!(asked <= 1 || longest > Duration::from_millis(120), "{asked} of a busy one, {longest:?} at most");
}
