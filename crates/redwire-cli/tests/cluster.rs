//! A cluster by its URL: `ping`, `exec` and its prompt, `monitor`, `subscribe`, `bench`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use redwire_testkit::{ClusterSet, eventually};
use rexpect::process::WaitStatus;
use rexpect::reader::Options;
use rexpect::session::spawn_with_options;
use serde_json::{Value as Json, json};

/// Each driver.
const DRIVERS: [&[&str]; 2] = [&[], &["--blocking"]];

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

/// Three primaries, with a password.
fn three() -> ClusterSet {
    ClusterSet::builder().replicas(0).password("cluster-word").start()
}

#[test]
fn each_command_goes_where_its_keys_or_its_facts_lead_it() {
    let set = three();
    let url = set.url();
    for driver in DRIVERS {
        let exec = |words: &[&str]| run(&[driver, &["--url", &url, "exec"], words].concat());
        for number in 0..20 {
            assert_eq!(exec(&["SET", &format!("key:{number}"), "v"]).0, "OK\n");
        }
        assert_eq!(exec(&["DBSIZE"]).0, "20\n", "of all nodes together");
        assert_eq!(exec(&["MGET", "key:1", "none", "key:2"]).0, "v\n\nv\n");
        let (out, err, code) = exec(&["RENAME", "key:1", "key:2"]);
        assert!(code == 1 && out.contains("slot"), "{out} {err}");
        let (out, err, code) = exec(&["MULTI"]);
        assert_eq!(code, 1, "{out} {err}");
        assert!(!out.contains("QUEUED"), "{out}");
        assert_eq!(exec(&["FLUSHALL"]).2, 0);
    }
    for index in 0..3 {
        assert_eq!(set.node(index).command(&["DBSIZE"]).as_deref(), Ok("0"));
    }
}

#[test]
fn lines_and_the_prompt_go_to_all_nodes() {
    let set = three();
    let mut command = redwire(&["--url", &set.url(), "exec"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = "SET a 1\nSET b 2\nSET c 3\nGET b\nWATCH a\nMGET c a\n";
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let (out, err, code) = told(child.wait_with_output().unwrap());
    assert_eq!(code, 1, "WATCH is refused: {out} {err}");
    assert!(out.starts_with("OK\nOK\nOK\n2\n") && out.ends_with("\n3\n1\n"), "{out}");

    let home = tempfile::tempdir().unwrap();
    let mut command = redwire(&["--url", &set.url(), "exec"]);
    command.env("TERM", "xterm").env("XDG_STATE_HOME", home.path());
    let options = Options::new().timeout_ms(Some(10_000)).strip_ansi_escape_codes(true);
    let mut session = spawn_with_options(command, options).unwrap();
    session.exp_string("(cluster)> ").unwrap();
    session.send_line("GET c").unwrap();
    session.exp_string("\"3\"").unwrap();
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    assert!(matches!(session.process().wait().unwrap(), WaitStatus::Exited(_, 0)));
}

#[test]
fn probes_ask_every_primary() {
    let set = three();
    let url = set.url();
    for driver in DRIVERS {
        let words = [driver, &["--json", "--url", &url, "ping", "-c", "3", "-i", "0.01"]].concat();
        let (out, err, code) = run(&words);
        let json: Json = serde_json::from_str(&out).unwrap();
        assert_eq!((code, &json["probes"], &json["lost"]), (0, &3.into(), &0.into()), "{json} {err}");
        assert!(!format!("{out}{err}").contains("-word"), "{out}{err}");
    }
}

#[test]
fn a_load_is_on_all_nodes_and_leaves_nothing_behind() {
    let set = three();
    for workload in ["mixed", "pipeline", "mget"] {
        for driver in DRIVERS {
            let url = set.url();
            let words = [
                "--json",
                "--url",
                &url,
                "bench",
                "--workload",
                workload,
                "--requests",
                "500",
                "--tasks",
                "8",
            ];
            let (out, err, code) = run(&[driver, &words].concat());
            assert_eq!(code, 0, "{out} {err}");
            for index in 0..3 {
                assert_eq!(set.node(index).command(&["DBSIZE"]).as_deref(), Ok("0"), "{workload}");
            }
        }
    }
}

/// Ends with the test.
struct Running(Child);

impl Running {
    fn start(words: &[&str]) -> Self {
        Self(redwire(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn lines(&mut self) -> impl Iterator<Item = String> {
        let out = BufReader::new(self.0.stdout.take().expect("it is piped"));
        out.lines().map(|line| line.expect("it writes UTF-8"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_monitor_listens_to_the_first_node_that_is_there() {
    let set = three();
    set.node(0).kill();
    for driver in DRIVERS {
        let mut running = Running::start(&[driver, &["--url", &set.url(), "monitor"]].concat());
        let node = set.node(1);
        let listens = || node.client_list().iter().any(|client| client["flags"].contains('O'));
        eventually("it listens", Duration::from_secs(10), listens);
        node.command(&["ECHO", "over here"]).unwrap();
        assert!(running.lines().any(|line| line.ends_with("\"ECHO\" \"over here\"")));
        drop(running);
        eventually("it is gone", Duration::from_secs(10), || !listens());
    }
}

#[test]
fn a_subscription_hears_what_is_published_at_any_node() {
    let set = three();
    for driver in DRIVERS {
        let mut running =
            Running::start(&[driver, &["--json", "--url", &set.url(), "subscribe", "news"]].concat());
        let mut lines = running.lines().map(|line| serde_json::from_str::<Json>(&line).unwrap());
        assert_eq!(lines.next().unwrap()["item"], "subscribed");
        for index in 0..3 {
            let payload = format!("from {index}");
            set.node(index).command(&["PUBLISH", "news", &payload]).unwrap();
            let heard = lines.next().unwrap();
            assert_eq!(heard["payload"], json!({ "type": "string", "value": payload }), "{heard}");
        }
    }
}

#[test]
fn a_cluster_that_is_not_there() {
    let set = three();
    set.nodes().iter().for_each(|node| node.kill());
    for driver in DRIVERS {
        let (out, err, code) =
            run(&[driver, &["--json", "--timeout", "1", "--url", &set.url(), "exec", "GET", "key"]].concat());
        assert_eq!(code, 2, "{out} {err}");
        let json: Json = serde_json::from_str(&out).unwrap();
        assert!(json["error"]["message"].is_string(), "{json}");
        assert!(!format!("{out}{err}").contains("-word"), "{out}{err}");
    }
}
