//! Both drivers carry out the same decisions: the same conversation, word by word, with the same results.

use std::time::Duration;

use redwire::{Run, Slot, Value, cmd};
use redwire_testkit::{FakeServer, Step, expect, push, reply};

use crate::common::{Client, Driver, Setup, words};

/// A server's whole conversation: handshake, calls, an error, a pipeline, pushes, pieces, a lost connection.
fn script(protocol: u8) -> Vec<Vec<Step>> {
    let ok = || reply("+OK\r\n");
    let (pushed, opening) = match protocol {
        3 => (
            ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n",
            vec![
                expect(&["HELLO", "3", "AUTH", "ann", "pw", "SETNAME", "me"]),
                reply("%2\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n8.0.1\r\n"),
            ],
        ),
        _ => ("", vec![expect(&["AUTH", "ann", "pw"]), ok(), expect(&["CLIENT", "SETNAME", "me"]), ok()]),
    };
    let mut opening = opening;
    opening.extend([expect(&["CLIENT", "SETINFO", "LIB-NAME", "lib"]), reply("-ERR unknown subcommand\r\n")]);
    opening.extend([expect(&["CLIENT", "SETINFO", "LIB-VER", "1"]), reply("-NOPERM no\r\n")]);
    opening.extend([expect(&["SELECT", "2"]), ok()]);
    let pieces = b"$11\r\nhello world\r\n".chunks(3).map(<[u8]>::to_vec).collect();
    let mut first = opening.clone();
    first.extend([
        expect(&["SET", "k", "v"]),
        ok(),
        push(pushed),
        expect(&["GET", "k"]),
        Step::ReplyPieces(pieces, Duration::from_millis(1)),
        expect(&["INCR", "k"]),
        reply("-WRONGTYPE Operation against a key\r\n"),
        expect(&["INCR", "n"]),
        expect(&["GET", "k"]),
        expect(&["LRANGE", "l", "0", "-1"]),
        reply(format!(":7\r\n{pushed}$1\r\nv\r\n*2\r\n$1\r\na\r\n")),
        reply(format!("$-1\r\n{pushed}")),
        // A read whose connection is lost is sent again on a new one; a write is not.
        expect(&["GET", "again"]),
        Step::Close,
    ]);
    let mut second = opening.clone();
    second.extend([expect(&["GET", "again"]), reply("$3\r\nyes\r\n"), expect(&["INCR", "n"]), Step::Close]);
    let mut third = opening;
    third.extend([expect(&["PING"]), reply("+PONG\r\n")]);
    vec![first, second, third]
}

/// What each call gave, printed.
fn converse(client: &Client) -> Vec<String> {
    let mut told = Vec::new();
    let mut tell = |what: redwire::Result<String>| told.push(what.unwrap_or_else(|error| format!("{error}")));
    tell(client.run("SET k v"));
    tell(client.run("GET k"));
    tell(client.run::<i64>("INCR k").map(|n| n.to_string()));
    let replies = client.pipeline(|p| -> (Slot<i64>, Slot<String>, Slot<Vec<Option<String>>>) {
        (p.run(words("INCR n")), p.run(words("GET k")), p.run(cmd("LRANGE").arg("l").arg(0).arg(-1)))
    });
    tell(replies.map(|replies| format!("{replies:?}")));
    tell(client.run("GET again"));
    tell(client.run::<Value>("INCR n").map(|value| format!("{value:?}")));
    tell(client.run("PING"));
    told
}

#[test]
fn both_drivers_have_the_same_conversation() {
    for protocol in [3, 2] {
        let play = |driver| {
            let fake = FakeServer::scripts(script(protocol));
            let url = fake.url().replace("redis://", "redis://ann:pw@");
            let options = "client_name=me&lib_name=lib&lib_version=1&db=2&retry_backoff=none";
            let client = Setup { driver, protocol }.client(&url, options);
            let told: Vec<String> = converse(&client)
                .into_iter()
                .map(|line| line.replace(&fake.addr().to_string(), "ADDRESS"))
                .collect();
            fake.verify();
            let heard: Vec<_> = (0..3).map(|connection| fake.received_on(connection)).collect();
            (told, heard)
        };
        let (tokio, blocking) = (play(Driver::Tokio), play(Driver::Blocking));
        assert_eq!(tokio.0, blocking.0);
        assert_eq!(tokio.1, blocking.1);
        assert_eq!(tokio.0[0], "OK");
        assert_eq!(tokio.0[3], "(7, \"v\", [Some(\"a\"), None])");
        assert_eq!(tokio.0[4], "yes");
        assert!(tokio.0[5].contains("may have been executed"), "{}", tokio.0[5]);
    }
}
