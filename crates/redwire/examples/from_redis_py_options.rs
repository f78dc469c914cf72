//! Coming from Python: what redis-py's client is told about its calls and connections, which is set here
//! before the client is made: response callbacks, credential providers, callbacks on connecting, retries.
//!
//! `cargo run -p redwire --example from_redis_py_options` starts a server for itself. Each step is a
//! parameter or a method of `redis.Redis` in the document "Connecting to Redis".
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use redwire::backoff::Backoff;
use redwire::config::Config;
use redwire::credentials::{CredentialProvider, Credentials};
use redwire::prelude::*;
use redwire::{Client, OnConnect, Result, Run, Value, cmd};
use redwire_testkit::{FakeServer, Server};

#[tokio::main]
async fn main() -> Result<()> {
    callbacks_and_providers().await?;
    retries().await
}

/// A credential provider of one's own, as a subclass of `CredentialProvider`.
struct UsernamePasswordCredentialProvider;

impl CredentialProvider for UsernamePasswordCredentialProvider {
    fn credentials(&self) -> Result<Credentials> {
        Ok(Credentials::new("ann", "hunter2"))
    }
}

/// `set_response_callback`, `credential_provider=…`, `redis_connect_func=…`.
async fn callbacks_and_providers() -> Result<()> {
    let server = Server::builder().acl_line("user ann on >hunter2 ~* &* +@all").start();
    println!("set_response_callback, credential_provider, redis_connect_func");
    // All of them belong to the configuration: a client does not change while it is used.
    let upper =
        |value: Value| Ok(value.as_str().map_or(Value::Null, |text| Value::Status(text.to_uppercase())));
    let config = Config::builder()
        .host("localhost")
        .port(server.port())
        .response_callback("GET", upper)
        .credential_provider(UsernamePasswordCredentialProvider)
        .on_connect(OnConnect::new(|connection| {
            Box::pin(connection.run::<()>(cmd("CLIENT SETNAME").arg("set-by-func")))
        }));
    let redis = Client::open(config.build()?).await?;
    redis.set("name", "shouting").await?;
    assert_eq!(redis.get::<String>("name").await?.as_deref(), Some("SHOUTING"));
    let info = redis.client_info().await?;
    assert_eq!((info.get("user"), info.name()), (Some("ann"), Some("set-by-func")));
    println!("  {:?} {:?}", info.get("user"), info.name());
    Ok(())
}

/// `retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), 3)`, `retry_on_error=[…]`, `retry_on_timeout=True`.
async fn retries() -> Result<()> {
    println!("\nretry");
    // A server that is slow to answer the first command, and loads its data for the next two.
    let asked = AtomicU32::new(0);
    let server = FakeServer::answering(move |words| match words[0].as_slice() {
        b"GET" => match asked.fetch_add(1, Ordering::Relaxed) {
            0 => {
                thread::sleep(Duration::from_millis(150));
                b"$8\r\ntoo late\r\n".to_vec()
            }
            2 | 3 => b"-LOADING not yet\r\n".to_vec(),
            _ => b"$5\r\nvalue\r\n".to_vec(),
        },
        b"HELLO" => b"-ERR unknown command\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    });
    let config = Config::builder()
        .url(&server.url())
        .retries(3)
        .retry_backoff(Backoff::exponential(Duration::from_millis(10), Duration::from_millis(100)))
        .retry_on(["LOADING"])
        .retry_on_timeout(true)
        .attempt_timeout(Duration::from_millis(100));
    let redis = Client::open(config.build()?).await?;
    // What only reads is tried again, and so is what was not executed. A write that may have been executed is
    // not, unless its caller says that it does no harm twice (`Cmd::idempotent`).
    for after in ["no answer in time", "LOADING"] {
        assert_eq!(redis.get::<String>("key").await?.as_deref(), Some("value"));
        println!("  \"value\", after {after}");
    }
    Ok(())
}
