//! `redwire ping`, and the pages that describe the program.

use std::process::{Command, Output};
use std::time::Duration;

use redwire_testkit::{ClosedPort, SentinelSet, Server, eventually, shared};
use serde_json::Value as Json;

fn redwire(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redwire"));
    command.env_remove("REDWIRE_URL").env_remove("REDWIRE_PASSWORD").args(words);
    command
}

/// What it printed, and its exit status.
fn run(words: &[&str]) -> (String, String, i32) {
    told(redwire(words).output().unwrap())
}

fn told(output: Output) -> (String, String, i32) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[test]
fn a_service_is_probed_at_its_master() {
    let set = SentinelSet::start();
    let url = set.url();
    for options in [&["--json"][..], &["--json", "--blocking"]] {
        let words = [&["ping", "-c", "2", "-i", "0", "--url", &url], options].concat();
        let (out, err, code) = run(&words);
        let json: Json = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &json["probes"], &json["lost"]), (0, &2.into(), &0.into()), "{json} {err}");
    }
    let (out, err, code) = run(&["exec", "--url", &url, "ROLE"]);
    assert!(code == 0 && out.contains("master"), "{out} {err}");
}

#[test]
fn each_probe_has_a_line_and_the_summary_follows() {
    let url = shared().url();
    for driver in [&[][..], &["--blocking"]] {
        let (out, _, status) = run(&[driver, &["--url", &url, "ping", "-c", "3", "-i", "0.01"]].concat());
        assert_eq!(status, 0, "{out}");
        assert!(out.starts_with("connected to 127.0.0.1:"), "{out}");
        assert_eq!(out.matches("PONG from 127.0.0.1:").count(), 3, "{out}");
        assert!(out.contains("seq=3 time="), "{out}");
        assert!(out.contains("3 probes, 3 answered, 0.0 % lost"), "{out}");
        assert!(out.contains("round trip min/median/p99/max = "), "{out}");
    }
}

#[test]
fn json_is_one_object_without_the_password() {
    let server = Server::builder().password("s3cret").start();
    let url = server.url();
    assert!(url.contains("s3cret"), "{url}");
    for driver in [&[][..], &["--blocking"]] {
        let (out, err, status) = run(&[driver, &["--json", "--url", &url, "ping", "-c2", "-i0"]].concat());
        assert_eq!((status, err.as_str()), (0, ""));
        let told: Json = serde_json::from_str(&out).unwrap();
        assert_eq!((told["probes"].as_u64(), told["lost"].as_u64()), (Some(2), Some(0)));
        assert_eq!(told["errors"].as_object().unwrap().len(), 0);
        let times = ["min", "median", "p99", "max"].map(|name| told["rtt_us"][name].as_u64().unwrap());
        assert!(times.is_sorted(), "{out}");
        let url = told["url"].as_str().unwrap();
        assert!(url.contains("127.0.0.1") && !url.contains("s3cret"), "{url}");
    }
}

#[test]
fn lost_probes_have_their_reason() {
    let closed = ClosedPort::new();
    let url = format!("redis://{}", closed.addr());
    for driver in [&[][..], &["--blocking"]] {
        let words = ["--timeout", "0.2", "--url", &url, "ping", "-c", "2", "-i", "0"];
        let (out, _, status) = run(&[driver, &words].concat());
        assert_eq!(status, 1, "{out}");
        assert_eq!(out.matches("lost seq=").count(), 2, "{out}");
        assert!(out.matches("Connection refused").count() >= 2, "{out}");
        assert!(out.contains("2 probes, 0 answered, 100.0 % lost"), "{out}");
        let (out, ..) = run(&[driver, &["--json"], &words].concat());
        let told: Json = serde_json::from_str(&out).unwrap();
        assert_eq!(told["lost"], 2);
        assert_eq!(told["errors"]["Connection(Refused)"], 2, "{out}");
        assert!(told["rtt_us"].is_null());
    }
}

#[test]
fn it_goes_on_when_the_server_comes_back_and_ends_at_an_interrupt() {
    let server = Server::start();
    let words = ["--json", "--timeout", "0.2", "--url", &server.url(), "ping", "-i", "0.01"];
    let child = redwire(&words).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let pings = || {
        let stats = server.command(&["INFO", "commandstats"]).unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_ping:calls=")).map(str::to_owned);
        line.and_then(|line| line.split(',').next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    let limit = Duration::from_secs(10);
    eventually("some probes arrive", limit, || pings() > 3);
    server.restart();
    let before = pings();
    eventually("probes arrive again", limit, || pings() > before + 3);
    // As Ctrl-C does.
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let (out, _, status) = told(child.wait_with_output().unwrap());
    assert_eq!(status, 0, "{out}");
    let told: Json = serde_json::from_str(&out).unwrap();
    assert!(told["probes"].as_u64().unwrap() > told["lost"].as_u64().unwrap() + 3, "{out}");
}

#[test]
fn what_cannot_be_asked_for_is_told() {
    for (words, wanted) in [
        (&["--url", "http://x", "ping"][..], "expected redis://"),
        (&["ping", "-i", "soon"], "expected seconds"),
        (&["ping", "-i", "-1"], "-1"),
        (&["pong"], "unrecognized subcommand"),
        (&["-h", "db.example", "-p", "7000", "ping"], "--url redis://db.example:7000"),
        (&["ping", "-h", "db.example"], "--url redis://db.example:6379"),
        (&["-p", "7000", "exec", "PING"], "--url redis://127.0.0.1:7000"),
        (&["--url", "redis://a", "--url", "redis://b", "ping"], "takes one server, and got 2"),
        (&["--url", "redis://a redis://b", "exec", "GET", "k"], "takes one server, and got 2"),
        (&["man", "nosuch"], "no such command"),
    ] {
        let (out, err, status) = run(words);
        assert_eq!((status, out.as_str()), (2, ""), "{words:?}: {err}");
        assert!(err.contains(wanted), "{words:?}: {err}");
    }
}

/// Nothing reads any more, as behind `| head`.
#[test]
fn a_reader_that_has_enough_is_no_error() {
    let url = shared().url();
    for words in [&["ping", "-i", "0"][..], &["--json", "exec", "PING"], &["exec", "PING"], &["man"]] {
        let mut child = redwire(&[&["--url", &url], words].concat());
        let child = child.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = child.spawn().unwrap();
        drop(child.stdout.take());
        let (_, err, status) = told(child.wait_with_output().unwrap());
        assert_eq!((status, err.as_str()), (0, ""), "{words:?}");
    }
}

#[test]
fn help_is_help() {
    for words in [&["-h"][..], &["ping", "-h"], &["-h", "ping"], &["--help"]] {
        let (out, _, status) = run(words);
        assert!(status == 0 && out.contains("Usage: redwire"), "{words:?}: {out}");
    }
}

#[test]
fn completions_and_man_pages_are_written() {
    for (shell, wanted) in
        [("bash", "complete -F _redwire"), ("zsh", "#compdef redwire"), ("fish", "complete -c redwire")]
    {
        let (out, _, status) = run(&["completions", shell]);
        assert_eq!(status, 0);
        assert!(out.contains(wanted) && out.contains("interval"), "{shell}");
    }
    let (out, _, status) = run(&["man"]);
    assert!(status == 0 && out.contains(".TH redwire 1") && out.contains("Exit status"), "{out}");
    let (out, _, status) = run(&["man", "exec"]);
    assert_eq!(status, 0);
    assert!(out.starts_with(".ie") && out.contains("SUBSCRIBE and MONITOR"), "{out}");
}
