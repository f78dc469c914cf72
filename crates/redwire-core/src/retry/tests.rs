//! Retries: what is tried again, within which limits, and what is told in the end.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::call::{self, Piped};
use crate::cluster::{AfterFailure, ClusterOptions, Route, Rules};
use crate::cmd::Cmd;
use crate::config::HostPort;
use crate::error::ConnectionFault;
use crate::facts::{self, Facts};
use crate::reply::Value;
use crate::run::Run;
use crate::script::Script;

fn lost(outcome: Outcome) -> Error {
    Error::new(ErrorKind::Connection(ConnectionFault::Reset), outcome, "reset")
}

#[test]
fn what_may_have_run_is_repeated_only_when_harmless() {
    let table = [
        (lost(Outcome::NotSent), true, true),
        (lost(Outcome::MaybeExecuted), false, true),
        (Error::from_server(b"LOADING"), true, true),
        (Error::from_server(b"ERR max number of clients reached"), true, true),
        (Error::from_server(b"WRONGTYPE"), false, false),
        (Error::timeout(Outcome::NotSent), false, false),
        (Error::usage("no"), false, false),
        (lost(Outcome::Unreadable), false, false),
    ];
    for (error, as_write, as_read) in table {
        let policy = RetryPolicy::default();
        assert_eq!(may_retry(&error, false, &policy), as_write, "{error} of a write");
        assert_eq!(may_retry(&error, true, &policy), as_read, "{error} of a read");
    }
}

/// What of a call's time one try has: [`try_deadline`].
#[test]
fn a_try_has_its_share_of_the_time() {
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    let get = || Cmd::<Value>::new("GET").arg("k");
    let own = Dispatch::Exclusive(Blocking::No);
    let table = [
        ("timeout=9s&retries=2", Dispatch::Shared, get(), Some(3)),
        ("timeout=9s&retries=2", own, get(), Some(3)),
        ("timeout=9s&retries=2", Dispatch::Exclusive(Blocking::Upto(second)), get(), Some(9)),
        ("timeout=9s&retries=2", Dispatch::Exclusive(Blocking::Forever), get(), Some(9)),
        ("timeout=9s&retries=2", Dispatch::Shared, get().timeout(6 * second), Some(2)),
        ("timeout=9s&retries=2", Dispatch::Shared, get().retries(0), Some(9)),
        ("timeout=9s&retries=2", Dispatch::Shared, Cmd::new("INCR").arg("n"), Some(9)),
        ("timeout=9s&retries=2", Dispatch::Shared, Cmd::new("INCR").arg("n").idempotent(), Some(3)),
        ("timeout=9s&attempt_timeout=4s", Dispatch::Shared, get(), Some(4)),
        ("timeout=3s&attempt_timeout=4s", Dispatch::Shared, get(), Some(3)),
        // Without a limit there is nothing to share out.
        ("timeout=9s&retries=2", Dispatch::Shared, get().timeout(Duration::ZERO), None),
        ("timeout=0&retries=2", Dispatch::Shared, get(), None),
        ("timeout=0&attempt_timeout=4s", Dispatch::Shared, get(), Some(4)),
    ];
    for (options, dispatch, cmd, expected) in table {
        let config = Config::from_url(&format!("redis://h/?retry_on_timeout=yes&{options}")).unwrap();
        let whole = call::deadline(Dispatch::Shared, Call::options(&cmd), config.timeout(), now);
        let end = try_deadline(&cmd, dispatch, &config, whole, now);
        assert_eq!(end.map(|end| (end - now).as_secs()), expected, "{options} {dispatch:?} {cmd:?}");
    }
}

#[test]
fn tries_and_the_deadline_are_limits() {
    let config = Config::from_url("redis://h/?retries=2").unwrap();
    let mut incr = Cmd::<Value>::new("INCR").arg("n");
    let now = Instant::now();
    let mut attempt = Attempt::new(Some(now + Duration::from_secs(60)));
    for _ in 0..2 {
        let decision = attempt.handle_failure(lost(Outcome::NotSent), &mut incr, &config, now, 7, || true);
        assert!(matches!(decision, Decision::Retry(_)));
    }
    let Decision::Fail(error) =
        attempt.handle_failure(lost(Outcome::NotSent), &mut incr, &config, now, 7, || true)
    else {
        panic!("a third retry");
    };
    assert_eq!((error.tries(), error.command()), (3, Some("INCR")));
    let mut late = Attempt::new(Some(now));
    assert!(matches!(
        late.handle_failure(lost(Outcome::NotSent), &mut incr, &config, now, 7, || true),
        Decision::Fail(_)
    ));
}

#[test]
fn a_client_of_one_node_of_a_cluster_is_told_what_to_use() {
    let failed = |config: &Config| {
        let mut get = Cmd::<Value>::new("GET").arg("k");
        let moved = Error::from_server(b"MOVED 7629 h:7001");
        match Attempt::new(None).handle_failure(moved, &mut get, config, Instant::now(), 7, || true) {
            Decision::Fail(error) => error,
            other => panic!("{other:?}"),
        }
    };
    for (url, advice) in
        [("redis://h:7000", "`redis+cluster://h:7000`"), ("rediss://h", "`rediss+cluster://h:6379`")]
    {
        let error = failed(&Config::from_url(url).unwrap());
        assert!(error.to_string().contains(advice), "{error}");
        assert_eq!((error.code(), error.outcome()), (Some("MOVED"), Outcome::Rejected));
    }
    // The client of one node that was taken from a cluster on purpose.
    let node = Config::from_url("redis+cluster://h:7000").unwrap().for_node(HostPort::new("h", 7000));
    assert!(!failed(&node).to_string().contains("cluster://"));
}

#[test]
fn a_spent_budget_ends_the_call_with_its_own_error() {
    let config = Config::builder().build().unwrap();
    let mut get = Cmd::<Value>::new("GET").arg("k");
    let now = Instant::now();
    for failure in
        [lost(Outcome::NotSent), lost(Outcome::MaybeExecuted), Error::from_server(b"LOADING later")]
    {
        let decision =
            Attempt::new(None).handle_failure(failure.clone(), &mut get, &config, now, 7, || false);
        let Decision::Fail(error) = decision else { panic!("a retry of {failure}") };
        assert_eq!(
            (error.kind(), error.code(), error.outcome(), error.tries()),
            (failure.kind(), failure.code(), failure.outcome(), 1)
        );
        let expected = format!("not tried again, the retry budget is spent: {}", failure.message());
        assert_eq!(error.message(), expected);
    }
}

#[test]
fn the_budget_is_asked_only_for_retries_that_would_be_made() {
    let config = Config::builder().build().unwrap();
    let incr = Cmd::<Value>::new("INCR").arg("n");
    let now = Instant::now();
    let table = [
        (lost(Outcome::MaybeExecuted), incr.clone(), None),
        (lost(Outcome::NotSent), incr.clone().retries(0), None),
        (lost(Outcome::NotSent), incr, Some(now)),
    ];
    for (error, mut cmd, deadline) in table {
        let mut attempt = Attempt::new(deadline);
        let unasked = || -> bool { panic!("asked") };
        let decision = attempt.handle_failure(error, &mut cmd, &config, now, 7, unasked);
        assert!(matches!(decision, Decision::Fail(error) if error.message() == "reset"));
    }
}

#[test]
fn a_caller_may_declare_a_write_harmless() {
    let config = Config::builder().build().unwrap();
    let set = Cmd::<Value>::new("SET").arg("k").arg("v");
    let now = Instant::now();
    let decide = |mut cmd: Cmd<Value>| {
        Attempt::new(None).handle_failure(lost(Outcome::MaybeExecuted), &mut cmd, &config, now, 7, || true)
    };
    assert!(matches!(decide(set.clone()), Decision::Fail(_)));
    assert!(matches!(decide(set.clone().idempotent()), Decision::Retry(_)));
    assert!(matches!(decide(set.idempotent().retries(0)), Decision::Fail(_)));
}

#[test]
fn a_client_may_declare_all_its_writes_harmless() {
    let mut incr = Cmd::<Value>::new("INCR").arg("n");
    for (url, repeated) in [("redis://h?idempotent=yes", true), ("redis://h?idempotent=no", false)] {
        let config = Config::from_url(url).unwrap();
        let error = lost(Outcome::MaybeExecuted);
        let decision =
            Attempt::new(None).handle_failure(error, &mut incr, &config, Instant::now(), 7, || true);
        assert_eq!(matches!(decision, Decision::Retry(_)), repeated, "{url}");
    }
}

#[test]
fn another_way_of_asking_is_no_retry() {
    let config = Config::from_url("redis://h?retries=0").unwrap();
    let mut call: Cmd<Value> = Script::new("return 1").key("k").cmd();
    let missing = || Error::from_server(b"NOSCRIPT No matching script. Please use EVAL.");
    let now = Instant::now();
    let mut attempt = Attempt::new(Some(now));
    let unasked = || -> bool { panic!("asked") };
    let decision = attempt.handle_failure(missing(), &mut call, &config, now, 7, unasked);
    assert!(matches!(decision, Decision::Again), "{decision:?}");
    assert_eq!(call.name(), "EVAL");
    let Decision::Fail(error) = attempt.handle_failure(missing(), &mut call, &config, now, 7, unasked) else {
        panic!("a second time");
    };
    assert_eq!((error.tries(), error.command(), error.code()), (1, Some("EVAL"), Some("NOSCRIPT")));
}

#[test]
fn a_script_that_failed_may_have_run() {
    let table = [
        ("ERR no", Outcome::MaybeExecuted),
        ("LOADING it loads", Outcome::MaybeExecuted),
        ("LOADING Redis is loading the dataset in memory", Outcome::Rejected),
        ("NOSCRIPT No matching script. Please use EVAL.", Outcome::Rejected),
        ("BUSY script: f, on @user_function:1.", Outcome::MaybeExecuted),
        ("ERR Error running script (call to f_1): @user_script:1: LOADING", Outcome::MaybeExecuted),
    ];
    let policy =
        RetryPolicy { codes: vec!["ERR".into(), "LOADING".into(), "BUSY".into()], ..RetryPolicy::default() };
    let own = Facts::new("BF.ADD");
    for (line, outcome) in table {
        for facts in [&facts::EVAL, &facts::EVALSHA, &facts::FCALL, &facts::MIGRATE, &facts::UNKNOWN, &own] {
            let error = Error::from_server(line.as_bytes()).in_reply_to(facts, &[facts.name.as_bytes()]);
            assert_eq!((error.outcome(), error.code()), (outcome, line.split(' ').next()), "{line}");
            assert!(outcome == Outcome::Rejected || !may_retry(&error, true, &policy), "{line}");
        }
        let own = Facts::new("BF.EXISTS").read_only();
        for facts in [&facts::EVAL_RO, &facts::FCALL_RO, &facts::INCR, &own] {
            let error = Error::from_server(line.as_bytes()).in_reply_to(facts, &[]);
            assert_eq!(error.outcome(), Outcome::Rejected, "{line}");
        }
    }
}

/// How a try may end.
fn end() -> impl Strategy<Value = Error> {
    let down = "CLUSTERDOWN Hash slot not served";
    prop_oneof![
        Just(lost(Outcome::NotSent)),
        Just(lost(Outcome::MaybeExecuted)),
        Just(Error::timeout(Outcome::NotSent)),
        Just(Error::timeout(Outcome::MaybeExecuted)),
        Just(lost(Outcome::Unreadable)),
        prop_oneof![
            Just("WRONGTYPE no"),
            Just("LOADING it loads"),
            Just("READONLY no"),
            Just(down),
            Just("MOVED 7365 h:2"),
            Just("ASK 7365 h:2")
        ]
        .prop_map(|line| Error::from_server(line.as_bytes())),
    ]
}

/// The last of those that are equally bad: what was not sent was executed no less than what was rejected.
fn worst(tries: &[Error]) -> Outcome {
    let badness = |outcome: &Outcome| match outcome {
        Outcome::NotSent | Outcome::Rejected => 0,
        Outcome::MaybeExecuted => 1,
        Outcome::Unreadable => 2,
    };
    tries.iter().map(Error::outcome).max_by_key(badness).expect("one at least")
}

/// Tells `call` one end after the other, until it is given up: what came of it, and the tries that were made.
fn history(call: &mut impl Call, ends: &[Error], url: &str) -> Option<(Error, usize)> {
    let config = Config::from_url(url).unwrap();
    let now = Instant::now();
    let (mut attempt, mut route) = (Attempt::new(None), Route::new(Some(7365), None));
    let cluster = ClusterOptions::default();
    for (nth, end) in ends.iter().enumerate() {
        let failed = if url.contains("cluster") {
            let rules = Rules { config: &config, cluster: &cluster, now };
            let from = HostPort::new("h", 1);
            match route.handle_failure(end.clone(), Some(&from), call, rules, 7, || true).then {
                AfterFailure::Fail(error) => Some(error),
                _ => None,
            }
        } else {
            match attempt.handle_failure(end.clone(), call, &config, now, 7, || true) {
                Decision::Fail(error) => Some(error),
                _ => None,
            }
        };
        if let Some(error) = failed {
            return Some((error, nth + 1));
        }
    }
    None
}

proptest! {
    #[test]
    fn the_outcome_is_the_worst_of_all_tries(
        ends in vec(end(), 1..8),
        url in prop_oneof![Just("redis://h"), Just("redis+sentinel://h/s"), Just("redis+cluster://h")],
        idempotent: bool,
        on_timeout: bool,
    ) {
        let url = format!("{url}?retries=5&retry_on_timeout={}", if on_timeout { "yes" } else { "no" });
        let incr = Cmd::<Value>::new("INCR").arg("n");
        let mut incr = if idempotent { incr.idempotent() } else { incr };
        if let Some((error, tries)) = history(&mut incr, &ends, &url) {
            prop_assert_eq!(error.outcome(), worst(&ends[..tries]), "{} after {:?}", error, &ends[..tries]);
            // What failed last is still told.
            prop_assert_eq!(error.kind(), ends[tries - 1].kind());
            prop_assert_eq!(error.code().is_some(), ends[tries - 1].code().is_some());
        }
        let mut batch = Piped::record(|p| {
            p.idempotent();
            (p.run(Cmd::<Value>::new("GET").arg("n")), p.run(Cmd::<Value>::new("INCR").arg("n")))
        });
        if let Some((error, tries)) = history(&mut batch, &ends, &url) {
            prop_assert_eq!(error.outcome(), worst(&ends[..tries]), "{} after {:?}", error, &ends[..tries]);
        }
        // Of what only reads, the last try is what counts.
        if let Some((error, tries)) = history(&mut Cmd::<Value>::new("GET").arg("n"), &ends, &url) {
            prop_assert_eq!(error.outcome(), ends[tries - 1].outcome());
        }
    }
}

#[test]
fn a_replica_is_left_by_what_it_refused_and_by_what_is_harmless() {
    let table = [
        ("redis+sentinel://h/s", true, true, true),
        ("redis+sentinel://h/s", false, true, false),
        ("redis+cluster://h", true, true, true),
        ("redis+cluster://h", false, true, false),
        ("redis://h", true, true, true),
        ("redis://h", false, true, false),
        ("redis://h?read_only=yes", true, false, false),
    ];
    let wrapped = "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: \
                   -READONLY You can't write against a read only replica.";
    let suffixed = "READONLY You can't write against a read only replica. script: f_1, on @user_script:1.";
    for (url, idempotent, refused, within) in table {
        let lines = [
            ("READONLY You can't write against a read only replica.", refused),
            (wrapped, within),
            (suffixed, within),
        ];
        for (line, repeated) in lines {
            let eval = Cmd::<Value>::new("EVAL").arg("return 1").arg(1).arg("n");
            let mut eval = if idempotent { eval.idempotent() } else { eval };
            let error = eval.judge(Error::from_server(line.as_bytes()));
            let end = history(&mut eval, &[error], url);
            assert_eq!(end.is_none(), repeated, "{line} at {url}, idempotent {idempotent}");
        }
    }
}

#[test]
fn what_a_replica_refused_waits_for_a_master_until_its_deadline() {
    let demoted = || Error::from_server(b"READONLY You can't write against a read only replica.");
    let now = Instant::now();
    let tries = |url: &str, deadline: Option<Instant>, error: Error| {
        let config = Config::from_url(url).unwrap();
        let mut set = Cmd::<Value>::new("SET").arg("k").arg("v");
        let (mut attempt, mut at, mut tries) = (Attempt::new(deadline), now, 1);
        while let Decision::Retry(pause) =
            attempt.handle_failure(error.clone(), &mut set, &config, at, u64::MAX, || false)
        {
            (at, tries) = (at + pause, tries + 1);
            assert!(attempt.was_refused() && tries < 100);
        }
        tries
    };
    let soon = Some(now + Duration::from_secs(5));
    assert!(tries("redis://h", soon, demoted()) > 8, "at the cost of no budget");
    assert_eq!(tries("redis://h?retries=0", soon, demoted()), 1);
    assert_eq!(tries("redis://h?read_only=yes", soon, demoted()), 1);
    assert_eq!(tries("redis://h", None, demoted()), 1, "without a deadline, by the budget");
    assert_eq!(tries("redis://h", soon, demoted().with_outcome(Outcome::MaybeExecuted)), 1);
    let unknown = || Error::from_server(b"NOAUTH Authentication required.");
    assert_eq!(tries("redis://h", soon, unknown()), 1);
    assert!(tries("redis://:pw@h", soon, unknown()) > 8);
}

#[test]
fn a_pipeline_of_which_nothing_was_executed_is_made_again() {
    let refused = |config: &Config, replies: &[&'static str]| {
        let build = |p: &crate::Pipeline| {
            (
                p.run(Cmd::<Value>::of(&facts::SET).arg("k").arg("v")).attempt(),
                p.run(Cmd::<Value>::of(&facts::GET).arg("k")).attempt(),
            )
        };
        let mut call = Piped::record(build);
        let frames = replies.iter().map(|reply| bytes::Bytes::from_static(reply.as_bytes()));
        let replies = crate::Replies::of(frames);
        match call::read(&mut call, replies, config) {
            Ok(_) => None,
            Err(error) => {
                assert!(call.is_single());
                let slots = call::fail(&mut call, error.clone(), config).unwrap();
                assert!(slots.0.is_err(), "in the end each has its own");
                Some(error)
            }
        }
    };
    let plain = Config::from_url("redis://h").unwrap();
    let demoted = "-READONLY You can't write against a read only replica.\r\n";
    let error = refused(&plain, &[demoted, "$1\r\nv\r\n"]).unwrap();
    assert_eq!((error.kind(), error.command()), (ErrorKind::ReadOnly, Some("SET")));
    assert!(refused(&plain, &[demoted, demoted]).is_some());
    assert!(refused(&plain, &["+OK\r\n", demoted]).is_none(), "one was executed");
    assert!(refused(&plain, &["-WRONGTYPE no\r\n", "$1\r\nv\r\n"]).is_none());
    let reader = Config::from_url("redis://h?read_only=yes").unwrap();
    assert!(refused(&reader, &[demoted, demoted]).is_none());
}
