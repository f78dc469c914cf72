//! `redwire monitor`, run as its users run it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use redwire_testkit::{Server, eventually};
use serde_json::Value as Json;

/// Each driver.
const DRIVERS: [&[&str]; 2] = [&[], &["--blocking"]];

fn redwire(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redwire"));
    command.env_remove("REDWIRE_URL").env_remove("REDWIRE_PASSWORD").args(words);
    command
}

/// A monitor that listens to `server`, and what it prints.
fn listen(server: &Server, words: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let url = server.url();
    let words = [&["--url", &url][..], words].concat();
    let mut child = redwire(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let listens = || server.client_list().iter().any(|client| client["flags"].contains('O'));
    eventually("it listens", Duration::from_secs(10), listens);
    let out = BufReader::new(child.stdout.take().expect("it is piped"));
    (child, out)
}

/// The next line that has `mark`: what the test itself asks the server is shown, too.
fn line_with(out: &mut BufReader<ChildStdout>, mark: &str) -> String {
    loop {
        let mut line = String::new();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "it goes on until then");
        if line.contains(mark) {
            return line;
        }
    }
}

/// Ends it as Ctrl-C does, and gives its exit status and what it said beside.
fn interrupt(child: Child) -> (i32, String) {
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    end(child)
}

fn end(child: Child) -> (i32, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn each_command_has_a_line_as_the_server_writes_it() {
    let server = Server::start();
    for driver in DRIVERS {
        let (child, mut out) = listen(&server, &[driver, &["monitor"]].concat());
        server.command(&["SET", "k", "a\x1b[31m\r\n"]).unwrap();
        let line = line_with(&mut out, "\"SET\"");
        assert!(line.contains(" [0 unix:/"), "{line}");
        assert!(line.ends_with("] \"SET\" \"k\" \"a\\x1b[31m\\r\\n\"\n"), "{line}");
        let (seconds, micros) = line.split(' ').next().unwrap().split_once('.').unwrap();
        assert!(seconds.parse::<u64>().is_ok() && micros.len() == 6, "{line}");
        assert_eq!(interrupt(child), (0, String::new()));
    }
}

#[test]
fn colours_are_for_people() {
    let server = Server::start();
    let (child, mut out) = listen(&server, &["--color", "always", "monitor"]);
    server.command(&["SET", "k", "v"]).unwrap();
    let line = line_with(&mut out, "\"SET\"");
    assert!(line.contains("\x1b[32m\"SET\"\x1b[0m \"k\" \"v\""), "{line:?}");
    interrupt(child);
}

#[test]
fn json_has_an_object_a_line_and_keeps_bytes() {
    let server = Server::start();
    for driver in DRIVERS {
        let (child, mut out) = listen(&server, &[driver, &["--json", "monitor"]].concat());
        server.command(&["EVAL", "return redis.call('SET', 'k', '\\0\\255')", "0"]).unwrap();
        let line = line_with(&mut out, "\"lua\"");
        let told: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(told["client"]["kind"], "lua");
        assert_eq!(told["db"], 0);
        assert_eq!((&told["command"][0], &told["command"][2]["bytes"]), (&"SET".into(), &"00ff".into()));
        assert!(told["time_us"].as_u64().unwrap() > 1_000_000_000_000_000, "{line}");
        interrupt(child);
    }
}

#[test]
fn it_ends_after_so_many() {
    let server = Server::start();
    for driver in DRIVERS {
        let (child, mut out) = listen(&server, &[driver, &["--json", "monitor", "-n", "3"]].concat());
        for _ in 0..5 {
            server.command(&["PING"]).unwrap();
        }
        let mut lines = String::new();
        std::io::Read::read_to_string(&mut out, &mut lines).unwrap();
        assert_eq!(lines.lines().count(), 3, "{lines}");
        assert_eq!(end(child), (0, String::new()));
    }
}

#[test]
fn a_lost_connection_is_told() {
    for driver in DRIVERS {
        let server = Server::start();
        let (child, _out) = listen(&server, &[driver, &["monitor"]].concat());
        server.kill();
        let (status, said) = end(child);
        assert_eq!(status, 2, "{said}");
        assert!(said.contains("error"), "{said}");
    }
}
