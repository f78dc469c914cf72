//! Bytes that come one by one: the same results, whatever the pieces. FAULTS 48.

use std::time::Duration;

use bytes::Bytes;
use redwire::{Run, Value, cmd};
use redwire_testkit::{Direction, FakeServer, Fault, Proxy, Step, expect, shared};

use crate::common::{Setup, words};
use crate::step::{NAMELESS, hello};

both!(everything_works_byte_by_byte, a_reply_in_pieces_with_pauses);

fn everything_works_byte_by_byte(setup: Setup) {
    let proxy = Proxy::start(shared().addr());
    proxy.set(Direction::ToServer, Fault::Chunk(1));
    proxy.set(Direction::ToClient, Fault::Chunk(1));
    let client = setup.client(&proxy.url(), "timeout=60s&connect_timeout=30s&health_check_interval=30s");
    let key = setup.key("pieces");
    let value: Bytes = (0..100 * 1024).map(|i| (i % 251) as u8).collect::<Vec<u8>>().into();
    client.execute::<()>(cmd("SET").arg(&key).arg(&value)).unwrap();
    assert!(client.execute::<Bytes>(cmd("GET").arg(&key)).unwrap() == value);
    let numbers: Vec<i64> =
        client.pipeline(|p| (0..500).map(|i| p.run(cmd::<i64>("ECHO").arg(i))).collect::<Vec<_>>()).unwrap();
    assert!(numbers.into_iter().eq(0..500));
    let error = client.execute::<i64>(cmd("INCR").arg(&key)).unwrap_err();
    assert_eq!(error.code(), Some("ERR"));
    let list: Vec<(String, Option<i64>)> =
        client.execute(cmd("EVAL").arg("return {'a', 1, 'b', false}").arg(0)).unwrap();
    assert_eq!(list, [("a".to_owned(), Some(1)), ("b".to_owned(), None)]);
    assert_eq!(proxy.connections(), 1);
}

fn a_reply_in_pieces_with_pauses(setup: Setup) {
    let reply = b"*3\r\n$5\r\nhello\r\n:-42\r\n$-1\r\n";
    let pieces: Vec<Vec<u8>> = reply.chunks(1).map(<[u8]>::to_vec).collect();
    let steps = vec![expect(&["GET", "k"]), Step::ReplyPieces(pieces, Duration::from_millis(1))];
    let fake = FakeServer::script([hello(setup), steps].concat());
    let client = setup.client(&fake.url(), NAMELESS);
    let (text, number, nil): (String, i64, Option<Value>) = client.execute(words("GET k")).unwrap();
    assert_eq!((text.as_str(), number), ("hello", -42));
    assert!(nil.is_none());
    fake.verify();
}
