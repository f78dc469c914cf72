//! The commands of the JSON module, with values of any type that serde knows.
//!
//! `cargo run -p redwire --example json` starts a server for itself, or asks the one whose URL is given. It
//! needs the module, which Redis 8 and the bundle of Valkey have in their packages; without it, the example
//! says so.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::error::Error;

use redwire::Json;
use redwire::prelude::*;
use redwire_testkit::Server;
use serde::{Deserialize, Serialize};

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
    client.json_set("player", "$", Json(&ann))?;
    let (lengths, names) = client.pipeline(|p| {
        let names = p.json_get::<Json<Vec<String>>>("player", "$.name");
        (p.json_arrappend("player", "$.friends", Json("Eve")), names)
    })?;
    println!("{names:?} has {lengths:?} friends");
    assert_eq!((lengths.into_vec(), names), (vec![Some(2)], Some(Json(vec!["Ann".to_owned()]))));
    let read: Option<Json<Vec<Player>>> = client.json_get("player", "$")?;
    let friends = ["Bob", "Eve"].map(str::to_owned).to_vec();
    assert_eq!(read, Some(Json(vec![Player { friends, ..ann }])));
    assert_eq!(client.json_get::<Json<Vec<Player>>>("nobody", "$")?, None);
    client.del("player")?;
    Ok(())
}
