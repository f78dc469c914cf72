//! Passwords that change while the program runs: every connection that lives presents the new one between two
//! replies, and no call fails.
//!
//! `cargo run -p redwire --example rotating_credentials` starts a server for itself, and plays the part of
//! the service that renews tokens: a vault, or the identity service of a cloud. A password that is asked for
//! at each connect, and never changes while connections live, needs less: a
//! [`CredentialProvider`](redwire::credentials::CredentialProvider) of your own.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use redwire::config::Config;
use redwire::credentials::{Credentials, RotatingCredentials};
use redwire::prelude::*;
use redwire::{Result, blocking};
use redwire_testkit::Server;

fn main() -> Result<()> {
    let server = Server::start();
    let token = RotatingCredentials::new(renew(&server, 1));
    let config =
        Config::builder().host("127.0.0.1").port(server.port()).credential_provider(token.clone()).build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");

    let ended = AtomicBool::new(false);
    let (by_threads, by_tasks) = thread::scope(|scope| {
        let threads = scope.spawn(|| work_as_a_thread(config.clone(), &ended));
        let tasks = scope.spawn(|| runtime.block_on(work_as_a_task(config.clone(), &ended)));
        for number in 2..=5 {
            thread::sleep(Duration::from_millis(200));
            // All that the program itself has to do.
            token.rotate(renew(&server, number));
            println!("token {number} is the one that is valid now");
        }
        thread::sleep(Duration::from_millis(200));
        ended.store(true, Ordering::Relaxed);
        (threads.join().expect("it does not panic"), tasks.join().expect("it does not panic"))
    });
    println!("\n{} blocking calls and {} async ones, none failed", by_threads?, by_tasks?);
    println!("{token:?}, and nothing else prints it either");
    Ok(())
}

/// Gives the user another password; the one before is good for no new connection any more.
fn renew(server: &Server, number: u32) -> Credentials {
    let token = format!("token {number}");
    let password = format!(">{token}");
    let words = ["ACL", "SETUSER", "service", "on", "resetpass", &password, "~*", "+@all"];
    server.command(&words).expect("the user can be changed");
    Credentials::new("service", token)
}

fn work_as_a_thread(config: Config, ended: &AtomicBool) -> Result<u64> {
    let client = blocking::Client::open(config)?;
    let mut calls = 0;
    while !ended.load(Ordering::Relaxed) {
        client.incr("by threads")?;
        calls += 1;
    }
    Ok(calls)
}

async fn work_as_a_task(config: Config, ended: &AtomicBool) -> Result<u64> {
    let client = redwire::Client::open(config).await?;
    let mut calls = 0;
    while !ended.load(Ordering::Relaxed) {
        client.get::<i64>("by threads").await?;
        calls += 1;
    }
    Ok(calls)
}
