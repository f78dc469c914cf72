//! A walk through the features, on a private server, with both drivers: `cargo xtask demo`.
//!
//! Each step says what it does, shows the answer and how long it took. Nothing outside is touched: the
//! servers are started for the walk and stopped after it. With `--on-model` the server is a model in a
//! process (`crates/redwire-model/examples/serve.rs`), and sets of servers are left out.
#![allow(clippy::print_stdout, reason = "a program for the terminal: printing is its work")]

mod cluster;
mod conversations;
mod failover;
mod outages;

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use redwire::prelude::*;
use redwire::{ErrorKind, Result, ScanOptions, blocking, cmd};
use redwire_testkit::Server;

fn main() -> Result<()> {
    let on_model = std::env::args().any(|word| word == "--on-model");
    let server = Server::start();
    let (major, minor, patch) = server.version();
    let name = if server.is_valkey() { "Valkey" } else { "Redis" };
    println!(
        "A private {}{name} {major}.{minor}.{patch} listens at {} and {}",
        if on_model { "model of " } else { "" },
        server.url(),
        server.unix_url()
    );

    act("Blocking: no runtime, any thread");
    tour(&server)?;

    act("Async: the same names, awaited");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(awaited_tour(&server))?;

    act("Conversations: more than a request and its reply");
    runtime.block_on(conversations::all(&server))?;

    act("What goes wrong is told apart");
    mistakes(&server)?;

    act("A server is killed, restarted, frozen and thawed under load");
    outages::show()?;

    if on_model {
        act("Left out: sentinels and a cluster, which take real servers in several processes");
    } else {
        sets()?;
    }
    println!("\nThe servers are stopped; nothing is left behind.");
    Ok(())
}

/// The acts that take several servers.
fn sets() -> Result<()> {
    act("Sentinels replace a master under load");
    failover::show()?;

    act("A cluster moves slots and loses a primary under load");
    cluster::show()
}

fn act(title: &str) {
    println!("\n{title}");
}

/// Shows what was done, the answer and the time it took.
fn show<T: Debug>(what: &str, begin: Instant, answer: T) {
    let mut answer = format!("{answer:?}");
    if answer.chars().count() > 60 {
        answer = answer.chars().take(59).chain(['…']).collect();
    }
    println!("  {what:<46} {answer:<60} {:>9.1?}", begin.elapsed());
}

/// A client or a connection, of which the walk shows only that it is there.
struct Quiet<T>(T);

impl<T> Debug for Quiet<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connected")
    }
}

macro_rules! step {
    ($what:expr, $call:expr) => {{
        let begin = Instant::now();
        let answer = $call;
        show($what, begin, &answer);
        answer
    }};
}

fn tour(server: &Server) -> Result<()> {
    let client = step!("connect by TCP", Quiet(blocking::Client::connect(&server.url())?)).0;
    step!("set greeting, for an hour", client.set_ex("greeting", "hello", Duration::from_secs(3600))?);
    step!("get greeting as text", client.get::<String>("greeting")?);
    step!("get it as bytes", client.get::<Vec<u8>>("greeting")?);
    step!("get what is not there", client.get::<String>("nothing")?);
    step!("incr visits", client.incr("visits")?);
    step!("hset a map in one go", client.hset_multiple("ann", [("name", "Ann"), ("age", "41")])?);
    step!("hgetall into a HashMap", client.hgetall::<HashMap<String, String>>("ann")?);
    step!("rpush three", client.rpush("queue", ["a", "b", "c"])?);
    step!("lrange", client.lrange::<Vec<String>>("queue", 0, -1)?);
    step!("pipeline of 1 000 incr, one write", {
        client.pipeline(|p| (0..1000).map(|_| p.incr("n")).collect::<Vec<_>>())?.last().copied()
    });
    step!("scan 1 000 keys", {
        client.pipeline(|p| (0..1000).map(|i| p.set(format!("scan:{i}"), i)).collect::<Vec<_>>())?;
        let keys: Vec<String> =
            client.scan(ScanOptions::new().pattern("scan:*").count(200)).collect::<Result<_>>()?;
        keys.len()
    });
    step!("any command: OBJECT ENCODING", client.execute::<String>(cmd("OBJECT ENCODING").arg("ann"))?);
    let unix = step!("connect by Unix socket", Quiet(blocking::Client::connect(&server.unix_url())?)).0;
    step!("ping", unix.ping()?);
    Ok(())
}

async fn awaited_tour(server: &Server) -> Result<()> {
    let client = step!("connect", Quiet(redwire::Client::connect(&server.url()).await?)).0;
    step!("get greeting", client.get::<String>("greeting").await?);
    step!("a pipeline gives back its own shape", {
        client
            .pipeline(|p| (p.incr("n"), p.lrange::<Vec<String>>("queue", 0, -1), p.get::<String>("greeting")))
            .await?
    });
    step!("10 000 incr by 100 tasks, one connection", many_tasks(&client).await?);
    step!("get 1 MiB without copying it", {
        client.set("large", bytes::Bytes::from(vec![b'x'; 1024 * 1024])).await?;
        client.get::<bytes::Bytes>("large").await?.map(|value| value.len())
    });
    let (popped, got) = step!("blpop waits 0.2 s, get beside it does not", {
        let begin = Instant::now();
        let blpop = client.blpop::<String, String>("empty", Duration::from_millis(200));
        let get = async {
            client.get::<String>("greeting").await?;
            Ok::<_, redwire::Error>(begin.elapsed())
        };
        let (popped, got) = tokio::join!(blpop, get);
        (popped?, got?)
    });
    assert!(popped.is_none() && got < Duration::from_millis(200));
    step!("a call dropped after 1 µs disturbs no other", {
        let _ = tokio::time::timeout(Duration::from_micros(1), client.get::<String>("large")).await;
        client.get::<String>("greeting").await?
    });
    let mut connection =
        step!("one connection by hand", Quiet(redwire::Connection::connect(&server.url()).await?)).0;
    step!("with a database of its own", {
        connection.select(3).await?;
        connection.dbsize().await?
    });
    Ok(())
}

async fn many_tasks(client: &redwire::Client) -> Result<i64> {
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..100 {
                    client.incr("counter").await?;
                }
                Ok::<_, redwire::Error>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the task does not panic")?;
    }
    client.get::<i64>("counter").await.map(Option::unwrap_or_default)
}

fn mistakes(server: &Server) -> Result<()> {
    let client = blocking::Client::connect(&server.url())?;
    let tell = |what: &str, error: redwire::Error| {
        println!("  {what:<46} {:?}, {:?}\n    {error}", error.kind(), error.outcome());
        error
    };
    tell("incr of a word", client.incr("greeting").unwrap_err());
    tell("text read as a number", client.get::<i64>("greeting").unwrap_err());
    tell("select on a shared client", client.execute::<()>(cmd("SELECT").arg(1)).unwrap_err());
    tell("a typo in the URL", blocking::Client::connect("redis://localhost?tiemout=3").unwrap_err());
    let refused =
        tell("a port where no server listens", blocking::Client::connect("redis://127.0.0.1:1").unwrap_err());
    assert!(matches!(refused.kind(), ErrorKind::Connection(_)));
    server.freeze();
    let begin = Instant::now();
    let frozen = tell(
        "a frozen server, deadline 300 ms",
        client.execute::<i64>(cmd("INCR").arg("n").timeout(Duration::from_millis(300))).unwrap_err(),
    );
    println!("    … after {:.0?}", begin.elapsed());
    assert!(frozen.is_timeout());
    server.thaw();
    step!("thawed: back without reconnecting by hand", client.get::<String>("greeting")?);
    Ok(())
}
