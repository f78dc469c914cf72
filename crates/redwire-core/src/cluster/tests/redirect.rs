//! The way of a command: `spec/cases/cluster_redirects.json`; and when the map is asked for anew.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value as Json;

use super::super::slots_reply::{SlotsReply, Source};
use super::super::{
    AfterFailure, Asking, ClusterOptions, FetchedMap, Map, Redirect, Remap, Route, RouteStep, Rules,
    Topology, TopologyHint, slot_of_words,
};
use super::{address, remap, reply};
use crate::backoff::Backoff;
use crate::call::Call;
use crate::cmd::Cmd;
use crate::config::{Config, RetryPolicy};
use crate::error::{ConnectionFault, Error, ErrorKind, Outcome};
use crate::outbox::Outbox;
use crate::pipeline::Pipeline;
use crate::replies::Replies;
use crate::reply::Value;
use crate::run::Run;
use crate::transaction::Atomic;

#[derive(Deserialize)]
struct Cases {
    map: Json,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    command: String,
    #[serde(default)]
    remap: HashMap<String, String>,
    max_redirects: Option<u32>,
    retries: Option<u32>,
    deadline_ms: Option<u64>,
    steps: Vec<Try>,
}

#[derive(Deserialize)]
struct Try {
    #[serde(default)]
    at_ms: u64,
    from: String,
    error: Option<String>,
    unsent: Option<String>,
    lost: Option<String>,
    then: Wanted,
    hint: Option<Learnt>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Wanted {
    Send {
        send: String,
        #[serde(default)]
        asking: bool,
        #[serde(default)]
        fresh: bool,
        #[serde(default)]
        after_ms: u64,
    },
    Retry {
        retry: u64,
        target: String,
    },
    Fail {
        fail: Vec<String>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Learnt {
    Moved(u16, String),
    Doubt,
}

pub(super) fn config() -> Config {
    let backoff = Backoff::constant(Duration::from_millis(100));
    Config::builder().retry(RetryPolicy { backoff, ..RetryPolicy::default() }).build().unwrap()
}

pub(super) fn map(slots: &Json) -> Map {
    let (asked, remap) = (address("known:1"), Remap::default());
    SlotsReply { asked: &asked, tls: false, remap: &remap }.read(Source::Slots, &reply(slots, false)).unwrap()
}

pub(super) fn command(line: &str) -> Cmd<Value> {
    line.split(' ').fold(Cmd::new(""), Cmd::arg)
}

fn broken(why: &str, outcome: Outcome) -> Error {
    Error::new(ErrorKind::Connection(ConnectionFault::Reset), outcome, why)
}

#[test]
fn the_cases_hold() {
    let cases: Cases =
        serde_json::from_str(include_str!("../../../../../spec/cases/cluster_redirects.json")).unwrap();
    let map = map(&cases.map);
    for case in cases.cases {
        run(&map, case);
    }
}

fn run(map: &Map, case: Case) {
    let name = case.name;
    let start = Instant::now();
    let mut cmd = command(&case.command);
    if let Some(retries) = case.retries {
        cmd = cmd.retries(retries);
    }
    let defaults = ClusterOptions::default();
    let max_redirects = case.max_redirects.unwrap_or(defaults.max_redirects);
    let cluster = ClusterOptions { remap: remap(&case.remap), max_redirects, ..defaults };
    let config = config();
    let words: Vec<_> = cmd.args().iter().collect();
    let slot = slot_of_words(cmd.facts(), words.into_iter()).unwrap();
    let deadline = case.deadline_ms.map(|ms| start + Duration::from_millis(ms));
    let mut route = Route::new(slot, deadline);
    for (n, step) in case.steps.into_iter().enumerate() {
        let error = match (step.error, step.unsent, step.lost) {
            (Some(line), ..) => Error::from_server(line.as_bytes()),
            (_, Some(why), _) => broken(&why, Outcome::NotSent),
            (.., why) => broken(&why.expect("a failure"), Outcome::MaybeExecuted),
        };
        let now = start + Duration::from_millis(step.at_ms);
        let rules = Rules { config: &config, cluster: &cluster, now };
        let from = address(&step.from);
        let RouteStep { then, hint } = route.handle_failure(error, Some(&from), &mut cmd, rules, 0, || true);
        let wanted = step.hint.map(|hint| match hint {
            Learnt::Moved(slot, to) => TopologyHint::Moved { slot, to: address(&to) },
            Learnt::Doubt => TopologyHint::Suspect,
        });
        assert_eq!(hint, wanted, "{name}, step {n}");
        match (then, step.then) {
            (
                AfterFailure::Send { to, asking, fresh, after },
                Wanted::Send { send, asking: a, fresh: f, after_ms },
            ) => {
                let is = (to.to_string(), asking, fresh, after);
                assert_eq!(is, (send, a, f, Duration::from_millis(after_ms)), "{name}, step {n}");
            }
            (AfterFailure::Retry(after), Wanted::Retry { retry, target }) => {
                assert_eq!(after, Duration::from_millis(retry), "{name}, step {n}");
                assert_eq!(route.target(map, 0).unwrap().to_string(), target, "{name}, step {n}");
            }
            (AfterFailure::Fail(error), Wanted::Fail { fail }) => {
                for words in fail {
                    assert!(error.to_string().contains(&words), "{name}, step {n}: {error}\nlacks {words:?}");
                }
            }
            (then, _) => panic!("{name}, step {n}: {then:?}"),
        }
    }
}

#[test]
fn a_slot_without_a_node_is_waited_for() {
    let (config, cluster) = (config(), ClusterOptions::default());
    let now = Instant::now();
    let rules = Rules { config: &config, cluster: &cluster, now };
    let mut route = Route::new(Some(5), Some(now + Duration::from_secs(1)));
    let error = route.target(&Map::default(), 0).unwrap_err();
    assert!(error.to_string().contains("slot 5"), "{error}");
    let step = route.handle_failure(error, None, &mut command("GET x"), rules, 0, || false);
    assert!(matches!(step.then, AfterFailure::Retry(_)), "{step:?}");
    assert_eq!(step.hint, Some(TopologyHint::Suspect));
}

#[test]
fn what_is_sent_once_again_is_taken_from_the_budget_but_what_waits_is_not() {
    let (config, cluster) = (config(), ClusterOptions::default());
    let (now, from) = (Instant::now(), address("a:1"));
    let rules = Rules { config: &config, cluster: &cluster, now };
    let mut cmd = command("GET x");
    let mut route = Route::new(Some(5), Some(now + Duration::from_secs(1)));
    let lost = broken("reset", Outcome::MaybeExecuted);
    let step = route.handle_failure(lost, Some(&from), &mut cmd, rules, 0, || false);
    assert!(matches!(step.then, AfterFailure::Fail(error) if error.to_string().contains("budget is spent")));
    let down = Error::from_server(b"CLUSTERDOWN Hash slot not served");
    let step = route.handle_failure(down, Some(&from), &mut cmd, rules, 0, || false);
    assert!(matches!(step.then, AfterFailure::Retry(_)));
}

#[test]
fn a_transaction_that_was_redirected_goes_on_whole() {
    let (config, cluster) = (config(), ClusterOptions::default());
    let (now, from) = (Instant::now(), address("a:1"));
    let rules = Rules { config: &config, cluster: &cluster, now };
    let replies = |frames: &[&'static str]| {
        Replies::of(frames.iter().map(|frame| Bytes::from_static(frame.as_bytes())))
    };
    let queue = |p: &Pipeline| (p.run(command("GET foo")), p.run(command("GET foo")));
    let mut transaction = Atomic::record(queue);
    let mut route = Route::new(Some(12_182), Some(now + Duration::from_secs(1)));
    let abort = "-EXECABORT Transaction discarded because of previous errors.\r\n";
    let refused = replies(&["+OK\r\n", "-ASK 12182 b:1\r\n", "-ASK 12182 b:1\r\n", abort]);
    let error = transaction.read(refused).unwrap_err();
    let step = route.handle_failure(error, Some(&from), &mut transaction, rules, 0, || false);
    assert!(
        matches!(&step.then, AfterFailure::Send { to, asking: true, .. } if *to == address("b:1")),
        "{step:?}"
    );
    let mut asking = Asking(&mut transaction);
    let (mut outbox, count) = (Outbox::default(), asking.count());
    asking.write(&mut outbox);
    assert!(outbox.to_bytes().starts_with(b"*1\r\n$6\r\nASKING\r\n*1\r\n$5\r\nMULTI\r\n"));
    assert_eq!((outbox.len(), count), (asking.size(), 5));
    let done = replies(&["+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n:1\r\n:2\r\n"]);
    assert_eq!(asking.read(done).unwrap(), (Value::Integer(1), Value::Integer(2)));
}

proptest! {
    #[test]
    fn any_line_is_a_redirection_or_none(word in "MOVED|ASK", rest in "[ 0-9a-z:.?\\[\\]-]{0,24}") {
        let error = Error::from_server(format!("{word} {rest}").as_bytes());
        let redirect = Redirect::parse(&error, &address("a:1"), &Remap::default());
        if let Some(to) = redirect.and_then(|redirect| redirect.to) {
            prop_assert!(to.port != 0 && !to.host.is_empty(), "{to}");
        }
    }
}

fn topology(options: ClusterOptions) -> (Topology, Instant) {
    let now = Instant::now();
    let mut topology = Topology::new(vec![address("seed:1")], options, false, now);
    assert!(topology.poll_refresh(now, 0).is_some(), "at first at once");
    let map = map(&serde_json::json!([[0, 16383, ["a", 1, "a1"]]]));
    let found = FetchedMap { map, told_by: address("seed:1"), source: Source::Slots };
    assert!(topology.handle_refreshed(Ok(found), now, 0));
    (topology, now)
}

fn moved(slot: u16) -> TopologyHint {
    TopologyHint::Moved { slot, to: address("b:1") }
}

#[test]
fn redirections_change_the_map_at_once_and_refresh_it_after_five() {
    let (mut topology, now) = topology(ClusterOptions::default());
    let second = Duration::from_secs(1);
    for slot in 0..5 {
        assert!(topology.poll_refresh(now + 2 * second, 0).is_none(), "{slot}");
        assert!(topology.handle_hint(&moved(slot)));
        assert_eq!(topology.map().primary(slot), Some(&address("b:1")));
    }
    assert!(!topology.handle_hint(&moved(0)), "known already");
    assert_eq!(topology.poll_timeout(), Some(now + second));
    assert!(topology.poll_refresh(now, 0).is_none(), "not before the pause is over");
    assert!(topology.poll_refresh(now + second, 0).is_some());
    // One at a time, and what happens meanwhile is for the next.
    assert!(!topology.handle_hint(&TopologyHint::Suspect));
    assert!(topology.poll_refresh(now + 9 * second, 0).is_none() && topology.poll_timeout().is_none());
    assert!(!topology.handle_refreshed(Err(Error::timeout(Outcome::NotSent)), now + 9 * second, 0));
    assert_eq!(topology.map().primary(0), Some(&address("b:1")), "an old map is better than none");
    assert!(topology.poll_refresh(now + 9 * second, 0).is_some());
}

#[test]
fn zero_never_refreshes_for_redirections_and_one_always() {
    for (after, refreshed) in [(0, false), (1, true)] {
        let (mut topology, now) =
            topology(ClusterOptions { refresh_after_moved: after, ..ClusterOptions::default() });
        topology.handle_hint(&moved(0));
        assert_eq!(topology.poll_refresh(now + Duration::from_secs(2), 0).is_some(), refreshed, "{after}");
    }
}

#[test]
fn a_storm_of_hints_is_at_most_one_refresh_a_second() {
    let (mut topology, start) = topology(ClusterOptions::default());
    let mut refreshes = Vec::new();
    for ms in 0..20_000_u64 {
        let now = start + Duration::from_millis(ms);
        topology.handle_hint(&moved((ms % 16_384) as u16));
        let random = ms.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if topology.poll_refresh(now, random).is_some() {
            refreshes.push(now);
            topology.handle_refreshed(Err(Error::timeout(Outcome::NotSent)), now, random);
        }
    }
    assert!(refreshes.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(1)));
    assert!((16..=20).contains(&refreshes.len()), "{}", refreshes.len());
}

#[test]
fn a_quiet_map_is_refreshed_when_it_is_old() {
    let (topology, now) = topology(ClusterOptions::default());
    assert_eq!(topology.poll_timeout(), Some(now + Duration::from_secs(60)));
    let (mut topology, now) =
        self::topology(ClusterOptions { refresh_interval: None, ..ClusterOptions::default() });
    assert_eq!(topology.poll_timeout(), None);
    topology.handle_wanted();
    assert!(topology.poll_refresh(now + Duration::from_secs(1), 0).is_some());
}

#[test]
fn what_a_script_was_told_by_a_replica_is_about_the_server_though_it_ends_the_call() {
    let (config, cluster) = (config(), ClusterOptions::default());
    let (now, from) = (Instant::now(), address("a:1"));
    let rules = Rules { config: &config, cluster: &cluster, now };
    for (line, hint) in [
        ("READONLY You can't write against a read only replica. script: f_1, on @user_script:1.", true),
        (
            "ERR Error running script: @user_script: 1: -READONLY You can't write against a read only \
             replica.",
            true,
        ),
        ("READONLY of the script's own", false),
        ("MOVED 1 b:1", false),
        ("TRYAGAIN of the script's own", false),
    ] {
        let mut eval = command("EVAL return(1) 1 foo");
        let mut route = Route::new(Some(12_182), Some(now + Duration::from_secs(1)));
        let error = eval.judge(Error::from_server(line.as_bytes()));
        let step = route.handle_failure(error, Some(&from), &mut eval, rules, 0, || true);
        assert!(
            matches!(step.then, AfterFailure::Fail(error) if error.outcome() == Outcome::MaybeExecuted),
            "{line}"
        );
        assert_eq!(step.hint, hint.then_some(TopologyHint::Suspect), "{line}");
    }
}
