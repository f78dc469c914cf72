//! Values of any bytes and any size, without copies where it says so. REFERENCE N4, U1, U2.

use bytes::Bytes;
use redwire::{ErrorKind, Outcome, Value, cmd};
use redwire_testkit::shared;

use crate::common::Setup;

both!(any_bytes_come_back, large_values_come_back, a_reply_of_the_wrong_type_says_so, wide_and_deep_replies);

fn any_bytes_come_back(setup: Setup) {
    for url in [shared().url(), shared().unix_url()] {
        let client = setup.client(&url, "");
        let key = [setup.key("bytes").as_bytes(), b"\0\r\n\xff"].concat();
        let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let traps: [&[u8]; 7] = [b"", b"\r\n", b"$-1\r\n", b"-ERR no\r\n", b"\0", b"*3\r\n", &all];
        for value in traps {
            client.execute::<()>(cmd("SET").arg(&key).arg(value)).unwrap();
            assert_eq!(client.execute::<Vec<u8>>(cmd("GET").arg(&key)).unwrap(), value);
            assert_eq!(client.execute::<Bytes>(cmd("GET").arg(&key)).unwrap(), value);
        }
        let error = client.execute::<String>(cmd("GET").arg(&key)).unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Unreadable), "{error}");
        assert_eq!(client.run::<String>("PING").unwrap(), "PONG");
    }
}

fn large_values_come_back(setup: Setup) {
    let client = setup.client(&shared().url(), "timeout=60s");
    let key = setup.key("large");
    for size in [100_000, 1 << 20, (16 << 20) + 1, 64 << 20] {
        let value = Bytes::from((0..size).map(|i| (i * 31 % 251) as u8).collect::<Vec<u8>>());
        client.execute::<()>(cmd("SET").arg(&key).arg(&value)).unwrap();
        assert!(client.execute::<Bytes>(cmd("GET").arg(&key)).unwrap() == value, "{size} bytes");
    }
    client.execute::<i64>(cmd("DEL").arg(&key)).unwrap();
}

fn a_reply_of_the_wrong_type_says_so(setup: Setup) {
    let client = setup.client(&shared().url(), "");
    let key = setup.key("type");
    client.execute::<()>(cmd("SET").arg(&key).arg("text")).unwrap();
    let error = client.execute::<i64>(cmd("GET").arg(&key)).unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::Decode, Outcome::Unreadable), "{error}");
    assert_eq!((error.command(), error.tries()), (Some("GET"), 1));
    assert!(error.to_string().contains("text"), "{error}");
    let error = client.execute::<i64>(cmd("INCR").arg(&key)).unwrap_err();
    assert_eq!(
        (error.outcome(), error.code(), error.command()),
        (Outcome::Rejected, Some("ERR"), Some("INCR"))
    );
    assert_eq!(client.execute::<String>(cmd("GET").arg(&key)).unwrap(), "text");
}

fn wide_and_deep_replies(setup: Setup) {
    let client = setup.client(&shared().url(), "timeout=60s");
    let script = "local t = {} for i = 1, 100000 do t[i] = i end return t";
    let wide: Vec<i64> = client.execute(cmd("EVAL").arg(script).arg(0)).unwrap();
    assert!(wide.into_iter().eq(1..=100_000));
    let script = "local t = 1 for i = 1, 30 do t = {t} end return t";
    let mut value: Value = client.execute(cmd("EVAL").arg(script).arg(0)).unwrap();
    for _ in 0..30 {
        let Value::Array(mut items) = value else { panic!("{value:?}") };
        value = items.pop().unwrap();
    }
    assert!(matches!(value, Value::Integer(1)));
}
