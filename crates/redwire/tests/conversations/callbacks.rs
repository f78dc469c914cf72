//! Response callbacks: what users make of the replies to a command, on clients, connections, pipelines and
//! leases alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redwire::cache::CacheOptions;
use redwire::config::{Config, ConfigBuilder};
use redwire::{Cmd, Error, ErrorKind, Outcome, Result, Run, Slot, Value};
use redwire_testkit::{Direction, Fault, Proxy, Server};

use crate::common::pool::Pool;
use crate::common::{Client, Setup, runtime, words};

both!(
    a_callback_serves_all_clients_of_the_configuration,
    the_caller_still_chooses_the_type,
    a_callback_that_fails_says_that_the_command_was_executed,
    errors_of_the_server_pass_by,
    a_repeated_call_is_converted_once,
    a_cache_and_very_many_commands_convert_too,
);

/// `text` in capitals.
fn upper(value: Value) -> Result<Value> {
    let Value::Bytes(bytes) = &value else { return Ok(value) };
    Ok(Value::Bytes(bytes.to_ascii_uppercase().into()))
}

/// The pairs of a `CLIENT INFO` line.
fn pairs(value: Value) -> Result<Value> {
    let text = value.as_str().ok_or_else(|| Error::new(ErrorKind::Decode, Outcome::Unreadable, "no text"))?;
    let pair = |text: &str| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (Value::Status(name.to_owned()), Value::Status(value.to_owned()))
    };
    Ok(Value::Map(text.trim_end().split(' ').map(pair).collect()))
}

fn options(url: &str) -> ConfigBuilder {
    Config::builder().url(url).response_callback("GET", upper).response_callback("client info", pairs)
}

fn a_callback_serves_all_clients_of_the_configuration(setup: Setup) {
    let server = Server::start();
    server.command(&["SET", "k", "value"]).unwrap();
    server.command(&["RPUSH", "list", "value"]).unwrap();
    let client = setup.open(options(&server.url())).unwrap();
    let mut connection = setup.open_connection(options(&server.url())).unwrap();
    let get = || words::<String>("get k");
    assert_eq!(client.execute(get()).unwrap(), "VALUE");
    assert_eq!(connection.run::<String>("GET k").unwrap(), "VALUE");
    assert_eq!(Pool::of(&client).get().unwrap().run::<String>("GET k").unwrap(), "VALUE");
    let build = |p: &redwire::Pipeline| -> (Slot<String>, Slot<u64>, Slot<String>) {
        (p.run(get()), p.run(words("STRLEN k")), p.run(get()))
    };
    let expected = ("VALUE".to_owned(), 5, "VALUE".to_owned());
    assert_eq!(client.pipeline(build).unwrap(), expected);
    assert_eq!(connection.pipeline(build).unwrap(), expected);
    // Also in a transaction, whose replies come in one.
    assert_eq!(atomic(&client, build).unwrap(), expected);
    assert_eq!(watched(&client, build).unwrap(), expected);
    // Others are left alone, and so are replies that are read apart from their commands.
    assert_eq!(client.run::<String>("GETRANGE k 0 -1").unwrap(), "value");
    assert_eq!(client.run::<(String, String)>("BLPOP list 1").unwrap().1, "value");
    assert_eq!(setup.client(&server.url(), "").run::<String>("GET k").unwrap(), "value");
    connection.send("GET k").unwrap();
    assert_eq!(connection.read_reply::<String>().unwrap(), "value");
}

/// Of either driver.
fn atomic<S: redwire::Slots>(client: &Client, build: impl FnOnce(&redwire::Pipeline) -> S) -> Result<S::Out> {
    match client {
        Client::Tokio(client) => runtime().block_on(client.atomic(build)),
        Client::Blocking(client) => client.atomic(build),
    }
}

/// As [`atomic`], with a key that is watched and read first.
fn watched<S: redwire::Slots + Send>(
    client: &Client,
    build: impl Fn(&redwire::Pipeline) -> S,
) -> Result<S::Out> {
    match client {
        Client::Tokio(client) => runtime().block_on(client.transaction(["k"], async |mut tx| {
            assert_eq!(tx.run(words::<String>("GET k")).await?, "VALUE");
            tx.commit(&build).await
        })),
        Client::Blocking(client) => client.transaction(["k"], |mut tx| {
            assert_eq!(tx.run(words::<String>("GET k"))?, "VALUE");
            tx.commit(&build)
        }),
    }
}

fn the_caller_still_chooses_the_type(setup: Setup) {
    let server = Server::start();
    let client = setup.open(options(&server.url()).client_name("mine")).unwrap();
    let info: std::collections::HashMap<String, String> = client.run("CLIENT INFO").unwrap();
    assert_eq!((&*info["name"], &*info["db"]), ("mine", "0"));
    let list: Vec<(String, String)> = client.run("CLIENT INFO").unwrap();
    assert_eq!(list[0].0, "id");
    assert_eq!(client.run::<Option<String>>("GET none").unwrap(), None);
    client.run::<()>("SET n 7").unwrap();
    assert_eq!(client.run::<u32>("GET n").unwrap(), 7);
    let error = client.run::<String>("CLIENT INFO").unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Unreadable), "{error}");
}

fn a_callback_that_fails_says_that_the_command_was_executed(setup: Setup) {
    let server = Server::start();
    let refuse = |_| Err(Error::usage("not today"));
    let client = setup.open(options(&server.url()).response_callback("INCR", refuse)).unwrap();
    let mut connection = setup.open_connection(client.config().to_builder()).unwrap();
    let errors = [
        client.run::<i64>("INCR n").unwrap_err(),
        connection.run::<i64>("INCR n").unwrap_err(),
        client
            .pipeline(|p| -> (Slot<()>, Slot<i64>) { (p.run(words("PING")), p.run(words("INCR n"))) })
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Unreadable), "{error}");
        assert_eq!((error.command(), error.tries()), (Some("INCR"), 1), "{error}");
        assert!(error.to_string().contains("not today"), "{error}");
        assert!(error.address().is_some(), "{error}");
    }
    assert_eq!(server.command(&["GET", "n"]).unwrap(), "3");
}

fn errors_of_the_server_pass_by(setup: Setup) {
    let server = Server::start();
    server.command(&["RPUSH", "list", "a"]).unwrap();
    let client = setup.open(options(&server.url())).unwrap();
    let error = client.run::<String>("GET list").unwrap_err();
    assert_eq!((error.code(), error.outcome()), (Some("WRONGTYPE"), Outcome::Rejected), "{error}");
    let (error, length) = client
        .pipeline(|p| {
            let get: Slot<String> = p.run(words("GET list"));
            let length: Slot<u64> = p.run(words("LLEN list"));
            (get.attempt(), length)
        })
        .unwrap();
    assert_eq!((error.unwrap_err().code(), length), (Some("WRONGTYPE"), 1));
}

fn a_repeated_call_is_converted_once(setup: Setup) {
    let server = Server::start();
    server.command(&["SET", "k", "value"]).unwrap();
    let proxy = Proxy::start(server.addr());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = {
        let asked = Arc::clone(&asked);
        move |value| {
            asked.fetch_add(1, Ordering::Relaxed);
            upper(value)
        }
    };
    let client = setup.open(options(&proxy.url()).response_callback("GET", counted)).unwrap();
    client.run::<()>("PING").unwrap();
    proxy.set(Direction::ToClient, Fault::CutAfter(3));
    assert_eq!(client.execute(Cmd::<String>::new("GET").arg("k")).unwrap(), "VALUE");
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// Whether a read comes from memory or not, it is converted.
fn a_cache_and_very_many_commands_convert_too(setup: Setup) {
    let server = Server::start();
    server.command(&["SET", "k", "value"]).unwrap();
    let client = setup.open(options(&server.url())).unwrap();
    let gets = || (0..3).map(|_| words::<String>("GET k"));
    let (cached, many, hits) = match &client {
        Client::Tokio(client) => runtime().block_on(async {
            let cache = client.cached(CacheOptions::default()).await.unwrap();
            let mut cached = Vec::new();
            for cmd in gets() {
                cached.push(cache.execute(cmd).await.unwrap());
            }
            let (mut many, mut results) = (Vec::new(), client.run_all(gets()));
            while let Some(result) = results.next().await {
                many.push(result.unwrap());
            }
            (cached, many, cache.stats().hits)
        }),
        Client::Blocking(client) => {
            let cache = client.cached(CacheOptions::default()).unwrap();
            let cached: Vec<_> = gets().map(|cmd| cache.execute(cmd).unwrap()).collect();
            let many = client.run_all(gets()).map(Result::unwrap).collect();
            (cached, many, cache.stats().hits)
        }
    };
    assert_eq!((cached, many), (vec!["VALUE".to_owned(); 3], vec!["VALUE".to_owned(); 3]));
    assert_eq!(hits, 2, "from memory");
}
