//! `redwire soak` as an operator uses it: it runs, things break, and it tells what it saw.

mod cluster;
mod tamper;

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redwire_testkit::{Proxy, SentinelSet, Server, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use tamper::{Tamper, Trick};

const LIMIT: Duration = Duration::from_secs(20);

/// A drill that runs.
struct Drill(Child);

/// How it ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Drill {
    fn start(url: &str, blocking: bool, args: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redwire"));
        command.args(blocking.then_some("--blocking")).args(["--url", url, "soak"]);
        let child =
            command.args(args.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self(child.expect("the binary runs"))
    }

    fn end(self) -> Ended {
        let output = self.0.wait_with_output().expect("the binary can be waited for");
        let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Ended {
    /// The one object on standard output, after an exit with `code`.
    #[track_caller]
    fn json(&self, code: i32) -> Json {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

#[track_caller]
fn number(json: &Json, pointer: &str) -> u64 {
    json.pointer(pointer).and_then(Json::as_u64).unwrap_or_else(|| panic!("no number {pointer} in {json}"))
}

#[track_caller]
fn assert_no_violation(json: &Json) {
    let violations = json["violations"].as_object().expect("an object of violations");
    let names: Vec<_> = violations.keys().map(String::as_str).collect();
    assert_eq!(names, ["duplicated", "mismatched", "overrun", "unannounced_loss"]);
    assert!(violations.values().all(|count| count == 0), "{json}");
}

/// Waits until the drill has written more than it prepares: 24 keys.
fn under_way(server: &Server) {
    eventually("the drill writes", LIMIT, || {
        server.command(&["DBSIZE"]).is_ok_and(|size| size.parse::<u64>().is_ok_and(|size| size > 40))
    });
}

#[test]
fn a_healthy_server_passes() {
    for blocking in [false, true] {
        let server = Server::start();
        let json =
            Drill::start(&server.url(), blocking, "--json --seconds 1 --tasks 4 --seed 7").end().json(0);
        assert_no_violation(&json);
        assert_eq!(json["errors"], serde_json::json!({}));
        assert!(json["seconds"].as_f64().is_some_and(|seconds| seconds >= 1.0), "{json}");
        assert!(number(&json, "/calls") > 50, "{json}");
        assert_eq!(number(&json, "/calls"), number(&json, "/acknowledged"));
        assert_eq!((number(&json, "/maybe_executed"), number(&json, "/lost_by_server")), (0, 0));
        assert!(json["gaps"].is_array() && number(&json, "/longest_gap_ms") < 1000, "{json}");
        assert!(number(&json, "/connects") >= 1, "{json}");
        let at = |name: &str| number(&json, &format!("/latency_us/{name}"));
        assert!(at("p50") <= at("p99") && at("p99") <= at("p999") && at("p999") <= at("max"), "{json}");
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(11), "{json}");
        assert_eq!(server.command(&["DBSIZE"]).as_deref(), Ok("0"), "it leaves nothing behind");
    }
}

#[test]
fn people_read_the_same_facts() {
    let server = Server::start();
    let ended = Drill::start(&server.url(), false, "--seconds 0.5 --tasks 2").end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for words in ["acknowledged", "connections were made", "p999", "service", "lost", "no violation"] {
        assert!(ended.out.contains(words), "no {words:?} in {}", ended.out);
    }
    assert_eq!(ended.err, "", "no terminal, no bar");
}

#[test]
fn a_restart_that_keeps_the_data_loses_nothing() {
    for blocking in [false, true] {
        let server = Server::builder().arg("appendonly", "yes").start();
        // Shorter than the outage: whatever is under way, some calls fail.
        let drill = Drill::start(&server.url(), blocking, "--json --seconds 2.5 --deadline 0.3");
        under_way(&server);
        server.kill();
        thread::sleep(Duration::from_millis(500));
        server.restart();
        let json = drill.end().json(0);
        assert_no_violation(&json);
        assert_eq!(number(&json, "/lost_by_server"), 0, "{json}");
        assert!(number(&json, "/calls") > number(&json, "/acknowledged"), "{json}");
        assert!(number(&json, "/longest_gap_ms") >= 400, "{json}");
        let from = number(&json, "/gaps/0/from_ms");
        assert!(number(&json, "/gaps/0/to_ms") > from, "{json}");
    }
}

#[test]
fn a_restart_that_forgets_everything_is_told_and_is_no_violation() {
    for blocking in [false, true] {
        let server = Server::start();
        let drill = Drill::start(&server.url(), blocking, "--json --seconds 2.5");
        under_way(&server);
        server.restart();
        let json = drill.end().json(0);
        assert_no_violation(&json);
        assert!(number(&json, "/lost_by_server") > 0, "{json}");
    }
}

#[test]
fn a_freeze_ends_calls_by_their_deadline() {
    for blocking in [false, true] {
        let server = Server::start();
        let drill = Drill::start(&server.url(), blocking, "--json --seconds 4 --deadline 0.5");
        under_way(&server);
        server.freeze();
        thread::sleep(Duration::from_secs(2));
        server.thaw();
        let json = drill.end().json(0);
        assert_no_violation(&json);
        assert!(number(&json, "/longest_gap_ms") >= 1900, "{json}");
        assert!(number(&json, "/maybe_executed") > 0, "{json}");
        assert_eq!(number(&json, "/lost_by_server"), 0, "{json}");
    }
}

#[test]
fn resets_all_the_time_break_no_promise() {
    for blocking in [false, true] {
        let server = Server::start();
        let proxy = Proxy::start(server.addr());
        let drill = Drill::start(&proxy.url(), blocking, "--json --seconds 3");
        under_way(&server);
        let end = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < end {
            thread::sleep(Duration::from_millis(200));
            proxy.reset_all();
        }
        let json = drill.end().json(0);
        assert_no_violation(&json);
        assert!(number(&json, "/connects") > 5, "{json}");
        assert_eq!(number(&json, "/lost_by_server"), 0, "{json}");
    }
}

#[test]
fn a_request_that_is_duplicated_on_its_way_is_found() {
    for blocking in [false, true] {
        let server = Server::start();
        let tamper = Tamper::start(server.addr(), Trick::Duplicate);
        let json = Drill::start(&tamper.url(), blocking, "--json --seconds 1").end().json(1);
        assert!(number(&json, "/violations/duplicated") > 0, "{json}");
    }
}

#[test]
fn replies_that_are_swapped_are_found() {
    for blocking in [false, true] {
        let server = Server::start();
        let tamper = Tamper::start(server.addr(), Trick::Swap);
        let ended = Drill::start(&tamper.url(), blocking, "--json --seconds 1.5").end();
        let json = ended.json(1);
        assert!(number(&json, "/violations/mismatched") > 0, "{json}");
    }
}

#[test]
fn a_message_that_is_swallowed_is_found() {
    for blocking in [false, true] {
        for protocol in [2, 3] {
            let server = Server::start();
            let tamper = Tamper::start(server.addr(), Trick::Swallow);
            let url = format!("{}?protocol={protocol}", tamper.url());
            let json = Drill::start(&url, blocking, "--json --seconds 1").end().json(1);
            let expected = serde_json::json!({
                "mismatched": 0, "duplicated": 0, "overrun": 0, "unannounced_loss": 1,
            });
            assert_eq!(json["violations"], expected, "{json}");
        }
    }
}

/// All of it goes on with the new master, and a subscription tells what it may have missed.
#[test]
fn a_failover_breaks_no_promise() {
    for blocking in [false, true] {
        let set = SentinelSet::builder().quick().start();
        let drill = Drill::start(&set.url(), blocking, "--json --seconds 8");
        let master = &set.nodes()[set.master_index()];
        under_way(master);
        set.failover();
        let json = drill.end().json(0);
        assert_no_violation(&json);
        assert!(number(&json, "/acknowledged") > 500, "{json}");
        assert!(number(&json, "/connects") > 2, "{json}");
        let left = set.nodes()[set.master_index()].command(&["DBSIZE"]);
        assert_eq!(left.as_deref(), Ok("0"), "it leaves nothing behind, at the new master");
    }
}

/// Runs a drill against a set while `happens` does something to it, and gives what the drill saw.
fn drill_with(blocking: bool, seconds: u32, happens: impl FnOnce(&SentinelSet)) -> Json {
    let set = SentinelSet::builder().quick().start();
    // Calls fail within the outage: whatever is under way, none waits until it is over.
    let drill = Drill::start(&set.url(), blocking, &format!("--json --deadline 0.5 --seconds {seconds}"));
    under_way(&set.nodes()[set.master_index()]);
    happens(&set);
    let json = drill.end().json(0);
    assert_no_violation(&json);
    json
}

/// Waits until the sentinels have another master, and clients write to it.
fn replaced(set: &SentinelSet, old: usize) {
    eventually("there is another master", LIMIT, || set.master_index() != old);
    let master = &set.nodes()[set.master_index()];
    let written = || master.stat("total_commands_processed");
    let before = written();
    eventually("the drill goes on there", LIMIT, || written() > before + 500);
}

#[test]
fn a_master_that_is_killed_breaks_no_promise() {
    for blocking in [false, true] {
        let json = drill_with(blocking, 9, |set| {
            let old = set.master_index();
            set.nodes()[old].kill();
            replaced(set, old);
            set.nodes()[old].restart();
        });
        assert!(number(&json, "/longest_gap_ms") >= 900, "down for a second is dead: {json}");
    }
}

/// Frozen until it is replaced, it goes on as a master for a while, with the connections it had.
#[test]
fn a_master_that_comes_back_breaks_no_promise() {
    for blocking in [false, true] {
        let json = drill_with(blocking, 10, |set| {
            let old = set.master_index();
            set.nodes()[old].freeze();
            replaced(set, old);
            set.nodes()[old].thaw();
        });
        assert!(number(&json, "/longest_gap_ms") >= 900, "silent for a second is dead: {json}");
        assert!(number(&json, "/maybe_executed") > 0, "what was under way is in doubt: {json}");
    }
}

/// A client that is connected needs no sentinel.
#[test]
fn sentinels_that_die_one_by_one_break_no_promise() {
    for blocking in [false, true] {
        let json = drill_with(blocking, 4, |set| {
            for sentinel in set.sentinels() {
                sentinel.kill();
                thread::sleep(Duration::from_millis(300));
            }
        });
        assert_eq!(number(&json, "/calls"), number(&json, "/acknowledged"), "{json}");
        assert_eq!(number(&json, "/lost_by_server"), 0, "{json}");
    }
}

#[test]
fn an_interrupted_drill_tells_what_it_saw() {
    for blocking in [false, true] {
        let server = Server::start();
        let drill = Drill::start(&server.url(), blocking, "--json --seconds 600");
        under_way(&server);
        let pid = i32::try_from(drill.0.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
        kill_process(pid, Signal::INT).expect("it runs");
        let ended = drill.end();
        let json = ended.json(0);
        assert_no_violation(&json);
        assert!(number(&json, "/acknowledged") > 0, "{json}");
        assert!(ended.err.contains("interrupted"), "{}", ended.err);
    }
}

#[test]
fn a_drill_that_cannot_begin_says_why() {
    let server = Server::builder().password("secret-word").start();
    let url = format!("redis://:wrong-word@{}", server.addr());
    let ended = Drill::start(&url, false, "--json --seconds 1").end();
    let message =
        ended.json(2).pointer("/error/message").and_then(Json::as_str).unwrap_or_default().to_owned();
    assert!(message.contains("WRONGPASS") && message.contains("doctor"), "{message}");
    assert!(!format!("{}{}", ended.out, ended.err).contains("-word"), "no password is shown");
}

#[test]
fn bad_options_are_told() {
    for (args, told) in [
        ("--tasks 0", "--tasks"),
        ("--seconds -1", "-1"),
        ("--seconds x", "expected seconds"),
        ("--deadline 0", "more than 0"),
    ] {
        let ended = Drill::start("redis://127.0.0.1:1", false, args).end();
        assert_eq!(ended.code, Some(2), "{args}");
        assert!(ended.err.contains(told), "{args}: {}", ended.err);
    }
}
