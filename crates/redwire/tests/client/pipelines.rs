//! Pipelines of every shape and size, in one piece, without deadlock. REFERENCE U3.

use bytes::Bytes;
use redwire::{ErrorKind, Outcome, Pipeline, Reader, Reply, Run, ScanOptions, Slot, cmd};
use redwire_testkit::shared;

use crate::common::{Client, Setup, runtime, words};

const MIB: usize = 1024 * 1024;

both!(
    shapes_of_slots_become_shapes_of_values,
    an_empty_pipeline_sends_nothing,
    an_error_in_the_middle_is_raised_with_number_and_name,
    an_attempted_slot_takes_its_error,
    ten_thousand_commands,
    a_hundred_thousand_commands,
    values_of_all_sizes,
    ten_mebibytes_both_ways,
    refused_commands_fail_the_pipeline_before_it_is_sent,
    a_reply_that_is_not_read_goes_to_no_other_call,
);

fn run<R: Reply>(pipeline: &Pipeline, line: &str) -> Slot<R> {
    pipeline.run(words(line))
}

fn shapes_of_slots_become_shapes_of_values(setup: Setup) {
    let client = setup.client(&shared().unix_url(), "");
    let key = setup.key("shapes");
    let (ok, n, (value, list), none, unit) = client
        .pipeline(|p| {
            let ok: Slot<String> = run(p, &format!("SET {key} 1"));
            let n: Slot<i64> = run(p, &format!("INCR {key}"));
            let value: Slot<Option<String>> = run(p, &format!("GET {key}"));
            let list: Vec<Slot<String>> = (0..3).map(|i| run(p, &format!("ECHO {i}"))).collect();
            let none: Option<Slot<i64>> = None;
            drop(run::<i64>(p, &format!("DEL {key}")));
            (ok, n, (value, list), none, ())
        })
        .unwrap();
    assert_eq!((ok.as_str(), n, value.as_deref()), ("OK", 2, Some("2")));
    assert_eq!((list, none, unit), (vec!["0".to_owned(), "1".to_owned(), "2".to_owned()], None, ()));
    // A slot that was dropped is executed all the same.
    assert_eq!(client.run::<i64>(&format!("EXISTS {key}")).unwrap(), 0);
    let array: [i64; 3] = client.pipeline(|p| [3, 4, 5].map(|i| run(p, &format!("ECHO {i}")))).unwrap();
    assert_eq!(array, [3, 4, 5]);
    let one: String = client.pipeline(|p| run(p, "PING")).unwrap();
    assert_eq!(one, "PONG");
}

fn an_empty_pipeline_sends_nothing(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let nothing: Vec<String> = client.pipeline(|_| Vec::<Slot<String>>::new()).unwrap();
    assert!(nothing.is_empty());
    client.pipeline(|_| ()).unwrap();
    assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
}

fn an_error_in_the_middle_is_raised_with_number_and_name(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let key = setup.key("middle");
    let error = client
        .pipeline(|p| {
            let first: Slot<()> = run(p, &format!("SET {key} text"));
            let second: Slot<i64> = run(p, &format!("INCR {key}"));
            let third: Slot<i64> = run(p, &format!("APPEND {key} s"));
            (first, second, third)
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Response, Outcome::Rejected));
    assert_eq!((error.command(), error.code(), error.tries()), (Some("INCR"), Some("ERR"), 1));
    assert!(error.to_string().contains("command 2 of 3"), "{error}");
    // The others were executed, and only once.
    assert_eq!(client.run::<String>(&format!("GET {key}")).unwrap(), "texts");
    // The error of a command whose slot was dropped is not lost.
    client.pipeline(|p| drop(run::<i64>(p, &format!("INCR {key}")))).unwrap_err();
}

fn an_attempted_slot_takes_its_error(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let key = setup.key("attempt");
    let (before, failed, fine, after) = client
        .pipeline(|p| {
            let before: Slot<()> = run(p, &format!("SET {key} text"));
            let failed: Slot<i64> = run(p, &format!("INCR {key}"));
            let fine: Slot<i64> = run(p, &format!("STRLEN {key}"));
            let after: Slot<String> = run(p, &format!("GET {key}"));
            (before, failed.attempt(), fine.attempt(), after)
        })
        .unwrap();
    assert_eq!((before, fine.unwrap(), after.as_str()), ((), 4, "text"));
    assert_eq!(failed.unwrap_err().code(), Some("ERR"));
}

fn ten_thousand_commands(setup: Setup) {
    many_commands(setup, &shared().unix_url(), 10_000);
}

fn a_hundred_thousand_commands(setup: Setup) {
    many_commands(setup, &shared().url(), 100_000);
}

fn many_commands(setup: Setup, url: &str, count: u64) {
    let client = setup.client(url, "timeout=60s");
    let values: Vec<u64> = client
        .pipeline(|p| (0..count).map(|i| p.run(cmd::<u64>("ECHO").arg(i))).collect::<Vec<_>>())
        .unwrap();
    assert!(values.into_iter().eq(0..count));
}

fn values_of_all_sizes(setup: Setup) {
    let client = setup.client(&shared().url(), "timeout=60s");
    let sizes: Vec<usize> =
        (0..40).map(|i| [0, 1, 15, 16, 4095, 4096, 65_535, 65_536, MIB - 1, MIB][i * 7 % 10]).collect();
    let value = |i: usize| Bytes::from(vec![i as u8; sizes[i]]);
    let values: Vec<Bytes> = client
        .pipeline(|p| (0..40).map(|i| p.run(cmd::<Bytes>("ECHO").arg(value(i)))).collect::<Vec<_>>())
        .unwrap();
    for (i, got) in values.into_iter().enumerate() {
        assert!(got == value(i), "value {i} of {} bytes", sizes[i]);
    }
}

fn ten_mebibytes_both_ways(setup: Setup) {
    for url in [shared().url(), shared().unix_url()] {
        let client = setup.client(&url, "timeout=60s");
        let mebibyte = Bytes::from(vec![b'm'; MIB]);
        let ten: Vec<Bytes> = client
            .pipeline(|p| (0..10).map(|_| p.run(cmd("ECHO").arg(&mebibyte))).collect::<Vec<_>>())
            .unwrap();
        assert!(ten.len() == 10 && ten.iter().all(|value| value == &mebibyte));
        let large = Bytes::from(vec![b'l'; 10 * MIB]);
        assert!(client.execute::<Bytes>(cmd("ECHO").arg(&large)).unwrap() == large);
        let one: Bytes = client.pipeline(|p| p.run(cmd("ECHO").arg(&large))).unwrap();
        assert!(one == large);
        let mut connection = setup.connection(&url, "timeout=60s");
        let ten: Vec<Bytes> = connection
            .pipeline(|p| (0..10).map(|_| p.run(cmd("ECHO").arg(&mebibyte))).collect::<Vec<_>>())
            .unwrap();
        assert!(ten.len() == 10 && ten.iter().all(|value| value == &mebibyte));
    }
}

fn refused_commands_fail_the_pipeline_before_it_is_sent(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let key = setup.key("refused");
    for line in ["SELECT 1", "MULTI", "SUBSCRIBE c", "CLIENT REPLY OFF", "BLPOP nothing 1"] {
        let error = client
            .pipeline(|p| {
                drop(run::<()>(p, &format!("SET {key} 1")));
                drop(p.run(words::<redwire::Value>(line)));
            })
            .unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{line}: {error}");
    }
    assert_eq!(client.run::<i64>(&format!("EXISTS {key}")).unwrap(), 0);
}

/// A reply that its type leaves alone.
#[derive(Debug, PartialEq)]
struct Ignored;

impl Reply for Ignored {
    fn decode(_: &mut Reader<'_>) -> redwire::Result<Self> {
        Ok(Self)
    }
}

/// A type of a user's own may read less than its reply: the others have their own all the same. FAULTS 91.
fn a_reply_that_is_not_read_goes_to_no_other_call(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let (a, b) = (setup.key("unread-a"), setup.key("unread-b"));
    client.run::<()>(&format!("MSET {a} va {b} vb")).unwrap();
    type Four = (Slot<Ignored>, Slot<String>, Slot<Vec<Ignored>>, Slot<Option<String>>);
    let build = |p: &Pipeline| -> Four {
        let get = format!("GET {b}");
        (
            p.run(words(&format!("GET {a}"))),
            p.run(words(&get)),
            p.run(words(&format!("MGET {a} {b}"))),
            p.run(words(&get)),
        )
    };
    let vb = || "vb".to_owned();
    let expected = (Ignored, vb(), vec![Ignored, Ignored], Some(vb()));
    assert_eq!(client.pipeline(build).unwrap(), expected);
    let executed = match &client {
        Client::Tokio(client) => runtime().block_on(client.atomic(build)),
        Client::Blocking(client) => client.atomic(build),
    };
    assert_eq!(executed.unwrap(), expected);
    let pairs: Vec<(Ignored, String)> = client.run(&format!("MGET {a} {b}")).unwrap();
    assert_eq!(pairs, [(Ignored, vb())]);
    assert!(!client.scan::<Ignored>(ScanOptions::new()).unwrap().is_empty());
    // A slot of another pipeline names another command, or none: nothing is sent.
    let mut kept = None;
    client.pipeline(|p| kept = Some(p.run::<String>(words("ECHO theirs")))).unwrap();
    let mut kept = kept.into_iter();
    let error = client.pipeline(|p| (p.run::<i64>(words(&format!("DEL {a}"))), kept.next())).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Usage, Outcome::NotSent), "{error}");
    assert_eq!(client.run::<String>(&format!("GET {a}")).unwrap(), "va");
}
