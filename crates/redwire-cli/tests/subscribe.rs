//! `redwire subscribe`.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use redwire_testkit::Server;
use serde_json::{Value as Json, json};

const DRIVERS: [&[&str]; 2] = [&[], &["--blocking"]];

/// The program at work, and the lines it writes.
struct Listening {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listening {
    fn start(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_redwire"));
        command.env_remove("REDWIRE_URL").env_remove("REDWIRE_PASSWORD").args(words);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("it has ended").unwrap()
    }

    fn json(&mut self) -> Json {
        serde_json::from_str(&self.line()).unwrap()
    }

    fn interrupt(mut self) -> Option<i32> {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

fn text(value: &str) -> Json {
    json!({ "type": "string", "value": value })
}

#[test]
fn messages_and_gaps_are_shown_until_an_interrupt() {
    let server = Server::start();
    let url = server.url();
    for driver in DRIVERS {
        let words = [driver, &["--json", "--url", &url, "subscribe", "news", "sport"]].concat();
        let mut listening = Listening::start(&words);
        for name in ["news", "sport"] {
            assert_eq!(listening.json(), json!({ "item": "subscribed", "name": text(name) }));
        }
        server.command(&["PUBLISH", "sport", "1 \n : 0"]).unwrap();
        let (channel, payload) = (text("sport"), text("1 \n : 0"));
        let message = json!({ "item": "message", "channel": channel, "pattern": null, "payload": payload });
        assert_eq!(listening.json(), message);
        server.restart();
        let mut told = Vec::new();
        let gap = loop {
            let item = listening.json();
            if item["item"] == "gap" {
                break item;
            }
            told.push(item["item"].as_str().unwrap().to_owned());
        };
        assert!(told.contains(&"reconnected".to_owned()), "{told:?}");
        assert!(gap["from"].as_f64().unwrap() <= gap["to"].as_f64().unwrap(), "{gap}");
        assert_eq!(listening.interrupt(), Some(0));
    }
}

#[test]
fn people_see_patterns_and_nothing_that_steers_their_terminal() {
    let server = Server::start();
    let url = server.url();
    for driver in DRIVERS {
        let words = [driver, &["--url", &url, "subscribe", "-p", "n*"]].concat();
        let mut listening = Listening::start(&words);
        assert_eq!(listening.line(), "subscribed to \"n*\"");
        server.command(&["PUBLISH", "news", "\u{1b}[2J"]).unwrap();
        assert_eq!(listening.line(), "\"news\" by \"n*\" \"\\x1b[2J\"");
        assert_eq!(listening.interrupt(), Some(0));
    }
}

#[test]
fn what_is_refused_is_told() {
    let server = Server::builder().acl_line("user reader on >pw ~* +@all resetchannels &open").start();
    let url = server.url().replace("redis://", "redis://reader:pw@");
    for driver in DRIVERS {
        let words = [driver, &["--url", &url, "subscribe", "closed"]].concat();
        let output = Command::new(env!("CARGO_BIN_EXE_redwire")).args(&words).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && told.contains("NOPERM") && !told.contains("pw"), "{told}");
    }
}
