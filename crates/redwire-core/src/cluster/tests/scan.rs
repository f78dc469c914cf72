//! Walks over all keys: `spec/cases/cluster_scan.json`; what a node says of itself; and, in `scan/model.rs`,
//! random histories.

mod model;

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value as Json;

use super::super::node_report::{NodeReport, SlotHold};
use super::super::{AfterFailure, ClusterOptions, ClusterScan, Map, Remap, Rules, ScanStep};
use super::redirect::{config, map};
use super::{address, remap};
use crate::error::{ConnectionFault, Error, ErrorKind, Outcome};

/// The file tells its own grammar.
#[derive(Deserialize)]
struct Cases {
    map: Json,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    partial: bool,
    #[serde(default)]
    remap: std::collections::HashMap<String, String>,
    steps: Vec<Event>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Map(Json),
    Ask(String, Vec<String>, String),
    Stale(String, Vec<String>, String),
    NoCluster(String, String),
    Page(String, String, String),
    Lost(String, Option<String>),
    Uncovered(String),
    Covered(usize),
    Done,
}

#[test]
fn the_cases_hold() {
    let cases: Cases =
        serde_json::from_str(include_str!("../../../../../spec/cases/cluster_scan.json")).unwrap();
    for case in &cases.cases {
        run(&cases.map, case);
    }
}

fn run(first: &Json, case: &Case) {
    let name = &case.name;
    let options = ClusterOptions {
        require_full_coverage: !case.partial,
        remap: remap(&case.remap),
        ..ClusterOptions::default()
    };
    let (config, now) = (config(), Instant::now());
    let rules = Rules { config: &config, cluster: &options, now };
    let deadline = Some(now + Duration::from_secs(5));
    let mut scan = ClusterScan::new(&options);
    let mut map = map(first);
    for (nth, event) in case.steps.iter().enumerate() {
        let at = format!("{name}, step {nth}");
        let says =
            |lines: &[String], run: &str| (lines.join("\n"), Ok(format!("# Server\r\nrun_id:{run}\r\n")));
        let failed = |scan: &mut ClusterScan, error| {
            let step = scan.handle_failure(error, rules, deadline, 0, || true);
            assert!(matches!(step.then, AfterFailure::Retry(_)), "{at}: {step:?}");
        };
        let page = |node: &str, cursor: &str| ScanStep::Page { node: address(node), cursor: cursor.into() };
        match event {
            Event::Map(json) => map = super::redirect::map(json),
            Event::Covered(slots) => assert_eq!(scan.covered(), *slots, "{at}"),
            Event::Done => assert_eq!(scan.poll_step(&map).unwrap(), ScanStep::Done, "{at}"),
            Event::Ask(node, lines, run) => {
                assert_eq!(scan.poll_step(&map).unwrap(), ScanStep::Ask(address(node)), "{at}");
                scan.handle_answer(says(lines, run)).unwrap_or_else(|error| panic!("{at}: {error}"));
            }
            Event::Stale(node, lines, run) => {
                assert_eq!(scan.poll_step(&map).unwrap(), ScanStep::Ask(address(node)), "{at}");
                let error = scan.handle_answer(says(lines, run)).expect_err(&at);
                assert!(error.to_string().contains("none of the slots"), "{at}: {error}");
                failed(&mut scan, error);
            }
            Event::NoCluster(node, text) => {
                assert_eq!(scan.poll_step(&map).unwrap(), ScanStep::Ask(address(node)), "{at}");
                let error = scan.handle_answer((text.clone(), Ok(String::new()))).expect_err(&at);
                assert_eq!(error.kind(), ErrorKind::Decode, "{at}");
            }
            Event::Page(node, cursor, next) => {
                assert_eq!(scan.poll_step(&map).unwrap(), page(node, cursor), "{at}");
                scan.handle_page(next.as_bytes());
            }
            Event::Lost(node, cursor) => {
                let wanted =
                    cursor.as_ref().map_or_else(|| ScanStep::Ask(address(node)), |cursor| page(node, cursor));
                assert_eq!(scan.poll_step(&map).unwrap(), wanted, "{at}");
                failed(&mut scan, broken());
            }
            Event::Uncovered(words) => {
                let error = scan.poll_step(&map).expect_err(&at);
                assert!(error.to_string().contains(words), "{at}: {error}");
                failed(&mut scan, error);
            }
        }
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Connection(ConnectionFault::Refused), Outcome::NotSent, "no server is there")
}

#[test]
fn a_node_that_cannot_be_reached_is_an_error_at_the_deadline_and_the_scan_may_go_on() {
    let (config, options, start) = (config(), ClusterOptions::default(), Instant::now());
    let deadline = start + Duration::from_secs(5);
    let map = map(&serde_json::json!([[0, 16383, ["a", 1, "a1"]]]));
    let mut scan = ClusterScan::new(&options);
    let mut now = start;
    let error = loop {
        assert_eq!(scan.poll_step(&map).unwrap(), ScanStep::Ask(address("a:1")));
        let rules = Rules { config: &config, cluster: &options, now };
        match scan.handle_failure(broken(), rules, Some(deadline), 0, || false).then {
            AfterFailure::Retry(after) => now += after,
            then => break then,
        }
    };
    assert!(matches!(error, AfterFailure::Fail(_)), "{error:?}");
    assert!(now <= deadline && now + Duration::from_millis(100) >= deadline, "{:?}", now - start);
    let says = || ("a1 a:1@2 myself,master - 0 0 1 connected 0-16383".to_owned(), Ok("run_id:x".to_owned()));
    for _ in 0..2 {
        assert_eq!(scan.poll_step(&map).unwrap(), ScanStep::Ask(address("a:1")));
        scan.handle_answer(says()).unwrap();
        if scan.covered() == 0 {
            assert!(matches!(scan.poll_step(&map).unwrap(), ScanStep::Page { .. }));
            scan.handle_page(b"0");
        }
    }
    assert_eq!(scan.poll_step(&map).unwrap(), ScanStep::Done);
}

#[test]
fn what_came_too_late_changes_nothing() {
    let map = map(&serde_json::json!([[0, 16383, ["a", 1, "a1"]]]));
    let mut scan = ClusterScan::new(&ClusterOptions::default());
    scan.handle_page(b"0");
    scan.handle_answer((String::new(), Ok(String::new()))).unwrap();
    assert_eq!(scan.poll_step(&map).unwrap(), ScanStep::Ask(address("a:1")));
    scan.handle_page(b"0");
    assert_eq!(scan.poll_step(&map).unwrap(), ScanStep::Ask(address("a:1")));
}

/// As Redis 7.0 said it, and what else stands there by the specification.
#[test]
fn the_own_line_is_read() {
    let lines = [
        "bb ::1:7001@17001,b.test slave aa 0 1 3 connected",
        "aa 127.0.0.1:7000@17000,a.test,shard-id=x myself,master - 0 0 3 connected 0-5 7 [7->-bb] [9-<-cc] \
         16383 16384 x 9-8 [8] [-]",
        "cc :7002@17002,c.test master - 0 1 2 connected 10-12 [10->-aa]",
        "dd :0@0 master,noaddr - 0 1 2 disconnected",
        "ee 10.0.0.5:7005 master - 0 1 2 connected",
        "?",
    ];
    let read = |asked: &str| {
        let info = "# Server\r\nredis_version:7.0.15\r\nrun_id:1234\r\n";
        NodeReport::read(&lines.join("\n"), info, &address(asked), &Remap::default()).unwrap()
    };
    let report = read("127.0.0.1:7000");
    assert_eq!((report.id.as_str(), report.epoch, report.run.as_str()), ("aa", 3, "1234"));
    let owned: Vec<u16> = (0..u16::MAX).filter(|slot| report.hold(*slot) == SlotHold::Owns).collect();
    assert_eq!(owned, [0, 1, 2, 3, 4, 5, 7, 16_383]);
    assert_eq!((report.hold(9), report.hold(10)), (SlotHold::From("cc"), SlotHold::Nothing));
    assert_eq!((report.leaving(7), report.leaving(10)), (Some("bb"), None));
    let known = |report: &NodeReport| {
        ["bb", "cc", "dd", "ee"].map(|id| report.address(id).map(ToString::to_string).unwrap_or_default())
    };
    assert_eq!(known(&report), ["[::1]:7001", "c.test:7002", "", "10.0.0.5:7005"]);
    // A cluster that is reached by names.
    assert_eq!(known(&read("a.test:7000"))[..2], ["b.test:7001", "c.test:7002"]);
}

#[test]
fn without_a_map_nothing_is_done() {
    let options = ClusterOptions { require_full_coverage: false, ..ClusterOptions::default() };
    let error = ClusterScan::new(&options).poll_step(&Map::default()).unwrap_err();
    assert!(error.to_string().contains("no node of the cluster is known"), "{error}");
}
