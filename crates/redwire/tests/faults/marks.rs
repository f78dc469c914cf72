//! A reply that something between drops, while the next one comes in time: nothing but marks among the
//! requests can show that (I1).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use redwire::{ConnectionFault, ErrorKind};
use redwire_testkit::FakeServer;

use crate::common::{Driver, LIMIT, Setup, timed};
use crate::step::NAMELESS;

both!(with_marks_a_swallowed_reply_misleads_few);

const EVERY: usize = 4;
const CALLERS: usize = 16;

fn with_marks_a_swallowed_reply_misleads_few(setup: Setup) {
    let asked = AtomicUsize::new(0);
    let fake = FakeServer::answering(move |words| {
        let word = words.last().expect("a word");
        let count = asked.fetch_add(usize::from(words[0] == b"GET"), Ordering::SeqCst);
        match &words[0][..] {
            b"HELLO" => b"%1\r\n+server\r\n+redis\r\n".to_vec(),
            b"GET" if count == CALLERS * 10 => Vec::new(),
            _ => [format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat(),
        }
    });
    let client = setup.client(&fake.url(), &format!("{NAMELESS}&timeout=5s&retries=0&mark_every={EVERY}"));
    let (wrong, reset) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (_, took) = timed(|| {
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let (client, wrong, reset) = (&client, &wrong, &reset);
                scope.spawn(move || {
                    for call in 0..30 {
                        let key = format!("{caller}:{call}");
                        match client.run::<String>(&format!("GET {key}")) {
                            Ok(value) => wrong.fetch_add(usize::from(value != key), Ordering::SeqCst),
                            Err(error) if error.kind() == ErrorKind::Connection(ConnectionFault::Reset) => {
                                reset.fetch_add(1, Ordering::SeqCst)
                            }
                            // One that has a connection to itself can only wait.
                            Err(error) => usize::from({
                                assert!(setup.driver == Driver::Blocking && error.is_timeout(), "{error}");
                                false
                            }),
                        };
                    }
                });
            }
        });
    });
    let (wrong, reset) = (wrong.into_inner(), reset.into_inner());
    assert!(wrong <= EVERY, "{wrong} got what is another one's, {reset} were cut off");
    if setup.driver == Driver::Tokio {
        assert!(reset > 0 && took < LIMIT / 2, "found out without a missed deadline: {reset}, {took:?}");
    }
}
