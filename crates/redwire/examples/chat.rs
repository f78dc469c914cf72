//! A chat over publish/subscribe, and what a subscriber is told when its connection is lost.
//!
//! `cargo run -p redwire --example chat` starts a server for itself. Ann is a task, Bob is a thread.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use redwire::prelude::*;
use redwire::pubsub::SubscriptionEvent;
use redwire::{Client, Handler, Result, blocking, cmd};
use redwire_testkit::Server;

fn main() -> Result<()> {
    let server = Server::start();
    let (lines, heard) = mpsc::channel();
    let pubsub = blocking::PubSub::connect(&server.url())?;
    let bobs = lines.clone();
    let _bob = pubsub.subscribe("room")?.each(move |item| hear("bob", &item, &bobs))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    let _ann = runtime.block_on(evening(&server.url(), lines))?;
    show(&heard);
    Ok(())
}

/// Ann listens, and says something now and then. She hears as long as her handler is kept.
async fn evening(url: &str, lines: Sender<String>) -> Result<Handler> {
    let client = Client::connect(url).await?;
    let ann = client.subscribe("room").await?.each(move |item| hear("ann", &item, &lines))?;
    say(&client, "good evening").await?;

    // The connections are cut: each subscriber gets another by itself.
    client.execute::<u64>(cmd("CLIENT KILL").arg("TYPE").arg("pubsub")).await?;
    while say(&client, "is anybody there?").await? < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    say(&client, "good night").await?;
    Ok(ann)
}

async fn say(client: &Client, words: &str) -> Result<u64> {
    let listeners = client.publish("room", words).await?;
    println!("said to {listeners}: {words}");
    Ok(listeners)
}

/// What a subscriber hears, as a line.
fn hear(who: &str, item: &SubscriptionEvent, lines: &Sender<String>) {
    let line = match item {
        SubscriptionEvent::Message(message) => match message.text() {
            Ok(text) => text.to_owned(),
            Err(error) => format!("({error})"),
        },
        SubscriptionEvent::Gap { from, to } => {
            format!("(something may be missing: nothing was heard for {:?})", *to - *from)
        }
        other => format!("({other:?})"),
    };
    // Nothing reads it any more once the chat is over.
    let _ = lines.send(format!("{who} hears: {line}"));
}

/// Prints what was heard, until both have heard the last word.
fn show(heard: &Receiver<String>) {
    let mut left = 2;
    while left > 0 {
        let line = heard.recv_timeout(Duration::from_secs(5)).expect("both hear it");
        println!("{line}");
        left -= u32::from(line.ends_with("good night"));
    }
}
