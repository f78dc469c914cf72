//! `redwire topology`: a master and its replica, seen from either side, once and while it changes.

mod cluster;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redwire_testkit::{SentinelSet, Server, eventually};
use rexpect::process::WaitStatus;
use serde_json::Value as Json;

const LIMIT: Duration = Duration::from_secs(5);

/// A master and its replica, each of which knows of the other.
fn pair() -> (Server, Server) {
    let master = Server::builder().arg("repl-diskless-sync-delay", "0").start();
    let replica = Server::builder().arg("replicaof", &format!("127.0.0.1 {}", master.port())).start();
    let says = |server: &Server, word: &str| {
        server.command(&["INFO", "replication"]).is_ok_and(|info| info.contains(word))
    };
    eventually("the link is up", LIMIT, || {
        says(&replica, "master_link_status:up") && says(&master, "state=online")
    });
    (master, replica)
}

fn topology(url: &str, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redwire"));
    command.env_remove("REDWIRE_URL").env_remove("REDWIRE_PASSWORD");
    command.args(["topology", "--url", url]).args(options);
    command
}

#[track_caller]
fn once(url: &str, options: &[&str]) -> (Option<i32>, Json) {
    let output = topology(url, &[&["--json"], options].concat()).output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_server_alone() {
    let server = Server::start();
    for options in [&[][..], &["--blocking"]] {
        let (code, json) = once(&server.url(), options);
        assert_eq!((code, &json["verdict"]), (Some(0), &"good".into()));
        assert_eq!(json["servers"].as_array().unwrap().len(), 1);
        assert_eq!(json["servers"][0]["role"], "master");
        assert_eq!(json["servers"][0]["address"], server.addr().to_string());
    }
}

#[test]
fn a_master_and_its_replica_see_each_other() {
    let (master, replica) = pair();
    let (code, json) = once(&master.url(), &[]);
    let seen = &json["servers"][1];
    assert_eq!(code, Some(0), "{json}");
    assert_eq!(
        (&seen["role"], &seen["state"], &seen["from_here"]),
        (&"replica".into(), &"online".into(), &"open".into())
    );
    assert_eq!(seen["address"], replica.addr().to_string());
    assert!(seen["behind"].is_u64() && seen["lag_seconds"].is_u64(), "{seen}");
    let (code, json) = once(&replica.url(), &[]);
    assert_eq!((code, &json["servers"][0]["role"]), (Some(0), &"replica".into()));
    assert_eq!(json["servers"][1]["address"], master.addr().to_string());
    assert_eq!(json["servers"][1]["state"], "link up");
    let output = topology(&master.url(), &["--color", "never"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("└ replica") && text.contains("reachable from here"), "{text}");
}

#[test]
fn a_link_that_is_down() {
    let (master, replica) = pair();
    master.kill();
    let down = || {
        replica.command(&["INFO", "replication"]).is_ok_and(|info| info.contains("master_link_status:down"))
    };
    eventually("the link is down", LIMIT, down);
    let (code, json) = once(&replica.url(), &[]);
    assert_eq!((code, &json["verdict"]), (Some(1), &"bad".into()));
    assert_eq!(json["servers"][1]["from_here"], "refused");
    assert!(json["servers"][1]["state"].as_str().unwrap().starts_with("link down (connect"), "{json}");
}

#[test]
fn a_service_with_its_sentinels() {
    let set = SentinelSet::start();
    for options in [&[][..], &["--blocking"]] {
        let (code, json) = once(&set.url(), options);
        assert_eq!((code, &json["verdict"]), (Some(0), &"good".into()), "{json}");
        let servers = json["servers"].as_array().unwrap();
        let roles: Vec<_> = servers.iter().map(|server| server["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["sentinel", "sentinel", "sentinel", "master", "replica", "replica"]);
        let master = set.master().to_string();
        assert_eq!(
            (&servers[0]["state"], &servers[3]["address"]),
            (&format!("tells {master}").into(), &master.into())
        );
        assert!(servers[4]["behind"].is_u64() && servers[4]["lag_seconds"].is_u64(), "{json}");
    }
    let output = topology(&set.url(), &["--color", "never"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("sentinel") && text.contains("\nmaster") && text.contains("└ replica"),
        "{text}"
    );
    let gone = &set.sentinels()[2];
    gone.kill();
    let (code, json) = once(&set.url(), &[]);
    let row =
        json["servers"].as_array().unwrap().iter().find(|row| row["address"] == gone.addr().to_string());
    let row = row.expect("it is told of");
    assert_eq!(
        (code, &row["from_here"], &row["sound"]),
        (Some(1), &"refused".into(), &false.into()),
        "{json}"
    );
}

#[test]
fn a_replica_that_only_the_sentinels_tell_of() {
    let set = SentinelSet::start();
    let gone = &set.nodes()[set.replicas()[0]];
    gone.kill();
    eventually("it is marked as failed", Duration::from_secs(20), || {
        let (_, json) = once(&set.url(), &[]);
        json["servers"].as_array().is_some_and(|servers| {
            servers.iter().any(|row| {
                row["address"] == gone.addr().to_string()
                    && row["state"].as_str().is_some_and(|state| state.contains("s_down"))
                    && row["sound"] == false
            })
        })
    });
}

#[test]
fn watching_follows_a_failover() {
    let set = SentinelSet::builder().quick().start();
    let mut command = topology(&set.url(), &["--json", "--watch"]);
    let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Json>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["verdict"], "good");
    set.failover();
    let master = format!("tells {}", set.master());
    while next()["servers"][0]["state"] != master.as_str() {}
}

#[test]
fn a_server_that_is_not_there() {
    let output = topology("redis://nobody.invalid", &["--json"]).output().unwrap();
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(json["error"]["message"].as_str().unwrap().contains("nobody.invalid"), "{json}");
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watching_writes_each_change() {
    let (master, replica) = pair();
    let mut command = topology(&replica.url(), &["--json", "--watch"]);
    let mut running = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Json>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["verdict"], "good");
    master.kill();
    while next()["verdict"] == "good" {}
    master.restart();
    while next()["verdict"] == "bad" {}
}

#[test]
fn watching_on_a_terminal_draws_until_q() {
    let server = Server::start();
    let mut command = Command::new("sh");
    // A new terminal has no size until it is given one.
    let script = r#"stty rows 24 cols 120; exec "$0" topology --watch --url "$1""#;
    command.args(["-c", script, env!("CARGO_BIN_EXE_redwire"), &server.url()]).env("TERM", "xterm");
    command.env_remove("REDWIRE_URL").env_remove("REDWIRE_PASSWORD");
    let mut terminal = rexpect::session::spawn_command(command, Some(5_000)).unwrap();
    terminal.exp_string("what changed is marked").unwrap();
    terminal.exp_string(&server.addr().to_string()).unwrap();
    terminal.send("q").unwrap();
    terminal.flush().unwrap();
    terminal.exp_eof().unwrap();
    let ended = terminal.process().wait().unwrap();
    assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
}
