//! `redwire exec` with a command, and with lines from a pipe.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use redwire_testkit::{Server, eventually, shared};
use serde_json::{Value as Json, json};

fn redwire(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redwire"));
    command.env_remove("REDWIRE_PASSWORD").env("REDWIRE_URL", shared().url()).args(words);
    command
}

/// What it printed, and its exit status.
fn run(words: &[&str]) -> (String, String, i32) {
    told(redwire(words).output().unwrap())
}

/// The same with lines on standard input.
fn feed(words: &[&str], lines: &[u8]) -> (String, String, i32) {
    let mut command = redwire(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines).unwrap();
    told(child.wait_with_output().unwrap())
}

fn told(output: Output) -> (String, String, i32) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

/// The JSON values of lines.
fn values(lines: &str) -> Vec<Json> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const DRIVERS: [&[&str]; 2] = [&[], &["--blocking"]];

#[test]
fn one_command_prints_its_reply_and_nothing_else() {
    for driver in DRIVERS {
        let exec = |words: &[&str]| run(&[driver, &["exec"], words].concat());
        assert_eq!(exec(&["SET", "one", "a \"b\""]), ("OK\n".to_owned(), String::new(), 0));
        assert_eq!(exec(&["get", "one"]).0, "a \"b\"\n");
        assert_eq!(exec(&["GET", "one:none"]).0, "\n");
        assert_eq!(exec(&["STRLEN", "one"]).0, "5\n");
        // A word with spaces is one word, also as a name; and what looks like an option is the command's.
        assert_eq!(exec(&["ECHO", "--json"]).0, "--json\n");
        let (out, _, status) = exec(&["GET one"]);
        assert!(status == 1 && out.starts_with("(error) ERR unknown command"), "{out}");
    }
}

#[test]
fn an_error_of_the_server_is_a_bad_answer() {
    for driver in DRIVERS {
        run(&[driver, &["exec", "SET", "bad", "x"]].concat());
        let (out, err, status) = run(&[driver, &["exec", "LPUSH", "bad", "y"]].concat());
        assert_eq!((status, err.as_str()), (1, ""));
        assert!(out.starts_with("(error) WRONGTYPE "), "{out}");
        let (out, err, status) = run(&[driver, &["exec", "--raw", "LPUSH", "bad", "y"]].concat());
        assert_eq!((status, out.as_str()), (1, ""));
        assert!(err.contains("WRONGTYPE"), "{err}");
        let (out, _, status) = run(&[driver, &["exec", "--json", "LPUSH", "bad", "y"]].concat());
        let told = &values(&out)[0];
        assert_eq!((status, &told["type"], &told["code"]), (1, &json!("error"), &json!("WRONGTYPE")));
    }
}

#[test]
fn raw_bytes_are_exactly_the_replys() {
    let output = |words: &[&str]| redwire(words).output().unwrap();
    feed(&["exec"], b"SET raw \"\\xff\\x00\\n\"\nRPUSH raws a b\nDEL raws\nRPUSH raws a b\n");
    assert_eq!(output(&["exec", "--raw", "GET", "raw"]).stdout, b"\xff\0\n");
    assert_eq!(output(&["exec", "--raw", "LRANGE", "raws", "0", "-1"]).stdout, b"a\nb");
    let (out, ..) = run(&["exec", "--json", "GET", "raw"]);
    assert_eq!(values(&out), [json!({ "type": "bytes", "value": "ff000a" })]);
}

#[test]
fn lines_run_on_one_connection() {
    for driver in DRIVERS {
        let lines = b"# a comment\n\nSELECT 3\nMULTI\nSET lines 'a b'\nAPPEND lines \"\\x21\"\nEXEC\nGET \
                      lines\nDEL lines\n";
        let (out, err, status) = feed(&[driver, &["exec"]].concat(), lines);
        assert_eq!((status, err.as_str()), (0, ""));
        assert_eq!(out, "OK\nOK\nQUEUED\nQUEUED\nOK\n4\na b!\n1\n");
    }
}

#[test]
fn lines_go_on_after_errors() {
    let lines = b"SET on x\nLPUSH on y\nGET \"on\nNOSUCHCOMMAND\nCLIENT REPLY OFF\nGET on\n";
    let (out, _, status) = feed(&["exec"], lines);
    assert_eq!(status, 1);
    let lines_out: Vec<_> = out.lines().collect();
    assert_eq!((lines_out[0], lines_out[5]), ("OK", "x"), "{out}");
    assert!(lines_out[1].starts_with("(error) WRONGTYPE"), "{out}");
    assert_eq!(lines_out[2], "(error) line 3: a quote is opened and not closed");
    assert!(lines_out[3].starts_with("(error) ERR unknown command"), "{out}");
    assert!(lines_out[4].starts_with("(error) replies cannot be switched off"), "{out}");
    let (out, _, status) = feed(&["exec", "--json"], lines);
    let kinds: Vec<_> = values(&out).iter().map(|value| value["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!((status, kinds.join(" ").as_str()), (1, "status error error error error string"));
}

/// The server has answered, whatever the script had done before: the connection is what it was.
#[test]
fn a_scripts_own_error_is_an_answer() {
    for driver in DRIVERS {
        let lines = b"SELECT 4\nSET own x\n\
                      EVAL \"redis.call('SET', KEYS[1], 'y') return {err='MINE it is'}\" 1 own\n\
                      EVAL \"error('thrown')\" 0\nMULTI\nGET own\nEXEC\nDEL own\n";
        let (out, err, status) = feed(&[driver, &["exec"]].concat(), lines);
        let lines: Vec<_> = out.lines().collect();
        assert_eq!((status, err.as_str(), lines.len()), (1, "", 8), "{out}");
        assert!(lines[2].starts_with("(error) MINE it is"), "{out}");
        assert!(lines[3].starts_with("(error)") && lines[3].contains("thrown"), "{out}");
        assert_eq!(lines[4..], ["OK", "QUEUED", "y", "1"]);
    }
}

#[test]
fn json_keeps_the_types() {
    let lines = b"HSET types f v\nHGETALL types\nEXISTS none\nGET none\nDEBUG JMAP\nDEL types\n";
    let (out, ..) = feed(&["exec", "--json"], lines);
    let told = values(&out);
    assert_eq!(told[0]["type"], "integer");
    let pair = json!([[{ "type": "string", "value": "f" }, { "type": "string", "value": "v" }]]);
    assert_eq!(told[1], json!({ "type": "map", "value": pair }));
    assert_eq!(told[2], json!({ "type": "integer", "value": 0 }));
    assert_eq!(told[3], json!({ "type": "null", "value": null }));
}

#[test]
fn messages_are_printed_until_an_interrupt() {
    for driver in DRIVERS {
        let mut command = redwire(&[driver, &["exec", "--json", "SUBSCRIBE", "heard", "heard too"]].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || values(&lines.next().unwrap().unwrap())[0]["value"].clone();
        assert_eq!(next()[0]["value"], "subscribe");
        assert_eq!(next()[1]["value"], "heard too");
        // More than are owed at first.
        let burst = "for i = 1, 20000 do redis.call('PUBLISH', 'heard', i) end";
        run(&["exec", "EVAL", burst, "0"]);
        for i in 1..=20_000 {
            assert_eq!(next()[2]["value"], i.to_string());
        }
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_wait_can_be_interrupted() {
    for driver in DRIVERS {
        let mut command = redwire(&[driver, &["exec", "BLPOP", "interrupted", "0"]].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it waits", Duration::from_secs(5), || {
            let info = shared().command(&["CLIENT", "LIST"]).unwrap();
            info.lines().any(|line| line.contains("name=redwire-cli") && line.contains("cmd=blpop"))
        });
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        let (out, err, status) = told(child.wait_with_output().unwrap());
        assert_eq!((status, out.as_str()), (2, ""));
        assert!(err.contains("interrupted"), "{err}");
    }
}

#[test]
fn without_a_connection_it_cannot_run() {
    let server = Server::builder().password("right").start();
    let wrong = server.url().replace("right", "wr0ng");
    for (url, wanted) in
        [(wrong.as_str(), "WRONGPASS"), ("redis://127.0.0.1:1", "refused"), ("nosuch", "URL")]
    {
        for driver in DRIVERS {
            let (out, err, status) = run(&[driver, &["--url", url, "exec", "PING"]].concat());
            assert_eq!((status, out.as_str()), (2, ""), "{url}: {err}");
            assert!(err.contains(wanted) && !err.contains("wr0ng"), "{url}: {err}");
            let (out, ..) = run(&[driver, &["--json", "--url", url, "exec", "PING"]].concat());
            assert!(values(&out)[0]["error"]["message"].as_str().unwrap().contains(wanted), "{out}");
        }
    }
    let (out, ..) =
        run(&["--url", &format!("redis://{}", server.addr()), "--password", "right", "exec", "PING"]);
    assert_eq!(out, "PONG\n");
}
