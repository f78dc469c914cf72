//! Commands for several nodes, taken apart and put together: `spec/cases/cluster_fanout.json`.

use serde::Deserialize;
use serde_json::Value as Json;

use super::super::combine::{Answered, combine};
use super::super::{Map, Plan};
use super::redirect::{command, map};
use super::{address, reply};
use crate::error::{ErrorKind, Outcome};
use crate::facts;
use crate::reply::{Reader, Value};

#[derive(Deserialize)]
struct Cases {
    map: Json,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    command: String,
    plan: Option<Planned>,
    refused: Option<Vec<String>>,
    replies: Option<Vec<Json>>,
    #[serde(default)]
    reply: Json,
    error: Option<Vec<String>>,
}

#[derive(Deserialize, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Planned {
    Any,
    Slot(u16),
    Primaries,
    Nodes,
    Parts(Vec<(u16, String, Vec<usize>)>),
}

fn told(plan: &Plan) -> Planned {
    match plan {
        Plan::Any => Planned::Any,
        Plan::Slot(slot) => Planned::Slot(*slot),
        Plan::Primaries => Planned::Primaries,
        Plan::Nodes => Planned::Nodes,
        Plan::Parts(parts) => {
            let words = |words: &crate::Args| {
                words
                    .iter()
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            Planned::Parts(
                parts.iter().map(|part| (part.slot, words(&part.args), part.places.clone())).collect(),
            )
        }
    }
}

#[test]
fn the_cases_hold() {
    let cases: Cases =
        serde_json::from_str(include_str!("../../../../../spec/cases/cluster_fanout.json")).unwrap();
    let map = map(&cases.map);
    for case in &cases.cases {
        run(&map, case);
    }
}

fn run(map: &Map, case: &Case) {
    let name = &case.name;
    let cmd = command(&case.command);
    let plan = match (Plan::of(cmd.facts(), cmd.args()), &case.refused) {
        (Err(error), Some(says)) => {
            for words in says {
                assert!(error.to_string().contains(words), "{name}: {error}\nlacks {words:?}");
            }
            return assert_eq!(error.outcome(), Outcome::NotSent, "{name}");
        }
        (plan, _) => plan.unwrap_or_else(|error| panic!("{name}: {error}")),
    };
    assert_eq!(Some(told(&plan)), case.plan, "{name}");
    let Some(replies) = &case.replies else { return };
    let parts = if let Plan::Parts(parts) = &plan { Some(&parts[..]) } else { None };
    for resp3 in [false, true] {
        let nodes = map.shards().iter().cycle().map(|shard| shard.primary.address.clone());
        let answers = replies.iter().zip(nodes).map(|(told, node)| {
            let frame = match reply(told, resp3) {
                Value::Error(error) => Err(error),
                value => Ok(value.to_frame().into()),
            };
            Answered { node: Some(node), frame }
        });
        match (combine(cmd.facts(), parts, answers.collect()), &case.error) {
            (Ok(frame), None) => {
                assert_eq!(Reader::read::<Value>(&frame).unwrap(), reply(&case.reply, resp3), "{name}");
            }
            (Err(error), Some(says)) => {
                for words in says {
                    assert!(error.to_string().contains(words), "{name}: {error}\nlacks {words:?}");
                }
            }
            (result, _) => panic!("{name}: {result:?}"),
        }
    }
}

fn answered(frame: &str) -> Answered {
    Answered { node: Some(address("a:1")), frame: Ok(frame.to_owned().into()) }
}

#[test]
fn maps_and_sets_stay_what_they_are() {
    let joined = |one: &str, other: &str| {
        let frame = combine(&facts::KEYS, None, vec![answered(one), answered(other)]).unwrap();
        String::from_utf8(frame.to_vec()).unwrap()
    };
    assert_eq!(joined("%1\r\n+a\r\n:1\r\n", "%1\r\n+b\r\n:2\r\n"), "%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n");
    assert_eq!(joined("~1\r\n+a\r\n", "~0\r\n"), "~1\r\n+a\r\n");
    // Nodes that speak differently still tell the same elements.
    assert_eq!(joined("~1\r\n+a\r\n", "*1\r\n+b\r\n"), "*2\r\n+a\r\n+b\r\n");
    assert_eq!(joined("*?\r\n+a\r\n.\r\n", "*1\r\n*1\r\n:1\r\n"), "*2\r\n+a\r\n*1\r\n:1\r\n");
    assert_eq!(joined("+a\r\n", "+b\r\n"), "*2\r\n+a\r\n+b\r\n");
}

#[test]
fn numbers_that_are_none_are_an_error() {
    let sum = |one: &str, other: &str| combine(&facts::DBSIZE, None, vec![answered(one), answered(other)]);
    assert_eq!(sum("+what\r\n", ":1\r\n").unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(sum("*1\r\n:1\r\n", "*2\r\n:1\r\n:2\r\n").unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(&sum(":9223372036854775807\r\n", ":1\r\n").unwrap()[..], b":9223372036854775807\r\n");
}

#[test]
fn a_part_that_was_lost_makes_the_whole_uncertain_unless_it_only_reads() {
    let failed = |facts: &'static facts::Facts| {
        let rejected = crate::Error::from_server(b"OOM no");
        let lost = crate::Error::closed_by_peer(Outcome::MaybeExecuted);
        let parts = [rejected, lost].map(|error| Answered { node: Some(address("a:1")), frame: Err(error) });
        combine(facts, None, parts.to_vec()).unwrap_err()
    };
    assert_eq!(failed(&facts::FLUSHALL).outcome(), Outcome::MaybeExecuted);
    assert_eq!(failed(&facts::KEYS).outcome(), Outcome::Rejected);
    assert_eq!(failed(&facts::KEYS).code(), Some("OOM"));
}
