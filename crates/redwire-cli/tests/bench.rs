//! `redwire bench` as its users run it: every workload, every figure, and what stays behind.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use redwire_testkit::{Server, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

const LIMIT: Duration = Duration::from_secs(20);

fn command(url: &str, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redwire"));
    command.args(["--url", url, "bench"]).args(args.split_whitespace());
    command
}

fn run(url: &str, args: &str) -> Output {
    command(url, args).output().expect("the binary runs")
}

#[track_caller]
fn json(output: &Output, code: i32) -> Json {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

#[track_caller]
fn number(json: &Json, pointer: &str) -> f64 {
    json.pointer(pointer).and_then(Json::as_f64).unwrap_or_else(|| panic!("no number {pointer} in {json}"))
}

#[test]
fn every_workload_runs_on_both_drivers_and_leaves_nothing_behind() {
    let server = Server::start();
    for workload in ["get", "set", "incr", "mixed", "pipeline", "mget", "lrange", "large"] {
        for blocking in ["", "--blocking"] {
            let args =
                format!("--json {blocking} --workload {workload} --requests 40 --tasks 4 --connections 2");
            let json = json(&run(&server.url(), &args), 0);
            assert_eq!(json["workload"], workload);
            assert_eq!(json["driver"], if blocking.is_empty() { "tokio" } else { "blocking" });
            assert_eq!(number(&json, "/calls"), 40.0, "{json}");
            let pipeline = if workload == "pipeline" { 50.0 } else { 1.0 };
            assert_eq!(number(&json, "/commands"), 40.0 * pipeline, "{json}");
            assert_eq!(json["errors"], serde_json::json!({}));
            assert!(number(&json, "/cpu_us_per_command") > 0.0 && number(&json, "/calls_per_second") > 0.0);
            let moved = number(&json, "/value_bytes_read") + number(&json, "/value_bytes_written");
            assert_eq!(moved > 0.0, workload != "incr", "{json}");
            assert_eq!(server.command(&["DBSIZE"]).as_deref(), Ok("0"), "{workload}");
        }
    }
}

#[test]
fn figures_hold_together() {
    let server = Server::start();
    let args = "--json --requests 500 --tasks 5 --pipeline 3 --value-bytes 10 --keys 7";
    let json = json(&run(&server.url(), args), 0);
    assert_eq!(number(&json, "/value_bytes_read"), 500.0 * 3.0 * 10.0, "{json}");
    let at = |name: &str| number(&json, &format!("/latency_us/{name}"));
    let rising = ["min", "p50", "p90", "p99", "p999", "p9999", "max"].map(at);
    assert!(rising.is_sorted() && rising[0] > 0.0 && at("mean") > rising[0], "{json}");
    let steps = json["histogram"].as_array().expect("a list of steps");
    assert_eq!(steps.iter().map(|step| number(step, "/calls")).sum::<f64>(), 500.0, "{json}");
    for field in
        ["address", "tasks", "connections", "pipeline", "keys", "rate", "seconds", "commands_per_second"]
    {
        assert!(json.get(field).is_some(), "no {field} in {json}");
    }
}

#[test]
fn at_a_rate_calls_begin_on_time_and_a_server_that_hangs_is_seen_for_as_long() {
    for blocking in ["", "--blocking"] {
        let server = Server::start();
        let args = format!("--json {blocking} --tasks 3 --rate 200 --seconds 1.5");
        let child = command(&server.url(), &args).stdout(Stdio::piped()).spawn().expect("the binary runs");
        eventually("calls are made", LIMIT, || {
            server.command(&["INFO", "commandstats"]).is_ok_and(|stats| stats.contains("cmdstat_get"))
        });
        server.freeze();
        thread::sleep(Duration::from_millis(500));
        server.thaw();
        let json = json(&child.wait_with_output().expect("it can be waited for"), 0);
        let calls = number(&json, "/calls");
        // What was due before the end is made after it.
        assert_eq!((calls, number(&json, "/never_begun")), (300.0, 0.0), "{json}");
        // Three calls were under way; those that were to begin meanwhile waited as well.
        assert!(number(&json, "/latency_us/p90") > 100_000.0, "{json}");
    }
}

#[test]
fn a_picture_and_a_summary_for_people() {
    let server = Server::start();
    let dir = tempfile::tempdir().expect("there is room");
    let file = dir.path().join("latency.svg");
    let output = run(&server.url(), &format!("--requests 200 --plot {}", file.display()));
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}");
    for words in ["200 calls answered", "commands/s", "client CPU", "p999"] {
        assert!(out.contains(words), "no {words:?} in {out}");
    }
    let svg = fs::read_to_string(&file).expect("the picture was drawn");
    assert!(svg.starts_with("<svg") && svg.contains("polyline") && svg.ends_with("</svg>\n"), "{svg}");
    let output = run(&server.url(), "--requests 10 --plot /no/such/directory/x.svg");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/directory/x.svg"));
}

#[test]
fn an_interrupted_bench_tells_what_it_measured_and_cleans_up() {
    let server = Server::start();
    let mut command = command(&server.url(), "--json --seconds 600 --workload incr");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    eventually("calls are made", LIMIT, || {
        server.command(&["INFO", "commandstats"]).is_ok_and(|stats| stats.contains("cmdstat_incr"))
    });
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process has an id");
    kill_process(pid, Signal::INT).expect("it runs");
    let output = child.wait_with_output().expect("it can be waited for");
    assert!(number(&json(&output, 0), "/calls") > 0.0);
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    assert_eq!(server.command(&["DBSIZE"]).as_deref(), Ok("0"));
}

#[test]
fn calls_that_fail_are_counted_and_a_server_that_is_not_there_is_told() {
    let server = Server::builder().acl_line("user limited on nopass ~* +@all -get").start();
    let url = format!("redis://limited:x@{}", server.addr());
    let counted = json(&run(&url, "--json --requests 6 --tasks 2"), 1);
    assert_eq!(number(&counted, "/errors/Authentication(NoPermission)"), 6.0, "{counted}");
    assert_eq!(number(&counted, "/commands"), 0.0, "{counted}");
    let told = json(&run("redis://127.0.0.1:1", "--json --requests 1"), 2);
    let message = told.pointer("/error/message").and_then(Json::as_str).unwrap_or_default();
    assert!(message.contains("127.0.0.1:1") && message.contains("doctor"), "{message}");
    let both = run(&server.url(), "--requests 1 --seconds 1");
    assert_eq!(both.status.code(), Some(2), "one of them is enough");
}
