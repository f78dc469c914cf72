//! Commands of modules by traits of one's own: they work everywhere, and what their facts say is kept to as
//! for redwire's own.

#[cfg(feature = "json")]
use std::collections::HashMap;
#[cfg(feature = "json")]
use std::sync::Mutex;
use std::time::Duration;

use redwire::facts::{Facts, Flags, KeySpec, TimeUnit, TimeoutArg, TimeoutPlace};
use redwire::{Cmd, Outcome, Result};
use redwire_testkit::{Direction, FakeServer, Fault, Proxy};
#[cfg(feature = "json")]
use serde_json::json;

use crate::common::{Client, Connection, Setup, runtime, timed};

#[cfg(feature = "json")]
#[allow(dead_code, reason = "an example, which is run from here, too")]
#[path = "../../examples/json.rs"]
mod json_documents;

#[allow(dead_code, reason = "an example, which is run from here, too")]
#[path = "../../examples/module_commands.rs"]
mod tallies;

use tallies::{Tally, TallyCommands, made_up_server};

both!(
    a_family_of_ones_own_works_everywhere,
    what_a_module_only_reads_is_repeated,
    a_module_may_make_its_callers_wait,
);

fn add(client: &Client, word: &str) -> Result<u64> {
    match client {
        Client::Tokio(client) => runtime().block_on(client.tally_add("t", word)),
        Client::Blocking(client) => client.tally_add("t", word),
    }
}

fn info(client: &Client) -> Result<Tally> {
    match client {
        Client::Tokio(client) => runtime().block_on(client.tally_info("t")),
        Client::Blocking(client) => client.tally_info("t"),
    }
}

fn a_family_of_ones_own_works_everywhere(setup: Setup) {
    let server = made_up_server();
    let client = setup.client(&server.url(), "");
    assert_eq!(add(&client, "a").unwrap(), 1);
    let (total, top, tally) =
        client.pipeline(|p| (p.tally_add("t", ["a", "b"]), p.tally_top("t", 1), p.tally_info("t"))).unwrap();
    assert_eq!((total, top), (3, vec![("a".to_owned(), 2)]));
    assert_eq!(tally, Tally { words: 2, total: 3 });
    let added = match setup.connection(&server.url(), "") {
        Connection::Tokio(mut connection) => runtime().block_on(connection.tally_add("t", "c")),
        Connection::Blocking(mut connection) => connection.tally_add("t", "c"),
    };
    assert_eq!(added.unwrap(), 4);
    let error = client.execute(Cmd::<u64>::new("TALLY.NONE").arg("t")).unwrap_err();
    assert_eq!((error.command(), error.code()), (Some("TALLY.NONE"), Some("ERR")), "{error}");
}

fn what_a_module_only_reads_is_repeated(setup: Setup) {
    let server = made_up_server();
    let proxy = Proxy::start(server.addr());
    let client = setup.client(&proxy.url(), "");
    let cut = || {
        info(&client).unwrap();
        proxy.set(Direction::ToClient, Fault::CutAfter(0));
    };
    cut();
    let error = add(&client, "a").unwrap_err();
    assert_eq!((error.outcome(), error.command()), (Outcome::MaybeExecuted, Some("TALLY.ADD")), "{error}");
    cut();
    assert_eq!(info(&client).unwrap(), Tally { words: 1, total: 1 });
    // Without facts, nothing is known and nothing repeated.
    cut();
    let error = client.execute(Cmd::<Tally>::new("TALLY.INFO").arg("t")).unwrap_err();
    assert_eq!((error.outcome(), error.tries()), (Outcome::MaybeExecuted, 1), "{error}");
}

/// Waits at the server as `BLPOP` does: its caller's deadline begins behind that, and others are not held up.
static TALLY_WAIT: Facts = Facts {
    flags: Flags::READONLY.with(Flags::BLOCKING),
    timeout: Some(TimeoutArg { place: TimeoutPlace::Last, unit: TimeUnit::Milliseconds }),
    ..Facts::new("TALLY.WAIT").with_keys(&[KeySpec::at(1)])
};

fn a_module_may_make_its_callers_wait(setup: Setup) {
    const WAIT: Duration = Duration::from_millis(600);
    let server = FakeServer::answering(|words| match &words[0][..] {
        b"TALLY.WAIT" => {
            std::thread::sleep(WAIT);
            b"$-1\r\n".to_vec()
        }
        b"HELLO" => b"%1\r\n+server\r\n+made up\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    });
    let client = setup.client(&server.url(), "timeout=500ms&health_check_interval=0");
    let wait = |facts: &'static Facts| Cmd::<Option<u64>>::of(facts).arg("t").arg(600);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| timed(|| client.execute(wait(&TALLY_WAIT))));
        client.run::<()>("PING").unwrap();
        let (nil, waited) = waiting.join().unwrap();
        assert_eq!(nil.unwrap(), None);
        assert!(waited >= WAIT, "{waited:?}");
    });
    static UNTOLD: Facts = Facts::new("TALLY.WAIT");
    assert!(client.execute(wait(&UNTOLD)).unwrap_err().is_timeout());
}

/// A server with as much of the JSON module as the example wants.
#[cfg(feature = "json")]
fn with_documents() -> FakeServer {
    let documents = Mutex::new(HashMap::<Vec<u8>, serde_json::Value>::new());
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len()).into_bytes();
    FakeServer::answering(move |words| {
        let mut documents = documents.lock().expect("no answer panics");
        let value = |word: &[u8]| serde_json::from_slice(word).expect("JSON");
        // `$.a` is `/a` in the pointers of serde_json.
        let pointer =
            words.get(2).map(|path| String::from_utf8_lossy(path).replace('$', "").replace('.', "/"));
        match (&words[0][..], pointer) {
            (b"COMMAND", _) => b"*1\r\n*1\r\n$8\r\njson.set\r\n".to_vec(),
            (b"JSON.SET", _) => {
                documents.insert(words[1].clone(), value(&words[3]));
                b"+OK\r\n".to_vec()
            }
            (b"JSON.GET", Some(pointer)) => match documents.get(&words[1]) {
                Some(document) => bulk(&json!([document.pointer(&pointer)]).to_string()),
                None => b"$-1\r\n".to_vec(),
            },
            (b"JSON.ARRAPPEND", Some(pointer)) => {
                let list = documents.get_mut(&words[1]).and_then(|document| document.pointer_mut(&pointer));
                let list = list.and_then(serde_json::Value::as_array_mut).expect("a list");
                list.push(value(&words[3]));
                format!("*1\r\n:{}\r\n", list.len()).into_bytes()
            }
            (b"DEL", _) => format!(":{}\r\n", u8::from(documents.remove(&words[1]).is_some())).into_bytes(),
            (b"HELLO", _) => b"%1\r\n+server\r\n+made up\r\n".to_vec(),
            _ => b"+OK\r\n".to_vec(),
        }
    })
}

#[cfg(feature = "json")]
#[test]
fn the_example_with_documents_works_where_there_is_a_module() {
    let server = with_documents();
    json_documents::show(&server.url()).unwrap();
    let names: Vec<_> = server.received().into_iter().map(|mut words| words.swap_remove(0)).collect();
    assert!(names.contains(&b"JSON.ARRAPPEND".to_vec()), "it was not skipped");
}
