//! Whom a refresh asks and believes: `spec/cases/cluster_refresh.json`.

use serde::Deserialize;
use serde_json::Value as Json;

use super::*;
use crate::cluster::tests::map::ranges;
use crate::cluster::tests::{address, reply};
use crate::error::ConnectionFault;

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    seeds: Vec<String>,
    known: Option<Json>,
    #[serde(default)]
    known_epoch: u64,
    #[serde(default)]
    shards: bool,
    #[serde(default)]
    partial: bool,
    steps: Vec<RouteStep>,
    result: Outcomes,
}

/// What happens, and whom the refresh asks then.
#[derive(Deserialize)]
struct RouteStep {
    at_ms: u64,
    from: Option<String>,
    answer: Option<Told>,
    asks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Told {
    Slots(Json),
    Info { slots: Json, epoch: u64, state: String, assigned: Option<u16> },
    Shards(Json),
    Error(String),
    Unreachable(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcomes {
    Found { witness: String, primary_of_0: String },
    Error { fault: String, says: Vec<String> },
}

impl Told {
    fn into_answer(self) -> Result<NodeAnswer> {
        match self {
            Self::Slots(map) | Self::Shards(map) => Ok((reply(&map, true), Ok(String::new())).into()),
            Self::Info { slots, epoch, state, assigned } => {
                let assigned = assigned.map(|slots| format!("cluster_slots_assigned:{slots}\r\n"));
                let assigned = assigned.unwrap_or_default();
                let info = format!("cluster_state:{state}\r\n{assigned}cluster_current_epoch:{epoch}\r\n");
                Ok(NodeAnswer { map: reply(&slots, false), info })
            }
            Self::Error(line) => Err(Error::from_server(line.as_bytes())),
            Self::Unreachable(why) => {
                Err(Error::new(ErrorKind::Connection(ConnectionFault::Refused), Outcome::NotSent, why))
            }
        }
    }
}

fn ask(text: &str) -> Ask {
    let (node, source) = match text.strip_prefix("shards ") {
        Some(node) => (node, Source::Shards),
        None => (text, Source::Slots),
    };
    Ask { node: address(node), source }
}

#[test]
fn the_cases_hold() {
    let cases: Cases =
        serde_json::from_str(include_str!("../../../../../spec/cases/cluster_refresh.json")).unwrap();
    for case in cases.cases {
        run(case);
    }
}

fn run(case: Case) {
    let name = case.name;
    let seeds: Vec<_> = case.seeds.iter().map(|text| address(text)).collect();
    let source = if case.shards { Source::Shards } else { Source::Slots };
    let options =
        ClusterOptions { source, require_full_coverage: !case.partial, ..ClusterOptions::default() };
    let hearing = SlotsReply { asked: &address("known:1"), tls: false, remap: &options.remap };
    let known = case.known.map(|known| hearing.read(Source::Slots, &reply(&known, true)).unwrap());
    let known = known.unwrap_or_default().with_epoch(case.known_epoch);
    let nodes: Vec<_> = known.nodes().map(|node| node.address.clone()).collect();
    let mut refresh = Refresh::of(&known, &nodes, &seeds, &options, false);
    let start = Instant::now();
    let (steps, mut now) = (case.steps.len(), start);
    for (n, step) in case.steps.into_iter().enumerate() {
        now = start + Duration::from_millis(step.at_ms);
        if let (Some(from), Some(told)) = (step.from, step.answer) {
            refresh.handle_answer(&ask(&from), told.into_answer(), now);
        }
        let mut asks = Vec::new();
        while let Some(next) = refresh.poll_ask(now) {
            asks.push(next);
        }
        let wanted: Vec<_> = step.asks.iter().map(|text| ask(text)).collect();
        assert_eq!(asks, wanted, "{name}, step {n}");
        if n + 1 < steps {
            assert!(refresh.poll_found(now).is_none(), "{name}, step {n}: too early");
            assert!(refresh.poll_timeout().is_none_or(|next| next > now), "{name}, step {n}");
        }
    }
    let result = refresh.poll_found(now).unwrap_or_else(|| panic!("{name}: nothing is certain"));
    match (result, case.result) {
        (Ok(found), Outcomes::Found { witness, primary_of_0 }) => {
            let primary = found.map.primary(0).map(ToString::to_string);
            assert_eq!((found.told_by.to_string(), primary), (witness, Some(primary_of_0)), "{name}");
        }
        (Err(error), Outcomes::Error { fault, says }) => {
            assert_eq!(format!("{:?}", error.kind()), format!("Cluster({fault})"), "{name}: {error}");
            assert_eq!(error.outcome(), Outcome::NotSent, "{name}");
            for words in says {
                assert!(error.to_string().contains(&words), "{name}: {error}\nlacks {words:?}");
            }
        }
        (Ok(found), Outcomes::Error { .. }) => panic!("{name}: found {:?}", ranges(&found.map)),
        (Err(error), Outcomes::Found { .. }) => panic!("{name}: {error}"),
    }
}

#[test]
fn every_order_comes_up_and_no_node_is_lost() {
    let all: Vec<_> = ["a:1", "b:1", "c:1"].map(address).to_vec();
    let orders: std::collections::BTreeSet<_> = (0..200_u64)
        .map(|n| {
            let order = shuffled(all.clone(), n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            order.iter().map(ToString::to_string).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(orders.len(), 6);
    assert!(orders.iter().all(|order| order.iter().collect::<std::collections::BTreeSet<_>>().len() == 3));
}

#[test]
fn seeds_are_asked_though_all_that_is_known_is_silent() {
    let mut known = Map::default();
    for n in 0..20_u16 {
        known = known.moved(n, &address(&format!("n{n}:1"))).unwrap();
    }
    let seeds = [address("seed:1")];
    for random in 0..50 {
        let mut refresh = Refresh::new(&known, &seeds, &ClusterOptions::default(), false, |_| false, random);
        let now = Instant::now();
        assert!(refresh.poll_ask(now).is_some());
        assert_eq!(refresh.poll_ask(now + Refresh::DELAY).map(|ask| ask.node), Some(address("seed:1")));
    }
}

#[test]
fn the_seeds_alone_are_asked_where_that_is_wanted() {
    let known = Map::default().moved(0, &address("other:1")).unwrap();
    let options = ClusterOptions { dynamic_startup_nodes: false, ..ClusterOptions::default() };
    for random in 0..50 {
        let mut refresh = Refresh::new(&known, &[address("seed:1")], &options, false, |_| false, random);
        let now = Instant::now();
        assert_eq!(refresh.poll_ask(now).map(|ask| ask.node), Some(address("seed:1")));
        assert!(refresh.poll_ask(now + 10 * Refresh::DELAY).is_none());
    }
}
