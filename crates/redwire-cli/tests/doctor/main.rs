//! `redwire doctor` against set-ups that are broken, each in its own way: it has to say which.

mod cluster;
mod network;
mod sentinels;
mod server;
mod tls;

use std::process::{Command, Output};

use serde_json::Value as Json;

/// The names and the order of the layers are a promise to programs.
const LAYERS: [&str; 11] =
    ["url", "dns", "tcp", "tls", "handshake", "acl", "select", "latency", "server", "settings", "topology"];

/// What one run found.
#[derive(Debug)]
struct Report {
    code: Option<i32>,
    json: Json,
}

fn redwire(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redwire"));
    command.env_remove("REDWIRE_URL").env_remove("REDWIRE_PASSWORD");
    command.args(args).output().unwrap()
}

/// Examines `url` in JSON, and checks what holds for every report.
#[track_caller]
fn doctor(url: &str, options: &[&str]) -> Report {
    let output = redwire(&[&["doctor", "--json", "--url", url], options].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let report = Report { code: output.status.code(), json: serde_json::from_str(&text).unwrap() };
    let names: Vec<&str> = report.layers().iter().map(|layer| layer["name"].as_str().unwrap()).collect();
    let (of_many, of_server): (Vec<&str>, Vec<&str>) =
        names.into_iter().partition(|name| ["sentinels", "cluster"].contains(name));
    assert_eq!(of_server, LAYERS);
    let kinds = [("+sentinel://", "sentinels"), ("+cluster://", "cluster")];
    let expected: Vec<&str> =
        kinds.into_iter().filter(|(kind, _)| url.contains(kind)).map(|(_, name)| name).collect();
    assert_eq!(of_many, expected, "{:#}", report.json);
    for layer in report.layers() {
        let verdict = layer["verdict"].as_str().unwrap();
        assert!(["good", "warning", "bad", "skipped"].contains(&verdict), "{layer}");
        assert_eq!(layer["ms"].is_null(), verdict == "skipped" || layer["name"] == "settings", "{layer}");
        assert_eq!(layer["meaning"].is_null(), verdict == "good", "{layer}");
        assert_eq!(layer["advice"].is_null(), verdict == "good" || verdict == "skipped", "{layer}");
    }
    let bad = report.layers().iter().any(|layer| layer["verdict"] == "bad");
    assert_eq!(report.json["verdict"], if bad { "bad" } else { "good" });
    assert_eq!(report.code, Some(i32::from(bad)), "{:#}", report.json);
    report
}

impl Report {
    fn layers(&self) -> &[Json] {
        self.json["layers"].as_array().unwrap()
    }

    fn layer(&self, name: &str) -> &Json {
        self.layers().iter().find(|layer| layer["name"] == name).unwrap()
    }

    /// Checks that this layer has this verdict, and says these words, in what it means or in what to try.
    #[track_caller]
    fn says(&self, name: &str, verdict: &str, words: &[&str]) -> &Self {
        let layer = self.layer(name);
        assert_eq!(layer["verdict"], verdict, "{:#}", self.json);
        let text = format!("{} {}", layer["meaning"], layer["advice"]);
        for word in words {
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
        self
    }

    /// Checks that all layers from this one on are skipped.
    #[track_caller]
    fn skips_from(&self, name: &str) {
        for layer in self.layers().iter().skip_while(|layer| layer["name"] != name) {
            assert_eq!(layer["verdict"], "skipped", "{layer}");
        }
    }
}
