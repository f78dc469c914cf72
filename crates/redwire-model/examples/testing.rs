//! How a program that uses redwire is tested without a server: over a port, with a clock that the test turns;
//! and in memory, in a runtime whose clock is paused.
//!
//! `cargo run -p redwire-model --features tokio --example testing`
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::time::Duration;

use redwire::config::Config;
use redwire::connector::Connector;
use redwire::prelude::*;
use redwire::{Client, Result, cmd};
use redwire_model::{Condition, Host, Options, Server};

/// The program under test: sessions that end after half an hour.
struct Sessions(Client);

impl Sessions {
    async fn log_in(&self, token: &str, user: &str) -> Result<()> {
        self.0.execute(cmd::<()>("SET").arg(format!("session:{token}")).arg(user).arg("EX").arg(1800)).await
    }

    async fn user(&self, token: &str) -> Result<Option<String>> {
        self.0.get(format!("session:{token}")).await
    }
}

fn main() -> Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime starts").block_on(over_a_port())?;
    builder.start_paused(true).build().expect("a runtime starts").block_on(in_memory())
}

/// The test turns the server's clock.
async fn over_a_port() -> Result<()> {
    let server = Server::start();
    let sessions = Sessions(Client::connect(&server.url()).await?);
    sessions.log_in("t", "ada").await?;
    server.advance(Duration::from_secs(1799));
    println!("after 1799 s: {:?}", sessions.user("t").await?);
    server.advance(Duration::from_secs(1));
    println!("after 1800 s: {:?}", sessions.user("t").await?);

    server.set(Condition::OutOfMemory, true);
    println!("a full server: {}", sessions.log_in("t", "ada").await.expect_err("it is full"));
    Ok(())
}

/// The runtime's clock is the server's, and goes on when nothing else is to be done.
async fn in_memory() -> Result<()> {
    let host = Host::by_runtime(Options::new());
    let connector = {
        let host = host.clone();
        Connector::from_fn(move |_| std::future::ready(Ok(host.connect_task())))
    };
    let config = Config::builder().host("model").connector(connector).build()?;
    let sessions = Sessions(Client::open(config).await?);
    sessions.log_in("t", "ada").await?;
    println!("at once: {:?}", sessions.user("t").await?);
    tokio::time::sleep(Duration::from_secs(1800)).await;
    println!("half an hour later: {:?}", sessions.user("t").await?);
    Ok(())
}
