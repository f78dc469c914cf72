//! Discovery, by cases that any implementation could run (`spec/cases/sentinel.json`), and what is learnt
//! from one to the next.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::error::ConnectionFault;

/// The file tells its own grammar.
#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    sentinels: Vec<String>,
    #[serde(default)]
    min_other_sentinels: u32,
    #[serde(default)]
    known_epoch: u64,
    steps: Vec<Step>,
    result: Outcomes,
}

/// What happens, and whom the discovery asks then.
#[derive(Deserialize)]
struct Step {
    at_ms: u64,
    from: Option<String>,
    answer: Option<SentinelReply>,
    asks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum SentinelReply {
    Master(BTreeMap<String, String>),
    All {
        master: BTreeMap<String, String>,
        sentinels: Vec<BTreeMap<String, String>>,
        replicas: Vec<BTreeMap<String, String>>,
    },
    Null,
    Error(String),
    Unreachable(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcomes {
    Found {
        master: String,
        witness: String,
        #[serde(default)]
        replicas: Vec<String>,
        #[serde(default)]
        sentinels: Vec<String>,
    },
    Error {
        fault: String,
        says: Vec<String>,
    },
}

fn address(text: &str) -> HostPort {
    let (host, port) = text.rsplit_once(':').expect("host:port");
    HostPort::new(host, port.parse().expect("a port"))
}

fn instances(list: Vec<BTreeMap<String, String>>) -> Vec<Instance> {
    list.into_iter().map(|fields| fields.into_iter().collect()).collect()
}

impl SentinelReply {
    fn into_answer(self) -> Result<SentinelAnswer> {
        match self {
            Self::Master(fields) => {
                Ok(SentinelAnswer { master: Some(fields.into_iter().collect()), ..SentinelAnswer::default() })
            }
            Self::All { master, sentinels, replicas } => Ok(SentinelAnswer {
                master: Some(master.into_iter().collect()),
                sentinels: instances(sentinels),
                replicas: instances(replicas),
            }),
            Self::Null => Ok(SentinelAnswer::default()),
            Self::Error(line) => Err(Error::from_server(line.as_bytes())),
            Self::Unreachable(why) => {
                Err(Error::new(ErrorKind::Connection(ConnectionFault::Refused), Outcome::NotSent, why))
            }
        }
    }
}

#[test]
fn the_cases_hold() {
    let cases: Cases = serde_json::from_str(include_str!("../../../../spec/cases/sentinel.json")).unwrap();
    for case in cases.cases {
        run(case);
    }
}

fn run(case: Case) {
    let name = case.name;
    let seeds = case.sentinels.iter().map(|text| address(text)).collect();
    let sentinels = Sentinels { epoch: case.known_epoch, ..Sentinels::new(seeds) };
    let mut discovery = Discovery::new("mymaster", &sentinels, case.min_other_sentinels, Remap::default());
    let start = Instant::now();
    let steps = case.steps.len();
    for (n, step) in case.steps.into_iter().enumerate() {
        let now = start + Duration::from_millis(step.at_ms);
        if let (Some(from), Some(told)) = (step.from, step.answer) {
            discovery.handle_answer(&address(&from), told.into_answer(), now);
        }
        let mut asks = Vec::new();
        while let Some(sentinel) = discovery.poll_ask(now) {
            asks.push(sentinel.to_string());
        }
        assert_eq!(asks, step.asks, "{name}, step {n}");
        if n + 1 < steps {
            assert!(discovery.poll_found().is_none(), "{name}, step {n}: too early");
            assert!(discovery.poll_timeout().is_none_or(|next| next > now), "{name}, step {n}");
        }
    }
    let result = discovery.poll_found().unwrap_or_else(|| panic!("{name}: nothing is certain"));
    match (result, case.result) {
        (Ok(found), Outcomes::Found { master, witness, replicas, sentinels }) => {
            let all = |list: &[HostPort]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!((found.master.to_string(), found.witness.to_string()), (master, witness), "{name}");
            assert_eq!((all(&found.replicas), all(&found.sentinels)), (replicas, sentinels), "{name}");
        }
        (Err(error), Outcomes::Error { fault, says }) => {
            assert_eq!(format!("{:?}", error.kind()), format!("Sentinel({fault})"), "{name}: {error}");
            assert_eq!(error.outcome(), Outcome::NotSent, "{name}");
            for words in says {
                assert!(error.to_string().contains(&words), "{name}: {error}\nlacks {words:?}");
            }
        }
        (Ok(found), Outcomes::Error { .. }) => panic!("{name}: found {found:?}"),
        (Err(error), Outcomes::Found { .. }) => panic!("{name}: {error}"),
    }
}

fn found(witness: &str, sentinels: &[&str], epoch: u64) -> FoundServers {
    FoundServers {
        master: address("m:1"),
        replicas: Vec::new(),
        unlinked: Vec::new(),
        witness: address(witness),
        sentinels: sentinels.iter().map(|text| address(text)).collect(),
        epoch,
        known_epoch: epoch,
    }
}

fn order(sentinels: &Sentinels) -> Vec<String> {
    sentinels.addresses().iter().map(ToString::to_string).collect()
}

#[test]
fn the_witness_is_asked_first_and_those_it_told_of_are_kept() {
    let mut sentinels = Sentinels::new(vec![address("a:1"), address("b:1")]);
    sentinels.handle_found(&found("b:1", &["c:1", "d:1"], 1));
    assert_eq!(order(&sentinels), ["b:1", "a:1", "c:1", "d:1"]);
    // One that no sentinel tells of any more is forgotten, unless the configuration names it.
    sentinels.handle_found(&found("c:1", &["a:1", "b:1"], 1));
    assert_eq!(order(&sentinels), ["c:1", "b:1", "a:1"]);
    sentinels.handle_distrusted(&address("c:1"));
    assert_eq!(order(&sentinels), ["b:1", "a:1", "c:1"]);
}

/// However late it answers; where it does not answer, the others count.
#[test]
fn the_sentinel_that_a_discovery_begins_with_is_heard_in_any_case() {
    let answer = |master: &str, epoch: u64| {
        let fields =
            [("ip", master), ("port", "1"), ("flags", "master"), ("config-epoch", &epoch.to_string())]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let master = instances(vec![BTreeMap::from(fields)]).pop();
        Ok(SentinelAnswer { master, ..SentinelAnswer::default() })
    };
    let sentinels = Sentinels::new(vec![address("a:1"), address("b:1"), address("c:1")]);
    let refused = || Err(Error::usage("refused"));
    for (late, expected) in [(answer("n", 2), "n:1"), (answer("m", 1), "m:1"), (refused(), "m:1")] {
        let now = Instant::now();
        let discovery = Discovery::new("s", &sentinels, 0, Remap::default());
        let mut discovery = discovery.beginning_with(&address("b:1"));
        assert_eq!(discovery.poll_ask(now), Some(address("b:1")));
        let now = now + Discovery::DELAY;
        assert_eq!(discovery.poll_ask(now), Some(address("a:1")));
        discovery.handle_answer(&address("a:1"), answer("m", 1), now);
        assert!(discovery.poll_found().is_none() && discovery.poll_ask(now + Discovery::DELAY).is_none());
        discovery.handle_answer(&address("b:1"), late, now);
        assert_eq!(discovery.poll_found().unwrap().unwrap().master, address(expected));
    }
}

/// Two discoveries at a time: the one that was asked before the failover ends last.
#[test]
fn an_answer_from_before_does_not_undo_what_was_learnt_meanwhile() {
    let mut sentinels = Sentinels::new(vec![address("a:1"), address("b:1")]);
    sentinels.handle_found(&found("a:1", &[], 1));
    let newer = FoundServers { master: address("n:1"), epoch: 2, known_epoch: 1, ..found("b:1", &[], 2) };
    assert_eq!(sentinels.newest_master(&newer), address("n:1"));
    sentinels.handle_found(&newer);
    assert_eq!(sentinels.newest_master(&found("a:1", &[], 1)), address("n:1"));
    // One that knew of it has asked all, and found the sentinels set up anew.
    let anew = FoundServers { known_epoch: 2, ..found("a:1", &[], 1) };
    assert_eq!(sentinels.newest_master(&anew), address("m:1"));
}

#[test]
fn the_named_ones_and_the_last_witness_are_listened_to() {
    let listened = |sentinels: &Sentinels| sentinels.listened().map(ToString::to_string).collect::<Vec<_>>();
    let mut sentinels = Sentinels::new(vec![address("a:1"), address("b:1")]);
    assert_eq!(listened(&sentinels), ["a:1", "b:1"]);
    sentinels.handle_found(&found("b:1", &["a:1", "c:1", "d:1"], 1));
    assert_eq!(listened(&sentinels), ["a:1", "b:1"]);
    sentinels.handle_found(&found("c:1", &["a:1", "b:1", "d:1"], 1));
    assert_eq!(listened(&sentinels), ["a:1", "b:1", "c:1"]);
    sentinels.handle_distrusted(&address("c:1"));
    assert_eq!(listened(&sentinels), ["a:1", "b:1"]);
}

#[test]
fn a_discovery_begins_with_the_one_that_is_named() {
    let mut sentinels = Sentinels::new(vec![address("a:1"), address("b:1")]);
    sentinels.handle_found(&found("a:1", &["c:1"], 1));
    for (first, next) in [("a:1", "b:1"), ("b:1", "a:1"), ("x:1", "a:1")] {
        let now = Instant::now();
        let discovery = Discovery::new("s", &sentinels, 0, Remap::default());
        let mut discovery = discovery.beginning_with(&address(first));
        assert_eq!(discovery.poll_ask(now), Some(address(first)));
        assert_eq!(discovery.poll_ask(now + Discovery::DELAY), Some(address(next)));
    }
}

#[test]
fn news_of_another_master_outdate_what_was_known() {
    let mut sentinels = Sentinels::new(vec![address("a:1"), address("b:1")]);
    let old = found("a:1", &[], 7);
    sentinels.handle_found(&old);
    for _ in 0..3 {
        // Each sentinel tells of it.
        sentinels.handle_switched(&address("n:1"));
        assert_eq!(sentinels.epoch, 8);
    }
    assert_eq!(sentinels.newest_master(&old), address("n:1"));
    // Who leads the failover has the new number first, and the new master last.
    let leader = found("c:1", &[], 8);
    sentinels.handle_found(&leader);
    assert_eq!(sentinels.newest_master(&leader), address("n:1"));
    let new = FoundServers { master: address("n:1"), ..found("b:1", &[], 8) };
    assert_eq!(sentinels.newest_master(&new), address("n:1"));
    sentinels.handle_found(&new);
    sentinels.handle_switched(&address("n:1"));
    assert_eq!(sentinels.epoch, 8, "nothing new");
    // One that cannot be connected to is forgotten: then no other knows better than the sentinel that was
    // asked.
    sentinels.handle_failed();
    assert_eq!(sentinels.newest_master(&old), address("m:1"));
}

#[test]
fn an_older_configuration_is_believed_only_if_no_sentinel_has_another() {
    let mut sentinels = Sentinels::new(vec![address("a:1"), address("b:1")]);
    sentinels.handle_found(&found("a:1", &[], 7));
    let now = Instant::now();
    let told = |epoch: &str| {
        let fields = [("ip", "m"), ("port", "1"), ("flags", "master"), ("config-epoch", epoch)];
        let master = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(SentinelAnswer { master: Some(master), ..SentinelAnswer::default() })
    };
    for (second, believed) in [("7", 7), ("9", 9), ("5", 6)] {
        let mut discovery = Discovery::new("s", &sentinels, 0, Remap::default());
        assert!(discovery.poll_ask(now).is_some());
        discovery.handle_answer(&address("a:1"), told("6"), now);
        assert!(discovery.poll_found().is_none());
        assert_eq!(discovery.poll_ask(now), Some(address("b:1")));
        discovery.handle_answer(&address("b:1"), told(second), now);
        assert_eq!(discovery.poll_found().unwrap().unwrap().epoch, believed);
    }
}
