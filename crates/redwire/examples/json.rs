//! The commands of the JSON module, with values of any type that serde knows.
//!
//! `cargo run -p redwire --example json` starts a server for itself, or asks the one whose URL is given. It
//! needs the module, which Redis 8 and the bundle of Valkey have in their packages; without it, the example
//! says so.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::error::Error;

use redwire::facts::{Facts, KeySpec};
use redwire::prelude::*;
use redwire::{Arg, Cmd, ErrorKind, Outcome, Reader, Reply, Run};
use redwire_testkit::Server;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const KEY: &[KeySpec] = &[KeySpec::at(1)];
static JSON_SET: Facts = Facts::new("JSON.SET").with_keys(KEY);
static JSON_GET: Facts = Facts::new("JSON.GET").with_keys(KEY).read_only();
static JSON_ARRAPPEND: Facts = Facts::new("JSON.ARRAPPEND").with_keys(KEY);

/// JSON documents. A path such as `$.name` may match several places, so its values come as a list.
pub(crate) trait JsonCommands: Run {
    /// Sets what is at `path`; `$` is the whole document.
    /// [JSON.SET](https://redis.io/docs/latest/commands/json.set/)
    fn json_set(self, key: impl Arg, path: &str, value: &serde_json::Value) -> Self::Out<()> {
        self.run(Cmd::of(&JSON_SET).arg(key).arg(path).arg(value.to_string()))
    }

    /// What is at `path`. [JSON.GET](https://redis.io/docs/latest/commands/json.get/)
    fn json_get<T: DeserializeOwned>(self, key: impl Arg, path: &str) -> Self::Out<Option<Json<Vec<T>>>> {
        self.run(Cmd::of(&JSON_GET).arg(key).arg(path))
    }

    /// Appends to the lists at `path`, and gives how long each is now; nil for what is no list.
    /// [JSON.ARRAPPEND](https://redis.io/docs/latest/commands/json.arrappend/)
    fn json_arrappend(
        self,
        key: impl Arg,
        path: &str,
        value: &serde_json::Value,
    ) -> Self::Out<Vec<Option<u64>>> {
        self.run(Cmd::of(&JSON_ARRAPPEND).arg(key).arg(path).arg(value.to_string()))
    }
}

impl<T: Run> JsonCommands for T {}

/// A value that came as the text of a JSON document.
#[derive(Debug, PartialEq)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> Reply for Json<T> {
    fn decode(reader: &mut Reader<'_>) -> redwire::Result<Self> {
        let text = Vec::<u8>::decode(reader)?;
        serde_json::from_slice(&text).map(Self).map_err(|error| {
            redwire::Error::new(ErrorKind::Decode, Outcome::Unreadable, error.to_string()).with_source(error)
        })
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Player {
    name: String,
    score: f64,
    friends: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(url) = std::env::args().nth(1) {
        return show(&url);
    }
    show(&Server::start().url())
}

/// A document, written, changed and read.
pub(crate) fn show(url: &str) -> Result<(), Box<dyn Error>> {
    let client = redwire::blocking::Client::connect(url)?;
    let known: Vec<Option<redwire::Value>> = client.execute(redwire::cmd("COMMAND INFO").arg("JSON.SET"))?;
    if known.iter().all(Option::is_none) {
        println!("this server has no JSON module: see https://redis.io/docs/latest/develop/data-types/json/");
        return Ok(());
    }
    let ann = Player { name: "Ann".to_owned(), score: 1.5, friends: vec!["Bob".to_owned()] };
    client.json_set("player", "$", &serde_json::to_value(&ann)?)?;
    let (lengths, names) = client.pipeline(|p| {
        (p.json_arrappend("player", "$.friends", &"Eve".into()), p.json_get::<String>("player", "$.name"))
    })?;
    println!("{names:?} has {lengths:?} friends");
    assert_eq!((lengths, names), (vec![Some(2)], Some(Json(vec!["Ann".to_owned()]))));
    let read: Option<Json<Vec<Player>>> = client.json_get("player", "$")?;
    let friends = ["Bob", "Eve"].map(str::to_owned).to_vec();
    assert_eq!(read, Some(Json(vec![Player { friends, ..ann }])));
    assert_eq!(client.json_get::<Player>("nobody", "$")?, None);
    client.del("player")?;
    Ok(())
}
