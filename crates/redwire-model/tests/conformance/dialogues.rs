//! What random lines do not come to: users, passwords, protocols, faulty requests, replies that are not
//! wanted.
//!
//! This file must not know which differences are right.

use redwire_testkit::{Server, find_server};

use crate::differences::About;
use crate::pair::Pair;

/// Lines of one client, each dialogue on connections of its own.
const DIALOGUES: &[&[&str]] = &[
    &[
        "ACL SETUSER alice on >secret ~a:* &news +@read +set +subscribe +ping",
        "ACL USERS",
        "ACL SETUSER alice +nonsense",
        "ACL SETUSER alice nonsense",
        "ACL SETUSER alice +@nonsense",
        "ACL DELUSER default",
        "AUTH alice wrong",
        "AUTH nobody secret",
        "AUTH secret",
        "AUTH alice secret",
        "ACL WHOAMI",
        "SET a:1 x",
        "GET a:1",
        "GET b",
        "MGET a:1 b",
        "SET b x",
        "DEL a:1",
        "HELLO 3",
        "SUBSCRIBE news",
        "SUBSCRIBE other",
        "PING",
        "CLIENT LIST",
        "RESET",
        "ACL WHOAMI",
        "ACL DELUSER alice nobody",
    ],
    &[
        "HELLO 4",
        "HELLO x",
        "HELLO 3 AUTH nobody wrong",
        "HELLO 2 SETNAME x",
        "CLIENT GETNAME",
        "HELLO 2 NONSENSE",
        "HELLO 3 SETNAME",
        "HELLO 3",
        "HELLO",
        "HELLO 2",
        "PING",
    ],
    &[
        "SUBSCRIBE c",
        "PING",
        "PING x",
        "GET k",
        "MULTI",
        "PSUBSCRIBE c*",
        "PUBLISH c x",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE c*",
        "GET k",
        "SUBSCRIBE c",
        "RESET",
        "GET k",
        "QUIT",
    ],
    &[
        "CLIENT REPLY SKIP",
        "PING",
        "PING back",
        "CLIENT REPLY OFF",
        "PING",
        "SET k v",
        "CLIENT REPLY ON",
        "GET k",
    ],
    &[
        "MULTI", "SET k v", "INCR k", "GET k", "EXEC", "GET k", "MULTI", "GET", "EXEC", "EXEC", "DISCARD",
        "MULTI", "DISCARD", "WATCH k", "SET k w", "MULTI", "GET k", "EXEC", "WATCH k", "UNWATCH", "MULTI",
        "GET k", "EXEC",
    ],
    &[
        "SET n 10",
        "OBJECT REFCOUNT none",
        "OBJECT ENCODING n",
        "TYPE n",
        "EXPIREAT n 1",
        "EXISTS n",
        "SETEX n 0 x",
        "PSETEX n -1 x",
        "SET n 10 EX 0",
        "LPUSH l a",
        "INCR l",
        "LSET l 5 x",
        "LSET none 0 x",
        "RENAME none x",
        "SELECT 16",
        "SELECT x",
        "MOVE n 0",
        "COPY n n",
    ],
    &[
        "CONFIG SET maxclients x",
        "CONFIG SET databases 3",
        "CONFIG GET maxmemory",
        "CONFIG GET *xclients",
        "CONFIG SET nonsense 1",
        "CLIENT KILL ID 0",
        "CLIENT KILL nonsense",
        "CLIENT UNBLOCK 99999999",
        "CLIENT ID x",
        "WAIT 0 0",
        "WAIT x 0",
        "SWAPDB 0 99",
    ],
    &[
        "BLPOP k x",
        "BLPOP k -1",
        "XREAD BLOCK -1 STREAMS s 0",
        "XADD s * a",
        "XADD s 0-0 a b",
        "XADD s 5-5 a b",
        "XADD s 5-4 a b",
        "XGROUP CREATE none g 0",
        "XGROUP CREATE s g 0",
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g c STREAMS s $",
        "XREADGROUP GROUP h c STREAMS s >",
        "XPENDING s h",
        "EVALSHA x 0",
    ],
];

/// Requests that are no commands.
const FAULTY: &[&str] = &[
    "*1\r\n$-1\r\n",
    "*x\r\n",
    "*1\r\n+PING\r\n",
    "PING \"a\r\n",
    "*1\r\n$x\r\n",
    "*3000000000\r\n",
    "*2\r\n$4\r\nECHO\r\n$600000000\r\n",
    "PING\r\nPING 'a b'\r\n\r\n*0\r\n*-1\r\nECHO \"\\x41\\n\"\r\n",
];

#[test]
fn dialogues_are_those_of_a_real_server() {
    if find_server().is_none() {
        return;
    }
    let server = Server::start();
    let about = About::of(&server);
    if about.level() < (7, 2) {
        // Other words for nearly all of it.
        return;
    }
    let mut failures = Vec::new();
    for resp3 in [false, true] {
        for dialogue in DIALOGUES {
            let mut pair = Pair::new(&server, about, resp3);
            for line in *dialogue {
                let words: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
                failures.extend(pair.run(1, &words).err());
            }
        }
        for bytes in FAULTY {
            let mut pair = Pair::new(&server, about, resp3);
            failures.extend(pair.run_raw(1, bytes.as_bytes()).err());
        }
    }
    assert!(failures.is_empty(), "{about:?}:\n{}", failures.join("\n"));
}
