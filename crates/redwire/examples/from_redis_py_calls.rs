//! Coming from Python: what redis-py's client does besides single commands: pipelines, transactions,
//! publish/subscribe, scripts, commands of modules, MONITOR.
//!
//! `cargo run -p redwire --example from_redis_py_calls` starts a server for itself. Each step is a method of
//! `redis.Redis` in the document "Connecting to Redis", with the result that it gives there. All is awaited
//! here, and has the same name in `redwire::blocking`.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redwire::backoff::Backoff;
use redwire::prelude::*;
use redwire::pubsub::{SubscribeOptions, SubscriptionEvent};
use redwire::{Arg, Client, Cmd, Result, Run, Script, TransactionOptions, cmd};
use redwire_testkit::{FakeServer, Server};

#[tokio::main]
async fn main() -> Result<()> {
    let server = Server::start();
    let redis = Client::connect(&server.url()).await?;
    pipelines(&redis).await?;
    transactions(&redis).await?;
    publish_subscribe(&redis).await?;
    scripts_and_modules(&redis).await?;
    monitor(&redis).await
}

/// `execute_command(*args)`, `pipeline(transaction=True)`, `parse_response`.
async fn pipelines(redis: &Client) -> Result<()> {
    println!("pipeline");
    redis.execute::<()>(cmd("SET").arg("bing").arg("baz")).await?;

    // pipe = r.pipeline(); pipe.set('foo', 'bar'); pipe.get('bing'); pipe.execute() is [True, b'baz']. It is
    // one transaction there; here `atomic` is, and `pipeline` is pipeline(transaction=False).
    let ((), bing) = redis.atomic(|p| (p.set("foo", "bar"), p.get::<String>("bing"))).await?;
    assert_eq!(bing.as_deref(), Some("baz"));
    let (text, n) = redis.pipeline(|p| (p.get::<String>("foo"), p.incr("n"))).await?;
    assert_eq!((text.as_deref(), n), (Some("bar"), 1));
    println!("  {bing:?}, {text:?}, {n}");

    // execute(raise_on_error=False): an error in the place of a result, for the commands that say so.
    let (n, failed) = redis.pipeline(|p| (p.incr("n"), p.incr("foo").attempt())).await?;
    println!("  {n}, {}", failed.expect_err("'bar' is no number"));
    Ok(())
}

/// `transaction(func, *watches, value_from_callable, watch_delay)`.
async fn transactions(redis: &Client) -> Result<()> {
    println!("\ntransaction");
    redis.set("OUR-SEQUENCE-KEY", 1).await?;
    let tries = AtomicU32::new(0);
    let options = TransactionOptions::new().backoff(Backoff::constant(Duration::from_millis(1)));
    let value = redis
        .transaction_with(options, "OUR-SEQUENCE-KEY", async |mut pipe| {
            let current: i64 = pipe.get::<i64>("OUR-SEQUENCE-KEY").await?.unwrap_or_default();
            if tries.fetch_add(1, Ordering::Relaxed) == 0 {
                // Another client is quicker: a WatchError in Python, and another try.
                redis.set("OUR-SEQUENCE-KEY", 41).await?;
            }
            pipe.commit(|p| p.set("OUR-SEQUENCE-KEY", current + 1)).await?;
            Ok(current + 1)
        })
        .await?;
    let tries = tries.into_inner();
    assert_eq!((value, tries), (42, 2));
    println!("  {value} at the try {tries}");
    Ok(())
}

/// `pubsub(ignore_subscribe_messages=…)`, `get_message(timeout)`, `run_in_thread`.
async fn publish_subscribe(redis: &Client) -> Result<()> {
    println!("\npubsub");
    let limit = Duration::from_secs(5);
    let pubsub = redis.pubsub();
    let told = SubscribeOptions::new().confirmations(true);
    let mut p = pubsub.subscribe_with("my-first-channel", told).await?;
    let first = p.next_within(limit).await;
    assert!(matches!(&first, Some(SubscriptionEvent::Subscribed(name)) if name == "my-first-channel"));
    assert_eq!(redis.publish("my-first-channel", "some data").await?, 1);
    let Some(SubscriptionEvent::Message(message)) = p.next_within(limit).await else { panic!("one comes") };
    println!("  {}: {}", message.channel_text(), message.text()?);
    assert_eq!(message.text()?, "some data");
    // get_message() is None where nothing came.
    assert!(p.next_within(Duration::ZERO).await.is_none());

    // psubscribe(**{'my-*': handler}); run_in_thread(): a task calls the handler until `running` is dropped.
    let (heard, mut messages) = tokio::sync::mpsc::unbounded_channel();
    let running = pubsub.psubscribe("my-*").await?.each(move |event| {
        // An error once this example is over, and reads no more events.
        let _ = heard.send(event);
    })?;
    redis.publish("my-second-channel", "more").await?;
    let event = messages.recv().await;
    let Some(SubscriptionEvent::Message(message)) = event else { panic!("expected a message: {event:?}") };
    println!("  handler: {}", message.text()?);
    drop(running);
    Ok(())
}

/// The commands of a module: load_external_module("foo", F), then r.foo().dothing('your', 'arguments').
trait FooCommands: Run {
    fn dothing(self, arguments: impl Arg) -> Self::Out<String> {
        self.run(Cmd::new("foo.dothing").arg(arguments))
    }
}

impl<T: Run> FooCommands for T {}

/// `register_script`, `load_external_module`.
async fn scripts_and_modules(redis: &Client) -> Result<()> {
    println!("\nscript, module");
    let multiply = Script::new("return redis.call('GET', KEYS[1]) * ARGV[1]");
    redis.set("foo", 2).await?;
    let product: i64 = redis.invoke(multiply.key("foo").arg(5)).await?;
    assert_eq!(product, 10);
    println!("  multiply: {product}");

    let server = FakeServer::answering(|words| match words[0].as_slice() {
        b"foo.dothing" => b"+done\r\n".to_vec(),
        b"HELLO" => b"-ERR unknown command\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    });
    let with_module = Client::connect(&server.url()).await?;
    let done = with_module.dothing(("your", "arguments")).await?;
    assert_eq!(done, "done");
    println!("  foo.dothing: {done}");
    Ok(())
}

/// `monitor()`, `next_command()`.
async fn monitor(redis: &Client) -> Result<()> {
    println!("\nmonitor");
    let mut monitor = redis.monitor().await?;
    redis.echo::<String>("seen").await?;
    loop {
        let entry = monitor.next().await.expect("it is not over")?;
        if entry.command == [&b"ECHO"[..], b"seen"] {
            println!("  {:?} in database {}", entry.client, entry.db);
            return Ok(());
        }
    }
}
