//! The prompt of `redwire exec`, as a user at a terminal meets it.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

use redwire_testkit::Server;
use rexpect::process::WaitStatus;
use rexpect::reader::Options;
use rexpect::session::{PtySession, spawn_with_options};

/// A session at a terminal, with a home of its own.
fn session(server: &Server, driver: &[&str], home: &Path) -> PtySession {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redwire"));
    command.env_clear().env("TERM", "xterm").env("XDG_STATE_HOME", home).args(driver);
    command.args(["--url", &server.url(), "exec"]);
    spawn_with_options(command, Options::new().timeout_ms(Some(10_000)).strip_ansi_escape_codes(true))
        .unwrap()
}

fn ends_well(mut session: PtySession) {
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
    assert!(matches!(session.process().wait().unwrap(), WaitStatus::Exited(_, 0)));
}

#[test]
fn replies_look_as_in_redis_cli_and_state_shows() {
    let server = Server::start();
    for driver in [&[][..], &["--blocking"]] {
        let home = tempfile::tempdir().unwrap();
        let mut session = session(&server, driver, home.path());
        let prompt = format!("127.0.0.1:{}", server.port());
        let mut say = |line: &str, wanted: &str| {
            session.send_line(line).unwrap();
            session.exp_string(wanted).unwrap_or_else(|error| panic!("{line}: {error}"));
        };
        say("SET k 'a \"b\"'", "OK");
        say("GET k", r#""a \"b\"""#);
        say("INCR n", "(integer) ");
        say("GET none", "(nil)");
        say("LPUSH k x", "(error) WRONGTYPE");
        say("GET 'k", "(error) a quote is opened");
        say("CONFIG GET maxmemory", r#"1# "maxmemory" => "0""#);
        say("SELECT 2", &format!("{prompt}[2]> "));
        say("MULTI", &format!("{prompt}[2](TX)> "));
        say("SET two x", "QUEUED");
        say("EXEC", "1) OK");
        say("NOSUCHCOMMAND", "(error) ERR unknown command");
        ends_well(session);
    }
}

#[test]
fn names_are_completed_and_arguments_hinted() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let mut session = session(&server, &[], home.path());
    session.exp_string("> ").unwrap();
    session.send("getra").unwrap();
    session.send("\t").unwrap();
    session.flush().unwrap();
    session.exp_string("getrange").unwrap();
    session.exp_string("key start end").unwrap();
    session.send_control('c').unwrap();
    session.exp_string("> ").unwrap();
    ends_well(session);
}

#[test]
fn messages_come_until_an_interrupt_and_the_database_stays() {
    let server = Server::start();
    for driver in [&[][..], &["--blocking"]] {
        let home = tempfile::tempdir().unwrap();
        let mut session = session(&server, driver, home.path());
        session.send_line("SELECT 2").unwrap();
        session.exp_string("[2]> ").unwrap();
        session.send_line("SUBSCRIBE news").unwrap();
        session.exp_string("3) (integer) 1").unwrap();
        server.command(&["PUBLISH", "news", "hello"]).unwrap();
        session.exp_string("3) \"hello\"").unwrap();
        session.send_control('c').unwrap();
        session.exp_string("[2](not connected)> ").unwrap();
        session.send_line("CLIENT INFO").unwrap();
        session.exp_string("connected anew").unwrap();
        session.exp_string("db=2").unwrap();
        // A wait is given up, and the next command has a connection that is free.
        session.send_line("BLPOP nothing 0").unwrap();
        redwire_testkit::eventually("it waits", std::time::Duration::from_secs(5), || {
            server.command(&["INFO", "clients"]).unwrap().contains("blocked_clients:1")
        });
        session.send_control('c').unwrap();
        session.exp_string("interrupted").unwrap();
        session.send_line("ECHO free").unwrap();
        session.exp_string("\"free\"").unwrap();
        ends_well(session);
    }
}

#[test]
fn it_goes_on_after_the_server_was_gone() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let mut session = session(&server, &[], home.path());
    session.send_line("PING").unwrap();
    session.exp_string("PONG").unwrap();
    server.restart();
    session.send_line("ECHO lost").unwrap();
    session.exp_string("error: ").unwrap();
    session.send_line("ECHO found").unwrap();
    session.exp_string("\"found\"").unwrap();
    ends_well(session);
}

#[test]
fn history_is_kept_without_passwords() {
    let server = Server::start();
    let home = tempfile::tempdir().unwrap();
    let mut first = session(&server, &[], home.path());
    first.send_line("ECHO remembered").unwrap();
    first.exp_string("\"remembered\"").unwrap();
    for (line, wanted) in [
        ("AUTH s3cret", "(error) ERR AUTH"),
        ("ACL SETUSER u >s3cret", "OK"),
        ("CONFIG SET masterauth s3cret", "OK"),
    ] {
        first.send_line(line).unwrap();
        first.exp_string(wanted).unwrap();
    }
    first.send_line("ECHO last").unwrap();
    first.exp_string("\"last\"").unwrap();
    ends_well(first);
    let kept = std::fs::read_to_string(home.path().join("redwire/history")).unwrap();
    assert!(kept.contains("ECHO remembered") && kept.contains("ECHO last"), "{kept}");
    assert!(!kept.contains("s3cret"), "{kept}");

    let mut second = session(&server, &[], home.path());
    second.exp_string("> ").unwrap();
    second.send("\x1b[A\x1b[A\r").unwrap();
    second.flush().unwrap();
    second.exp_string("\"remembered\"").unwrap();
    ends_well(second);
}
